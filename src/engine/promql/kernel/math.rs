//! Functions of floats. Histograms have no result.

pub fn deg(radians: f64) -> f64 {
    radians * 180.0 / std::f64::consts::PI
}

pub fn rad(degrees: f64) -> f64 {
    degrees * std::f64::consts::PI / 180.0
}

/// NaN and both zeros are their own signs.
pub fn sgn(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// Between a minimum and a maximum; nothing results if they are crossed.
pub fn clamp(value: f64, bounds: &[f64]) -> Option<f64> {
    let (min, max) = (bounds[0], bounds[1]);
    if max < min { None } else { Some(larger(min, smaller(max, value))) }
}

pub fn clamp_min(value: f64, bounds: &[f64]) -> Option<f64> {
    Some(larger(bounds[0], value))
}

pub fn clamp_max(value: f64, bounds: &[f64]) -> Option<f64> {
    Some(smaller(bounds[0], value))
}

/// To the nearest multiple, ties upwards; without one to integers.
pub fn round(value: f64, multiple: &[f64]) -> Option<f64> {
    let inverse = 1.0 / multiple.first().unwrap_or(&1.0);
    Some((value * inverse + 0.5).floor() / inverse)
}

/// Go's `math.Max`, also `max_of`: NaN wins over all but `+Inf`.
pub fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`, also `min_of`: NaN wins over all but `-Inf`.
pub fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

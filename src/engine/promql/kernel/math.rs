//! Functions of single values. Histograms have no result.

use super::types::{Param, VectorIn, VectorOut};

/// A function of one float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MathFunction {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Deg,
    Exp,
    Floor,
    Ln,
    Log10,
    Log2,
    Rad,
    Sgn,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

impl MathFunction {
    /// The function of a PromQL name.
    pub fn from_name(name: &str) -> Option<Self> {
        use MathFunction::*;
        Some(match name {
            "abs" => Abs,
            "acos" => Acos,
            "acosh" => Acosh,
            "asin" => Asin,
            "asinh" => Asinh,
            "atan" => Atan,
            "atanh" => Atanh,
            "ceil" => Ceil,
            "cos" => Cos,
            "cosh" => Cosh,
            "deg" => Deg,
            "exp" => Exp,
            "floor" => Floor,
            "ln" => Ln,
            "log10" => Log10,
            "log2" => Log2,
            "rad" => Rad,
            "sgn" => Sgn,
            "sin" => Sin,
            "sinh" => Sinh,
            "sqrt" => Sqrt,
            "tan" => Tan,
            "tanh" => Tanh,
            _ => return None,
        })
    }

    #[inline]
    pub fn apply(self, v: f64) -> f64 {
        use MathFunction::*;
        match self {
            Abs => v.abs(),
            Acos => v.acos(),
            Acosh => v.acosh(),
            Asin => v.asin(),
            Asinh => v.asinh(),
            Atan => v.atan(),
            Atanh => v.atanh(),
            Ceil => v.ceil(),
            Cos => v.cos(),
            Cosh => v.cosh(),
            Deg => v * 180.0 / std::f64::consts::PI,
            Exp => v.exp(),
            Floor => v.floor(),
            Ln => v.ln(),
            Log10 => v.log10(),
            Log2 => v.log2(),
            Rad => v * std::f64::consts::PI / 180.0,
            Sgn if v > 0.0 => 1.0,
            Sgn if v < 0.0 => -1.0,
            Sgn => v,
            Sin => v.sin(),
            Sinh => v.sinh(),
            Sqrt => v.sqrt(),
            Tan => v.tan(),
            Tanh => v.tanh(),
        }
    }

    pub fn evaluate(self, input: &VectorIn<'_>, out: &mut VectorOut<'_>) {
        map_floats(input, out, |_, v| Some(self.apply(v)));
    }
}

/// Applies `f(step, value)` to the floats of a row; histograms and `None` leave the step empty.
pub fn map_floats(input: &VectorIn<'_>, out: &mut VectorOut<'_>, mut f: impl FnMut(usize, f64) -> Option<f64>) {
    out.clear();
    for k in 0..out.values.len() {
        if let Some(value) = input.float(k).and_then(|v| f(k, v)) {
            out.set(k, value);
        }
    }
}

/// `clamp`; `clamp_min` and `clamp_max` leave the other bound infinite. Nothing results if the bounds are crossed.
pub fn clamp(input: &VectorIn<'_>, min: &Param<'_>, max: &Param<'_>, out: &mut VectorOut<'_>) {
    map_floats(input, out, |k, v| {
        let (min, max) = (min.at(k), max.at(k));
        if max < min { None } else { Some(larger(min, smaller(max, v))) }
    });
}

/// `round`, ties upwards; without the parameter to integers.
pub fn round(input: &VectorIn<'_>, to_nearest: &Param<'_>, out: &mut VectorOut<'_>) {
    map_floats(input, out, |k, v| {
        let inverse = 1.0 / to_nearest.at(k);
        Some((v * inverse + 0.5).floor() / inverse)
    });
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

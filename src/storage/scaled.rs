//! Doubles as scaled integers, where that is exact.
//!
//! Most exported numbers are decimals: `12345.67` is kept as `scaled = 1234567, scale = 2`. Delta-packed integers
//! are a third of the size of the best float encoding Parquet has, and faster to read. It is only used where
//! `scaled / 10^scale` gives back the identical bits, so that no reader can see a difference.

use multiversion::multiversion;

/// `10^scale` for every scale in use; each is exact as a double.
pub const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Integers below this are exact as doubles.
const LIMIT: f64 = (1u64 << 53) as f64;

/// The value a reader computes.
#[inline]
pub fn unscale(scaled: i64, scale: u8) -> f64 {
    scaled as f64 / POWERS[usize::from(scale)]
}

/// Appends what [`unscale`] makes of a run of integers of one scale.
#[multiversion(targets("x86_64+avx2"))]
pub fn unscale_all(run: &[i64], scale: u8, out: &mut Vec<f64>) {
    // Below 2^51 an integer is a double without a conversion, which x86-64 has for single numbers only before AVX-512:
    // put into the mantissa of 2^52 it is that much more than 2^52.
    const MIDDLE: i64 = 1 << 51;
    // The bits of 2^52.
    const EXPONENT: u64 = (0x3ff + 52) << 52;
    let bits = run.iter().fold(0, |bits, n| bits | n.wrapping_add(MIDDLE) as u64);
    if bits >= 1 << 52 {
        return out.extend(run.iter().map(|n| unscale(*n, scale)));
    }
    let float = |n: &i64| f64::from_bits(EXPONENT | (*n + MIDDLE) as u64) - ((1u64 << 52) + (1 << 51)) as f64;
    match scale {
        0 => out.extend(run.iter().map(float)),
        _ => {
            let power = POWERS[usize::from(scale)];
            out.extend(run.iter().map(|n| float(n) / power));
        }
    }
}

/// The integer that gives back exactly `value` at this scale. NaN (and so staleness markers), infinities and
/// negative zero have none.
#[inline]
pub fn rescale(value: f64, scale: u8) -> Option<i64> {
    let power = POWERS[usize::from(scale)];
    let product = value * power;
    if product.is_nan() || product.abs() >= LIMIT {
        return None;
    }
    // From 2^52 on every double is an integer, and adding one half would round it.
    let scaled = if product.abs() < LIMIT / 2.0 { round(product) } else { product as i64 };
    (((scaled as f64) / power).to_bits() == value.to_bits()).then_some(scaled)
}

/// To the nearest integer; a tie may go either way, the caller checks. A cast after adding one half is some five
/// times cheaper than `f64::round` without SSE4.1.
#[inline]
fn round(product: f64) -> i64 {
    (product + 0.5f64.copysign(product)) as i64
}

/// The smallest scale at which `value` is exact.
pub fn scale_of(value: f64) -> Option<u8> {
    (0..POWERS.len() as u8).find(|scale| rescale(value, *scale).is_some())
}

/// Values with more digits than this gain nothing from being integers: their deltas are as wide as their doubles.
const SCALE_TRIED: u8 = 12;

/// Chooses one scale for a run of values, the smallest at which every value that has one is exact, and fills
/// `scaled` (0 where the value has none) and `exact` (whether it has). `None`: no value of the run is worth it.
pub fn encode(values: &[f64], scaled: &mut Vec<i64>, exact: &mut Vec<bool>) -> Option<u8> {
    scaled.clear();
    exact.clear();
    let mut scale = 0u8;
    let mut misses = 0usize;
    // Raising looks at all values before; a run that mixes large and fine values must not do so again and again.
    let mut refused = 0u8;
    let mut last = (f64::NAN.to_bits(), 0i64, false);
    for (at, &value) in values.iter().enumerate() {
        if value.to_bits() == last.0 {
            scaled.push(last.1);
            exact.push(last.2);
            continue;
        }
        let mut found = rescale(value, scale);
        if found.is_none() && refused < 4 {
            // A run keeps one scale so that its deltas stay small: raise it and scale the values before again.
            let higher = (scale + 1..=SCALE_TRIED).find(|s| rescale(value, *s).is_some());
            match higher {
                Some(higher) if raise(values, higher, at, scaled, exact) => {
                    scale = higher;
                    found = rescale(value, scale);
                }
                Some(_) => refused += 1,
                None => {}
            }
        }
        if found.is_none() {
            misses += 1;
            // Noise: stop looking once it is plain that this is no run of decimals.
            if misses > 16 && misses * 2 > at + 1 {
                scaled.clear();
                exact.clear();
                return None;
            }
        }
        last = (value.to_bits(), found.unwrap_or(0), found.is_some());
        scaled.push(last.1);
        exact.push(last.2);
    }
    exact.iter().any(|e| *e).then_some(scale)
}

/// Scales the first `count` values to `scale`; leaves everything as it is when one that was exact is not any more.
fn raise(values: &[f64], scale: u8, count: usize, scaled: &mut [i64], exact: &[bool]) -> bool {
    let fits = |at: usize| !exact[at] || rescale(values[at], scale).is_some();
    if !(0..count).all(fits) {
        return false;
    }
    for at in (0..count).filter(|at| exact[*at]) {
        scaled[at] = rescale(values[at], scale).expect("checked above");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::STALE_NAN;

    fn check(values: &[f64], scale: Option<u8>, exact_count: usize) {
        let (mut scaled, mut exact) = (Vec::new(), Vec::new());
        assert_eq!(encode(values, &mut scaled, &mut exact), scale, "{values:?}");
        let Some(scale) = scale else { return };
        assert_eq!(exact.iter().filter(|e| **e).count(), exact_count, "{values:?}");
        for (at, value) in values.iter().enumerate().filter(|(at, _)| exact[*at]) {
            assert_eq!(unscale(scaled[at], scale).to_bits(), value.to_bits(), "{value}");
        }
    }

    #[test]
    fn one_scale_for_a_run() {
        check(&[1.0, 2.0, 3.0], Some(0), 3);
        check(&[1.0, 2.5, 3.25], Some(2), 3);
        check(&[12345.67, 0.01, 99.0], Some(2), 3);
        check(&[0.1 + 0.2, 1.0], Some(0), 1);
        check(&[1e15, 1.5, 2.0], Some(0), 2);
        check(&[9007199254740991.0, 9007199254740992.0], Some(0), 1);
    }

    #[test]
    fn what_has_no_integer() {
        check(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, STALE_NAN, -0.0], None, 0);
        check(&[1.0, STALE_NAN, 2.0], Some(0), 2);
        check(&[0.0, -0.0, -1.0], Some(0), 2);
        check(&[], None, 0);
    }

    #[test]
    fn bits_survive_at_every_scale() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let scale = random.u8(0..=12);
            let value = random.i64(-1 << 52..1 << 52) as f64 / POWERS[usize::from(scale)];
            if let Some(found) = scale_of(value) {
                let scaled = rescale(value, found).expect("scale_of says so");
                assert_eq!(unscale(scaled, found).to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn runs_are_as_single_numbers() {
        const EDGE: i64 = 1 << 51;
        for run in [
            &[0, 1, -1, 12345, -67, EDGE - 1, -EDGE][..],
            &[EDGE],
            &[0, -EDGE - 1],
            &[1, i64::MAX, i64::MIN, (1 << 53) - 1],
            &[],
        ] {
            for scale in 0..=12 {
                let mut out = vec![7.5];
                unscale_all(run, scale, &mut out);
                let single = run.iter().map(|n| unscale(*n, scale).to_bits());
                assert!(out[1..].iter().map(|v| v.to_bits()).eq(single), "{run:?} at {scale}: {out:?}");
            }
        }
    }
}

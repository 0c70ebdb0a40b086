//! The quantile of a set of values.

use std::cmp::Ordering;

/// Ascending, NaN before all numbers.
pub fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile by linear interpolation between the closest ranks; NaN for no values or a NaN `q`, infinite
/// for `q` outside of 0..=1. NaN values count as smallest. Reorders `values`.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    let (_, lower, above) = values.select_nth_unstable_by(rank.floor() as usize, nan_first);
    let lower = *lower;
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

/// Whether a quantile deserves a warning.
pub fn is_invalid(q: f64) -> bool {
    !(0.0..=1.0).contains(&q)
}

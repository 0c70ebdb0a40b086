//! `deriv`, `predict_linear` and `double_exponential_smoothing`.

use super::over_time::note_ignored_histograms;
use super::range::Scope;
use super::samples::{Floats, Window};
use super::types::{Notes, Value};
use crate::error::{Error, Result};
use crate::model::kahan::KahanSum;

/// The slope of the regression line.
pub fn deriv(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    let floats = two_or_more(window, scope.notes)?;
    // Times relative to the first sample keep their precision.
    let (slope, _) = regress(&floats, floats.timestamps[0]);
    Some(Value::Float(slope))
}

/// The value of the regression line so many seconds after the evaluation time.
pub fn predict(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    let seconds = scope.param(0);
    let floats = two_or_more(window, scope.notes)?;
    let (slope, intercept) = regress(&floats, window.eval_time);
    Some(Value::Float(slope * seconds + intercept))
}

/// Prometheus' error for factors of [`smoothing`] outside of `0 < x < 1`.
pub fn check_factors(scope: &Scope<'_>) -> Result<()> {
    for (name, factor) in [("smoothing", scope.param(0)), ("trend", scope.param(1))] {
        if factor <= 0.0 || factor >= 1.0 {
            let (initial, got) = (if name == "trend" { "tf" } else { "sf" }, go_fixed(factor));
            return Err(Error::execution(format!(
                "invalid {name} factor. Expected: 0 < {initial} < 1, got: {got}"
            )));
        }
    }
    Ok(())
}

/// Holt's linear method.
pub fn smoothing(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    let (smoothing, trend) = (scope.param(0), scope.param(1));
    let floats = two_or_more(window, scope.notes)?;
    let mut level = floats.values[0];
    let mut slope = floats.values[1] - floats.values[0];
    let mut previous = 0.0;
    for (i, value) in floats.values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - previous) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        (previous, level) = (level, next);
    }
    Some(Value::Float(level))
}

/// Go's `%f`.
fn go_fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { crate::model::float::format_plain(value) }
}

/// The floats, if there are enough for a line.
fn two_or_more<'a>(window: &Window<'a>, notes: &Notes<'_>) -> Option<Floats<'a>> {
    if !window.floats.is_empty() {
        note_ignored_histograms(window, notes);
    }
    (window.floats.len() >= 2).then_some(window.floats)
}

/// Least squares: slope per second, and the value at `origin`.
fn regress(floats: &Floats<'_>, origin: i64) -> (f64, f64) {
    let first = floats.values[0];
    if floats.values.iter().skip(1).all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [mut x, mut y, mut xy, mut xx] = [KahanSum::default(); 4];
    for (time, value) in floats.timestamps.iter().zip(floats.values) {
        let seconds = (time - origin) as f64 / 1e3;
        x.add(seconds);
        y.add(*value);
        xy.add(seconds * value);
        xx.add(seconds * seconds);
    }
    let n = floats.len() as f64;
    let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.value());
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

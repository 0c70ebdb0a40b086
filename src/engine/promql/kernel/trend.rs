//! `deriv`, `predict_linear` and `double_exponential_smoothing`.

use std::array;

use multiversion::multiversion;

use super::lanes::{self, Fold, Group, LANES, Lane, for_groups};
use super::over_time::note_ignored_histograms;
use super::range::{RangeKernel, Scope, per_window};
use super::samples::{Floats, Window};
use super::types::{Notes, Value};
use crate::error::{Error, Result};
use crate::model::kahan::KahanSum;

pub const DERIV: RangeKernel = per_window(deriv).sliding(|floats, windows, _, out| {
    for_groups(&floats, windows, 2, out, slopes, slope);
    true
});

/// The slope of the regression line.
fn deriv(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    two_or_more(window, scope.notes).map(|floats| Value::Float(slope(&floats)))
}

fn slope(floats: &Floats<'_>) -> f64 {
    // Times relative to the first sample keep their precision.
    regress(floats, floats.timestamps[0]).0
}

#[multiversion(targets("x86_64+avx2"))]
fn slopes(floats: &Floats<'_>, group: &Group) -> Lane {
    let origins = array::from_fn(|j| floats.timestamps[group[j].start]);
    let states = lanes::fold(floats, group, &Slopes { origins });
    array::from_fn(|j| {
        let values = &floats.values[group[j].clone()];
        level(values).unwrap_or_else(|| Moments::of(states[j]).line(values.len())).0
    })
}

/// Moments of windows, with times relative to these.
struct Slopes {
    origins: [i64; LANES],
}

impl Fold<8> for Slopes {
    #[inline(always)]
    fn add(&self, state: [f64; 8], _: f64, window: usize, time: i64, value: f64) -> [f64; 8] {
        let mut moments = Moments::of(state);
        moments.add(time - self.origins[window], value);
        moments.state()
    }
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
    level(floats.values).unwrap_or_else(|| {
        let mut moments = Moments::default();
        let points = floats.timestamps.iter().zip(floats.values);
        // The evaluation time may be at the other end of time; Go goes round as well.
        points.for_each(|(time, value)| moments.add(time.wrapping_sub(origin), *value));
        moments.line(floats.len())
    })
}

/// The line through values that are all the same.
fn level(values: &[f64]) -> Option<(f64, f64)> {
    let first = values[0];
    let same = values[1..].iter().all(|v| *v == first);
    same.then(|| if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) })
}

/// Sums over points of seconds and values.
#[derive(Default)]
struct Moments {
    x: KahanSum,
    y: KahanSum,
    xy: KahanSum,
    xx: KahanSum,
}

impl Moments {
    #[inline(always)]
    fn add(&mut self, milliseconds: i64, value: f64) {
        let seconds = milliseconds as f64 / 1e3;
        self.x.add(seconds);
        self.y.add(value);
        self.xy.add(seconds * value);
        self.xx.add(seconds * seconds);
    }

    /// Slope, and value at 0, of the line through so many points.
    fn line(&self, points: usize) -> (f64, f64) {
        let n = points as f64;
        let [x, y, xy, xx] = [&self.x, &self.y, &self.xy, &self.xx].map(KahanSum::value);
        let covariance = xy - x * y / n;
        let variance = xx - x * x / n;
        let slope = covariance / variance;
        (slope, y / n - slope * x / n)
    }

    #[inline(always)]
    fn of(state: [f64; 8]) -> Self {
        let sum = |i: usize| KahanSum { sum: state[i], compensation: state[i + 1] };
        Self { x: sum(0), y: sum(2), xy: sum(4), xx: sum(6) }
    }

    #[inline(always)]
    fn state(&self) -> [f64; 8] {
        let Self { x, y, xy, xx } = self;
        [x.sum, x.compensation, y.sum, y.compensation, xy.sum, xy.compensation, xx.sum, xx.compensation]
    }
}

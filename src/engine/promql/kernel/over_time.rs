//! `*_over_time`: sums, means, variances, ends, quantiles.

use std::array;

use multiversion::multiversion;

use super::lanes::{self, Fold, Group, LANES, Lane, for_groups};
use super::quantile::{self, is_invalid};
use super::range::{RangeKernel, Scope, per_window};
use super::samples::{Cursor, Floats, Histograms, Window};
use super::types::{Notes, Value, VectorOut, Windows};
use crate::engine::promql::annotations::text::{self, Operation};
use crate::model::histogram::arithmetic::IncompatibleSchemas;
use crate::model::histogram::sum::HistogramSum;
use crate::model::histogram::{CounterResetHint, FloatHistogram};
use crate::model::kahan::KahanSum;

pub const SUM: RangeKernel = per_window(sum)
    .sliding(|floats, windows, _, out| {
        if !slide_exact_sums(false, floats, windows, out) {
            for_groups(
                &floats,
                windows,
                1,
                out,
                |floats, group| sums(floats, group).map(sum_of),
                |w| sum_of(total(w)),
            );
        }
        true
    })
    .with_histograms();
pub const AVG: RangeKernel = per_window(avg)
    .sliding(|floats, windows, _, out| {
        if !slide_exact_sums(true, floats, windows, out) {
            for_groups(&floats, windows, 1, out, means, |window| mean_of(window.values));
        }
        true
    })
    .with_histograms();
pub const STDDEV: RangeKernel = per_window(stddev).sliding(|floats, windows, _, out| {
    let roots = |floats: &Floats<'_>, group: &Group| variances(floats, group).map(f64::sqrt);
    for_groups(&floats, windows, 1, out, roots, |window| variance_of(window.values).sqrt());
    true
});
pub const STDVAR: RangeKernel = per_window(stdvar).sliding(|floats, windows, _, out| {
    for_groups(&floats, windows, 1, out, variances, |window| variance_of(window.values));
    true
});

/// Sums or means by adding what enters a window and subtracting what leaves it, if that is exact: for integers
/// whose sums stay below 2^53 (`false` for others).
fn slide_exact_sums(mean: bool, floats: Floats<'_>, windows: &Windows, out: &mut VectorOut<'_>) -> bool {
    if !sums_are_exact(floats.values) {
        return false;
    }
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    let (mut sum, mut summed) = (0.0, cursor);
    for k in 0..windows.steps {
        cursor.advance(floats.timestamps, windows.begin(k), windows.end(k));
        sum += floats.values[summed.to..cursor.to].iter().sum::<f64>();
        sum -= floats.values[summed.from..cursor.from].iter().sum::<f64>();
        summed = cursor;
        let count = cursor.to - cursor.from;
        if count > 0 {
            out.set(k, if mean { sum / count as f64 } else { sum });
        }
    }
    true
}

fn sums_are_exact(values: &[f64]) -> bool {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let mut total = 0.0;
    values.iter().all(|value| {
        total += value.abs();
        // -0 would come out as 0.
        value.trunc() == *value && total < LIMIT && (*value != 0.0 || value.is_sign_positive())
    })
}

fn sum(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    let notes = scope.notes;
    if window.is_mixed() {
        notes.warn(text::mixed_floats_histograms(notes.metric));
        return None;
    }
    if window.floats.is_empty() {
        return aggregate_histograms(&window.histograms, notes, sum_histograms);
    }
    Some(Value::Float(sum_of(total(&window.floats))))
}

fn total(floats: &Floats<'_>) -> KahanSum {
    let mut sum = KahanSum::default();
    floats.values.iter().for_each(|v| sum.add(*v));
    sum
}

fn sum_of(sum: KahanSum) -> f64 {
    if sum.sum.is_infinite() { sum.sum } else { sum.value() }
}

#[multiversion(targets("x86_64+avx2"))]
fn sums(floats: &Floats<'_>, group: &Group) -> [KahanSum; LANES] {
    let states = lanes::fold(floats, group, &Sums);
    states.map(|[sum, compensation]| KahanSum { sum, compensation })
}

struct Sums;

impl Fold<2> for Sums {
    #[inline(always)]
    fn add(&self, [sum, compensation]: [f64; 2], _: f64, _: usize, _: i64, value: f64) -> [f64; 2] {
        let mut sum = KahanSum { sum, compensation };
        sum.add(value);
        [sum.sum, sum.compensation]
    }
}

fn avg(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    let notes = scope.notes;
    if window.is_mixed() {
        notes.warn(text::mixed_floats_histograms(notes.metric));
        return None;
    }
    match window.floats.values {
        [] => aggregate_histograms(&window.histograms, notes, mean_of_histograms),
        values => Some(Value::Float(mean_of(values))),
    }
}

/// Of at least one value.
fn mean_of(values: &[f64]) -> f64 {
    let mut mean = Mean::new(values[0]);
    values[1..].iter().for_each(|v| mean.add(*v));
    mean.value()
}

fn means(floats: &Floats<'_>, group: &Group) -> Lane {
    let sums = sums(floats, group);
    array::from_fn(|j| {
        let values = &floats.values[group[j].clone()];
        // A sum that overflows makes the mean another one, and one of nothing but -0 begins with that.
        if !sums[j].sum.is_finite() || sums[j].sum == 0.0 {
            return mean_of(values);
        }
        Mean { state: sums[j], count: values.len() as f64, incremental: false }.value()
    })
}

/// A mean that divides a compensated sum, until the sum would overflow; from then on the mean itself is moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The sum, or the mean once `incremental`.
    pub state: KahanSum,
    pub count: f64,
    pub incremental: bool,
}

impl Mean {
    pub fn new(first: f64) -> Self {
        Self { state: KahanSum::new(first), count: 1.0, incremental: false }
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut sum = self.state;
            sum.add(value);
            if !sum.sum.is_infinite() {
                self.state = sum;
                return;
            }
            self.incremental = true;
            self.state.divide(self.count - 1.0);
        }
        self.state.scale((self.count - 1.0) / self.count);
        self.state.add(value / self.count);
    }

    /// The mean of both sets of values.
    pub fn merge(&mut self, other: &Mean) {
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut sum = self.state;
            sum.merge(&other.state);
            if !sum.sum.is_infinite() {
                *self = Mean { state: sum, count, incremental: false };
                return;
            }
        }
        let weighted = |mean: &Mean| {
            let mut state = mean.state;
            if !mean.incremental {
                state.divide(mean.count);
            }
            state.scale(mean.count / count);
            state
        };
        let mut state = weighted(self);
        state.merge(&weighted(other));
        *self = Mean { state, count, incremental: true };
    }

    pub fn value(&self) -> f64 {
        if self.incremental {
            self.state.value()
        } else {
            self.state.sum / self.count + self.state.compensation / self.count
        }
    }
}

type HistogramAggregate = fn(&Histograms<'_>, &mut bool) -> Result<FloatHistogram, IncompatibleSchemas>;

/// Applies an aggregate to the histograms of a window, with its annotations.
fn aggregate_histograms(
    histograms: &Histograms<'_>,
    notes: &Notes<'_>,
    aggregate: HistogramAggregate,
) -> Option<Value> {
    let mut reconciled = false;
    let Ok(result) = aggregate(histograms, &mut reconciled) else {
        notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
        return None;
    };
    let hinted = |hint| histograms.values.iter().any(|h| h.counter_reset_hint == hint);
    if hinted(CounterResetHint::Reset) && hinted(CounterResetHint::NotReset) {
        notes.warn(text::counter_reset_collision(Operation::Aggregation));
    }
    if reconciled {
        notes.info(text::mismatched_custom_buckets(Operation::Aggregation));
    }
    Some(result.into())
}

fn sum_histograms(
    histograms: &Histograms<'_>,
    reconciled: &mut bool,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let mut sum = HistogramSum::new(&histograms.values[0]);
    for histogram in &histograms.values[1..] {
        *reconciled |= sum.add(histogram)?.bounds_reconciled;
    }
    Ok(sum.finish())
}

fn mean_of_histograms(
    histograms: &Histograms<'_>,
    reconciled: &mut bool,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let mut mean = HistogramMean::new(&histograms.values[0]);
    for histogram in &histograms.values[1..] {
        *reconciled |= mean.add(histogram)?;
    }
    Ok(mean.mean())
}

/// [`Mean`] of histograms, which serves as their sum, too.
#[derive(Clone, Debug)]
pub struct HistogramMean {
    pub state: HistogramSum,
    pub count: f64,
    pub incremental: bool,
}

impl HistogramMean {
    pub fn new(first: &FloatHistogram) -> Self {
        Self { state: HistogramSum::new(first), count: 1.0, incremental: false }
    }

    /// Whether custom bounds had to be reconciled.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<bool, IncompatibleSchemas> {
        self.merge(Self::new(histogram))
    }

    /// The mean of both. A copy is kept to go back to if the sum overflows.
    pub fn merge(&mut self, mut other: Self) -> Result<bool, IncompatibleSchemas> {
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut sum = self.state.clone();
            let combined = sum.merge(other.state.clone())?;
            if !sum.has_overflow() {
                *self = Self { state: sum, count, incremental: false };
                return Ok(combined.bounds_reconciled);
            }
        }
        for mean in [&mut *self, &mut other] {
            if mean.count == 1.0 {
                // One division rounds once, so that equal values of opposite sign cancel out.
                mean.state.divide(count);
                continue;
            }
            if !mean.incremental {
                mean.state.divide(mean.count);
            }
            mean.state.scale(mean.count / count);
        }
        (self.count, self.incremental) = (count, true);
        Ok(self.state.merge(other.state)?.bounds_reconciled)
    }

    /// The sum of both; whether custom bounds had to be reconciled.
    pub fn merge_as_sum(&mut self, other: Self) -> Result<bool, IncompatibleSchemas> {
        self.count += other.count;
        Ok(self.state.merge(other.state)?.bounds_reconciled)
    }

    pub fn mean(mut self) -> FloatHistogram {
        if !self.incremental {
            self.state.divide(self.count);
        }
        self.state.finish()
    }
}

pub fn count(window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    Some(Value::Float((window.floats.len() + window.histograms.len()) as f64))
}

pub fn present(_window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    Some(Value::Float(1.0))
}

pub fn last(window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    let float = window.floats.timestamps.last();
    match window.histograms.timestamps.last() {
        Some(time) if float.is_none_or(|f| f <= time) => {
            window.histograms.values.last().cloned().map(Value::Histogram)
        }
        _ => window.floats.values.last().copied().map(Value::Float),
    }
}

pub fn first(window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    let float = window.floats.timestamps.first();
    match window.histograms.timestamps.first() {
        Some(time) if float.is_none_or(|f| f >= time) => {
            window.histograms.values.first().cloned().map(Value::Histogram)
        }
        _ => window.floats.values.first().copied().map(Value::Float),
    }
}

pub fn time_of_first(window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    let times = window.floats.timestamps.first().into_iter().chain(window.histograms.timestamps.first());
    times.min().map(|t| Value::Float(*t as f64 / 1000.0))
}

pub fn time_of_last(window: &Window<'_>, _scope: &mut Scope<'_>) -> Option<Value> {
    let times = window.floats.timestamps.last().into_iter().chain(window.histograms.timestamps.last());
    times.max().map(|t| Value::Float(*t as f64 / 1000.0))
}

/// Tells that a function of floats left histograms out.
pub(super) fn note_ignored_histograms(window: &Window<'_>, notes: &Notes<'_>) {
    if !window.histograms.is_empty() {
        notes.info(text::histogram_ignored_in_mixed_range(notes.metric));
    }
}

fn stddev(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    variance(window, scope.notes).map(|v| Value::Float(v.sqrt()))
}

fn stdvar(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    variance(window, scope.notes).map(Value::Float)
}

fn variance(window: &Window<'_>, notes: &Notes<'_>) -> Option<f64> {
    if window.floats.is_empty() {
        return None;
    }
    note_ignored_histograms(window, notes);
    Some(variance_of(window.floats.values))
}

fn variance_of(values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        variance.add(*value, count);
    }
    variance.squares.value() / count
}

#[multiversion(targets("x86_64+avx2"))]
fn variances(floats: &Floats<'_>, group: &Group) -> Lane {
    let states = lanes::fold(floats, group, &Variances);
    array::from_fn(|j| Variance::of(states[j]).squares.value() / group[j].len() as f64)
}

struct Variances;

impl Fold<4> for Variances {
    #[inline(always)]
    fn add(&self, state: [f64; 4], count: f64, _: usize, _: i64, value: f64) -> [f64; 4] {
        let mut variance = Variance::of(state);
        variance.add(value, count);
        variance.state()
    }
}

/// The population variance, by Welford's method with compensation.
#[derive(Default)]
struct Variance {
    mean: KahanSum,
    squares: KahanSum,
}

impl Variance {
    /// `count` includes this value.
    #[inline(always)]
    fn add(&mut self, value: f64, count: f64) {
        let delta = value - self.mean.value();
        self.mean.add(delta / count);
        self.squares.add(delta * (value - self.mean.value()));
    }

    #[inline(always)]
    fn of([mean, lost_of_mean, squares, lost_of_squares]: [f64; 4]) -> Self {
        let sum = |sum, compensation| KahanSum { sum, compensation };
        Self { mean: sum(mean, lost_of_mean), squares: sum(squares, lost_of_squares) }
    }

    #[inline(always)]
    fn state(&self) -> [f64; 4] {
        [self.mean.sum, self.mean.compensation, self.squares.sum, self.squares.compensation]
    }
}

pub fn quantile(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    if window.floats.is_empty() {
        return None;
    }
    let (q, notes, scratch) = (scope.param(0), scope.notes, &mut scope.scratch);
    if is_invalid(q) {
        notes.warn(text::invalid_quantile(q));
    }
    note_ignored_histograms(window, notes);
    scratch.clear();
    scratch.extend_from_slice(window.floats.values);
    Some(Value::Float(quantile::quantile(q, scratch)))
}

/// The median of the distances from the median.
pub fn mad(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    if window.floats.is_empty() {
        return None;
    }
    note_ignored_histograms(window, scope.notes);
    if window.floats.values.iter().any(|v| v.is_nan()) {
        return Some(Value::Float(f64::NAN));
    }
    let values = &mut scope.scratch;
    values.clear();
    values.extend_from_slice(window.floats.values);
    let median = quantile::quantile(0.5, values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    Some(Value::Float(quantile::quantile(0.5, values)))
}

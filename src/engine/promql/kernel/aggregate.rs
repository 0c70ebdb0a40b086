//! Accumulators of aggregations over step vectors: one per group, fed a row a series, mergeable, so that groups
//! can be aggregated partially. `topk` and its relatives are in [`super::select`].

/// Accumulators as bytes, between partial and final aggregation.
mod state;

use std::ops::Range;

use multiversion::multiversion;

use super::over_time::{HistogramMean, Mean};
use super::quantile::quantile;
use super::types::{Notes, Param, VectorIn, VectorOut};
use crate::engine::promql::annotations::text::{self, Operation};
use crate::model::histogram::{CounterResetHint, FloatHistogram};
use crate::model::kahan::KahanSum;
use crate::promql::operators::AggregateOp;

/// The state of one group at all steps.
///
/// | operator | `first` | `second` |
/// |---|---|---|
/// | sum | sum | compensation |
/// | avg | sum, or the mean once it is incremental | compensation |
/// | min, max | extreme | |
/// | stddev, stdvar | mean | sum of squared distances |
#[derive(Clone, Debug)]
pub struct Accumulator {
    op: AggregateOp,
    /// How many floats (for count and group: samples) a step has had.
    counts: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    /// quantile: all values of a step.
    values: Vec<Vec<f64>>,
    /// avg: the step has an incremental mean. Empty while none has.
    incremental: Vec<bool>,
    /// sum, avg: empty while there are none.
    histograms: Vec<HistogramState>,
    /// Bytes of what grows with the samples: values and histograms.
    gathered_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct HistogramState {
    mean: Option<HistogramMean>,
    /// Exponential and custom buckets have met; nothing comes of this step.
    incompatible: bool,
    reset_seen: bool,
    no_reset_seen: bool,
}

impl HistogramState {
    fn heap_bytes(&self) -> usize {
        self.mean.as_ref().map_or(0, |mean| mean.state.heap_bytes())
    }
}

impl Accumulator {
    /// For sum, avg, count, min, max, group, stddev, stdvar and quantile.
    pub fn new(op: AggregateOp, steps: usize) -> Self {
        use AggregateOp::*;
        let numbers = |used: bool, initial: f64| if used { vec![initial; steps] } else { Vec::new() };
        Self {
            op,
            counts: vec![0.0; steps],
            // -0 is what adding does not change.
            first: numbers(matches!(op, Sum | Avg | Min | Max | Stddev | Stdvar), -0.0),
            second: numbers(matches!(op, Sum | Avg | Stddev | Stdvar), 0.0),
            values: if op == Quantile { vec![Vec::new(); steps] } else { Vec::new() },
            incremental: Vec::new(),
            histograms: Vec::new(),
            gathered_bytes: 0,
        }
    }

    pub fn steps(&self) -> usize {
        self.counts.len()
    }

    /// Bytes held, for memory accounting. It is asked for with each row, so that it is no sum over steps.
    pub fn size_bytes(&self) -> usize {
        let floats = self.counts.capacity() + self.first.capacity() + self.second.capacity();
        let steps = self.values.capacity() * size_of::<Vec<f64>>()
            + self.histograms.capacity() * size_of::<HistogramState>()
            + self.incremental.capacity();
        size_of::<Self>() + 8 * floats + steps + self.gathered_bytes
    }

    /// Adds one series. `notes.metric` is its name.
    pub fn update(&mut self, row: &VectorIn<'_>, notes: &Notes<'_>) {
        if row.histograms.is_empty() {
            return self.update_floats(row);
        }
        for k in 0..self.steps() {
            match row.histogram(k) {
                Some(histogram) => self.update_histogram(k, histogram, notes),
                None => {
                    if let Some(value) = row.float(k) {
                        self.add(k, value);
                    }
                }
            }
        }
    }

    fn update_floats(&mut self, row: &VectorIn<'_>) {
        row.present.for_each_run(self.steps(), |steps| match self.histograms.is_empty() {
            true => self.add_run(steps.clone(), &row.values[steps]),
            false => steps.for_each(|k| self.add(k, row.values[k])),
        });
    }

    /// The same as adding one after the other, where there are no histograms: in loops without branches, which the
    /// compiler vectorises.
    fn add_run(&mut self, steps: Range<usize>, values: &[f64]) {
        use AggregateOp::*;
        match self.op {
            Sum => self.add_to_sums(steps, values),
            Avg if self.incremental.is_empty() && !may_overflow(&self.first[steps.clone()], values) => {
                self.add_to_sums(steps, values);
            }
            Min => {
                for ((least, count), value) in
                    self.first[steps.clone()].iter_mut().zip(&mut self.counts[steps]).zip(values)
                {
                    let replace = *count == 0.0 || *least > *value || least.is_nan();
                    *least = if replace { *value } else { *least };
                    *count += 1.0;
                }
            }
            Max => {
                for ((most, count), value) in
                    self.first[steps.clone()].iter_mut().zip(&mut self.counts[steps]).zip(values)
                {
                    let replace = *count == 0.0 || *most < *value || most.is_nan();
                    *most = if replace { *value } else { *most };
                    *count += 1.0;
                }
            }
            Count | Group => self.counts[steps].iter_mut().for_each(|count| *count += 1.0),
            _ => steps.zip(values).for_each(|(k, value)| self.add(k, *value)),
        }
    }

    /// A step's first value: -0 + x is x, and compensates nothing.
    fn add_to_sums(&mut self, steps: Range<usize>, values: &[f64]) {
        add_all_compensated(&mut self.first[steps.clone()], &mut self.second[steps.clone()], values);
        self.counts[steps].iter_mut().for_each(|count| *count += 1.0);
    }

    #[inline]
    fn add(&mut self, k: usize, value: f64) {
        use AggregateOp::*;
        if self.histograms.get(k).is_some_and(|state| state.incompatible) {
            return;
        }
        self.counts[k] += 1.0;
        let seen = self.counts[k] > 1.0;
        match self.op {
            Sum => add_compensated(&mut self.first[k], &mut self.second[k], value),
            Avg if seen => {
                self.counts[k] -= 1.0;
                let mut mean = self.mean(k);
                mean.add(value);
                self.set_mean(k, mean);
            }
            Avg => self.first[k] = value,
            Min if !seen || self.first[k] > value || self.first[k].is_nan() => self.first[k] = value,
            Max if !seen || self.first[k] < value || self.first[k].is_nan() => self.first[k] = value,
            Stddev | Stdvar if seen => {
                let delta = value - self.first[k];
                self.first[k] += delta / self.counts[k];
                self.second[k] += delta * (value - self.first[k]);
            }
            Stddev | Stdvar => {
                self.first[k] = value;
                self.second[k] = if value.is_finite() { 0.0 } else { f64::NAN };
            }
            Quantile => {
                let values = &mut self.values[k];
                let before = values.capacity();
                values.push(value);
                self.gathered_bytes += 8 * (values.capacity() - before);
            }
            _ => {}
        }
    }

    fn mean(&self, k: usize) -> Mean {
        Mean {
            state: KahanSum { sum: self.first[k], compensation: self.second[k] },
            count: self.counts[k],
            incremental: self.incremental.get(k).copied().unwrap_or(false),
        }
    }

    fn set_mean(&mut self, k: usize, mean: Mean) {
        (self.first[k], self.second[k]) = (mean.state.sum, mean.state.compensation);
        self.counts[k] = mean.count;
        if mean.incremental && self.incremental.is_empty() {
            self.incremental = vec![false; self.steps()];
        }
        if let Some(incremental) = self.incremental.get_mut(k) {
            *incremental = mean.incremental;
        }
    }

    fn update_histogram(&mut self, k: usize, histogram: &FloatHistogram, notes: &Notes<'_>) {
        match self.op {
            AggregateOp::Sum | AggregateOp::Avg => {
                let state = HistogramState {
                    mean: Some(HistogramMean::new(histogram)),
                    incompatible: false,
                    reset_seen: histogram.counter_reset_hint == CounterResetHint::Reset,
                    no_reset_seen: histogram.counter_reset_hint == CounterResetHint::NotReset,
                };
                self.merge_histogram(k, state, notes);
            }
            AggregateOp::Count | AggregateOp::Group => self.counts[k] += 1.0,
            op => notes.info(text::histogram_ignored_in_aggregation(op.as_str())),
        }
    }

    fn merge_histogram(&mut self, k: usize, other: HistogramState, notes: &Notes<'_>) {
        if self.histograms.is_empty() {
            self.histograms = vec![HistogramState::default(); self.steps()];
        }
        let before = self.histograms[k].heap_bytes();
        self.merge_state(k, other, notes);
        self.gathered_bytes = (self.gathered_bytes + self.histograms[k].heap_bytes()).saturating_sub(before);
    }

    fn merge_state(&mut self, k: usize, other: HistogramState, notes: &Notes<'_>) {
        let state = &mut self.histograms[k];
        if state.incompatible {
            return;
        }
        state.incompatible = other.incompatible;
        state.reset_seen |= other.reset_seen;
        state.no_reset_seen |= other.no_reset_seen;
        let Some(other) = other.mean else {
            return;
        };
        let Some(mean) = &mut state.mean else {
            state.mean = Some(other);
            return;
        };
        let merged = if self.op == AggregateOp::Sum { mean.merge_as_sum(other) } else { mean.merge(other) };
        match merged {
            Ok(true) => notes.info(text::mismatched_custom_buckets(Operation::Aggregation)),
            Ok(false) => {}
            Err(_) => {
                notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
                state.incompatible = true;
            }
        }
    }

    /// Adds what another accumulator of the same operator has seen of the same group.
    pub fn merge(&mut self, other: Accumulator, notes: &Notes<'_>) {
        for k in 0..self.steps() {
            if other.counts[k] > 0.0 {
                self.merge_floats(k, &other);
            }
        }
        for (values, others) in self.values.iter_mut().zip(other.values) {
            let before = values.capacity();
            values.extend(others);
            self.gathered_bytes += 8 * (values.capacity() - before);
        }
        for (k, state) in other.histograms.into_iter().enumerate() {
            self.merge_histogram(k, state, notes);
        }
    }

    fn merge_floats(&mut self, k: usize, other: &Accumulator) {
        use AggregateOp::*;
        let (count, others) = (self.counts[k], other.counts[k]);
        self.counts[k] += others;
        if count == 0.0 {
            if self.op == Avg {
                self.set_mean(k, other.mean(k));
            } else {
                self.first.get_mut(k).into_iter().zip(other.first.get(k)).for_each(|(to, from)| *to = *from);
                self.second.get_mut(k).into_iter().zip(other.second.get(k)).for_each(|(to, from)| *to = *from);
            }
            return;
        }
        match self.op {
            Sum => {
                add_compensated(&mut self.first[k], &mut self.second[k], other.first[k]);
                add_compensated(&mut self.first[k], &mut self.second[k], other.second[k]);
            }
            Avg => {
                self.counts[k] = count;
                let mut mean = self.mean(k);
                mean.merge(&other.mean(k));
                self.set_mean(k, mean);
            }
            Min if self.first[k] > other.first[k] || self.first[k].is_nan() => self.first[k] = other.first[k],
            Max if self.first[k] < other.first[k] || self.first[k].is_nan() => self.first[k] = other.first[k],
            Stddev | Stdvar => {
                // Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances".
                let delta = other.first[k] - self.first[k];
                let total = count + others;
                self.first[k] += delta * (others / total);
                self.second[k] += other.second[k] + delta * delta * (count * others / total);
            }
            _ => {}
        }
    }

    /// The result of the group. `param` is the quantile; whether that is valid is checked beforehand, see
    /// [`super::select::check_param`].
    pub fn finish(self, param: Option<&Param<'_>>, notes: &Notes<'_>, out: &mut VectorOut<'_>) {
        self.finish_while(param, notes, &|| true, out);
    }

    /// [`Accumulator::finish`], which ends early when nobody wants the result any more: a quantile takes as long as
    /// there are series, at each step.
    pub fn finish_while(
        mut self,
        param: Option<&Param<'_>>,
        notes: &Notes<'_>,
        is_wanted: &dyn Fn() -> bool,
        out: &mut VectorOut<'_>,
    ) {
        use AggregateOp::*;
        out.clear();
        for k in 0..self.steps() {
            if self.op == Quantile && !is_wanted() {
                return;
            }
            if self.finish_histogram(k, notes, out) || self.counts[k] == 0.0 {
                continue;
            }
            let value = match self.op {
                Sum => self.first[k] + self.second[k],
                Avg => self.mean(k).value(),
                Min | Max => self.first[k],
                Stdvar => self.second[k] / self.counts[k],
                Stddev => (self.second[k] / self.counts[k]).sqrt(),
                Quantile => quantile(param.map_or(f64::NAN, |p| p.at(k)), &mut self.values[k]),
                Group => 1.0,
                _ => self.counts[k],
            };
            out.set(k, value);
        }
    }

    /// Whether histograms decide the step: by their own result, or because they make it have none.
    fn finish_histogram(&mut self, k: usize, notes: &Notes<'_>, out: &mut VectorOut<'_>) -> bool {
        let Some(state) = self.histograms.get_mut(k) else {
            return false;
        };
        let Some(mean) = state.mean.take() else {
            return state.incompatible;
        };
        if self.counts[k] > 0.0 {
            notes.warn(text::mixed_floats_histograms_aggregation());
            return true;
        }
        if state.incompatible {
            return true;
        }
        if state.reset_seen && state.no_reset_seen {
            notes.warn(text::counter_reset_collision(Operation::Aggregation));
        }
        let mut result = if self.op == AggregateOp::Sum { mean.state.finish() } else { mean.mean() };
        result.compact(0);
        out.set_value(k, result.into());
        true
    }
}

/// Whether a sum would become infinite, or is.
fn may_overflow(sums: &[f64], values: &[f64]) -> bool {
    sums.iter().zip(values).fold(false, |any, (sum, value)| any | (sum + value).is_infinite())
}

#[multiversion(targets("x86_64+avx2"))]
fn add_all_compensated(sums: &mut [f64], compensations: &mut [f64], values: &[f64]) {
    for ((sum, compensation), value) in sums.iter_mut().zip(compensations).zip(values) {
        add_compensated(sum, compensation, *value);
    }
}

#[inline(always)]
fn add_compensated(sum: &mut f64, compensation: &mut f64, value: f64) {
    let mut state = KahanSum { sum: *sum, compensation: *compensation };
    state.add(value);
    (*sum, *compensation) = (state.sum, state.compensation);
}

//! Addition, subtraction and scaling of histograms.

use super::sum::HistogramSum;
use super::{CounterResetHint, FloatHistogram};

/// One histogram has exponential buckets, the other custom ones; they cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompatibleSchemas;

impl std::fmt::Display for IncompatibleSchemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")
    }
}

impl std::error::Error for IncompatibleSchemas {}

/// What a combination had to gloss over; callers turn it into annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One side says "counter reset", the other "no counter reset".
    pub reset_conflict: bool,
    /// Custom bounds differed and were reduced to those both have.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds `other`. Schema, zero bucket and custom bounds are reconciled to the coarser of the two. The layout
    /// of the result may hold empty buckets; see [`FloatHistogram::compact`].
    pub fn add(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`, with the rules of [`FloatHistogram::add`]. The hint is combined as by addition; the
    /// `-` operator marks its result as a gauge afterwards.
    pub fn sub(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combined, IncompatibleSchemas> {
        if self.same_layout(other) {
            let reset_conflict = combine_hints(&mut self.counter_reset_hint, other.counter_reset_hint);
            self.zero_count += sign * other.zero_count;
            self.count += sign * other.count;
            self.sum += sign * other.sum;
            add_slice(&mut self.positive_buckets, &other.positive_buckets, sign);
            add_slice(&mut self.negative_buckets, &other.negative_buckets, sign);
            return Ok(Combined { reset_conflict, bounds_reconciled: false });
        }
        let mut sum = HistogramSum::new(self);
        let combined = sum.add_signed(other, sign)?;
        *self = sum.finish();
        Ok(combined)
    }

    /// Same buckets at the same places, so that counts can be combined one by one.
    fn same_layout(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && self.positive_buckets.len() == other.positive_buckets.len()
            && self.negative_buckets.len() == other.negative_buckets.len()
            && self.custom_values == other.custom_values
    }

    /// Multiplies counts and sum. A negative factor makes it a gauge.
    pub fn mul(&mut self, factor: f64) -> &mut Self {
        self.for_each_number(|number| *number *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
        self
    }

    /// Divides counts and sum. Division by zero removes the buckets.
    pub fn div(&mut self, divisor: f64) -> &mut Self {
        self.for_each_number(|number| *number /= divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
        self
    }

    fn for_each_number(&mut self, mut change: impl FnMut(&mut f64)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive_buckets.iter_mut().for_each(&mut change);
        self.negative_buckets.iter_mut().for_each(&mut change);
    }
}

fn add_slice(left: &mut [f64], right: &[f64], sign: f64) {
    for (left, right) in left.iter_mut().zip(right) {
        *left += sign * right;
    }
}

/// The hint of a sum: a gauge is contagious, then unknown; reset against no reset is a conflict (`true`) and
/// unknown as well.
pub(super) fn combine_hints(hint: &mut CounterResetHint, other: CounterResetHint) -> bool {
    use CounterResetHint::{Gauge, Unknown};
    let (result, conflict) = match (*hint, other) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    };
    *hint = result;
    conflict
}

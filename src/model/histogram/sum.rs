//! A sum of many histograms with compensated summation in every number.

use super::arithmetic::{Combined, IncompatibleSchemas, combine_hints};
use super::bounds::{exponential_bound, reduced_index};
use super::{CounterResetHint, FloatHistogram, Indexed, Side};
use crate::model::kahan::KahanSum;

/// Buckets of one side as `(index, running sum)`, in index order.
type SumSide = Vec<(i32, KahanSum)>;

/// The running sum. Schema, zero bucket and custom bounds become the coarsest of all that was added.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: KahanSum,
    count: KahanSum,
    sum: KahanSum,
    positive: SumSide,
    negative: SumSide,
    custom_values: Vec<f64>,
}

impl HistogramSum {
    pub fn new(first: &FloatHistogram) -> Self {
        let side = |buckets: Indexed<'_>| buckets.map(|(i, c)| (i, KahanSum::new(c))).collect();
        Self {
            hint: first.counter_reset_hint,
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            zero: KahanSum::new(first.zero_count),
            count: KahanSum::new(first.count),
            sum: KahanSum::new(first.sum),
            positive: side(first.positive()),
            negative: side(first.negative()),
            custom_values: first.custom_values.clone(),
        }
    }

    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, IncompatibleSchemas> {
        self.add_signed(other, 1.0)
    }

    pub(super) fn add_signed(
        &mut self,
        other: &FloatHistogram,
        sign: f64,
    ) -> Result<Combined, IncompatibleSchemas> {
        let mut other = Self::new(other);
        if sign < 0.0 {
            other.for_each_number(|number| number.scale(-1.0));
        }
        self.merge(other)
    }

    /// Adds another running sum.
    pub fn merge(&mut self, mut other: Self) -> Result<Combined, IncompatibleSchemas> {
        let custom = self.schema == super::CUSTOM_BUCKETS_SCHEMA;
        if custom != (other.schema == super::CUSTOM_BUCKETS_SCHEMA) {
            return Err(IncompatibleSchemas);
        }
        let reset_conflict = combine_hints(&mut self.hint, other.hint);
        let mut bounds_reconciled = false;
        if custom {
            if self.custom_values != other.custom_values {
                bounds_reconciled = true;
                let common = common_bounds(&self.custom_values, &other.custom_values);
                self.move_to_bounds(&common);
                other.move_to_bounds(&common);
            }
        } else {
            reconcile_zero_buckets(self, &mut other);
            let schema = self.schema.min(other.schema);
            self.reduce_resolution(schema);
            other.reduce_resolution(schema);
        }
        self.zero.merge(&other.zero);
        self.count.merge(&other.count);
        self.sum.merge(&other.sum);
        merge_side(&mut self.positive, other.positive);
        merge_side(&mut self.negative, other.negative);
        Ok(Combined { reset_conflict, bounds_reconciled })
    }

    pub fn scale(&mut self, factor: f64) {
        self.for_each_number(|number| number.scale(factor));
    }

    pub fn divide(&mut self, divisor: f64) {
        self.for_each_number(|number| number.divide(divisor));
    }

    /// Whether a number has overflowed to infinity, which it does not come back from.
    pub fn has_overflow(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, number)| number);
        [&self.zero, &self.count, &self.sum].into_iter().chain(buckets).any(|number| number.sum.is_infinite())
    }

    /// The sum as a histogram; it may hold empty buckets.
    pub fn finish(self) -> FloatHistogram {
        let side = |buckets: SumSide| Side::collect(buckets.into_iter().map(|(i, number)| (i, number.value())));
        let (positive, negative) = (side(self.positive), side(self.negative));
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans: positive.spans,
            positive_buckets: positive.counts,
            negative_spans: negative.spans,
            negative_buckets: negative.counts,
            custom_values: self.custom_values,
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * size_of::<(i32, KahanSum)>()
            + self.custom_values.capacity() * size_of::<f64>()
    }

    /// Sums and compensations as two histograms of one layout, to be stored; see [`HistogramSum::from_parts`].
    pub fn parts(&self) -> (FloatHistogram, FloatHistogram) {
        let part = |number: fn(&KahanSum) -> f64| {
            let side = |buckets: &SumSide| Side::collect(buckets.iter().map(|(i, sum)| (*i, number(sum))));
            let (positive, negative) = (side(&self.positive), side(&self.negative));
            FloatHistogram {
                counter_reset_hint: self.hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: number(&self.zero),
                count: number(&self.count),
                sum: number(&self.sum),
                positive_spans: positive.spans,
                positive_buckets: positive.counts,
                negative_spans: negative.spans,
                negative_buckets: negative.counts,
                custom_values: self.custom_values.clone(),
            }
        };
        (part(|number| number.sum), part(|number| number.compensation))
    }

    /// The inverse of [`HistogramSum::parts`].
    pub fn from_parts(sums: &FloatHistogram, compensations: &FloatHistogram) -> Self {
        let mut sum = Self::new(sums);
        sum.zero.compensation = compensations.zero_count;
        sum.count.compensation = compensations.count;
        sum.sum.compensation = compensations.sum;
        let pairs = sum.positive.iter_mut().zip(&compensations.positive_buckets);
        let negative_pairs = sum.negative.iter_mut().zip(&compensations.negative_buckets);
        for ((_, number), compensation) in pairs.chain(negative_pairs) {
            number.compensation = *compensation;
        }
        sum
    }

    fn for_each_number(&mut self, mut change: impl FnMut(&mut KahanSum)) {
        change(&mut self.zero);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, number)| change(number));
    }

    fn reduce_resolution(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            side.iter_mut().for_each(|(index, _)| *index = reduced_index(*index, self.schema, schema));
            join_equal_indices(side);
        }
        self.schema = schema;
    }

    /// Moves custom buckets to a subset of their bounds.
    fn move_to_bounds(&mut self, bounds: &[f64]) {
        for (index, _) in &mut self.positive {
            let upper = usize::try_from(*index).ok().and_then(|i| self.custom_values.get(i));
            *index = match upper {
                Some(upper) => bounds.partition_point(|b| b < upper) as i32,
                None => bounds.len() as i32,
            };
        }
        join_equal_indices(&mut self.positive);
        self.custom_values = bounds.to_vec();
    }

    /// Widens the zero bucket to `threshold`, or further to the end of a populated bucket it would cut, and
    /// moves what it covers into it.
    fn widen_zero_bucket(&mut self, threshold: f64) {
        self.zero_threshold = covering_threshold(threshold, self.schema, &self.positive, &self.negative);
        let (threshold, schema) = (self.zero_threshold, self.schema);
        for side in [&mut self.positive, &mut self.negative] {
            let covered =
                side.iter().take_while(|(i, _)| exponential_bound(i.wrapping_sub(1), schema) < threshold).count();
            for (_, number) in side.drain(..covered) {
                self.zero.merge(&number);
            }
        }
    }
}

/// Widens both zero buckets until they are equal.
fn reconcile_zero_buckets(left: &mut HistogramSum, right: &mut HistogramSum) {
    // Ends: every round takes at least one bucket away from a side. NaN thresholds never compare greater.
    while left.zero_threshold != right.zero_threshold {
        if left.zero_threshold > right.zero_threshold {
            right.widen_zero_bucket(left.zero_threshold);
        } else if right.zero_threshold > left.zero_threshold {
            left.widen_zero_bucket(right.zero_threshold);
        } else {
            break;
        }
    }
}

/// The smallest threshold from `threshold` on that no populated bucket lies across.
fn covering_threshold(mut threshold: f64, schema: i32, positive: &SumSide, negative: &SumSide) -> f64 {
    loop {
        let cut = positive.iter().chain(negative).find(|(index, number)| {
            number.sum != 0.0
                && exponential_bound(index.wrapping_sub(1), schema) < threshold
                && exponential_bound(*index, schema) > threshold
        });
        match cut {
            Some((index, _)) => threshold = exponential_bound(*index, schema),
            None => return threshold,
        }
    }
}

impl FloatHistogram {
    /// The histogram with its zero bucket widened to at least `threshold`.
    pub(super) fn with_wider_zero_bucket(&self, threshold: f64) -> FloatHistogram {
        let mut sum = HistogramSum::new(self);
        sum.widen_zero_bucket(threshold);
        sum.finish()
    }

    /// Both histograms with custom buckets on the bounds they have in common.
    pub(super) fn on_common_bounds(&self, other: &FloatHistogram) -> (FloatHistogram, FloatHistogram) {
        let common = common_bounds(&self.custom_values, &other.custom_values);
        let moved = |histogram: &FloatHistogram| {
            let mut sum = HistogramSum::new(histogram);
            sum.move_to_bounds(&common);
            sum.finish()
        };
        (moved(self), moved(other))
    }
}

fn common_bounds(left: &[f64], right: &[f64]) -> Vec<f64> {
    let in_right = |bound: &f64| right.get(right.partition_point(|b| b < bound)) == Some(bound);
    left.iter().copied().filter(in_right).collect()
}

fn join_equal_indices(side: &mut SumSide) {
    side.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1.merge(&next.1);
        }
        same
    });
}

fn merge_side(left: &mut SumSide, right: SumSide) {
    let aligned = left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| l.0 == r.0);
    if aligned {
        left.iter_mut().zip(&right).for_each(|(l, r)| l.1.merge(&r.1));
        return;
    }
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut old = std::mem::take(left).into_iter().peekable();
    for (index, number) in right {
        while let Some(earlier) = old.next_if(|(i, _)| *i < index) {
            merged.push(earlier);
        }
        match old.next_if(|(i, _)| *i == index) {
            Some((_, mut kept)) => {
                kept.merge(&number);
                merged.push((index, kept));
            }
            None => merged.push((index, number)),
        }
    }
    merged.extend(old);
    *left = merged;
}

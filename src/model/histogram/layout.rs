//! The layout of buckets: canonical form, lower resolution, and equality.

use super::bounds::reduced_index;
use super::{FloatHistogram, Indexed, Side, Span};

impl FloatHistogram {
    /// Removes empty buckets, except runs of at most `max_empty` between populated ones, and joins spans that
    /// are at most that far apart.
    pub fn compact(&mut self, max_empty: u32) -> &mut Self {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, max_empty);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, max_empty);
        self
    }

    /// Merges buckets to a lower exponential schema; nothing happens if the schema is not lower, or for custom
    /// buckets.
    pub fn reduce_resolution(&mut self, schema: i32) -> &mut Self {
        if self.uses_custom_buckets() || schema >= self.schema {
            return self;
        }
        let from = self.schema;
        let reduce =
            |buckets: Indexed<'_>| Side::collect(buckets.map(|(i, c)| (reduced_index(i, from, schema), c)));
        let (positive, negative) = (reduce(self.positive()), reduce(self.negative()));
        (self.positive_spans, self.positive_buckets) = (positive.spans, positive.counts);
        (self.negative_spans, self.negative_buckets) = (negative.spans, negative.counts);
        self.schema = schema;
        self
    }

    /// Equality of data: same schema, bounds, layout (but for spans without buckets) and bit-identical numbers.
    /// The counter reset hint is no part of it.
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && same_side(self.positive(), other.positive())
            && same_side(self.negative(), other.negative())
    }
}

fn same_side(left: Indexed<'_>, right: Indexed<'_>) -> bool {
    let bits = |(index, count): (i32, f64)| (index, count.to_bits());
    left.map(bits).eq(right.map(bits))
}

fn compact_side(spans: &mut Vec<Span>, counts: &mut Vec<f64>, max_empty: u32) {
    let max_empty = i64::from(max_empty);
    let canonical = counts.iter().all(|c| *c != 0.0)
        && spans.iter().all(|s| s.length > 0)
        && spans.iter().skip(1).all(|s| i64::from(s.offset) > max_empty);
    if canonical {
        return;
    }
    let mut side = Side::default();
    let mut previous: Option<i32> = None;
    for (index, count) in Indexed::new(spans, counts).filter(|(_, count)| *count != 0.0) {
        if let Some(previous) = previous {
            let gap = i64::from(index) - i64::from(previous) - 1;
            if (1..=max_empty).contains(&gap) {
                (previous + 1..index).for_each(|empty| side.push(empty, 0.0));
            }
        }
        side.push(index, count);
        previous = Some(index);
    }
    (*spans, *counts) = (side.spans, side.counts);
}

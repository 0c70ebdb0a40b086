//! Buckets with their bounds, in the order a reader wants them.

use super::bounds::bound;
use super::{FloatHistogram, Indexed};

/// A bucket; `index` tells it apart from others of its side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
    pub index: i32,
}

impl Bucket {
    /// How much of the bucket's width lies at or below `value`, which is strictly inside its finite bounds.
    /// Exponential buckets are even on a logarithmic scale.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = value.abs().log2();
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

/// Which side of zero buckets are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Positive,
    Negative,
}

impl FloatHistogram {
    fn bucket(&self, sign: Sign, index: i32, count: f64) -> Bucket {
        let outer = bound(index, self.schema, &self.custom_values);
        let inner = bound(index.wrapping_sub(1), self.schema, &self.custom_values);
        let (lower, upper) = match sign {
            Sign::Positive => (inner, outer),
            Sign::Negative => (-outer, -inner),
        };
        let (lower_inclusive, upper_inclusive) =
            if self.uses_custom_buckets() { (index == 0, true) } else { (lower < 0.0, upper > 0.0) };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
    }

    fn side(&self, sign: Sign) -> Indexed<'_> {
        match sign {
            Sign::Positive => self.positive(),
            Sign::Negative => self.negative(),
        }
    }

    /// The buckets of one side, away from zero.
    pub fn buckets(&self, sign: Sign) -> impl Iterator<Item = Bucket> + '_ {
        self.side(sign).map(move |(index, count)| self.bucket(sign, index, count))
    }

    /// The zero bucket; histograms with custom buckets have none.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets in ascending order, the zero bucket if it is populated. A bucket that reaches into the zero
    /// bucket ends at its threshold.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let negative: Vec<_> = self.buckets(Sign::Negative).collect();
        let mut all = Vec::with_capacity(negative.len() + 1 + self.positive_buckets.len());
        all.extend(negative.into_iter().rev());
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        all.extend(self.buckets(Sign::Positive));
        for bucket in &mut all {
            if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
                bucket.lower = self.zero_threshold;
            } else if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
                bucket.upper = -self.zero_threshold;
            }
        }
        all
    }
}

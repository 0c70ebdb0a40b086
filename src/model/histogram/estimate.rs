//! Estimates from buckets: quantile, fraction, mean and variance.

use super::FloatHistogram;
use super::buckets::Bucket;
use crate::model::kahan::KahanSum;

/// What the reader of a quantile should know about NaN observations in the histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantileNote {
    /// The quantile falls among the NaN observations.
    ResultIsNan,
    /// NaN observations count as larger than all others.
    SkewedHigher,
}

impl FloatHistogram {
    /// The mean of all observations.
    pub fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// The `q`-quantile. Exponential buckets are interpolated on a logarithmic scale, the zero bucket and custom
    /// buckets linearly. NaN without observations; -Inf and +Inf for `q` outside of 0..=1.
    pub fn quantile(&self, q: f64) -> (f64, Option<QuantileNote>) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, None);
        }
        if q > 1.0 {
            return (f64::INFINITY, None);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, None);
        }
        // From the nearer end, since rounding errors add up; NaN observations (which only the sum tells) are
        // in no bucket and count as beyond the highest.
        let forward = self.sum.is_nan() || q < 0.5;
        let buckets = self.all_buckets();
        let mut rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let (mut bucket, mut count) =
            if forward { find_rank(buckets.iter(), rank) } else { find_rank(buckets.iter().rev(), rank) };
        if let Some(edge) = self.assume_bounds(&mut bucket) {
            return (edge, None);
        }
        count = count.min(self.count);
        if count < rank {
            if self.sum.is_nan() {
                return (f64::NAN, Some(QuantileNote::ResultIsNan));
            }
            return (bucket.upper, None);
        }
        rank = if forward { rank - (count - bucket.count) } else { count - rank };
        let in_buckets: f64 = buckets.iter().map(|b| b.count).sum();
        let skewed = self.sum.is_nan() && in_buckets < self.count;
        let value = interpolate(&bucket, rank / bucket.count, self.uses_custom_buckets());
        (value, skewed.then_some(QuantileNote::SkewedHigher))
    }

    /// Narrows the bounds of the bucket a quantile falls into to what is plausible; `Some` is the result itself
    /// where a custom bucket is unbounded.
    fn assume_bounds(&self, bucket: &mut Bucket) -> Option<f64> {
        if self.uses_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return Some(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return Some(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.cut_at_zero(bucket);
        }
        None
    }

    /// A bucket around zero ends at zero on the side where the histogram has no other buckets.
    fn cut_at_zero(&self, bucket: &mut Bucket) {
        match (self.negative_buckets.is_empty(), self.positive_buckets.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// The fraction of observations between two values; `true` if NaN observations are excluded from it.
    pub fn fraction(&self, lower: f64, upper: f64) -> (f64, bool) {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return (f64::NAN, false);
        }
        if lower >= upper {
            return (0.0, false);
        }
        let buckets = self.all_buckets();
        let (mut count, mut nan_excluded) = (self.count, false);
        if self.sum.is_nan() {
            count = buckets.iter().map(|b| b.count).sum();
            nan_excluded = count < self.count;
        }
        let rank_below =
            |value: f64| self.rank_below(&buckets, value).filter(|rank| *rank <= count).unwrap_or(count);
        ((rank_below(upper) - rank_below(lower)) / self.count, nan_excluded)
    }

    /// How many observations lie below a value; `None` if it is above all buckets.
    fn rank_below(&self, buckets: &[Bucket], value: f64) -> Option<f64> {
        let mut rank = 0.0;
        for bucket in buckets {
            let mut bucket = *bucket;
            let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if around_zero {
                self.cut_at_zero(&mut bucket);
            }
            if bucket.lower >= value {
                return Some(rank);
            }
            if bucket.upper > value {
                let linear = self.uses_custom_buckets() || around_zero;
                if linear && bucket.lower == f64::NEG_INFINITY {
                    return Some(bucket.count);
                }
                return Some(rank + bucket.count * bucket.fraction_below(value, linear));
            }
            rank += bucket.count;
        }
        None
    }

    /// The estimated variance of the observations, which are taken to lie in the middle of their buckets
    /// (geometric for exponential ones).
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        let mut variance = KahanSum::default();
        for bucket in self.all_buckets().iter().filter(|b| b.count != 0.0) {
            let value = if self.uses_custom_buckets() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                let middle = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let delta = value - mean;
            variance.add(bucket.count * delta * delta);
        }
        variance.value() / self.count
    }
}

/// The bucket in which the running count reaches `rank`, and that count.
fn find_rank<'a>(buckets: impl Iterator<Item = &'a Bucket>, rank: f64) -> (Bucket, f64) {
    let nothing =
        Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };
    let (mut last, mut count) = (nothing, 0.0);
    for bucket in buckets {
        last = *bucket;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (last, count)
}

fn interpolate(bucket: &Bucket, fraction: f64, custom: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if custom || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

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
        exp2(log_lower + (log_upper - log_lower) * fraction)
    } else {
        -exp2(log_upper + (log_lower - log_upper) * (1.0 - fraction))
    }
}

/// 2 to a power as Go's `math.Exp2` computes it (after FreeBSD's `e_exp.c`), which is off by a last bit now and then: results
/// are compared with those of Prometheus exactly, in tests of rules for one.
fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    if !(-1074.0..=1_023.999_999_999_999_9).contains(&x) {
        return x.exp2();
    }
    let whole = (x + 0.5_f64.copysign(x)).trunc();
    let rest = x - whole;
    let (high, low) = (rest * LN2_HIGH, -rest * LN2_LOW);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    // In two steps, of which the first is exact: 2^1024 is no float.
    let half = (whole / 2.0).trunc();
    y * half.exp2() * (whole - half).exp2()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

    use super::exp2;

    /// Medians of one bucket that Prometheus 3.5.3 gives, and powers that are exact.
    #[test]
    fn powers_of_two() {
        let check = |x: f64, power: f64| assert_eq!(exp2(x).to_bits(), power.to_bits(), "{x}");
        check(0.5, SQRT_2.next_down());
        check(1.5, 2.82842712474619);
        check(-0.5, FRAC_1_SQRT_2.next_down());
        for whole in [-1074, -1073, -1023, -1022, -1, 0, 1, 10, 1023] {
            check(f64::from(whole), f64::from(whole).exp2());
        }
        check(1024.0, f64::INFINITY);
        check(f64::NEG_INFINITY, 0.0);
        assert!(exp2(f64::NAN).is_nan() && exp2(1023.999).is_finite());
    }
}

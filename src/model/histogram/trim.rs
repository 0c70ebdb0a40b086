//! The trim operators `</` and `>/`: the part of a histogram on one side of a value.

use super::FloatHistogram;
use super::buckets::{Bucket, Sign};

/// Which part is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

/// What is left of a bucket: a count, and where its observations are assumed to lie.
struct Rest {
    count: f64,
    middle: f64,
}

impl FloatHistogram {
    /// Removes the observations on the other side of `at`, interpolating inside the bucket it falls into. If
    /// anything was removed, count and sum are estimated anew from the buckets.
    pub fn trim(&mut self, at: f64, keep: Keep) -> &mut Self {
        let custom = self.uses_custom_buckets();
        let mut total = Rest { count: 0.0, middle: 0.0 };
        let (mut sum, mut changed) = (0.0, false);
        let mut populated = [false, false];
        for (side, sign) in [Sign::Positive, Sign::Negative].into_iter().enumerate() {
            let rests: Vec<_> = self.buckets(sign).map(|b| (b.count, rest_of(b, at, keep, sign, custom))).collect();
            let counts = match sign {
                Sign::Positive => &mut self.positive_buckets,
                Sign::Negative => &mut self.negative_buckets,
            };
            for (count, (before, rest)) in counts.iter_mut().zip(rests) {
                if before == 0.0 {
                    continue;
                }
                populated[side] = true;
                changed |= rest.count != before;
                *count = rest.count;
                total.count += rest.count;
                sum += rest.middle * rest.count;
            }
        }
        if self.zero_count > 0.0 {
            let [has_positive, has_negative] = populated;
            let rest = rest_of_zero_bucket(self.zero_bucket(), at, keep, has_positive, has_negative);
            changed |= rest.count != self.zero_count;
            self.zero_count = rest.count;
            total.count += rest.count;
            sum += rest.middle * rest.count;
        }
        if changed {
            self.count = total.count;
            self.sum = sum;
            self.compact(0);
        }
        self
    }
}

fn rest_of(bucket: Bucket, at: f64, keep: Keep, sign: Sign, custom: bool) -> Rest {
    let (whole, part) = match keep {
        Keep::Below => (bucket.upper <= at, bucket.lower < at),
        Keep::Above => (bucket.lower >= at, bucket.upper > at),
    };
    if whole {
        return Rest { count: bucket.count, middle: middle(bucket.lower, bucket.upper, sign, custom) };
    }
    if !part {
        return Rest { count: 0.0, middle: 0.0 };
    }
    if bucket.lower == f64::NEG_INFINITY {
        return rest_of_lowest(bucket, at, keep);
    }
    if bucket.upper == f64::INFINITY {
        // How observations are spread up to infinity is unknown: none count as below, all as above.
        return match keep {
            Keep::Below => Rest { count: 0.0, middle: 0.0 },
            Keep::Above => Rest { count: bucket.count, middle: at },
        };
    }
    let below = bucket.count * bucket.fraction_below(at, custom);
    match keep {
        Keep::Below => Rest { count: below, middle: middle(bucket.lower, at, sign, custom) },
        Keep::Above => Rest { count: bucket.count - below, middle: middle(at, bucket.upper, sign, custom) },
    }
}

/// The custom bucket that begins at `-Inf`: taken to begin at 0 if it ends above, otherwise indivisible.
fn rest_of_lowest(bucket: Bucket, at: f64, keep: Keep) -> Rest {
    let divisible = bucket.upper > 0.0 && bucket.upper.is_finite();
    match keep {
        Keep::Below if divisible && at > 0.0 => Rest { count: bucket.count * at / bucket.upper, middle: at / 2.0 },
        Keep::Below if bucket.upper <= 0.0 => Rest { count: bucket.count, middle: at },
        Keep::Above if divisible && at >= 0.0 => {
            Rest { count: bucket.count * (1.0 - at / bucket.upper), middle: (at + bucket.upper) / 2.0 }
        }
        _ => Rest { count: 0.0, middle: 0.0 },
    }
}

/// The zero bucket is linear, and ends at 0 on a side where the histogram has no observations.
fn rest_of_zero_bucket(bucket: Bucket, at: f64, keep: Keep, has_positive: bool, has_negative: bool) -> Rest {
    let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
    let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
    let all = Rest { count: bucket.count, middle: (lower + upper) / 2.0 };
    let nothing = Rest { count: 0.0, middle: 0.0 };
    match keep {
        Keep::Below if at <= lower => nothing,
        Keep::Below if at >= upper => all,
        Keep::Below => Rest { count: bucket.count * ((at - lower) / (upper - lower)), middle: (lower + at) / 2.0 },
        Keep::Above if at <= lower => all,
        Keep::Above if at >= upper => nothing,
        Keep::Above => Rest { count: bucket.count * ((upper - at) / (upper - lower)), middle: (at + upper) / 2.0 },
    }
}

/// The value that stands for the observations between two bounds.
fn middle(lower: f64, upper: f64, sign: Sign, custom: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if custom => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if sign == Sign::Positive { mean } else { -mean }
        }
    }
}

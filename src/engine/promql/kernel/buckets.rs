//! Classic histograms: series of cumulative buckets that differ in their `le` label.

use super::native::{fraction_of, quantile_of};
use super::quantile::is_invalid;
use super::types::{Notes, Param, VectorIn, VectorOut};
use crate::engine::promql::annotations::text;
use crate::engine::promql::annotations::{Annotations, Detail, Level, Monotonicity};
use crate::model::float;
use crate::promql::span::Span;

/// A cumulative bucket at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub upper_bound: f64,
    pub count: f64,
}

/// One series of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub struct BucketRow<'a> {
    pub upper_bound: f64,
    pub counts: VectorIn<'a>,
}

/// What has the same labels but `le`: classic buckets, sorted by bound, and the native histogram, if any.
#[derive(Clone, Copy, Debug)]
pub struct HistogramRows<'a> {
    pub classic: &'a [BucketRow<'a>],
    pub native: Option<VectorIn<'a>>,
}

/// When steps are, for annotations.
#[derive(Clone, Copy, Debug)]
pub struct EvalTimes {
    pub start: i64,
    pub step: i64,
}

/// The bound of an `le` label. A missing or malformed one is warned of, and its series is left out; call it for
/// series that have a float at some step.
pub fn parse_bound(le: &str, notes: &Notes<'_>) -> Option<f64> {
    let bound = float::parse(le);
    if bound.is_none() {
        notes.warn(text::bad_bucket_label(notes.metric, le));
    }
    bound
}

/// Warns of quantiles outside of 0..=1; once a query, as the warning does not depend on data.
pub fn check_quantiles(q: &Param<'_>, annotations: &Annotations, at: Span) {
    let check = |q: f64| {
        if is_invalid(q) {
            annotations.warn(text::invalid_quantile(q), at);
        }
    };
    match q {
        Param::Constant(q) => check(*q),
        Param::Steps(values) => values.iter().for_each(|q| check(*q)),
    }
}

/// The label value `histogram_quantiles` gives to the series of a quantile.
pub fn quantile_label(q: f64) -> String {
    float::format_open_metrics(q)
}

/// `histogram_quantile` of one set of labels.
pub fn quantile(
    q: &Param<'_>,
    rows: &HistogramRows<'_>,
    times: EvalTimes,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) {
    for_each_step(rows, notes, out, |k, input| match input {
        Input::Native(histogram) => quantile_of(q.at(k), histogram, notes),
        Input::Classic(buckets) => {
            let (value, forced) = bucket_quantile(q.at(k), buckets);
            if let Some(forced) = forced {
                let time = times.start.saturating_add(times.step.saturating_mul(k as i64));
                let detail = Monotonicity { first: time, last: time, ..forced };
                notes.annotations.add_detailed(
                    Level::Info,
                    text::forced_monotonicity(notes.metric),
                    notes.arg_span,
                    Detail::Monotonicity(detail),
                );
            }
            value
        }
    });
}

/// `histogram_fraction` of one set of labels.
pub fn fraction(
    lower: &Param<'_>,
    upper: &Param<'_>,
    rows: &HistogramRows<'_>,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) {
    for_each_step(rows, notes, out, |k, input| match input {
        Input::Native(histogram) => fraction_of(lower.at(k), upper.at(k), histogram, notes),
        Input::Classic(buckets) => bucket_fraction(lower.at(k), upper.at(k), buckets),
    });
}

enum Input<'a> {
    Native(&'a crate::model::histogram::FloatHistogram),
    Classic(&'a mut Vec<Bucket>),
}

/// Calls `evaluate` for steps that have either buckets or a native histogram; both at once are warned of.
fn for_each_step(
    rows: &HistogramRows<'_>,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
    mut evaluate: impl FnMut(usize, Input<'_>) -> f64,
) {
    out.clear();
    let mut buckets = Vec::with_capacity(rows.classic.len());
    for k in 0..out.values.len() {
        buckets.clear();
        buckets.extend(rows.classic.iter().filter_map(|row| {
            let count = row.counts.histogram(k).is_none().then(|| row.counts.float(k)).flatten()?;
            Some(Bucket { upper_bound: row.upper_bound, count })
        }));
        let native = rows.native.as_ref().and_then(|native| native.histogram(k));
        let input = match (buckets.is_empty(), native) {
            (true, None) => continue,
            (true, Some(histogram)) => Input::Native(histogram),
            (false, None) => Input::Classic(&mut buckets),
            (false, Some(_)) => {
                notes.warn(text::mixed_classic_native_histograms(notes.metric));
                continue;
            }
        };
        out.set(k, evaluate(k, input));
    }
}

/// The `q`-quantile of cumulative buckets in ascending order, interpolated linearly inside of a bucket. NaN
/// without observations, without a `+Inf` bucket or with that alone. The second value tells of counts that
/// decreased and were raised (with times left 0).
pub fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Monotonicity>) {
    if q.is_nan() || buckets.is_empty() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !normalize(buckets) {
        return (f64::NAN, None);
    }
    let forced = force_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * observations;
    // A NaN count is not "at least" the rank, as in Prometheus' search.
    let found = buckets[..last].partition_point(|b| b.count < rank || b.count.is_nan() || rank.is_nan());
    let value = if found == last {
        buckets[last - 1].upper_bound
    } else if found == 0 && buckets[0].upper_bound <= 0.0 {
        buckets[0].upper_bound
    } else {
        let bucket = buckets[found];
        let (start, below) = match found {
            0 => (0.0, 0.0),
            _ => (buckets[found - 1].upper_bound, buckets[found - 1].count),
        };
        start + (bucket.upper_bound - start) * ((rank - below) / (bucket.count - below))
    };
    (value, forced)
}

/// The fraction of observations between two values, by the same interpolation.
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.is_empty() || !normalize(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| rank_below(value, buckets).filter(|rank| *rank <= count).unwrap_or(count);
    (rank(upper) - rank(lower)) / count
}

/// How many observations lie below a value; `None` if it is above all buckets.
fn rank_below(value: f64, buckets: &[Bucket]) -> Option<f64> {
    // Observations are taken to be positive if the lowest bucket ends above 0.
    let mut start = if buckets[0].upper_bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if start >= value {
            return Some(rank);
        }
        if bucket.upper_bound > value {
            if start == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(rank + (bucket.count - rank) * (value - start) / (bucket.upper_bound - start));
        }
        start = bucket.upper_bound;
        rank = bucket.count;
    }
    None
}

/// Sorts by bound and adds up buckets with equal bounds; `false` if the highest is not `+Inf`.
fn normalize(buckets: &mut Vec<Bucket>) -> bool {
    if !buckets.is_sorted_by(|a, b| a.upper_bound <= b.upper_bound) {
        buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
    }
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper_bound == kept.upper_bound;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Relative differences below this are rounding errors.
const SMALL_DELTA: f64 = 1e-12;

/// Raises counts that are below those of lower buckets. Rounding errors are evened out silently, in both
/// directions.
fn force_monotonic(buckets: &mut [Bucket]) -> Option<Monotonicity> {
    let mut forced: Option<Monotonicity> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let nothing = Monotonicity {
                first: 0,
                last: 0,
                min_bound: f64::INFINITY,
                max_bound: f64::NEG_INFINITY,
                max_difference: 0.0,
                samples: 1,
            };
            let forced = forced.get_or_insert(nothing);
            forced.min_bound = forced.min_bound.min(bucket.upper_bound);
            forced.max_bound = forced.max_bound.max(bucket.upper_bound);
            forced.max_difference = forced.max_difference.max(previous - count);
        } else {
            previous = count;
        }
    }
    forced
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

//! Histograms of OTLP → native ones: exponential buckets at up to schema 8, bounds of their own as custom buckets.

use crate::ingest::otlp::labels::Refusal;
use crate::ingest::otlp::message::{Buckets, ExponentialPoint, HistogramPoint, MAX_ITEMS, Unreadable};
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, EXPONENTIAL_SCHEMAS, FloatHistogram, Span};
use crate::model::sample::STALE_NAN;

/// OTLP's senders have a zero bucket for exact zeros alone, and say no threshold.
const ZERO_THRESHOLD: f64 = 1e-128;

/// A gap of more empty buckets than this begins another span.
const MOST_EMPTY: i64 = 2;

/// A native histogram, and whether it has observations in its sum and none in its count.
pub type Converted = (FloatHistogram, bool);

/// Of an exponential histogram. A finer scale than 8 is reduced, one coarser than -4 cannot be represented.
pub fn of_exponential(point: &ExponentialPoint<'_>, is_delta: bool) -> Result<Converted, Refusal> {
    if point.common.no_value {
        return Ok((stale(0), false));
    }
    let (coarsest, finest) = (*EXPONENTIAL_SCHEMAS.start(), *EXPONENTIAL_SCHEMAS.end());
    if point.scale < coarsest {
        let scale = point.scale;
        return Err(Refusal::Invalid(format!(
            "cannot convert exponential to native histogram. Scale must be >= {coarsest}, was {scale}"
        )));
    }
    // A shift by more than a word has the result of one by all but its sign.
    let scale_down = (i64::from(point.scale) - i64::from(finest)).clamp(0, 63) as u32;
    let (positive_spans, positive_buckets) = exponential_side(&point.positive, scale_down)?;
    let (negative_spans, negative_buckets) = exponential_side(&point.negative, scale_down)?;
    let histogram = FloatHistogram {
        counter_reset_hint: hint(is_delta),
        schema: point.scale.min(finest),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: Vec::new(),
    };
    let counts = [&point.positive.counts, &point.negative.counts];
    let inside: u128 = counts.into_iter().flatten().map(|count| u128::from(*count)).sum();
    checked(histogram, inside + u128::from(point.zero_count), point.count)
}

/// Of a histogram with bounds.
pub fn of_explicit(point: &HistogramPoint<'_>, is_delta: bool) -> Result<Converted, Refusal> {
    if point.common.no_value {
        return Ok((stale(CUSTOM_BUCKETS_SCHEMA), false));
    }
    let buckets = point.counts.iter().enumerate().map(|(index, count)| (index as i64, *count));
    // Empty buckets in front are not stored, but where there are no others.
    let first = point.counts.iter().position(|count| *count != 0).unwrap_or(point.counts.len());
    let (positive_spans, positive_buckets) = sparse(buckets.skip(first), first as i64)?;
    let histogram = FloatHistogram {
        counter_reset_hint: hint(is_delta),
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        custom_values: point.bounds.clone(),
        ..FloatHistogram::default()
    };
    let inside = point.counts.iter().map(|count| u128::from(*count)).sum();
    checked(histogram, inside, point.count)
}

/// Counters of a sender are not known to be compatible with detection of resets here, so nothing is said of them.
fn hint(is_delta: bool) -> CounterResetHint {
    if is_delta { CounterResetHint::Gauge } else { CounterResetHint::Unknown }
}

fn stale(schema: i32) -> FloatHistogram {
    FloatHistogram { schema, sum: STALE_NAN, ..FloatHistogram::default() }
}

/// What Prometheus demands of a histogram of whole numbers before it is stored.
fn checked(histogram: FloatHistogram, inside: u128, count: u64) -> Result<Converted, Refusal> {
    let has_nan = histogram.sum.is_nan();
    let found = || format!("{inside} observations found in buckets, but the Count field is {count}");
    if has_nan && inside > u128::from(count) {
        let should =
            "histogram's observation count should be at least the number of observations found in the buckets";
        return Err(Refusal::Invalid(format!("{}: {should}", found())));
    }
    if !has_nan && inside != u128::from(count) {
        let should = "histogram's observation count should equal the number of observations found in the buckets \
                      (in absence of NaN)";
        return Err(Refusal::Invalid(format!("{}: {should}", found())));
    }
    histogram.validate().map_err(|error| Refusal::Invalid(error.to_string()))?;
    let sum_of_nothing = count == 0 && histogram.sum != 0.0;
    Ok((histogram, sum_of_nothing))
}

/// Spans and counts of one side. OTLP's bucket 0 ends where Prometheus' bucket 1 does; 2^`scale_down` buckets become one.
fn exponential_side(side: &Buckets, scale_down: u32) -> Result<(Vec<Span>, Vec<f64>), Refusal> {
    let index = |position: usize| ((i64::from(side.offset) + position as i64) >> scale_down) + 1;
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (position, count) in side.counts.iter().enumerate() {
        match merged.last_mut() {
            Some((last, sum)) if *last == index(position) => *sum = sum.saturating_add(*count),
            _ => merged.push((index(position), *count)),
        }
    }
    sparse(merged.into_iter(), index(0))
}

/// Buckets in order without most of those that are empty; the last one stays in any case.
fn sparse(
    buckets: impl ExactSizeIterator<Item = (i64, u64)>,
    first: i64,
) -> Result<(Vec<Span>, Vec<f64>), Refusal> {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = first;
    let last = buckets.len().saturating_sub(1);
    let narrow = |offset: i64| {
        i32::try_from(offset)
            .map_err(|_| Refusal::Invalid("histogram has a bucket whose index is too large".to_string()))
    };
    for (position, (index, count)) in buckets.enumerate() {
        if count == 0 && position != last {
            continue;
        }
        let gap = index - next;
        if counts.len() >= MAX_ITEMS {
            return Err(Refusal::Unreadable(Unreadable::TooMany));
        }
        match spans.last_mut() {
            Some(span) if gap <= MOST_EMPTY => {
                counts.extend(std::iter::repeat_n(0.0, gap as usize));
                span.length += gap as u32 + 1;
            }
            Some(_) => spans.push(Span { offset: narrow(gap)?, length: 1 }),
            None if gap <= MOST_EMPTY => {
                counts.extend(std::iter::repeat_n(0.0, gap as usize));
                spans.push(Span { offset: narrow(first)?, length: gap as u32 + 1 });
            }
            None => spans.push(Span { offset: narrow(index)?, length: 1 }),
        }
        counts.push(count as f64);
        next = index + 1;
    }
    Ok((spans, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(offset: i32, counts: &[u64]) -> Buckets {
        Buckets { offset, counts: counts.to_vec() }
    }

    /// The layouts that Prometheus documents by its tests, and some more.
    #[test]
    fn layouts() {
        let check = |offset: i32, counts: &[u64], scale_down: u32, spans: &[(i32, u32)], expected: &[u64]| {
            let (got, buckets) = exponential_side(&side(offset, counts), scale_down).unwrap();
            let got: Vec<_> = got.iter().map(|span| (span.offset, span.length)).collect();
            let expected: Vec<f64> = expected.iter().map(|count| *count as f64).collect();
            assert_eq!((got.as_slice(), &buckets), (spans, &expected), "{offset} {counts:?} >> {scale_down}");
        };
        check(0, &[], 0, &[], &[]);
        check(0, &[4, 3, 2, 1], 0, &[(1, 4)], &[4, 3, 2, 1]);
        check(0, &[4, 3, 2, 1], 1, &[(1, 2)], &[7, 3]);
        check(0, &[4, 3, 2, 1], 2, &[(1, 1)], &[10]);
        check(0, &[4, 3, 2, 1], 63, &[(1, 1)], &[10]);
        check(1, &[4, 3, 2, 1], 1, &[(1, 3)], &[4, 5, 1]);
        check(1, &[4, 3, 2, 1], 2, &[(1, 2)], &[9, 1]);
        let long = [4, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        check(4, &long, 0, &[(5, 4), (12, 1)], &[4, 2, 0, 2, 1]);
        check(4, &long, 1, &[(3, 2), (6, 1)], &[6, 2, 1]);
        check(4, &long, 2, &[(2, 1), (3, 1)], &[8, 1]);
        check(4, &[4, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1], 2, &[(2, 4)], &[8, 0, 0, 1]);
        check(-2, &[3, 1, 0, 0, 0, 1], 0, &[(-1, 2), (3, 1)], &[3, 1, 1]);
        check(-2, &[3, 1, 0, 0, 0, 1], 1, &[(0, 3)], &[4, 0, 1]);
        check(-2, &[3, 1, 0, 0, 0, 1], 2, &[(0, 2)], &[4, 1]);
        check(-2, &[3, 0, 0, 1, 0, 0, 1], 0, &[(-1, 7)], &[3, 0, 0, 1, 0, 0, 1]);
        check(0, &[0, 0], 0, &[(1, 2)], &[0, 0]);
        check(0, &[0, 0, 0, 0, 7], 0, &[(5, 1)], &[7]);
        // Both counts belong to the second bucket, also behind an empty one.
        check(0, &[0, 0, 5, 3], 1, &[(1, 2)], &[0, 8]);
        check(i32::MAX, &[1], 1, &[(i32::MAX / 2 + 1, 1)], &[1]);
        assert!(exponential_side(&side(i32::MAX, &[1]), 0).is_err());
    }

    fn exponential(scale: i32, count: u64, zero_count: u64, sum: Option<f64>) -> ExponentialPoint<'static> {
        let (positive, negative) = (side(0, &[1, 2]), side(-1, &[3]));
        ExponentialPoint { count, sum, scale, zero_count, positive, negative, ..ExponentialPoint::default() }
    }

    #[test]
    fn exponential_histograms() {
        let (histogram, odd) = of_exponential(&exponential(3, 7, 1, Some(2.5)), false).unwrap();
        let expected = FloatHistogram {
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: 1.0,
            count: 7.0,
            sum: 2.5,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![3.0],
            ..FloatHistogram::default()
        };
        assert_eq!((histogram, odd), (expected, false));
        let schema = |scale| of_exponential(&exponential(scale, 7, 1, None), false).map(|(h, _)| h.schema);
        assert_eq!((schema(-4), schema(8), schema(9), schema(i32::MAX)), (Ok(-4), Ok(8), Ok(8), Ok(8)));
        let text = "cannot convert exponential to native histogram. Scale must be >= -4, was -5";
        assert_eq!(schema(-5), Err(Refusal::Invalid(text.into())));
        let gauge = of_exponential(&exponential(3, 7, 1, None), true).unwrap().0;
        assert_eq!(gauge.counter_reset_hint, CounterResetHint::Gauge);
    }

    #[test]
    fn counts_that_do_not_fit() {
        let refused = |count, sum| match of_exponential(&exponential(3, count, 1, sum), false) {
            Err(Refusal::Invalid(text)) => text,
            other => panic!("{other:?}"),
        };
        assert!(refused(8, Some(1.0)).starts_with("7 observations found in buckets, but the Count field is 8: "));
        assert!(refused(6, Some(f64::NAN)).contains("should be at least"));
        assert!(of_exponential(&exponential(3, 8, 1, Some(f64::NAN)), false).is_ok());
        let empty = ExponentialPoint { sum: Some(1.0), ..ExponentialPoint::default() };
        assert!(of_exponential(&empty, false).unwrap().1);
    }

    #[test]
    fn custom_buckets() {
        let point = |counts: &[u64], bounds: &[f64], count| HistogramPoint {
            counts: counts.to_vec(),
            bounds: bounds.to_vec(),
            count,
            sum: Some(1.0),
            ..HistogramPoint::default()
        };
        let histogram = of_explicit(&point(&[0, 0, 2, 0, 3], &[1.0, 2.0, 3.0, 4.0], 5), false).unwrap().0;
        assert_eq!(histogram.schema, CUSTOM_BUCKETS_SCHEMA);
        assert_eq!(histogram.positive_spans, [Span { offset: 2, length: 3 }]);
        assert_eq!(histogram.positive_buckets, [2.0, 0.0, 3.0]);
        assert_eq!(histogram.custom_values, [1.0, 2.0, 3.0, 4.0]);
        let empty = of_explicit(&point(&[0, 0], &[1.0], 0), false).unwrap();
        assert!(empty.0.positive_spans.is_empty() && empty.1);
        assert!(of_explicit(&point(&[1, 1], &[], 2), false).is_err(), "more buckets than bounds");
        assert!(of_explicit(&point(&[1, 1, 1], &[2.0, 1.0], 3), false).is_err(), "bounds that fall");
    }
}

use super::trim::Keep;
use super::*;

/// Buckets from `offset` on in one span.
fn histogram(schema: i32, count: f64, sum: f64, zero: (f64, f64), offset: i32, buckets: &[f64]) -> FloatHistogram {
    let spans = if buckets.is_empty() { vec![] } else { vec![Span { offset, length: buckets.len() as u32 }] };
    FloatHistogram {
        schema,
        count,
        sum,
        zero_threshold: zero.0,
        zero_count: zero.1,
        positive_spans: spans,
        positive_buckets: buckets.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], offset: i32, buckets: &[f64]) -> FloatHistogram {
    let count = buckets.iter().sum();
    FloatHistogram {
        custom_values: bounds.to_vec(),
        ..histogram(CUSTOM_BUCKETS_SCHEMA, count, count, (0.0, 0.0), offset, buckets)
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn bounds_of_buckets() {
    for (index, schema, bound) in [
        (0, 0, 1.0),
        (1, 0, 2.0),
        (-1, 0, 0.5),
        (10, 0, 1024.0),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (1, 1, 2f64.sqrt()),
        (2, 1, 2.0),
        (-1, 1, 0.5f64.sqrt()),
        (256, 8, 2.0),
        (1, -2, 16.0),
        (-1, -2, 1.0 / 16.0),
        (-1074, 0, f64::from_bits(1)),
        (16, 3, 4.0),
    ] {
        let got = bounds::exponential_bound(index, schema);
        assert!(close(got, bound), "bucket {index} of schema {schema}: {got} for {bound}");
    }
    let bounds = [1.0, 5.0];
    let got: Vec<_> = (-1..4).map(|i| bounds::bound(i, CUSTOM_BUCKETS_SCHEMA, &bounds)).collect();
    assert_eq!(got, [f64::NEG_INFINITY, 1.0, 5.0, f64::INFINITY, f64::INFINITY]);
}

#[test]
fn texts() {
    let mut h = histogram(0, 12.0, 1e6, (0.001, 2.0), 0, &[1.0, 0.0, 3.0]);
    h.negative_spans = vec![Span { offset: 0, length: 2 }];
    h.negative_buckets = vec![4.0, 2.5];
    assert_eq!(
        h.to_string(),
        "{count:12, sum:1e+06, [-2,-1):2.5, [-1,-0.5):4, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:3}"
    );
    assert_eq!(
        h.test_expression(),
        "{{count:12 sum:1e+06 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 3] n_buckets:[4 2.5]}}"
    );
    let c = custom(&[5.0, 10.0], 0, &[1.0, 2.0, 3.0]);
    assert_eq!(c.to_string(), "{count:6, sum:6, [-Inf,5]:1, (5,10]:2, (10,+Inf]:3}");
    assert_eq!(c.test_expression(), "{{schema:-53 count:6 sum:6 custom_values:[5 10] buckets:[1 2 3]}}");
}

#[test]
fn compaction() {
    let mut h = histogram(0, 0.0, 0.0, (0.0, 0.0), -1, &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0]);
    let original = h.clone();
    h.compact(0);
    assert_eq!(h.positive_buckets, [1.0, 2.0]);
    assert_eq!(h.positive_spans, [Span { offset: 0, length: 1 }, Span { offset: 2, length: 1 }]);
    let mut h = original.clone();
    h.compact(2);
    assert_eq!(h.positive_buckets, [1.0, 0.0, 0.0, 2.0]);
    assert_eq!(h.positive_spans, [Span { offset: 0, length: 4 }]);
    let mut split = original.clone();
    split.positive_spans = vec![Span { offset: -1, length: 3 }, Span { offset: 0, length: 3 }];
    assert!(split.equals(&original));
}

#[test]
fn addition() {
    // Overlapping and disjoint buckets.
    let mut h = histogram(0, 6.0, 10.0, (0.001, 1.0), 0, &[2.0, 3.0]);
    let combined = h.add(&histogram(0, 9.0, 5.0, (0.001, 2.0), 1, &[4.0, 3.0])).unwrap();
    assert_eq!(combined, arithmetic::Combined::default());
    assert_eq!(h, histogram(0, 15.0, 15.0, (0.001, 3.0), 0, &[2.0, 7.0, 3.0]));
    // Schema 1 buckets (1,√2] and (√2,2] become the one bucket (1,2] of schema 0.
    let mut h = histogram(1, 3.0, 3.0, (0.0, 0.0), 1, &[1.0, 2.0]);
    h.add(&histogram(0, 4.0, 4.0, (0.0, 0.0), 1, &[4.0])).unwrap();
    assert_eq!(h, histogram(0, 7.0, 7.0, (0.0, 0.0), 1, &[7.0]));
    // A zero bucket of 0.75 cuts the populated bucket (0.5,1], so both become wider: 1.
    let mut h = histogram(0, 6.0, 6.0, (0.0, 1.0), 0, &[2.0, 3.0]);
    h.add(&histogram(0, 5.0, 5.0, (0.75, 5.0), 0, &[])).unwrap();
    assert_eq!((h.zero_threshold, h.zero_count), (1.0, 8.0));
    assert_eq!(h.positive().collect::<Vec<_>>(), [(1, 3.0)]);
    // Subtraction of equal layouts.
    let mut h = histogram(0, 6.0, 10.0, (0.0, 1.0), 0, &[2.0, 3.0]);
    h.sub(&histogram(0, 3.0, 1.0, (0.0, 1.0), 0, &[1.0, 1.0])).unwrap();
    assert_eq!(h, histogram(0, 3.0, 9.0, (0.0, 0.0), 0, &[1.0, 2.0]));
    assert!(h.add(&custom(&[1.0], 0, &[1.0])).is_err());
}

#[test]
fn addition_of_custom_buckets() {
    let mut h = custom(&[1.0, 2.0, 5.0], 0, &[1.0, 2.0, 3.0, 4.0]);
    let combined = h.add(&custom(&[2.0, 3.0, 5.0], 0, &[10.0, 20.0, 30.0, 40.0])).unwrap();
    assert!(combined.bounds_reconciled);
    assert_eq!(h.custom_values, [2.0, 5.0]);
    assert_eq!(h.positive_buckets, [13.0, 53.0, 44.0]);
    let mut h = custom(&[1.0], 0, &[1.0, 2.0]);
    h.add(&custom(&[2.0], 0, &[3.0, 4.0])).unwrap();
    assert!(h.custom_values.is_empty());
    assert_eq!(h.positive_buckets, [10.0]);
}

#[test]
fn hints_of_sums() {
    use CounterResetHint::*;
    for (left, right, result, conflict) in [
        (Reset, Reset, Reset, false),
        (Gauge, Reset, Gauge, false),
        (Unknown, Gauge, Gauge, false),
        (Unknown, Reset, Unknown, false),
        (NotReset, Unknown, Unknown, false),
        (Reset, NotReset, Unknown, true),
    ] {
        let hinted = |hint| FloatHistogram { counter_reset_hint: hint, ..FloatHistogram::default() };
        let mut h = hinted(left);
        assert_eq!(h.add(&hinted(right)).unwrap().reset_conflict, conflict, "{left:?} + {right:?}");
        assert_eq!(h.counter_reset_hint, result, "{left:?} + {right:?}");
    }
}

#[test]
fn scaling() {
    let mut h = histogram(0, 6.0, 10.0, (0.0, 1.0), 0, &[2.0, 3.0]);
    h.mul(2.0).div(4.0);
    assert_eq!(h, histogram(0, 3.0, 5.0, (0.0, 0.5), 0, &[1.0, 1.5]));
    h.mul(-1.0);
    assert_eq!(h.counter_reset_hint, CounterResetHint::Gauge);
    h.div(0.0);
    assert!(h.count == f64::NEG_INFINITY && h.positive_buckets.is_empty() && h.positive_spans.is_empty());
}

#[test]
fn resets() {
    let before = histogram(1, 6.0, 0.0, (0.1, 1.0), 1, &[2.0, 3.0]);
    let check = |name: &str, now: FloatHistogram, reset: bool| {
        assert_eq!(now.detect_reset(&before), reset, "{name}");
    };
    check("same", before.clone(), false);
    check("higher", histogram(1, 8.0, 0.0, (0.1, 1.0), 0, &[1.0, 2.0, 4.0]), false);
    check("lower count", histogram(1, 5.0, 0.0, (0.1, 1.0), 1, &[2.0, 3.0]), true);
    check("lower bucket", histogram(1, 7.0, 0.0, (0.1, 1.0), 1, &[1.0, 5.0]), true);
    check("missing bucket", histogram(1, 7.0, 0.0, (0.1, 1.0), 2, &[6.0]), true);
    check("lower zero count", histogram(1, 7.0, 0.0, (0.1, 0.0), 1, &[3.0, 4.0]), true);
    check("finer schema", histogram(2, 9.0, 0.0, (0.1, 1.0), 1, &[2.0, 6.0]), true);
    check("coarser schema", histogram(0, 6.0, 0.0, (0.1, 1.0), 1, &[5.0]), false);
    check("coarser schema, fewer", histogram(0, 6.0, 0.0, (0.1, 2.0), 1, &[4.0]), true);
    check("narrower zero bucket", histogram(1, 6.0, 0.0, (0.01, 1.0), 1, &[2.0, 3.0]), true);
    check("wider zero bucket", histogram(1, 6.0, 0.0, (0.5, 1.0), 1, &[2.0, 3.0]), false);
    check("zero bucket across a bucket", histogram(1, 9.0, 0.0, (1.2, 4.0), 2, &[5.0]), true);
    check("custom buckets", custom(&[1.0], 0, &[9.0]), true);
    let hinted = |hint| FloatHistogram { counter_reset_hint: hint, ..before.clone() };
    check("hint", hinted(CounterResetHint::Reset), true);
    let lower = FloatHistogram { count: 1.0, ..hinted(CounterResetHint::NotReset) };
    check("hint against counts", lower, false);
    let now = custom(&[2.0, 5.0], 0, &[2.0, 2.0]);
    assert!(!now.detect_reset(&custom(&[1.0, 2.0], 0, &[1.0, 1.0, 1.0])));
    assert!(now.detect_reset(&custom(&[1.0, 2.0], 0, &[2.0, 1.0, 1.0])));
}

#[test]
fn quantiles() {
    let check = |h: &FloatHistogram, q: f64, expected: f64| {
        let (got, _) = h.quantile(q);
        assert!(close(got, expected), "quantile {q} of {h}: {got} for {expected}");
    };
    // (0.5,1], (1,2], (2,4] with 2, 4, 2.
    let h = histogram(0, 8.0, 10.0, (0.0, 0.0), 0, &[2.0, 4.0, 2.0]);
    check(&h, 0.5, 2f64.sqrt());
    check(&h, 0.25, 1.0);
    check(&h, 1.0, 4.0);
    check(&h, 0.0, 0.5);
    check(&h, 0.875, 8f64.sqrt());
    check(&h, -0.1, f64::NEG_INFINITY);
    check(&h, 1.1, f64::INFINITY);
    check(&h, f64::NAN, f64::NAN);
    check(&FloatHistogram::default(), 0.5, f64::NAN);
    // The zero bucket is linear, from 0 where all buckets are positive.
    let h = histogram(0, 4.0, 1.0, (0.5, 4.0), 0, &[0.0]);
    check(&h, 0.5, 0.25);
    check(&histogram(0, 4.0, 1.0, (0.5, 4.0), 0, &[]), 0.5, 0.0);
    // Custom buckets are linear; the highest gives its lower bound.
    let c = custom(&[5.0, 10.0], 0, &[2.0, 2.0, 4.0]);
    check(&c, 0.125, 2.5);
    check(&c, 0.375, 7.5);
    check(&c, 0.9, 10.0);
    let mut negative = histogram(0, 4.0, -4.0, (0.0, 0.0), 0, &[]);
    negative.negative_spans = vec![Span { offset: 1, length: 1 }];
    negative.negative_buckets = vec![4.0];
    check(&negative, 0.5, -2f64.sqrt());
    check(&negative, 0.25, -(2f64.powf(0.75)));
    // Two observations of NaN.
    let h = histogram(0, 4.0, f64::NAN, (0.0, 0.0), 1, &[2.0]);
    assert_eq!(h.quantile(0.25).1, Some(estimate::QuantileNote::SkewedHigher));
    assert!(close(h.quantile(0.25).0, 2f64.sqrt()));
    assert_eq!(h.quantile(0.9).1, Some(estimate::QuantileNote::ResultIsNan));
}

#[test]
fn fractions_and_moments() {
    let h = histogram(0, 8.0, 12.0, (0.0, 0.0), 0, &[2.0, 4.0, 2.0]);
    for (lower, upper, expected) in [
        (f64::NEG_INFINITY, f64::INFINITY, 1.0),
        (1.0, 2.0, 0.5),
        (0.0, 2f64.sqrt(), 0.5),
        (2.0, 1.0, 0.0),
        (f64::NAN, 1.0, f64::NAN),
        (8.0, 16.0, 0.0),
    ] {
        let (got, _) = h.fraction(lower, upper);
        assert!(close(got, expected), "{lower}..{upper}: {got} for {expected}");
    }
    let nan = histogram(0, 4.0, f64::NAN, (0.0, 0.0), 1, &[2.0]);
    assert_eq!(nan.fraction(f64::NEG_INFINITY, f64::INFINITY), (0.5, true));
    let c = custom(&[5.0, 10.0], 0, &[2.0, 2.0, 4.0]);
    assert_eq!(c.fraction(f64::NEG_INFINITY, 7.5).0, 0.375);
    assert_eq!(h.mean(), 1.5);
    let middles = [0.5f64.sqrt(), 2f64.sqrt(), 8f64.sqrt()];
    let expected: f64 = middles.iter().zip([2.0, 4.0, 2.0]).map(|(m, n)| n * (m - 1.5).powi(2)).sum::<f64>() / 8.0;
    assert!(close(h.variance(), expected));
}

#[test]
fn trims() {
    let h = histogram(0, 10.0, 20.0, (0.0, 0.0), 0, &[2.0, 4.0, 4.0]);
    let mut below = h.clone();
    below.trim(2.0, Keep::Below);
    assert_eq!((below.count, below.positive_buckets.as_slice()), (6.0, &[2.0, 4.0][..]));
    assert!(close(below.sum, 2.0 * 0.5f64.sqrt() + 4.0 * 2f64.sqrt()));
    let mut above = h.clone();
    above.trim(8f64.sqrt(), Keep::Above);
    assert!(close(above.count, 2.0));
    assert_eq!(above.positive().map(|(i, _)| i).collect::<Vec<_>>(), [2]);
    let mut whole = h.clone();
    whole.trim(100.0, Keep::Below);
    assert_eq!(whole, h);
    // Custom: the lowest bucket begins at 0, the highest is all above.
    let c = custom(&[4.0, 8.0], 0, &[4.0, 4.0, 1.0]);
    let mut below = c.clone();
    below.trim(1.0, Keep::Below);
    assert_eq!((below.count, below.sum), (1.0, 0.5));
    let mut above = c.clone();
    above.trim(20.0, Keep::Above);
    assert_eq!((above.count, above.sum), (1.0, 20.0));
    // Half of a zero bucket from 0 to 1.
    let mut zero = histogram(0, 6.0, 3.0, (1.0, 4.0), 1, &[2.0]);
    zero.trim(0.5, Keep::Below);
    assert_eq!((zero.zero_count, zero.count, zero.sum), (2.0, 2.0, 0.5));
}

#[test]
fn validation() {
    let good = histogram(0, 5.0, 1.0, (0.0, 0.0), 0, &[2.0, 3.0]);
    good.validate().unwrap();
    custom(&[1.0, 2.0], 0, &[1.0, 1.0, 1.0]).validate().unwrap();
    let bad: &[(&str, FloatHistogram)] = &[
        ("invalid schema", FloatHistogram { schema: 9, ..good.clone() }),
        ("count is negative", FloatHistogram { count: -1.0, ..good.clone() }),
        ("need 2 buckets", FloatHistogram { positive_buckets: vec![1.0], ..good.clone() }),
        ("must not have custom bounds", FloatHistogram { custom_values: vec![1.0], ..good.clone() }),
        ("bucket number 1", FloatHistogram { positive_buckets: vec![-1.0, 1.0], ..good.clone() }),
        ("too few", custom(&[1.0], 0, &[1.0, 1.0, 1.0])),
        ("strictly increasing", custom(&[2.0, 1.0], 0, &[1.0])),
        ("NaN", custom(&[f64::NAN], 0, &[1.0])),
        ("finite", custom(&[f64::INFINITY], 0, &[1.0])),
        ("zero count of 0", FloatHistogram { zero_count: 1.0, ..custom(&[1.0], 0, &[1.0]) }),
    ];
    for (text, h) in bad {
        let error = h.validate().unwrap_err().to_string();
        assert!(error.contains(text), "{error} should say {text}");
    }
    let mut fine = histogram(12, 4.0, 1.0, (0.0, 0.0), 1, &[1.0; 4]);
    fine.reduce_to_supported_schema().unwrap();
    assert_eq!((fine.schema, fine.positive_buckets.as_slice()), (8, &[4.0][..]));
}

#[test]
fn bytes_round_trip() {
    let mut h = histogram(3, 7.5, f64::NAN, (1e-128, 2.0), -5, &[1.0, 0.5, 1e300]);
    h.negative_spans = vec![Span { offset: 2, length: 1 }, Span { offset: 3, length: 1 }];
    h.negative_buckets = vec![4.0, 5.0];
    h.counter_reset_hint = CounterResetHint::Gauge;
    for h in [h, custom(&[1.0, 2.0], 1, &[3.0]), FloatHistogram::default()] {
        let mut bytes = Vec::new();
        codec::encode(&h, &mut bytes);
        let read = codec::decode(&bytes).unwrap();
        assert!(read.equals(&h) && read.counter_reset_hint == h.counter_reset_hint);
        for cut in 0..bytes.len() {
            assert!(codec::decode(&bytes[..cut]).is_err());
        }
    }
}

#[test]
fn damaged_histograms_do_not_panic() {
    let spans = vec![Span { offset: i32::MAX, length: 3 }, Span { offset: i32::MIN, length: u32::MAX }];
    for schema in [-53, -9, 0, 8, 52, i32::MIN, i32::MAX] {
        let h = FloatHistogram {
            schema,
            positive_spans: spans.clone(),
            positive_buckets: vec![1.0; 5],
            ..Default::default()
        };
        let mut other = h.clone();
        other.zero_threshold = 1.0;
        let _ = (h.to_string(), h.quantile(0.5), h.fraction(0.0, 1.0), h.detect_reset(&other), h.validate());
        let mut sum = h.clone();
        let _ = sum.add(&other);
        sum.compact(0);
        sum.reduce_resolution(-4);
    }
}

#[test]
fn hints_against_the_sample_before() {
    use CounterResetHint::*;
    let h = |hint, count| FloatHistogram {
        counter_reset_hint: hint,
        ..histogram(0, count, 0.0, (0.0, 0.0), 0, &[count])
    };
    let before = h(Unknown, 3.0);
    let coarser = FloatHistogram { schema: -1, ..h(Unknown, 4.0) };
    for (now, previous, stored, resolved) in [
        (h(Unknown, 4.0), Some(&before), NotReset, NotReset),
        (h(Unknown, 2.0), Some(&before), Unknown, Reset),
        (h(Unknown, 4.0), None, Unknown, Unknown),
        (h(Reset, 4.0), Some(&before), Unknown, Reset),
        (h(Gauge, 2.0), Some(&before), Gauge, Gauge),
        (h(Unknown, 4.0), Some(&h(Gauge, 3.0)), Unknown, NotReset),
        (coarser, Some(&before), Unknown, NotReset),
    ] {
        assert_eq!((now.stored_hint(previous), now.resolved_hint(previous)), (stored, resolved), "{now}");
    }
}

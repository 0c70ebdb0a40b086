use std::sync::Arc;

use super::*;
use crate::fuzzing::Fuzz;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::sample::STALE_NAN;

fn decoded(encoding: Encoding, data: &[u8]) -> Run {
    let mut run = Run::default();
    decode(encoding, data, &mut run).unwrap_or_else(|fault| panic!("{encoding:?}: {fault}"));
    run
}

/// Series of the kinds there are, and of none.
fn float_series() -> Vec<Vec<(i64, f64)>> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut jitter = move |most: i64| random.i64(-most..=most);
    let mut random = fastrand::Rng::with_seed(12);
    vec![
        vec![],
        vec![(1_700_000_000_000, 1.5)],
        vec![(-5, f64::NAN), (0, f64::INFINITY)],
        (0..120).map(|at| (at * 15_000, 42.0)).collect(),
        (0..120).map(|at| (1_700_000_000_000 + at * 15_000, at as f64 * 3.25)).collect(),
        (0..500).map(|at| (at * 15_000 + jitter(3), (at / 7) as f64)).collect(),
        (0..500).map(|at| (at * 600_000 + jitter(300_000), 1e300 / (at + 1) as f64)).collect(),
        (0..500).map(|at| (at << 40, if at % 9 == 0 { STALE_NAN } else { at as f64 })).collect(),
        (0..1000).map(|at| (at * 1000, f64::from_bits(random.u64(..)))).collect(),
        (0..200).map(|at| (at * 1000, if at % 2 == 0 { STALE_NAN } else { 7.0 })).collect(),
    ]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn floats() {
    for series in float_series() {
        let (timestamps, values): (Vec<i64>, Vec<f64>) = series.iter().copied().unzip();
        let run = decoded(Encoding::Xor, &encode::xor(&series));
        assert_eq!(run.timestamps, timestamps);
        assert_eq!(bits(&run.values), bits(&values));
        assert!(run.histograms.is_empty() && run.start_timestamps.is_empty());
        let starts: Vec<_> = series.iter().map(|(t, v)| (*t, *v, 0)).collect();
        let run = decoded(Encoding::Xor2, &encode::xor2(&starts));
        assert_eq!(run.timestamps, timestamps);
        assert_eq!(bits(&run.values), bits(&values));
        assert!(run.start_timestamps.is_empty());
    }
}

/// None, one for all, one that changes early, late, beyond the sample a header can name, and now and then.
fn starts(count: usize) -> Vec<Vec<i64>> {
    let of = |start: &dyn Fn(usize) -> i64| (0..count).map(start).collect();
    vec![
        of(&|_| 77),
        of(&|at| if at == 0 { 0 } else { 50 }),
        of(&|at| if at < 100 { 50 } else { 90_000 }),
        of(&|at| if at < 300 { 50 } else { 90_000 }),
        of(&|at| if at < 300 { 0 } else { 90_000 }),
        of(&|at| (at / 10 * 150_000) as i64),
        of(&|at| at as i64 * 15_000 - 1),
    ]
}

#[test]
fn floats_with_start_timestamps() {
    for starts in starts(400) {
        let series: Vec<_> = starts.iter().enumerate().map(|(at, s)| (at as i64 * 15_000, at as f64, *s)).collect();
        let run = decoded(Encoding::Xor2, &encode::xor2(&series));
        assert_eq!(run.start_timestamps, starts);
        assert_eq!(run.values, (0..400).map(f64::from).collect::<Vec<_>>());
    }
}

/// Bytes as `tsdb/chunkenc` makes them of 3 samples 15 s apart with the values 1, 1 and 2, computed by hand from the
/// description: the encoder of these tests and the decoder might err alike.
#[test]
fn bytes_by_hand() {
    // Count 3; timestamp 1000 as a varint; 1.0; delta 15000 as a uvarint; 0: same value; 0: same delta; 11: new window,
    // leading zeros 1, 11 significant bits, which are 0x7ff.
    let mut data = vec![0, 3, 0xd0, 0x0f];
    data.extend(1f64.to_bits().to_be_bytes());
    data.extend([0x98, 0x75]);
    // 0 0 11 00001 001011 11111111111
    data.extend([0b0011_0000, 0b1001_0111, 0b1111_1111, 0b1100_0000]);
    let run = decoded(Encoding::Xor, &data);
    assert_eq!(run.timestamps, [1000, 16_000, 31_000]);
    assert_eq!(run.values, [1.0, 1.0, 2.0]);
    // XOR2: the header of starts, then 0: same value; 10: same delta, changed; 1: new window.
    let mut data = vec![0, 3, 0, 0xd0, 0x0f];
    data.extend(1f64.to_bits().to_be_bytes());
    data.extend([0x98, 0x75]);
    // 0 10 1 00001 001011 11111111111
    data.extend([0b0101_0000, 0b1001_0111, 0b1111_1111, 0b1100_0000]);
    let run = decoded(Encoding::Xor2, &data);
    assert_eq!(
        (run.timestamps.as_slice(), run.values.as_slice()),
        (&[1000, 16_000, 31_000][..], &[1.0, 1.0, 2.0][..])
    );
}

fn exponential(at: usize) -> FloatHistogram {
    let grown = |n: usize| (n + at * (n + 1)) as f64;
    let (positive, negative) = (vec![grown(1), grown(5), grown(2)], vec![grown(0), grown(3)]);
    let zero_count = at as f64;
    FloatHistogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count,
        count: zero_count + positive.iter().chain(&negative).sum::<f64>(),
        sum: at as f64 * 1.25,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 300, length: 2 }],
        negative_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: positive,
        negative_buckets: negative,
        ..FloatHistogram::default()
    }
}

fn custom(at: usize) -> FloatHistogram {
    let buckets = vec![at as f64, (at * 2) as f64];
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: buckets.iter().sum(),
        sum: 0.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: buckets,
        custom_values: vec![-1.0, 0.005, 0.1, 2.5, 33_554.43, 1e9, 1.000_1e10],
        ..FloatHistogram::default()
    }
}

fn stale() -> FloatHistogram {
    FloatHistogram { sum: STALE_NAN, ..FloatHistogram::default() }
}

#[test]
fn histograms() {
    let odd = |at: usize| FloatHistogram { zero_threshold: 0.3, ..exponential(at) };
    let kinds: [&dyn Fn(usize) -> FloatHistogram; 3] = [&exponential, &custom, &odd];
    for make in kinds {
        let mut samples: Vec<(i64, FloatHistogram)> =
            (0..200).map(|at| (1000 + at as i64 * 15_000, make(at))).collect();
        samples.push((samples[199].0 + 7, stale()));
        let no_starts: [Option<Vec<i64>>; 1] = [None];
        let all_starts = starts(201).into_iter().map(Some);
        for starts in no_starts.into_iter().chain(all_starts) {
            for (resets, first, then) in [
                (0, CounterResetHint::Unknown, CounterResetHint::NotReset),
                (2, CounterResetHint::Unknown, CounterResetHint::NotReset),
                (3, CounterResetHint::Gauge, CounterResetHint::Gauge),
            ] {
                let integers = encode::histograms(&samples, resets, starts.as_deref());
                let floats = encode::float_histograms(&samples, resets, starts.as_deref());
                let kinds = match starts {
                    None => [(Encoding::Histogram, integers), (Encoding::FloatHistogram, floats)],
                    Some(_) => [(Encoding::HistogramStart, integers), (Encoding::FloatHistogramStart, floats)],
                };
                for (encoding, data) in kinds {
                    let run = decoded(encoding, &data);
                    let expected = starts.clone().filter(|starts| starts.iter().any(|start| *start != 0));
                    assert_eq!(run.start_timestamps, expected.unwrap_or_default(), "{encoding:?}");
                    assert_eq!(run.timestamps, samples.iter().map(|(t, _)| *t).collect::<Vec<_>>());
                    for (at, (read, (_, sample))) in run.histograms.iter().zip(&samples).enumerate() {
                        let hint = if at == 0 { first } else { then };
                        let mut expected = FloatHistogram { counter_reset_hint: hint, ..sample.clone() };
                        if at == 200 {
                            expected.counter_reset_hint = CounterResetHint::Unknown;
                            assert!(read.as_ref().unwrap().is_stale());
                            (expected.sum, expected.counter_reset_hint) = (0.0, CounterResetHint::Unknown);
                            let mut read = read.as_deref().unwrap().clone();
                            read.sum = 0.0;
                            assert_eq!(read, expected);
                            continue;
                        }
                        assert_eq!(read.as_deref(), Some(&expected), "{encoding:?} at {at}");
                    }
                }
            }
        }
    }
}

/// A run with floats and histograms in turn keeps its columns parallel.
#[test]
fn kinds_in_turn() {
    let mut run = decoded(Encoding::Xor, &encode::xor(&[(1, 1.0), (2, 2.0)]));
    decode(Encoding::Histogram, &encode::histograms(&[(3, exponential(1))], 0, None), &mut run).unwrap();
    decode(Encoding::Xor2, &encode::xor2(&[(4, 4.0, 9)]), &mut run).unwrap();
    decode(Encoding::Xor, &encode::xor(&[(5, 5.0)]), &mut run).unwrap();
    assert_eq!(run.timestamps, [1, 2, 3, 4, 5]);
    assert_eq!(run.start_timestamps, [0, 0, 0, 9, 0]);
    let is_histogram: Vec<bool> = run.histograms.iter().map(Option::is_some).collect();
    assert_eq!(is_histogram, [false, false, true, false, false]);
    assert_eq!(Arc::strong_count(run.histograms[2].as_ref().unwrap()), 1);
}

#[test]
fn what_is_refused() {
    let check = |encoding: Encoding, data: &[u8], part: &str| {
        let fault = decode(encoding, data, &mut Run::default()).unwrap_err();
        assert!(fault.0.contains(part), "{fault}");
    };
    check(Encoding::Xor, &[], "too early");
    check(Encoding::Xor, &[0, 1], "too early");
    check(Encoding::Xor, &[0xff, 0xff, 0, 0], "too early");
    check(Encoding::Xor2, &[0, 1], "too early");
    check(Encoding::Histogram, &[0, 1, 0], "too early");
    // Two spans of four billion buckets.
    let huge = FloatHistogram {
        positive_spans: vec![Span { offset: 0, length: u32::MAX }, Span { offset: 0, length: u32::MAX }],
        ..FloatHistogram::default()
    };
    let data = encode::histograms(&[(1, huge)], 0, None);
    check(Encoding::Histogram, &data, "more buckets");
    check(Encoding::FloatHistogram, &data, "more buckets");
    let unknown = FloatHistogram { schema: 77, ..FloatHistogram::default() };
    check(Encoding::Histogram, &encode::histograms(&[(1, unknown)], 0, None), "unknown schema");
    assert!(Encoding::of(0xff).unwrap_err().0.contains("downsampled"));
    assert!(Encoding::of(9).unwrap_err().0.contains("unknown encoding 9"));
}

/// A resolution that is known and not computed with is reduced, as Prometheus does.
#[test]
fn fine_schemas_are_reduced() {
    let fine = FloatHistogram { schema: 10, ..exponential(3) };
    let run = decoded(Encoding::Histogram, &encode::histograms(&[(1, fine.clone())], 0, None));
    let mut expected = fine;
    expected.reduce_resolution(8);
    assert_eq!(run.histograms[0].as_deref(), Some(&expected));
}

/// Changed bytes of chunks never panic or allocate without bound.
#[test]
fn changed_chunks() {
    let mut chunks: Vec<Vec<u8>> = float_series().iter().map(|series| encode::xor(series)).collect();
    for starts in starts(150) {
        let floats: Vec<_> =
            starts.iter().enumerate().map(|(at, s)| (at as i64 * 15_000, 1.5 * at as f64, *s)).collect();
        chunks.push(encode::xor2(&floats));
        for make in [exponential, custom] {
            let samples: Vec<_> = (0..150).map(|at| (at as i64 * 15_000, make(at))).collect();
            chunks.push(encode::histograms(&samples, 0, Some(&starts)));
            chunks.push(encode::float_histograms(&samples, 3, Some(&starts)));
            chunks.push(encode::float_histograms(&samples, 3, None));
            chunks.push(encode::histograms(&samples, 1, None));
        }
    }
    let encodings = (1..=6).map(|code| Encoding::of(code).unwrap()).collect::<Vec<_>>();
    let mut fuzz = Fuzz::new(20_000);
    let mut read = 0;
    while fuzz.goes_on() {
        let random = &mut fuzz.random;
        let mut chunk = random.choice(&chunks).unwrap().clone();
        for _ in 0..random.usize(0..4) {
            match random.u8(0..4) {
                0 if !chunk.is_empty() => chunk.truncate(random.usize(0..chunk.len())),
                1 if !chunk.is_empty() => {
                    let at = random.usize(0..chunk.len());
                    chunk[at] = random.u8(..);
                }
                2 if !chunk.is_empty() => {
                    let at = random.usize(0..chunk.len().min(24));
                    chunk[at] ^= 1 << random.u8(0..8);
                }
                _ => chunk.extend((0..random.usize(0..16)).map(|_| 0xff)),
            }
        }
        let mut run = Run::default();
        let encoding = *random.choice(&encodings).unwrap();
        if decode(encoding, &chunk, &mut run).is_ok() {
            read += 1;
            assert_eq!(run.values.len(), run.timestamps.len());
            assert!(run.histograms.is_empty() || run.histograms.len() == run.values.len());
            assert!(run.start_timestamps.is_empty() || run.start_timestamps.len() == run.values.len());
            assert!(run.timestamps.len() <= usize::from(u16::MAX));
        }
    }
    assert!(read > fuzz.tried / 20, "{read} of {} could be read, so little was tested", fuzz.tried);
}

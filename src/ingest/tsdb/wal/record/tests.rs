use super::*;
use crate::ingest::tsdb::fixture::{put_pairs, put_uvarint, put_varint, samples_record, series_record};
use crate::model::sample::STALE_NAN;

fn record(bytes: &[u8]) -> Record<'_> {
    Record::of(bytes).unwrap()
}

#[test]
fn series() {
    let bytes = series_record(&[(7, &[("__name__", "up"), ("job", "a")]), (1 << 40, &[("__name__", "é")])]);
    let mut found = Vec::new();
    let visit = |series, pairs: &Pairs<'_>| {
        found.push((series, pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",")));
        Ok(())
    };
    record(&bytes).series(visit).unwrap();
    assert_eq!(found, [(7, "__name__=up,job=a".to_string()), (1 << 40, "__name__=é".to_string())]);
}

#[test]
fn samples() {
    let check = |bytes: &[u8], expected: &[(u64, i64, i64, f64)]| {
        let mut found = Vec::new();
        let visit = |place: Place, value| {
            found.push((place.series, place.timestamp, place.start_timestamp, value));
            Ok(())
        };
        record(bytes).samples(visit).unwrap();
        assert_eq!(found, expected);
    };
    check(
        &samples_record(&[(5, 100, 1.0), (3, 90, 2.0), (9, 110, 3.0)]),
        &[(5, 100, 0, 1.0), (3, 90, 0, 2.0), (9, 110, 0, 3.0)],
    );
    check(&[2], &[]);
    // With start timestamps: none, the same as before, and one of its own.
    let mut bytes = vec![11];
    for number in [5, 1000, 400] {
        put_varint(number, &mut bytes);
    }
    bytes.extend(1f64.to_bits().to_be_bytes());
    for (series, time, start, value) in [(1, 15, Some(1), 2f64), (-4, 30, Some(2), 3.0), (0, 45, None, 4.0)] {
        put_varint(series, &mut bytes);
        put_varint(time, &mut bytes);
        match start {
            None => bytes.push(0),
            Some(1) => bytes.push(1),
            Some(_) => {
                bytes.push(2);
                put_varint(-100, &mut bytes);
            }
        }
        bytes.extend(value.to_bits().to_be_bytes());
    }
    check(&bytes, &[(5, 1000, 400, 1.0), (6, 1015, 400, 2.0), (2, 1030, 300, 3.0), (2, 1045, 0, 4.0)]);
}

/// A histogram behind its place, as `EncodeHistogram` and `EncodeFloatHistogram` have it.
fn put_histogram(floats: bool, custom: bool, stale: bool, bytes: &mut Vec<u8>) {
    bytes.push(3);
    put_varint(if custom { -53 } else { 2 }, bytes);
    bytes.extend(0f64.to_bits().to_be_bytes());
    for number in [0u64, 6] {
        if floats { bytes.extend((number as f64).to_bits().to_be_bytes()) } else { put_uvarint(number, bytes) }
    }
    bytes.extend(if stale { STALE_NAN } else { 1.5 }.to_bits().to_be_bytes());
    put_uvarint(1, bytes);
    put_varint(0, bytes);
    put_uvarint(2, bytes);
    put_uvarint(0, bytes);
    put_uvarint(2, bytes);
    // Four and two: as integers the difference.
    if floats {
        [4f64, 2.0].iter().for_each(|count| bytes.extend(count.to_bits().to_be_bytes()));
    } else {
        put_varint(4, bytes);
        put_varint(-2, bytes);
    }
    put_uvarint(0, bytes);
    if custom {
        put_uvarint(2, bytes);
        [0.5f64, 1.0].iter().for_each(|bound| bytes.extend(bound.to_bits().to_be_bytes()));
    }
}

#[test]
fn histograms() {
    for (kind, floats, custom, with_starts) in [
        (7, false, false, false),
        (8, true, false, false),
        (9, false, true, false),
        (10, true, true, false),
        (12, false, false, true),
        (13, true, true, true),
    ] {
        let mut bytes = vec![kind];
        if with_starts {
            [1, 1000, 0].iter().for_each(|number| put_varint(*number, &mut bytes));
        } else {
            bytes.extend(1u64.to_be_bytes());
            bytes.extend(1000i64.to_be_bytes());
            bytes.extend([0, 0]);
        }
        put_histogram(floats, custom, false, &mut bytes);
        bytes.extend([2, 30]);
        if with_starts {
            bytes.push(0);
        }
        put_histogram(floats, custom, true, &mut bytes);
        let record = record(&bytes);
        assert_eq!(record.kind, Kind::Histograms { floats });
        let mut found = Vec::new();
        let visit = |place: Place, histogram| {
            found.push((place.series, place.timestamp, histogram));
            Ok(())
        };
        record.histograms(floats, visit).unwrap();
        let expected = FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: if custom { -53 } else { 2 },
            count: 6.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![4.0, 2.0],
            custom_values: if custom { vec![0.5, 1.0] } else { vec![] },
            ..FloatHistogram::default()
        };
        assert_eq!(found[0], (1, 1000, expected), "type {kind}");
        assert_eq!((found[1].0, found[1].1, found[1].2.is_stale()), (2, 1015, true), "type {kind}");
    }
}

#[test]
fn the_rest() {
    let mut tombstones = vec![3];
    tombstones.extend(9u64.to_be_bytes());
    tombstones.extend([1, 20]);
    let mut found = Vec::new();
    record(&tombstones).tombstones(|series, first, last| found.push((series, first, last))).unwrap();
    assert_eq!(found, [(9, -1, 10)]);

    let mut exemplars = vec![4];
    exemplars.extend(9u64.to_be_bytes());
    exemplars.extend(1000i64.to_be_bytes());
    exemplars.extend([0, 4]);
    exemplars.extend(2.5f64.to_bits().to_be_bytes());
    put_pairs(&[("trace_id", "x")], &mut exemplars);
    let mut found = Vec::new();
    let visit = |place: Place, value, pairs: &Pairs<'_>| {
        found.push(format!("{} {} {value} {pairs:?}", place.series, place.timestamp));
        Ok(())
    };
    record(&exemplars).exemplars(visit).unwrap();
    assert_eq!(found, [r#"9 1002 2.5 [("trace_id", "x")]"#]);

    let mut metadata = vec![6, 9, 1, 3];
    for text in ["UNIT", "seconds", "HELP", "what it is", "NEW", "of a later version"] {
        put_uvarint(text.len() as u64, &mut metadata);
        metadata.extend(text.as_bytes());
    }
    let mut found = Vec::new();
    let visit = |series, kind: MetricType, unit: &str, help: &str| {
        found.push(format!("{series} {} {unit} {help}", kind.as_str()));
    };
    record(&metadata).metadata(visit).unwrap();
    assert_eq!(found, ["9 counter seconds what it is"]);
    assert_eq!(record(&[5, 1, 2, 3]).kind, Kind::Markers);
    assert!(Record::of(&[14]).unwrap_err().0.contains("unknown type 14"));
    assert!(Record::of(&[]).is_err());
}

/// Cut-off and changed records are faults and nothing else.
#[test]
fn changed_records() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut records = vec![
        series_record(&[(7, &[("__name__", "up"), ("job", "a")])]),
        samples_record(&[(5, 100, 1.0), (3, 90, 2.0)]),
    ];
    for (kind, floats, custom) in [(7, false, false), (8, true, false), (9, false, true), (10, true, true)] {
        let mut bytes = vec![kind];
        bytes.extend([0; 18]);
        put_histogram(floats, custom, false, &mut bytes);
        records.push(bytes);
    }
    for _ in 0..20_000 {
        let mut bytes = random.choice(&records).unwrap().clone();
        for _ in 0..random.usize(0..3) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(0..=bytes.len()));
        let Ok(record) = Record::of(&bytes) else { continue };
        let _ = match record.kind {
            Kind::Series => record.series(|_, _| Ok(())),
            Kind::Samples => record.samples(|_, _| Ok(())),
            Kind::Tombstones => record.tombstones(|_, _, _| ()),
            Kind::Exemplars => record.exemplars(|_, _, _| Ok(())),
            Kind::Markers => Ok(()),
            Kind::Metadata => record.metadata(|_, _, _, _| ()),
            Kind::Histograms { floats } => record.histograms(floats, |_, _| Ok(())),
        };
    }
}

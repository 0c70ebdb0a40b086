use super::*;

const ORIGIN: Origin = Origin { writer: 77, epoch: 3, sequence: 12 };

fn rows_of(object: &[u8]) -> LogRows {
    match decode(object).unwrap().content {
        Content::Rows(rows) => *rows,
        other => panic!("{other:?}"),
    }
}

fn rows() -> LogRows {
    let labels = Labels::from_pairs([("__name__", "m"), ("ü", "ö\n\"")]);
    let mut rows = LogRows::default();
    rows.series.push((4, Arc::new(Series { id: -5, labels: labels.clone() })));
    rows.series.push((5, Arc::new(Series { id: 6, labels: Labels::empty() })));
    rows.samples.push(4, -5, 1, f64::from_bits(crate::model::sample::STALE_NAN_BITS), 0);
    rows.samples.push(5, 6, -2, -0.0, 7);
    rows.histograms.push(LogHistogram {
        slot: 4,
        series_id: -5,
        timestamp: 3,
        histogram: Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: -53,
            zero_threshold: 0.1,
            zero_count: 1.0,
            count: 2.0,
            sum: 3.5,
            positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 2, length: u32::MAX }],
            negative_spans: vec![],
            positive_buckets: vec![1.0, 2.0],
            negative_buckets: vec![],
            custom_values: vec![0.5],
        }),
        start_timestamp: 11,
    });
    rows.exemplars.push(LogExemplar { slot: 4, series_id: -5, timestamp: 9, value: 0.25, labels });
    rows.metadata.push(("m".into(), Metadata { kind: MetricType::Counter, help: "h".into(), unit: "s".into() }));
    rows
}

/// Everything but the slots comes back.
fn text_of(rows: &LogRows) -> String {
    let series: Vec<_> = rows.series.iter().map(|(_, s)| s).collect();
    let samples = &rows.samples;
    let values: Vec<u64> = samples.values.iter().map(|v| v.to_bits()).collect();
    let histograms: Vec<_> =
        rows.histograms.iter().map(|h| (h.series_id, h.timestamp, &h.histogram, h.start_timestamp)).collect();
    let exemplars: Vec<_> = rows.exemplars.iter().map(|e| (e.series_id, e.timestamp, e.value, &e.labels)).collect();
    let columns = (&samples.series_ids, &samples.timestamps, values, &samples.start_timestamps);
    format!("{series:?} {columns:?} {histograms:?} {exemplars:?} {:?}", rows.metadata)
}

#[test]
fn round_trip() {
    let object = encode(&rows(), ORIGIN).unwrap();
    assert_eq!(decode(&object).unwrap().origin, ORIGIN);
    let read = rows_of(&object);
    assert_eq!(text_of(&read), text_of(&rows()));
    assert_eq!(read.samples.slots, [NO_SLOT, NO_SLOT]);
    assert!(rows_of(&encode(&LogRows::default(), ORIGIN).unwrap()).is_empty());
}

#[test]
fn marks() {
    let seal = encode_seal(ORIGIN, 9);
    assert!(seal.len() as u64 <= MAX_MARK_BYTES);
    assert!(matches!(decode(&seal).unwrap().content, Content::Seal { by: 9 }));
    assert!(matches!(decode(&encode_void(ORIGIN, 9)).unwrap().content, Content::Void));
    let mut one = LogRows::default();
    one.samples.push(0, 1, 2, 3.0, 0);
    assert!(encode(&one, ORIGIN).unwrap().len() as u64 > MAX_MARK_BYTES);
}

/// What a promlake without epochs wrote: 48 bytes of header, no epoch.
#[test]
fn version_1_is_read() {
    let object = encode(&rows(), ORIGIN).unwrap();
    let mut old = [&object[..24], &object[32..48], &[0; 8], &object[HEADER_BYTES..]].concat();
    old[8..12].copy_from_slice(&1u32.to_le_bytes());
    let checksum = checksum_of(&old, HEADER_V1_BYTES);
    old[40..48].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(decode(&old).unwrap().origin, Origin { epoch: 0, ..ORIGIN });
    assert_eq!(text_of(&rows_of(&old)), text_of(&rows()));
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let object = encode(&rows(), ORIGIN).unwrap();
    for length in 0..object.len() {
        assert!(decode(&object[..length]).is_err(), "cut at {length}");
    }
    for at in 0..object.len() {
        let mut copy = object.to_vec();
        copy[at] ^= 1 << (at % 8);
        assert!(decode(&copy).is_err(), "flipped at {at}");
    }
    let mut longer = object.to_vec();
    longer.push(0);
    assert!(decode(&longer).is_err());
}

/// A checksum is no proof of good will: with a right one, garbage is still an error and never a panic.
#[test]
fn garbage_with_a_right_checksum_does_not_panic() {
    let object = encode(&rows(), ORIGIN).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..3000 {
        let mut copy = object.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(HEADER_BYTES..copy.len());
            copy[at] = random.u8(..);
        }
        let checksum = checksum_of(&copy, HEADER_BYTES);
        copy[48..56].copy_from_slice(&checksum.to_le_bytes());
        let _ = decode(&copy);
    }
}

#[test]
fn versions_to_come_are_named() {
    let mut object = encode(&rows(), ORIGIN).unwrap().to_vec();
    object[8] = 9;
    let error = decode(&object).unwrap_err();
    assert_eq!((error.kind, error.to_string().contains("version 9")), (ErrorKind::Unsupported, true));
}

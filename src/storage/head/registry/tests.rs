use super::*;
use crate::model::sample::STALE_NAN;
use crate::storage::types::{ExemplarRow, Existing, HistogramRow, SampleRow};

const NOW: i64 = 1_000_000;

fn rules(window: i64) -> Rules {
    Rules { oldest_allowed_ms: i64::MIN, newest_allowed_ms: NOW, out_of_order_window_ms: window }
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

fn intern(registry: &mut Registry, name: &str) -> SeriesRef {
    let labels = labels(name);
    let hash = (registry.hash)(&labels);
    registry.intern(&labels, hash, 1)
}

fn sample(series: SeriesRef, timestamp: i64, value: f64) -> SampleRow {
    SampleRow { series, timestamp, value, start_timestamp: 0 }
}

/// Appends samples of one series one after the other; says what became of each.
#[track_caller]
fn check(window: i64, samples: &[(i64, f64)], expected: &[&str]) {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    let mut found = Vec::new();
    for (timestamp, value) in samples {
        let before = out.rows();
        let batch = WriteBatch { samples: vec![sample(series, *timestamp, *value)], ..WriteBatch::default() };
        let report = registry.accept(&batch, rules(window), 1, &mut out);
        found.push(match report.rejected_samples.first() {
            Some((0, rejection)) => rejection.as_str(),
            Some(_) => unreachable!("one row"),
            None if out.rows() == before => "same",
            None => "ok",
        });
    }
    assert_eq!(found, expected);
}

#[test]
fn order_and_duplicates() {
    check(0, &[(10, 1.0), (20, 2.0), (20, 2.0)], &["ok", "ok", "same"]);
    check(0, &[(20, 2.0), (20, 3.0)], &["ok", "duplicate sample for timestamp"]);
    check(0, &[(20, 2.0), (19, 2.0)], &["ok", "out of order sample"]);
    check(5, &[(20, 2.0), (15, 2.0), (14, 2.0)], &["ok", "ok", "too old sample"]);
    check(5, &[(20, 2.0), (20, 3.0)], &["ok", "duplicate sample for timestamp"]);
    // The newest stays the newest after a sample behind it.
    check(5, &[(20, 2.0), (15, 1.0), (20, 2.0), (14, 0.0)], &["ok", "ok", "same", "too old sample"]);
    // Old is fine where nothing is newer.
    check(0, &[(-500, 1.0), (0, 1.0)], &["ok", "ok"]);
    check(0, &[(NOW, 1.0), (NOW + 1, 1.0)], &["ok", "out of bounds: timestamp is too far in the future"]);
    // Bits decide, not numbers.
    check(0, &[(1, STALE_NAN), (1, STALE_NAN), (1, f64::NAN)], &["ok", "same", "duplicate sample for timestamp"]);
    check(0, &[(1, 0.0), (1, -0.0)], &["ok", "duplicate sample for timestamp"]);
    check(i64::MAX, &[(-5, 0.0), (i64::MIN + 1, 0.0)], &["ok", "ok"]);
}

#[test]
fn histograms_share_the_order_of_their_series() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    let stale = Arc::new(FloatHistogram { sum: STALE_NAN, ..FloatHistogram::default() });
    let other = Arc::new(FloatHistogram { sum: 1.0, ..FloatHistogram::default() });
    let row = |timestamp, histogram: &Arc<FloatHistogram>| HistogramRow {
        series,
        timestamp,
        histogram: histogram.clone(),
        start_timestamp: 0,
    };
    let batch = WriteBatch { samples: vec![sample(series, 1, 1.0)], ..WriteBatch::default() };
    registry.accept(&batch, rules(0), 1, &mut out);
    let batch = WriteBatch {
        histograms: vec![row(1, &stale), row(2, &stale), row(2, &stale), row(2, &other)],
        ..WriteBatch::default()
    };
    let report = registry.accept(&batch, rules(0), 1, &mut out);
    assert_eq!((report.histograms_written, report.dropped_histograms), (2, vec![3]));
    assert_eq!(report.rejected_histograms, [(0, Rejection::Duplicate)]);
    assert_eq!(out.histograms.len(), 1);
    let batch = WriteBatch {
        samples: vec![sample(series, 2, STALE_NAN)],
        histograms: vec![row(2, &other), row(1, &other), row(2, &stale)],
        ..WriteBatch::default()
    };
    let report = registry.accept(&batch, rules(0), 1, &mut out);
    assert_eq!(report.rejected_samples, [(0, Rejection::Duplicate)]);
    assert_eq!(report.existing, [(0, Existing::Histogram)]);
    assert_eq!(report.rejected_histograms, [(0, Rejection::Duplicate), (1, Rejection::OutOfOrder)]);
}

/// What Prometheus 3.5.3 answers for batches of one series after a sample 1 at time 10: values by time, then what is
/// stored beside it, and what is said of each row that is refused.
#[test]
fn one_bad_row_costs_no_other() {
    #[track_caller]
    fn check(
        window: i64,
        rows: &[(i64, f64)],
        stored: &[(i64, f64)],
        dropped: &[usize],
        refused: &[(usize, &str)],
    ) {
        let mut registry = Registry::default();
        let (series, other) = (intern(&mut registry, "m"), intern(&mut registry, "other"));
        let mut out = LogRows::default();
        let first = WriteBatch { samples: vec![sample(series, 10, 1.0)], ..WriteBatch::default() };
        registry.accept(&first, rules(window), 1, &mut out);
        let mut samples: Vec<SampleRow> = rows.iter().map(|(t, v)| sample(series, *t, *v)).collect();
        samples.push(sample(other, 5, 5.0));
        let batch = WriteBatch { samples, ..WriteBatch::default() };
        let report = registry.accept(&batch, rules(window), 1, &mut out);
        let found: Vec<_> =
            out.samples.timestamps.iter().copied().zip(out.samples.values.iter().copied()).collect();
        assert_eq!((found[0], found[found.len() - 1]), ((10, 1.0), (5, 5.0)), "the rows of others are stored");
        assert_eq!(&found[1..found.len() - 1], stored);
        let rejected: Vec<_> = report.rejected_samples.iter().map(|(row, why)| (*row, why.as_str())).collect();
        assert_eq!((report.dropped_samples.as_slice(), rejected.as_slice()), (dropped, refused));
        assert_eq!(report.samples_written + dropped.len() + refused.len(), rows.len() + 1);
        let duplicates = report.rejected_samples.iter().filter(|(_, why)| *why == Rejection::Duplicate);
        let existing: Vec<_> = duplicates.map(|(row, _)| (*row, Existing::Float(1.0))).collect();
        assert_eq!(report.existing, existing);
    }
    let (duplicate, order) = ("duplicate sample for timestamp", "out of order sample");
    check(0, &[(11, 1.0), (12, 2.0)], &[(11, 1.0), (12, 2.0)], &[], &[]);
    check(0, &[(10, 2.0), (11, 3.0)], &[(11, 3.0)], &[], &[(0, duplicate)]);
    check(0, &[(9, 2.0), (11, 3.0), (8, 3.0)], &[(11, 3.0)], &[], &[(0, order), (2, order)]);
    // Only rows of the same batch speak against these: the first value is kept, and nobody is told.
    check(0, &[(11, 2.0), (11, 3.0)], &[(11, 2.0)], &[1], &[]);
    check(0, &[(12, 2.0), (11, 3.0), (13, 1.0)], &[(12, 2.0), (13, 1.0)], &[1], &[]);
    // Judged by what was there before.
    check(0, &[(11, 2.0), (10, 1.0)], &[(11, 2.0)], &[], &[]);
    check(0, &[(11, 2.0), (10, 3.0), (9, 1.0)], &[(11, 2.0)], &[], &[(1, duplicate), (2, order)]);
    check(5, &[(12, 2.0), (7, 3.0), (7, 4.0)], &[(12, 2.0), (7, 3.0)], &[2], &[]);
    check(5, &[(4, 2.0)], &[], &[], &[(0, "too old sample")]);
}

#[test]
fn bounds() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let bounded = Rules { oldest_allowed_ms: 1, ..rules(0) };
    let mut out = LogRows::default();
    let batch = WriteBatch {
        samples: vec![sample(series, 0, 1.0), sample(series, 1, 1.0), sample(series, NOW + 1, 1.0)],
        exemplars: vec![exemplar(series, 0), exemplar(series, NOW + 1), exemplar(series, 1)],
        ..WriteBatch::default()
    };
    let report = registry.accept(&batch, bounded, 1, &mut out);
    let refused = [(0, Rejection::OutOfBounds), (2, Rejection::TooFarInFuture)];
    assert_eq!((report.samples_written, report.rejected_samples), (1, refused.to_vec()));
    let refused = [(0, Rejection::OutOfBounds), (1, Rejection::TooFarInFuture)];
    assert_eq!((report.exemplars_written, report.rejected_exemplars), (1, refused.to_vec()));
}

#[test]
fn labels_are_logged_once_per_generation() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    for (generation, timestamp) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        let batch = WriteBatch { samples: vec![sample(series, timestamp, 0.0)], ..WriteBatch::default() };
        registry.accept(&batch, rules(0), generation, &mut out);
    }
    assert_eq!((out.series.len(), out.rows()), (2, 4));
}

fn exemplar(series: SeriesRef, timestamp: i64) -> ExemplarRow {
    ExemplarRow { series, timestamp, has_timestamp: true, value: 1.0, labels: Labels::empty() }
}

#[test]
fn exemplars_only_move_forward() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    let mut check = |rows: Vec<ExemplarRow>, window: i64, stored: usize, refused: &[usize]| {
        let before = out.exemplars.len();
        let count = rows.len();
        let batch = WriteBatch { exemplars: rows, ..WriteBatch::default() };
        let report = registry.accept(&batch, rules(window), 1, &mut out);
        let rejected: Vec<usize> = report.rejected_exemplars.iter().map(|(row, _)| *row).collect();
        assert_eq!((out.exemplars.len() - before, rejected.as_slice()), (stored, refused));
        assert_eq!(report.exemplars_written, count - refused.len());
    };
    let row = |timestamp| exemplar(series, timestamp);
    let valued = |timestamp, value: f64| ExemplarRow { value, ..row(timestamp) };
    // In one batch any order will do; the same one twice is one.
    check(vec![row(5), row(5), row(4), row(6)], 0, 3, &[]);
    check(vec![row(6), row(5), row(7)], 0, 1, &[1]);
    // Several at one time, as the buckets of a histogram have them: by value.
    check(vec![valued(7, 2.0), valued(7, 0.5), valued(7, f64::NAN)], 0, 2, &[1]);
    check(vec![valued(7, f64::NAN)], 0, 0, &[]);
    check(vec![row(10), row(20)], 0, 2, &[]);
    check(vec![row(16), row(15)], 5, 1, &[1]);
    assert_eq!(out.series.len(), 1);
}

#[test]
fn ids_that_collide_are_probed_and_stay() {
    let mut registry = Registry::with_hash(|_| 7);
    let refs = ["a", "b", "c"].map(|name| intern(&mut registry, name));
    assert_eq!(refs.map(|r| registry.hot[r.slot as usize].series_id), [7, 8, 9]);
    assert_eq!(["a", "b", "c"].map(|name| intern(&mut registry, name)), refs);
    // None may go: the probe for `c` leads past the others.
    assert!(registry.evict(0, 10, 9).is_empty());
}

#[test]
fn evicted_handles_are_unknown() {
    let mut registry = Registry::default();
    let (a, b) = (intern(&mut registry, "a"), intern(&mut registry, "b"));
    let mut out = LogRows::default();
    let batch = |series| WriteBatch { samples: vec![sample(series, 1, 0.0)], ..WriteBatch::default() };
    registry.accept(&batch(b), rules(0), 2, &mut out);
    let gone = registry.evict(0, 10, 2);
    assert_eq!(gone.iter().map(|s| s.labels.metric()).collect::<Vec<_>>(), ["a"]);
    let report = registry.accept(&batch(a), rules(0), 3, &mut out);
    assert_eq!(report.rejected_samples, [(0, Rejection::UnknownSeries)]);
    let again = intern(&mut registry, "a");
    assert_eq!((again.slot, again.generation), (a.slot, a.generation + 1));
    assert_eq!((registry.len(), registry.slots()), (2, 2));
}

/// One without a time of its own comes with each sample of its series, and is the same.
#[test]
fn exemplars_without_times_are_not_stored_again() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    let untimed = |timestamp| ExemplarRow { has_timestamp: false, ..exemplar(series, timestamp) };
    for (row, stored) in
        [(untimed(1), 1), (untimed(2), 1), (exemplar(series, 3), 2), (untimed(4), 3), (untimed(5), 3)]
    {
        let batch = WriteBatch { exemplars: vec![row], ..WriteBatch::default() };
        registry.accept(&batch, rules(0), 1, &mut out);
        assert_eq!(out.exemplars.len(), stored);
    }
}

use super::*;
use crate::model::sample::STALE_NAN;
use crate::storage::types::{ExemplarRow, HistogramRow, SampleRow};

const NOW: i64 = 1_000_000;

fn rules(window: i64) -> Rules {
    Rules { newest_allowed_ms: NOW, out_of_order_window_ms: window }
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
    check(0, &[(NOW, 1.0), (NOW + 1, 1.0)], &["ok", "out of bounds"]);
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
    let batch = WriteBatch {
        samples: vec![sample(series, 1, 1.0)],
        histograms: vec![row(1, &stale), row(2, &stale), row(2, &stale), row(2, &other)],
        ..WriteBatch::default()
    };
    let report = registry.accept(&batch, rules(0), 1, &mut out);
    assert_eq!(report.histograms_written, 2);
    assert_eq!(report.rejected_histograms, [(0, Rejection::Duplicate), (3, Rejection::Duplicate)]);
    assert_eq!(out.histograms.len(), 1);
    let batch = WriteBatch { samples: vec![sample(series, 2, STALE_NAN)], ..WriteBatch::default() };
    let report = registry.accept(&batch, rules(0), 1, &mut out);
    assert_eq!(report.rejected_samples, [(0, Rejection::Duplicate)]);
}

#[test]
fn all_or_nothing_takes_everything_back() {
    let mut registry = Registry::default();
    let (a, b) = (intern(&mut registry, "a"), intern(&mut registry, "b"));
    let mut out = LogRows::default();
    let first = WriteBatch { samples: vec![sample(b, 50, 1.0)], ..WriteBatch::default() };
    registry.accept(&first, rules(0), 1, &mut out);
    let batch = WriteBatch {
        samples: vec![sample(a, 10, 1.0), sample(a, 20, 1.0), sample(b, 49, 1.0), sample(a, 5, 1.0)],
        all_or_nothing: true,
        ..WriteBatch::default()
    };
    let report = registry.accept(&batch, rules(0), 1, &mut out);
    assert_eq!((report.samples_written, report.rejected_samples), (0, vec![(2, Rejection::OutOfOrder)]));
    assert_eq!((out.rows(), out.series.len()), (1, 1));
    // Neither the order of `a` nor its labels were touched.
    let again = WriteBatch { samples: vec![sample(a, 5, 2.0)], ..WriteBatch::default() };
    assert_eq!(registry.accept(&again, rules(0), 1, &mut out).samples_written, 1);
    assert_eq!(out.series.len(), 2);
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

#[test]
fn exemplars_only_move_forward() {
    let mut registry = Registry::default();
    let series = intern(&mut registry, "m");
    let mut out = LogRows::default();
    let row = |timestamp| ExemplarRow { series, timestamp, value: 1.0, labels: Labels::empty() };
    let batch =
        WriteBatch { exemplars: vec![row(5), row(5), row(4), row(6), row(NOW + 1)], ..WriteBatch::default() };
    assert_eq!(registry.accept(&batch, rules(0), 1, &mut out).exemplars_written, 2);
    assert_eq!((out.exemplars.len(), out.series.len()), (2, 1));
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

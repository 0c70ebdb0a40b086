use super::*;
use crate::model::labels::Labels;
use crate::storage::types::{LogHistogram, SortedRuns};

fn series(id: i64, metric: &str) -> Arc<Series> {
    Arc::new(Series { id, labels: Labels::from_pairs([("__name__", metric)]) })
}

fn rows(new: &[(u32, Arc<Series>)], samples: &[(u32, i64, f64, i64)]) -> LogRows {
    let mut rows = LogRows { series: new.to_vec(), ..LogRows::default() };
    for (slot, timestamp, value, start) in samples {
        rows.samples.push(*slot, 0, *timestamp, *value, *start);
    }
    rows
}

#[track_caller]
fn check(source: &dyn MemorySource, id: i64, range: (i64, i64), expected: &[(i64, f64)]) {
    let mut run = Run::default();
    source.read(id, TimeRange::new(range.0, range.1), &mut run);
    let found: Vec<_> = run.timestamps.iter().copied().zip(run.values.iter().copied()).collect();
    assert_eq!(found, expected);
}

/// The same rows are read from a memtable and from the block it becomes.
#[test]
fn reads() {
    let memtable = Memtable::new(1);
    assert!(memtable.is_empty() && memtable.bounds().is_none());
    memtable.apply(&rows(
        &[(3, series(30, "b")), (0, series(10, "a"))],
        &[(3, 5, 1.0, 0), (0, 1, 1.5, 0), (3, 7, 2.0, 0), (0, 2, 2.5, 0)],
    ));
    // Behind the newest, and an old timestamp again: the last one wins.
    memtable.apply(&rows(&[], &[(3, 6, 3.0, 0), (3, 5, 4.0, 0), (3, 9, 5.0, 0)]));
    let sorted = memtable.sorted();
    let [block] = sorted.blocks() else { panic!("one block") };
    for source in [&memtable as &dyn MemorySource, block.as_ref()] {
        check(source, 10, (i64::MIN, i64::MAX), &[(1, 1.5), (2, 2.5)]);
        check(source, 10, (2, 2), &[(2, 2.5)]);
        check(source, 10, (3, 9), &[]);
        check(source, 30, (i64::MIN, i64::MAX), &[(5, 4.0), (6, 3.0), (7, 2.0), (9, 5.0)]);
        check(source, 30, (6, 8), &[(6, 3.0), (7, 2.0)]);
        check(source, 31, (0, 9), &[]);
        assert_eq!(source.bounds(), Some(TimeRange::new(1, 9)));
    }
    assert_eq!((memtable.samples(), block.samples()), (7, 6));
    let order: Vec<_> = sorted.series().iter().zip(0..).map(|(s, at)| (s.id, sorted.times(at))).collect();
    assert_eq!(order, [(10, TimeRange::new(1, 2)), (30, TimeRange::new(5, 9))]);
    assert!(memtable.bytes() >= 7 * 16 && sorted.bytes() >= block.bytes());
}

#[test]
fn histograms_and_start_timestamps_stay_parallel() {
    let memtable = Memtable::new(1);
    memtable.apply(&rows(
        &[(0, series(1, "m")), (1, series(2, "n"))],
        &[(0, 1, 1.0, 0), (0, 2, 2.0, 9), (1, 1, 7.0, 0)],
    ));
    let histogram = Arc::new(FloatHistogram { sum: 3.0, ..FloatHistogram::default() });
    let row = LogHistogram { slot: 0, series_id: 1, timestamp: 3, histogram, start_timestamp: 0 };
    memtable.apply(&LogRows { histograms: vec![row], ..LogRows::default() });
    memtable.apply(&rows(&[], &[(0, 4, 4.0, 0), (0, 2, 5.0, 8)]));
    let sorted = memtable.sorted();
    let [block] = sorted.blocks() else { panic!("one block") };
    for source in [&memtable as &dyn MemorySource, block.as_ref()] {
        let mut run = Run::default();
        source.read(1, TimeRange::ALL, &mut run);
        assert_eq!(run.timestamps, [1, 2, 3, 4]);
        assert_eq!(run.start_timestamps, [0, 8, 0, 0]);
        let is_histogram: Vec<_> = run.histograms.iter().map(Option::is_some).collect();
        assert_eq!(is_histogram, [false, false, true, false]);
        assert_eq!([run.values[0], run.values[1], run.values[3]], [1.0, 5.0, 4.0]);
        // A series with neither has neither column.
        let mut run = Run::default();
        source.read(2, TimeRange::ALL, &mut run);
        assert_eq!((run.timestamps.len(), run.histograms.len(), run.start_timestamps.len()), (1, 0, 0));
        assert!(source.has_histograms() && source.has_start_timestamps());
    }
}

#[test]
fn tells_which_days_are_new() {
    const DAY: i64 = crate::model::sample::DAY_MS;
    let memtable = Memtable::new(1);
    let days = |days: Vec<SeriesDay>| days.into_iter().map(|(s, day)| (s.id, day)).collect::<Vec<_>>();
    let first = rows(&[(0, series(1, "m"))], &[(0, 0, 0.0, 0), (0, 5, 0.0, 0), (0, DAY, 0.0, 0)]);
    assert_eq!(days(memtable.apply(&first)), [(1, 0), (1, 1)]);
    assert!(memtable.apply(&rows(&[], &[(0, DAY + 1, 0.0, 0)])).is_empty());
    assert_eq!(days(memtable.apply(&rows(&[], &[(0, -1, 0.0, 0)]))), [(1, -1)]);
}

#[test]
fn every_range_of_a_long_run() {
    for count in [1, 2, 3, 7, 40] {
        let memtable = Memtable::new(1);
        let samples: Vec<_> = (0..count).map(|i| (0, i * 10, i as f64, 0)).collect();
        memtable.apply(&rows(&[(0, series(1, "a"))], &samples));
        for (from, to) in (-1..count * 10 + 1).flat_map(|from| (from..from + 95).map(move |to| (from, to))) {
            let inside = (0..count).filter(|i| from <= i * 10 && i * 10 <= to);
            check(&memtable, 1, (from, to), &inside.map(|i| (i * 10, i as f64)).collect::<Vec<_>>());
        }
    }
}

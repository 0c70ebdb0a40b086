//! Imports into a lake in memory: what is there afterwards, whatever was done before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::ingest::import::progress::Progress;
use crate::ingest::import::run::{Import, Options, Summary};
use crate::ingest::import::tsdb::{Wanted, sources};
use crate::ingest::tsdb::fixture::{Chunk, Fixture, samples_record, series_record, write_log};
use crate::ingest::tsdb::folder::Folder;
use crate::model::labels::Labels;
use crate::model::sample::{DAY_MS, TimeRange};
use crate::storage::lake::Lake;
use crate::storage::lake::reader::RunStream;
use crate::storage::object::{self, Objects};

const A: &str = "01BX5ZZKBKACTAV9WEVGEMMVRA";
const B: &str = "01BX5ZZKBKACTAV9WEVGEMMVRB";
/// 2023-11-15, a day that is over.
const DAY: i64 = 19_676 * DAY_MS;
const NOW: i64 = DAY + 100 * DAY_MS;

type Contents = BTreeMap<String, Vec<(i64, f64)>>;

async fn lake(objects: &Objects) -> Lake {
    Lake::open(objects, "test", Arc::new(|| NOW)).await.unwrap()
}

fn wanted() -> Wanted {
    Wanted { labels: Vec::new(), range: TimeRange::ALL, memory_bytes: 1 << 20 }
}

async fn import(objects: &Objects, folder: &Path, wanted: &Wanted) -> Summary {
    try_import(objects, folder, wanted).await.unwrap()
}

async fn try_import(objects: &Objects, folder: &Path, wanted: &Wanted) -> crate::error::Result<Summary> {
    let folder = Folder::open(folder)?;
    let (lake, progress) = (lake(objects).await, Progress::default());
    let options = Options { range: wanted.range, threads: 2 };
    Import::new(&lake, options, &progress).run(sources(&folder, wanted)?).await
}

/// All samples by series; every file's rows must be of series that are listed for their day, sorted and in their day.
async fn contents(objects: &Objects) -> (Contents, usize) {
    let lake = lake(objects).await;
    let files = lake.files();
    let mut contents = Contents::new();
    for file in &files.samples {
        let listed: BTreeMap<i64, Labels> =
            lake.read_series(file.day).await.unwrap().into_iter().map(|s| (s.id, s.labels)).collect();
        let mut stream = RunStream::open(objects.store.clone(), &file.path, file.size_bytes).await.unwrap();
        let mut last = None;
        while let Some(run) = stream.next().await.unwrap() {
            let key = (run.metric.to_string(), run.series_id);
            assert!(last.as_ref() < Some(&key), "{key:?} after {last:?}");
            last = Some(key);
            let labels = &listed[&run.series_id];
            assert_eq!(labels.metric(), &*run.metric);
            let samples = run.run.timestamps.into_iter().zip(run.run.values);
            contents.entry(labels.to_string()).or_default().extend(samples.inspect(|(t, _)| {
                assert_eq!(t.div_euclid(DAY_MS), i64::from(file.day));
            }));
        }
    }
    contents.values_mut().for_each(|samples| samples.sort_by_key(|(t, _)| *t));
    (contents, files.samples.len())
}

/// Each minute from one to another, counted from the first day.
fn minutes(range: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    range.map(|minute| (DAY + minute * 60_000, minute as f64)).collect()
}

fn chunks(range: std::ops::Range<i64>) -> Vec<Chunk> {
    minutes(range).chunks(120).map(Chunk::of).collect()
}

/// Two days and a bit of three series, in the order of labels that is not that of ids.
fn days() -> Fixture {
    let mut fixture = Fixture::default();
    for (name, job) in [("b", "x"), ("a", "y"), ("a", "x")] {
        fixture = fixture.series(&[("__name__", name), ("job", job)], chunks(1430..3000));
    }
    fixture.series(&[("__name__", "once")], chunks(2000..2001))
}

fn expected() -> Contents {
    let all = |labels: &str| (labels.to_string(), minutes(1430..3000));
    let mut contents = Contents::from([all(r#"a{job="x"}"#), all(r#"a{job="y"}"#), all(r#"b{job="x"}"#)]);
    contents.insert("once".to_string(), minutes(2000..2001));
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_there_once() {
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    days().write(home.path(), A);
    let first = import(&objects, home.path(), &wanted()).await;
    assert_eq!((first.days, first.samples, first.new_series), (3, 3 * 1570 + 1, 10));
    let (found, files) = contents(&objects).await;
    assert_eq!((found, files), (expected(), 3));
    let again = import(&objects, home.path(), &wanted()).await;
    assert_eq!((again.done_before, again.samples, again.days), (1, 0, 0));
    assert_eq!(contents(&objects).await, (expected(), 3));
}

/// An import that ended after some day, or between the two commits of one, goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_where_it_stopped() {
    let home = tempfile::tempdir().unwrap();
    let whole = days().write(home.path(), A);
    for fails_after in 0..3 {
        let objects = object::open("memory://").unwrap();
        // The chunks of the last days are damaged at first.
        let file = whole.join("chunks/000001");
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        let at = [10, 400, good.len() - 20][fails_after];
        bad[at] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        let error = try_import(&objects, home.path(), &wanted()).await.unwrap_err().to_string();
        assert!(error.contains("000001 is damaged"), "{error}");
        std::fs::write(&file, &good).unwrap();
        import(&objects, home.path(), &wanted()).await;
        assert_eq!(contents(&objects).await.0, expected(), "{fails_after}");
        assert_eq!(import(&objects, home.path(), &wanted()).await.done_before, 1);
    }
}

/// Two of the same at a time: what one has committed the other does not, and nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_imports_at_a_time() {
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    days().write(home.path(), A);
    lake(&objects).await;
    let wanted = wanted();
    let (first, second) =
        tokio::join!(import(&objects, home.path(), &wanted), import(&objects, home.path(), &wanted));
    assert!(first.files + second.files == 3, "{} and {}", first.files, second.files);
    let (found, files) = contents(&objects).await;
    assert_eq!((found, files), (expected(), 3));
    // What lost was taken back.
    let listed: Vec<_> =
        futures::TryStreamExt::try_collect(objects.store.list(Some(&"samples".into()))).await.unwrap();
    let parquet = listed.iter().filter(|object| object.location.as_ref().ends_with(".parquet"));
    assert_eq!(parquet.count(), 3);
}

/// Blocks that overlap are one day's file; of equal times that of the earlier block stays.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_blocks() {
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    Fixture::default().series(&[("__name__", "a")], chunks(0..100)).write(home.path(), A);
    let other: Vec<_> = minutes(50..150).into_iter().map(|(t, v)| (t, if v < 100.0 { -1.0 } else { v })).collect();
    Fixture::default()
        .series(&[("__name__", "a")], vec![Chunk::of(&other)])
        .series(&[("__name__", "b")], chunks(1440..1441))
        .write(home.path(), B);
    let summary = import(&objects, home.path(), &wanted()).await;
    assert_eq!((summary.days, summary.files), (2, 2));
    let expected = Contents::from([("a".to_string(), minutes(0..150)), ("b".to_string(), minutes(1440..1441))]);
    assert_eq!(contents(&objects).await.0, expected);
    // A block that comes later is imported by itself.
    Fixture::default().series(&[("__name__", "c")], chunks(5..6)).write(home.path(), "01BX5ZZKBKACTAV9WEVGEMMVRC");
    let summary = import(&objects, home.path(), &wanted()).await;
    assert_eq!((summary.done_before, summary.days, summary.samples), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_times() {
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    let meta = serde_json::json!({"thanos": {"labels": {"cluster": "eu", "job": "thanos"}}});
    Fixture { meta: Some(meta), ..Fixture::default() }
        .series(&[("__name__", "a"), ("job", "x")], chunks(0..100))
        .write(home.path(), A);
    let labels = vec![("cluster".to_string(), "us".to_string())];
    let range = TimeRange::new(DAY + 10 * 60_000, DAY + 19 * 60_000);
    let narrow = Wanted { labels, range, ..wanted() };
    assert_eq!(import(&objects, home.path(), &narrow).await.samples, 10);
    assert_eq!(import(&objects, home.path(), &narrow).await.done_before, 1);
    let expected = Contents::from([(r#"a{cluster="us", job="thanos"}"#.to_string(), minutes(10..20))]);
    assert_eq!(contents(&objects).await.0, expected);
    // All of it is another import.
    assert_eq!(import(&objects, home.path(), &wanted()).await.samples, 100);
}

/// Blocks and the head behind them, whose first samples are in the last block too.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_and_the_head() {
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    Fixture::default().series(&[("__name__", "a")], chunks(0..100)).write(home.path(), A);
    let of = |reference: u64, range: std::ops::Range<i64>| {
        samples_record(&minutes(range).into_iter().map(|(t, v)| (reference, t, v)).collect::<Vec<_>>())
    };
    write_log(
        &home.path().join("wal"),
        &[vec![
            series_record(&[(1, &[("__name__", "a")]), (2, &[("__name__", "new")])]),
            of(1, 90..120),
            of(2, 99..101),
            of(1, 120..1500),
        ]],
    );
    let summary = import(&objects, home.path(), &wanted()).await;
    assert_eq!(summary.days, 2);
    let expected = Contents::from([("a".to_string(), minutes(0..1500)), ("new".to_string(), minutes(100..101))]);
    assert_eq!(contents(&objects).await.0, expected);
    assert_eq!(import(&objects, home.path(), &wanted()).await.done_before, 2);
}

/// Beside a server: series have its ids, what it had first stays, and it sees what was imported.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_store() {
    use crate::storage::store::{Options as StoreOptions, Store};
    use crate::storage::types::{Run, SampleRow, WriteBatch};
    let (objects, home) = (object::open("memory://").unwrap(), tempfile::tempdir().unwrap());
    Fixture::default().series(&[("__name__", "a"), ("job", "x")], chunks(0..100)).write(home.path(), A);
    let options = StoreOptions {
        url: "memory://".to_string(),
        wal_flush_interval: Some(std::time::Duration::ZERO),
        flush_interval: std::time::Duration::ZERO,
        ..StoreOptions::default()
    };
    let store = Store::open_on(objects.clone(), options, Arc::new(|| NOW), 1).await.unwrap();
    let series = store.intern(&Labels::from_pairs([("__name__", "a"), ("job", "x")]));
    let row = SampleRow { series, timestamp: DAY + 50 * 60_000, value: -5.0, start_timestamp: 0 };
    store.append(WriteBatch { samples: vec![row], ..WriteBatch::default() }).await.unwrap();
    store.flush().await.unwrap();
    import(&objects, home.path(), &wanted()).await;
    let mut found = Run::default();
    for _ in 0..100 {
        let snapshot = store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        assert_eq!(snapshot.series.len(), 1);
        let mut runs = Vec::new();
        for file in &snapshot.files {
            let mut stream = RunStream::open(objects.store.clone(), &file.path, file.size_bytes).await.unwrap();
            while let Some(run) = stream.next().await.unwrap() {
                assert_eq!(run.series_id, snapshot.series[0].id);
                runs.push(run.run);
            }
        }
        for source in &snapshot.memory {
            let mut run = Run::default();
            source.read(snapshot.series[0].id, TimeRange::ALL, &mut run);
            runs.push(run);
        }
        found = crate::storage::runs::combine(runs);
        if found.timestamps.len() == 100 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut expected: Vec<f64> = (0..100).map(f64::from).collect();
    expected[50] = -5.0;
    assert_eq!(found.values, expected);
    // And when the files are merged it stays so.
    assert_eq!(store.merge().await.unwrap(), 2);
    let (all, files) = contents(&objects).await;
    assert_eq!((all[r#"a{job="x"}"#].iter().map(|(_, v)| *v).collect::<Vec<_>>(), files), (expected, 1));
    store.stop().await;
}

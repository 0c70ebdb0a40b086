//! A store that reads beside one that writes.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::object::{self, Objects};
use crate::storage::store::reading::Reading;
use crate::storage::store::{Options, Store};
use crate::storage::types::{Run, SampleRow, Series, WriteBatch};

const NOW: i64 = 1_767_225_600_000;

async fn writing(objects: &Objects, node: &str) -> Arc<Store> {
    let options = Options {
        url: "memory://".to_string(),
        node: node.to_string(),
        wal_flush_interval: Some(Duration::ZERO),
        flush_interval: Duration::ZERO,
        ..Options::default()
    };
    Store::open_on(objects.clone(), options, Arc::new(|| NOW), 1).await.unwrap()
}

async fn reading(objects: &Objects) -> Reading {
    Reading::open(objects.clone(), "reader", Options::default(), Arc::new(|| NOW)).await.unwrap()
}

async fn append(store: &Store, job: &str, samples: &[(i64, f64)]) {
    let series = store.intern(&labels(job));
    let row = |(timestamp, value): &(i64, f64)| SampleRow {
        series,
        timestamp: *timestamp,
        value: *value,
        start_timestamp: 0,
    };
    let batch = WriteBatch { samples: samples.iter().map(row).collect(), ..WriteBatch::default() };
    store.append(batch).await.unwrap();
}

fn labels(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "a"), ("job", job)])
}

/// What queries find: for each job its samples, from files and memory.
async fn found(objects: &Objects, store: &Store) -> Vec<(String, Vec<(i64, f64)>)> {
    let snapshot = store.snapshot(TimeRange::ALL, &[Matcher::metric("a")]).await.unwrap();
    let mut all = Vec::new();
    for series in snapshot.series.iter() {
        let mut runs = Vec::new();
        for file in &snapshot.files {
            let open = crate::storage::lake::reader::RunStream::open;
            let mut stream = open(objects.store.clone(), &file.path, file.size_bytes).await.unwrap();
            while let Some(run) = stream.next().await.unwrap() {
                runs.extend((run.series_id == series.id).then_some(run.run));
            }
        }
        for source in &snapshot.memory {
            let mut run = Run::default();
            source.read(series.id, TimeRange::ALL, &mut run);
            runs.push(run);
        }
        let run = crate::storage::runs::combine(runs);
        let job = series.labels.get("job").unwrap_or_default().to_string();
        all.push((job, run.timestamps.into_iter().zip(run.values).collect()));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lake_and_all_logs_are_read_and_nothing_is_changed() {
    let objects = object::open("memory://").unwrap();
    let (one, two) = (writing(&objects, "one").await, writing(&objects, "two").await);
    append(&one, "x", &[(NOW, 1.0)]).await;
    one.flush().await.unwrap();
    append(&one, "x", &[(NOW + 1, 2.0)]).await;
    append(&two, "y", &[(NOW, 3.0)]).await;
    let before = listing(&objects).await;
    let reading = reading(&objects).await;
    let expected = vec![("x".to_string(), vec![(NOW, 1.0), (NOW + 1, 2.0)]), ("y".to_string(), vec![(NOW, 3.0)])];
    assert_eq!(found(&objects, reading.store()).await, expected);
    // It takes nothing, and whoever writes goes on.
    let refused = reading.store().append(batch(reading.store())).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert_eq!(listing(&objects).await, before);
    append(&one, "x", &[(NOW + 2, 4.0)]).await;
    one.flush().await.unwrap();
    // What has been flushed since, is seen when it is looked for, and nothing twice.
    reading.store().see_lake().await.unwrap();
    let all = found(&objects, reading.store()).await;
    assert_eq!(all[0].1, [(NOW, 1.0), (NOW + 1, 2.0), (NOW + 2, 4.0)]);
    one.stop().await;
    two.stop().await;
}

fn batch(store: &Store) -> WriteBatch {
    let series = store.intern(&labels("z"));
    let row = SampleRow { series, timestamp: NOW, value: 1.0, start_timestamp: 0 };
    WriteBatch { samples: vec![row], ..WriteBatch::default() }
}

async fn listing(objects: &Objects) -> Vec<String> {
    let all: Vec<_> = futures::TryStreamExt::try_collect(objects.store.list(None)).await.unwrap();
    let mut paths: Vec<String> = all.iter().map(|object| object.location.to_string()).collect();
    paths.retain(|path| !path.starts_with("_probe"));
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_laid_over_is_seen_until_it_is_lifted() {
    let objects = object::open("memory://").unwrap();
    let store = writing(&objects, "one").await;
    append(&store, "x", &[(NOW, 1.0), (NOW + 2, 3.0)]).await;
    store.flush().await.unwrap();
    let reading = reading(&objects).await;
    let series = |job: &str| Arc::new(Series { id: labels(job).hash_id(), labels: labels(job) });
    let run = |samples: &[(i64, f64)]| {
        let (timestamps, values) = samples.iter().copied().unzip();
        Run { timestamps, values, ..Run::default() }
    };
    let bytes = reading.lay(&[(series("x"), run(&[(NOW + 1, 2.0)])), (series("y"), run(&[(NOW, 9.0)]))]);
    assert!(reading.lay(&[(series("y"), run(&[(NOW + 1, 8.0)]))]) >= bytes && bytes > 0);
    let laid = found(&objects, reading.store()).await;
    let expected = vec![
        ("x".to_string(), vec![(NOW, 1.0), (NOW + 1, 2.0), (NOW + 2, 3.0)]),
        ("y".to_string(), vec![(NOW, 9.0), (NOW + 1, 8.0)]),
    ];
    assert_eq!(laid, expected);
    reading.lift();
    let mut left = found(&objects, reading.store()).await;
    left.retain(|(_, samples)| !samples.is_empty());
    assert_eq!(left, [("x".to_string(), vec![(NOW, 1.0), (NOW + 2, 3.0)])]);
    store.stop().await;
}

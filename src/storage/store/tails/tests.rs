use std::sync::atomic::AtomicI64;

use super::*;
use crate::model::labels::Labels;
use crate::model::sample::TimeRange;
use crate::storage::object::{self, Objects};
use crate::storage::store::{Options, Store};
use crate::storage::types::{SampleRow, WriteBatch};

const START_MS: i64 = 1_700_006_400_000;

struct World {
    objects: Objects,
    now_ms: Arc<AtomicI64>,
    options: Options,
}

impl World {
    fn new() -> Self {
        let options = Options {
            url: "memory://".to_string(),
            flush_interval: Duration::ZERO,
            recent_bytes: 1 << 20,
            ..Options::default()
        };
        Self { objects: object::open("memory://").unwrap(), now_ms: Arc::new(AtomicI64::new(START_MS)), options }
    }

    async fn open(&self, writer: u64) -> Arc<Store> {
        let now_ms = self.now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
        Store::open_on(self.objects.clone(), self.options.clone(), clock, writer).await.unwrap()
    }

    /// One object for each number, at so many seconds.
    async fn write(&self, store: &Store, numbers: std::ops::Range<i64>) {
        for n in numbers {
            self.now_ms.store(START_MS + n * 1000, Ordering::Relaxed);
            let series = store.intern(&Labels::from_pairs([("__name__", "m"), ("x", &format!("{}", n % 3))]));
            let sample = SampleRow { series, timestamp: START_MS + n * 1000, value: n as f64, start_timestamp: 0 };
            store.append(WriteBatch { samples: vec![sample], ..WriteBatch::default() }).await.unwrap();
        }
    }
}

/// The values that come next, and how far that is.
async fn read(tail: &mut Tail) -> (Vec<f64>, Position) {
    match tail.next().await.unwrap() {
        Next::Parts(parts) => {
            let values = parts.iter().flat_map(|part| part.rows.samples.values.iter().copied()).collect();
            (values, parts.last().unwrap().position)
        }
        Next::Gone(gone) => panic!("{gone:?}"),
    }
}

async fn read_all(tail: &mut Tail, count: usize) -> (Vec<f64>, Position) {
    let (mut values, mut position) = read(tail).await;
    while values.len() < count {
        let (more, then) = read(tail).await;
        values.extend(more);
        position = then;
    }
    (values, position)
}

fn values(range: std::ops::Range<i64>) -> Vec<f64> {
    range.map(|n| n as f64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_reader_begins_now_and_a_known_one_where_it_was() {
    let world = World::new();
    let store = world.open(1).await;
    world.write(&store, 0..3).await;
    let mut tail = store.tail("a");
    world.write(&store, 3..6).await;
    let (seen, position) = read_all(&mut tail, 3).await;
    assert_eq!(seen, values(3..6));
    tail.done(position);
    world.write(&store, 6..8).await;
    store.save_tails().await.unwrap();
    store.stop().await;
    drop(store);

    // What was read and not done with comes again, from the objects of an older epoch.
    let store = world.open(2).await;
    let mut tail = store.tail("a");
    assert_eq!(read_all(&mut tail, 2).await.0, values(6..8));
    world.write(&store, 8..9).await;
    assert_eq!(read(&mut tail).await.0, values(8..9));
    let mut other = store.tail("b");
    world.write(&store, 9..10).await;
    assert_eq!(read(&mut other).await.0, values(9..10));
    store.stop().await;
}

/// Flushed objects stay for a reader that lags, through restarts, until it has read them.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_waits_for_readers() {
    let mut world = World::new();
    // Nothing from memory: all of it is read back.
    world.options.recent_bytes = 0;
    let store = world.open(1).await;
    let mut tail = store.tail("a");
    store.tail("gone");
    world.write(&store, 0..5).await;
    store.flush().await.unwrap();
    let (seen, position) = read_all(&mut tail, 5).await;
    assert_eq!(seen, values(0..5));
    store.save_tails().await.unwrap();
    store.shutdown().await.unwrap();
    drop((store, tail));

    let store = world.open(2).await;
    let mut tail = store.tail("a");
    assert_eq!(read_all(&mut tail, 5).await.0, values(0..5));
    // Their labels are known, though nothing of them is in the head any more.
    let ids: Vec<(i64, i32)> = ["0", "1", "2"]
        .map(|x| {
            (Labels::from_pairs([("__name__", "m"), ("x", x)]).hash_id(), crate::model::sample::day_of(START_MS))
        })
        .to_vec();
    let series = tail.series(&[ids.clone(), vec![(7, 0)]].concat()).await.unwrap();
    let labels: Vec<String> = series.iter().flatten().map(|series| series.labels.to_string()).collect();
    assert_eq!(labels, [r#"m{x="0"}"#, r#"m{x="1"}"#, r#"m{x="2"}"#]);
    assert!(series[3].is_none());
    tail.done(position);
    store.save_tails().await.unwrap();
    assert_ne!(store.inner.log.following(0, 1, 1), Following::Nothing, "another reader needs them");
    store.keep_tails(|name| name == "a");
    store.save_tails().await.unwrap();
    assert_eq!(store.inner.log.following(0, 1, 1), Following::Nothing);
    store.stop().await;
}

/// What does not fit is deleted, told as a gap, and found in the lake.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_the_lake_has_it() {
    let mut world = World::new();
    (world.options.recent_bytes, world.options.wal_retain_bytes) = (0, 0);
    let store = world.open(1).await;
    world.write(&store, 0..1).await;
    let mut tail = store.tail("a");
    world.write(&store, 1..6).await;
    store.flush().await.unwrap();
    world.write(&store, 6..8).await;
    let gone = match tail.next().await.unwrap() {
        Next::Gone(gone) => gone,
        Next::Parts(parts) => panic!("{parts:?}"),
    };
    assert_eq!(
        (gone.times, gone.through.put_ms),
        (TimeRange::new(START_MS + 1000, START_MS + 5000), START_MS + 6000)
    );
    let mut past = tail.past(gone.times);
    let mut seen = vec![];
    while let Some(found) = past.next().await.unwrap() {
        seen.extend(found.run.values);
    }
    seen.sort_by(f64::total_cmp);
    assert_eq!(seen, values(1..6));
    assert_eq!(read_all(&mut tail, 2).await.0, values(6..8));
    store.stop().await;
}

/// Who reads in the place of another gets what that one had in its hands, and the times of what is gone of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_misses_nothing() {
    let mut world = World::new();
    (world.options.recent_bytes, world.options.wal_retain_bytes) = (0, 0);
    let store = world.open(1).await;
    let mut tail = store.tail("a");
    world.write(&store, 1..4).await;
    // Handed out and not done with.
    assert_eq!(read_all(&mut tail, 3).await.0, values(1..4));
    world.write(&store, 4..6).await;
    store.flush().await.unwrap();
    let times = |next: Next| match next {
        Next::Gone(gone) => gone.times,
        Next::Parts(parts) => panic!("{parts:?}"),
    };
    assert_eq!(times(tail.next().await.unwrap()), TimeRange::new(START_MS + 4000, START_MS + 5000));
    let mut successor = store.tail("a");
    assert_eq!(times(successor.next().await.unwrap()), TimeRange::new(START_MS + 1000, START_MS + 5000));
    // Once that is done with, it is not asked for again.
    successor.done(Position { sequence: successor.position().sequence, put_ms: 0 });
    world.write(&store, 6..8).await;
    store.flush().await.unwrap();
    assert_eq!(times(successor.next().await.unwrap()), TimeRange::new(START_MS + 6000, START_MS + 7000));
    store.stop().await;
}

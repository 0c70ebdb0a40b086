//! Samples of statements into a store in memory: what is there afterwards, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::door::Pass;
use crate::engine::session::{Engine, EngineOptions};
use crate::ingest::appender::Appender;
use crate::ingest::stats::IngestStats;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::{DAY_MS, TimeRange};
use crate::past::insert::{Inserted, Inserter, Refused, Statement};
use crate::storage::store::{Options, Store};

/// 2026-01-05, at noon.
const NOW: i64 = 1_767_614_400_000;
const HOUR: i64 = 3_600_000;

struct World {
    store: Arc<Store>,
    engine: Engine,
    inserter: Inserter,
}

async fn world() -> World {
    let options = Options {
        url: "memory://".to_string(),
        wal_flush_interval: Some(Duration::ZERO),
        flush_interval: Duration::ZERO,
        out_of_order_window_ms: HOUR,
        ..Options::default()
    };
    let store = Store::open(options, Arc::new(|| NOW)).await.unwrap();
    let engine = Engine::new(store.clone(), EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    let appender = Arc::new(Appender::new(store.clone(), Arc::new(IngestStats::default())));
    let inserter = Inserter::new(engine.clone(), appender, Arc::new(|| NOW));
    World { store, engine, inserter }
}

/// Series by a letter each, samples as time and value.
fn statement(samples: &[(&str, i64, f64)]) -> Statement {
    let mut statement = Statement::default();
    for (name, timestamp, value) in samples {
        let labels = Labels::from_pairs([("__name__", "m"), ("s", name)]);
        let series = statement.series(&labels).unwrap();
        statement.push(series, *timestamp, *value).unwrap();
    }
    statement
}

impl World {
    async fn insert(&self, samples: &[(&str, i64, f64)], keeps_others: bool) -> Result<Inserted, Refused> {
        self.inserter.insert(self.inserter.turn().await, statement(samples), keeps_others).await.unwrap()
    }

    async fn written(&self, samples: &[(&str, i64, f64)]) -> u64 {
        self.insert(samples, false).await.unwrap().new
    }

    /// All that is stored, by series and time.
    async fn all(&self) -> Vec<(String, i64, f64)> {
        let engine = self.engine.clone();
        let work = |pass: Pass| async move {
            let raw = engine.raw(&pass, TimeRange::ALL, &[vec![Matcher::metric("m")]]).await?;
            let places: Vec<usize> = (0..raw.series().len()).collect();
            let mut found = Vec::new();
            raw.visit(&places, |place, run| {
                let name = raw.series()[place].labels.get("s").unwrap_or_default().to_string();
                found.extend(run.timestamps.iter().zip(run.values).map(|(t, v)| (name.clone(), *t, *v)));
                Ok(())
            })
            .await?;
            Ok::<_, crate::error::Error>(found)
        };
        let mut found = self.engine.run(&self.engine.limits(None), work).await.unwrap();
        found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        found
    }
}

fn owned(samples: &[(&str, i64, f64)]) -> Vec<(String, i64, f64)> {
    samples.iter().map(|(name, timestamp, value)| (name.to_string(), *timestamp, *value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_any_time_are_stored_once() {
    let world = world().await;
    // Days of the past and of now, in no order, and one that is there twice.
    let samples = [
        ("b", NOW, 5.0),
        ("a", NOW - 3 * DAY_MS, 1.0),
        ("a", NOW - HOUR / 2, 3.0),
        ("a", NOW - 2 * DAY_MS, 2.0),
        ("a", NOW - HOUR / 2, 3.0),
        ("a", NOW, 4.0),
    ];
    assert_eq!(world.written(&samples).await, 5);
    let expected = owned(&[
        ("a", NOW - 3 * DAY_MS, 1.0),
        ("a", NOW - 2 * DAY_MS, 2.0),
        ("a", NOW - HOUR / 2, 3.0),
        ("a", NOW, 4.0),
        ("b", NOW, 5.0),
    ]);
    assert_eq!(world.all().await, expected);
    assert_eq!(world.written(&samples).await, 0);
    // Two days are files, the rest went through the log.
    assert_eq!(world.store.lake().files().samples.len(), 2);
    world.store.flush().await.unwrap();
    assert_eq!(world.written(&samples).await, 0);
    assert_eq!(world.all().await, expected);
    world.store.stop().await;
}

/// Behind the newest sample of its series by more than the window, and so late for the appender, whatever its time.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_appender_does_not_take_is_written_to_files() {
    let world = world().await;
    world.store.set_out_of_order_window(0);
    assert_eq!(world.written(&[("a", NOW, 1.0)]).await, 1);
    assert_eq!(world.store.lake().files().samples.len(), 0);
    assert_eq!(world.written(&[("a", NOW - 60_000, 0.5), ("b", NOW - 60_000, 7.0)]).await, 2);
    assert_eq!(world.store.lake().files().samples.len(), 1);
    let expected = owned(&[("a", NOW - 60_000, 0.5), ("a", NOW, 1.0), ("b", NOW - 60_000, 7.0)]);
    assert_eq!(world.all().await, expected);
    world.store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_writes_nothing() {
    let world = world().await;
    let before = [("a", NOW - DAY_MS, 1.0), ("a", NOW, 2.0)];
    assert_eq!(world.written(&before).await, 2);
    let other = [("a", NOW - 2 * DAY_MS, 0.0), ("a", NOW - DAY_MS, 1.5), ("a", NOW, 2.5), ("c", NOW, 3.0)];
    match world.insert(&other, false).await {
        Err(Refused::Stored(2, first)) => {
            assert_eq!((first.timestamp, first.stored.as_str(), first.given.as_str()), (NOW - DAY_MS, "1", "1.5"));
            assert_eq!(first.labels.to_string(), r#"m{s="a"}"#);
        }
        other => panic!("{other:?}"),
    }
    let twice = [("c", NOW - DAY_MS, 1.0), ("c", NOW - DAY_MS, 2.0)];
    assert_eq!(world.insert(&twice, false).await, Err(Refused::Contradictions(1)));
    let ahead = [("c", NOW - DAY_MS, 1.0), ("c", NOW + HOUR, 2.0)];
    assert_eq!(world.insert(&ahead, false).await, Err(Refused::TooFarInFuture));
    assert_eq!(world.all().await, owned(&before));
    // Where others may stay, the rest is written.
    let inserted = world.insert(&other, true).await.unwrap();
    assert_eq!((inserted.new, inserted.other), (2, 2));
    let expected =
        owned(&[("a", NOW - 2 * DAY_MS, 0.0), ("a", NOW - DAY_MS, 1.0), ("a", NOW, 2.0), ("c", NOW, 3.0)]);
    assert_eq!(world.all().await, expected);
    world.store.stop().await;
}

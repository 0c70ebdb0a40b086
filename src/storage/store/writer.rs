//! The writer task: takes what the gate queued, makes one log object of it, puts it until it is durable, applies the
//! rows to the open memtable, and answers everybody who waited. While a put is in flight the next group gathers.
//!
//! A put that fails is repeated for as long as the process lives: it is the same bytes under the same key, so doing it
//! once more than needed changes nothing. Only another process' object under that key ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::model::sample::TimeRange;
use crate::storage::head::memtable::Memtable;
use crate::storage::store::Inner;
use crate::storage::store::gate::Group;
use crate::storage::store::view::{Frozen, Source, View};
use crate::storage::types::LogRows;
use crate::storage::wal::objects::Attempt;
use crate::storage::wal::pauses::Pauses;
use crate::storage::wal::readers::Position;

/// From one put to the next, where nobody is in haste and no interval was given. A put costs about as much as a hundred rows,
/// and many a disk slows down where files come and go.
pub const MOMENT: Duration = Duration::from_millis(250);

/// Runs until another process has the node, which is what it returns. `sequence` is the number of the first object.
pub async fn run(inner: Arc<Inner>, mut sequence: u64) -> Error {
    let mut last_put = None;
    // Groups that have to become durable before the log counts as working again.
    let mut behind = 0_u32;
    loop {
        inner.writer_wake.notified().await;
        loop {
            wait_for_floor(&inner, last_put).await;
            let full = inner.view().open.bytes() > inner.options.flush_bytes;
            let Some(mut group) = inner.gate.lock().take(full) else { break };
            if !group.rows.is_empty() {
                last_put = Some(Instant::now());
                match put(&inner, sequence, &group).await {
                    Ok(done) => {
                        // What queued up meanwhile is one group more.
                        if done.failed {
                            behind = 2;
                        }
                        apply(&inner, &group.rows);
                        let rows = std::mem::take(&mut group.rows);
                        let position = Position { sequence, put_ms: done.at_ms };
                        inner.tails.push(position, rows, done.times, done.bytes);
                    }
                    Err(error) => return error,
                }
                sequence += 1;
            }
            if group.freeze {
                freeze(&inner, sequence - 1);
            }
            behind -= behind.min(1);
            // Before anybody is answered, who may come back at once.
            if behind == 0 || !inner.gate.lock().has_rows() {
                recover(&inner);
            }
            for ack in group.acks {
                // Who no longer waits is no reason to stop.
                let _ = ack.send(());
            }
        }
    }
}

/// Puts follow each other no faster than the interval, unless the queue is large or a flush waits; and where nobody is in
/// haste no faster than a moment.
async fn wait_for_floor(inner: &Inner, last_put: Option<Instant>) {
    let Some(last_put) = last_put else { return };
    if !inner.wal_interval.is_zero() && inner.gate.lock().has_rows() {
        tokio::select! {
            () = tokio::time::sleep_until(last_put + inner.wal_interval) => {}
            () = inner.writer_hurry.notified() => return,
        }
    }
    let due = last_put + inner.moment;
    while Instant::now() < due && inner.gate.lock().has_a_moment() {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = inner.writer_hurry.notified() => return,
            // By somebody who may be in haste. What is queued is taken after this in any case.
            () = inner.writer_wake.notified() => {}
        }
    }
}

struct Put {
    /// It took more than one attempt.
    failed: bool,
    at_ms: i64,
    bytes: usize,
    times: TimeRange,
}

/// Returns when the object is durable; an error is final.
async fn put(inner: &Inner, sequence: u64, group: &Group) -> Result<Put> {
    let object = inner.log.encode(&group.rows, sequence)?;
    let times = group.rows.times();
    inner.durability.put_begins(group.since_ms, (inner.clock)());
    let started = Instant::now();
    let failed = put_until_durable(inner, sequence, &object, times).await?;
    inner.counters.put_seconds.observe(started.elapsed().as_secs_f64());
    let at_ms = (inner.clock)();
    inner.durability.put_succeeded(at_ms);
    inner.counters.wal_objects.fetch_add(1, Ordering::Relaxed);
    inner.counters.wal_bytes.fetch_add(object.len() as u64, Ordering::Relaxed);
    Ok(Put { failed, at_ms, bytes: object.len(), times })
}

/// Whether it took more than one attempt.
async fn put_until_durable(inner: &Inner, sequence: u64, object: &Bytes, times: TimeRange) -> Result<bool> {
    let mut failed = false;
    let mut pauses = Pauses::default();
    loop {
        match inner.log.attempt(sequence, object, (inner.clock)(), times).await {
            Attempt::Durable => return Ok(failed),
            Attempt::Taken => {
                let node = inner.log.node();
                let message = format!("another process writes as node {node:?} and has taken over");
                return Err(Error::new(ErrorKind::Poisoned, message));
            }
            Attempt::Unknown(error) => {
                let waiting = inner.gate.lock().queued_bytes() + object.len();
                inner.durability.put_failed(&error, (inner.clock)(), waiting);
                failed = true;
            }
        }
        tokio::time::sleep(pauses.next().expect("pauses have no end")).await;
    }
}

fn recover(inner: &Inner) {
    if !inner.durability.now().works() {
        inner.durability.recovered((inner.clock)());
    }
}

fn apply(inner: &Inner, rows: &LogRows) {
    let days = inner.view().open.apply(rows);
    if !days.is_empty() {
        let mut index = inner.head_index.write();
        for (series, day) in &days {
            index.insert(series, *day);
        }
    }
    inner.counters.samples.fetch_add(rows.samples.slots.len() as u64, Ordering::Relaxed);
    inner.counters.histograms.fetch_add(rows.histograms.len() as u64, Ordering::Relaxed);
    inner.counters.exemplars.fetch_add(rows.exemplars.len() as u64, Ordering::Relaxed);
}

fn freeze(inner: &Inner, last_sequence: u64) {
    inner.update_view(|view| {
        let frozen =
            Frozen { generation: view.open.generation, last_sequence, source: Source::Memtable(view.open.clone()) };
        View {
            open: Arc::new(Memtable::new(view.open.generation + 1)),
            frozen: view.frozen.iter().cloned().chain([frozen]).collect(),
            ..view.clone()
        }
    });
    inner.flusher_wake.notify_one();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;
    use crate::model::labels::Labels;
    use crate::storage::store::{Options, Store};
    use crate::storage::types::{Haste, SampleRow, WriteBatch};

    async fn store(wal_flush_interval: Option<Duration>) -> Arc<Store> {
        let options = Options {
            url: "memory://".to_string(),
            wal_flush_interval,
            flush_interval: Duration::ZERO,
            ..Options::default()
        };
        Store::open(options, Arc::new(|| 1_000_000)).await.unwrap()
    }

    fn batch(store: &Store, timestamp: i64) -> WriteBatch {
        let series = store.intern(&Labels::from_pairs([("__name__", "a")]));
        let row = SampleRow { series, timestamp, value: 1.0, start_timestamp: 0 };
        WriteBatch { samples: vec![row], ..WriteBatch::default() }
    }

    fn objects(store: &Store) -> u64 {
        store.inner.counters.wal_objects.load(Ordering::Relaxed)
    }

    /// Those of whoever waits go at once, with all that is there.
    #[tokio::test]
    async fn rows_that_are_in_no_haste_share_objects() {
        let store = store(None).await;
        for n in 0..10 {
            store.append(batch(&store, n)).await.unwrap();
            assert_eq!(objects(&store), n as u64 + 1, "in haste");
        }
        let began = Instant::now();
        let mut pending = Vec::new();
        for n in 10..40 {
            pending.push(store.submit(&batch(&store, n), i64::MIN, Haste::Moment).await.unwrap().1);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        for pending in &mut pending {
            pending.durable().await.unwrap();
        }
        let moments = began.elapsed().as_millis() as u64 / MOMENT.as_millis() as u64;
        assert!(objects(&store) - 10 <= moments + 1, "{} objects in {moments} moments", objects(&store) - 10);
        // Unless this machine lets the moment pass in between, each time.
        let mut taken_along = 0;
        for n in 20..40 {
            let before = objects(&store);
            let (_, mut patient) = store.submit(&batch(&store, 2 * n), i64::MIN, Haste::Moment).await.unwrap();
            store.append(batch(&store, 2 * n + 1)).await.unwrap();
            patient.durable().await.unwrap();
            taken_along += usize::from(objects(&store) == before + 1);
        }
        assert!(taken_along > 0);
    }

    /// As where rules are tested: thousands of evaluations, each of which waits for the one before.
    #[tokio::test]
    async fn nothing_waits_where_no_interval_is_asked_for() {
        async fn append(store: &Store, times: i64, done: &AtomicI64) {
            for n in 0..times {
                let (_, mut pending) = store.submit(&batch(store, n), i64::MIN, Haste::Moment).await.unwrap();
                pending.durable().await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (gathering, hurrying) = (store(None).await, store(Some(Duration::ZERO)).await);
        let (few, many) = (AtomicI64::new(0), AtomicI64::new(0));
        tokio::select! {
            () = append(&gathering, 4, &few) => {}
            () = append(&hurrying, i64::MAX, &many) => unreachable!("it never ends"),
        }
        let (few, many) = (few.into_inner(), many.into_inner());
        assert!(many > 4 * few, "{many} where nothing waits, {few} where others gather");
    }
}

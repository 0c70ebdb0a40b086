//! The writer task: takes what the gate queued, makes one log object of it, puts it, applies the rows to the open
//! memtable, and answers everybody who waited. While a put is in flight the next group gathers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Result;
use crate::storage::head::memtable::Memtable;
use crate::storage::store::Inner;
use crate::storage::store::gate::Ack;
use crate::storage::store::view::{Frozen, Source, View};
use crate::storage::types::LogRows;

/// Runs until a put fails. `sequence` is the number of the first object to write.
pub async fn run(inner: Arc<Inner>, mut sequence: u64) {
    let mut last_put = None;
    loop {
        inner.writer_wake.notified().await;
        loop {
            wait_for_floor(&inner, last_put).await;
            let full = inner.view().open.bytes() > inner.options.flush_bytes;
            let Some(group) = inner.gate.lock().take(full) else { break };
            if !group.rows.is_empty() {
                last_put = Some(Instant::now());
                if let Err(error) = put(&inner, sequence, &group.rows).await {
                    poison(&inner, &error.to_string(), group.acks);
                    return;
                }
                sequence += 1;
                apply(&inner, &group.rows);
            }
            if group.freeze {
                freeze(&inner, sequence - 1);
            }
            for ack in group.acks {
                // Who no longer waits is no reason to stop.
                let _ = ack.send(Ok(()));
            }
        }
    }
}

/// Puts follow each other no faster than the interval, unless the queue is large or a flush waits.
async fn wait_for_floor(inner: &Inner, last_put: Option<Instant>) {
    let Some(due) = last_put.map(|last| last + inner.wal_interval) else { return };
    if inner.wal_interval > Duration::ZERO && inner.gate.lock().has_rows() {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = inner.writer_hurry.notified() => {}
        }
    }
}

async fn put(inner: &Inner, sequence: u64, rows: &LogRows) -> Result<()> {
    let object = inner.log.encode(rows, sequence)?;
    let bytes = object.len() as u64;
    inner.log.put(sequence, object).await?;
    inner.counters.wal_objects.fetch_add(1, Ordering::Relaxed);
    inner.counters.wal_bytes.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
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

/// After a failed put it is not known whether the object exists, so nothing may follow it.
fn poison(inner: &Inner, why: &str, waiting: Vec<Ack>) {
    tracing::error!("{why}; the store refuses writes until it is restarted");
    let why: Arc<str> = why.into();
    let queued = inner.gate.lock().poison(&why);
    for ack in waiting.into_iter().chain(queued) {
        let _ = ack.send(Err(why.clone()));
    }
    inner.pending_room.close();
    inner.progress.send_modify(|progress| {
        progress.failures += 1;
        progress.last_error = why.to_string();
    });
}

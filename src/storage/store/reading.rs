//! A store that only reads, beside those who write: the lake, and of every node's write-ahead log what the lake does not
//! contain yet. It claims no node, seals nothing, changes no object of a log and has no tasks; whatever is appended to it is
//! refused. What its owner works out on the way can be laid over it ([`Reading::lay`]): queries see that like stored samples, and
//! it goes nowhere.
//!
//! The logs are read once, when it is opened. What comes into them later is seen when it has been flushed and
//! [`Store::see_lake`] is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, watch};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::head::memtable::Memtable;
use crate::storage::index::days::DayIndexes;
use crate::storage::index::series_index::SeriesIndex;
use crate::storage::lake::Lake;
use crate::storage::object::{self, Objects};
use crate::storage::store::durability::Durability;
use crate::storage::store::flusher::Progress;
use crate::storage::store::gate::Gate;
use crate::storage::store::replay::{self, Head};
use crate::storage::store::stats::Counters;
use crate::storage::store::tails::Tails;
use crate::storage::store::view::{Frozen, Source, View};
use crate::storage::store::{Clock, Inner, Options, Store};
use crate::storage::types::{LogHistogram, LogRows, Run, Series};
use crate::storage::wal;
use crate::storage::wal::codec::Content;
use crate::storage::wal::log::Log;
use crate::storage::wal::readers::Places;

/// Of what the logs hold, and of what is laid over it.
const LOGGED: u32 = 1;
const LAID: u32 = 2;

/// See the module.
pub struct Reading {
    store: Arc<Store>,
}

impl Reading {
    /// Opens the lake, which is made where there is none, and reads the logs. Of the options those of memory count. `name` is
    /// what the reader is called in files of the lake, if it writes any.
    ///
    /// # Errors
    /// `Internal` for an object of a log that is damaged.
    pub async fn open(objects: Objects, name: &str, options: Options, clock: Clock) -> Result<Self> {
        let lake = Lake::open(&objects, name, clock.clone()).await?;
        let mut gate = Gate::new(LOGGED);
        let (logged, mut head_index) = (Memtable::new(LOGGED), SeriesIndex::default());
        let mut head = Head { gate: &mut gate, memtable: &logged, index: &mut head_index };
        for log in wal::objects::Objects::of_all_nodes(&objects.store).await? {
            read(&log, &lake, &mut head).await?;
        }
        // What was flushed and deleted while the logs were read.
        lake.refresh().await?;
        gate.metadata.extend(lake.read_metadata().await?);
        gate.generation = LAID;
        gate.close();
        let frozen = match logged.is_empty() {
            true => Vec::new(),
            false => {
                let source = Source::Memtable(Arc::new(logged));
                vec![Frozen { generation: LOGGED, last_sequence: 0, source }]
            }
        };
        let view = View { open: Arc::new(Memtable::new(LAID)), frozen, cached: Vec::new(), files: lake.files() };
        // Nothing is ever put there.
        let nowhere = wal::objects::Objects::new(object::open("memory://")?.store, name)?;
        let inner = Inner {
            wal_interval: std::time::Duration::ZERO,
            moment: std::time::Duration::ZERO,
            days: DayIndexes::new(options.index_bytes),
            pending_room: Arc::new(Semaphore::new(options.queue_room())),
            durability: Durability::new(clock()),
            tails: Tails::new(Places::default(), 0, 0),
            out_of_order_window_ms: AtomicI64::new(options.out_of_order_window_ms),
            options,
            clock,
            objects,
            lake,
            log: Log::new(nowhere, 0, 0, 1, Vec::new()),
            gate: Mutex::new(gate),
            head_index: RwLock::new(head_index),
            view: RwLock::new(Arc::new(view)),
            head_room: Notify::new(),
            writer_wake: Notify::new(),
            writer_hurry: Notify::new(),
            flusher_wake: Notify::new(),
            warmer_wake: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
            fatal: watch::Sender::new(None),
            flushed_through: AtomicU64::new(0),
            trimming: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            packing: tokio::sync::Mutex::new(()),
            counters: Counters::default(),
        };
        Ok(Self {
            store: Arc::new(Store { inner: Arc::new(inner), tasks: Mutex::default(), claim: Mutex::default() }),
        })
    }

    /// What queries are asked of.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Lays samples of some series over what is stored. Returns what all that was laid takes, in bytes.
    pub fn lay(&self, runs: &[(Arc<Series>, Run)]) -> usize {
        let inner = &self.store.inner;
        let mut rows = LogRows::default();
        let mut gate = inner.gate.lock();
        for (series, run) in runs {
            let slot = gate.registry.restore(series, LAID);
            rows.series.push((slot, series.clone()));
            for (at, timestamp) in run.timestamps.iter().enumerate() {
                match run.histograms.get(at).and_then(Option::as_ref) {
                    Some(histogram) => rows.histograms.push(LogHistogram {
                        slot,
                        series_id: series.id,
                        timestamp: *timestamp,
                        histogram: histogram.clone(),
                        start_timestamp: 0,
                    }),
                    None => rows.samples.push(slot, series.id, *timestamp, run.values[at], 0),
                }
            }
        }
        drop(gate);
        let laid = inner.view().open.clone();
        let days = laid.apply(&rows);
        let mut index = inner.head_index.write();
        days.iter().for_each(|(series, day)| index.insert(series, *day));
        laid.bytes()
    }

    /// Takes off what was laid.
    pub fn lift(&self) {
        // Its series stay in the index, where those without samples do no harm.
        self.store.inner.update_view(|view| View { open: Arc::new(Memtable::new(LAID)), ..view.clone() });
    }
}

/// Reads what the lake lacks of a node's log.
async fn read(log: &wal::objects::Objects, lake: &Lake, head: &mut Head<'_>) -> Result<()> {
    let applied = lake.applied_of(log.node()).await?;
    for objects in log.list().await?.epochs.into_values() {
        let last = objects.last().map(|kept| kept.key);
        for key in objects.iter().map(|kept| kept.key).filter(|key| key.sequence > applied) {
            // What is gone is in the lake by now.
            let Some(decoded) = log.read_if_there(key).await? else { continue };
            let rows = match decoded {
                Ok(decoded) => match decoded.content {
                    Content::Rows(rows) => rows,
                    Content::Void | Content::Seal { .. } => continue,
                },
                // One that is cut off was never acknowledged; a version of tomorrow is no damage.
                Err(reason) if Some(key) == last && reason.kind == ErrorKind::Internal => continue,
                Err(reason) => {
                    let path = log.path(key);
                    let message = format!(
                        "{path} of the write-ahead log cannot be read; start the server, which says what to do"
                    );
                    return Err(Error::new(reason.kind, message).with_source(reason));
                }
            };
            // Rows of series whose labels are gone are in the lake, as these are.
            let rows = replay::resolve(*rows, &mut head.gate.registry, LOGGED, true)?;
            head.take(&rows);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

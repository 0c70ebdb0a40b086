//! The one lock of the write path. Behind it: the registry, the queue of accepted rows, and the generation they
//! belong to. It is held while a batch is checked and queued, and while the writer takes the queue; so rows are
//! logged in the order they were checked in, and a freeze falls between two log objects.

use std::collections::BTreeMap;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::model::metadata::Metadata;
use crate::storage::head::registry::{Registry, Rules};
use crate::storage::types::{Haste, LogRows, WriteBatch, WriteReport};

/// Answers an append once its rows are durable and visible; dropped when they never will be by this process.
pub type Ack = oneshot::Sender<()>;

/// The other end of an [`Ack`].
pub type Answer = oneshot::Receiver<()>;

/// See the module.
#[derive(Debug, Default)]
pub struct Gate {
    pub registry: Registry,
    pub metadata: BTreeMap<String, Metadata>,
    /// Of the memtable that the next accepted rows will be in.
    pub generation: u32,
    /// Whether any row was accepted in this generation.
    pub dirty: bool,
    /// Freeze at the next boundary.
    pub freeze_requested: bool,
    queue: Queue,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    rows: LogRows,
    acks: Vec<Ack>,
    bytes: usize,
    /// When the oldest append in it was accepted.
    since_ms: i64,
    /// Of all appends in it.
    haste: Haste,
    /// Room in the queue, given back when the rows are durable.
    permit: Option<OwnedSemaphorePermit>,
}

/// What the writer takes: the rows of one log object and those who wait for it.
#[derive(Debug)]
pub struct Group {
    pub rows: LogRows,
    pub acks: Vec<Ack>,
    /// When the oldest of them was accepted.
    pub since_ms: i64,
    /// These rows are the last of their memtable.
    pub freeze: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub fn new(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Checks a batch and queues what is accepted. The receiver is `None` where there is nothing to wait for.
    pub fn accept(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        now_ms: i64,
        haste: Haste,
        permit: OwnedSemaphorePermit,
    ) -> Result<(WriteReport, Option<Answer>)> {
        if self.closed {
            return Err(Error::new(ErrorKind::Unavailable, "the store is shut down"));
        }
        let before = self.queue.rows.rows();
        let report = self.registry.accept(batch, rules, self.generation, &mut self.queue.rows);
        let described = self.accept_metadata(&batch.metadata);
        if report.samples_written + report.histograms_written + report.exemplars_written == 0 && !described {
            return Ok((report, None));
        }
        // A row that repeats the newest sample is not written again, but that sample may still be on its way:
        // the append waits in the queue in any case.
        self.dirty |= described || self.queue.rows.rows() > before;
        let (ack, receiver) = oneshot::channel();
        if self.queue.acks.is_empty() {
            self.queue.since_ms = now_ms;
        }
        self.queue.acks.push(ack);
        self.queue.haste = self.queue.haste.max(haste);
        self.queue.bytes += permit.num_permits();
        match &mut self.queue.permit {
            Some(held) => held.merge(permit),
            None => self.queue.permit = Some(permit),
        }
        Ok((report, Some(receiver)))
    }

    /// Queues what is new; says whether anything was.
    fn accept_metadata(&mut self, metadata: &[(String, Metadata)]) -> bool {
        let before = self.queue.rows.metadata.len();
        for (family, metadata) in metadata {
            if self.metadata.get(family) != Some(metadata) {
                self.metadata.insert(family.clone(), metadata.clone());
                self.queue.rows.metadata.push((family.clone(), metadata.clone()));
            }
        }
        self.queue.rows.metadata.len() > before
    }

    /// Bytes queued.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes
    }

    /// When the oldest append that waits was accepted; `None` where none waits.
    pub fn queued_since_ms(&self) -> Option<i64> {
        (!self.queue.acks.is_empty()).then_some(self.queue.since_ms)
    }

    pub fn has_rows(&self) -> bool {
        !self.queue.rows.is_empty()
    }

    /// Whether all that is queued may wait for others a moment.
    pub fn has_a_moment(&self) -> bool {
        self.queue.haste == Haste::Moment && !self.queue.acks.is_empty() && !self.freeze_requested
    }

    /// Takes the queue. A freeze, asked for or due because the memtable is `full`, ends the generation: rows
    /// accepted from now on belong to the next one and log their labels again.
    pub fn take(&mut self, full: bool) -> Option<Group> {
        let freeze = (self.freeze_requested || full) && self.dirty;
        self.freeze_requested = false;
        if self.queue.acks.is_empty() && !freeze {
            return None;
        }
        if freeze {
            self.generation += 1;
            self.dirty = false;
        }
        let queue = std::mem::take(&mut self.queue);
        let Queue { rows, acks, since_ms, permit, .. } = queue;
        Some(Group { rows, acks, since_ms, freeze, _permit: permit })
    }

    /// Refuses writes from now on. What is queued stays.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Refuses writes and lets go of those who wait in the queue, who learn of it by that.
    pub fn abandon(&mut self) {
        self.close();
        self.queue = Queue::default();
    }
}

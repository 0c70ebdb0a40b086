//! The one lock of the write path. Behind it: the registry, the queue of accepted rows, and the generation they
//! belong to. It is held while a batch is checked and queued, and while the writer takes the queue; so rows are
//! logged in the order they were checked in, and a freeze falls between two log objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::model::metadata::Metadata;
use crate::storage::head::registry::{Registry, Rules};
use crate::storage::types::{LogRows, WriteBatch, WriteReport};

/// Answers an append: durable and visible, or why not.
pub type Ack = oneshot::Sender<Result<(), Arc<str>>>;

/// The other end of an [`Ack`].
pub type Answer = oneshot::Receiver<Result<(), Arc<str>>>;

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
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    Poisoned(Arc<str>),
    Closed,
}

#[derive(Debug, Default)]
struct Queue {
    rows: LogRows,
    acks: Vec<Ack>,
    bytes: usize,
    /// Room in the queue, given back when the rows are durable.
    permit: Option<OwnedSemaphorePermit>,
}

/// What the writer takes: the rows of one log object and those who wait for it.
#[derive(Debug)]
pub struct Group {
    pub rows: LogRows,
    pub acks: Vec<Ack>,
    /// These rows are the last of their memtable.
    pub freeze: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub fn new(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Fails unless appends are possible.
    pub fn check_open(&self) -> Result<()> {
        match &self.state {
            State::Open => Ok(()),
            State::Poisoned(why) => Err(poisoned(why)),
            State::Closed => Err(Error::new(ErrorKind::Unavailable, "the store is shut down")),
        }
    }

    /// Checks a batch and queues what is accepted. The receiver is `None` where there is nothing to wait for.
    pub fn accept(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        permit: OwnedSemaphorePermit,
    ) -> Result<(WriteReport, Option<Answer>)> {
        self.check_open()?;
        let before = self.queue.rows.rows();
        let report = self.registry.accept(batch, rules, self.generation, &mut self.queue.rows);
        let rejected = !report.rejected_samples.is_empty() || !report.rejected_histograms.is_empty();
        let described = !(batch.all_or_nothing && rejected) && self.accept_metadata(&batch.metadata);
        if report.samples_written + report.histograms_written + report.exemplars_written == 0 && !described {
            return Ok((report, None));
        }
        // A row that repeats the newest sample is not written again, but that sample may still be on its way:
        // the append waits in the queue in any case.
        self.dirty |= described || self.queue.rows.rows() > before;
        let (ack, receiver) = oneshot::channel();
        self.queue.acks.push(ack);
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

    pub fn has_rows(&self) -> bool {
        !self.queue.rows.is_empty()
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
        Some(Group { rows: queue.rows, acks: queue.acks, freeze, _permit: queue.permit })
    }

    /// Refuses writes from now on; returns those who wait in the queue.
    pub fn poison(&mut self, why: &Arc<str>) -> Vec<Ack> {
        self.state = State::Poisoned(why.clone());
        std::mem::take(&mut self.queue).acks
    }

    pub fn close(&mut self) {
        if matches!(self.state, State::Open) {
            self.state = State::Closed;
        }
    }

    /// Closes the gate; returns those who wait in the queue.
    pub fn abandon(&mut self) -> Vec<Ack> {
        self.close();
        std::mem::take(&mut self.queue).acks
    }

    /// Why writes are refused after a failed one.
    pub fn poisoned(&self) -> Option<Error> {
        match &self.state {
            State::Poisoned(why) => Some(poisoned(why)),
            State::Open | State::Closed => None,
        }
    }
}

/// The error of every append after a failed durable write.
pub fn poisoned(why: &str) -> Error {
    Error::new(ErrorKind::Poisoned, format!("the store refuses writes until it is restarted: {why}"))
}

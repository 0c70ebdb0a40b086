//! What those share who work for one remote: its settings, how to reach it, its limits and its numbers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::remote::write::RemoteWrite;
use crate::error::Result;
use crate::forward::encode::Pool;
use crate::forward::send::Sender;
use crate::forward::stats::Stats;
use crate::model::labels::Labels;
use crate::storage::store::Clock;
use crate::telemetry::notice::Notice;

/// What a sample takes while it waits, and while it is in a request that is made of it, roughly.
const ITEM_BYTES: usize = 160;
/// Samples that a shard may hold however little memory there is.
const LEAST_CAPACITY: usize = 100;

/// What a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples of a shard, as configured.
    pub capacity: usize,
    /// Samples of a request, as configured.
    pub batch: usize,
    pub min_shards: usize,
    pub max_shards: usize,
    /// Of all shards together.
    pub memory_bytes: usize,
}

impl Limits {
    /// Samples that each of so many shards may hold.
    pub fn capacity(&self, shards: usize) -> usize {
        let room = self.memory_bytes / (ITEM_BYTES * shards.max(1));
        self.capacity.min(room.max(LEAST_CAPACITY))
    }

    /// Samples of a request of one of them.
    pub fn batch(&self, shards: usize) -> usize {
        self.batch.min(self.capacity(shards))
    }
}

/// What to do where the log has gone before it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// Read the lake, by time.
    #[default]
    Reread,
    /// Go on with what there is.
    Drop,
}

/// What those share who work for one remote.
pub struct Remote {
    pub settings: RemoteWrite,
    pub external: Labels,
    pub sender: Sender,
    pub limits: Limits,
    pub behind: Behind,
    pub stats: Arc<Stats>,
    pub pool: Pool,
    pub clock: Clock,
    /// A shard has room again.
    pub room: Notify,
    pub notices: Notices,
    /// Shards are not changed before this.
    pub held_until: Mutex<Option<Instant>>,
    pub last_sent: Mutex<Option<Instant>>,
}

/// Lines of the log that come once a minute.
#[derive(Debug, Default)]
pub struct Notices {
    pub refused: Notice,
    pub retried: Notice,
    pub metadata: Notice,
    pub unreadable: Notice,
    pub gone: Notice,
}

impl Remote {
    pub fn new(
        settings: RemoteWrite,
        external: Labels,
        limits: Limits,
        behind: Behind,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Result<Self> {
        let sender = Sender::new(&settings, clock.clone())?;
        Ok(Self {
            settings,
            external,
            sender,
            limits,
            behind,
            stats,
            pool: Pool::default(),
            clock,
            room: Notify::new(),
            notices: Notices::default(),
            held_until: Mutex::default(),
            last_sent: Mutex::default(),
        })
    }

    /// Samples before this are too old; `None` without a limit.
    pub fn oldest_ms(&self) -> Option<i64> {
        let limit = i64::try_from(self.settings.queue.sample_age_limit.as_millis()).unwrap_or(i64::MAX);
        (limit > 0).then(|| (self.clock)().saturating_sub(limit))
    }

    /// The number of shards stays as it is for a while.
    pub fn hold_shards(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut held = self.held_until.lock();
        *held = (*held).max(Some(until));
    }

    pub fn sent_now(&self) {
        *self.last_sent.lock() = Some(Instant::now());
    }
}

//! The log of the claimed epoch: rows become the next object, and objects whose rows are in the lake are deleted.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::Result;
use crate::storage::types::LogRows;
use crate::storage::wal::codec::{self, Origin};
use crate::storage::wal::objects::{Attempt, Key, Objects};

/// See the module.
#[derive(Debug)]
pub struct Log {
    objects: Objects,
    /// Drawn per process, see [`Origin`].
    writer: u64,
    epoch: u64,
    /// The first number of this epoch.
    first: u64,
    /// Objects of older epochs that were replayed, in order, until the lake contains them.
    older: Mutex<Vec<Key>>,
}

impl Log {
    /// `first` follows the last number of all older epochs.
    pub fn new(objects: Objects, writer: u64, epoch: u64, first: u64, older: Vec<Key>) -> Self {
        Self { objects, writer, epoch, first, older: Mutex::new(older) }
    }

    pub fn node(&self) -> &str {
        self.objects.node()
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn first_sequence(&self) -> u64 {
        self.first
    }

    /// The bytes of the object that [`Log::attempt`] puts.
    pub fn encode(&self, rows: &LogRows, sequence: u64) -> Result<Bytes> {
        codec::encode(rows, Origin { writer: self.writer, epoch: self.epoch, sequence })
    }

    /// One attempt to make an object durable. Nothing may follow it in the log before it is.
    pub async fn attempt(&self, sequence: u64, object: &Bytes) -> Attempt {
        let path = self.objects.path(Key { epoch: self.epoch, sequence });
        self.objects.attempt(&path, object).await
    }

    /// Deletes the objects `after < number <= through` of this epoch, and those of older ones up to there.
    pub async fn delete(&self, after: u64, through: u64) -> Result<()> {
        let older = self.older.lock().iter().copied().filter(|key| key.sequence <= through).collect::<Vec<_>>();
        let own = (after + 1).max(self.first)..=through;
        let keys: Vec<Key> =
            older.into_iter().chain(own.map(|sequence| Key { epoch: self.epoch, sequence })).collect();
        self.objects.delete(&keys).await?;
        self.older.lock().retain(|key| key.sequence > through);
        Ok(())
    }
}

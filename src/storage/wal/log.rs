//! The log of the claimed epoch: rows become the next object, and objects that nobody needs any more are deleted.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::Result;
use crate::model::sample::TimeRange;
use crate::storage::types::LogRows;
use crate::storage::wal::codec::{self, Decoded, Origin};
use crate::storage::wal::objects::{Attempt, Kept, Key, Objects};

/// See the module.
#[derive(Debug)]
pub struct Log {
    objects: Objects,
    /// Drawn per process, see [`Origin`].
    writer: u64,
    epoch: u64,
    /// The first number of this epoch.
    first: u64,
    /// What is there, of this epoch and of older ones, in order.
    kept: Mutex<VecDeque<Kept>>,
}

/// What follows a number in the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Following {
    Objects(Vec<Kept>),
    /// The objects up to here are gone; what follows them, if anything does, was put at this time.
    Gone {
        through: u64,
        next_put_ms: Option<i64>,
    },
    Nothing,
}

impl Log {
    /// `first` follows the last number of all older epochs, of which `older` is there, in order.
    pub fn new(objects: Objects, writer: u64, epoch: u64, first: u64, older: Vec<Kept>) -> Self {
        Self { objects, writer, epoch, first, kept: Mutex::new(older.into()) }
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

    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The bytes of the object that [`Log::attempt`] puts.
    pub fn encode(&self, rows: &LogRows, sequence: u64) -> Result<Bytes> {
        codec::encode(rows, Origin { writer: self.writer, epoch: self.epoch, sequence })
    }

    /// One attempt to make an object durable, with samples of these times. Nothing may follow it in the log before it is.
    pub async fn attempt(&self, sequence: u64, object: &Bytes, now_ms: i64, times: TimeRange) -> Attempt {
        let key = Key { epoch: self.epoch, sequence };
        let attempt = self.objects.attempt(&self.objects.path(key), object).await;
        if let Attempt::Durable = attempt {
            self.kept.lock().push_back(Kept {
                key,
                bytes: object.len() as u64,
                put_ms: now_ms,
                times: Some(times),
            });
        }
        attempt
    }

    /// The objects after `sequence`, up to some bytes and number of them, at least one.
    pub fn following(&self, sequence: u64, most_bytes: u64, most: usize) -> Following {
        let kept = self.kept.lock();
        let from = kept.partition_point(|object| object.key.sequence <= sequence);
        match kept.get(from) {
            // The last object may be gone as well as not written yet; who asks knows which numbers there have been.
            None => return Following::Nothing,
            Some(first) if first.key.sequence > sequence + 1 => {
                return Following::Gone { through: first.key.sequence - 1, next_put_ms: Some(first.put_ms) };
            }
            Some(_) => {}
        }
        let mut bytes = 0;
        let fits = |object: &&Kept| {
            let fits = bytes == 0 || bytes + object.bytes <= most_bytes;
            bytes += object.bytes.max(1);
            fits
        };
        Following::Objects(kept.range(from..).take(most).take_while(fits).copied().collect())
    }

    /// Reads one object, as [`Objects::read_if_there`]. One that is gone is no longer among those kept.
    pub async fn read(&self, key: Key) -> Result<Option<Result<Decoded>>> {
        let found = self.objects.read_if_there(key).await?;
        if found.is_none() {
            self.kept.lock().retain(|object| object.key != key);
        }
        Ok(found)
    }

    /// The last number that may be deleted: the lake has all up to `flushed`, and readers have all up to `read`. For
    /// them what the lake has is kept up to `retain_bytes`, and if it was put at `retain_from_ms` or later.
    pub fn deletable(&self, flushed: u64, read: u64, retain_bytes: u64, retain_from_ms: i64) -> u64 {
        if read >= flushed {
            return flushed;
        }
        let kept = self.kept.lock();
        let end = kept.partition_point(|object| object.key.sequence <= flushed);
        let mut bytes = 0_u64;
        for object in kept.range(..end).rev() {
            bytes = bytes.saturating_add(object.bytes);
            if bytes > retain_bytes || object.put_ms < retain_from_ms {
                return object.key.sequence.max(read);
            }
        }
        read
    }

    /// The objects of `after < number <= through` that are there.
    pub fn between(&self, after: u64, through: u64) -> Vec<Kept> {
        let kept = self.kept.lock();
        let from = kept.partition_point(|object| object.key.sequence <= after);
        kept.range(from..).take_while(|object| object.key.sequence <= through).copied().collect()
    }

    /// Bytes of the objects up to a number.
    pub fn bytes_through(&self, sequence: u64) -> u64 {
        let kept = self.kept.lock();
        kept.iter().take_while(|object| object.key.sequence <= sequence).map(|object| object.bytes).sum()
    }

    /// Deletes the objects up to a number.
    pub async fn delete(&self, through: u64) -> Result<()> {
        let keys: Vec<Key> = {
            let kept = self.kept.lock();
            kept.iter().map(|object| object.key).take_while(|key| key.sequence <= through).collect()
        };
        if keys.is_empty() {
            return Ok(());
        }
        self.objects.delete(&keys).await?;
        self.kept.lock().retain(|object| object.key.sequence > through);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    /// Objects 1 to 6 of 10 bytes, put at 100, 200, ….
    fn log() -> Log {
        let objects = Objects::new(Arc::new(InMemory::new()), "n").unwrap();
        let kept = (1..=6).map(|n| Kept {
            key: Key { epoch: 1, sequence: n },
            bytes: 10,
            put_ms: 100 * n as i64,
            times: None,
        });
        Log::new(objects, 1, 2, 7, kept.collect())
    }

    #[test]
    fn what_readers_need_stays_up_to_a_size() {
        let log = log();
        let check = |flushed, read, retain_bytes, expected| {
            let deletable = log.deletable(flushed, read, retain_bytes, i64::MIN);
            assert_eq!(deletable, expected, "{flushed} {read} {retain_bytes}");
        };
        check(4, u64::MAX, 0, 4);
        check(4, 5, 0, 4);
        check(4, 2, 100, 2);
        check(4, 2, 20, 2);
        // Two objects are needed, one fits.
        check(4, 2, 19, 3);
        check(4, 2, 9, 4);
        check(6, 0, 30, 3);
        check(0, 0, 0, 0);
    }

    #[test]
    fn what_readers_need_stays_for_a_time() {
        let log = log();
        let check = |flushed, read, retain_from_ms, expected| {
            let deletable = log.deletable(flushed, read, u64::MAX, retain_from_ms);
            assert_eq!(deletable, expected, "{flushed} {read} {retain_from_ms}");
        };
        check(4, u64::MAX, 0, 4);
        check(4, 1, 100, 1);
        check(4, 1, 301, 3);
        // What the lake lacks stays, however old.
        check(4, 1, 10_000, 4);
    }

    #[tokio::test]
    async fn following_objects() {
        let log = log();
        let numbers = |following| match following {
            Following::Objects(kept) => kept.iter().map(|object| object.key.sequence).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers(log.following(2, 20, 10)), [3, 4]);
        assert_eq!(numbers(log.following(2, 5, 10)), [3]);
        assert_eq!(numbers(log.following(2, 1000, 3)), [3, 4, 5]);
        assert_eq!(log.following(6, 1000, 3), Following::Nothing);
        log.delete(3).await.unwrap();
        assert_eq!(log.following(1, 10, 10), Following::Gone { through: 3, next_put_ms: Some(400) });
        assert_eq!(numbers(log.following(3, 10, 10)), [4]);
        assert_eq!(log.bytes_through(5), 20);
    }
}

//! After a start: the log objects the lake does not contain yet, in order, into registry, memtable and index.
//!
//! An object that cannot be read is never deleted: it is copied to `quarantine/` below the node's log. The last of an
//! epoch may be torn by a store without atomic puts, and was then never acknowledged; any other one, or a gap in the
//! numbers, is a loss, and stops the start unless the settings say to go on without it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::head::memtable::Memtable;
use crate::storage::head::registry::Registry;
use crate::storage::index::series_index::SeriesIndex;
use crate::storage::store::gate::Gate;
use crate::storage::types::LogRows;
use crate::storage::wal::codec::{Content, Origin};
use crate::storage::wal::epoch;
use crate::storage::wal::objects::{Key, Objects};

/// What a replay leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub objects: usize,
    pub samples: usize,
    /// Objects that were moved aside.
    pub damaged: usize,
    /// Numbers without an object.
    pub missing: u64,
    /// Rows whose series was in one of those.
    pub orphans: usize,
}

/// How far a replay is, for those who wait for a start: numbers of log objects, zero where there is nothing to replay.
#[derive(Debug, Default)]
pub struct Replaying {
    first: AtomicU64,
    last: AtomicU64,
    current: AtomicU64,
}

impl Replaying {
    fn begin(&self, keys: &[Key]) {
        let [Some(first), Some(last)] = [keys.first(), keys.last()] else { return };
        self.first.store(first.sequence, Ordering::Relaxed);
        self.last.store(last.sequence, Ordering::Relaxed);
    }

    fn read(&self, key: Key) {
        self.current.store(key.sequence, Ordering::Relaxed);
    }

    /// The first object to replay, the last, and the one that was read last.
    pub fn objects(&self) -> [u64; 3] {
        [&self.first, &self.last, &self.current].map(|number| number.load(Ordering::Relaxed))
    }
}

/// Where the rows of the log go.
pub struct Head<'a> {
    pub gate: &'a mut Gate,
    pub memtable: &'a Memtable,
    pub index: &'a mut SeriesIndex,
}

/// The log that is replayed.
pub struct Source<'a> {
    pub objects: &'a Objects,
    /// Of the process that replays.
    pub own: Origin,
    /// Go on past objects that are missing or cannot be read.
    pub skip_damaged: bool,
    pub progress: &'a Replaying,
}

/// Replays objects, which are those after number `applied` in order.
pub async fn replay(source: &Source<'_>, keys: &[Key], applied: u64, head: &mut Head<'_>) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut expected = applied + 1;
    source.progress.begin(keys);
    for (at, key) in keys.iter().enumerate() {
        if key.sequence != expected {
            source.missing(Key { sequence: expected, ..*key }, *key)?;
            replayed.missing += key.sequence.saturating_sub(expected);
        }
        expected = key.sequence + 1;
        let last_of_epoch = keys.get(at + 1).is_none_or(|next| next.epoch != key.epoch);
        let rows = source.read(*key, last_of_epoch).await?;
        source.progress.read(*key);
        let Some(rows) = rows else {
            replayed.damaged += 1;
            continue;
        };
        let before = rows.rows();
        let rows = resolve(rows, &mut head.gate.registry, head.gate.generation, source.skip_damaged)
            .map_err(|e| source.cannot_replay(*key, e))?;
        replayed.orphans += before - rows.rows();
        head.take(&rows);
        replayed.objects += 1;
        replayed.samples += rows.samples.slots.len() + rows.histograms.len();
    }
    Ok(replayed)
}

impl Source<'_> {
    /// The rows of an object; `None` where there are none any more.
    async fn read(&self, key: Key, last_of_epoch: bool) -> Result<Option<LogRows>> {
        let reason = match self.objects.read(key).await? {
            Ok(decoded) => {
                return Ok(match decoded.content {
                    Content::Rows(rows) => Some(*rows),
                    // Moved aside at an earlier start.
                    Content::Void | Content::Seal { .. } => None,
                });
            }
            Err(reason) => reason,
        };
        // A version of tomorrow is no damage.
        if reason.kind != ErrorKind::Internal || !(last_of_epoch || self.skip_damaged) {
            return Err(self.cannot_replay(key, reason));
        }
        let aside = epoch::set_aside(self.objects, key, self.own).await?;
        let path = self.objects.path(key);
        match last_of_epoch {
            true => tracing::warn!("{path} is cut off and was never acknowledged, it is kept as {aside}: {reason}"),
            false => tracing::error!("{path} is damaged and skipped, it is kept as {aside}: {reason}"),
        }
        Ok(None)
    }

    fn missing(&self, missing: Key, found: Key) -> Result<()> {
        let (missing, found) = (self.objects.path(missing), self.objects.path(found));
        if self.skip_damaged {
            tracing::error!("the write-ahead log lacks {missing} and goes on with {found}");
            return Ok(());
        }
        Err(Error::internal(format!(
            "the write-ahead log has {found} but lacks {missing}: put the missing object back, or start with \
             --storage.wal.skip-damaged to go on without what it held"
        )))
    }

    fn cannot_replay(&self, key: Key, reason: Error) -> Error {
        let path = self.objects.path(key);
        let advice = match reason.kind {
            ErrorKind::Internal => {
                "; bring the object back from a copy, or start with --storage.wal.skip-damaged, which keeps it in \
                 quarantine and goes on without what it held"
            }
            _ => "",
        };
        Error::new(reason.kind, format!("cannot replay {path}{advice}")).with_source(reason)
    }
}

impl Head<'_> {
    pub fn take(&mut self, rows: &LogRows) {
        self.gate.registry.replay(rows);
        self.gate.metadata.extend(rows.metadata.iter().cloned());
        self.gate.dirty = true;
        for (series, day) in self.memtable.apply(rows) {
            self.index.insert(&series, day);
        }
    }
}

/// Fills in the slots of rows that come from the log. Rows of a series without labels are left out if `lenient`, and
/// an error otherwise.
pub fn resolve(mut rows: LogRows, registry: &mut Registry, generation: u32, lenient: bool) -> Result<LogRows> {
    for (slot, series) in &mut rows.series {
        *slot = registry.restore(series, generation);
    }
    let known = |id: &i64| registry.slot_of(*id).is_some();
    let samples = &rows.samples.series_ids;
    let ids = samples.iter().chain(rows.histograms.iter().map(|row| &row.series_id));
    if let Some(id) = ids.chain(rows.exemplars.iter().map(|row| &row.series_id)).find(|id| !known(id)) {
        if !lenient {
            return Err(Error::internal(format!("it uses series {id} before its labels")));
        }
        rows.samples.retain(known);
        rows.histograms.retain(|row| known(&row.series_id));
        rows.exemplars.retain(|row| known(&row.series_id));
    }
    let slot_of = |id: i64| registry.slot_of(id).expect("rows of unknown series are left out");
    for (slot, id) in rows.samples.slots.iter_mut().zip(&rows.samples.series_ids) {
        *slot = slot_of(*id);
    }
    for row in &mut rows.histograms {
        row.slot = slot_of(row.series_id);
    }
    for row in &mut rows.exemplars {
        row.slot = slot_of(row.series_id);
    }
    Ok(rows)
}

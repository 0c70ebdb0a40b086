//! The head of a stopped Prometheus: its newest samples, which are in no block yet. They come from `chunks_head`, from
//! the write-ahead log and, for late ones, from `wbl`, by the rules Prometheus starts with: of a series only what is newer
//! than all before it counts in the log, and nothing that the blocks have.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::Result;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::spill::Value;
use crate::ingest::tsdb::bytes::Fault;
use crate::ingest::tsdb::head_chunks::{HeadChunk, HeadChunks};
use crate::ingest::tsdb::tombstones::{self, Tombstones};
use crate::ingest::tsdb::wal::pages::Segments;
use crate::ingest::tsdb::wal::record::{Kind, Place, Record};
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

/// See the module.
#[derive(Debug)]
pub struct Head {
    pub collected: Collected,
    chunks: HeadChunks,
    /// Of each slot, sorted by it.
    places: Vec<(u32, HeadChunk)>,
    deleted: Tombstones,
    /// Where the blocks end.
    start_ms: i64,
    /// What could not be read and is not missed, as it is elsewhere.
    pub notes: Vec<String>,
}

impl Head {
    /// Reads the head of a folder into `collected`, which is empty. `start_ms` is where its blocks end.
    pub fn read(folder: &Path, start_ms: i64, collected: Collected) -> Result<Self> {
        let mut notes = Vec::new();
        let (chunks, cut_off) = HeadChunks::read(&folder.join("chunks_head"))?;
        notes.extend(cut_off.map(|e| format!("{e}; these samples are read from the write-ahead log")));
        let mut head =
            Self { collected, chunks, places: Vec::new(), deleted: Tombstones::default(), start_ms, notes };
        let mut replay = Replay { slots: HashMap::new(), newest: Vec::new(), gone: HashSet::new() };
        for (name, is_late) in [("wal", false), ("wbl", true)] {
            let segments = Segments::find(&folder.join(name))?;
            let torn = segments.replay(|record| replay.record(&mut head, Record::of(record)?, is_late));
            if let Some(failure) = head.collected.failure() {
                return Err(failure);
            }
            let torn = torn?;
            head.notes.extend(torn.map(|path| {
                format!("{} ends within a record, which was never acknowledged and is left out", path.display())
            }));
        }
        head.places.retain(|(slot, _)| !replay.gone.contains(slot));
        for slot in replay.gone {
            head.collected.drop_slot(slot);
        }
        head.places.sort_by_key(|(slot, _)| *slot);
        head.chunks.by_series = HashMap::new();
        Ok(head)
    }

    /// Appends the samples of a slot within a range to a run: not sorted, and some twice.
    pub fn read_slot(&self, slot: u32, range: TimeRange, buffer: &mut Vec<u8>, run: &mut Run) -> Result<()> {
        let start = run.timestamps.len();
        let first = self.places.partition_point(|(s, _)| *s < slot);
        for (_, chunk) in self.places[first..].iter().take_while(|(s, _)| *s == slot) {
            if !range.overlaps(chunk.min_time, chunk.max_time) {
                continue;
            }
            let before = run.timestamps.len();
            self.chunks.decode(chunk, buffer, run)?;
            let from = if chunk.is_late { i64::MIN } else { self.start_ms };
            tombstones::retain(run, before, |timestamp| range.contains(timestamp) && timestamp >= from);
        }
        self.collected.read_slot(slot, range, buffer, run)?;
        tombstones::apply(self.deleted.of(u64::from(slot)), run, start);
        Ok(())
    }
}

fn push(head: &mut Head, slot: u32, place: Place, value: Value<'_>) -> Result<(), Fault> {
    head.collected.push(slot, place.timestamp, place.start_timestamp, value)
}

/// What a replay has to know of series.
struct Replay {
    /// Series references of the log; several may be one series, which was forgotten and came back.
    slots: HashMap<u64, u32>,
    /// The newest sample of each slot, in order.
    newest: Vec<i64>,
    /// Slots whose series were deleted as a whole.
    gone: HashSet<u32>,
}

impl Replay {
    fn record(&mut self, head: &mut Head, record: Record<'_>, is_late: bool) -> Result<(), Fault> {
        match record.kind {
            Kind::Series => record.series(|series, pairs| {
                self.add_series(head, series, pairs);
                Ok(())
            }),
            Kind::Samples => record.samples(|place, value| match self.accept(head, place, is_late) {
                Some(slot) => push(head, slot, place, Value::Float(value)),
                None => Ok(()),
            }),
            Kind::Histograms { floats } => {
                record.histograms(floats, |place, histogram| match self.accept(head, place, is_late) {
                    Some(slot) => push(head, slot, place, Value::Histogram(&histogram)),
                    None => Ok(()),
                })
            }
            Kind::Tombstones => record.tombstones(|series, first, last| self.delete(head, series, first, last)),
            Kind::Exemplars => record.exemplars(|place, value, pairs| {
                let slot = self.slots.get(&place.series).filter(|_| place.timestamp >= head.start_ms);
                if let Some(slot) = slot {
                    head.collected.push_exemplar(*slot, place.timestamp, value, pairs);
                }
                Ok(())
            }),
            Kind::Metadata => record.metadata(|series, kind, unit, help| {
                if let Some(slot) = self.slots.get(&series) {
                    let metadata = Metadata { kind, help: help.to_string(), unit: unit.to_string() };
                    head.collected.set_metadata(*slot, metadata);
                }
            }),
            Kind::Markers => Ok(()),
        }
    }

    fn add_series(&mut self, head: &mut Head, series: u64, pairs: &[(&str, &str)]) {
        let Some(slot) = head.collected.intern(pairs) else { return };
        if self.newest.len() <= slot as usize {
            self.newest.resize(slot as usize + 1, i64::MIN);
        }
        if self.slots.insert(series, slot) == Some(slot) {
            return;
        }
        let chunks = head.chunks.by_series.get(&series).map_or(&[][..], Vec::as_slice);
        for chunk in chunks {
            head.places.push((slot, *chunk));
            let from = if chunk.is_late { i64::MIN } else { head.start_ms };
            head.collected.note_times(slot, chunk.min_time.max(from), chunk.max_time);
            if !chunk.is_late {
                let newest = &mut self.newest[slot as usize];
                *newest = (*newest).max(chunk.max_time);
            }
        }
    }

    /// The slot of a sample that counts.
    fn accept(&mut self, head: &Head, place: Place, is_late: bool) -> Option<u32> {
        let slot = *self.slots.get(&place.series)?;
        if is_late {
            return Some(slot);
        }
        let newest = &mut self.newest[slot as usize];
        if place.timestamp < head.start_ms || place.timestamp <= *newest {
            return None;
        }
        *newest = place.timestamp;
        Some(slot)
    }

    fn delete(&mut self, head: &mut Head, series: u64, first: i64, last: i64) {
        let Some(slot) = self.slots.get(&series).copied() else { return };
        if (first, last) != (i64::MIN, i64::MAX) {
            head.deleted.add(u64::from(slot), first, last);
            return;
        }
        // Its samples have been written to a block, and a series of the same labels is a new one.
        self.gone.insert(slot);
        head.collected.forget(slot);
    }
}

#[cfg(test)]
mod tests;

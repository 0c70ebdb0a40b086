//! Scrapes that wait for a store that takes no samples. They wait before its gate: nothing of them is checked or
//! registered, so what is dropped in the end leaves no trace but a counter.
//!
//! Each target keeps its own, in order, and all of them share one budget. Where it is used up a target drops its oldest
//! scrape for its newest; as all of them wait for the same store, that is the oldest of all, give or take an interval.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::Labels;
use crate::storage::types::{SeriesRef, WriteBatch};

/// One scrape, or the rest of one.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: WriteBatch,
    /// See `ScrapeBatch::zeros`.
    pub zeros: (usize, usize),
    /// Series that end in it; the target may not know their labels any more.
    pub ended: Vec<(SeriesRef, Labels)>,
}

/// The budget of all targets.
#[derive(Debug)]
pub struct Room {
    budget_bytes: usize,
    held_bytes: AtomicUsize,
    stats: Arc<IngestStats>,
}

impl Room {
    pub fn new(budget_bytes: usize, stats: Arc<IngestStats>) -> Self {
        Self { budget_bytes, held_bytes: AtomicUsize::new(0), stats }
    }

    /// Bytes of the scrapes that wait.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let with = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.budget_bytes);
        self.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
    }
}

/// The scrapes of one target, oldest first.
#[derive(Debug)]
pub struct Waiting {
    batches: VecDeque<(Batch, usize)>,
    room: Arc<Room>,
}

impl Waiting {
    pub fn new(room: Arc<Room>) -> Self {
        Self { batches: VecDeque::new(), room }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Puts a scrape at the end. What there is no room for is dropped, the oldest first.
    pub fn push(&mut self, batch: Batch) {
        let bytes = bytes_of(&batch);
        add(&self.room.stats.scrapes_waited, 1);
        while !self.room.take(bytes) {
            add(&self.room.stats.scrapes_dropped, 1);
            if self.pop().is_none() {
                // Others have all of the room.
                return;
            }
        }
        self.batches.push_back((batch, bytes));
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Batch> {
        let (batch, bytes) = self.batches.pop_front()?;
        self.room.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(batch)
    }

    /// Puts back what was taken, which has room of its own unless others took it meanwhile.
    pub fn put_back(&mut self, batch: Batch) {
        let bytes = bytes_of(&batch);
        match self.room.take(bytes) {
            true => self.batches.push_front((batch, bytes)),
            false => add(&self.room.stats.scrapes_dropped, 1),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        while self.pop().is_some() {
            add(&self.room.stats.scrapes_dropped, 1);
        }
    }
}

/// What a scrape holds of memory, roughly.
fn bytes_of(batch: &Batch) -> usize {
    let rows = &batch.rows;
    let labels = |labels: &Labels| labels.iter().map(|(name, value)| name.len() + value.len() + 16).sum::<usize>();
    let metadata = rows.metadata.iter().map(|(family, m)| family.len() + m.help.len() + m.unit.len() + 64);
    size_of_val(rows.samples.as_slice())
        + rows.histograms.iter().map(|row| 256 + 8 * row.histogram.positive_buckets.len()).sum::<usize>()
        + rows.exemplars.iter().map(|row| 64 + labels(&row.labels)).sum::<usize>()
        + metadata.sum::<usize>()
        + batch.ended.iter().map(|(_, l)| 16 + labels(l)).sum::<usize>()
        + 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::SampleRow;

    fn batch(timestamp: i64) -> Batch {
        let series = SeriesRef { slot: 0, generation: 0 };
        let row = SampleRow { series, timestamp, value: 0.0, start_timestamp: 0 };
        Batch { rows: WriteBatch { samples: vec![row; 10], ..WriteBatch::default() }, ..Batch::default() }
    }

    #[test]
    fn the_oldest_goes_when_room_is_short() {
        let stats = Arc::new(IngestStats::default());
        let room = Arc::new(Room::new(3 * bytes_of(&batch(0)), stats.clone()));
        let (mut one, mut other) = (Waiting::new(room.clone()), Waiting::new(room.clone()));
        (0..5).for_each(|at| one.push(batch(at)));
        other.push(batch(9));
        let dropped = || stats.scrapes_dropped.load(Ordering::Relaxed);
        assert_eq!((dropped(), other.is_empty()), (3, true));
        let first = one.pop().unwrap();
        assert_eq!(first.rows.samples[0].timestamp, 2);
        one.put_back(first);
        assert_eq!(one.pop().unwrap().rows.samples[0].timestamp, 2);
        other.push(batch(9));
        assert_eq!(dropped(), 3);
        drop((one, other));
        assert_eq!((room.held_bytes(), dropped()), (0, 6));
    }
}

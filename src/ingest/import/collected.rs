//! Series, samples, exemplars and metadata that a source tells in its own order, sorted by series when it has ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ingest::import::calendar::{self, Calendar, DATED};
use crate::ingest::import::series::{Added, LeftOut};
use crate::ingest::import::spill::{Spill, Value};
use crate::ingest::labels;
use crate::ingest::remote_write::receiver::family_of;
use crate::ingest::tsdb::bytes::Fault;
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

/// Exemplars are kept in memory; a Prometheus keeps a tenth of it by default.
const MAX_EXEMPLARS: usize = 1_000_000;

/// See the module. A series has a slot, a number from 0 on.
#[derive(Debug)]
pub struct Collected {
    slots: Vec<Slot>,
    by_labels: HashMap<Labels, u32>,
    added: Arc<Added>,
    spill: Spill,
    pub calendar: Calendar,
    pub exemplars: Vec<Exemplar>,
    pub metadata: BTreeMap<String, Metadata>,
    pub left_out: LeftOut,
    /// Samples at times that have no date, and exemplars beyond their limit or that no Prometheus would keep.
    pub samples_left_out: u64,
    pub exemplars_left_out: u64,
    failed: Option<Error>,
}

#[derive(Debug)]
struct Slot {
    labels: Labels,
    samples: u64,
    first_day: i32,
    last_day: i32,
}

/// An exemplar of a series.
#[derive(Debug)]
pub struct Exemplar {
    pub slot: u32,
    pub timestamp: i64,
    pub value: f64,
    pub labels: Labels,
}

/// A series and how much there is of it.
#[derive(Clone, Copy, Debug)]
pub struct SlotView<'a> {
    pub slot: u32,
    pub labels: &'a Labels,
    pub samples: u64,
    pub first_day: i32,
    pub last_day: i32,
}

impl Collected {
    /// Samples take memory up to `most_bytes`, and a temporary file beyond.
    pub fn new(added: Arc<Added>, most_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            by_labels: HashMap::new(),
            added,
            spill: Spill::new(most_bytes),
            calendar: Calendar::default(),
            exemplars: Vec::new(),
            metadata: BTreeMap::new(),
            left_out: LeftOut::default(),
            samples_left_out: 0,
            exemplars_left_out: 0,
            failed: None,
        }
    }

    /// The slot of a series; `None` for one that cannot be kept, which is counted.
    pub fn intern(&mut self, pairs: &[(&str, &str)]) -> Option<u32> {
        let labels = match self.added.labels(pairs) {
            Ok(labels) => labels,
            Err(reason) => {
                self.left_out.add(pairs, &reason);
                return None;
            }
        };
        if let Some(slot) = self.by_labels.get(&labels) {
            return Some(*slot);
        }
        let slot = u32::try_from(self.slots.len()).expect("memory is full before");
        self.by_labels.insert(labels.clone(), slot);
        self.slots.push(Slot { labels, samples: 0, first_day: i32::MAX, last_day: i32::MIN });
        Some(slot)
    }

    /// A series of these labels is another one from now on.
    pub fn forget(&mut self, slot: u32) {
        self.by_labels.remove(&self.slots[slot as usize].labels);
    }

    /// Takes out a series with all it has.
    pub fn drop_slot(&mut self, slot: u32) {
        let dropped = &mut self.slots[slot as usize];
        (dropped.samples, dropped.first_day, dropped.last_day) = (0, i32::MAX, i32::MIN);
        self.exemplars.retain(|exemplar| exemplar.slot != slot);
    }

    /// A sample of a series. A fault is that there is no room for it, of which [`Collected::failure`] knows more.
    #[inline]
    pub fn push(&mut self, slot: u32, timestamp: i64, start_timestamp: i64, value: Value<'_>) -> Result<(), Fault> {
        if !DATED.contains(timestamp) {
            self.samples_left_out += 1;
            return Ok(());
        }
        self.note_times(slot, timestamp, timestamp);
        self.spill.push(slot, timestamp, start_timestamp, value).map_err(|error| {
            self.failed = Some(error);
            Fault::new("its samples cannot be kept")
        })
    }

    /// Notes that a series has samples between two times, which are elsewhere.
    #[inline]
    pub fn note_times(&mut self, slot: u32, min_time: i64, max_time: i64) {
        if min_time > max_time {
            return;
        }
        let Some((first, last)) = calendar::days_of(min_time, max_time) else { return };
        self.calendar.note(first, last);
        let slot = &mut self.slots[slot as usize];
        slot.samples += 1;
        slot.first_day = slot.first_day.min(first);
        slot.last_day = slot.last_day.max(last);
    }

    pub fn push_exemplar(&mut self, slot: u32, timestamp: i64, value: f64, pairs: &[(&str, &str)]) {
        match labels::exemplar_labels(pairs) {
            Some(labels) if self.exemplars.len() < MAX_EXEMPLARS && DATED.contains(timestamp) => {
                self.exemplars.push(Exemplar { slot, timestamp, value, labels });
            }
            _ => self.exemplars_left_out += 1,
        }
    }

    /// Metadata of the family of a series.
    pub fn set_metadata(&mut self, slot: u32, metadata: Metadata) {
        let metric = self.slots[slot as usize].labels.metric();
        let family = family_of(metric, metadata.kind);
        self.metadata.insert(family.to_string(), metadata);
    }

    /// Why a sample could not be kept.
    pub fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// See [`Spill::index_bytes`].
    pub fn index_bytes(&self) -> usize {
        self.spill.index_bytes()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All series that have something.
    pub fn slots(&self) -> impl Iterator<Item = SlotView<'_>> {
        let views = self.slots.iter().enumerate().map(|(at, slot)| SlotView {
            slot: at as u32,
            labels: &slot.labels,
            samples: slot.samples,
            first_day: slot.first_day,
            last_day: slot.last_day,
        });
        views.filter(|view| view.samples > 0)
    }

    pub fn labels(&self, slot: u32) -> &Labels {
        &self.slots[slot as usize].labels
    }

    /// Appends the samples of a slot within a range to a run, in the order they came.
    pub fn read_slot(&self, slot: u32, range: TimeRange, buffer: &mut Vec<u8>, run: &mut Run) -> Result<()> {
        self.spill.read(slot, range, buffer, run)
    }
}

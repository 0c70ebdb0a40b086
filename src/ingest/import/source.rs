//! What is imported, one after the other: a block of a TSDB, or what was collected of a source in another order. Before
//! it is read its series are listed, by (metric, series id) as the lake has them.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::ingest::import::calendar::{self, Calendar};
use crate::ingest::import::collected::Collected;
use crate::ingest::import::head::Head;
use crate::ingest::import::series::{Added, Ids, LeftOut};
use crate::ingest::labels::InvalidLabels;
use crate::ingest::tsdb::block::{Block, Scratch as BlockScratch};
use crate::ingest::tsdb::bytes::Fault;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

/// Samples of a chunk as Prometheus cuts them, to guess by.
const CHUNK_SAMPLES: u64 = 120;

/// See the module.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    added: Arc<Added>,
    /// By (metric, id).
    entries: Vec<Entry>,
    /// Sorted.
    metrics: Vec<Arc<str>>,
    pub calendar: Calendar,
    pub left_out: LeftOut,
}

#[derive(Debug)]
enum Kind {
    Block(Block),
    Head(Head),
    Collected(Collected),
}

/// A series.
#[derive(Clone, Copy, Debug)]
struct Entry {
    metric: u32,
    /// Samples a day, about.
    weight: u32,
    id: i64,
    /// Where the source has it.
    place: u64,
    first_day: i32,
    last_day: i32,
}

/// A series of a day.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    pub metric: &'a Arc<str>,
    pub id: i64,
    pub place: u64,
    pub weight: u64,
}

/// What reading needs again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    block: BlockScratch,
    buffer: Vec<u8>,
}

impl Source {
    /// Lists the series of a block.
    pub fn of_block(block: Block, added: Arc<Added>, ids: &Mutex<Ids>) -> Result<Self> {
        let mut list = List::default();
        let (mut calendar, mut left_out) = (Calendar::default(), LeftOut::default());
        block.series(|place, pairs, chunks| {
            let (Some(first), Some(last)) =
                (chunks.iter().map(|chunk| chunk.min_time).min(), chunks.iter().map(|chunk| chunk.max_time).max())
            else {
                return Ok(());
            };
            let labels = match added.labels(pairs) {
                Ok(labels) => labels,
                Err(InvalidLabels::Repeated(name)) => {
                    return Err(Fault::of(format!("a series has {name:?} twice")));
                }
                Err(reason) => {
                    left_out.add(pairs, &reason);
                    return Ok(());
                }
            };
            for chunk in chunks {
                let days = calendar::days_of(chunk.min_time, chunk.max_time);
                if !days.is_some_and(|(first, last)| calendar.note(first, last)) {
                    let (min, max) = (chunk.min_time, chunk.max_time);
                    return Err(Fault::of(format!("a chunk is of the times from {min} to {max}")));
                }
            }
            let (first_day, last_day) = calendar::days_of(first, last).expect("all chunks have dates");
            let samples = chunks.len() as u64 * CHUNK_SAMPLES;
            list.push(&labels, ids, place, samples, first_day, last_day);
            Ok(())
        })?;
        let (entries, metrics) = list.finish();
        Ok(Self { kind: Kind::Block(block), added, entries, metrics, calendar, left_out })
    }

    /// Lists the series of a head.
    pub fn of_head(head: Head, ids: &Mutex<Ids>) -> Self {
        let (entries, metrics) = List::of(&head.collected, ids).finish();
        let calendar = head.collected.calendar.clone();
        let left_out = head.collected.left_out.clone();
        Self { kind: Kind::Head(head), added: Arc::default(), entries, metrics, calendar, left_out }
    }

    /// Lists the series of what was collected.
    pub fn of_collected(collected: Collected, ids: &Mutex<Ids>) -> Self {
        let (entries, metrics) = List::of(&collected, ids).finish();
        let calendar = collected.calendar.clone();
        let left_out = collected.left_out.clone();
        Self { kind: Kind::Collected(collected), added: Arc::default(), entries, metrics, calendar, left_out }
    }

    /// What was found and does not matter to the result.
    pub fn notes(&self) -> &[String] {
        match &self.kind {
            Kind::Head(head) => &head.notes,
            Kind::Block(_) | Kind::Collected(_) => &[],
        }
    }

    /// What was collected beside samples.
    pub fn collected(&self) -> Option<&Collected> {
        match &self.kind {
            Kind::Block(_) => None,
            Kind::Head(head) => Some(&head.collected),
            Kind::Collected(collected) => Some(collected),
        }
    }

    /// The series that may have samples on a day, by (metric, id).
    pub fn listed(&self, day: i32) -> impl Iterator<Item = Listed<'_>> {
        let on_day = self.entries.iter().filter(move |entry| entry.first_day <= day && day <= entry.last_day);
        on_day.map(|entry| Listed {
            metric: &self.metrics[entry.metric as usize],
            id: entry.id,
            place: entry.place,
            weight: u64::from(entry.weight),
        })
    }

    /// How many samples a day may have, about.
    pub fn weight_of(&self, day: i32) -> u64 {
        self.listed(day).map(|listed| listed.weight).sum()
    }

    pub fn labels(&self, place: u64, scratch: &mut Scratch) -> Result<Labels> {
        match &self.kind {
            Kind::Block(block) => {
                let mut labels = Labels::empty();
                block.labels(place, &mut scratch.block, |pairs| {
                    labels = self.added.labels(pairs).expect("it was one when the series was listed");
                })?;
                Ok(labels)
            }
            Kind::Head(head) => Ok(head.collected.labels(place as u32).clone()),
            Kind::Collected(collected) => Ok(collected.labels(place as u32).clone()),
        }
    }

    /// Appends the samples of a series within a range to a run; they may be in another order than that of time, and
    /// some may be there twice.
    pub fn read(&self, place: u64, range: TimeRange, scratch: &mut Scratch, run: &mut Run) -> Result<()> {
        match &self.kind {
            Kind::Block(block) => block.read(place, range, &mut scratch.block, run),
            Kind::Head(head) => head.read_slot(place as u32, range, &mut scratch.buffer, run),
            Kind::Collected(collected) => collected.read_slot(place as u32, range, &mut scratch.buffer, run),
        }
    }
}

/// Series on their way into order.
#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    metrics: Vec<Arc<str>>,
    /// The number of each metric in `metrics`.
    numbers: hashbrown::HashMap<Arc<str>, u32>,
    last: Option<u32>,
}

impl List {
    fn of(collected: &Collected, ids: &Mutex<Ids>) -> Self {
        let mut list = Self::default();
        for slot in collected.slots() {
            list.push(slot.labels, ids, u64::from(slot.slot), slot.samples, slot.first_day, slot.last_day);
        }
        list
    }

    fn push(&mut self, labels: &Labels, ids: &Mutex<Ids>, place: u64, samples: u64, first_day: i32, last_day: i32) {
        let metric = labels.get(METRIC_NAME).expect("series without a metric name are left out");
        let number = match self.last.filter(|last| &*self.metrics[*last as usize] == metric) {
            Some(last) => last,
            None => self.number(metric),
        };
        self.last = Some(number);
        let days = u64::from(last_day.abs_diff(first_day)) + 1;
        let weight = u32::try_from(samples / days).unwrap_or(u32::MAX).max(1);
        let id = ids.lock().resolve(labels);
        self.entries.push(Entry { metric: number, weight, id, place, first_day, last_day });
    }

    fn number(&mut self, metric: &str) -> u32 {
        if let Some(number) = self.numbers.get(metric) {
            return *number;
        }
        let (name, number) = (Arc::<str>::from(metric), self.metrics.len() as u32);
        self.metrics.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    fn finish(mut self) -> (Vec<Entry>, Vec<Arc<str>>) {
        let mut order: Vec<u32> = (0..self.metrics.len() as u32).collect();
        order.sort_by(|a, b| self.metrics[*a as usize].cmp(&self.metrics[*b as usize]));
        let mut rank = vec![0u32; order.len()];
        for (at, number) in order.iter().enumerate() {
            rank[*number as usize] = at as u32;
        }
        for entry in &mut self.entries {
            entry.metric = rank[entry.metric as usize];
        }
        self.entries.sort_unstable_by_key(|entry| (entry.metric, entry.id, entry.place));
        let metrics = order.iter().map(|number| self.metrics[*number as usize].clone()).collect();
        (self.entries, metrics)
    }
}

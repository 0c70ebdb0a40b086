//! The series a target had in its last scrapes: raw bytes of the exposition → handle. A known line costs one
//! hash and one look-up; and what was there last time and is gone now is found here, for staleness markers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::appender::Appended;
use crate::ingest::exposition::event::Value;
use crate::ingest::raw_series::HashedMap;
use crate::ingest::scrape::start::Synthesis;
use crate::model::histogram::{CounterResetHint, FloatHistogram};
use crate::model::labels::Labels;
use crate::storage::types::SeriesRef;

/// A series of the target. Its labels are kept (sharing the buffer of the head) to find it again there.
#[derive(Debug)]
pub struct Entry {
    /// None where relabelling drops it.
    pub labels: Labels,
    /// `None` until the scrape that brought it is complete.
    pub series: Option<SeriesRef>,
    key: u128,
    /// The scrapes that had it first and last.
    added: u64,
    seen: u64,
    /// Whether a sample of that scrape is one that a marker ends when it is gone.
    tracked: bool,
    /// Has a stored sample that a marker has to end.
    live: bool,
    /// The start that a zero was last stored for.
    zero_at: i64,
    /// For a counter whose target tells no start.
    synthesis: Option<Box<Synthesis>>,
}

/// Series of failed scrapes that are remembered, about: a target may have new ones each time.
const MAX_REFUSED: usize = 100_000;

/// A sample of the scrape in progress.
#[derive(Clone, Debug)]
pub struct Staged {
    pub entry: u32,
    pub timestamp: i64,
    /// 0 for unset.
    pub start_timestamp: i64,
    pub value: Value,
}

#[derive(Debug, Default)]
pub struct TargetCache {
    index: HashedMap<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    scrape: u64,
    /// Entries of the scrape in progress that are new.
    added: Vec<u32>,
    staged: Vec<Staged>,
    /// Zeros of counters that began.
    zeros: Vec<Staged>,
    /// Series that were new in scrapes that failed since the last good one. They were counted then.
    refused: HashedMap<()>,
    /// `up` and its siblings, in their order.
    pub(super) synthetic: Vec<(Labels, SeriesRef)>,
    /// Whether the synthetic series have samples that a marker must end.
    pub(super) reported: bool,
}

impl TargetCache {
    pub fn begin(&mut self) {
        self.scrape += 1;
        self.clear_staged();
        self.added.clear();
    }

    fn clear_staged(&mut self) {
        self.staged.clear();
        self.zeros.clear();
    }

    pub fn key(raw: &[u8]) -> u128 {
        xxh3_128(raw)
    }

    #[inline]
    pub fn find(&self, key: u128) -> Option<u32> {
        self.index.get(&key).copied()
    }

    /// Whether a scrape that failed had the series.
    pub fn was_refused(&self, key: u128) -> bool {
        self.refused.contains_key(&key)
    }

    /// Remembers a series that relabelling drops.
    pub fn add_dropped(&mut self, key: u128) -> u32 {
        self.insert(key, Labels::empty())
    }

    pub fn add(&mut self, key: u128, labels: Labels) -> u32 {
        let at = self.insert(key, labels);
        self.added.push(at);
        at
    }

    fn insert(&mut self, key: u128, labels: Labels) -> u32 {
        let seen = self.scrape;
        let entry = Entry {
            labels,
            series: None,
            key,
            added: seen,
            seen,
            tracked: false,
            live: false,
            zero_at: 0,
            synthesis: None,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = Some(entry);
                at
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as u32
            }
        };
        self.index.insert(key, at);
        at
    }

    /// Whether relabelling drops the series; it was in this scrape.
    #[inline]
    pub fn is_dropped(&mut self, at: u32) -> bool {
        let scrape = self.scrape;
        let entry = self.entry_mut(at);
        let dropped = entry.labels.is_empty();
        if dropped {
            entry.seen = scrape;
        }
        dropped
    }

    #[inline]
    fn entry_mut(&mut self, at: u32) -> &mut Entry {
        self.entries[at as usize].as_mut().expect("an index points at an entry")
    }

    /// This scrape has the series; `true` where it already had it.
    #[inline]
    pub fn see(&mut self, at: u32) -> bool {
        let scrape = self.scrape;
        let entry = self.entry_mut(at);
        if entry.seen == scrape {
            return true;
        }
        (entry.seen, entry.tracked) = (scrape, false);
        false
    }

    /// Stages a sample of a series that was seen; `tracked` says that a marker ends the series when it is gone.
    #[inline]
    pub fn stage(&mut self, at: u32, sample: Staged, tracked: bool) {
        self.entry_mut(at).tracked |= tracked;
        self.staged.push(sample);
    }

    /// Stages the zero that a counter was when it began, once for each start.
    pub fn stage_zero(&mut self, at: u32, start: i64, of: &Value) {
        if std::mem::replace(&mut self.entry_mut(at).zero_at, start) == start {
            return;
        }
        let value = match of {
            Value::Float(_) => Value::Float(0.0),
            Value::Histogram(histogram) => Value::Histogram(Arc::new(FloatHistogram {
                counter_reset_hint: CounterResetHint::Reset,
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                custom_values: histogram.custom_values.clone(),
                ..FloatHistogram::default()
            })),
        };
        self.zeros.push(Staged { entry: at, timestamp: start, start_timestamp: 0, value });
    }

    pub fn synthesis(&mut self, at: u32) -> &mut Synthesis {
        self.entry_mut(at).synthesis.get_or_insert_default()
    }

    pub fn staged(&self) -> &[Staged] {
        &self.staged
    }

    /// Zeros and samples, whose lists [`TargetCache::give_back`] takes for the next scrape.
    pub fn take_staged(&mut self) -> (Vec<Staged>, Vec<Staged>) {
        (std::mem::take(&mut self.zeros), std::mem::take(&mut self.staged))
    }

    pub fn give_back(&mut self, zeros: Vec<Staged>, staged: Vec<Staged>) {
        (self.zeros, self.staged) = (zeros, staged);
    }

    /// Whether this scrape brought the series.
    pub fn is_added(&self, at: u32) -> bool {
        self.entry(at).added == self.scrape
    }

    /// Entries of this scrape that are new.
    pub fn added(&self) -> &[u32] {
        &self.added
    }

    #[inline]
    pub fn entry(&self, at: u32) -> &Entry {
        self.entries[at as usize].as_ref().expect("an index points at an entry")
    }

    pub fn resolve(&mut self, at: u32, series: SeriesRef) {
        self.entry_mut(at).series = Some(series);
    }

    /// The scrape is complete: forgets the series it did not have and yields those that end here. A series that only
    /// changed its spelling goes on, and one ends that from now on has times of its own.
    pub fn commit(&mut self) -> Vec<(SeriesRef, Labels)> {
        self.refused = HashedMap::default();
        let scrape = self.scrape;
        let (mut gone, mut ended) = (Vec::new(), Vec::new());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            match entry {
                Some(entry) if entry.seen == scrape => {
                    let was_live = std::mem::replace(&mut entry.live, entry.tracked);
                    if was_live && !entry.tracked {
                        ended.extend(entry.series.map(|series| (series, entry.labels.clone())));
                    }
                }
                Some(_) => gone.push(at as u32),
                None => {}
            }
        }
        for at in gone {
            let entry = self.forget(at);
            ended.extend(entry.series.filter(|_| entry.live).map(|series| (series, entry.labels)));
        }
        if !ended.is_empty() {
            let live = self.entries.iter().flatten().filter(|entry| entry.live);
            let present: HashSet<SeriesRef> = live.filter_map(|entry| entry.series).collect();
            ended.retain(|(series, _)| !present.contains(series));
        }
        once(ended)
    }

    /// The scrape failed: what it brought is forgotten, and everything that was there ends here. The entries stay,
    /// as the next scrape will most likely bring them back.
    pub fn roll_back(&mut self) -> Vec<(SeriesRef, Labels)> {
        if self.refused.len() > MAX_REFUSED {
            self.refused = HashedMap::default();
        }
        for at in std::mem::take(&mut self.added) {
            let entry = self.forget(at);
            self.refused.insert(entry.key, ());
        }
        // Those that relabelling drops are not told apart by scrape, and must not add up while scrapes fail.
        let is_dropped = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.labels.is_empty());
        let dropped: Vec<u32> =
            (0u32..).zip(&self.entries).filter(|(_, e)| is_dropped(e)).map(|(at, _)| at).collect();
        for at in dropped {
            self.forget(at);
        }
        self.clear_staged();
        self.end_all()
    }

    /// Everything that is live ends.
    pub fn end_all(&mut self) -> Vec<(SeriesRef, Labels)> {
        let mut ended = Vec::new();
        for entry in self.entries.iter_mut().flatten() {
            if std::mem::take(&mut entry.live) {
                ended.extend(entry.series.map(|series| (series, entry.labels.clone())));
            }
        }
        once(ended)
    }

    /// The labels of every series that is known, the synthetic ones included.
    pub fn labels_by_series(&self) -> HashMap<SeriesRef, Labels> {
        let scraped = self.entries.iter().flatten().filter_map(|e| Some((e.series?, e.labels.clone())));
        scraped.chain(self.synthetic.iter().map(|(labels, series)| (*series, labels.clone()))).collect()
    }

    /// Takes over the handles that have changed.
    pub fn renew(&mut self, appended: &Appended) {
        if appended.renewed.is_empty() {
            return;
        }
        for entry in self.entries.iter_mut().flatten() {
            entry.series = entry.series.map(|series| appended.current(series));
        }
        for (_, series) in &mut self.synthetic {
            *series = appended.current(*series);
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn forget(&mut self, at: u32) -> Entry {
        let entry = self.entries[at as usize].take().expect("an index points at an entry");
        self.index.remove(&entry.key);
        self.free.push(at);
        entry
    }
}

/// Two spellings of one series end once.
fn once(mut ended: Vec<(SeriesRef, Labels)>) -> Vec<(SeriesRef, Labels)> {
    ended.sort_unstable_by_key(|(series, _)| (series.slot, series.generation));
    ended.dedup_by_key(|(series, _)| *series);
    ended
}

//! The series a target had in its last scrapes: raw bytes of the exposition → handle. A known line costs one
//! hash and one look-up; and what was there last time and is gone now is found here, for staleness markers.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::appender::Appended;
use crate::ingest::raw_series::HashedMap;
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
    /// The scrape that had it last.
    seen: u64,
    /// Of the sample staged last: whether a marker ends the series when it is gone.
    tracked: bool,
    /// Has a stored sample that a marker has to end.
    live: bool,
}

/// A sample of the scrape in progress.
#[derive(Clone, Copy, Debug)]
pub struct Staged {
    pub entry: u32,
    pub timestamp: i64,
    pub value: f64,
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
    /// `up` and its siblings, in their order.
    pub(super) synthetic: Vec<(Labels, SeriesRef)>,
    /// Whether the synthetic series have samples that a marker must end.
    pub(super) reported: bool,
}

impl TargetCache {
    pub fn begin(&mut self) {
        self.scrape += 1;
        self.staged.clear();
        self.added.clear();
    }

    pub fn key(raw: &[u8]) -> u128 {
        xxh3_128(raw)
    }

    #[inline]
    pub fn find(&self, key: u128) -> Option<u32> {
        self.index.get(&key).copied()
    }

    /// Remembers a series that relabelling drops.
    pub fn add_dropped(&mut self, key: u128) -> u32 {
        let at = self.insert(key, Labels::empty());
        self.entry_mut(at).seen = self.scrape;
        at
    }

    pub fn add(&mut self, key: u128, labels: Labels) -> u32 {
        let at = self.insert(key, labels);
        self.added.push(at);
        at
    }

    fn insert(&mut self, key: u128, labels: Labels) -> u32 {
        let entry = Entry { labels, series: None, key, seen: 0, tracked: false, live: false };
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

    /// Whether this scrape already had the series.
    #[inline]
    pub fn seen_now(&self, at: u32) -> bool {
        self.entry(at).seen == self.scrape
    }

    /// Stages a sample; `tracked` says that a marker ends the series when it is gone.
    #[inline]
    pub fn stage(&mut self, at: u32, timestamp: i64, value: f64, tracked: bool) {
        let scrape = self.scrape;
        let entry = self.entry_mut(at);
        entry.seen = scrape;
        entry.tracked = tracked;
        self.staged.push(Staged { entry: at, timestamp, value });
    }

    pub fn staged(&self) -> &[Staged] {
        &self.staged
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

    /// The scrape is complete: forgets the series it did not have and yields those that end here. A series that
    /// only changed its spelling goes on.
    pub fn commit(&mut self) -> Vec<(SeriesRef, Labels)> {
        let scrape = self.scrape;
        let (mut gone, mut ended) = (Vec::new(), Vec::new());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            match entry {
                Some(entry) if entry.seen == scrape => entry.live = entry.tracked,
                Some(_) => gone.push(at as u32),
                None => {}
            }
        }
        for at in gone {
            let entry = self.forget(at);
            ended.extend(entry.series.filter(|_| entry.live).map(|series| (series, entry.labels)));
        }
        if !ended.is_empty() {
            let present: HashSet<SeriesRef> = self.entries.iter().flatten().filter_map(|e| e.series).collect();
            ended.retain(|(series, _)| !present.contains(series));
        }
        once(ended)
    }

    /// The scrape failed: what it brought is forgotten, and everything that was there ends here. The entries stay,
    /// as the next scrape will most likely bring them back.
    pub fn roll_back(&mut self) -> Vec<(SeriesRef, Labels)> {
        for at in std::mem::take(&mut self.added) {
            self.forget(at);
        }
        // Those that relabelling drops are not told apart by scrape, and must not add up while scrapes fail.
        let is_dropped = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.labels.is_empty());
        let dropped: Vec<u32> =
            (0u32..).zip(&self.entries).filter(|(_, e)| is_dropped(e)).map(|(at, _)| at).collect();
        for at in dropped {
            self.forget(at);
        }
        self.staged.clear();
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

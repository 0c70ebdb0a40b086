//! Keys of series → handles, shared by all requests. A sender writes its series in one order again and again, however
//! it cuts them into requests; so series are kept in the order they came in, and each is looked for first behind the
//! one before it. Bounded by two generations: what was not used for a whole generation is forgotten.

use hashbrown::HashTable;

use crate::storage::types::SeriesRef;

/// What is known of a series.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub handle: SeriesRef,
    /// A hash of the metadata that was stored with it last; 0 for none.
    pub described: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    known: Known,
}

/// Where in the order of series a request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    young: usize,
    old: usize,
}

#[derive(Debug, Default)]
struct Generation {
    entries: Vec<Entry>,
    index: HashTable<u32>,
}

#[derive(Debug)]
pub struct SeriesCache {
    young: Generation,
    old: Generation,
    /// Of one generation.
    capacity: usize,
}

impl Generation {
    fn find(&self, key: u128) -> Option<usize> {
        self.index.find(key as u64, |at| self.entries[*at as usize].key == key).map(|at| *at as usize)
    }

    /// The series at a place, if it is this one.
    #[inline]
    fn at(&self, at: usize, key: u128) -> Option<Known> {
        self.entries.get(at).filter(|entry| entry.key == key).map(|entry| entry.known)
    }

    fn push(&mut self, entry: Entry) {
        let at = u32::try_from(self.entries.len()).expect("a generation is smaller than four billion");
        self.entries.push(entry);
        self.index.insert_unique(entry.key as u64, at, |at| self.entries[*at as usize].key as u64);
    }
}

impl SeriesCache {
    /// Holds at least the last `capacity / 2` and at most `capacity` series, at about 40 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), capacity: (capacity / 2).max(1) }
    }

    /// Keys have 128 bits: two series of one key will not be met by accident. One who crafts them may write to either
    /// anyway.
    #[inline]
    pub fn get(&mut self, key: u128, cursor: &mut Cursor) -> Option<Known> {
        if let Some(known) = self.young.at(cursor.young, key) {
            cursor.young += 1;
            return Some(known);
        }
        self.look_for(key, cursor)
    }

    fn look_for(&mut self, key: u128, cursor: &mut Cursor) -> Option<Known> {
        // What is used again was copied, so it is looked for among the young first.
        if let Some(at) = self.young.find(key) {
            cursor.young = at + 1;
            return Some(self.young.entries[at].known);
        }
        let at = match self.old.at(cursor.old, key) {
            Some(_) => cursor.old,
            None => self.old.find(key)?,
        };
        cursor.old = at + 1;
        let known = self.old.entries[at].known;
        self.insert(key, known, cursor);
        Some(known)
    }

    /// Adds a series, behind all others, or changes one.
    pub fn insert(&mut self, key: u128, known: Known, cursor: &mut Cursor) {
        if let Some(at) = self.young.find(key) {
            self.young.entries[at].known = known;
            cursor.young = at + 1;
            return;
        }
        if self.young.entries.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
            *cursor = Cursor { young: 0, old: cursor.young };
        }
        self.young.push(Entry { key, known });
        cursor.young = self.young.entries.len();
    }

    /// Changes what is known of a series, if it is still known.
    pub fn update(&mut self, key: u128, change: impl FnOnce(&mut Known)) {
        if let Some(at) = self.young.find(key) {
            change(&mut self.young.entries[at].known);
        } else if let Some(at) = self.old.find(key) {
            change(&mut self.old.entries[at].known);
        }
    }

    pub fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Wire bytes of labels → handles of series, shared by all requests. A sender encodes a series the same way each
//! time, so the bytes stand for the series. Bounded by two generations: what was not used for a whole
//! generation is forgotten.

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::raw_series::HashedMap;
use crate::storage::types::SeriesRef;

#[derive(Debug)]
pub struct SeriesCache {
    young: HashedMap<SeriesRef>,
    old: HashedMap<SeriesRef>,
    /// Of one generation.
    capacity: usize,
}

impl SeriesCache {
    /// Holds at least the last `capacity / 2` and at most `capacity` series, at about 40 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashedMap::default(), old: HashedMap::default(), capacity: (capacity / 2).max(1) }
    }

    /// 128 bits: two series of one key will not be met by accident. One who crafts them may write to either anyway.
    #[inline]
    pub fn key(label_bytes: &[u8]) -> u128 {
        xxh3_128(label_bytes)
    }

    #[inline]
    pub fn get(&mut self, key: u128) -> Option<SeriesRef> {
        if let Some(series) = self.young.get(&key) {
            return Some(*series);
        }
        let series = self.old.remove(&key)?;
        self.insert(key, series);
        Some(series)
    }

    pub fn insert(&mut self, key: u128, series: SeriesRef) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, series);
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

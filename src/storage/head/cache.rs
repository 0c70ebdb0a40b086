//! Packed blocks kept in memory, and which live files they stand for.
//!
//! An entry is some blocks and the files that hold exactly the same rows: first one block and the files of its
//! flush (or one that was read back), and after a merge of cached files all their blocks and the merged files. As a
//! query looks into every block for every series, blocks are joined, and so are entries that follow each other. An
//! entry may be used instead of its files only while all of them are live; a delete, or a merge elsewhere, ends it.
//! All functions take the list of entries and return the next one, because the list is part of the store's immutable
//! view.

use std::collections::HashSet;
use std::sync::Arc;

use crate::storage::head::packed::PackedBlock;

#[derive(Debug)]
pub struct Entry {
    pub blocks: Vec<Placed>,
    /// Paths of the files that hold the rows of the blocks.
    pub files: Vec<String>,
}

/// A block and the position of the commit that holds the same rows; of equal timestamps the later one wins.
#[derive(Clone, Debug)]
pub struct Placed {
    pub commit: i64,
    pub block: Arc<PackedBlock>,
}

impl Entry {
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|placed| placed.block.bytes()).sum()
    }

    fn newest_commit(&self) -> i64 {
        self.blocks.iter().map(|placed| placed.commit).max().unwrap_or(0)
    }
}

/// Whether a file's rows are in one of the entries.
pub fn holds(entries: &[Arc<Entry>], path: &str) -> bool {
    entries.iter().any(|entry| entry.files.iter().any(|file| file == path))
}

/// Memory of all entries, roughly.
pub fn bytes(entries: &[Arc<Entry>]) -> usize {
    entries.iter().map(|entry| entry.bytes()).sum()
}

/// The entries without those that have a file that is no longer live.
pub fn retain_live(entries: &[Arc<Entry>], live: &HashSet<&str>) -> Vec<Arc<Entry>> {
    entries.iter().filter(|e| e.files.iter().all(|f| live.contains(f.as_str()))).cloned().collect()
}

/// The entries after `inputs` were merged into `outputs`. Where every input was cached, the entries that held
/// them become one that stands for the outputs; else they are gone.
pub fn after_merge(entries: &[Arc<Entry>], inputs: &[String], outputs: &[String]) -> Vec<Arc<Entry>> {
    let touches = |entry: &Entry| entry.files.iter().any(|f| inputs.contains(f));
    let (touched, mut kept): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|e| touches(e));
    let cached: HashSet<&String> = touched.iter().flat_map(|e| &e.files).collect();
    if !touched.is_empty() && inputs.iter().all(|f| cached.contains(f)) {
        let others = cached.into_iter().filter(|f| !inputs.contains(f));
        let files = others.chain(outputs).cloned().collect();
        let mut blocks: Vec<_> = touched.iter().flat_map(|e| e.blocks.iter().cloned()).collect();
        blocks.sort_by_key(|placed| placed.commit);
        kept.push(Arc::new(Entry { blocks, files }));
    }
    kept
}

/// Entries, oldest first, that should become one: an entry with several blocks of at most `most_bytes`, or two that
/// follow each other and have together at most half of that, the older one being at most twice as large. So each
/// entry is more than twice as large as the next, and a sample is joined a few times in all. Entries with one of the
/// commits `between` them stay apart, since what they become has the position of the later one. None: empty.
pub fn to_join(entries: &[Arc<Entry>], most_bytes: usize, between: &[i64]) -> Vec<Arc<Entry>> {
    if let Some(scattered) = entries.iter().find(|e| e.blocks.len() > 1 && e.bytes() <= most_bytes) {
        return vec![scattered.clone()];
    }
    let mut oldest_first = entries.to_vec();
    oldest_first.sort_by_key(|entry| entry.newest_commit());
    let is_pair = |pair: &&[Arc<Entry>]| {
        let (older, newer) = (&pair[0], &pair[1]);
        let is_between = |commit: &i64| older.newest_commit() < *commit && *commit < newer.newest_commit();
        older.bytes() <= 2 * newer.bytes()
            && older.bytes() + newer.bytes() <= most_bytes / 2
            && !between.iter().any(is_between)
    };
    oldest_first.windows(2).rfind(is_pair).map(<[_]>::to_vec).unwrap_or_default()
}

/// The entries with one in the place of `parts`, whose blocks were joined; as they are if a part is gone meanwhile.
pub fn joined(entries: &[Arc<Entry>], parts: &[Arc<Entry>], block: Arc<PackedBlock>) -> Vec<Arc<Entry>> {
    let is_part = |entry: &Arc<Entry>| parts.iter().any(|part| Arc::ptr_eq(part, entry));
    let (found, mut kept): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(is_part);
    if found.len() < parts.len() {
        return entries.to_vec();
    }
    let files = found.iter().flat_map(|entry| entry.files.iter().cloned()).collect();
    let commit = found.iter().map(|entry| entry.newest_commit()).max().unwrap_or(0);
    kept.push(Arc::new(Entry { blocks: vec![Placed { commit, block }], files }));
    kept
}

/// The entries without the oldest ones that do not fit the budget.
pub fn evict(mut entries: Vec<Arc<Entry>>, budget_bytes: usize) -> Vec<Arc<Entry>> {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.newest_commit()));
    let mut held = 0;
    entries.retain(|entry| {
        held += entry.bytes();
        held <= budget_bytes
    });
    entries.reverse();
    entries
}

#[cfg(test)]
mod tests;

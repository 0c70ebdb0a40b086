//! What a query sees: memtables, cached blocks and live files as one immutable value. Every change makes a new
//! one, so each acknowledged sample is in exactly the places a view says, whatever moves meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::sample::TimeRange;
use crate::storage::deleted::Deletes;
use crate::storage::head::cache::{self, Entry};
use crate::storage::head::memtable::Memtable;
use crate::storage::head::sorted::Sorted;
use crate::storage::lake::files::FileSet;
use crate::storage::store::flusher::Rest;
use crate::storage::types::{MemorySource, SampleFile, Series};

/// See the module.
#[derive(Clone, Debug)]
pub struct View {
    pub open: Arc<Memtable>,
    /// On their way to the lake, oldest first.
    pub frozen: Vec<Frozen>,
    pub cached: Vec<Arc<Entry>>,
    pub files: Arc<FileSet>,
}

/// A memtable that takes no more rows.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub generation: u32,
    /// The last log object with rows of it.
    pub last_sequence: u64,
    pub source: Source,
}

/// The rows of a frozen memtable, before and after they were packed.
#[derive(Clone, Debug)]
pub enum Source {
    Memtable(Arc<Memtable>),
    Sorted(Arc<Sorted>, Arc<Rest>),
}

impl Source {
    pub fn bytes(&self) -> usize {
        match self {
            Source::Memtable(memtable) => memtable.bytes(),
            Source::Sorted(sorted, _) => sorted.bytes(),
        }
    }

    /// Where queries read them; each series is in one of these.
    pub fn as_memory(&self) -> Vec<Arc<dyn MemorySource>> {
        match self {
            Source::Memtable(memtable) => vec![memtable.clone()],
            Source::Sorted(sorted, _) => sorted.blocks().iter().map(|block| block.clone() as _).collect(),
        }
    }
}

impl View {
    /// Memory of rows that are not in the lake yet.
    pub fn head_bytes(&self) -> usize {
        self.open.bytes() + self.frozen.iter().map(|frozen| frozen.source.bytes()).sum::<usize>()
    }

    /// The oldest generation in memory that is not in the lake.
    pub fn oldest_generation(&self) -> u32 {
        self.frozen.first().map_or(self.open.generation, |frozen| frozen.generation)
    }

    /// The view with another file set: cached entries whose files are gone are gone too, and so are those that have samples which
    /// were deleted meanwhile.
    pub fn with_files(&self, files: Arc<FileSet>) -> View {
        let live: HashSet<&str> = match files.has_deletes() {
            false => files.samples.iter().map(|file| file.path.as_str()).collect(),
            true => {
                let before: HashMap<&str, &Deletes> =
                    self.files.samples.iter().map(|file| (file.path.as_str(), &file.deletes)).collect();
                let is_as_before = |file: &&Arc<SampleFile>| match before.get(file.path.as_str()) {
                    Some(deletes) => **deletes == file.deletes,
                    None => file.deletes.is_empty(),
                };
                files.samples.iter().filter(is_as_before).map(|file| file.path.as_str()).collect()
            }
        };
        let cached = cache::retain_live(&self.cached, &live);
        View { cached, files, ..self.clone() }
    }

    /// Whether what was read from files is all that queries may see of them: none is gone, and nothing was deleted since.
    pub fn has_as_read(&self, files: &[Arc<SampleFile>]) -> bool {
        let as_read = |read: &Arc<SampleFile>| {
            self.files.samples.iter().any(|file| file.path == read.path && file.deletes == read.deletes)
        };
        files.iter().all(as_read)
    }

    /// Sources in memory with samples in a range, oldest first.
    pub fn memory(&self, range: TimeRange) -> Vec<Arc<dyn MemorySource>> {
        let mut blocks: Vec<_> = self.cached.iter().flat_map(|entry| &entry.blocks).collect();
        blocks.sort_by_key(|placed| placed.commit);
        let cached = blocks.into_iter().map(|placed| placed.block.clone() as Arc<dyn MemorySource>);
        let in_range = |source: &Arc<dyn MemorySource>| {
            source.bounds().is_some_and(|held| held.overlaps(range.start_inclusive, range.end_inclusive))
        };
        cached.chain(self.head()).filter(in_range).collect()
    }

    /// Sources of rows that are not in the lake yet, oldest first.
    pub fn head(&self) -> Vec<Arc<dyn MemorySource>> {
        let frozen = self.frozen.iter().flat_map(|frozen| frozen.source.as_memory());
        frozen.chain(std::iter::once(self.open.clone() as Arc<dyn MemorySource>)).collect()
    }

    /// Files that may hold samples of some series (sorted by metric) within a range, and are not cached.
    pub fn sample_files(&self, range: TimeRange, series: &[Arc<Series>]) -> Vec<Arc<SampleFile>> {
        let mut files: Vec<_> = self.uncached(range).filter(|file| may_have_any(file, series)).cloned().collect();
        files.sort_by_key(|file| file.commit);
        files
    }

    /// Files with samples within a range that are not cached.
    pub fn uncached(&self, range: TimeRange) -> impl Iterator<Item = &Arc<SampleFile>> {
        let cached: HashSet<&str> = self.cached.iter().flat_map(|e| e.files.iter().map(String::as_str)).collect();
        let in_range = move |file: &&Arc<SampleFile>| {
            range.overlaps(file.min_timestamp, file.max_timestamp) && !cached.contains(file.path.as_str())
        };
        self.files.samples.iter().filter(in_range)
    }
}

/// Whether a file may have samples of any of some series, which are sorted by metric.
pub fn may_have_any(file: &SampleFile, series: &[Arc<Series>]) -> bool {
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return false };
    file.min_metric.as_str() <= last.labels.metric() && first.labels.metric() <= file.max_metric.as_str()
}

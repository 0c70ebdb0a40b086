//! A block of sorted samples with a lookup by series, read where it lies. A frozen memtable becomes one; the lake
//! writes it to Parquet; the cache keeps it.

use std::hash::{BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::histogram::FloatHistogram;
use crate::model::sample::TimeRange;
use crate::storage::types::{Block, BlockSeries, MemorySource, NOWHERE, Run};

/// Series ids are hashes already; hashing them again would only cost time.
pub type IdHasher = BuildHasherDefault<IdentityHasher>;

#[derive(Default, Clone, Copy, Debug)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only i64 keys are hashed");
    }

    fn write_i64(&mut self, id: i64) {
        self.0 = id as u64;
    }
}

/// See the module.
#[derive(Debug)]
pub struct SortedBlock {
    pub block: Block,
    /// Orders blocks by the time they were frozen; later blocks win at equal timestamps.
    pub generation: u32,
    by_id: HashMap<i64, u32, IdHasher>,
    bounds: Option<TimeRange>,
    bytes: usize,
}

impl SortedBlock {
    pub fn new(block: Block, generation: u32) -> Self {
        let by_id = block.series.iter().enumerate().map(|(i, s)| (s.series.id, i as u32)).collect();
        let bounds = block
            .series
            .iter()
            .filter(|s| s.start < s.end)
            .map(|s| bounds_of(&block, s))
            .reduce(|a, b| a.union(&b));
        let bytes = bytes_of(&block);
        Self { block, generation, by_id, bounds, bytes }
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of the series at a place within a range.
    fn rows(&self, place: u32, range: TimeRange) -> Range<usize> {
        let BlockSeries { start, end, .. } = self.block.series[place as usize];
        let timestamps = &self.block.timestamps[start..end];
        let from = timestamps.partition_point(|t| *t < range.start_inclusive);
        let to = timestamps.partition_point(|t| *t <= range.end_inclusive);
        start + from..start + to.max(from)
    }
}

impl MemorySource for SortedBlock {
    fn locate(&self, ids: &[i64], _range: TimeRange, places: &mut [u32]) {
        for (id, place) in ids.iter().zip(places) {
            *place = self.by_id.get(id).copied().unwrap_or(NOWHERE);
        }
    }

    fn read_at(&self, place: u32, range: TimeRange, run: &mut Run) {
        let rows = self.rows(place, range);
        run.timestamps.extend_from_slice(&self.block.timestamps[rows.clone()]);
        run.values.extend_from_slice(&self.block.values[rows.clone()]);
        if let Some(histograms) = self.block.histograms.get(rows.clone())
            && histograms.iter().any(Option::is_some)
        {
            run.histograms.extend_from_slice(histograms);
        }
        if let Some(starts) = self.block.start_timestamps.get(rows)
            && starts.iter().any(|t| *t != 0)
        {
            run.start_timestamps.extend_from_slice(starts);
        }
    }

    fn bounds(&self) -> Option<TimeRange> {
        self.bounds
    }

    fn samples(&self) -> usize {
        self.block.timestamps.len()
    }

    fn has_histograms(&self) -> bool {
        !self.block.histograms.is_empty()
    }

    fn has_start_timestamps(&self) -> bool {
        !self.block.start_timestamps.is_empty()
    }
}

fn bounds_of(block: &Block, series: &BlockSeries) -> TimeRange {
    TimeRange::new(block.timestamps[series.start], block.timestamps[series.end - 1])
}

fn bytes_of(block: &Block) -> usize {
    let histograms: usize = block.histograms.iter().flatten().map(histogram_bytes).sum();
    let per_series = size_of::<BlockSeries>() + 2 * size_of::<(i64, u32)>();
    block.timestamps.capacity() * 8
        + block.values.capacity() * 8
        + block.histograms.capacity() * size_of::<Option<Arc<FloatHistogram>>>()
        + block.start_timestamps.capacity() * 8
        + block.series.capacity() * per_series
        + histograms
}

/// Memory of one histogram, roughly.
pub fn histogram_bytes(histogram: &Arc<FloatHistogram>) -> usize {
    let numbers = histogram.positive_spans.len()
        + histogram.negative_spans.len()
        + histogram.positive_buckets.len()
        + histogram.negative_buckets.len()
        + histogram.custom_values.len();
    size_of::<FloatHistogram>() + 16 + numbers * 8
}

//! A frozen memtable as it leaves: its runs in key order, each series once, packed. Queries read the blocks until the
//! files are committed, the lake writes the files from them, and the cache keeps them.

use std::sync::Arc;

use crate::model::sample::TimeRange;
use crate::storage::head::packed::{self, PackedBlock};
use crate::storage::types::{MemorySource, Run, RunSlice, Series, SortedRuns};

/// See the module. Immutable.
#[derive(Debug, Default)]
pub struct Sorted {
    series: Vec<Arc<Series>>,
    /// One, unless that would be too large; each run lies in one of them, in the order of the series.
    blocks: Vec<Arc<PackedBlock>>,
    bytes: usize,
}

impl Sorted {
    pub fn blocks(&self) -> &[Arc<PackedBlock>] {
        &self.blocks
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The block with the run of a series, and its place there.
    fn find(&self, at: usize) -> (&PackedBlock, u32) {
        let mut place = at;
        for block in &self.blocks {
            if place < block.series() {
                return (block, u32::try_from(place).expect("places are u32"));
            }
            place -= block.series();
        }
        panic!("there is no series {at}")
    }
}

impl SortedRuns for Sorted {
    fn series(&self) -> &[Arc<Series>] {
        &self.series
    }

    fn times(&self, at: usize) -> TimeRange {
        let (block, place) = self.find(at);
        block.times(place)
    }

    fn read(&self, at: usize, range: TimeRange, run: &mut Run) {
        let (block, place) = self.find(at);
        block.read_at(place, range, run);
    }

    fn has_histograms(&self) -> bool {
        self.blocks.iter().any(|block| block.has_histograms())
    }

    fn has_start_timestamps(&self) -> bool {
        self.blocks.iter().any(|block| block.has_start_timestamps())
    }
}

/// Takes runs in key order.
#[derive(Default)]
pub struct Builder {
    sorted: Sorted,
    open: packed::Builder,
}

impl Builder {
    /// Nothing happens for an empty run.
    pub fn push(&mut self, series: &Arc<Series>, run: RunSlice<'_>) {
        if run.timestamps.is_empty() {
            return;
        }
        self.sorted.series.push(series.clone());
        self.open.push(series.id, run);
        if self.open.is_full() {
            self.close();
        }
    }

    pub fn finish(mut self) -> Sorted {
        self.close();
        let Sorted { series, blocks, .. } = &self.sorted;
        let bytes = size_of_val(series.as_slice()) + blocks.iter().map(|block| block.bytes()).sum::<usize>();
        Sorted { bytes, ..self.sorted }
    }

    fn close(&mut self) {
        let block = std::mem::take(&mut self.open).finish();
        if block.series() > 0 {
            self.sorted.blocks.push(Arc::new(block));
        }
    }
}

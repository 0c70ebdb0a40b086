//! A block: two hours to weeks of samples, sorted by the labels of their series, immutable.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::ingest::tsdb::bytes::Fault;
use crate::ingest::tsdb::file::Window;
use crate::ingest::tsdb::index::{ChunkPlace, Index};
use crate::ingest::tsdb::segments::{SegmentWindow, Segments};
use crate::ingest::tsdb::tombstones::{self, Tombstones};
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

/// See the module.
#[derive(Debug)]
pub struct Block {
    index: Index,
    segments: Segments,
    tombstones: Tombstones,
    folder: PathBuf,
}

/// What reading of series needs again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    index: Window,
    chunks: SegmentWindow,
    places: Vec<ChunkPlace>,
}

impl Block {
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            index: Index::open(&folder.join("index"))?,
            segments: Segments::open(&folder.join("chunks"))?,
            tombstones: Tombstones::read(folder)?,
            folder: folder.to_path_buf(),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Shows every series: its place, its labels sorted by name, and its chunks.
    pub fn series(
        &self,
        mut visit: impl FnMut(u64, &[(&str, &str)], &[ChunkPlace]) -> Result<(), Fault>,
    ) -> Result<()> {
        let mut window = Window::default();
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        for place in self.index.series()? {
            let fault = |fault| self.index.fault(place, fault);
            let mut entry = self.index.entry(place, true, &mut window)?;
            labels.clear();
            chunks.clear();
            entry.labels(&self.index, &mut labels).map_err(fault)?;
            entry.chunks(|chunk| chunks.push(chunk)).map_err(fault)?;
            visit(place, &labels, &chunks).map_err(fault)?;
        }
        Ok(())
    }

    /// The labels of the series at a place, sorted by name.
    pub fn labels(&self, place: u64, scratch: &mut Scratch, visit: impl FnOnce(&[(&str, &str)])) -> Result<()> {
        let mut labels = Vec::new();
        let mut entry = self.index.entry(place, false, &mut scratch.index)?;
        entry.labels(&self.index, &mut labels).map_err(|fault| self.index.fault(place, fault))?;
        visit(&labels);
        Ok(())
    }

    /// Appends the samples of a series within a range to a run, in the order of the chunks; what was deleted is left out.
    pub fn read(&self, place: u64, range: TimeRange, scratch: &mut Scratch, run: &mut Run) -> Result<()> {
        let fault = |fault| self.index.fault(place, fault);
        let mut entry = self.index.entry(place, false, &mut scratch.index)?;
        entry.skip_labels().map_err(fault)?;
        let places = &mut scratch.places;
        places.clear();
        let mut inside = true;
        let visit = |chunk: ChunkPlace| {
            if range.overlaps(chunk.min_time, chunk.max_time) {
                inside &= range.contains(chunk.min_time) && range.contains(chunk.max_time);
                places.push(chunk);
            }
        };
        entry.chunks(visit).map_err(fault)?;
        let start = run.timestamps.len();
        self.segments.decode(places, &mut scratch.chunks, run)?;
        if !inside {
            tombstones::retain(run, start, |timestamp| range.contains(timestamp));
        }
        tombstones::apply(self.tombstones.of(self.index.reference(place)), run, start);
        Ok(())
    }
}

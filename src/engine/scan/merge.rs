//! The merge of one partition: for every wanted series in key order, the runs of all files and all memory
//! sources, appended one after the other where they do not overlap in time, else merged sample by sample.

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput,
};
use hashbrown::HashMap;

use crate::engine::scan::cursor::{FileCursor, ReadState};
use crate::engine::scan::open::{Packed, Reading, open};
use crate::engine::scan::output::{BatchBuilder, Wants};
use crate::engine::scan::table::ScanOptions;
use crate::model::sample::TimeRange;
use crate::storage::types::{MemorySource, NOWHERE, Run, Snapshot};

/// Histograms may be of any size; a batch is closed when it holds so much of them.
const BATCH_HISTOGRAM_BYTES: usize = 16 << 20;
/// A step vector of histograms is about so many times as large as one of floats.
const HISTOGRAM_WEIGHT: usize = 16;
/// A place in the table of ranks, with what is left empty.
const RANK_BYTES: usize = 32;
/// Series looked up in memory at once.
const LOCATED_SERIES: usize = 64;
/// Series after which a partition that finds nothing lets others run.
const YIELD_SERIES: usize = 256;

pub(super) struct MergeMetrics {
    baseline: BaselineMetrics,
    samples_read: Count,
    series_merged: Count,
}

impl MergeMetrics {
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            samples_read: MetricBuilder::new(metrics).counter("samples_read", partition),
            series_merged: MetricBuilder::new(metrics).counter("series_merged_by_sample", partition),
        }
    }
}

/// Series in a batch of the list shape at most.
pub(super) fn batch_series(options: &ScanOptions, wants: Wants) -> usize {
    let weight = if wants.histograms { HISTOGRAM_WEIGHT } else { 1 };
    (options.batch_series / weight).max(1)
}

/// See the module.
pub(super) struct Merge {
    pub snapshot: Arc<Snapshot>,
    pub chunk: Range<usize>,
    pub range: TimeRange,
    pub options: ScanOptions,
    pub wants: Wants,
    /// In the order their runs are appended: oldest samples first.
    pub cursors: Vec<FileCursor>,
    /// After them, also oldest samples first.
    pub packed: Vec<Packed>,
    pub builder: BatchBuilder,
    pub rows_left: Option<usize>,
    /// Series after which a batch is closed.
    pub batch_series: usize,
    pub reservation: MemoryReservation,
    /// Bytes that are held from the first batch to the last.
    pub held: usize,
    pub metrics: MergeMetrics,
}

/// Where a running merge stands.
pub(super) struct Progress {
    next: usize,
    /// Position in the snapshot of every wanted series, by id.
    ranks: HashMap<i64, u32>,
    run: Run,
    /// Series that are looked up already, up to this rank.
    located: usize,
    ids: Vec<i64>,
    /// Where each memory source has them.
    places: Vec<Vec<u32>>,
    segments: Vec<Segment>,
}

/// The samples `rows` of the output batch came from one source.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub rows: Range<usize>,
    pub priority: usize,
}

impl Merge {
    /// Opens the files.
    pub async fn start(&mut self) -> Result<Progress> {
        let mut ranks = HashMap::new();
        if !self.cursors.is_empty() {
            self.reservation.try_grow(self.chunk.len().saturating_mul(RANK_BYTES))?;
            let series = &self.snapshot.series;
            ranks = self.chunk.clone().map(|i| (series[i].id, i as u32)).collect();
            let reading = Reading {
                series,
                chunk: self.chunk.clone(),
                ranks: &ranks,
                range: self.range,
                wants: self.wants,
                options: &self.options,
            };
            let cursors = std::mem::take(&mut self.cursors);
            (self.cursors, self.packed) = open(cursors, reading, &self.reservation).await?;
            self.held = self.reservation.size();
        }
        Ok(Progress {
            next: self.chunk.start,
            ranks,
            run: Run::default(),
            located: self.chunk.start,
            ids: Vec::with_capacity(LOCATED_SERIES),
            places: vec![vec![NOWHERE; LOCATED_SERIES]; self.packed.len() + self.snapshot.memory.len()],
            segments: Vec::new(),
        })
    }

    /// The next non-empty batch.
    pub async fn next_batch(&mut self, progress: &mut Progress) -> Result<Option<RecordBatch>> {
        let elapsed = self.metrics.baseline.elapsed_compute().clone();
        let mut timer = elapsed.timer();
        while progress.next < self.chunk.end && self.rows_left != Some(0) {
            self.options.cancel.check()?;
            progress.segments.clear();
            let start = self.builder.samples();
            if !self.cursors.is_empty() {
                timer.stop();
                self.read_files(progress).await?;
                timer.restart();
            }
            self.read_memory(progress);
            self.close_series(progress, start)?;
            if self.is_full() {
                break;
            }
            if progress.next.is_multiple_of(YIELD_SERIES) {
                timer.stop();
                tokio::task::yield_now().await;
                timer.restart();
            }
        }
        if self.builder.is_empty() || self.rows_left == Some(0) {
            return Ok(None);
        }
        let making = self.builder.memory_bytes() + self.builder.histogram_bytes();
        self.reservation.try_resize(self.held + making)?;
        let mut batch = self.builder.finish(&self.snapshot)?;
        if let Some(left) = &mut self.rows_left {
            batch = batch.slice(0, batch.num_rows().min(*left));
            *left -= batch.num_rows();
        }
        self.reservation.try_resize(self.held + batch.get_array_memory_size())?;
        Ok(Some(batch.record_output(&self.metrics.baseline)))
    }

    fn is_full(&self) -> bool {
        self.builder.samples() >= self.options.batch_samples
            || self.builder.histogram_bytes() >= BATCH_HISTOGRAM_BYTES
            || self.builder.series() >= self.batch_series
            || self.rows_left.is_some_and(|left| self.builder.rows() >= left)
    }

    /// Appends what the files have of the next series.
    async fn read_files(&mut self, progress: &mut Progress) -> Result<()> {
        let elapsed = self.metrics.baseline.elapsed_compute().clone();
        let mut timer = elapsed.timer();
        let rank = progress.next as u32;
        for cursor in &mut self.cursors {
            let from = self.builder.samples();
            while cursor.read(rank, &progress.ranks, self.range, self.builder.buffer())? == ReadState::NeedsBatch {
                timer.stop();
                cursor.fill().await?;
                timer.restart();
            }
            push(&mut progress.segments, from..self.builder.samples(), cursor.priority);
        }
        Ok(())
    }

    /// Appends what is in memory of it.
    fn read_memory(&mut self, progress: &mut Progress) {
        let Progress { next, run, located, ids, places, segments, .. } = progress;
        if next == located {
            let ahead = *next..self.chunk.end.min(*next + LOCATED_SERIES);
            *located = ahead.end;
            ids.clear();
            ids.extend(self.snapshot.series[ahead].iter().map(|series| series.id));
            for ((source, _), places) in sources(&self.packed, &self.snapshot).zip(&mut *places) {
                source.locate(ids, self.range, places);
            }
        }
        let at = ids.len() - (*located - *next);
        for ((source, priority), places) in sources(&self.packed, &self.snapshot).zip(places) {
            if places[at] != NOWHERE {
                let from = self.builder.samples();
                self.builder.buffer().append_from(source, places[at], self.range, run);
                push(segments, from..self.builder.samples(), priority);
            }
        }
    }

    /// Brings its samples, those after the first `start`, into order, and goes on to the next.
    fn close_series(&mut self, progress: &mut Progress, start: usize) -> Result<()> {
        let samples = self.builder.samples() - start;
        self.metrics.samples_read.add(samples);
        if !is_in_time_order(&progress.segments, self.builder.timestamps()) {
            self.metrics.series_merged.add(1);
            self.builder.buffer().merge(&progress.segments);
        }
        self.builder.close_series(progress.next);
        progress.next += 1;
        if start == 0 && self.builder.series() == 1 && !self.is_full() {
            // The others will be about as long.
            let others = (self.chunk.end - progress.next).min(self.batch_series - 1);
            let rest = samples.saturating_mul(others);
            self.builder.reserve(rest.min(self.options.batch_samples));
        }
        let held = self.held + self.builder.memory_bytes();
        if held > self.reservation.size() {
            self.reservation.try_resize(held)?;
        }
        Ok(())
    }
}

/// All that is in memory, with its priority.
fn sources<'a>(
    packed: &'a [Packed],
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (&'a dyn MemorySource, usize)> {
    let packed = packed.iter().map(|packed| (&packed.block as &dyn MemorySource, packed.priority));
    packed.chain(snapshot.memory.iter().map(Arc::as_ref).zip(snapshot.files.len()..))
}

fn push(segments: &mut Vec<Segment>, rows: Range<usize>, priority: usize) {
    if !rows.is_empty() {
        segments.push(Segment { rows, priority });
    }
}

fn is_in_time_order(segments: &[Segment], timestamps: &[i64]) -> bool {
    segments.windows(2).all(|pair| timestamps[pair[0].rows.end - 1] < timestamps[pair[1].rows.start])
}

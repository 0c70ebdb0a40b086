//! What crosses the store's two doors. Plain data, no behaviour beyond small accessors.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;
use crate::model::sample::{TimeRange, day_of};
use crate::storage::deleted::Deletes;

/// A handle to a series of the head, from `Store::intern`. Valid until the series is evicted; the store
/// then answers `Rejection::UnknownSeries` and the caller interns again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesRef {
    pub slot: u32,
    pub generation: u32,
}

/// One float sample. `start_timestamp` 0 means unset (Remote Write 2.0).
#[derive(Clone, Copy, Debug)]
pub struct SampleRow {
    pub series: SeriesRef,
    pub timestamp: i64,
    pub value: f64,
    pub start_timestamp: i64,
}

#[derive(Clone, Debug)]
pub struct HistogramRow {
    pub series: SeriesRef,
    pub timestamp: i64,
    pub histogram: Arc<FloatHistogram>,
    pub start_timestamp: i64,
}

#[derive(Clone, Debug)]
pub struct ExemplarRow {
    pub series: SeriesRef,
    pub timestamp: i64,
    /// Whether that is the exemplar's own, and not the one of its sample: without, the same one may come with each sample.
    pub has_timestamp: bool,
    pub value: f64,
    pub labels: Labels,
}

/// One append: made durable and visible together.
#[derive(Default, Debug)]
pub struct WriteBatch {
    pub samples: Vec<SampleRow>,
    pub histograms: Vec<HistogramRow>,
    pub exemplars: Vec<ExemplarRow>,
    /// Metric family name and its metadata.
    pub metadata: Vec<(String, Metadata)>,
}

/// How soon rows are to be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// Within a moment in which others gather, so that one object of the log has the rows of many: who hands them over
    /// does so every few seconds.
    #[default]
    Moment,
    /// Somebody waits for it, and has more to send.
    Now,
}

/// Why a row was not accepted, in Prometheus' words (see `Display`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Older than the newest sample of its series, and no out-of-order window is configured.
    OutOfOrder,
    /// Older than the newest sample of its series by more than the out-of-order window.
    TooOld,
    /// The newest sample of its series has the same timestamp and another value.
    Duplicate,
    /// Older than the caller allows.
    OutOfBounds,
    /// More than ten minutes in the future.
    TooFarInFuture,
    /// The handle is stale; intern the labels again.
    UnknownSeries,
}

impl Rejection {
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::OutOfOrder => "out of order sample",
            Rejection::TooOld => "too old sample",
            Rejection::Duplicate => "duplicate sample for timestamp",
            Rejection::OutOfBounds => "out of bounds",
            Rejection::TooFarInFuture => "out of bounds: timestamp is too far in the future",
            Rejection::UnknownSeries => "unknown series reference",
        }
    }
}

/// What a series has at the time of a [`Rejection::Duplicate`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Existing {
    Float(f64),
    Histogram,
}

/// What became of a batch. Indexes point into the batch's own vectors, and ascend.
///
/// Rows are judged by what their series had before the batch, as Prometheus' appenders do. One that only a row before it
/// in the same batch contradicts, be it with another value for the time or with a later time, is dropped, and no
/// rejection.
#[derive(Default, Debug)]
pub struct WriteReport {
    pub samples_written: usize,
    pub histograms_written: usize,
    pub exemplars_written: usize,
    pub dropped_samples: Vec<usize>,
    pub dropped_histograms: Vec<usize>,
    pub rejected_samples: Vec<(usize, Rejection)>,
    pub rejected_histograms: Vec<(usize, Rejection)>,
    pub rejected_exemplars: Vec<(usize, Rejection)>,
    /// For each of the rejected samples that is a duplicate.
    pub existing: Vec<(usize, Existing)>,
}

impl WriteReport {
    /// Whether a row needs another handle.
    pub fn has_unknown_series(&self) -> bool {
        let rejected = [&self.rejected_samples, &self.rejected_histograms, &self.rejected_exemplars];
        rejected.into_iter().flatten().any(|(_, rejection)| *rejection == Rejection::UnknownSeries)
    }
}

/// A series with the id it is stored under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub id: i64,
    pub labels: Labels,
}

/// Samples of one series in time order, timestamps unique. Columns are parallel.
#[derive(Default, Clone, Debug)]
pub struct Run {
    pub timestamps: Vec<i64>,
    /// The float value; meaningless where `histograms` has one at that index.
    pub values: Vec<f64>,
    /// Empty where the run has no histogram at all, else parallel to `timestamps`.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// Empty where no sample has a start timestamp, else parallel to `timestamps`, 0 for unset.
    pub start_timestamps: Vec<i64>,
}

impl Run {
    /// Empties it, and keeps its room.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
    }

    /// Keeps the samples of some times.
    pub fn retain(&mut self, is_kept: impl Fn(i64) -> bool) {
        let kept: Vec<bool> = self.timestamps.iter().map(|timestamp| is_kept(*timestamp)).collect();
        if kept.iter().all(|kept| *kept) {
            return;
        }
        retain_rows(&mut self.timestamps, &kept);
        retain_rows(&mut self.values, &kept);
        retain_rows(&mut self.histograms, &kept);
        retain_rows(&mut self.start_timestamps, &kept);
    }
}

/// Of a column that may be empty as a whole.
fn retain_rows<T>(column: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    column.retain(|_| kept.next().is_some_and(|kept| *kept));
}

/// Samples of one series, borrowed; see [`Run`].
#[derive(Clone, Copy, Debug)]
pub struct RunSlice<'a> {
    pub timestamps: &'a [i64],
    pub values: &'a [f64],
    /// Empty or parallel.
    pub histograms: &'a [Option<Arc<FloatHistogram>>],
    /// Empty or parallel, 0 for unset.
    pub start_timestamps: &'a [i64],
}

impl<'a> From<&'a Run> for RunSlice<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            timestamps: &run.timestamps,
            values: &run.values,
            histograms: &run.histograms,
            start_timestamps: &run.start_timestamps,
        }
    }
}

/// No place of a [`MemorySource`].
pub const NOWHERE: u32 = u32::MAX;

/// Samples kept in memory: a memtable (open or being flushed) or a flushed block still cached.
/// Later sources win over earlier ones, and over files, at equal timestamps.
pub trait MemorySource: Send + Sync + std::fmt::Debug {
    /// Finds the series with these ids: a place for each, for [`MemorySource::read_at`], or [`NOWHERE`] if nothing of
    /// it lies within `range`. Many at once, as most of it is waiting for memory, which is done beside each other then.
    fn locate(&self, ids: &[i64], range: TimeRange, places: &mut [u32]);
    /// Appends the timestamps and values within `range` of the series at a place; sorted, unique timestamps.
    /// Histograms and start timestamps, of which the run has none before, are those of the samples appended.
    fn read_at(&self, place: u32, range: TimeRange, run: &mut Run);

    /// The same for one series by its id.
    fn read(&self, series_id: i64, range: TimeRange, run: &mut Run) {
        let mut places = [NOWHERE];
        self.locate(&[series_id], range, &mut places);
        if places[0] != NOWHERE {
            self.read_at(places[0], range, run);
        }
    }

    /// Smallest and largest timestamp held (inclusive), `None` when empty.
    fn bounds(&self) -> Option<TimeRange>;
    /// Number of samples, for `EXPLAIN` and statistics.
    fn samples(&self) -> usize;
    /// Whether any histogram / any start timestamp is held.
    fn has_histograms(&self) -> bool;
    fn has_start_timestamps(&self) -> bool;
}

/// One live Parquet file of the `samples` table. Immutable; `path` is relative to the store's root.
#[derive(Clone, Debug)]
pub struct SampleFile {
    pub path: String,
    pub size_bytes: u64,
    pub rows: u64,
    /// UTC day number since the epoch (the partition).
    pub day: i32,
    /// Position of the commit that added the file; of equal timestamps the later commit wins.
    pub commit: i64,
    pub min_timestamp: i64,
    pub max_timestamp: i64,
    pub min_metric: String,
    pub max_metric: String,
    pub has_histograms: bool,
    pub has_start_timestamps: bool,
    /// Milliseconds since the epoch; constant for the life of the file.
    pub modified_ms: i64,
    /// What readers leave out of it.
    pub deletes: Deletes,
}

/// A consistent view for one query: matched series, and every place that may hold their samples.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Sorted by (metric, id), the order of rows in every file.
    pub series: Arc<[Arc<Series>]>,
    /// Every label name of the series, sorted, `__name__` included.
    pub label_names: Arc<[String]>,
    /// Oldest first; each overrides the ones before it and all files at equal timestamps.
    pub memory: Vec<Arc<dyn MemorySource>>,
    /// Oldest commit first; already pruned by time and metric. A file whose rows are all in `memory`
    /// (cached after its flush) is not listed.
    pub files: Vec<Arc<SampleFile>>,
    /// Serves `files`; paths are below its root.
    pub objects: Arc<dyn ObjectStore>,
}

/// Samples of many series in the order of their keys, (metric, id), each series once: what a flush writes to Parquet.
pub trait SortedRuns: Send + Sync {
    fn series(&self) -> &[Arc<Series>];
    /// From the first to the last sample of the series at a position of [`SortedRuns::series`].
    fn times(&self, at: usize) -> TimeRange;
    /// Appends its samples within `range`, as [`MemorySource::read_at`].
    fn read(&self, at: usize, range: TimeRange, run: &mut Run);
    /// Whether any histogram / any start timestamp is held.
    fn has_histograms(&self) -> bool;
    fn has_start_timestamps(&self) -> bool;

    /// The UTC days since the epoch on which the series has samples, ascending.
    fn days(&self, at: usize) -> Vec<i32> {
        let times = self.times(at);
        let (first, last) = (day_of(times.start_inclusive), day_of(times.end_inclusive));
        // The ends are samples.
        if last == first || first.checked_add(1) == Some(last) {
            return (first..=last).collect();
        }
        let mut run = Run::default();
        self.read(at, times, &mut run);
        let mut days: Vec<i32> = run.timestamps.iter().map(|timestamp| day_of(*timestamp)).collect();
        days.dedup();
        days
    }
}

/// Rows accepted by the registry, on their way: logged as one object, then applied to the open memtable in this
/// order. Slots are those of this process' registry and never written anywhere.
#[derive(Default, Debug)]
pub struct LogRows {
    /// Series whose labels this generation of the log has not seen yet, before any row that uses them.
    pub series: Vec<(u32, Arc<Series>)>,
    pub samples: LogSamples,
    pub histograms: Vec<LogHistogram>,
    pub exemplars: Vec<LogExemplar>,
    /// Metric family name and its metadata.
    pub metadata: Vec<(String, Metadata)>,
}

impl LogRows {
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.rows() == 0 && self.metadata.is_empty()
    }

    /// Samples, histograms and exemplars.
    pub fn rows(&self) -> usize {
        self.samples.timestamps.len() + self.histograms.len() + self.exemplars.len()
    }

    /// Of samples and histograms; [`TimeRange::NONE`] without any.
    pub fn times(&self) -> TimeRange {
        let of = |range: TimeRange, timestamp: i64| range.union(&TimeRange::new(timestamp, timestamp));
        let samples = self.samples.timestamps.iter().copied().fold(TimeRange::NONE, of);
        self.histograms.iter().map(|row| row.timestamp).fold(samples, of)
    }
}

/// Float samples as parallel columns.
#[derive(Default, Debug)]
pub struct LogSamples {
    pub slots: Vec<u32>,
    pub series_ids: Vec<i64>,
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    /// Empty where no sample has one, else parallel, 0 for unset.
    pub start_timestamps: Vec<i64>,
}

impl LogSamples {
    pub fn push(&mut self, slot: u32, series_id: i64, timestamp: i64, value: f64, start_timestamp: i64) {
        if start_timestamp != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
            self.start_timestamps.push(start_timestamp);
        }
        self.slots.push(slot);
        self.series_ids.push(series_id);
        self.timestamps.push(timestamp);
        self.values.push(value);
    }

    /// Rows of one series.
    pub fn extend(&mut self, slot: u32, series_id: i64, rows: &[SampleRow]) {
        let before = self.timestamps.len();
        if !self.start_timestamps.is_empty() || rows.iter().any(|row| row.start_timestamp != 0) {
            self.start_timestamps.resize(before, 0);
            self.start_timestamps.extend(rows.iter().map(|row| row.start_timestamp));
        }
        self.slots.resize(before + rows.len(), slot);
        self.series_ids.resize(before + rows.len(), series_id);
        self.timestamps.extend(rows.iter().map(|row| row.timestamp));
        self.values.extend(rows.iter().map(|row| row.value));
    }

    /// Keeps the rows of some series.
    pub fn retain(&mut self, mut keep: impl FnMut(&i64) -> bool) {
        let mut kept = Self::default();
        for row in (0..self.series_ids.len()).filter(|row| keep(&self.series_ids[*row])) {
            let (slot, id, timestamp) = (self.slots[row], self.series_ids[row], self.timestamps[row]);
            kept.push(slot, id, timestamp, self.values[row], self.start_timestamp(row));
        }
        if !kept.start_timestamps.is_empty() {
            kept.start_timestamps.resize(kept.timestamps.len(), 0);
        }
        *self = kept;
    }

    pub fn start_timestamp(&self, row: usize) -> i64 {
        self.start_timestamps.get(row).copied().unwrap_or(0)
    }
}

#[derive(Clone, Debug)]
pub struct LogHistogram {
    pub slot: u32,
    pub series_id: i64,
    pub timestamp: i64,
    pub histogram: Arc<FloatHistogram>,
    /// 0 for unset.
    pub start_timestamp: i64,
}

#[derive(Clone, Debug)]
pub struct LogExemplar {
    pub slot: u32,
    pub series_id: i64,
    pub timestamp: i64,
    pub value: f64,
    pub labels: Labels,
}

/// Bits of a [`Stamp`]'s version that hold the sequence number; 23 are left for the epoch.
const SEQUENCE_BITS: u32 = 40;
/// The last epoch that a [`Stamp`] can name.
pub const MAX_EPOCH: u64 = (1 << (63 - SEQUENCE_BITS)) - 1;

/// How far a node has come, as the number of a Delta transaction: the epoch that committed, and the last number of
/// the log whose rows are in the lake. Numbers ascend through all epochs, so stamps compare as they should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub epoch: u64,
    pub sequence: u64,
}

impl Stamp {
    /// A stamp of a lake older than epochs is its bare sequence number, and so has epoch 0.
    pub fn of_version(version: i64) -> Self {
        let version = version.max(0).cast_unsigned();
        Self { epoch: version >> SEQUENCE_BITS, sequence: version & ((1 << SEQUENCE_BITS) - 1) }
    }

    pub fn version(self) -> i64 {
        debug_assert!(self.epoch <= MAX_EPOCH && self.sequence < 1 << SEQUENCE_BITS, "{self:?}");
        (self.epoch << SEQUENCE_BITS | self.sequence).cast_signed()
    }
}

//! Numbers for telemetry: plain counters, read as one struct. What they are called outside is decided there.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::sample::TimeRange;
use crate::storage::head::cache;
use crate::storage::head::registry::Late;
use crate::storage::store::{Inner, Store};
use crate::storage::types::WriteReport;
use crate::telemetry::summary::{Summary, SummaryValue};

/// Counters since the start.
#[derive(Default, Debug)]
pub struct Counters {
    pub samples: AtomicU64,
    pub histograms: AtomicU64,
    pub exemplars: AtomicU64,
    pub rejected: AtomicU64,
    pub wal_objects: AtomicU64,
    pub wal_bytes: AtomicU64,
    pub flushes: AtomicU64,
    pub flush_failures: AtomicU64,
    pub flush_us: AtomicU64,
    pub head_waits: AtomicU64,
    pub merges: AtomicU64,
    pub merge_failures: AtomicU64,
    pub merged_files: AtomicU64,
    pub wal_damaged: AtomicU64,
    pub task_failures: AtomicU64,
    /// Objects of the log that the start had to replay.
    pub replayed_objects: AtomicU64,
    pub series_evicted: AtomicU64,
    /// From the first attempt at a put of the log until it was durable.
    pub put_seconds: Summary,
}

impl Counters {
    pub fn count_rejected(&self, report: &WriteReport) {
        let rejected = report.rejected_samples.len() + report.rejected_histograms.len();
        self.rejected.fetch_add(rejected as u64, Ordering::Relaxed);
    }
}

/// The state of the store and its counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreStats {
    /// Series of the registry.
    pub head_series: usize,
    /// Samples that are not in the lake yet, and the memory they take.
    pub head_samples: usize,
    pub head_bytes: usize,
    /// Rows accepted but not yet in the log.
    pub queued_bytes: usize,
    pub cache_blocks: usize,
    pub cache_bytes: usize,
    pub day_index_bytes: usize,
    pub files: usize,
    pub file_bytes: u64,
    pub file_rows: u64,
    pub samples_appended_total: u64,
    pub histograms_appended_total: u64,
    pub exemplars_appended_total: u64,
    pub rows_rejected_total: u64,
    pub wal_objects_total: u64,
    pub wal_bytes_total: u64,
    /// Of objects of the log whose rows are in the lake.
    pub wal_retained_bytes: u64,
    pub flushes_total: u64,
    pub flush_failures_total: u64,
    pub flush_seconds_total: f64,
    /// Appends that had to wait for a flush.
    pub head_waits_total: u64,
    pub merges_total: u64,
    pub merge_failures_total: u64,
    pub merged_files_total: u64,
    /// Attempts at a put of the log that failed.
    pub wal_failures_total: u64,
    /// Seconds since the Unix epoch.
    pub wal_last_success_seconds: f64,
    /// How long the oldest append that waits for the log has waited.
    pub wal_oldest_seconds: f64,
    /// The epoch of this process.
    pub wal_epoch: u64,
    /// Objects of the log that were moved aside at the start.
    pub wal_damaged_total: u64,
    /// The log takes rows.
    pub wal_works: bool,
    /// Panics and ends of background tasks.
    pub task_failures_total: u64,
    /// The start had nothing to replay, so the last process ended in order.
    pub clean_start: bool,
    /// Series that the head let go.
    pub series_evicted_total: u64,
    /// Samples accepted behind the newest of their series.
    pub late: Late,
    /// The times of the samples that are not in the lake yet; both the newest there is where there are none.
    pub head_times: Option<TimeRange>,
    /// The oldest sample that is kept.
    pub lowest_timestamp: Option<i64>,
}

impl Inner {
    pub fn stats(&self) -> StoreStats {
        let view = self.view();
        let (head_series, late, queued_bytes, queued_since_ms) = {
            let gate = self.gate.lock();
            (gate.registry.len(), gate.registry.late, gate.queued_bytes(), gate.queued_since_ms())
        };
        let sources = view.head();
        let head = sources.iter().filter_map(|source| source.bounds()).reduce(|a, b| a.union(&b));
        let files = &view.files.samples;
        let newest = files.iter().map(|file| file.max_timestamp).max();
        let oldest = files.iter().map(|file| file.min_timestamp).min();
        let log = &self.durability;
        let oldest_ms = [log.in_flight_since_ms(), queued_since_ms].into_iter().flatten().min();
        let seconds = |ms: i64| ms as f64 / 1e3;
        let counter = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        StoreStats {
            head_series,
            head_samples: sources.iter().map(|source| source.samples()).sum(),
            head_bytes: view.head_bytes(),
            queued_bytes,
            cache_blocks: view.cached.iter().map(|entry| entry.blocks.len()).sum(),
            cache_bytes: cache::bytes(&view.cached),
            day_index_bytes: self.days.bytes(),
            files: view.files.samples.len(),
            file_bytes: view.files.samples.iter().map(|file| file.size_bytes).sum(),
            file_rows: view.files.samples.iter().map(|file| file.rows).sum(),
            samples_appended_total: counter(&c.samples),
            histograms_appended_total: counter(&c.histograms),
            exemplars_appended_total: counter(&c.exemplars),
            rows_rejected_total: counter(&c.rejected),
            wal_objects_total: counter(&c.wal_objects),
            wal_bytes_total: counter(&c.wal_bytes),
            wal_retained_bytes: self.log.bytes_through(self.flushed_through.load(Ordering::Relaxed)),
            flushes_total: counter(&c.flushes),
            flush_failures_total: counter(&c.flush_failures),
            flush_seconds_total: counter(&c.flush_us) as f64 / 1e6,
            head_waits_total: counter(&c.head_waits),
            merges_total: counter(&c.merges),
            merge_failures_total: counter(&c.merge_failures),
            merged_files_total: counter(&c.merged_files),
            wal_failures_total: log.failures(),
            wal_last_success_seconds: seconds(log.last_success_ms()),
            wal_oldest_seconds: oldest_ms.map_or(0.0, |since_ms| seconds((self.clock)() - since_ms).max(0.0)),
            wal_epoch: self.log.epoch(),
            wal_damaged_total: counter(&c.wal_damaged),
            wal_works: log.now().works(),
            task_failures_total: counter(&c.task_failures),
            clean_start: counter(&c.replayed_objects) == 0,
            series_evicted_total: counter(&c.series_evicted),
            late,
            head_times: head.or(newest.map(|at| TimeRange { start_inclusive: at, end_inclusive: at })),
            lowest_timestamp: head.map(|times| times.start_inclusive).into_iter().chain(oldest).min(),
        }
    }
}

impl Store {
    /// How long puts of the write-ahead log took to become durable.
    pub fn put_seconds(&self) -> SummaryValue {
        self.inner.counters.put_seconds.read()
    }
}

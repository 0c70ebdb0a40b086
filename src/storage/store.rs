//! The store: append → log → head → flush → lake on one side, snapshot on the other.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::types::{Series, SeriesRef, Snapshot, WriteBatch, WriteReport};

/// Milliseconds since the Unix epoch; the composition root passes the one that reads the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Settings of the store; see the flags of the same names.
#[derive(Clone, Debug)]
pub struct Options {
    /// `./data` or `s3://bucket/prefix`.
    pub url: String,
    /// Names this process' write-ahead log; one process per node id.
    pub node: String,
    pub wal_flush_interval: Option<Duration>,
    pub flush_interval: Duration,
    /// The open memtable is flushed when it holds more than this.
    pub flush_bytes: usize,
    /// Flushed blocks are kept in memory up to this.
    pub cache_bytes: usize,
    pub out_of_order_window_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens the lake (probe, migrations), replays the write-ahead log, starts the background work.
    pub async fn open(_options: Options, _clock: Clock) -> Result<Arc<Store>> {
        todo!()
    }

    /// The handle of a series, registered if it is new.
    pub fn intern(&self, _labels: &Labels) -> SeriesRef {
        todo!()
    }

    /// Handles of many series under one lock.
    pub fn intern_all(&self, _labels: &[Labels]) -> Vec<SeriesRef> {
        todo!()
    }

    /// Returns when the accepted rows are durable and visible.
    pub async fn append(&self, _batch: WriteBatch) -> Result<WriteReport> {
        todo!()
    }

    /// The view a query runs on: series that satisfy all matchers and have samples on a day that `range`
    /// touches, and the sources that may hold their samples within `range`.
    pub async fn snapshot(&self, _range: TimeRange, _matchers: &[Matcher]) -> Result<Snapshot> {
        todo!()
    }

    /// The series that satisfy any of the matcher sets (all series when there is none), sorted by labels.
    pub async fn series(&self, _range: TimeRange, _matcher_sets: &[Vec<Matcher>]) -> Result<Vec<Arc<Series>>> {
        todo!()
    }

    /// Names of all metrics with samples on a day that `range` touches, sorted.
    pub async fn metric_names(&self, _range: TimeRange) -> Result<Vec<String>> {
        todo!()
    }

    /// Label names of one metric over all time that is listed, sorted, without `__name__`; empty for an
    /// unknown metric. For the SQL catalog.
    pub async fn metric_labels(&self, _metric: &str) -> Result<Vec<String>> {
        todo!()
    }

    /// Metadata by metric family name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        todo!()
    }

    /// Writes the head to the lake and returns when it is committed.
    pub async fn flush(&self) -> Result<()> {
        todo!()
    }

    /// Merges the small files of each day; returns how many files were replaced.
    pub async fn merge(&self) -> Result<usize> {
        todo!()
    }

    /// Flushes and stops the background work. Appends after it fail.
    pub async fn shutdown(&self) -> Result<()> {
        todo!()
    }
}

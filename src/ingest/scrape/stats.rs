//! What is counted of pools and of the times between scrapes. A pool and a target have their counters at hand, so that
//! nothing is looked up while scraping.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::summary::{Summary, SummaryValue, WIDE_QUANTILES};

/// Intervals that have a summary of their own. Targets may be found with one each; the rest share one, under 0.
const MAX_INTERVALS: usize = 256;

/// Counters of all pools since the start.
#[derive(Debug, Default)]
pub struct ScrapeStats {
    /// Pools that were made.
    pub pools: AtomicU64,
    /// Pools that could not be made.
    pub pools_failed: AtomicU64,
    /// Pools that went on with another configuration.
    pub reloads: AtomicU64,
    /// Pools that could not, and went on with the old one.
    pub reloads_failed: AtomicU64,
    /// Pools that got more targets than their limit allows.
    pub exceeded_target_limit: AtomicU64,
    /// Times between two scrapes of a target, by the interval that is meant, in milliseconds.
    intervals: Mutex<BTreeMap<i64, Arc<Summary>>>,
    /// Times that pools took to go on with another configuration, by their interval.
    reload_seconds: Mutex<BTreeMap<i64, Arc<Summary>>>,
}

/// Counters of a pool since it was made.
#[derive(Debug)]
pub struct PoolStats {
    /// How often its targets were brought in line with what was found.
    pub syncs: AtomicU64,
    /// Targets that made no sense when they were.
    pub failed_targets: AtomicU64,
    /// How long it took.
    pub sync_seconds: Summary,
}

/// A pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    pub name: String,
    pub targets: usize,
    /// Targets found, the dropped ones included.
    pub discovered: u64,
    /// 0 for none.
    pub target_limit: u64,
    pub syncs: u64,
    pub failed_targets: u64,
    pub sync_seconds: SummaryValue,
    /// Families that its targets have told about, and what remembering them takes.
    pub metadata_entries: usize,
    pub metadata_bytes: usize,
}

impl Default for PoolStats {
    fn default() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            failed_targets: AtomicU64::new(0),
            sync_seconds: Summary::new(WIDE_QUANTILES),
        }
    }
}

impl PoolStats {
    pub(super) fn synced(&self, elapsed: Duration, failed_targets: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.failed_targets.fetch_add(failed_targets, Ordering::Relaxed);
        self.sync_seconds.observe(elapsed.as_secs_f64());
    }
}

impl ScrapeStats {
    /// What the times between the scrapes of targets with this interval are told to.
    pub(super) fn interval(&self, interval_ms: i64) -> Arc<Summary> {
        summary(&self.intervals, interval_ms)
    }

    pub(super) fn reloaded(&self, interval_ms: i64, elapsed: Duration) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        summary(&self.reload_seconds, interval_ms).observe(elapsed.as_secs_f64());
    }

    /// Times between scrapes, in seconds, by interval in milliseconds.
    pub fn intervals(&self) -> Vec<(i64, SummaryValue)> {
        read(&self.intervals)
    }

    /// Times that pools took to go on with another configuration, in seconds, by interval in milliseconds.
    pub fn reload_seconds(&self) -> Vec<(i64, SummaryValue)> {
        read(&self.reload_seconds)
    }
}

fn summary(by_interval: &Mutex<BTreeMap<i64, Arc<Summary>>>, interval_ms: i64) -> Arc<Summary> {
    let mut by_interval = by_interval.lock();
    let known = by_interval.contains_key(&interval_ms) || by_interval.len() < MAX_INTERVALS;
    let place = by_interval.entry(if known { interval_ms } else { 0 });
    place.or_insert_with(|| Arc::new(Summary::new(WIDE_QUANTILES))).clone()
}

fn read(by_interval: &Mutex<BTreeMap<i64, Arc<Summary>>>) -> Vec<(i64, SummaryValue)> {
    by_interval.lock().iter().map(|(interval_ms, summary)| (*interval_ms, summary.read())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_beyond_the_limit_share_a_summary() {
        let stats = ScrapeStats::default();
        for interval_ms in 1..=300 {
            stats.interval(interval_ms).observe(interval_ms as f64 / 1000.0);
        }
        stats.interval(1).observe(0.001);
        let intervals = stats.intervals();
        assert_eq!(intervals.len(), MAX_INTERVALS + 1);
        let count = |at: usize| (intervals[at].0, intervals[at].1.count);
        assert_eq!((count(0), count(1), count(2)), ((0, 44), (1, 2), (2, 1)));
    }
}

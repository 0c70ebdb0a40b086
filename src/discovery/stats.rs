//! What discovery counts, beside what each manager knows of its jobs. Names of metrics are given elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Counters of kinds, for all of their kind.
#[derive(Debug, Default)]
pub struct Stats {
    pub file_read_errors: AtomicU64,
    pub http_failures: AtomicU64,
    pub dns_lookups: AtomicU64,
    pub dns_lookup_failures: AtomicU64,
    pub consul_rpc_failures: AtomicU64,
    pub nomad_failures: AtomicU64,
    pub kubernetes_failures: AtomicU64,
    /// By role and event (`add`, `delete`, `update`).
    pub kubernetes_events: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// When files that were read were written, in seconds since the epoch.
    pub file_times: Mutex<BTreeMap<String, f64>>,
}

impl Stats {
    pub fn count_kubernetes(&self, role: &'static str, event: &'static str, count: u64) {
        *self.kubernetes_events.lock().entry((role, event)).or_default() += count;
    }
}

pub(super) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a manager knows of its jobs at a moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Entries that could not be made to run yet.
    pub failed_configs: u64,
    pub received_updates: u64,
    pub sent_updates: u64,
    pub delayed_updates: u64,
    /// Ends that were none of ours: panics.
    pub task_failures: u64,
    /// When targets of a job were last told, in milliseconds since the epoch.
    pub last_update_ms: BTreeMap<String, i64>,
    /// By kind and job.
    pub refresh_failures: BTreeMap<(&'static str, String), u64>,
}

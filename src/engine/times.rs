//! How long the parts of PromQL queries take, all queries together, for telemetry.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::stats::QueryStats;
use crate::telemetry::summary::Summary;

/// In seconds; see [`QueryStats`].
#[derive(Debug, Default)]
pub struct QueryTimes {
    /// Of every query that got a slot; the others are of those that were answered.
    pub queue: Summary,
    pub prepare: Summary,
    pub execute: Summary,
    pub sort: Summary,
    /// Queries that ran by the plan of an earlier one.
    kept_plans: AtomicU64,
}

impl QueryTimes {
    /// How many queries ran by the plan of an earlier one.
    pub fn kept_plans(&self) -> u64 {
        self.kept_plans.load(Ordering::Relaxed)
    }

    pub(super) fn by_a_kept_plan(&self) {
        self.kept_plans.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, stats: &QueryStats) {
        self.prepare.observe(stats.prepare.as_secs_f64());
        self.execute.observe(stats.execute.as_secs_f64());
        self.sort.observe(stats.sort.as_secs_f64());
    }
}

//! How long the parts of PromQL queries take, all queries together, for telemetry.

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
}

impl QueryTimes {
    pub(super) fn answered(&self, stats: &QueryStats) {
        self.prepare.observe(stats.prepare.as_secs_f64());
        self.execute.observe(stats.execute.as_secs_f64());
        self.sort.observe(stats.sort.as_secs_f64());
    }
}

//! When a plan runs: how much later than the times it was made for.
//!
//! Functions of a plan know their windows by the times of the query that the plan was made for. A plan that is run again
//! at another time, with the same steps, moves them all by the same amount; whoever runs it has it alone meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds that the run at hand is later; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Moment(Arc<AtomicI64>);

impl Moment {
    pub fn set(&self, later_ms: i64) {
        self.0.store(later_ms, Ordering::Relaxed);
    }

    /// A time of the query that the plan was made for, as one of the run.
    pub fn at(&self, time_ms: i64) -> i64 {
        time_ms.saturating_add(self.0.load(Ordering::Relaxed))
    }
}

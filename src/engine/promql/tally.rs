//! How many samples a query holds in memory at a time, counted as Prometheus' evaluator does (`currentSamples` in
//! its `promql/engine.go`), for `--query.max-samples` and for `stats`.
//!
//! Prometheus walks the expression node by node and holds, beside the results of the nodes before, the result of
//! the node at hand so far and the window of one series. Here series stream through all nodes at once. So only
//! [`Place`]s count, where samples become points: selectors, range functions and subqueries. What Prometheus would
//! hold follows from these counts and the shape of the expression, see [`node`]. Results of aggregations and of
//! matched vectors are not counted, which are at most as many as what went in.

/// What a row adds.
mod count;
/// The shape of an expression.
mod node;
/// What was counted.
pub mod steps;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use datafusion::error::DataFusionError;

pub use self::count::RowCounter;
use self::node::Node;
use self::steps::{BySteps, SampleStats};
use super::lower::resolve::Times;
use crate::error::{Error, ErrorKind};
use crate::promql::ast::Expr;
use crate::promql::span::Span;

/// The counts of one query.
#[derive(Debug)]
pub struct Tally {
    limit: u64,
    /// Count windows even where they cannot reach the limit, and by step.
    detailed: bool,
    root: Node,
    places: HashMap<Span, Arc<Place>>,
}

/// The samples one selector, range function or subquery had.
#[derive(Debug)]
struct Place {
    steps: usize,
    /// Points of the result.
    points: AtomicU64,
    /// Of these the floats; a histogram counts as many points as it is large.
    floats: AtomicU64,
    /// The most of points so far and one window together.
    peak: AtomicU64,
    /// Where the tally is detailed.
    by_step: Mutex<BySteps>,
}

impl Tally {
    pub fn new(times: &Times, expr: &Expr, limit: u64, detailed: bool) -> Self {
        let mut places = HashMap::new();
        let root = node::build(times, times.query, expr, detailed, &mut places);
        Self { limit, detailed, root, places }
    }

    /// Whether samples are counted by step.
    pub fn is_detailed(&self) -> bool {
        self.detailed
    }

    pub fn stats(&self) -> SampleStats {
        SampleStats { by_step: self.root.by_step(), peak: self.root.peak() }
    }

    /// Forgets everything; for a plan that runs again.
    pub fn reset(&self) {
        for place in self.places.values() {
            place.points.store(0, Ordering::Relaxed);
            place.floats.store(0, Ordering::Relaxed);
            place.peak.store(0, Ordering::Relaxed);
            *place.by_step.lock().expect("no panic while the lock is held") = BySteps::new(place.steps);
        }
    }

    /// Fails where the query holds too much.
    pub fn check(&self) -> Result<(), DataFusionError> {
        if self.root.peak() <= self.limit {
            return Ok(());
        }
        // Prometheus' words for `--query.max-samples`.
        let message = "query processing would load too many samples into memory in query execution";
        Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Limit, message))))
    }
}

impl Default for Tally {
    /// Counts nothing.
    fn default() -> Self {
        Self { limit: u64::MAX, detailed: false, root: Node::Nothing, places: HashMap::new() }
    }
}

impl Place {
    /// `steps` are 0 where samples are not counted by step.
    fn new(steps: usize) -> Self {
        let by_step = Mutex::new(BySteps::new(steps));
        let zero = || AtomicU64::new(0);
        Self { steps, points: zero(), floats: zero(), peak: zero(), by_step }
    }
}

/// A place of a tally, for the function that counts there. Equal to any other: what tells functions of a plan apart
/// is their sink.
#[derive(Clone, Debug)]
pub struct Counted {
    tally: Arc<Tally>,
    place: Arc<Place>,
}

impl Counted {
    /// The place of the selector or subquery at `span`.
    pub fn new(tally: &Arc<Tally>, span: Span) -> Option<Self> {
        let place = Arc::clone(tally.places.get(&span)?);
        Some(Self { tally: Arc::clone(tally), place })
    }

    /// Counts the rows of a batch.
    pub fn rows(&self) -> RowCounter<'_> {
        RowCounter::new(self)
    }

    /// Adds samples that are the result as they are, and stay.
    pub fn add_whole(&self, samples: u64) -> Result<(), DataFusionError> {
        let mut rows = self.rows();
        rows.whole(samples);
        rows.finish()
    }
}

impl PartialEq for Counted {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Counted {}

impl std::hash::Hash for Counted {
    fn hash<H: std::hash::Hasher>(&self, _state: &mut H) {}
}

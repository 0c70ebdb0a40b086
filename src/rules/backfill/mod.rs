//! Results of recording rules for the past, written into the lake by a process of its own, with or without a server beside it.
//!
//! What comes out is what a server would have written that had the rules then. A group has its times, which follow from its
//! file, name and interval, so that a server that goes on with it writes at the same ones. A rule sees what other rules of the
//! backfill wrote up to its time: those before it in its group as of the same time. A series that a rule does not have any more ends
//! with a staleness marker. An evaluation that fails, for two series with the same labels or more series than the group's
//! `limit`, leaves a gap of that one time.
//!
//! Rules are evaluated as range queries, a UTC day at a time, in the order in which they need each other. Only where that would
//! not tell the truth are they evaluated time by time: where rules read what they or later ones of their group wrote before, and
//! where an expression depends on the range of its query.
//!
//! A day is committed as a whole with a mark for each group, so that one that was killed goes on behind the last such day, and
//! one that is started again goes on where the marks end.

/// Which rule needs which, and the order that follows.
pub mod plan;
/// Times of a group.
pub mod times;
/// What a rule finds, as samples.
pub mod results;
/// A rule at some times.
pub mod evaluate;
/// Day by day into the lake.
pub mod run;

#[cfg(test)]
mod tests;

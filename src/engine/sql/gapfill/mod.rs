//! `time_bucket_gapfill(width, time [, start, finish])` in GROUP BY, with `locf(value)` and `interpolate(value)` in the select
//! list, as TimescaleDB has them: each group of the other columns gets a row for each bucket that has none.
//!
//! The aggregation groups by `time_bucket()`; above it, and above HAVING, [`node`] adds the rows. What `locf()` and
//! `interpolate()` are called with is computed below that, of rows that were there, and filled as a column of its own.
//! The first and the last bucket are said by `start` and `finish`, or by what WHERE says of the time.

/// Calls by names and positions.
pub mod arguments;
/// The times that WHERE allows.
mod bounds;
/// What runs.
mod exec;
/// The rows of a group.
mod fill;
/// What they are called, for the planner.
pub mod names;
/// What a plan says of it.
pub mod node;
/// Plans with calls to plans with rows.
pub mod rewrite;
/// The times of buckets.
mod times;

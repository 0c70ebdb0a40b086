//! Dates and times as text, as PostgreSQL has them.

/// Intervals.
pub mod interval;
/// Text to dates and times.
pub mod read;
/// Dates and times to text.
pub mod write;

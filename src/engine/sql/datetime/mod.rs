//! Dates and times as text, as PostgreSQL has them.

/// Intervals.
pub mod interval;
/// Patterns of `to_char` and its like.
pub mod pattern;
/// Text to dates and times.
pub mod read;
/// Dates and times to text.
pub mod write;

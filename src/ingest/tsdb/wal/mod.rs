//! The write-ahead log of a Prometheus, and its second one for late samples.

/// Segments to records.
pub mod pages;
/// What records say.
pub mod record;

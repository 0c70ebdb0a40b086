//! History into the lake: from the disk of a Prometheus, from a file, from another server. Sources are sorted by series as
//! files of the lake are, and go there day by day, beside whatever writes to it meanwhile and not through the log. A day of
//! a source is committed once, with a mark of the source, so an import that was killed goes on where it stopped and one
//! that is run again changes nothing.

/// Labels of imported series, and their ids.
pub mod series;
/// The days there is something of.
pub mod calendar;
/// Samples that come in any order, sorted by series.
pub mod spill;
/// Series, samples, exemplars and metadata on their way.
pub mod collected;
/// The head of a stopped Prometheus.
pub mod head;
/// What is imported: a block, or what was collected.
pub mod source;
/// One sample, to compare with another.
pub mod sample;
/// Some series of a day, decoded.
pub mod batch;
/// What is stored already.
pub mod existing;
/// A day into the lake.
pub mod day;
/// Day by day into the lake.
pub mod run;
/// How far it is.
pub mod progress;
/// A folder of a Prometheus as sources.
pub mod tsdb;
/// A file of OpenMetrics as a source.
pub mod openmetrics;
/// Another server's remote read as sources.
pub mod remote_read;

#[cfg(test)]
mod tests;

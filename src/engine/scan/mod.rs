//! The leaf of every plan: series runs merged from Parquet files, cached blocks and the head.
//!
//! A `Snapshot` and a time range go in, record batches come out, either one row per series (PromQL's raw
//! ranges) or one row per sample (SQL). Which series match is decided before, by the snapshot; staleness,
//! lookback and everything else PromQL is decided after.

/// Reads the runs of one file, in order, from its record batches.
mod cursor;
/// The physical operator.
mod exec;
/// Parquet footers, cached for the process, and the reader that never fetches them again.
mod footer;
/// Histograms between storage's struct, the binary form of plans and the text form of SQL.
pub mod histogram;
/// Merges the runs of all sources, series by series.
mod merge;
/// Opens the files of a partition: few side by side, many small parts packed.
mod open;
/// Samples of one output batch, and the batch made from them.
pub(in crate::engine) mod output;
/// Which pages of a file can hold wanted series in range.
mod prune;
/// From snapshot to physical plan: footers, partitions, access plans, one Parquet source per file.
mod sources;
/// The table provider over a snapshot, its two shapes and their schemas.
pub mod table;

#[cfg(test)]
mod tests;

pub use exec::SeriesMergeExec;
pub use table::{Askers, ScanOptions, SeriesTable, has_histograms, has_start_timestamps};

//! The lake: Delta tables of samples, series, exemplars, metadata and changes of alerts below the store's root.
//!
//! A flush comes in as [`SortedRuns`] and leaves as Parquet files in one commit per table; a query takes the
//! current [`FileSet`]; merging rewrites small files into large ones. The format, and why a crash at any point
//! is safe, is in `FORMAT.md` beside this file. Delta is a log here and nothing more: `deltalake` replays it and
//! writes its checkpoints; commits, Parquet files, merging and pruning are ours. The lake keeps no samples in
//! memory and starts no tasks: the store calls it.

/// The live files of all tables, as one immutable value.
pub mod files;
/// Many files of a day into fewer: plan and run.
pub mod merge;
/// The lake's own DDL, applied at start.
pub mod migrate;
/// Runs in key order to uploaded files.
pub mod output;
/// Changes of the states of alerts.
pub mod alerts;
/// Records of deletes.
pub mod deletes;
/// What deletes, and rewrites the files that still have it.
pub mod deleting;
/// Days of history from elsewhere.
pub mod import;
/// Parquet files back to runs of samples.
pub mod reader;
/// The small tables: series, exemplars, metadata.
pub mod rows;
/// The Parquet schemas of the tables, in one place.
pub mod schema;
/// One Delta table: replay, our commit loop, checkpoints.
pub mod table;
/// The lake as the store sees it: open, flush, refresh, read, merge, sweep.
pub mod tables;
/// An object written piece by piece.
pub mod upload;
/// Sorted samples to Parquet files whose pages follow series and time.
pub mod writer;

pub use tables::Lake;

#[cfg(test)]
mod tests;

//! Everything that keeps samples. Siblings do not know each other; `store` joins them.

/// The two doors: `append` and `snapshot`; the write path and the read path, on one screen each.
pub mod store;
/// What crosses the doors: write batches, series, runs of samples, snapshots.
pub mod types;
/// What deletes took from files that still have it.
pub mod deleted;
/// Runs of one series from several places, as one.
pub mod runs;
/// Doubles as scaled integers, where that is exact.
pub mod scaled;
/// The write-ahead log: Arrow IPC objects, put if absent.
pub mod wal;
/// The open window in memory: registry of series, memtables, sorted blocks.
pub mod head;
/// Columnar series index: matchers to series.
pub mod index;
/// The Delta tables: migrations, commits, Parquet files, merging.
pub mod lake;
/// Object stores by URL: a folder (with fsync) or an S3 bucket, and the start-up probe.
pub mod object;
/// What a storage URL names, and where a lake lies in a folder that may be a Prometheus' own.
pub mod place;

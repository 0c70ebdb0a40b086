//! The open window in memory. Rows come in through the registry, which decides what is accepted, and land in the
//! open memtable once they are durable; a frozen memtable is packed once, in the order of its series, for the lake to write
//! and the cache to keep. Nothing here does I/O or knows the log.

/// Runs of samples in a few bytes a sample, with a lookup by series, read where they lie.
pub mod packed;
/// A frozen memtable, packed in the order of its series.
pub mod sorted;
/// Flushed blocks kept in memory, and the files they stand for.
pub mod cache;
/// The open window: per-series vectors, one writer, many readers.
pub mod memtable;
/// Which series exist, what their newest sample is, and what an append may add.
pub mod registry;

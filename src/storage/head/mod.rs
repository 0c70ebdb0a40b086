//! The open window in memory. Rows come in through the registry, which decides what is accepted, and land in the
//! open memtable once they are durable; a frozen memtable becomes one sorted block, which the lake writes and the
//! cache keeps. Nothing here does I/O or knows the log.

/// Sorted samples with a lookup by series, read where they lie.
pub mod block;
/// The same in a few bytes a sample; what the cache is made of.
pub mod packed;
/// Flushed blocks kept in memory, and the files they stand for.
pub mod cache;
/// The open window: per-series vectors, one writer, many readers.
pub mod memtable;
/// Which series exist, what their newest sample is, and what an append may add.
pub mod registry;

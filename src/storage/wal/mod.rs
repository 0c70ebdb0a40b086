//! The write-ahead log: every append is an object `_wal/<node>/<sequence>.arrow` before it is acknowledged.
//!
//! Rows of a group commit come in, one object goes out, put if absent; after a restart the objects come back in
//! order. `FORMAT.md` beside this file draws the objects and argues why a crash is safe. The log keeps no rows in
//! memory and decides nothing about them.

/// Rows to the bytes of an object, and back.
pub mod codec;
/// The objects of one node: put the next, list, read, delete.
pub mod log;

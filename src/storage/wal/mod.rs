//! The write-ahead log: every append is an object `_wal/<node>/<epoch>/<sequence>.arrow` before it is acknowledged.
//!
//! Rows of a group commit come in, one object goes out, put if absent; after a restart the objects come back in
//! order. A start claims an epoch and seals all older ones, so that of two processes with one node id only the later
//! can write. `FORMAT.md` beside this file draws the objects and argues why a crash, a pause and a lost answer are
//! safe. The log keeps no rows in memory and decides nothing about them.

/// Rows to the bytes of an object, and back.
pub mod codec;
/// Keys and objects of one node: one attempt at a put, list, read, move aside, delete.
pub mod objects;
/// Claiming an epoch and sealing the older ones.
pub mod epoch;
/// The log of the claimed epoch: encode, put, read behind others, delete what nobody needs.
pub mod log;
/// How far those who read the log have come.
pub mod readers;
/// One live process for a node: a lock beside its log in a folder, a lease in a bucket.
pub mod claim;
/// Pauses between attempts at what must succeed in the end.
pub mod pauses;

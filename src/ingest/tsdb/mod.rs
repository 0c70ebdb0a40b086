//! What a Prometheus has on its disk, read: blocks, chunks of the head, and records of the write-ahead log. Thanos' blocks of samples as
//! they were are the same. Every length is compared with what is there before anything is made by it, checksums are
//! checked, and what is damaged is an error that names the file and the offset.

/// CRC-32C.
pub mod crc32c;
/// Numbers and texts from bytes.
pub mod bytes;
/// Files in pieces.
pub mod file;
/// `meta.json`.
pub mod meta;
/// Symbols, series, places of chunks.
pub mod index;
/// Chunk files.
pub mod segments;
/// Samples as bits.
pub mod chunk;
/// Deleted times.
pub mod tombstones;
/// A block as a whole.
pub mod block;
/// The write-ahead log.
pub mod wal;
/// Chunks of the head.
pub mod head_chunks;
/// A folder: its blocks, its lock, and what is left out.
pub mod folder;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;

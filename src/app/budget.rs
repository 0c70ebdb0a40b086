//! How much memory, how many connections and how many threads each part may take, so that the process stays within
//! what it was given: a container's limit, or the machine.
//!
//! [`of`] is a pure function of [`Machine`]. The shares are upper bounds of what may be held at a time, not
//! reservations; together they are at most four fifths of the limit. The last fifth is for what no budget counts: the
//! program itself, the labels of the series of the head, and what the allocator has not given back yet. A large machine
//! has today's sizes, and where more memory makes queries faster, more.

use crate::config::size;
use crate::storage::store::HEAD_FLUSHES;

/// What a container, or the machine, gives.
pub mod machine;

pub use machine::{Machine, Source};

const MIB: usize = 1 << 20;
/// Of an HTTP connection: the buffers of hyper and of the socket. Bodies are not in it.
const WEB_CONNECTION_BYTES: usize = 64 << 10;
/// Of a Postgres connection: its session with the catalog, buffers, and prepared statements.
const PG_CONNECTION_BYTES: usize = 512 << 10;
/// Of a thread, of which there are two kinds: touched stack and the allocator's cache.
const THREAD_BYTES: usize = 2 * MIB;
/// What DataFusion keeps aside for each sort where there is plenty.
const SPILL_BYTES: usize = 10 * MIB;

/// Settings of the flags of the same names, and what comes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of all queries together.
    pub pool_bytes: usize,
    /// Of the pool, for each sort that may have to be written to disk.
    pub spill_bytes: usize,
    /// Packed samples of the newest files.
    pub cache_bytes: usize,
    /// Size of the open memtable at which it is flushed.
    pub flush_bytes: usize,
    /// Rows that wait for the write-ahead log.
    pub queue_bytes: usize,
    /// Scrapes that wait while the write-ahead log cannot be written.
    pub wal_buffer_bytes: usize,
    /// Rows that were just written, for remotes that keep up, and samples on their way to remotes.
    pub forward_bytes: usize,
    /// Series indexes of the lake's days.
    pub index_bytes: usize,
    /// Footers of Parquet files that were read, which is where their pages are.
    pub footer_bytes: usize,
    /// Bodies of HTTP requests, all together.
    pub body_bytes: usize,
    /// Messages of Postgres clients, all together.
    pub message_bytes: usize,
    pub web_connections: usize,
    pub pg_connections: usize,
    /// That serve; as many again run queries, and queries have as many partitions.
    pub threads: usize,
}

/// The shares of a machine. Whole MiB, so that they read well.
pub fn of(machine: Machine) -> Budget {
    let limit = usize::try_from(machine.memory_bytes).unwrap_or(usize::MAX);
    // A part of the limit, at most `cap` and at least `floor`; a limit so small that floors matter is warned of.
    let share = |parts: usize, floor: usize, cap: usize| ((limit / parts).clamp(floor, cap) / MIB).max(1) * MIB;
    // Many cores without a limit on them are common where memory has one.
    let threads = machine.cores.clamp(1, (limit / (64 * MIB)).max(1));
    let pool_bytes = share(4, 16 * MIB, (1 << 30).max(limit / 8));
    Budget {
        pool_bytes,
        spill_bytes: (pool_bytes / (8 * threads)).min(SPILL_BYTES),
        cache_bytes: share(16, MIB, (128 * MIB).max(limit / 64)),
        flush_bytes: share(64, MIB, 48 * MIB),
        queue_bytes: share(32, MIB, 64 * MIB),
        wal_buffer_bytes: share(32, MIB, (256 * MIB).max(limit / 64)),
        forward_bytes: share(64, MIB, 256 * MIB),
        index_bytes: share(32, MIB, 256 * MIB),
        footer_bytes: share(64, MIB, 64 * MIB),
        body_bytes: share(16, MIB, 256 * MIB),
        message_bytes: share(32, MIB, 256 * MIB),
        web_connections: (limit / (4 * MIB)).clamp(16, 512),
        pg_connections: (limit / (16 * MIB)).clamp(8, 100),
        threads,
    }
}

impl Budget {
    /// What all parts may hold at a time.
    pub fn total_bytes(&self) -> u64 {
        // A flush sorts a memtable into a copy of it and writes files from that, a join of cached blocks makes a copy of
        // them; the two take turns.
        let copies = self.flush_bytes.saturating_mul(2).max(self.cache_bytes);
        let parts = [
            self.pool_bytes,
            self.cache_bytes,
            self.flush_bytes.saturating_mul(HEAD_FLUSHES),
            copies,
            // The queue and the object that is made of it.
            self.queue_bytes.saturating_mul(2),
            self.wal_buffer_bytes,
            self.forward_bytes,
            self.index_bytes,
            self.footer_bytes,
            self.body_bytes,
            self.message_bytes,
            self.web_connections.saturating_mul(WEB_CONNECTION_BYTES),
            self.pg_connections.saturating_mul(PG_CONNECTION_BYTES),
            self.threads.saturating_mul(2 * THREAD_BYTES),
        ];
        parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part as u64))
    }

    /// The part of `forward_bytes` for rows that were just written.
    pub fn recent_bytes(&self) -> usize {
        self.forward_bytes / 4
    }

    /// The line of the log that says what there is and what becomes of it, and a warning where that is too much.
    pub fn announce(&self, machine: Machine) {
        let show = |bytes: usize| size::format(bytes as u64);
        tracing::info!(
            limit = %whole(machine.memory_bytes),
            from = %machine.from,
            pool = %show(self.pool_bytes),
            spill = %show(self.spill_bytes),
            cache = %show(self.cache_bytes),
            flush = %show(self.flush_bytes),
            queue = %show(self.queue_bytes),
            wal_buffer = %show(self.wal_buffer_bytes),
            forward = %show(self.forward_bytes),
            index = %show(self.index_bytes),
            footers = %show(self.footer_bytes),
            bodies = %show(self.body_bytes),
            messages = %show(self.message_bytes),
            web_connections = self.web_connections,
            pg_connections = self.pg_connections,
            threads = self.threads,
            together = %whole(self.total_bytes()),
            "budget"
        );
        if let Some(warning) = self.warning(machine) {
            tracing::warn!("{warning}");
        }
    }

    /// What is wrong with budgets that flags have set.
    fn warning(&self, machine: Machine) -> Option<String> {
        let (total, limit) = (self.total_bytes(), machine.memory_bytes);
        let percent = |bytes: u64| u128::from(bytes) * 100 / u128::from(limit.max(1));
        (percent(total) > 80).then(|| {
            format!(
                "the budgets of memory add up to {} of {}, which is {}% where 80% are safe: the process may be killed \
                 when they are used; lower --query.memory-bytes, --storage.cache-bytes, --storage.flush-bytes, \
                 --storage.wal.queue-bytes, --storage.wal.buffer-bytes, --storage.remote.buffer-bytes, --storage.index-bytes or \
                 the connections",
                whole(total),
                whole(limit),
                percent(total),
            )
        })
    }
}

/// Whole MiB; what is below is noise.
fn whole(bytes: u64) -> String {
    size::format(bytes >> 20 << 20)
}

#[cfg(test)]
mod tests;

//! Remote write out: every row that became durable here, to the remotes of the configuration.
//!
//! Each remote has a [`queue`] of its own: it reads behind the write-ahead log, turns series ids into the labels that
//! leave the server, and deals samples out to shards, which batch, encode and send them. A remote that is slow or away
//! holds up neither ingestion nor another remote: its queue is bounded, and what does not fit is still in the log.

/// The remotes in force: start, reload, stop.
pub mod forwarder;
/// One remote: from the log to its shards.
pub mod queue;
/// What those share who work for one.
pub mod remote;
/// Series as they leave the server.
pub mod series;
/// Samples on their way.
pub mod item;
/// The part of a queue that sends one batch after the other.
mod shard;
/// How fast it goes.
mod rates;
/// How many shards there should be.
mod scale;
/// One request and what its answer means; pauses between attempts.
pub mod send;
/// Batches to the bytes of a request.
pub mod encode;
/// Metadata in requests of its own, for Remote Write 1.0.
mod metadata;
/// Counters under Prometheus' names.
pub mod stats;

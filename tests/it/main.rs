//! Tests of the whole: the real binary over its protocols, and the shape of the source. One test binary, since
//! each further one would link the engine again.

/// Layers, fences, and SQL files that somebody uses.
mod architecture;
/// Prometheus' HTTP API.
mod http;
/// The Postgres protocol.
mod pg;
/// The Postgres protocol byte by byte: limits, malformed messages, clients that go away.
mod pg_wire;
/// The plans of dashboard queries.
mod plans;
/// The life of a query: limits, cancellation, what is left of it.
mod queries;
/// The remote write receiver over the real store.
mod remote_write;
/// `kill -9` under load, and what is there afterwards.
mod restart;
/// Scraping over the real store.
mod scrape;
/// Starting and stopping the binary, and an S3 server.
#[path = "../support/server.rs"]
mod support;
/// Remote write requests, built by hand.
#[path = "../support/write_request.rs"]
mod write_request;

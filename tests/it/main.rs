//! Tests of the whole: the real binary over its protocols, and the shape of the source. One test binary, since
//! each further one would link the engine again.

/// Layers, fences, and SQL files that somebody uses.
mod architecture;
/// Prometheus' HTTP API.
mod http;
/// Who may ask the HTTP API for what, and how slowly.
mod http_security;
/// The Postgres protocol.
mod pg;
/// Where the lake is laid, and that what lies there is left alone.
mod place;
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
/// How tests skip.
#[allow(dead_code)]
#[path = "../support/skip.rs"]
mod skip;
/// Everything at once for a while, and memory and open files afterwards.
mod soak;
/// The second signal.
mod signals;
/// Starting and stopping the binary, and an S3 server.
#[path = "../support/server.rs"]
mod support;
/// What the binary says of itself.
mod version;
/// Remote write requests, built by hand.
#[path = "../support/write_request.rs"]
mod write_request;

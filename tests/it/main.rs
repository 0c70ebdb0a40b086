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
/// The second signal.
mod signals;
/// Starting and stopping the binary, and an S3 server.
#[path = "../support/server.rs"]
mod support;
/// Remote write requests, built by hand.
#[path = "../support/write_request.rs"]
mod write_request;

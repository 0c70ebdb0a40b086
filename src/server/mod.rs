//! Protocols: decode, call, encode. No query logic.

/// Prometheus' HTTP API.
pub mod http;
/// The Postgres wire protocol.
pub mod pg;

//! Protocols: decode, call, encode. No query logic.

/// Who may connect, and who may ask.
pub mod access;
/// Prometheus' HTTP API.
pub mod http;
/// The Postgres wire protocol.
pub mod pg;

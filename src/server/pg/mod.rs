//! The Postgres wire protocol on `pgwire`, with our own handlers, sessions, encoder and catalog.
//!
//! A connection has a session of its own (settings, DataFusion context). Statements are parsed with
//! PostgreSQL's dialect, planned by the engine, and run on the engine's query runtime; rows come back over a
//! bounded channel that ends on cancel, deadline or disconnect. Nothing a statement says reaches the
//! server's files: plans that write, copy or create are refused before they run.

/// `pg_catalog`: relations and functions clients ask for.
pub mod catalog;
/// SET, SHOW, transactions and other statements that are answered without the engine.
mod command;
/// Joins that give way, so that cancel reaches them.
mod cooperate;
/// Timestamps, dates and intervals as Postgres prints them.
mod datetime;
/// Arrow columns to the text and binary formats.
mod encode;
/// DataFusion errors to SQLSTATE and Postgres' wording.
mod errors;
/// Simple and extended query protocol.
mod handlers;
/// Accepts connections, limits them, and watches for clients that go away.
pub mod listener;
/// Result column names as Postgres gives them.
mod names;
/// Warnings and infos of PromQL as notices.
mod notices;
/// Bound parameters to scalar values.
mod params;
/// Rewrites that catalog queries need; user SQL without these constructs is untouched.
mod rewrite;
/// A plan to a stream of data rows, with cancel and deadline.
mod run;
/// Per-connection state: settings, time zone, the running statement.
mod session;
/// SQL text to a planned statement.
mod statement;
/// Arrow types to Postgres types.
mod types;

pub use listener::serve;

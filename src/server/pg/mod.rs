//! The Postgres wire protocol on `pgwire`, with our own handlers, sessions, encoder and catalog.
//!
//! A connection has a session of its own (settings, DataFusion context). Its messages are read, bounded and looked
//! over here; the library decodes and encodes them, and keeps prepared statements and portals. Statements are parsed with
//! PostgreSQL's dialect, planned by the engine, and run on the engine's query runtime; rows come back over a
//! bounded channel that ends on cancel, deadline or disconnect. Nothing a statement says reaches the
//! server's files: plans that write, copy or create are refused before they run. INSERT, where it is allowed, is the plan of its
//! query, whose rows are then written as samples.

/// User and password.
mod auth;
/// `pg_catalog`: relations and functions clients ask for.
pub mod catalog;
/// SET, SHOW, transactions and other statements that are answered without the engine.
mod command;
/// One connection from its first byte to its last.
mod connection;
/// Joins that give way, so that cancel reaches them.
mod cooperate;
/// Arrow columns to the text and binary formats.
mod encode;
/// DataFusion errors to SQLSTATE and Postgres' wording.
mod errors;
/// Simple and extended query protocol.
mod handlers;
/// What a client keeps between messages, bounded.
mod kept;
/// Accepts connections and limits them.
pub mod listener;
/// Messages looked over before they are decoded.
mod message;
/// Result column names as Postgres gives them.
mod names;
/// Warnings and infos of PromQL as notices.
mod notices;
/// Bound parameters to scalar values.
mod params;
/// INSERT, where it is allowed.
mod insert;
/// The incoming half: whole messages within limits of size, memory and time.
mod receive;
/// Rewrites that catalog queries need; user SQL without these constructs is untouched.
mod rewrite;
/// A plan to a stream of data rows, with cancel and deadline.
mod run;
/// Per-connection state: settings, time zone, the message that is dealt with.
mod session;
/// Cancel requests, who it is, the session.
mod startup;
/// SQL text to a planned statement.
mod statement;
/// The outgoing half, which cuts off clients that do not read.
mod transmit;
/// A socket with TLS or without, as client and server agree on it.
mod transport;
/// Arrow types to Postgres types.
mod types;

pub use listener::{Limits, serve};

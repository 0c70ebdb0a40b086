//! The Postgres wire protocol on `pgwire`'s messages, with our own loop, sessions, encoder and catalog.
//!
//! A connection is one loop. Its messages are read, bounded and looked over here while an earlier one is dealt with; the
//! library decodes and encodes them. The loop has what the client keeps (transaction, prepared statements, portals) and
//! what runs for it, one piece at a time. Statements are parsed with PostgreSQL's dialect, planned by the engine, and run on
//! the engine's query runtime; rows come back as encoded messages over a bounded channel that ends on cancel, deadline or
//! disconnect. Nothing a statement says reaches the server's files: plans that write, copy or create are refused before they
//! run. INSERT, where it is allowed, is the plan of its query, whose rows are then written as samples.

/// What connections do, for those who watch.
mod activity;
/// Functions of locks that clients agree on.
mod advisory;
/// Locks that clients agree on.
mod locks;
/// Values of the arguments of EXECUTE.
mod arguments;
/// User and password.
mod auth;
/// `pg_catalog`: relations and functions clients ask for.
pub mod catalog;
/// Messages to a client.
mod client;
/// What SET, SHOW and the modes of transactions say.
mod command;
/// One connection from its first byte to its last.
mod connection;
/// The loop: messages one after the other, and what a client keeps between them.
mod conversation;
/// COPY TO STDOUT, and what both directions have in common.
mod copy;
/// COPY FROM STDIN.
mod copy_in;
/// Data of a COPY to rows.
mod copy_rows;
/// Data of a COPY from the client.
mod copying;
/// Joins that give way, so that cancel reaches them.
mod cooperate;
/// DECLARE, FETCH and MOVE.
mod cursors;
/// Arrow columns to the text and binary formats.
mod encode;
/// DataFusion errors to SQLSTATE and Postgres' wording.
mod errors;
/// A statement run to its end, or as far as it was asked for.
mod execute;
/// EXPLAIN with PostgreSQL's options.
mod explain;
/// Parse, Bind, Describe, Execute and Close.
mod extended;
/// What a client leaves with the server, counted.
mod held;
/// INSERT, where it is allowed.
mod insert;
/// Accepts connections and limits them.
pub mod listener;
/// Messages looked over before they are decoded.
mod message;
/// PREPARE and EXECUTE.
mod named;
/// Result column names as Postgres gives them.
mod names;
/// Numerics in the binary format.
mod numeric;
/// Output columns that differ in name.
mod outputs;
/// What statements have to say besides their rows.
mod notices;
/// Parameters: their types, and values of them.
mod params;
/// Samples that wait for the end of their transaction.
mod pending;
/// Portals of a transaction.
mod portals;
/// The incoming half: whole messages within limits of size, memory and time.
mod receive;
/// Rewrites that catalog queries need; user SQL without these constructs is untouched.
mod rewrite;
/// Requests for rows, with cancel and deadline.
mod run;
/// What functions and relations know of a connection.
mod session;
/// SET, SHOW and all that reads settings.
mod settings;
/// What connections have in common.
mod shared;
/// Parameters in the arguments of table functions.
mod sketch;
/// Rows between two requests for them.
mod source;
/// Cancel requests, who it is, the session.
mod startup;
/// SQL text to a planned statement.
mod statement;
/// Prepared statements.
mod statements;
/// What is counted.
mod stats;
/// Commands that change what the loop keeps.
mod transact;
/// The states of a transaction.
mod transaction;
/// The outgoing half, which cuts off clients that do not read.
mod transmit;
/// A socket with TLS or without, as client and server agree on it.
mod transport;
/// Types as SQL writes them.
mod type_names;
/// Arrow types to Postgres types.
mod types;
/// Batches to messages.
mod writer;
/// Samples of statements, written at once or as a transaction ends.
mod writes;

pub use listener::serve;
pub use shared::Limits;
pub use stats::Stats;

//! Read side: PromQL and SQL become DataFusion plans over one leaf.

/// The file of running queries.
pub mod active;
/// Numbers of series and their labels.
pub mod cardinality;
/// Names of the columns of vectors.
pub mod columns;
/// Slots, deadlines, flags and memory of all work.
pub mod door;
/// DataFusion's errors in our terms.
pub mod error;
/// Exemplars of the series that a query reads.
pub mod exemplars;
/// Plans of small queries that run again.
pub mod kept;
/// What is asked, and what is answered.
pub mod query;
/// Label names, label values and series.
pub mod names;
/// PromQL evaluated: lower to logical plans in the vector layout, kernels.
pub mod promql;
/// A line for each query that was evaluated.
pub mod query_log;
/// What was asked lately.
pub mod recent;
/// Samples as they are stored.
pub mod raw;
/// Threads, slots and memory of queries.
pub mod runtime;
/// The leaf: series runs merged from files, cached blocks and the head.
pub mod scan;
/// Names and values that are like some words.
pub mod search;
/// A part of the memory of queries.
pub mod share;
/// Text to plan to stream, on one screen; the engine's public door.
pub mod session;
/// What a query took.
pub mod stats;
/// Queries that differ in what their selectors look for, asked together.
pub mod together;
/// How long queries take, for telemetry.
pub mod times;
/// Which metrics and labels are asked for.
pub mod usage;
/// What of the store is shown.
pub mod visible;
/// SQL: a table per metric, system views, table and scalar functions.
pub mod sql;

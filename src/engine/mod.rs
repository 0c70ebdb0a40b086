//! Read side: PromQL and SQL become DataFusion plans over one leaf.

/// Text to plan to stream, on one screen; the engine's public door.
pub mod session;
/// The leaf: series runs merged from files, cached blocks and the head.
pub mod scan;
/// PromQL: parse, lower to logical plans in the vector layout, kernels.
pub mod promql;
/// SQL: a table per metric, system views, table and scalar functions.
pub mod sql;

//! PromQL evaluated: tree → logical plan in the vector layout → kernels. The language itself is `crate::promql`.

/// Warnings and infos of a query, with positions.
pub mod annotations;
/// The flag that ends a computation early.
pub mod cancel;
/// Pure kernels on slices: range functions, histograms, aggregations. No DataFusion, no tree, no plan.
pub mod kernel;
/// AST to logical plan: one function per node.
pub mod lower;
/// The DataFusion side: scalar and aggregate UDFs and the extension operators over step vectors.
pub mod plan;
/// Record batches to the result of a query.
pub mod result;
/// When a plan runs.
pub mod moment;
/// Queries that are answered where they arrive.
pub mod small;
/// How many samples a query holds.
pub mod tally;

//! PromQL front to back: text → AST → logical plan in the vector layout → kernels.

/// Warnings and infos of a query, with positions.
pub mod annotations;
/// The syntax tree, with positions.
pub mod ast;
/// The flag that ends a computation early.
pub mod cancel;
/// Every function: name, signature, kernel. One row per function.
pub mod functions;
/// Pure kernels on slices: range functions, histograms, aggregations. No DataFusion.
pub mod kernel;
/// AST to logical plan: one function per node.
pub mod lower;
/// Lexer, Pratt parser, type checks.
pub mod parse;
/// The DataFusion side: scalar and aggregate UDFs and the extension operators over step vectors.
pub mod plan;
/// The tree back to text: one line, or pretty.
pub mod print;
/// Record batches to the result of a query.
pub mod result;
/// Queries that are answered where they arrive.
pub mod small;
/// How many samples a query holds.
pub mod tally;

//! PromQL front to back: text → AST → logical plan in the vector layout → kernels.

/// The syntax tree, with positions.
pub mod ast;
/// Every function: name, signature, kernel. One row per function.
pub mod functions;
/// Lexer, Pratt parser, type checks.
pub mod parse;
/// The tree back to text: one line, or pretty.
pub mod print;
/// Warnings and infos of a query, with positions.
pub mod annotations;
/// Pure kernels on slices: range functions, histograms, aggregations. No DataFusion.
pub mod kernel;
/// AST to logical plan: one function per node.
pub mod lower;
/// The DataFusion side: scalar and aggregate UDFs and the extension operators over step vectors.
pub mod plan;

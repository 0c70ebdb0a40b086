//! The language PromQL: text to a checked tree, and the tree back to text. Nothing is evaluated here, and nothing here
//! knows how: no DataFusion, no Arrow, no engine. Whoever only reads queries needs no more than this.
//!
//! - [`parse::parse`] makes a tree of a text, [`parse::parse_selector`] the matchers of a selector.
//! - [`ast::Expr`] is the tree; `value_type` is its type, `Display` and [`print::pretty`] print it, [`json::ast_json`] draws it.
//! - [`selectors`] finds what a tree reads: its selectors, and the metric and labels each of them names.
//! - [`edit`] changes what the selectors of a tree ask for.
//! - [`duration_expressions::resolve`] puts in the durations that depend on when the query is evaluated.
//! - [`series`] is the notation of series in tests of rules, `metric{label="value"} 1 2+3x4`.
//! - [`functions`] are the signatures. How a function is computed stands beside the engine's kernels.

/// Where in a text something stands.
pub mod span;
/// Operators between vectors, and of aggregations.
pub mod operators;
/// The types of expressions.
pub mod value_type;
/// String literals, quoted and unquoted as Go does.
pub mod strings;
/// Number literals, read and written as Go does.
pub mod numbers;
/// Durations as they are written.
pub mod durations;
/// Every function: name and signature. One row per function.
pub mod functions;
/// What of the language there is, and what of that is switched on.
pub mod features;
/// The syntax tree, with positions.
pub mod ast;
/// What a tree reads.
pub mod selectors;
/// Changes of what it reads.
pub mod edit;
/// Text to tree: lexer, Pratt parser, type checks.
pub mod parse;
/// Series as tests write them.
pub mod series;
/// Durations that depend on the times of a query.
pub mod duration_expressions;
/// The tree back to text: one line, or pretty.
pub mod print;
/// The tree as JSON.
pub mod json;

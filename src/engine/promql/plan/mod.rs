//! The DataFusion side of PromQL: UDFs, UDAFs and one extension operator over step vectors.

/// Aggregate UDFs.
pub mod aggregate;
/// Scalar UDFs: selectors, range functions, element-wise functions, labels.
pub mod functions;
/// The vector layout in Arrow.
pub mod layout;
/// The extension operator: logical node, planner, execution plan.
pub mod node;
/// What the extension operator can do: matching, selection, merging.
pub mod ops;
/// Results used in several places of a plan.
pub mod shared;
/// Operators on single samples, and the sink for annotations.
pub mod samples;
/// Memory and the end of operators.
pub mod work;

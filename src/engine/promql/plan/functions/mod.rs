//! Scalar UDFs over the vector layout. Each carries its parameters, so equal calls are equal expressions.

/// Arguments as they arrive: columns, step vectors, constants.
pub mod args;
/// Binary operators with a scalar side.
pub mod binary;
/// Functions of one element: math, dates, parts of histograms.
pub mod elementwise;
/// `label_replace`, `label_join`.
pub mod labels;
/// Evaluation times, broadcasting, splitting.
pub mod shape;
/// Selectors and range functions: raw lists, or the grid of a subquery, to step vectors.
pub mod windows;

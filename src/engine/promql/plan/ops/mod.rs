//! The extension operators, one per file.

/// `count_values`.
pub mod count_values;
/// `info`.
pub mod info;
/// Binary and set operators between two vectors.
pub mod matching;
/// `histogram_quantiles` of quantiles that vary by step.
pub mod quantile_label;
/// `topk`, `bottomk`, `limitk`, `limit_ratio`.
pub mod select;
/// Label columns of gathered vectors: keys, gathering, printing.
pub mod series;
/// Samples spread over rows of a new label.
mod spread;
/// One row per label set.
pub mod unique;

#[cfg(test)]
mod tests;

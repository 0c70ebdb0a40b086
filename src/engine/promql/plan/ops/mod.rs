//! The extension operators, one per file.

/// Label columns of gathered vectors: keys, gathering, printing.
pub mod series;
/// Binary and set operators between two vectors.
pub mod matching;
/// `topk`, `bottomk`, `limitk`, `limit_ratio`.
pub mod select;
/// One row per label set.
pub mod unique;
/// `count_values`.
pub mod count_values;
/// `info`.
pub mod info;

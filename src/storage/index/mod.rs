//! Matchers to series. One columnar table per metric; a matcher is evaluated once per distinct label value and
//! then looked up per series. The head has one index that grows; each day of the lake has one that is read on
//! demand and forgotten under a budget.

/// Indexes of the lake's days, on demand, under a budget.
pub mod days;
/// The series of one metric, a dictionary column per label name.
pub mod metric;
/// Metric tables by name: the head's index, and that of a day.
pub mod series_index;

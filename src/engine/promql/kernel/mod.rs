//! Pure kernels on slices: no DataFusion, no Arrow, no allocation per step where it can be helped.
//!
//! A kernel takes one series (or one row of an evaluated vector) and fills one value per step. Results are
//! those of Prometheus 3.16, also in the order of floating-point operations where that is visible; the rules
//! are those of its `promql/{functions,quantile,engine}.go`. Of the language they know operators, signatures and places
//! in a query, and neither its tree nor what is planned of it.

/// Accumulators of aggregations over step vectors.
pub mod aggregate;
/// Binary operators between floats and histograms.
pub mod binary;
/// Quantile and fraction of classic histograms.
pub mod buckets;
/// What changes over a window are made of.
mod change;
/// Functions of a date.
pub mod date;
/// rate, increase, delta of anchored and smoothed selectors.
pub mod extended;
/// Minimum and maximum over time.
pub mod extremes;
/// Instant selectors: the newest sample, or a smoothed one.
pub mod instant;
/// Several windows at a time.
pub mod lanes;
/// irate, idelta.
pub mod last_two;
/// Functions of floats.
pub mod math;
/// Quantile, fraction and statistics of native histograms.
pub mod native;
/// Sums, means, variances, first, last, quantiles over time.
pub mod over_time;
/// The quantile of a set of values.
pub mod quantile;
/// Functions of range vectors: what a kernel is, and how it is run over windows.
pub mod range;
/// rate, increase, delta with extrapolation.
pub mod rate;
/// Samples of one series, split by type, and the windows over them.
pub mod samples;
/// topk, bottomk, limitk, limit_ratio, count_values.
pub mod select;
/// changes, resets.
pub mod transitions;
/// deriv, predict_linear, double_exponential_smoothing.
pub mod trend;
/// What goes in and out: series, windows, vectors, parameters, notes.
pub mod types;
/// Every function of the language: how it is computed. One row per function.
pub mod functions;

#[cfg(test)]
mod tests;

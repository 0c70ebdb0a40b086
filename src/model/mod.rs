//! The data everything speaks of: labels, matchers, samples, histograms, time. No I/O, no async.

/// Label sets in one buffer, and their hash, the series id.
pub mod labels;
/// Label matchers, anchored as Prometheus anchors them.
pub mod matcher;
/// Go's regular expressions and replacements, read for the regex crate.
pub mod re2;
/// The regular expressions of matchers; plain ones are not compiled.
pub mod pattern;
/// Rules that change label sets, or drop them.
pub mod relabel;
/// Alerts on their way to Alertmanagers.
pub mod alert;
/// Samples, staleness and time ranges.
pub mod sample;
/// Native histograms in float form.
pub mod histogram;
/// Metric metadata: type, unit, help.
pub mod metadata;
/// Prometheus' durations, `1h30m`.
pub mod duration;
/// Names of months and days.
pub mod calendar;
/// Floats as Go prints and parses them.
pub mod float;
/// Sums that keep what rounding loses.
pub mod kahan;
/// Protobuf on its way out.
pub mod protobuf;

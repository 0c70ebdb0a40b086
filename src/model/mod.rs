//! The data everything speaks of: labels, matchers, samples, histograms, time. No I/O, no async.

/// Native histograms in float form.
pub mod histogram;
/// Label sets in one buffer, and their hash, the series id.
pub mod labels;
/// Label matchers, anchored as Prometheus anchors them.
pub mod matcher;
/// Metric metadata: type, unit, help.
pub mod metadata;
/// Samples, staleness and time ranges.
pub mod sample;

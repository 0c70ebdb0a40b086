//! Our own logs and metrics. Other parts keep plain numbers; the composition root registers a closure per
//! part that turns them into families here, so nothing below `app` knows how metrics are exposed.

/// Rendering: OpenMetrics, or the text format 0.0.4.
pub mod exposition;
/// Classic histograms.
pub mod histogram;
/// What the HTTP server counts.
pub mod http;
/// Log lines on stderr, as logfmt or JSON.
pub mod logs;
/// Lines of the log that would come too often.
pub mod notice;
/// The registry behind `/metrics`, and the families other parts contribute.
pub mod metrics;
/// The `process_*` metrics, from `/proc`.
pub mod process;
/// Spans of OpenTelemetry.
pub mod spans;
/// Summaries: quantiles of the last ten minutes.
pub mod summary;

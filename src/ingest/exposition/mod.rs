//! Prometheus' text formats, OpenMetrics and protobuf: bytes of a response → events, without an allocation per sample of
//! a known series. Names and labels stay raw until somebody has to know them, since a scrape mostly repeats the series
//! of the one before. What is taken and what is refused is what Prometheus takes and refuses, so that no target is lost
//! or gained. No input makes these parsers panic.

/// What a parser yields, and the choice between them.
pub mod event;
/// The text formats, forgiving about blanks.
pub mod text;
/// OpenMetrics, strict, with units, exemplars and `# EOF`.
pub mod openmetrics;
/// Metric families as delimited messages.
pub mod protobuf;
/// The raw form of a series: finding its end, its key, and its labels.
pub mod series;
/// A series of the protobuf format.
pub mod message;
/// The protobuf message of a histogram.
mod histogram;
/// A classic histogram as a native one with custom buckets.
mod classic;
/// Classic histograms of the text formats, turned into such on the way.
mod convert;
/// Floats: fast parsing, and OpenMetrics' canonical form.
pub mod number;
/// `Accept` and `Content-Type`.
pub mod negotiate;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

//! Prometheus' text format 0.0.4 and OpenMetrics 1.0: bytes of a response → events, without an allocation per
//! sample. Names and labels stay raw until somebody has to know them, since a scrape mostly repeats the series
//! of the one before. No input makes these parsers panic.

/// What a parser yields, and the choice between the two.
pub mod event;
/// The text format 0.0.4, forgiving about blanks.
pub mod text;
/// OpenMetrics 1.0, strict, with units, exemplars and `# EOF`.
pub mod openmetrics;
/// Metric name and labels: finding their end, and decoding them.
pub mod series;
/// Floats: fast parsing, and OpenMetrics' canonical form.
pub mod number;
/// `Accept` and `Content-Type`.
pub mod negotiate;

#[cfg(test)]
mod tests;

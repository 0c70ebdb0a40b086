//! The page of `/federate` (`web/federate.go` of Prometheus, `expfmt` of its common library): the newest samples of
//! series as another Prometheus scrapes them. Formats are the text format 0.0.4 and delimited protobuf, as Prometheus
//! has them here; OpenMetrics is none of them, and protobuf as text is answered with the text format.

/// `Accept` → format.
pub mod negotiate;
/// Names for those who take no UTF-8.
pub mod escape;
/// Samples → families of metrics.
pub mod families;
/// Families as text.
pub mod text;
/// Families as protobuf.
pub mod protobuf;

#[cfg(test)]
mod tests;

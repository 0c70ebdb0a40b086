//! OTLP metrics: protobuf or JSON → series and samples of Prometheus, by the rules of its own receiver
//! (`storage/remote/otlptranslator` of Prometheus 3.16, and `prometheus/otlptranslator` for names).
//!
//! JSON becomes protobuf first, so that there is one reader. It reads in place: what a series is made of (resource,
//! scope, metric, attributes) is hashed as it stands on the wire, and a series that is known is neither translated nor
//! copied. A request is refused as a whole where it cannot be read or translated; of rows that the
//! store refuses the others are kept.

/// Requests in, outcomes out.
pub mod receiver;
/// Messages of metrics, read in place.
pub mod message;
/// JSON → protobuf.
pub mod json;
/// Values of attributes as text.
pub mod value;
/// Names and units of metrics, names of labels.
pub mod names;
/// Attributes of resources, scopes and points → labels.
pub mod labels;
/// Histograms → native ones.
pub mod histogram;
/// Points with delta temporality, summed up.
pub mod delta;
/// What a request becomes.
pub mod translated;
/// Resource, scope, metric, point: what series are made of.
mod parts;
/// When points are from.
mod times;
/// Exemplars of points.
mod exemplars;
/// A request → series, rows and metadata.
pub mod translate;

#[cfg(test)]
mod tests;

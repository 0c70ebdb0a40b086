//! An alert as Alertmanagers take it, whoever made it.

use crate::model::labels::Labels;

/// That something is wrong, or is no longer. Its labels are what it is known by: one with the same labels that comes later
/// stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// `alertname` is among them.
    pub labels: Labels,
    /// Sorted by name, each name once; a value may be empty.
    pub annotations: Vec<(String, String)>,
    /// Milliseconds since the epoch.
    pub starts_at_ms: i64,
    /// When it was resolved; of one that fires, until when that holds unless it is told again. Milliseconds since the
    /// epoch.
    pub ends_at_ms: i64,
    /// A page about it; empty for none.
    pub generator_url: String,
}

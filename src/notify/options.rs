//! Settings of alerts on their way.

use std::time::Duration;

/// Settings of the flags `--alertmanager.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Alerts that may wait for one Alertmanager.
    pub queue_capacity: usize,
    /// The most alerts of a request.
    pub batch_size: usize,
    /// Whether a queue that ends sends what it has.
    pub drain_on_shutdown: bool,
    /// How long that may take. Prometheus knows no end; here an Alertmanager that does not answer must not keep the store from
    /// its last flush. What is dropped is told again by the next process.
    pub drain_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_capacity: 10_000,
            batch_size: 256,
            drain_on_shutdown: true,
            drain_deadline: Duration::from_secs(15),
        }
    }
}

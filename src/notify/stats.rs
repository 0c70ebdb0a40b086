//! Counters of Alertmanagers, under the names that Prometheus has for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::{Family, Kind};
use crate::telemetry::summary::Summary;

/// Upper bounds of the durations of requests, seconds; those of Prometheus.
const DURATIONS: &[f64] = &[0.01, 0.1, 1.0, 10.0];

/// What is counted for one Alertmanager. Those of several entries of the configuration that are the same one share it.
#[derive(Debug)]
pub(super) struct Stats {
    url: String,
    pub(super) sent: AtomicU64,
    /// Alerts of requests that failed.
    pub(super) errors: AtomicU64,
    /// Those, and what a queue had no room for.
    pub(super) dropped: AtomicU64,
    pub(super) queued: AtomicU64,
    latency: Summary,
    latencies: Histogram,
}

impl Stats {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_string(),
            sent: AtomicU64::default(),
            errors: AtomicU64::default(),
            dropped: AtomicU64::default(),
            queued: AtomicU64::default(),
            latency: Summary::default(),
            latencies: Histogram::new(DURATIONS),
        }
    }

    /// Of requests that went well.
    pub(super) fn observe(&self, duration: Duration) {
        self.latency.observe(duration.as_secs_f64());
        self.latencies.observe(duration.as_secs_f64());
    }
}

/// Those of all Alertmanagers that alerts are sent to, or still are.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<BTreeMap<String, Weak<Stats>>>);

impl Registry {
    pub(super) fn of(&self, url: &str) -> Arc<Stats> {
        let mut all = self.0.lock();
        if let Some(stats) = all.get(url).and_then(Weak::upgrade) {
            return stats;
        }
        let stats = Arc::new(Stats::new(url));
        all.insert(url.to_string(), Arc::downgrade(&stats));
        stats
    }

    /// By URL; those of Alertmanagers that are gone are forgotten.
    fn all(&self) -> Vec<Arc<Stats>> {
        let mut all = self.0.lock();
        all.retain(|_, stats| stats.strong_count() > 0);
        all.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let all = self.all();
        let mut out = vec![];
        for (name, help, kind, value) in NUMBERS {
            let family = Family::labelled(*name, help, *kind);
            out.push(all.iter().fold(family, |family, stats| {
                family.with(&[("alertmanager", stats.url.as_str())], value(stats).load(Ordering::Relaxed) as f64)
            }));
        }
        let help = "How long requests with alerts took";
        let summary = Family::labelled("prometheus_notifications_latency_seconds", help, Kind::Summary);
        let histogram =
            Family::labelled("prometheus_notifications_latency_histogram_seconds", help, Kind::Histogram);
        out.push(all.iter().fold(summary, |family, stats| {
            family.with_summary(&[("alertmanager", stats.url.as_str())], stats.latency.read())
        }));
        out.push(all.iter().fold(histogram, |family, stats| {
            family.with_histogram(&[("alertmanager", stats.url.as_str())], stats.latencies.read())
        }));
        out
    }
}

/// A value of an Alertmanager, by name and help.
type Row = (&'static str, &'static str, Kind, fn(&Stats) -> &AtomicU64);

const NUMBERS: &[Row] = &[
    ("prometheus_notifications_sent", "Alerts that an Alertmanager took", Kind::Counter, |stats| &stats.sent),
    ("prometheus_notifications_errors", "Alerts that could not be sent", Kind::Counter, |stats| &stats.errors),
    (
        "prometheus_notifications_dropped",
        "Alerts that were dropped since they could not be sent or the queue was full",
        Kind::Counter,
        |stats| &stats.dropped,
    ),
    ("prometheus_notifications_queue_length", "Alerts in the queue", Kind::Gauge, |stats| &stats.queued),
];

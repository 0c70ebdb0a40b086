//! Numbers of rules under Prometheus' names. Those of a group go with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::{Family, Kind};
use crate::telemetry::notice::Notice;
use crate::telemetry::summary::{QUANTILES, Summary, WIDE_QUANTILES};

const BUCKETS: &[f64] = &[0.01, 0.1, 1.0, 10.0];

pub struct Stats {
    pub rule_seconds: Summary,
    pub rule_seconds_buckets: Histogram,
    pub group_seconds: Summary,
    pub group_seconds_buckets: Histogram,
    /// The clock was set, and alerts were told so.
    pub clock_steps: AtomicU64,
    /// Of evaluations that were missed.
    pub missed: Notice,
    /// Templates that were expanded, and how many of them failed.
    pub expansions: AtomicU64,
    pub expansion_failures: AtomicU64,
    /// By file and name.
    groups: RwLock<BTreeMap<(String, String), Arc<GroupStats>>>,
}

/// Of one group.
#[derive(Debug, Default)]
pub struct GroupStats {
    pub scheduled: AtomicU64,
    pub missed: AtomicU64,
    pub evaluations: AtomicU64,
    pub failures: AtomicU64,
    pub interval_ms: AtomicI64,
    pub rules: AtomicU64,
    /// Of the last evaluation.
    pub samples: AtomicU64,
    pub last_at_ms: AtomicI64,
    pub last_us: AtomicU64,
    pub last_rules_us: AtomicU64,
    pub last_restore_us: AtomicU64,
}

pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            rule_seconds: Summary::new(QUANTILES),
            rule_seconds_buckets: Histogram::new(BUCKETS),
            group_seconds: Summary::new(WIDE_QUANTILES),
            group_seconds_buckets: Histogram::new(BUCKETS),
            clock_steps: AtomicU64::new(0),
            missed: Notice::default(),
            expansions: AtomicU64::new(0),
            expansion_failures: AtomicU64::new(0),
            groups: RwLock::default(),
        }
    }
}

impl Stats {
    /// The numbers of a group; those that it had before a reload go on.
    pub fn group(&self, file: &str, name: &str) -> Arc<GroupStats> {
        self.groups.write().entry((file.to_string(), name.to_string())).or_default().clone()
    }

    /// Forgets groups that are gone.
    pub fn keep(&self, wanted: impl Fn(&str, &str) -> bool) {
        self.groups.write().retain(|(file, name), _| wanted(file, name));
    }

    pub fn families(&self) -> Vec<Family> {
        let histogram = |name: &'static str, help: &'static str, of: &Histogram| {
            Family::labelled(name, help, Kind::Histogram).with_histogram(&[], of.read())
        };
        let (rule_help, group_help) = ("How long a rule took", "How long a group of rules took");
        let mut families = vec![
            Family::summary("prometheus_rule_evaluation_duration_seconds", rule_help, self.rule_seconds.read()),
            histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                rule_help,
                &self.rule_seconds_buckets,
            ),
            Family::summary("prometheus_rule_group_duration_seconds", group_help, self.group_seconds.read()),
            histogram("prometheus_rule_group_duration_histogram_seconds", group_help, &self.group_seconds_buckets),
            Family::counter(
                "promlake_rule_clock_steps",
                "Times that a group saw the clock set, and paused",
                self.clock_steps.load(Ordering::Relaxed) as f64,
            ),
        ];
        families.extend([
            Family::counter(
                "prometheus_template_text_expansions",
                "Templates of alerts that were expanded",
                self.expansions.load(Ordering::Relaxed) as f64,
            ),
            Family::counter(
                "prometheus_template_text_expansion_failures",
                "Templates of alerts that could not be expanded",
                self.expansion_failures.load(Ordering::Relaxed) as f64,
            ),
        ]);
        families.extend(self.group_families());
        families
    }

    fn group_families(&self) -> Vec<Family> {
        type Read = fn(&GroupStats) -> f64;
        let of: [(&'static str, &'static str, Kind, Read); 11] = [
            ("prometheus_rule_group_iterations", "Evaluations that were due", Kind::Counter, |g| {
                g.scheduled.load(Ordering::Relaxed) as f64
            }),
            (
                "prometheus_rule_group_iterations_missed",
                "Evaluations that were due while another one went on",
                Kind::Counter,
                |g| g.missed.load(Ordering::Relaxed) as f64,
            ),
            ("prometheus_rule_evaluations", "Evaluations of rules", Kind::Counter, |g| {
                g.evaluations.load(Ordering::Relaxed) as f64
            }),
            ("prometheus_rule_evaluation_failures", "Evaluations of rules that failed", Kind::Counter, |g| {
                g.failures.load(Ordering::Relaxed) as f64
            }),
            ("prometheus_rule_group_interval_seconds", "The interval of a group", Kind::Gauge, |g| {
                g.interval_ms.load(Ordering::Relaxed) as f64 / 1e3
            }),
            (
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "When the last evaluation began",
                Kind::Gauge,
                |g| g.last_at_ms.load(Ordering::Relaxed) as f64 / 1e3,
            ),
            (
                "prometheus_rule_group_last_duration_seconds",
                "How long the last evaluation took",
                Kind::Gauge,
                |g| g.last_us.load(Ordering::Relaxed) as f64 / 1e6,
            ),
            (
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "How long the rules of the last evaluation took, all together",
                Kind::Gauge,
                |g| g.last_rules_us.load(Ordering::Relaxed) as f64 / 1e6,
            ),
            (
                "prometheus_rule_group_last_restore_duration_seconds",
                "How long it took to look up alerts that waited before the start",
                Kind::Gauge,
                |g| g.last_restore_us.load(Ordering::Relaxed) as f64 / 1e6,
            ),
            ("prometheus_rule_group_rules", "Rules of a group", Kind::Gauge, |g| {
                g.rules.load(Ordering::Relaxed) as f64
            }),
            ("prometheus_rule_group_last_evaluation_samples", "Samples of the last evaluation", Kind::Gauge, |g| {
                g.samples.load(Ordering::Relaxed) as f64
            }),
        ];
        let groups = self.groups.read();
        let family = |(name, help, kind, read): (&'static str, &'static str, Kind, Read)| {
            groups.iter().fold(Family::labelled(name, help, kind), |family, ((file, group), stats)| {
                family.with(&[("rule_group", &format!("{file};{group}"))], read(stats))
            })
        };
        of.into_iter().map(family).collect()
    }
}

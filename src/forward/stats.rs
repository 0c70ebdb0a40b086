//! Counters of a remote, under the names that Prometheus has for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::forward::item::Counts;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::{Family, Kind};

/// Upper bounds of the durations of requests, seconds; those of Prometheus.
const DURATIONS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// Why something is dropped before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    TooOld,
    /// By rules.
    DroppedSeries,
    /// Its labels are not known any more.
    LostSeries,
    /// Custom buckets, which Remote Write 1.0 has no room for.
    CustomBuckets,
    /// An exemplar without a sample, which Remote Write 2.0 has no room for.
    WithoutSample,
}

const REASONS: [(Reason, &str); 5] = [
    (Reason::TooOld, "too_old"),
    (Reason::DroppedSeries, "dropped_series"),
    (Reason::LostSeries, "unintentionally_dropped_series"),
    (Reason::CustomBuckets, "nhcb_in_rw1_not_supported"),
    (Reason::WithoutSample, "exemplar_without_sample"),
];

/// Atomic [`Counts`].
#[derive(Debug, Default)]
pub struct Tally {
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
}

impl Tally {
    pub fn add(&self, counts: Counts) {
        self.samples.fetch_add(counts.samples, Ordering::Relaxed);
        self.histograms.fetch_add(counts.histograms, Ordering::Relaxed);
        self.exemplars.fetch_add(counts.exemplars, Ordering::Relaxed);
    }

    /// Of what was added before.
    pub fn take(&self, counts: Counts) {
        self.samples.fetch_sub(counts.samples, Ordering::Relaxed);
        self.histograms.fetch_sub(counts.histograms, Ordering::Relaxed);
        self.exemplars.fetch_sub(counts.exemplars, Ordering::Relaxed);
    }

    pub fn now(&self) -> Counts {
        Counts {
            samples: self.samples.load(Ordering::Relaxed),
            histograms: self.histograms.load(Ordering::Relaxed),
            exemplars: self.exemplars.load(Ordering::Relaxed),
        }
    }
}

/// What is counted for one remote.
#[derive(Debug)]
pub struct Stats {
    pub name: String,
    /// Without its password.
    pub url: String,
    /// Whether metadata goes out in requests of its own.
    pub own_metadata: bool,
    pub sent: Tally,
    pub failed: Tally,
    pub retried: Tally,
    pub pending: Tally,
    dropped: [Tally; REASONS.len()],
    pub metadata: AtomicU64,
    pub metadata_failed: AtomicU64,
    pub metadata_retried: AtomicU64,
    pub metadata_bytes: AtomicU64,
    pub bytes: AtomicU64,
    pub enqueue_retries: AtomicU64,
    /// Milliseconds; 0 before the first.
    pub highest_ms: AtomicI64,
    pub highest_sent_ms: AtomicI64,
    pub shards: AtomicU64,
    /// The bits of a float.
    desired: AtomicU64,
    pub shards_min: u64,
    pub shards_max: u64,
    pub capacity: u64,
    pub max_samples_per_send: u64,
    /// What was read, for the rate.
    pub read: AtomicU64,
    /// Time spent in requests, and how long those took.
    pub sending_us: AtomicU64,
    durations: Histogram,
    /// Parts of the log that were gone before they were read, their objects, and samples read from the lake instead.
    pub gaps: AtomicU64,
    pub missed_objects: AtomicU64,
    pub from_lake: AtomicU64,
    /// Objects of the log that are not done with.
    pub behind_objects: AtomicU64,
}

/// What does not change while a queue runs.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    pub name: String,
    pub url: String,
    pub own_metadata: bool,
    pub shards_min: usize,
    pub shards_max: usize,
    pub capacity: usize,
    pub max_samples_per_send: usize,
}

impl Stats {
    pub fn new(fixed: Fixed) -> Self {
        let zero = AtomicU64::default;
        Self {
            name: fixed.name,
            url: fixed.url,
            own_metadata: fixed.own_metadata,
            sent: Tally::default(),
            failed: Tally::default(),
            retried: Tally::default(),
            pending: Tally::default(),
            dropped: Default::default(),
            metadata: zero(),
            metadata_failed: zero(),
            metadata_retried: zero(),
            metadata_bytes: zero(),
            bytes: zero(),
            enqueue_retries: zero(),
            highest_ms: AtomicI64::default(),
            highest_sent_ms: AtomicI64::default(),
            shards: zero(),
            desired: zero(),
            shards_min: fixed.shards_min as u64,
            shards_max: fixed.shards_max as u64,
            capacity: fixed.capacity as u64,
            max_samples_per_send: fixed.max_samples_per_send as u64,
            read: zero(),
            sending_us: zero(),
            durations: Histogram::new(DURATIONS),
            gaps: zero(),
            missed_objects: zero(),
            from_lake: zero(),
            behind_objects: zero(),
        }
    }

    pub fn count_dropped(&self, reason: Reason, counts: Counts) {
        self.dropped[reason as usize].add(counts);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|tally| tally.now().total()).sum()
    }

    pub fn set_desired(&self, shards: f64) {
        self.desired.store(shards.to_bits(), Ordering::Relaxed);
    }

    pub fn observe(&self, duration: Duration) {
        self.durations.observe(duration.as_secs_f64());
        let elapsed_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sending_us.fetch_add(elapsed_us, Ordering::Relaxed);
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("remote_name", &self.name), ("url", &self.url)]
    }
}

/// A value of a remote, by name and help.
type Row = (&'static str, &'static str, fn(&Stats) -> f64);

fn number(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn seconds(ms: &AtomicI64) -> f64 {
    // Prometheus' are whole.
    (ms.load(Ordering::Relaxed) / 1000) as f64
}

const COUNTERS: &[Row] = &[
    ("samples", "Samples sent to the remote", |s| s.sent.now().samples as f64),
    ("exemplars", "Exemplars sent to the remote", |s| s.sent.now().exemplars as f64),
    ("histograms", "Histograms sent to the remote", |s| s.sent.now().histograms as f64),
    ("samples_failed", "Samples that the remote refused", |s| s.failed.now().samples as f64),
    ("exemplars_failed", "Exemplars that the remote refused", |s| s.failed.now().exemplars as f64),
    ("histograms_failed", "Histograms that the remote refused", |s| s.failed.now().histograms as f64),
    ("samples_retried", "Samples that were sent again", |s| s.retried.now().samples as f64),
    ("exemplars_retried", "Exemplars that were sent again", |s| s.retried.now().exemplars as f64),
    ("histograms_retried", "Histograms that were sent again", |s| s.retried.now().histograms as f64),
    ("enqueue_retries", "Waits for room in a shard", |s| number(&s.enqueue_retries)),
    ("bytes", "Bytes of requests with samples, compressed", |s| number(&s.bytes)),
];

/// Of remotes that get metadata in requests of its own.
const METADATA: &[Row] = &[
    ("metadata", "Metadata entries sent to the remote", |s| number(&s.metadata)),
    ("metadata_failed", "Metadata entries that the remote refused", |s| number(&s.metadata_failed)),
    ("metadata_retried", "Metadata entries that were sent again", |s| number(&s.metadata_retried)),
    ("metadata_bytes", "Bytes of requests with metadata, compressed", |s| number(&s.metadata_bytes)),
];

const GAUGES: &[Row] = &[
    ("queue_highest_timestamp_seconds", "Highest timestamp that was enqueued", |s| seconds(&s.highest_ms)),
    ("queue_highest_sent_timestamp_seconds", "Highest timestamp that was sent", |s| seconds(&s.highest_sent_ms)),
    ("samples_pending", "Samples in the shards", |s| s.pending.now().samples as f64),
    ("exemplars_pending", "Exemplars in the shards", |s| s.pending.now().exemplars as f64),
    ("histograms_pending", "Histograms in the shards", |s| s.pending.now().histograms as f64),
    ("shard_capacity", "Samples that a shard holds", |s| s.capacity as f64),
    ("shards", "Shards that send", |s| number(&s.shards)),
    ("shards_max", "The most shards that there may be", |s| s.shards_max as f64),
    ("shards_min", "The fewest shards that there may be", |s| s.shards_min as f64),
    ("shards_desired", "Shards that the load asks for", |s| f64::from_bits(s.desired.load(Ordering::Relaxed))),
    ("max_samples_per_send", "The most samples of a request", |s| s.max_samples_per_send as f64),
];

/// Ours.
const OWN_COUNTERS: &[Row] = &[
    ("gaps", "Parts of the write-ahead log that were gone before they were read", |s| number(&s.gaps)),
    ("missed_objects", "Objects of the write-ahead log that were gone before they were read", |s| {
        number(&s.missed_objects)
    }),
    ("lake_samples", "Samples read from the lake since their part of the log was gone", |s| number(&s.from_lake)),
];

const OWN_GAUGES: &[Row] =
    &[("behind_objects", "Objects of the write-ahead log that are not sent yet", |s| number(&s.behind_objects))];

/// All of them for all remotes; `came_in` is what became durable here, `newest_ms` its highest timestamp.
pub fn families(remotes: &[Arc<Stats>], came_in: Counts, newest_ms: Option<i64>) -> Vec<Family> {
    let help = "Highest timestamp that has come in";
    let name = "prometheus_remote_storage_highest_timestamp_in_seconds";
    let mut out = vec![Family::gauge(name, help, (newest_ms.unwrap_or(0) / 1000) as f64)];
    let help = "What has come in and may be sent";
    let Counts { samples, histograms, exemplars } = came_in;
    out.extend([
        Family::counter("prometheus_remote_storage_samples_in", help, samples as f64),
        Family::counter("prometheus_remote_storage_histograms_in", help, histograms as f64),
        Family::counter("prometheus_remote_storage_exemplars_in", help, exemplars as f64),
    ]);
    if remotes.is_empty() {
        return out;
    }
    let with_metadata: Vec<Arc<Stats>> = remotes.iter().filter(|stats| stats.own_metadata).cloned().collect();
    type Table<'a> = (&'static str, &'static [Row], Kind, &'a [Arc<Stats>]);
    let tables: [Table<'_>; 5] = [
        ("prometheus_remote_storage", COUNTERS, Kind::Counter, remotes),
        ("prometheus_remote_storage", METADATA, Kind::Counter, &with_metadata),
        ("prometheus_remote_storage", GAUGES, Kind::Gauge, remotes),
        ("promlake_remote_write", OWN_COUNTERS, Kind::Counter, remotes),
        ("promlake_remote_write", OWN_GAUGES, Kind::Gauge, remotes),
    ];
    for (prefix, rows, kind, remotes) in tables.into_iter().filter(|(.., remotes)| !remotes.is_empty()) {
        for (name, help, value) in rows {
            let family = Family::labelled(format!("{prefix}_{name}"), help, kind);
            out.push(remotes.iter().fold(family, |family, stats| family.with(&stats.labels(), value(stats))));
        }
    }
    type Part = (&'static str, &'static str, fn(Counts) -> u64);
    let parts: [Part; 3] = [
        ("samples", "Samples that were not sent", |counts| counts.samples),
        ("exemplars", "Exemplars that were not sent", |counts| counts.exemplars),
        ("histograms", "Histograms that were not sent", |counts| counts.histograms),
    ];
    for (name, help, value) in parts {
        let name = format!("prometheus_remote_storage_{name}_dropped");
        let mut family = Family::labelled(name, help, Kind::Counter);
        for stats in remotes {
            for (reason, text) in REASONS {
                let [name, url] = stats.labels();
                let counts = stats.dropped[reason as usize].now();
                family = family.with(&[name, url, ("reason", text)], value(counts) as f64);
            }
        }
        out.push(family);
    }
    let name = "prometheus_remote_storage_sent_batch_duration_seconds";
    let family = Family::labelled(name, "Duration of requests to the remote", Kind::Histogram);
    out.push(
        remotes.iter().fold(family, |family, stats| family.with_histogram(&stats.labels(), stats.durations.read())),
    );
    out
}

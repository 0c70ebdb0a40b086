//! Which numbers of which part become which metrics. The parts keep plain numbers and know nothing of names. Those that
//! Prometheus has too are in [`prometheus`], under its names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::app::build_info;
use crate::discovery::manager::Manager as Discoveries;
use crate::discovery::stats::{Numbers, Stats as DiscoveryStats};
use crate::engine::query_log::QueryLog;
use crate::engine::session::Engine;
use crate::forward::forwarder::Forwarder;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::ingest::stats::IngestStats;
use crate::notify::notifier::Notifier;
use crate::rules::manager::Manager;
use crate::server::access::door::Access;
use crate::server::http::server::Server;
use crate::server::pg;
use crate::storage::store::Store;
use crate::telemetry::metrics::{Family, Kind, Metrics};
use crate::telemetry::process;

/// What Prometheus has, under its names.
mod prometheus;

/// What is known before the store is open.
pub fn register_process(metrics: &Metrics) {
    metrics.add_source(process::families);
    metrics.add_source(memory_families);
    metrics.add_source(|| {
        let build = build_info();
        let labels = [("version", build.version), ("revision", build.revision), ("rustc", build.rustc)];
        vec![
            Family::labelled("promlake_build_info", "What this binary was built from", Kind::Gauge)
                .with(&labels, 1.0),
            prometheus::build_info(&build),
        ]
    });
}

/// `server` has the metrics, so it is not kept alive by them.
pub fn register_server(metrics: &Metrics, server: &Arc<Server>) {
    let server: Weak<Server> = Arc::downgrade(server);
    metrics.add_source(move || server.upgrade().map(|server| prometheus::server(&server)).unwrap_or_default());
}

pub fn register_access(metrics: &Metrics, access: Arc<Access>) {
    metrics.add_source(move || access.families());
}

pub fn register_postgres(metrics: &Metrics, stats: Arc<pg::Stats>) {
    metrics.add_source(move || stats.families());
}

/// `opened_seconds` is how long the store took to open.
pub fn register_parts(metrics: &Metrics, store: Arc<Store>, opened_seconds: f64, ingest: Arc<IngestStats>) {
    let counted = store.clone();
    metrics.add_source(move || store_families(&counted));
    let (counted, stats) = (store, ingest.clone());
    metrics.add_source(move || prometheus::store(&counted, opened_seconds, &stats));
    let stats = ingest.clone();
    metrics.add_source(move || prometheus::scrapes(&stats));
    let received = ingest.clone();
    metrics.add_source(move || receiver_families(&received));
    metrics.add_source(move || {
        let family = |(name, help, value): (&str, &'static str, u64)| {
            Family::counter(format!("promlake_{name}"), help.trim_end_matches('.'), value as f64)
        };
        ingest.counters().into_iter().map(family).collect()
    });
}

/// The remote write receiver, under Prometheus' names.
fn receiver_families(ingest: &IngestStats) -> Vec<Family> {
    let counter = |name: &'static str, help, value: &AtomicU64| {
        Family::counter(name, help, value.load(Ordering::Relaxed) as f64)
    };
    vec![
        counter(
            "prometheus_api_remote_write_invalid_labels_samples",
            "The total number of received remote write samples and histogram samples which were rejected due to \
             invalid labels",
            &ingest.remote_write_invalid_labels_samples,
        ),
        counter(
            "prometheus_api_remote_write_without_metadata_appended_samples",
            "The total number of received remote write samples (and histogram samples) which were ingested without \
             corresponding metadata",
            &ingest.remote_write_without_metadata_samples,
        ),
    ]
}

pub fn register_scrapes(metrics: &Metrics, scrapes: Arc<ScrapeManager>) {
    metrics.add_source(move || {
        let help = "Memory of scrapes that wait since the store takes no samples";
        let mut families = prometheus::pools(&scrapes);
        families.push(Family::gauge("promlake_scrapes_waiting_bytes", help, scrapes.waiting_bytes() as f64));
        families
    });
}

pub fn register_forwarder(metrics: &Metrics, forwarder: Arc<Forwarder>) {
    metrics.add_source(move || forwarder.families());
}

pub fn register_rules(metrics: &Metrics, rules: &Arc<Manager>) {
    let environment = rules.environment().clone();
    metrics.add_source(move || {
        let mut families = environment.stats.families();
        let queries = environment.engine().load().queries;
        let help = "Queries of rules that run or wait for a slot of theirs";
        families.push(Family::gauge("promlake_rule_queries", help, queries as f64));
        families
    });
    let history = rules.environment().history.clone();
    metrics.add_source(move || history.families());
}

pub fn register_notifier(metrics: &Metrics, notifier: Arc<Notifier>) {
    metrics.add_source(move || notifier.families());
}

/// Under Prometheus' names. Both count what their kinds do in one place.
pub fn register_discovery(metrics: &Metrics, targets: Arc<Discoveries>, alertmanagers: Arc<Discoveries>) {
    metrics.add_source(move || {
        let numbers = [("scrape", targets.numbers()), ("notify", alertmanagers.numbers())];
        let mut families = discovery_families(&numbers);
        families.extend(discovery_kind_families(&targets.context().stats));
        families
    });
}

/// What the managers of discovery know, by name.
fn discovery_families(managers: &[(&'static str, Numbers)]) -> Vec<Family> {
    let each = |metric: &'static str, help, kind, value: fn(&Numbers) -> u64| {
        let family = Family::labelled(metric, help, kind);
        managers
            .iter()
            .fold(family, |family, (name, numbers)| family.with(&[("name", *name)], value(numbers) as f64))
    };
    let help = "Timestamp of the last update sent to the SD consumers";
    let mut last = Family::labelled("prometheus_sd_last_update_timestamp_seconds", help, Kind::Gauge);
    let mut refresh_failures: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (name, numbers) in managers {
        for (job, ms) in &numbers.last_update_ms {
            last = last.with(&[("name", *name), ("config", job.as_str())], *ms as f64 / 1000.0);
        }
        // A job may have the name of an entry of Alertmanagers.
        for ((mechanism, job), count) in &numbers.refresh_failures {
            *refresh_failures.entry((*mechanism, job.as_str())).or_default() += count;
        }
    }
    let help = "Number of refresh failures for the given SD mechanism";
    let mut failures = Family::labelled("prometheus_sd_refresh_failures", help, Kind::Counter);
    for ((mechanism, job), count) in refresh_failures {
        failures = failures.with(&[("mechanism", mechanism), ("config", job)], count as f64);
    }
    vec![
        each(
            "prometheus_sd_failed_configs",
            "Current number of service discovery configurations that failed to load",
            Kind::Gauge,
            |numbers| numbers.failed_configs,
        ),
        each(
            "prometheus_sd_received_updates",
            "Total number of update events received from the SD providers",
            Kind::Counter,
            |numbers| numbers.received_updates,
        ),
        each(
            "prometheus_sd_updates",
            "Total number of update events sent to the SD consumers",
            Kind::Counter,
            |numbers| numbers.sent_updates,
        ),
        each(
            "prometheus_sd_updates_delayed",
            "Total number of update events that couldn't be sent immediately",
            Kind::Counter,
            |numbers| numbers.delayed_updates,
        ),
        Family::counter(
            "promlake_discovery_task_failures",
            "Discoveries that panicked or ended and were started again",
            managers.iter().map(|(_, numbers)| numbers.task_failures).sum::<u64>() as f64,
        ),
        last,
        failures,
    ]
}

fn discovery_kind_families(stats: &DiscoveryStats) -> Vec<Family> {
    let help = "The number of Kubernetes events handled";
    let mut events = Family::labelled("prometheus_sd_kubernetes_events", help, Kind::Counter);
    for ((role, event), count) in &*stats.kubernetes_events.lock() {
        events = events.with(&[("role", *role), ("event", *event)], *count as f64);
    }
    let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time";
    let mut times = Family::labelled("prometheus_sd_file_mtime_seconds", help, Kind::Gauge);
    for (file, seconds) in &*stats.file_times.lock() {
        times = times.with(&[("filename", file.as_str())], *seconds);
    }
    let counters = [
        ("prometheus_sd_file_read_errors", "The number of File-SD read errors", &stats.file_read_errors),
        ("prometheus_sd_http_failures", "Number of HTTP service discovery refresh failures", &stats.http_failures),
        ("prometheus_sd_dns_lookups", "The number of DNS-SD lookups", &stats.dns_lookups),
        ("prometheus_sd_dns_lookup_failures", "The number of DNS-SD lookup failures", &stats.dns_lookup_failures),
        (
            "prometheus_sd_nomad_failures",
            "Number of nomad service discovery refresh failures",
            &stats.nomad_failures,
        ),
        ("prometheus_sd_consul_rpc_failures", "The number of Consul RPC call failures", &stats.consul_rpc_failures),
        (
            "prometheus_sd_kubernetes_failures",
            "The number of failed WATCH/LIST requests",
            &stats.kubernetes_failures,
        ),
    ];
    let counter = |(name, help, count): (&'static str, &'static str, &std::sync::atomic::AtomicU64)| {
        Family::counter(name, help, count.load(Ordering::Relaxed) as f64)
    };
    counters.into_iter().map(counter).chain([events, times]).collect()
}

pub fn register_engine(metrics: &Metrics, engine: Engine, queries: Arc<QueryLog>) {
    metrics.add_source(move || {
        let load = engine.load();
        let (concurrent, memory) = (engine.options.max_concurrency, engine.options.memory_bytes);
        let gauge = |name: &'static str, help, value: usize| Family::gauge(name, help, value as f64);
        vec![
            gauge("promlake_engine_queries", "Queries that run or wait for a slot", load.queries),
            Family::counter(
                "promlake_engine_kept_plans",
                "PromQL queries that ran by the plan of an earlier one",
                engine.times().kept_plans() as f64,
            ),
            gauge("promlake_engine_queries_concurrent_max", "PromQL queries that may run at a time", concurrent),
            gauge(
                "promlake_engine_reserved_bytes",
                "Memory that running queries have reserved",
                load.reserved_bytes,
            ),
            gauge("promlake_engine_reservable_bytes", "Memory that queries may reserve", memory),
        ]
        .into_iter()
        .chain(prometheus::engine(&engine))
        .chain(prometheus::query_log(&queries))
        .collect()
    });
}

/// The allocator's view: live bytes, and pages it holds from the system.
fn memory_families() -> Vec<Family> {
    // Its numbers are as of the last epoch.
    if tikv_jemalloc_ctl::epoch::advance().is_err() {
        return Vec::new();
    }
    let read = |name: &'static str, help, bytes: tikv_jemalloc_ctl::Result<usize>| {
        bytes.ok().map(|bytes| Family::gauge(name, help, bytes as f64))
    };
    [
        read(
            "promlake_memory_allocated_bytes",
            "Bytes in live allocations",
            tikv_jemalloc_ctl::stats::allocated::read(),
        ),
        read(
            "promlake_memory_resident_bytes",
            "Bytes of pages the allocator holds",
            tikv_jemalloc_ctl::stats::resident::read(),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[rustfmt::skip]
fn store_families(store: &Store) -> Vec<Family> {
    let s = store.stats();
    let gauge = |name: &'static str, help, value: f64| Family::gauge(name, help, value);
    let counter = |name: &'static str, help, value: f64| Family::counter(name, help, value);
    vec![
        gauge("promlake_head_series", "Series of the head", s.head_series as f64),
        gauge("promlake_head_samples", "Samples that are not in the lake yet", s.head_samples as f64),
        gauge("promlake_head_bytes", "Memory of the samples that are not in the lake yet", s.head_bytes as f64),
        gauge("promlake_wal_queued_bytes", "Accepted rows that wait for the write-ahead log", s.queued_bytes as f64),
        gauge("promlake_cache_blocks", "Flushed blocks kept in memory", s.cache_blocks as f64),
        gauge("promlake_cache_bytes", "Memory of the flushed blocks kept in memory", s.cache_bytes as f64),
        gauge("promlake_series_index_bytes", "Memory of the series lists of days in the lake", s.day_index_bytes as f64),
        gauge("promlake_lake_files", "Live files of samples", s.files as f64),
        gauge("promlake_lake_file_bytes", "Size of the live files of samples", s.file_bytes as f64),
        gauge("promlake_lake_rows", "Rows of the live files of samples", s.file_rows as f64),
        gauge("promlake_wal_works", "Whether the write-ahead log takes samples", f64::from(u8::from(s.wal_works))),
        gauge("promlake_wal_last_success_timestamp_seconds", "When the write-ahead log was last written", s.wal_last_success_seconds),
        gauge("promlake_wal_oldest_pending_seconds", "How long the oldest append that is not durable has waited", s.wal_oldest_seconds),
        gauge("promlake_wal_epoch", "Number of this start among all of its node", s.wal_epoch as f64),
        counter("promlake_wal_failures", "Attempts to write the write-ahead log that failed and were repeated", s.wal_failures_total as f64),
        counter("promlake_wal_damaged_objects", "Objects of the write-ahead log that could not be read at the start and were moved aside", s.wal_damaged_total as f64),
        counter("promlake_store_task_failures", "Background tasks of the store that panicked or ended and were started again", s.task_failures_total as f64),
        counter("promlake_store_samples", "Float samples appended", s.samples_appended_total as f64),
        counter("promlake_store_histograms", "Native histograms appended", s.histograms_appended_total as f64),
        counter("promlake_store_exemplars", "Exemplars appended", s.exemplars_appended_total as f64),
        counter("promlake_store_rows_rejected", "Rows refused by the head", s.rows_rejected_total as f64),
        gauge("promlake_wal_retained_bytes", "Objects of the write-ahead log that only remotes still need", s.wal_retained_bytes as f64),
        counter("promlake_wal_objects", "Objects put into the write-ahead log", s.wal_objects_total as f64),
        counter("promlake_wal_bytes", "Bytes put into the write-ahead log", s.wal_bytes_total as f64),
        counter("promlake_flushes", "Flushes of the head into the lake", s.flushes_total as f64),
        counter("promlake_flush_failures", "Flushes that failed", s.flush_failures_total as f64),
        counter("promlake_flush_seconds", "Time spent in flushes", s.flush_seconds_total),
        counter("promlake_head_waits", "Appends that had to wait for a flush", s.head_waits_total as f64),
        counter("promlake_merges", "Merges of files", s.merges_total as f64),
        counter("promlake_merge_failures", "Merges of files that failed", s.merge_failures_total as f64),
        counter("promlake_merged_files", "Files replaced by merges", s.merged_files_total as f64),
    ]
}

//! Which numbers of which part become which metrics. The parts keep plain numbers and know nothing of names.

use std::sync::Arc;

use crate::app::build_info;
use crate::engine::session::Engine;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::ingest::stats::IngestStats;
use crate::storage::store::Store;
use crate::telemetry::metrics::{Family, Kind, Metrics};
use crate::telemetry::process;

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
        ]
    });
}

pub fn register_parts(metrics: &Metrics, store: Arc<Store>, ingest: Arc<IngestStats>) {
    metrics.add_source(move || store_families(&store));
    metrics.add_source(move || {
        let family = |(name, help, value): (&str, &'static str, u64)| {
            Family::counter(format!("promlake_{name}"), help.trim_end_matches('.'), value as f64)
        };
        ingest.counters().into_iter().map(family).collect()
    });
}

pub fn register_scrapes(metrics: &Metrics, scrapes: Arc<ScrapeManager>) {
    metrics.add_source(move || {
        let help = "Memory of scrapes that wait since the store takes no samples";
        vec![Family::gauge("promlake_scrapes_waiting_bytes", help, scrapes.waiting_bytes() as f64)]
    });
}

pub fn register_engine(metrics: &Metrics, engine: Engine) {
    metrics.add_source(move || {
        let load = engine.load();
        let (concurrent, memory) = (engine.options.max_concurrency, engine.options.memory_bytes);
        let gauge = |name: &'static str, help, value: usize| Family::gauge(name, help, value as f64);
        vec![
            gauge("promlake_engine_queries", "Queries that run or wait for a slot", load.queries),
            gauge("promlake_engine_queries_concurrent_max", "PromQL queries that may run at a time", concurrent),
            gauge(
                "promlake_engine_reserved_bytes",
                "Memory that running queries have reserved",
                load.reserved_bytes,
            ),
            gauge("promlake_engine_reservable_bytes", "Memory that queries may reserve", memory),
        ]
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

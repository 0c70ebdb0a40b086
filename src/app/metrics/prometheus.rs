//! What Prometheus exposes of itself and has a meaning here, under its names, with its types and labels: dashboards and
//! alerts are written for them. `src/telemetry/METRICS.md` lists them, and says why the others are not here.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::query_log::QueryLog;
use crate::engine::session::Engine;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::ingest::scrape::stats::PoolStatus;
use crate::ingest::stats::IngestStats;
use crate::model::duration;
use crate::server::http::routes::status::PROMETHEUS_VERSION;
use crate::server::http::server::{BuildInfo, Server};
use crate::storage::store::Store;
use crate::telemetry::metrics::{Family, Kind};
use crate::telemetry::summary::SummaryValue;

/// The version is that of the Prometheus we follow, as in `buildinfo`.
pub(super) fn build_info(build: &BuildInfo) -> Family {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("branch", ""),
        ("goarch", arch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", build.revision),
        ("tags", ""),
        ("version", PROMETHEUS_VERSION),
    ];
    let help = "The Prometheus whose interfaces this is, with the revision of this binary";
    Family::labelled("prometheus_build_info", help, Kind::Gauge).with(&labels, 1.0)
}

pub(super) fn server(server: &Server) -> Vec<Family> {
    let config = server.config.read();
    let flag = |name: &'static str, help, value: bool| Family::gauge(name, help, f64::from(u8::from(value)));
    let mut families = server.notifications.families();
    families.extend([
        flag("prometheus_ready", "Whether queries are answered", server.parts().is_some()),
        flag(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration was taken",
            config.last_reload_succeeded,
        ),
        Family::gauge(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "When a configuration was taken last",
            config.last_loaded_ms as f64 / 1e3,
        ),
    ]);
    families
}

pub(super) fn store(store: &Store, opened_seconds: f64, ingest: &IngestStats) -> Vec<Family> {
    let s = store.stats();
    let gauge = |name: &'static str, help, value: f64| Family::gauge(name, help, value);
    let counter = |name: &'static str, help, value: u64| Family::counter(name, help, value as f64);
    let by_type = |name: &'static str, help, float: u64, histogram: u64| {
        Family::labelled(name, help, Kind::Counter)
            .with(&[("type", "float")], float as f64)
            .with(&[("type", "histogram")], histogram as f64)
    };
    let refused = |name, help, all: &AtomicU64, histograms: &AtomicU64| {
        let (all, histograms) = (all.load(Ordering::Relaxed), histograms.load(Ordering::Relaxed));
        by_type(name, help, all.saturating_sub(histograms), histograms)
    };
    let mut families = vec![
        gauge("prometheus_tsdb_head_series", "Series of the head", s.head_series as f64),
        counter(
            "prometheus_tsdb_head_series_created",
            "Series that came into the head",
            s.head_series as u64 + s.series_evicted_total,
        ),
        counter("prometheus_tsdb_head_series_removed", "Series that the head let go", s.series_evicted_total),
        by_type(
            "prometheus_tsdb_head_samples_appended",
            "Samples appended",
            s.samples_appended_total,
            s.histograms_appended_total,
        ),
        by_type(
            "prometheus_tsdb_head_out_of_order_samples_appended",
            "Samples appended behind the newest of their series",
            s.late.samples,
            s.late.histograms,
        ),
        refused(
            "prometheus_tsdb_out_of_order_samples",
            "Samples refused since their series has newer ones and there is no out-of-order window",
            &ingest.ingest_rejected_out_of_order,
            &ingest.ingest_rejected_out_of_order_histograms,
        ),
        refused(
            "prometheus_tsdb_too_old_samples",
            "Samples refused since they are behind their series by more than the out-of-order window",
            &ingest.ingest_rejected_too_old,
            &ingest.ingest_rejected_too_old_histograms,
        ),
        refused(
            "prometheus_tsdb_out_of_bound_samples",
            "Samples refused since they lie too far in the future, or in the past",
            &ingest.ingest_rejected_out_of_bounds,
            &ingest.ingest_rejected_out_of_bounds_histograms,
        ),
        counter("prometheus_tsdb_exemplar_exemplars_appended", "Exemplars appended", s.exemplars_appended_total),
        counter(
            "prometheus_tsdb_wal_writes_failed",
            "Attempts to write the write-ahead log that failed and were repeated",
            s.wal_failures_total,
        ),
        counter(
            "prometheus_tsdb_wal_corruptions",
            "Objects of the write-ahead log that could not be read at the start",
            s.wal_damaged_total,
        ),
        Family::summary(
            "prometheus_tsdb_wal_fsync_duration_seconds",
            "How long writes of the write-ahead log took to become durable",
            store.put_seconds(),
        ),
        gauge(
            "prometheus_tsdb_data_replay_duration_seconds",
            "How long the store took to open, the replay of the write-ahead log included",
            opened_seconds,
        ),
        gauge(
            "prometheus_tsdb_clean_start",
            "1 where the last process ended in order, 0 where its write-ahead log had to be replayed",
            f64::from(u8::from(s.clean_start)),
        ),
        counter(
            "prometheus_tsdb_compactions",
            "Flushes of the head, and merges of files",
            s.flushes_total + s.merges_total,
        ),
        counter(
            "prometheus_tsdb_compactions_failed",
            "Flushes and merges that failed",
            s.flush_failures_total + s.merge_failures_total,
        ),
        counter(
            "prometheus_tsdb_compactions_triggered",
            "Flushes and merges that were tried",
            s.flushes_total + s.merges_total + s.flush_failures_total + s.merge_failures_total,
        ),
        gauge("prometheus_tsdb_blocks_loaded", "Live files of samples", s.files as f64),
        gauge("prometheus_tsdb_storage_blocks_bytes", "Size of the live files of samples", s.file_bytes as f64),
    ];
    // Where there is no sample, there is no time to tell.
    let mut time = |name: &'static str, in_seconds: &'static str, help, ms: i64| {
        families.push(gauge(name, help, ms as f64));
        families.push(gauge(in_seconds, help, (ms / 1000) as f64));
    };
    if let Some(times) = s.head_times {
        time(
            "prometheus_tsdb_head_min_time",
            "prometheus_tsdb_head_min_time_seconds",
            "Time of the oldest sample that is not in the lake yet",
            times.start_inclusive,
        );
        time(
            "prometheus_tsdb_head_max_time",
            "prometheus_tsdb_head_max_time_seconds",
            "Time of the newest sample",
            times.end_inclusive,
        );
    }
    if let Some(lowest) = s.lowest_timestamp {
        time(
            "prometheus_tsdb_lowest_timestamp",
            "prometheus_tsdb_lowest_timestamp_seconds",
            "Time of the oldest sample",
            lowest,
        );
    }
    families
}

/// Of samples that were scraped; the store counts those of all senders.
pub(super) fn scrapes(ingest: &IngestStats) -> Vec<Family> {
    let counter = |name: &'static str, help, value: &AtomicU64| {
        Family::counter(format!("prometheus_target_{name}"), help, value.load(Ordering::Relaxed) as f64)
    };
    vec![
        counter(
            "scrapes_exceeded_body_size_limit",
            "Scrapes that failed for the body size limit",
            &ingest.scrapes_exceeded_body_size_limit,
        ),
        counter(
            "scrapes_exceeded_sample_limit",
            "Scrapes that failed for a sample limit",
            &ingest.scrapes_exceeded_sample_limit,
        ),
        counter(
            "scrape_pool_exceeded_label_limits",
            "Scrapes that failed for a limit on labels",
            &ingest.scrapes_exceeded_label_limits,
        ),
        counter(
            "scrapes_sample_duplicate_timestamp",
            "Scraped samples refused since their series has another value at the same time",
            &ingest.scrape_samples_duplicate_timestamp,
        ),
        counter(
            "scrapes_sample_out_of_order",
            "Scraped samples refused since they are too far behind the newest of their series",
            &ingest.scrape_samples_out_of_order,
        ),
        counter(
            "scrapes_sample_out_of_bounds",
            "Scraped samples refused since they lie too far in the future, or in the past",
            &ingest.scrape_samples_out_of_bounds,
        ),
    ]
}

pub(super) fn pools(scrapes: &ScrapeManager) -> Vec<Family> {
    let stats = scrapes.stats();
    let counter = |name: &'static str, help, value: &AtomicU64| {
        Family::counter(name, help, value.load(Ordering::Relaxed) as f64)
    };
    let by_interval = |name: &'static str, help, values: Vec<(i64, SummaryValue)>| {
        let family = Family::labelled(name, help, Kind::Summary);
        values.into_iter().fold(family, |family, (interval_ms, value)| {
            // Those that have no summary of their own.
            let interval = if interval_ms == 0 { "other".to_string() } else { duration::format(interval_ms) };
            family.with_summary(&[("interval", interval.as_str())], value)
        })
    };
    let pools = scrapes.pool_statuses();
    let by_pool = |name: &'static str, help, kind, value: fn(&PoolStatus) -> f64| {
        let family = Family::labelled(name, help, kind);
        pools.iter().fold(family, |family, pool| family.with(&[("scrape_job", pool.name.as_str())], value(pool)))
    };
    let found =
        Family::labelled("prometheus_sd_discovered_targets", "Targets found, the dropped ones too", Kind::Gauge);
    let sync_help = "How long it took to bring the targets of a pool in line with what was found";
    let sync_seconds = Family::labelled("prometheus_target_sync_length_seconds", sync_help, Kind::Summary);
    vec![
        counter("prometheus_target_scrape_pools", "Pools that were made", &stats.pools),
        counter("prometheus_target_scrape_pools_failed", "Pools that could not be made", &stats.pools_failed),
        counter(
            "prometheus_target_scrape_pool_reloads",
            "Pools that went on with another configuration",
            &stats.reloads,
        ),
        counter(
            "prometheus_target_scrape_pool_reloads_failed",
            "Pools that could not go on with another configuration",
            &stats.reloads_failed,
        ),
        counter(
            "prometheus_target_scrape_pool_exceeded_target_limit",
            "Pools that got more targets than they may have",
            &stats.exceeded_target_limit,
        ),
        by_interval(
            "prometheus_target_interval_length_seconds",
            "Times between two scrapes of a target",
            stats.intervals(),
        ),
        by_interval(
            "prometheus_target_reload_length_seconds",
            "How long pools took to go on with another configuration",
            stats.reload_seconds(),
        ),
        by_pool(
            "prometheus_target_scrape_pool_target_limit",
            "Targets that a pool may have, 0 for any number",
            Kind::Gauge,
            |pool| pool.target_limit as f64,
        ),
        by_pool("prometheus_target_scrape_pool_targets", "Targets of a pool", Kind::Gauge, |pool| {
            pool.targets as f64
        }),
        by_pool(
            "prometheus_target_scrape_pool_sync",
            "How often the targets of a pool were brought in line with what was found",
            Kind::Counter,
            |pool| pool.syncs as f64,
        ),
        by_pool(
            "prometheus_target_sync_failed",
            "Targets left out since they make no sense",
            Kind::Counter,
            |pool| pool.failed_targets as f64,
        ),
        by_pool(
            "prometheus_target_metadata_cache_entries",
            "Families that the targets of a pool have told about",
            Kind::Gauge,
            |pool| pool.metadata_entries as f64,
        ),
        by_pool(
            "prometheus_target_metadata_cache_bytes",
            "Memory of what the targets of a pool have told about families",
            Kind::Gauge,
            |pool| pool.metadata_bytes as f64,
        ),
        pools.iter().fold(sync_seconds, |family, pool| {
            family.with_summary(&[("scrape_job", pool.name.as_str())], pool.sync_seconds.clone())
        }),
        pools.iter().fold(found, |family, pool| {
            family.with(&[("config", pool.name.as_str()), ("name", "scrape")], pool.discovered as f64)
        }),
    ]
}

pub(super) fn query_log(log: &QueryLog) -> [Family; 2] {
    [
        Family::gauge(
            "prometheus_engine_query_log_enabled",
            "Whether queries are logged",
            f64::from(u8::from(log.is_on())),
        ),
        Family::counter(
            "prometheus_engine_query_log_failures",
            "Lines of the log of queries that could not be written",
            log.failures() as f64,
        ),
    ]
}

pub(super) fn engine(engine: &Engine) -> Vec<Family> {
    let (load, times) = (engine.load(), engine.times());
    let slices = [
        ("inner_eval", &times.execute),
        ("prepare_time", &times.prepare),
        ("queue_time", &times.queue),
        ("result_sort", &times.sort),
    ];
    let durations = Family::labelled(
        "prometheus_engine_query_duration_seconds",
        "How long the parts of PromQL queries took",
        Kind::Summary,
    );
    vec![
        Family::gauge(
            "prometheus_engine_queries",
            "Queries that run or wait for a slot, SQL included",
            load.queries as f64,
        ),
        Family::gauge(
            "prometheus_engine_queries_concurrent_max",
            "Queries that may run at a time",
            engine.options.max_concurrency as f64,
        ),
        slices
            .into_iter()
            .fold(durations, |family, (slice, times)| family.with_summary(&[("slice", slice)], times.read())),
    ]
}

//! The plans of a dozen dashboard queries, as they are run for the HTTP API. A plan that changes is a change to look at:
//! `PLANS_WRITE=1` writes the files of `tests/plans` anew.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use promlake::engine::session::{Engine, EngineOptions, EvalTime, QueryRequest};
use promlake::model::labels::Labels;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{SampleRow, WriteBatch};
use regex::Regex;

/// 2026-11-21T20:00:00Z
const START_MS: i64 = 1_795_291_200_000;
const MINUTE_MS: i64 = 60_000;
const MINUTES: i64 = 60;

/// A name for the file, and the query.
const QUERIES: &[(&str, &str)] = &[
    ("gauge", r#"node_load1{instance="host-3:9100"}"#),
    ("rate_by_mode", "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    ("cpu_busy", r#"100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))"#),
    ("disk_used", "1 - node_filesystem_avail_bytes / node_filesystem_size_bytes"),
    (
        "error_ratio",
        r#"sum by (job) (rate(http_requests_total{code="500"}[5m])) / sum by (job) (rate(http_requests_total[5m]))"#,
    ),
    ("p90", "histogram_quantile(0.9, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))"),
    ("top", "topk(3, sum by (instance) (increase(http_requests_total[10m])))"),
    ("subquery", "max_over_time(sum(rate(http_requests_total[2m]))[20m:1m])"),
    ("down", "up == 0 or absent(up)"),
    ("with_version", "up * on (instance) group_left (version) build_info"),
    ("repeated", "sum(rate(http_requests_total[5m])) / (sum(rate(http_requests_total[5m])) + 1)"),
    ("against_end", "node_load1 - node_load1 @ end()"),
    ("extremes", "min by (job) (min_over_time(node_load1[10m]))"),
    ("renamed", r#"label_replace(up, "host", "$1", "instance", "(.*):.*")"#),
];

fn series() -> Vec<Labels> {
    let mut all = Vec::new();
    for host in 0..16 {
        let instance = format!("host-{host}:9100");
        let mut add = |name: &str, pairs: &[(&str, &str)]| {
            let common = [("__name__", name), ("instance", instance.as_str()), ("job", "node")];
            all.push(Labels::from_pairs(common.iter().chain(pairs).copied()));
        };
        for name in ["up", "node_load1", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"] {
            add(name, &[]);
        }
        add("build_info", &[("version", "1.2.3")]);
        for mode in ["idle", "user", "system", "iowait", "irq", "nice"] {
            add("node_cpu_seconds_total", &[("mode", mode)]);
        }
        for code in ["200", "500"] {
            add("http_requests_total", &[("code", code)]);
        }
        for le in ["0.1", "1", "+Inf"] {
            add("http_request_duration_seconds_bucket", &[("le", le)]);
        }
    }
    all
}

/// All samples are in one file, and no block is cached.
async fn store(folder: &std::path::Path) -> Arc<Store> {
    let options = Options {
        url: folder.to_string_lossy().into_owned(),
        node: "plans".to_string(),
        wal_flush_interval: None,
        flush_interval: Duration::from_secs(86_400),
        flush_bytes: 1 << 30,
        cache_bytes: 0,
        out_of_order_window_ms: 0,
        ..Options::default()
    };
    let now_ms = START_MS + MINUTES * MINUTE_MS;
    let store = Store::open(options, Arc::new(move || now_ms)).await.unwrap();
    let refs = store.intern_all(&series());
    for minute in 0..MINUTES {
        let row = |(i, series): (usize, &_)| SampleRow {
            series: *series,
            timestamp: START_MS + minute * MINUTE_MS,
            value: (minute * (i as i64 + 1)) as f64,
            start_timestamp: 0,
        };
        let samples = refs.iter().enumerate().map(row).collect();
        store.append(WriteBatch { samples, ..WriteBatch::default() }).await.unwrap();
    }
    store.flush().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_dashboard_queries() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    // Plans differ by the number of cores, of which each machine has its own.
    let options = EngineOptions { threads: 2, ..EngineOptions::default() };
    let engine = Engine::new(store, options).unwrap();
    let time = EvalTime::Range {
        start: START_MS + 30 * MINUTE_MS,
        end_inclusive: START_MS + 59 * MINUTE_MS,
        step: MINUTE_MS,
    };
    let write = std::env::var_os("PLANS_WRITE").is_some();
    let mut changed = Vec::new();
    for (name, query) in QUERIES {
        let request = QueryRequest::new(*query, time);
        let plan = format!("{query}\n\n{}", without_names(&engine.explain_promql(request).await.unwrap()));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/plans/{name}.txt"));
        if write {
            fs::write(&path, &plan).unwrap();
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&plan) {
            changed.push(format!("{}:\n{plan}", path.display()));
        }
    }
    assert!(changed.is_empty(), "plans that changed:\n{}", changed.join("\n"));
}

/// File names and sizes are not the same twice.
fn without_names(plan: &str) -> String {
    let file = Regex::new(r"[0-9]{20}-[0-9]-[0-9a-f]{32}\.parquet(:[0-9]+\.\.[0-9]+)?").unwrap();
    file.replace_all(plan, "FILE.parquet").into_owned()
}

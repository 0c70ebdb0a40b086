//! Whole queries: text, plan, engine, result, over 20 hosts with 40 series each and six hours at 15 s. Every query runs
//! twice: from packed blocks in memory, and from the Parquet file behind them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use promlake::engine::session::{Engine, EngineOptions, EvalTime, QueryRequest};
use promlake::model::labels::Labels;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{SampleRow, WriteBatch};

const START_MS: i64 = 1_790_000_000_000;
const INTERVAL_MS: i64 = 15_000;
const ROUNDS: i64 = 6 * 240;
const END_MS: i64 = START_MS + ROUNDS * INTERVAL_MS;

const QUERIES: [(&str, &str, i64); 6] = [
    ("instant selector", r#"load{instance="host-3:9100"}"#, 0),
    ("sum of rates, 1 h", "sum by (mode) (rate(cpu_seconds_total[5m]))", 3_600_000),
    ("quotient, 1 h", "load / on (instance, n) memory_bytes", 3_600_000),
    ("quantile, 6 h", "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))", 6 * 3_600_000),
    ("top, 6 h", "topk(3, sum by (instance) (rate(cpu_seconds_total[5m])))", 6 * 3_600_000),
    ("subquery", "max_over_time(sum(rate(cpu_seconds_total[5m]))[3h:1m])", 0),
];

fn series() -> Vec<Labels> {
    let mut all = Vec::new();
    for host in 0..20 {
        let instance = format!("host-{host}:9100");
        for n in 0..10 {
            let n = n.to_string();
            for (name, label) in [
                ("load", "n"),
                ("memory_bytes", "n"),
                ("cpu_seconds_total", "mode"),
                ("latency_seconds_bucket", "le"),
            ] {
                all.push(Labels::from_pairs([("__name__", name), ("instance", &instance), (label, &n)]));
            }
        }
    }
    all
}

async fn store(folder: &Path, cache_bytes: usize) -> Arc<Store> {
    let options = Options {
        url: folder.to_string_lossy().into_owned(),
        node: "bench".to_string(),
        wal_flush_interval: None,
        flush_interval: Duration::ZERO,
        flush_bytes: 1 << 30,
        cache_bytes,
        out_of_order_window_ms: 0,
        ..Options::default()
    };
    let store = Store::open(options, Arc::new(|| END_MS)).await.expect("store");
    let refs = store.intern_all(&series());
    for round in 0..ROUNDS {
        let row = |(i, series): (usize, &_)| SampleRow {
            series: *series,
            timestamp: START_MS + round * INTERVAL_MS,
            value: (round * (i as i64 % 97 + 1)) as f64 / 100.0,
            start_timestamp: 0,
        };
        let samples = refs.iter().enumerate().map(row).collect();
        store.append(WriteBatch { samples, ..WriteBatch::default() }).await.expect("appended");
    }
    store.flush().await.expect("flushed");
    store
}

fn queries(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    for (place, cache_bytes) in [("memory", 1 << 30), ("Parquet", 0)] {
        let folder = tempfile::tempdir().expect("folder");
        let store = runtime.block_on(store(folder.path(), cache_bytes));
        let engine = Engine::new(store, EngineOptions::default()).expect("engine");
        let mut group = c.benchmark_group(format!("query from {place}"));
        for (name, query, window_ms) in QUERIES {
            // Between two samples, as dashboards ask.
            let end = END_MS - 8_000;
            let time = match window_ms {
                0 => EvalTime::Instant { at: end },
                window_ms => EvalTime::Range { start: end - window_ms, end_inclusive: end, step: 60_000 },
            };
            group.bench_function(name, |b| {
                b.iter(|| {
                    let request = QueryRequest::new(query, time);
                    runtime.block_on(engine.promql(request, |response| response)).expect("answered")
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = queries
}
criterion_main!(benches);

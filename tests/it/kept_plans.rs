//! Small queries that are asked again run by the plan of the first: for other series, at other times, with what is said of each.

use std::sync::Arc;
use std::time::Duration;

use promlake::engine::session::{Engine, EngineOptions, EvalTime, QueryRequest, QueryResponse};
use promlake::model::labels::Labels;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{SampleRow, WriteBatch};

/// 2026-11-21T20:00:00Z
pub(crate) const START_MS: i64 = 1_795_291_200_000;
pub(crate) const MINUTE_MS: i64 = 60_000;
const MINUTES: i64 = 40;

/// `HOST` is one of ten, of as many bytes.
const QUERIES: &[&str] = &[
    r#"load{host="HOST"}"#,
    r#"load{host="HOST"} offset 3m"#,
    r#"load{host="HOST"} > 20"#,
    r#"-load{host="HOST"} + 1"#,
    r#"rate(requests_total{host="HOST"}[5m])"#,
    r#"sum by (code) (rate(requests_total{host="HOST"}[5m]))"#,
    r#"sum without (code) (increase(requests_total{host="HOST"}[10m] offset 1m))"#,
    r#"requests_total{host="HOST", code="500"} / ignoring (code) requests_total{host="HOST", code="200"}"#,
    r#"requests_total{host="HOST"} and on (host) load{host="HOST"} > 5"#,
    r#"requests_total{host="HOST", code="500"} or load{host="HOST"}"#,
    r#"deriv(load{host="HOST"}[10m])"#,
    r#"quantile_over_time(2, load{host="HOST"}[5m])"#,
    r#"quantile(1.5, load{host="HOST"})"#,
    r#"histogram_quantile(0.9, sum by (le) (rate(seconds_bucket{host="HOST"}[5m])))"#,
    r#"topk(1, requests_total{host="HOST"})"#,
    r#"sort_desc(requests_total{host="HOST"})"#,
    r#"count_values("v", load{host="HOST"})"#,
    r#"absent(load{host="HOST"})"#,
    r#"absent_over_time(load{host="HOST"}[1m])"#,
    r#"scalar(load{host="HOST"}) * 2"#,
    r#"load{host="HOST"} * scalar(load{host="host-1"})"#,
    r#"label_replace(load{host="HOST"}, "h", "$1", "host", "host-(.)")"#,
    r#"changes(load{host="HOST"}[10m]) + ignoring (code) resets(requests_total{host="HOST", code="200"}[10m])"#,
];

/// Those that are planned each time.
const PLANNED: &[&str] = &[
    r#"predict_linear(load{host="HOST"}[10m], 600)"#,
    r#"time() - load{host="HOST"}"#,
    r#"timestamp(load{host="HOST"})"#,
    r#"load{host="HOST"} @ 1795292000"#,
    r#"max_over_time(load{host="HOST"}[5m:1m])"#,
    r#"minute() + on () group_right () load{host="HOST"}"#,
    r#"rate(requests_total{host="HOST"}[5m]) / rate(requests_total{host="HOST"}[5m])"#,
    r#"load{host="HOST"}[5m]"#,
];

pub(crate) async fn store(folder: &std::path::Path) -> Arc<Store> {
    let options = Options {
        url: folder.to_string_lossy().into_owned(),
        node: "kept".to_string(),
        wal_flush_interval: None,
        flush_interval: Duration::from_secs(86_400),
        flush_bytes: 1 << 30,
        ..Options::default()
    };
    let now_ms = START_MS + MINUTES * MINUTE_MS;
    let store = Store::open(options, Arc::new(move || now_ms)).await.unwrap();
    for host in 0..10_i64 {
        let name = format!("host-{host}");
        let mut rows = Vec::new();
        let mut add = |metric: &str, labels: &[(&str, &str)], value: &dyn Fn(i64) -> Option<f64>| {
            let common = [("__name__", metric), ("host", name.as_str())];
            let labels = Labels::from_pairs(common.iter().chain(labels).copied());
            let series = store.intern_all(&[labels])[0];
            let samples = (0..MINUTES).filter_map(|minute| Some((START_MS + minute * MINUTE_MS, value(minute)?)));
            rows.extend(samples.map(|(timestamp, value)| SampleRow {
                series,
                timestamp,
                value,
                start_timestamp: 0,
            }));
        };
        // Host 7 has none for a while, and host 8 no label `code`.
        add("load", &[], &|minute| (host != 7 || minute % 20 < 10).then_some(((minute * (host + 1)) % 31) as f64));
        for (code, factor) in [("200", 10), ("500", 3)] {
            let labels: &[(&str, &str)] = if host == 8 { &[("kind", code)] } else { &[("code", code)] };
            add("requests_total", labels, &|minute| Some((minute % 25 * factor * (host + 1)) as f64));
        }
        for (le, factor) in [("0.1", 3), ("1", if host == 5 { 2 } else { 5 }), ("+Inf", 8)] {
            add("seconds_bucket", &[("le", le)], &|minute| Some((minute * factor * (host + 1)) as f64));
        }
        store.append(WriteBatch { samples: rows, ..WriteBatch::default() }).await.unwrap();
    }
    store
}

/// Value, warnings and infos, or the error.
async fn ask(engine: &Engine, query: &str, time: EvalTime) -> String {
    let told = |response: QueryResponse| {
        let QueryResponse { value, warnings, infos, .. } = response;
        format!("{value:?} {warnings:?} {infos:?}")
    };
    match engine.promql(QueryRequest::new(query, time), told).await {
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_runs_again_answers_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let options = EngineOptions { threads: 2, ..EngineOptions::default() };
    let again = Engine::new(store.clone(), options.clone()).unwrap();
    let kept = QUERIES.iter().map(|query| (query, true));
    for (query, is_kept) in kept.chain(PLANNED.iter().map(|query| (query, false))) {
        let (mut seen, before) = (std::collections::HashSet::new(), again.times().kept_plans());
        for turn in 0..30 {
            let query = query.replace("HOST", &format!("host-{}", turn * 7 % 10));
            let at = START_MS + (5 + turn % 34) * MINUTE_MS + turn * 777;
            let range = EvalTime::Range { start: at - 8 * MINUTE_MS, end_inclusive: at, step: 30_000 };
            for time in [EvalTime::Instant { at }, range] {
                let new = Engine::new(store.clone(), options.clone()).unwrap();
                let (expected, answer) = (ask(&new, &query, time).await, ask(&again, &query, time).await);
                assert_eq!(answer, expected, "{query} {time:?}");
                seen.insert(answer);
            }
        }
        assert!(seen.len() > 3, "{query} has few different answers: {seen:?}");
        let kept = again.times().kept_plans() - before;
        // The plan of an absence has the labels that are looked for: one for each of ten hosts, asked three times.
        assert!(
            if is_kept { kept >= 20 } else { kept == 0 },
            "{query} ran {kept} of 60 times by a plan that was kept"
        );
    }
}

/// Queries that run side by side do not share one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn side_by_side_each_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let engine = Engine::new(store, EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let of = |host: i64, minute: i64| {
        let query = format!(r#"sum by (code) (rate(requests_total{{host="host-{host}"}}[5m]))"#);
        (query, EvalTime::Instant { at: START_MS + minute * MINUTE_MS })
    };
    let mut expected = Vec::new();
    for host in 0..7 {
        for minute in 10..20 {
            let (query, time) = of(host, minute);
            expected.push((host, minute, ask(&engine, &query, time).await));
        }
    }
    let expected = Arc::new(expected);
    let tasks = (0..8).map(|_| {
        let (engine, expected) = (engine.clone(), Arc::clone(&expected));
        tokio::spawn(async move {
            for (host, minute, answer) in expected.iter() {
                let (query, time) = of(*host, *minute);
                assert_eq!(&ask(&engine, &query, time).await, answer, "{query} {time:?}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

//! Scraping end to end: a target over HTTP → the real store → what a query would read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use promlake::config::file::Config;
use promlake::ingest::appender::Appender;
use promlake::ingest::scrape::features::Features;
use promlake::ingest::scrape::manager::ScrapeManager;
use promlake::ingest::scrape::target::Health;
use promlake::ingest::stats::IngestStats;
use promlake::model::sample::{TimeRange, is_stale};
use promlake::storage::store::{Clock, Options, Store};
use promlake::storage::types::Run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TEXT: &str = "text/plain; version=0.0.4";

/// An exporter whose answer the test decides.
struct Exporter {
    address: String,
    answer: Arc<Mutex<(u16, &'static str, Vec<u8>)>>,
    requests: Arc<AtomicUsize>,
    last_request: Arc<Mutex<String>>,
}

impl Exporter {
    async fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let exporter = Self {
            address: listener.local_addr().unwrap().to_string(),
            answer: Arc::new(Mutex::new((200, TEXT, body.as_bytes().to_vec()))),
            requests: Arc::default(),
            last_request: Arc::default(),
        };
        let (answer, requests) = (exporter.answer.clone(), exporter.requests.clone());
        let last_request = exporter.last_request.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answer, requests, last_request) = (answer.clone(), requests.clone(), last_request.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while let Ok(len @ 1..) = socket.read(&mut chunk).await {
                        head.extend_from_slice(&chunk[..len]);
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        *last_request.lock() = String::from_utf8_lossy(&head).into_owned();
                        head.clear();
                        let (status, content_type, body) = answer.lock().clone();
                        let head = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        requests.fetch_add(1, Ordering::SeqCst);
                        if socket.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        exporter
    }

    fn answer(&self, status: u16, content_type: &'static str, body: impl AsRef<[u8]>) {
        *self.answer.lock() = (status, content_type, body.as_ref().to_vec());
    }

    /// Waits for two more requests, so that one of them saw the present answer from start to end.
    async fn scraped_again(&self) {
        let before = self.requests.load(Ordering::SeqCst);
        until("two more scrapes", || self.requests.load(Ordering::SeqCst) >= before + 2).await;
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct World {
    store: Arc<Store>,
    manager: ScrapeManager,
    stats: Arc<IngestStats>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with_features(Features::default()).await
    }

    async fn with_features(features: Features) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            url: folder.path().display().to_string(),
            node: "test".to_string(),
            wal_flush_interval: None,
            flush_interval: Duration::from_secs(3600),
            flush_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            out_of_order_window_ms: 0,
            ..Options::default()
        };
        let clock: Clock = Arc::new(|| {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as i64
        });
        let store = Store::open(options, clock.clone()).await.unwrap();
        let stats = Arc::new(IngestStats::default());
        let appender = Arc::new(Appender::new(store.clone(), stats.clone()));
        let manager = ScrapeManager::new(appender, clock, "test-host", 1 << 20).with_features(features);
        Self { store, manager, stats, folder }
    }

    fn apply(&self, job: &str, exporters: &[&Exporter]) {
        let targets: Vec<_> = exporters.iter().map(|e| format!("'{}'", e.address)).collect();
        let text = format!(
            "scrape_configs: [{{job_name: j, scrape_interval: 50ms, {job} static_configs: [{{targets: [{}]}}]}}]",
            targets.join(", ")
        );
        self.manager.apply_config(&Config::parse(&text).unwrap()).unwrap();
    }

    /// Every stored series with its values in time order; `stale` stands for a marker.
    async fn read(&self) -> BTreeMap<String, Vec<String>> {
        let snapshot = self.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        let mut all = BTreeMap::new();
        for series in snapshot.series.iter() {
            let mut samples = BTreeMap::new();
            for source in &snapshot.memory {
                let mut run = Run::default();
                source.read(series.id, TimeRange::ALL, &mut run);
                samples.extend(run.timestamps.iter().copied().zip(run.values.iter().copied()));
            }
            let text = |v: f64| if is_stale(v) { "stale".to_string() } else { v.to_string() };
            all.insert(series.labels.to_string(), samples.into_values().map(text).collect());
        }
        all
    }

    /// The native histograms of a metric, as text.
    async fn histograms(&self, metric: &str) -> Vec<String> {
        let snapshot = self.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        let mut all = BTreeMap::new();
        for series in snapshot.series.iter().filter(|series| series.labels.metric() == metric) {
            for source in &snapshot.memory {
                let mut run = Run::default();
                source.read(series.id, TimeRange::ALL, &mut run);
                let found = run.timestamps.iter().zip(&run.histograms);
                all.extend(found.filter_map(|(t, h)| Some((*t, h.as_ref()?.test_expression()))));
            }
        }
        all.into_values().collect()
    }

    /// The last value of a series named without its instance.
    async fn last(&self, series: &str) -> Option<String> {
        let all = self.read().await;
        let found = all.iter().find(|(labels, _)| without_instance(labels) == series);
        found.and_then(|(_, values)| values.last().cloned())
    }

    async fn until_last(&self, series: &str, want: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.last(series).await.as_deref() != Some(want) {
            let last = self.last(series).await;
            assert!(tokio::time::Instant::now() < deadline, "{series} is not {want} but {last:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn without_instance(labels: &str) -> String {
    let Some(start) = labels.find("instance=\"") else { return labels.to_string() };
    let end = start + labels[start..].find("\", ").expect("job comes after instance") + 3;
    labels[..start].to_string() + &labels[end..]
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_and_synthetic_series_are_stored() {
    let exporter = Exporter::start("# TYPE a gauge\n# HELP a help\na{job=\"mine\",x=\"y\"} 1\nb 2\n").await;
    let world = World::new().await;
    world.apply("extra_scrape_metrics: true, sample_limit: 7,", &[&exporter]);
    exporter.scraped_again().await;
    world.until_last(r#"a{exported_job="mine", job="j", x="y"}"#, "1").await;
    world.until_last(r#"b{job="j"}"#, "2").await;
    world.until_last(r#"up{job="j"}"#, "1").await;
    world.until_last(r#"scrape_samples_scraped{job="j"}"#, "2").await;
    world.until_last(r#"scrape_samples_post_metric_relabeling{job="j"}"#, "2").await;
    world.until_last(r#"scrape_series_added{job="j"}"#, "0").await;
    world.until_last(r#"scrape_sample_limit{job="j"}"#, "7").await;
    world.until_last(r#"scrape_body_size_bytes{job="j"}"#, "55").await;

    let request = exporter.last_request.lock().clone();
    for line in [
        "get /metrics http/1.1",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6",
        "accept-encoding: gzip",
        "x-prometheus-scrape-timeout-seconds: 0.05",
        "user-agent: promlake/",
    ] {
        assert!(request.to_lowercase().contains(line), "{line} in {request}");
    }
    let status = &world.manager.targets()[0];
    assert_eq!((status.last.health, status.last.last_error.as_str()), (Health::Up, ""));
    assert_eq!(world.manager.metadata()[0].1[0].metadata.help, "help");
    assert_eq!(world.manager.pools(), ["j"]);
    assert!(world.manager.pool_config("j").unwrap().contains(&exporter.address));
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honored_labels_win() {
    let exporter = Exporter::start("a{job=\"mine\"} 1\nb{job=\"\"} 2\n").await;
    let world = World::new().await;
    world.apply("honor_labels: true,", &[&exporter]);
    world.until_last(r#"a{job="mine"}"#, "1").await;
    let all = world.read().await;
    assert!(all.keys().any(|k| k.starts_with("b{instance=") && !k.contains("job")), "{all:?}");
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_end_when_they_vanish_or_the_scrape_fails() {
    let exporter = Exporter::start("a 1\nb 1\n").await;
    let world = World::new().await;
    world.apply("", &[&exporter]);
    world.until_last(r#"b{job="j"}"#, "1").await;

    exporter.answer(200, TEXT, "a 1\n");
    world.until_last(r#"b{job="j"}"#, "stale").await;
    world.until_last(r#"a{job="j"}"#, "1").await;

    let failures = [
        (500, TEXT, "a 1\n", "server returned HTTP status 500"),
        (200, TEXT, "a 1\na{ 2\n", "line 2: unexpected end of line inside braces"),
        (200, "text/html", "a 1\n", "unsupported Content-Type \"text/html\""),
        (200, "application/openmetrics-text", "a 1\n", "data does not end with # EOF"),
    ];
    for (status, content_type, body, error) in failures {
        exporter.answer(status, content_type, body);
        world.until_last(r#"a{job="j"}"#, "stale").await;
        world.until_last(r#"up{job="j"}"#, "0").await;
        exporter.scraped_again().await;
        let last = world.manager.targets()[0].last.clone();
        assert!(last.last_error.contains(error), "{last:?}");
        assert_eq!(last.health, Health::Down);
        exporter.answer(200, TEXT, "a 1\n");
        world.until_last(r#"a{job="j"}"#, "1").await;
    }
    // A marker is written once, however long the failure lasts.
    for values in world.read().await.values() {
        assert!(values.windows(2).all(|pair| pair != ["stale", "stale"]), "{values:?}");
    }
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_fail_the_whole_scrape() {
    let exporter = Exporter::start("a{x=\"123456\"} 1\nb 1\nc 1\n").await;
    let world = World::new().await;
    let cases = [
        ("sample_limit: 2,", "sample limit exceeded"),
        ("label_limit: 3,", "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"),
        ("label_name_length_limit: 7,", "label_name_length_limit exceeded"),
        ("label_value_length_limit: 5,", "label_value_length_limit exceeded"),
        ("body_size_limit: 10B,", "body size limit exceeded"),
    ];
    for (limit, error) in cases {
        world.apply(limit, &[&exporter]);
        until(error, || world.manager.targets()[0].last.last_error.contains(error)).await;
    }
    world.apply("sample_limit: 2,", &[&exporter]);
    world.until_last(r#"scrape_samples_scraped{job="j"}"#, "3").await;
    let all = world.read().await;
    assert!(!all.keys().any(|k| k.starts_with("a{")), "{all:?}");

    let other = Exporter::start("d 1\n").await;
    world.apply("target_limit: 1,", &[&exporter, &other]);
    let error = "target_limit exceeded (number of targets: 2, limit: 1)";
    until(error, || world.manager.targets().iter().all(|t| t.last.last_error == error)).await;
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_target_ends_its_series_and_others_go_on() {
    let (kept, removed) = (Exporter::start("kept 1\n").await, Exporter::start("removed 1\n").await);
    let world = World::new().await;
    world.apply("", &[&kept, &removed]);
    world.until_last(r#"kept{job="j"}"#, "1").await;
    world.until_last(r#"removed{job="j"}"#, "1").await;
    world.apply("", &[&kept]);
    world.until_last(r#"removed{job="j"}"#, "stale").await;
    assert_eq!(world.manager.targets().len(), 1);
    let all = world.read().await;
    let up = |exporter: &Exporter| {
        all.iter().find(|(k, _)| k.starts_with("up{") && k.contains(&exporter.address)).unwrap().1.clone()
    };
    assert_eq!(up(&removed).last().unwrap(), "stale");
    assert!(!up(&kept).contains(&"stale".to_string()));
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_comes_back_and_a_shutdown_end_nothing() {
    let exporter = Exporter::start("a 1\n").await;
    let world = World::new().await;
    world.apply("", &[&exporter]);
    world.until_last(r#"a{job="j"}"#, "1").await;
    world.apply("", &[]);
    world.apply("", &[&exporter]);
    exporter.scraped_again().await;
    world.apply("scrape_timeout: 40ms,", &[&exporter]);
    exporter.scraped_again().await;
    // Longer than a removed target waits.
    for _ in 0..3 {
        exporter.scraped_again().await;
    }
    world.manager.shutdown().await;
    let all = world.read().await;
    assert!(all.values().flatten().all(|value| value != "stale"), "{all:?}");
    assert!(world.stats.scrapes.load(Ordering::Relaxed) >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn explicit_timestamps_are_kept_and_not_ended() {
    let exporter = Exporter::start("a 1 1000\nb 1\n").await;
    let world = World::new().await;
    world.apply("", &[&exporter]);
    world.until_last(r#"b{job="j"}"#, "1").await;
    exporter.answer(200, TEXT, "c 1\n");
    world.until_last(r#"b{job="j"}"#, "stale").await;
    let snapshot = world.store.snapshot(TimeRange::new(1000, 1000), &[]).await.unwrap();
    assert!(snapshot.series.iter().any(|s| s.labels.metric() == "a"));
    assert_eq!(world.last(r#"a{job="j"}"#).await.as_deref(), Some("1"));
    world.manager.shutdown().await;
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn double(field: u64, value: f64) -> Vec<u8> {
    [varint(field << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn message(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    [varint(field << 3 | 2), varint(body.len() as u64), body].concat()
}

const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A native histogram of so many observations in one bucket, with an exemplar.
fn native(count: u64) -> Vec<u8> {
    let exemplar =
        [message(1, &[message(1, &[b"id".to_vec()]), message(2, &[b"x".to_vec()])]), double(2, 0.5)].concat();
    let exemplar = message(16, &[exemplar, message(3, &[number(1, 1_700_000_000)])]);
    let bucket = [message(12, &[number(1, 0), number(2, 1)]), number(13, 2 * count)].concat();
    let histogram = message(7, &[number(1, count), double(2, 1.5), bucket, exemplar]);
    let family = [message(1, &[b"n".to_vec()]), number(3, 4), message(4, &[histogram])].concat();
    [varint(family.len() as u64), family].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_come_with_protobuf() {
    let exporter = Exporter::start("").await;
    exporter.answer(200, PROTOBUF, native(3));
    let world = World::new().await;
    world.apply("scrape_native_histograms: true,", &[&exporter]);
    world.until_last(r#"scrape_samples_scraped{job="j"}"#, "1").await;
    assert_eq!(world.histograms("n").await[0], "{{count:3 sum:1.5 buckets:[3]}}");
    let request = exporter.last_request.lock().to_lowercase();
    assert!(
        request.contains("accept: application/vnd.google.protobuf;proto=io.prometheus.client.metricfamily;"),
        "{request}"
    );
    let mut exemplars = Vec::new();
    let seen = |e: &promlake::storage::lake::rows::Exemplar| {
        exemplars.push(format!("{} {} {} {}", e.series.labels.metric(), e.labels, e.value, e.timestamp));
        Ok(())
    };
    world.store.visit_exemplars(TimeRange::ALL, &[], seen).await.unwrap();
    assert_eq!(exemplars, [r#"n {id="x"} 0.5 1700000000000"#]);
    world.store.flush().await.unwrap();
    let mut flushed = 0;
    world
        .store
        .visit_exemplars(TimeRange::new(1_700_000_000_000, 1_700_000_000_000), &[], |_| {
            flushed += 1;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(flushed, 0, "no series is listed for that day");
    exporter.answer(200, PROTOBUF, &native(5)[..10]);
    world.until_last(r#"n{job="j"}"#, "stale").await;
    world.apply("scrape_native_histograms: true, native_histogram_bucket_limit: 1,", &[&exporter]);
    exporter.answer(200, PROTOBUF, native(5));
    world.until_last(r#"up{job="j"}"#, "1").await;
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_out_of_bounds_are_left_out() {
    let exporter = Exporter::start("a 1 0\nb 1 99999999999999\nc 1\n").await;
    let world = World::new().await;
    world.apply("", &[&exporter]);
    world.until_last(r#"c{job="j"}"#, "1").await;
    world.until_last(r#"up{job="j"}"#, "1").await;
    world.until_last(r#"scrape_samples_post_metric_relabeling{job="j"}"#, "3").await;
    world.until_last(r#"scrape_series_added{job="j"}"#, "0").await;
    let all = world.read().await;
    assert!(!all.keys().any(|key| key.starts_with("a{") || key.starts_with("b{")), "{all:?}");
    assert!(world.stats.ingest_rejected_out_of_bounds.load(Ordering::Relaxed) >= 2);
    world.manager.shutdown().await;
}

/// A target with nothing to say is up, whatever it says that is.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_one_of_any_format() {
    let exporter = Exporter::start("a 1\n").await;
    let world = World::new().await;
    world.apply("", &[&exporter]);
    world.until_last(r#"a{job="j"}"#, "1").await;
    exporter.answer(200, "text/html", "");
    world.until_last(r#"a{job="j"}"#, "stale").await;
    world.until_last(r#"up{job="j"}"#, "1").await;
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_are_in_the_file_of_the_job() {
    let exporter = Exporter::start("a 1\n").await;
    let world = World::new().await;
    let path = world.folder.path().join("failures.json");
    world.apply(&format!("scrape_failure_log_file: '{}',", path.display()), &[&exporter]);
    world.until_last(r#"up{job="j"}"#, "1").await;
    // What cannot be read came through all the same.
    exporter.answer(200, TEXT, "{");
    world.until_last(r#"up{job="j"}"#, "0").await;
    exporter.answer(500, TEXT, "");
    let lines = || std::fs::read_to_string(&path).unwrap();
    until("a line", || lines().contains('\n')).await;
    let line: serde_json::Value = serde_json::from_str(lines().lines().next().unwrap()).unwrap();
    assert!(line["msg"].as_str().unwrap().starts_with("server returned HTTP status 500"), "{line}");
    assert_eq!(line["job_name"], "j");
    assert_eq!(line["target"], format!("http://{}/metrics", exporter.address));
    world.manager.shutdown().await;
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// The zero where a counter began is stored once, and so is its start if that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn counters_begin_where_targets_say() {
    let exporter = Exporter::start("").await;
    exporter.answer(200, OPEN_METRICS, "# TYPE c counter\nc_total 5\nc_created 1700000000\n# EOF\n");
    let features = Features { start_timestamps: true, zero_samples: true, ..Features::default() };
    let world = World::with_features(features).await;
    world.apply("", &[&exporter]);
    world.until_last(r#"c_total{job="j"}"#, "5").await;
    exporter.scraped_again().await;
    exporter.scraped_again().await;
    world.manager.shutdown().await;
    let all = world.read().await;
    let values = all.iter().find(|(labels, _)| labels.starts_with("c_total")).unwrap().1;
    assert_eq!((values[0].as_str(), values[1].as_str()), ("0", "5"));
    assert_eq!(values.iter().filter(|value| *value == "0").count(), 1);
    assert!(!all.keys().any(|labels| labels.starts_with("c_created")), "{all:?}");
    let snapshot = world.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
    let series = snapshot.series.iter().find(|series| series.labels.metric() == "c_total").unwrap();
    let mut run = Run::default();
    snapshot.memory.iter().for_each(|source| source.read(series.id, TimeRange::ALL, &mut run));
    assert_eq!((run.timestamps[0], run.start_timestamps[1]), (1_700_000_000_000, 1_700_000_000_000));
    let rejected = [&world.stats.ingest_rejected_out_of_order, &world.stats.ingest_rejected_duplicate];
    assert!(rejected.iter().all(|counter| counter.load(Ordering::Relaxed) == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_begin_with_their_first_sample_if_targets_say_nothing() {
    let exporter = Exporter::start("# TYPE c counter\nc 10\n# TYPE g gauge\ng 10\n").await;
    let world = World::with_features(Features { synthesize_starts: true, ..Features::default() }).await;
    world.apply("", &[&exporter]);
    world.until_last(r#"c{job="j"}"#, "0").await;
    world.until_last(r#"g{job="j"}"#, "10").await;
    exporter.answer(200, TEXT, "# TYPE c counter\nc 15\n");
    world.until_last(r#"c{job="j"}"#, "5").await;
    exporter.answer(200, TEXT, "# TYPE c counter\nc 2\n");
    world.until_last(r#"c{job="j"}"#, "2").await;
    world.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_units_become_labels() {
    let exporter = Exporter::start("").await;
    let body = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds{__type__=\"x\",b=\"c\"} 1\n# EOF\n";
    exporter.answer(200, OPEN_METRICS, body);
    let world = World::with_features(Features { type_and_unit_labels: true, ..Features::default() }).await;
    world.apply("", &[&exporter]);
    world.until_last(r#"a_seconds{__type__="gauge", __unit__="seconds", b="c", job="j"}"#, "1").await;
    world.manager.shutdown().await;
}

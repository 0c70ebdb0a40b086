//! Scraping end to end: a target over HTTP → the real store → what a query would read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use promlake::config::file::Config;
use promlake::ingest::appender::Appender;
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
    answer: Arc<Mutex<(u16, &'static str, String)>>,
    requests: Arc<AtomicUsize>,
    last_request: Arc<Mutex<String>>,
}

impl Exporter {
    async fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let exporter = Self {
            address: listener.local_addr().unwrap().to_string(),
            answer: Arc::new(Mutex::new((200, TEXT, body.to_string()))),
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
                        let response = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        requests.fetch_add(1, Ordering::SeqCst);
                        if socket.write_all(response.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        exporter
    }

    fn answer(&self, status: u16, content_type: &'static str, body: &str) {
        *self.answer.lock() = (status, content_type, body.to_string());
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
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
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
        let manager = ScrapeManager::new(appender, clock, "test-host", 1 << 20);
        Self { store, manager, stats, _folder: folder }
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

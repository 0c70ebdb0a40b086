//! Remote write out through the real binary: what was acknowledged arrives at the remote, once where nobody crashed, in
//! order, whatever the remote does meanwhile and however the sender ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Home, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// Sending, and nothing else.
mod agent;
mod sink;

use sink::{Got, Sink, refused, stored};

const DEADLINE: Duration = Duration::from_secs(60);
/// Batches go out soon.
const QUICK: &str = "queue_config: {batch_send_deadline: 100ms, min_backoff: 20ms, max_backoff: 200ms}";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

fn remote(sink: &Sink, more: &str) -> String {
    format!("remote_write: [{{url: '{}', {QUICK}, {more}}}]\n", sink.url())
}

/// Writes samples of some series to a server, and keeps what was acknowledged.
struct Writer {
    client: reqwest::Client,
    next_ms: i64,
    acknowledged: BTreeMap<(String, i64), f64>,
}

const SERIES: usize = 20;

impl Writer {
    fn new() -> Self {
        Self { client: reqwest::Client::new(), next_ms: now_ms() - 3_600_000, acknowledged: BTreeMap::new() }
    }

    /// So many requests with a sample of each series.
    async fn write(&mut self, server: &Promlake, requests: usize) {
        for _ in 0..requests {
            self.next_ms += 10;
            let value = (self.next_ms % 100_000) as f64;
            let names: Vec<String> = (0..SERIES).map(|n| n.to_string()).collect();
            let labels: Vec<_> = names.iter().map(|n| [("__name__", "m"), ("n", n.as_str())]).collect();
            let samples: Vec<_> = (0..SERIES).map(|n| [(self.next_ms, value + n as f64 / 64.0)]).collect();
            let series: Vec<Series<'_>> =
                labels.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
            assert_eq!(write(&self.client, &server.http, encode(&series)).await, Some(204));
            for (name, sample) in names.iter().zip(&samples) {
                self.acknowledged.insert((format!("m{{n={name}}}"), sample[0].0), sample[0].1);
            }
        }
    }

    fn is_stored(&self, stored: &BTreeMap<(String, i64), Got>) -> bool {
        self.acknowledged.keys().all(|key| stored.contains_key(key))
    }

    /// Waits until a remote has all of it, and compares.
    async fn arrives(&self, sink: &Sink) {
        wait_for("all samples", || self.is_stored(&sink.stored())).await;
        let stored = sink.stored();
        for ((series, timestamp), got) in &stored {
            let sent = self.acknowledged.get(&(series.clone(), *timestamp));
            assert_eq!(sent.copied(), Some(got.value), "{series} @{timestamp}");
        }
    }
}

async fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A metric of a server, summed over its series.
async fn metric(server: &Promlake, name: &str) -> f64 {
    let text = reqwest::get(server.url("/metrics")).await.expect("metrics").text().await.expect("a text");
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
    };
    text.lines().filter_map(of).sum()
}

/// Waits until all that came in is sent.
async fn settled(server: &Promlake) {
    let end = Instant::now() + DEADLINE;
    while metric(server, "prometheus_remote_storage_samples_pending").await > 0.0
        || metric(server, "promlake_remote_write_behind_objects").await > 0.0
    {
        assert!(Instant::now() < end, "something pends");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn both_messages_carry_all_there_is() {
    for (message, version) in [("prometheus.WriteRequest", "0.1.0"), ("io.prometheus.write.v2.Request", "2.0.0")] {
        let sink = Sink::start(|_, _| stored()).await;
        let config = format!(
            "global: {{external_labels: {{dc: fra}}}}\n{}",
            remote(
                &sink,
                &format!(
                    "protobuf_message: {message}, headers: {{X-Scope-OrgID: me}}, write_relabel_configs: \
                     [{{source_labels: [n], regex: 1.*, action: drop}}, {{regex: dc, action: labeldrop}}]"
                )
            )
        );
        let home = Home::on_disk();
        let server = home.start(&config, &[]);
        let mut writer = Writer::new();
        writer.write(&server, 5).await;
        writer.acknowledged.retain(|(series, _), _| !series.starts_with("m{n=1"));
        writer.arrives(&sink).await;
        assert_eq!(sink.again(), 0, "{message}");
        for request in sink.requests() {
            assert_eq!(request.headers["x-prometheus-remote-write-version"], version);
            assert_eq!(request.headers["x-scope-orgid"], "me");
            assert!(!request.headers.contains_key("retry-attempt"));
        }
        let dropped = metric(&server, "prometheus_remote_storage_samples_dropped_total").await;
        assert_eq!(dropped, 5.0 * 11.0, "{message}");
        assert_eq!(metric(&server, "prometheus_remote_storage_samples_failed_total").await, 0.0);
        // The counters follow the answer in a moment.
        wait_for("nothing pends", || {
            sink.stored().len() == 45 && sink.requests().iter().map(|r| r.samples.len()).sum::<usize>() == 45
        })
        .await;
        assert_eq!(metric(&server, "prometheus_remote_storage_samples_total").await, 45.0);
        assert!(server.stop().success());
    }
}

/// What a target exposes goes out with help texts, exemplars and external labels that lose against its own.
#[tokio::test]
async fn scrapes_go_out_with_their_metadata() {
    let page = "# HELP requests What came in.\n# TYPE requests counter\n\
                requests_total{dc=\"own\"} 7 # {trace_id=\"abc\"} 0.5\n# EOF\n";
    let target = page_server(page).await;
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        let sink = Sink::start(|_, _| stored()).await;
        let more =
            format!("send_exemplars: true, protobuf_message: {message}, metadata_config: {{send_interval: 200ms}}");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{dc: fra}}}}\n{}\
             scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{target}']}}]}}]\n",
            remote(&sink, &more)
        );
        let home = Home::on_disk();
        let server = home.start(&config, &[]);
        let (own, up) = (
            format!("requests_total{{dc=own,instance={target},job=j}}"),
            format!("up{{dc=fra,instance={target},job=j}}"),
        );
        wait_for("samples, help and an exemplar", || {
            let stored = sink.stored();
            let has = |series: &str| stored.keys().any(|(known, _)| known == series);
            let requests = sink.requests();
            // Of 1.0 it is that of the family, of 2.0 that of the series.
            let help =
                requests.iter().flat_map(|request| &request.metadata).any(|(_, help)| help == "What came in.");
            has(&own) && has(&up) && help && requests.iter().any(|request| request.exemplars == 1)
        })
        .await;
        assert!(server.stop().success());
    }
}

/// An exporter with one page.
async fn page_server(page: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                         Content-Length: {}\r\n\r\n",
                        page.len()
                    );
                    let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
                }
            });
        }
    });
    address
}

/// Failures that may pass are tried again with the same samples, those that do not are counted and left behind.
#[tokio::test]
async fn failures_of_the_remote() {
    let sink = Sink::start(|number, _| match number {
        0 => refused(503),
        1 => refused(500),
        2 => sink::Answer { headers: vec![("Retry-After", "1".to_string())], ..refused(503) },
        _ => stored(),
    })
    .await;
    let home = Home::on_disk();
    let server = home.start(&remote(&sink, ""), &[]);
    let mut writer = Writer::new();
    let began = Instant::now();
    writer.write(&server, 3).await;
    writer.arrives(&sink).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "the receiver asked for a second");
    assert_eq!(sink.again(), 0);
    let attempts: Vec<Option<String>> =
        sink.requests().iter().take(4).map(|request| request.headers.get("retry-attempt").cloned()).collect();
    assert_eq!(attempts, [None, Some("1".into()), Some("2".into()), Some("3".into())]);
    assert!(metric(&server, "prometheus_remote_storage_samples_retried_total").await > 0.0);
    assert_eq!(metric(&server, "prometheus_remote_storage_samples_failed_total").await, 0.0);

    // For good: dropped, counted, and what comes behind it is sent.
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = refusals.clone();
    sink.answers(move |_, seen| {
        counted.fetch_add(seen.samples.len(), Ordering::Relaxed);
        refused(422)
    });
    let before = sink.requests().len();
    writer.write(&server, 1).await;
    wait_for("a refusal", || sink.requests().len() > before).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    sink.answers(|_, _| stored());
    let refused = refusals.load(Ordering::Relaxed);
    assert_eq!(refused, SERIES, "a refused request is not sent again");
    writer.acknowledged.retain(|(_, timestamp), _| *timestamp < writer.next_ms);
    writer.write(&server, 1).await;
    writer.arrives(&sink).await;
    assert_eq!(metric(&server, "prometheus_remote_storage_samples_failed_total").await, refused as f64);
    assert!(server.stop().success());
}

/// A receiver of 1.0 that refuses a request for one of its samples, as Prometheus does for one out of order, gets all others.
#[tokio::test]
async fn one_bad_sample_costs_no_other() {
    let bad = Arc::new(std::sync::Mutex::new(None::<(String, i64)>));
    let judged = bad.clone();
    let sink = Sink::start(move |_, seen| {
        let bad = judged.lock().expect("nobody panics with it");
        let is_bad = |(name, at): (&str, i64)| bad.as_ref().is_some_and(|(n, t)| n == name && *t == at);
        match seen.samples.iter().any(|(name, at, _)| is_bad((name, *at))) {
            true => refused(400),
            false => stored(),
        }
    })
    .await;
    let home = Home::on_disk();
    let server = home.start(&remote(&sink, ""), &[]);
    let mut writer = Writer::new();
    let key = ("m{n=7}".to_string(), writer.next_ms + 20);
    *bad.lock().expect("nobody panics with it") = Some(key.clone());
    writer.write(&server, 5).await;
    writer.acknowledged.remove(&key);
    writer.arrives(&sink).await;
    assert!(!sink.stored().contains_key(&key));
    assert_eq!(metric(&server, "prometheus_remote_storage_samples_failed_total").await, 1.0);
    assert!(server.stop().success());
}

/// `kill -9` of the sender again and again, with a remote that fails now and then: nothing is lost, and what comes twice
/// is the same.
#[tokio::test]
async fn killed_senders_lose_nothing() {
    let sink = Sink::start(|number, _| if number % 5 == 3 { refused(503) } else { stored() }).await;
    let config = remote(&sink, "name: r");
    let home = Home::on_disk();
    let flags = ["--storage.flush-interval=1s"];
    let mut writer = Writer::new();
    for round in 0..4 {
        let server = home.start(&config, &flags);
        writer.write(&server, 50).await;
        if round == 2 {
            // Away for as long as a flush takes, which trims the log.
            sink.answers(|_, _| refused(503));
            writer.write(&server, 50).await;
            tokio::time::sleep(Duration::from_millis(2500)).await;
        }
        server.kill();
        sink.answers(|number, _| if number % 5 == 3 { refused(503) } else { stored() });
    }
    let server = home.start(&config, &flags);
    writer.write(&server, 10).await;
    writer.arrives(&sink).await;
    // What was sent before a kill comes again, and has been there since.
    settled(&server).await;
    assert!(server.stop().success());
    // A stop that is asked for leaves nothing to be sent twice.
    let again = sink.again();
    let server = home.start(&config, &flags);
    writer.write(&server, 1).await;
    writer.arrives(&sink).await;
    assert_eq!(sink.again(), again);
    assert!(server.stop().success());
}

/// One remote is away, the other one and the writers do not notice; and after it comes back it gets all of it, also what
/// the log no longer has.
#[tokio::test]
async fn a_remote_that_is_away_holds_up_nobody() {
    let (well, away) = (Sink::start(|_, _| stored()).await, Sink::start(|_, _| refused(503)).await);
    let config = format!(
        "remote_write: [{{url: '{}', name: well, {QUICK}}}, {{url: '{}', name: away, {QUICK}}}]\n",
        well.url(),
        away.url()
    );
    let home = Home::on_disk();
    let flags = [
        "--storage.flush-interval=500ms",
        "--storage.wal.retain-bytes=1",
        // A queue of a hundred samples, so that most of them are only in the log, or in the lake.
        "--storage.remote.buffer-bytes=1KB",
    ];
    let server = home.start(&config, &flags);
    let mut writer = Writer::new();
    for _ in 0..6 {
        writer.write(&server, 50).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    writer.arrives(&well).await;
    assert!(away.stored().is_empty());
    // The last of it is flushed, and trimmed.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    away.answers(|_, _| stored());
    writer.arrives(&away).await;
    assert!(metric(&server, "promlake_remote_write_gaps_total").await >= 1.0);
    assert!(metric(&server, "promlake_remote_write_lake_samples_total").await >= 1.0);
    assert!(server.stop().success());
}

/// The same where the operator would rather have what is new.
#[tokio::test]
async fn what_is_too_far_behind_may_be_dropped() {
    let sink = Sink::start(|_, _| refused(503)).await;
    let home = Home::on_disk();
    let flags = [
        "--storage.flush-interval=500ms",
        "--storage.wal.retain-bytes=1",
        "--storage.remote.when-behind=drop",
        "--storage.remote.buffer-bytes=1KB",
    ];
    let server = home.start(&remote(&sink, ""), &flags);
    let mut writer = Writer::new();
    writer.write(&server, 100).await;
    // Once they are flushed nothing but the remote needs the log of them.
    let end = Instant::now() + DEADLINE;
    while metric(&server, "promlake_head_samples").await > 0.0 {
        assert!(Instant::now() < end, "not flushed within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let old = writer.acknowledged.len();
    sink.answers(|_, _| stored());
    // These may be dropped as well, where they are flushed before the remote has come to them: so until some arrive.
    let last = writer.next_ms;
    let end = Instant::now() + DEADLINE;
    while !sink.stored().keys().any(|(_, timestamp)| *timestamp > last) {
        assert!(Instant::now() < end, "nothing new within {DEADLINE:?}");
        writer.write(&server, 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sink.stored().len() < old, "{}", sink.stored().len());
    assert!(metric(&server, "promlake_remote_write_missed_objects_total").await >= 1.0);
    assert!(server.stop().success());
}

/// A reload leaves a remote alone that did not change, and one that changed goes on where it was.
#[tokio::test]
async fn reloads() {
    let (one, two) = (Sink::start(|_, _| stored()).await, Sink::start(|_, _| refused(503)).await);
    let config = |more: &str| {
        format!(
            "remote_write: [{{url: '{}', name: one, {QUICK}}}, {{url: '{}', name: two, {QUICK}{more}}}]\n",
            one.url(),
            two.url()
        )
    };
    let home = Home::on_disk();
    let mut server = home.start(&config(""), &["--web.enable-lifecycle"]);
    let mut writer = Writer::new();
    writer.write(&server, 20).await;
    writer.arrives(&one).await;
    two.answers(|_, _| stored());
    let file = home.dir.path().join("prometheus.yml");
    std::fs::write(&file, config(", remote_timeout: 7s")).expect("writing the configuration");
    let client = reqwest::Client::new();
    let reload = || client.post(server.url("/-/reload")).send();
    assert_eq!(reload().await.expect("an answer").status(), 200);
    writer.arrives(&two).await;
    assert_eq!(one.again(), 0);
    // A file that cannot be used changes nothing.
    std::fs::write(&file, config(", sigv4: {region: x}")).expect("writing the configuration");
    assert_eq!(reload().await.expect("an answer").status(), 500);
    writer.write(&server, 5).await;
    writer.arrives(&two).await;
    // One that is gone is sent nothing any more.
    std::fs::write(&file, format!("remote_write: [{{url: '{}', name: one, {QUICK}}}]\n", one.url()))
        .expect("writing the configuration");
    assert_eq!(reload().await.expect("an answer").status(), 200);
    let before = two.stored().len();
    writer.write(&server, 5).await;
    writer.arrives(&one).await;
    assert_eq!((two.stored().len(), one.again()), (before, 0));
    assert!(server.log().iter().any(|line| line.contains("a remote is gone")));
    assert!(server.stop().success());
}

/// promlake to promlake, with the receiver restarted in between.
#[tokio::test]
async fn to_another_promlake() {
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        arrives_at_another_promlake(message).await;
    }
}

async fn arrives_at_another_promlake(message: &str) {
    let homes = [Home::on_disk(), Home::on_disk()];
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let receiver = homes[1].start(crate::support::NO_TARGETS, &[&listen]);
    let config = format!(
        "remote_write: [{{url: 'http://127.0.0.1:{port}/api/v1/write', protobuf_message: {message}, {QUICK}}}]\n"
    );
    let sender = homes[0].start(&config, &[]);
    let mut writer = Writer::new();
    writer.write(&sender, 20).await;
    receiver.kill();
    writer.write(&sender, 20).await;
    let receiver = homes[1].start(crate::support::NO_TARGETS, &[&listen]);
    writer.write(&sender, 20).await;
    let base = format!("http://127.0.0.1:{port}");
    let time = (now_ms() / 1000).to_string();
    let url = with_params(&format!("{base}/api/v1/query"), &[("query", "m[2h]"), ("time", &time)]);
    let end = Instant::now() + DEADLINE;
    loop {
        let (_, body) = get_json(&url).await;
        let mut found = BTreeMap::new();
        for series in body["data"]["result"].as_array().into_iter().flatten() {
            let n = series["metric"]["n"].as_str().expect("a label");
            for point in series["values"].as_array().expect("values") {
                let timestamp = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
                let value: f64 = point[1].as_str().and_then(|v| v.parse().ok()).expect("a value");
                assert!(found.insert((format!("m{{n={n}}}"), timestamp), value).is_none(), "{n} {timestamp} twice");
            }
        }
        if found.len() == writer.acknowledged.len() {
            assert_eq!(found, writer.acknowledged);
            break;
        }
        assert!(Instant::now() < end, "{} of {}", found.len(), writer.acknowledged.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sender.stop().success());
    assert!(receiver.stop().success());
}

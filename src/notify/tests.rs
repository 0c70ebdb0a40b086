//! Alerts on their way to Alertmanagers of the tests' own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex as SyncMutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::notifier::Notifier;
use super::options::Options;
use crate::config::file::Config;
use crate::discovery::group::Group;
use crate::model::alert::Alert;
use crate::model::labels::Labels;
use crate::telemetry::metrics::Value as MetricValue;

const DEADLINE: Duration = Duration::from_secs(30);
/// More answers than anybody asks for.
const OPEN: usize = 1000;

/// An Alertmanager that keeps what it is sent, and answers as often as it may.
#[derive(Clone)]
struct Fake {
    address: String,
    requests: Arc<SyncMutex<Vec<Request>>>,
    may_answer: Arc<Semaphore>,
    status: Arc<AtomicU16>,
}

#[derive(Clone, Debug, Default)]
struct Request {
    head: String,
    /// The label `n` of its alerts.
    numbers: Vec<u32>,
    alerts: Vec<Value>,
}

impl Fake {
    async fn start() -> Self {
        let fake = Self::closed().await;
        fake.may_answer.add_permits(OPEN);
        fake
    }

    /// One that does not answer yet.
    async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap().to_string(),
            requests: Arc::default(),
            may_answer: Arc::new(Semaphore::new(0)),
            status: Arc::new(AtomicU16::new(200)),
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.talk(stream).await });
            }
        });
        fake
    }

    async fn talk(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length?];
        stream.read_exact(&mut body).await.ok()?;
        let alerts: Vec<Value> = serde_json::from_slice(&body).expect("a list in JSON");
        let number = |alert: &Value| alert["labels"]["n"].as_str().expect("a number").parse().expect("a number");
        let numbers = alerts.iter().map(number).collect();
        self.requests.lock().push(Request { head, numbers, alerts });
        self.may_answer.acquire().await.ok()?.forget();
        let status = self.status.load(Ordering::Relaxed);
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwhy\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
        Some(())
    }

    fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address)
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.requests.lock().iter().map(|request| request.numbers.clone()).collect()
    }

    async fn gets(&self, batches: &[&[u32]]) {
        wait_for(|| self.batches().len() >= batches.len(), || format!("{:?}", self.batches())).await;
        assert_eq!(self.batches(), batches);
    }

    /// All alerts so far are these, in any batches.
    async fn has(&self, numbers: std::ops::RangeInclusive<u32>) {
        let all = || self.batches().concat();
        wait_for(|| all().len() >= numbers.clone().count(), || format!("{:?}", all())).await;
        assert_eq!(all(), numbers.collect::<Vec<_>>());
    }
}

async fn wait_for(mut reached: impl FnMut() -> bool, got: impl Fn() -> String) {
    let end = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {}", got());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn notifier(options: Options) -> Notifier {
    Notifier::new(Arc::new(|| 1_700_000_000_000), options)
}

fn small() -> Options {
    Options { queue_capacity: 5, batch_size: 2, ..Options::default() }
}

fn config(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|mistakes| panic!("{text}: {}", mistakes.shown("")))
}

/// Entries of Alertmanagers, each as its keys.
fn entries(entries: &[String]) -> Config {
    let entries: Vec<String> = entries.iter().map(|entry| format!("{{{entry}}}")).collect();
    config(&format!("alerting: {{alertmanagers: [{}]}}", entries.join(", ")))
}

fn at(fakes: &[&Fake]) -> String {
    let addresses: Vec<String> = fakes.iter().map(|fake| format!("'{}'", fake.address)).collect();
    format!("static_configs: [{{targets: [{}]}}]", addresses.join(", "))
}

fn install(notifier: &Notifier, config: &Config) {
    let prepared = notifier.prepare(config).unwrap();
    notifier.install(prepared);
}

fn alert(number: u32, labels: &[(&str, &str)]) -> Alert {
    let number = number.to_string();
    let all = [("alertname", "A"), ("n", number.as_str())];
    Alert {
        labels: Labels::from_pairs(all.iter().chain(labels).copied()),
        annotations: vec![],
        starts_at_ms: 0,
        ends_at_ms: 1,
        generator_url: String::new(),
    }
}

fn alerts(numbers: impl IntoIterator<Item = u32>) -> Vec<Alert> {
    numbers.into_iter().map(|number| alert(number, &[])).collect()
}

/// A number of an Alertmanager, or of all; `None` where there is none.
fn number(notifier: &Notifier, name: &str, url: &str) -> Option<f64> {
    let families = notifier.families();
    let family = families.iter().find(|family| family.name == format!("prometheus_notifications_{name}"))?;
    let sample = family.samples.iter().find(|sample| sample.labels.iter().all(|(_, value)| value == url))?;
    match &sample.value {
        MetricValue::Number(number) => Some(*number),
        MetricValue::Summary(summary) => Some(summary.count as f64),
        MetricValue::Histogram(histogram) => Some(histogram.count() as f64),
    }
}

/// Waits until this many alerts are in these states: sent, errors, dropped, in the queue.
async fn counts(notifier: &Notifier, fake: &Fake, want: [u32; 4]) {
    let names = ["sent", "errors", "dropped", "queue_length"];
    let got = || names.map(|name| number(notifier, name, &fake.url()).unwrap_or(f64::NAN));
    wait_for(|| got() == want.map(f64::from), || format!("{:?}, wanted {want:?}", got())).await;
}

#[tokio::test]
async fn alerts_go_in_batches_as_the_section_says() {
    let fake = Fake::start().await;
    let notifier = notifier(Options { batch_size: 3, ..Options::default() });
    notifier.send(alerts(0..1));
    let more = "path_prefix: /am/, basic_auth: {username: ann, password: 'a:b'}";
    install(&notifier, &entries(&[format!("{}, {more}", at(&[&fake]))]));
    notifier.send(alerts(1..=7));
    fake.gets(&[&[1, 2, 3], &[4, 5, 6], &[7]]).await;
    let request = fake.requests.lock()[0].clone();
    assert!(request.head.starts_with("post /am/api/v2/alerts http/1.1\r\n"), "{}", request.head);
    // The head is in small letters, that of `ann:a:b` too.
    for line in ["content-type: application/json", "authorization: basic yw5uome6yg=="] {
        assert!(request.head.contains(&format!("{line}\r\n")), "{line} in {}", request.head);
    }
    assert_eq!(request.alerts[0]["endsAt"], "1970-01-01T00:00:00.001Z");
    let url = format!("http://{}/am/api/v2/alerts", fake.address);
    wait_for(|| number(&notifier, "sent", &url) == Some(7.0), || "sent".to_string()).await;
    assert_eq!(number(&notifier, "latency_seconds", &url), Some(3.0));
    assert_eq!(number(&notifier, "latency_histogram_seconds", &url), Some(3.0));
    assert_eq!(number(&notifier, "queue_length", &url), Some(0.0));
    assert_eq!(number(&notifier, "queue_capacity", ""), Some(10_000.0));
    assert_eq!(number(&notifier, "alertmanagers_discovered", ""), Some(1.0));
    notifier.send(vec![]);
    notifier.shutdown().await;
    assert_eq!(fake.batches().len(), 3);
    // Nobody is there any more.
    assert_eq!(number(&notifier, "sent", &url), None);
}

#[tokio::test]
async fn a_full_queue_loses_its_oldest() {
    let fake = Fake::closed().await;
    let notifier = notifier(small());
    install(&notifier, &entries(&[at(&[&fake])]));
    notifier.send(alerts(1..=2));
    fake.gets(&[&[1, 2]]).await;
    notifier.send(alerts(3..=6));
    counts(&notifier, &fake, [0, 0, 0, 4]).await;
    notifier.send(alerts(7..=9));
    counts(&notifier, &fake, [0, 0, 2, 5]).await;
    // More than there is room for at all.
    notifier.send(alerts(10..=16));
    counts(&notifier, &fake, [0, 0, 9, 5]).await;
    fake.may_answer.add_permits(OPEN);
    fake.gets(&[&[1, 2], &[12, 13], &[14, 15], &[16]]).await;
    counts(&notifier, &fake, [7, 0, 9, 0]).await;
    notifier.shutdown().await;
}

#[tokio::test]
async fn labels_are_those_of_the_server_and_the_rules() {
    let (all, pages) = (Fake::start().await, Fake::start().await);
    let notifier = notifier(Options::default());
    install(
        &notifier,
        &config(&format!(
            "global: {{external_labels: {{cluster: eu, replica: a}}}}\n\
             alerting:\n\
             \x20 alert_relabel_configs: [{{action: labeldrop, regex: replica}}, \
             {{action: drop, source_labels: [severity], regex: info}}]\n\
             \x20 alertmanagers:\n\
             \x20 - {{{}}}\n\
             \x20 - {{{}, alert_relabel_configs: [{{action: keep, source_labels: [severity], regex: page}}, \
             {{target_label: team, replacement: x}}]}}\n",
            at(&[&all]),
            at(&[&pages]),
        )),
    );
    let severity = |number, severity: &str| alert(number, &[("severity", severity), ("cluster", "us")]);
    notifier.send(vec![alert(1, &[]), severity(2, "info"), severity(3, "page")]);
    // Nothing is left of these.
    notifier.send(vec![severity(4, "info")]);
    all.gets(&[&[1, 3]]).await;
    pages.gets(&[&[3]]).await;
    let labels = |fake: &Fake, at: usize| fake.requests.lock()[0].alerts[at]["labels"].clone();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(labels(&all, 0), json(r#"{"alertname": "A", "n": "1", "cluster": "eu"}"#));
    assert_eq!(labels(&all, 1), json(r#"{"alertname": "A", "n": "3", "cluster": "us", "severity": "page"}"#));
    let of_team = r#"{"alertname": "A", "n": "3", "cluster": "us", "severity": "page", "team": "x"}"#;
    assert_eq!(labels(&pages, 0), json(of_team));
    notifier.shutdown().await;
}

#[tokio::test]
async fn one_that_is_slow_or_away_holds_up_no_other() {
    let (slow, broken, good) = (Fake::closed().await, Fake::start().await, Fake::start().await);
    broken.status.store(503, Ordering::Relaxed);
    let away = Fake { address: "127.0.0.1:1".to_string(), ..slow.clone() };
    let notifier = notifier(Options { batch_size: 2, drain_deadline: Duration::ZERO, ..Options::default() });
    install(&notifier, &entries(&[format!("timeout: 1h, {}", at(&[&slow, &broken, &away, &good]))]));
    notifier.send(alerts(1..=6));
    good.has(1..=6).await;
    counts(&notifier, &good, [6, 0, 0, 0]).await;
    counts(&notifier, &slow, [0, 0, 0, 4]).await;
    // What failed is not sent again, and what comes next is tried.
    counts(&notifier, &broken, [0, 6, 6, 0]).await;
    counts(&notifier, &away, [0, 6, 6, 0]).await;
    broken.status.store(202, Ordering::Relaxed);
    notifier.send(alerts(7..=7));
    broken.has(1..=7).await;
    counts(&notifier, &broken, [1, 6, 6, 0]).await;
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_request_has_its_time() {
    let slow = Fake::closed().await;
    let notifier = notifier(small());
    install(&notifier, &entries(&[format!("timeout: 50ms, {}", at(&[&slow]))]));
    notifier.send(alerts(1..=3));
    slow.gets(&[&[1, 2], &[3]]).await;
    counts(&notifier, &slow, [0, 3, 3, 0]).await;
    notifier.shutdown().await;
}

#[tokio::test]
async fn what_waits_is_sent_before_the_end_or_dropped() {
    for drain_on_shutdown in [true, false] {
        let fake = Fake::closed().await;
        let notifier = Arc::new(notifier(Options { drain_on_shutdown, ..small() }));
        install(&notifier, &entries(&[at(&[&fake])]));
        notifier.send(alerts(1..=2));
        fake.gets(&[&[1, 2]]).await;
        notifier.send(alerts(3..=7));
        let ending = tokio::spawn({
            let notifier = notifier.clone();
            async move { notifier.shutdown().await }
        });
        wait_for(|| notifier.alertmanagers().is_empty(), || "it stops".to_string()).await;
        // Too late.
        notifier.send(alerts(8..=8));
        assert!(!ending.is_finished(), "a request under way is waited for");
        fake.may_answer.add_permits(OPEN);
        ending.await.unwrap();
        fake.has(1..=if drain_on_shutdown { 7 } else { 2 }).await;
    }
}

/// An Alertmanager that does not answer must not keep the server from its end.
#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let fake = Fake::closed().await;
    let notifier = notifier(Options { drain_deadline: Duration::from_millis(100), ..small() });
    install(&notifier, &entries(&[format!("timeout: 1h, {}", at(&[&fake]))]));
    notifier.send(alerts(1..=5));
    fake.gets(&[&[1, 2]]).await;
    let began = Instant::now();
    notifier.shutdown().await;
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    assert_eq!(fake.batches().len(), 1);
}

#[tokio::test]
async fn a_reload_keeps_the_queues_of_those_that_stay() {
    let (stays, goes, comes) = (Fake::closed().await, Fake::closed().await, Fake::start().await);
    let notifier = notifier(small());
    install(&notifier, &entries(&[format!("timeout: 1h, {}", at(&[&stays, &goes]))]));
    notifier.send(alerts(1..=4));
    stays.gets(&[&[1, 2]]).await;
    goes.gets(&[&[1, 2]]).await;
    // Another first entry, another timeout, another user.
    let second = format!("timeout: 2h, basic_auth: {{username: ann}}, {}", at(&[&stays]));
    install(&notifier, &entries(&[at(&[&comes]), second.clone()]));
    assert_eq!(notifier.alertmanagers(), [comes.url(), stays.url()]);
    counts(&notifier, &stays, [0, 0, 0, 2]).await;
    notifier.send(alerts(5..=5));
    comes.gets(&[&[5]]).await;
    // The one that is gone gets what was its own.
    goes.may_answer.add_permits(OPEN);
    goes.gets(&[&[1, 2], &[3, 4]]).await;
    wait_for(|| number(&notifier, "sent", &goes.url()).is_none(), || "it is gone".to_string()).await;
    stays.may_answer.add_permits(OPEN);
    stays.gets(&[&[1, 2], &[3, 4], &[5]]).await;
    let authorized = |at: usize| stays.requests.lock()[at].head.contains("authorization: basic ");
    assert_eq!([authorized(0), authorized(1)], [false, true], "what is sent next is sent as the new settings say");
    // What cannot be used changes nothing.
    let unusable = format!("{second}, tls_config: {{ca_ref: nobody}}");
    let error = notifier.prepare(&entries(&[at(&[&comes]), unusable])).unwrap_err();
    assert!(error.message.starts_with("alerting.alertmanagers[1]: "), "{error}");
    assert_eq!(notifier.alertmanagers(), [comes.url(), stays.url()]);
    install(&notifier, &Config::empty());
    assert_eq!(notifier.alertmanagers(), [""; 0]);
    notifier.shutdown().await;
}

fn group(source: &str, addresses: &[&str], labels: &[(&str, &str)]) -> Arc<Group> {
    let targets = addresses.iter().map(|address| Labels::from_pairs([("__address__", *address)]));
    Arc::new(Group {
        source: source.to_string(),
        targets: targets.collect(),
        labels: Labels::from_pairs(labels.iter().copied()),
    })
}

#[tokio::test]
async fn alertmanagers_are_found_and_relabelled() {
    let fake = Fake::start().await;
    let notifier = notifier(Options::default());
    let entry = |more: &str| {
        format!(
            "scheme: https, {}, file_sd_configs: [{{files: [none.yml]}}], relabel_configs: [{{source_labels: [drop], \
             regex: x, action: drop}}, {{source_labels: [__address__], regex: '127.*', target_label: __scheme__, \
             replacement: http}}]{more}",
            at(&[&fake, &fake])
        )
    };
    install(&notifier, &entries(&[entry("")]));
    assert_eq!(notifier.alertmanagers(), [fake.url()], "one that is there twice is one");
    let groups = vec![
        group("a", &[&fake.address, "127.0.0.9:1"], &[]),
        group("b", &["b:1", "b:2"], &[("drop", "x"), ("__alerts_path__", "/x")]),
    ];
    notifier.update_targets("config-0", groups);
    let found = [fake.url(), "http://127.0.0.9:1/api/v2/alerts".to_string()];
    assert_eq!(notifier.alertmanagers(), found);
    assert_eq!(notifier.dropped_alertmanagers(), ["https://b:1/x", "https://b:2/x"]);
    let discovered =
        notifier.families().into_iter().find(|family| family.name == "prometheus_sd_discovered_targets");
    assert_eq!(discovered.unwrap().samples[0].value, MetricValue::Number(6.0));
    notifier.send(alerts(1..=1));
    fake.gets(&[&[1]]).await;
    // A reload knows what was found, wherever the entry stands.
    install(&notifier, &entries(&[at(&[&fake]), entry(", timeout: 3s")]));
    let with_first: Vec<String> = std::iter::once(fake.url()).chain(found).collect();
    assert_eq!(notifier.alertmanagers(), with_first);
    // Of an entry that nobody discovers anything for, and of none.
    notifier.update_targets("config-0", vec![group("a", &["127.0.0.9:2"], &[])]);
    notifier.update_targets("config-2", vec![group("a", &["127.0.0.9:2"], &[])]);
    assert_eq!(notifier.alertmanagers(), with_first);
    notifier.update_targets("config-1", vec![]);
    assert_eq!(notifier.alertmanagers(), [fake.url(), fake.url()]);
    // Each entry sends to it, and both count for it.
    notifier.send(alerts(2..=2));
    wait_for(|| fake.batches().len() == 3, || format!("{:?}", fake.batches())).await;
    counts(&notifier, &fake, [3, 0, 0, 0]).await;
    let urls: BTreeSet<String> = notifier.alertmanagers().into_iter().collect();
    let lines =
        notifier.families().into_iter().find(|family| family.name == "prometheus_notifications_sent").unwrap();
    assert_eq!((urls.len(), lines.samples.len()), (1, 1));
    notifier.shutdown().await;
}

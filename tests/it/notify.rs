//! Alertmanagers through the real binary: what the API tells of them, reloads, and what is refused; and alerts to the real
//! Alertmanager, which fire and are resolved.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use promlake::config::file::Config;
use promlake::model::alert::Alert;
use promlake::model::labels::Labels;
use promlake::notify::notifier::Notifier;
use promlake::notify::options::Options;
use promlake::telemetry::metrics::Value::Number;

use crate::skip::skip_for_now;
use crate::support::{Home, NO_TARGETS, Promlake, get_json};

const DEADLINE: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

fn urls(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["url"].as_str().expect("a URL")).collect()
}

/// Waits until these Alertmanagers are there, and these are dropped.
async fn alertmanagers(server: &Promlake, active: &[&str], dropped: &[&str]) {
    let end = Instant::now() + DEADLINE;
    loop {
        let (status, answer) = get_json(&server.url("/api/v1/alertmanagers")).await;
        assert_eq!((status, &answer["status"]), (200, &json!("success")), "{answer}");
        let data = &answer["data"];
        let got = (urls(&data["activeAlertmanagers"]), urls(&data["droppedAlertmanagers"]));
        if got == (active.to_vec(), dropped.to_vec()) {
            return;
        }
        assert!(Instant::now() < end, "{got:?}, wanted {active:?} and {dropped:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn reload(home: &Home, server: &Promlake, config: &str) -> (u16, String) {
    std::fs::write(home.dir.path().join("prometheus.yml"), config).expect("writing the configuration");
    let answer = reqwest::Client::new().post(server.url("/-/reload")).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn the_api_tells_of_alertmanagers() {
    let home = Home::on_disk();
    let file = home.dir.path().join("am.json");
    let write = |text: &str| std::fs::write(&file, text).expect("writing");
    write(r#"[{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]"#);
    let config = "alerting:\n  alertmanagers:\n  - path_prefix: am/\n    static_configs: [{targets: ['127.0.0.1:1', am.invalid]}]\n    \
                  file_sd_configs: [{files: [am.json]}]\n    relabel_configs: [{source_labels: [__address__], regex: \
                  '.*:2', action: drop}]\n";
    let server = home.start(config, &["--web.enable-lifecycle", "--alertmanager.notification-queue-capacity=7"]);
    let (first, second) = ("http://127.0.0.1:1/am/api/v2/alerts", "http://am.invalid/am/api/v2/alerts");
    let dropped = "http://127.0.0.1:2/am/api/v2/alerts";
    alertmanagers(&server, &[first, second], &[dropped]).await;
    write(r#"[{"targets": ["127.0.0.1:3"]}]"#);
    alertmanagers(&server, &[first, second, "http://127.0.0.1:3/am/api/v2/alerts"], &[]).await;

    let page = reqwest::get(server.url("/metrics")).await.expect("the page").text().await.expect("its text");
    for line in [
        "prometheus_notifications_alertmanagers_discovered 3",
        "prometheus_notifications_queue_capacity 7",
        "prometheus_notifications_sent_total{alertmanager=\"http://am.invalid/am/api/v2/alerts\"} 0",
        "prometheus_sd_discovered_targets{config=\"config-0\",name=\"notify\"} 3",
        "prometheus_sd_failed_configs{name=\"notify\"} 0",
        "prometheus_sd_failed_configs{name=\"scrape\"} 0",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "no {line} in\n{page}");
    }

    // What cannot be used is refused with its place, and changes nothing.
    let bad =
        "alerting:\n  alertmanagers:\n  - tls_config: {ca_ref: nobody}\n    static_configs: [{targets: [x]}]\n";
    let (status, text) = reload(&home, &server, bad).await;
    assert!(status == 500 && text.contains("alerting.alertmanagers[0]"), "{status} {text}");
    let (status, text) = reload(&home, &server, "alerting:\n  alertmanagers:\n  - sigv4: {region: x}\n").await;
    assert!(status == 500 && text.contains("3: alerting.alertmanagers[0].sigv4: is not supported yet"), "{text}");
    alertmanagers(&server, &[first, second, "http://127.0.0.1:3/am/api/v2/alerts"], &[]).await;
    assert_eq!(reload(&home, &server, NO_TARGETS).await.0, 200);
    alertmanagers(&server, &[], &[]).await;
    assert!(server.stop().success());
}

/// Debian's.
struct Alertmanager {
    child: Child,
    address: String,
    data: tempfile::TempDir,
}

impl Alertmanager {
    const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";

    /// `None` where it is not installed.
    async fn start() -> Option<Self> {
        if !Path::new(Self::PROGRAM).exists() {
            skip_for_now("alerts to a real Alertmanager", &format!("{} is missing", Self::PROGRAM));
            return None;
        }
        let data = tempfile::tempdir().expect("a temporary folder");
        let config = data.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("writing");
        // It cannot be asked which port it took, so one is chosen for it.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let child = Self::launch(&data, &address);
        let started = Self { child, address, data };
        started.is_ready().await;
        Some(started)
    }

    fn launch(data: &tempfile::TempDir, address: &str) -> Child {
        Command::new(Self::PROGRAM)
            .arg(format!("--config.file={}", data.path().join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting it")
    }

    async fn is_ready(&self) {
        let end = Instant::now() + DEADLINE;
        let ready = format!("http://{}/-/ready", self.address);
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < end, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Killed: it forgets its alerts.
    fn kill(&mut self) {
        self.child.kill().expect("killing it");
        self.child.wait().expect("waiting for it");
    }

    async fn start_again(&mut self) {
        self.child = Self::launch(&self.data, &self.address);
        self.is_ready().await;
    }

    /// Waits for alerts of which this is true.
    async fn shows(&self, is_right: impl Fn(&[Value]) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let (_, answer) = get_json(&format!("http://{}/api/v2/alerts", self.address)).await;
            if is_right(answer.as_array().expect("a list")) {
                return;
            }
            assert!(Instant::now() < end, "{answer:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_alert_fires_and_is_resolved_at_a_real_alertmanager() {
    let Some(mut alertmanager) = Alertmanager::start().await else { return };
    let notifier = Notifier::new(Arc::new(now_ms), Options::default());
    let config = Config::parse(&format!(
        "global: {{external_labels: {{cluster: eu}}}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
        alertmanager.address
    ));
    notifier.install(notifier.prepare(&config.expect("a good configuration")).expect("a usable one"));
    let starts_at_ms = now_ms() - 90_123;
    let alert = |name: &str, ends_at_ms: i64| Alert {
        labels: Labels::from_pairs([("alertname", name), ("path", "a<b&c \"ü\"")]),
        annotations: vec![
            ("empty".to_string(), String::new()),
            ("summary".to_string(), "it is slow\n".to_string()),
        ],
        starts_at_ms,
        ends_at_ms,
        generator_url: "http://server:9090/graph?g0.expr=up+%3E+0&g0.tab=1".to_string(),
    };
    notifier.send(vec![alert("Slow", now_ms() + 240_000), alert("Other", now_ms() + 240_000)]);
    let named = |alerts: &[Value], name: &str| alerts.iter().find(|a| a["labels"]["alertname"] == name).cloned();
    alertmanager.shows(|alerts| alerts.len() == 2).await;
    let starts_at = chrono::DateTime::from_timestamp_millis(starts_at_ms)
        .expect("a time")
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    alertmanager
        .shows(|alerts| {
            named(alerts, "Slow").is_some_and(|slow| {
                slow["labels"] == json!({"alertname": "Slow", "cluster": "eu", "path": "a<b&c \"ü\""})
                    && slow["annotations"]["summary"] == "it is slow\n"
                    && slow["startsAt"] == json!(starts_at)
                    && slow["generatorURL"] == "http://server:9090/graph?g0.expr=up+%3E+0&g0.tab=1"
            })
        })
        .await;
    // What is resolved is shown no more; the other one still fires.
    notifier.send(vec![alert("Slow", now_ms() - 1), alert("Other", now_ms() + 240_000)]);
    alertmanager.shows(|alerts| alerts.len() == 1 && named(alerts, "Other").is_some()).await;

    // While it is away alerts are lost, and counted; when it is back the next ones are told.
    let counts = async |name: &str, want: f64| {
        let name = format!("prometheus_notifications_{name}");
        let end = Instant::now() + DEADLINE;
        loop {
            let family = notifier.families().into_iter().find(|family| family.name == name).expect("the family");
            if family.samples[0].value == Number(want) {
                return;
            }
            assert!(Instant::now() < end, "{family:?}, wanted {want}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    alertmanager.kill();
    notifier.send(vec![alert("Lost", now_ms() + 240_000)]);
    counts("errors", 1.0).await;
    alertmanager.start_again().await;
    notifier.send(vec![alert("Slow", now_ms() + 240_000), alert("Other", now_ms() + 240_000)]);
    alertmanager
        .shows(|alerts| ["Slow", "Other"].iter().all(|name| named(alerts, name).is_some()) && alerts.len() == 2)
        .await;
    counts("sent", 6.0).await;
    counts("dropped", 1.0).await;
    notifier.shutdown().await;
}

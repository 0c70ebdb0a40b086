//! `promlake.alert_history` through the real binary: what alerts do is a row of the lake, over the Postgres port, through
//! crashes, reloads and stops.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{Home, Promlake, write};
use crate::write_request::{Series, encode};

const DEADLINE: Duration = Duration::from_secs(40);

const RULES: &str = "
groups:
- name: rooms
  rules:
  - alert: Hot
    expr: temperature > 30
    for: 2s
    labels: {severity: page}
    annotations: {summary: '{{ $labels.room }} has {{ $value }}'}
  - {alert: Warm, expr: temperature > 25}
";

/// How often each alert has fired in its room, and for how many seconds. What fires fires until now.
const MOST_FIRED: &str = "
SELECT alert, labels['room'] AS room, count(*) AS fired, sum(ends - begins) AS seconds
FROM (
    SELECT alert, labels, to_state, extract(epoch FROM time) AS begins,
        coalesce(lead(extract(epoch FROM time)) OVER (PARTITION BY labels ORDER BY time), extract(epoch FROM now())) AS ends
    FROM promlake.alert_history
    WHERE time >= now() - INTERVAL '30 days'
)
WHERE to_state = 'firing'
GROUP BY alert, room
ORDER BY fired DESC, alert";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// Sets the temperature of a room.
async fn put(server: &Promlake, room: &str, degrees: f64) {
    let samples = [(now_ms(), degrees)];
    let body = encode(&[Series { labels: &[("__name__", "temperature"), ("room", room)], samples: &samples }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
}

async fn connect(server: &Promlake) -> Client {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Rows of a simple query, cells joined by spaces.
async fn rows(server: &Promlake, sql: &str) -> Vec<String> {
    let client = connect(server).await;
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join(" ")).collect()
}

/// What an alert did, in the order of time: `from>to`.
async fn history(server: &Promlake, alert: &str) -> Vec<String> {
    let sql = format!(
        "SELECT from_state || '>' || to_state FROM promlake.alert_history WHERE alert = '{alert}' ORDER BY time"
    );
    rows(server, &sql).await
}

/// Asks until an alert has done this and no more.
async fn until(server: &Promlake, alert: &str, expected: &[&str]) {
    let end = Instant::now() + DEADLINE;
    loop {
        let got = history(server, alert).await;
        if got == expected {
            return;
        }
        assert!(Instant::now() < end, "{alert}: {got:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn configure(home: &Home, rules: &str) -> String {
    std::fs::write(home.dir.path().join("rules.yml"), rules).expect("writing the rules");
    "global: {evaluation_interval: 1s}\nrule_files: ['rules*.yml']\n".to_string()
}

#[tokio::test]
async fn what_alerts_did_is_a_table() {
    let home = Home::on_disk();
    let config = configure(&home, RULES);
    let server = home.start(&config, &["--storage.node=one"]);
    put(&server, "kitchen", 42.0).await;
    put(&server, "hall", 20.0).await;
    until(&server, "Hot", &["inactive>pending", "pending>firing"]).await;
    until(&server, "Warm", &["inactive>firing"]).await;
    let fired = "SELECT labels, annotations, value, rule_group, node FROM promlake.alert_history \
                 WHERE alert = 'Hot' AND to_state = 'firing' AND file LIKE '%rules.yml'";
    let labels = r#"{"alertname":"Hot","room":"kitchen","severity":"page"}"#;
    let expected = format!(r#"{labels} {{"summary":"kitchen has 42"}} 42 rooms one"#);
    assert_eq!(rows(&server, fired).await, [expected]);
    // Times are those of evaluations, and choose what is read.
    let waited = "SELECT extract(epoch FROM max(time)) - extract(epoch FROM min(time)) FROM promlake.alert_history \
                  WHERE alert = 'Hot' AND time > now() - INTERVAL '5 minutes'";
    let seconds: f64 = rows(&server, waited).await[0].parse().expect("seconds");
    assert!((2.0..20.0).contains(&seconds), "{seconds}");
    let later = "SELECT count(*) FROM promlake.alert_history WHERE time > now()";
    assert_eq!(rows(&server, later).await, ["0"]);

    // Both fire and go on to fire, which is no change; after a crash Hot waits anew, as in Prometheus.
    server.kill();
    let server = home.start(&config, &["--storage.node=one"]);
    put(&server, "kitchen", 43.0).await;
    until(&server, "Hot", &["inactive>pending", "pending>firing", "firing>pending", "pending>firing"]).await;
    assert_eq!(history(&server, "Warm").await, ["inactive>firing"]);
    put(&server, "kitchen", 21.0).await;
    until(&server, "Warm", &["inactive>firing", "firing>inactive"]).await;
    let resolved = ["inactive>pending", "pending>firing", "firing>pending", "pending>firing", "firing>inactive"];
    until(&server, "Hot", &resolved).await;

    // What is told last is written by the stop.
    put(&server, "kitchen", 27.0).await;
    let end = Instant::now() + DEADLINE;
    while rows(&server, "SELECT state FROM promlake.alerts WHERE name = 'Warm'").await != ["firing"] {
        assert!(Instant::now() < end, "Warm does not fire");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.stop().success());
    let server = home.start(&config, &["--storage.node=one"]);
    assert_eq!(history(&server, "Warm").await, ["inactive>firing", "firing>inactive", "inactive>firing"]);

    let most = rows(&server, MOST_FIRED).await;
    let shown: Vec<Vec<&str>> = most.iter().map(|row| row.splitn(4, ' ').collect()).collect();
    let counted: Vec<&[&str]> = shown.iter().map(|row| &row[..3]).collect();
    assert_eq!(counted, [["Hot", "kitchen", "2"], ["Warm", "kitchen", "2"]], "{most:?}");
    let seconds: f64 = shown[0][3].parse().expect("seconds");
    assert!(seconds > 0.0 && seconds < DEADLINE.as_secs_f64() * 4.0, "{most:?}");
    assert!(server.stop().success());
}

/// What ends while nobody looks has an end all the same: a rule that a reload takes away, an alert that is resolved while the
/// server is down, a group that is gone after a start.
#[tokio::test]
async fn everything_that_fires_ends() {
    let home = Home::on_disk();
    let rules = "
groups:
- name: a
  rules:
  - {alert: Resolved, expr: temperature > 25}
  - {alert: Removed, expr: temperature > 25}
- name: b
  rules:
  - {alert: GroupGone, expr: vector(1)}
- name: c
  rules:
  - {alert: Stays, expr: vector(1)}
";
    let config = configure(&home, rules);
    let mut server = home.start(&config, &[]);
    put(&server, "kitchen", 42.0).await;
    for alert in ["Resolved", "Removed", "GroupGone", "Stays"] {
        until(&server, alert, &["inactive>firing"]).await;
    }
    let without = rules.replace("  - {alert: Removed, expr: temperature > 25}\n", "");
    configure(&home, &without);
    server.signal("HUP");
    server.wait_for_line("configuration reloaded");
    until(&server, "Removed", &["inactive>firing", "firing>inactive"]).await;
    server.kill();

    // Behind the start the sample is too old to be looked back at.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let config =
        configure(&home, &without.replace("- name: b\n  rules:\n  - {alert: GroupGone, expr: vector(1)}\n", ""));
    let server = home.start(&config, &["--query.lookback-delta=5s"]);
    until(&server, "GroupGone", &["inactive>firing", "firing>inactive"]).await;
    until(&server, "Resolved", &["inactive>firing", "firing>inactive"]).await;
    assert_eq!(history(&server, "Stays").await, ["inactive>firing"]);
    let unknown =
        "SELECT value, annotations FROM promlake.alert_history WHERE alert = 'Resolved' AND to_state = 'inactive'";
    assert_eq!(rows(&server, unknown).await, ["NULL {}"]);
    assert!(server.stop().success());
}

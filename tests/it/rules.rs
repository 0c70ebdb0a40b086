//! Rules through the real binary: files, results, alerts with their templates, the API, reloads and restarts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Home, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

const DEADLINE: Duration = Duration::from_secs(40);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// Keeps the alerts that are posted to it.
#[derive(Clone, Default)]
struct Alertmanager(Arc<Mutex<Vec<Value>>>);

impl Alertmanager {
    fn start() -> (String, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let this = Self::default();
        let kept = this.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                if reader.read_exact(&mut body).is_ok() {
                    let alerts: Vec<Value> = serde_json::from_slice(&body).unwrap_or_default();
                    kept.0.lock().unwrap().extend(alerts);
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        (address, this)
    }

    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

async fn put(server: &Promlake, labels: &[(&str, &str)], value: f64) {
    let samples = [(now_ms(), value)];
    let body = encode(&[Series { labels, samples: &samples }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
}

async fn data(server: &Promlake, path: &str, params: &[(&str, &str)]) -> Value {
    let (status, body) = get_json(&with_params(&server.url(path), params)).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["data"].clone()
}

/// Of the instant query: metric and value of each series, sorted.
async fn vector(server: &Promlake, query: &str) -> Vec<String> {
    let found = data(server, "/api/v1/query", &[("query", query)]).await;
    let series = found["result"].as_array().expect("a vector").iter();
    let mut shown: Vec<String> = series.map(|one| format!("{} {}", one["metric"], one["value"][1])).collect();
    shown.sort();
    shown
}

/// Asks until the answer is as it should be.
async fn until(server: &Promlake, query: &str, expected: &[&str]) {
    let end = Instant::now() + DEADLINE;
    loop {
        let got = vector(server, query).await;
        if got == expected {
            return;
        }
        assert!(Instant::now() < end, "{query}: {got:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn configure(home: &Home, rules: &str, more: &str) -> String {
    std::fs::write(home.dir.path().join("rules.yml"), rules).expect("writing the rules");
    format!("global: {{evaluation_interval: 1s, external_labels: {{dc: fra}}}}\nrule_files: ['rules*.yml']\n{more}")
}

const RULES: &str = "
groups:
- name: first
  labels: {team: shop}
  rules:
  - {record: 'double', expr: 'temperature * 2'}
  - {record: 'quadruple', expr: 'double * 2', labels: {unit: c}}
  - alert: Hot
    expr: temperature > 30
    for: 2s
    labels: {severity: '{{ if gt $value 40.0 }}page{{ else }}ticket{{ end }}'}
    annotations: {summary: '{{ $labels.room }} has {{ $value | humanize }} in {{ $externalLabels.dc }}'}
- name: second
  interval: 2s
  rules:
  - {record: 'twice', expr: 'temperature', labels: {room: one}}
";

#[tokio::test]
async fn rules_record_and_alert() {
    let (alertmanager, sent) = Alertmanager::start();
    let home = Home::on_disk();
    let alerting =
        format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n");
    let server = home.start(&configure(&home, RULES, &alerting), &["--web.external-url=http://lake.example/p"]);
    put(&server, &[("__name__", "temperature"), ("room", "kitchen")], 42.0).await;
    put(&server, &[("__name__", "temperature"), ("room", "hall")], 20.0).await;
    until(
        &server,
        "{__name__=~\"double|quadruple\"}",
        &[
            r#"{"__name__":"double","room":"hall","team":"shop"} "40""#,
            r#"{"__name__":"double","room":"kitchen","team":"shop"} "84""#,
            r#"{"__name__":"quadruple","room":"hall","team":"shop","unit":"c"} "80""#,
            r#"{"__name__":"quadruple","room":"kitchen","team":"shop","unit":"c"} "168""#,
        ],
    )
    .await;
    let labels = r#""alertname":"Hot""#;
    let rest = r#""room":"kitchen","severity":"page","team":"shop""#;
    let alerts = |state: &str| format!(r#"{{"__name__":"ALERTS",{labels},"alertstate":"{state}",{rest}}} "1""#);
    until(&server, "ALERTS", &[&alerts("firing")]).await;
    let end = Instant::now() + DEADLINE;
    while sent.all().is_empty() {
        assert!(Instant::now() < end, "nothing was sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let first = &sent.all()[0];
    let expected = json!({"alertname": "Hot", "dc": "fra", "room": "kitchen", "severity": "page", "team": "shop"});
    assert_eq!(first["labels"], expected);
    assert_eq!(first["annotations"], json!({"summary": "kitchen has 42 in fra"}));
    let url = "http://lake.example/p/graph?g0.expr=temperature+%3E+30&g0.tab=1";
    assert_eq!(first["generatorURL"], url);

    let shown = data(&server, "/api/v1/rules", &[]).await;
    let groups = shown["groups"].as_array().expect("groups");
    assert_eq!(groups.iter().map(|group| &group["name"]).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!((&groups[0]["interval"], &groups[1]["interval"]), (&json!(1.0), &json!(2.0)));
    let hot = &groups[0]["rules"][2];
    assert_eq!((&hot["state"], &hot["health"], &hot["type"]), (&json!("firing"), &json!("ok"), &json!("alerting")));
    assert_eq!((&hot["duration"], &hot["query"]), (&json!(2.0), &json!("temperature > 30")));
    let alert = &hot["alerts"][0];
    assert_eq!((&alert["state"], &alert["value"]), (&json!("firing"), &json!("4.2e+01")));
    let twice = &groups[1]["rules"][0];
    assert_eq!(twice["health"], "err");
    assert_eq!(twice["lastError"], "vector contains metrics with the same labelset after applying rule labels");
    let alerts = data(&server, "/api/v1/alerts", &[]).await;
    assert_eq!(alerts["alerts"], json!([alert]));

    // It is resolved, which is told at once; the series of the alert end.
    put(&server, &[("__name__", "temperature"), ("room", "kitchen")], 25.0).await;
    until(&server, "ALERTS", &[]).await;
    let end = Instant::now() + DEADLINE;
    while !sent.all().iter().any(|alert| alert["endsAt"].as_str() < Some(&rfc3339_now())) {
        assert!(Instant::now() < end, "not resolved: {:?}", sent.all());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(data(&server, "/api/v1/alerts", &[]).await["alerts"], json!([]));
    assert!(server.stop().success());
}

fn rfc3339_now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Rules that differ in what their selectors look for are evaluated together: what is wrong with one stays its own, and
/// so do its limits, its labels and the end of its series.
#[tokio::test]
async fn alike_rules_are_each_their_own() {
    let home = Home::on_disk();
    let of = |room: &str, name: &str| {
        format!("  - {{record: {name}, expr: 'heat{{room=\"{room}\"}} / on (sensor) size{{room=\"{room}\"}}'}}\n")
    };
    let alert =
        |room: &str| format!("  - {{alert: A{room}, expr: 'sum by (sensor) (heat{{room=\"{room}\"}}) > 30'}}\n");
    let rooms = [("hall", "a"), ("attic", "b"), ("kitchen", "c"), ("nowhere", "d")];
    let rules: String = rooms.map(|(room, name)| of(room, name) + &alert(room)).concat();
    let rules = format!(
        "groups:\n- name: g\n  rules:\n{rules}  - {{record: e, expr: c / 2}}\n- name: h\n  limit: 1\n  rules:\n{}{}",
        of("hall", "f"),
        of("kitchen", "g")
    );
    let server = home.start(&configure(&home, &rules, ""), &[]);
    for (room, sensor, heat) in
        [("hall", "1", 20.0), ("hall", "2", 40.0), ("attic", "1", 60.0), ("kitchen", "1", 80.0)]
    {
        put(&server, &[("__name__", "heat"), ("room", room), ("sensor", sensor)], heat).await;
        put(&server, &[("__name__", "size"), ("room", room), ("sensor", sensor)], 10.0).await;
    }
    // Two of the attic's have one sensor.
    put(&server, &[("__name__", "size"), ("room", "attic"), ("sensor", "1"), ("wall", "n")], 10.0).await;
    let expected = [
        r#"{"__name__":"a","sensor":"1"} "2""#,
        r#"{"__name__":"a","sensor":"2"} "4""#,
        r#"{"__name__":"c","sensor":"1"} "8""#,
        r#"{"__name__":"e","sensor":"1"} "4""#,
        r#"{"__name__":"g","sensor":"1"} "8""#,
    ];
    until(&server, "{__name__=~\"[a-g]\"}", &expected).await;
    let firing = |room: &str, sensor: &str| {
        format!(r#"{{"__name__":"ALERTS","alertname":"A{room}","alertstate":"firing","sensor":"{sensor}"}} "1""#)
    };
    until(&server, "ALERTS", &[&firing("attic", "1"), &firing("hall", "2"), &firing("kitchen", "1")]).await;
    let shown = data(&server, "/api/v1/rules", &[]).await;
    let groups = shown["groups"].as_array().expect("groups").iter();
    let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    let failed = rules.iter().filter(|rule| rule["health"] != "ok");
    let failed: Vec<_> =
        failed.map(|rule| (rule["name"].as_str().unwrap(), rule["lastError"].as_str().unwrap())).collect();
    assert!(failed[0].1.starts_with("found duplicate series for the match group {sensor=\"1\"}"), "{failed:?}");
    assert!(!failed[0].1.contains("__asker__"), "{failed:?}");
    assert_eq!(failed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["b", "f"]);
    assert_eq!(failed[1].1, "exceeded limit of 1 with 2 series");
    assert!(rules.iter().all(|rule| rule["evaluationTime"].as_f64() > Some(0.0)), "{rules:?}");

    // It ends for one of them, and another one is well again.
    put(&server, &[("__name__", "heat"), ("room", "hall"), ("sensor", "1")], f64::from_bits(0x7ff0_0000_0000_0002))
        .await;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    put(&server, &[("__name__", "size"), ("room", "attic"), ("sensor", "1"), ("wall", "n")], stale).await;
    let expected = [
        r#"{"__name__":"a","sensor":"2"} "4""#,
        r#"{"__name__":"b","sensor":"1"} "6""#,
        r#"{"__name__":"c","sensor":"1"} "8""#,
        r#"{"__name__":"e","sensor":"1"} "4""#,
        r#"{"__name__":"f","sensor":"2"} "4""#,
        r#"{"__name__":"g","sensor":"1"} "8""#,
    ];
    until(&server, "{__name__=~\"[a-g]\"}", &expected).await;
    assert!(server.stop().success());
}

#[tokio::test]
async fn the_api_shows_what_was_asked_for() {
    let home = Home::on_disk();
    let server = home.start(&configure(&home, RULES, ""), &[]);
    let names = async |params: &[(&str, &str)]| {
        let shown = data(&server, "/api/v1/rules", params).await;
        let groups = shown["groups"].as_array().expect("groups").iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules").iter());
        rules.map(|rule| rule["name"].as_str().expect("a name").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]).await, ["double", "quadruple", "Hot", "twice"]);
    assert_eq!(names(&[("type", "alert")]).await, ["Hot"]);
    assert_eq!(names(&[("type", "RECORD"), ("rule_group[]", "first")]).await, ["double", "quadruple"]);
    assert_eq!(names(&[("rule_name[]", "Hot"), ("rule_name[]", "twice")]).await, ["Hot", "twice"]);
    assert_eq!(names(&[("match[]", "{unit=\"c\"}")]).await, ["quadruple"]);
    assert_eq!(names(&[("file[]", "other.yml")]).await, Vec::<String>::new());
    let first = data(&server, "/api/v1/rules", &[("group_limit", "1")]).await;
    let token = first["groupNextToken"].as_str().expect("a token").to_string();
    assert_eq!(names(&[("group_limit", "1"), ("group_next_token", &token)]).await, ["twice"]);
    let refused = async |params: &[(&str, &str)]| {
        let (status, body) = get_json(&with_params(&server.url("/api/v1/rules"), params)).await;
        assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")), "{body}");
        body["error"].as_str().expect("a text").to_string()
    };
    assert_eq!(refused(&[("type", "x")]).await, "invalid parameter \"type\": not supported value \"x\"");
    assert_eq!(
        refused(&[("group_next_token", "x")]).await,
        "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups"
    );
    assert_eq!(
        refused(&[("group_limit", "x")]).await,
        "invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": \
         invalid syntax"
    );
    assert!(server.stop().success());
}

/// What is wrong is told with its line, and changes nothing; what is equal goes on.
#[tokio::test]
async fn reloads() {
    let home = Home::on_disk();
    let config = configure(&home, RULES, "");
    let mut server = home.start(&config, &[]);
    put(&server, &[("__name__", "temperature"), ("room", "kitchen")], 42.0).await;
    let double = r#"{"__name__":"double","room":"kitchen","team":"shop"} "84""#;
    until(&server, "double", &[double]).await;
    configure(&home, "groups:\n- name: first\n  rules:\n  - {record: a, expr: 'sum('}\n", "");
    server.signal("HUP");
    server.wait_for_line("configuration refused");
    assert!(
        server.logged("rules.yml:4: groups[0].rules[0]: group \\\"first\\\", rule 1, \\\"a\\\": could not parse")
    );
    assert_eq!(vector(&server, "double").await, [double]);

    // The rule keeps its alerts although its group has another one; the series of the one that is gone ends.
    let active_at = async |server: &Promlake| {
        let alerts = data(server, "/api/v1/alerts", &[]).await;
        alerts["alerts"][0]["activeAt"].as_str().expect("an alert").to_string()
    };
    until(&server, "count(ALERTS)", &[r#"{} "1""#]).await;
    let before = active_at(&server).await;
    let changed =
        RULES.replace("  - {record: 'double', expr: 'temperature * 2'}\n", "").replace("double * 2", "temperature");
    configure(&home, &changed, "");
    server.signal("HUP");
    server.wait_for_line("configuration reloaded");
    until(&server, "double", &[]).await;
    until(&server, "quadruple", &[r#"{"__name__":"quadruple","room":"kitchen","team":"shop","unit":"c"} "42""#])
        .await;
    assert_eq!(active_at(&server).await, before);

    // No files, no rules, and nothing that goes on.
    std::fs::remove_file(home.dir.path().join("rules.yml")).expect("removing the rules");
    server.signal("HUP");
    until(&server, "{__name__=~\"ALERTS|quadruple|twice\"}", &[]).await;
    assert_eq!(data(&server, "/api/v1/rules", &[]).await, json!({"groups": []}));
    assert!(server.stop().success());
}

/// Two patterns may name one file, as people have them.
#[tokio::test]
async fn a_file_that_is_named_twice_is_one() {
    let home = Home::on_disk();
    let config = configure(&home, "groups: [{name: g, rules: [{record: a, expr: vector(1)}]}]\n", "");
    let config = config.replace("['rules*.yml']", "['rules*.yml', rules.yml, './rules.yml', 'r*.yml']");
    let mut server = home.start(&config, &[]);
    until(&server, "a", &[r#"{"__name__":"a"} "1""#]).await;
    for value in [2, 3] {
        configure(&home, &format!("groups: [{{name: g, rules: [{{record: a, expr: vector({value})}}]}}]\n"), "");
        server.signal("HUP");
        server.wait_for_line("configuration reloaded");
        let expected = format!(r#"{{"__name__":"a"}} "{value}""#);
        until(&server, "a", &[&expected]).await;
    }
    // Nobody goes on with what it was before.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(vector(&server, "max_over_time(a[3s]) - min_over_time(a[3s])").await, [r#"{} "0""#]);
    let groups = data(&server, "/api/v1/rules", &[]).await;
    assert_eq!(groups["groups"].as_array().expect("groups").len(), 1);
    assert!(server.stop().success());
}

/// What a rule wrote ends although the group is read anew twice before it is evaluated again.
#[tokio::test]
async fn series_of_a_rule_that_is_gone_end_over_two_reloads() {
    let home = Home::on_disk();
    let with = |rules: &str| {
        format!("groups: [{{name: g, interval: 6s, rules: [{{record: b, expr: vector(1)}}{rules}]}}]\n")
    };
    let config = configure(&home, &with(", {record: a, expr: vector(1)}"), "");
    let mut server = home.start(&config, &[]);
    until(&server, "a", &[r#"{"__name__":"a"} "1""#]).await;
    for more in ["", ", {record: c, expr: vector(1)}"] {
        configure(&home, &with(more), "");
        server.signal("HUP");
        server.wait_for_line("configuration reloaded");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    until(&server, "a", &[]).await;
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_file_that_is_wrong_stops_the_start() {
    let home = Home::on_disk();
    let rules = "groups:\n- name: a\n  rules:\n  - {alert: b, expr: up, labels: {c: '{{ nope }}'}}\n";
    let mut server = home.launch(&configure(&home, rules, ""), &[]);
    server.wait_for_line("function");
    assert!(server.logged(r#"label "c": template: __alert_b:1: function "nope" not defined"#));
    assert!(!server.wait().success());
}

/// `for` goes on after a crash where it is longer than the grace period, and begins anew where it is not.
#[tokio::test]
async fn waiting_outlives_a_crash() {
    let home = Home::on_disk();
    let rules = "
groups:
- name: g
  rules:
  - {alert: Long, expr: vector(1), for: 15m}
  - {alert: Short, expr: vector(1), for: 5s}
";
    let flags = ["--rules.alert.for-grace-period=10s"];
    let config = configure(&home, rules, "");
    let server = home.start(&config, &flags);
    let active = async |server: &Promlake, alert: &str| {
        let alerts = data(server, "/api/v1/alerts", &[]).await;
        let all = alerts["alerts"].as_array().expect("alerts").clone();
        let found = all.into_iter().find(|found| found["labels"]["alertname"] == alert);
        found.map(|found| found["activeAt"].as_str().expect("a time").to_string())
    };
    until(&server, "count(ALERTS_FOR_STATE)", &[r#"{} "2""#]).await;
    let short = active(&server, "Short").await.expect("an alert");
    tokio::time::sleep(Duration::from_secs(8)).await;
    server.kill();
    let server = home.start(&config, &flags);
    let ms = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis();
    // It begins anew, and when what there was is looked up, counts as active since long before that.
    let (mut fresh, end) = (None, Instant::now() + DEADLINE);
    loop {
        let now = active(&server, "Long").await.map(|at| ms(&at));
        if let (Some(fresh), Some(now)) = (*fresh.get_or_insert(now), now)
            && fresh - now > 4_000
        {
            break;
        }
        fresh = fresh.flatten().map(Some);
        assert!(Instant::now() < end, "{now:?} and first {fresh:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(active(&server, "Short").await.unwrap() > short, "it is shorter than the grace period");
    until(
        &server,
        "ALERTS{alertname=\"Short\", alertstate=\"firing\"}",
        &[r#"{"__name__":"ALERTS","alertname":"Short","alertstate":"firing"} "1""#],
    )
    .await;
    assert!(server.stop().success());
}

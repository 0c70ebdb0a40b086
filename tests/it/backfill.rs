//! `promlake rules backfill` through the binary: against what queries and live rules give, beside a running server, twice, and
//! killed in the middle.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600;
const MINUTE_MS: i64 = 60_000;
const DEADLINE: Duration = Duration::from_secs(60);
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

fn command(home: &Path, args: &[&str]) -> Command {
    let storage = format!("--storage.url={}", home.join("data").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
    command.args(["rules", "backfill"]).args(args).arg(storage);
    command
}

fn backfill(home: &Path, args: &[&str]) -> Output {
    command(home, args).output().expect("running the binary")
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rules(home: &Path, text: &str) -> String {
    let path = home.join("rules.yml");
    std::fs::write(&path, text).expect("writing the rules");
    path.to_str().expect("UTF-8").to_string()
}

/// A sample a minute for two jobs, of which one is there every other two hours, for some days.
async fn feed(server: &Promlake, days: i64) {
    let at = |minute: i64| (START + minute * 60) * 1000;
    let minutes = -60..days * 1440;
    let all: Vec<(i64, f64)> = minutes.clone().map(|m| (at(m), (m * m % 1009) as f64)).collect();
    // It says when it ends.
    let stale = f64::from_bits(STALE_NAN);
    let some: Vec<(i64, f64)> = minutes
        .filter(|m| m.div_euclid(120) % 2 == 0 || m % 120 == 0)
        .map(|m| (at(m), if m.div_euclid(120) % 2 == 0 { m as f64 } else { stale }))
        .collect();
    for (job, samples) in [("all", &all), ("some", &some)] {
        let labels = [("__name__", "jobs_total"), ("job", job)];
        for samples in samples.chunks(10_000) {
            let body = encode(&[Series { labels: &labels, samples }]);
            assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
        }
    }
}

/// Series of a range query, with their samples, without the name of the metric.
async fn range(server: &Promlake, query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> Vec<(String, Value)> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let params = [
        ("query", query.to_string()),
        ("start", seconds(start_ms)),
        ("end", seconds(end_ms)),
        ("step", seconds(step_ms)),
    ];
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, answer) = get_json(&with_params(&server.url("/api/v1/query_range"), &params)).await;
    assert_eq!(status, 200, "{query}: {answer}");
    series_of(&answer)
}

/// Labels without the metric, and values, of a matrix.
fn series_of(answer: &Value) -> Vec<(String, Value)> {
    let series = answer["data"]["result"].as_array().expect("series").iter();
    let mut all: Vec<(String, Value)> = series
        .map(|one| {
            let mut labels = one["metric"].clone();
            labels.as_object_mut().expect("labels").remove("__name__");
            (labels.to_string(), one["values"].clone())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// When samples of a metric are, and what they are.
async fn samples(server: &Promlake, metric: &str, end_ms: i64, range: &str) -> Vec<(String, Value)> {
    let query = format!("{{__name__={metric:?}}}[{range}]");
    let time = format!("{}.{:03}", end_ms / 1000, end_ms % 1000);
    let (status, answer) =
        get_json(&with_params(&server.url("/api/v1/query"), &[("query", query.as_str()), ("time", time.as_str())]))
            .await;
    assert_eq!(status, 200, "{answer}");
    series_of(&answer)
}

fn first_ms(samples: &[(String, Value)]) -> i64 {
    let times = samples.iter().map(|(_, values)| values[0][0].as_f64().expect("a time"));
    (times.fold(f64::INFINITY, f64::min) * 1000.0).round() as i64
}

async fn count(server: &Promlake, metric: &str, end: i64) -> i64 {
    let query = format!("sum(count_over_time({{__name__={metric:?}}}[10d]))");
    let time = end.to_string();
    let (_, answer) =
        get_json(&with_params(&server.url("/api/v1/query"), &[("query", &query), ("time", &time)])).await;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    value.map_or(0, |value| value.parse().expect("a number"))
}

const RULES: &str = r#"
groups:
- name: g
  rules:
  - {record: 'job:jobs:rate5m', expr: 'sum by (job) (rate(jobs_total[5m]))', labels: {from: rule}}
  - {record: 'jobs:rate5m', expr: 'sum({__name__="job:jobs:rate5m"})'}
  - {alert: Some, expr: 'jobs_total > 5'}
"#;

/// What is written beside a server, which has a part of the samples in its log, is what its queries give; and twice is once.
#[tokio::test]
async fn beside_a_server_and_twice() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    feed(&server, 2).await;
    let file = rules(home.dir.path(), RULES);
    let (start, end) = (START.to_string(), (START + 2 * 86_400 - 1).to_string());
    let args = ["--start", &start, "--end", &end, &file];
    let first = backfill(home.dir.path(), &args);
    assert!(first.status.success(), "{}", text_of(&first));
    assert!(text_of(&first).contains("of 2 rules"), "{}", text_of(&first));
    assert!(text_of(&first).contains("1 alerting rules are passed over"), "{}", text_of(&first));
    let end = START + 2 * 86_400 - 1;
    let until = Instant::now() + DEADLINE;
    while count(&server, "jobs:rate5m", end).await < 2 * 1440 {
        assert!(Instant::now() < until, "the server does not see what was written");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // At the times of the group, which the samples tell.
    let first_at = first_ms(&samples(&server, "jobs:rate5m", end * 1000, "10d").await);
    assert!((START * 1000..START * 1000 + MINUTE_MS).contains(&first_at));
    for (metric, query) in [
        ("job:jobs:rate5m", "label_replace(sum by (job) (rate(jobs_total[5m])), \"from\", \"rule\", \"\", \"\")"),
        ("jobs:rate5m", "sum(sum by (job) (rate(jobs_total[5m])))"),
    ] {
        let metric = format!("{{__name__={metric:?}}}");
        // In two parts, since a query has at most 11,000 points a series.
        let written = range(&server, &metric, first_at, end * 1000, MINUTE_MS).await;
        let expected = range(&server, query, first_at, end * 1000, MINUTE_MS).await;
        assert!(!expected.is_empty() && written == expected, "{metric}");
    }
    let before = files(home.dir.path());
    let again = backfill(home.dir.path(), &args);
    assert!(again.status.success() && text_of(&again).contains("wrote 0 samples"), "{}", text_of(&again));
    assert!(text_of(&again).contains("1 groups had been written for this time before"), "{}", text_of(&again));
    assert_eq!(files(home.dir.path()), before);
    let forced = backfill(home.dir.path(), &[&args[..], &["--again"]].concat());
    assert!(forced.status.success() && text_of(&forced).contains("wrote 0 samples"), "{}", text_of(&forced));
    assert!(text_of(&forced).contains("samples were in the lake already"), "{}", text_of(&forced));
    assert_eq!(files(home.dir.path()), before);
}

/// Files of samples, by name.
fn files(home: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(home.join("data/samples")).expect("samples").flatten() {
        for file in std::fs::read_dir(day.path()).into_iter().flatten().flatten() {
            found.push(file.path().display().to_string());
        }
    }
    found.retain(|path| path.ends_with(".parquet"));
    found.sort();
    found
}

/// Killed somewhere in the middle and started again, it goes on, and all is as if it had never been killed.
#[tokio::test]
async fn killed_in_the_middle() {
    const DAYS: i64 = 30;
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    feed(&server, DAYS).await;
    let file = rules(home.dir.path(), RULES);
    let (start, end) = (START.to_string(), (START + DAYS * 86_400 - 1).to_string());
    let args = ["--start", &start, "--end", &end, &file];
    let log = home.dir.path().join("data/samples/_delta_log");
    let commits = || std::fs::read_dir(&log).expect("a log").count();
    let before = commits();
    let mut child = command(home.dir.path(), &args).stderr(Stdio::null()).spawn().expect("starting it");
    let until = Instant::now() + DEADLINE;
    while commits() < before + 3 {
        assert!(Instant::now() < until, "nothing is committed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("killing it");
    let status = child.wait().expect("its end");
    assert_eq!(status.code(), None, "it was killed and has not ended before");
    let rest = backfill(home.dir.path(), &args);
    assert!(rest.status.success(), "{}", text_of(&rest));
    assert!(text_of(&rest).contains("1 groups had been written in part"), "{}", text_of(&rest));
    let again = backfill(home.dir.path(), &[&args[..], &["--again"]].concat());
    assert!(text_of(&again).contains("wrote 0 samples"), "{}", text_of(&again));
    let end = START + DAYS * 86_400 - 1;
    assert!(server.stop().success());
    let server = home.start(NO_TARGETS, &[]);
    let first_at = first_ms(&samples(&server, "jobs:rate5m", (START + 3600) * 1000, "1h").await);
    for from in [0, 7, 14, 21, 28] {
        let from_ms = first_at + from * 86_400_000;
        let to_ms = (from_ms + 7 * 86_400_000 - MINUTE_MS).min(end * 1000);
        let written = range(&server, "{__name__=\"jobs:rate5m\"}", from_ms, to_ms, MINUTE_MS).await;
        let expected = range(&server, "sum(sum by (job) (rate(jobs_total[5m])))", from_ms, to_ms, MINUTE_MS).await;
        assert!(!expected.is_empty() && written == expected, "from day {from} on");
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// The same rules once live and once for the past: the same samples at the same times.
#[tokio::test]
async fn as_live_rules_do() {
    const LIVE: &str = r#"
groups:
- name: g
  limit: 2
  rules:
  - {record: 'X:double', expr: 'input * 2'}
  - {record: 'X:quadruple', expr: '{__name__="X:double"} * 2', labels: {step: two}}
  - {record: 'X:sum', expr: 'sum_over_time(input[3s])'}
  - {record: 'X:before', expr: '{__name__="X:count"}'}
  - {record: 'X:count', expr: '{__name__="X:count"} + 1 or vector(0)'}
"#;
    let home = Home::on_disk();
    let path = rules(home.dir.path(), &LIVE.replace('X', "live"));
    let config = "global: {evaluation_interval: 1s}\nrule_files: ['rules.yml']\n";
    let server = home.start(config, &[]);
    // What the rules will read is there before they do.
    let begin = now_ms() / 1000 * 1000 + 3_000;
    let steady: Vec<(i64, f64)> = (0..48).map(|n| (begin + n * 250, n as f64)).collect();
    let mut ends: Vec<(i64, f64)> = (0..20).map(|n| (begin + n * 250, -(n as f64))).collect();
    ends.push((begin + 20 * 250, f64::from_bits(STALE_NAN)));
    let third: Vec<(i64, f64)> = vec![(begin + 7_000, 3.0), (begin + 9_000, f64::from_bits(STALE_NAN))];
    let fourth: Vec<(i64, f64)> = vec![(begin + 8_000, 4.0), (begin + 9_000, f64::from_bits(STALE_NAN))];
    for (name, samples) in [("steady", &steady), ("ends", &ends), ("third", &third), ("fourth", &fourth)] {
        let body = encode(&[Series { labels: &[("__name__", "input"), ("s", name)], samples }]);
        assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    }
    let end = begin + 12_000;
    while now_ms() < end + 2_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, shown) = get_json(&server.url("/api/v1/rules")).await;
    assert_eq!(shown["data"]["groups"][0]["file"], path.as_str(), "the times follow from the name of the file");
    assert!(server.stop().success());
    rules(home.dir.path(), &LIVE.replace('X', "filled"));
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let (from, to) = (seconds(begin), seconds(end));
    let output = backfill(home.dir.path(), &["--start", &from, "--end", &to, "--eval-interval=1s", &path]);
    assert!(output.status.success(), "{}", text_of(&output));
    assert!(text_of(&output).contains("exceeded limit of 2 with 3 series"), "{}", text_of(&output));
    assert!(text_of(&output).contains("2 rules are evaluated time by time"), "{}", text_of(&output));
    let server = home.start(NO_TARGETS, &[]);
    for metric in ["double", "quadruple", "sum"] {
        let window = format!("{}ms", end - begin);
        let live = samples(&server, &format!("live:{metric}"), end, &window).await;
        let filled = samples(&server, &format!("filled:{metric}"), end, &window).await;
        assert!(!live.is_empty() && live == filled, "{metric}: {live:?} and {filled:?}");
        // And what queries see of it, so also where series end.
        let seen =
            async |who: &str| range(&server, &format!("{{__name__=\"{who}:{metric}\"}}"), begin, end, 250).await;
        let first = first_ms(&live);
        let since = |found: Vec<(String, Value)>| -> Vec<(String, Vec<Value>)> {
            let is_since = |value: &&Value| (value[0].as_f64().expect("a time") * 1000.0) as i64 >= first;
            let of = |values: Value| values.as_array().expect("values").iter().filter(is_since).cloned().collect();
            found.into_iter().map(|(labels, values)| (labels, of(values))).collect()
        };
        assert_eq!(since(seen("filled").await), since(seen("live").await), "{metric}");
    }
    // Of those that count themselves the numbers differ by what was before, and the distance does not.
    let counts = samples(&server, "filled:count", end, "12s").await;
    let values: Vec<&str> =
        counts[0].1.as_array().unwrap().iter().map(|value| value[1].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..values.len()).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
    let before = samples(&server, "filled:before", end, "12s").await;
    assert_eq!(before[0].1.as_array().unwrap().len(), values.len() - 1);
}

#[test]
fn what_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let check = |args: &[&str], part: &str| {
        let output = backfill(home.path(), args);
        assert!(!output.status.success() && text_of(&output).contains(part), "{args:?}: {}", text_of(&output));
        assert!(!home.path().join("data").exists(), "{args:?} made a lake");
    };
    let file = rules(home.path(), RULES);
    check(&["--start=2026-01-01T00:00:00Z", &file], "there is no lake in");
    check(&["--start=2026-01-01T00:00:00Z"], "FILES");
    check(&[&file], "--start");
    check(&["--start=yesterday", &file], "yesterday");
    check(&["--start=2026-01-02T00:00:00Z", "--end=2026-01-01T00:00:00Z", &file], "--end is before --start");
    check(&["--start=0", "--end=2226-01-01T00:00:00Z", &file], "--end is in the future");
    check(&["--start=0", "--eval-interval=0s", &file], "--eval-interval");
    check(&["--start=0", "--end=1", &file, &file], "is named twice");
    check(&["--start=0", "--end=1", "/no/such/file"], "/no/such/file");
    let wrong = home.path().join("wrong.yml");
    std::fs::write(&wrong, "groups: [{name: g, rules: [{record: r, expr: 'sum('}]}]").unwrap();
    check(&["--start=0", "--end=1", wrong.to_str().unwrap()], "wrong.yml:1");
}

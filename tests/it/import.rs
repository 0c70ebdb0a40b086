//! `promlake import` through the binary: beside a running server, twice, and what it refuses.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600;

fn import(home: &Path, args: &[&str]) -> Output {
    let storage = format!("--storage.url={}", home.join("data").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
    command.arg("import").args(args).arg(storage).output().expect("running the binary")
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Each minute of two days.
fn history(path: &Path) {
    let mut text = "# HELP old_total what it was\n# TYPE old_total counter\n".replace("old_total", "old");
    for job in ["a", "b"] {
        for minute in 0..2 * 1440 {
            writeln!(text, "old_total{{job=\"{job}\"}} {minute} {}", START + minute * 60).unwrap();
        }
    }
    std::fs::write(path, text + "# EOF\n").unwrap();
}

/// The values of an instant query at a time.
async fn values(server: &Promlake, query: &str, time: i64) -> Vec<String> {
    let url = with_params(&server.url("/api/v1/query"), &[("query", query), ("time", &time.to_string())]);
    let (status, answer) = get_json(&url).await;
    assert_eq!(status, 200, "{answer}");
    let result = answer["data"]["result"].as_array().expect("a vector").iter();
    result.map(|sample| sample["value"][1].as_str().expect("a value").to_string()).collect()
}

#[tokio::test]
async fn beside_a_server_and_twice() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    // One of the series is known already, and so is one of its samples.
    let labels = [("__name__", "old_total"), ("job", "a")];
    let body = encode(&[Series { labels: &labels, samples: &[(START * 1000 + 600_000, -1.0)] }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    let file = home.dir.path().join("history.om");
    history(&file);
    let args = ["openmetrics", file.to_str().unwrap()];
    let first = import(home.dir.path(), &args);
    assert!(first.status.success(), "{}", text_of(&first));
    assert!(text_of(&first).contains("imported 5760 samples of 2 days"), "{}", text_of(&first));
    let deadline = Instant::now() + Duration::from_secs(20);
    while values(&server, "count(old_total)", START + 2 * 86_400 - 60).await != ["2"] {
        assert!(Instant::now() < deadline, "the server does not see the import");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let end = START + 2 * 86_400 - 1;
    assert_eq!(values(&server, "sum(count_over_time(old_total[2d]))", end).await, ["5760"]);
    assert_eq!(values(&server, "old_total{job=\"a\"}", START + 600).await, ["-1"]);
    assert_eq!(values(&server, "old_total{job=\"b\"}", START + 600).await, ["10"]);
    let (_, metadata) = get_json(&server.url("/api/v1/metadata?metric=old")).await;
    assert_eq!(metadata["data"]["old"][0]["help"], "what it was", "{metadata}");
    let again = import(home.dir.path(), &args);
    assert!(again.status.success() && text_of(&again).contains("imported 0 samples"), "{}", text_of(&again));
    assert!(server.stop().success());
    // A server that starts later has it too.
    let server = home.start(NO_TARGETS, &[]);
    assert_eq!(values(&server, "sum(count_over_time(old_total[2d]))", end).await, ["5760"]);
    assert_eq!(values(&server, "old_total{job=\"a\"}", START + 600).await, ["-1"]);
}

#[test]
fn what_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let check = |args: &[&str], part: &str| {
        let output = import(home.path(), args);
        assert!(!output.status.success() && text_of(&output).contains(part), "{args:?}: {}", text_of(&output));
        assert!(!home.path().join("data").exists(), "{args:?} made a lake");
    };
    let here = home.path().to_str().unwrap();
    check(&["tsdb", here], "no blocks and no write-ahead log");
    check(&["tsdb", "/no/such/folder"], "/no/such/folder");
    check(&["openmetrics", "/no/such/file"], "/no/such/file");
    check(&["openmetrics", here, "--label=x"], "NAME=VALUE");
    let file = home.path().join("page");
    std::fs::write(&file, "a 1 1\n# EOF\n").unwrap();
    check(&["openmetrics", file.to_str().unwrap(), "--label=__name__=x"], "cannot be added");
    check(&["tsdb", here, "--start=2026-01-02T00:00:00Z", "--end=2026-01-01T00:00:00Z"], "--end is before --start");
    check(&["tsdb", here, "--start=yesterday"], "yesterday");
}

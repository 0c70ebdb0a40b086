use super::*;
use crate::engine::promql::tally::steps::{BySteps, SampleStats};

fn log() -> Arc<QueryLog> {
    Arc::new(QueryLog::new(Arc::new(|| 1_700_000_000_123)))
}

fn asked(query: &str) -> Asked {
    Asked { query: query.to_string(), start: 0, end: 3_600_000, step: 5_500, origin: None }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for the thread that writes.
fn written(path: &Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        assert!(Instant::now() < deadline, "{count} lines did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
    lines(path)
}

/// Keys, their order and their values are those of Prometheus.
#[test]
fn the_form_of_a_line() {
    let by_step = BySteps { queryable: vec![3, 4], read: vec![3, 1] };
    let stats = QueryStats {
        execute: Duration::from_millis(20),
        samples: Some(SampleStats { by_step, peak: 5 }),
        ..QueryStats::default()
    };
    let origin = |origin| Some(Arc::new(origin));
    let line = |origin, outcome| {
        let entry = log().begin(Asked { origin, ..asked("a \"b\"") });
        let line = entry.line(1_700_000_000_123, outcome);
        std::mem::forget(entry);
        line
    };
    let http = Origin::Http {
        client: Some("127.0.0.1".parse().unwrap()),
        method: "GET".into(),
        path: "/lake/api/v1/query_range".into(),
        dashboard: false,
    };
    let timings = r#""timings":{"evalTotalTime":0.02,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0.02,"execQueueTime":0,"execTotalTime":0.02}"#;
    let params = r#""params":{"end":"1970-01-01T01:00:00.000Z","query":"a \"b\"","start":"1970-01-01T00:00:00.000Z","step":5}"#;
    let ids = r#""spanID":"0000000000000000","traceID":"00000000000000000000000000000000""#;
    let head = r#""time":"2023-11-14T22:13:20.123Z","level":"INFO","source":"engine","msg":"promql query logged""#;
    assert_eq!(
        line(origin(http), Ok(&stats)),
        format!(
            "{{{head},{params},\"stats\":{{{timings},\"samples\":{{\"totalQueryableSamples\":7,\"samplesRead\":4,\
             \"peakSamples\":5}}}},{ids},\"httpRequest\":{{\"clientIP\":\"127.0.0.1\",\"method\":\"GET\",\
             \"path\":\"/lake/api/v1/query_range\"}}}}\n"
        )
    );
    let rules = Origin::Rules { file: "/etc/rules.yml".into(), group: "g".into() };
    let failed: Value = serde_json::from_str(&line(origin(rules), Err(&canceled()))).unwrap();
    assert_eq!(failed["ruleGroup"], json!({ "file": "/etc/rules.yml", "name": "g" }));
    assert_eq!(failed["error"], "query was canceled in expression evaluation");
    assert!(failed["stats"]["timings"]["execTotalTime"].is_number() && failed["stats"]["samples"].is_null());
}

#[test]
fn what_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.log");
    let (log, text) = (log(), path.to_str().unwrap());
    assert!(!log.is_on());
    log.install(log.open(text).unwrap());
    assert!(log.is_on());
    let stats = QueryStats::default();
    log.begin(asked("one")).finish(Ok(&stats));
    // What is no query is none that was evaluated; what nobody waits for was.
    log.begin(asked("wrong")).finish(Err(&Error::bad_input("no")));
    drop(log.begin(asked("given up")));
    log.begin(asked("failed")).finish(Err(&Error::execution("many-to-many")));
    let told: Vec<(String, String)> = written(&path, 3)
        .iter()
        .map(|line| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            (text(&line["params"]["query"]), text(&line["error"]))
        })
        .collect();
    let expected =
        [("one", ""), ("given up", "query was canceled in expression evaluation"), ("failed", "many-to-many")];
    assert_eq!(told, expected.map(|(query, error)| (query.to_string(), error.to_string())));
    log.install(log.open("").unwrap());
    assert!(!log.is_on());
    log.begin(asked("off")).finish(Ok(&stats));
    assert_eq!(log.failures(), 0);
    let error = log.open(folder.path().join("no/such").to_str().unwrap()).err().unwrap();
    assert!(error.message.contains("global.query_log_file"), "{error}");
}

/// A file that was moved away is written on until the configuration is read again.
#[test]
fn files_move_at_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("q.log"), folder.path().join("q.log.1"));
    let (log, stats) = (log(), QueryStats::default());
    log.install(log.open(path.to_str().unwrap()).unwrap());
    std::fs::rename(&path, &moved).unwrap();
    log.begin(asked("old")).finish(Ok(&stats));
    log.install(log.open(path.to_str().unwrap()).unwrap());
    log.begin(asked("new")).finish(Ok(&stats));
    assert_eq!(written(&moved, 1)[0]["params"]["query"], "old");
    assert_eq!(written(&path, 1)[0]["params"]["query"], "new");
}

/// A disk that does not answer, as a pipe that nobody reads: queries go on, lines are left out and counted, a stop does not
/// wait for ever, and neither do reloads pile up threads.
#[tokio::test]
async fn a_disk_that_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opened for both, so that to open it to write does not wait.
    let reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let (log, stats) = (log(), QueryStats::default());
    let path = pipe.to_str().unwrap();
    log.install(log.open(path).unwrap());
    let started = Instant::now();
    let long = "x".repeat(64 << 10);
    for _ in 0..1000 {
        log.begin(asked(&long)).finish(Ok(&stats));
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let failures = log.failures();
    // 64 MiB of lines, of which 8 wait and what a pipe holds is gone.
    assert!((800..1000).contains(&failures), "{failures}");
    for _ in 1..MAX_WRITERS {
        log.install(log.open(path).unwrap());
        log.begin(asked(&long)).finish(Ok(&stats));
    }
    assert!(log.open(path).err().unwrap().message.contains("wait for their disk"));
    let stopping = Instant::now();
    log.shutdown().await;
    assert!(stopping.elapsed() < LAST_LINES * 5);
    drop(reader);
}

#[tokio::test]
async fn a_stop_waits_for_the_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.log");
    let (log, stats) = (log(), QueryStats::default());
    log.install(log.open(path.to_str().unwrap()).unwrap());
    for _ in 0..500 {
        log.begin(asked("up")).finish(Ok(&stats));
    }
    log.shutdown().await;
    assert_eq!(lines(&path).len(), 500);
}

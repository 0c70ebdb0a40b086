//! `--agent`: what is scraped and received is sent on, over crashes and outages of the remote, and is in no lake.

use std::path::Path;

use super::*;

const ONCE_A_SECOND: &str = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n";

/// Files below a folder with this in their path.
fn files(folder: &Path, with: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path, with)),
            false => found.extend(path.to_str().filter(|path| path.contains(with)).map(str::to_string)),
        }
    }
    found
}

#[tokio::test]
async fn an_agent_sends_and_keeps_nothing() {
    let target = page_server("a_metric 1\n# EOF\n").await;
    let sink = Sink::start(|_, _| stored()).await;
    let scrapes = format!("scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{target}']}}]}}]\n");
    let config = format!("{ONCE_A_SECOND}{}{scrapes}", remote(&sink, "send_exemplars: true"));
    let home = Home::on_disk();
    // Soon flushed, so that the log is trimmed.
    let server = home.start_agent(&config, &["--storage.flush-interval=1s"]);
    let mut writer = Writer::new();
    writer.write(&server, 20).await;
    wait_for("scrapes and writes", || {
        let stored = sink.stored();
        writer.is_stored(&stored) && stored.keys().any(|(series, _)| series.starts_with("a_metric"))
    })
    .await;

    // What it is asked for, it does not have; in Prometheus' words.
    for path in [
        "query?query=up",
        "query_range?query=up&start=0&end=1&step=1",
        "query_exemplars?query=up&start=0&end=1",
        "labels",
        "label/job/values",
        "series?match[]=up",
        "format_query?query=up",
        "parse_query?query=up",
        "rules",
        "alerts",
        "alertmanagers",
        "status/tsdb",
    ] {
        let (status, body) = get_json(&server.url(&format!("/api/v1/{path}"))).await;
        let expected = serde_json::json!({
            "status": "error", "errorType": "execution", "error": "unavailable with Prometheus Agent"
        });
        assert_eq!((status, &body), (422, &expected), "{path}");
    }
    for path in ["targets", "metadata", "targets/metadata", "status/config", "status/flags", "status/walreplay"] {
        assert_eq!(get_json(&server.url(&format!("/api/v1/{path}"))).await.0, 200, "{path}");
    }
    let page = reqwest::get(server.url("/")).await.unwrap();
    assert!(page.url().path().ends_with("/agent") && page.text().await.unwrap().contains("agent"));

    // No samples in files, and a log that is trimmed.
    let folder = home.dir.path().join("agent/promlake");
    wait_for("lists of series", || !files(&folder.join("series"), ".parquet").is_empty()).await;
    wait_for("a short log", || files(&folder.join("_wal"), ".arrow").len() < 10).await;
    assert_eq!(files(&folder.join("samples"), ".parquet"), Vec::<String>::new());
    assert!(server.stop().success());
}

#[tokio::test]
async fn what_an_agent_took_outlives_it_and_its_remote() {
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_away = away.clone();
    let sink = Sink::start(move |_, _| if is_away.load(Ordering::SeqCst) { refused(503) } else { stored() }).await;
    let config = remote(&sink, "");
    let home = Home::on_disk();
    let flags = ["--storage.flush-interval=1s"];
    let server = home.start_agent(&config, &flags);
    let mut writer = Writer::new();
    writer.write(&server, 10).await;
    writer.arrives(&sink).await;
    away.store(true, Ordering::SeqCst);
    writer.write(&server, 10).await;
    // Flushed: the series are known from the lists alone after the crash.
    let flushes = metric(&server, "promlake_flushes_total").await;
    let end = Instant::now() + DEADLINE;
    while metric(&server, "promlake_flushes_total").await < flushes + 1.0 {
        assert!(Instant::now() < end, "no flush");
        tokio::time::sleep(Duration::from_millis(100)).await;
        writer.write(&server, 1).await;
    }
    server.kill();
    let server = home.start_agent(&config, &flags);
    writer.write(&server, 10).await;
    away.store(false, Ordering::SeqCst);
    writer.arrives(&sink).await;
    assert!(server.stop().success());
}

/// Beyond its time nothing is kept for a remote that takes nothing, and that is counted.
#[tokio::test]
async fn what_is_too_old_goes() {
    let away = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_away = away.clone();
    let sink = Sink::start(move |_, _| if is_away.load(Ordering::SeqCst) { refused(503) } else { stored() }).await;
    let home = Home::on_disk();
    let flags = [
        "--storage.flush-interval=1s",
        "--storage.agent.retention.max-time=2s",
        "--storage.remote.buffer-bytes=1MB",
    ];
    // A shard that holds little, so that most of it waits in the log.
    let config = format!(
        "remote_write: [{{url: '{}', queue_config: {{capacity: 20, max_samples_per_send: 20, max_shards: 1, \
         batch_send_deadline: 100ms, min_backoff: 20ms, max_backoff: 200ms}}}}]\n",
        sink.url()
    );
    let server = home.start_agent(&config, &flags);
    let mut writer = Writer::new();
    let folder = home.dir.path().join("agent/promlake/_wal");
    writer.write(&server, 200).await;
    let before = files(&folder, ".arrow").len();
    assert!(before > 50, "{before}");
    let end = Instant::now() + DEADLINE;
    while files(&folder, ".arrow").len() > before / 2 {
        assert!(Instant::now() < end, "{} of {before}", files(&folder, ".arrow").len());
        tokio::time::sleep(Duration::from_millis(200)).await;
        writer.write(&server, 1).await;
    }
    away.store(false, Ordering::SeqCst);
    let from = writer.next_ms;
    writer.write(&server, 5).await;
    writer.acknowledged.retain(|(_, timestamp), _| *timestamp > from);
    wait_for("what came afterwards", || writer.is_stored(&sink.stored())).await;
    assert!(sink.stored().len() < 200 * SERIES, "the old ones are gone");
    assert!(server.stop().success());
}

//! Targets that are found, through the real binary: files that change, servers that answer, reloads, and what the API tells.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, Promlake, get_json, with_params};

/// Answers each request on a thread of its own by its first line.
fn talk(stream: impl std::io::Read + Write, answer: &dyn Fn(&str) -> String) {
    let mut reader = BufReader::new(stream);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line);
    }
    let body = answer(lines.first().map_or("", |line| line.trim()));
    let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close", body.len());
    let _ = reader.get_mut().write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes());
}

fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let streams = listener.incoming().flatten();
        streams.for_each(|stream: TcpStream| talk(stream, &answer));
    });
    address
}

/// The scrape URLs of the active targets, sorted, as soon as they are these.
async fn active(server: &Promlake, want: &[&str]) -> Value {
    let mut last = Value::Null;
    for _ in 0..300 {
        last = get_json(&server.url("/api/v1/targets")).await.1["data"].clone();
        let targets = last["activeTargets"].as_array().expect("a list");
        let mut urls: Vec<&str> = targets.iter().filter_map(|target| target["scrapeUrl"].as_str()).collect();
        urls.sort_unstable();
        if urls == want {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last:#}\nwanted {want:?}");
}

#[tokio::test]
async fn files_are_watched() {
    let home = Home::on_disk();
    let folder = home.dir.path().join("sd");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("writing");
    std::fs::create_dir(&folder).expect("a folder");
    write("a.yml", "- targets: ['127.0.0.1:1', '127.0.0.1:2']\n  labels: {shard: 3, drop: no}\n");
    write("b.json", r#"[{"targets": ["127.0.0.1:3"], "labels": {"drop": "yes"}}]"#);
    let config = "scrape_configs:\n- job_name: files\n  file_sd_configs: [{files: ['sd/*.yml', 'sd/*.json']}]\n  \
                  relabel_configs: [{source_labels: [drop], regex: 'yes', action: drop}, \
                  {regex: drop, action: labeldrop}, \
                  {source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}]\n";
    let server = home.start(config, &[]);
    let urls = ["http://127.0.0.1:1/metrics", "http://127.0.0.1:2/metrics"];
    let data = active(&server, &urls).await;
    let first = &data["activeTargets"][0];
    let path = folder.join("a.yml").display().to_string();
    assert_eq!(
        first["discoveredLabels"],
        json!({"__address__": "127.0.0.1:1", "__meta_filepath": path, "__metrics_path__": "/metrics", "__scheme__": "http",
            "__scrape_interval__": "1m", "__scrape_timeout__": "10s", "__scrape_native_histograms__": "false",
            "__convert_classic_histograms_to_nhcb__": "false", "__always_scrape_classic_histograms__": "false",
            "drop": "no", "job": "files", "shard": "3"})
    );
    assert_eq!(first["labels"], json!({"file": "a.yml", "instance": "127.0.0.1:1", "job": "files", "shard": "3"}));
    assert_eq!(data["droppedTargetCounts"], json!({"files": 1}));
    assert_eq!(data["droppedTargets"][0]["discoveredLabels"]["__address__"], "127.0.0.1:3");

    // Written anew, by renaming, broken, and gone.
    write("a.yml", "- targets: ['127.0.0.1:2', '127.0.0.1:4']\n");
    active(&server, &["http://127.0.0.1:2/metrics", "http://127.0.0.1:4/metrics"]).await;
    write("new", "- targets: ['127.0.0.1:5']\n");
    std::fs::rename(folder.join("new"), folder.join("a.yml")).expect("renaming");
    active(&server, &["http://127.0.0.1:5/metrics"]).await;
    write("a.yml", "- targets: ['127.0.0.1:6\n");
    write("c.yml", "- targets: ['127.0.0.1:7']\n");
    active(&server, &["http://127.0.0.1:5/metrics", "http://127.0.0.1:7/metrics"]).await;
    std::fs::remove_file(folder.join("a.yml")).expect("removing");
    active(&server, &["http://127.0.0.1:7/metrics"]).await;
    assert!(server.stop().success());
}

/// A list over HTTP, which asks for credentials, and containers over a socket; then a reload that touches neither, and one
/// that ends both.
#[tokio::test]
async fn servers_are_asked_and_reloads_keep_what_they_told() {
    let home = Home::on_disk();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = {
        let asked = asked.clone();
        serve(move |line| {
            asked.lock().expect("no panic").push(line.to_string());
            r#"[{"targets": ["127.0.0.1:11"], "labels": {"from": "http"}}]"#.to_string()
        })
    };
    let socket = home.dir.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            talk(stream, &|line| match line.split(' ').nth(1) {
                Some("/containers/json") => {
                    r#"[{"Id": "c", "Names": ["/web"], "Image": "i", "ImageID": "x", "Labels": {"a.b": "c"},
                    "Ports": [{"PrivatePort": 12, "Type": "tcp"}], "HostConfig": {"NetworkMode": "bridge"},
                    "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "n", "IPAddress": "127.0.0.1"}}}}]"#
                        .to_string()
                }
                _ => r#"[{"Id": "n", "Name": "bridge", "Scope": "local", "Labels": {}}]"#.to_string(),
            });
        }
    });
    let config = |scrape: &str| {
        format!(
            "global: {{scrape_interval: {scrape}}}\nscrape_configs:\n- job_name: list\n  http_sd_configs: \
             [{{url: 'http://{list}/l', refresh_interval: 1h}}]\n- job_name: docker\n  docker_sd_configs: \
             [{{host: 'unix://{}'}}]\n",
            socket.display()
        )
    };
    let server = home.start(&config("1m"), &["--web.enable-lifecycle"]);
    let urls = ["http://127.0.0.1:11/metrics", "http://127.0.0.1:12/metrics"];
    let data = active(&server, &urls).await;
    let container = &data["activeTargets"][0]["discoveredLabels"];
    assert_eq!(container["__meta_docker_container_label_a_b"], "c", "{data:#}");
    assert_eq!(container["__meta_docker_network_name"], "bridge");

    let reload = async |config: &str| {
        std::fs::write(home.dir.path().join("prometheus.yml"), config).expect("writing");
        let answer = reqwest::Client::new().post(server.url("/-/reload")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    };
    reload(&config("30s")).await;
    let data = active(&server, &urls).await;
    assert_eq!(data["activeTargets"][1]["scrapeInterval"], "30s");
    assert_eq!(asked.lock().expect("no panic").len(), 1, "the list was asked for again");
    reload("scrape_configs: [{job_name: list}, {job_name: docker}]\n").await;
    active(&server, &[]).await;
    assert!(server.stop().success());
}

#[tokio::test]
async fn metrics_have_the_names_of_prometheus() {
    let home = Home::on_disk();
    std::fs::write(home.dir.path().join("t.json"), r#"[{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]"#)
        .expect("writing");
    let config = "scrape_configs:\n- {job_name: files, file_sd_configs: [{files: [t.json]}]}\n\
                  - {job_name: none, http_sd_configs: [{url: 'http://127.0.0.1:1'}]}\n";
    let server = home.start(config, &[]);
    active(&server, &["http://127.0.0.1:1/metrics", "http://127.0.0.1:2/metrics"]).await;
    let wanted = [
        "prometheus_sd_discovered_targets{config=\"files\",name=\"scrape\"} 2",
        "prometheus_sd_discovered_targets{config=\"none\",name=\"scrape\"} 0",
        "prometheus_sd_failed_configs{name=\"scrape\"} 0",
        "prometheus_sd_received_updates_total{name=\"scrape\"} ",
        "prometheus_sd_updates_total{name=\"scrape\"} ",
        "prometheus_sd_refresh_failures_total{mechanism=\"http\",config=\"none\"} ",
        "prometheus_sd_http_failures_total ",
        "prometheus_sd_file_read_errors_total 0",
        "prometheus_sd_file_mtime_seconds{filename=\"",
    ];
    let mut missing = vec![];
    for _ in 0..100 {
        let text = reqwest::get(server.url("/metrics")).await.expect("an answer").text().await.expect("a body");
        missing = wanted.iter().filter(|line| !text.contains(**line)).copied().collect();
        if missing.is_empty() && !text.contains("prometheus_sd_http_failures_total 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{missing:?}");
}

#[tokio::test]
async fn relabelling_is_explained() {
    let home = Home::on_disk();
    let config = "scrape_configs:\n- job_name: j\n  relabel_configs:\n  \
                  - {source_labels: [a], target_label: b}\n  - {source_labels: [b], regex: x, action: keep}\n  \
                  - {regex: a, action: labeldrop}\n";
    let server = home.start(config, &[]);
    let steps = async |params: &[(&str, &str)]| {
        let (status, answer) = get_json(&with_params(&server.url("/api/v1/targets/relabel_steps"), params)).await;
        (status, answer)
    };
    let (status, answer) = steps(&[("scrapePool", "j"), ("labels", r#"{"a": "x"}"#)]).await;
    let rule = |more: Value| {
        let mut rule = json!({"separator": ";", "regex": "(.*)", "replacement": "$1"});
        rule.as_object_mut().expect("a mapping").extend(more.as_object().expect("a mapping").clone());
        rule
    };
    let first = rule(json!({"source_labels": ["a"], "target_label": "b", "action": "replace"}));
    let second = rule(json!({"source_labels": ["b"], "regex": "x", "action": "keep"}));
    let third = rule(json!({"regex": "a", "action": "labeldrop"}));
    assert_eq!(status, 200);
    assert_eq!(
        answer["data"]["steps"],
        json!([
            {"rule": first, "output": {"a": "x", "b": "x"}, "keep": true},
            {"rule": second, "output": {"a": "x", "b": "x"}, "keep": true},
            {"rule": third, "output": {"b": "x"}, "keep": true},
        ])
    );
    let (_, answer) = steps(&[("scrapePool", "j"), ("labels", r#"{"a": "y"}"#)]).await;
    let kept: Vec<&Value> =
        answer["data"]["steps"].as_array().expect("a list").iter().map(|step| &step["keep"]).collect();
    assert_eq!(kept, [true, false, false]);
    assert_eq!(answer["data"]["steps"][2]["output"], json!({}));
    let wrong = [
        (vec![], "no scrapePool parameter provided"),
        (vec![("scrapePool", "j")], "no labels parameter provided"),
        (vec![("scrapePool", "j"), ("labels", "x")], "error parsing labels: "),
        (
            vec![("scrapePool", "k"), ("labels", "{}")],
            "error retrieving scrape config: scrape pool \"k\" not found",
        ),
    ];
    for (params, want) in wrong {
        let (status, answer) = steps(&params).await;
        assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")));
        assert!(answer["error"].as_str().is_some_and(|text| text.starts_with(want)), "{answer}");
    }
}

#[test]
fn what_a_job_finds_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(folder.path().join("t.yml"), "- targets: ['a:1', 'b:1', 'a:1']\n").expect("writing");
    let config = "scrape_configs:\n- job_name: j\n  file_sd_configs: [{files: [t.yml]}]\n  static_configs: [{targets: [c]}]\n  \
                  relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}]\n";
    std::fs::write(&file, config).expect("writing");
    let check = |job: &str| {
        let arguments = ["check", "service-discovery", "--timeout=3s", file.to_str().expect("UTF-8"), job];
        let output = Command::new(env!("CARGO_BIN_EXE_promlake")).args(arguments).output().expect("running");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = check("j");
    assert_eq!(code, Some(0), "{err}");
    let found: Value = serde_json::from_str(&out).expect("JSON");
    let shown: Vec<(&Value, &Value)> = found
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["discoveredLabels"]["__address__"], &one["labels"]))
        .collect();
    let labels = |instance: &str| json!({"instance": instance, "job": "j"});
    let (a, b, c) = (labels("a:1"), json!({}), labels("c"));
    assert_eq!(shown, [(&json!("c"), &c), (&json!("a:1"), &a), (&json!("b:1"), &b)]);
    let (code, _, err) = check("k");
    assert_eq!((code, err.as_str()), (Some(1), "Job k not found. Select one of:\n\tj\n"));
}

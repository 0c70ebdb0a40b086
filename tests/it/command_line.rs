//! Command lines of Prometheus, and the small checks of promtool: what starts, what is refused and how, and what a running
//! server shows of it. Words and exit codes are those of Prometheus 3.5.3.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, NO_TARGETS, Promlake, get_json};

/// The exit code, and what is printed.
fn run(args: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_promlake"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting the binary");
    // What ends before it reads closes the pipe.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_command_lines_are_refused() {
    let check = |args: &[&str], code: i32, part: &str| {
        let (got, _, errors) = run(args, "");
        assert_eq!(got, code, "{args:?}: {errors}");
        assert!(errors.contains(part), "{args:?}: {errors:?} does not contain {part:?}");
    };
    check(&["-config.file=x"], 2, "unknown short flag '-c'");
    check(&["--storage.tsdb.retention=15d"], 2, "--storage.tsdb.retention.time");
    check(
        &["--storage.tsdb.allow-overlapping-blocks"],
        2,
        "unknown long flag '--storage.tsdb.allow-overlapping-blocks'",
    );
    check(&["--alertmanager.timeout=10s"], 2, "unknown long flag '--alertmanager.timeout'");
    check(&["--web.enable-lifecycle=true"], 2, "unexpected true");
    check(&["surplus"], 2, "unexpected surplus");
    check(&["@/no/such/file"], 2, "failed to open arguments file");
    check(&["--agent", "--storage.tsdb.path=x"], 3, "can not be used in agent mode: [\"--storage.tsdb.path\"]");
    check(&["--storage.agent.path=x"], 3, "can only be used in agent mode: [\"--storage.agent.path\"]");
    check(&["--config.file=/no/such/file.yml"], 1, "/no/such/file.yml");
}

#[test]
fn agents_are_told_what_they_may_not_have() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("prometheus.yml");
    let flag = format!("--config.file={}", file.display());
    let check = |text: &str, part: &str| {
        std::fs::write(&file, text).expect("writing the configuration");
        let (code, _, errors) = run(&["--agent", &flag, "--web.listen-address=127.0.0.1:0"], "");
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains(part), "{errors:?} does not contain {part:?}");
    };
    let remote_write = "remote_write: [{url: 'http://127.0.0.1:9/'}]\n";
    check(&format!("{remote_write}rule_files: [rules.yml]\n"), "field rule_files is not allowed in agent mode");
    check("scrape_configs: []\n", "at least one remote_write target must be specified in agent mode");
}

async fn status(server: &Promlake, method: &str, path: &str) -> u16 {
    let method = method.parse().expect("a method");
    reqwest::Client::new().request(method, server.url(path)).send().await.expect("an answer").status().as_u16()
}

async fn data(server: &Promlake, path: &str) -> Value {
    let (status, body) = get_json(&server.url(path)).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["data"].clone()
}

/// The arguments of the container image, and of units people write.
#[tokio::test]
async fn command_lines_from_life() {
    let home = Home::on_disk();
    let server = home.start(
        NO_TARGETS,
        &[
            "--web.console.libraries=/usr/share/prometheus/console_libraries",
            "--web.console.templates",
            "/usr/share/prometheus/consoles",
            "--storage.tsdb.retention.time=30d",
            "--storage.tsdb.retention.size",
            "10GB",
            "--storage.tsdb.wal-compression",
            "--no-web.enable-lifecycle",
            "--enable-feature=exemplar-storage,native-histograms",
            "--enable-feature=no-such-feature",
            "--log.level=INFO",
            "--query.max-samples=5e7",
            "--web.page-title=Ours",
        ],
    );
    assert!(server.logged("--web.console.libraries, --web.console.templates has no effect"));
    assert!(server.logged("--storage.tsdb.wal-compression has no effect"));
    assert!(server.logged("Unknown option for --enable-feature: no-such-feature"));
    assert!(server.logged("retention is not enforced yet"));
    assert_eq!(status(&server, "HEAD", "/-/healthy").await, 200);
    assert_eq!(status(&server, "POST", "/-/reload").await, 403);
    let flags = data(&server, "/api/v1/status/flags").await;
    let shown = |name: &str| flags[name].as_str().unwrap_or("none").to_string();
    assert_eq!(shown("storage.tsdb.retention.time"), "30d");
    assert_eq!(shown("web.console.templates"), "/usr/share/prometheus/consoles");
    assert_eq!(shown("web.enable-lifecycle"), "false");
    assert_eq!(shown("web.enable-remote-write-receiver"), "true", "on loopback addresses");
    assert_eq!(shown("web.route-prefix"), "/");
    assert_eq!(shown("log.level"), "INFO");
    assert_eq!(shown("rules.max-concurrent-evals"), "4");
    assert_eq!(data(&server, "/api/v1/status/runtimeinfo").await["storageRetention"], "30d or 10GiB");
    let page = reqwest::get(server.url("/query")).await.unwrap().text().await.unwrap();
    assert!(page.contains("<title>Ours</title>"), "{page}");
}

/// Behind a proxy that strips the path, and behind one that does not.
#[tokio::test]
async fn external_urls_and_prefixes() {
    let home = Home::on_disk();
    let no_redirects = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let leads_to = async |url: String| {
        let answer = no_redirects().get(url).send().await.unwrap();
        answer.headers().get("location").map(|to| to.to_str().unwrap().to_string())
    };
    let stripped =
        home.start(NO_TARGETS, &["--web.external-url=http://metrics.invalid/prometheus/", "--web.route-prefix=/"]);
    assert_eq!(status(&stripped, "GET", "/-/ready").await, 200);
    assert_eq!(status(&stripped, "GET", "/prometheus/-/ready").await, 404);
    assert_eq!(leads_to(stripped.url("/")).await.as_deref(), Some("/prometheus/query"));
    drop(stripped);

    let home = Home::on_disk();
    let kept = home.start(NO_TARGETS, &["--web.external-url=/p"]);
    // The log names the server with its prefix.
    let root = kept.http.strip_suffix("/p").expect("the prefix").to_string();
    assert_eq!(get_json(&kept.url("/api/v1/query?query=1")).await.0, 200);
    assert_eq!(reqwest::get(format!("{root}/api/v1/query?query=1")).await.unwrap().status(), 404);
    assert_eq!(leads_to(format!("{root}/")).await.as_deref(), Some("/p"));
    assert_eq!(leads_to(format!("{root}/p/")).await.as_deref(), Some("/p/query"));
    assert_eq!(leads_to(format!("{root}/p/metrics/?a=b")).await.as_deref(), Some("/p/metrics?a=b"));
    assert_eq!(leads_to(format!("{root}//p//-/ready")).await.as_deref(), Some("/p/-/ready"));
    assert_eq!(data(&kept, "/api/v1/status/flags").await["web.route-prefix"], "/p");
    drop(kept);

    let home = Home::on_disk();
    let encoded = home.start(NO_TARGETS, &["--web.external-url=http://metrics.invalid/sub/path%20x/"]);
    let root = encoded.http.strip_suffix("/sub/path%20x").expect("the prefix").to_string();
    assert_eq!(get_json(&encoded.url("/api/v1/query?query=1")).await.0, 200);
    assert_eq!(leads_to(format!("{root}/")).await.as_deref(), Some("/sub/path%20x"));
    assert_eq!(leads_to(format!("{root}/sub/path%20x/")).await.as_deref(), Some("/sub/path%20x/query"));
    assert_eq!(data(&encoded, "/api/v1/status/flags").await["web.route-prefix"], "/sub/path x");
}

/// `promlake --version | head -0`, and the same of what goes to the other output.
#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let check = |args: &[&str], of_errors: bool| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
        command.args(args).stdin(Stdio::null());
        let command =
            if of_errors { command.stderr(writer) } else { command.stdout(writer).stderr(Stdio::piped()) };
        let output = command.output().expect("starting the binary");
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    };
    check(&["--version"], false);
    check(&["--help"], false);
    check(&["check", "rules", "/no/such.yml"], false);
    check(&["check", "rules", "/no/such.yml"], true);
    check(&["--no.such-flag"], true);
    check(&["query", "instant", "http://127.0.0.1:1", "1"], true);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device that is full");
    let output = Command::new(env!("CARGO_BIN_EXE_promlake")).arg("--version").stdout(full).output();
    let output = output.expect("starting the binary");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.starts_with("cannot write to standard output: "), "{errors}");
}

#[tokio::test]
async fn the_admin_api_says_what_it_lacks() {
    let ask = async |server: &Promlake| {
        let url = server.url("/api/v1/admin/tsdb/snapshot");
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body["errorType"].as_str().unwrap().to_string(), body["error"].as_str().unwrap().to_string())
    };
    let home = Home::on_disk();
    let off = home.start(NO_TARGETS, &[]);
    let expected = (500, "unavailable".to_string(), "admin APIs disabled".to_string());
    assert_eq!(ask(&off).await, expected);
    drop(off);
    let home = Home::on_disk();
    let on = home.start(NO_TARGETS, &["--web.enable-admin-api"]);
    let (status, kind, error) = ask(&on).await;
    assert_eq!((status, kind.as_str()), (404, "not_found"));
    assert!(error.contains("snapshots of the storage are not supported yet"), "{error}");
}

#[tokio::test]
async fn user_assets() {
    let home = Home::on_disk();
    let assets = home.dir.path().join("assets");
    std::fs::create_dir_all(assets.join("pages")).unwrap();
    std::fs::write(assets.join("a.css"), "a{}").unwrap();
    std::fs::write(assets.join("pages/index.html"), "<p>hello").unwrap();
    std::fs::write(home.dir.path().join("secret"), "secret").unwrap();
    let server = home.start(NO_TARGETS, &[&format!("--web.user-assets={}", assets.display())]);
    let css = reqwest::get(server.url("/user/a.css")).await.unwrap();
    assert_eq!(css.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(css.text().await.unwrap(), "a{}");
    assert_eq!(reqwest::get(server.url("/user/pages")).await.unwrap().text().await.unwrap(), "<p>hello");
    for path in ["/user/nothing", "/user/%2e%2e/secret", "/user/..%2fsecret"] {
        assert_eq!(status(&server, "GET", path).await, 404, "{path}");
    }
    drop(server);
    let home = Home::on_disk();
    assert_eq!(status(&home.start(NO_TARGETS, &[]), "GET", "/user/a.css").await, 404);
}

/// A file that changes is read, one that is broken is not taken and told, and the old one that comes back is right again.
#[tokio::test]
async fn configurations_are_read_anew_when_they_change() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--config.auto-reload", "--config.auto-reload-interval=1s"]);
    let file = home.dir.path().join("prometheus.yml");
    let interval = async || data(&server, "/api/v1/status/config").await["yaml"].as_str().unwrap().to_string();
    let succeeded = async || data(&server, "/api/v1/status/runtimeinfo").await["reloadConfigSuccess"] == true;
    let until = async |what: &str, done: &dyn Fn(&str, bool) -> bool| {
        let start = Instant::now();
        while !done(&interval().await, succeeded().await) {
            assert!(start.elapsed() < Duration::from_secs(60), "{what} takes too long");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    std::fs::write(&file, "global: {scrape_interval: 7s}\n").unwrap();
    until("the change", &|yaml, _| yaml.contains("scrape_interval: 7s")).await;
    std::fs::write(&file, "no_such_key: 1\n").unwrap();
    until("the refusal", &|yaml, succeeded| yaml.contains("scrape_interval: 7s") && !succeeded).await;
    std::fs::write(&file, "global: {scrape_interval: 7s}\n").unwrap();
    until("the return", &|_, succeeded| succeeded).await;
    // A part of it.
    std::fs::write(home.dir.path().join("rules.yml"), "groups: []\n").unwrap();
    std::fs::write(&file, "global: {scrape_interval: 8s}\nrule_files: ['*.rules']\n").unwrap();
    until("the change", &|yaml, _| yaml.contains("scrape_interval: 8s")).await;
    let loaded = data(&server, "/api/v1/status/runtimeinfo").await["lastConfigTime"].clone();
    std::fs::write(home.dir.path().join("new.rules"), "groups: []\n").unwrap();
    let start = Instant::now();
    while data(&server, "/api/v1/status/runtimeinfo").await["lastConfigTime"] == loaded {
        assert!(start.elapsed() < Duration::from_secs(60), "a new rule file is a change");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn metrics_are_linted() {
    let lint = |args: &[&str], input: &str| run(&[&["check", "metrics"], args].concat(), input);
    let good = "# HELP a_total A\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 1\n";
    assert_eq!(lint(&[], good), (0, String::new(), String::new()));
    let (code, out, errors) = lint(&[], "a_ms 1\n");
    assert_eq!((code, out.as_str()), (3, ""));
    assert_eq!(errors, "a_ms metric names should not contain abbreviated units\na_ms no help text\n");
    assert_eq!(lint(&["--lint=none", "--extended"], "a_ms 1\n").0, 0);
    assert_eq!(lint(&["--lint=none"], good).0, 1);
    let (code, _, errors) = lint(&[], "a{\n");
    assert_eq!(code, 1);
    assert!(errors.starts_with("error while linting: "), "{errors}");
    let (code, table, _) = lint(&["--extended"], good);
    assert_eq!(code, 0);
    assert!(
        table.starts_with("Metric     Cardinality    Percentage    \na_total    2              100.00%       \n"),
        "{table}"
    );
}

#[test]
fn configurations_are_checked_and_linted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    let check = |text: &str, args: &[&str]| {
        std::fs::write(&path, text).unwrap();
        run(&[&["check", "config", path.to_str().unwrap()], args].concat(), "")
    };
    let missing = "rule_files: [no-such.yml]\n";
    assert_eq!(check(missing, &[]).0, 1);
    assert_eq!(check(missing, &["--syntax-only"]).0, 0);
    let slow = "global: {scrape_interval: 5m}\nscrape_configs: [{job_name: slow}]\n";
    assert_eq!(check(slow, &[]), check(slow, &["--lint=none"]));
    let (code, _, errors) = check(slow, &["--lint=too-long-scrape-interval"]);
    assert_eq!(code, 0);
    let expected =
        "  FAILED: too long scrape interval found, data point will be marked as stale - job: slow, interval: 5m\n";
    assert_eq!(errors, expected);
    assert_eq!(check(slow, &["--lint=all", "--lint-fatal"]).0, 3);
    assert_eq!(check(slow, &["--lint=all", "--lint-fatal", "--query.lookback-delta=10m"]).0, 0);
    assert!(check(slow, &["--lint=no-such"]).1.contains("WARNING: unknown lint option: \"no-such\""));
    let targets = |text: &str| check(&format!("scrape_configs: [{{job_name: j, {text}}}]\n"), &[]);
    assert_eq!(targets("static_configs: [{targets: ['a:1']}], file_sd_configs: [{files: ['no-*.yml']}]").0, 0);
    let (code, out, _) = targets("file_sd_configs: [{files: [no.yml]}]");
    assert_eq!(code, 0);
    assert!(out.contains("no.yml\" for file_sd in scrape job \"j\" does not exist"), "{out}");
    let (code, _, errors) = targets("static_configs: [{targets: ['a:1'], labels: {__scrape_timeout__: 2h}}]");
    assert_eq!(code, 1);
    assert!(errors.contains("instance 0 in group") && errors.contains("timeout"), "{errors}");
    std::fs::write(folder.path().join("t.yml"), "- targets: ['a:1']\n- targets: ['a:1', 'a/b']\n").unwrap();
    let (code, _, errors) = targets("file_sd_configs: [{files: ['t*.yml']}]");
    assert_eq!(code, 1);
    assert!(errors.contains("t.yml:1: \"a/b\" is not a valid hostname"), "{errors}");
    let agent = "remote_write: [{url: 'http://a/'}]\nrule_files: [a.yml]\n";
    let (code, _, errors) = check(agent, &["--agent", "--syntax-only"]);
    assert_eq!(code, 1);
    assert!(errors.contains("field rule_files is not allowed in agent mode"), "{errors}");
    assert_eq!(check(agent, &["--syntax-only"]).0, 0);
}

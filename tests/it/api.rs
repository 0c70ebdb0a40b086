//! What Prometheus' HTTP API has beyond queries, through the real binary: features, notifications, the search, metrics as
//! JSON, the description of the API, forms in parts, and the log of queries.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// How long anything here may take before the test fails. Generous, since the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

async fn data(server: &Promlake, path: &str) -> Value {
    let (status, body) = get_json(&server.url(path)).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["data"].clone()
}

async fn text(url: String) -> String {
    reqwest::get(url).await.expect("an answer").text().await.expect("its text")
}

async fn load(server: &Promlake) {
    let at = now_ms() - 60_000;
    let series = |labels| Series { labels, samples: &[(0, 0.0)] };
    let all = [
        series(&[("__name__", "http_requests_total"), ("handler", "/api/v1/query"), ("job", "api")]),
        series(&[("__name__", "http_requests_total"), ("handler", "/metrics"), ("job", "api")]),
        series(&[("__name__", "http_request_duration_seconds"), ("handler", "/metrics"), ("job", "api")]),
        series(&[("__name__", "node_cpu_seconds_total"), ("job", "node")]),
        series(&[("__name__", "up"), ("job", "node")]),
    ];
    let now = [(at, 1.0)];
    let all: Vec<Series<'_>> = all.into_iter().map(|one| Series { samples: &now, ..one }).collect();
    assert_eq!(write(&reqwest::Client::new(), &server.http, encode(&all)).await, Some(204));
}

/// The lines of an answer; its type has to be that of lines.
async fn lines(server: &Promlake, path: &str, params: &[(&str, &str)]) -> Vec<Value> {
    let response = reqwest::get(with_params(&server.url(path), params)).await.expect("an answer");
    assert_eq!(response.status(), 200, "{path} {params:?}");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson; charset=utf-8");
    assert!(response.headers().get("content-encoding").is_none());
    let text = response.text().await.expect("its text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Results of all lines under a key, and the last line.
fn results(lines: &[Value], key: &str) -> (Vec<String>, Value) {
    let (last, batches) = lines.split_last().expect("there is a last line");
    let of = |line: &Value| -> Vec<String> {
        line["results"].as_array().expect("results").iter().map(|r| r[key].as_str().unwrap().to_string()).collect()
    };
    (batches.iter().flat_map(of).collect(), last.clone())
}

#[tokio::test]
async fn search() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--enable-feature=search-api", "--web.search.max-limit=50"]);
    load(&server).await;
    let done = |has_more: bool| json!({ "status": "success", "has_more": has_more });

    let names = "/api/v1/search/metric_names";
    let all = lines(&server, names, &[]).await;
    let expected = ["http_request_duration_seconds", "http_requests_total", "node_cpu_seconds_total", "up"];
    assert_eq!(results(&all, "name"), (expected.map(String::from).to_vec(), done(false)));
    assert_eq!(all.len(), 2);
    let found =
        lines(&server, names, &[("search[]", "req"), ("search[]", "CPU"), ("case_sensitive", "false")]).await;
    assert_eq!(results(&found, "name").0, expected[..3]);
    let best =
        [("search[]", "total"), ("sort_by", "score"), ("include_score", "true"), ("fuzz_alg", "jarowinkler")];
    let found = lines(&server, names, &best).await;
    // Both end with the word, so neither is better.
    assert_eq!(results(&found, "name").0, ["http_requests_total", "node_cpu_seconds_total"]);
    let score = found[0]["results"][0]["score"].as_f64().expect("a score");
    assert!((score - 0.1).abs() < 1e-9, "{score}");
    let batches = [("batch_size", "2"), ("limit", "3"), ("sort_by", "alpha"), ("sort_dir", "dsc")];
    let found = lines(&server, names, &batches).await;
    assert_eq!(found.len(), 3, "{found:?}");
    let backwards = ["up", "node_cpu_seconds_total", "http_requests_total"].map(String::from).to_vec();
    assert_eq!(results(&found, "name"), (backwards, done(true)));
    let none = lines(&server, names, &[("search[]", "xyz")]).await;
    assert_eq!(none, [json!({ "results": [] }), done(false)]);
    let old = lines(&server, names, &[("start", "0"), ("end", "1")]).await;
    assert_eq!(old[0], json!({ "results": [] }));

    let matched = [("match[]", "http_requests_total"), ("match[]", "up"), ("search[]", "j")];
    let labels = lines(&server, "/api/v1/search/label_names", &matched).await;
    assert_eq!(results(&labels, "name"), (vec!["job".to_string()], done(false)));
    let values = [("label", "handler"), ("search[]", "/metrics")];
    let values = lines(&server, "/api/v1/search/label_values", &values).await;
    assert_eq!(results(&values, "value").0, ["/metrics"]);

    for (path, params, message) in [
        (names, ("limit", "51"), "limit 51 exceeds the configured maximum (50, see --web.search.max-limit)"),
        (names, ("include_metadata", "x"), r#"invalid include_metadata "x": must be boolean"#),
        ("/api/v1/search/label_values", ("search[]", "a"), r#"missing required parameter "label""#),
    ] {
        let (status, body) = get_json(&with_params(&server.url(path), &[params])).await;
        let expected = json!({ "status": "error", "errorType": "bad_data", "error": message });
        assert_eq!((status, body), (400, expected));
    }
    // As a form of either kind.
    let client = reqwest::Client::new();
    let url = server.url(names);
    let plain = client.post(&url).header("Content-Type", "application/x-www-form-urlencoded").body("search[]=up");
    let parts = "--xx\r\nContent-Disposition: form-data; name=\"search[]\"\r\n\r\nup\r\n--xx--\r\n";
    let parts = client.post(&url).header("Content-Type", "multipart/form-data; boundary=xx").body(parts);
    for form in [plain, parts] {
        let text = form.send().await.unwrap().text().await.unwrap();
        assert!(text.starts_with("{\"results\":[{\"name\":\"up\"}]}\n"), "{text}");
    }
}

#[tokio::test]
async fn search_is_off_by_default() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (status, body) = get_json(&server.url("/api/v1/search/metric_names")).await;
    let expected = json!({ "status": "error", "errorType": "unavailable", "error": "search API disabled" });
    assert_eq!((status, body), (500, expected));
}

#[tokio::test]
async fn features_metrics_and_description() {
    let home = Home::on_disk();
    let flags = ["--enable-feature=promql-experimental-functions,search-api", "--web.enable-lifecycle"];
    let server = home.start(NO_TARGETS, &flags);
    let features = data(&server, "/api/v1/features").await;
    for (part, name, on) in [
        ("api", "search", true),
        ("api", "search_fuzz_alg_jarowinkler", true),
        ("api", "lifecycle", true),
        ("api", "admin", false),
        ("api", "otlp_write_receiver", false),
        ("prometheus", "server_mode", true),
        ("promql", "fill", false),
        ("promql", "at_modifier", true),
        ("promql_functions", "rate", true),
        ("promql_functions", "info", true),
        ("promql_operators", "limitk", true),
        ("promql_operators", "=~", true),
        ("rules", "concurrent_rule_eval", false),
        ("scrape", "extra_scrape_metrics", true),
        ("service_discovery_providers", "kubernetes", true),
        ("service_discovery_providers", "static", true),
        ("templating_functions", "humanize", true),
        ("tsdb", "exemplar_storage", true),
        ("otlp_receiver", "delta_conversion", false),
        ("ui", "ui_v3", false),
    ] {
        assert_eq!(features[part][name], on, "{part} {name}");
    }
    // Go's own functions are none of Prometheus'.
    assert!(features["templating_functions"]["printf"].is_null());
    assert!(features["service_discovery_providers"]["zookeeper"].is_null());

    let metrics = data(&server, "/api/v1/status/self_metrics?metric_name_pattern=prometheus_.*_queries").await;
    assert_eq!(
        metrics,
        json!([{
            "name": "prometheus_engine_queries",
            "help": "Queries that run or wait for a slot, SQL included.",
            "type": "GAUGE",
            "metric": [{ "gauge": { "value": 0 } }],
        }])
    );
    let all = data(&server, "/api/v1/status/self_metrics").await;
    let names: BTreeSet<&str> =
        all.as_array().unwrap().iter().map(|family| family["name"].as_str().unwrap()).collect();
    let page = text(server.url("/metrics")).await;
    let shown: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names, shown);
    let (status, body) = get_json(&server.url("/api/v1/status/self_metrics?metric_name_pattern=(")).await;
    assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")));
    assert!(body["error"].as_str().unwrap().starts_with("invalid metric_name_pattern: "), "{body}");

    for (query, version) in [("", "3.1.0"), ("?openapi_version=3.1", "3.1.0"), ("?openapi_version=3.2", "3.2.0")] {
        let response = reqwest::get(server.url(&format!("/api/v1/openapi.yaml{query}"))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/yaml; charset=utf-8");
        let text = response.text().await.unwrap();
        assert!(text.contains(&format!("openapi: {version}\n")), "{text}");
        assert!(text.contains(&format!("- url: {}/api/v1\n", server.http)), "{text}");
    }

    assert_eq!(data(&server, "/api/v1/status/tsdb/blocks").await, json!({ "blocks": [] }));
    let nothing = reqwest::get(server.url("/api/v1/query_exemplars?query=1")).await.unwrap();
    assert_eq!(nothing.status(), 204);
}

/// Reads events until one has this text.
async fn event(response: &mut reqwest::Response, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let chunk = tokio::time::timeout(DEADLINE, response.chunk()).await.expect("an event").expect("no error");
        let chunk = chunk.unwrap_or_else(|| panic!("the stream ended after {seen:?}"));
        seen += std::str::from_utf8(&chunk).expect("UTF-8");
    }
    seen
}

#[tokio::test]
async fn notifications() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle", "--web.max-notifications-subscribers=2"]);
    assert_eq!(data(&server, "/api/v1/notifications").await, json!([]));
    let live = async || reqwest::get(server.url("/api/v1/notifications/live")).await.expect("an answer");
    let mut first = live().await;
    assert_eq!(
        (first.status().as_u16(), first.headers()["content-type"].to_str().unwrap()),
        (200, "text/event-stream")
    );

    let failed = "Configuration reload has failed.";
    let file = home.dir.path().join("prometheus.yml");
    std::fs::write(&file, "no_such_key: 1\n").unwrap();
    server.signal("HUP");
    let told = event(&mut first, failed).await;
    let line = told.strip_prefix("data: ").and_then(|line| line.strip_suffix("\n\n")).expect("an event");
    let told: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&told["text"], &told["active"]), (&json!(failed), &json!(true)));
    assert_eq!(data(&server, "/api/v1/notifications").await, json!([told]));
    // What holds is told to who comes later; who comes last finds no place.
    let mut second = live().await;
    event(&mut second, failed).await;
    assert_eq!(live().await.status(), 204);
    drop(second);

    std::fs::write(&file, NO_TARGETS).unwrap();
    server.signal("HUP");
    event(&mut first, "\"active\":false").await;
    assert_eq!(data(&server, "/api/v1/notifications").await, json!([]));
    let page = text(server.url("/metrics")).await;
    for line in [
        "prometheus_api_notification_updates_dropped_total 0",
        "prometheus_api_notification_updates_sent_total ",
        "prometheus_api_notification_active_subscribers ",
    ] {
        assert!(page.contains(&format!("\n{line}")), "{line} is not in\n{page}");
    }
    // The place of who went is free again.
    let deadline = Instant::now() + DEADLINE;
    let mut third = live().await;
    while third.status() == 204 {
        assert!(Instant::now() < deadline, "no place came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
        third = live().await;
    }

    // The last words come, then the end; nobody who listens keeps the server from stopping.
    let stopping = Instant::now();
    server.signal("TERM");
    for stream in [&mut first, &mut third] {
        event(stream, "Prometheus is shutting down and gracefully stopping all operations.").await;
        let end = tokio::time::timeout(DEADLINE, stream.chunk()).await.expect("an end");
        assert_eq!(end.expect("a proper end"), None);
    }
    assert!(server.wait().success());
    assert!(stopping.elapsed() < DEADLINE);
}

fn logged(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

async fn wait_for_log(path: &Path, is_there: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(line) = logged(path).into_iter().find(&is_there) {
            return line;
        }
        assert!(Instant::now() < deadline, "not in {:?}", logged(path));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn query_log() {
    let home = Home::on_disk();
    let (file, log) = (home.dir.path().join("prometheus.yml"), home.dir.path().join("queries.log"));
    let rules = "groups: [{name: g, interval: 1s, rules: [{record: r, expr: vector(7)}]}]\n";
    std::fs::write(home.dir.path().join("rules.yml"), rules).unwrap();
    let on = "global: {query_log_file: queries.log}\nrule_files: [rules.yml]\n";
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle", "--web.route-prefix=/lake"]);
    let reload = async |config: &str| {
        std::fs::write(&file, config).unwrap();
        let reload = reqwest::Client::new().post(server.url("/-/reload")).send().await.unwrap();
        assert_eq!(reload.status(), 200);
    };
    let ask = async |query: &str| {
        let params = [("query", query), ("start", "0"), ("end", "3600"), ("step", "5")];
        let (status, body) = get_json(&with_params(&server.url("/api/v1/query_range"), &params)).await;
        assert_eq!(status, 200, "{body}");
    };
    ask("query_before").await;
    assert!(!log.exists());
    reload(on).await;
    ask("query_with_api").await;
    let of = |query: &'static str| move |line: &Value| line["params"]["query"] == query;
    let line = wait_for_log(&log, of("query_with_api")).await;
    assert_eq!(
        line["params"],
        json!({ "end": "1970-01-01T01:00:00.000Z", "query": "query_with_api", "start": "1970-01-01T00:00:00.000Z", "step": 5 })
    );
    let request = json!({ "clientIP": "127.0.0.1", "method": "GET", "path": "/lake/api/v1/query_range" });
    assert_eq!(line["httpRequest"], request);
    assert!(line["stats"]["timings"]["execTotalTime"].is_number(), "{line}");
    assert_eq!(line["stats"]["samples"]["totalQueryableSamples"], 0);
    assert!(line["ruleGroup"].is_null() && line["error"].is_null());

    let rule = wait_for_log(&log, of("vector(7)")).await;
    let path = home.dir.path().join("rules.yml");
    assert_eq!(rule["ruleGroup"], json!({ "file": path.to_str().unwrap(), "name": "g" }));
    assert_eq!((&rule["params"]["step"], &rule["params"]["start"]), (&json!(0), &rule["params"]["end"]));

    // What is wrong is not evaluated; what fails was.
    let (status, _) = get_json(&server.url("/api/v1/query?query=sum(")).await;
    assert_eq!(status, 400);
    let (status, _) = get_json(&server.url("/api/v1/query?query=vector(1)%2Bvector(2)&timeout=0")).await;
    assert_eq!(status, 503);
    let failed = wait_for_log(&log, of("vector(1)+vector(2)")).await;
    assert_eq!(failed["error"], "query timed out in expression evaluation");
    assert!(!logged(&log).iter().any(|line| line["params"]["query"] == "sum("));

    let page = async || text(server.url("/metrics")).await;
    assert!(page().await.contains("\nprometheus_engine_query_log_enabled 1\n"));
    assert!(page().await.contains("\nprometheus_engine_query_log_failures_total 0\n"));

    // Moved away, and off.
    let moved = home.dir.path().join("queries.log.1");
    std::fs::rename(&log, &moved).unwrap();
    ask("query_to_the_old_file").await;
    wait_for_log(&moved, of("query_to_the_old_file")).await;
    reload(on).await;
    ask("query_to_the_new_file").await;
    wait_for_log(&log, of("query_to_the_new_file")).await;
    reload(NO_TARGETS).await;
    assert!(page().await.contains("\nprometheus_engine_query_log_enabled 0\n"));
    ask("query_after").await;
    reload("global: {query_log_file: queries.log}\n").await;
    ask("query_at_last").await;
    wait_for_log(&log, of("query_at_last")).await;
    assert!(!logged(&log).iter().any(|line| line["params"]["query"] == "query_after"));

    // A file that cannot be made is a mistake of the configuration.
    std::fs::write(&file, "global: {query_log_file: no/such/queries.log}\n").unwrap();
    let refused = reqwest::Client::new().post(server.url("/-/reload")).send().await.unwrap();
    assert_eq!(refused.status(), 500);
    assert!(refused.text().await.unwrap().contains("global.query_log_file"));
}

/// The header decides for one query, whatever the server's flag says.
#[tokio::test]
async fn start_timestamps_by_header() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let client = reqwest::Client::new();
    let ask = async |header: &str| {
        let request = client.get(server.url("/api/v1/query?query=vector(1)"));
        let response = request.header("X-Prometheus-Use-Start-Timestamps", header).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(ask("true").await.0, 200);
    assert_eq!(ask("f").await.0, 200);
    let (status, body) = ask("maybe").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let error = "error parsing X-Prometheus-Use-Start-Timestamps header: strconv.ParseBool: parsing \"maybe\": invalid syntax";
    assert_eq!((status, &body["errorType"], &body["error"]), (400, &json!("bad_data"), &json!(error)));
}

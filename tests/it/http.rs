//! Prometheus' HTTP API of the real binary: samples in by remote write, answers compared as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// A whole minute a little in the past, so that the samples are recent and round.
fn base_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
    now / 60_000 * 60_000 - 600_000
}

async fn loaded(server: &Promlake, base: i64) {
    let body = encode(&[
        Series {
            labels: &[("__name__", "http_requests_total"), ("code", "200"), ("job", "api")],
            samples: &[(base, 1.0), (base + 15_000, 2.5), (base + 30_000, 1e21)],
        },
        Series {
            labels: &[("__name__", "http_requests_total"), ("code", "500"), ("job", "api")],
            samples: &[(base, 0.0), (base + 15_000, f64::INFINITY), (base + 30_000, f64::NAN)],
        },
        Series { labels: &[("__name__", "http.status"), ("job", "web")], samples: &[(base, 7.0)] },
    ]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
}

fn seconds(ms: i64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

async fn data(server: &Promlake, path: &str, params: &[(&str, &str)]) -> Value {
    let (status, body) = get_json(&with_params(&server.url(path), params)).await;
    assert_eq!(status, 200, "{path} {params:?}: {body}");
    assert_eq!(body["status"], "success");
    body["data"].clone()
}

#[tokio::test]
async fn queries() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let base = base_ms();
    loaded(&server, base).await;

    let at = seconds(base + 15_000);
    let vector = data(&server, "/api/v1/query", &[("query", "http_requests_total"), ("time", &at)]).await;
    let time = (base + 15_000) / 1000;
    let metric = |code: &str| json!({ "__name__": "http_requests_total", "code": code, "job": "api" });
    assert_eq!(
        sorted(vector),
        json!({ "resultType": "vector", "result": [
            { "metric": metric("200"), "value": [time, "2.5"] },
            { "metric": metric("500"), "value": [time, "+Inf"] },
        ] })
    );

    let (start, end) = (seconds(base), seconds(base + 30_000));
    let params = [("query", "http_requests_total"), ("start", &*start), ("end", &*end), ("step", "15s")];
    let matrix = data(&server, "/api/v1/query_range", &params).await;
    let t = |i: i64| base / 1000 + 15 * i;
    let expected = json!({ "resultType": "matrix", "result": [
        { "metric": metric("200"), "values": [[t(0), "1"], [t(1), "2.5"], [t(2), "1e+21"]] },
        { "metric": metric("500"), "values": [[t(0), "0"], [t(1), "+Inf"], [t(2), "NaN"]] },
    ] });
    assert_eq!(matrix, expected);

    // The same as a form, as Grafana asks.
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let form = reqwest::Client::new()
        .post(server.url("/api/v1/query_range"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(form.headers()["content-type"], "application/json");
    let form: Value = serde_json::from_str(&form.text().await.unwrap()).unwrap();
    assert_eq!(form["data"], expected);

    let scalar = data(&server, "/api/v1/query", &[("query", "1.5"), ("time", "10.5")]).await;
    assert_eq!(scalar, json!({ "resultType": "scalar", "result": [10.5, "1.5"] }));

    let limited = with_params(
        &server.url("/api/v1/query"),
        &[("query", "http_requests_total"), ("time", &at), ("limit", "1"), ("stats", "all")],
    );
    let (_, limited) = get_json(&limited).await;
    assert_eq!(limited["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(limited["warnings"], json!(["results truncated due to limit"]));
    assert!(limited["data"]["stats"]["timings"]["evalTotalTime"].is_number());
}

/// Vectors come in no particular order.
fn sorted(mut data: Value) -> Value {
    if let Some(series) = data["result"].as_array_mut() {
        series.sort_by_key(|s| s["metric"].to_string());
    }
    data
}

#[tokio::test]
async fn labels_and_series() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let base = base_ms();
    loaded(&server, base).await;

    assert_eq!(data(&server, "/api/v1/labels", &[]).await, json!(["__name__", "code", "job"]));
    let one = [("match[]", r#"{__name__="http.status"}"#)];
    assert_eq!(data(&server, "/api/v1/labels", &one).await, json!(["__name__", "job"]));
    let names = data(&server, "/api/v1/label/__name__/values", &[]).await;
    assert_eq!(names, json!(["http.status", "http_requests_total"]));
    assert_eq!(data(&server, "/api/v1/label/job/values", &[]).await, json!(["api", "web"]));
    assert_eq!(data(&server, "/api/v1/label/job/values", &one).await, json!(["web"]));
    assert_eq!(data(&server, "/api/v1/label/nothing/values", &[]).await, json!([]));
    assert_eq!(data(&server, "/api/v1/label/U__job/values", &[]).await, json!(["api", "web"]));
    let series = data(&server, "/api/v1/series", &[("match[]", r#"http_requests_total{code="500"}"#)]).await;
    assert_eq!(series, json!([{ "__name__": "http_requests_total", "code": "500", "job": "api" }]));
    // The first of them, in their order.
    let limited = async |path: &str, limit: &str| {
        let params = [("match[]", r#"{job=~".+"}"#), ("limit", limit)];
        let (status, body) = get_json(&with_params(&server.url(path), &params)).await;
        assert_eq!(status, 200, "{path}: {body}");
        (body["data"].clone(), body["warnings"].clone())
    };
    let cut = json!(["results truncated due to limit"]);
    assert_eq!(limited("/api/v1/labels", "2").await, (json!(["__name__", "code"]), cut.clone()));
    assert_eq!(limited("/api/v1/labels", "3").await, (json!(["__name__", "code", "job"]), Value::Null));
    assert_eq!(limited("/api/v1/label/job/values", "1").await, (json!(["api"]), cut.clone()));
    let first = json!([{ "__name__": "http.status", "job": "web" }]);
    assert_eq!(limited("/api/v1/series", "1").await, (first, cut));
    let (all, warnings) = limited("/api/v1/series", "0").await;
    assert_eq!((all.as_array().map(Vec::len), warnings), (Some(3), Value::Null));
    let tsdb = data(&server, "/api/v1/status/tsdb", &[]).await;
    assert_eq!(tsdb["headStats"]["numSeries"], 3);
    let counts = json!([{ "name": "http_requests_total", "value": 2 }, { "name": "http.status", "value": 1 }]);
    assert_eq!(tsdb["seriesCountByMetricName"], counts);
}

#[tokio::test]
async fn errors() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    for (path, status, kind, message) in [
        (
            "/api/v1/query_range?query=up&start=x&end=1&step=1",
            400,
            "bad_data",
            r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#,
        ),
        (
            "/api/v1/query_range?query=up&start=2&end=1&step=1",
            400,
            "bad_data",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=11001&step=1",
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        ),
        (
            "/api/v1/query",
            400,
            "bad_data",
            r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
        ),
        ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
        (
            "/api/v1/series?match[]={}",
            400,
            "bad_data",
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
        ),
        (
            "/api/v1/labels?start=x",
            400,
            "bad_data",
            r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
        ),
        ("/api/v1/status/tsdb?limit=10001", 400, "bad_data", "limit must not exceed 10000"),
        (
            "/api/v1/targets/metadata?match_target=x[",
            400,
            "bad_data",
            r#"invalid parameter "match_target": 1:2: parse error: unexpected "[""#,
        ),
        (
            "/api/v1/scrape_pools/config?scrapePool=x",
            400,
            "bad_data",
            r#"error retrieving scrape config: scrape pool "x" not found"#,
        ),
    ] {
        let (got, body) = get_json(&server.url(path)).await;
        assert_eq!((got, &body["status"]), (status, &json!("error")), "{path}: {body}");
        assert_eq!((&body["errorType"], &body["error"]), (&json!(kind), &json!(message)), "{path}");
    }
    let client = reqwest::Client::new();
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(client.get(server.url("/nothing"))).await, 404);
    assert_eq!(status(client.get(server.url("/api/v1/write"))).await, 405);
    assert_eq!(status(client.get(server.url("/-/reload"))).await, 405);
    assert_eq!(status(client.post(server.url("/-/reload"))).await, 403);
    let refused = client.get(server.url("/-/quit")).send().await.unwrap().text().await.unwrap();
    assert_eq!(refused, "Only POST or PUT requests allowed");
    assert_eq!(write(&client, &server.http, b"not snappy".to_vec()).await, Some(400));
    // Whatever is asked about below the API; elsewhere it tells the methods that there are.
    for (path, expected) in
        [("/api/v1/nothing", 204), ("/api/v1/write", 204), ("/api/v1/query", 204), ("/-/quit", 200)]
    {
        let options = client.request(reqwest::Method::OPTIONS, server.url(path));
        assert_eq!(status(options).await, expected, "{path}");
    }
}

/// Sends a request as it stands; the answer's head and body.
fn raw(server: &Promlake, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.http.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What Go's server takes, and where its multiplexer and Prometheus' router lead.
#[tokio::test]
async fn requests_as_people_write_them() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let host = "Host: 127.0.0.1\r\n";
    // Two on one connection, the first with a body that looks like a target.
    let form = "query=\"{`}\"";
    let posted = format!(
        "POST /api/v1/query HTTP/1.1\r\n{host}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let asked =
        format!("GET /api/v1/query?query=\"größe|{{}}<>^`#\"&time=5 HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    let answers = raw(&server, &format!("{posted}{asked}"));
    let (first, second) = (r#""{`}"]"#, r#"[5,"größe|{}<>^`#"]"#);
    assert!(answers.contains(first) && answers.contains(second), "{answers}");

    let answer = |method: &str, path: &str| {
        raw(&server, &format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n"))
    };
    for (method, path, parts) in [
        (
            "GET",
            "//api/v1/./query?query=1",
            ["301 Moved", "location: /api/v1/query?query=1\r\n", "Moved Permanently</a>.\n\n"],
        ),
        (
            "GET",
            "/federate/?match[]=up",
            ["301 Moved", "location: /federate?match[]=up\r\n", "Moved Permanently</a>.\n\n"],
        ),
        ("POST", "/-/Ready", ["308 Permanent", "location: /-/ready\r\n", "\r\n\r\n"]),
        ("GET", "/graph?g0.expr=up", ["302 Found", "location: /query?g0.expr=up\r\n", "Found</a>.\n\n"]),
        (
            "DELETE",
            "/api/v1/query",
            ["405 Method", "content-type: text/plain; charset=utf-8\r\n", "\r\n\r\nMethod Not Allowed\n"],
        ),
        ("POST", "/federate", ["405 Method", "allow: ", "Method Not Allowed\n"]),
        ("GET", "/API/v1/query?query=1", ["404 Not", "", "404 page not found\n"]),
    ] {
        let answer = answer(method, path);
        assert!(parts.iter().all(|part| answer.contains(part)), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn status_and_management() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle", "--web.cors.origin=https://a.example"]);
    for path in ["/-/healthy", "/-/ready", "/metrics", "/version", "/query", "/"] {
        let response = reqwest::get(server.url(path)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    let build = data(&server, "/api/v1/status/buildinfo", &[]).await;
    assert_eq!(build["application"], "promlake");
    let flags = data(&server, "/api/v1/status/flags", &[]).await;
    assert_eq!(flags["query.timeout"], "2m");
    assert_eq!(flags["web.enable-lifecycle"], "true");
    let config = data(&server, "/api/v1/status/config", &[]).await;
    assert!(config["yaml"].as_str().unwrap().contains("scrape_interval"));
    assert!(data(&server, "/api/v1/status/runtimeinfo", &[]).await["startTime"].is_string());
    assert_eq!(data(&server, "/api/v1/targets", &[]).await["activeTargets"], json!([]));
    assert_eq!(data(&server, "/api/v1/rules", &[]).await, json!({ "groups": [] }));
    assert_eq!(data(&server, "/api/v1/alerts", &[]).await, json!({ "alerts": [] }));
    assert_eq!(data(&server, "/api/v1/metadata", &[]).await, json!({}));
    assert_eq!(data(&server, "/api/v1/format_query", &[("query", "sum(up)by(job)")]).await, "sum by (job) (up)");
    let ast = data(&server, "/api/v1/parse_query", &[("query", "up")]).await;
    assert_eq!((&ast["type"], &ast["name"]), (&json!("vectorSelector"), &json!("up")));

    let client = reqwest::Client::new();
    let origin = client.get(server.url("/api/v1/labels")).header("Origin", "https://a.example");
    assert_eq!(origin.send().await.unwrap().headers()["access-control-allow-origin"], "https://a.example");
    let preflight = client
        .request(reqwest::Method::OPTIONS, server.url("/api/v1/query"))
        .header("Origin", "https://b.example")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert!(!preflight.headers().contains_key("access-control-allow-origin"));

    let open = client.get(server.url("/metrics")).header("Accept", "application/openmetrics-text");
    let open = open.send().await.unwrap().text().await.unwrap();
    assert!(open.ends_with("# EOF\n"));
    let text = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
    for name in [
        "promlake_build_info",
        "prometheus_http_requests_total",
        "promlake_head_series",
        "process_cpu_seconds_total",
    ] {
        assert!(text.contains(&format!("\n{name}")), "{name} is not in\n{text}");
    }

    // A broken file is refused and the old configuration stays; a good one is taken.
    let file = home.dir.path().join("prometheus.yml");
    let reload = async || client.post(server.url("/-/reload")).send().await.unwrap().status().as_u16();
    std::fs::write(&file, "no_such_key: 1\n").unwrap();
    assert_eq!(reload().await, 500);
    assert_eq!(data(&server, "/api/v1/status/config", &[]).await, config);
    std::fs::write(&file, "global: {scrape_interval: 7s}\n").unwrap();
    assert_eq!(reload().await, 200);
    let config = data(&server, "/api/v1/status/config", &[]).await;
    assert!(config["yaml"].as_str().unwrap().contains("7s"));

    assert!(server.stop().success());
}

#[tokio::test]
async fn scrapes_itself() {
    let home = Home::on_disk();
    let config = "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['TARGET']\n";
    // The port is known only once the server runs, so its configuration is reloaded with it.
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle"]);
    let target = server.http.trim_start_matches("http://");
    std::fs::write(home.dir.path().join("prometheus.yml"), config.replace("TARGET", target)).unwrap();
    server.signal("HUP");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let up = data(&server, "/api/v1/query", &[("query", "up{job=\"self\"}")]).await;
        if up["result"][0]["value"][1] == "1" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no scrape succeeded: {up}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let targets = data(&server, "/api/v1/targets", &[]).await;
    assert_eq!(targets["activeTargets"][0]["health"], "up");
    assert_eq!(targets["activeTargets"][0]["labels"], json!({ "instance": target, "job": "self" }));
    assert_eq!(data(&server, "/api/v1/scrape_pools", &[]).await, json!({ "scrapePools": ["self"] }));
    let metadata = data(&server, "/api/v1/metadata", &[("metric", "promlake_build_info")]).await;
    assert_eq!(metadata["promlake_build_info"][0]["type"], "gauge");
}

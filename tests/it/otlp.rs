//! OTLP metrics over HTTP into the real binary.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params};
use crate::write_request::{put_bytes, put_double};

const PATH: &str = "/api/v1/otlp/v1/metrics";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    now.as_secs() * 1_000_000_000
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// One resource with these metrics.
fn request(metrics: Value) -> Value {
    let resource = json!({ "attributes": [attribute("service.name", "api"), attribute("host.name", "h1")] });
    json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": metrics }] }] })
}

fn gauge(name: &str, time_ns: u64, value: f64) -> Value {
    let point =
        json!({ "timeUnixNano": time_ns.to_string(), "asDouble": value, "attributes": [attribute("a.b", "c")] });
    json!({ "name": name, "unit": "s", "gauge": { "dataPoints": [point] } })
}

async fn post(server: &Promlake, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String, String) {
    let mut request = reqwest::Client::new().post(server.url(PATH)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_string());
    (response.status().as_u16(), content_type.unwrap_or_default(), response.text().await.expect("a body"))
}

async fn post_json(server: &Promlake, metrics: Value) -> (u16, String) {
    let body = request(metrics).to_string().into_bytes();
    let (status, _, text) = post(server, &[("content-type", JSON)], body).await;
    (status, text)
}

/// Metric and value of each series of an instant query, sorted.
async fn query(server: &Promlake, query: &str) -> Vec<String> {
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", query)])).await;
    assert_eq!(status, 200, "{body}");
    let series = body["data"]["result"].as_array().expect("a vector").iter();
    let mut shown: Vec<String> = series.map(|one| format!("{} {}", one["metric"], one["value"][1])).collect();
    shown.sort();
    shown
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A gauge in protobuf, written by hand.
fn protobuf(time_ns: u64) -> Vec<u8> {
    let message = |fields: &[(u8, &[u8])]| {
        let mut out = Vec::new();
        fields.iter().for_each(|(number, bytes)| put_bytes(&mut out, *number, bytes));
        out
    };
    let mut point = Vec::new();
    point.push(3 << 3 | 1);
    point.extend(time_ns.to_le_bytes());
    put_double(&mut point, 4, 2.5);
    let metric = message(&[(1, b"from.protobuf"), (5, &message(&[(1, &point)]))]);
    message(&[(1, &message(&[(2, &message(&[(2, &metric)]))]))])
}

#[tokio::test]
async fn metrics_are_stored() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-otlp-receiver"]);
    let now = now_ns();
    let body = request(json!([gauge("from.json", now, 1.5)])).to_string().into_bytes();
    let answer = post(&server, &[("content-type", JSON)], body).await;
    assert_eq!(answer, (200, JSON.into(), "{}".into()));
    let answer =
        post(&server, &[("content-type", PROTOBUF), ("content-encoding", "gzip")], gzip(&protobuf(now))).await;
    assert_eq!(answer, (200, PROTOBUF.into(), String::new()));
    assert_eq!(query(&server, "from_protobuf").await, [r#"{"__name__":"from_protobuf"} "2.5""#]);
    let expected = r#"{"__name__":"from_json_seconds","a_b":"c","job":"api"} "1.5""#;
    assert_eq!(query(&server, "from_json_seconds").await, [expected]);
    let expected = r#"{"__name__":"target_info","host_name":"h1","job":"api"} "1""#;
    assert_eq!(query(&server, "target_info").await, [expected]);
    let (_, metadata) = get_json(&server.url("/api/v1/metadata?metric=from_json_seconds")).await;
    assert_eq!(metadata["data"]["from_json_seconds"][0], json!({ "type": "gauge", "help": "", "unit": "seconds" }));
    // Sent again it is the same; with another value it is a duplicate, and the rest is written.
    assert_eq!(post_json(&server, json!([gauge("from.json", now, 1.5)])).await.0, 200);
    let both = json!([gauge("other", now, 1.0), gauge("from.json", now, 7.0)]);
    let (status, text) = post_json(&server, both).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("duplicate sample for timestamp (series from_json_seconds{"), "{text}");
    assert_eq!(query(&server, "other_seconds").await.len(), 1);
}

#[tokio::test]
async fn what_is_refused() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-otlp-receiver"]);
    let now = now_ns();
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, expected: &str| {
        let (got, _, text) = post(&server, headers, body).await;
        assert!(got == status && text.starts_with(expected), "{headers:?}: {got} {text}");
    };
    let unsupported =
        "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]\n";
    check(&[("content-type", "text/plain")], vec![], 400, unsupported).await;
    check(&[], vec![], 400, "unsupported content type: , supported").await;
    let zstd = "unsupported compression: zstd. Only \"gzip\" or no compression supported\n";
    check(&[("content-type", JSON), ("content-encoding", "zstd")], vec![], 400, zstd).await;
    check(&[("content-type", JSON)], b"{".to_vec(), 400, "EOF").await;
    check(&[("content-type", PROTOBUF)], vec![0x0a, 5], 400, "the body is not an ExportMetricsServiceRequest")
        .await;
    check(&[("content-type", JSON), ("content-encoding", "gzip")], vec![1; 20], 400, "gzip: ").await;
    // 40 MiB of nothing is 40 KiB of gzip.
    let bomb = gzip(&vec![0; 40 << 20]);
    assert!(bomb.len() < 1 << 20);
    let large = "request body too large";
    check(&[("content-type", PROTOBUF), ("content-encoding", "gzip")], bomb, 413, large).await;
    check(&[("content-type", "APPLICATION/JSON; charset=utf-8")], b"{}".to_vec(), 200, "{}").await;

    let point = json!({ "timeUnixNano": now.to_string(), "asInt": "1" });
    let delta = json!([{ "name": "d", "sum": { "aggregationTemporality": 1, "dataPoints": [point] } }]);
    let refused = (500, "invalid temporality and type combination for metric \"d\"\n".to_string());
    assert_eq!(post_json(&server, delta.clone()).await, refused);
    let (status, text) = post_json(&server, json!([gauge("late", now + 3_600_000_000_000, 1.0)])).await;
    assert!(status == 400 && text.starts_with("out of bounds"), "{status} {text}");
    assert_eq!(post_json(&server, json!([gauge("no time", 0, 1.0)])).await.0, 400);
    assert_eq!(post_json(&server, json!([{ "name": "empty", "gauge": { "dataPoints": [] } }])).await.0, 200);

    let client = reqwest::Client::new();
    assert_eq!(client.get(server.url(PATH)).send().await.unwrap().status(), 405);
    let page = client.post(server.url(PATH)).header("content-type", JSON).header("sec-fetch-site", "cross-site");
    assert_eq!(page.body("{}").send().await.unwrap().status(), 403);
    drop(server);

    let server =
        home.start(NO_TARGETS, &["--web.enable-otlp-receiver", "--enable-feature=otlp-native-delta-ingestion"]);
    assert_eq!(post_json(&server, delta).await.0, 200);
    assert_eq!(query(&server, "d").await, [r#"{"__name__":"d","job":"api"} "1""#]);
}

#[tokio::test]
async fn the_receiver_is_off_unless_asked_for() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (status, _, text) = post(&server, &[("content-type", JSON)], b"{}".to_vec()).await;
    let expected = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    assert_eq!((status, text.as_str()), (404, expected));
}

#[tokio::test]
async fn the_section_takes_effect_and_is_read_again() {
    let home = Home::on_disk();
    let section = |strategy: &str| {
        format!(
            "scrape_configs: []\notlp: {{translation_strategy: {strategy}, promote_resource_attributes: [host.name]}}\n"
        )
    };
    let server = home.start(&section("NoTranslation"), &["--web.enable-otlp-receiver", "--web.enable-lifecycle"]);
    let now = now_ns();
    assert_eq!(post_json(&server, json!([gauge("my.metric", now, 1.0)])).await.0, 200);
    let expected = r#"{"__name__":"my.metric","a.b":"c","host.name":"h1","job":"api"} "1""#;
    assert_eq!(query(&server, r#"{"my.metric"}"#).await, [expected]);
    std::fs::write(home.dir.path().join("prometheus.yml"), section("UnderscoreEscapingWithSuffixes")).unwrap();
    let reload = reqwest::Client::new().post(server.url("/-/reload")).send().await.unwrap();
    assert_eq!(reload.status(), 200);
    assert_eq!(post_json(&server, json!([gauge("my.metric", now, 2.0)])).await.0, 200);
    let expected = r#"{"__name__":"my_metric_seconds","a_b":"c","host_name":"h1","job":"api"} "2""#;
    assert_eq!(query(&server, "my_metric_seconds").await, [expected]);
}

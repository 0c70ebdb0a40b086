//! `promlake demo`: the shop's story as a newcomer sees it, up to the alert that waits.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, get_json, with_params};

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_gets_slow_is_noticed() {
    let home = Home::on_disk();
    let (shop, server) = home.start_demo();
    let client = reqwest::Client::new();
    let press = async |origin: Option<&str>| {
        let request = client.post(format!("{shop}slow"));
        let request = origin.into_iter().fold(request, |request, origin| request.header("Origin", origin));
        let answer = request.send().await.expect("the shop answers");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    assert_eq!(press(Some("http://elsewhere.example")).await.0, 403);
    let (status, page) = press(None).await;
    assert!(status == 200 && page.contains("articles take seconds"), "{status} {page}");

    let vector = async |query: &str| {
        let (status, answer) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", query)])).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"]["result"].as_array().expect("a vector").clone()
    };
    let begin = Instant::now();
    let waits = r#"ALERTS{alertname="SlowRequests", endpoint="/api/article", alertstate="pending"}"#;
    while vector(waits).await.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(90), "no alert waits");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let slow = vector("endpoint:http_request_duration_seconds:p95 > 1").await;
    assert_eq!(slow.len(), 1, "{slow:?}");
    let rate = vector(r#"rate(http_requests_total{endpoint="/api/article", code="200"}[1m]) > 0"#).await;
    assert_eq!(rate.len(), 1, "{rate:?}");
    let (_, rules) = get_json(&server.url("/api/v1/rules")).await;
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    let health: Vec<&Value> = rules.iter().map(|rule| &rule["health"]).collect();
    assert_eq!(health, ["ok"; 3], "{rules:?}");
    assert!(server.stop().success());

    // What is there is used again.
    let (_, server) = home.start_demo();
    assert!(server.stop().success());
}

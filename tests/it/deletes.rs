//! Deleting through the admin API, with the real binary.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Client;
use serde_json::Value;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// Metric, host, and samples.
type Given<'a> = (&'a str, &'a str, &'a [(i64, f64)]);

async fn send(server: &Promlake, series: &[Given<'_>]) {
    let labels: Vec<_> = series.iter().map(|(name, host, _)| [("__name__", *name), ("host", *host)]).collect();
    let all: Vec<Series<'_>> =
        labels.iter().zip(series).map(|(labels, (_, _, samples))| Series { labels, samples }).collect();
    assert_eq!(write(&Client::new(), &server.http, encode(&all)).await, Some(204));
}

/// What a request with some parameters is answered.
async fn admin(server: &Promlake, path: &str, params: &[(&str, &str)]) -> (u16, String) {
    let url = with_params(&server.url(&format!("/api/v1/admin/tsdb/{path}")), params);
    let answer = Client::new().post(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// Samples of a metric by the label `host`.
async fn counts(server: &Promlake, metric: &str) -> Vec<(String, String)> {
    let query = format!("count_over_time({metric}[1h])");
    let (_, found) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", query.as_str())])).await;
    let rows = found["data"]["result"].as_array().expect("a vector").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let mut counts: Vec<_> = rows.map(|row| (text(&row["metric"]["host"]), text(&row["value"][1]))).collect();
    counts.sort();
    counts
}

/// The cells of a simple query, joined by spaces.
async fn cells(server: &Promlake, sql: &str) -> Vec<String> {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect::<Vec<_>>().join(" ")).collect()
}

fn of(counts: &[(&str, &str)]) -> Vec<(String, String)> {
    counts.iter().map(|(host, count)| (host.to_string(), count.to_string())).collect()
}

#[tokio::test]
async fn series_are_deleted_for_good() {
    let home = Home::on_disk();
    let flags = ["--web.enable-admin-api", "--storage.flush-interval=0s"];
    let server = home.start(NO_TARGETS, &flags);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
    let minute = 60_000;
    let samples: Vec<(i64, f64)> = (1..=20).rev().map(|ago| (now - ago * minute, ago as f64)).collect();
    send(&server, &[("m", "a", &samples), ("m", "b", &samples), ("other", "a", &samples)]).await;

    for (params, status, words) in [
        (&[][..], 400, "no match[] parameter provided"),
        (&[("match[]", "{")][..], 400, "match[]"),
        (&[("match[]", "up"), ("start", "x")][..], 400, "start"),
        (&[("match[]", "nobody_has_this")][..], 204, ""),
    ] {
        let (got, body) = admin(&server, "delete_series", params).await;
        assert!(got == status && body.contains(words), "{params:?}: {got} {body}");
    }
    assert_eq!(counts(&server, "m").await, of(&[("a", "20"), ("b", "20")]));
    // A part of one, which is in memory.
    let end = ((now - 10 * minute) as f64 / 1000.0).to_string();
    let params = [("match[]", "m{host=\"a\"}"), ("end", end.as_str())];
    assert_eq!(admin(&server, "delete_series", &params).await, (204, String::new()));
    assert_eq!(counts(&server, "m").await, of(&[("a", "9"), ("b", "20")]));
    // All of several.
    assert_eq!(admin(&server, "delete_series", &[("match[]", "m{host=\"b\"}"), ("match[]", "other")]).await.0, 204);
    assert_eq!(counts(&server, "m").await, of(&[("a", "9")]));
    assert_eq!(counts(&server, "other").await, []);
    let (_, found) = get_json(&with_params(&server.url("/api/v1/series"), &[("match[]", "{host=~\".+\"}")])).await;
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1), "{found}");
    // What comes later stays.
    send(&server, &[("m", "b", &[(now, 1.0)])]).await;
    server.kill();

    let server = home.start(NO_TARGETS, &flags);
    assert_eq!(counts(&server, "m").await, of(&[("a", "9"), ("b", "1")]));
    assert_eq!(counts(&server, "other").await, []);
    let deletes = cells(&server, "SELECT files_left > 0 FROM promlake.deletes ORDER BY time").await;
    assert_eq!(deletes, ["t", "t"]);
    assert_eq!(admin(&server, "clean_tombstones", &[]).await, (204, String::new()));
    assert_eq!(cells(&server, "SELECT sum(files_left) FROM promlake.deletes").await, ["0"]);
    assert_eq!(counts(&server, "m").await, of(&[("a", "9"), ("b", "1")]));
    assert!(server.stop().success());
}

//! INSERT INTO a metric through the Postgres protocol of the real binary: what is written, twice, what is refused, and that
//! nothing is where it is not allowed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600_000;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

async fn connect(server: &Promlake) -> Client {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=writer dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// A counter for two jobs, a sample a minute, for two days of the past and for the last half hour.
async fn feed(server: &Promlake) {
    for job in ["a", "b"] {
        let now = now_ms() / MINUTE_MS * MINUTE_MS;
        let past = (0..2 * 1440).map(|minute| (START + minute * MINUTE_MS, minute as f64));
        let recent = (-30..0).map(|minute| (now + minute * MINUTE_MS, (100 + minute) as f64));
        let samples: Vec<(i64, f64)> = past.chain(recent).collect();
        let body = encode(&[Series { labels: &[("__name__", "requests_total"), ("job", job)], samples: &samples }]);
        assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    }
}

/// How many rows the tag of a statement says.
async fn rows(client: &Client, sql: &str) -> u64 {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    match messages.as_slice() {
        [SimpleQueryMessage::CommandComplete(rows)] => *rows,
        other => panic!("{sql}: {other:?}"),
    }
}

async fn refused(client: &Client, sql: &str, code: &str, part: &str) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let said = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
    assert!(said.code().code() == code && said.message().contains(part), "{sql}: {} {said}", said.code().code());
}

async fn values(server: &Promlake, query: &str, at_ms: i64) -> Vec<String> {
    let time = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
    let url = with_params(&server.url("/api/v1/query"), &[("query", query), ("time", &time)]);
    let (status, answer) = get_json(&url).await;
    assert_eq!(status, 200, "{answer}");
    let result = answer["data"]["result"].as_array().expect("a vector").iter();
    let mut found: Vec<String> =
        result.map(|one| format!("{} {}", one["metric"], one["value"][1].as_str().unwrap())).collect();
    found.sort();
    found
}

#[tokio::test]
async fn results_of_promql_for_the_past() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    feed(&server).await;
    let client = connect(&server).await;
    let insert = "INSERT INTO \"job:requests:rate5m\" SELECT * FROM promql('sum by (job) (rate(requests_total[5m]))', \
                  '2026-01-01 00:05:00Z', '2026-01-02 23:59:00Z', INTERVAL '1 minute')";
    let expected = 2 * (2 * 1440 - 5);
    assert_eq!(rows(&client, insert).await, expected);
    // It is seen at once, in both languages.
    let at = START + DAY_MS;
    let of = |name: &str, job: &str| format!(r#"{{"__name__":"{name}","job":"{job}"}} "#);
    let rate = values(&server, "sum by (job) (rate(requests_total[5m]))", at).await;
    assert_eq!(rate.len(), 2);
    let written = values(&server, "{__name__=\"job:requests:rate5m\"}", at).await;
    let value = rate[0].split_once(' ').unwrap().1;
    assert_eq!(written, [of("job:requests:rate5m", "a") + value, of("job:requests:rate5m", "b") + value]);
    let count = client.query_one("SELECT count(*) FROM \"job:requests:rate5m\"", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), expected as i64);
    // Again, nothing is new; and with other values nothing is written.
    assert_eq!(rows(&client, insert).await, 0);
    let other = insert.replace("rate(requests_total[5m])", "rate(requests_total[5m]) + 1");
    refused(&client, &other, "23505", "5750 samples are stored with other values, and nothing was inserted").await;
    let longer = other.replace("00:05:00Z", "00:04:00Z");
    refused(&client, &longer, "23505", "ON CONFLICT DO NOTHING").await;
    assert_eq!(rows(&client, &format!("{longer} ON CONFLICT DO NOTHING")).await, 2);
    // As a prepared statement.
    let prepared = "INSERT INTO copied SELECT job, timestamp, value FROM requests_total WHERE job = $1 AND timestamp < \
                    '2026-01-03'";
    assert_eq!(client.execute(prepared, &[&"a"]).await.unwrap(), 2880);
    assert_eq!(client.execute(prepared, &[&"a"]).await.unwrap(), 0);
    // After a restart it is all there.
    drop(client);
    assert!(server.stop().success());
    let server = home.start(NO_TARGETS, &[]);
    let all =
        values(&server, "sum(count_over_time({__name__=\"job:requests:rate5m\"}[10d]))", START + 2 * DAY_MS).await;
    assert_eq!(all, [format!("{{}} {}", expected + 2)]);
    assert_eq!(values(&server, "count_over_time(copied[10d])", START + 2 * DAY_MS).await, [of_copied(2880)]);
}

fn of_copied(count: u64) -> String {
    format!(r#"{{"job":"a"}} {count}"#)
}

/// What is new goes through the log, and what is behind others of its series into files, whatever comes first.
#[tokio::test]
async fn recent_samples_and_those_behind_them() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    feed(&server).await;
    let client = connect(&server).await;
    let insert = |from: i64, to: i64| {
        format!(
            "INSERT INTO recent SELECT job, timestamp, value FROM requests_total WHERE timestamp >= now() - INTERVAL '{from} \
             minutes' AND timestamp < now() - INTERVAL '{to} minutes'"
        )
    };
    let newest = rows(&client, &insert(4, 0)).await;
    assert!((6..=8).contains(&newest), "{newest}");
    let before = rows(&client, &insert(31, 0)).await;
    assert!((50..=54).contains(&before) && before + newest == 60, "{before} and {newest}");
    assert_eq!(rows(&client, &insert(31, 0)).await, 0);
    let count = "sum by (job) (count_over_time(recent[1h]))";
    let expected = [r#"{"job":"a"} 30"#, r#"{"job":"b"} 30"#];
    assert_eq!(values(&server, count, now_ms()).await, expected);
    server.kill();
    let server = home.start(NO_TARGETS, &[]);
    assert_eq!(values(&server, count, now_ms()).await, expected);
}

#[tokio::test]
async fn rows_by_hand() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let client = connect(&server).await;
    let insert = "INSERT INTO deploys (timestamp, value, app, version) VALUES \
                  ('2026-03-01 12:00:00Z', 1, 'shop', 'v1'), ('2026-03-02T12:00:00+02:00', 2.5, 'shop', NULL), \
                  ('2026-03-03', 3, 'shop', '')";
    assert_eq!(rows(&client, insert).await, 3);
    let rows_of =
        client.query("SELECT timestamp, value, version FROM deploys ORDER BY timestamp", &[]).await.unwrap();
    let found: Vec<(SystemTime, f64, Option<String>)> =
        rows_of.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    let expected = vec![
        (at(1_772_366_400), 1.0, Some("v1".to_string())),
        (at(1_772_445_600), 2.5, None),
        (at(1_772_496_000), 3.0, None),
    ];
    assert_eq!(found, expected);
    for (sql, code, part) in [
        (
            "INSERT INTO d (timestamp, app) VALUES ('2026-03-01', 'x')",
            "42703",
            "an INSERT needs a column \"value\"",
        ),
        ("INSERT INTO d SELECT 1 AS value", "42703", "\"timestamp\""),
        ("INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 1, 2)", "42601", "more expressions"),
        ("INSERT INTO d (timestamp, value) VALUES ('soon', 1)", "22P02", "'soon'"),
        ("INSERT INTO d (timestamp, value) VALUES ('2026-03-01', NULL::float8)", "23502", "\"value\""),
        (
            "INSERT INTO d (timestamp, value) VALUES (5, 1)",
            "42804",
            "\"timestamp\" is of type timestamp with time zone",
        ),
        ("INSERT INTO d (timestamp, value) VALUES ('2226-03-01', 1)", "22008", "in the future"),
        (
            "INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 1), ('2026-03-01', 2)",
            "21000",
            "1 rows have the labels and the timestamp of others",
        ),
        ("INSERT INTO promlake.samples SELECT now() AS timestamp, 1 AS value", "42501", "schema public"),
        ("INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 1) RETURNING value", "0A000", "RETURNING"),
        ("EXPLAIN INSERT INTO d SELECT 1", "0A000", "EXPLAIN of INSERT"),
        ("UPDATE deploys SET value = 1", "0A000", "UPDATE is not supported"),
        ("DELETE FROM deploys", "0A000", "DELETE is not supported"),
        ("COPY deploys FROM STDIN", "0A000", "COPY"),
        ("CREATE TABLE t (a int)", "0A000", "CREATE TABLE"),
        (
            "INSERT INTO d SELECT * FROM promql('no_such', now() - INTERVAL '1 hour', now(), INTERVAL '0')",
            "42000",
            "step",
        ),
    ] {
        refused(&client, sql, code, part).await;
    }
    // Nothing of what was refused is there.
    refused(&client, "SELECT * FROM d", "42P01", "d").await;
    // The same row twice is one.
    let twice = "INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 1), ('2026-03-01', 1)";
    assert_eq!(rows(&client, twice).await, 1);
    client.batch_execute("BEGIN").await.unwrap();
    refused(&client, twice, "25001", "INSERT cannot run inside a transaction block").await;
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    refused(&client, twice, "25006", "read-only").await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    assert_eq!(rows(&client, twice).await, 0);
    // As drivers say it.
    client.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").await.unwrap();
    refused(&client, twice, "25006", "read-only").await;
    client
        .batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await
        .unwrap();
    refused(&client, twice, "25006", "read-only").await;
    client.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE").await.unwrap();
    assert_eq!(rows(&client, twice).await, 0);
}

/// Texts are of the client's zone, the server's own times are not.
#[tokio::test]
async fn times_in_another_zone() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let client = connect(&server).await;
    client.batch_execute("SET TimeZone = 'America/New_York'").await.unwrap();
    assert_eq!(rows(&client, "INSERT INTO d SELECT now() AS timestamp, 1 AS value, 'now' AS of").await, 1);
    let texts = "INSERT INTO d (timestamp, value, of) VALUES ('2026-03-01 12:00:00', 2, 'text'), ('2026-03-01 12:00:00Z', 3, 'utc')";
    assert_eq!(rows(&client, texts).await, 2);
    let sql = "SELECT of, timestamp FROM d ORDER BY value";
    let found: Vec<(String, SystemTime)> =
        client.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let ago = SystemTime::now().duration_since(found[0].1).expect("not in the future");
    assert!(found[0].0 == "now" && ago < Duration::from_secs(60), "{ago:?}");
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(found[1..], [("text".to_string(), at(1_772_384_400)), ("utc".to_string(), at(1_772_366_400))]);
}

#[tokio::test]
async fn nothing_is_written_without_the_flag() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let client = connect(&server).await;
    let insert = "INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 1)";
    refused(&client, insert, "25006", "cannot execute INSERT in a read-only transaction").await;
    refused(&client, "SET transaction_read_only = off", "25006", "--pg.enable-writes").await;
    client.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE").await.unwrap();
    refused(&client, insert, "25006", "INSERT").await;
    refused(&client, "SELECT * FROM d", "42P01", "d").await;
}

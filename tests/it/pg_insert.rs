//! INSERT INTO a metric through the Postgres protocol of the real binary: what is written, twice, what is refused, and that
//! nothing is where it is not allowed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::pg_wire::{Wire, bind, execute, message, parse, query, sync};
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
        ("COPY deploys FROM '/etc/passwd'", "42501", "STDIN"),
        ("COPY nosuch FROM STDIN", "42P01", "nosuch"),
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

/// What is written in a transaction waits for its end, and is there once or not at all.
#[tokio::test]
async fn transactions_keep_what_is_written() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let mut wire = Wire::session(&server).await;
    let insert = |value: i64| format!("INSERT INTO d (timestamp, value) VALUES ('2026-03-0{value}', {value})");
    let count = "SELECT count(*) FROM d";
    assert_eq!(wire.tell(&insert(1)).await, "C:INSERT 0 1 Z:I");
    assert_eq!(wire.tell(&format!("BEGIN; {}", insert(2))).await, "C:BEGIN C:INSERT 0 1 Z:T");
    assert_eq!(wire.tell("ROLLBACK").await, "C:ROLLBACK Z:I");
    assert_eq!(wire.tell(count).await, "T D(1) C:SELECT 1 Z:I");
    assert_eq!(
        wire.tell(&format!("BEGIN; {}; SAVEPOINT s; {}", insert(2), insert(3))).await,
        "C:BEGIN C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 Z:T"
    );
    assert_eq!(wire.tell(&format!("ROLLBACK TO s; {}", insert(4))).await, "C:ROLLBACK C:INSERT 0 1 Z:T");
    assert_eq!(wire.tell("COMMIT").await, "C:COMMIT Z:I");
    assert_eq!(wire.tell("SELECT value FROM d ORDER BY 1").await, "T D(1) D(2) D(4) C:SELECT 3 Z:I");
    // An error takes all of it.
    assert_eq!(
        wire.tell(&format!("BEGIN; {}; SELECT 1 / 0", insert(5))).await,
        "C:BEGIN C:INSERT 0 1 T E:22012 Z:E"
    );
    assert_eq!(wire.tell("COMMIT").await, "C:ROLLBACK Z:I");
    // One message is a transaction.
    assert_eq!(wire.tell(&format!("{}; SELECT 1 / 0", insert(5))).await, "C:INSERT 0 1 T E:22012 Z:I");
    assert_eq!(wire.tell(count).await, "T D(3) C:SELECT 1 Z:I");
    assert_eq!(wire.tell(&format!("{}; {}", insert(5), insert(6))).await, "C:INSERT 0 1 C:INSERT 0 1 Z:I");
    assert_eq!(wire.tell(count).await, "T D(5) C:SELECT 1 Z:I");
    // What cannot be is told at the end.
    let other = "INSERT INTO d (timestamp, value) VALUES ('2026-03-01', 9)";
    assert_eq!(wire.tell(&format!("BEGIN; {other}; {}", insert(7))).await, "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 Z:T");
    assert_eq!(wire.tell("COMMIT").await, "E:23505 Z:I");
    assert_eq!(wire.tell(count).await, "T D(5) C:SELECT 1 Z:I");
    assert_eq!(
        wire.tell(&format!("BEGIN; {other} ON CONFLICT DO NOTHING; {}; COMMIT", insert(7))).await,
        "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 N:01000 C:COMMIT Z:I"
    );
    assert_eq!(wire.tell(count).await, "T D(6) C:SELECT 1 Z:I");
    // What comes up to Sync is one too, which drivers count on that send many statements at once.
    let at_once = |statements: &[&str]| {
        let one = |sql: &&str| [parse("", sql, &[]), bind(&[], &[], &[]), execute(0)].concat();
        [statements.iter().flat_map(one).collect::<Vec<u8>>(), sync()].concat()
    };
    assert_eq!(wire.ask(&at_once(&[insert(8).as_str(), "SELECT 1 / 0"])).await, "1 2 C:INSERT 0 1 1 2 E:22012 Z:I");
    assert_eq!(
        wire.ask(&at_once(&[insert(8).as_str(), other])).await,
        "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 E:23505 Z:I"
    );
    assert_eq!(wire.tell(count).await, "T D(6) C:SELECT 1 Z:I");
    assert_eq!(
        wire.ask(&at_once(&[insert(8).as_str(), insert(9).as_str()])).await,
        "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 Z:I"
    );
    assert_eq!(wire.ask(&at_once(&[other])).await, "1 2 E:23505 Z:I");
    assert_eq!(wire.tell(count).await, "T D(8) C:SELECT 1 Z:I");
}

#[tokio::test]
async fn rows_are_copied_in() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let mut wire = Wire::session(&server).await;
    let data = |text: &[u8]| message(b'd', text);
    let done = || message(b'c', b"");
    let copy = |sql: &str, pieces: &[&[u8]]| {
        [query(sql), pieces.iter().flat_map(|piece| data(piece)).collect(), done()].concat()
    };
    let sql = "COPY c (timestamp, value, app) FROM STDIN";
    let text: &[&[u8]] = &[b"2026-03-01 00:00:00Z\t1\tsh", b"op\n2026-03-02 01:00+01\t2\t\\N\n"];
    assert_eq!(wire.ask(&copy(sql, text)).await, "G C:COPY 2 Z:I");
    assert_eq!(
        wire.tell("SELECT * FROM c ORDER BY value").await,
        "T D(2026-03-01 00:00:00+00,1,shop) D(2026-03-02 00:00:00+00,2,) C:SELECT 2 Z:I"
    );
    let csv: &[&[u8]] = &[b"timestamp,value,app\n2026-03-03,3,\"a,b\"\n"];
    assert_eq!(wire.ask(&copy("COPY c FROM STDIN (FORMAT csv, HEADER)", csv)).await, "G C:COPY 1 Z:I");
    let micros = 825_638_400_000_000i64 + 4 * 86_400_000_000;
    let binary = [
        &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x08"[..],
        &micros.to_be_bytes(),
        &8i32.to_be_bytes(),
        &4f64.to_be_bytes(),
        &1i32.to_be_bytes(),
        b"x\xff\xff",
    ]
    .concat();
    let (head, rest) = binary.split_at(23);
    assert_eq!(wire.ask(&copy("COPY c FROM STDIN (FORMAT binary)", &[head, rest])).await, "G C:COPY 1 Z:I");
    assert_eq!(
        wire.tell("SELECT value, app FROM c WHERE value > 2 ORDER BY value").await,
        "T D(3,a,b) D(4,x) C:SELECT 2 Z:I"
    );
    // In the extended protocol, where Sync comes before the data.
    let extended =
        [parse("", sql, &[]), bind(&[], &[], &[]), execute(0), sync(), data(b"2026-03-06\t6\tx\n"), done(), sync()];
    assert_eq!(wire.ask(&extended.concat()).await, "1 2 G C:COPY 1 Z:I");
    // What is no row takes all rows with it, and what comes behind is passed over.
    let wrong: &[&[u8]] = &[b"2026-03-07\t7\tx\n2026-03-08\tx\tx\n"];
    assert_eq!(wire.ask(&copy(sql, wrong)).await, "G E:22P02 Z:I");
    let few: &[&[u8]] = &[b"2026-03-07\t7\n"];
    assert_eq!(wire.ask(&copy(sql, few)).await, "G E:22P04 Z:I");
    let failed = [query(sql), data(b"2026-03-07\t7\tx\n"), message(b'f', b"no more\0")].concat();
    assert_eq!(wire.ask(&failed).await, "G E:57014 Z:I");
    assert_eq!(wire.ask(&[query(sql), query("SELECT 1")].concat()).await, "G E:08P01 Z:I");
    assert_eq!(wire.tell("SELECT count(*) FROM c").await, "T D(5) C:SELECT 1 Z:I");
    // In a transaction it waits for the end.
    assert_eq!(wire.ask(&query("BEGIN")).await, "C:BEGIN Z:T");
    assert_eq!(wire.ask(&copy(sql, &[b"2026-03-07\t7\tx\n"])).await, "G C:COPY 1 Z:T");
    assert_eq!(wire.tell("ROLLBACK; SELECT count(*) FROM c").await, "C:ROLLBACK T D(5) C:SELECT 1 Z:I");
}

/// A COPY that fails on its way says how many of its rows stay.
#[tokio::test]
async fn a_copy_that_fails_tells_what_stays() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let client = connect(&server).await;
    let sink = client.copy_in("COPY big (timestamp, value) FROM STDIN").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    let mut sent = 0u64;
    for chunk in 0..80 {
        let mut text = String::new();
        for row in 0..10_000 {
            let second = chunk * 10_000 + row;
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            text.push_str(&format!("2026-01-{:02} {:02}:{minute:02}:{second:02}Z\t1\n", 1 + hour / 24, hour % 24));
            sent += 1;
        }
        futures::SinkExt::send(&mut sink, bytes::Bytes::from(text)).await.unwrap();
    }
    futures::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"nonsense\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    let told = error.as_db_error().expect("an error of the server");
    assert_eq!(told.code().code(), "22P04");
    let detail = told.detail().expect("how many rows stay");
    let stay: u64 = detail.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    assert!(stay > 0 && stay < sent, "{detail}");
    let there: i64 = client.query_one("SELECT count(*) FROM big", &[]).await.unwrap().get(0);
    assert_eq!(there as u64, stay);
}

/// Drivers insert with values, of types they are told.
#[tokio::test]
async fn values_are_inserted() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let client = connect(&server).await;
    let insert = client.prepare("INSERT INTO v (timestamp, value, app) VALUES ($1, $2, $3)").await.unwrap();
    assert_eq!(insert.params(), [Type::TIMESTAMPTZ, Type::FLOAT8, Type::TEXT]);
    let at = UNIX_EPOCH + Duration::from_secs(1_772_366_400);
    for app in ["a", "b"] {
        assert_eq!(client.execute(&insert, &[&at, &1.5f64, &app]).await.unwrap(), 1);
    }
    assert_eq!(client.execute(&insert, &[&at, &1.5f64, &None::<&str>]).await.unwrap(), 1);
    let row = client.query_one("SELECT count(*), count(app) FROM v WHERE timestamp = $1", &[&at]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 2));
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

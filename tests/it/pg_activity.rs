//! What Postgres sessions do, for those who watch: `pg_stat_activity`, the ends others make of it, metrics, and the end of
//! the server.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{Home, NO_TARGETS, Promlake};

/// How long anything here may take; the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);
/// Without an end that a test would see.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";

async fn connect(server: &Promlake, user: &str) -> Client {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user={user} dbname=promlake application_name=test");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// The rows of a query, fields between bars.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let fields = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_string()).collect::<Vec<_>>().join("|")
    };
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(fields(row)),
            _ => None,
        })
        .collect()
}

async fn eventually(client: &Client, sql: &str, expected: &[&str]) {
    let start = Instant::now();
    loop {
        let got = rows(client, sql).await;
        if got == expected {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{sql}: {got:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sessions_tell_what_they_do() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (watcher, other) = (connect(&server, "reader").await, connect(&server, "reader").await);
    let stranger = connect(&server, "stranger").await;
    let pid = rows(&other, "SELECT pg_backend_pid()").await.remove(0);
    let of = |columns: &str| format!("SELECT {columns} FROM pg_stat_activity WHERE pid = {pid}");
    let doing = of("state, query, wait_event, xact_start IS NULL");
    assert_eq!(rows(&watcher, &doing).await, ["idle|SELECT pg_backend_pid()|ClientRead|t"]);
    assert_eq!(
        rows(&watcher, &of("client_addr, client_port > 0, backend_type")).await,
        ["127.0.0.1|t|client backend"]
    );
    assert_eq!(
        rows(&watcher, &of("backend_start <= query_start, query_start <= state_change, state_change <= now()"))
            .await,
        ["t|t|t"]
    );
    let own = "SELECT state, query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert_eq!(rows(&watcher, own).await, [format!("active|{own}")]);
    assert_eq!(rows(&watcher, "SELECT inet_client_addr(), inet_client_port() > 0").await, ["127.0.0.1|t"]);
    rows(&other, "BEGIN").await;
    assert_eq!(rows(&watcher, &doing).await, ["idle in transaction|BEGIN|ClientRead|f"]);
    other.simple_query("SELECT nope").await.expect_err("there is no such column");
    assert_eq!(rows(&watcher, &doing).await, ["idle in transaction (aborted)|SELECT nope|ClientRead|f"]);
    rows(&other, "ROLLBACK").await;
    // What was prepared long ago.
    let prepared = other.prepare("SELECT 40 + 2").await.expect("a statement");
    rows(&other, "SELECT 1").await;
    other.query(&prepared, &[]).await.expect("a row");
    assert_eq!(rows(&watcher, &of("query")).await, ["SELECT 40 + 2"]);
    // Of others one sees who they are, and not what they do.
    let all = of("usename, query, state, client_addr, backend_start");
    assert_eq!(rows(&stranger, &all).await, ["reader|<insufficient privilege>|NULL|NULL|NULL"]);

    // Ended by somebody else of the same user.
    let runs = tokio::spawn(async move { (other.simple_query(ENDLESS).await.map(|_| ()), other) });
    eventually(&watcher, &of("state, query"), &[&format!("active|{ENDLESS}")]).await;
    let refused = stranger.simple_query(&format!("SELECT pg_cancel_backend({pid})")).await.expect_err("another's");
    assert_eq!(refused.code().map(|code| code.code()), Some("42501"));
    assert_eq!(rows(&watcher, &format!("SELECT pg_cancel_backend({pid})")).await, ["t"]);
    let (canceled, other) = runs.await.expect("no panic");
    assert_eq!(canceled.expect_err("canceled").code().map(|code| code.code()), Some("57014"));
    // While rows are on their way, between any two bytes of them.
    let rows_without_end = "SELECT a FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";
    let runs = tokio::spawn(async move { other.simple_query(rows_without_end).await.map(|_| ()) });
    eventually(&watcher, &of("state"), &["active"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rows(&watcher, &format!("SELECT pg_terminate_backend({pid})")).await, ["t"]);
    let ended = tokio::time::timeout(DEADLINE, runs).await.expect("in time").expect("no panic").expect_err("ended");
    assert_eq!(ended.code().map(|code| code.code()), Some("57P01"), "{ended:?}");
    eventually(&watcher, "SELECT count(*) FROM pg_stat_activity", &["2"]).await;
}

#[tokio::test]
async fn what_the_listener_counts() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let value = async |name: &str| {
        let page = reqwest::get(server.url("/metrics")).await.expect("the page").text().await.expect("its text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse::<f64>().expect("a number"))
    };
    let client = connect(&server, "reader").await;
    rows(&client, "SELECT 1; SELECT 2").await;
    for _ in 0..2 {
        client.simple_query("SELECT nope").await.expect_err("there is no such column");
    }
    assert_eq!(value("promlake_postgres_sessions").await, 1.0);
    assert_eq!(value("promlake_postgres_connections_total").await, 1.0);
    assert_eq!(value("promlake_postgres_begun_sessions_total").await, 1.0);
    assert_eq!(value("promlake_postgres_statements_total").await, 2.0);
    assert_eq!(value("promlake_postgres_errors_total{sqlstate=\"42703\"}").await, 2.0);
    let (received, sent) =
        (value("promlake_postgres_received_bytes_total").await, value("promlake_postgres_sent_bytes_total").await);
    rows(&client, &format!("SELECT '{}'", "x".repeat(10_000))).await;
    assert!(value("promlake_postgres_received_bytes_total").await >= received + 10_000.0);
    assert!(value("promlake_postgres_sent_bytes_total").await >= sent + 10_000.0);
    drop(client);
    let start = Instant::now();
    while value("promlake_postgres_sessions").await > 0.0 {
        assert!(start.elapsed() < DEADLINE, "the session is still counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Once, a statement that ran for longer than the server waits at its end was cut off without a word.
#[tokio::test(flavor = "multi_thread")]
async fn who_runs_something_at_the_end_is_told() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (idle, busy) = (connect(&server, "reader").await, connect(&server, "reader").await);
    let runs = tokio::spawn(async move { busy.simple_query(ENDLESS).await.map(|_| ()) });
    eventually(&idle, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'", &["2"]).await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let ended = tokio::time::timeout(DEADLINE, runs).await.expect("in time").expect("no panic").expect_err("ended");
    assert_eq!(ended.code().map(|code| code.code()), Some("57P01"), "{ended:?}");
    assert!(stopped.await.expect("no panic").success());
}

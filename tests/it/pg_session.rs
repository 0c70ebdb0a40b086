//! What a Postgres session keeps: settings, transactions, prepared statements and portals, in PostgreSQL's states.

use crate::pg_wire::{Wire, execute, message, parse, query, sync};
use crate::support::{Home, NO_TARGETS};

/// Statements of one session one after the other, and what each is answered with.
async fn check(flags: &[&str], steps: &[(&str, &str)]) {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, flags);
    let mut wire = Wire::session(&server).await;
    for (sql, expected) in steps {
        assert_eq!(wire.tell(sql).await, *expected, "{sql}");
    }
}

#[tokio::test]
async fn a_transaction_fails_and_is_healed() {
    check(
        &[],
        &[
            ("BEGIN; SELECT nope", "C:BEGIN E:42703 Z:E"),
            ("SELECT 1", "E:25P02 Z:E"),
            ("BEGIN", "E:25P02 Z:E"),
            // Once, it said COMMIT.
            ("COMMIT", "C:ROLLBACK Z:I"),
            ("COMMIT", "N:25P01 C:COMMIT Z:I"),
            ("ROLLBACK", "N:25P01 C:ROLLBACK Z:I"),
            ("SAVEPOINT a", "E:25P01 Z:I"),
            ("ROLLBACK TO a", "E:25P01 Z:I"),
            ("RELEASE a", "E:25P01 Z:I"),
            ("BEGIN", "C:BEGIN Z:T"),
            ("BEGIN", "N:25001 C:BEGIN Z:T"),
            ("SAVEPOINT a", "C:SAVEPOINT Z:T"),
            ("SELECT nope", "E:42703 Z:E"),
            ("RELEASE a", "E:25P02 Z:E"),
            ("ROLLBACK TO b", "E:3B001 Z:E"),
            ("ROLLBACK TO SAVEPOINT a", "C:ROLLBACK Z:T"),
            ("SELECT 1", "T D(1) C:SELECT 1 Z:T"),
            ("RELEASE SAVEPOINT a", "C:RELEASE Z:T"),
            ("ROLLBACK TO a", "E:3B001 Z:E"),
            ("ROLLBACK", "C:ROLLBACK Z:I"),
            ("COMMIT AND CHAIN", "E:25P01 Z:I"),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", "C:BEGIN Z:T"),
            ("COMMIT AND CHAIN", "C:COMMIT Z:T"),
            ("SHOW transaction_isolation", "T D(serializable) C:SHOW Z:T"),
            ("COMMIT; SHOW transaction_isolation", "C:COMMIT T D(read committed) C:SHOW Z:I"),
            // An error ends the message.
            ("SELECT 1; SELECT nope; SELECT 2", "T D(1) C:SELECT 1 E:42703 Z:I"),
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_go_with_their_transaction() {
    check(
        &[],
        &[
            // A name of one's own is known from then on.
            ("BEGIN; SET my.x = '1'; ROLLBACK; SHOW my.x", "C:BEGIN C:SET C:ROLLBACK T D() C:SHOW Z:I"),
            ("SHOW my.y", "E:42704 Z:I"),
            ("SET TimeZone = 'Asia/Tokyo'", "C:SET S:TimeZone=Asia/Tokyo Z:I"),
            ("BEGIN; SET LOCAL TimeZone = 'Europe/Berlin'", "C:BEGIN C:SET S:TimeZone=Europe/Berlin Z:T"),
            ("SHOW timezone", "T D(Europe/Berlin) C:SHOW Z:T"),
            ("COMMIT", "C:COMMIT S:TimeZone=Asia/Tokyo Z:I"),
            (
                "BEGIN; SET TimeZone = 'Europe/Berlin'; SAVEPOINT a",
                "C:BEGIN C:SET C:SAVEPOINT S:TimeZone=Europe/Berlin Z:T",
            ),
            ("SET TimeZone = 'UTC'", "C:SET S:TimeZone=UTC Z:T"),
            ("ROLLBACK TO a", "C:ROLLBACK S:TimeZone=Europe/Berlin Z:T"),
            ("ROLLBACK", "C:ROLLBACK S:TimeZone=Asia/Tokyo Z:I"),
            ("SET LOCAL TimeZone = 'UTC'", "N:25P01 C:SET Z:I"),
            // A message is a transaction.
            ("SET TimeZone = 'UTC'; SELECT nope", "C:SET E:42703 Z:I"),
            ("SHOW timezone", "T D(Asia/Tokyo) C:SHOW Z:I"),
            ("SELECT set_config('timezone', 'UTC', false)", "T D(UTC) C:SELECT 1 S:TimeZone=UTC Z:I"),
            ("SELECT current_setting('timezone')", "T D(UTC) C:SELECT 1 Z:I"),
            ("SELECT current_setting('nope')", "T E:42704 Z:I"),
            ("SELECT current_setting('nope', true)", "T D() C:SELECT 1 Z:I"),
            ("SELECT set_config('timezone', 'Mars', false)", "T E:22023 Z:I"),
            ("SET my.own = 'x'; SHOW my.own", "C:SET T D(x) C:SHOW Z:I"),
            ("RESET ALL", "C:RESET Z:I"),
            ("SET TimeZone='<x>-02'", "C:SET S:TimeZone=<X>-02 Z:I"),
            (
                "SELECT timestamp FROM promql('vector(1)', TIMESTAMP '2026-01-01 00:00:00')",
                "T D(2026-01-01 02:00:00+02) C:SELECT 1 Z:I",
            ),
            ("SET application_name = 'me'", "C:SET S:application_name=me Z:I"),
            ("DISCARD ALL", "C:DISCARD ALL S:application_name S:TimeZone=UTC Z:I"),
            ("SELECT 1; DISCARD ALL", "T D(1) C:SELECT 1 E:25001 Z:I"),
            ("SET LOCAL TimeZone = 'Asia/Tokyo'; SHOW TimeZone", "C:SET T D(Asia/Tokyo) C:SHOW Z:I"),
            ("BEGIN; DISCARD ALL", "C:BEGIN E:25001 Z:E"),
            ("ROLLBACK", "C:ROLLBACK Z:I"),
            (
                "SELECT setting, unit, vartype, reset_val FROM pg_settings WHERE name = 'statement_timeout'",
                "T D(0,ms,integer,0) C:SELECT 1 Z:I",
            ),
            ("SELECT pg_advisory_unlock_all()", "T D() C:SELECT 1 Z:I"),
            ("SELECT pg_advisory_unlock(1)", "T D(f) N:01000 C:SELECT 1 Z:I"),
            ("DEALLOCATE ALL", "C:DEALLOCATE ALL Z:I"),
            ("DEALLOCATE nope", "E:26000 Z:I"),
            ("CLOSE ALL", "C:CLOSE CURSOR ALL Z:I"),
            ("CLOSE nope", "E:34000 Z:I"),
        ],
    )
    .await;
}

/// Portals end with their savepoint, and not with one that came before them.
#[tokio::test]
async fn portals_belong_to_their_savepoint() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let open = |name: &str| {
        let bind = message(b'B', format!("{name}\0s\0\0\0\0\0\0\0").as_bytes());
        let execute = message(b'E', &[name.as_bytes(), b"\0\0\0\0\x01"].concat());
        [bind, execute].concat()
    };
    let on = |name: &str| [message(b'E', &[name.as_bytes(), b"\0\0\0\0\0"].concat()), sync()].concat();
    let first = [parse("s", "SELECT * FROM generate_series(1, 3)", &[]), open("a"), sync()].concat();
    assert_eq!(wire.ask(&query("BEGIN")).await, "C:BEGIN Z:T");
    assert_eq!(wire.ask(&first).await, "1 2 D s Z:T");
    assert_eq!(wire.ask(&query("SAVEPOINT x")).await, "C:SAVEPOINT Z:T");
    assert_eq!(wire.ask(&[open("b"), sync()].concat()).await, "2 D s Z:T");
    assert_eq!(wire.ask(&[open("a"), sync()].concat()).await, "E:42P03 Z:E");
    assert_eq!(wire.ask(&query("ROLLBACK TO x")).await, "C:ROLLBACK Z:T");
    assert_eq!(wire.ask(&on("a")).await, "D D C:SELECT 2 Z:T");
    assert_eq!(wire.ask(&on("b")).await, "E:34000 Z:E");
    assert_eq!(wire.ask(&query("COMMIT")).await, "C:ROLLBACK Z:I");
}

/// Once, every execution of a prepared statement had the time and the series of when it was prepared.
#[tokio::test]
async fn promql_is_planned_for_each_execution() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let sql = "SELECT CAST(value AS BIGINT) FROM promql('time() * 1000000')";
    let run = [message(b'B', b"\0s\0\0\0\0\0\0\0"), execute(0)].concat();
    wire.ask(&[parse("s", sql, &[]), sync()].concat()).await;
    let mut seen = vec![];
    for _ in 0..3 {
        seen.push(wire.values(&[run.clone(), sync()].concat()).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen.is_sorted() && seen[0] != seen[1] && seen[1] != seen[2], "{seen:?}");
    // Two of them at once, one of them not to its end.
    let rows = "SELECT * FROM promql('vector(1)'), generate_series(1, 3)";
    let open = |name: &str, most: u8| {
        let bind = message(b'B', format!("{name}\0r\0\0\0\0\0\0\0").as_bytes());
        [bind, message(b'E', &[name.as_bytes(), b"\0\0\0\0", &[most]].concat())].concat()
    };
    let both = [parse("r", rows, &[]), open("a", 1), open("b", 0)].concat();
    let rest = message(b'E', b"a\0\0\0\0\0");
    assert_eq!(wire.ask(&[both, rest, sync()].concat()).await, "1 2 D s 2 D D D C:SELECT 3 D D C:SELECT 2 Z:I");
}

/// Clients that say nothing are told good-bye, and what nobody reads is no sign of life.
#[tokio::test]
async fn idle_sessions_end_at_their_timeout() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    for (sql, expected) in [
        ("SET idle_session_timeout = 300", "E:57P05"),
        ("SET idle_in_transaction_session_timeout = 300; BEGIN", "E:25P03"),
    ] {
        let mut wire = Wire::session(&server).await;
        wire.ask(&query(sql)).await;
        let stray = message(b'd', b"data");
        let told = tokio::time::timeout(std::time::Duration::from_secs(10), async {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            wire.ask(&stray).await
        });
        assert_eq!(told.await.expect("an end in time"), expected, "{sql}");
    }
}

#[tokio::test]
async fn statements_are_prepared_in_sql() {
    check(
        &[],
        &[
            ("PREPARE p(int) AS SELECT $1 + 1", "C:PREPARE Z:I"),
            ("EXECUTE p(41)", "T D(42) C:SELECT 1 Z:I"),
            ("EXECUTE p(40 + 1)", "T D(42) C:SELECT 1 Z:I"),
            ("EXECUTE p('41')", "T D(42) C:SELECT 1 Z:I"),
            ("EXECUTE p(NULL)", "T D() C:SELECT 1 Z:I"),
            ("EXECUTE p('x')", "T E:22P02 Z:I"),
            ("EXECUTE p", "T E:42601 Z:I"),
            ("EXECUTE p((SELECT 1))", "T E:0A000 Z:I"),
            ("PREPARE p AS SELECT 1", "E:42P05 Z:I"),
            ("DEALLOCATE p", "C:DEALLOCATE Z:I"),
            ("EXECUTE p(1)", "E:26000 Z:I"),
            ("PREPARE e AS EXECUTE p(1)", "E:42601 Z:I"),
            ("PREPARE e AS SET TimeZone = 'UTC'", "E:42601 Z:I"),
            ("PREPARE t(nosuch) AS SELECT 1", "E:42704 Z:I"),
            ("PREPARE i AS INSERT INTO x VALUES (1)", "E:25006 Z:I"),
            ("PREPARE \"Q\" AS SELECT 1; EXECUTE \"Q\"", "C:PREPARE T D(1) C:SELECT 1 Z:I"),
            ("DISCARD ALL", "C:DISCARD ALL Z:I"),
            ("EXECUTE \"Q\"", "E:26000 Z:I"),
        ],
    )
    .await;
}

/// What Parse keeps may be a command, and EXECUTE runs it.
#[tokio::test]
async fn commands_are_executed_too() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let set = [parse("s", "SET TimeZone = 'Asia/Tokyo'", &[]), parse("w", "SHOW TimeZone", &[]), sync()];
    assert_eq!(wire.ask(&set.concat()).await, "1 1 Z:I");
    assert_eq!(wire.tell("EXECUTE s; EXECUTE w").await, "C:SET T D(Asia/Tokyo) C:SHOW S:TimeZone=Asia/Tokyo Z:I");
}

#[tokio::test]
async fn output_columns_have_postgres_names() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let t = "(VALUES (TIMESTAMP '2026-01-02 03:04:05', 2), (TIMESTAMP '2026-01-01 00:00:00', 1)) AS t(ts, v)";
    let check = async |sql: String, want: &[&str]| {
        let statement = client.prepare(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let names: Vec<&str> = statement.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, want, "{sql}");
        client.query(&statement, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    };
    check("SELECT 1, 1, NULL, NULL".into(), &["?column?"; 4]).await;
    check("SELECT 1.5::float8, 1.5::float4, NULL::float8".into(), &["float8", "float4", "float8"]).await;
    check(format!("SELECT *, v FROM {t} ORDER BY v"), &["ts", "v", "v"]).await;
    check(format!("SELECT t.v, t.* FROM {t}"), &["v", "ts", "v"]).await;
    check(format!("SELECT v, v FROM {t} ORDER BY v"), &["v", "v"]).await;
    check(format!("SELECT ts::date, count(*), count(*) FROM {t} GROUP BY 1"), &["ts", "count", "count"]).await;
    check(format!("SELECT max FROM (SELECT max(v) FROM {t}) q"), &["max"]).await;
    check(format!("SELECT * FROM (SELECT max(v), 1 FROM {t} HAVING count(*) > 1) q"), &["max", "?column?"]).await;
    check("SELECT * FROM (SELECT 1 AS a, 2 AS a) q".into(), &["a", "a"]).await;
    check("WITH w AS (SELECT 1, 1) SELECT * FROM w".into(), &["?column?", "?column?"]).await;
    check("SELECT 1, 1 UNION ALL SELECT 2, 2".into(), &["?column?", "?column?"]).await;
    check(
        "SELECT coalesce(1, 2), CASE WHEN true THEN 1 END, date '2026-01-01'".into(),
        &["coalesce", "case", "date"],
    )
    .await;
    let first = async |sql: String| client.query_one(&sql, &[]).await.unwrap().get::<_, i32>(0);
    // The output column is what is meant, of which both are the same.
    assert_eq!(first(format!("SELECT v FROM {t} ORDER BY v LIMIT 1")).await, 1);
    assert_eq!(first(format!("SELECT -v AS w, ts::date FROM {t} ORDER BY ts LIMIT 1")).await, -1);
    for (sql, code) in
        [("SELECT a FROM (SELECT 1 AS a, 2 AS a) q", "42702"), ("SELECT 1 AS a, 2 AS a ORDER BY a", "42702")]
    {
        let error = client.query(sql, &[]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{sql}");
    }
}

/// A statement that executes itself, once without an end, and two that execute each other.
#[tokio::test]
async fn execute_leads_to_no_other_execute() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let describe = |name: &str| message(b'D', format!("S{name}\0").as_bytes());
    let bind = |name: &str| message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    let own = [parse("a", "EXECUTE a", &[]), describe("a"), sync()].concat();
    assert_eq!(wire.ask(&own).await, "1 E:0A000 Z:I");
    assert_eq!(wire.ask(&[bind("a"), execute(0), sync()].concat()).await, "E:0A000 Z:I");
    assert_eq!(wire.ask(&query("EXECUTE a")).await, "E:0A000 Z:I");
    let pair = [parse("b", "EXECUTE c", &[]), parse("c", "EXECUTE b", &[]), describe("b"), sync()].concat();
    assert_eq!(wire.ask(&pair).await, "1 1 E:0A000 Z:I");
    // What is not there is an error when it is run.
    let later = [parse("l", "EXECUTE nosuch", &[]), describe("l"), bind("l"), execute(0), sync()].concat();
    assert_eq!(wire.ask(&later).await, "1 t n 2 E:26000 Z:I");
    // One level is fine, and the name is one for both ways.
    let named =
        [parse("n", "SELECT 7", &[]), parse("e", "EXECUTE n", &[]), describe("e"), bind("e"), execute(0), sync()];
    assert_eq!(wire.ask(&named.concat()).await, "1 1 t T 2 D C:SELECT 1 Z:I");
    assert_eq!(wire.ask(&query("EXECUTE n; EXECUTE e")).await, "T D C:SELECT 1 E:0A000 Z:I");
}

#[tokio::test]
async fn cursors_are_fetched_from() {
    check(
        &[],
        &[
            ("DECLARE c CURSOR FOR SELECT 1", "E:25P01 Z:I"),
            ("FETCH 1 FROM c", "E:34000 Z:I"),
            ("MOVE c", "E:34000 Z:I"),
            ("BEGIN; DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 5)", "C:BEGIN C:DECLARE CURSOR Z:T"),
            ("DECLARE c CURSOR FOR SELECT 1", "E:42P03 Z:E"),
            ("ROLLBACK", "C:ROLLBACK Z:I"),
            // What few rows have passed is gone back to, as PostgreSQL does for simple plans.
            ("BEGIN; DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 5)", "C:BEGIN C:DECLARE CURSOR Z:T"),
            ("FETCH 2 FROM c; FETCH BACKWARD 1 FROM c", "T D(1) D(2) C:FETCH 2 T D(1) C:FETCH 1 Z:T"),
            ("ROLLBACK", "C:ROLLBACK Z:I"),
            (
                "BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT * FROM generate_series(1, 5)",
                "C:BEGIN C:DECLARE CURSOR Z:T",
            ),
            ("FETCH 2 FROM c", "T D(1) D(2) C:FETCH 2 Z:T"),
            ("FETCH c", "T D(3) C:FETCH 1 Z:T"),
            ("MOVE 1 IN c", "C:MOVE 1 Z:T"),
            ("SAVEPOINT s", "C:SAVEPOINT Z:T"),
            ("FETCH BACKWARD 1 FROM c", "T E:55000 Z:E"),
            ("ROLLBACK TO s", "C:ROLLBACK Z:T"),
            // One that has failed stays so.
            ("FETCH c", "T E:55000 Z:E"),
            ("ROLLBACK", "C:ROLLBACK Z:I"),
            (
                "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT * FROM generate_series(1, 5); FETCH LAST c",
                "C:BEGIN C:DECLARE CURSOR T D(5) C:FETCH 1 Z:T",
            ),
            ("FETCH BACKWARD ALL c", "T D(4) D(3) D(2) D(1) C:FETCH 4 Z:T"),
            ("FETCH ABSOLUTE 3 c", "T D(3) C:FETCH 1 Z:T"),
            ("FETCH 0 FROM c", "T D(3) C:FETCH 1 Z:T"),
            ("MOVE ALL c", "C:MOVE 2 Z:T"),
            ("FETCH PRIOR c; CLOSE c", "T D(5) C:FETCH 1 C:CLOSE CURSOR Z:T"),
            ("COMMIT; FETCH c", "C:COMMIT E:34000 Z:I"),
            // WITH HOLD outlives a transaction that ends well.
            (
                "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 3); FETCH h; COMMIT",
                "C:BEGIN C:DECLARE CURSOR T D(1) C:FETCH 1 C:COMMIT Z:I",
            ),
            ("FETCH ALL h", "T D(2) D(3) C:FETCH 2 Z:I"),
            ("BEGIN; DECLARE g CURSOR WITH HOLD FOR SELECT 1; ROLLBACK", "C:BEGIN C:DECLARE CURSOR C:ROLLBACK Z:I"),
            ("FETCH g", "E:34000 Z:I"),
            ("DECLARE g CURSOR WITH HOLD FOR SELECT 1", "C:DECLARE CURSOR Z:I"),
            ("FETCH g; CLOSE ALL", "T D(1) C:FETCH 1 C:CLOSE CURSOR ALL Z:I"),
            (
                "BEGIN; DECLARE e CURSOR WITH HOLD FOR SELECT 1 / (3 - n) FROM generate_series(1, 5) AS t(n)",
                "C:BEGIN C:DECLARE CURSOR Z:T",
            ),
            ("COMMIT", "E:22012 Z:I"),
        ],
    )
    .await;
}

/// A cursor is a portal: it may be executed, and a portal may be fetched from.
#[tokio::test]
async fn cursors_are_portals() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let series = "SELECT * FROM generate_series(1, 4)";
    let begin = format!("BEGIN; DECLARE c CURSOR FOR {series}; FETCH c");
    assert_eq!(wire.ask(&query(&begin)).await, "C:BEGIN C:DECLARE CURSOR T D C:FETCH 1 Z:T");
    let on = |name: &str, most: u8| message(b'E', &[name.as_bytes(), b"\0\0\0\0", &[most]].concat());
    assert_eq!(wire.ask(&[on("c", 2), sync()].concat()).await, "D D s Z:T");
    assert_eq!(wire.tell("FETCH ALL c").await, "T D(4) C:FETCH 1 Z:T");
    let bound = [parse("", series, &[]), message(b'B', b"p\0\0\0\0\0\0\0\0"), on("p", 1), sync()];
    assert_eq!(wire.ask(&bound.concat()).await, "1 2 D s Z:T");
    assert_eq!(wire.tell("FETCH 2 FROM p").await, "T D(2) D(3) C:FETCH 2 Z:T");
    assert_eq!(
        wire.ask(&[parse("", "FETCH p", &[]), message(b'B', b"p\0\0\0\0\0\0\0\0"), sync()].concat()).await,
        "1 E:42P03 Z:E"
    );
    assert_eq!(wire.ask(&query("ROLLBACK")).await, "C:ROLLBACK Z:I");
    // Values of the declaration are those of the cursor.
    let declared = [
        parse("", "DECLARE c CURSOR FOR SELECT $1::bigint", &[]),
        message(b'B', b"\0\0\0\0\0\x01\0\0\0\x017\0\0"),
        execute(0),
        sync(),
    ];
    assert_eq!(wire.ask(&query("BEGIN")).await, "C:BEGIN Z:T");
    assert_eq!(wire.ask(&declared.concat()).await, "1 2 C:DECLARE CURSOR Z:T");
    assert_eq!(wire.tell("FETCH c").await, "T D(7) C:FETCH 1 Z:T");
}

/// A suspended portal and a cursor have no slot, and their rows are there when time has passed.
#[tokio::test]
async fn what_waits_holds_no_slot() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--query.max-concurrency=1", "--query.timeout=2s"]);
    let mut wire = Wire::session(&server).await;
    let endless = "SELECT a FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";
    let begin = format!("BEGIN; DECLARE c CURSOR FOR {endless}; FETCH c");
    assert_eq!(wire.ask(&query(&begin)).await, "C:BEGIN C:DECLARE CURSOR T D C:FETCH 1 Z:T");
    let mut other = Wire::session(&server).await;
    assert_eq!(other.tell("SELECT 1").await, "T D(1) C:SELECT 1 Z:I");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(wire.ask(&query("FETCH c")).await, "T D C:FETCH 1 Z:T");
    // The clock of a FETCH is that of any statement.
    assert_eq!(wire.ask(&query("SAVEPOINT s; MOVE ALL c")).await, "C:SAVEPOINT E:57014 Z:E");
    assert_eq!(wire.ask(&query("ROLLBACK TO s; FETCH c")).await, "C:ROLLBACK T E:55000 Z:E");
}

/// Each has a plan that has begun, with the memory of it: once, a hundred of them had all memory of queries.
#[tokio::test]
async fn few_portals_wait_with_rows_to_come() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    wire.ask(&query("BEGIN")).await;
    for i in 0..32 {
        let one = format!("DECLARE c{i} CURSOR FOR SELECT * FROM generate_series(1, 100000); FETCH c{i}");
        assert_eq!(wire.ask(&query(&one)).await, "C:DECLARE CURSOR T D C:FETCH 1 Z:T");
    }
    let more = "SAVEPOINT s; DECLARE more CURSOR FOR SELECT * FROM generate_series(1, 100000); FETCH more";
    assert_eq!(wire.ask(&query(more)).await, "C:SAVEPOINT C:DECLARE CURSOR T E:54000 Z:E");
    // What runs to its end at once is not meant, and those that have ended are not.
    let rest = "ROLLBACK TO s; SELECT 1; MOVE ALL c0; DECLARE more CURSOR FOR SELECT 1; FETCH more";
    assert_eq!(
        wire.ask(&query(rest)).await,
        "C:ROLLBACK T D C:SELECT 1 C:MOVE 99999 C:DECLARE CURSOR T D C:FETCH 1 Z:T"
    );
}

#[tokio::test]
async fn rows_are_copied_out() {
    let rows = "SELECT * FROM (VALUES (1, 'a\tb'), (2, NULL)) AS t(i, s) ORDER BY i";
    check(
        &[],
        &[
            (&format!("COPY ({rows}) TO STDOUT"), "H d(1\ta\\tb\n) d(2\t\\N\n) c C:COPY 2 Z:I"),
            (
                &format!("COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)"),
                "H d(i,s\n) d(1,a\tb\n) d(2,\n) c C:COPY 2 Z:I",
            ),
            (&format!("COPY ({rows} LIMIT 0) TO STDOUT CSV HEADER"), "H d(i,s\n) c C:COPY 0 Z:I"),
            ("COPY nosuch TO STDOUT", "E:42P01 Z:I"),
            ("COPY (SELECT 1) TO '/tmp/x'", "E:42501 Z:I"),
            ("COPY up FROM STDIN", "E:25006 Z:I"),
            ("COPY (SELECT NULL) TO STDOUT (FORMAT text)", "H d(\\N\n) c C:COPY 1 Z:I"),
            ("COPY (SELECT 1 / (2 - n) FROM generate_series(1, 5) AS t(n)) TO STDOUT", "H E:22012 Z:I"),
            ("SELECT 1", "T D(1) C:SELECT 1 Z:I"),
        ],
    )
    .await;
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    let copy = "COPY (SELECT 7::int4 AS i, NULL::text AS s) TO STDOUT (FORMAT binary)";
    assert_eq!(wire.ask(&query(copy)).await, "H d d c C:COPY 1 Z:I");
    let extended =
        [parse("", copy, &[]), message(b'D', b"S\0"), message(b'B', b"\0\0\0\0\0\0\0\0"), execute(1), sync()];
    assert_eq!(wire.ask(&extended.concat()).await, "1 t n 2 H d d c C:COPY 1 Z:I");
}

#[tokio::test]
async fn plans_are_told_in_two_formats() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut wire = Wire::session(&server).await;
    for sql in ["EXPLAIN (FORMAT JSON) SELECT 1", "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT 1"] {
        let told = wire.tell(sql).await;
        let json = told.strip_prefix("T D(").and_then(|rest| rest.strip_suffix(") C:EXPLAIN Z:I"));
        let plan: serde_json::Value = serde_json::from_str(json.unwrap_or_else(|| panic!("{told}"))).unwrap();
        assert!(plan[0]["Plan"].is_object(), "{told}");
    }
    assert!(wire.tell("EXPLAIN (ANALYZE) SELECT 1").await.contains("metrics"));
    assert_eq!(wire.ask(&query("EXPLAIN (FORMAT XML) SELECT 1")).await, "E:0A000 Z:I");
    assert_eq!(wire.ask(&query("EXPLAIN (NOSUCH) SELECT 1")).await, "E:42601 Z:I");
}

#[tokio::test]
async fn forms_of_the_standard() {
    check(
        &[],
        &[
            ("SELECT v FROM (VALUES (1), (2)) AS t(v) ORDER BY v FETCH FIRST ROW ONLY", "T D(1) C:SELECT 1 Z:I"),
            (
                "SELECT v FROM (VALUES (1), (2), (3)) AS t(v) ORDER BY v OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY",
                "T D(2) C:SELECT 1 Z:I",
            ),
            ("SELECT 1 FETCH FIRST 1 ROW WITH TIES", "E:0A000 Z:I"),
            ("WITH x AS (SELECT 7) TABLE x", "T D(7) C:SELECT 1 Z:I"),
            ("TABLE nosuch", "E:42P01 Z:I"),
            ("SELECT 3 BETWEEN SYMMETRIC 5 AND 1, 3 NOT BETWEEN SYMMETRIC 5 AND 1", "T D(t,f) C:SELECT 1 Z:I"),
        ],
    )
    .await;
}

/// Locks are of sessions, and of transactions.
#[tokio::test]
async fn advisory_locks() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let mut one = Wire::session(&server).await;
    let mut two = Wire::session(&server).await;
    let (yes, no) = ("T D(t) C:SELECT 1 Z:I", "T D(f) C:SELECT 1 Z:I");
    assert_eq!(one.tell("SELECT pg_advisory_lock(1)").await, "T D() C:SELECT 1 Z:I");
    assert_eq!(two.tell("SELECT pg_try_advisory_lock(1)").await, no);
    assert_eq!(two.tell("SELECT pg_advisory_lock(1)").await, "T E:55P03 Z:I");
    assert_eq!(two.tell("SELECT pg_try_advisory_lock(1, 2)").await, yes);
    assert_eq!(one.tell("SELECT pg_advisory_unlock(1)").await, yes);
    assert_eq!(two.tell("SELECT pg_try_advisory_xact_lock(1)").await, yes);
    // It was of a transaction of one statement.
    assert_eq!(one.tell("SELECT pg_try_advisory_lock_shared(1)").await, yes);
    assert_eq!(
        two.tell("BEGIN; SELECT pg_try_advisory_xact_lock_shared(1)").await,
        "C:BEGIN T D(t) C:SELECT 1 Z:T"
    );
    assert_eq!(one.tell("DISCARD ALL; SELECT pg_try_advisory_lock(1)").await, "E:25001 Z:I");
    assert_eq!(one.tell("DISCARD ALL").await, "C:DISCARD ALL Z:I");
    assert_eq!(one.tell("SELECT pg_try_advisory_lock(1)").await, no);
    assert_eq!(two.tell("COMMIT").await, "C:COMMIT Z:I");
    assert_eq!(one.tell("SELECT pg_try_advisory_lock(1)").await, yes);
    assert_eq!(one.tell("SELECT pg_advisory_unlock_all()").await, "T D() C:SELECT 1 Z:I");
}

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

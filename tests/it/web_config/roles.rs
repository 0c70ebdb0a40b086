//! Roles of the web configuration file, at both doors.

use super::*;
use crate::write_request::{Series, encode};
use tokio_postgres::{Client, NoTls};

/// `grafana:open-sesame` is a reader, `admin:case-secret` what the test says.
fn with_roles(admin: &str) -> String {
    let admin = match admin {
        "reader" => "    reader: {users: [grafana, admin]}\n".to_string(),
        role => format!("    reader: {{users: [grafana]}}\n    {role}:\n      users: [admin]\n"),
    };
    users() + "promlake:\n  roles:\n" + &admin
}

pub async fn connect_as(server: &Promlake, user: &str, password: &str) -> Client {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user={user} password={password} dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

pub async fn code(client: &Client, sql: &str) -> Option<String> {
    client.simple_query(sql).await.err().and_then(|error| Some(error.code()?.code().to_string()))
}

/// What a role may not do is refused before anything is looked at, so empty bodies will do.
#[test]
fn http_by_role() {
    let home = Home::on_disk();
    let server = start(&home, &with_roles("reader"), &["--web.enable-lifecycle", "--web.enable-otlp-receiver"]);
    let reads = [QUERY, "POST /api/v1/query?query=1", "GET /api/v1/labels", "GET /metrics", "GET /-/ready"];
    let writes = ["POST /api/v1/write", "POST /api/v1/otlp/v1/metrics"];
    let administers = ["POST /-/reload", "PUT /-/reload", "POST /api/v1/admin/tsdb/clean_tombstones"];
    let refused = |line: &str, as_user: &str| {
        let answer = ask(&server, line, &[as_user]).expect("an answer");
        assert!(answer.status != 401 && answer.status != 0, "{line}: {}", answer.status);
        (answer.status == 403).then_some(answer.body)
    };
    let check = |as_user: &str, role: &str, may_write: bool, may_administer: bool| {
        for line in reads {
            assert_eq!(refused(line, as_user), None, "{role} {line}");
        }
        for (lines, may, needed) in
            [(&writes[..], may_write, "writer"), (&administers[..], may_administer, "admin")]
        {
            for line in lines {
                let expected =
                    format!("permission denied: this takes the role {needed}, and the user has the role {role}\n");
                assert_eq!(refused(line, as_user), (!may).then_some(expected), "{role} {line}");
            }
        }
    };
    check(AS_GRAFANA, "reader", false, false);
    check(AS_ADMIN, "reader", false, false);
    for (role, may_administer) in [("writer", false), ("admin", true)] {
        write(&home, &with_roles(role));
        let line = if may_administer { "POST /-/reload" } else { "POST /api/v1/write" };
        eventually(role, || refused(line, AS_ADMIN).is_none());
        check(AS_ADMIN, role, true, may_administer);
        check(AS_GRAFANA, "reader", false, false);
    }
    // Without roles every user may do everything, as before.
    write(&home, &users());
    eventually("no roles", || refused("POST /-/reload", AS_GRAFANA).is_none());
}

#[tokio::test]
async fn postgres_by_role() {
    let home = Home::on_disk();
    let text = with_roles("writer").replace("{users: [grafana]}", "{users: [grafana], statement_timeout: 3s}");
    let server = start(&home, &text, &["--pg.enable-writes"]);
    let body = encode(&[Series { labels: &[("__name__", "there")], samples: &[(1_767_225_600_000, 1.0)] }]);
    let written = reqwest::Client::new()
        .post(server.url("/api/v1/write"))
        .basic_auth("admin", Some("case-secret"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .body(body)
        .send();
    assert_eq!(written.await.expect("an answer").status(), 204);
    let reader = connect_as(&server, "grafana", "open-sesame").await;
    let writer = connect_as(&server, "admin", "case-secret").await;
    let insert = "INSERT INTO there (timestamp, value) VALUES ('2026-01-01 00:01:00Z', 2)";
    for sql in [insert, &format!("PREPARE p AS {insert}"), "COPY there (timestamp, value) FROM STDIN"] {
        assert_eq!(code(&reader, sql).await.as_deref(), Some("42501"), "{sql}");
    }
    assert_eq!(code(&reader, "SELECT * FROM there").await, None);
    assert_eq!(code(&writer, insert).await, None);
    // A role's timeout is the longest there is, whatever the client sets; nor can a query over HTTP take longer.
    let endless = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";
    assert_eq!(code(&reader, endless).await.as_deref(), Some("57014"));
    assert_eq!(code(&reader, "SET statement_timeout = '1h'").await, None);
    assert_eq!(code(&reader, endless).await.as_deref(), Some("57014"));
    assert_eq!(code(&reader, "SET statement_timeout = 0").await, None);
    assert_eq!(code(&reader, endless).await.as_deref(), Some("57014"));
    // Only an admin ends what others do, and sees it.
    let pid = async |client: &Client| -> i32 {
        client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get(0)
    };
    let of_reader = pid(&reader).await;
    let cancel = format!("SELECT pg_cancel_backend({of_reader})");
    assert_eq!(code(&writer, &cancel).await.as_deref(), Some("42501"));
    write(&home, &with_roles("admin"));
    eventually("the role is admin", || status(&server, "POST /api/v1/admin/tsdb/snapshot", &[AS_ADMIN]) != 403);
    let admin = connect_as(&server, "admin", "case-secret").await;
    assert_eq!(code(&admin, &cancel).await, None);
    let seen = format!("SELECT state FROM pg_stat_activity WHERE pid = {of_reader}");
    let state: String = admin.query_one(&seen, &[]).await.expect("a row").get(0);
    assert_eq!(state, "idle");
    // What a session may do was decided when it began.
    assert_eq!(code(&writer, &cancel).await.as_deref(), Some("42501"));
}

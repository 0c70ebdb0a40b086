//! What a role is limited to, at both doors: series, rows and memory.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::TryStreamExt;

use super::roles::{code, connect_as};
use super::*;
use crate::write_request::{Series, encode};

const LIMITED: &str = "promlake:
  roles:
    admin: {users: [admin]}
    reader:
      users: [grafana]
      max_rows: 20
      memory: 24MiB
      metrics: '{team=\"a\"}'
";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Series of two teams. What the other team has is called `secret` wherever it has a name of its own.
pub async fn fill(server: &Promlake) {
    let now = now_ms();
    let samples: Vec<(i64, f64)> = (0..30).map(|i| (now - 60_000 + i * 1_000, i as f64)).collect();
    let labels: [&[(&str, &str)]; 4] = [
        &[("__name__", "orders"), ("path", "/open"), ("team", "a")],
        &[("__name__", "orders"), ("path", "/secret"), ("team", "b")],
        &[("__name__", "secret_total"), ("secret_label", "secret_value"), ("team", "b")],
        &[("__name__", "secret_alone")],
    ];
    let series: Vec<Series<'_>> = labels.iter().map(|labels| Series { labels, samples: &samples }).collect();
    let written = reqwest::Client::new()
        .post(server.url("/api/v1/write"))
        .basic_auth("admin", Some("case-secret"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .body(encode(&series))
        .send();
    assert_eq!(written.await.expect("an answer").status(), 204);
}

#[tokio::test]
async fn http_shows_what_the_matcher_lets_through() {
    let home = Home::on_disk();
    let server = start(&home, &(users() + LIMITED), &["--enable-feature=search-api"]);
    fill(&server).await;
    let (start, end) = (now_ms() / 1000 - 300, now_ms() / 1000 + 5);
    let everything = "%7B__name__%3D~%22.%2B%22%7D";
    let shown = [
        format!("GET /api/v1/query?query={everything}"),
        format!("GET /api/v1/query?query=count+by+(team)+({everything})"),
        format!("GET /api/v1/query?query=last_over_time({everything}%5B10m%5D)"),
        "GET /api/v1/query?query=secret_total".to_string(),
        "GET /api/v1/query?query=orders%7Bteam%3D%22b%22%7D".to_string(),
        format!("GET /api/v1/query_range?query={everything}&start={start}&end={end}&step=150"),
        format!("GET /api/v1/series?match%5B%5D={everything}"),
        "GET /api/v1/labels".to_string(),
        format!("GET /api/v1/labels?match%5B%5D={everything}"),
        "GET /api/v1/label/__name__/values".to_string(),
        format!("GET /api/v1/label/__name__/values?match%5B%5D={everything}"),
        "GET /api/v1/label/path/values".to_string(),
        "GET /api/v1/label/secret_label/values".to_string(),
        "GET /api/v1/search/metric_names".to_string(),
        "GET /api/v1/search/label_names".to_string(),
        "GET /api/v1/search/label_values?label=path".to_string(),
        format!("GET /api/v1/query_exemplars?query={everything}&start={start}&end={end}"),
        "GET /api/v1/metadata".to_string(),
        "GET /api/v1/status/tsdb".to_string(),
        format!("GET /federate?match%5B%5D={everything}"),
    ];
    let mut hidden_from_reader = 0;
    for line in &shown {
        let answer = ask(&server, line, &[AS_GRAFANA]).expect("an answer");
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        let asked = answer.body.replace("secret_total", if line.contains("secret_total") { "" } else { "secret" });
        assert!(!asked.contains("secret"), "{line}: {}", answer.body);
        let whole = ask(&server, line, &[AS_ADMIN]).expect("an answer");
        hidden_from_reader += usize::from(whole.body != answer.body && whole.body.contains("secret"));
    }
    // Or nothing would have been tested.
    assert!(hidden_from_reader >= 12, "{hidden_from_reader}");
    let own = ask(&server, &shown[0], &[AS_GRAFANA]).expect("an answer").body;
    assert!(own.contains("/open"), "{own}");

    for line in [
        "GET /api/v1/rules",
        "GET /api/v1/alerts",
        "GET /api/v1/targets",
        "GET /api/v1/targets/metadata",
        "GET /api/v1/status/config",
        "GET /api/v1/status/flags",
        "GET /api/v1/status/tsdb/blocks",
        "GET /api/v1/status/self_metrics",
        "GET /metrics",
    ] {
        let answer = ask(&server, line, &[AS_GRAFANA]).expect("an answer");
        assert!(
            answer.status == 403 && answer.body.contains("some series only (metrics)"),
            "{line}: {}",
            answer.body
        );
        assert_eq!(status(&server, line, &[AS_ADMIN]), 200, "{line}");
    }
    // Points of a query, names and values are rows.
    let many = format!("GET /api/v1/query_range?query=orders&start={start}&end={end}&step=1");
    let answer = ask(&server, &many, &[AS_GRAFANA]).expect("an answer");
    assert!(answer.status == 422 && answer.body.contains("more than 20 rows"), "{}", answer.body);
    assert_eq!(status(&server, &many, &[AS_ADMIN]), 200);
}

#[tokio::test]
async fn sql_shows_what_the_matcher_lets_through() {
    let home = Home::on_disk();
    let server = start(&home, &(users() + LIMITED), &[]);
    fill(&server).await;
    let reader = connect_as(&server, "grafana", "open-sesame").await;
    let admin = connect_as(&server, "admin", "case-secret").await;
    let texts = async |client: &tokio_postgres::Client, sql: &str| -> Vec<String> {
        let rows = client.query(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    };
    let check = async |sql: &str, by_reader: &[&str], by_admin: usize| {
        // What one session has looked up is not shown to another.
        assert_eq!(texts(&admin, sql).await.len(), by_admin, "{sql}");
        assert_eq!(texts(&reader, sql).await, by_reader, "{sql}");
    };
    check("SELECT DISTINCT path FROM orders ORDER BY 1", &["/open"], 2).await;
    check("SELECT DISTINCT metric FROM promlake.samples ORDER BY 1", &["orders"], 3).await;
    check("SELECT metric FROM promlake.series ORDER BY 1", &["orders"], 4).await;
    check("SELECT name FROM promlake.metrics ORDER BY 1", &["orders"], 3).await;
    check("SELECT metric FROM promlake.cardinality ORDER BY 1", &["orders"], 3).await;
    check("SELECT DISTINCT value FROM promlake.label_values WHERE label = 'path'", &["/open"], 2).await;
    check("SELECT DISTINCT path FROM promql('{__name__=~\".+\"}') ORDER BY 1", &["/open"], 3).await;
    check("SELECT relname::text FROM pg_class WHERE relname ~ 'orders|secret' ORDER BY 1", &["orders"], 3).await;
    check("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'", &["orders"], 3)
        .await;
    check("SELECT column_name::text FROM information_schema.columns WHERE column_name = 'secret_label'", &[], 1)
        .await;
    check("SELECT attname::text FROM pg_attribute WHERE attname = 'secret_label'", &[], 1).await;
    check("SELECT to_regclass('secret_total')::text", &[""], 1).await;
    assert_eq!(texts(&admin, "SELECT to_regclass('secret_total')::text").await, ["secret_total"]);
    assert_eq!(code(&reader, "SELECT * FROM secret_total").await.as_deref(), Some("42P01"));
    for table in ["files", "storage", "alert_history", "queries", "targets", "rules", "alerts"] {
        let sql = format!("SELECT * FROM promlake.{table}");
        assert_eq!(code(&reader, &sql).await.as_deref(), Some("42501"), "{sql}");
        assert_eq!(code(&admin, &sql).await, None, "{sql}");
    }

    // Rows of one answer, through a cursor too.
    assert_eq!(code(&reader, "SELECT * FROM generate_series(1, 20)").await, None);
    assert_eq!(code(&reader, "SELECT * FROM generate_series(1, 21)").await.as_deref(), Some("54000"));
    assert_eq!(code(&reader, "SELECT * FROM generate_series(1, 100000) LIMIT 20").await, None);
    let copied = async |rows: usize| -> Option<String> {
        let sql = format!("COPY (SELECT * FROM generate_series(1, {rows})) TO STDOUT");
        let stream = reader.copy_out(&sql).await.expect("a copy begins");
        let error = stream.try_collect::<Vec<_>>().await.err()?;
        Some(error.code().expect("a SQLSTATE").code().to_string())
    };
    assert_eq!((copied(20).await, copied(21).await.as_deref()), (None, Some("54000")));
    let cursor = "BEGIN; DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 100000); FETCH 15 FROM c; ";
    assert_eq!(code(&reader, &format!("{cursor} COMMIT")).await, None);
    assert_eq!(code(&reader, &format!("{cursor} FETCH 15 FROM c")).await.as_deref(), Some("54000"));
    assert_eq!(code(&reader, "ROLLBACK").await, None);
    assert_eq!(code(&admin, "SELECT * FROM generate_series(1, 21)").await, None);

    // Bytes of one query, where nothing can wait on disk.
    let large = "SELECT count(*) FROM generate_series(1, 2000000) AS a (x) JOIN generate_series(1, 2000000) AS b (x) \
                 ON a.x = b.x";
    assert_eq!(code(&reader, large).await.as_deref(), Some("53200"));
    assert_eq!(code(&admin, large).await, None);
    assert_eq!(code(&reader, "SELECT count(*) FROM generate_series(1, 400000) AS i").await, None);
}

#[tokio::test]
async fn who_sees_what_others_ask_and_which_roles_there_are() {
    let home = Home::on_disk();
    let roles = "promlake:\n  roles:\n    admin: {users: [admin]}\n    reader: {users: [grafana]}\n";
    let server = start(&home, &(users() + roles), &[]);
    let reader = connect_as(&server, "grafana", "open-sesame").await;
    let admin = connect_as(&server, "admin", "case-secret").await;
    assert_eq!(code(&admin, "SELECT 'of an admin'").await, None);
    assert_eq!(code(&reader, "SELECT 'of a reader'").await, None);
    assert_eq!(status(&server, "GET /api/v1/query?query=111", &[AS_GRAFANA]), 200);
    assert_eq!(status(&server, "GET /api/v1/query?query=222", &[AS_ADMIN]), 200);
    let seen = async |client: &tokio_postgres::Client, what: &str| -> i64 {
        let sql = "SELECT count(*) FROM promlake.queries WHERE query = $1";
        client.query_one(sql, &[&what]).await.expect("a row").get(0)
    };
    for (what, by_reader) in [("SELECT 'of an admin'", 0), ("SELECT 'of a reader'", 1), ("111", 1), ("222", 0)] {
        assert_eq!(seen(&admin, what).await, 1, "{what}");
        assert_eq!(seen(&reader, what).await, by_reader, "{what}");
    }
    assert!(seen(&reader, "<insufficient privilege>").await >= 2);
    let members = "SELECT r.rolname || ' ' || m.rolname FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid \
                   JOIN pg_roles m ON m.oid = a.member ORDER BY 1";
    let told = async |client: &tokio_postgres::Client| -> Vec<String> {
        client.query(members, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(told(&admin).await, ["admin admin", "reader grafana"]);
    assert_eq!(told(&reader).await, ["reader grafana"]);
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(!reader.query_one(ssl, &[]).await.expect("a row").get::<_, bool>(0));
}

#[tokio::test]
async fn which_metrics_and_labels_are_asked_for() {
    let home = Home::on_disk();
    let server = start(&home, &users(), &[]);
    fill(&server).await;
    let query = "GET /api/v1/query?query=sum+by+(path)+(orders%7Bteam%3D%22a%22%7D)";
    assert_eq!(status(&server, query, &[AS_ADMIN]), 200);
    assert_eq!(status(&server, query, &[AS_ADMIN, "User-Agent: Grafana/12.0"]), 200);
    assert_eq!(status(&server, "GET /api/v1/series?match%5B%5D=orders", &[AS_ADMIN]), 200);
    let client = connect_as(&server, "admin", "case-secret").await;
    assert_eq!(code(&client, "SELECT count(*), max(value) FROM orders WHERE team = 'b' GROUP BY path").await, None);
    assert_eq!(code(&client, "SELECT * FROM promql('orders')").await, None);
    let sql = "SELECT coalesce(label, '') || ' ' || asked_by || ' ' || times::int FROM promlake.usage \
               WHERE metric = 'orders' AND last_asked_at > now() - interval '5 minutes' ORDER BY 1";
    let told: Vec<String> =
        client.query(sql, &[]).await.expect("rows").iter().map(|row| row.get::<_, String>(0)).collect();
    for expected in [
        " api 1",
        " dashboard 1",
        " query 1",
        " sql 2",
        "path dashboard 1",
        "path query 1",
        "path sql 1",
        "team query 1",
        "team sql 1",
    ] {
        assert!(told.iter().any(|row| row == expected), "{expected:?}: {told:?}");
    }
}

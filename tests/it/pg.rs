//! The Postgres protocol of the real binary, as a driver speaks it and as psql does.

use std::future::poll_fn;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::types::{Oid, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

use crate::skip::skip;
use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

const MINUTE_MS: i64 = 60_000;

/// A server with two series of three samples each, and one of a thousand to keep it busy with.
struct World {
    home: Home,
    server: Promlake,
    base_ms: i64,
}

impl World {
    async fn new() -> Self {
        let home = Home::on_disk();
        let server = home.start(NO_TARGETS, &[]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        let base_ms = now / MINUTE_MS * MINUTE_MS - 30 * MINUTE_MS;
        let at = |i: i64| base_ms + i * MINUTE_MS;
        let many: Vec<(i64, f64)> = (0..1000).map(|i| (base_ms + i, i as f64)).collect();
        let body = encode(&[
            Series {
                labels: &[("__name__", "requests"), ("code", "200"), ("job", "api")],
                samples: &[(at(0), 1.0), (at(1), 2.5), (at(2), 4.0)],
            },
            Series {
                labels: &[("__name__", "requests"), ("job", "web")],
                samples: &[(at(0), 0.0), (at(1), f64::INFINITY), (at(2), f64::NAN)],
            },
            Series { labels: &[("__name__", "many")], samples: &many },
        ]);
        assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
        Self { home, server, base_ms }
    }

    async fn connect(&self) -> Client {
        let (host, port) = self.server.pg.split_once(':').expect("host and port");
        let config = format!("host={host} port={port} user=reader dbname=promlake");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// A connection that keeps what the server says besides rows, as `severity: text`.
    async fn connect_listening(&self) -> (Client, Arc<Mutex<Vec<String>>>) {
        let (host, port) = self.server.pg.split_once(':').expect("host and port");
        let config = format!("host={host} port={port} user=reader dbname=promlake");
        let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    heard.lock().unwrap().push(format!("{}: {}", notice.severity(), notice.message()));
                }
            }
        });
        (client, notices)
    }

    fn time(&self, minute: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis((self.base_ms + minute * MINUTE_MS) as u64)
    }

    /// Paths of all files of the server.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let (mut folders, mut files) = (vec![self.home.dir.path().to_path_buf()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
                if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
            }
        }
        files.sort();
        files
    }
}

/// Rows of a simple query as texts.
async fn texts(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|i| row.get(i).map(str::to_string)).collect()).collect()
}

async fn text(client: &Client, sql: &str) -> String {
    texts(client, sql).await[0][0].clone().expect("not NULL")
}

fn sqlstate(error: &tokio_postgres::Error) -> &str {
    error.code().unwrap_or_else(|| panic!("no SQLSTATE: {error:?}")).code()
}

#[tokio::test]
async fn simple_queries_are_texts() {
    let world = World::new().await;
    let client = world.connect().await;
    let rows = texts(&client, "SELECT job, code, value FROM requests ORDER BY timestamp, job").await;
    let row = |job: &str, code: Option<&str>, value: &str| {
        vec![Some(job.to_string()), code.map(str::to_string), Some(value.to_string())]
    };
    let expected = [
        row("api", Some("200"), "1"),
        row("web", None, "0"),
        row("api", Some("200"), "2.5"),
        row("web", None, "Infinity"),
        row("api", Some("200"), "4"),
        row("web", None, "NaN"),
    ];
    assert_eq!(rows, expected);
    // Several statements in one message.
    assert_eq!(texts(&client, "SELECT 1; SELECT 2").await.len(), 2);
}

#[tokio::test]
async fn extended_queries_are_binary() {
    let world = World::new().await;
    let client = world.connect().await;
    let sql =
        "SELECT job, code, timestamp, value FROM requests WHERE job = $1 AND timestamp >= $2 ORDER BY timestamp";
    let statement = client.prepare(sql).await.unwrap();
    let types: Vec<Type> = statement.columns().iter().map(|c| c.type_().clone()).collect();
    assert_eq!(types, [Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::FLOAT8]);
    // A statement is used again with other parameters.
    for (job, code, from, values) in
        [("api", Some("200"), 1, vec![2.5, 4.0]), ("web", None, 0, vec![0.0, f64::INFINITY])]
    {
        let rows = client.query(&statement, &[&job, &world.time(from)]).await.unwrap();
        let found: Vec<f64> = rows.iter().map(|row| row.get(3)).collect();
        assert_eq!(found[..2], values, "{job}");
        assert_eq!(rows[0].get::<_, Option<&str>>(1), code);
        assert_eq!(rows[0].get::<_, SystemTime>(2), world.time(from));
    }
    let count: i64 = client.query_one("SELECT count(*) FROM requests", &[]).await.unwrap().get(0);
    assert_eq!(count, 6);
    let null: Option<f64> = client.query_one("SELECT CAST(NULL AS DOUBLE PRECISION)", &[]).await.unwrap().get(0);
    assert_eq!(null, None);
    let scalar: f64 = client.query_one("SELECT value FROM promql('1 + 1', 0)", &[]).await.unwrap().get(0);
    assert_eq!(scalar, 2.0);
    let oid: Oid =
        client.query_one("SELECT oid FROM pg_class WHERE relname = $1", &[&"requests"]).await.unwrap().get(0);
    assert!(oid > 0);
}

#[tokio::test]
async fn errors_have_their_sqlstate() {
    let world = World::new().await;
    let client = world.connect().await;
    let before = world.files();
    let file = world.home.dir.path().join("stolen");
    let copy = format!("COPY (SELECT * FROM requests) TO '{}'", file.display());
    let external = format!("CREATE EXTERNAL TABLE t (a INT) STORED AS PARQUET LOCATION '{}'", file.display());
    let cases = [
        ("SELECT * FROM missing", "42P01"),
        ("SELECT missing FROM requests", "42703"),
        ("SELECT missing(value) FROM requests", "42883"),
        ("SELECT 1 +", "42601"),
        ("INSERT INTO requests (value) VALUES (1)", "25006"),
        ("UPDATE requests SET value = 1", "25006"),
        ("DELETE FROM requests", "25006"),
        (copy.as_str(), "42501"),
        (external.as_str(), "0A000"),
        ("CREATE TABLE t (a INT)", "0A000"),
        ("DROP TABLE requests", "0A000"),
        ("SET datafusion.execution.batch_size = 1", "42704"),
    ];
    for (sql, expected) in cases {
        let simple = client.simple_query(sql).await.expect_err(sql);
        assert_eq!(sqlstate(&simple), expected, "{sql}: {simple:?}");
        let extended = client.query(sql, &[]).await.expect_err(sql);
        assert_eq!(sqlstate(&extended), expected, "{sql}: {extended:?}");
    }
    // The connection goes on, and nothing was written.
    assert_eq!(text(&client, "SELECT count(*) FROM requests").await, "6");
    assert_eq!(world.files(), before);
}

#[tokio::test]
async fn names_follow_the_search_path() {
    let world = World::new().await;
    let client = world.connect().await;
    let count = async |sql: &str| text(&client, sql).await;
    assert_eq!(count("SELECT count(*) FROM requests").await, "6");
    let missing = client.simple_query("SELECT count(*) FROM metrics").await.expect_err("not in public");
    assert_eq!(sqlstate(&missing), "42P01");
    client.batch_execute("SET search_path = promlake, public, nowhere").await.unwrap();
    assert_eq!(count("SELECT current_schema()").await, "promlake");
    assert_eq!(count("SELECT count(*) FROM metrics").await, count("SELECT count(*) FROM promlake.metrics").await);
    assert_eq!(count("WITH series AS (SELECT 1) SELECT count(*) FROM series").await, "1");
    let both = "SELECT count(*) FROM requests r, pg_class c, promql('1') WHERE c.relname = 'requests'";
    assert_eq!(count(both).await, "6");
    client.batch_execute("SET search_path TO promlake").await.unwrap();
    for sql in ["SELECT count(*) FROM requests", "SELECT 'requests'::regclass"] {
        let missing = client.simple_query(sql).await.expect_err("not in the path");
        assert_eq!(sqlstate(&missing), "42P01", "{sql}");
    }
    assert_eq!(count("SELECT count(*) FROM public.requests").await, "6");
    client.batch_execute("RESET search_path").await.unwrap();
    assert_eq!(count("SELECT count(*) FROM requests").await, "6");
}

/// As PostgreSQL 15 types them, but for numbers with a point, which are doubles here.
#[tokio::test]
async fn parameters_have_types_of_their_places() {
    let world = World::new().await;
    let client = world.connect().await;
    let types = async |sql: &str| {
        let statement = client.prepare(sql).await;
        match statement {
            Ok(statement) => statement.params().iter().map(Type::name).collect::<Vec<_>>().join(" "),
            Err(error) => sqlstate(&error).to_string(),
        }
    };
    for (sql, want) in [
        ("SELECT $1 + 1", "int4"),
        ("SELECT $1::int8 + 1", "int8"),
        ("SELECT $1", "text"),
        ("SELECT value FROM requests LIMIT $1 OFFSET $2", "int8 int8"),
        ("SELECT value FROM requests FETCH FIRST $1 ROWS ONLY", "int8"),
        ("SELECT 1 FROM requests WHERE value > $1 AND job = ANY($2) AND job IN ($3, $4)", "float8 _text text text"),
        ("SELECT 1 FROM requests WHERE value BETWEEN $1 AND $2 AND timestamp >= $3", "float8 float8 timestamptz"),
        (
            "SELECT date_trunc($1, timestamp), $2::interval, job LIKE $3, job || $4 FROM requests",
            "text interval text text",
        ),
        ("SELECT CASE WHEN $1 THEN $2 ELSE value END FROM requests", "bool float8"),
        ("SELECT timestamp - $1 FROM requests", "timestamptz"),
        ("SELECT now() > $1, NOT $2, $3 IS DISTINCT FROM 1", "timestamptz bool int4"),
        ("SELECT $1 * INTERVAL '1 second'", "float8"),
        ("SELECT $1::text[], $2::date, $3::timestamptz, $4::numeric", "_text date timestamptz numeric"),
        ("SELECT * FROM (VALUES ($1, 'a'), (2, $2)) AS t(a, b)", "int8 text"),
        (
            "SELECT date_part($1, timestamp), timezone($2, timestamp), to_char(timestamp, $3) FROM requests",
            "text text text",
        ),
        ("SELECT $1 IS NULL", "42P18"),
        ("SELECT $2", "42P18"),
        ("SELECT * FROM promql($1)", "text"),
        ("SELECT * FROM promql('up', $1, $2, $3)", "timestamptz timestamptz interval"),
    ] {
        assert_eq!(types(sql).await, want, "{sql}");
    }
}

/// All of it is what PostgreSQL 15 says.
#[tokio::test]
async fn columns_have_types_of_their_values() {
    let world = World::new().await;
    let client = world.connect().await;
    for (sql, want) in [
        (
            "SELECT 1, -2147483648, 2147483648, 1 + 1::int8, 7 / 2, 7 % 2, abs(-1)",
            "int4 int4 int8 int8 int4 int4 int4",
        ),
        ("SELECT count(*), sum(1), sum(1::int8), min(1), max(2::int8)", "int8 int8 numeric int4 int8"),
        (
            "SELECT coalesce(NULL, 1), CASE WHEN true THEN 1 END, nullif(1, 2), greatest(1, 2::int8)",
            "int4 int4 int4 int8",
        ),
        ("SELECT ARRAY[1, 2], (ARRAY[1, 2])[1], cardinality(ARRAY[1])", "_int4 int4 int4"),
        ("SELECT rank() OVER (), row_number() OVER (), ntile(2) OVER (), lag(1) OVER ()", "int8 int8 int4 int4"),
        ("SELECT n, n + 1 FROM generate_series(1, 2) AS g (n)", "int4 int4"),
        ("SELECT generate_series(1, 2)", "int4"),
        ("SELECT a FROM (VALUES (1), (2)) AS v (a) UNION SELECT 2.5::float8", "float8"),
        ("SELECT 1 UNION ALL SELECT 2::int8", "int8"),
        ("SELECT 'abc'::varchar(2), 'abc'::char(5), upper('abc'::varchar(2))", "varchar bpchar text"),
        ("SELECT x FROM (SELECT 'abc'::varchar(2) AS x) q GROUP BY x", "varchar"),
        ("SELECT generate_series('2026-01-01'::date, '2026-01-02', '1 day')", "timestamptz"),
        ("SELECT u FROM string_to_array('a,b', ',') AS u", "_text"),
    ] {
        let statement = client.prepare(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let types: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
        assert_eq!(types.join(" "), want, "{sql}");
        client.query(&statement, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

#[tokio::test]
async fn parameters_are_values_in_both_formats() {
    let world = World::new().await;
    let client = world.connect().await;
    let count = async |sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]| -> i64 {
        let sql = format!("SELECT count(*) FROM requests WHERE {sql}");
        client.query_one(&sql, values).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    };
    assert_eq!(count("job = ANY($1)", &[&vec!["api", "none"]]).await, 3);
    assert_eq!(count("job = ANY($1)", &[&Vec::<String>::new()]).await, 0);
    assert_eq!(count("job IN ($1, $2)", &[&"api", &"web"]).await, 6);
    assert_eq!(count("value > $1", &[&1.0f64]).await, 4);
    assert_eq!(count("job = $1", &[&None::<&str>]).await, 0);
    let at = |minutes: i64| UNIX_EPOCH + Duration::from_millis((world.base_ms + minutes * MINUTE_MS) as u64);
    assert_eq!(count("timestamp >= $1 AND timestamp < $2", &[&at(0), &at(2)]).await, 4);
    let limited = client.query("SELECT value FROM requests LIMIT $1 OFFSET $2", &[&4i64, &1i64]).await.unwrap();
    assert_eq!(limited.len(), 4);
    let (number, list, bytes) = (41i32, vec![Some(1i32), None], vec![1u8, 2]);
    let row = client.query_one("SELECT $1 + 1, $2::int4[], $3::bytea", &[&number, &list, &bytes]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
    assert_eq!(row.get::<_, Vec<Option<i32>>>(1), [Some(1), None]);
    assert_eq!(row.get::<_, Vec<u8>>(2), [1, 2]);
    let nested = client.query_one("SELECT ARRAY[ARRAY[1, 2], ARRAY[3, 4]]", &[]).await.unwrap();
    assert_eq!(nested.columns()[0].type_(), &Type::INT4_ARRAY);
    assert_eq!(text(&client, "SELECT ARRAY[ARRAY[1, 2], ARRAY[3, 4]]").await, "{{1,2},{3,4}}");
}

/// What PromQL is asked, and when, may be a value; it is looked for anew each time.
#[tokio::test]
async fn promql_takes_parameters() {
    let world = World::new().await;
    let client = world.connect().await;
    let at = |minutes: i64| UNIX_EPOCH + Duration::from_millis((world.base_ms + minutes * MINUTE_MS) as u64);
    let of = client.prepare("SELECT job, value FROM promql($1, $2) ORDER BY job").await.unwrap();
    assert_eq!(of.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), ["job", "value"]);
    let ask = async |query: &str, minutes: i64| -> Vec<(String, f64)> {
        let rows = client.query(&of, &[&query, &at(minutes)]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    assert_eq!(ask("requests{job='api'}", 0).await, [("api".to_string(), 1.0)]);
    assert_eq!(ask("requests{job='api'}", 1).await, [("api".to_string(), 2.5)]);
    assert_eq!(ask("count by (job) (requests)", 0).await, [("api".to_string(), 1.0), ("web".to_string(), 1.0)]);
    let error = client.query(&of, &[&"sum(", &at(0)]).await.unwrap_err();
    assert_eq!(sqlstate(&error), "22023");
    let series = client.query("SELECT * FROM generate_series(1, $1)", &[&3i64]).await.unwrap();
    assert_eq!(series.len(), 3);
    // In SQL as well, where the values come with EXECUTE.
    let prepare = "PREPARE q(text) AS SELECT sum(value) FROM promql($1)";
    let executed =
        client.simple_query(&format!("{prepare}; EXECUTE q('vector(7)'); EXECUTE q('vector(8)')")).await.unwrap();
    let values: Vec<&str> = executed
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(values, ["7", "8"]);
}

#[tokio::test]
async fn parameters_keep_their_microseconds() {
    let world = World::new().await;
    let client = world.connect().await;
    let after = world.time(1) + Duration::from_micros(1);
    for (op, expected) in [(">=", 1_i64), (">", 1), ("=", 0), ("<", 2), ("<=", 2), ("<>", 3)] {
        let sql = format!("SELECT count(*) FROM requests WHERE job = 'api' AND timestamp {op} $1");
        let count: i64 = client.query_one(&sql, &[&after]).await.unwrap().get(0);
        assert_eq!(count, expected, "{sql}");
    }
}

/// Billions of rows.
const LONG: &str =
    "SELECT count(*) FROM many a, many b, many c, many d WHERE a.value + b.value + c.value + d.value < 0";

#[tokio::test]
async fn statements_end_at_their_timeout() {
    let world = World::new().await;
    let client = world.connect().await;
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    let error = client.simple_query(LONG).await.expect_err("a timeout");
    assert_eq!(sqlstate(&error), "57014", "{error:?}");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    assert_eq!(text(&client, "SELECT count(*) FROM many").await, "1000");
}

#[tokio::test]
async fn statements_can_be_canceled() {
    let world = World::new().await;
    let client = world.connect().await;
    let token = client.cancel_token();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let running = tokio::time::timeout(Duration::from_secs(30), client.simple_query(LONG));
    let (result, ()) = tokio::join!(running, cancel);
    let error = result.expect("an end within half a minute").expect_err("a cancellation");
    assert_eq!(sqlstate(&error), "57014", "{error:?}");
    assert_eq!(text(&client, "SELECT count(*) FROM many").await, "1000");
}

#[tokio::test]
async fn promql_annotations_are_notices() {
    let world = World::new().await;
    let (client, notices) = world.connect_listening().await;
    let heard = || std::mem::take(&mut *notices.lock().unwrap());
    let at = (world.base_ms + 2 * MINUTE_MS) / 1000;
    let promql = "quantile(2, rate(requests[5m]))";
    let (_, json) =
        get_json(&with_params(&world.server.url("/api/v1/query"), &[("query", promql), ("time", &at.to_string())]))
            .await;
    let said = |key: &str, severity: &str| -> Vec<String> {
        let texts = json[key].as_array().unwrap_or_else(|| panic!("no {key} in {json}"));
        texts.iter().map(|t| format!("{severity}: {}", t.as_str().expect("a text"))).collect()
    };
    let expected = [said("warnings", "WARNING"), said("infos", "NOTICE")].concat();
    assert_eq!(expected.len(), 2, "{expected:?}");

    let sql = format!("SELECT value FROM promql('{promql}', {at})");
    assert_eq!(texts(&client, &sql).await.len(), 1);
    assert_eq!(heard(), expected);
    // The same text from two places of a statement is said once.
    let twice = format!("{sql} UNION ALL {sql}");
    assert_eq!(texts(&client, &twice).await.len(), 2);
    assert_eq!(heard(), expected);
    // A prepared statement says it each time.
    let statement = client.prepare(&sql).await.unwrap();
    assert_eq!(heard(), Vec::<String>::new());
    for _ in 0..2 {
        assert_eq!(client.query(&statement, &[]).await.unwrap().len(), 1);
        assert_eq!(heard(), expected);
    }
    for (level, expected) in [("warning", &expected[..1]), ("error", &[])] {
        client.batch_execute(&format!("SET client_min_messages = {level}")).await.unwrap();
        texts(&client, &sql).await;
        assert_eq!(heard(), expected, "{level}");
    }
    assert_eq!(sqlstate(&client.batch_execute("SET client_min_messages = loud").await.unwrap_err()), "22023");
    client.batch_execute("RESET client_min_messages").await.unwrap();
    // More than ten are counted, as over HTTP.
    let many: Vec<String> = (2..14).map(|q| format!("quantile({q}, requests)")).collect();
    let sql = format!("SELECT value FROM promql('{}', {at})", many.join(" + "));
    texts(&client, &sql).await;
    let heard = heard();
    assert_eq!((heard.len(), heard[10].as_str()), (11, "WARNING: 2 more warning annotations omitted"), "{heard:?}");
}

#[tokio::test]
async fn time_zones_belong_to_their_session() {
    let world = World::new().await;
    let (tokyo, other) = (world.connect().await, world.connect().await);
    tokyo.batch_execute("SET TIME ZONE 'Asia/Tokyo'").await.unwrap();
    assert_eq!(text(&tokyo, "SHOW TimeZone").await, "Asia/Tokyo");
    assert_eq!(text(&other, "SHOW TimeZone").await, "UTC");
    let sql = "SELECT timestamp FROM promql('vector(1)', '2026-11-21T23:30:00Z')";
    assert_eq!(text(&tokyo, sql).await, "2026-11-22 08:30:00+09");
    assert_eq!(text(&other, sql).await, "2026-11-21 23:30:00+00");
    let error = tokyo.batch_execute("SET TIME ZONE 'Mars/Olympus'").await.expect_err("no such zone");
    assert_eq!(sqlstate(&error), "22023");
}

#[tokio::test]
async fn psql_describes_and_selects() {
    let world = World::new().await;
    let (host, port) = world.server.pg.split_once(':').expect("host and port");
    let psql = |command: &str| {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "reader", "promlake"]);
        psql.args(["-c", command]).output()
    };
    if let Err(reason) = psql("SELECT 1") {
        return skip("psql", &reason.to_string());
    }
    let run = |command: &str| {
        let output = psql(command).expect("psql was there before");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stderr.is_empty(), "{command}: {stderr}\n{stdout}");
        stdout.into_owned()
    };
    assert_eq!(run("SELECT job, value FROM requests ORDER BY timestamp, job LIMIT 2"), "api|1\nweb|0\n");
    let tables = run("\\d");
    assert!(tables.contains("|many|") && tables.contains("|requests|"), "{tables}");
    let columns = run("\\d requests");
    for column in ["timestamp|timestamp with time zone|", "value|double precision|", "job|text|", "code|text|"] {
        assert!(columns.contains(column), "{column}: {columns}");
    }
}

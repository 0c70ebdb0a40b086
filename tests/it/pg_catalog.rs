//! `pg_catalog` and `information_schema` of the real binary: what psql and drivers read of them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{Home, NO_TARGETS, Promlake, write};
use crate::write_request::{Series, encode};

/// A server with a metric of two labels, one with a capital letter, and nothing else.
struct World {
    server: Promlake,
    home: Home,
}

impl World {
    async fn new() -> Self {
        let home = Home::on_disk();
        let server = home.start(NO_TARGETS, &[]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        let body = encode(&[
            Series { labels: &[("__name__", "requests"), ("code", "200"), ("job", "api")], samples: &[(now, 1.0)] },
            Series { labels: &[("__name__", "Mixed"), ("job", "api")], samples: &[(now, 1.0)] },
        ]);
        assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
        Self { server, home }
    }

    async fn connect(&self, user: &str) -> Client {
        let (host, port) = self.server.pg.split_once(':').expect("host and port");
        let config = format!("host={host} port={port} user={user} dbname=promlake application_name=test");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }
}

/// The rows of a query, fields between bars.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let fields = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_string()).collect::<Vec<_>>().join("|")
    };
    rows.map(fields).collect()
}

async fn check(client: &Client, cases: &[(&str, &[&str])]) {
    for (sql, want) in cases {
        assert_eq!(rows(client, sql).await, *want, "{sql}");
    }
}

#[tokio::test]
async fn metrics_are_tables_everywhere() {
    let world = World::new().await;
    let client = world.connect("reader").await;
    check(
        &client,
        &[
            ("SELECT relname, relkind FROM pg_class WHERE relnamespace = 2200 ORDER BY 1", &["Mixed|r", "requests|r"]),
            ("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", &["Mixed", "requests"]),
            ("SELECT viewname FROM pg_views WHERE schemaname = 'promlake' AND viewname = 'storage'", &["storage"]),
            (
                "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
                &["Mixed|BASE TABLE", "requests|BASE TABLE"],
            ),
            (
                "SELECT column_name, ordinal_position, data_type, is_nullable, udt_name FROM information_schema.columns \
                 WHERE table_name = 'requests' ORDER BY 2",
                &[
                    "timestamp|1|timestamp with time zone|NO|timestamptz",
                    "value|2|double precision|YES|float8",
                    "code|3|text|YES|text",
                    "job|4|text|YES|text",
                ],
            ),
            (
                "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnum FROM pg_attribute a \
                 WHERE a.attrelid = 'requests'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
                &["timestamp|timestamp with time zone|1", "value|double precision|2", "code|text|3", "job|text|4"],
            ),
            // PostgreSQL's own have its columns and ids.
            ("SELECT oid, relkind FROM pg_class WHERE relname = 'pg_class'", &["1259|r"]),
            ("SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 2610 AND attname = 'indkey'", &["int2vector"]),
            ("SELECT count(*) FROM pg_trigger", &["0"]),
            ("SELECT indkey, indoption FROM pg_index", &[]),
        ],
    )
    .await;
}

#[tokio::test]
async fn ids_print_as_names_and_are_read_from_them() {
    let world = World::new().await;
    let client = world.connect("reader").await;
    check(
        &client,
        &[
            ("SELECT 'requests'::regclass, 'public.\"Mixed\"'::regclass::text", &["requests|\"Mixed\""]),
            (
                "SELECT c.oid::pg_catalog.regclass FROM pg_class c WHERE c.relname = 'storage'",
                &["promlake.storage"],
            ),
            (
                "SELECT 'pg_class'::regclass::oid, '1259'::regclass, 1259::regclass::text",
                &["1259|pg_class|pg_class"],
            ),
            (
                "SELECT 'int4'::regtype, 25::regtype, '_text'::regtype::text, 'text[]'::regtype::oid",
                &["integer|text|text[]|1009"],
            ),
            ("SELECT 'public'::regnamespace::oid, 11::pg_catalog.regnamespace", &["2200|pg_catalog"]),
            ("SELECT typname FROM pg_type WHERE typinput = 'array_in'::regproc AND oid = 1009", &["_text"]),
            ("SELECT typinput, typreceive::text FROM pg_type WHERE oid = 16", &["boolin|boolrecv"]),
            (
                "SELECT p.proname FROM pg_type t JOIN pg_proc p ON p.oid = t.typreceive WHERE t.oid = 23",
                &["int4recv"],
            ),
            ("SELECT to_regclass('nope') IS NULL, to_regtype('nope') IS NULL", &["t|t"]),
            ("SELECT pg_typeof(true), pg_typeof(1::int2)", &["boolean|smallint"]),
            ("SELECT n.nspname FROM pg_namespace n WHERE n.oid = 2200::oid", &["public"]),
            ("SELECT 'reader'::regrole, pg_get_userbyid(10)", &["reader|promlake"]),
        ],
    )
    .await;
    for (sql, code) in [
        ("SELECT 'nope'::regclass", "42P01"),
        ("SELECT 'nope'::regtype", "42704"),
        ("SELECT 'nope'::regnamespace", "3F000"),
        ("SELECT 'nope'::regproc", "42883"),
        ("SELECT has_table_privilege('requests', 'reading')", "22023"),
    ] {
        let error = client.simple_query(sql).await.expect_err(sql);
        assert_eq!(error.code().map(|c| c.code()), Some(code), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn ids_outlive_the_server() {
    let world = World::new().await;
    let sql =
        "SELECT c.oid, p.oid FROM pg_class c, pg_proc p WHERE c.relname = 'requests' AND p.proname = 'time_bucket'";
    let before = rows(&world.connect("reader").await, sql).await;
    assert_eq!(before.len(), 1);
    world.server.stop();
    let world = World { server: world.home.start(NO_TARGETS, &[]), home: world.home };
    assert_eq!(rows(&world.connect("reader").await, sql).await, before);
}

#[tokio::test]
async fn functions_of_the_catalog_answer() {
    let world = World::new().await;
    let client = world.connect("reader").await;
    check(
        &client,
        &[
            ("SELECT array_to_string(current_schemas(true), ',')", &["pg_catalog,public"]),
            ("SELECT * FROM unnest(current_schemas(false))", &["public"]),
            ("SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_database_size('promlake')) <> ''", &["t"]),
            ("SELECT pg_size_pretty(123456789)", &["118 MB"]),
            ("SELECT has_table_privilege('requests', 'SELECT'), has_schema_privilege('public', 'CREATE')", &["t|f"]),
            ("SELECT format('%I.%I is %L', 'public', 'Mixed', 'it''s')", &["public.\"Mixed\" is 'it''s'"]),
            ("SELECT array_upper(ARRAY[4,5,6], 1), array_lower(ARRAY[4], 1), array_upper(ARRAY[1], 2)", &["3|1|NULL"]),
            ("SELECT generate_subscripts(ARRAY['a','b'], 1)", &["1", "2"]),
            ("SELECT (parse_ident('public.\"A b\"'))[2]", &["A b"]),
            ("SELECT ARRAY(SELECT nspname FROM pg_namespace ORDER BY 1 DESC)", &["{public,promlake,pg_catalog,information_schema,external}"]),
            ("SELECT ARRAY(SELECT nspname FROM pg_namespace WHERE false)", &["{}"]),
            ("SELECT pg_postmaster_start_time() < now(), pg_is_in_recovery(), txid_current() > 0", &["t|f|t"]),
            ("SELECT pg_get_function_arguments(oid), pg_get_function_result(oid) FROM pg_proc WHERE proname = 'promql' ORDER BY pronargs", &[
                "text, timestamp with time zone|SETOF record",
                "text, timestamp with time zone, timestamp with time zone, interval|SETOF record",
            ]),
            ("SELECT obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname = 'time_bucket'", &["The start of the interval a time is in."]),
            ("SELECT pg_get_viewdef('promlake.storage'::regclass) LIKE '%SELECT%'", &["t"]),
            ("SELECT pg_sleep(0.01)", &[""]),
            ("SELECT count(*) > 400 FROM pg_catalog.pg_get_keywords()", &["t"]),
            ("SELECT setting FROM pg_show_all_settings() WHERE name = 'search_path'", &["\"$user\", public"]),
            ("SELECT usename, usesuper FROM pg_user WHERE usename = current_user", &["reader|f"]),
            ("SELECT n.xmin, n.tableoid FROM pg_namespace n WHERE n.oid = 11", &["1|2615"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let world = World::new().await;
    let (client, other) = (world.connect("reader").await, world.connect("reader").await);
    let stranger = world.connect("stranger").await;
    let pid = rows(&other, "SELECT pg_backend_pid()").await.remove(0);
    let listed = "SELECT usename, application_name, datname FROM pg_stat_activity ORDER BY pid";
    let one = |user: &str| format!("{user}|test|promlake");
    assert_eq!(rows(&client, listed).await, [one("reader"), one("reader"), one("stranger")]);
    assert_eq!(rows(&client, "SELECT state FROM pg_stat_activity WHERE pid = pg_backend_pid()").await, ["active"]);
    assert_eq!(rows(&client, "SELECT pg_terminate_backend(999999)").await, ["f"]);
    let refused =
        stranger.simple_query(&format!("SELECT pg_terminate_backend({pid})")).await.expect_err("another's");
    assert_eq!(refused.code().map(|c| c.code()), Some("42501"));
    assert_eq!(rows(&client, &format!("SELECT pg_terminate_backend({pid})")).await, ["t"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !other.is_closed() {
        assert!(Instant::now() < deadline, "the session does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rows(&client, "SELECT count(*) FROM pg_stat_activity").await, ["2"]);
}

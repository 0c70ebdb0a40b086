//! The life of a query in the real binary: a query that ends early, however it does, gives back what it took soon,
//! and one that is refused leaves the server as it was.

use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio_postgres::NoTls;

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// Minutes of work in one call of one function for one series: each of many steps sorts a long window.
const LONG_ROW: &str = "quantile_over_time(0.9, vector(time() % 1000)[2d:1s])";
/// Much of everything else: series, groups, matching and memory.
const LONG_PLAN: &str = "sum by (i) (quantile_over_time(0.5, (m * on (i) m + time())[12h:1s]))";

/// How soon a query that has ended must have given back what it took. It takes milliseconds where nothing else runs, and would be
/// minutes if the query went on; machines are busy, and may have one core.
const SOON: Duration = Duration::from_secs(15);

async fn start(home: &Home, flags: &[&str]) -> Promlake {
    let server = home.start(NO_TARGETS, flags);
    let series: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let labels: Vec<_> = series.iter().map(|i| [("__name__", "m"), ("i", i.as_str())]).collect();
    let samples: Vec<(i64, f64)> = (0..50).map(|k| (now_ms() - 3_000_000 + k * 60_000, k as f64)).collect();
    let body: Vec<Series<'_>> = labels.iter().map(|labels| Series { labels, samples: &samples }).collect();
    assert_eq!(write(&reqwest::Client::new(), &server.http, encode(&body)).await, Some(204));
    server
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Running queries and the memory they have reserved, by the server's own metrics.
async fn load(server: &Promlake) -> (f64, f64) {
    let text = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|l| l.split_once(' ').is_some_and(|(n, _)| n == name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.split_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    (value("promlake_engine_queries"), value("promlake_engine_reserved_bytes"))
}

async fn wait_until_running(server: &Promlake) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while load(server).await.0 < 1.0 {
        assert!(Instant::now() < deadline, "the query does not run");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Past planning.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// What clients leave: statements that they have prepared.
const LEFT_BYTES: f64 = 16_384.0;

/// Waits until nothing is left of a query but what its client may leave.
async fn wait_until_idle(server: &Promlake, what: &str) {
    wait_until_idle_within(server, what, SOON).await;
}

async fn wait_until_idle_within(server: &Promlake, what: &str, limit: Duration) {
    let ended = Instant::now();
    loop {
        let load = load(server).await;
        if load.0 == 0.0 && load.1 <= LEFT_BYTES {
            break;
        }
        assert!(ended.elapsed() < limit, "{what}: {load:?} queries and bytes after {:?}", ended.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("{what}: idle after {:?}", ended.elapsed());
}

/// Eleven thousand steps of a query.
fn range_url(server: &Promlake, query: &str, more: &[(&str, &str)]) -> String {
    let end = now_ms() / 1000;
    let (start, end) = ((end - 10_999).to_string(), end.to_string());
    let params = [&[("query", query), ("start", &start), ("end", &end), ("step", "1")], more].concat();
    with_params(&server.url("/api/v1/query_range"), &params)
}

/// A join in nested loops has no batch for minutes, in which nothing asked whether its statement was still wanted; once this was
/// so wherever the rows were not for the client itself.
#[tokio::test]
async fn nested_loops_end_with_their_statement() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--pg.enable-writes"]);
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=writer dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET statement_timeout = '700ms'").await.unwrap();
    let select = "SELECT now() AS timestamp, count(*) AS value FROM generate_series(1, 100000) a (x), \
                  generate_series(1, 100000) b (y) WHERE a.x * b.y % 1000003 < -1";
    let cursor = format!("BEGIN; DECLARE c CURSOR WITH HOLD FOR {select}; COMMIT");
    let insert = format!("INSERT INTO d {select}");
    for sql in [select, insert.as_str(), cursor.as_str()] {
        let late = client.simple_query(sql).await.expect_err("a timeout");
        assert_eq!(late.code().expect("a SQLSTATE").code(), "57014", "{sql}: {late:?}");
        wait_until_idle(&server, sql).await;
    }
}

/// As many such joins as the engine has threads leave time for others.
#[tokio::test]
async fn others_are_answered_beside_nested_loops() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let sql = "SET statement_timeout = '60s'; SELECT count(*) FROM generate_series(1, 1000000) a (x), \
               generate_series(1, 1000000) b (y) WHERE a.x * b.y % 1000003 < -1";
    let mut joins = Vec::new();
    for _ in 0..=std::thread::available_parallelism().map_or(2, usize::from) {
        let client = connect().await;
        joins.push(tokio::spawn(async move { client.simple_query(sql).await.map(|_| ()) }));
    }
    wait_until_running(&server).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let other = connect().await;
    for _ in 0..5 {
        other.simple_query("SELECT count(*) FROM generate_series(1, 1000) AS a (x) WHERE x % 7 = 3").await.unwrap();
    }
    assert!(joins.iter().all(|join| !join.is_finished()), "the joins were over before anybody else was answered");
    joins.iter().for_each(|join| join.abort());
}

#[tokio::test]
async fn a_query_that_ends_early_gives_back_what_it_took() {
    let home = Home::on_disk();
    let server = start(&home, &[]).await;
    for query in [LONG_ROW, LONG_PLAN] {
        // Its time is over.
        let (status, body) = get_json(&range_url(&server, query, &[("timeout", "700ms")])).await;
        assert_eq!((status, &body["errorType"]), (503, &"timeout".into()), "{body}");
        assert_eq!(body["error"], "query timed out in expression evaluation");
        wait_until_idle(&server, "timeout").await;

        // The client goes away.
        let request = tokio::spawn(reqwest::get(range_url(&server, query, &[])));
        wait_until_running(&server).await;
        request.abort();
        wait_until_idle(&server, "HTTP disconnect").await;

        let (host, port) = server.pg.split_once(':').expect("host and port");
        let config = format!("host={host} port={port} user=reader dbname=promlake");
        let end = now_ms() / 1000;
        let sql = format!("SELECT count(*) FROM promql('{query}', {}, {end}, INTERVAL '1 s')", end - 10_999);

        // The statement's time is over; the user cancels it; the client goes away.
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("SET statement_timeout = '700ms'").await.unwrap();
        let late = client.simple_query(&sql).await.expect_err("a timeout");
        assert_eq!(late.code().expect("a SQLSTATE").code(), "57014", "{late:?}");
        wait_until_idle(&server, "statement_timeout").await;
        client.batch_execute("RESET statement_timeout").await.unwrap();

        let token = client.cancel_token();
        let canceled = async {
            wait_until_running(&server).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let (result, ()) = tokio::join!(client.simple_query(&sql), canceled);
        assert_eq!(result.expect_err("a cancellation").code().expect("a SQLSTATE").code(), "57014");
        wait_until_idle(&server, "cancel request").await;

        let statement = tokio::spawn(async move { client.simple_query(&sql).await.is_ok() });
        wait_until_running(&server).await;
        connection.abort();
        wait_until_idle(&server, "Postgres disconnect").await;
        assert!(!statement.await.unwrap());
    }
}

#[tokio::test]
async fn limits_refuse_and_leave_the_server_as_it_was() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-samples=150"]).await;
    let url = |query: &str| with_params(&server.url("/api/v1/query"), &[("query", query), ("stats", "all")]);
    let (status, body) = get_json(&url("sum(m)")).await;
    assert_eq!((status, &body["data"]["stats"]["samples"]["peakSamples"]), (200, &100.into()), "{body}");
    // All of the samples are read, 51 of a window are held at most beside the result.
    let (status, body) = get_json(&url("sum_over_time(m[2h])")).await;
    assert_eq!((status, &body["data"]["stats"]["samples"]["peakSamples"]), (200, &150.into()), "{body}");
    assert_eq!(body["data"]["stats"]["samples"]["totalQueryableSamples"], 5_000);
    let (status, body) = get_json(&url("m[2h]")).await;
    assert_eq!((status, &body["errorType"]), (422, &"execution".into()), "{body}");
    let expected = "query processing would load too many samples into memory in query execution";
    assert_eq!(body["error"], expected);
    wait_until_idle(&server, "max-samples").await;

    // A number is a sample at each step.
    let (status, body) = get_json(&range_url(&server, "vector(1)", &[])).await;
    assert_eq!((status, &body["errorType"]), (422, &"execution".into()), "{body}");
    let (status, body) = get_json(&url("sum(m)")).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn deep_queries_are_answered() {
    let home = Home::on_disk();
    let server = start(&home, &[]).await;
    let around = |times: usize, open: &str, close: &str| format!("{}m{}", open.repeat(times), close.repeat(times));
    // As much as the parser lets through, and what is answered where it arrives.
    for query in [
        format!("m{}", " + 1".repeat(510)),
        format!("m{}", " + m".repeat(510)),
        format!("m{}", " or m".repeat(510)),
        format!("m{}", " > bool m".repeat(510)),
        format!("m{}", "+m".repeat(250)),
        around(120, "abs(", ")"),
        around(120, "sum(", ")"),
        around(120, "(", " + m)"),
        around(60, "label_replace(", r#", "x", "$1", "y", "(.*)")"#),
        around(60, "max_over_time(", "[2m:1m])"),
    ] {
        let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", &query)])).await;
        assert_eq!(status, 200, "{query}: {body}");
        assert_ne!(body["data"]["result"], serde_json::json!([]), "{query}");
    }
    wait_until_idle(&server, "deep queries").await;
}

#[tokio::test]
async fn memory_has_a_limit() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.memory-bytes=4MB"]).await;
    // A hundred series of eleven thousand steps are 8.8 MB.
    let (status, body) = get_json(&range_url(&server, "m or m", &[])).await;
    assert_eq!((status, &body["errorType"]), (422, &"execution".into()), "{body}");
    let text = body["error"].as_str().unwrap();
    assert!(
        text.starts_with("query exceeds its memory limit: ") && text.contains("--query.memory-bytes"),
        "{text}"
    );
    wait_until_idle(&server, "memory").await;
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "sum(m)")])).await;
    assert_eq!(status, 200, "{body}");
}

/// A sort that does not fit into memory filled the disk, which the log of the samples needs as well.
#[tokio::test]
async fn temporary_files_have_a_limit() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.memory-bytes=64MB", "--query.disk-bytes=1MB"]).await;
    let client = connect(&server).await;
    let sort = "SELECT md5(n::text) || md5((-n)::text) FROM generate_series(1, 500000) AS s(n) ORDER BY 1";
    let refused = client.simple_query(sort).await.expect_err("more than there may be");
    let refused = refused.as_db_error().expect("an answer");
    assert_eq!(refused.code().code(), "53100", "{refused:?}");
    assert!(refused.message().contains("--query.disk-bytes"), "{refused:?}");
    client.simple_query("SELECT 1").await.expect("the session goes on");
    wait_until_idle(&server, "a sort").await;
}

/// Names of labels and series took what they liked, and looked at `limit` when they had all of it.
#[tokio::test]
async fn names_of_series_are_in_the_memory_of_queries() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.memory-bytes=4KB"]).await;
    for path in ["/api/v1/series", "/api/v1/label/i/values", "/api/v1/status/tsdb"] {
        let (status, body) = get_json(&with_params(&server.url(path), &[("match[]", "m")])).await;
        assert_eq!((status, &body["errorType"]), (422, &"execution".into()), "{path}: {body}");
    }
    for path in ["/api/v1/series", "/api/v1/label/i/values"] {
        let (status, body) = get_json(&with_params(&server.url(path), &[("match[]", "m"), ("limit", "5")])).await;
        assert_eq!((status, body["data"].as_array().map(Vec::len)), (200, Some(5)), "{path}: {body}");
    }
    let client = connect(&server).await;
    let refused = client.simple_query("SELECT * FROM promlake.series").await.expect_err("more than there is");
    assert_eq!(refused.code().expect("a SQLSTATE").code(), "53400", "{refused:?}");
    wait_until_idle(&server, "names").await;
}

/// When a hostile query is evaluated.
#[derive(Clone, Copy, Debug)]
enum At {
    Now,
    /// One step a second, up to now.
    Steps(i64),
}

/// What becomes of a hostile query.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is answered.
    Answered,
    /// It is refused, with these words in the error.
    Refused(&'static str),
    /// It is answered, refused or ends at its timeout, as the machine has it.
    Ended,
}

const TOO_MANY_STEPS: &str = "a subquery has at most 1048576 steps";
const NO_MEMORY: &str = "query exceeds its memory limit";
const LARGE_LABEL: &str = "a label value of more than 1048576 bytes";

/// Queries that ask for more than there is: the numbers in them, what they make of labels and values, or how often they
/// go through it. `m` are 100 series, `d` 1,100 of different values.
const HOSTILE: &[(&str, At, Fate)] = {
    use At::{Now, Steps};
    use Fate::{Answered, Ended, Refused};
    &[
        // Steps of subqueries.
        ("count_over_time(up[292y:1ms])", Now, Refused(TOO_MANY_STEPS)),
        ("count_over_time(up[292y:1ms])", Steps(11_000), Refused(TOO_MANY_STEPS)),
        ("sum_over_time(vector(1)[292y:1ms])", Now, Refused(TOO_MANY_STEPS)),
        ("m[292y:1ms]", Now, Refused(TOO_MANY_STEPS)),
        ("m[1h:1ms]", Now, Refused(TOO_MANY_STEPS)),
        ("absent_over_time(m[292y:1ms] @ 0 offset -292y)", Steps(100), Refused(TOO_MANY_STEPS)),
        ("max_over_time(max_over_time(m[1h:1s])[292y:1h])", Now, Refused(TOO_MANY_STEPS)),
        ("max_over_time((m[10m:1ms] @ 9223372036854774)[10m:1ms])", Now, Refused("1:")),
        ("max_over_time(max_over_time(m[10m:1ms] @ 9223372036854774)[10m:1ms])", Now, Ended),
        ("sum(max_over_time(m[1000000s:1s]))", Now, Ended),
        ("max_over_time(sum by (i) (d)[1000000s:1s])", Now, Ended),
        ("max_over_time(quantile by (i) (0.5, d)[1000000s:1s])", Now, Ended),
        ("sum_over_time(sum_over_time(sum_over_time(m[1m:1s])[1m:1s])[1m:1s])", Steps(1_000), Ended),
        ("quantile_over_time(0.9, vector(time() % 1000)[2d:1s])", Steps(11_000), Ended),
        // Numbers of series, and of values.
        (r#"count_values("v", d + time())"#, Steps(1_000), Refused(NO_MEMORY)),
        (r#"count_values("v", count_values("v", d + time()))"#, Steps(1_000), Refused(NO_MEMORY)),
        (r#"sum(count_values("v", d * time()))"#, Steps(1_000), Refused(NO_MEMORY)),
        (r#"count_values("v", d)"#, Steps(100), Answered),
        ("topk(1e18, d)", Steps(100), Answered),
        ("bottomk(1e300, d)", Now, Refused("overflows int64")),
        ("limitk(9e18, d)", Steps(100), Answered),
        ("limit_ratio(1e300, m)", Steps(100), Answered),
        ("quantile(1e300, d)", Steps(100), Answered),
        ("quantile(time() / 2e9, d + time())", Steps(1_000), Ended),
        ("d or d or d or d or d or d or d or d", Steps(11_000), Ended),
        ("sort(d - time())", Now, Answered),
        ("m * on () group_left () m", Steps(1_000), Refused("many-to-many")),
        (r#"info(m, {__name__=~".+"})"#, Steps(1_000), Ended),
        // Buckets and quantiles by step.
        (r#"histogram_quantile(time() / 2e9, label_replace(d, "le", "$1", "i", "(.*)"))"#, Steps(1_000), Ended),
        (r#"histogram_quantile(1e300, label_replace(d, "le", "+Inf", "i", "(.*)"))"#, Steps(1_000), Ended),
        (
            r#"histogram_quantiles(label_replace(m, "le", "+Inf", "", ""), "q", time() / 1e10)"#,
            Steps(11_000),
            Refused(NO_MEMORY),
        ),
        // Times beyond the ends.
        ("m offset 292y", Now, Answered),
        ("m offset -292y", Steps(100), Answered),
        ("m @ 9e15", Now, Answered),
        ("m @ -9e15 offset 292y", Steps(100), Answered),
        ("rate(m[292y] @ 9223372036854774 offset -292y)", Steps(100), Answered),
        ("rate(m[292y])", Steps(100), Answered),
        ("predict_linear(m[292y] @ -9223372036854774 offset 292y, 1e300)", Now, Answered),
        ("double_exponential_smoothing(m[292y], 0.5, 0.5)", Steps(100), Answered),
        ("timestamp(m @ 9223372036854774 offset -292y)", Now, Answered),
        ("max_over_time(m[10m:1s] @ 9223372036854774 offset -292y)", Steps(100), Answered),
        ("m[292y]", Now, Answered),
        ("day_of_year(m * 1e300) + minute(m * -1e300) + year(vector(NaN))", Steps(100), Answered),
        ("round(m, 5e-324) + clamp(m, -Inf, Inf) ^ 1e308", Steps(100), Answered),
        // Expressions.
        (r#"m{i=~"((a{1000}){1000}){1000}"}"#, Now, Refused("error")),
        (r#"label_replace(m, "x", "$1", "i", "((a{1000}){1000}){1000}")"#, Now, Refused("invalid regular")),
    ]
};

/// Each call doubles what there is.
fn doubled(times: usize, open: &str, close: &str) -> String {
    format!("{}m{}", open.repeat(times), close.repeat(times))
}

/// Hostile queries that are too long for a table.
fn long_hostile() -> Vec<(String, At, Fate)> {
    let references = "$1".repeat(50_000);
    let selectors: Vec<String> = (0..200).map(|i| format!(r#"{{__name__=~".+", i!~"x{i}.*"}}"#)).collect();
    vec![
        (doubled(40, "label_replace(", r#", "i", "$1$1", "i", "(.*)")"#), At::Now, Fate::Refused(LARGE_LABEL)),
        (doubled(40, "label_join(", r#", "i", "-", "i", "i")"#), At::Now, Fate::Refused(LARGE_LABEL)),
        (doubled(30, "sort_by_label(label_join(", r#", "i", "", "i", "i"), "i")"#), At::Now, Fate::Refused("")),
        (
            format!(
                r#"label_replace(label_replace(m, "i", "{references}", "i", "(.*)"), "i", "{references}", "i", "(.*)")"#
            ),
            At::Now,
            Fate::Refused(LARGE_LABEL),
        ),
        (format!("count({})", selectors.join(" or ")), At::Steps(10), Fate::Ended),
        (format!("m{}", " * m".repeat(400)), At::Steps(1_000), Fate::Ended),
    ]
}

async fn check_hostile(server: &Promlake, query: &str, at: At, fate: Fate) {
    let shown: String = query.chars().take(100).collect();
    let url = match at {
        At::Now => server.url("/api/v1/query"),
        At::Steps(_) => server.url("/api/v1/query_range"),
    };
    let end = now_ms() / 1000;
    let (start, end) = match at {
        At::Now => (String::new(), String::new()),
        At::Steps(steps) => ((end - steps + 1).to_string(), end.to_string()),
    };
    let timeout = match fate {
        Fate::Ended => "3s",
        _ => "60s",
    };
    // Not in the URL, which would be too long for some.
    let form = [("query", query), ("start", &start), ("end", &end), ("step", "1"), ("timeout", timeout)];
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let asked = Instant::now();
    let request = reqwest::Client::new().post(url).header("Content-Type", "application/x-www-form-urlencoded");
    let response = request.body(form).send().await.expect(&shown);
    let status = response.status().as_u16();
    let body = response.text().await.expect(&shown);
    let took = asked.elapsed();
    let told: String = body.chars().take(300).collect();
    eprintln!("{took:?} {status} {shown}: {told}");
    assert!(took < HOSTILE_TIMEOUT + SOON * 2, "{shown}: after {took:?}");
    match fate {
        Fate::Answered => assert_eq!(status, 200, "{shown}: {told}"),
        Fate::Refused(words) => {
            assert_ne!(status, 200, "{shown}: {told}");
            assert!(body.contains(words), "{shown}: {told}");
        }
        Fate::Ended => assert!([200, 422, 503].contains(&status), "{shown}: {status} {told}"),
    }
    wait_until_idle_within(server, &shown, HOSTILE_TIMEOUT / 2).await;
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "count(m)")])).await;
    assert_eq!((status, &body["data"]["result"][0]["value"][1]), (200, &"100".into()), "after {shown}: {body}");
}

const HOSTILE_TIMEOUT: Duration = Duration::from_secs(20);

/// `count_over_time(up[292y:1ms])` aborted the process, as it allocated by a number of the query before that was checked.
/// `count_values("v", x)` over 1,100 series and 1,000 steps ran for eleven minutes and took 15 GB until the kernel killed
/// the process, past the timeout and past the memory of queries.
#[tokio::test]
async fn hostile_queries_end_in_time_and_leave_the_server_as_it_was() {
    let home = Home::on_disk();
    let flags =
        ["--query.memory-bytes=512MB", "--query.timeout=20s", "--enable-feature=promql-experimental-functions"];
    let server = start(&home, &flags).await;
    let series: Vec<String> = (0..1_100).map(|i| i.to_string()).collect();
    let labels: Vec<_> = series.iter().map(|i| [("__name__", "d"), ("i", i.as_str())]).collect();
    let at = |k: i64| now_ms() - 3_000_000 + k * 60_000;
    let samples: Vec<Vec<_>> = (0..1_100).map(|i| (0..50).map(|k| (at(k), f64::from(i) * 1e6)).collect()).collect();
    let body: Vec<Series<'_>> =
        labels.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
    assert_eq!(write(&reqwest::Client::new(), &server.http, encode(&body)).await, Some(204));
    for (query, at, fate) in HOSTILE {
        check_hostile(&server, query, *at, *fate).await;
    }
    for (query, at, fate) in long_hostile() {
        check_hostile(&server, &query, at, fate).await;
    }
    // The same door of SQL.
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for (query, words) in [
        ("SELECT * FROM promql('count_over_time(up[292y:1ms])')", TOO_MANY_STEPS),
        ("SELECT count(*) FROM promql('m', 0, 1e9, INTERVAL '1 s')", "more than 11000 steps"),
        ("SELECT count(*) FROM promql('m', -9e15, 9e15, INTERVAL '1 ms')", "start is out of range"),
    ] {
        let refused = client.simple_query(query).await.expect_err(query);
        let message = refused.as_db_error().expect(query).message();
        assert!(message.contains(words), "{query}: {message}");
    }
    drop(client);
    let _ = connection.await;
    wait_until_idle(&server, "SQL").await;
}

#[tokio::test]
async fn the_next_start_tells_of_queries_a_crash_interrupted() {
    let home = Home::on_disk();
    let server = start(&home, &[]).await;
    let request = tokio::spawn(reqwest::get(range_url(&server, LONG_ROW, &[])));
    wait_until_running(&server).await;
    server.kill();
    assert!(request.await.unwrap().is_err());

    let server = home.start(NO_TARGETS, &[]);
    assert!(server.logged("these queries did not finish in the last run"));
    assert!(server.logged("quantile_over_time(0.9"));
    server.kill();
    let server = home.start(NO_TARGETS, &[]);
    assert!(!server.logged("these queries did not finish"));
}

#[tokio::test]
async fn queries_wait_for_a_slot() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-concurrency=1"]).await;
    let long = tokio::spawn(reqwest::get(range_url(&server, LONG_ROW, &[])));
    wait_until_running(&server).await;
    // Waiting counts against the time of the query.
    let params = [("query", "m"), ("timeout", "300ms")];
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &params)).await;
    assert_eq!((status, &body["errorType"]), (503, &"timeout".into()), "{body}");
    let waiting = with_params(&server.url("/api/v1/query"), &[("query", "m"), ("stats", "all")]);
    let waiting = tokio::spawn(async move { get_json(&waiting).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    long.abort();
    let (status, body) = waiting.await.unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body["data"]["stats"]["timings"]["execQueueTime"].as_f64().unwrap() > 0.2, "{body}");
}

/// SQL used to run without slots and without `--query.timeout`.
#[tokio::test]
async fn statements_end_at_the_time_of_the_server() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-concurrency=1", "--query.timeout=5s"]).await;
    let client = connect(&server).await;

    // The server's time is over, whatever the session allows.
    client.batch_execute("SET statement_timeout = '1h'").await.unwrap();
    let endless = "SELECT count(*) FROM m a, m b, m c, m d WHERE a.value + b.value + c.value + d.value < 0";
    let started = Instant::now();
    let late = client.simple_query(endless).await.expect_err("a timeout");
    assert_eq!(late.code().expect("a SQLSTATE").code(), "57014");
    assert!(late.as_db_error().expect("from the server").message().contains("--query.timeout"), "{late:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    wait_until_idle(&server, "SQL at --query.timeout").await;
}

#[tokio::test]
async fn statements_pass_the_same_door_as_queries() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-concurrency=1"]).await;
    let client = connect(&server).await;
    let sqlstate = |result: Result<_, tokio_postgres::Error>| match result {
        Ok(_) => "00000".to_string(),
        Err(e) => e.code().map(|c| c.code().to_string()).unwrap_or_else(|| format!("{e:?}")),
    };

    // While a query has the only slot, a statement waits for it, to plan as well as to run, and can be cancelled.
    let long = tokio::spawn(reqwest::get(range_url(&server, LONG_ROW, &[])));
    wait_until_running(&server).await;
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    assert_eq!(sqlstate(client.simple_query("SELECT 1").await), "57014");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    let token = client.cancel_token();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (canceled, ()) = tokio::join!(client.simple_query("SELECT 1"), cancel);
    let canceled = canceled.expect_err("a cancellation");
    assert!(canceled.as_db_error().expect("from the server").message().contains("user request"), "{canceled:?}");
    // So do the names of labels.
    for path in
        ["/api/v1/labels", "/api/v1/label/i/values", "/api/v1/series", "/api/v1/status/tsdb", "/api/v1/metadata"]
    {
        let url = with_params(&server.url(path), &[("match[]", "m")]);
        let waiting = tokio::time::timeout(Duration::from_millis(100), reqwest::get(url)).await;
        assert!(waiting.is_err(), "{path} did not wait for a slot");
    }
    long.abort();
    wait_until_idle(&server, "all that waited").await;
    assert_eq!(sqlstate(client.simple_query("SELECT 1").await), "00000");
}

/// A result that its client does not read kept what it took for as long as the client liked.
#[tokio::test]
async fn a_reader_that_is_stuck_keeps_its_slot_until_the_deadline() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-concurrency=1", "--query.timeout=1500ms"]).await;
    let client = connect(&server).await;
    let rows = client.query_raw("SELECT a.value FROM m a, m b, m c", Vec::<i64>::new()).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    rows.next().await.expect("a row").unwrap();
    assert_eq!(load(&server).await.0, 1.0);
    // Others wait for its slot, and get it.
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "sum(m)")])).await;
    assert!(status == 200 || body["errorType"] == "timeout", "{body}");
    wait_until_idle(&server, "a reader that is stuck").await;
    let mut rest = 0;
    let late = loop {
        match rows.next().await {
            None => panic!("the end after {rest} rows"),
            Some(Ok(_)) => rest += 1,
            Some(Err(e)) => break e,
        }
    };
    assert_eq!(late.code().expect("a SQLSTATE").code(), "57014", "{late:?}");
}

/// Between two requests for its rows.
#[tokio::test]
async fn a_portal_that_waits_has_no_slot() {
    let home = Home::on_disk();
    let server = start(&home, &["--query.max-concurrency=1"]).await;
    let mut client = connect(&server).await;
    let transaction = client.transaction().await.unwrap();
    let many = transaction.bind("SELECT a.value FROM m a, m b", &[]).await.unwrap();
    for _ in 0..2 {
        let rows = transaction.query_portal(&many, 10).await.unwrap();
        assert_eq!((rows.len(), load(&server).await.0), (10, 0.0));
        let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "sum(m)")])).await;
        assert_eq!(status, 200, "{body}");
    }
    transaction.rollback().await.unwrap();
    wait_until_idle(&server, "a portal whose transaction has ended").await;
}

/// 20,000 terms overflowed the stack and ended the process; 4,000 took half a minute to plan that nobody could end.
#[tokio::test]
async fn statements_of_any_size_are_answered_or_refused() {
    let home = Home::on_disk();
    let server = start(&home, &[]).await;
    let client = connect(&server).await;
    for (operator, operand) in
        [("+", "1"), ("AND", "true"), ("OR", "i = 'x'"), ("||", "'a'"), ("UNION SELECT", "1")]
    {
        let chain = |terms: usize| {
            format!("SELECT {operand} {} FROM m LIMIT 1", format!("{operator} {operand} ").repeat(terms - 1))
        };
        let refused = client.simple_query(&chain(20_000)).await.expect_err(operator);
        assert_eq!(refused.code().expect("a SQLSTATE").code(), "54001", "{operator}: {refused:?}");
        for terms in [4_000, 1_000, 300] {
            let started = Instant::now();
            let answer = client.simple_query(&chain(terms)).await;
            let refused = answer.as_ref().err().map(|e| e.code().expect("a SQLSTATE").code().to_string());
            eprintln!("{terms} terms of {operator}: {refused:?} after {:?}", started.elapsed());
            assert!(refused.is_none() || refused.as_deref() == Some("54001"), "{operator}: {answer:?}");
            let must =
                matches!(operator, "AND" | "OR") && terms == 1_000 || terms == 300 && operator != "UNION SELECT";
            assert!(refused.is_none() || !must, "{terms} terms of {operator} are refused");
        }
    }
}

/// Clients of both listeners, right and wrong, and the one who asks for them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_a_table() {
    let home = Home::on_disk();
    let server = start(&home, &[]).await;
    let (status, _) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "sum(m) + 1")])).await;
    assert_eq!(status, 200);
    let (status, _) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "sum(")])).await;
    assert_eq!(status, 400);
    let client = connect(&server).await;
    client.query("SELECT count(*) + 41 FROM m", &[]).await.expect("rows");
    client.query("SELECT nothing FROM m", &[]).await.expect_err("there is no such column");
    let asked =
        "SELECT language, query, asked_by, state, error FROM promlake.queries ORDER BY started_at, seconds DESC";
    let rows = client.simple_query(asked).await.expect("rows");
    let rows: Vec<[Option<&str>; 5]> = rows
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some([0, 1, 2, 3, 4].map(|at| row.get(at))),
            _ => None,
        })
        .collect();
    let of = |text: &str| {
        let row = rows.iter().find(|row| row[1] == Some(text)).unwrap_or_else(|| panic!("no {text} in {rows:?}"));
        (row[0].unwrap(), row[2].unwrap(), row[3].unwrap(), row[4].is_some())
    };
    assert_eq!(of("sum(m) + 1"), ("promql", "/api/v1/query", "ok", false));
    assert_eq!(of("sum("), ("promql", "/api/v1/query", "error", true));
    let (language, _, state, _) = of("SELECT count(*) + 41 FROM m");
    assert_eq!((language, state), ("sql", "ok"));
    let (language, _, state, _) = of(asked);
    assert_eq!((language, state), ("sql", "running"));
}

async fn connect(server: &Promlake) -> tokio_postgres::Client {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    let config = format!("host={host} port={port} user=reader dbname=promlake");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

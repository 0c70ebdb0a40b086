//! Everything at once against the real binary: scrapes, remote write, PromQL, SQL, connections that come and go, and
//! messages that are none. Resident memory and open files are level, the server answers, and its log knows of no panic.
//!
//! `SOAK_SECONDS` says how long, 20 by default; half an hour of it is the long form. `SOAK_SERIES` says how many series are
//! written twenty times a second, 200 by default. `SOAK_CGROUP` is the folder of a
//! control group that the server is put into, whose limit of memory then ends it if the budgets do not hold:
//!
//! ```sh
//! mkdir /sys/fs/cgroup/soak && echo 512M > /sys/fs/cgroup/soak/memory.max     # memory/soak/memory.limit_in_bytes in version 1
//! SOAK_CGROUP=/sys/fs/cgroup/soak SOAK_SECONDS=1800 cargo test --release --test it soak -- --nocapture
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;

use crate::support::{Home, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// Series of each remote write.
static SERIES: LazyLock<usize> =
    LazyLock::new(|| std::env::var("SOAK_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(200));
/// How long an answer to nonsense is waited for; a server that waits for more of it gives none.
const ANSWER: Duration = Duration::from_millis(50);
/// Open files that may be left: a put or a merge under way.
const FILES_SLACK: f64 = 8.0;

const PROMQL: &[&str] = &[
    "soak",
    "sum by (mode) (rate(soak[1m]))",
    "topk(5, soak) / on () group_left () count(soak)",
    "quantile_over_time(0.9, soak[2m])",
    "histogram_quantile(0.9, sum by (le) (rate(exported_bucket[1m])))",
    "count_values(\"v\", exported) or absent(nothing)",
    "max_over_time(sum(soak)[2m:5s])",
    // Errors of every stage.
    "sum(",
    "soak + on () soak",
    "rate(soak)",
];
const SQL: &[&str] = &[
    "SELECT count(*), max(value) FROM soak WHERE timestamp > now() - interval '1 minute'",
    "SELECT mode, avg(value) FROM soak WHERE timestamp > now() - interval '2 minutes' GROUP BY mode ORDER BY 2",
    "SELECT * FROM soak WHERE timestamp > now() - interval '30 seconds' ORDER BY value DESC LIMIT 20",
    "SELECT * FROM promql('sum by (mode) (rate(soak[1m]))', now() - interval '2 minutes', now(), interval '5 s')",
    "SELECT count(*) FROM promlake.files",
    "SELECT relname FROM pg_catalog.pg_class LIMIT 3",
    "SHOW TimeZone",
    "SELECT * FROM no_such_metric",
    "SELEC",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_files_are_level() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let exporter = Exporter::start().await;
    let mut home = Home::on_disk();
    home.cgroup = std::env::var_os("SOAK_CGROUP").map(Into::into);
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
         scrape_configs:\n- job_name: soak\n  static_configs: [{{ targets: ['{}'] }}]\n",
        exporter.address
    );
    // Flushed and merged often, and small: what is held is then the same after a minute as after an hour. A control group
    // sets the budgets otherwise.
    let small = ["--storage.flush-bytes=2MB", "--storage.cache-bytes=8MB", "--query.memory-bytes=256MB"];
    let small = if home.cgroup.is_some() { &[][..] } else { &small[..] };
    let mut server = home.start(&config, &[&["--storage.flush-interval=2s"], small].concat());
    let client = reqwest::Client::new();
    let idle = Usage::read(&client, &server).await;

    let load = Load::start(&server);
    let usages = watch(&client, &server, Duration::from_secs(seconds)).await;
    let counts = load.stop().await;
    eprintln!("{counts:?}");
    counts.check();

    let (warm, end) = compare(&usages);
    eprintln!("idle {idle}; after warm-up {warm}; at the end {end}");
    // What the allocator holds moves by tens of MB within seconds, which a long run need not allow for as a part.
    let allowed = if seconds < 300 { warm.resident * 1.5 } else { warm.resident * 1.1 };
    assert!(end.resident <= allowed + f64::from(32 << 20), "memory grows: {usages:?}");
    assert!(end.files <= warm.files * 1.5 + FILES_SLACK, "open files grow: {usages:?}");

    wait_for_files(&client, &server, idle.files + FILES_SLACK).await;
    answers(&server).await;
    let panics: Vec<&String> = server.log().iter().filter(|line| line.to_lowercase().contains("panic")).collect();
    assert!(panics.is_empty(), "{panics:?}");
    assert!(server.stop().success());
}

/// What the server says it holds.
#[derive(Clone, Copy, Debug)]
struct Usage {
    resident: f64,
    files: f64,
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} MiB, {} files", self.resident / f64::from(1 << 20), self.files)
    }
}

impl Usage {
    async fn read(client: &reqwest::Client, server: &Promlake) -> Self {
        let response = client.get(server.url("/metrics")).send().await.expect("an answer");
        let text = response.text().await.expect("a body");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        Self { resident: value("process_resident_memory_bytes"), files: value("process_open_fds") }
    }
}

async fn watch(client: &reqwest::Client, server: &Promlake, time: Duration) -> Vec<Usage> {
    let (started, mut usages) = (Instant::now(), Vec::new());
    let mut ticks = tokio::time::interval(time.div_f64(120.0).max(Duration::from_millis(200)));
    while started.elapsed() < time {
        ticks.tick().await;
        usages.push(Usage::read(client, server).await);
    }
    usages
}

/// The medians of the second quarter and of the last one.
fn compare(usages: &[Usage]) -> (Usage, Usage) {
    let quarter = usages.len() / 4;
    let median = |part: &[Usage], of: fn(&Usage) -> f64| {
        let mut values: Vec<f64> = part.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let usage = |part: &[Usage]| Usage { resident: median(part, |u| u.resident), files: median(part, |u| u.files) };
    (usage(&usages[quarter..2 * quarter]), usage(&usages[usages.len() - quarter..]))
}

async fn wait_for_files(client: &reqwest::Client, server: &Promlake, most: f64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let usage = Usage::read(client, server).await;
        if usage.files <= most {
            return;
        }
        assert!(Instant::now() < deadline, "{} files are still open, more than {most}", usage.files);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The server takes samples and answers in both languages.
async fn answers(server: &Promlake) {
    let body = encode(&[Series { labels: &[("__name__", "after")], samples: &[(now_ms(), 42.0)] }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    let (status, body) = get_json(&with_params(&server.url("/api/v1/query"), &[("query", "after")])).await;
    assert_eq!((status, &body["data"]["result"][0]["value"][1]), (200, &"42".into()), "{body}");
    let (client, connection) = tokio_postgres::connect(&pg_config(server), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let row = client.query_one("SELECT value FROM after", &[]).await.expect("a row");
    assert_eq!(row.get::<_, f64>(0), 42.0);
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn pg_config(server: &Promlake) -> String {
    let (host, port) = server.pg.split_once(':').expect("host and port");
    format!("host={host} port={port} user=reader dbname=promlake")
}

/// What was done, by kind.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    promql: AtomicU64,
    sql: AtomicU64,
    connections: AtomicU64,
    malformed: AtomicU64,
}

impl Counts {
    fn check(&self) {
        let counts = [&self.written, &self.promql, &self.sql, &self.connections, &self.malformed];
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) > 10), "{self:?}");
    }
}

/// Tasks that keep the server busy until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What a task is told.
#[derive(Clone)]
struct Target {
    http: String,
    pg: String,
    pg_config: String,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Target {
    /// Whether to go on, after a pause that leaves a machine of two cores some time for the server.
    async fn go_on(&self, pause_ms: u64) -> bool {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        !self.stop.load(Ordering::Relaxed)
    }
}

impl Load {
    fn start(server: &Promlake) -> Self {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let target = Target {
            http: server.http.clone(),
            pg: server.pg.clone(),
            pg_config: pg_config(server),
            stop: stop.clone(),
            counts: counts.clone(),
        };
        let tasks = vec![
            tokio::spawn(write_samples(target.clone())),
            tokio::spawn(ask_promql(target.clone())),
            tokio::spawn(ask_sql(target.clone())),
            tokio::spawn(come_and_go(target.clone())),
            tokio::spawn(send_nonsense(target)),
        ];
        Self { stop, counts, tasks }
    }

    async fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("the load goes on to its end");
        }
        self.counts
    }
}

/// A request of one sample for each series.
fn request(at_ms: i64) -> Vec<u8> {
    let names: Vec<String> = (0..*SERIES).map(|n| n.to_string()).collect();
    let labels: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, n)| [("__name__", "soak"), ("mode", ["a", "b", "c"][i % 3]), ("n", n.as_str())])
        .collect();
    let samples: Vec<_> = (0..*SERIES).map(|i| [(at_ms, (at_ms % 100_000 * i as i64) as f64)]).collect();
    let series: Vec<Series<'_>> =
        labels.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
    encode(&series)
}

async fn write_samples(target: Target) {
    let client = reqwest::Client::new();
    while target.go_on(50).await {
        assert_eq!(write(&client, &target.http, request(now_ms())).await, Some(204));
        target.counts.written.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask_promql(target: Target) {
    let client = reqwest::Client::new();
    for query in PROMQL.iter().cycle() {
        if !target.go_on(5).await {
            return;
        }
        let end = now_ms() / 1000;
        let (start, end) = ((end - 120).to_string(), end.to_string());
        let instant = with_params(&format!("{}/api/v1/query", target.http), &[("query", query)]);
        let params = [("query", *query), ("start", &start), ("end", &end), ("step", "2")];
        let range = with_params(&format!("{}/api/v1/query_range", target.http), &params);
        for url in [instant, range] {
            let response = client.get(&url).send().await.expect("an answer");
            let (status, body) = (response.status().as_u16(), response.text().await.expect("a body"));
            assert!(matches!(status, 200 | 400 | 422), "{query}: {status} {body}");
            target.counts.promql.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn ask_sql(target: Target) {
    let (client, connection) = tokio_postgres::connect(&target.pg_config, NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    for (i, sql) in SQL.iter().cycle().enumerate() {
        if !target.go_on(5).await {
            break;
        }
        // By both protocols; an error is an answer as long as the connection goes on.
        let failed = match i % 2 {
            0 => client.simple_query(sql).await.err(),
            _ => client.query(*sql, &[]).await.err(),
        };
        assert!(failed.as_ref().is_none_or(|e| e.code().is_some()), "{sql}: {failed:?}");
        target.counts.sql.fetch_add(1, Ordering::Relaxed);
    }
    drop(client);
    connection.await.expect("no panic").expect("an orderly end");
}

/// Connections of every kind: used and closed, dropped while a query runs, never used.
async fn come_and_go(target: Target) {
    let http = target.http.trim_start_matches("http://");
    for i in 0u64.. {
        if !target.go_on(10).await {
            return;
        }
        match i % 4 {
            0 => drop(TcpStream::connect(http).await.expect("a connection")),
            1 => drop(TcpStream::connect(&target.pg).await.expect("a connection")),
            2 => {
                let (client, connection) =
                    tokio_postgres::connect(&target.pg_config, NoTls).await.expect("a session");
                let connection = tokio::spawn(connection);
                client.simple_query("SELECT 1").await.expect("a row");
                if i % 8 == 2 {
                    // Cut off in the middle of it.
                    let _ = tokio::time::timeout(Duration::from_millis(5), client.simple_query(SQL[1])).await;
                    connection.abort();
                }
            }
            _ => {
                let answer = reqwest::get(format!("{}/-/healthy", target.http)).await.expect("an answer");
                assert!(answer.status().is_success());
            }
        }
        target.counts.connections.fetch_add(1, Ordering::Relaxed);
    }
}

async fn send_nonsense(target: Target) {
    let mut random = fastrand::Rng::with_seed(10);
    let client = reqwest::Client::new();
    let http = target.http.trim_start_matches("http://");
    for i in 0.. {
        if !target.go_on(10).await {
            return;
        }
        let (address, bytes) = match i % 3 {
            0 => (http, http_nonsense(i / 3, &mut random)),
            1 => (target.pg.as_str(), pg_nonsense(i / 3, &mut random)),
            _ => {
                // Not what the protocol calls a request: never a success, never a failure of the server.
                let status = write(&client, &target.http, write_nonsense(i / 3, &mut random)).await;
                assert!(status.is_some_and(|status| (400..500).contains(&status)), "{status:?}");
                target.counts.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        // The server may hang up before it has read all of it.
        let _ = socket.write_all(&bytes).await;
        let mut answer = [0; 1024];
        let _ = tokio::time::timeout(ANSWER, socket.read(&mut answer)).await;
        target.counts.malformed.fetch_add(1, Ordering::Relaxed);
    }
}

fn noise(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    (0..random.usize(1..most)).map(|_| random.u8(..)).collect()
}

fn http_nonsense(kind: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let head =
        "POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    match kind % 9 {
        0 => noise(random, 4096),
        1 => b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: ".to_vec(),
        2 => format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(600_000)).into_bytes(),
        3 => format!("{head}Content-Length: 1000\r\n\r\nquery=up").into_bytes(),
        4 => format!("{head}Content-Length: -1\r\n\r\n").into_bytes(),
        5 => format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nquery=up\r\n").into_bytes(),
        6 => b"NO SUCH\0THING\r\n\r\n".to_vec(),
        7 => b"GET /api/v1/query?query=%ff%00&time=nan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            .to_vec(),
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
    }
}

fn pg_nonsense(kind: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let startup = b"\0\0\0\x27\0\x03\0\0user\0reader\0database\0promlake\0\0";
    let after = |message: &[u8]| [&startup[..], message].concat();
    match kind % 11 {
        0 => noise(random, 4096),
        1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        2 => b"\x7f\xff\xff\xff\0\x03\0\0user\0".to_vec(),
        3 => b"\0\0\0\0\0\x03\0\0".to_vec(),
        4 => [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], &noise(random, 100)].concat(),
        // A cancel request for a session that is not there.
        5 => b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\xff\xff\x12\x34\x56\x78".to_vec(),
        6 => after(b"Q\xff\xff\xff\xff"),
        7 => after(b"Q\0\0\0\x0cSELECT 1"),
        8 => after(b"B\0\0\0\x20\0\0\0\x09\0\0"),
        9 => after(b"!\0\0\0\x04"),
        _ => after(&noise(random, 200)),
    }
}

fn write_nonsense(kind: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let good = request(now_ms());
    match kind % 4 {
        0 => good[..random.usize(1..good.len())].to_vec(),
        // Claims 4 GiB.
        1 => vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61],
        2 => snap::raw::Encoder::new().compress_vec(&[0xff; 64]).expect("a small message"),
        _ => vec![0x80; 12],
    }
}

/// A target with a gauge, a counter and a histogram that move.
struct Exporter {
    address: String,
}

impl Exporter {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
                    while let Ok(len @ 1..) = socket.read(&mut chunk).await {
                        head.extend_from_slice(&chunk[..len]);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            let body = exposition(now_ms() / 1000);
                            let answer = format!(
                                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{body}",
                                body.len()
                            );
                            if socket.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address }
    }
}

fn exposition(second: i64) -> String {
    let gauges = (0..50).map(|i| format!("exported{{i=\"{i}\"}} {}\n", second % (i + 2)));
    let buckets = ["0.1", "1", "10", "+Inf"];
    let buckets = buckets.iter().zip(1..).map(|(le, n)| format!("exported_bucket{{le=\"{le}\"}} {}\n", second * n));
    gauges.chain(buckets).collect()
}

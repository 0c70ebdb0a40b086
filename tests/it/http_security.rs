//! What pages of other sites, unknown names, slow clients and killers get from the HTTP API of the real binary.
//! Requests are written byte by byte over a socket, since a proper client would not send them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, NO_TARGETS, Promlake};
use crate::write_request::{Series, compress, encode, timeseries};

/// How long an answer may take before the test fails. Generous, since the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);

struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn address(server: &Promlake) -> &str {
    server.http.trim_start_matches("http://")
}

fn connect(server: &Promlake) -> TcpStream {
    let stream = TcpStream::connect(address(server)).expect("connecting");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// Sends bytes and reads until the server closes; `None` where it did so without an answer.
fn exchange(server: &Promlake, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(server);
    // The server may refuse, and close, before it has read everything.
    let _ = stream.write_all(request);
    read_answer(&mut stream)
}

fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no answer within {DEADLINE:?}: {error}");
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() })
}

/// A whole request on a connection of its own. `headers` are lines without their ends; `Host` is the server's own
/// unless they have one.
fn ask(server: &Promlake, line: &str, headers: &[&str], body: &[u8]) -> Answer {
    try_ask(server, line, headers, body).unwrap_or_else(|| panic!("no answer to {line} {headers:?}"))
}

fn try_ask(server: &Promlake, line: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        request += &format!("Host: {}\r\n", address(server));
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    exchange(server, &[request.as_bytes(), body].concat())
}

/// Whether queries are answered.
fn up(server: &Promlake) -> bool {
    let answer = ask(server, "GET /api/v1/query?query=vector(1)", &[], b"");
    answer.status == 200 && answer.body.contains("\"success\"")
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a clock after 1970").as_millis() as i64
}

fn one_sample() -> Vec<u8> {
    encode(&[Series { labels: &[("__name__", "written"), ("job", "page")], samples: &[(now_ms(), 1.0)] }])
}

/// Any page could write samples into, or stop, a server on its reader's machine, since a request without a content type
/// needs no leave of the server.
#[test]
fn pages_of_other_sites_change_nothing() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle", "--web.external-url=https://metrics.example/"]);
    let own = format!("Origin: http://{}", address(&server));
    let protobuf = "Content-Type: application/x-protobuf";
    let foreign: &[&[&str]] = &[
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: cross-site", &own],
        &["Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:1"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        &["Origin: https://evil.example"],
        &["Origin: null"],
        &["Origin: http://127.0.0.1:1"],
        &["Origin: https://evil.example", "X-Forwarded-Host: evil.example"],
    ];
    for headers in foreign {
        for line in [
            "POST /api/v1/write",
            "PUT /api/v1/write",
            "POST /-/reload",
            "PUT /-/reload",
            "POST /-/quit",
            "POST /api/v1/otlp/v1/metrics",
            "POST /api/v1/admin/tsdb/delete_series?match[]=up",
            "PUT /api/v1/admin/tsdb/snapshot",
            "DELETE /api/v1/series?match[]=up",
        ] {
            let headers = [&[protobuf], *headers].concat();
            let answer = ask(&server, line, &headers, &one_sample());
            assert_eq!(answer.status, 403, "{line} {headers:?}: {}", answer.body);
            assert!(!answer.head.contains("access-control"), "{line}: {}", answer.head);
        }
        // To read is another matter: that is for --web.cors.origin.
        assert_eq!(ask(&server, "POST /api/v1/query?query=1", headers, b"").status, 200, "{headers:?}");
    }
    assert_eq!(samples(&server, "written"), 0);

    for (headers, status) in [
        // Programs.
        (&[][..], 204),
        (&[protobuf][..], 204),
        (&["Content-Type: text/plain"][..], 415),
        // Pages of our own, and proxies in front of us.
        (&[protobuf, "Sec-Fetch-Site: same-origin"][..], 204),
        (&[protobuf, "Sec-Fetch-Site: none"][..], 204),
        (&[protobuf, "Sec-Fetch-Site: same-site", &own][..], 204),
        (&[protobuf, &own][..], 204),
        (&[protobuf, "Origin: https://metrics.example"][..], 204),
        // A page has to ask for the leave that it does not get.
        (&[own.as_str()][..], 415),
        (&["Content-Type:", &own][..], 415),
        (&["Sec-Fetch-Site: same-origin"][..], 415),
        (&["Sec-Fetch-Site: none"][..], 415),
    ] {
        let answer = ask(&server, "POST /api/v1/write", headers, &one_sample());
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
    }
    assert_eq!(samples(&server, "written"), 1);

    // Neither is a preflight for any of these allowed, nor do safe methods change anything.
    let preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"];
    for (line, status) in [("/api/v1/write", 204), ("/-/reload", 200), ("/-/quit", 200)] {
        let answer = ask(&server, &format!("OPTIONS {line}"), &preflight, b"");
        assert_eq!(answer.status, status, "{line}");
        assert!(!answer.head.contains("access-control"), "{line}: {}", answer.head);
        for method in ["GET", "HEAD"] {
            assert_eq!(ask(&server, &format!("{method} {line}"), &[], b"").status, 405, "{method} {line}");
        }
    }
    assert_eq!(ask(&server, "POST /-/reload", &[&own], b"").status, 200);
    assert!(up(&server));
}

/// How many series have samples.
fn samples(server: &Promlake, metric: &str) -> u64 {
    let answer = ask(server, &format!("GET /api/v1/query?query=count({metric})or+vector(0)"), &[], b"");
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    json["data"]["result"][0]["value"][1].as_str().and_then(|n| n.parse().ok()).expect("a count")
}

/// A name that a page made lead to us (DNS rebinding) is not ours.
#[test]
fn unknown_names_are_refused() {
    let home = Home::on_disk();
    let flags =
        ["--web.external-url=http://front.example:8080/", "--web.allowed-hosts=metrics.example,*.svc.example"];
    let server = home.start(NO_TARGETS, &flags);
    let check = |host: &str, target: &str, status: u16| {
        let answer = ask(&server, &format!("GET {target}"), &[&format!("Host: {host}")], b"");
        assert_eq!(answer.status, status, "{host} {target}: {}", answer.body);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        if status == 421 {
            assert!(answer.body.contains("--web.allowed-hosts"), "{}", answer.body);
        }
    };
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for known in [
        "localhost",
        "LocalHost:1234",
        "127.0.0.1",
        "10.1.2.3:9090",
        "[::1]:9090",
        "front.example",
        "front.example:8080",
        "metrics.example:9090",
        "promlake-0.svc.example:9090",
        machine.trim(),
        // No name at all, as some probes have it.
        "",
    ] {
        check(known, "/-/healthy", 200);
        check(known, "/api/v1/query?query=1", 200);
    }
    for unknown in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "svc.example", "a@localhost"] {
        for target in ["/-/healthy", "/api/v1/query?query=1", "/metrics", "/", "/nothing"] {
            check(unknown, target, 421);
        }
    }
    // A whole URL as target overrides `Host`, and does not get round it.
    check("localhost", "http://evil.example/-/healthy", 421);
    check("evil.example", "http://localhost/-/healthy", 421);
    check("localhost", "http://localhost/-/healthy", 200);
    let forwarded = ["Host: evil.example", "X-Forwarded-Host: localhost", "Forwarded: host=localhost"];
    assert_eq!(ask(&server, "GET /-/healthy", &forwarded, b"").status, 421);
    assert_eq!(ask(&server, "GET /-/healthy", &["Host: localhost", "Host: localhost"], b"").status, 400);
    let status = |request: &[u8]| exchange(&server, request).map(|answer| answer.status);
    assert_eq!(status(b"GET /-/healthy HTTP/1.0\r\n\r\n"), Some(200));
    assert_eq!(status(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n"), Some(400));
    assert_eq!(status(b"GET /-/healthy HTTP/1.0\r\nHost: evil.example\r\n\r\n"), Some(421));
}

#[test]
fn cross_origin_headers() {
    let home = Home::on_disk();
    let origin = "Origin: https://a.example";
    for (flags, allowed) in [(&[][..], Some("*")), (&["--web.cors.origin=https://b\\.example"][..], None)] {
        let server = home.start(NO_TARGETS, flags);
        for line in
            ["GET /api/v1/labels", "OPTIONS /api/v1/query", "POST /api/v1/series", "GET /api/v1/labels?start=x"]
        {
            let answer = ask(&server, line, &[origin], b"");
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{line}");
            assert!(answer.head.contains("vary: origin"), "{line}: {}", answer.head);
            assert!(ask(&server, line, &[], b"").head.contains("vary: origin"), "{line}");
        }
        for line in ["POST /api/v1/write", "GET /metrics", "GET /", "POST /-/reload", "GET /nothing"] {
            let answer = ask(&server, line, &[origin], b"");
            assert!(!answer.head.contains("access-control"), "{line}: {}", answer.head);
        }
    }
}

/// Each is answered, or its connection closed, and then queries still are.
#[test]
fn killers() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.body-bytes=64MB"]);
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let mut wrong = Vec::new();
    let mut check = |name: &str, line: &str, headers: &[&str], body: &[u8], status: u16| {
        match try_ask(&server, line, headers, body) {
            Some(answer) if answer.status == status => {}
            // A head that is not read to its end may be cut off, with the answer.
            None if matches!(status, 414 | 431) => {}
            Some(answer) => wrong.push(format!("{name}: {} and not {status}: {}", answer.status, answer.body)),
            None => wrong.push(format!("{name}: no answer")),
        }
        assert!(up(&server), "no answer after {name}");
    };

    let padding = "x".repeat(1 << 10);
    let many: Vec<String> = (0..200).map(|i| format!("X-{i}: 1")).collect();
    let large: Vec<String> = (0..99).map(|i| format!("X-{i}: {}", padding.repeat(2))).collect();
    for (name, headers, status) in [("many headers", &many, 431), ("large headers", &large, 431)] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        check(name, "GET /-/healthy", &headers, b"", status);
    }
    check("a long target", &format!("GET /{}", padding.repeat(70)), &[], b"", 414);
    check("a large form", "POST /api/v1/query", &form, &vec![b'a'; (10 << 20) + 1], 413);
    check("many parameters", "POST /api/v1/query", &form, "a&".repeat(1 << 20).as_bytes(), 400);
    check("many parameters in a target", &format!("GET /api/v1/query?{}", "a&".repeat(20_000)), &[], b"", 400);

    // The first bytes are the decoded length: 4 GiB, and as much as may be of nothing.
    check("a snappy bomb", "POST /api/v1/write", &[], &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 400);
    check("a snappy length", "POST /api/v1/write", &[], &[0x80, 0x80, 0x80, 0x0f, 0], 400);
    check("no snappy", "POST /api/v1/write", &[], &[0xff; 20], 400);
    check("gzip", "POST /api/v1/write", &["Content-Encoding: gzip"], &[0; 20], 415);
    let empty =
        |field: u8| compress(std::iter::once(timeseries(&[("__name__", "x")], field, vec![vec![]; 5 << 20])));
    check("millions of samples", "POST /api/v1/write", &[], &empty(2), 400);
    check("millions of histograms", "POST /api/v1/write", &[], &empty(4), 400);
    check("millions of series", "POST /api/v1/write", &[], &compress((0..8 << 20).map(|_| vec![])), 400);
    check("a large body", "POST /api/v1/write", &[], &vec![0; (32 << 20) + 1], 413);

    for (parameters, status) in [
        ("time=1e308", 400),
        ("time=-1e308", 400),
        ("time=NaN", 400),
        ("time=Inf", 400),
        ("time=9223372036854775.807", 200),
        ("time=-9223372036854775.808", 200),
        ("timeout=1e308", 400),
        ("timeout=NaN", 503),
        ("timeout=292y", 200),
        ("limit=-1", 400),
        ("limit=1e308", 400),
        ("limit=9223372036854775807", 200),
        ("limit=18446744073709551616", 400),
        ("lookback_delta=1e308", 400),
        ("lookback_delta=292y", 200),
        ("query=%00", 400),
        ("query=%ff%fe", 400),
        ("time=9223372036854775.807&query=up%20offset%20292y", 200),
        ("time=-9223372036854775.808&query=up%20offset%20292y", 200),
    ] {
        let query = if parameters.contains("query=") { "" } else { "query=up&" };
        check(parameters, &format!("GET /api/v1/query?{query}{parameters}"), &[], b"", status);
    }
    for (parameters, status) in [
        ("start=0&end=1e308&step=1", 400),
        ("start=-9223372036854775.808&end=9223372036854775.807&step=1", 400),
        ("start=-9223372036854775.808&end=9223372036854775.807&step=292y", 400),
        ("start=9223372036854775&end=9223372036854775.807&step=1e9", 200),
        ("start=0&end=1&step=1e-300", 400),
        ("start=0&end=1&step=NaN", 400),
        ("start=0&end=1&step=-1", 400),
    ] {
        check(parameters, &format!("GET /api/v1/query_range?query=up&{parameters}"), &[], b"", status);
    }
    for (target, status) in [
        ("/api/v1/label/%00%ff/values", 400),
        ("/api/v1/label//values", 301),
        ("/api/v1/series?match[]=up&start=-1e308", 400),
        ("/api/v1/series?match[]=up&start=-9223372036854775.808&end=9223372036854775.807&limit=1", 200),
        ("/api/v1/status/tsdb?limit=99999999999999999999", 400),
        ("/api/v1/metadata?limit=99999999999999999999", 400),
        ("/..%2f..%2fetc/passwd", 404),
    ] {
        check(target, &format!("GET {target}"), &[], b"", status);
    }

    for (name, request) in [
        ("nothing", &b""[..]),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("CONNECT", b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n"),
        ("a star", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        ("zeros", &[0; 4096]),
        ("a body of all bytes", b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9223372036854775807\r\n\r\nx"),
        ("a negative length", b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nx"),
        ("two lengths", b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        ("a broken chunk", b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx"),
        ("a chunk of all bytes", b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx"),
    ] {
        let mut stream = connect(&server);
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let status = read_answer(&mut stream).map_or(400, |answer| answer.status);
        if !(400..500).contains(&status) {
            wrong.push(format!("{name}: {status}"));
        }
        assert!(up(&server), "no answer after {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Begins a request with a body of `announced` bytes and sends the first of it.
fn begin(server: &Promlake, announced: usize, sent: &[u8]) -> TcpStream {
    let mut stream = connect(server);
    let head = format!("POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), sent].concat()).expect("sending");
    stream
}

fn metric(server: &Promlake, name: &str) -> f64 {
    let text = ask(server, "GET /metrics", &[], b"").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come to pass within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn bodies_share_a_budget() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.body-bytes=1MB"]);
    let held = begin(&server, 700_000, &[0; 600_000]);
    wait_for("the body's share", || metric(&server, "promlake_http_body_bytes") >= 600_000.0);
    let answer = ask(&server, "POST /api/v1/write", &[], &[0; 600_000]);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.body);
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    assert_eq!(ask(&server, "POST /api/v1/query", &form, &[b'x'; 600_000]).status, 503);
    assert_eq!(ask(&server, "POST /api/v1/write", &[], &one_sample()).status, 204);
    assert_eq!(ask(&server, "POST /api/v1/write", &[], &[0; 2_000_000]).status, 413);
    assert!(up(&server));
    drop(held);
    wait_for("the budget's return", || metric(&server, "promlake_http_body_bytes") == 0.0);
}

/// Whoever sends a byte before each timeout, or does not read what was asked for, kept a place and its memory for as
/// long as it liked.
#[test]
fn slow_clients_are_cut_off() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.read-timeout=2s"]);
    let trickle = |mut stream: TcpStream, byte: &'static [u8]| {
        std::thread::spawn(move || {
            stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            let deadline = Instant::now() + DEADLINE;
            let mut answer = Vec::new();
            while Instant::now() < deadline {
                let _ = stream.write_all(byte);
                match stream.read_to_end(&mut answer) {
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    _ => return Some(String::from_utf8_lossy(&answer).into_owned()),
                }
            }
            None
        })
    };
    let mut head = connect(&server);
    head.write_all(b"GET /-/healthy HTTP/1.1\r\nX: ").expect("sending");
    let second_head = {
        let mut stream = connect(&server);
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\nGET").expect("sending");
        stream
    };
    let idle = connect(&server);
    let ended = [trickle(head, b"x"), trickle(second_head, b"x"), trickle(idle, b"")];
    let body = trickle(begin(&server, 1 << 20, &[0]), &[0]);
    // Answers of 40 MB, none of which is read.
    let mut deaf = connect(&server);
    let range =
        "GET /api/v1/query_range?query=vector(1)&start=0&end=10999&step=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    deaf.write_all(range.repeat(200).as_bytes()).expect("sending");

    for (i, ended) in ended.into_iter().enumerate() {
        assert!(ended.join().expect("no panic").is_some(), "{i} was not cut off");
    }
    let body = body.join().expect("no panic").expect("the body is cut off");
    assert!(body.is_empty() || body.starts_with("HTTP/1.1 408"), "{body}");
    // The one that asks is the last.
    wait_for("the end of the deaf client", || metric(&server, "promlake_http_connections") == 1.0);
    drop(deaf);
    assert!(up(&server));
}

/// Beyond the limit connections hung in the listen queue: a probe could not tell that from a dead server.
#[test]
fn a_connection_too_many_is_told_so() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.max-connections=2"]);
    let busy = [begin(&server, 100, &[0]), begin(&server, 100, &[0])];
    wait_for("both places taken", || {
        exchange(&server, b"GET /-/healthy HTTP/1.0\r\n\r\n").is_some_and(|answer| answer.status == 503)
    });
    drop(busy);
    wait_for("a place", || exchange(&server, b"GET /-/healthy HTTP/1.0\r\n\r\n").is_some_and(|a| a.status == 200));

    // Idle ones make room.
    let idle: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
            let mut first = [0];
            stream.read_exact(&mut first).expect("an answer");
            stream
        })
        .collect();
    wait_for("an idle one's place", || {
        exchange(&server, b"GET /-/healthy HTTP/1.0\r\n\r\n").is_some_and(|answer| answer.status == 200)
    });
    assert!(metric(&server, "promlake_http_connections_refused_total") >= 1.0);
    drop(idle);
}

#[test]
fn many_connections_one_after_the_other() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    for _ in 0..20 {
        let open: Vec<TcpStream> = (0..100).map(|_| connect(&server)).collect();
        drop(open);
    }
    wait_for("the end of all connections", || metric(&server, "promlake_http_connections") == 1.0);
}

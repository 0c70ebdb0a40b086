//! `tracing:` of the real binary, with a collector that keeps what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use promlake::traces::message::{Any, KeyValue, Request, Span};
use prost::Message;

use crate::support::{Home, get_json, with_params};

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    resource: Arc<Mutex<Vec<KeyValue>>>,
}

impl Collector {
    fn start() -> (String, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let collector = Self::default();
        let kept = collector.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| kept.take(stream)));
        (address, collector)
    }

    fn take(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("a body");
        let request = Request::decode(&body[..]).expect("spans");
        for resource in request.resource_spans {
            *self.resource.lock().unwrap() = resource.resource.expect("a resource").attributes;
            self.spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    /// The first span of this name, within half a minute.
    fn span(&self, fits: impl Fn(&Span) -> bool) -> Span {
        for _ in 0..300 {
            if let Some(span) = self.spans.lock().unwrap().iter().find(|span| fits(span)) {
                return span.clone();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let names: Vec<String> = self.spans.lock().unwrap().iter().map(|span| span.name.clone()).collect();
        panic!("not among {names:?}");
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()?.value);
    match value {
        Some(Any::Text(text)) => text,
        Some(Any::Int(number)) => number.to_string(),
        other => panic!("{key}: {other:?} in {attributes:?}"),
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn spans_of_queries_and_scrapes_reach_a_collector() {
    let (address, collector) = Collector::start();
    let home = Home::on_disk();
    // Nothing that begins here is sampled; whoever asks decides for theirs.
    let tracing = |fraction: f64| {
        format!(
            "tracing: {{client_type: http, endpoint: '{address}', insecure: true, sampling_fraction: {fraction}, \
             headers: {{X-Key: hidden-word}}}}\n"
        )
    };
    let mut server = home.start(&tracing(0.0), &[]);
    let url = with_params(&server.url("/api/v1/query"), &[("query", "1 + vector(1)")]);
    assert_eq!(get_json(&url).await.0, 200);
    let asked = |flags: &str| {
        reqwest::Client::new().get(&url).header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}")).send()
    };
    assert_eq!(asked("00").await.unwrap().status(), 200);
    assert_eq!(asked("01").await.unwrap().status(), 200);

    let served = collector.span(|span| span.name == "GET /api/v1/query");
    assert_eq!((hex(&served.trace_id).as_str(), hex(&served.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!((served.kind, served.flags), (2, 0x301), "of a server, sampled, and its parent elsewhere");
    assert_eq!(text(&served.attributes, "http.response.status_code"), "200");
    assert!(served.start_time_unix_nano < served.end_time_unix_nano);
    let query = collector.span(|span| span.name == "promqlInstantQuery");
    assert_eq!((&query.trace_id, &query.parent_span_id), (&served.trace_id, &served.span_id));
    assert_eq!(text(&query.attributes, "query"), "1 + vector(1)");
    for inner in ["execQueue", "promqlPrepare", "promqlEval"] {
        let inner = collector.span(|span| span.name == inner);
        assert_eq!((&inner.trace_id, &inner.parent_span_id), (&query.trace_id, &query.span_id));
    }
    let all = collector.spans.lock().unwrap().clone();
    assert!(all.iter().all(|span| hex(&span.trace_id) == TRACE), "nothing else was sampled");
    assert_eq!(all.iter().filter(|span| span.name == "promqlInstantQuery").count(), 1);
    assert_eq!(text(&collector.resource.lock().unwrap(), "service.name"), "promlake");

    let (_, shown) = get_json(&server.url("/api/v1/status/config")).await;
    assert!(!shown.to_string().contains("hidden-word"), "{shown}");

    // A reload changes it; scrapes are sampled now, and targets are told.
    let exporter = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = exporter.local_addr().expect("an address");
    let seen: Arc<Mutex<String>> = Arc::default();
    let kept = seen.clone();
    std::thread::spawn(move || {
        for mut stream in exporter.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            *kept.lock().unwrap() = head;
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let scrapes = format!(
        "scrape_configs: [{{job_name: j, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{{targets: \
         ['{target}']}}]}}]\n"
    );
    let file = home.dir.path().join("prometheus.yml");
    std::fs::write(file, format!("{}{scrapes}", tracing(1.0))).expect("writing the configuration");
    server.signal("HUP");
    server.wait_for_line("configuration reloaded");
    let scrape = collector.span(|span| span.name == "scrape");
    assert_eq!((text(&scrape.attributes, "scrape_pool").as_str(), scrape.parent_span_id.len()), ("j", 0));
    let request = collector.span(|span| span.name == "scrapeRequest" && span.parent_span_id == scrape.span_id);
    let status = request.status.clone().expect("it failed");
    assert!(status.code == 2 && status.message.contains("500"), "{status:?}");
    assert_eq!(request.kind, 3);
    let head = seen.lock().unwrap().to_ascii_lowercase();
    assert!(head.contains("traceparent: 00-") && !head.contains("tracestate"), "{head}");
    assert!(server.stop().success());
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused() {
    let home = Home::on_disk();
    let mut server = home.launch("tracing: {endpoint: 'http://collector:4318', client_type: http}\n", &[]);
    server.wait_for_line("tracing.endpoint");
    assert!(server.logged("expected HOST:PORT without scheme and path"));
    assert!(!server.wait().success());
}

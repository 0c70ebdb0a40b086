use std::collections::VecDeque;

use flate2::read::GzDecoder;
use parking_lot::Mutex;
use std::io::Read;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::file::Config;
use crate::traces::message::PartialSuccess;

fn config(text: &str) -> TracingConfig {
    Config::parse(&format!("tracing: {{insecure: true, {text}}}")).unwrap().tracing.unwrap()
}

fn exporter(text: &str) -> Exporter {
    Exporter::new(&config(text), Arc::new(|| 0), CancellationToken::new()).unwrap()
}

#[test]
fn urls() {
    let of = |protocol: Protocol, insecure: bool, endpoint: &str| {
        let config = config(&format!("endpoint: '{endpoint}'"));
        url(&TracingConfig { protocol, insecure, ..config }).map(String::from).map_err(|e| e.message)
    };
    assert_eq!(of(Protocol::Http, true, "a:4318").unwrap(), "http://a:4318/v1/traces");
    assert_eq!(of(Protocol::Http, false, "[::1]:4318").unwrap(), "https://[::1]:4318/v1/traces");
    assert_eq!(of(Protocol::Grpc, false, "dns:///a:4317").unwrap(), format!("https://a:4317{GRPC_PATH}"));
    for wrong in ["http://a:4318", "a:4318/path", "a:b", "user@a:1", "dns:///"] {
        assert!(of(Protocol::Http, true, wrong).unwrap_err().contains("HOST:PORT"), "{wrong}");
    }
}

/// What a request was: head or headers, and the body.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Answers requests of HTTP/1.1 in turn; the last answer stays.
async fn http_collector(answers: &[&'static str]) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap().to_string(), Seen::default());
    let (mut answers, kept) = (VecDeque::from(answers.to_vec()), seen.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let end = loop {
                if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
            };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            while bytes.len() < end + length.unwrap_or(0) {
                stream.read_buf(&mut bytes).await.unwrap();
            }
            kept.lock().push((head, bytes.split_off(end)));
            let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn attempts(seen: &Seen) -> usize {
    seen.lock().len()
}

#[tokio::test]
async fn http_is_protobuf_with_headers() {
    let (address, seen) = http_collector(&[DONE]).await;
    let text = format!("client_type: http, endpoint: '{address}', compression: gzip, headers: {{X-Key: word}}");
    exporter(&text).sender.deliver(b"spans", 1).await;
    let (head, body) = seen.lock()[0].clone();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    for header in ["content-type: application/x-protobuf", "content-encoding: gzip", "x-key: word"] {
        assert!(head.contains(header), "{head}");
    }
    let mut plain = Vec::new();
    GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, b"spans");
}

/// No time is so long that it could be added to another.
#[tokio::test]
async fn a_collector_that_asks_for_ages_is_given_up_on() {
    for wait in ["18446744073709551615", "99999999999", "Wed, 21 Oct 9999 07:28:00 GMT"] {
        let busy =
            format!("HTTP/1.1 503 Busy\r\nretry-after: {wait}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let (address, seen) = http_collector(&[busy.leak()]).await;
        let exporter = exporter(&format!("client_type: http, endpoint: '{address}'"));
        tokio::time::timeout(Duration::from_secs(5), exporter.sender.deliver(b"spans", 1)).await.expect(wait);
        let mut told = false;
        exporter.sender.failed.tell(|_| told = true);
        assert!(!told && attempts(&seen) == 1, "{wait}: it was told, once");
    }
}

#[tokio::test]
async fn what_may_help_is_tried_again() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, seen) = http_collector(&[busy, DONE]).await;
    let begin = Instant::now();
    exporter(&format!("client_type: http, endpoint: '{address}'")).sender.deliver(b"spans", 1).await;
    assert_eq!(attempts(&seen), 2);
    assert!(begin.elapsed() >= Duration::from_secs(1), "it asked for a second");
    assert_eq!(seen.lock()[1].1, b"spans");

    let wrong = "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhat";
    let (address, seen) = http_collector(&[wrong]).await;
    let exporter = exporter(&format!("client_type: http, endpoint: '{address}'"));
    let failure = exporter.sender.attempt(Bytes::new()).await.unwrap_err();
    assert_eq!(failure.again, Again::Never);
    assert!(failure.why.contains("400") && failure.why.ends_with("what"), "{}", failure.why);
    exporter.sender.deliver(b"spans", 1).await;
    assert_eq!(attempts(&seen), 2, "once for each of the two");
}

/// Shutdown must not wait for pauses.
#[tokio::test]
async fn who_is_given_up_on_is_not_waited_for() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 20\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, seen) = http_collector(&[busy]).await;
    let exporter = exporter(&format!("client_type: http, endpoint: '{address}'"));
    let sender = exporter.sender.clone();
    let work = tokio::spawn(async move { sender.deliver(b"spans", 1).await });
    while attempts(&seen) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    exporter.sender.given_up.cancel();
    tokio::time::timeout(Duration::from_secs(5), work).await.expect("no pause of 20 s").unwrap();
}

/// Answers of gRPC: code, message, and the answer's bytes; the last one stays.
async fn grpc_collector(answers: &[(&'static str, &'static str, Vec<u8>)]) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap().to_string(), Seen::default());
    let (mut answers, kept) = (VecDeque::from(answers.to_vec()), seen.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let next = connection.accept().await;
            let Some(Ok((request, mut respond))) = next else { continue };
            let (code, message, bytes) =
                if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
            let kept = kept.clone();
            let answer = async move {
                let head = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
                let (mut body, mut all) = (request.into_body(), Vec::new());
                while let Some(part) = body.data().await {
                    all.extend_from_slice(&part.unwrap());
                }
                kept.lock().push((head, all));
                let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = respond.send_response(head, false).unwrap();
                if !bytes.is_empty() {
                    stream.send_data(bytes.into(), false).unwrap();
                }
                let pairs = [("grpc-status", code), ("grpc-message", message)];
                let trailers = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                stream.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
            };
            tokio::spawn(answer);
            // Until the client is gone.
            tokio::spawn(async move { while connection.accept().await.is_some() {} });
        }
    });
    (address, seen)
}

/// A message with the five bytes in front.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, message.len() as u8], message].concat()
}

#[tokio::test]
async fn grpc_is_a_framed_message_over_http_2() {
    let (address, seen) = grpc_collector(&[("0", "", framed(&[]))]).await;
    let exporter = exporter(&format!("endpoint: '{address}', headers: {{x-key: word}}"));
    exporter.sender.attempt(exporter.sender.body(b"spans")).await.unwrap();
    let (head, body) = seen.lock()[0].clone();
    assert!(head.starts_with("POST http://") && head.contains(GRPC_PATH), "{head}");
    for part in ["\"te\": \"trailers\"", "application/grpc", "\"x-key\": Sensitive"] {
        assert!(head.contains(part) || part.contains("x-key") && head.contains("x-key"), "{head}");
    }
    assert_eq!(body, framed(b"spans"));
}

#[tokio::test]
async fn codes_of_grpc_say_what_may_help() {
    let busy = ("14", "no%20room", vec![]);
    let (address, seen) = grpc_collector(&[busy, ("0", "", vec![])]).await;
    let sender = exporter(&format!("endpoint: '{address}', compression: gzip")).sender;
    let failure = sender.attempt(sender.body(b"spans")).await.unwrap_err();
    assert_eq!(failure, Failure { why: "the collector answers UNAVAILABLE: no room".into(), again: Again::Soon });
    let (head, body) = seen.lock()[0].clone();
    assert!(head.contains("\"grpc-encoding\": \"gzip\""), "{head}");
    assert_eq!(body[0], 1);
    let mut plain = Vec::new();
    GzDecoder::new(&body[5..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, b"spans");

    let (address, _) = grpc_collector(&[("16", "who are you", vec![])]).await;
    let sender = exporter(&format!("endpoint: '{address}'")).sender;
    let failure = sender.attempt(sender.body(b"spans")).await.unwrap_err();
    assert_eq!(failure.again, Again::Never);
    assert!(failure.why.contains("UNAUTHENTICATED: who are you"), "{}", failure.why);
}

#[tokio::test]
async fn a_part_may_be_refused() {
    let partial = PartialSuccess { rejected_spans: 2, error_message: "too old".into() };
    let answer = Answer { partial_success: Some(partial) }.encode_to_vec();
    let (address, _) = grpc_collector(&[("0", "", framed(&answer))]).await;
    let sender = exporter(&format!("endpoint: '{address}'")).sender;
    sender.attempt(sender.body(b"spans")).await.unwrap();
    let mut told = false;
    sender.rejected.tell(|_| told = true);
    assert!(!told, "it was told in the log just now");
}

/// A server of HTTP/1.1 that is asked for gRPC.
#[tokio::test]
async fn what_is_no_grpc_fails() {
    let (address, _) = http_collector(&[DONE]).await;
    let sender = exporter(&format!("endpoint: '{address}', timeout: 2s")).sender;
    assert_eq!(sender.attempt(sender.body(b"spans")).await.unwrap_err().again, Again::Soon);
}

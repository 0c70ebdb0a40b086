//! What other Prometheus servers ask the real binary for: `/federate` and remote read.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Home, Promlake, with_params, write};
use crate::write_request::{Series, encode, put_bytes, put_number};

const CONFIG: &str = "scrape_configs: []\nglobal: {external_labels: {zone: ie, replica: a}}\n";

/// A whole second, a little in the past.
fn base_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
    now / 1000 * 1000 - 120_000
}

async fn loaded(server: &Promlake, base: i64) {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = encode(&[
        Series {
            labels: &[("__name__", "up"), ("instance", "i"), ("job", "a")],
            samples: &[(base, 0.0), (base + 15_000, 1.0)],
        },
        Series { labels: &[("__name__", "up"), ("job", "b"), ("zone", "own")], samples: &[(base, 1.5)] },
        Series { labels: &[("__name__", "gone"), ("job", "a")], samples: &[(base, 1.0), (base + 15_000, stale)] },
        Series { labels: &[("__name__", "old"), ("job", "a")], samples: &[(base - 300_000, 1.0)] },
        Series { labels: &[("__name__", "http.size"), ("a b", "c")], samples: &[(base, 1e6)] },
    ]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
}

/// Status, content type and body.
async fn federate(server: &Promlake, accept: &str, matches: &[&str]) -> (u16, String, String) {
    let params: Vec<(&str, &str)> = matches.iter().map(|text| ("match[]", *text)).collect();
    let request =
        reqwest::Client::new().get(with_params(&server.url("/federate"), &params)).header("accept", accept);
    let response = request.send().await.expect("an answer");
    let content_type = response.headers()["content-type"].to_str().unwrap().to_string();
    (response.status().as_u16(), content_type, response.text().await.expect("a body"))
}

#[tokio::test]
async fn federation() {
    let home = Home::on_disk();
    let server = home.start(CONFIG, &[]);
    let base = base_ms();
    loaded(&server, base).await;
    let (first, second) = (base, base + 15_000);
    let page = format!(
        "# TYPE http_size untyped\n\
         http_size{{a_b=\"c\",instance=\"\",replica=\"a\",zone=\"ie\"}} 1e+06 {first}\n\
         # TYPE up untyped\n\
         up{{instance=\"i\",job=\"a\",replica=\"a\",zone=\"ie\"}} 1 {second}\n\
         up{{job=\"b\",zone=\"own\",instance=\"\",replica=\"a\"}} 1.5 {first}\n"
    );
    let text = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores".to_string();
    assert_eq!(federate(&server, "", &[r#"{__name__=~".+"}"#]).await, (200, text.clone(), page.clone()));
    assert_eq!(federate(&server, "*/*", &[r#"{none=""}"#]).await, (200, text.clone(), page));
    assert_eq!(federate(&server, "*/*", &["{}"]).await, (200, text.clone(), String::new()));
    let overlapping = federate(&server, "", &["up", r#"{job="a"}"#]).await.2;
    assert_eq!(overlapping.matches("instance=\"i\"").count(), 1, "{overlapping}");
    assert_eq!(federate(&server, "", &[]).await, (200, text.clone(), String::new()));
    assert_eq!(federate(&server, "", &["none"]).await, (200, text, String::new()));
    let (_, content_type, page) = federate(&server, "text/plain;escaping=allow-utf-8", &[r#"{"http.size"}"#]).await;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8");
    assert!(page.contains("{\"http.size\",\"a b\"=\"c\",instance=\"\""), "{page}");
    let (status, _, error) = federate(&server, "", &["up", "x["]).await;
    assert_eq!((status, error.as_str()), (400, "1:2: parse error: unexpected \"[\"\n"));
    let broken = reqwest::get(server.url("/federate?match[]=%zz")).await.unwrap();
    assert_eq!(broken.status(), 400);
    assert_eq!(broken.text().await.unwrap(), "error parsing form values: invalid URL escape \"%zz\"\n");
    let posted = reqwest::Client::new().post(server.url("/federate")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
}

/// `{name=value}` in a time range, answered in one of the kinds.
fn read_request(kinds: &[u64], matchers: &[(&str, &str)], start: i64, end: i64) -> Vec<u8> {
    let mut query = Vec::new();
    put_number(&mut query, 1, start as u64);
    put_number(&mut query, 2, end as u64);
    for (name, value) in matchers {
        let mut matcher = Vec::new();
        put_bytes(&mut matcher, 2, name.as_bytes());
        put_bytes(&mut matcher, 3, value.as_bytes());
        put_bytes(&mut query, 3, &matcher);
    }
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &query);
    kinds.iter().for_each(|kind| put_number(&mut request, 2, *kind));
    snap::raw::Encoder::new().compress_vec(&request).unwrap()
}

async fn read(server: &Promlake, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request = reqwest::Client::new().post(server.url("/api/v1/read")).body(body);
    let response = request.send().await.expect("an answer");
    let content_type = response.headers()["content-type"].to_str().unwrap().to_string();
    (response.status().as_u16(), content_type, response.bytes().await.expect("a body").to_vec())
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn remote_read() {
    let home = Home::on_disk();
    let server = home.start(CONFIG, &["--storage.remote.read-sample-limit=2"]);
    let base = base_ms();
    loaded(&server, base).await;
    let end = base + 60_000;

    let (status, content_type, body) =
        read(&server, read_request(&[], &[("__name__", "up"), ("job", "a"), ("zone", "ie")], base, end)).await;
    assert_eq!((status, content_type.as_str()), (200, "application/x-protobuf"));
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    assert!(holds(&message, b"\x0a\x07replica\x12\x01a") && holds(&message, b"\x0a\x04zone\x12\x02ie"));
    // With a time, and a value where that is not 0.
    let sample = |w: &&[u8]| matches!(w, [0x12, 16, 9, ..] | [0x12, 7, 0x10, ..]);
    assert_eq!(message.windows(9).filter(sample).count(), 2);

    let (status, content_type, body) = read(&server, read_request(&[1, 0], &[("__name__", "up")], base, end)).await;
    let streamed = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    assert_eq!((status, content_type.as_str()), (200, streamed));
    let position = |text: &[u8]| body.windows(text.len()).position(|window| window == text).expect("in the answer");
    assert!(position(b"\x12\x01i") < position(b"\x12\x03own"), "sorted by labels");

    let (status, _, text) = read(&server, read_request(&[0], &[("__name__", "up")], base, end)).await;
    assert_eq!((status, text), (400, b"exceeded sample limit (2)\n".to_vec()));
    let (status, _, text) = read(&server, b"hello".to_vec()).await;
    assert_eq!((status, text), (400, b"snappy: corrupt input\n".to_vec()));
    let (status, _, text) = read(&server, read_request(&[9], &[], base, end)).await;
    assert_eq!(status, 400);
    assert!(text.starts_with(b"server does not support any of the requested response types: [9]"));
    let (status, _, body) = read(&server, read_request(&[1], &[("__name__", "none")], base, end)).await;
    assert_eq!((status, body.len()), (200, 0));
}

//! The receiver's requirements of Remote Write 1.0 and 2.0 (2.0-rc.4, and what rc.5 adds), over HTTP, with the answers that
//! Prometheus 3.14 gives where the specification leaves them open. Numbers are those of the requirements in the
//! specification's order: what both sides MUST, what senders may expect, what receivers MUST.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::message::{Histogram, Pairs, Parts, Symbolized, V2, labelled, request, snappy};
use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params};

/// Prometheus' default, which tells of order; ours takes samples that are behind by up to an hour.
const IN_ORDER: &str = "scrape_configs: []\nstorage: {tsdb: {out_of_order_time_window: 0s}}\n";

const V1: &str = "application/x-protobuf";

/// An answer: status, text, and the three counts where it has them.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    text: String,
    written: Option<[u64; 3]>,
    retry_after: Option<String>,
}

struct Receiver {
    server: Promlake,
    client: reqwest::Client,
    _home: Home,
    now: i64,
}

impl Receiver {
    fn start(flags: &[&str]) -> Self {
        Self::with(IN_ORDER, flags)
    }

    fn with(config: &str, flags: &[&str]) -> Self {
        let home = Home::on_disk();
        let server = home.start(config, flags);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        Self { server, client: reqwest::Client::new(), _home: home, now }
    }

    async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self.client.post(self.server.url("/api/v1/write")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let count = |kind: &str| {
            let value = response.headers().get(format!("X-Prometheus-Remote-Write-{kind}-Written"))?;
            Some(value.to_str().unwrap().parse().unwrap())
        };
        let counts = [count("Samples"), count("Histograms"), count("Exemplars")];
        let written = match counts {
            [Some(samples), Some(histograms), Some(exemplars)] => Some([samples, histograms, exemplars]),
            counts => {
                assert_eq!(counts, [None; 3], "all of them or none");
                None
            }
        };
        let retry_after = response.headers().get("Retry-After").map(|value| value.to_str().unwrap().to_string());
        let status = response.status().as_u16();
        Answer { status, text: response.text().await.unwrap(), written, retry_after }
    }

    async fn v1(&self, body: Vec<u8>) -> Answer {
        let headers =
            [("Content-Type", V1), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", "0.1.0")];
        self.post(&headers, body).await
    }

    async fn v2(&self, body: Vec<u8>) -> Answer {
        let headers =
            [("Content-Type", V2), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", "2.0.0")];
        self.post(&headers, body).await
    }

    /// Asserts status, text and counts of a request of 2.0.
    #[track_caller]
    fn check(
        &self,
        request: Symbolized,
        status: u16,
        lines: &[&str],
        written: [u64; 3],
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        async move {
            let answer = self.v2(request.body()).await;
            let want = Answer { status, text, written: Some(written), retry_after: None };
            assert_eq!(answer, want, "{caller}");
        }
    }

    /// Samples of the selected series, newest last, as the API has them.
    async fn samples(&self, selector: &str) -> Vec<(String, String)> {
        let query = format!("{selector}[10y]");
        let at = format!("{}", (self.now + 600_000) as f64 / 1000.0);
        let url = with_params(&self.server.url("/api/v1/query"), &[("query", &query), ("time", &at)]);
        let (status, body) = get_json(&url).await;
        assert_eq!(status, 200, "{body}");
        let all = body["data"]["result"].as_array().unwrap().iter().flat_map(|series| {
            let points = |key: &str| series[key].as_array().cloned().unwrap_or_default();
            [points("values"), points("histograms")].concat()
        });
        let shown = |value: &Value| value.as_str().map_or_else(|| value["count"].to_string(), str::to_string);
        all.map(|point| (point[0].to_string(), shown(&point[1]))).collect()
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(self.server.url("/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn sample_of<'a>(samples: &'a [(i64, f64, i64)]) -> Parts<'a> {
    Parts { samples, ..Parts::default() }
}

const A: Pairs<'static> = &[("__name__", "a")];

/// 1: POST. 2: a snappy block, never framed. 3, 4: both messages, of any 2.x sender, with or without headers that say so.
/// 20: the schema is that of the content type; other types and encodings are 415.
#[tokio::test]
async fn negotiation() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    for method in [reqwest::Method::GET, reqwest::Method::PUT] {
        let response = receiver.client.request(method, receiver.server.url("/api/v1/write")).send().await.unwrap();
        assert_eq!(response.status(), 405);
    }
    let v1 = || request(&[(A, now, 1.0)]);
    let v2 = || Symbolized::of(&[(A, now, 1.0)]).body();
    let snappy_encoded = ("Content-Encoding", "snappy");
    for (headers, body, status, counts) in [
        (vec![("Content-Type", V1), snappy_encoded], v1(), 204, false),
        (vec![], v1(), 204, false),
        (
            vec![("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest"), snappy_encoded],
            v1(),
            204,
            false,
        ),
        (vec![("content-type", "Application/X-Protobuf"), ("content-encoding", "Snappy")], v1(), 204, false),
        (vec![("Content-Type", V2), snappy_encoded], v2(), 204, true),
        (vec![("Content-Type", V2)], v2(), 204, true),
        (
            vec![("Content-Type", V2), snappy_encoded, ("X-Prometheus-Remote-Write-Version", "2.7.0")],
            v2(),
            204,
            true,
        ),
        (
            vec![
                ("Content-Type", r#"application/x-protobuf; Proto="IO.prometheus.write.v2.Request""#),
                snappy_encoded,
            ],
            v2(),
            204,
            true,
        ),
        (vec![("Content-Type", "application/json"), snappy_encoded], v2(), 415, false),
        (vec![("Content-Type", "image/png"), snappy_encoded], b"0".to_vec(), 415, false),
        (vec![("Content-Type", "application/x-protobuf;proto=other.Request"), snappy_encoded], v2(), 415, false),
        (vec![("Content-Type", "application/x-protobuf;proto"), snappy_encoded], v2(), 415, false),
        (vec![("Content-Type", V2), ("Content-Encoding", "gzip")], v2(), 415, false),
        (vec![("Content-Type", V2), ("Content-Encoding", "deflate")], b"0".to_vec(), 415, false),
        // The one message read as the other.
        (vec![("Content-Type", V2), snappy_encoded], vec![0xff; 3], 400, true),
        (vec![("Content-Type", V1), snappy_encoded], vec![0xff; 3], 400, false),
        (vec![("Content-Type", V2), snappy_encoded], snappy(b"\x2a\x05x"), 400, true),
        (vec![("Content-Type", V1), snappy_encoded], snappy(b"\x0a\x05x"), 400, false),
        (vec![("Content-Type", V2), snappy_encoded], Vec::new(), 400, true),
        (
            vec![("Content-Type", V2), snappy_encoded],
            b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00\0\0\0\0a".to_vec(),
            400,
            true,
        ),
    ] {
        let answer = receiver.post(&headers, body).await;
        assert_eq!((answer.status, answer.written.is_some()), (status, counts), "{headers:?}: {answer:?}");
        assert_eq!(answer.text.is_empty(), status == 204, "{headers:?}: {answer:?}");
    }
    let answer = receiver.post(&[("Content-Type", V2), ("Content-Encoding", "gzip")], v2()).await;
    assert_eq!(
        answer.text,
        "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n"
    );
    assert_eq!(receiver.samples("a").await.len(), 1, "all of them were the same sample");
}

/// What an operator switches off is 415, so that senders may come with the other version.
#[tokio::test]
async fn accepted_messages() {
    let only_v1 =
        Receiver::start(&["--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest"]);
    let answer = only_v1.v2(Symbolized::of(&[(A, only_v1.now, 1.0)]).body()).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (
            415,
            "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts prometheus.WriteRequest\n"
        )
    );
    assert_eq!(only_v1.v1(request(&[(A, only_v1.now, 1.0)])).await.status, 204);
    let off = Receiver::start(&["--no-web.enable-remote-write-receiver"]);
    let answer = off.v2(Symbolized::of(&[(A, off.now, 1.0)]).body()).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (404, "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n")
    );
}

/// 5 to 12 are the sender's; what they rely on here: 204 without a body, the counts (10, 22), and for 1.0 none.
/// 21: 2xx only where all is written. 17: stale markers, and every other value.
#[tokio::test]
async fn values_and_labels() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let labels: [Pairs<'_>; 5] = [
        &[("__name__", "up")],
        &[("__name__", "up"), ("instance", "localhost:9090"), ("job", "test")],
        &[("__name__", "up"), ("job", "test\njob\n")],
        &[("__name__", "resource.cpu.usage"), ("job.name", "x")],
        &[("__name__", "resource cpu usage"), ("instance name", "🌍")],
    ];
    for (i, value) in [1.0, 0.0, stale, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().enumerate() {
        let series: Vec<_> = labels.iter().map(|labels| (*labels, now + i as i64, value)).collect();
        receiver.check(Symbolized::of(&series), 204, &[], [5, 0, 0]).await;
        let answer = receiver.v1(request(&series)).await;
        assert_eq!(answer, Answer { status: 204, text: String::new(), written: None, retry_after: None });
    }
    // The stale marker is no sample of a range.
    let want: Vec<_> = ["1", "0", "NaN", "+Inf", "-Inf"].map(str::to_string).to_vec();
    let found: Vec<_> = receiver.samples(r#"{"resource cpu usage"}"#).await.into_iter().map(|(_, v)| v).collect();
    assert_eq!(found, want);
    // A request without anything is nothing wrong.
    receiver.check(Symbolized::new(), 204, &[], [0, 0, 0]).await;
    assert_eq!(receiver.v1(snappy(b"")).await.status, 204);
    // Labels come in any order here, and an empty one is none.
    let odd: Pairs<'_> = &[("z", "1"), ("__name__", "odd"), ("empty", "")];
    receiver.check(Symbolized::of(&[(odd, now, 1.0)]), 204, &[], [1, 0, 0]).await;
    receiver.check(Symbolized::of(&[(&[("__name__", "odd"), ("z", "1")], now, 1.0)]), 204, &[], [1, 0, 0]).await;
    assert_eq!(receiver.samples("odd").await.len(), 1);
}

/// 13: references in range, symbols. 14: labels. 15: a series has something. 23: what is invalid is 400 with a text for
/// each, and the rest is written; 22: the counts are exact then, too.
#[tokio::test]
async fn invalid_series() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    let good = Symbolized::of(&[(A, now, 1.0)]);
    let with = |labels: Pairs<'_>| good.clone().series(labels, sample_of(&[(now, 2.0, 0), (now + 1, 2.0, 0)]));
    let bad = |line: &'static str| [line];
    receiver
        .check(with(&[("job", "x")]), 400, &bad(r#"invalid metric name or labels, got {job="x"}"#), [1, 0, 0])
        .await;
    receiver.check(with(&[]), 400, &bad("invalid metric name or labels, got {}"), [1, 0, 0]).await;
    receiver
        .check(
            with(&[("__name__", "")]),
            400,
            &bad(r#"invalid metric name or labels, got {__name__=""}"#),
            [1, 0, 0],
        )
        .await;
    receiver
        .check(
            with(&[("__name__", "x"), ("", "b")]),
            400,
            &bad(r#"invalid metric name or labels, got {""="b", __name__="x"}"#),
            [1, 0, 0],
        )
        .await;
    receiver
        .check(
            with(&[("__name__", "x"), ("a", "b"), ("a", "c")]),
            400,
            &bad(r#"invalid labels for series, labels {__name__="x", a="b", a="c"}, duplicated label a"#),
            [1, 0, 0],
        )
        .await;
    let refs = |refs: &[u64]| good.clone().series_with_refs(refs, sample_of(&[(now, 2.0, 0)]));
    receiver
        .check(
            refs(&[1, 2, 1]),
            400,
            &bad("parsing labels for series [1 2 1]: invalid labelRefs length 3"),
            [1, 0, 0],
        )
        .await;
    receiver
        .check(
            refs(&[1, 200]),
            400,
            &bad("parsing labels for series [1 200]: labelRefs 1 (name) = 200 (value) outside of symbols table (size 3)"),
            [1, 0, 0],
        )
        .await;
    assert_eq!(receiver.metric("prometheus_api_remote_write_invalid_labels_samples_total").await, 12.0);
    // Neither samples nor histograms nor exemplars.
    let empty = |metadata| good.clone().series(&[("__name__", "x")], Parts { metadata, ..Parts::default() });
    let line = r#"TimeSeries must contain at least one sample or histogram for series {__name__="x"}"#;
    receiver.check(empty(None), 400, &[line], [1, 0, 0]).await;
    receiver.check(empty(Some((1, "help", "unit"))), 400, &[line], [1, 0, 0]).await;
    // All of them at once, in their order.
    let two = with(&[("job", "x")]).series(&[("__name__", "x")], Parts::default());
    let lines = [r#"invalid metric name or labels, got {job="x"}"#, line];
    receiver.check(two, 400, &lines, [1, 0, 0]).await;
    // Symbols that are no text.
    let mut message = Vec::new();
    for symbol in [&b""[..], b"__name__", b"\xff\xfe"] {
        crate::write_request::put_bytes(&mut message, 4, symbol);
    }
    let mut series = Vec::new();
    crate::write_request::put_bytes(&mut series, 1, &[1, 2]);
    crate::write_request::put_bytes(&mut series, 2, &super::message::sample(now, 1.0, 0));
    crate::write_request::put_bytes(&mut message, 5, &series);
    let answer = receiver.v2(snappy(&message)).await;
    assert_eq!((answer.status, answer.written), (400, Some([0, 0, 0])));
    assert_eq!(answer.text, "invalid metric name or labels, got {__name__=\"\\xff\\xfe\"}\n");
    // With 1.0 such series are left out without a word, and the rest is written.
    let body = [labelled(&[("job", "x")], &[(now, 1.0)]), labelled(&[("__name__", "b")], &[(now, 1.0)])].concat();
    assert_eq!(receiver.v1(snappy(&body)).await.status, 204);
    assert_eq!((receiver.samples("a").await.len(), receiver.samples("b").await.len()), (1, 1));
    assert!(receiver.samples("x").await.is_empty());
}

/// 12, 23: order, duplicates and bounds, against what is there and within the request.
#[tokio::test]
async fn invalid_samples() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now / 1000 * 1000;
    receiver.check(Symbolized::of(&[(A, now, 1.0)]), 204, &[], [1, 0, 0]).await;
    let parts = [
        (now - 3, 2.0, 0),
        (now + 3_600_000, 2.0, 0),
        (now, 5.0, 0),
        (now, 1.0, 0),
        (0, 1.0, 0),
        (now + 1, 3.0, 0),
    ];
    let body =
        Symbolized::new().series(A, sample_of(&parts)).series(&[("__name__", "b")], sample_of(&[(now, 7.0, 0)]));
    let duplicate = format!(
        r#"duplicate sample for timestamp {now}; overrides not allowed: existing 1, new value 5 for series {{__name__="a"}}"#
    );
    let lines = [
        r#"out of order sample for series {__name__="a"}"#,
        r#"out of bounds: timestamp is too far in the future for series {__name__="a"}"#,
        &duplicate,
        r#"out of bounds for series {__name__="a"}"#,
    ];
    receiver.check(body, 400, &lines, [3, 0, 0]).await;
    assert_eq!(receiver.samples("a").await.len(), 2);
    assert_eq!(receiver.samples("b").await.len(), 1);
    // Two values at one time in one request: the first is kept. Prometheus tells nobody of it.
    let twice = Symbolized::new()
        .series(&[("__name__", "c")], sample_of(&[(now, 1.0, 0), (now, 2.0, 0), (now - 1, 0.0, 0)]));
    receiver.check(twice, 204, &[], [3, 0, 0]).await;
    assert_eq!(receiver.samples("c").await, [(format!("{}", now / 1000), "1".to_string())]);
    // 1.0 has the first error alone; the rest is written all the same.
    let body = [
        labelled(&[("__name__", "d")], &[(now, 1.0)]),
        labelled(A, &[(now + 1, 9.0), (now + 2, 4.0)]),
        labelled(&[("__name__", "e")], &[(0, 1.0), (now, 1.0)]),
    ];
    let answer = receiver.v1(snappy(&body.concat())).await;
    let text =
        format!("duplicate sample for timestamp {}; overrides not allowed: existing 3, new value 9\n", now + 1);
    assert_eq!(answer, Answer { status: 400, text, written: None, retry_after: None });
    for (selector, count) in [("a", 3), ("d", 1), ("e", 1)] {
        assert_eq!(receiver.samples(selector).await.len(), count, "{selector}");
    }
}

/// With an out-of-order window, which is an hour here by default: what is behind is stored, also within a request, and the
/// first of two values is kept all the same.
#[tokio::test]
async fn samples_behind() {
    let receiver = Receiver::with(NO_TARGETS, &[]);
    let now = receiver.now / 1000 * 1000;
    let parts = [(now, 1.0, 0), (now - 1000, 2.0, 0), (now - 1000, 3.0, 0), (now, 4.0, 0)];
    receiver.check(Symbolized::new().series(A, sample_of(&parts)), 204, &[], [4, 0, 0]).await;
    let late = Symbolized::of(&[(A, now - 2000, 5.0), (A, now - 3_700_000, 6.0)]);
    receiver.check(late, 400, &[r#"too old sample for series {__name__="a"}"#], [1, 0, 0]).await;
    let found: Vec<_> = receiver.samples("a").await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(found, ["5", "2", "1"]);
}

/// 16, 25: start timestamps, of samples that are older or younger than them, and 0 for none. 24: nothing of that is
/// required. Metadata of series.
#[tokio::test]
async fn start_timestamps_and_metadata() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    let samples = [(now, 1.0, now - 5), (now + 1, 2.0, 0), (now + 2, 3.0, now + 9), (now + 3, 4.0, -1)];
    let parts = Parts { samples: &samples, metadata: Some((1, "Requests", "requests")), ..Parts::default() };
    let body = Symbolized::new().series(&[("__name__", "http_requests_total"), ("job", "api")], parts).series(
        &[("__name__", "t_bucket"), ("le", "1")],
        Parts { samples: &[(now, 1.0, 0)], metadata: Some((3, "Seconds", "")), ..Parts::default() },
    );
    receiver.check(body, 204, &[], [5, 0, 0]).await;
    assert_eq!(receiver.samples("http_requests_total").await.len(), 4);
    let (_, metadata) = get_json(&receiver.server.url("/api/v1/metadata")).await;
    let entry = |family: &str| metadata["data"][family][0].clone();
    assert_eq!(entry("http_requests_total")["type"], "counter");
    assert_eq!(entry("http_requests_total")["help"], "Requests");
    assert_eq!(entry("http_requests_total")["unit"], "requests");
    assert_eq!(entry("t")["type"], "histogram");
    assert_eq!(receiver.metric("prometheus_api_remote_write_without_metadata_appended_samples_total").await, 0.0);
    receiver.check(Symbolized::of(&[(A, now, 1.0)]), 204, &[], [1, 0, 0]).await;
    assert_eq!(receiver.metric("prometheus_api_remote_write_without_metadata_appended_samples_total").await, 1.0);
    let mut wrong = Symbolized::of(&[(A, now + 1, 1.0)]);
    let name = [wrong.symbol("__name__"), wrong.symbol("a")];
    // References of metadata that lead nowhere cost the series.
    let symbols = wrong.symbols.clone();
    let mut broken = wrong.series_with_refs(
        &name,
        Parts { samples: &[(now + 2, 1.0, 0)], metadata: Some((1, "far away", "")), ..Parts::default() },
    );
    broken.symbols = symbols;
    let line = "parsing metadata for series [1 2]: metadata help_ref 3 outside of symbols table (size 3)";
    receiver.check(broken, 400, &[line], [1, 0, 0]).await;
}

/// Native histograms of all kinds, and what is wrong with them.
#[tokio::test]
async fn histograms() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    let h: Pairs<'_> = &[("__name__", "h")];
    let of = |histograms: Vec<Histogram>| Symbolized::new().series(h, Parts { histograms, ..Parts::default() });
    let integer = |at: i64| Histogram::of(now + at, &[1, 3, 4]);
    receiver.check(of(vec![integer(0)]), 204, &[], [0, 1, 0]).await;
    receiver
        .check(of(vec![Histogram { negative: vec![1, 2], count: 12, zero: 1, ..integer(1) }]), 204, &[], [0, 1, 0])
        .await;
    receiver
        .check(of(vec![Histogram { positive: vec![], count: 1, zero: 1, ..integer(2) }]), 204, &[], [0, 1, 0])
        .await;
    receiver.check(of(vec![Histogram { float: true, ..integer(3) }]), 204, &[], [0, 1, 0]).await;
    let custom = |at: i64| Histogram { schema: -53, custom: vec![0.1, 0.5], ..integer(at) };
    receiver.check(of(vec![custom(4)]), 204, &[], [0, 1, 0]).await;
    for (i, hint) in [0, 1, 2, 3, 9].into_iter().enumerate() {
        receiver.check(of(vec![Histogram { hint, ..integer(5 + i as i64) }]), 204, &[], [0, 1, 0]).await;
    }
    receiver.check(of(vec![Histogram { schema: 12, ..integer(10) }]), 204, &[], [0, 1, 0]).await;
    let stale = Histogram { positive: vec![], count: 0, sum: f64::from_bits(0x7ff0_0000_0000_0002), ..integer(11) };
    receiver.check(of(vec![stale]), 204, &[], [0, 1, 0]).await;
    let lines = [
        "8 observations found in buckets, but the Count field is 99: histogram's observation count should equal the number \
         of observations found in the buckets (in absence of NaN) for series {__name__=\"h\"}",
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
         buckets, got schema 99 for series {__name__=\"h\"}",
        "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: histogram \
         custom bounds are too few for series {__name__=\"h\"}",
    ];
    let bad = vec![
        Histogram { count: 99, ..integer(20) },
        Histogram { schema: 99, ..integer(21) },
        integer(22),
        Histogram { custom: vec![0.1], ..custom(23) },
    ];
    receiver.check(of(bad), 400, &lines, [0, 1, 0]).await;
    // Order and duplicates, as for samples.
    let lines = [
        r#"out of order sample for series {__name__="h"}"#,
        r#"duplicate sample for timestamp for series {__name__="h"}"#,
    ];
    receiver.check(of(vec![integer(21), Histogram::of(now + 22, &[1]), integer(24)]), 400, &lines, [0, 1, 0]).await;
    assert_eq!(receiver.samples("h").await.len(), 13, "all but the stale marker");
    // One series with both: Prometheus takes them as they come.
    let both = Parts { samples: &[(now, 1.0, 0)], histograms: vec![integer(1)], ..Parts::default() };
    receiver.check(Symbolized::new().series(&[("__name__", "both")], both), 204, &[], [1, 1, 0]).await;
    // With 1.0 the first error is told; a histogram that is wrong is the sender's fault.
    let series = crate::write_request::timeseries(
        &[("__name__", "v1")],
        4,
        vec![Histogram { count: 99, ..integer(0) }.encode(), integer(1).encode()],
    );
    let answer = receiver.v1(crate::write_request::compress([series].into_iter())).await;
    assert_eq!((answer.status, answer.written), (400, None));
    assert!(answer.text.starts_with("8 observations found in buckets, but the Count field is 99: "), "{answer:?}");
    assert_eq!(receiver.samples("v1").await.len(), 1);
}

/// 18: exemplars have a value and a time; rc.5: a series may have nothing else.
#[tokio::test]
async fn exemplars() {
    let receiver = Receiver::start(&[]);
    let now = receiver.now;
    let at = std::cell::Cell::new(0);
    let of = |exemplars: &[(Pairs<'_>, f64, i64)]| {
        at.set(at.get() + 1);
        Symbolized::new().series(A, Parts { samples: &[(now + at.get(), 1.0, 0)], exemplars, ..Parts::default() })
    };
    let trace: Pairs<'_> = &[("trace_id", "abc")];
    let long = "x".repeat(121);
    let long: Pairs<'_> = &[("trace_id", &long)];
    for (i, labels) in [trace, &[], &[("span_id", "1"), ("trace_id", "🌍")], &[("a b", "")]].into_iter().enumerate()
    {
        receiver.check(of(&[(labels, 1.0, now + 10 * i as i64)]), 204, &[], [1, 0, 1]).await;
    }
    for value in [0.0, -123.456, 1e10, f64::NAN, f64::INFINITY] {
        receiver.check(of(&[(trace, value, now + 100 + at.get())]), 204, &[], [1, 0, 1]).await;
    }
    // Again, older, too long, too late.
    receiver.check(of(&[(trace, 1.0, now + 200)]), 204, &[], [1, 0, 1]).await;
    receiver.check(of(&[(trace, 1.0, now + 200)]), 204, &[], [1, 0, 1]).await;
    let order = r#"out of order exemplar for series {__name__="a"}"#;
    receiver.check(of(&[(trace, 1.0, now), (trace, 1.0, now + 201)]), 400, &[order], [1, 0, 1]).await;
    receiver.check(of(&[(long, 1.0, now + 300), (trace, 1.0, now + 301)]), 204, &[], [1, 0, 1]).await;
    receiver.check(of(&[(trace, 1.0, now + 3_600_000)]), 204, &[], [1, 0, 0]).await;
    let twice = r#"parsing exemplar for series {__name__="a"}: labels {a="1", a="2"}, duplicated label a"#;
    receiver.check(of(&[(&[("a", "1"), ("a", "2")], 1.0, now + 400)]), 400, &[twice], [1, 0, 0]).await;
    let lone = |name| {
        Symbolized::new()
            .series(&[("__name__", name)], Parts { exemplars: &[(trace, 1.0, now)], ..Parts::default() })
    };
    receiver.check(lone("lone"), 204, &[], [0, 0, 1]).await;
    receiver.check(lone(""), 400, &[r#"invalid metric name or labels, got {__name__=""}"#], [0, 0, 0]).await;
    let with_histogram =
        Parts { histograms: vec![Histogram::of(now, &[1])], exemplars: &[(trace, 1.0, now)], ..Parts::default() };
    receiver.check(Symbolized::new().series(&[("__name__", "h")], with_histogram), 204, &[], [0, 1, 1]).await;
}

/// Bodies that are too large, or would become so: 413 for what is sent, 400 for what it says to become.
#[tokio::test]
async fn limits() {
    let receiver = Receiver::start(&["--web.body-bytes=64MB"]);
    let answer = receiver.v2(vec![0; (32 << 20) + 1]).await;
    assert_eq!((answer.status, answer.written), (413, Some([0, 0, 0])));
    let declares = |bytes: u32| {
        let mut body = Vec::new();
        let mut rest = bytes;
        while rest >= 0x80 {
            body.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        body.push(rest as u8);
        body
    };
    let answer = receiver.v2(declares(64 << 20)).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (400, "snappy: decoded length 67108864 exceeds limit 33554432\n")
    );
    assert_eq!(receiver.v2(declares(30 << 20)).await.text, "snappy: corrupt input\n");
    // A hundred kilobytes that would be a gigabyte of labels.
    let mut huge = Symbolized::new();
    let text = huge.symbol(&"x".repeat(60_000));
    let refs: Vec<u64> = (0..400).map(|_| text).collect();
    let huge =
        (0..50).fold(huge, |request, _| request.series_with_refs(&refs, sample_of(&[(receiver.now, 1.0, 0)])));
    let answer = receiver.v2(huge.body()).await;
    assert_eq!((answer.status, answer.written), (413, Some([0, 0, 0])), "{}", answer.text);
    // Two million rows in a few bytes.
    let answer = receiver.v2(snappy(&b"\x2a\x00".repeat(2 << 20))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("too many series and samples"), "{}", answer.text);
    assert_eq!(receiver.metric("promlake_http_body_bytes").await, 0.0, "all is given back");
}

/// `--storage.max-age`, and times that are none.
#[tokio::test]
async fn ages() {
    let receiver = Receiver::start(&["--storage.max-age=1h"]);
    let now = receiver.now;
    let old = Symbolized::of(&[(A, now - 3_700_000, 1.0), (&[("__name__", "b")], now - 3_500_000, 1.0)]);
    receiver.check(old, 400, &[r#"out of bounds for series {__name__="a"}"#], [1, 0, 0]).await;
    drop(receiver);
    let receiver = Receiver::start(&[]);
    receiver.check(Symbolized::of(&[(A, 1, 1.0)]), 204, &[], [1, 0, 0]).await;
    receiver
        .check(
            Symbolized::of(&[(&[("__name__", "b")], 0, 1.0)]),
            400,
            &[r#"out of bounds for series {__name__="b"}"#],
            [0, 0, 0],
        )
        .await;
    receiver
        .check(
            Symbolized::of(&[(&[("__name__", "b")], -5, 1.0)]),
            400,
            &[r#"out of bounds for series {__name__="b"}"#],
            [0, 0, 0],
        )
        .await;
    assert_eq!(receiver.samples("a").await.len(), 0, "ten years are not enough");
}

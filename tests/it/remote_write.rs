//! Remote Write 1.0 into the real store: what is acknowledged is there, what is refused is not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use promlake::ingest::appender::Appender;
use promlake::ingest::remote_write::receiver::{MAX_BODY_BYTES, RemoteWrite, WriteHeaders, WriteOutcome};
use promlake::ingest::stats::IngestStats;
use promlake::model::sample::TimeRange;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::Run;

const NOW_MS: i64 = 1_700_000_000_000;

/// Names and values of labels.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = payload.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(payload);
    out
}

/// A request with one sample for each series.
fn request(series: &[(Pairs<'_>, i64, f64)]) -> Bytes {
    let mut message = Vec::new();
    for (labels, timestamp, value) in series {
        let mut body = Vec::new();
        for (name, value) in *labels {
            body.extend(field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
        }
        let mut sample = vec![0x09];
        sample.extend(value.to_le_bytes());
        sample.push(0x10);
        let mut rest = *timestamp as u64;
        while rest >= 0x80 {
            sample.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        sample.push(rest as u8);
        body.extend(field(2, &sample));
        message.extend(field(1, &body));
    }
    snap::raw::Encoder::new().compress_vec(&message).unwrap().into()
}

struct World {
    store: Arc<Store>,
    remote_write: RemoteWrite,
    stats: Arc<IngestStats>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            url: folder.path().display().to_string(),
            node: "test".to_string(),
            wal_flush_interval: None,
            flush_interval: Duration::from_secs(3600),
            flush_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            out_of_order_window_ms: 0,
            ..Options::default()
        };
        let store = Store::open(options, Arc::new(|| NOW_MS)).await.unwrap();
        let stats = Arc::new(IngestStats::default());
        let remote_write = RemoteWrite::new(Arc::new(Appender::new(store.clone(), stats.clone())));
        Self { store, remote_write, stats, _folder: folder }
    }

    async fn write(&self, body: Bytes) -> Result<WriteOutcome, (u16, String)> {
        let headers =
            WriteHeaders { content_type: Some("application/x-protobuf"), content_encoding: Some("snappy") };
        self.remote_write.write_v1(headers, body).await.map_err(|e| (e.status, e.message))
    }

    async fn read(&self) -> Vec<String> {
        let snapshot = self.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        let mut out = Vec::new();
        for series in snapshot.series.iter() {
            for source in &snapshot.memory {
                let mut run = Run::default();
                source.read(series.id, TimeRange::ALL, &mut run);
                let samples = run.timestamps.iter().zip(&run.values);
                out.extend(samples.map(|(t, v)| format!("{} {v} @{}", series.labels, t - NOW_MS)));
            }
        }
        out.sort();
        out
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_samples_are_stored() {
    let world = World::new().await;
    let a: Pairs<'_> = &[("__name__", "a"), ("x", "1")];
    let nameless: Pairs<'_> = &[("x", "1")];
    let outcome = world.write(request(&[(a, NOW_MS, 1.0), (nameless, NOW_MS, 2.0)])).await.unwrap();
    assert_eq!((outcome.samples, outcome.series_with_invalid_labels), (1, 1));
    world.write(request(&[(a, NOW_MS + 1, 2.0)])).await.unwrap();
    world.write(request(&[(a, NOW_MS + 1, 2.0)])).await.unwrap();
    assert_eq!(world.read().await, [r#"a{x="1"} 1 @0"#, r#"a{x="1"} 2 @1"#]);
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        (load(&world.stats.remote_write_series_known), load(&world.stats.remote_write_series_decoded)),
        (2, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_sample_refuses_the_request() {
    let world = World::new().await;
    let a: Pairs<'_> = &[("__name__", "a")];
    let b: Pairs<'_> = &[("__name__", "b")];
    world.write(request(&[(a, NOW_MS, 1.0)])).await.unwrap();
    let check = |timestamp: i64, value: f64, reason: &str| {
        let body = request(&[(b, NOW_MS, 1.0), (a, timestamp, value)]);
        let want = (400, format!("{reason} (series a, timestamp {timestamp})"));
        let world = &world;
        async move { assert_eq!(world.write(body).await.unwrap_err(), want) }
    };
    check(NOW_MS, 2.0, "duplicate sample for timestamp").await;
    check(NOW_MS - 1, 2.0, "out of order sample").await;
    check(NOW_MS + 3_600_000, 2.0, "out of bounds").await;
    check(i64::MIN, 2.0, "out of bounds").await;
    assert_eq!(world.read().await, ["a 1 @0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_none() {
    let world = World::new().await;
    let check = async |content_type: &str, encoding: &str, body: Vec<u8>, status: u16, message: &str| {
        let headers = WriteHeaders { content_type: Some(content_type), content_encoding: Some(encoding) };
        let error = world.remote_write.write_v1(headers, body.into()).await.unwrap_err();
        assert!(error.status == status && error.message.contains(message), "{error:?}");
    };
    let protobuf = "application/x-protobuf";
    check("text/plain", "snappy", vec![], 415, "expected application/x-protobuf").await;
    check(protobuf, "gzip", vec![], 415, "gzip encoding").await;
    let version_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    check(version_2, "snappy", vec![], 415, "io.prometheus.write.v2.Request is not supported yet").await;
    check("application/x-protobuf; proto=other", "snappy", vec![], 415, "unknown remote write message").await;
    check(protobuf, "snappy", vec![0xff; 3], 400, "snappy").await;
    check(protobuf, "", snap::raw::Encoder::new().compress_vec(b"\x0a\x05x").unwrap(), 400, "WriteRequest").await;
    check(protobuf, "snappy", vec![0; MAX_BODY_BYTES + 1], 413, "larger than").await;
    // Declares 64 MiB in its first bytes.
    check(protobuf, "snappy", vec![0x80, 0x80, 0x80, 0x20, 0], 400, "larger than").await;
    assert!(world.read().await.is_empty());
}

//! The remote write receiver over the real store: what is acknowledged is there, what is refused is not, and one does not
//! cost the other. [`checklist`] asks the real binary, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promlake::ingest::appender::Appender;
use promlake::ingest::remote_write::negotiate::Message;
use promlake::ingest::remote_write::outcome::{WriteError, Written};
use promlake::ingest::remote_write::receiver::RemoteWrite;
use promlake::ingest::stats::IngestStats;
use promlake::model::sample::TimeRange;
use promlake::storage::store::{Clock, Options, Store};
use promlake::storage::types::Run;

use message::{Histogram, Pairs, Parts, Symbolized, labelled, request, snappy};

/// The requirements of the two versions, one by one.
mod checklist;
/// Messages of both versions.
mod message;
/// Requests made by rule, beside a model.
mod random;

const NOW_MS: i64 = 1_700_000_000_000;

struct World {
    store: Arc<Store>,
    remote_write: RemoteWrite,
    stats: Arc<IngestStats>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(Options::default(), None).await
    }

    async fn with(options: Options, max_age: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            url: folder.path().display().to_string(),
            node: "test".to_string(),
            flush_interval: Duration::from_secs(3600),
            flush_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            ..options
        };
        let clock: Clock = Arc::new(|| NOW_MS);
        let store = Store::open(options, clock.clone()).await.unwrap();
        let stats = Arc::new(IngestStats::default());
        let mut appender = Appender::new(store.clone(), stats.clone());
        if let Some(max_age) = max_age {
            appender = appender.with_max_age(max_age, clock);
        }
        Self { store, remote_write: RemoteWrite::new(Arc::new(appender)), stats, _folder: folder }
    }

    async fn write(&self, body: Vec<u8>) -> Result<Written, WriteError> {
        self.remote_write.write(Message::WriteRequest, body.into(), &mut |_| Ok(())).await
    }

    async fn write_symbolized(&self, request: &Symbolized) -> Result<Written, WriteError> {
        self.remote_write.write(Message::Request, request.body().into(), &mut |_| Ok(())).await
    }

    async fn runs(&self) -> Vec<(String, Run)> {
        let snapshot = self.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        let mut out = Vec::new();
        for series in snapshot.series.iter() {
            for source in &snapshot.memory {
                let mut run = Run::default();
                source.read(series.id, TimeRange::ALL, &mut run);
                out.push((series.labels.to_string(), run));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    async fn read(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (labels, run) in self.runs().await {
            let samples = run.timestamps.iter().zip(&run.values);
            out.extend(samples.map(|(t, v)| format!("{labels} {v} @{}", t - NOW_MS)));
        }
        out
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

const A: Pairs<'static> = &[("__name__", "a")];
const B: Pairs<'static> = &[("__name__", "b")];

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_samples_are_stored() {
    let world = World::new().await;
    let a: Pairs<'_> = &[("__name__", "a"), ("x", "1")];
    let nameless: Pairs<'_> = &[("x", "1")];
    let outcome = world.write(request(&[(a, NOW_MS, 1.0), (nameless, NOW_MS, 2.0)])).await.unwrap();
    assert_eq!(outcome.samples, 1);
    assert_eq!(load(&world.stats.remote_write_invalid_labels_samples), 1);
    world.write(request(&[(a, NOW_MS + 1, 2.0)])).await.unwrap();
    world.write(request(&[(a, NOW_MS + 1, 2.0)])).await.unwrap();
    assert_eq!(world.read().await, [r#"a{x="1"} 1 @0"#, r#"a{x="1"} 2 @1"#]);
    assert_eq!(
        (load(&world.stats.remote_write_series_known), load(&world.stats.remote_write_series_decoded)),
        (2, 2)
    );
}

/// Labels of a known series are not decoded, however a request numbers its symbols and in what order it has them.
#[tokio::test(flavor = "multi_thread")]
async fn known_series_of_2_0() {
    let world = World::new().await;
    let labels: Vec<[(&str, String); 2]> =
        (0..100).map(|i| [("__name__", "m".into()), ("i", i.to_string())]).collect();
    for round in 0..6i64 {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut body = Symbolized::new();
        for i in 0..round * 7 {
            body.symbol(&format!("padding {i}"));
        }
        for at in order {
            let pairs: Vec<(&str, &str)> = labels[at].iter().map(|(name, value)| (*name, value.as_str())).collect();
            body = body.series(&pairs, Parts { samples: &[(NOW_MS + round, at as f64, 0)], ..Parts::default() });
        }
        assert_eq!(world.write_symbolized(&body).await.map(|written| written.samples), Ok(100));
    }
    assert_eq!(load(&world.stats.remote_write_series_decoded), 100);
    assert_eq!(world.read().await.len(), 600);
}

/// What Prometheus answers, and more than it keeps: its receiver of 1.0 would take back the whole request.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_sample_costs_no_other() {
    let world = World::new().await;
    world.write(request(&[(A, NOW_MS, 1.0)])).await.unwrap();
    let mut round = 0;
    let mut check = async |timestamp: i64, value: f64, want: &str| {
        round += 1;
        let all =
            [(B, NOW_MS + round, 1.0), (A, timestamp, value), (A, NOW_MS - 2, 1.0), (B, NOW_MS + 60 + round, 1.0)];
        let error = world.write(request(&all)).await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (400, want));
        assert_eq!(error.written.samples, 2);
        round += 60;
    };
    check(
        NOW_MS,
        2.0,
        "duplicate sample for timestamp 1700000000000; overrides not allowed: existing 1, new value 2",
    )
    .await;
    check(NOW_MS - 1, 2.0, "out of order sample").await;
    check(NOW_MS + 3_600_000, 2.0, "out of bounds: timestamp is too far in the future").await;
    check(0, 2.0, "out of bounds").await;
    check(i64::MIN, 2.0, "out of bounds").await;
    assert_eq!(world.read().await.len(), 11, "the sample of a, and two of b each time");
}

/// The first value is kept and the rest is stored; nobody is told, as Prometheus sees it when it commits.
#[tokio::test(flavor = "multi_thread")]
async fn two_values_at_one_time() {
    let world = World::new().await;
    let body =
        [labelled(A, &[(NOW_MS, 1.0), (NOW_MS, 2.0), (NOW_MS - 1, 3.0)]), labelled(B, &[(NOW_MS, 5.0)])].concat();
    world.write(snappy(&body)).await.unwrap();
    let c: Pairs<'_> = &[("__name__", "c")];
    let body = Symbolized::of(&[(c, NOW_MS, 1.0), (A, NOW_MS + 1, 1.0), (c, NOW_MS, 2.0)]);
    assert_eq!(world.write_symbolized(&body).await.map(|written| written.samples), Ok(3));
    assert_eq!(world.read().await, ["a 1 @0", "a 1 @1", "b 5 @0", "c 1 @0"]);
    assert_eq!(load(&world.stats.ingest_dropped), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_beside_samples() {
    let world = World::new().await;
    let h: Pairs<'_> = &[("__name__", "h")];
    let histogram = Histogram { start_timestamp: NOW_MS - 9, hint: 3, ..Histogram::of(NOW_MS, &[1, 2]) };
    let custom = Histogram { schema: -53, custom: vec![1.0, 2.0], ..Histogram::of(NOW_MS + 1, &[1, 1]) };
    let float = Histogram { float: true, ..Histogram::of(NOW_MS + 2, &[4]) };
    let body = Symbolized::new()
        .series(
            A,
            Parts {
                samples: &[(NOW_MS, 1.0, NOW_MS - 5), (NOW_MS + 1, 2.0, 0)],
                metadata: Some((1, "what it is", "bytes")),
                ..Parts::default()
            },
        )
        .series(
            h,
            Parts {
                histograms: vec![histogram, custom, float],
                metadata: Some((3, "", "")),
                exemplars: &[(&[("trace_id", "x")], 0.5, NOW_MS)],
                ..Parts::default()
            },
        )
        .series(&[("__name__", "lone")], Parts { exemplars: &[(&[], 0.5, NOW_MS)], ..Parts::default() })
        .series(
            &[("__name__", "d_bucket"), ("le", "1")],
            Parts { samples: &[(NOW_MS, 1.0, 0)], metadata: Some((3, "classic", "")), ..Parts::default() },
        );
    let written = world.write_symbolized(&body).await.unwrap();
    assert_eq!(written, Written { samples: 3, histograms: 3, exemplars: 2 });
    let runs = world.runs().await;
    let run = |name: &str| &runs.iter().find(|(labels, _)| labels.starts_with(name)).unwrap().1;
    assert_eq!(run("a").start_timestamps, [NOW_MS - 5, 0]);
    assert_eq!(run("h").start_timestamps, [NOW_MS - 9, 0, 0]);
    let histograms: Vec<_> = run("h").histograms.iter().flatten().collect();
    assert_eq!(histograms.iter().map(|h| h.count).collect::<Vec<_>>(), [3.0, 2.0, 4.0]);
    assert_eq!((histograms[1].schema, &histograms[1].custom_values[..]), (-53, &[1.0, 2.0][..]));
    let metadata = world.store.metadata();
    let found: Vec<_> =
        metadata.iter().map(|(family, m)| (family.as_str(), m.kind.as_str(), m.help.as_str())).collect();
    assert_eq!(found, [("a", "counter", "what it is"), ("d", "histogram", "classic"), ("h", "histogram", "")]);
    assert_eq!(metadata[0].1.unit, "bytes");

    // The same again is nothing new; other metadata is.
    let body =
        |help| Parts { samples: &[(NOW_MS + 2, 2.0, 0)], metadata: Some((1, help, "bytes")), ..Parts::default() };
    world.write_symbolized(&Symbolized::new().series(A, body("what it is"))).await.unwrap();
    assert_eq!(load(&world.stats.remote_write_series_decoded), 4);
    world.write_symbolized(&Symbolized::new().series(A, body("another"))).await.unwrap();
    assert_eq!(world.store.metadata()[0].1.help, "another");
    assert_eq!(load(&world.stats.remote_write_without_metadata_samples), 0);
}

/// What a sender repeats is what it sent: also where it brings several samples of a series, and never heard how the first
/// time ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_sender_went_away() {
    let options = Options { wal_flush_interval: Some(Duration::from_millis(700)), ..Options::default() };
    let world = World::with(options, None).await;
    world.write(request(&[(B, NOW_MS, 1.0)])).await.unwrap();
    let deep = || snappy(&labelled(A, &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0), (NOW_MS + 2, 3.0)]));
    let gone = tokio::time::timeout(Duration::from_millis(100), world.write(deep())).await;
    assert!(gone.is_err(), "the log waits for its interval");
    assert_eq!(world.write(deep()).await.map(|written| written.samples), Ok(3));
    assert_eq!(load(&world.stats.remote_write_requests_repeated), 1);
    assert_eq!(world.read().await, ["a 1 @0", "a 2 @1", "a 3 @2", "b 1 @0"]);
    // Once it was answered it is a request like any other.
    assert_eq!(world.write(deep()).await.unwrap_err().message, "out of order sample");
    assert_eq!(world.read().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_samples() {
    const HOUR_MS: i64 = 3_600_000;
    let limited = World::with(Options::default(), Some(Duration::from_secs(3600))).await;
    let error =
        limited.write(request(&[(A, NOW_MS - HOUR_MS - 1, 1.0), (B, NOW_MS - HOUR_MS, 1.0)])).await.unwrap_err();
    assert_eq!((error.status, error.message.as_str(), error.written.samples), (400, "out of bounds", 1));
    assert_eq!(limited.read().await, ["b 1 @-3600000"]);
    let unlimited = World::new().await;
    unlimited.write(request(&[(A, 1, 1.0), (B, NOW_MS + 600_000, 1.0)])).await.unwrap();
    let error = unlimited.write(request(&[(A, NOW_MS + 600_001, 1.0)])).await.unwrap_err();
    assert_eq!(error.message, "out of bounds: timestamp is too far in the future");
}

/// A store that takes nothing takes nothing of a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone() {
    let world = World::new().await;
    world.store.shutdown().await.unwrap();
    let body = Symbolized::of(&[(A, NOW_MS, 1.0), (&[("x", "nameless")], NOW_MS, 1.0)]);
    let error = world.write_symbolized(&body).await.unwrap_err();
    assert_eq!((error.status, error.written), (503, Written::default()));
}

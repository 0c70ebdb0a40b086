//! What an appended sample costs: the whole path into a store in memory, and its parts.
//!
//! The unit is a batch of 5 000 samples of known series, one each, as a large scrape brings them; of remote writes it is a
//! request of 2 000 known series with one sample each, or with 20, as senders that gather bring them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlake::ingest::appender::Appender;
use promlake::ingest::remote_write::negotiate::Message;
use promlake::ingest::remote_write::receiver::RemoteWrite;
use promlake::ingest::stats::IngestStats;
use promlake::model::labels::Labels;
use promlake::storage::head::memtable::Memtable;
use promlake::storage::head::registry::{Registry, Rules};
use promlake::storage::object;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{LogRows, SampleRow, Series, SeriesRef, WriteBatch};
use promlake::storage::wal::codec;

const SERIES: usize = 5_000;
const NOW: i64 = 1_790_000_000_000;

fn labels(series: usize) -> Labels {
    let instance = format!("host-{:03}:9100", series % 100);
    let path = format!("/api/v1/resource/{}", series / 100);
    Labels::from_pairs([
        ("__name__", "http_requests_total"),
        ("instance", &instance),
        ("job", "api"),
        ("path", &path),
    ])
}

fn batch(refs: &[SeriesRef], round: i64) -> WriteBatch {
    let row = |(i, series): (usize, &SeriesRef)| SampleRow {
        series: *series,
        timestamp: NOW + round * 15_000,
        value: (round * 37 + i as i64 * 11) as f64,
        start_timestamp: 0,
    };
    WriteBatch { samples: refs.iter().enumerate().map(row).collect(), ..WriteBatch::default() }
}

fn rows(round: i64) -> LogRows {
    let mut rows = LogRows::default();
    for i in 0..SERIES {
        let id = labels(i).hash_id();
        rows.samples.push(i as u32, id, NOW + round * 15_000, (round * 37 + i as i64 * 11) as f64, 0);
    }
    rows
}

async fn store() -> Arc<Store> {
    let options = Options {
        url: "memory://".to_string(),
        node: "bench".to_string(),
        wal_flush_interval: Some(Duration::ZERO),
        flush_interval: Duration::ZERO,
        flush_bytes: 1 << 30,
        cache_bytes: 0,
        out_of_order_window_ms: 0,
        ..Options::default()
    };
    let objects = object::open(&options.url).expect("memory");
    Store::open_on(objects, options, Arc::new(|| i64::MAX - 1_000_000), 1).await.expect("store")
}

fn ingest(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERIES as u64));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");

    let store = runtime.block_on(store());
    let all: Vec<Labels> = (0..SERIES).map(labels).collect();
    let refs = store.intern_all(&all);
    let mut round = 0;
    group.bench_function("append", |b| {
        b.iter(|| {
            round += 1;
            runtime.block_on(store.append(batch(&refs, round))).expect("appended")
        });
    });
    group.bench_function("intern", |b| b.iter(|| black_box(store.intern_all(&all))));

    let mut registry = Registry::default();
    let refs: Vec<SeriesRef> = all.iter().map(|labels| registry.intern(labels, labels.hash_id(), 1)).collect();
    let rules = Rules { oldest_allowed_ms: i64::MIN, newest_allowed_ms: i64::MAX, out_of_order_window_ms: 0 };
    let mut round = 0;
    group.bench_function("check", |b| {
        b.iter(|| {
            round += 1;
            let mut out = LogRows::default();
            registry.accept(&batch(&refs, round), rules, 1, &mut out);
            out
        });
    });

    let logged = rows(1);
    let origin = codec::Origin { writer: 1, epoch: 1, sequence: 1 };
    group.bench_function("encode", |b| b.iter(|| codec::encode(black_box(&logged), origin).expect("encoded")));
    let object = codec::encode(&logged, origin).expect("encoded");
    println!("log object: {:.1} bytes a sample", object.len() as f64 / SERIES as f64);
    group.bench_function("decode", |b| b.iter(|| codec::decode(black_box(&object)).expect("decoded")));

    let memtable = Memtable::new(1);
    let series = |i: usize| (i as u32, Arc::new(Series { id: labels(i).hash_id(), labels: labels(i) }));
    memtable.apply(&LogRows { series: (0..SERIES).map(series).collect(), ..LogRows::default() });
    let mut round = 0;
    group.bench_function("apply", |b| {
        b.iter_batched(
            || {
                round += 1;
                rows(round)
            },
            |rows| memtable.apply(&rows),
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Requests of both versions, written anew for each round: times move on.
mod requests {
    use super::{NOW, labels};

    pub const SERIES: usize = 2_000;

    pub fn labelled(round: i64, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for series in 0..SERIES {
            let mut message = Vec::new();
            for (name, value) in labels(series).iter() {
                let mut label = Vec::new();
                put_bytes(&mut label, 1, name.as_bytes());
                put_bytes(&mut label, 2, value.as_bytes());
                put_bytes(&mut message, 1, &label);
            }
            put_samples(&mut message, series, round, depth);
            put_bytes(&mut out, 1, &message);
        }
        snap::raw::Encoder::new().compress_vec(&out).expect("compressed")
    }

    pub fn symbolized(round: i64, depth: usize) -> Vec<u8> {
        let mut symbols = vec![String::new()];
        let mut known = std::collections::HashMap::from([(String::new(), 0usize)]);
        let mut all = Vec::new();
        for series in 0..SERIES {
            let (mut message, mut refs) = (Vec::new(), Vec::new());
            for (name, value) in labels(series).iter() {
                for text in [name, value] {
                    let at = *known.entry(text.to_string()).or_insert_with(|| {
                        symbols.push(text.to_string());
                        symbols.len() - 1
                    });
                    put_varint(&mut refs, at as u64);
                }
            }
            put_bytes(&mut message, 1, &refs);
            put_samples(&mut message, series, round, depth);
            put_bytes(&mut all, 5, &message);
        }
        let mut out = Vec::new();
        symbols.iter().for_each(|symbol| put_bytes(&mut out, 4, symbol.as_bytes()));
        out.extend(all);
        snap::raw::Encoder::new().compress_vec(&out).expect("compressed")
    }

    fn put_samples(message: &mut Vec<u8>, series: usize, round: i64, depth: usize) {
        for at in 0..depth as i64 {
            let step = round * depth as i64 + at;
            let mut sample = vec![0x09];
            sample.extend(((step * 37 + series as i64 * 11) as f64).to_le_bytes());
            sample.push(0x10);
            put_varint(&mut sample, (NOW + step * 15_000) as u64);
            put_bytes(message, 2, &sample);
        }
    }

    fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
        out.push(field << 3 | 2);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    fn put_varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
}

fn remote_write(c: &mut Criterion) {
    let mut group = c.benchmark_group("remote_write");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let appender = Appender::new(runtime.block_on(store()), Arc::new(IngestStats::default()));
    let receiver = RemoteWrite::new(Arc::new(appender));
    let mut round = 0;
    for depth in [1, 20] {
        group.throughput(Throughput::Elements((requests::SERIES * depth) as u64));
        for (name, message) in [("1.0", Message::WriteRequest), ("2.0", Message::Request)] {
            group.bench_function(format!("{name}/{depth}"), |b| {
                b.iter_batched(
                    || {
                        round += 1;
                        match message {
                            Message::WriteRequest => requests::labelled(round * 20, depth),
                            Message::Request => requests::symbolized(round * 20, depth),
                        }
                    },
                    |body| {
                        runtime.block_on(receiver.write(message, body.into(), &mut |_| Ok(()))).expect("written")
                    },
                    criterion::BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = ingest, remote_write
}
criterion_main!(benches);

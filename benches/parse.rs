//! Time per sample on the way in: the two text formats, and remote write requests of series that are known.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlake::ingest::exposition::event::{Event, Format, Options, Parser};
use promlake::ingest::remote_write::cache::{Cursor, Known, SeriesCache};
use promlake::ingest::remote_write::decode::Request;
use promlake::ingest::remote_write::negotiate::Message;
use promlake::ingest::remote_write::outcome::Problems;
use promlake::ingest::remote_write::rows::Rows;
use promlake::ingest::remote_write::symbols::Symbols;
use promlake::storage::types::SeriesRef;

const SERIES: usize = 5_000;

/// Series as an exporter has them: some families, a few labels, values that are decimals.
fn series(i: usize) -> (String, Vec<(String, String)>) {
    let labels = [
        ("cpu", (i % 64).to_string()),
        ("device", format!("/dev/disk{}", i % 7)),
        ("instance", format!("node-{:03}.example.com:9100", i / 100)),
        ("job", "node-exporter".to_string()),
        ("mode", ["idle", "user", "system", "iowait"][i % 4].to_string()),
    ];
    (format!("node_family_{}_seconds_total", i / 50), labels.map(|(n, v)| (n.to_string(), v)).to_vec())
}

fn exposition(end: &str) -> String {
    let mut out = String::new();
    for i in 0..SERIES {
        let (name, labels) = series(i);
        if i % 50 == 0 {
            out.push_str(&format!("# HELP {name} Seconds spent.\n# TYPE {name} counter\n"));
        }
        let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        out.push_str(&format!("{name}{{{}}} {}.{:02}\n", labels.join(","), i * 977, i % 100));
    }
    out + end
}

fn field(out: &mut Vec<u8>, number: u8, payload: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A decoded `WriteRequest` with one sample for each series.
fn write_request() -> Vec<u8> {
    let mut message = Vec::new();
    for i in 0..SERIES {
        let (name, labels) = series(i);
        let mut body = Vec::new();
        for (name, value) in [("__name__".to_string(), name)].into_iter().chain(labels) {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut body, 1, &label);
        }
        let mut sample = vec![0x09];
        sample.extend((i as f64 * 9.77).to_le_bytes());
        sample.push(0x10);
        varint(&mut sample, 1_700_000_000_000 + i as u64);
        field(&mut body, 2, &sample);
        field(&mut message, 1, &body);
    }
    message
}

fn handle(i: usize) -> SeriesRef {
    SeriesRef { slot: i as u32, generation: 1 }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(SERIES as u64));
    for (name, format, body) in
        [("text", Format::Text, exposition("")), ("openmetrics", Format::OpenMetrics, exposition("# EOF\n"))]
    {
        let samples = |body: &str| {
            Parser::new(format, body.as_bytes(), Options::default())
                .filter(|e| matches!(e, Ok(Event::Sample(_))))
                .count()
        };
        assert_eq!(samples(&body), SERIES);
        group.bench_function(name, |b| b.iter(|| samples(black_box(&body))));
    }
    let body = exposition("");
    let known: HashMap<u128, SeriesRef> = Parser::new(Format::Text, body.as_bytes(), Options::default())
        .filter_map(|event| match event.unwrap() {
            Event::Sample(sample) => Some(sample.series.key()),
            _ => None,
        })
        .enumerate()
        .map(|(i, key)| (key, handle(i)))
        .collect();
    group.bench_function("text, with handles", |b| {
        b.iter(|| {
            Parser::new(Format::Text, black_box(body.as_bytes()), Options::default())
                .filter(|event| match event {
                    Ok(Event::Sample(sample)) => known.contains_key(&sample.series.key()),
                    _ => false,
                })
                .count()
        })
    });
    group.finish();
}

fn scan(bytes: &[u8]) -> Request<'_> {
    Request::scan(Message::WriteRequest, bytes, Vec::new(), Symbols::default()).expect("it was made here")
}

fn remote_write(c: &mut Criterion) {
    let mut group = c.benchmark_group("remote write");
    group.throughput(Throughput::Elements(SERIES as u64));
    let message = write_request();
    let compressed = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    let (mut cache, mut cursor) = (SeriesCache::new(1 << 20), Cursor::default());
    for (i, series) in scan(&message).series.iter().enumerate() {
        cache.insert(series.key, Known { handle: handle(i), described: 0 }, &mut cursor);
    }
    let mut rows = |message: &[u8]| {
        let (mut request, mut cursor) = (scan(message), Cursor::default());
        for series in &mut request.series {
            series.handle = cache.get(series.key, &mut cursor).map(|known| known.handle);
        }
        let mut rows = Rows::default();
        rows.read(&request, &mut Problems::default()).unwrap();
        assert_eq!(rows.batch.samples.len(), SERIES);
        rows
    };
    group.bench_function("known series", |b| b.iter(|| rows(black_box(&message))));
    group.bench_function("known series, with snappy", |b| {
        b.iter(|| rows(&snap::raw::Decoder::new().decompress_vec(black_box(&compressed)).unwrap()))
    });
    group.bench_function("new series, labels decoded", |b| {
        b.iter(|| {
            let request = scan(black_box(&message));
            request.series.iter().map(|series| request.labels(series).len()).sum::<usize>()
        })
    });
    group.finish();
}

criterion_group!(benches, parse, remote_write);
criterion_main!(benches);

//! Requests are read back by a reader of the wire format of its own, and compared with the specifications' messages.

use std::sync::Arc;

use super::*;
use crate::forward::item::{Exemplar, Sample};
use crate::forward::series::Outgoing;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::metadata::MetricType;
use crate::model::protobuf;
use crate::model::sample::STALE_NAN_BITS;

/// A field as it is on the wire.
#[derive(Clone, Debug, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Double(u64),
    Bytes(&'a [u8]),
}

use Field::{Bytes as B, Double, Varint};

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut out = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                out.push((tag >> 3, Varint(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            other => panic!("wire type {other}"),
        };
        let (body, rest) = bytes.split_at(length);
        bytes = rest;
        let field = match tag & 7 {
            1 => Double(u64::from_le_bytes(body.try_into().unwrap())),
            _ => B(body),
        };
        out.push((tag >> 3, field));
    }
    out
}

/// The messages or texts of a field.
fn all<'a>(message: &[(u64, Field<'a>)], number: u64) -> Vec<&'a [u8]> {
    let of = |(n, field): &(u64, Field<'a>)| match field {
        B(bytes) if *n == number => Some(*bytes),
        _ => None,
    };
    message.iter().filter_map(of).collect()
}

fn varints(mut bytes: &[u8]) -> Vec<u64> {
    let mut out = vec![];
    while !bytes.is_empty() {
        out.push(varint(&mut bytes));
    }
    out
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn outgoing(id: i64, labels: &[(&str, &str)], metadata: Option<Metadata>) -> Arc<Outgoing> {
    let labels = Labels::from_pairs(labels.iter().copied());
    Arc::new(Outgoing { id, labels, lacks_external: true, metadata: metadata.map(Arc::new) })
}

fn item(series: &Arc<Outgoing>, sequence: u64, timestamp: i64, sample: Sample) -> Item {
    Item { series: series.clone(), sequence, timestamp, start_timestamp: 0, sample, exemplars: vec![] }
}

fn decoded(message: Message, items: &[Item], external: &Labels) -> Vec<u8> {
    let body = Buffers::default().encode(message, items, external).unwrap();
    snap::raw::Decoder::new().decompress_vec(&body).unwrap()
}

fn whole() -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 4.0,
        count: 14.0,
        sum: 29.5,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![3.0, 1.0, 4.0],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![2.0],
        custom_values: vec![],
    }
}

#[test]
fn v1_has_all_labels_with_each_series() {
    let (a, b) = (outgoing(1, &[("__name__", "a"), ("x", "1")], None), outgoing(2, &[("__name__", "b")], None));
    let mut first = item(&a, 1, 1_000, Sample::Float(0.5));
    first.exemplars =
        vec![Exemplar { timestamp: 999, value: 2.0, labels: Labels::from_pairs([("trace_id", "abc")]) }];
    let stale = Sample::Float(f64::from_bits(STALE_NAN_BITS));
    let items = [first, item(&b, 1, 1_001, Sample::Float(0.0)), item(&a, 2, 2_000, stale)];
    let external = Labels::from_pairs([("dc", "fra"), ("x", "external")]);
    let message = decoded(Message::V1, &items, &external);
    let message = fields(&message);
    let series: Vec<Vec<(u64, Field<'_>)>> = all(&message, 1).into_iter().map(fields).collect();
    assert_eq!((message.len(), series.len()), (2, 2));
    let labels = |series: &[(u64, Field<'_>)]| -> Vec<String> {
        let label = |bytes: &[u8]| {
            let pair = fields(bytes);
            format!("{}={}", text(all(&pair, 1)[0]), text(all(&pair, 2)[0]))
        };
        all(series, 1).into_iter().map(label).collect()
    };
    // Sorted, external ones where there is none of the name.
    assert_eq!(labels(&series[0]), ["__name__=a", "dc=fra", "x=1"]);
    assert_eq!(labels(&series[1]), ["__name__=b", "dc=fra", "x=external"]);
    let samples: Vec<_> = all(&series[0], 2).into_iter().map(fields).collect();
    assert_eq!(
        samples,
        [
            vec![(1, Double(0.5_f64.to_bits())), (2, Varint(1_000))],
            vec![(1, Double(0x7ff0_0000_0000_0002)), (2, Varint(2_000))],
        ]
    );
    // A zero is left out.
    assert_eq!(fields(all(&series[1], 2)[0]), [(2, Varint(1_001))]);
    let exemplar = fields(all(&series[0], 3)[0]);
    assert_eq!(exemplar[1..], [(2, Double(2.0_f64.to_bits())), (3, Varint(999))]);
    assert_eq!(fields(all(&exemplar, 1)[0]), [(1, B(b"trace_id")), (2, B(b"abc"))]);
}

#[test]
fn v2_has_texts_once() {
    let metadata = Metadata { kind: MetricType::Counter, help: "what a is".to_string(), unit: String::new() };
    let a = outgoing(1, &[("__name__", "a"), ("x", "1")], Some(metadata));
    let b = outgoing(2, &[("__name__", "b"), ("x", "1")], None);
    let mut first = item(&a, 1, 1_000, Sample::Float(0.5));
    first.start_timestamp = 7;
    first.exemplars =
        vec![Exemplar { timestamp: 999, value: 2.0, labels: Labels::from_pairs([("trace_id", "1")]) }];
    let histogram = Sample::Histogram(Arc::new(whole()));
    let items = [first, item(&b, 2, 1_001, Sample::Float(1.0)), item(&a, 2, 2_000, histogram)];
    let message = decoded(Message::V2, &items, &Labels::empty());
    let message = fields(&message);
    let symbols: Vec<&str> = all(&message, 4).into_iter().map(text).collect();
    assert_eq!(symbols[0], "");
    let mut unique = symbols.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), symbols.len(), "{symbols:?}");
    let named = |refs: &[u8]| varints(refs).into_iter().map(|at| symbols[at as usize]).collect::<Vec<_>>();
    let series: Vec<Vec<(u64, Field<'_>)>> = all(&message, 5).into_iter().map(fields).collect();
    // Samples and histograms are not in one.
    assert_eq!(series.len(), 3);
    assert_eq!(message.len(), symbols.len() + series.len());
    assert_eq!(named(all(&series[0], 1)[0]), ["__name__", "a", "x", "1"]);
    assert_eq!(named(all(&series[2], 1)[0]), ["__name__", "b", "x", "1"]);
    let sample = fields(all(&series[0], 2)[0]);
    assert_eq!(sample, [(1, Double(0.5_f64.to_bits())), (2, Varint(1_000)), (3, Varint(7))]);
    let exemplar = fields(all(&series[0], 4)[0]);
    assert_eq!(named(all(&exemplar, 1)[0]), ["trace_id", "1"]);
    let metadata = fields(all(&series[0], 5)[0]);
    let [(1, Varint(1)), (3, Varint(help))] = metadata[..] else { panic!("{metadata:?}") };
    assert_eq!(symbols[help as usize], "what a is");
    assert!(all(&series[1], 2).is_empty() && all(&series[1], 3).len() == 1);
    assert!(all(&series[2], 5).is_empty());
}

#[test]
fn histograms_of_whole_counts_are_integers() {
    let mut out = vec![];
    histogram::encode(&mut out, &whole(), 1_234);
    let zigzag = |n: i64| protobuf::zigzag(n);
    let message = fields(&out);
    let numbers: Vec<(u64, Field<'_>)> = message.iter().filter(|(_, f)| !matches!(f, B(_))).cloned().collect();
    assert_eq!(
        numbers,
        [
            (1, Varint(14)),
            (3, Double(29.5_f64.to_bits())),
            (4, Varint(zigzag(2))),
            (5, Double(0.001_f64.to_bits())),
            (6, Varint(4)),
            (14, Varint(3)),
            (15, Varint(1_234)),
        ]
    );
    let spans: Vec<_> = all(&message, 11).into_iter().map(fields).collect();
    assert_eq!(
        spans,
        [vec![(1, Varint(zigzag(-1))), (2, Varint(2))], vec![(1, Varint(zigzag(3))), (2, Varint(1))]]
    );
    assert_eq!(varints(all(&message, 12)[0]), [3, -2, 3].map(zigzag));
    assert_eq!(varints(all(&message, 9)[0]), [zigzag(2)]);
}

#[test]
fn other_histograms_are_floats() {
    let histogram = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 1.5,
        sum: f64::from_bits(STALE_NAN_BITS),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 0.5],
        custom_values: vec![0.1],
        ..FloatHistogram::default()
    };
    let mut out = vec![];
    histogram::encode(&mut out, &histogram, 0);
    let message = fields(&out);
    let doubles = |bytes: &[u8]| -> Vec<f64> {
        bytes.chunks(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap())).collect()
    };
    assert_eq!(message[0], (2, Double(1.5_f64.to_bits())));
    assert!(message.contains(&(3, Double(STALE_NAN_BITS))));
    assert!(message.contains(&(7, Double(0))), "the zero count is one of two");
    assert_eq!(doubles(all(&message, 13)[0]), [1.0, 0.5]);
    assert_eq!(doubles(all(&message, 16)[0]), [0.1]);
    assert!(all(&message, 12).is_empty());
}

#[test]
fn metadata_of_families() {
    let metadata = Metadata { kind: MetricType::StateSet, help: "h".to_string(), unit: "s".to_string() };
    let body = Buffers::default().encode_metadata(&[("a".to_string(), metadata)]).unwrap();
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let message = fields(&message);
    let entry = fields(all(&message, 3)[0]);
    assert_eq!(entry, [(1, Varint(7)), (2, B(b"a")), (4, B(b"h")), (5, B(b"s"))]);
}

#[test]
fn large_buffers_are_not_kept() {
    let pool = Pool::default();
    pool.with(|buffers| buffers.message.reserve(100));
    assert!(pool.with(|buffers| buffers.message.capacity()) >= 100);
    pool.with(|buffers| buffers.message.reserve(MAX_KEPT_BYTES + 1));
    assert_eq!(pool.with(|buffers| buffers.message.capacity()), 0);
}

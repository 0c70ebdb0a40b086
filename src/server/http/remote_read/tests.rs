//! Chunks are read back by a reader of the tests' own, written after `tsdb/docs/bstream.md` and the format's description;
//! that Prometheus reads them as well is shown by `tests/acceptance/remote_read.py`.

use std::sync::Arc;

use crate::error::ErrorKind;
use crate::fuzzing::Fuzz;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::labels::Labels;
use crate::model::matcher::MatchOp;
use crate::model::protobuf;
use crate::model::sample::{STALE_NAN, TimeRange};
use crate::server::http::remote_read::answer::{frames, time_series};
use crate::server::http::remote_read::chunk::{Chunk, Encoding, chunks};
use crate::server::http::remote_read::request::{AnswerType, ReadRequest, decompress};
use crate::storage::types::{Run, RunSlice};

/// Bits of a chunk, highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | u64::from(bit)
        })
    }

    fn uvarint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.read(8);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn varint(&mut self) -> i64 {
        let value = self.uvarint();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    /// Ones before a zero, `most` at most.
    fn ones(&mut self, most: u32) -> u32 {
        (0..most).take_while(|_| self.read(1) == 1).count() as u32
    }

    /// Of so many bits: the upper half stands for negative numbers, all but its lowest.
    fn signed(&mut self, count: u32) -> i64 {
        let value = self.read(count);
        if count < 64 && value > 1 << (count - 1) { value as i64 - (1i64 << count) } else { value as i64 }
    }

    fn varbit_int(&mut self) -> i64 {
        match self.ones(8) {
            0 => 0,
            range => self.signed([3, 6, 9, 12, 18, 25, 56, 64][range as usize - 1]),
        }
    }

    fn varbit_uint(&mut self) -> u64 {
        match self.ones(8) {
            0 => 0,
            range => self.read([3, 6, 9, 12, 18, 25, 56, 64][range as usize - 1]),
        }
    }

    fn double(&mut self) -> f64 {
        f64::from_bits(self.read(64))
    }
}

struct Xor {
    value: u64,
    leading: u32,
    significant: u32,
}

impl Xor {
    fn new(value: f64) -> Self {
        Self { value: value.to_bits(), leading: 0, significant: 0 }
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> f64 {
        if bits.read(1) == 1 {
            if bits.read(1) == 1 {
                self.leading = bits.read(5) as u32;
                self.significant = match bits.read(6) as u32 {
                    0 => 64,
                    count => count,
                };
            }
            let shift = 64 - self.leading - self.significant;
            self.value ^= bits.read(self.significant) << shift;
        }
        f64::from_bits(self.value)
    }
}

fn read_floats(data: &[u8]) -> Vec<(i64, u64)> {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut bits = Bits { bytes: data, at: 16 };
    let (mut time, mut delta) = (bits.varint(), 0i64);
    let mut xor = Xor::new(bits.double());
    let mut samples = vec![(time, xor.value)];
    for at in 1..count {
        match at {
            1 => delta = bits.uvarint() as i64,
            _ => {
                delta += match bits.ones(4) {
                    0 => 0,
                    range => bits.signed([14, 17, 20, 64][range as usize - 1]),
                }
            }
        }
        time += delta;
        samples.push((time, xor.next(&mut bits).to_bits()));
    }
    samples
}

fn read_spans(bits: &mut Bits<'_>) -> Vec<Span> {
    let count = bits.varbit_uint();
    (0..count)
        .map(|_| (bits.varbit_uint(), bits.varbit_int()))
        .map(|(length, offset)| Span { offset: offset as i32, length: length as u32 })
        .collect()
}

/// Hint of the chunk, and its samples.
fn read_histograms(data: &[u8]) -> (u8, Vec<(i64, FloatHistogram)>) {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut bits = Bits { bytes: data, at: 24 };
    let zero_threshold = match bits.read(8) as i32 {
        0 => 0.0,
        255 => bits.double(),
        exponent => 0.5 * 2f64.powi(exponent - 243),
    };
    let schema = bits.varbit_int() as i32;
    let (positive_spans, negative_spans) = (read_spans(&mut bits), read_spans(&mut bits));
    let mut custom_values = vec![];
    if schema == CUSTOM_BUCKETS_SCHEMA {
        let count = bits.varbit_uint();
        custom_values.extend((0..count).map(|_| match bits.varbit_uint() {
            0 => bits.double(),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        }));
    }
    let layout = FloatHistogram {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        custom_values,
        ..Default::default()
    };
    let of = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
    let (positive, negative) = (of(&layout.positive_spans), of(&layout.negative_spans));
    let (mut time, mut delta, mut state) = (0i64, 0i64, vec![]);
    let mut samples = vec![];
    for at in 0..count {
        let numbers: Vec<f64> = if at == 0 {
            time = bits.varbit_int();
            let numbers: Vec<f64> = (0..3 + positive + negative).map(|_| bits.double()).collect();
            state = numbers.iter().map(|number| Xor::new(*number)).collect();
            numbers
        } else {
            delta += bits.varbit_int();
            time += delta;
            state.iter_mut().map(|xor| xor.next(&mut bits)).collect()
        };
        let histogram = FloatHistogram {
            count: numbers[0],
            zero_count: numbers[1],
            sum: numbers[2],
            positive_buckets: numbers[3..3 + positive].to_vec(),
            negative_buckets: numbers[3 + positive..].to_vec(),
            ..layout.clone()
        };
        samples.push((time, histogram));
    }
    (data[2] >> 6, samples)
}

fn slice<'a>(timestamps: &'a [i64], values: &'a [f64]) -> RunSlice<'a> {
    RunSlice { timestamps, values, histograms: &[], start_timestamps: &[] }
}

/// Floats of all kinds, at times near and far.
#[test]
fn floats_come_back() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..300 {
        let count = random.usize(1..300);
        let (mut times, mut values) = (vec![], vec![]);
        let mut time = [0, 1_700_000_000_000, -5_000_000_000_000, i64::MIN / 2][round % 4];
        for _ in 0..count {
            time += match random.u8(..8) {
                0 => random.i64(1..20),
                1 => random.i64(1..10_000_000),
                2 => random.i64(1..1 << 50),
                _ => 15_000,
            };
            times.push(time);
            values.push(match random.u8(..6) {
                0 => f64::from_bits(random.u64(..)),
                1 => STALE_NAN,
                2 => values.last().copied().unwrap_or(0.0),
                3 => f64::from(random.u16(..)) / 10.0,
                _ => values.last().copied().unwrap_or(0.0) + 1.0,
            });
        }
        let made = chunks(slice(&times, &values));
        let back: Vec<(i64, u64)> = made.iter().flat_map(|chunk| read_floats(&chunk.data)).collect();
        let expected: Vec<(i64, u64)> = times.iter().copied().zip(values.iter().map(|v| v.to_bits())).collect();
        assert_eq!(back, expected);
        assert_eq!(made.len(), count.div_ceil(120));
        assert_eq!((made[0].start, made[made.len() - 1].end_inclusive), (times[0], times[count - 1]));
    }
}

/// Written down byte by byte after the format: a count, a varint time, a value, a delta, and bits.
#[test]
fn floats_byte_by_byte() {
    let chunk = &chunks(slice(&[1000, 2000, 3000, 4001], &[1.0, 1.0, 2.0, 2.0]))[0];
    let mut expected = vec![0, 4, 0xd0, 0x0f];
    expected.extend(1f64.to_be_bytes());
    // Delta 1000; the value again: 0.
    expected.extend([0xe8, 0x07]);
    // 0 | 0 | 1 1, 1 leading zero (00001), 11 significant bits (001011), all set | 10, 14 bits of 1 | 0
    let bits = "0".to_string() + "0" + "11" + "00001" + "001011" + "11111111111" + "10" + "00000000000001" + "0";
    let padded = format!("{bits:0<width$}", width = bits.len().div_ceil(8) * 8);
    expected.extend((0..padded.len() / 8).map(|i| u8::from_str_radix(&padded[8 * i..8 * i + 8], 2).unwrap()));
    assert_eq!((chunk.encoding, &chunk.data), (Encoding::Xor, &expected));
}

fn histogram(count: f64, buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: count / 2.0,
        count,
        sum: count * 1.5,
        positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 40, length: buckets.len() as u32 - 2 }],
        positive_buckets: buckets.to_vec(),
        negative_spans: vec![Span { offset: 7, length: 1 }],
        negative_buckets: vec![count],
        custom_values: vec![],
    }
}

fn run_of(samples: &[(i64, FloatHistogram)]) -> Run {
    Run {
        timestamps: samples.iter().map(|(time, _)| *time).collect(),
        values: vec![0.0; samples.len()],
        histograms: samples.iter().map(|(_, histogram)| Some(Arc::new(histogram.clone()))).collect(),
        start_timestamps: vec![],
    }
}

fn without_hint(mut histogram: FloatHistogram) -> FloatHistogram {
    histogram.counter_reset_hint = CounterResetHint::Unknown;
    histogram
}

#[test]
fn histograms_come_back() {
    let custom = FloatHistogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.0,
        sum: 7.0,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        custom_values: vec![-1.0, 0.001, 33_554.43, 33_554.431, 1.0 / 3.0, 1e300],
        ..FloatHistogram::default()
    };
    let gauge = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..histogram(5.0, &[1.0, 2.0, 3.0]) };
    let odd_threshold = FloatHistogram { zero_threshold: 1e-128, ..histogram(9.0, &[1.0, 2.0, 3.0]) };
    let stale = FloatHistogram { sum: STALE_NAN, ..histogram(1.0, &[1.0, 1.0, 1.0]) };
    let first = without_hint(histogram(1.0, &[1.0, 2.0, 3.0]));
    let samples = [
        (1_700_000_000_000, first),
        (1_700_000_015_000, histogram(2.0, &[1.5, 2.0, 4.0])),
        (1_700_000_030_001, histogram(3.0, &[1.5, 2.5, 1e9])),
        // Another layout, another threshold, a gauge, two of them, a marker, a reset, other buckets.
        (1_700_000_045_000, histogram(3.0, &[1.5, 2.5, 1e9, 1.0])),
        (1_700_000_060_000, odd_threshold),
        (1_700_000_075_000, gauge.clone()),
        (1_700_000_090_000, gauge),
        (1_700_000_105_000, stale),
        (1_700_000_120_000, without_hint(histogram(1.0, &[1.0, 2.0, 3.0]))),
        (1_700_000_135_000, custom.clone()),
        (1_700_000_150_000, custom),
    ];
    let run = run_of(&samples);
    let made = chunks((&run).into());
    let read: Vec<(u8, Vec<(i64, FloatHistogram)>)> = made.iter().map(|c| read_histograms(&c.data)).collect();
    let lengths: Vec<(u8, usize)> = read.iter().map(|(hint, samples)| (*hint, samples.len())).collect();
    assert_eq!(lengths, [(0, 3), (1, 1), (1, 1), (3, 2), (1, 1), (0, 1), (1, 2)]);
    for ((time, got), (expected_time, expected)) in read.into_iter().flat_map(|(_, s)| s).zip(samples) {
        assert_eq!(time, expected_time);
        if expected.is_stale() {
            assert!(got.is_stale() && got.positive_spans.is_empty());
            continue;
        }
        assert_eq!(got, without_hint(expected), "@{time}");
    }
    assert!(made.iter().all(|chunk| chunk.encoding == Encoding::FloatHistogram));
}

#[test]
fn floats_and_histograms_take_turns() {
    let one = Some(Arc::new(histogram(1.0, &[1.0, 2.0, 3.0])));
    let histograms = [None, one.clone(), None, None];
    let run = RunSlice {
        timestamps: &[1, 2, 3, 4],
        values: &[1.0, 0.0, 3.0, 4.0],
        histograms: &histograms,
        start_timestamps: &[],
    };
    let made: Vec<(Encoding, i64, i64)> = chunks(run)
        .iter()
        .map(|Chunk { start, end_inclusive, encoding, .. }| (*encoding, *start, *end_inclusive))
        .collect();
    assert_eq!(made, [(Encoding::Xor, 1, 1), (Encoding::FloatHistogram, 2, 2), (Encoding::Xor, 3, 4)]);
}

/// Lengths of the frames' messages.
fn frame_lengths(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = vec![];
    while !bytes.is_empty() {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            bytes = &bytes[1..];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        lengths.push(length);
        bytes = &bytes[4 + length..];
    }
    lengths
}

#[test]
fn frames_hold_about_as_much_as_they_may() {
    let labels = Labels::from_pairs([("__name__", "m")]);
    let times: Vec<i64> = (0..1200).map(|i| i * 15_000).collect();
    let values: Vec<f64> = (0..1200).map(|i| f64::from(i) * 1.1).collect();
    let lengths = |most: usize| frame_lengths(&frames(&labels, slice(&times, &values), 0, most));
    assert_eq!(lengths(1 << 20).len(), 1);
    assert_eq!(lengths(0).len(), 10, "a chunk each");
    let some = lengths(2000);
    assert!((2..10).contains(&some.len()), "{some:?}");
    assert_eq!(frame_lengths(&frames(&labels, slice(&[], &[]), 0, 100)).len(), 1, "labels alone");
    // The second query says its number.
    let first = frames(&labels, slice(&[1], &[1.0]), 0, 100);
    assert_eq!(frames(&labels, slice(&[1], &[1.0]), 1, 100).len(), first.len() + 2);
}

#[test]
fn raw_samples() {
    let labels = Labels::from_pairs([("__name__", "m")]);
    let got = time_series(&labels, slice(&[5], &[1.0]));
    let mut expected = vec![0x0a, 28, 0x0a, 13, 0x0a, 8];
    expected.extend(b"__name__");
    expected.extend([0x12, 1, b'm', 0x12, 11, 0x09]);
    expected.extend(1f64.to_le_bytes());
    expected.extend([0x10, 5]);
    assert_eq!(got, expected);
}

/// A request with one query.
fn request(accepted: &[u64], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![];
    protobuf::nested(&mut out, 1, write);
    accepted.iter().for_each(|kind| protobuf::int_of_choice(&mut out, 2, *kind));
    out
}

fn matcher(out: &mut Vec<u8>, op: u64, name: &str, value: &str) {
    protobuf::nested(out, 3, |out| {
        protobuf::int_of_choice(out, 1, op);
        protobuf::bytes(out, 2, name.as_bytes());
        protobuf::bytes(out, 3, value.as_bytes());
    });
}

#[test]
fn requests() {
    let external = Labels::from_pairs([("replica", "a")]);
    let bytes = request(&[1, 0], |out| {
        protobuf::int(out, 1, -5);
        protobuf::int(out, 2, 10);
        matcher(out, 0, "__name__", "up");
        matcher(out, 0, "replica", "a");
        matcher(out, 0, "replica", "b");
        matcher(out, 1, "replica", "a");
        matcher(out, 2, "job", "a.+");
        matcher(out, 3, "job", "b");
    });
    let decoded = ReadRequest::decode(&bytes, &external).unwrap();
    assert_eq!(decoded.answer, AnswerType::StreamedXorChunks);
    let query = &decoded.queries[0];
    assert_eq!((query.range, query.series_only), (TimeRange::new(-5, 10), false));
    let shown: Vec<String> =
        query.matchers.iter().map(|m| format!("{}{}{}", m.name, m.op.as_str(), m.value)).collect();
    assert_eq!(shown, ["__name__=up", "replica=", "replica=b", "replica!=a", "job=~a.+", "job!~b"]);
    assert_eq!(query.matchers[4].op, MatchOp::Regex);
    let hinted = request(&[], |out| {
        protobuf::int(out, 2, 10);
        protobuf::nested(out, 4, |out| {
            protobuf::bytes(out, 2, "series".as_bytes());
            protobuf::int(out, 3, 3);
            protobuf::int(out, 4, 7);
        });
    });
    let decoded = ReadRequest::decode(&hinted, &external).unwrap();
    assert_eq!(decoded.answer, AnswerType::Samples);
    assert_eq!((decoded.queries[0].range, decoded.queries[0].series_only), (TimeRange::new(3, 7), true));
}

#[test]
fn requests_that_are_none() {
    let check = |bytes: &[u8], expected: &str| {
        let error = ReadRequest::decode(bytes, &Labels::empty()).unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::BadInput, expected));
    };
    check(&[0x0a, 5], "the body is not a prometheus.ReadRequest message");
    check(&request(&[], |out| matcher(out, 4, "a", "b")), "invalid matcher type");
    let types = "server does not support any of the requested response types: [5 7]; supported: \
                 map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]";
    check(&request(&[5, 7], |_| {}), types);
    let many = request(&[], |out| (0..1001).for_each(|_| matcher(out, 0, "a", "b")));
    check(&many, "the request has more than 1000 matchers, or 100 regular expressions in them");
    check(&[0x0a, 0].repeat(1001), "the request has more than 1000 queries");
    let bad_regex = ReadRequest::decode(&request(&[], |out| matcher(out, 2, "a", "(")), &Labels::empty());
    assert_eq!(bad_regex.unwrap_err().kind, ErrorKind::BadInput);

    let check = |body: &[u8], expected: &str| assert_eq!(decompress(body).unwrap_err().to_string(), expected);
    check(b"", "snappy: corrupt input");
    check(b"hello", "snappy: corrupt input");
    // Declares 64 MiB in its first bytes.
    check(&[0x80, 0x80, 0x80, 0x20, 0], "snappy: decoded length 67108864 exceeds limit 33554432");
}

/// Any damage gives a request or an error, and no panic.
#[test]
fn damaged_requests() {
    let seeds = [request(&[1, 0], |out| {
        protobuf::int(out, 1, -5);
        protobuf::int(out, 2, 1_700_000_000_000);
        matcher(out, 0, "__name__", "up");
        matcher(out, 2, "job", "a.+|b[cd]*");
        protobuf::nested(out, 4, |out| protobuf::bytes(out, 2, b"rate"));
    })];
    let (mut read, mut fuzz) = (0, Fuzz::new(20_000));
    while fuzz.goes_on() {
        let damaged = fuzz.input(&seeds, &[b".*", b"(", b"{1000}", b"\\Q"]);
        read += u64::from(ReadRequest::decode(&damaged, &Labels::empty()).is_ok());
        let mut compressed = snap::raw::Encoder::new().compress_vec(&damaged).unwrap();
        fuzz.change(&mut compressed, &[], &[]);
        if let Ok(unpacked) = decompress(&compressed) {
            assert!(unpacked.len() <= 22 * compressed.len(), "{compressed:02x?}");
        }
    }
    assert!(read > fuzz.tried / 50, "of {} only {read} could be read", fuzz.tried);
}

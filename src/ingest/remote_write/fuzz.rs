//! Bodies of both versions, whole and broken, through all that reads them, beside `prost`, which reads them by the book: what
//! it can read is read, what it cannot is refused, and nothing takes more memory than was said before.

use prost::Message as _;

use super::body::decompress;
use super::decode::{Request, valid_labels};
use super::negotiate::Message as Version;
use super::outcome::WriteError;
use super::rows::Rows;
use super::symbols::Symbols;
use super::tests::{Message, rows, scan};
use crate::fuzzing::Fuzz;
use crate::ingest::labels::MAX_EXEMPLAR_CHARS;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct V1Request {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<V1Series>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<V1Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V1Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<V1Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<V1Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V1Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V1Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V1Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    family: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    help: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    unit: Vec<u8>,
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
struct V2Request {
    #[prost(bytes = "vec", repeated, tag = "4")]
    symbols: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<V2Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V2Series {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<V2Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<V2Exemplar>,
    #[prost(message, tag = "5")]
    metadata: Option<V2Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V2Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V2Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct V2Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

/// Of both versions; start timestamps are of 2.0.
#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    zero_count_int: u64,
    #[prost(double, tag = "7")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Samples of each series: value, time, start.
type Samples = Vec<Vec<(u64, i64, i64)>>;

/// What `prost` reads: samples, and times of histograms and exemplars.
fn by_the_book(version: Version, bytes: &[u8]) -> Option<(Samples, Vec<usize>, Vec<usize>)> {
    match version {
        Version::WriteRequest => {
            let all = V1Request::decode(bytes).ok()?.timeseries;
            let of = |s: &V1Series| s.samples.iter().map(|s| (s.value.to_bits(), s.timestamp, 0)).collect();
            let samples = all.iter().map(of).collect();
            Some((
                samples,
                all.iter().map(|s| s.histograms.len()).collect(),
                all.iter().map(|s| s.exemplars.len()).collect(),
            ))
        }
        Version::Request => {
            let all = V2Request::decode(bytes).ok()?.timeseries;
            let one = |s: &V2Sample| (s.value.to_bits(), s.timestamp, s.start_timestamp);
            let samples = all.iter().map(|s| s.samples.iter().map(one).collect()).collect();
            Some((
                samples,
                all.iter().map(|s| s.histograms.len()).collect(),
                all.iter().map(|s| s.exemplars.len()).collect(),
            ))
        }
    }
}

#[test]
fn broken_bodies() {
    let mut fuzz = Fuzz::new(500);
    let (mut bodies, mut read) = (0, 0);
    while fuzz.goes_on() {
        let version = if fuzz.random.bool() { Version::WriteRequest } else { Version::Request };
        let whole = generate(&mut fuzz.random, version);
        assert!(check(version, &whole), "a message that is whole is read");
        for _ in 0..20 {
            let mut broken = whole.clone();
            for _ in 0..fuzz.random.usize(1..4) {
                fuzz.change(&mut broken, &[], &[]);
            }
            bodies += 1;
            read += usize::from(check(version, &broken));
            unpack(&mut fuzz, &broken);
        }
    }
    assert!(read > bodies / 50 && read < bodies, "a fuzzer whose bodies are all alike finds nothing");
}

/// Whether a message is read; it is if and only if `prost` reads it, and then they agree.
fn check(version: Version, bytes: &[u8]) -> bool {
    let book = by_the_book(version, bytes);
    let (request, found) = match scan(version, bytes) {
        Ok(mut request) => {
            let found = all_of(&mut request);
            (Some(request), found)
        }
        Err(_) => (None, None),
    };
    let faults = request.iter().flat_map(|request| &request.series).filter(|series| series.fault.is_some()).count();
    let (Some(request), Some(rows)) = (request, found) else {
        assert!(book.is_none(), "{version}: prost reads {bytes:02x?}");
        return false;
    };
    let Some((samples, histograms, exemplars)) = book else {
        // What belongs to labels that lead nowhere is not looked at.
        assert!(faults > 0, "{version}: prost does not read {bytes:02x?}");
        return true;
    };
    let mut all = rows.batch.samples.iter();
    for (series, samples) in request.series.iter().zip(&samples) {
        let counts = (series.samples as usize, series.histograms as usize, series.exemplars as usize);
        let at = request.series.iter().position(|other| std::ptr::eq(other, series)).unwrap();
        assert_eq!(counts, (samples.len(), histograms[at], exemplars[at]));
        if series.handle.is_some() {
            let found: Vec<_> = all
                .by_ref()
                .take(samples.len())
                .map(|row| (row.value.to_bits(), row.timestamp, row.start_timestamp))
                .collect();
            assert_eq!(&found, samples, "{version}: {bytes:02x?}");
        }
    }
    assert_eq!((request.series.len(), all.len()), (samples.len(), 0));
    true
}

/// Everything of a request; the memory of its rows is what was told before.
fn all_of(request: &mut Request<'_>) -> Option<Rows> {
    let mut pairs = Vec::new();
    for series in &request.series {
        if series.fault.is_none() {
            request.read_labels(series, &mut pairs).ok()?;
            let _ = valid_labels(&pairs);
            request.label_bytes(series).ok()?;
        }
    }
    let told = request.bytes();
    let (rows, problems) = rows(request).ok()?;
    let _ = problems.all();
    let histograms: usize = rows
        .batch
        .histograms
        .iter()
        .map(|row| {
            let h = &row.histogram;
            let buckets = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
            size_of_val(row) + size_of_val(&**h) + 8 * (buckets + h.positive_spans.len() + h.negative_spans.len())
        })
        .sum();
    let exemplars: usize = rows
        .batch
        .exemplars
        .iter()
        .map(|row| {
            let chars: usize = row.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
            assert!(chars <= MAX_EXEMPLAR_CHARS);
            size_of_val(row) + row.labels.as_bytes().len()
        })
        .sum();
    let taken = size_of_val(&rows.batch.samples[..]) + histograms + exemplars;
    assert!(taken <= told, "{taken} bytes were taken, {told} told");
    Some(rows)
}

/// The same bytes as a body: compressed, whole and broken.
fn unpack(fuzz: &mut Fuzz, bytes: &[u8]) {
    let mut body = snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let mut buffer = Vec::new();
    let mut reserve = |_: usize| -> Result<(), WriteError> { Ok(()) };
    assert_eq!(decompress(&body, &mut buffer, &mut reserve), Ok(bytes));
    for _ in 0..3 {
        fuzz.change(&mut body, &[], &[]);
        if let Ok(found) = decompress(&body, &mut buffer, &mut reserve) {
            assert!(found.len() <= 22 * body.len());
        }
    }
}

fn generate(random: &mut fastrand::Rng, version: Version) -> Vec<u8> {
    let texts: Vec<String> = (0..random.usize(1..12))
        .map(|i| match i {
            0 => String::new(),
            1 => "__name__".to_string(),
            _ => "aé\u{0}z-\"".chars().cycle().skip(i).take(random.usize(0..40)).collect(),
        })
        .collect();
    let mut message = Message::default();
    for text in texts.iter().filter(|_| version == Version::Request) {
        message = message.bytes(4, text);
    }
    for _ in 0..random.usize(0..5) {
        message = message
            .message(if version == Version::Request { 5 } else { 1 }, generate_series(random, version, &texts));
    }
    if version == Version::WriteRequest && random.bool() {
        let metadata = Message::default().varint(1, random.u64(0..9)).bytes(2, "family").bytes(4, "help");
        message = message.message(3, metadata);
    }
    message.0
}

fn generate_series(random: &mut fastrand::Rng, version: Version, texts: &[String]) -> Message {
    let mut series = generate_labels(random, version, texts, 6);
    let (histograms, exemplars) = if version == Version::Request { (3, 4) } else { (4, 3) };
    for _ in 0..random.usize(0..5) {
        let value = *random.choice([0.0, 1.5, f64::NAN, f64::NEG_INFINITY].iter()).unwrap();
        let time = random.i64(..) >> random.u32(0..64);
        let mut sample = Message::default();
        if value != 0.0 || random.bool() {
            sample = sample.double(1, value);
        }
        sample = sample.varint(2, time as u64);
        if random.bool() {
            sample = sample.varint(3, random.u64(..));
        }
        series = series.message(2, sample);
    }
    for _ in 0..random.usize(0..2) {
        let exemplar = generate_labels(random, version, texts, 3).double(2, 1.0).varint(3, random.u64(..));
        series = series.message(exemplars, exemplar);
    }
    for _ in 0..random.usize(0..2) {
        series = series.message(histograms, generate_histogram(random));
    }
    if version == Version::Request && random.bool() {
        let text = |random: &mut fastrand::Rng| random.u64(0..texts.len() as u64);
        let metadata =
            Message::default().varint(1, random.u64(0..9)).varint(3, text(random)).varint(4, text(random));
        series = series.message(5, metadata);
    }
    series
}

fn generate_labels(random: &mut fastrand::Rng, version: Version, texts: &[String], most: usize) -> Message {
    let count = random.usize(0..most);
    let pairs: Vec<(usize, usize)> =
        (0..count).map(|_| (random.usize(..texts.len()), random.usize(..texts.len()))).collect();
    match version {
        Version::WriteRequest => pairs.iter().fold(Message::default(), |m, (name, value)| {
            m.message(1, Message::default().bytes(1, &texts[*name]).bytes(2, &texts[*value]))
        }),
        Version::Request => {
            let refs: Vec<u64> = pairs.iter().flat_map(|(name, value)| [*name as u64, *value as u64]).collect();
            if refs.is_empty() { Message::default() } else { Message::default().packed(1, &refs) }
        }
    }
}

fn generate_histogram(random: &mut fastrand::Rng) -> Message {
    let buckets = random.u64(0..8);
    let span = Message::default().zigzag(1, random.i64(-3..3)).varint(2, buckets);
    let mut message = Message::default().double(3, 1.5).zigzag(4, random.i64(-5..12)).message(11, span);
    if random.bool() {
        let deltas = vec![2; buckets as usize];
        let count = (1..=buckets).sum();
        message = message.varint(1, count).packed(12, &deltas);
    } else {
        message = (0..buckets).fold(message.double(2, 3.0), |m, i| m.double(13, i as f64));
    }
    message.varint(14, random.u64(0..4)).varint(15, random.u64(..)).varint(17, random.u64(..))
}

/// What a sender that has the memory of earlier requests sees.
#[test]
fn memory_is_used_again() {
    let mut random = fastrand::Rng::with_seed(3);
    let (mut series, mut symbols) = (Vec::new(), Symbols::default());
    for _ in 0..200 {
        let version = if random.bool() { Version::WriteRequest } else { Version::Request };
        let bytes = generate(&mut random, version);
        let fresh = scan(version, &bytes).unwrap();
        let request = Request::scan(version, &bytes, super::buffers::recycled(series), symbols.recycled()).unwrap();
        let keys =
            |request: &Request<'_>| request.series.iter().map(|s| (s.key, s.fault.clone())).collect::<Vec<_>>();
        assert_eq!(keys(&request), keys(&fresh));
        series = super::buffers::recycled(request.series);
        symbols = request.symbols.recycled();
    }
}

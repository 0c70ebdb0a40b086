use super::body::decompress;
use super::cache::{Cursor, Known, SeriesCache};
use super::decode::{DecodeError, MAX_ROWS, Request, valid_labels};
use super::histogram::{self, HistogramError};
use super::negotiate::Message as Version;
use super::outcome::Problems;
use super::rows::Rows;
use super::symbols::Symbols;
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::histogram::{CounterResetHint, Span};
use crate::model::metadata::MetricType;
use crate::storage::types::SeriesRef;

/// Writes messages the way any protobuf library does.
#[derive(Default, Clone)]
pub(super) struct Message(pub Vec<u8>);

impl Message {
    pub fn varint(mut self, number: u32, value: u64) -> Self {
        self.raw_varint(u64::from(number) << 3);
        self.raw_varint(value);
        self
    }

    pub fn zigzag(self, number: u32, value: i64) -> Self {
        self.varint(number, ((value << 1) ^ (value >> 63)) as u64)
    }

    pub fn double(mut self, number: u32, value: f64) -> Self {
        self.raw_varint(u64::from(number) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        self.raw_varint(u64::from(number) << 3 | 2);
        self.raw_varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    pub fn message(self, number: u32, message: Message) -> Self {
        self.bytes(number, message.0)
    }

    pub fn packed(self, number: u32, values: &[u64]) -> Self {
        let mut packed = Message::default();
        values.iter().for_each(|value| packed.raw_varint(*value));
        self.message(number, packed)
    }

    pub fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

fn label(name: &str, value: &str) -> Message {
    Message::default().bytes(1, name).bytes(2, value)
}

pub(super) fn sample(value: f64, timestamp: i64) -> Message {
    Message::default().double(1, value).varint(2, timestamp as u64)
}

fn series(labels: &[(&str, &str)]) -> Message {
    labels.iter().fold(Message::default(), |m, (n, v)| m.message(1, label(n, v)))
}

fn refs(refs: &[u64]) -> Message {
    Message::default().packed(1, refs)
}

fn symbols(symbols: &[&str]) -> Message {
    symbols.iter().fold(Message::default(), |m, symbol| m.bytes(4, symbol))
}

pub(super) const HANDLE: SeriesRef = SeriesRef { slot: 3, generation: 1 };

pub(super) fn scan(version: Version, bytes: &[u8]) -> Result<Request<'_>, DecodeError> {
    Request::scan(version, bytes, Vec::new(), Symbols::default())
}

/// Rows of all series, as far as they have labels, and what is wrong with others.
pub(super) fn rows(request: &mut Request<'_>) -> Result<(Rows, Problems), DecodeError> {
    for series in &mut request.series {
        series.handle = series.fault.is_none().then_some(HANDLE);
    }
    let (mut rows, mut problems) = (Rows::default(), Problems::default());
    rows.read(request, &mut problems)?;
    Ok((rows, problems))
}

fn labels_of(request: &Request<'_>, at: usize) -> Result<String, String> {
    valid_labels(&request.labels(&request.series[at])).map(|labels| labels.to_string())
}

#[test]
fn a_request_of_1_0_becomes_rows() {
    let exemplar = Message::default().message(1, label("trace_id", "x")).double(2, 0.5).varint(3, 7);
    let metadata = Message::default().varint(1, 1).bytes(2, "up").bytes(4, "is it").bytes(5, "bool");
    let message = Message::default()
        .message(
            1,
            series(&[("__name__", "up"), ("job", "a")]).message(2, sample(1.5, -3)).message(2, sample(2.5, 4)),
        )
        // A 0 is left out, and what a later version adds is no start timestamp.
        .message(
            1,
            series(&[("__name__", "down")])
                .message(2, Message::default().varint(2, 1).varint(3, 9))
                .message(3, exemplar),
        )
        .message(3, metadata)
        .bytes(99, "from the future");
    let mut request = scan(Version::WriteRequest, &message.0).unwrap();
    assert_eq!(labels_of(&request, 0).unwrap(), r#"up{job="a"}"#);
    assert_eq!((request.metadata[0].0.as_str(), request.metadata[0].1.kind), ("up", MetricType::Counter));
    assert_eq!((request.metadata[0].1.help.as_str(), request.metadata[0].1.unit.as_str()), ("is it", "bool"));

    let (found, problems) = rows(&mut request).unwrap();
    assert!(problems.is_empty());
    let samples: Vec<_> = found.batch.samples.iter().map(|r| (r.value, r.timestamp, r.start_timestamp)).collect();
    assert_eq!(samples, [(1.5, -3, 0), (2.5, 4, 0), (0.0, 1, 0)]);
    let exemplar = &found.batch.exemplars[0];
    assert_eq!((exemplar.labels.to_string().as_str(), exemplar.timestamp), (r#"{trace_id="x"}"#, 7));

    request.series[0].handle = None;
    let mut left = Rows::default();
    left.read(&request, &mut Problems::default()).unwrap();
    assert_eq!(left.batch.samples.len(), 1, "a series without a handle is left out");
}

#[test]
fn a_request_of_2_0_becomes_rows() {
    let exemplar = Message::default().packed(1, &[5, 6]).double(2, 0.5).varint(3, 7);
    let metadata = Message::default().varint(1, 2).varint(3, 7).varint(4, 8);
    let histogram = Message::default().varint(1, 0).varint(15, 11).varint(17, 6);
    let message = Message::default()
        .message(
            5,
            refs(&[1, 2, 3, 4]).message(2, sample(1.5, -3).varint(3, 8)).message(4, exemplar).message(5, metadata),
        )
        .message(5, refs(&[1, 4]).message(3, histogram).varint(6, 99));
    // The table may stand behind.
    let table = symbols(&["", "__name__", "up", "job", "a", "trace_id", "x", "is it", "bool"]);
    let message = [message.0, table.0].concat();
    let mut request = scan(Version::Request, &message).unwrap();
    assert_eq!(labels_of(&request, 0).unwrap(), r#"up{job="a"}"#);
    assert_eq!(labels_of(&request, 1).unwrap(), "a");
    let metadata = request.series[0].metadata;
    assert_eq!((metadata.kind, request.symbols.text(metadata.help)), (MetricType::Gauge, &b"is it"[..]));
    assert_eq!(request.symbols.text(metadata.unit), b"bool");
    let (found, problems) = rows(&mut request).unwrap();
    assert!(problems.is_empty());
    let sample = found.batch.samples[0];
    assert_eq!((sample.value, sample.timestamp, sample.start_timestamp), (1.5, -3, 8));
    let histogram = &found.batch.histograms[0];
    assert_eq!((histogram.timestamp, histogram.start_timestamp), (11, 6), "field 6 of a series is of no matter");
    assert_eq!(found.batch.exemplars[0].labels.to_string(), r#"{trace_id="x"}"#);
}

/// Any order of fields is the same message; the key only has to be the same for the same bytes of labels.
#[test]
fn labels_may_be_scattered() {
    let scattered = Message::default()
        .message(1, label("__name__", "up"))
        .message(2, sample(1.0, 1))
        .message(1, label("job", "a"));
    let together = series(&[("__name__", "up"), ("job", "a")]).message(2, sample(1.0, 1));
    let message = Message::default().message(1, scattered).message(1, together).0;
    let mut request = scan(Version::WriteRequest, &message).unwrap();
    assert_eq!(request.series[0].key, request.series[1].key);
    assert_eq!(labels_of(&request, 0), labels_of(&request, 1));
    assert_eq!(rows(&mut request).unwrap().0.batch.samples.len(), 2);

    let single = Message::default().varint(1, 1).varint(1, 2).message(2, sample(1.0, 1)).packed(1, &[3, 4]);
    let message = symbols(&["", "__name__", "up", "job", "a"])
        .message(5, single)
        .message(5, refs(&[1, 2, 3, 4]).message(2, sample(1.0, 1)))
        .0;
    let mut request = scan(Version::Request, &message).unwrap();
    assert_eq!(request.series[0].key, request.series[1].key);
    assert_eq!(labels_of(&request, 0).unwrap(), r#"up{job="a"}"#);
    assert_eq!(rows(&mut request).unwrap().0.batch.samples.len(), 2);
}

/// A series has the same key in each request, whatever its symbols are numbered, and others have other ones.
#[test]
fn keys_are_of_the_text_of_symbols() {
    let key = |table: &[&str], one: &[u64]| {
        let message = symbols(table).message(5, refs(one).message(2, sample(1.0, 1))).0;
        scan(Version::Request, &message).unwrap().series[0].key
    };
    let first = key(&["", "__name__", "up", "a", "b"], &[1, 2, 3, 4]);
    assert_eq!(first, key(&["x", "b", "", "a", "up", "__name__", "z"], &[5, 4, 3, 1]));
    assert_ne!(first, key(&["", "__name__", "up", "a", "b"], &[1, 2, 4, 3]));
    assert_ne!(first, key(&["", "__name__", "up", "a", "b"], &[1, 2]));
    assert_ne!(key(&["", "ab", "c"], &[1, 2]), key(&["", "a", "bc"], &[1, 2]));
}

/// A table that begins with something else than the empty text is a sender's mistake, and no metadata.
#[test]
fn no_metadata() {
    let hash = |table: &[&str], metadata: Message| {
        let message = symbols(table).message(5, refs(&[1, 2]).message(5, metadata)).0;
        let request = scan(Version::Request, &message).unwrap();
        request.symbols.metadata_hash(request.series[0].metadata)
    };
    let tables: [&[&str]; 2] = [&["", "__name__", "a", "help"], &["zero", "__name__", "a", "help"]];
    for table in tables {
        assert_eq!(hash(table, Message::default()), 0);
        assert_eq!(hash(table, Message::default().varint(1, 0).varint(3, 0)), 0);
        assert_ne!(hash(table, Message::default().varint(1, 1)), 0);
        assert_ne!(
            hash(table, Message::default().varint(1, 1)),
            hash(table, Message::default().varint(1, 1).varint(3, 3))
        );
    }
    assert_eq!(hash(tables[0], Message::default().varint(1, 1)), hash(tables[1], Message::default().varint(1, 1)));
}

#[test]
fn references_that_lead_nowhere() {
    let check = |series: Message, want: &str| {
        let message = symbols(&["", "__name__", "up"]).message(5, series.message(2, sample(1.0, 1))).0;
        let request = scan(Version::Request, &message).unwrap();
        let fault = format!("{:?}", request.series[0].fault.as_ref().expect("a fault"));
        assert!(fault.contains(want), "{fault}");
    };
    check(refs(&[1, 2, 1]), "parsing labels for series [1 2 1]: invalid labelRefs length 3");
    let outside =
        "parsing labels for series [1 2 1 3]: labelRefs 1 (name) = 3 (value) outside of symbols table (size 3)";
    check(refs(&[1, 2, 1, 3]), outside);
    check(
        refs(&[u64::from(u32::MAX), 2]),
        "labelRefs 4294967295 (name) = 2 (value) outside of symbols table (size 3)",
    );
    let metadata = Message::default().varint(1, 1).varint(3, 9);
    let outside = "parsing metadata for series [1 2]: metadata help_ref 9 outside of symbols table (size 3)";
    check(refs(&[1, 2]).message(5, metadata), outside);
    let many: Vec<u64> = (0..100_001).collect();
    check(refs(&many), " 63 ...]: invalid labelRefs length 100001");

    let exemplar = Message::default().packed(1, &[1, 9]).varint(3, 1);
    let message = symbols(&["", "__name__", "up"]).message(5, refs(&[1, 2]).message(4, exemplar)).0;
    let (_, problems) = rows(&mut scan(Version::Request, &message).unwrap()).unwrap();
    let want = "parsing exemplar for series {__name__=\"up\"}: labelRefs 1 (name) = 9 (value) outside of symbols \
                table (size 3)";
    assert_eq!(problems.all().as_deref(), Some(want));
}

/// As Prometheus 3.5.3 says it.
#[test]
fn invalid_labels_are_named() {
    let check = |message: Message, want: &str| {
        let message = Message::default().message(1, message).0;
        let request = scan(Version::WriteRequest, &message).unwrap();
        assert_eq!(labels_of(&request, 0).unwrap_err(), want);
    };
    check(series(&[("job", "a")]), r#"invalid metric name or labels, got {job="a"}"#);
    check(series(&[]), "invalid metric name or labels, got {}");
    check(series(&[("__name__", "")]), r#"invalid metric name or labels, got {__name__=""}"#);
    check(
        series(&[("__name__", "x"), ("a", "b"), ("a", "c")]),
        r#"invalid labels for series, labels {__name__="x", a="b", a="c"}, duplicated label a"#,
    );
    check(series(&[("__name__", "x"), ("", "b")]), r#"invalid metric name or labels, got {""="b", __name__="x"}"#);
    check(
        Message::default().message(1, Message::default().bytes(1, "__name__").bytes(2, [0xff, 0xfe])),
        r#"invalid metric name or labels, got {__name__="\xff\xfe"}"#,
    );
    let unsorted = Message::default().message(1, series(&[("z", "1"), ("__name__", "a"), ("b", "")])).0;
    let request = scan(Version::WriteRequest, &unsorted).unwrap();
    assert_eq!(labels_of(&request, 0).unwrap(), r#"a{z="1"}"#, "order and empty values are put right");
    let many = vec![("a", "b"); 5_000];
    let many = Message::default().message(1, series(&[&[("__name__", "x")], &many[..]].concat())).0;
    assert!(labels_of(&scan(Version::WriteRequest, &many).unwrap(), 0).unwrap_err().contains("more than 512"));
}

fn spans(number: u32, spans: &[(i64, u64)]) -> impl Fn(Message) -> Message {
    let spans: Vec<Message> = spans.iter().map(|(o, l)| Message::default().zigzag(1, *o).varint(2, *l)).collect();
    move |m| spans.iter().fold(m, |m, span| m.message(number, span.clone()))
}

fn zigzags(values: &[i64]) -> Vec<u64> {
    values.iter().map(|value| ((value << 1) ^ (value >> 63)) as u64).collect()
}

#[test]
fn integer_histograms_become_float_ones() {
    let message = spans(11, &[(-2, 2), (1, 1)])(Message::default().varint(1, 6).double(3, 18.4).zigzag(4, 1))
        .double(5, 0.001)
        .varint(6, 3)
        .packed(12, &zigzags(&[1, -1, 2]))
        .varint(14, 2)
        .varint(15, 77)
        .varint(17, 7);
    let decoded = histogram::decode(&message.0).unwrap();
    let h = decoded.histogram;
    assert_eq!((h.count, h.sum, h.schema, h.zero_count), (6.0, 18.4, 1, 3.0));
    assert_eq!((decoded.timestamp, decoded.start_timestamp), (77, 7));
    assert_eq!(h.positive_spans, [Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }]);
    assert_eq!(h.positive_buckets, [1.0, 0.0, 2.0]);
    assert_eq!(h.counter_reset_hint, CounterResetHint::NotReset);
}

#[test]
fn float_histograms_keep_their_counts() {
    let unpacked =
        spans(11, &[(0, 2)])(Message::default().double(2, 3.5).zigzag(4, -53)).double(13, 1.5).double(13, 2.0);
    let h = histogram::decode(&unpacked.double(16, 0.5).double(16, 1.0).0).unwrap().histogram;
    assert_eq!((h.positive_buckets, h.custom_values), (vec![1.5, 2.0], vec![0.5, 1.0]));
}

/// What Prometheus checks (`model/histogram`), in its words.
#[test]
fn histograms_are_checked() {
    let integer = |count: u64, schema: i64| Message::default().varint(1, count).zigzag(4, schema);
    let float = |count: f64, schema: i64| Message::default().double(2, count).zigzag(4, schema);
    let positive = |m: Message, of: &[(i64, u64)], deltas: &[i64]| spans(11, of)(m).packed(12, &zigzags(deltas));
    let check = |message: Message, want: Result<(), &str>| {
        let found = histogram::decode(&message.0).map(drop);
        assert_eq!(found, want.map_err(|why| HistogramError::Invalid(why.to_string())));
    };
    check(positive(integer(3, 0), &[(0, 2)], &[1, 1]), Ok(()));
    check(integer(0, 0).double(3, f64::from_bits(0x7ff0_0000_0000_0002)), Ok(()));
    let equal = "histogram's observation count should equal the number of observations found in the buckets (in absence \
                 of NaN)";
    let mismatch = |found: u32, count: u32| {
        format!("{found} observations found in buckets, but the Count field is {count}: {equal}")
    };
    check(positive(integer(99, 0), &[(0, 2)], &[1, 1]), Err(&mismatch(3, 99)));
    check(positive(integer(2, 0).varint(6, 1), &[(0, 1)], &[2]), Err(&mismatch(3, 2)));
    check(positive(integer(4, 0).double(3, f64::NAN), &[(0, 2)], &[1, 1]), Ok(()));
    check(
        positive(integer(2, 0).double(3, f64::NAN), &[(0, 2)], &[1, 1]),
        Err(
            "3 observations found in buckets, but the Count field is 2: histogram's observation count should be at \
             least the number of observations found in the buckets",
        ),
    );
    check(
        positive(integer(3, 0), &[(0, 3)], &[1, 1]),
        Err(
            "positive side: spans need 3 buckets, have 2 buckets: histogram spans specify different number of buckets \
             than provided",
        ),
    );
    check(
        positive(integer(3, 0), &[(0, 1), (-1, 1)], &[1, 1]),
        Err("positive side: span number 2 with offset -1: histogram has a span whose offset is negative"),
    );
    check(
        positive(integer(0, 0), &[(0, 2)], &[1, -2]),
        Err(
            "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation \
             count is negative",
        ),
    );
    check(
        spans(11, &[(0, 2)])(float(1.0, 0)).double(13, 1.0).double(13, -2.0),
        Err(
            "positive side: bucket number 2 has observation count of -2: histogram has a bucket whose observation \
             count is negative",
        ),
    );
    check(spans(11, &[(0, 1)])(float(5.0, 0)).double(13, 1.0), Ok(()));
    check(
        float(1.0, 0).double(7, -1.0),
        Err("zero bucket has observation count of -1: histogram has a bucket whose observation count is negative"),
    );
    for schema in [-5, 53, 99, -54] {
        let why = format!(
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for \
             custom buckets, got schema {schema}"
        );
        check(integer(0, schema), Err(&why));
    }
    check(positive(integer(3, 20), &[(0, 2)], &[1, 1]), Ok(()));
    let custom = |m: Message, bounds: &[f64]| bounds.iter().fold(m, |m, bound| m.double(16, *bound));
    let buckets = || positive(integer(3, -53), &[(0, 2)], &[1, 1]);
    check(custom(buckets(), &[1.0]), Ok(()));
    check(custom(buckets(), &[1.0, 2.0]), Ok(()));
    check(
        buckets(),
        Err("custom buckets: only 0 custom bounds defined which is insufficient to cover total span length of 2: \
             histogram custom bounds are too few"),
    );
    check(
        custom(buckets(), &[2.0, 1.0]),
        Err(
            "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in \
             strictly increasing order",
        ),
    );
    check(
        custom(buckets(), &[1.0, f64::INFINITY]),
        Err(
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        ),
    );
    check(custom(buckets(), &[f64::NAN]), Err("custom buckets: histogram custom bounds must not be NaN"));
    check(custom(buckets().varint(6, 1), &[1.0]), Err("custom buckets: must have zero count of 0"));
    check(custom(buckets().double(5, 1.0), &[1.0]), Err("custom buckets: must have zero threshold of 0"));
    check(spans(8, &[(0, 0)])(custom(buckets(), &[1.0])), Err("custom buckets: must not have negative spans"));
    check(
        custom(positive(integer(3, 0), &[(0, 2)], &[1, 1]), &[1.0]),
        Err("histogram with exponential schema must not have custom bounds"),
    );
    check(
        positive(integer(0, 0), &[(0, 2)], &[i64::MAX, 1]),
        Err("positive side: more observations than an integer holds"),
    );
    assert_eq!(histogram::decode(&[0x58]).unwrap_err(), HistogramError::Malformed);
    assert_eq!(histogram::decode(&Message::default().double(1, 1.0).0).unwrap_err(), HistogramError::Malformed);
}

/// A histogram that is wrong costs no other row of its series.
#[test]
fn one_bad_histogram() {
    let bad = Message::default().varint(1, 9).varint(15, 2);
    let good = Message::default().varint(15, 3);
    let series = refs(&[1, 2]).message(3, bad).message(3, good).message(2, sample(1.0, 1));
    let message = symbols(&["", "__name__", "h"]).message(5, series).0;
    let mut request = scan(Version::Request, &message).unwrap();
    let (found, problems) = rows(&mut request).unwrap();
    assert_eq!((found.batch.samples.len(), found.batch.histograms.len(), found.invalid_histograms), (1, 1, 1));
    assert_eq!(found.histograms[0].row, 1);
    let text = problems.all().unwrap();
    assert!(text.starts_with("0 observations found in buckets, but the Count field is 9: "), "{text}");
    assert!(text.ends_with(r#" for series {__name__="h"}"#), "{text}");
}

/// 2 bytes of a request made a series of 64, a sample of 32, or a histogram of some hundreds in memory.
#[test]
fn a_small_request_does_not_become_a_large_one() {
    let many = |count: usize, number: u32| Message(Message::default().bytes(number, []).0.repeat(count));
    let scan =
        |version, request: &Message| Request::scan(version, &request.0, Vec::new(), Symbols::default()).map(drop);
    let too_many = |result| matches!(result, Err(DecodeError::Invalid(message)) if message.contains("too many"));
    for (version, field) in [(Version::WriteRequest, 1), (Version::Request, 5)] {
        assert_eq!(scan(version, &many(MAX_ROWS, field)), Ok(()));
        assert!(too_many(scan(version, &many(MAX_ROWS + 1, field))));
        for number in [2, 3, 4] {
            let rows = |count| scan(version, &Message::default().message(field, many(count, number)));
            assert_eq!(rows(100), Ok(()));
            assert!(too_many(rows(MAX_ROWS)), "field {number}");
        }
    }
    assert!(too_many(scan(Version::Request, &many(MAX_ROWS + 1, 4))));
}

/// What the second pass makes is told before, however small it is on the wire.
#[test]
fn memory_is_told_before_it_is_taken() {
    let check = |version, field, one: Message, least: usize| {
        let message = Message(Message::default().message(field, one).0.repeat(1_000)).0;
        let request = scan(version, &message).unwrap();
        assert!(request.bytes() >= 1_000 * least, "{version} {field}: {} bytes", request.bytes());
        assert!(request.bytes() < 1_000 * (3 * least + 1_000));
    };
    check(Version::WriteRequest, 1, Message::default(), 64);
    check(Version::WriteRequest, 1, many_samples(), 10 * 32);
    check(Version::Request, 5, Message::default().message(3, Message::default().packed(9, &[0; 100])), 1_600);
    check(Version::Request, 5, Message::default().message(4, Message::default()), 640);
    check(Version::Request, 4, Message::default(), 32);
    // The labels that references stand for: 2 bytes here, a text there.
    let text = "x".repeat(10_000);
    let message = symbols(&["", &text]).message(5, refs(&[1, 1, 1, 1])).0;
    let request = scan(Version::Request, &message).unwrap();
    assert_eq!(request.label_bytes(&request.series[0]), Ok(40_000));

    fn many_samples() -> Message {
        Message(Message::default().bytes(2, []).0.repeat(10))
    }
}

#[test]
fn bodies_that_are_none() {
    let check = |body: &[u8], want: Result<usize, (u16, &str)>| {
        let (mut buffer, mut reserved) = (Vec::new(), 0);
        let mut reserve = |bytes| {
            reserved += bytes;
            Ok(())
        };
        let found = decompress(body, &mut buffer, &mut reserve).map(<[u8]>::len);
        assert_eq!(
            found,
            want.map_err(|(status, text)| super::outcome::WriteError::new(status, text)),
            "{body:x?}"
        );
        assert!(buffer.len() <= reserved && reserved <= 22 * body.len(), "{reserved} bytes for {}", body.len());
    };
    let corrupt = Err((400, "snappy: corrupt input"));
    check(&snap::raw::Encoder::new().compress_vec(b"abc").unwrap(), Ok(3));
    check(&snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap(), Ok(1 << 20));
    check(&[0], Ok(0));
    check(&[], corrupt);
    check(&[0xff; 3], corrupt);
    // 64 MiB are declared, or 16 MiB by a body that cannot be.
    check(&[0x80, 0x80, 0x80, 0x20, 0], Err((400, "snappy: decoded length 67108864 exceeds limit 33554432")));
    check(&[0x80, 0x80, 0x80, 0x08, 0], corrupt);
    let framed = [b"\xff\x06\x00\x00sNaPpY\x01\x07\x00\x00\0\0\0\0abc"];
    check(framed[0], corrupt);
}

#[test]
fn the_wire_format_ends_where_it_must() {
    let check = |bytes: &[u8], want: Result<Option<(u32, Value<'_>)>, Malformed>| {
        assert_eq!(Reader::new(bytes).field(), want, "{bytes:x?}");
    };
    check(&[], Ok(None));
    check(&[0x08, 0x96, 0x01], Ok(Some((1, Value::Varint(150)))));
    check(&[0x12, 2, b'a', b'b'], Ok(Some((2, Value::Bytes(b"ab")))));
    check(&[0x0d, 1, 2, 3, 4], Ok(Some((1, Value::Skipped))));
    check(&[0x0b, 0x13, 0x08, 1, 0x14, 0x0c], Ok(Some((1, Value::Skipped))));
    for bad in [&[0x08][..], &[0x08, 0x80], &[0x12, 3, b'a'], &[0x09, 1, 2], &[0x0b], &[0x00, 0], &[0x0d, 1]] {
        check(bad, Err(Malformed));
    }
    check(&[0x0b, 0x14], Err(Malformed));
    check(&[0x0b].repeat(1_000), Err(Malformed));
    let mut largest = vec![0x08];
    largest.extend([0xff; 9]);
    check(&[&largest[..], &[0x01]].concat(), Ok(Some((1, Value::Varint(u64::MAX)))));
    check(&[&largest[..], &[0x02]].concat(), Err(Malformed));
    check(&[&largest[..], &[0xff, 0x01]].concat(), Err(Malformed));
    // Of every length, with and without bytes behind.
    for bits in 0..64 {
        for value in [1u64 << bits, (1 << bits) - 1, 0x0123_4567_89ab_cdef >> bits] {
            let mut message = Message::default();
            message.raw_varint(value);
            assert_eq!(Reader::new(&message.0).varint(), Ok(value));
            message.0.extend([0xff; 10]);
            let mut reader = Reader::new(&message.0);
            assert_eq!((reader.varint(), reader.rest.len()), (Ok(value), 10));
        }
    }
}

#[test]
fn the_cache_forgets_what_is_not_used() {
    let mut cache = SeriesCache::new(8);
    let known = |slot| Known { handle: SeriesRef { slot, generation: 0 }, described: 0 };
    let found = |cache: &mut SeriesCache, key: u32| {
        cache.get(u128::from(key), &mut Cursor::default()).map(|known| known.handle.slot)
    };
    for slot in 0..100u32 {
        cache.insert(u128::from(slot), known(slot), &mut Cursor::default());
        assert_eq!(found(&mut cache, 0), Some(0), "in use after {slot}");
        assert!(cache.len() <= 8);
    }
    assert_eq!(found(&mut cache, 99), Some(99));
    assert_eq!(found(&mut cache, 50), None);
    cache.update(99, |known| known.handle.slot = 7);
    assert_eq!(found(&mut cache, 99), Some(7));
    cache.update(50, |known| known.handle.slot = 7);
    assert_eq!(found(&mut cache, 50), None);
}

/// However series are cut into requests, and whoever comes in between.
#[test]
fn the_cache_finds_series_in_any_order() {
    let mut cache = SeriesCache::new(1_000);
    let mut random = fastrand::Rng::with_seed(7);
    let mut known = std::collections::HashMap::new();
    for round in 0..200u32 {
        let (from, mut cursor) = (random.u32(0..300), Cursor::default());
        let step = random.u32(1..3);
        for key in (from..from + 100).step_by(step as usize) {
            let got = cache.get(u128::from(key), &mut cursor).map(|known| known.handle.slot);
            assert_eq!(got, known.get(&key).copied(), "round {round}");
            if got.is_none() {
                let handle = SeriesRef { slot: round, generation: 0 };
                cache.insert(u128::from(key), Known { handle, described: 0 }, &mut cursor);
                known.insert(key, round);
            }
        }
    }
}

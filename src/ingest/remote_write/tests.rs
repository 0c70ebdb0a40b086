use super::cache::SeriesCache;
use super::decode::{DecodeError, MAX_ROWS, WriteRequest};
use super::histogram::{self, HistogramError};
use super::wire::{Malformed, Reader, Value};
use crate::model::histogram::{CounterResetHint, Span};
use crate::model::metadata::MetricType;
use crate::storage::types::SeriesRef;

/// Writes messages the way any protobuf library does.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, number: u32, value: u64) -> Self {
        self.raw_varint(u64::from(number) << 3);
        self.raw_varint(value);
        self
    }

    fn zigzag(self, number: u32, value: i64) -> Self {
        self.varint(number, ((value << 1) ^ (value >> 63)) as u64)
    }

    fn double(mut self, number: u32, value: f64) -> Self {
        self.raw_varint(u64::from(number) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        self.raw_varint(u64::from(number) << 3 | 2);
        self.raw_varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    fn message(self, number: u32, message: Message) -> Self {
        self.bytes(number, message.0)
    }

    fn raw_varint(&mut self, mut value: u64) {
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

fn sample(value: f64, timestamp: i64) -> Message {
    Message::default().double(1, value).varint(2, timestamp as u64)
}

fn series(labels: &[(&str, &str)]) -> Message {
    labels.iter().fold(Message::default(), |m, (n, v)| m.message(1, label(n, v)))
}

const HANDLE: SeriesRef = SeriesRef { slot: 3, generation: 1 };

#[test]
fn a_request_becomes_rows() {
    let exemplar = Message::default().message(1, label("trace_id", "x")).double(2, 0.5).varint(3, 7);
    let metadata = Message::default().varint(1, 1).bytes(2, "up").bytes(4, "is it").bytes(5, "bool");
    let message = Message::default()
        .message(
            1,
            series(&[("__name__", "up"), ("job", "a")]).message(2, sample(1.5, -3)).message(2, sample(2.5, 4)),
        )
        .message(1, series(&[("__name__", "down")]).message(2, sample(9.0, 1)).message(3, exemplar))
        .message(3, metadata)
        .bytes(99, "from the future");
    let request = WriteRequest::scan(&message.0).unwrap();
    assert_eq!(request.series[0].labels().unwrap().unwrap().to_string(), r#"up{job="a"}"#);
    assert_eq!((request.metadata[0].0.as_str(), request.metadata[0].1.kind), ("up", MetricType::Counter));
    assert_eq!((request.metadata[0].1.help.as_str(), request.metadata[0].1.unit.as_str()), ("is it", "bool"));

    let batch = request.rows(&[Some(HANDLE), Some(HANDLE)]).unwrap();
    let samples: Vec<_> = batch.samples.iter().map(|r| (r.value, r.timestamp)).collect();
    assert_eq!(samples, [(1.5, -3), (2.5, 4), (9.0, 1)]);
    assert_eq!(
        (batch.exemplars[0].labels.to_string().as_str(), batch.exemplars[0].timestamp),
        (r#"{trace_id="x"}"#, 7)
    );
    assert!(batch.all_or_nothing);

    let batch = request.rows(&[None, Some(HANDLE)]).unwrap();
    assert_eq!(batch.samples.len(), 1, "a series without a handle is left out");
}

/// Any order of fields is the same message; the key only has to be the same for the same bytes of labels.
#[test]
fn labels_may_be_scattered() {
    let scattered = Message::default()
        .message(1, label("__name__", "up"))
        .message(2, sample(1.0, 1))
        .message(1, label("job", "a"));
    let together = series(&[("__name__", "up"), ("job", "a")]).message(2, sample(1.0, 1));
    let message = Message::default().message(1, scattered).message(1, together);
    let request = WriteRequest::scan(&message.0).unwrap();
    assert_eq!(request.series[0].key, request.series[1].key);
    assert_eq!(request.series[0].labels(), request.series[1].labels());
    assert_eq!(request.rows(&[Some(HANDLE), Some(HANDLE)]).unwrap().samples.len(), 2);
}

#[test]
fn invalid_labels_are_named() {
    let check = |message: Message, want: &str| {
        let message = Message::default().message(1, message).0;
        let request = WriteRequest::scan(&message).unwrap();
        assert_eq!(request.series[0].labels().unwrap().unwrap_err(), want);
    };
    check(series(&[("job", "a")]), "missing metric name (__name__ label)");
    check(series(&[("__name__", "a"), ("b", "1"), ("b", "2")]), r#"label name "b" is not unique"#);
    check(series(&[("__name__", "a"), ("", "1")]), "empty label name");
    check(
        Message::default().message(1, Message::default().bytes(1, "a").bytes(2, [0xff])),
        "a label is not valid UTF-8",
    );
    let unsorted = Message::default().message(1, series(&[("z", "1"), ("__name__", "a"), ("b", "")])).0;
    let labels = WriteRequest::scan(&unsorted).unwrap().series[0].labels().unwrap().unwrap();
    assert_eq!(labels.to_string(), r#"a{z="1"}"#, "order and empty values are put right");
}

fn spans(number: u32, spans: &[(i64, u64)]) -> impl Fn(Message) -> Message {
    let spans: Vec<Message> = spans.iter().map(|(o, l)| Message::default().zigzag(1, *o).varint(2, *l)).collect();
    move |m| spans.iter().fold(m, |m, span| m.message(number, span.clone()))
}

#[test]
fn integer_histograms_become_float_ones() {
    let mut packed = Message::default();
    [2u64, 1, 4].iter().for_each(|v| packed.raw_varint(*v)); // zigzag of 1, -1, 2
    let message = spans(11, &[(-2, 2), (1, 1)])(Message::default().varint(1, 6).double(3, 18.4).zigzag(4, 1))
        .double(5, 0.001)
        .varint(6, 3)
        .bytes(12, packed.0)
        .varint(14, 2)
        .varint(15, 77);
    let (h, timestamp) = histogram::decode(&message.0).unwrap();
    assert_eq!((h.count, h.sum, h.schema, h.zero_count, timestamp), (6.0, 18.4, 1, 3.0, 77));
    assert_eq!(h.positive_spans, [Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }]);
    assert_eq!(h.positive_buckets, [1.0, 0.0, 2.0]);
    assert_eq!(h.counter_reset_hint, CounterResetHint::NotReset);
}

#[test]
fn float_histograms_keep_their_counts() {
    let unpacked =
        spans(11, &[(0, 2)])(Message::default().double(2, 3.5).zigzag(4, -53)).double(13, 1.5).double(13, 2.0);
    let (h, _) = histogram::decode(&unpacked.double(16, 0.5).double(16, 1.0).0).unwrap();
    assert_eq!((h.positive_buckets, h.custom_values), (vec![1.5, 2.0], vec![0.5, 1.0]));
}

#[test]
fn broken_histograms_are_errors() {
    let missing_bucket = spans(11, &[(0, 2)])(Message::default().double(2, 1.0)).double(13, 1.0);
    assert!(matches!(histogram::decode(&missing_bucket.0), Err(HistogramError::Invalid(_))));
    let overflow = spans(11, &[(0, 2)])(Message::default()).zigzag(12, i64::MAX).zigzag(12, 1);
    assert_eq!(histogram::decode(&overflow.0).unwrap_err(), HistogramError::Malformed);
    assert_eq!(histogram::decode(&[0x58]).unwrap_err(), HistogramError::Malformed);
}

/// 2 bytes of a request made a series of 64, a sample of 32, or a histogram of some hundreds in memory.
#[test]
fn a_small_request_does_not_become_a_large_one() {
    let many = |count: usize, number: u32| {
        let empty = Message::default().bytes(number, []);
        Message(empty.0.repeat(count))
    };
    let scan = |request: &Message| WriteRequest::scan(&request.0).map(|_| ());
    let too_many = |result| matches!(result, Err(DecodeError::Invalid(message)) if message.contains("too many"));
    assert_eq!(scan(&many(MAX_ROWS, 1)), Ok(()));
    assert!(too_many(scan(&many(MAX_ROWS + 1, 1))));
    for number in [2, 4] {
        let rows = |count| {
            let request = Message::default().message(1, many(count, number));
            WriteRequest::scan(&request.0).unwrap().rows(&[Some(SeriesRef { slot: 1, generation: 0 })]).map(|_| ())
        };
        assert_eq!(rows(100), Ok(()));
        assert!(too_many(rows(MAX_ROWS + 1)), "field {number}");
    }
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
    for bad in [&[0x08][..], &[0x08, 0x80], &[0x12, 3, b'a'], &[0x09, 1, 2], &[0x0b], &[0x00, 0], &[0x0d, 1]] {
        check(bad, Err(Malformed));
    }
    let mut largest = vec![0x08];
    largest.extend([0xff; 9]);
    check(&[&largest[..], &[0x01]].concat(), Ok(Some((1, Value::Varint(u64::MAX)))));
    check(&[&largest[..], &[0x02]].concat(), Err(Malformed));
    check(&[&largest[..], &[0xff, 0x01]].concat(), Err(Malformed));
}

#[test]
fn no_bytes_panic() {
    let histogram = spans(11, &[(0, 1)])(Message::default().double(2, 1.0)).double(13, 1.0);
    let whole = Message::default()
        .message(1, series(&[("__name__", "up")]).message(2, sample(1.0, 1)).message(4, histogram))
        .message(3, Message::default().bytes(2, "up"))
        .0;
    let run = |bytes: &[u8]| -> Result<(), DecodeError> {
        let request = WriteRequest::scan(bytes)?;
        let _ = request.series.iter().map(|s| s.labels()).collect::<Vec<_>>();
        request.rows(&vec![Some(HANDLE); request.series.len()]).map(|_| ())
    };
    run(&whole).unwrap();
    for at in 0..whole.len() {
        let _ = run(&whole[..at]);
        for byte in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = run(&changed);
        }
    }
}

#[test]
fn the_cache_forgets_what_is_not_used() {
    let mut cache = SeriesCache::new(8);
    let handle = |slot| SeriesRef { slot, generation: 0 };
    for slot in 0..100u32 {
        cache.insert(u128::from(slot), handle(slot));
        assert_eq!(cache.get(0), Some(handle(0)), "in use after {slot}");
        assert!(cache.len() <= 8);
    }
    assert_eq!(cache.get(99), Some(handle(99)));
    assert_eq!(cache.get(50), None);
}

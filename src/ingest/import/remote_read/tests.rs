use super::*;
use crate::ingest::tsdb::chunk::encode;
use crate::model::sample::DAY_MS;

const TIMES: TimeRange = TimeRange { start_inclusive: 10, end_inclusive: 40 };

/// An answer in pieces of some bytes each.
fn body(bytes: &[u8], piece: usize) -> BoxStream<'static, Result<Bytes>> {
    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures::stream::iter(pieces).boxed()
}

fn labels(pairs: &[(&str, &str)], message: &mut Vec<u8>) {
    for (name, value) in pairs {
        let mut label = Vec::new();
        put_bytes(1, name.as_bytes(), &mut label);
        put_bytes(2, value.as_bytes(), &mut label);
        put_bytes(1, &label, message);
    }
}

/// Labels, and chunks with their encoding.
type Framed<'a> = (&'a [(&'a str, &'a str)], &'a [(u64, Vec<u8>)]);

fn framed(series: &[Framed<'_>]) -> Vec<u8> {
    let mut message = Vec::new();
    for (pairs, chunks) in series {
        let mut inner = Vec::new();
        labels(pairs, &mut inner);
        for (encoding, data) in *chunks {
            let mut chunk = Vec::new();
            put_varint(1, 0, &mut chunk);
            put_varint(2, 100, &mut chunk);
            put_varint(3, *encoding, &mut chunk);
            put_bytes(4, data, &mut chunk);
            put_bytes(2, &chunk, &mut inner);
        }
        put_bytes(1, &inner, &mut message);
    }
    put_varint(2, 0, &mut message);
    let mut frame = Vec::new();
    put_number(message.len() as u64, &mut frame);
    frame.extend(crc32c::checksum(&message).to_be_bytes());
    frame.extend(message);
    frame
}

fn collected() -> Collected {
    Collected::new(Arc::new(Added::default()), 1 << 20)
}

fn all(collected: &Collected) -> Vec<String> {
    let mut all: Vec<String> = collected
        .slots()
        .map(|slot| {
            let mut run = Run::default();
            collected.read_slot(slot.slot, TimeRange::ALL, &mut Vec::new(), &mut run).unwrap();
            let samples = run.timestamps.iter().zip(&run.values).enumerate().map(|(at, (t, v))| {
                match run.histograms.get(at).and_then(Option::as_ref) {
                    Some(histogram) => format!("count {}@{t}", histogram.count),
                    None => format!("{v}@{t}"),
                }
            });
            format!("{} {}", slot.labels, samples.collect::<Vec<_>>().join(" "))
        })
        .collect();
    all.sort();
    all
}

fn answer() -> Vec<u8> {
    let first = encode::xor(&[(0, 1.0), (10, 2.0), (40, 3.0), (41, 4.0)]);
    let histogram = crate::model::histogram::FloatHistogram { count: 2.0, zero_count: 2.0, ..Default::default() };
    let second = encode::histograms(&[(20, histogram)], 0, None);
    let third = encode::xor(&[(15, 9.0)]);
    let up: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
    [
        framed(&[(up, &[(1, first), (2, second)]), (&[("__name__", "b")], &[(1, third.clone())])]),
        framed(&[(&[("__name__", "b")], &[(1, encode::xor(&[(16, 10.0)]))])]),
    ]
    .concat()
}

#[tokio::test]
async fn frames() {
    for piece in [1, 7, 64, 10_000] {
        let mut collected = collected();
        streamed(body(&answer(), piece), TIMES, &mut collected).await.unwrap().unwrap();
        assert_eq!(all(&collected), ["b 9@15 10@16", r#"up{job="a"} 2@10 3@40 count 2@20"#], "{piece}");
    }
}

#[tokio::test]
async fn damaged_frames() {
    let check = async |bytes: Vec<u8>, part: &str| {
        let fault = streamed(body(&bytes, 100), TIMES, &mut collected()).await.unwrap().unwrap_err();
        assert!(fault.0.contains(part), "{fault}");
    };
    let good = answer();
    check(good[..good.len() - 1].to_vec(), "too early").await;
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    check(flipped, "checksum of a frame").await;
    check(vec![0xff, 0xff, 0xff, 0xff, 0x7f], "a frame of").await;
    check(framed(&[(&[("__name__", "a")], &[(9, vec![0, 0])])]), "unknown encoding 9").await;
}

#[tokio::test]
async fn samples_at_once() {
    let mut series = Vec::new();
    labels(&[("__name__", "up")], &mut series);
    for (value, timestamp) in [(1.5f64, 9u64), (2.5, 10), (3.5, 40), (4.5, 41)] {
        let mut sample = vec![0x09];
        sample.extend(value.to_bits().to_le_bytes());
        put_varint(2, timestamp, &mut sample);
        put_bytes(2, &sample, &mut series);
    }
    let (mut result, mut message) = (Vec::new(), Vec::new());
    put_bytes(1, &series, &mut result);
    put_bytes(1, &result, &mut message);
    let compressed = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    let mut collected = collected();
    samples(body(&compressed, 5), TIMES, &mut collected).await.unwrap().unwrap();
    assert_eq!(all(&collected), ["up 2.5@10 3.5@40"]);
    let fault = samples(body(b"\xff\xff\xff\xff\xff", 5), TIMES, &mut collected).await.unwrap().unwrap_err();
    assert!(fault.0.contains("snappy"), "{fault}");
}

/// The bytes of a query as `prompb` has them.
#[test]
fn requests() {
    let matchers = [Matcher::new("a", MatchOp::NotRegex, "b").unwrap()];
    let message = snap::raw::Decoder::new().decompress_vec(&request(TIMES, &matchers)).unwrap();
    assert_eq!(message, [10, 14, 8, 10, 16, 40, 26, 8, 8, 3, 18, 1, b'a', 26, 1, b'b', 16, 1, 16, 0]);
}

/// A source for each day that the range touches; a day that had not ended is another source when it has.
#[test]
fn days() {
    let never: Post = Arc::new(|_| unreachable!("nothing is asked yet"));
    let asked = Asked { server: "s".to_string(), matchers: vec![vec![Matcher::metric("a")]], post: never };
    let of = |start: i64, end: i64| {
        let wanted = Wanted { labels: Vec::new(), range: TimeRange::new(start, end), memory_bytes: 1 };
        sources(&asked, &wanted).map(|all| all.into_iter().map(|w| (w.times, w.application)).collect::<Vec<_>>())
    };
    let first = of(DAY_MS - 1, DAY_MS + 5).unwrap();
    assert_eq!(
        first.iter().map(|(times, _)| *times).collect::<Vec<_>>(),
        [TimeRange::new(DAY_MS - 1, DAY_MS - 1), TimeRange::new(DAY_MS, DAY_MS + 5)]
    );
    let later = of(DAY_MS - 1, 2 * DAY_MS).unwrap();
    assert_eq!((later.len(), &later[0]), (3, &first[0]));
    assert_ne!(later[1].1, first[1].1);
    assert!(of(0, i64::MAX).is_err());
}

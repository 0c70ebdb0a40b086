//! Another server's history by Prometheus' remote read: a request for each UTC day, answered with chunks in frames or, by
//! servers that cannot, with samples (`prompb/remote.proto`). Each day is a source of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::import::calendar::{DATED, intersection, range_of};
use crate::ingest::import::collected::Collected;
use crate::ingest::import::run::Waiting;
use crate::ingest::import::series::{Added, Ids};
use crate::ingest::import::source::Source;
use crate::ingest::import::spill::Value;
use crate::ingest::import::tsdb::Wanted;
use crate::ingest::remote_write::histogram;
use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::chunk::{self, Encoding};
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::tombstones::retain;
use crate::ingest::wire::{Reader, Value as Field};
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::{TimeRange, day_of};
use crate::storage::types::Run;

/// What is sent and understood of the two kinds of answers, the better one first.
const STREAMED: u64 = 1;
const SAMPLES: u64 = 0;
/// The largest frame; servers make them of about a megabyte.
const MAX_FRAME_BYTES: usize = 64 << 20;
/// The largest answer of samples, which comes as one: compressed, and as it is.
const MAX_ANSWER_BYTES: usize = 512 << 20;
/// Days of one import.
const MAX_DAYS: i32 = 20 * 366;

/// An answer on its way.
pub struct Answer {
    /// Its `Content-Type`.
    pub content_type: String,
    pub body: BoxStream<'static, Result<Bytes>>,
}

/// Posts a request, compressed with snappy, to the server; an error where the answer is none.
pub type Post = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<Answer>> + Send + Sync>;

/// What is asked for, beside what all imports have.
#[derive(Clone)]
pub struct Asked {
    /// Names the server in messages, and sets it apart from others; without secrets.
    pub server: String,
    /// Series that satisfy all of any of these.
    pub matchers: Vec<Vec<Matcher>>,
    pub post: Post,
}

/// The days of the range, which has a start and an end, as sources.
pub fn sources(asked: &Asked, wanted: &Wanted) -> Result<Vec<Waiting>> {
    let range = intersection(wanted.range, DATED);
    let (first, last) = (day_of(range.start_inclusive), day_of(range.end_inclusive));
    if range.is_empty() || last.saturating_sub(first) > MAX_DAYS {
        return Err(Error::bad_input(format!(
            "the time from --start to --end is none, or more than {MAX_DAYS} days"
        )));
    }
    let added = Arc::new(Added::new(wanted.labels.iter().cloned())?);
    let text = |matcher: &Matcher| format!("{:?}{}{:?}", matcher.name, matcher.op.as_str(), matcher.value);
    let sets = asked.matchers.iter().map(|set| set.iter().map(text).collect::<Vec<_>>().join(","));
    let matchers = sets.collect::<Vec<_>>().join(" or ");
    let sources = (first..=last).map(|day| {
        let times = intersection(range_of(day), range);
        let (start, end) = (times.start_inclusive, times.end_inclusive);
        let key = xxh3_64(format!("{} {matchers} {} {start} {end}", asked.server, added.canonical()).as_bytes());
        let (asked, added, memory_bytes) = (asked.clone(), added.clone(), wanted.memory_bytes);
        Waiting {
            name: asked.server.clone(),
            application: format!("import-remote-read-{key:016x}"),
            times,
            samples: 0,
            open: Box::new(move |ids: &Mutex<Ids>| {
                let mut collected = Collected::new(added, memory_bytes);
                // This runs on a thread that may wait.
                tokio::runtime::Handle::current().block_on(fetch(&asked, times, &mut collected))?;
                Ok(Source::of_collected(collected, ids))
            }),
        }
    });
    Ok(sources.collect())
}

async fn fetch(asked: &Asked, times: TimeRange, collected: &mut Collected) -> Result<()> {
    for matchers in &asked.matchers {
        let answer = (asked.post)(request(times, matchers)).await?;
        let wrong =
            |fault: Fault| Error::new(ErrorKind::Unavailable, format!("the answer of {}: {fault}", asked.server));
        let read = match answer.content_type.starts_with("application/x-streamed-protobuf") {
            true => streamed(answer.body, times, collected).await?,
            false => samples(answer.body, times, collected).await?,
        };
        if let Some(failure) = collected.failure() {
            return Err(failure);
        }
        read.map_err(wrong)?;
    }
    Ok(())
}

/// A `ReadRequest` with one query, compressed.
fn request(times: TimeRange, matchers: &[Matcher]) -> Bytes {
    let mut query = Vec::new();
    put_varint(1, times.start_inclusive.cast_unsigned(), &mut query);
    put_varint(2, times.end_inclusive.cast_unsigned(), &mut query);
    for matcher in matchers {
        let mut message = Vec::new();
        let op = match matcher.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        put_varint(1, op, &mut message);
        put_bytes(2, matcher.name.as_bytes(), &mut message);
        put_bytes(3, matcher.value.as_bytes(), &mut message);
        put_bytes(3, &message, &mut query);
    }
    let mut message = Vec::new();
    put_bytes(1, &query, &mut message);
    put_varint(2, STREAMED, &mut message);
    put_varint(2, SAMPLES, &mut message);
    let compressed = snap::raw::Encoder::new().compress_vec(&message);
    compressed.expect("a request has less than 4 GiB").into()
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_varint(field: u64, value: u64, out: &mut Vec<u8>) {
    put_number(field << 3, out);
    put_number(value, out);
}

fn put_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_number(field << 3 | 2, out);
    put_number(bytes.len() as u64, out);
    out.extend(bytes);
}

const NO_MESSAGE: Fault = Fault::new("a message is none");

/// The next field of a message.
fn next<'a>(reader: &mut Reader<'a>) -> Result<Option<(u32, Field<'a>)>, Fault> {
    reader.field().map_err(|_| NO_MESSAGE)
}

/// Frames of a length, a checksum and a `ChunkedReadResponse`. The outer error is that of the way here.
async fn streamed(
    mut body: BoxStream<'static, Result<Bytes>>,
    times: TimeRange,
    collected: &mut Collected,
) -> Result<Result<(), Fault>> {
    let mut held: Vec<u8> = Vec::new();
    while let Some(piece) = body.try_next().await? {
        held.extend(&piece);
        let mut at = 0;
        loop {
            match frame(&held[at..]) {
                Ok(Some((message, len))) => {
                    if let Err(fault) = chunked_response(message, times, collected) {
                        return Ok(Err(fault));
                    }
                    at += len;
                }
                Ok(None) => break,
                Err(fault) => return Ok(Err(fault)),
            }
        }
        held.drain(..at);
    }
    Ok(if held.is_empty() { Ok(()) } else { Err(Fault::SHORT) })
}

/// The message of a frame and the bytes of all of it; `None` where more of it has to come.
fn frame(held: &[u8]) -> Result<Option<(&[u8], usize)>, Fault> {
    let mut cursor = Cursor::new(held);
    let len = match cursor.uvarint() {
        Ok(len) if len > MAX_FRAME_BYTES as u64 => return Err(Fault::of(format!("a frame of {len} bytes"))),
        Ok(len) => len as usize,
        Err(fault) if fault == Fault::SHORT => return Ok(None),
        Err(fault) => return Err(fault),
    };
    if cursor.len() < 4 + len {
        return Ok(None);
    }
    let sum = cursor.u32()?;
    let message = cursor.bytes(len)?;
    if crc32c::checksum(message) != sum {
        return Err(Fault::new("the checksum of a frame is wrong"));
    }
    Ok(Some((message, held.len() - cursor.len())))
}

fn chunked_response(message: &[u8], times: TimeRange, collected: &mut Collected) -> Result<(), Fault> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = next(&mut reader)? {
        if let (1, Field::Bytes(series)) = (number, value) {
            chunked_series(series, times, collected)?;
        }
    }
    Ok(())
}

fn chunked_series(message: &[u8], times: TimeRange, collected: &mut Collected) -> Result<(), Fault> {
    let Some(slot) = slot_of(message, collected)? else { return Ok(()) };
    let mut run = Run::default();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = next(&mut reader)? {
        let (2, Field::Bytes(chunk)) = (number, value) else { continue };
        let (mut encoding, mut data) = (0, &[][..]);
        let mut reader = Reader::new(chunk);
        while let Some((number, value)) = next(&mut reader)? {
            match (number, value) {
                (3, Field::Varint(code)) => encoding = u8::try_from(code).unwrap_or(u8::MAX - 1),
                (4, Field::Bytes(bytes)) => data = bytes,
                _ => {}
            }
        }
        run.timestamps.clear();
        run.values.clear();
        run.histograms.clear();
        run.start_timestamps.clear();
        chunk::decode(Encoding::of(encoding)?, data, &mut run)?;
        retain(&mut run, 0, |timestamp| times.contains(timestamp));
        for at in 0..run.timestamps.len() {
            let histogram = run.histograms.get(at).and_then(|histogram| histogram.as_deref());
            let value = histogram.map_or(Value::Float(run.values[at]), Value::Histogram);
            let start = run.start_timestamps.get(at).copied().unwrap_or(0);
            collected.push(slot, run.timestamps[at], start, value)?;
        }
    }
    Ok(())
}

/// A `ReadResponse`, compressed as one.
async fn samples(
    mut body: BoxStream<'static, Result<Bytes>>,
    times: TimeRange,
    collected: &mut Collected,
) -> Result<Result<(), Fault>> {
    let mut compressed = Vec::new();
    while let Some(piece) = body.next().await {
        compressed.extend(&piece?);
        if compressed.len() > MAX_ANSWER_BYTES {
            return Ok(Err(Fault::of(format!("it has more than {MAX_ANSWER_BYTES} bytes"))));
        }
    }
    Ok(response(&compressed, times, collected))
}

fn response(compressed: &[u8], times: TimeRange, collected: &mut Collected) -> Result<(), Fault> {
    let snappy = |e: snap::Error| Fault::of(format!("snappy cannot read it: {e}"));
    let len = snap::raw::decompress_len(compressed).map_err(snappy)?;
    if len > MAX_ANSWER_BYTES {
        return Err(Fault::of(format!("it has {len} bytes, more than {MAX_ANSWER_BYTES}")));
    }
    let message = snap::raw::Decoder::new().decompress_vec(compressed).map_err(snappy)?;
    let mut reader = Reader::new(&message);
    while let Some((number, value)) = next(&mut reader)? {
        let (1, Field::Bytes(result)) = (number, value) else { continue };
        let mut reader = Reader::new(result);
        while let Some((number, value)) = next(&mut reader)? {
            if let (1, Field::Bytes(series)) = (number, value) {
                time_series(series, times, collected)?;
            }
        }
    }
    Ok(())
}

fn time_series(message: &[u8], times: TimeRange, collected: &mut Collected) -> Result<(), Fault> {
    let Some(slot) = slot_of(message, collected)? else { return Ok(()) };
    let mut reader = Reader::new(message);
    while let Some((number, value)) = next(&mut reader)? {
        match (number, value) {
            (2, Field::Bytes(sample)) => {
                let (mut float, mut timestamp) = (0.0, 0);
                let mut reader = Reader::new(sample);
                while let Some((number, value)) = next(&mut reader)? {
                    match number {
                        1 => float = value.double(),
                        2 => timestamp = value.int64(),
                        _ => {}
                    }
                }
                if times.contains(timestamp) {
                    collected.push(slot, timestamp, 0, Value::Float(float))?;
                }
            }
            (4, Field::Bytes(message)) => {
                let decoded = histogram::decode(message).map_err(|e| Fault::of(format!("a histogram: {e:?}")))?;
                if times.contains(decoded.timestamp) {
                    let value = Value::Histogram(&decoded.histogram);
                    collected.push(slot, decoded.timestamp, decoded.start_timestamp, value)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The slot of the labels of a series, which are its first field in both kinds of answers.
fn slot_of(message: &[u8], collected: &mut Collected) -> Result<Option<u32>, Fault> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = next(&mut reader)? {
        let (1, Field::Bytes(label)) = (number, value) else { continue };
        let (mut name, mut text) = ("", "");
        let mut reader = Reader::new(label);
        while let Some((number, value)) = next(&mut reader)? {
            let Field::Bytes(bytes) = value else { continue };
            let decoded = std::str::from_utf8(bytes).map_err(|_| Fault::new("a label is not valid UTF-8"))?;
            match number {
                1 => name = decoded,
                2 => text = decoded,
                _ => {}
            }
        }
        pairs.push((name, text));
    }
    pairs.sort_unstable();
    Ok(collected.intern(&pairs))
}

#[cfg(test)]
mod tests;

//! `prometheus.ReadRequest`: snappy, protobuf, and what of it is refused.

use crate::error::{Error, Result};
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::labels::Labels;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::TimeRange;

/// Of a body, compressed or not.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Of a request; Prometheus sends one.
const MAX_QUERIES: usize = 1000;
/// Of all queries of a request. Each takes more memory than its text; those of regular expressions up to some megabytes.
const MAX_MATCHERS: usize = 1000;
const MAX_REGEXES: usize = 100;
/// Kinds of answers that are looked at.
const MAX_TYPES: usize = 100;

/// How the samples are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerType {
    Samples,
    StreamedXorChunks,
}

#[derive(Debug)]
pub struct ReadRequest {
    pub queries: Vec<Query>,
    pub answer: AnswerType,
}

#[derive(Debug)]
pub struct Query {
    /// Of the samples that are sent: that of the hints, where there are any, as they say what is evaluated.
    pub range: TimeRange,
    pub matchers: Vec<Matcher>,
    /// Labels are wanted, and no samples.
    pub series_only: bool,
}

impl ReadRequest {
    /// Labels of the server are not stored, so a matcher that asks for one of its own values asks for none.
    ///
    /// # Errors
    /// `BadInput` for what is no such request.
    pub fn decode(message: &[u8], external_labels: &Labels) -> Result<Self> {
        let malformed = |_: Malformed| Error::bad_input("the body is not a prometheus.ReadRequest message");
        let parts = Parts::read(message).map_err(malformed)?;
        if parts.queries.len() > MAX_QUERIES {
            return Err(Error::bad_input(format!("the request has more than {MAX_QUERIES} queries")));
        }
        let answer = negotiate(&parts.accepted)?;
        let mut queries = Vec::with_capacity(parts.queries.len());
        let (mut matchers, mut regexes) = (0, 0);
        for message in parts.queries {
            let raw = RawQuery::read(message).map_err(malformed)?;
            matchers += raw.matchers.len();
            regexes += raw.matchers.iter().filter(|(op, ..)| matches!(op, 2 | 3)).count();
            if matchers > MAX_MATCHERS || regexes > MAX_REGEXES {
                return Err(Error::bad_input(format!(
                    "the request has more than {MAX_MATCHERS} matchers, or {MAX_REGEXES} regular expressions in them"
                )));
            }
            queries.push(raw.resolve(external_labels)?);
        }
        Ok(Self { queries, answer })
    }
}

/// The body of a request that is compressed by snappy.
///
/// # Errors
/// `BadInput`, in Prometheus' words, where it is no such body, or would become too large.
pub fn decompress(body: &[u8]) -> Result<Vec<u8>> {
    let corrupt = |_: snap::Error| Error::bad_input("snappy: corrupt input");
    let declared = snap::raw::decompress_len(body).map_err(corrupt)?;
    if declared > MAX_BODY_BYTES {
        let message = format!("snappy: decoded length {declared} exceeds limit {MAX_BODY_BYTES}");
        return Err(Error::bad_input(message));
    }
    if body.is_empty() {
        return Err(Error::bad_input("snappy: corrupt input"));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

/// The first kind that is known here; raw samples where none is asked for.
fn negotiate(accepted: &[i64]) -> Result<AnswerType> {
    if accepted.is_empty() {
        return Ok(AnswerType::Samples);
    }
    let known = accepted.iter().find_map(|number| match number {
        0 => Some(AnswerType::Samples),
        1 => Some(AnswerType::StreamedXorChunks),
        _ => None,
    });
    known.ok_or_else(|| {
        let asked: Vec<String> = accepted.iter().map(i64::to_string).collect();
        Error::bad_input(format!(
            "server does not support any of the requested response types: [{}]; supported: \
             map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]",
            asked.join(" ")
        ))
    })
}

#[derive(Default)]
struct Parts<'a> {
    queries: Vec<&'a [u8]>,
    accepted: Vec<i64>,
}

impl<'a> Parts<'a> {
    fn read(message: &'a [u8]) -> std::result::Result<Self, Malformed> {
        let mut parts = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                // One more than there may be tells that there are too many.
                (1, Value::Bytes(query)) if parts.queries.len() <= MAX_QUERIES => parts.queries.push(query),
                (2, number @ Value::Varint(_)) => parts.accept(number.int64()),
                (2, Value::Bytes(packed)) => {
                    let mut packed = Reader::new(packed);
                    while !packed.rest.is_empty() {
                        parts.accept(packed.varint()?.cast_signed());
                    }
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    fn accept(&mut self, number: i64) {
        if self.accepted.len() < MAX_TYPES {
            self.accepted.push(number);
        }
    }
}

#[derive(Default)]
struct RawQuery<'a> {
    start: i64,
    end: i64,
    matchers: Vec<(i64, &'a [u8], &'a [u8])>,
    hints: Option<Hints<'a>>,
}

#[derive(Default)]
struct Hints<'a> {
    start: i64,
    end: i64,
    function: &'a [u8],
}

impl<'a> RawQuery<'a> {
    fn read(message: &'a [u8]) -> std::result::Result<Self, Malformed> {
        let mut query = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, number) => query.start = number.int64(),
                (2, number) => query.end = number.int64(),
                (3, Value::Bytes(matcher)) if query.matchers.len() <= MAX_MATCHERS => {
                    query.matchers.push(read_matcher(matcher)?);
                }
                (4, Value::Bytes(hints)) => query.hints = Some(Hints::read(hints)?),
                _ => {}
            }
        }
        Ok(query)
    }

    fn resolve(self, external_labels: &Labels) -> Result<Query> {
        let text = |bytes: &'a [u8]| {
            std::str::from_utf8(bytes).map_err(|_| Error::bad_input("a matcher of a query is not UTF-8"))
        };
        let mut matchers = Vec::with_capacity(self.matchers.len());
        for (op, name, value) in self.matchers {
            let (name, value) = (text(name)?, text(value)?);
            let op = match op {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Regex,
                3 => MatchOp::NotRegex,
                _ => return Err(Error::bad_input("invalid matcher type")),
            };
            let own = op == MatchOp::Equal && external_labels.get(name).unwrap_or("") == value;
            matchers.push(Matcher::new(name, op, if own { "" } else { value })?);
        }
        let (range, series_only) = match &self.hints {
            Some(hints) => (TimeRange::new(hints.start, hints.end), hints.function == b"series"),
            None => (TimeRange::new(self.start, self.end), false),
        };
        Ok(Query { range, matchers, series_only })
    }
}

impl<'a> Hints<'a> {
    fn read(message: &'a [u8]) -> std::result::Result<Self, Malformed> {
        let mut hints = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (2, Value::Bytes(function)) => hints.function = function,
                (3, number) => hints.start = number.int64(),
                (4, number) => hints.end = number.int64(),
                _ => {}
            }
        }
        Ok(hints)
    }
}

fn read_matcher(message: &[u8]) -> std::result::Result<(i64, &[u8], &[u8]), Malformed> {
    let mut matcher = (0, &b""[..], &b""[..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, number) => matcher.0 = number.int64(),
            (2, Value::Bytes(name)) => matcher.1 = name,
            (3, Value::Bytes(value)) => matcher.2 = value,
            _ => {}
        }
    }
    Ok(matcher)
}

//! What a parser yields, and the choice between them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::ingest::exposition::convert::Converter;
use crate::ingest::exposition::openmetrics::OpenMetricsParser;
use crate::ingest::exposition::protobuf::ProtobufParser;
use crate::ingest::exposition::series::{RawLabels, RawSeries};
use crate::ingest::exposition::text::TextParser;
use crate::model::histogram::FloatHistogram;
use crate::model::metadata::MetricType;

#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    Sample(Sample<'a>),
    Type { family: Cow<'a, str>, kind: MetricType },
    Help { family: Cow<'a, str>, text: Cow<'a, str> },
    Unit { family: Cow<'a, str>, unit: Cow<'a, str> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    pub series: RawSeries<'a>,
    pub value: Value,
    /// Milliseconds since the epoch, where the target says so.
    pub timestamp: Option<i64>,
    /// When the counter began, in milliseconds since the epoch; 0 where nobody says so or asked for it.
    pub start_timestamp: i64,
    /// In the order of the target.
    pub exemplars: Vec<Exemplar<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// An example of what was counted; OpenMetrics and protobuf have them.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    pub labels: RawLabels<'a>,
    pub value: f64,
    pub timestamp: Option<i64>,
}

/// Where and why a body is not in the format it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1; `None` in a format without lines.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

/// What is wanted of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Native histograms, where the format has them; else their classic parts.
    pub native_histograms: bool,
    /// Classic series of a histogram also where it is native, or made so.
    pub always_classic_histograms: bool,
    /// Classic histograms as native ones with custom buckets.
    pub convert_classic_histograms: bool,
    /// Start timestamps; the `_created` series of OpenMetrics are then no series of their own.
    pub start_timestamps: bool,
}

/// Iterates the events of a body; ends after the first error.
pub struct Parser<'a> {
    inner: Inner<'a>,
    converter: Option<Converter<'a>>,
}

pub(super) enum Inner<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
    Protobuf(Box<ProtobufParser<'a>>),
}

impl<'a> Parser<'a> {
    pub fn new(format: Format, body: &'a [u8], options: Options) -> Self {
        let inner = match format {
            Format::Text => Inner::Text(TextParser::new(body)),
            Format::OpenMetrics => Inner::OpenMetrics(OpenMetricsParser::new(body, options.start_timestamps)),
            Format::Protobuf => Inner::Protobuf(Box::new(ProtobufParser::new(body, options))),
        };
        // A protobuf message has a histogram as a whole.
        let converts = options.convert_classic_histograms && format != Format::Protobuf;
        Self { inner, converter: converts.then(|| Converter::new(options.always_classic_histograms)) }
    }

    /// An error at the place of the event yielded last, for what is found out only when it is used.
    pub fn error(&self, message: impl Into<String>) -> ParseError {
        match &self.inner {
            Inner::Text(parser) => parser.cursor.error_at_line_start(message),
            Inner::OpenMetrics(parser) => parser.cursor.error_at_line_start(message),
            Inner::Protobuf(_) => ParseError { line: None, message: message.into() },
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.converter {
            None => self.inner.next(),
            Some(converter) => converter.next(&mut self.inner),
        }
    }
}

impl<'a> Inner<'a> {
    #[inline]
    pub(super) fn next(&mut self) -> Option<Result<Event<'a>, ParseError>> {
        match self {
            Inner::Text(parser) => parser.next(),
            Inner::OpenMetrics(parser) => parser.next(),
            Inner::Protobuf(parser) => parser.next(),
        }
    }

    /// Comments so far that only are comments, which divide what belongs together.
    pub(super) fn comments(&self) -> usize {
        match self {
            Inner::Text(parser) => parser.comments,
            Inner::OpenMetrics(_) | Inner::Protobuf(_) => 0,
        }
    }

    pub(super) fn error_at_line_start(&self, message: String) -> ParseError {
        match self {
            Inner::Text(parser) => parser.cursor.error_at_line_start(message),
            Inner::OpenMetrics(parser) => parser.cursor.error_at_line_start(message),
            Inner::Protobuf(_) => ParseError { line: None, message },
        }
    }
}

/// A position in a body. Lines are counted only when an error needs one.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub body: &'a [u8],
    pub at: usize,
    /// Where the event in progress, or the one yielded last, begins.
    pub line_start: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, line_start: 0 }
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    pub fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes everything up to a blank or the end of the line.
    #[inline]
    pub fn token(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n')).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Takes the rest of the line, without its line feed.
    pub fn line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at = (self.at + len + 1).min(self.body.len());
        &rest[..len]
    }

    pub fn error(&self, message: impl Into<String>) -> ParseError {
        let line = 1 + memchr::memchr_iter(b'\n', &self.body[..self.at]).count();
        ParseError { line: Some(line), message: message.into() }
    }

    pub fn error_at_line_start(&self, message: impl Into<String>) -> ParseError {
        let line = 1 + memchr::memchr_iter(b'\n', &self.body[..self.line_start]).count();
        ParseError { line: Some(line), message: message.into() }
    }

    /// Nothing comes after an error.
    pub fn stop(&mut self) {
        self.at = self.body.len();
    }
}

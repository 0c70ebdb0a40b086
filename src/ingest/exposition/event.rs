//! What a parser yields, and the choice between the two.

use std::borrow::Cow;
use std::fmt;

use crate::ingest::exposition::openmetrics::OpenMetricsParser;
use crate::ingest::exposition::series::RawSeries;
use crate::ingest::exposition::text::TextParser;
use crate::model::metadata::MetricType;

#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    Sample(Sample<'a>),
    Type { family: Cow<'a, str>, kind: MetricType },
    Help { family: Cow<'a, str>, text: Cow<'a, str> },
    Unit { family: Cow<'a, str>, unit: &'a str },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    pub series: RawSeries<'a>,
    pub value: f64,
    /// Milliseconds since the epoch, where the target says so.
    pub timestamp: Option<i64>,
    pub exemplar: Option<Exemplar<'a>>,
}

/// OpenMetrics only.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// `{…}`, without a metric name.
    pub labels: RawSeries<'a>,
    pub value: f64,
    pub timestamp: Option<i64>,
}

/// Where and why a body is not in the format it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

/// Iterates the events of a body; ends after the first error.
pub enum Parser<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
}

impl<'a> Parser<'a> {
    pub fn new(format: Format, body: &'a [u8]) -> Self {
        match format {
            Format::Text => Parser::Text(TextParser::new(body)),
            Format::OpenMetrics => Parser::OpenMetrics(OpenMetricsParser::new(body)),
        }
    }

    /// An error at the place of the event yielded last, for what is found out only when it is used.
    pub fn error(&self, message: impl Into<String>) -> ParseError {
        match self {
            Parser::Text(parser) => parser.cursor.error_at_line_start(message),
            Parser::OpenMetrics(parser) => parser.cursor.error_at_line_start(message),
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Parser::Text(parser) => parser.next(),
            Parser::OpenMetrics(parser) => parser.next(),
        }
    }
}

/// A position in a body. Lines are counted only when an error needs one.
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

    pub fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    pub fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

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
        ParseError { line, message: message.into() }
    }

    pub fn error_at_line_start(&self, message: impl Into<String>) -> ParseError {
        let line = 1 + memchr::memchr_iter(b'\n', &self.body[..self.line_start]).count();
        ParseError { line, message: message.into() }
    }

    /// Nothing comes after an error.
    pub fn stop(&mut self) {
        self.at = self.body.len();
    }
}

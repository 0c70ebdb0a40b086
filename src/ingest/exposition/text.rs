//! The text format 0.0.4: one sample or comment a line, blanks wherever they do not matter.

use crate::ingest::exposition::event::{Cursor, Event, ParseError, Sample};
use crate::ingest::exposition::number;
use crate::ingest::exposition::series::{self, RawSeries};
use crate::model::metadata::MetricType;

pub struct TextParser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Of the family whose `# TYPE` came last.
    kind: MetricType,
}

impl<'a> TextParser<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(body), kind: MetricType::Unknown }
    }

    /// The next line that says something; `None` at the end.
    fn event(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        loop {
            self.cursor.skip_blanks();
            self.cursor.line_start = self.cursor.at;
            match self.cursor.peek() {
                None => return Ok(None),
                Some(b'\n') => self.cursor.at += 1,
                Some(b'#') => {
                    if let Some(event) = self.comment()? {
                        return Ok(Some(event));
                    }
                }
                Some(_) => return self.sample().map(Some),
            }
        }
    }

    #[inline]
    fn sample(&mut self) -> Result<Event<'a>, ParseError> {
        let rest = self.cursor.rest();
        let len = series::scan(rest).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let series = RawSeries { bytes: &rest[..len], kind: self.kind };
        self.cursor.skip_blanks();
        let text = self.cursor.token();
        let value = number::parse(text).ok_or_else(|| {
            self.cursor.error(format!("expected a value after the metric, got {:?}", String::from_utf8_lossy(text)))
        })?;
        self.cursor.skip_blanks();
        let timestamp = match self.cursor.peek() {
            None | Some(b'\n') => None,
            Some(_) => Some(self.timestamp()?),
        };
        self.cursor.skip_blanks();
        let left = self.cursor.token();
        if !left.is_empty() {
            let left = String::from_utf8_lossy(left).into_owned();
            return Err(self.cursor.error(format!("expected the end of the line after the sample, got {left:?}")));
        }
        self.cursor.line();
        Ok(Event::Sample(Sample { series, value, timestamp, exemplar: None }))
    }

    /// Whole milliseconds.
    fn timestamp(&mut self) -> Result<i64, ParseError> {
        let text = self.cursor.token();
        std::str::from_utf8(text)
            .ok()
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| self.cursor.error(format!("invalid timestamp {:?}", String::from_utf8_lossy(text))))
    }

    /// `None` for a comment that is only a comment.
    fn comment(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        let line = self.cursor.line();
        parse_comment(line).map_err(|message| self.cursor.error_at_line_start(message)).inspect(|event| {
            if let Some(Event::Type { kind, .. }) = event {
                self.kind = *kind;
            }
        })
    }
}

impl<'a> Iterator for TextParser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let event = self.event();
        if event.is_err() {
            self.cursor.stop();
        }
        event.transpose()
    }
}

fn parse_comment(line: &[u8]) -> Result<Option<Event<'_>>, String> {
    let rest = trim_start(&line[1..]);
    let (is_type, rest) = match (keyword(rest, b"TYPE"), keyword(rest, b"HELP")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Ok(None),
    };
    let (family, rest) = series::family_name(rest)?;
    let blank = matches!(rest.first(), Some(b' ' | b'\t') | None);
    let text = std::str::from_utf8(trim_start(rest)).map_err(|_| "text is not valid UTF-8".to_string())?;
    if !blank {
        return Err(format!("expected a blank after the metric name {family:?}"));
    }
    if !is_type {
        return Ok(Some(Event::Help { family, text: series::unescape(text, false) }));
    }
    let kind = match text.trim_end_matches([' ', '\t']) {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        "untyped" => MetricType::Unknown,
        other => return Err(format!("invalid metric type {other:?}")),
    };
    Ok(Some(Event::Type { family, kind }))
}

/// What follows the word and at least one blank.
fn keyword<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(word)?;
    matches!(rest.first(), Some(b' ' | b'\t')).then(|| trim_start(rest))
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

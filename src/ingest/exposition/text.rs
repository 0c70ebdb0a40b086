//! The text formats 0.0.4 and 1.0.0: one sample or comment a line, blanks wherever they do not matter. What is taken
//! and what is refused is what Prometheus' lexer does (`model/textparse/promlex.l`), the odd cases included: targets
//! have lived with it for years.

use crate::ingest::exposition::event::{Cursor, Event, ParseError, Sample, Value};
use crate::ingest::exposition::number;
use crate::ingest::exposition::series::{self, Grammar, RawSeries, TextSeries};
use crate::model::metadata::MetricType;

pub struct TextParser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Of the family whose `# TYPE` came last.
    kind: MetricType,
    /// Lines so far that are only comments.
    pub(super) comments: usize,
}

impl<'a> TextParser<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(body), kind: MetricType::Unknown, comments: 0 }
    }

    /// The next line that says something; `None` at the end, or at a zero byte in place of a line.
    #[inline]
    fn event(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        loop {
            self.cursor.line_start = self.cursor.at;
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                None | Some(0) => {
                    self.cursor.stop();
                    return Ok(None);
                }
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
        let len = series::scan(self.cursor.rest(), Grammar::Text).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let bytes = &self.cursor.body[self.cursor.line_start..self.cursor.at];
        let series = RawSeries::Text(TextSeries { bytes, grammar: Grammar::Text, kind: self.kind });
        self.cursor.skip_blanks();
        let text = self.cursor.token();
        let value = number::parse(text).ok_or_else(|| {
            self.cursor.error(format!("expected value after metric, got {:?}", String::from_utf8_lossy(text)))
        })?;
        self.cursor.skip_blanks();
        let timestamp = match self.cursor.peek() {
            None | Some(b'\n') => None,
            Some(_) => Some(self.timestamp()?),
        };
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            None => {}
            Some(b'\n') => self.cursor.at += 1,
            Some(_) => {
                let left = String::from_utf8_lossy(self.cursor.token()).into_owned();
                return Err(self.cursor.error(format!("expected next entry after timestamp, got {left:?}")));
            }
        }
        let value = Value::Float(value);
        Ok(Event::Sample(Sample { series, value, timestamp, start_timestamp: 0, exemplars: Vec::new() }))
    }

    /// Whole milliseconds, and no sign.
    fn timestamp(&mut self) -> Result<i64, ParseError> {
        let text = self.cursor.token();
        let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            self.cursor.error(format!("expected timestamp or new record, got {:?}", String::from_utf8_lossy(text)))
        })
    }

    /// `None` for a comment that is only a comment. One that is glued to its hash always is.
    fn comment(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        self.cursor.at += 1;
        let blanks = series::blanks(self.cursor.rest());
        self.cursor.at += blanks;
        let rest = self.cursor.rest();
        let (is_type, text) = match (keyword(rest, b"TYPE"), keyword(rest, b"HELP")) {
            (Some(text), _) if blanks > 0 => (true, text),
            (_, Some(text)) if blanks > 0 => (false, text),
            _ => {
                self.only_a_comment(blanks == 0);
                return Ok(None);
            }
        };
        self.cursor.at = self.cursor.body.len() - text.len();
        self.metadata(is_type, text).map(Some).map_err(|message| self.cursor.error_at_line_start(message))
    }

    /// Skips it. The lexer takes a zero byte in one that is glued to its hash for the end of all.
    fn only_a_comment(&mut self, glued: bool) {
        self.comments += 1;
        let line = self.cursor.line();
        if (glued && line.contains(&0)) || line.first() == Some(&0) {
            self.cursor.stop();
        }
    }

    fn metadata(&mut self, is_type: bool, text: &'a [u8]) -> Result<Event<'a>, String> {
        let (family, rest) = series::family_name(text)
            .map_err(|message| format!("{message} after {}", if is_type { "TYPE" } else { "HELP" }))?;
        // A name in quotes may have line feeds in it.
        self.cursor.at = self.cursor.body.len() - rest.len();
        let line = self.cursor.line();
        if line.first() == Some(&0) {
            return Err("expected text".to_string());
        }
        // Whatever stands behind the name divides it from the text.
        let text = if series::blanks(line) == line.len() { &[][..] } else { &line[1..] };
        let utf8 = std::str::from_utf8(text);
        if !is_type {
            let text = utf8.map_err(|_| "help text is not a valid utf8 string".to_string())?;
            return Ok(Event::Help { family, text: series::unescape(text, false) });
        }
        self.kind = match text {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" => MetricType::Unknown,
            other => return Err(format!("invalid metric type {:?}", String::from_utf8_lossy(other))),
        };
        Ok(Event::Type { family, kind: self.kind })
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

/// What follows the word and at least one blank.
fn keyword<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(word)?;
    let blanks = series::blanks(rest);
    (blanks > 0).then(|| &rest[blanks..])
}

//! OpenMetrics 1.0: single blanks, timestamps in seconds, exemplars, units, and `# EOF` at the end, without
//! which the body may have been cut off.

use crate::ingest::exposition::event::{Cursor, Event, Exemplar, ParseError, Sample};
use crate::ingest::exposition::number;
use crate::ingest::exposition::series::{self, RawSeries};
use crate::model::metadata::MetricType;

pub struct OpenMetricsParser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Of the family whose `# TYPE` came last.
    kind: MetricType,
    finished: bool,
}

impl<'a> OpenMetricsParser<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(body), kind: MetricType::Unknown, finished: false }
    }

    fn event(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        self.cursor.line_start = self.cursor.at;
        match self.cursor.peek() {
            None if self.finished => Ok(None),
            None => Err(self.cursor.error("data does not end with # EOF")),
            Some(b'#') => self.comment(),
            Some(_) => self.sample().map(Some),
        }
    }

    fn comment(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        let line = self.cursor.line();
        if line == b"# EOF" {
            self.finished = true;
            return match self.cursor.rest() {
                [] => Ok(None),
                _ => Err(self.cursor.error("unexpected data after # EOF")),
            };
        }
        // Every other line ends with a line feed.
        if self.cursor.body.last() != Some(&b'\n') && self.cursor.rest().is_empty() {
            return Err(self.cursor.error("data does not end with # EOF"));
        }
        let event = parse_comment(line).map_err(|message| self.cursor.error_at_line_start(message))?;
        if let Event::Type { kind, .. } = &event {
            self.kind = *kind;
        }
        Ok(Some(event))
    }

    #[inline]
    fn sample(&mut self) -> Result<Event<'a>, ParseError> {
        let rest = self.cursor.rest();
        let len = series::scan(rest).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let series = RawSeries { bytes: &rest[..len], kind: self.kind };
        let value = self.number("a value after the metric")?;
        let timestamp = self.timestamp()?;
        let exemplar = self.exemplar()?;
        match self.cursor.peek() {
            Some(b'\n') => self.cursor.at += 1,
            Some(_) => return Err(self.cursor.error("expected the end of the line after the sample")),
            None => return Err(self.cursor.error("data does not end with # EOF")),
        }
        Ok(Event::Sample(Sample { series, value, timestamp, exemplar }))
    }

    /// One blank and a number.
    #[inline]
    fn number(&mut self, what: &str) -> Result<f64, ParseError> {
        if self.cursor.peek() != Some(b' ') {
            return Err(self.cursor.error(format!("expected a blank and {what}")));
        }
        self.cursor.at += 1;
        let text = self.cursor.token();
        number::parse(text)
            .ok_or_else(|| self.cursor.error(format!("expected {what}, got {:?}", String::from_utf8_lossy(text))))
    }

    /// Seconds in the text, milliseconds here.
    fn timestamp(&mut self) -> Result<Option<i64>, ParseError> {
        match self.cursor.rest() {
            [b' ', b'#', ..] => Ok(None),
            [b' ', ..] => {
                let seconds = self.number("a timestamp")?;
                if !seconds.is_finite() {
                    return Err(self.cursor.error(format!("invalid timestamp {seconds}")));
                }
                Ok(Some((seconds * 1000.0) as i64))
            }
            _ => Ok(None),
        }
    }

    fn exemplar(&mut self) -> Result<Option<Exemplar<'a>>, ParseError> {
        let Some(rest) = self.cursor.rest().strip_prefix(b" # ") else { return Ok(None) };
        self.cursor.at += 3;
        if rest.first() != Some(&b'{') {
            return Err(self.cursor.error("expected the labels of an exemplar"));
        }
        let len = series::scan(rest).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let labels = RawSeries { bytes: &rest[..len], kind: MetricType::Unknown };
        let value = self.number("the value of the exemplar")?;
        let timestamp = self.timestamp()?;
        Ok(Some(Exemplar { labels, value, timestamp }))
    }
}

impl<'a> Iterator for OpenMetricsParser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let event = self.event();
        if event.is_err() {
            self.cursor.stop();
            self.finished = true;
        }
        event.transpose()
    }
}

fn parse_comment(line: &[u8]) -> Result<Event<'_>, String> {
    let keyword = |word: &str| line.strip_prefix(b"# ").and_then(|rest| rest.strip_prefix(word.as_bytes()));
    let (word, rest) = ["HELP ", "TYPE ", "UNIT "]
        .into_iter()
        .find_map(|word| Some((word, keyword(word)?)))
        .ok_or("expected # HELP, # TYPE, # UNIT or # EOF")?;
    let (family, rest) = series::family_name(rest)?;
    let rest = match rest {
        [] => rest,
        [b' ', rest @ ..] => rest,
        _ => return Err(format!("expected a blank after the metric name {family:?}")),
    };
    let text = std::str::from_utf8(rest).map_err(|_| "text is not valid UTF-8".to_string())?;
    match word {
        "HELP " => Ok(Event::Help { family, text: series::unescape(text, true) }),
        "TYPE " => match MetricType::parse(text).filter(|_| text != "untyped") {
            Some(kind) => Ok(Event::Type { family, kind }),
            None => Err(format!("invalid metric type {text:?}")),
        },
        _ => {
            let is_suffix = family.strip_suffix(text).is_some_and(|stem| stem.len() > 1 && stem.ends_with('_'));
            if !text.is_empty() && !is_suffix {
                return Err(format!("unit {text:?} not a suffix of metric {family:?}"));
            }
            Ok(Event::Unit { family, unit: text })
        }
    }
}

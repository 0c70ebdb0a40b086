//! OpenMetrics 0.0.1 and 1.0.0: single blanks, timestamps in seconds, exemplars, units, and `# EOF` at the end, without
//! which the body may have been cut off. As strict as Prometheus' lexer (`model/textparse/openmetricslex.l`).

use std::borrow::Cow;

use crate::ingest::exposition::event::{Cursor, Event, Exemplar, ParseError, Sample, Value};
use crate::ingest::exposition::number;
use crate::ingest::exposition::series::{self, Grammar, RawLabels, RawSeries, TextSeries, Token};
use crate::ingest::raw_series::HashedMap;
use crate::model::metadata::MetricType;

#[derive(Clone)]
pub struct OpenMetricsParser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// The family whose metadata came last, and its type.
    family: Cow<'a, str>,
    kind: MetricType,
    finished: bool,
    /// Whether start timestamps are wanted.
    start_timestamps: bool,
    /// What the `_created` lines of the family say, by the group of series they speak of; `None` until it is needed.
    starts: Option<HashedMap<i64>>,
}

const CREATED: &[u8] = b"_created";

impl<'a> OpenMetricsParser<'a> {
    pub fn new(body: &'a [u8], start_timestamps: bool) -> Self {
        let (family, kind) = (Cow::Borrowed(""), MetricType::Unknown);
        Self { cursor: Cursor::new(body), family, kind, finished: false, start_timestamps, starts: None }
    }

    #[inline]
    fn event(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        loop {
            self.cursor.line_start = self.cursor.at;
            match self.cursor.peek() {
                None if self.finished => return Ok(None),
                None => return Err(self.cursor.error("data does not end with # EOF")),
                Some(b'#') => return self.comment(),
                Some(_) => {
                    let mut sample = self.sample()?;
                    if self.start_timestamps && self.has_start() {
                        let Some(start) = self.start_of(&sample)? else { continue };
                        sample.start_timestamp = start;
                    }
                    return Ok(Some(Event::Sample(sample)));
                }
            }
        }
    }

    fn comment(&mut self) -> Result<Option<Event<'a>>, ParseError> {
        if let Some(behind) = self.cursor.rest().strip_prefix(b"# EOF") {
            self.finished = true;
            return match behind {
                [] | [b'\n'] => {
                    self.cursor.stop();
                    Ok(None)
                }
                _ => Err(self.cursor.error("unexpected data after # EOF")),
            };
        }
        let event = self.metadata().map_err(|message| self.cursor.error_at_line_start(message))?;
        let (Event::Type { family, .. } | Event::Help { family, .. } | Event::Unit { family, .. }) = &event else {
            return Ok(Some(event));
        };
        (self.family, self.starts) = (family.clone(), None);
        Ok(Some(event))
    }

    fn metadata(&mut self) -> Result<Event<'a>, String> {
        let rest = self.cursor.rest();
        let keyword = |word: &str| rest.strip_prefix(b"# ").and_then(|rest| rest.strip_prefix(word.as_bytes()));
        let (word, rest) = ["HELP ", "TYPE ", "UNIT "]
            .into_iter()
            .find_map(|word| Some((word, keyword(word)?)))
            .ok_or("expected # HELP, # TYPE, # UNIT or # EOF")?;
        let (family, rest) =
            series::family_name(rest).map_err(|message| format!("{message} after {}", word.trim()))?;
        self.cursor.at = self.cursor.body.len() - rest.len();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return Err("data does not end with # EOF".to_string());
        };
        self.cursor.at += end + 1;
        let Some(text) = rest[..end].strip_prefix(b" ") else {
            return Err(format!("expected a blank and a text after the metric name {family:?}"));
        };
        let utf8 = |what: &str| std::str::from_utf8(text).map_err(|_| format!("{what} is not a valid utf8 string"));
        match word {
            "HELP " => Ok(Event::Help { family, text: series::unescape(utf8("help text")?, true) }),
            "TYPE " => {
                let text = utf8("metric type")?;
                let kind = MetricType::parse(text).filter(|_| text != "untyped");
                self.kind = kind.ok_or_else(|| format!("invalid metric type {text:?}"))?;
                Ok(Event::Type { family, kind: self.kind })
            }
            _ => {
                let unit = utf8("unit")?;
                if !unit.is_empty() && !family.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_')) {
                    return Err(format!("unit {unit:?} not a suffix of metric {family:?}"));
                }
                Ok(Event::Unit { family, unit: Cow::Borrowed(unit) })
            }
        }
    }

    #[inline]
    fn sample(&mut self) -> Result<Sample<'a>, ParseError> {
        let rest = self.cursor.rest();
        let len = series::scan(rest, Grammar::OpenMetrics).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let series = TextSeries { bytes: &rest[..len], grammar: Grammar::OpenMetrics, kind: self.kind };
        let value = self.number("value after metric")?;
        let timestamp = self.timestamp()?;
        let exemplars = self.exemplar()?;
        match self.cursor.peek() {
            Some(b'\n') => self.cursor.at += 1,
            Some(_) => return Err(self.cursor.error("expected the end of the line after the sample")),
            None => return Err(self.cursor.error("data does not end with # EOF")),
        }
        let (series, value) = (RawSeries::Text(series), Value::Float(value));
        Ok(Sample { series, value, timestamp, start_timestamp: 0, exemplars })
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
    #[inline]
    fn timestamp(&mut self) -> Result<Option<i64>, ParseError> {
        match self.cursor.rest() {
            [b' ', b'#', ..] => Ok(None),
            [b' ', ..] => {
                let seconds = self.number("timestamp")?;
                if !seconds.is_finite() {
                    return Err(self.cursor.error(format!("invalid timestamp {seconds}")));
                }
                Ok(Some((seconds * 1000.0) as i64))
            }
            _ => Ok(None),
        }
    }

    fn exemplar(&mut self) -> Result<Vec<Exemplar<'a>>, ParseError> {
        let Some(rest) = self.cursor.rest().strip_prefix(b" # ") else { return Ok(Vec::new()) };
        self.cursor.at += 3;
        if rest.first() != Some(&b'{') {
            return Err(self.cursor.error("expected the labels of an exemplar"));
        }
        let len = series::scan(rest, Grammar::Exemplar).map_err(|message| self.cursor.error(message))?;
        // Not every sample is looked at, but each has to be right.
        let labels = TextSeries { bytes: &rest[..len], grammar: Grammar::Exemplar, kind: MetricType::Unknown };
        labels.tokens().try_for_each(|token| token.map(drop)).map_err(|message| self.cursor.error(message))?;
        self.cursor.at += len;
        let value = self.number("value after exemplar labels")?;
        let timestamp = self.timestamp()?;
        Ok(vec![Exemplar { labels: RawLabels::Text(labels.bytes), value, timestamp }])
    }

    /// Whether series of the family may have a `_created` beside them.
    fn has_start(&self) -> bool {
        matches!(self.kind, MetricType::Counter | MetricType::Summary | MetricType::Histogram)
    }

    /// When the series of a sample began, 0 where nothing says so; `None` for a line that says so of others.
    fn start_of(&mut self, sample: &Sample<'a>) -> Result<Option<i64>, ParseError> {
        let RawSeries::Text(series) = &sample.series else { return Ok(Some(0)) };
        let name = series.tokens().find_map(|token| match token {
            Ok(Token::Name(name)) => Some(name),
            _ => None,
        });
        if name.is_some_and(|name| name.ends_with(CREATED)) {
            return Ok(None);
        }
        if self.starts.is_none() {
            self.starts = Some(self.starts_of_family());
        }
        let starts = self.starts.as_ref().expect("set above");
        if starts.is_empty() || !name.is_some_and(|name| name.starts_with(self.family.as_bytes())) {
            return Ok(Some(0));
        }
        let group = series.group(self.left_out(), |_| self.family.as_bytes());
        let key = group.map_err(|message| self.cursor.error_at_line_start(message))?.key;
        Ok(Some(starts.get(&key).copied().unwrap_or(0)))
    }

    /// What all series of one start have in common but this.
    fn left_out(&self) -> &'static str {
        match self.kind {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => "",
        }
    }

    /// The starts in the lines from here to the next comment, since they stand behind the series they speak of.
    fn starts_of_family(&self) -> HashedMap<i64> {
        let mut starts = HashedMap::default();
        let mut ahead = Self { start_timestamps: false, ..self.clone() };
        ahead.cursor.at = self.cursor.line_start;
        while matches!(ahead.cursor.peek(), Some(byte) if byte != b'#') {
            let Ok(sample) = ahead.sample() else { break };
            let (RawSeries::Text(series), Value::Float(seconds)) = (sample.series, sample.value) else { continue };
            let Ok(group) = series.group(self.left_out(), |name| name.strip_suffix(CREATED).unwrap_or(name)) else {
                break;
            };
            if group.metric.ends_with(CREATED) {
                starts.insert(group.key, (seconds * 1000.0) as i64);
            }
        }
        starts
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

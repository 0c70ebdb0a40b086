//! Metric name and labels of a line: `name{label="value"}` or, for names that are no identifiers,
//! `{"my.name", "my.label"="value"}`.

use std::borrow::Cow;

use crate::ingest::exposition::number;
use crate::ingest::labels::MAX_LABELS;
use crate::model::labels::METRIC_NAME;
use crate::model::metadata::MetricType;

/// The text of a series as the target wrote it. Two spellings of one series are two raw series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSeries<'a> {
    pub bytes: &'a [u8],
    /// The type of the family the line belongs to; decides whether `le` and `quantile` are numbers.
    pub kind: MetricType,
}

/// Decoded labels in the order of the text, the metric name under `__name__` first.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl<'a> RawSeries<'a> {
    /// Decodes names and values into `pairs`, which is cleared first. Empty values are kept, as they matter to
    /// `honor_labels`. Names are unique afterwards.
    pub fn decode(&self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        pairs.clear();
        let mut decoder = Decoder { rest: self.bytes };
        if decoder.rest.first() != Some(&b'{') {
            let name = decoder.identifier(true)?;
            pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
            decoder.skip_blanks();
            if decoder.rest.is_empty() {
                return Ok(());
            }
        }
        decoder.braces(pairs)?;
        self.normalise(pairs);
        Ok(())
    }

    /// `le="1"` and `le="1.0"` are one bucket: both become `1.0`, as Prometheus 3 does on every ingest.
    fn normalise(&self, pairs: &mut Pairs<'a>) {
        let label = match self.kind {
            MetricType::Histogram | MetricType::GaugeHistogram => "le",
            MetricType::Summary => "quantile",
            _ => return,
        };
        if let Some((_, value)) = pairs.iter_mut().find(|(name, _)| name == label)
            && let Some(number) = number::parse(value.as_bytes())
        {
            let canonical = number::format_openmetrics(number);
            if canonical != *value {
                *value = Cow::Owned(canonical);
            }
        }
    }
}

/// The length of the series text at the start of `rest`; blanks between name and braces belong to it. Only as
/// much is checked as is needed to find the end; `decode` checks the rest.
#[inline]
pub(super) fn scan(rest: &[u8]) -> Result<usize, &'static str> {
    let name = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'{' | b'\n')).unwrap_or(rest.len());
    let mut at = name;
    while matches!(rest.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    if rest.get(at) != Some(&b'{') {
        return if name == 0 { Err("expected a metric name or a left brace") } else { Ok(name) };
    }
    loop {
        let Some(step) = memchr::memchr3(b'"', b'}', b'\n', &rest[at..]) else {
            return Err("unexpected end of input inside braces");
        };
        at += step;
        match rest[at] {
            b'}' => return Ok(at + 1),
            b'"' => at += string_len(&rest[at..]).ok_or("unterminated string")?,
            _ => return Err("unexpected end of line inside braces"),
        }
    }
}

/// The length of the quoted string at the start, with its quotes.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The metric name of a comment line: an identifier up to a blank or the end of the line, or a quoted string.
/// Yields it with what follows.
pub(super) fn family_name(line: &[u8]) -> Result<(Cow<'_, str>, &[u8]), String> {
    let mut decoder = Decoder { rest: line };
    let name = match line.first() {
        Some(b'"') => decoder.string()?,
        _ => Cow::Borrowed(decoder.identifier(true)?),
    };
    Ok((name, decoder.rest))
}

/// Replaces `\\`, `\n` and, where `quotes` says so, `\"`. Other escapes stand for themselves.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quotes => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        self.skip_blanks();
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(format!("expected {:?}, got {}", byte as char, self.found())),
        }
    }

    fn braces(&mut self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        self.expect(b'{')?;
        loop {
            self.skip_blanks();
            if self.rest.first() == Some(&b'}') {
                return Ok(());
            }
            self.pair(pairs)?;
            self.skip_blanks();
            match self.rest.first() {
                Some(b'}') => return Ok(()),
                _ => self.expect(b',')?,
            }
        }
    }

    /// `name="value"`, or a quoted metric name alone.
    fn pair(&mut self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        let quoted = self.rest.first() == Some(&b'"');
        let name = if quoted { self.string()? } else { Cow::Borrowed(self.identifier(false)?) };
        self.skip_blanks();
        if quoted && matches!(self.rest.first(), Some(b',' | b'}')) {
            if pairs.first().is_some_and(|(name, _)| name == METRIC_NAME) {
                return Err("metric name is given twice".to_string());
            }
            pairs.insert(0, (Cow::Borrowed(METRIC_NAME), name));
            return Ok(());
        }
        self.expect(b'=')?;
        self.skip_blanks();
        if self.rest.first() != Some(&b'"') {
            return Err(format!("expected a label value in quotes, got {}", self.found()));
        }
        let value = self.string()?;
        if name.is_empty() {
            return Err("empty label name".to_string());
        }
        if pairs.iter().any(|(other, _)| *other == name) {
            return Err(format!("label name {name:?} is not unique"));
        }
        if pairs.len() >= MAX_LABELS {
            return Err(format!("more than {MAX_LABELS} labels"));
        }
        pairs.push((name, value));
        Ok(())
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`, with `:` in metric names.
    fn identifier(&mut self, colons: bool) -> Result<&'a str, String> {
        let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (colons && b == b':');
        let len = self.rest.iter().position(|b| !part(*b)).unwrap_or(self.rest.len());
        if len == 0 || self.rest[0].is_ascii_digit() {
            return Err(format!(
                "expected a {} name, got {}",
                if colons { "metric" } else { "label" },
                self.found()
            ));
        }
        let (name, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(std::str::from_utf8(name).expect("identifiers are ASCII"))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let len = string_len(self.rest).ok_or("unterminated string")?;
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        let text = std::str::from_utf8(&text[1..len - 1]).map_err(|_| "text is not valid UTF-8")?;
        Ok(unescape(text, true))
    }

    fn found(&self) -> String {
        match self.rest.first() {
            Some(byte) if byte.is_ascii() => format!("{:?}", *byte as char),
            Some(byte) => format!("byte {byte:#04x}"),
            None => "the end".to_string(),
        }
    }
}

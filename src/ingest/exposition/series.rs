//! A series as its target wrote it: enough to find it again among the known ones, and its labels for whoever has to
//! know them. The grammar of names and labels is that of Prometheus' lexers (`model/textparse/*.l`), to the letter.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::ingest::exposition::message::MessageSeries;
use crate::ingest::exposition::number;
use crate::ingest::labels::MAX_LABELS;
use crate::model::labels::METRIC_NAME;
use crate::model::metadata::MetricType;

/// Decoded labels in the order of the target, the metric name under `__name__` first. A name may occur twice.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A series of any format. Two spellings of one series are two raw series.
#[derive(Clone, Debug, PartialEq)]
pub enum RawSeries<'a> {
    Text(TextSeries<'a>),
    /// A histogram made of the classic series that share the key; one of them is at hand.
    Converted {
        one_of: TextSeries<'a>,
        key: u128,
    },
    Message(MessageSeries<'a>),
}

impl<'a> RawSeries<'a> {
    /// Stands for the series among those of its target. 128 bits: two series of one key will not be met by accident.
    #[inline]
    pub fn key(&self) -> u128 {
        match self {
            RawSeries::Text(series) => xxh3_128(series.bytes),
            RawSeries::Converted { key, .. } => *key,
            RawSeries::Message(series) => series.key(),
        }
    }

    /// Decodes names and values into `pairs`, which is cleared first. Empty values are kept, as they matter to
    /// `honor_labels`.
    pub fn decode(&self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        pairs.clear();
        match self {
            RawSeries::Text(series) => series.decode(pairs),
            RawSeries::Converted { one_of, .. } => {
                one_of.decode(pairs)?;
                pairs.retain(|(name, _)| name != "le");
                for (_, value) in pairs.iter_mut().filter(|(name, _)| name == METRIC_NAME) {
                    let suffix = CLASSIC_SUFFIXES.iter().find(|(suffix, _)| value.ends_with(suffix));
                    let len = value.len() - suffix.map_or(0, |(suffix, _)| suffix.len());
                    *value = Cow::Owned(value[..len].to_string());
                }
                Ok(())
            }
            RawSeries::Message(series) => series.decode(pairs),
        }
    }
}

/// Who divides labels how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Blanks anywhere, commas wherever one likes.
    Text,
    /// No blanks, and commas between labels.
    OpenMetrics,
    /// The labels of an OpenMetrics exemplar: no metric name.
    Exemplar,
}

/// A series of the text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSeries<'a> {
    /// Blanks before the name belong to it, as Prometheus has it.
    pub bytes: &'a [u8],
    pub grammar: Grammar,
    /// The type of the family the line belongs to; decides whether `le` and `quantile` are numbers.
    pub kind: MetricType,
}

impl<'a> TextSeries<'a> {
    pub(super) fn tokens(&self) -> Tokens<'a> {
        Tokens { rest: self.bytes, grammar: self.grammar, named: false, in_braces: false }
    }

    fn decode(&self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        for token in self.tokens() {
            match token? {
                Token::Name(raw) => pairs.insert(0, (Cow::Borrowed(METRIC_NAME), unescape(utf8(raw)?, true))),
                Token::Label(name, value) => {
                    if pairs.len() > MAX_LABELS {
                        return Err(format!("more than {MAX_LABELS} labels"));
                    }
                    let name = unescape(utf8(name)?, true);
                    let value = self.normalised(&name, unescape(utf8(value)?, true));
                    pairs.push((name, value));
                }
            }
        }
        Ok(())
    }

    /// `le="1"` and `le="1.0"` are one bucket: both become `1.0`, as Prometheus 3 does on every ingest.
    fn normalised(&self, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
        let is_number = match self.kind {
            MetricType::Histogram => name == "le",
            MetricType::Summary => name == "quantile",
            _ => false,
        };
        match number::parse_label(value.as_bytes()).filter(|_| is_number) {
            Some(number) => {
                let canonical = number::format_openmetrics(number);
                if canonical == *value { value } else { Cow::Owned(canonical) }
            }
            None => value,
        }
    }

    /// A key that all series have in common whose names differ at most in what `name_of` cuts off, and whose labels
    /// differ at most in `left_out`, wherever it stands.
    pub(super) fn group<'n>(
        &self,
        left_out: &str,
        name_of: impl Fn(&'a [u8]) -> &'n [u8],
    ) -> Result<Group<'a>, String> {
        let (mut key, mut metric, mut found) = (0u128, &b""[..], None);
        for token in self.tokens() {
            match token? {
                Token::Name(name) => {
                    metric = name;
                    key = key.wrapping_add(xxh3_128_with_seed(name_of(name), NAME_SEED));
                }
                Token::Label(name, value) if name == left_out.as_bytes() => {
                    found = Some(unescape(utf8(value)?, true))
                }
                Token::Label(name, value) => {
                    let value = unescape(utf8(value)?, true);
                    // Sums do not depend on the order of labels.
                    let seed = xxh3_128(name) as u64;
                    key = key.wrapping_add(xxh3_128_with_seed(value.as_bytes(), seed));
                }
            }
        }
        Ok(Group { key, metric, left_out: found })
    }
}

/// See [`TextSeries::group`].
pub(super) struct Group<'a> {
    pub key: u128,
    /// As it stands.
    pub metric: &'a [u8],
    pub left_out: Option<Cow<'a, str>>,
}

const NAME_SEED: u64 = 1;

/// What a series is within a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassicPart {
    Bucket,
    Sum,
    Count,
}

const CLASSIC_SUFFIXES: [(&str, ClassicPart); 3] =
    [("_bucket", ClassicPart::Bucket), ("_sum", ClassicPart::Sum), ("_count", ClassicPart::Count)];

impl ClassicPart {
    /// By the end of the name, which is left out of what is yielded with it.
    pub(super) fn split(name: &[u8]) -> (Option<Self>, &[u8]) {
        let found = CLASSIC_SUFFIXES
            .iter()
            .find_map(|(suffix, part)| Some((Some(*part), name.strip_suffix(suffix.as_bytes())?)));
        found.unwrap_or((None, name))
    }
}

/// The labels of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawLabels<'a> {
    /// `{…}`, whose escapes stand for themselves, as in Prometheus.
    Text(&'a [u8]),
    /// A protobuf `Exemplar`.
    Message(&'a [u8]),
}

impl<'a> RawLabels<'a> {
    pub fn decode(&self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        pairs.clear();
        match self {
            RawLabels::Text(bytes) => {
                let labels = TextSeries { bytes, grammar: Grammar::Exemplar, kind: MetricType::Unknown };
                for token in labels.tokens() {
                    if let Token::Label(name, value) = token? {
                        pairs.push((Cow::Borrowed(utf8(name)?), Cow::Borrowed(utf8(value)?)));
                    }
                }
                Ok(())
            }
            RawLabels::Message(message) => super::message::labels(message, pairs),
        }
    }
}

/// A part of a series as it stands, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Name(&'a [u8]),
    Label(&'a [u8], &'a [u8]),
}

/// The parts of a series; ends after the first error.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    grammar: Grammar,
    named: bool,
    in_braces: bool,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Token<'a>, String>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let token = match self.in_braces {
            false => self.first(),
            true => self.within_braces(),
        };
        if token.is_err() {
            (self.rest, self.in_braces) = (&[], false);
        }
        token.transpose()
    }
}

impl<'a> Tokens<'a> {
    /// The name before the braces, and then what is in them.
    fn first(&mut self) -> Result<Option<Token<'a>>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let blanks = if self.grammar == Grammar::Text { blanks(self.rest) } else { 0 };
        let len = match self.named {
            true => 0,
            false => identifier(&self.rest[blanks..], true),
        };
        if len > 0 {
            self.named = true;
            return Ok(Some(Token::Name(self.cut(blanks + len))));
        }
        self.skip_blanks();
        self.expect(b'{')?;
        self.in_braces = true;
        self.within_braces()
    }

    fn within_braces(&mut self) -> Result<Option<Token<'a>>, String> {
        self.skip_blanks();
        if self.rest.first() == Some(&b'}') {
            (self.rest, self.in_braces) = (&[], false);
            return match self.named || self.grammar == Grammar::Exemplar {
                true => Ok(None),
                false => Err("metric name not set".to_string()),
            };
        }
        let quoted = self.rest.first() == Some(&b'"');
        let name = match quoted {
            true => self.string(self.grammar != Grammar::Exemplar, false)?,
            false => self.label_name()?,
        };
        self.skip_blanks();
        if quoted && matches!(self.rest.first(), Some(b',' | b'}')) && self.grammar != Grammar::Exemplar {
            if self.named {
                return Err("metric name already set".to_string());
            }
            self.named = true;
            if self.rest.first() == Some(&b',') {
                self.cut(1);
            }
            return Ok(Some(Token::Name(name)));
        }
        self.expect(b'=')?;
        self.skip_blanks();
        if self.rest.first() != Some(&b'"') {
            return Err(format!("expected label value in quotes, got {}", self.found()));
        }
        let value = self.string(self.grammar == Grammar::Text, self.grammar != Grammar::Exemplar)?;
        if std::str::from_utf8(value).is_err() {
            return Err(format!("invalid UTF-8 label value: {:?}", String::from_utf8_lossy(value)));
        }
        self.skip_blanks();
        match self.rest.first() {
            Some(b',') => drop(self.cut(1)),
            Some(b'}') => {}
            // Blanks divide labels as well, or nothing at all.
            _ if self.grammar == Grammar::Text => {}
            _ => return Err(format!("expected comma or brace close, got {}", self.found())),
        }
        Ok(Some(Token::Label(name, value)))
    }

    fn label_name(&mut self) -> Result<&'a [u8], String> {
        match identifier(self.rest, false) {
            0 => Err(format!("expected label name, got {}", self.found())),
            len => Ok(self.cut(len)),
        }
    }

    /// What is between quotes. A backslash takes the next character with it, unless that ends the line.
    fn string(&mut self, line_feeds: bool, zeros: bool) -> Result<&'a [u8], String> {
        let len = string_len(self.rest).ok_or("unterminated string")?;
        let text = &self.cut(len)[1..len - 1];
        let bad = |byte: u8| (byte == b'\n' && !line_feeds) || (byte == 0 && !zeros);
        if text.iter().any(|byte| bad(*byte)) || escapes_line_feed(text) {
            return Err(format!("invalid string {:?}", String::from_utf8_lossy(text)));
        }
        Ok(text)
    }

    fn skip_blanks(&mut self) {
        if self.grammar == Grammar::Text {
            self.rest = &self.rest[blanks(self.rest)..];
        }
    }

    fn cut(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.rest.first() != Some(&byte) {
            return Err(format!("expected {:?}, got {}", byte as char, self.found()));
        }
        self.cut(1);
        Ok(())
    }

    fn found(&self) -> String {
        match self.rest.first() {
            Some(byte) if byte.is_ascii() => format!("{:?}", *byte as char),
            Some(byte) => format!("byte {byte:#04x}"),
            None => "the end".to_string(),
        }
    }
}

/// The length of the series at the start of `rest`, where no blanks are. Only as much is checked as is needed to find
/// its end; [`RawSeries::decode`] checks the rest.
#[inline]
pub(super) fn scan(rest: &[u8], grammar: Grammar) -> Result<usize, &'static str> {
    let name = identifier(rest, true);
    let mut at = name;
    if grammar == Grammar::Text {
        at += blanks(&rest[at..]);
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

/// The length of the quoted string at the start, with its quotes. What follows a backslash belongs to it; the lexers pass
/// over bytes of zero in between.
#[inline]
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 1;
        while text.get(at) == Some(&0) {
            at += 1;
        }
        at += 1;
    }
}

fn escapes_line_feed(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while bytes.by_ref().any(|byte| *byte == b'\\') {
        if bytes.by_ref().find(|byte| **byte != 0) == Some(&b'\n') {
            return true;
        }
    }
    false
}

/// The metric name of a comment: an identifier, or what stands between quotes, as it is. Yields it with what follows.
pub(super) fn family_name(text: &[u8]) -> Result<(Cow<'_, str>, &[u8]), String> {
    let mut tokens = Tokens { rest: text, grammar: Grammar::OpenMetrics, named: false, in_braces: false };
    let name = match text.first() {
        Some(b'"') => tokens.string(true, false)?,
        _ => match identifier(text, true) {
            0 => return Err(format!("expected metric name, got {}", tokens.found())),
            len => tokens.cut(len),
        },
    };
    let text = std::str::from_utf8(name).map_or_else(|_| String::from_utf8_lossy(name), Cow::Borrowed);
    Ok((text, tokens.rest))
}

#[inline]
pub(super) fn blanks(text: &[u8]) -> usize {
    text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len())
}

const LETTER: u8 = 1;
const COLON: u8 = 2;
const DIGIT: u8 = 4;

/// What each byte may be in a name.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        classes[byte] = match b {
            b':' => COLON,
            b'0'..=b'9' => DIGIT,
            _ if b.is_ascii_alphabetic() || b == b'_' => LETTER,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// The length of `[a-zA-Z_][a-zA-Z0-9_]*` at the start, with `:` in metric names.
#[inline]
fn identifier(text: &[u8], colons: bool) -> usize {
    let first = if colons { LETTER | COLON } else { LETTER };
    match text.first() {
        Some(byte) if CLASSES[usize::from(*byte)] & first != 0 => {}
        _ => return 0,
    }
    let part = first | DIGIT;
    text.iter().position(|byte| CLASSES[usize::from(*byte)] & part == 0).unwrap_or(text.len())
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|_| format!("invalid metric name or label names: {:?}", String::from_utf8_lossy(bytes)))
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

//! Series lines, `metric{label="value"} 1 2+3x4 _x5 stale {{count:1}}`, and the `@st` lines before them.

use promlake::model::labels::Labels;
use promlake::model::matcher::MatchOp;
use promlake::model::sample::STALE_NAN;
use promlake::promql::durations::parse_duration;
use promlake::promql::numbers;
use promlake::promql::parse::parse_selector;

use super::histogram::{Described, parse_histogram};

/// One place of a sequence; places are an interval apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Omitted,
    Float(f64),
    Histogram(Described),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    pub labels: Labels,
    pub items: Vec<Item>,
}

/// No test needs longer sequences, and a typo should not fill the memory.
const MAX_REPEATS: usize = 1_000_000;

pub fn parse_series(line: &str) -> Result<SeriesLine, String> {
    let split = metric_end(line)?;
    let labels = parse_labels(&line[..split])?;
    let mut items = Vec::new();
    for word in words(&line[split..]) {
        parse_item(word, &mut items).map_err(|why| format!("{word:?} in {line:?}: {why}"))?;
    }
    Ok(SeriesLine { labels, items })
}

pub fn parse_labels(text: &str) -> Result<Labels, String> {
    let matchers = parse_selector(text).map_err(|e| format!("labels {text:?}: {e}"))?;
    if let Some(bad) = matchers.iter().find(|m| m.op != MatchOp::Equal) {
        return Err(format!("labels {text:?}: {bad} is no label"));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (&m.name, &m.value))))
}

/// Where the labels of a series line end: at the first space outside quotes and braces.
fn metric_end(line: &str) -> Result<usize, String> {
    let (mut quote, mut escaped, mut braces) = (None, false, false);
    for (i, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => braces = true,
            (None, '}') => braces = false,
            (None, ' ' | '\t') if !braces => return Ok(i),
            _ => {}
        }
    }
    if quote.is_some() || braces { Err(format!("labels of {line:?} do not end")) } else { Ok(line.len()) }
}

/// Words between spaces; `{{...}}` belongs to its word with the spaces inside.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut depth) = (None, 0usize);
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            words.extend(start.take().map(|s| &text[s..i]));
        } else if start.is_none() {
            start = Some(i);
        }
    }
    words.extend(start.map(|s| &text[s..]));
    words
}

fn parse_item(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    if word == "_" {
        items.push(Item::Omitted);
    } else if let Some(count) = word.strip_prefix("_x") {
        items.resize(items.len() + repeats(count)?, Item::Omitted);
    } else if word == "stale" {
        items.push(Item::Float(STALE_NAN));
    } else if word.starts_with("{{") {
        parse_histogram_item(word, items)?;
    } else {
        parse_float_item(word, items)?;
    }
    Ok(())
}

fn repeats(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n <= MAX_REPEATS).ok_or(format!("{text:?} is no count"))
}

/// `a`, `axN`, `a+bxN`, `a-bxN`; the last two add repeatedly, as floats round.
fn parse_float_item(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (start, rest) = number_prefix(word);
    let mut value = numbers::parse_number(start)?;
    if rest.is_empty() {
        items.push(Item::Float(value));
        return Ok(());
    }
    let (step, rest) = if rest.starts_with('x') { ("0", rest) } else { number_prefix(rest) };
    let step = numbers::parse_number(step)?;
    let count = repeats(rest.strip_prefix('x').ok_or("expected x and a count")?)?;
    for i in 0..=count {
        if i > 0 && step != 0.0 {
            value += step;
        }
        items.push(Item::Float(value));
    }
    Ok(())
}

/// A signed number and what follows it.
fn number_prefix(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut i = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if matches!(bytes.get(i), Some(b'i' | b'I' | b'n' | b'N')) {
        i += 3;
        return text.split_at(i.min(text.len()));
    }
    while let Some(b) = bytes.get(i) {
        let exponent_sign = matches!(b, b'+' | b'-') && matches!(bytes[i - 1], b'e' | b'E') && i > 1;
        if !(b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E') || exponent_sign) {
            break;
        }
        i += 1;
    }
    text.split_at(i)
}

/// `h`, `hxN`, `h+hxN`, `h-hxN`.
fn parse_histogram_item(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (first, rest) = histogram_prefix(word)?;
    if rest.is_empty() {
        items.push(Item::Histogram(first));
        return Ok(());
    }
    if let Some(count) = rest.strip_prefix('x') {
        items.resize(items.len() + repeats(count)? + 1, Item::Histogram(first));
        return Ok(());
    }
    let negative = rest.starts_with('-');
    let (step, rest) = histogram_prefix(&rest[1..])?;
    let count = repeats(rest.strip_prefix('x').ok_or("expected x and a count")?)?;
    let mut current = Described { hint_given: step.hint_given, ..first };
    for i in 0..=count {
        if i > 0 {
            current.histogram = current.histogram.plus(&step.histogram, if negative { -1.0 } else { 1.0 })?;
        }
        items.push(Item::Histogram(current.clone()));
    }
    Ok(())
}

fn histogram_prefix(text: &str) -> Result<(Described, &str), String> {
    let end = text.find("}}").ok_or("histogram does not end")? + 2;
    let inner = text[..end].strip_prefix("{{").ok_or("expected {{")?;
    Ok((parse_histogram(&inner[..inner.len() - 2])?, &text[end..]))
}

/// The labels and offsets of a start timestamp line, `None` for another line. Offsets are milliseconds from
/// the sample's time.
pub type StartTimestamps = (Labels, Vec<Option<i64>>);

pub fn parse_start_timestamps(line: &str) -> Result<Option<StartTimestamps>, String> {
    let Some((head, tail)) = line.split_once([' ', '\t']) else {
        return Ok(None);
    };
    let Some(metric) = head.strip_suffix("@st") else {
        return Ok(None);
    };
    let mut offsets = Vec::new();
    for word in tail.split_whitespace() {
        parse_offset_item(word, &mut offsets).map_err(|why| format!("{word:?} in {line:?}: {why}"))?;
    }
    Ok(Some((parse_labels(metric)?, offsets)))
}

fn parse_offset_item(word: &str, offsets: &mut Vec<Option<i64>>) -> Result<(), String> {
    if word == "_" {
        offsets.push(None);
        return Ok(());
    }
    if let Some(count) = word.strip_prefix("_x") {
        offsets.resize(offsets.len() + repeats(count)?, None);
        return Ok(());
    }
    let (mut value, rest) = duration_prefix(word)?;
    if rest.is_empty() {
        offsets.push(Some(value));
        return Ok(());
    }
    let (step, rest) = if rest.starts_with('x') { (0, rest) } else { duration_prefix(rest)? };
    let count = repeats(rest.strip_prefix('x').ok_or("expected x and a count")?)?;
    for _ in 0..=count {
        offsets.push(Some(value));
        value += step;
    }
    Ok(())
}

/// A signed duration and what follows it; `x` is never part of a unit.
fn duration_prefix(text: &str) -> Result<(i64, &str), String> {
    let (sign, body) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let unit = body[digits..].find(|c: char| !c.is_ascii_alphabetic() || c == 'x');
    let end = unit.map_or(body.len(), |n| digits + n);
    let ms = parse_duration(&body[..end]).map_err(|e| e.to_string())?;
    Ok((sign * ms, &body[end..]))
}

//! The notation of series in tests of rules: `metric{label="value"} 1 2+3x4 _x5 stale {{count:1}}`, labels and a sequence of
//! values that are an interval apart.

/// `{{schema:0 count:3 buckets:[1 2]}}`.
mod histogram;

use std::sync::Arc;

use super::numbers::parse_number;
use super::parse::error::ParseError;
use super::parse::parse_selector;
use super::span::{Span, line_column};
use super::strings::quote;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::MatchOp;
use crate::model::sample::STALE_NAN;

/// Sorted by name. An empty value is kept where no metric stands before the braces, as Prometheus' parser has it.
pub type Pairs = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: Pairs,
    pub values: Vec<Value>,
}

/// One place of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Omitted,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// A part of a text that is wrong: where it begins in there, and why.
struct Problem {
    at: usize,
    message: String,
}

type Parsed<T> = Result<T, Problem>;

fn problem<T>(at: usize, message: impl Into<String>) -> Parsed<T> {
    Err(Problem { at, message: message.into() })
}

/// Parses a line. A short text can stand for many values: only the first `needed` are made, and of these there may be
/// `most`.
pub fn parse(line: &str, needed: usize, most: usize) -> Result<Series, ParseError> {
    let split = metric_end(line);
    let labels = parse_labels(&line[..split])?;
    if labels.is_empty() && line[..split].trim().is_empty() {
        return Err(located(Problem { at: split, message: "no series in it".to_string() }, line));
    }
    let mut values = Values { text: line, at: split, found: Vec::new(), needed, most };
    values.read().map_err(|problem| located(problem, line))?;
    Ok(Series { labels, values: values.found })
}

/// Labels alone, with a metric or without; nothing for an empty text.
pub fn parse_labels(text: &str) -> Result<Pairs, ParseError> {
    if text.trim().is_empty() {
        return Ok(Pairs::new());
    }
    let matchers = parse_selector(text)?;
    if let Some(bad) = matchers.iter().find(|m| m.op != MatchOp::Equal) {
        let message = format!("unexpected {} in label set, expected \"=\"", quote(bad.op.as_str()));
        let at = text.find(bad.op.as_str()).unwrap_or(0);
        return Err(located(Problem { at, message }, text));
    }
    let has_metric_before = !text.trim_start().starts_with('{');
    let mut pairs: Pairs = matchers.into_iter().map(|m| (m.name, m.value)).collect();
    if has_metric_before {
        // The metric comes last, and takes the place of a label of its name.
        let metric = pairs.pop();
        pairs.retain(|(name, value)| name != METRIC_NAME && !value.is_empty());
        pairs.extend(metric);
    }
    pairs.sort_unstable();
    Ok(pairs)
}

fn located(problem: Problem, text: &str) -> ParseError {
    let position = Some(line_column(text, problem.at));
    ParseError { message: problem.message, span: Span::new(problem.at, text.len()), position }
}

/// Where the labels of a line end: at the first blank outside quotes and braces, or behind the braces.
fn metric_end(line: &str) -> usize {
    let (mut quote, mut escaped, mut braces) = (None, false, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => braces = true,
            (None, '}') if braces => return at + 1,
            (None, ' ' | '\t') if !braces => return at,
            _ => {}
        }
    }
    line.len()
}

/// Reads a sequence.
struct Values<'a> {
    text: &'a str,
    at: usize,
    found: Vec<Value>,
    needed: usize,
    most: usize,
}

impl Values<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn read(&mut self) -> Parsed<()> {
        loop {
            let blanks = self.rest().len() - self.rest().trim_start().len();
            self.at += blanks;
            if self.rest().is_empty() {
                return Ok(());
            }
            if blanks == 0 {
                return problem(self.at, format!("unexpected {} in series values", quote(self.word())));
            }
            self.item()?;
        }
    }

    /// Up to the next blank, for messages.
    fn word(&self) -> &str {
        self.rest().split_whitespace().next().unwrap_or("")
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn item(&mut self) -> Parsed<()> {
        let start = self.at;
        if self.take("_") {
            let count = if self.take("x") { self.count()? } else { 1 };
            return self.push(start, count, |_| Ok(Value::Omitted));
        }
        if self.rest().starts_with("{{") {
            return self.histograms();
        }
        let value = self.number()?;
        if self.take("x") {
            let count = self.count()?;
            return self.push(start, count.saturating_add(1), |_| Ok(Value::Float(value)));
        }
        if !self.rest().starts_with(['+', '-']) {
            return self.push(start, 1, |_| Ok(Value::Float(value)));
        }
        let step = self.number()?;
        if !self.take("x") {
            return problem(self.at, "expected x and a count in series values");
        }
        let count = self.count()?;
        let mut value = value;
        // Added one by one, as floats round.
        self.push(start, count.saturating_add(1), |place| {
            value += if place == 0 { 0.0 } else { step };
            Ok(Value::Float(value))
        })
    }

    /// So many values, by their place.
    fn push(&mut self, start: usize, count: usize, mut value: impl FnMut(usize) -> Parsed<Value>) -> Parsed<()> {
        let count = count.min(self.needed - self.found.len());
        if count > self.most - self.found.len() {
            return problem(start, format!("more than {} values", self.most));
        }
        for place in 0..count {
            let value = value(place)?;
            self.found.push(value);
        }
        Ok(())
    }

    /// A number with its sign, or the word that ends a series.
    fn number(&mut self) -> Parsed<f64> {
        let start = self.at;
        let signed = usize::from(self.rest().starts_with(['+', '-']));
        let body = &self.rest()[signed..];
        if body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = &body[..body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len())];
            let end = start + signed + word.len();
            let number = match word.to_ascii_lowercase().as_str() {
                "stale" if signed == 0 && word == "stale" => Some(STALE_NAN),
                "nan" => Some(f64::NAN),
                "inf" => Some(if self.rest().starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
                _ => None,
            };
            let told =
                format!("unexpected identifier {} in series values, expected number or \"stale\"", quote(word));
            self.at = end;
            return number.map_or_else(|| problem(start, told), Ok);
        }
        let digits = number_len(body.as_bytes());
        if digits == 0 {
            let c = self.rest().chars().next().unwrap_or(' ');
            return problem(start, format!("unexpected character in series sequence: {c:?}"));
        }
        let end = start + signed + digits;
        let value = parse_number(&self.text[start..end]).or_else(|message| problem(start, message))?;
        self.at = end;
        Ok(value)
    }

    fn count(&mut self) -> Parsed<usize> {
        let start = self.at;
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        let word = &self.text[start..self.at];
        word.parse()
            .or_else(|_| problem(start, format!("unexpected {} in series values, expected a count", quote(word))))
    }

    /// `h`, `hxN`, `h+hxN`, `h-hxN`.
    fn histograms(&mut self) -> Parsed<()> {
        let start = self.at;
        let first = self.histogram()?;
        let mut current = Arc::new(first);
        if self.take("x") {
            let count = self.count()?;
            return self.push(start, count.saturating_add(1), |_| Ok(Value::Histogram(current.clone())));
        }
        let sign = match self.rest().chars().next() {
            Some(sign @ ('+' | '-')) => sign,
            _ => return self.push(start, 1, |_| Ok(Value::Histogram(current.clone()))),
        };
        self.at += 1;
        let step = self.histogram()?;
        if !self.take("x") {
            return problem(self.at, "expected x and a count in series values");
        }
        let count = self.count()?;
        for histogram in [&*current, &step] {
            histogram.validate().or_else(|error| problem(start, error.to_string()))?;
        }
        self.push(start, count.saturating_add(1), |place| {
            if place > 0 {
                let next = histogram::combined(&current, &step, sign).or_else(|message| problem(start, message))?;
                current = Arc::new(next);
            }
            Ok(Value::Histogram(current.clone()))
        })
    }

    fn histogram(&mut self) -> Parsed<FloatHistogram> {
        let start = self.at;
        let inner = self.rest().strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
        let Some((inner, _)) = inner else {
            return problem(start, "histogram description incomplete: expected {{ and }}");
        };
        let end = start + inner.len() + 4;
        let parsed = histogram::parse(inner).or_else(|message| problem(start, message))?;
        self.at = end;
        Ok(parsed)
    }
}

/// How much of a text is digits, a point, an exponent, and `_` between them.
fn number_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let signs_exponent = matches!(byte, b'+' | b'-') && at > 1 && matches!(text[at - 1], b'e' | b'E');
        if !(byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'e' | b'E') || signs_exponent) {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;

//! The notation of histograms in tests: `schema:0 sum:1 count:2 buckets:[1 1] offset:1` between double braces.

use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::promql::numbers::parse_number;
use crate::promql::strings::quote;

/// Parses what stands between the braces. It may be no histogram that could be stored.
pub(super) fn parse(text: &str) -> Result<FloatHistogram, String> {
    let mut histogram = FloatHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut seen: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(|| {
            format!(
                "unexpected {} in histogram description, expected histogram description key, e.g. buckets:[5 10 7]",
                quote(rest.split_whitespace().next().unwrap_or(rest))
            )
        })?;
        let key = key.to_ascii_lowercase();
        let (value, tail) = take_value(tail)?;
        rest = tail.trim_start();
        match key.as_str() {
            "schema" => histogram.schema = integer(&key, value)?,
            "sum" => histogram.sum = parse_number(value)?,
            "count" => histogram.count = parse_number(value)?,
            "z_bucket" => histogram.zero_count = parse_number(value)?,
            "z_bucket_w" => histogram.zero_threshold = parse_number(value)?,
            "buckets" => histogram.positive_buckets = list(value)?,
            "n_buckets" => histogram.negative_buckets = list(value)?,
            "offset" => offset = integer(&key, value)?,
            "n_offset" => negative_offset = integer(&key, value)?,
            "custom_values" => histogram.custom_values = list(value)?,
            "counter_reset_hint" => histogram.counter_reset_hint = hint(value)?,
            _ => return Err(format!("bad histogram descriptor found: {}", quote(&key))),
        }
        if seen.contains(&key) {
            return Err(format!("duplicate key {} in histogram", quote(&key)));
        }
        seen.push(key);
    }
    histogram.positive_spans = one_span(offset, &histogram.positive_buckets);
    histogram.negative_spans = one_span(negative_offset, &histogram.negative_buckets);
    Ok(histogram)
}

/// A histogram plus or minus another, of which neither is broken.
pub(super) fn combined(base: &FloatHistogram, step: &FloatHistogram, sign: char) -> Result<FloatHistogram, String> {
    if base.schema > step.schema {
        let (from, to) = (step.schema, base.schema);
        return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
    }
    let mut out = base.clone();
    let combined = if sign == '-' { out.sub(step) } else { out.add(step) };
    combined.map(|_| out).map_err(|error| error.to_string())
}

/// A value up to the next blank, or a list in brackets without them.
fn take_value(text: &str) -> Result<(&str, &str), String> {
    if let Some(list) = text.strip_prefix('[') {
        return list.split_once(']').ok_or_else(|| format!("the list [{list} does not end"));
    }
    Ok(text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())))
}

fn integer(key: &str, text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("error parsing {key} number: {text}"))
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    text.split_whitespace().map(parse_number).collect()
}

fn hint(text: &str) -> Result<CounterResetHint, String> {
    Ok(match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return Err(format!("error parsing counter_reset_hint: unknown value {text}")),
    })
}

fn one_span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    match u32::try_from(buckets.len()) {
        Ok(length @ 1..) => vec![Span { offset, length }],
        _ => Vec::new(),
    }
}

//! The histogram notation `{{schema:0 sum:1 count:2 buckets:[1 1] offset:1}}`, with the little arithmetic that
//! sequences of histograms need, kept apart from the engine's.

use std::collections::BTreeMap;

use promlake::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use promlake::promql::numbers::parse_number;

use super::expect::almost_equal;

/// A histogram as a test writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub histogram: Sparse,
    /// The hint was written, so that a result must have it too.
    pub hint_given: bool,
}

/// A histogram with its buckets by index; index 0 is the first bucket of the first span without offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse {
    pub hint: CounterResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive: BTreeMap<i32, f64>,
    pub negative: BTreeMap<i32, f64>,
    pub custom_values: Vec<f64>,
}

/// Parses what stands between the double braces.
pub fn parse_histogram(text: &str) -> Result<Described, String> {
    let mut described = Described { histogram: Sparse::default(), hint_given: false };
    let h = &mut described.histogram;
    let (mut buckets, mut n_buckets, mut offset, mut n_offset) = (Vec::new(), Vec::new(), 0, 0);
    let mut seen = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or(format!("{rest:?} is no key with a value"))?;
        let key = key.trim().to_ascii_lowercase();
        let (value, tail) = take_value(tail)?;
        rest = tail.trim_start();
        match key.as_str() {
            "schema" => h.schema = integer(value)?,
            "sum" => h.sum = parse_number(value)?,
            "count" => h.count = parse_number(value)?,
            "z_bucket" => h.zero_count = parse_number(value)?,
            "z_bucket_w" => h.zero_threshold = parse_number(value)?,
            "buckets" => buckets = list(value)?,
            "n_buckets" => n_buckets = list(value)?,
            "offset" => offset = integer(value)?,
            "n_offset" => n_offset = integer(value)?,
            "custom_values" => h.custom_values = list(value)?,
            "counter_reset_hint" => {
                h.hint = hint(value)?;
                described.hint_given = true;
            }
            _ => return Err(format!("unknown histogram key {key:?}")),
        }
        if seen.contains(&key) {
            return Err(format!("histogram key {key:?} is given twice"));
        }
        seen.push(key);
    }
    h.positive = (offset..).zip(buckets).collect();
    h.negative = (n_offset..).zip(n_buckets).collect();
    Ok(described)
}

/// A value up to the next space, or a list in brackets without them.
fn take_value(text: &str) -> Result<(&str, &str), String> {
    if let Some(list) = text.strip_prefix('[') {
        return list.split_once(']').ok_or(format!("list {text:?} does not end"));
    }
    Ok(text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())))
}

fn integer(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text:?} is no integer"))
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
        _ => return Err(format!("unknown counter reset hint {text:?}")),
    })
}

impl Sparse {
    pub fn from_model(h: &FloatHistogram) -> Self {
        Self {
            hint: h.counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count,
            count: h.count,
            sum: h.sum,
            positive: by_index(&h.positive_spans, &h.positive_buckets),
            negative: by_index(&h.negative_spans, &h.negative_buckets),
            custom_values: h.custom_values.clone(),
        }
    }

    /// One span a side, as the notation describes it.
    pub fn to_model(&self) -> FloatHistogram {
        let (positive_spans, positive_buckets) = one_span(&self.positive);
        let (negative_spans, negative_buckets) = one_span(&self.negative);
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values.clone(),
        }
    }

    /// This histogram plus `factor` times another. Zero buckets of different widths and different custom
    /// bounds do not occur in sequences and are refused; a finer schema is merged down.
    pub fn plus(&self, other: &Self, factor: f64) -> Result<Self, String> {
        if self.schema > other.schema {
            return Err(format!("cannot add schema {} to schema {}", other.schema, self.schema));
        }
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        let other_is_empty = other.zero_count == 0.0 && other.zero_threshold == 0.0;
        if (custom != (other.schema == CUSTOM_BUCKETS_SCHEMA)) || self.custom_values != other.custom_values {
            return Err("cannot add histograms of different custom buckets".to_string());
        }
        if self.zero_threshold != other.zero_threshold && !other_is_empty {
            return Err("cannot add histograms of different zero thresholds".to_string());
        }
        let mut sum = self.clone();
        sum.hint = combined_hint(self.hint, other.hint);
        sum.zero_count += factor * other.zero_count;
        sum.count += factor * other.count;
        sum.sum += factor * other.sum;
        let levels = if custom { 0 } else { other.schema - self.schema };
        for (mine, theirs) in [(&mut sum.positive, &other.positive), (&mut sum.negative, &other.negative)] {
            for (index, count) in theirs {
                // Merging one level maps buckets 2n-1 and 2n to n.
                let index = (0..levels).fold(*index, |i, _| (i + 1) >> 1);
                *mine.entry(index).or_default() += factor * count;
            }
        }
        Ok(sum)
    }

    /// Equal within the tolerance of tests; empty buckets count as absent.
    pub fn matches(&self, other: &Self, compare_hint: bool) -> bool {
        let close = |a: f64, b: f64| almost_equal(a, b);
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && close(self.zero_count, other.zero_count)
            && close(self.count, other.count)
            && close(self.sum, other.sum)
            && (self.schema != CUSTOM_BUCKETS_SCHEMA || self.custom_values == other.custom_values)
            && buckets_match(&self.positive, &other.positive)
            && buckets_match(&self.negative, &other.negative)
            && (!compare_hint || self.hint == other.hint)
    }
}

fn combined_hint(a: CounterResetHint, b: CounterResetHint) -> CounterResetHint {
    use CounterResetHint::{Gauge, Unknown};
    if a == b {
        a
    } else if a == Gauge || b == Gauge {
        Gauge
    } else {
        Unknown
    }
}

fn by_index(spans: &[Span], buckets: &[f64]) -> BTreeMap<i32, f64> {
    let mut out = BTreeMap::new();
    let mut counts = buckets.iter();
    let mut index = 0;
    for span in spans {
        index += span.offset;
        for count in counts.by_ref().take(span.length as usize) {
            out.insert(index, *count);
            index += 1;
        }
    }
    out
}

fn one_span(buckets: &BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let (Some((&first, _)), Some((&last, _))) = (buckets.first_key_value(), buckets.last_key_value()) else {
        return (Vec::new(), Vec::new());
    };
    let counts = (first..=last).map(|i| buckets.get(&i).copied().unwrap_or(0.0)).collect();
    (vec![Span { offset: first, length: (last - first + 1) as u32 }], counts)
}

fn buckets_match(a: &BTreeMap<i32, f64>, b: &BTreeMap<i32, f64>) -> bool {
    let filled = |m: &BTreeMap<i32, f64>| m.iter().filter(|(_, c)| **c != 0.0).map(|(i, c)| (*i, *c)).collect();
    let (a, b): (Vec<_>, Vec<_>) = (filled(a), filled(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| x.0 == y.0 && almost_equal(x.1, y.1))
}

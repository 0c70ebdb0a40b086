//! Native histograms on the wire, the same in both versions but for start timestamps: integer ones carry differences
//! between neighbouring buckets, float ones the counts themselves. Both become a `FloatHistogram`.

use crate::ingest::wire::{Malformed, Reader, Value, unzigzag, unzigzag32};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};

/// Buckets of one side; a dense histogram of the finest schema over all doubles has half as many.
const MAX_BUCKETS: usize = 1 << 20;

/// Finer than we compute with, and known.
const REDUCED_SCHEMAS: std::ops::RangeInclusive<i32> = 9..=52;

#[derive(Debug, PartialEq, Eq)]
pub enum HistogramError {
    Malformed,
    Invalid(String),
}

impl From<Malformed> for HistogramError {
    fn from(_: Malformed) -> Self {
        HistogramError::Malformed
    }
}

#[derive(Default)]
struct Wire {
    float: bool,
    histogram: FloatHistogram,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
    /// Of a histogram of integers.
    count: u64,
    zero_count: u64,
    timestamp: i64,
    start_timestamp: i64,
}

/// A histogram with its times.
#[derive(Debug)]
pub struct Decoded {
    pub histogram: FloatHistogram,
    pub timestamp: i64,
    /// 0 for unset. Of version 2.0.
    pub start_timestamp: i64,
}

/// A checked histogram, reduced to a schema we compute with.
pub fn decode(message: &[u8]) -> Result<Decoded, HistogramError> {
    let mut wire = Wire::default();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        wire.read(number, value)?;
    }
    let Wire { float, mut histogram, positive_deltas, negative_deltas, timestamp, start_timestamp, .. } = wire;
    let invalid = |e: crate::error::Error| HistogramError::Invalid(e.to_string());
    let mut whole = Integers { count: wire.count, zero_count: wire.zero_count, ..Integers::default() };
    if !float {
        (histogram.count, histogram.zero_count) = (wire.count as f64, wire.zero_count as f64);
        (histogram.positive_buckets, whole.positive) = counts(&positive_deltas, "positive")?;
        (histogram.negative_buckets, whole.negative) = counts(&negative_deltas, "negative")?;
    }
    if REDUCED_SCHEMAS.contains(&histogram.schema) {
        histogram.reduce_to_supported_schema().map_err(invalid)?;
    }
    histogram.validate().map_err(invalid)?;
    if !float {
        whole.check(histogram.sum)?;
    }
    Ok(Decoded { histogram, timestamp, start_timestamp })
}

/// Observations of a histogram of integers, which add up; those of floats need not, being rounded.
#[derive(Default)]
struct Integers {
    count: u64,
    zero_count: u64,
    positive: i64,
    negative: i64,
}

impl Integers {
    /// `Histogram.Validate` of Prometheus; a NaN that was observed is in no bucket.
    fn check(&self, sum: f64) -> Result<(), HistogramError> {
        let found = i128::from(self.positive) + i128::from(self.negative) + i128::from(self.zero_count);
        let (count, has_nan) = (i128::from(self.count), sum.is_nan());
        if found == count || has_nan && found < count {
            return Ok(());
        }
        let why = match has_nan {
            true => {
                "histogram's observation count should be at least the number of observations found in the buckets"
            }
            false => {
                "histogram's observation count should equal the number of observations found in the buckets \
                 (in absence of NaN)"
            }
        };
        Err(HistogramError::Invalid(format!(
            "{found} observations found in buckets, but the Count field is {count}: {why}"
        )))
    }
}

impl Wire {
    fn read(&mut self, number: u32, value: Value<'_>) -> Result<(), HistogramError> {
        let h = &mut self.histogram;
        match (number, value) {
            // Of the two kinds of a count the last one holds.
            (1, Value::Varint(count)) => (self.count, self.float) = (count, false),
            (2, Value::Fixed64(bits)) => (h.count, self.float) = (f64::from_bits(bits), true),
            (3, Value::Fixed64(bits)) => h.sum = f64::from_bits(bits),
            (4, Value::Varint(schema)) => h.schema = unzigzag32(schema),
            (5, Value::Fixed64(bits)) => h.zero_threshold = f64::from_bits(bits),
            (6, Value::Varint(count)) => self.zero_count = count,
            (7, Value::Fixed64(bits)) => h.zero_count = f64::from_bits(bits),
            (8, Value::Bytes(message)) => push(&mut h.negative_spans, span(message)?)?,
            (9, _) => repeated(value, &mut self.negative_deltas)?,
            (10, _) => repeated(value, &mut h.negative_buckets)?,
            (11, Value::Bytes(message)) => push(&mut h.positive_spans, span(message)?)?,
            (12, _) => repeated(value, &mut self.positive_deltas)?,
            (13, _) => repeated(value, &mut h.positive_buckets)?,
            (14, Value::Varint(hint)) => {
                h.counter_reset_hint = match hint {
                    1 => CounterResetHint::Reset,
                    2 => CounterResetHint::NotReset,
                    3 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                }
            }
            (15, Value::Varint(time)) => self.timestamp = time as i64,
            (16, _) => repeated(value, &mut h.custom_values)?,
            (17, Value::Varint(time)) => self.start_timestamp = time as i64,
            (1..=17, _) => return Err(HistogramError::Malformed),
            _ => {}
        }
        Ok(())
    }
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span { offset: 0, length: 0 };
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Value::Varint(offset)) => span.offset = unzigzag32(offset),
            (2, Value::Varint(length)) => span.length = length as u32,
            (1 | 2, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(span)
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Malformed> {
    if list.len() >= MAX_BUCKETS {
        return Err(Malformed);
    }
    list.push(item);
    Ok(())
}

/// What a repeated number is read from.
trait Number: Sized {
    fn packed(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
    fn single(value: Value<'_>) -> Result<Self, Malformed>;
    /// How many there are in bytes that are packed.
    fn count(packed: &[u8]) -> usize;
}

impl Number for f64 {
    fn packed(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.fixed64().map(f64::from_bits)
    }

    fn single(value: Value<'_>) -> Result<Self, Malformed> {
        let Value::Fixed64(bits) = value else { return Err(Malformed) };
        Ok(f64::from_bits(bits))
    }

    fn count(packed: &[u8]) -> usize {
        packed.len() / 8
    }
}

/// Zigzag, as differences are.
impl Number for i64 {
    fn packed(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.varint().map(unzigzag)
    }

    fn single(value: Value<'_>) -> Result<Self, Malformed> {
        let Value::Varint(number) = value else { return Err(Malformed) };
        Ok(unzigzag(number))
    }

    fn count(packed: &[u8]) -> usize {
        packed.iter().filter(|byte| **byte < 0x80).count()
    }
}

/// A repeated number, packed or not.
fn repeated<T: Number>(value: Value<'_>, list: &mut Vec<T>) -> Result<(), Malformed> {
    let Value::Bytes(bytes) = value else { return push(list, T::single(value)?) };
    list.reserve_exact(T::count(bytes).min(MAX_BUCKETS));
    let mut reader = Reader::new(bytes);
    while !reader.rest.is_empty() {
        push(list, T::packed(&mut reader)?)?;
    }
    Ok(())
}

/// Counts of buckets from their differences, and their sum.
fn counts(deltas: &[i64], side: &str) -> Result<(Vec<f64>, i64), HistogramError> {
    let too_many = || HistogramError::Invalid(format!("{side} side: more observations than an integer holds"));
    let (mut count, mut sum) = (0i64, 0i64);
    let mut counts = Vec::with_capacity(deltas.len());
    for delta in deltas {
        count = count.checked_add(*delta).ok_or_else(too_many)?;
        sum = sum.checked_add(count).ok_or_else(too_many)?;
        counts.push(count as f64);
    }
    Ok((counts, sum))
}

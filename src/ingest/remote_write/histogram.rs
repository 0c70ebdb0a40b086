//! Native histograms on the wire (`prompb.Histogram`): integer ones carry differences between neighbouring
//! buckets, float ones the counts themselves. Both become a `FloatHistogram`.

use crate::ingest::remote_write::wire::{Malformed, Reader, Value, unzigzag};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};

/// Buckets of one side; a dense histogram of the finest schema over all doubles has half as many.
const MAX_BUCKETS: usize = 1 << 20;

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
    timestamp: i64,
}

/// A checked histogram, reduced to a schema we compute with, and its timestamp.
pub fn decode(message: &[u8]) -> Result<(FloatHistogram, i64), HistogramError> {
    let mut wire = Wire::default();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        wire.read(number, value)?;
    }
    let Wire { float, mut histogram, positive_deltas, negative_deltas, timestamp } = wire;
    if !float {
        histogram.positive_buckets = counts(&positive_deltas)?;
        histogram.negative_buckets = counts(&negative_deltas)?;
    }
    let invalid = |e: crate::error::Error| HistogramError::Invalid(e.to_string());
    histogram.reduce_to_supported_schema().map_err(invalid)?;
    histogram.validate().map_err(invalid)?;
    Ok((histogram, timestamp))
}

impl Wire {
    fn read(&mut self, number: u32, value: Value<'_>) -> Result<(), HistogramError> {
        let h = &mut self.histogram;
        match number {
            1 => h.count = value.int64() as u64 as f64,
            2 => (h.count, self.float) = (value.double(), true),
            3 => h.sum = value.double(),
            4 => h.schema = i32::try_from(value.zigzag()).map_err(|_| Malformed)?,
            5 => h.zero_threshold = value.double(),
            6 => h.zero_count = value.int64() as u64 as f64,
            7 => h.zero_count = value.double(),
            8 => push(&mut h.negative_spans, span(value)?)?,
            9 => repeated(value, &mut self.negative_deltas, |r| Ok(unzigzag(r.varint()?)), Value::zigzag)?,
            10 => repeated(value, &mut h.negative_buckets, double, Value::double)?,
            11 => push(&mut h.positive_spans, span(value)?)?,
            12 => repeated(value, &mut self.positive_deltas, |r| Ok(unzigzag(r.varint()?)), Value::zigzag)?,
            13 => repeated(value, &mut h.positive_buckets, double, Value::double)?,
            14 => {
                h.counter_reset_hint = match value.int64() {
                    1 => CounterResetHint::Reset,
                    2 => CounterResetHint::NotReset,
                    3 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                }
            }
            15 => self.timestamp = value.int64(),
            16 => repeated(value, &mut h.custom_values, double, Value::double)?,
            _ => {}
        }
        Ok(())
    }
}

fn double(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    reader.fixed64().map(f64::from_bits)
}

fn span(value: Value<'_>) -> Result<Span, Malformed> {
    let Value::Bytes(message) = value else { return Err(Malformed) };
    let mut span = Span { offset: 0, length: 0 };
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => span.offset = i32::try_from(value.zigzag()).map_err(|_| Malformed)?,
            2 => span.length = u32::try_from(value.int64()).map_err(|_| Malformed)?,
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

/// A repeated number, packed or not.
fn repeated<'a, T>(
    value: Value<'a>,
    list: &mut Vec<T>,
    packed: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
    single: impl Fn(Value<'a>) -> T,
) -> Result<(), Malformed> {
    let Value::Bytes(bytes) = value else { return push(list, single(value)) };
    let mut reader = Reader::new(bytes);
    while !reader.rest.is_empty() {
        push(list, packed(&mut reader)?)?;
    }
    Ok(())
}

fn counts(deltas: &[i64]) -> Result<Vec<f64>, Malformed> {
    let mut count = 0i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.checked_add(*delta).ok_or(Malformed)?;
            Ok(count as f64)
        })
        .collect()
}

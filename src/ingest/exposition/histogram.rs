//! `io.prometheus.client.Histogram`: classic buckets, native ones, or both in one message.

use crate::ingest::exposition::classic::Classic;
use crate::ingest::wire::{Malformed, Reader, Value, unzigzag};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};

/// Classic buckets, or exemplars, of one histogram: each takes two bytes of a message and hundreds in memory.
pub(super) const MAX_PARTS: usize = 1 << 16;

/// Native buckets of one sign; a dense histogram of the finest schema over all doubles has half as many.
const MAX_BUCKETS: usize = 1 << 20;

/// Read again and again; its lists keep their memory.
#[derive(Debug, Default)]
pub(super) struct Histogram<'a> {
    whole: Whole,
    count_float: f64,
    pub sum: f64,
    pub buckets: Vec<Bucket<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    /// A `google.protobuf.Timestamp`.
    pub start: Option<&'a [u8]>,
    /// Of the native histogram.
    pub exemplars: Vec<&'a [u8]>,
}

/// Counts of a histogram of whole numbers.
#[derive(Debug, Default)]
struct Whole {
    count: u64,
    zero_count: u64,
}

/// Of the classic histogram, cumulative.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket<'a> {
    count: u64,
    count_float: f64,
    pub upper_bound: f64,
    pub exemplar: Option<&'a [u8]>,
}

/// Native buckets of one sign: differences of whole counts, or counts.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Bucket<'_> {
    pub fn count(&self) -> f64 {
        if self.count_float != 0.0 { self.count_float } else { self.count as f64 }
    }
}

impl<'a> Histogram<'a> {
    /// Forgets what was read before.
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Varint(count)) => self.whole.count = count,
                (2, Value::Fixed64(bits)) => self.sum = f64::from_bits(bits),
                (3, Value::Bytes(bucket)) => push(&mut self.buckets, read_bucket(bucket)?, MAX_PARTS)?,
                (4, Value::Fixed64(bits)) => self.count_float = f64::from_bits(bits),
                (5, value @ Value::Varint(_)) => {
                    self.schema = i32::try_from(value.zigzag()).map_err(|_| Malformed)?
                }
                (6, Value::Fixed64(bits)) => self.zero_threshold = f64::from_bits(bits),
                (7, Value::Varint(count)) => self.whole.zero_count = count,
                (8, Value::Fixed64(bits)) => self.zero_count_float = f64::from_bits(bits),
                (9, Value::Bytes(span)) => push(&mut self.negative.spans, read_span(span)?, MAX_BUCKETS)?,
                (10, value) => read_deltas(value, &mut self.negative.deltas)?,
                (11, value) => read_counts(value, &mut self.negative.counts)?,
                (12, Value::Bytes(span)) => push(&mut self.positive.spans, read_span(span)?, MAX_BUCKETS)?,
                (13, value) => read_deltas(value, &mut self.positive.deltas)?,
                (14, value) => read_counts(value, &mut self.positive.counts)?,
                (15, Value::Bytes(start)) => self.start = Some(start),
                (16, Value::Bytes(exemplar)) => push(&mut self.exemplars, exemplar, MAX_PARTS)?,
                (1..=16, _) => return Err(Malformed),
                _ => {}
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.whole = Whole::default();
        (self.count_float, self.sum, self.schema) = (0.0, 0.0, 0);
        (self.zero_threshold, self.zero_count_float, self.start) = (0.0, 0.0, None);
        self.buckets.clear();
        self.exemplars.clear();
        for side in [&mut self.negative, &mut self.positive] {
            side.spans.clear();
            side.deltas.clear();
            side.counts.clear();
        }
    }

    pub fn count(&self) -> f64 {
        if self.count_float != 0.0 { self.count_float } else { self.whole.count as f64 }
    }

    /// Whether there is anything native in it. One without observations and a zero bucket has a span of no length to
    /// say so.
    pub fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.whole.zero_count > 0
    }

    /// The native histogram, checked as Prometheus' `Histogram.Validate` does.
    pub fn to_native(&self, gauge: bool) -> Result<FloatHistogram, String> {
        let is_float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        let mut observations = self.whole.zero_count;
        let mut buckets = |side: &Side, name: &str| match is_float {
            true => Ok(side.counts.clone()),
            false => counts(&side.deltas, name, &mut observations),
        };
        let (positive_buckets, negative_buckets) =
            (buckets(&self.positive, "positive side")?, buckets(&self.negative, "negative side")?);
        let mut histogram = FloatHistogram {
            counter_reset_hint: if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: if is_float { self.zero_count_float } else { self.whole.zero_count as f64 },
            count: if is_float { self.count_float } else { self.whole.count as f64 },
            sum: self.sum,
            positive_spans: self.positive.spans.clone(),
            negative_spans: self.negative.spans.clone(),
            positive_buckets,
            negative_buckets,
            custom_values: Vec::new(),
        };
        let invalid = |e: crate::error::Error| e.message;
        // Before the layout is changed, since this goes by the spans.
        histogram.validate_spans().map_err(invalid)?;
        histogram.compact(0);
        histogram.reduce_to_supported_schema().map_err(invalid)?;
        histogram.validate().map_err(invalid)?;
        let count = self.whole.count;
        let fits = if self.sum.is_nan() { observations <= count } else { observations == count };
        if !is_float && !fits {
            return Err(format!(
                "{observations} observations found in buckets, but the Count field is {count}: histogram's observation \
                 count should equal the number of observations found in the buckets"
            ));
        }
        Ok(histogram)
    }

    /// The classic histogram as one with custom buckets; `None` where it contradicts itself.
    pub fn to_custom_buckets(&self, classic: &mut Classic) -> Option<FloatHistogram> {
        classic.clear();
        classic.count(self.count());
        classic.sum(self.sum);
        for bucket in &self.buckets {
            if bucket.upper_bound.is_nan() {
                return None;
            }
            classic.bucket(bucket.upper_bound, bucket.count());
        }
        classic.take_histogram()
    }
}

/// Counts of buckets from the differences between neighbours, added up in `observations`.
fn counts(deltas: &[i64], side: &str, observations: &mut u64) -> Result<Vec<f64>, String> {
    let mut count = 0i64;
    let absolute = |(at, delta): (usize, &i64)| {
        count = count.wrapping_add(*delta);
        let number = at + 1;
        let whole = u64::try_from(count).map_err(|_| {
            format!(
                "{side}: bucket number {number} has observation count of {count}: histogram has a bucket whose \
                 observation count is negative"
            )
        })?;
        *observations = observations.wrapping_add(whole);
        Ok(count as f64)
    };
    deltas.iter().enumerate().map(absolute).collect()
}

fn read_bucket(message: &[u8]) -> Result<Bucket<'_>, Malformed> {
    let mut bucket = Bucket::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(count)) => bucket.count = count,
            (2, Value::Fixed64(bits)) => bucket.upper_bound = f64::from_bits(bits),
            (3, Value::Bytes(exemplar)) => bucket.exemplar = Some(exemplar),
            (4, Value::Fixed64(bits)) => bucket.count_float = f64::from_bits(bits),
            (1..=4, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(bucket)
}

fn read_span(message: &[u8]) -> Result<Span, Malformed> {
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

/// A repeated `sint64`, packed or not.
fn read_deltas(value: Value<'_>, deltas: &mut Vec<i64>) -> Result<(), Malformed> {
    match value {
        Value::Varint(value) => push(deltas, unzigzag(value), MAX_BUCKETS),
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.rest.is_empty() {
                push(deltas, unzigzag(reader.varint()?), MAX_BUCKETS)?;
            }
            Ok(())
        }
        _ => Err(Malformed),
    }
}

/// A repeated `double`, packed or not.
fn read_counts(value: Value<'_>, counts: &mut Vec<f64>) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(bits) => push(counts, f64::from_bits(bits), MAX_BUCKETS),
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.rest.is_empty() {
                push(counts, f64::from_bits(reader.fixed64()?), MAX_BUCKETS)?;
            }
            Ok(())
        }
        _ => Err(Malformed),
    }
}

fn push<T>(list: &mut Vec<T>, item: T, limit: usize) -> Result<(), Malformed> {
    if list.len() >= limit {
        return Err(Malformed);
    }
    list.push(item);
    Ok(())
}

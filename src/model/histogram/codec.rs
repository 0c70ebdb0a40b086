//! Histograms as bytes, between operators of a query and in the write-ahead log.
//!
//! ```text
//! version u8 = 1 | hint u8 | schema i32 | zero_threshold f64 | zero_count f64 | count f64 | sum f64
//! | five lengths u32: positive spans, negative spans, positive buckets, negative buckets, custom values
//! | spans (offset i32, length u32)* | buckets f64* | custom values f64*            all little-endian
//! ```

use super::{CounterResetHint, FloatHistogram, Span};
use crate::error::{Error, Result};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 2 + 4 + 4 * 8 + 5 * 4;

/// Appends the bytes of a histogram.
pub fn encode(histogram: &FloatHistogram, out: &mut Vec<u8>) {
    let h = histogram;
    let numbers = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
    let spans = h.positive_spans.len() + h.negative_spans.len();
    out.reserve(HEADER_BYTES + 8 * (numbers + spans));
    out.extend([VERSION, h.counter_reset_hint as u8]);
    out.extend(h.schema.to_le_bytes());
    for number in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        out.extend(number.to_le_bytes());
    }
    for length in [
        h.positive_spans.len(),
        h.negative_spans.len(),
        h.positive_buckets.len(),
        h.negative_buckets.len(),
        h.custom_values.len(),
    ] {
        out.extend((length as u32).to_le_bytes());
    }
    for span in h.positive_spans.iter().chain(&h.negative_spans) {
        out.extend(span.offset.to_le_bytes());
        out.extend(span.length.to_le_bytes());
    }
    for number in h.positive_buckets.iter().chain(&h.negative_buckets).chain(&h.custom_values) {
        out.extend(number.to_le_bytes());
    }
}

/// Reads what [`encode`] wrote. The error says the bytes are corrupt; bytes from storage are trusted no further
/// than that they never panic.
pub fn decode(bytes: &[u8]) -> Result<FloatHistogram> {
    let mut reader = Reader(bytes);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(Error::internal(format!("histogram bytes of unknown version {version}")));
    }
    let counter_reset_hint = CounterResetHint::from_code(reader.u8()?);
    let schema = reader.i32()?;
    let [zero_threshold, zero_count, count, sum] = [reader.f64()?, reader.f64()?, reader.f64()?, reader.f64()?];
    let mut lengths = [0usize; 5];
    for length in &mut lengths {
        *length = reader.u32()? as usize;
    }
    let elements: usize = lengths.iter().sum();
    if reader.0.len() != elements * 8 {
        return Err(corrupt());
    }
    Ok(FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans: reader.spans(lengths[0])?,
        negative_spans: reader.spans(lengths[1])?,
        positive_buckets: reader.floats(lengths[2])?,
        negative_buckets: reader.floats(lengths[3])?,
        custom_values: reader.floats(lengths[4])?,
    })
}

fn corrupt() -> Error {
    Error::internal("histogram bytes are truncated or too long")
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(corrupt)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.take()?))
    }

    fn floats(&mut self, length: usize) -> Result<Vec<f64>> {
        (0..length).map(|_| self.f64()).collect()
    }

    fn spans(&mut self, length: usize) -> Result<Vec<Span>> {
        (0..length).map(|_| Ok(Span { offset: self.i32()?, length: self.u32()? })).collect()
    }
}

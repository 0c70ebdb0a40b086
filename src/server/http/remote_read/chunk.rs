//! Samples of a series → chunks of Prometheus' storage (`tsdb/docs/format/chunks.md`, `tsdb/chunkenc`): floats as XOR
//! chunks, native histograms as chunks of float histograms, since that is what they are stored as.

use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::server::http::remote_read::bits::{Bits, Xor, fits};
use crate::storage::types::RunSlice;

/// Samples of a chunk, as Prometheus has them.
const SAMPLES_PER_CHUNK: usize = 120;

/// Its number in `prometheus.Chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Xor = 1,
    FloatHistogram = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub start: i64,
    pub end_inclusive: i64,
    pub encoding: Encoding,
    pub data: Vec<u8>,
}

/// All samples of a run in chunks, in order.
pub fn chunks(run: RunSlice<'_>) -> Vec<Chunk> {
    let mut made = Vec::with_capacity(run.timestamps.len().div_ceil(SAMPLES_PER_CHUNK));
    let mut start = 0;
    while start < run.timestamps.len() {
        let end = start + length(run, start);
        let times = &run.timestamps[start..end];
        let (encoding, data) = match histogram(run, start) {
            None => (Encoding::Xor, floats(times, &run.values[start..end])),
            Some(first) => {
                let all = (start..end).filter_map(|i| histogram(run, i));
                (Encoding::FloatHistogram, histograms(times, first, all))
            }
        };
        made.push(Chunk { start: times[0], end_inclusive: times[times.len() - 1], encoding, data });
        start = end;
    }
    made
}

fn histogram(run: RunSlice<'_>, at: usize) -> Option<&FloatHistogram> {
    run.histograms.get(at).and_then(Option::as_deref)
}

/// How many samples from `start` on are one chunk; at least that one.
fn length(run: RunSlice<'_>, start: usize) -> usize {
    let most = SAMPLES_PER_CHUNK.min(run.timestamps.len() - start);
    let first = histogram(run, start);
    let belongs = |at: &usize| match (first, histogram(run, *at)) {
        (None, None) => true,
        (Some(first), Some(next)) => continues(first, next),
        _ => false,
    };
    1 + (start + 1..start + most).take_while(belongs).count()
}

/// Whether a histogram may follow in a chunk that begins with `first`: of the same layout, and either both are gauges, or
/// its counts are known to have grown. Markers of staleness stand alone.
fn continues(first: &FloatHistogram, next: &FloatHistogram) -> bool {
    let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
    is_gauge(first) == is_gauge(next)
        && (is_gauge(next) || next.counter_reset_hint == CounterResetHint::NotReset)
        && !first.is_stale()
        && !next.is_stale()
        && first.schema == next.schema
        && first.zero_threshold == next.zero_threshold
        && first.positive_spans == next.positive_spans
        && first.negative_spans == next.negative_spans
        && first.custom_values == next.custom_values
        && first.positive_buckets.len() == next.positive_buckets.len()
        && first.negative_buckets.len() == next.negative_buckets.len()
}

/// An XOR chunk.
fn floats(times: &[i64], values: &[f64]) -> Vec<u8> {
    let mut bits = Bits::after(vec![0; 2]);
    put_count(&mut bits, times.len());
    bits.varint(times[0]);
    bits.write(values[0].to_bits(), 64);
    let (mut xor, mut before, mut delta) = (Xor::first(values[0]), times[0], 0i64);
    for (at, (time, value)) in times.iter().zip(values).enumerate().skip(1) {
        let next = time.wrapping_sub(before);
        match at {
            1 => bits.uvarint(next.cast_unsigned()),
            _ => put_second_delta(&mut bits, next.wrapping_sub(delta)),
        }
        (before, delta) = (*time, next);
        xor.write(&mut bits, *value);
    }
    bits.into_bytes()
}

fn put_second_delta(bits: &mut Bits, value: i64) {
    let raw = value.cast_unsigned();
    if value == 0 {
        bits.bit(false);
    } else if fits(value, 14) {
        bits.write(0b10, 2);
        bits.write(raw, 14);
    } else if fits(value, 17) {
        bits.write(0b110, 3);
        bits.write(raw, 17);
    } else if fits(value, 20) {
        bits.write(0b1110, 4);
        bits.write(raw, 20);
    } else {
        bits.write(0b1111, 4);
        bits.write(raw, 64);
    }
}

/// A chunk of float histograms, all of the layout of the first.
fn histograms<'a>(times: &[i64], first: &FloatHistogram, all: impl Iterator<Item = &'a FloatHistogram>) -> Vec<u8> {
    let header = match first.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::NotReset => 0b0100_0000,
        CounterResetHint::Reset => 0b1000_0000,
        CounterResetHint::Gauge => 0b1100_0000,
    };
    let mut bits = Bits::after(vec![0, 0, header]);
    put_count(&mut bits, times.len());
    // A marker of staleness has no buckets, whatever else it has.
    let marker = first.is_stale().then(|| FloatHistogram { sum: first.sum, ..FloatHistogram::default() });
    put_layout(&mut bits, marker.as_ref().unwrap_or(first));
    let (mut before, mut delta, mut state) = (0i64, 0i64, Vec::<Xor>::new());
    for (at, (time, histogram)) in times.iter().zip(all).enumerate() {
        let numbers = numbers(marker.as_ref().unwrap_or(histogram));
        if at == 0 {
            bits.varbit_int(*time);
            for number in numbers {
                bits.write(number.to_bits(), 64);
                state.push(Xor::first(number));
            }
        } else {
            let next = time.wrapping_sub(before);
            bits.varbit_int(next.wrapping_sub(delta));
            delta = next;
            state.iter_mut().zip(numbers).for_each(|(xor, number)| xor.write(&mut bits, number));
        }
        before = *time;
    }
    bits.into_bytes()
}

/// What each sample of such a chunk has.
fn numbers(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let totals = [histogram.count, histogram.zero_count, histogram.sum];
    totals.into_iter().chain(histogram.positive_buckets.iter().chain(&histogram.negative_buckets).copied())
}

fn put_count(bits: &mut Bits, samples: usize) {
    bits.header()[..2].copy_from_slice(&(samples as u16).to_be_bytes());
}

fn put_layout(bits: &mut Bits, histogram: &FloatHistogram) {
    put_zero_threshold(bits, histogram.zero_threshold);
    bits.varbit_int(histogram.schema.into());
    put_spans(bits, &histogram.positive_spans);
    put_spans(bits, &histogram.negative_spans);
    if histogram.uses_custom_buckets() {
        bits.varbit_uint(histogram.custom_values.len() as u64);
        histogram.custom_values.iter().for_each(|bound| put_bound(bits, *bound));
    }
}

fn put_spans(bits: &mut Bits, spans: &[Span]) {
    bits.varbit_uint(spans.len() as u64);
    for span in spans {
        bits.varbit_uint(span.length.into());
        bits.varbit_int(span.offset.into());
    }
}

/// Powers of two between 2^-243 and 2^10 and zero are a byte, all else nine.
fn put_zero_threshold(bits: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        return bits.write(0, 8);
    }
    let raw = threshold.to_bits();
    let (sign, exponent, mantissa) = (raw >> 63, (raw >> 52 & 0x7ff) as i64, raw & ((1 << 52) - 1));
    // As Go's `Frexp` has it: a half of the next power.
    let exponent = exponent - 1022;
    if sign == 0 && mantissa == 0 && (-242..=11).contains(&exponent) {
        return bits.write((exponent + 243).cast_unsigned(), 8);
    }
    bits.write(255, 8);
    bits.write(raw, 64);
}

/// Thousandths up to 33554.430 are short.
fn put_bound(bits: &mut Bits, bound: f64) {
    const MOST: f64 = 33_554_430.0;
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=MOST).contains(&thousandths) && whole / 1000.0 == bound {
        bits.varbit_uint(whole as u64 + 1);
    } else {
        bits.bit(false);
        bits.write(bound.to_bits(), 64);
    }
}

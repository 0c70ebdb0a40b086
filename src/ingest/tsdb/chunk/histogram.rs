//! Native histograms: one layout of buckets for the chunk, then for each sample integers as deltas of deltas
//! (`histogram.go`) or floats as the bits in which they differ (`float_histogram.go`).

use std::sync::Arc;

use super::bits::{Bits, Xor};
use super::{count, start};
use crate::ingest::tsdb::bytes::Fault;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::sample::is_stale;
use crate::storage::types::Run;

/// The low bits of the count where its highest two are the header of counter resets.
const COUNT_BESIDE_HEADER: u16 = 0x3fff;
/// The header that says all histograms are gauges. The others say whether the chunk began with a reset, which is of
/// no use where the chunk before may be missing.
const GAUGE: u8 = 0b11;
/// Spans, buckets and bounds of all histograms of a chunk together: some thousand times what Prometheus puts into one.
const MAX_ELEMENTS: usize = 1 << 24;

/// What all samples of a chunk share.
struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive: Vec<Span>,
    negative: Vec<Span>,
    custom_values: Vec<f64>,
}

/// Numbers of a histogram from sample to sample.
pub trait Numbers: Sized {
    /// Bits that a bucket takes at least in the first sample.
    const FIRST_BITS: usize;
    fn first(bits: &mut Bits<'_>, positive: usize, negative: usize) -> Option<Self>;
    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()>;
    fn sum(&self) -> f64;
    /// All but the layout.
    fn fill(&self, histogram: &mut FloatHistogram);
}

pub fn decode<N: Numbers>(data: &[u8], with_starts: bool, run: &mut Run) -> Result<(), Fault> {
    let (header_and_count, data) = count(data)?;
    let (flags, data) = data.split_first().ok_or(Fault::SHORT)?;
    let (count, resets, starts) = match with_starts {
        true => (header_and_count & COUNT_BESIDE_HEADER, (header_and_count >> 14) as u8, *flags),
        false => (header_and_count, flags >> 6, 0),
    };
    if count == 0 {
        return Ok(());
    }
    let mut bits = Bits::new(data);
    let layout = Layout::read::<N>(&mut bits)?;
    if layout.elements().saturating_mul(usize::from(count)) > MAX_ELEMENTS {
        return Err(Fault::new("the histograms of a chunk are larger than any Prometheus writes"));
    }
    let mut starts = start::Decoder::new(starts);
    let mut timestamps = Timestamps::default();
    let mut numbers: Option<N> = None;
    for at in 0..count {
        let before = timestamps.now;
        timestamps.next(&mut bits, at).ok_or(Fault::SHORT)?;
        let now = match &mut numbers {
            Some(numbers) => {
                numbers.next(&mut bits).ok_or(Fault::SHORT)?;
                &*numbers
            }
            None => {
                let (positive, negative) = (buckets_of(&layout.positive), buckets_of(&layout.negative));
                &*numbers.insert(N::first(&mut bits, positive, negative).ok_or(Fault::SHORT)?)
            }
        };
        let start = starts.next(&mut bits, u32::from(at), timestamps.now, before).ok_or(Fault::SHORT)?;
        let histogram = layout.histogram(now, hint(resets, at))?;
        run.histograms.resize(run.timestamps.len(), None);
        run.histograms.push(Some(Arc::new(histogram)));
        super::push(run, timestamps.now, 0.0, start);
    }
    Ok(())
}

fn hint(resets: u8, at: u16) -> CounterResetHint {
    match (resets, at) {
        (GAUGE, _) => CounterResetHint::Gauge,
        (_, 0) => CounterResetHint::Unknown,
        // A reset begins a chunk.
        _ => CounterResetHint::NotReset,
    }
}

fn buckets_of(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

impl Layout {
    fn read<N: Numbers>(bits: &mut Bits<'_>) -> Result<Self, Fault> {
        let zero_threshold = zero_threshold(bits).ok_or(Fault::SHORT)?;
        let schema = bits.varbit().ok_or(Fault::SHORT)?;
        let schema = i32::try_from(schema).map_err(|_| Fault::of(format!("a histogram of schema {schema}")))?;
        let (positive, negative) = (spans(bits)?, spans(bits)?);
        let custom_values =
            if schema == CUSTOM_BUCKETS_SCHEMA { bounds(bits).ok_or(Fault::SHORT)? } else { Vec::new() };
        let buckets = positive.iter().chain(&negative).map(|span| u64::from(span.length)).sum::<u64>();
        if buckets > (bits.left() / N::FIRST_BITS) as u64 {
            return Err(Fault::new("a histogram has more buckets than its chunk can hold"));
        }
        Ok(Self { schema, zero_threshold, positive, negative, custom_values })
    }

    fn elements(&self) -> usize {
        let buckets = buckets_of(&self.positive) + buckets_of(&self.negative);
        buckets + self.positive.len() + self.negative.len() + self.custom_values.len()
    }

    fn histogram<N: Numbers>(&self, numbers: &N, hint: CounterResetHint) -> Result<FloatHistogram, Fault> {
        if is_stale(numbers.sum()) {
            return Ok(FloatHistogram { sum: numbers.sum(), ..FloatHistogram::default() });
        }
        let mut histogram = FloatHistogram {
            counter_reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive.clone(),
            negative_spans: self.negative.clone(),
            custom_values: self.custom_values.clone(),
            ..FloatHistogram::default()
        };
        numbers.fill(&mut histogram);
        sound(&mut histogram)?;
        Ok(histogram)
    }
}

/// Makes a histogram one that can be stored, or says why it cannot.
pub fn sound(histogram: &mut FloatHistogram) -> Result<(), Fault> {
    histogram.reduce_to_supported_schema().map_err(|e| Fault::of(e.message))?;
    histogram.validate().map_err(|e| Fault::of(e.message))
}

/// One byte for 0 and powers of two, else one and the double: `putZeroThreshold`.
fn zero_threshold(bits: &mut Bits<'_>) -> Option<f64> {
    match bits.take(8)? {
        0 => Some(0.0),
        255 => bits.f64(),
        exponent => Some(2f64.powi(exponent as i32 - 244)),
    }
}

fn spans(bits: &mut Bits<'_>) -> Result<Vec<Span>, Fault> {
    let count = bits.varbit_unsigned().ok_or(Fault::SHORT)?;
    // Length and offset take a bit each at least.
    if count > bits.left() as u64 / 2 {
        return Err(Fault::SHORT);
    }
    let mut spans = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (length, offset) = bits.varbit_unsigned().zip(bits.varbit()).ok_or(Fault::SHORT)?;
        match (u32::try_from(length), i32::try_from(offset)) {
            (Ok(length), Ok(offset)) => spans.push(Span { offset, length }),
            _ => return Err(Fault::of(format!("a span of {length} buckets at an offset of {offset}"))),
        }
    }
    Ok(spans)
}

/// Thousandths where that is exact, else doubles: `putCustomBound`.
fn bounds(bits: &mut Bits<'_>) -> Option<Vec<f64>> {
    let count = bits.varbit_unsigned()?;
    if count > bits.left() as u64 {
        return None;
    }
    let mut bounds = Vec::with_capacity(count as usize);
    for _ in 0..count {
        bounds.push(match bits.varbit_unsigned()? {
            0 => bits.f64()?,
            thousandths => (thousandths - 1) as f64 / 1000.0,
        });
    }
    Some(bounds)
}

#[derive(Default)]
struct Timestamps {
    now: i64,
    delta: i64,
}

impl Timestamps {
    fn next(&mut self, bits: &mut Bits<'_>, at: u16) -> Option<()> {
        let read = bits.varbit()?;
        match at {
            0 => self.now = read,
            _ => {
                self.delta = self.delta.wrapping_add(read);
                self.now = self.now.wrapping_add(self.delta);
            }
        }
        Some(())
    }
}

/// A number and its last change.
#[derive(Clone, Copy, Default)]
struct Moving {
    now: i64,
    delta: i64,
}

impl Moving {
    #[inline]
    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.delta = self.delta.wrapping_add(bits.varbit()?);
        self.now = self.now.wrapping_add(self.delta);
        Some(())
    }
}

/// Integer histograms; each bucket is the difference from the one before it.
pub struct Integers {
    count: Moving,
    zero_count: Moving,
    sum: Xor,
    positive: Vec<Moving>,
    negative: Vec<Moving>,
}

impl Numbers for Integers {
    const FIRST_BITS: usize = 1;

    fn first(bits: &mut Bits<'_>, positive: usize, negative: usize) -> Option<Self> {
        let unsigned = |bits: &mut Bits<'_>| Some(Moving { now: bits.varbit_unsigned()?.cast_signed(), delta: 0 });
        let (count, zero_count) = (unsigned(bits)?, unsigned(bits)?);
        let sum = Xor::new(bits.take_wide(64)?);
        let buckets = |bits: &mut Bits<'_>, count: usize| {
            (0..count).map(|_| Some(Moving { now: bits.varbit()?, delta: 0 })).collect::<Option<Vec<_>>>()
        };
        Some(Self {
            count,
            zero_count,
            sum,
            positive: buckets(bits, positive)?,
            negative: buckets(bits, negative)?,
        })
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.count.next(bits)?;
        self.zero_count.next(bits)?;
        self.sum.next(bits)?;
        if is_stale(self.sum.value()) {
            return Some(());
        }
        self.positive.iter_mut().chain(&mut self.negative).try_for_each(|bucket| bucket.next(bits))
    }

    fn sum(&self) -> f64 {
        self.sum.value()
    }

    fn fill(&self, histogram: &mut FloatHistogram) {
        histogram.count = self.count.now.cast_unsigned() as f64;
        histogram.zero_count = self.zero_count.now.cast_unsigned() as f64;
        histogram.sum = self.sum.value();
        histogram.positive_buckets = summed(self.positive.iter().map(|bucket| bucket.now));
        histogram.negative_buckets = summed(self.negative.iter().map(|bucket| bucket.now));
    }
}

/// Counts from their differences.
pub fn summed(differences: impl Iterator<Item = i64>) -> Vec<f64> {
    let mut count = 0i64;
    differences
        .map(|difference| {
            count = count.wrapping_add(difference);
            count as f64
        })
        .collect()
}

/// Float histograms.
pub struct Floats {
    count: Xor,
    zero_count: Xor,
    sum: Xor,
    positive: Vec<Xor>,
    negative: Vec<Xor>,
}

impl Numbers for Floats {
    const FIRST_BITS: usize = 64;

    fn first(bits: &mut Bits<'_>, positive: usize, negative: usize) -> Option<Self> {
        let raw = |bits: &mut Bits<'_>| bits.take_wide(64).map(Xor::new);
        let (count, zero_count, sum) = (raw(bits)?, raw(bits)?, raw(bits)?);
        let buckets = |bits: &mut Bits<'_>, count: usize| (0..count).map(|_| raw(bits)).collect::<Option<Vec<_>>>();
        Some(Self {
            count,
            zero_count,
            sum,
            positive: buckets(bits, positive)?,
            negative: buckets(bits, negative)?,
        })
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.count.next(bits)?;
        self.zero_count.next(bits)?;
        self.sum.next(bits)?;
        if is_stale(self.sum.value()) {
            return Some(());
        }
        self.positive.iter_mut().chain(&mut self.negative).try_for_each(|bucket| bucket.next(bits))
    }

    fn sum(&self) -> f64 {
        self.sum.value()
    }

    fn fill(&self, histogram: &mut FloatHistogram) {
        (histogram.count, histogram.zero_count) = (self.count.value(), self.zero_count.value());
        histogram.sum = self.sum.value();
        histogram.positive_buckets = self.positive.iter().map(Xor::value).collect();
        histogram.negative_buckets = self.negative.iter().map(Xor::value).collect();
    }
}

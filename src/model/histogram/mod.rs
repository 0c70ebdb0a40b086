//! Native histograms in float form, after Prometheus' `model/histogram/float_histogram.go`.
//!
//! A histogram is data here: spans and absolute counts. Whoever adds, compares or estimates works on
//! `(bucket index, count)` pairs in index order, which [`FloatHistogram::positive`] and
//! [`FloatHistogram::negative`] give.

/// Addition, subtraction and scaling.
pub mod arithmetic;
/// Upper bounds of exponential and custom buckets.
pub mod bounds;
/// Buckets with bounds, in either direction.
pub mod buckets;
/// The bytes histograms travel in between operators.
pub mod codec;
/// Quantile, fraction and moments.
pub mod estimate;
/// Canonical layout, lower resolutions, equality.
pub mod layout;
/// Counter resets between two histograms.
pub mod reset;
/// Many histograms summed with compensation.
pub mod sum;
/// Prometheus' text forms.
pub mod text;
/// Cutting off what lies above or below a value.
pub mod trim;
/// Consistency of spans, counts and bounds.
pub mod validate;

use super::sample;

/// The schema number of histograms with custom buckets (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// Exponential schemas there is arithmetic for.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Exponential schemas that are accepted from outside and reduced to a supported one.
pub const RESERVED_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    #[default]
    Unknown = 0,
    Reset = 1,
    NotReset = 2,
    Gauge = 3,
}

impl CounterResetHint {
    /// The hint of a stored number; `Unknown` for numbers that are none.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// A run of consecutive buckets: `offset` from the end of the previous span (from bucket 0 for the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// A native histogram with absolute bucket counts as floats.
///
/// `PartialEq` compares fields; [`FloatHistogram::equals`] is equality as PromQL means it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    pub counter_reset_hint: CounterResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds without `+Inf`; only for [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
}

impl FloatHistogram {
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The staleness marker of a histogram series is in the sum.
    pub fn is_stale(&self) -> bool {
        sample::is_stale(self.sum)
    }

    /// `(index, count)` of the positive (or custom) buckets, in index order.
    pub fn positive(&self) -> Indexed<'_> {
        Indexed::new(&self.positive_spans, &self.positive_buckets)
    }

    /// `(index, count)` of the negative buckets, from the zero bucket downwards.
    pub fn negative(&self) -> Indexed<'_> {
        Indexed::new(&self.negative_spans, &self.negative_buckets)
    }

    /// Whether count, sum or any bucket has overflowed to infinity.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(&self.custom_values)
            .any(|v| v.is_infinite())
    }

    /// The size of the histogram in samples, as Prometheus' sample limit counts it (a float is 1).
    pub fn size_in_samples(&self) -> usize {
        let elements = self.positive_spans.len()
            + self.negative_spans.len()
            + self.positive_buckets.len()
            + self.negative_buckets.len()
            + self.custom_values.len();
        // Struct and timestamp, then eight bytes an element, at sixteen bytes a sample.
        (168 + 8 + 8 * elements) / 16
    }
}

/// Iterates `(index, count)` of one side.
#[derive(Clone)]
pub struct Indexed<'a> {
    spans: &'a [Span],
    counts: &'a [f64],
    next_index: i32,
    left_in_span: u32,
}

impl<'a> Indexed<'a> {
    pub fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        Self { spans, counts, next_index: 0, left_in_span: 0 }
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    #[inline]
    fn next(&mut self) -> Option<(i32, f64)> {
        while self.left_in_span == 0 {
            let (span, rest) = self.spans.split_first()?;
            self.spans = rest;
            self.next_index = self.next_index.wrapping_add(span.offset);
            self.left_in_span = span.length;
        }
        let (count, rest) = self.counts.split_first()?;
        self.counts = rest;
        let index = self.next_index;
        self.next_index = index.wrapping_add(1);
        self.left_in_span -= 1;
        Some((index, *count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.counts.len()))
    }
}

/// Builds the spans and counts of one side from buckets in index order.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) spans: Vec<Span>,
    pub(crate) counts: Vec<f64>,
    /// One behind the last bucket.
    end: i32,
}

impl Side {
    /// Appends a bucket; one with the index of the last bucket is added to that.
    pub(crate) fn push(&mut self, index: i32, count: f64) {
        let after = index.wrapping_add(1);
        match (self.spans.last_mut(), self.counts.last_mut()) {
            (Some(_), Some(last)) if after == self.end => {
                *last += count;
                return;
            }
            (Some(span), Some(_)) if index == self.end => span.length += 1,
            _ => self.spans.push(Span { offset: index.wrapping_sub(self.end), length: 1 }),
        }
        self.counts.push(count);
        self.end = after;
    }

    pub(crate) fn collect(buckets: impl IntoIterator<Item = (i32, f64)>) -> Self {
        let mut side = Self::default();
        for (index, count) in buckets {
            side.push(index, count);
        }
        side
    }
}

#[cfg(test)]
mod tests;

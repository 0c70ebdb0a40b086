//! A classic histogram, collected bucket by bucket, as a native one with custom buckets (NHCB), after Prometheus'
//! `util/convertnhcb`.

use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};

/// Cleared and filled again and again.
#[derive(Debug, Default)]
pub(super) struct Classic {
    /// Upper bounds, ascending, and the counts up to them.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    /// Something in it contradicts itself.
    inconsistent: bool,
}

impl Classic {
    pub fn clear(&mut self) {
        self.buckets.clear();
        (self.count, self.sum, self.inconsistent) = (None, 0.0, false);
    }

    /// A bucket, most often the last one so far; of two with one bound the first counts. `bound` is a number.
    pub fn bucket(&mut self, bound: f64, count: f64) {
        let at = match self.buckets.last() {
            Some((last, _)) if *last >= bound => self.buckets.partition_point(|(other, _)| *other < bound),
            _ => self.buckets.len(),
        };
        if self.buckets.get(at).is_some_and(|(other, _)| *other == bound) {
            return;
        }
        let falls = at > 0 && count < self.buckets[at - 1].1;
        let exceeds = self.buckets.get(at).is_some_and(|(_, next)| count > *next);
        self.inconsistent |= count < 0.0 || falls || exceeds;
        // Nothing comes of it then, so that no one can make this slow with buckets in disorder.
        if !self.inconsistent {
            self.buckets.insert(at, (bound, count));
        }
    }

    pub fn count(&mut self, count: f64) {
        self.inconsistent |= count < 0.0;
        self.count = Some(count);
    }

    pub fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// `None` where the parts contradict each other.
    pub fn take_histogram(&mut self) -> Option<FloatHistogram> {
        if self.inconsistent {
            return None;
        }
        let count = self.count.or_else(|| self.buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        // NaN is no count either.
        if self.buckets.last().is_none_or(|(_, last)| *last != count) {
            return None;
        }
        let whole = |count: f64| count.round() == count && count.abs() < 2f64.powi(63);
        let is_whole = whole(count) && self.buckets.iter().all(|(_, count)| whole(*count));
        let mut before = 0.0;
        let counts = self.buckets.iter().map(|(_, count)| *count - std::mem::replace(&mut before, *count));
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_buckets: counts.collect(),
            positive_spans: vec![Span { offset: 0, length: u32::try_from(self.buckets.len()).ok()? }],
            custom_values: self.buckets[..self.buckets.len() - 1].iter().map(|(bound, _)| *bound).collect(),
            ..FloatHistogram::default()
        };
        histogram.compact(if is_whole { 2 } else { 0 });
        histogram.validate().is_ok().then_some(histogram)
    }
}

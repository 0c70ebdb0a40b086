//! A classic histogram that many threads observe into without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::summary::AtomicSum;

/// See the module.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, inclusive, from small to large, without the infinite one.
    bounds: &'static [f64],
    /// Not added up; the last one is that of the infinite bound.
    counts: Box<[AtomicU64]>,
    sum: AtomicSum,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// Upper bound and observations up to it; the last bound is infinite, so its count is that of all.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
}

impl Histogram {
    /// `bounds` from small to large.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicSum::default() }
    }

    pub fn observe(&self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.add(value);
    }

    pub fn read(&self) -> HistogramValue {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let added_up = self.counts.iter().scan(0, |sum, count| {
            *sum += count.load(Ordering::Relaxed);
            Some(*sum)
        });
        HistogramValue { buckets: bounds.zip(added_up).collect(), sum: self.sum.get() }
    }
}

impl HistogramValue {
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        [0.5, 1.0, 1.5, 10.0, 11.0].into_iter().for_each(|value| histogram.observe(value));
        let value = histogram.read();
        assert_eq!(value.buckets, [(1.0, 2), (10.0, 4), (f64::INFINITY, 5)]);
        assert_eq!((value.sum, value.count()), (24.0, 5));
    }
}

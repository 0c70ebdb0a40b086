//! A summary as Prometheus' Go client has it: quantiles of the last ten minutes, count and sum since the start.
//!
//! To observe is a few atomic writes and no lock: the newest observations lie in a ring, each with the second it was
//! made in. Where more are made in ten minutes than the ring holds, quantiles are those of the newest; a sketch of all
//! of them would need a lock or a merge on the way.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// What a summary has for its quantiles, unless said otherwise.
pub const QUANTILES: &[f64] = &[0.5, 0.9, 0.99];
/// What Prometheus has for lengths of scrape intervals and syncs.
pub const WIDE_QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

/// Observations that quantiles are made of.
const RING: usize = 512;
/// How long an observation counts for quantiles.
const MAX_AGE_SECONDS: u64 = 600;

/// See the module.
#[derive(Debug)]
pub struct Summary {
    quantiles: &'static [f64],
    started: Instant,
    /// Each the second it was made in, counted from 1, and the value as an `f32`: 0 for none. Seven digits are more
    /// than a quantile of samples can have.
    ring: Box<[AtomicU64]>,
    next: AtomicUsize,
    count: AtomicU64,
    sum: AtomicSum,
}

/// A summary at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryValue {
    /// Quantile and value, which is NaN where nothing was observed lately.
    pub quantiles: Vec<(f64, f64)>,
    pub sum: f64,
    pub count: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self::new(QUANTILES)
    }
}

impl Summary {
    /// `quantiles` between 0 and 1.
    pub fn new(quantiles: &'static [f64]) -> Self {
        Self {
            quantiles,
            started: Instant::now(),
            ring: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicUsize::new(0),
            count: AtomicU64::new(0),
            sum: AtomicSum::default(),
        }
    }

    pub fn observe(&self, value: f64) {
        self.observe_at(value, self.started.elapsed().as_secs());
    }

    fn observe_at(&self, value: f64, second: u64) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % RING;
        let stamped = (second + 1) << 32 | u64::from((value as f32).to_bits());
        self.ring[place].store(stamped, Ordering::Relaxed);
        self.sum.add(value);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> SummaryValue {
        self.read_at(self.started.elapsed().as_secs())
    }

    fn read_at(&self, second: u64) -> SummaryValue {
        let recent = |stamped: u64| stamped != 0 && second.saturating_sub((stamped >> 32) - 1) < MAX_AGE_SECONDS;
        let stamped = self.ring.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| recent(*slot));
        let mut values: Vec<f32> = stamped.map(|slot| f32::from_bits(slot as u32)).collect();
        values.sort_unstable_by(f32::total_cmp);
        let quantile = |q: f64| {
            let rank = (q * values.len() as f64).ceil() as usize;
            (q, values.get(rank.saturating_sub(1)).map_or(f64::NAN, |value| widened(*value)))
        };
        SummaryValue {
            quantiles: self.quantiles.iter().map(|q| quantile(*q)).collect(),
            sum: self.sum.get(),
            count: self.count.load(Ordering::Relaxed),
        }
    }
}

/// With the digits that it has, and none of the binary ones behind them.
fn widened(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// A sum of floats that many threads add to.
#[derive(Debug, Default)]
pub(super) struct AtomicSum(AtomicU64);

impl AtomicSum {
    pub(super) fn add(&self, value: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // The closure never says no.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let summary = Summary::new(WIDE_QUANTILES);
        (1..=100).rev().for_each(|n| summary.observe_at(f64::from(n), 0));
        let value = summary.read_at(0);
        assert_eq!(value.quantiles, [(0.01, 1.0), (0.05, 5.0), (0.5, 50.0), (0.9, 90.0), (0.99, 99.0)]);
        assert_eq!((value.sum, value.count), (5050.0, 100));
        let summary = Summary::new(&[0.5]);
        summary.observe_at(0.1234567, 0);
        assert_eq!(summary.read_at(0).quantiles, [(0.5, 0.1234567)]);
    }

    #[test]
    fn what_is_old_counts_for_count_and_sum_alone() {
        let summary = Summary::default();
        summary.observe_at(1.5, 0);
        summary.observe_at(3.0, 500);
        let at = |second| summary.read_at(second).quantiles.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!(at(599), [1.5, 3.0, 3.0]);
        assert_eq!(at(600), [3.0, 3.0, 3.0]);
        assert!(at(1100).iter().all(|value| value.is_nan()));
        let value = summary.read_at(1100);
        assert_eq!((value.sum, value.count), (4.5, 2));
    }

    #[test]
    fn the_ring_has_the_newest() {
        let summary = Summary::new(&[0.5]);
        (0..RING).for_each(|_| summary.observe_at(1.0, 0));
        (0..RING).for_each(|_| summary.observe_at(2.0, 0));
        assert_eq!(summary.read_at(0).quantiles, [(0.5, 2.0)]);
        assert_eq!(summary.read_at(0).count, 2 * RING as u64);
    }
}

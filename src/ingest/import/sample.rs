//! One sample of a run, to compare with another one.

use crate::model::float::format_general;
use crate::model::histogram::{CounterResetHint, FloatHistogram, codec};
use crate::storage::types::RunSlice;

/// A sample of a run.
#[derive(Clone, Copy)]
pub enum Sample<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl<'a> Sample<'a> {
    pub fn of(run: RunSlice<'a>, at: usize) -> Self {
        match run.histograms.get(at).and_then(Option::as_ref) {
            Some(histogram) => Sample::Histogram(histogram),
            None => Sample::Float(run.values[at]),
        }
    }

    /// To the bit; but what is known of resets depends on the neighbours.
    pub fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Sample::Float(a), Sample::Float(b)) => a.to_bits() == b.to_bits(),
            (Sample::Histogram(a), Sample::Histogram(b)) => bytes(a) == bytes(b),
            _ => false,
        }
    }

    /// For people.
    pub fn text(self) -> String {
        match self {
            Sample::Float(value) => format_general(value),
            Sample::Histogram(histogram) => {
                format!("a histogram of {} in all", format_general(histogram.count))
            }
        }
    }
}

fn bytes(histogram: &FloatHistogram) -> Vec<u8> {
    let histogram = FloatHistogram { counter_reset_hint: CounterResetHint::Unknown, ..histogram.clone() };
    let mut out = Vec::new();
    codec::encode(&histogram, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_compared_but_for_what_is_known_of_resets() {
        let of = |count: f64, counter_reset_hint| FloatHistogram {
            count,
            counter_reset_hint,
            ..FloatHistogram::default()
        };
        let (a, b) = (of(3.0, CounterResetHint::Unknown), of(3.0, CounterResetHint::NotReset));
        assert!(Sample::Histogram(&a).equals(Sample::Histogram(&b)));
        assert!(!Sample::Histogram(&a).equals(Sample::Histogram(&of(4.0, CounterResetHint::Unknown))));
        assert!(!Sample::Histogram(&a).equals(Sample::Float(0.0)));
    }
}

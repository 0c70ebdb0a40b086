//! Samples on their way to a remote.

use std::sync::Arc;

use crate::forward::series::Outgoing;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;

/// A sample of a series, with the exemplars that came with it.
#[derive(Clone, Debug)]
pub struct Item {
    pub series: Arc<Outgoing>,
    /// The object of the log that it is in.
    pub sequence: u64,
    pub timestamp: i64,
    /// 0 for unset.
    pub start_timestamp: i64,
    pub sample: Sample,
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, Debug)]
pub enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
    /// Only exemplars, whose sample is in none of their object's rows.
    None,
}

#[derive(Clone, Debug)]
pub struct Exemplar {
    pub timestamp: i64,
    pub value: f64,
    pub labels: Labels,
}

/// How many of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Item {
    pub fn is_histogram(&self) -> bool {
        matches!(self.sample, Sample::Histogram(_))
    }

    /// What it counts for against the limits of a queue.
    pub fn size(&self) -> usize {
        usize::from(!matches!(self.sample, Sample::None)) + self.exemplars.len()
    }

    pub fn counts(&self) -> Counts {
        self.sample.counts(self.exemplars.len())
    }
}

impl Sample {
    /// With so many exemplars.
    pub fn counts(&self, exemplars: usize) -> Counts {
        let exemplars = exemplars as u64;
        match self {
            Sample::Float(_) => Counts { samples: 1, histograms: 0, exemplars },
            Sample::Histogram(_) => Counts { samples: 0, histograms: 1, exemplars },
            Sample::None => Counts { samples: 0, histograms: 0, exemplars },
        }
    }
}

impl Counts {
    pub fn of(items: &[Item]) -> Self {
        items.iter().fold(Self::default(), |sum, item| sum.plus(item.counts()))
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            histograms: self.histograms + other.histograms,
            exemplars: self.exemplars + other.exemplars,
        }
    }

    /// What is missing in `other`.
    pub fn minus(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(other.samples),
            histograms: self.histograms.saturating_sub(other.histograms),
            exemplars: self.exemplars.saturating_sub(other.exemplars),
        }
    }

    pub fn total(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }
}

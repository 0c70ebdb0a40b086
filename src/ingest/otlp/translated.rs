//! What a request becomes, and by which settings.

use std::fmt;

use crate::config::otlp::OtlpConfig;
use crate::ingest::otlp::labels::Refusal;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;
use crate::storage::types::SeriesRef;

/// The file's settings, and those of flags.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: OtlpConfig,
    /// `target_info` has a sample at least every half of it.
    pub lookback_delta_ms: i64,
    /// Type and unit are labels (`--enable-feature=type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    pub delta: Delta,
}

/// What becomes of points with delta temporality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    #[default]
    Refused,
    /// Stored as they come (`--enable-feature=otlp-native-delta-ingestion`).
    Native,
    /// Summed up (`--enable-feature=otlp-deltatocumulative`).
    Summed,
}

/// What a request holds. Rows name their series by its place in `series`.
#[derive(Debug, Default)]
pub struct Translated {
    pub series: Vec<Entry>,
    pub samples: Vec<Sample>,
    pub histograms: Vec<(Sample, FloatHistogram)>,
    pub exemplars: Vec<(usize, i64, f64, Labels)>,
    pub metadata: Vec<(String, Metadata)>,
    pub warnings: Vec<Warning>,
    /// Where there is any, nothing of the request is written.
    pub errors: Vec<Refusal>,
}

/// A series, by the hash of what it is made of.
#[derive(Debug)]
pub struct Entry {
    pub key: u128,
    pub series: Found,
}

#[derive(Debug)]
pub enum Found {
    Known(SeriesRef),
    New(Labels),
}

/// A float sample; of a histogram the value is not used. Times in milliseconds, 0 for no start.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub series: usize,
    pub timestamp: i64,
    pub start: i64,
    pub value: f64,
}

/// What is worth a line in the log, and no reason to refuse anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    NoPoints(String),
    Collision(String),
    SumOfNothing(String),
    OldDelta(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NoPoints(metric) => write!(f, "empty data points. {metric} is dropped"),
            Warning::Collision(label) => {
                write!(f, "OTLP attributes collide as label {label:?}, values are concatenated with ';'")
            }
            Warning::SumOfNothing(metric) => {
                write!(f, "histogram data point of {metric} has zero count, but non-zero sum")
            }
            Warning::OldDelta(metric) => {
                write!(f, "data point of {metric} with delta temporality is older than its sum. It is dropped")
            }
        }
    }
}

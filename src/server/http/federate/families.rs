//! Samples → families: those of one name and kind beside each other. A name that has both floats and histograms is more
//! than one family, which is bent, and which Prometheus reads.

use std::sync::Arc;

use crate::model::histogram::{CounterResetHint, FloatHistogram};
use crate::model::labels::{Labels, METRIC_NAME};

/// The newest sample of a series.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: Labels,
    pub time: i64,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Value {
    fn kind(&self) -> Kind {
        match self {
            Value::Float(_) => Kind::Untyped,
            Value::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => Kind::GaugeHistogram,
            Value::Histogram(_) => Kind::Histogram,
        }
    }

    /// Buckets that are no native ones, and so are known to all formats.
    pub fn has_exponential_buckets(&self) -> bool {
        matches!(self, Value::Histogram(histogram) if !histogram.uses_custom_buckets())
    }
}

#[derive(Debug)]
pub struct Family<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub metrics: Vec<Metric<'a>>,
}

#[derive(Debug)]
pub struct Metric<'a> {
    /// Without the name.
    pub labels: Vec<(&'a str, &'a str)>,
    pub time: i64,
    pub value: &'a Value,
}

/// By name, and then by labels.
pub fn sort(samples: &mut [Sample]) {
    samples.sort_unstable_by(|a, b| a.labels.metric().cmp(b.labels.metric()).then_with(|| a.labels.cmp(&b.labels)));
}

/// The families of sorted samples, handed on one by one. `external` are labels that are added where a series has none of
/// their names; an `instance` that no series has is empty, so that the reader does not add its own.
pub fn each<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
    external: &'a Labels,
    mut emit: impl FnMut(&Family<'a>),
) {
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    if external.get("instance").is_none() {
        added.push(("instance", ""));
        added.sort_unstable();
    }
    let mut family: Option<Family<'a>> = None;
    for sample in samples {
        let (name, kind) = (sample.labels.metric(), sample.value.kind());
        if name.is_empty() {
            continue;
        }
        let mut labels: Vec<_> = sample.labels.iter().filter(|(name, _)| *name != METRIC_NAME).collect();
        let missing = added.iter().filter(|(name, _)| sample.labels.get(name).is_none());
        labels.extend(missing.copied());
        let metric = Metric { labels, time: sample.time, value: &sample.value };
        match &mut family {
            Some(family) if family.name == name && family.kind == kind => family.metrics.push(metric),
            _ => {
                if let Some(done) = family.replace(Family { name, kind, metrics: vec![metric] }) {
                    emit(&done);
                }
            }
        }
    }
    if let Some(last) = family {
        emit(&last);
    }
}

/// Upper bounds of custom buckets, and how much is at or below each.
pub fn cumulative(histogram: &FloatHistogram) -> impl Iterator<Item = (f64, f64)> + '_ {
    let mut buckets = histogram.positive().peekable();
    let mut sum = 0.0;
    histogram.custom_values.iter().enumerate().map(move |(index, bound)| {
        while let Some((_, count)) = buckets.next_if(|(at, _)| *at <= index as i32) {
            sum += count;
        }
        (*bound, sum)
    })
}

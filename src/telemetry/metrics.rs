//! The registry behind `/metrics`. Two ways in: a *source* is a closure that returns its families when they
//! are asked for (the store, ingestion, the process), and [`HttpMetrics`] counts what the HTTP server did.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::telemetry::histogram::HistogramValue;
use crate::telemetry::http::HttpMetrics;
use crate::telemetry::summary::SummaryValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name is given without `_total`.
    Counter,
    Gauge,
    Summary,
    Histogram,
}

/// One metric family with its values at this moment.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: Cow<'static, str>,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

/// Labels in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Summary(SummaryValue),
    Histogram(HistogramValue),
}

impl Family {
    pub fn counter(name: impl Into<Cow<'static, str>>, help: &'static str, value: f64) -> Self {
        Self::labelled(name, help, Kind::Counter).with(&[], value)
    }

    pub fn gauge(name: impl Into<Cow<'static, str>>, help: &'static str, value: f64) -> Self {
        Self::labelled(name, help, Kind::Gauge).with(&[], value)
    }

    pub fn summary(name: impl Into<Cow<'static, str>>, help: &'static str, value: SummaryValue) -> Self {
        Self::labelled(name, help, Kind::Summary).with_summary(&[], value)
    }

    /// A family whose samples all carry labels; see [`Family::with`].
    pub fn labelled(name: impl Into<Cow<'static, str>>, help: &'static str, kind: Kind) -> Self {
        Self { name: name.into(), help, kind, samples: Vec::new() }
    }

    /// The same family with one more labelled sample.
    pub fn with(self, labels: &[(&'static str, &str)], value: f64) -> Self {
        self.with_value(labels, Value::Number(value))
    }

    /// The same of a family of summaries.
    pub fn with_summary(self, labels: &[(&'static str, &str)], value: SummaryValue) -> Self {
        self.with_value(labels, Value::Summary(value))
    }

    /// The same of a family of histograms.
    pub fn with_histogram(self, labels: &[(&'static str, &str)], value: HistogramValue) -> Self {
        self.with_value(labels, Value::Histogram(value))
    }

    fn with_value(mut self, labels: &[(&'static str, &str)], value: Value) -> Self {
        let labels = labels.iter().map(|(n, v)| (*n, v.to_string())).collect();
        self.samples.push(Sample { labels, value });
        self
    }
}

/// All metrics of the process.
#[derive(Default)]
pub struct Metrics {
    sources: RwLock<Vec<Source>>,
    pub http: HttpMetrics,
}

type Source = Arc<dyn Fn() -> Vec<Family> + Send + Sync>;

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source; `collect` is called once per exposition and must not block.
    pub fn add_source(&self, collect: impl Fn() -> Vec<Family> + Send + Sync + 'static) {
        self.sources.write().push(Arc::new(collect));
    }

    /// All families, sorted by name. What several sources have of one family stands together.
    pub fn families(&self) -> Vec<Family> {
        let sources: Vec<Source> = self.sources.read().clone();
        let mut all: Vec<Family> = sources.iter().flat_map(|collect| collect()).collect();
        all.extend(self.http.families());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut families: Vec<Family> = Vec::with_capacity(all.len());
        for family in all {
            match families.last_mut() {
                Some(last) if last.name == family.name => last.samples.extend(family.samples),
                _ => families.push(family),
            }
        }
        families
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("sources", &self.sources.read().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_sorted_and_whole() {
        let metrics = Metrics::new();
        let things = |part: &'static str| {
            move || vec![Family::labelled("b_things", "Things", Kind::Gauge).with(&[("part", part)], 1.0)]
        };
        metrics.add_source(things("x"));
        metrics.add_source(|| vec![Family::gauge("c", "C", 1.0), Family::gauge("a", "A", 1.0)]);
        metrics.add_source(things("y"));
        let families = metrics.families();
        let own: Vec<_> =
            families.iter().filter(|f| f.name.len() < 9).map(|f| (&*f.name, f.samples.len())).collect();
        assert_eq!(own, [("a", 1), ("b_things", 2), ("c", 1)]);
    }
}

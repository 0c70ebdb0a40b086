//! An exposition in Prometheus' text format as samples of remote write, made as promtool makes them: series get labels beside
//! their own, bounds and quantiles the form of Go, and histograms their last bucket.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::forward::item::{Item, Sample};
use crate::forward::series::Outgoing;
use crate::ingest::exposition::event::{Event, Format, Options, Parser, Value};
use crate::ingest::exposition::series::Pairs;
use crate::model::float::{self, format_general};
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};

/// Of an exposition: a sample takes more memory than its line.
const MAX_SAMPLES: usize = 1_000_000;
const JOB: &str = "job";
const EXPORTED_JOB: &str = "exported_job";
const LE: &str = "le";
const QUANTILE: &str = "quantile";
const INFINITE: &str = "+Inf";

#[derive(Debug)]
pub struct Page {
    pub items: Vec<Item>,
    /// Sorted by name.
    pub families: Vec<(String, Metadata)>,
}

struct Reader<'a> {
    /// Of all series.
    labels: &'a [(String, String)],
    now_ms: i64,
    items: Vec<Item>,
    families: BTreeMap<String, Metadata>,
    /// By their labels without `le`, the metric that of the family.
    histograms: HashMap<Labels, Histogram>,
}

/// What decides about the last bucket of a histogram.
#[derive(Default)]
struct Histogram {
    has_infinite: bool,
    /// With its time.
    count: Option<(i64, f64)>,
}

impl Page {
    /// # Errors
    /// Where and why it is none.
    pub fn read(body: &[u8], labels: &[(String, String)], now_ms: i64) -> Result<Self, String> {
        let (items, families, histograms) = (Vec::new(), BTreeMap::new(), HashMap::new());
        let mut reader = Reader { labels, now_ms, items, families, histograms };
        let mut parser = Parser::new(Format::Text, body, Options::default());
        let mut pairs = Pairs::new();
        while let Some(event) = parser.next() {
            match event.map_err(|error| error.to_string())? {
                Event::Type { family, kind } => reader.family(&family).kind = kind,
                Event::Help { family, text } => reader.family(&family).help = text.into_owned(),
                Event::Unit { family, unit } => reader.family(&family).unit = unit.into_owned(),
                Event::Sample(sample) => {
                    let Value::Float(value) = sample.value else {
                        return Err(parser.error("a histogram in one line").to_string());
                    };
                    let decoded = sample.series.decode(&mut pairs);
                    let added = decoded.and_then(|()| reader.add(&pairs, sample.timestamp, value));
                    added.map_err(|message| parser.error(message).to_string())?;
                }
            }
        }
        reader.complete();
        Ok(Self { items: reader.items, families: reader.families.into_iter().collect() })
    }
}

impl Reader<'_> {
    fn family(&mut self, name: &str) -> &mut Metadata {
        self.families.entry(name.to_string()).or_default()
    }

    fn add(&mut self, pairs: &Pairs<'_>, timestamp: Option<i64>, value: f64) -> Result<(), String> {
        if self.items.len() >= MAX_SAMPLES {
            return Err(format!("more than {MAX_SAMPLES} samples"));
        }
        let name = pairs.iter().find(|(name, _)| name == METRIC_NAME).map_or("", |(_, name)| name);
        let (family, kind) = self.owner(name);
        let mut builder = LabelsBuilder::new();
        self.labels.iter().for_each(|(name, value)| {
            builder.set(name, value);
        });
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("duplicate label name {:?}", twice[0]));
        }
        for (label, value) in pairs {
            let bound = match (kind, &**label) {
                (MetricType::Histogram, LE) | (MetricType::Summary, QUANTILE) => float::parse(value),
                _ => None,
            };
            match bound {
                Some(bound) => builder.set(label, &format_general(bound)),
                None => builder.set(if label == JOB { EXPORTED_JOB } else { label }, value),
            };
        }
        let at = timestamp.unwrap_or(self.now_ms);
        let labels = builder.build();
        if kind == MetricType::Histogram && family != name {
            self.note_histogram(&labels, &family, name, at, value);
        }
        let metadata = self.families.get(&family).map(|metadata| Arc::new(metadata.clone()));
        self.push(labels, metadata, at, value);
        Ok(())
    }

    fn push(&mut self, labels: Labels, metadata: Option<Arc<Metadata>>, timestamp: i64, value: f64) {
        let id = self.items.len() as i64;
        let series = Arc::new(Outgoing { id, labels, lacks_external: false, metadata });
        let sample = Sample::Float(value);
        self.items.push(Item { series, sequence: 0, timestamp, start_timestamp: 0, sample, exemplars: Vec::new() });
    }

    /// The family a line belongs to: those of histograms and summaries end in one of three words.
    fn owner(&mut self, name: &str) -> (String, MetricType) {
        for (suffix, of_summary) in [("_bucket", false), ("_sum", true), ("_count", true)] {
            let family = name.strip_suffix(suffix).and_then(|base| Some((base, self.families.get(base)?.kind)));
            match family {
                Some((base, MetricType::Histogram)) => return (base.to_string(), MetricType::Histogram),
                Some((base, MetricType::Summary)) if of_summary => return (base.to_string(), MetricType::Summary),
                _ => {}
            }
        }
        (name.to_string(), self.family(name).kind)
    }

    fn note_histogram(&mut self, labels: &Labels, family: &str, name: &str, at: i64, value: f64) {
        let mut key = LabelsBuilder::new();
        labels.iter().filter(|(label, _)| *label != LE).for_each(|(label, value)| {
            key.set(label, value);
        });
        key.set(METRIC_NAME, family);
        let histogram = self.histograms.entry(key.build()).or_default();
        if name.ends_with("_count") {
            histogram.count = Some((at, value));
        }
        histogram.has_infinite |= labels.iter().any(|(label, value)| label == LE && value == INFINITE);
    }

    /// The last buckets that are missing: all observations are in there.
    fn complete(&mut self) {
        let histograms = std::mem::take(&mut self.histograms);
        for (labels, histogram) in histograms {
            let (false, Some((at, count))) = (histogram.has_infinite, histogram.count) else { continue };
            let family = labels.get(METRIC_NAME).unwrap_or_default().to_string();
            let mut builder = LabelsBuilder::new();
            labels.iter().for_each(|(label, value)| {
                builder.set(label, value);
            });
            builder.set(METRIC_NAME, &format!("{family}_bucket"));
            builder.set(LE, INFINITE);
            let metadata = self.families.get(&family).map(|metadata| Arc::new(metadata.clone()));
            self.push(builder.build(), metadata, at, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let labels = [("job".to_string(), "promtool".to_string()), ("x".to_string(), "y".to_string())];
        let page = Page::read(text.as_bytes(), &labels, 1_000)?;
        let shown = |item: &Item| {
            let Sample::Float(value) = item.sample else { unreachable!("all are floats") };
            format!("{} {value} {}", item.series.labels, item.timestamp)
        };
        Ok(page.items.iter().map(shown).collect())
    }

    #[test]
    fn samples() {
        let check = |text: &str, expected: &[&str]| assert_eq!(read(text).unwrap(), expected, "{text}");
        check("a 1\n", &["a{job=\"promtool\", x=\"y\"} 1 1000"]);
        check("a{job=\"q\",x=\"1\"} 2 5\n", &["a{exported_job=\"q\", job=\"promtool\", x=\"1\"} 2 5"]);
        check(
            "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_sum 3\nh_count 2\n",
            &[
                "h_bucket{job=\"promtool\", le=\"1\", x=\"y\"} 1 1000",
                "h_sum{job=\"promtool\", x=\"y\"} 3 1000",
                "h_count{job=\"promtool\", x=\"y\"} 2 1000",
                "h_bucket{job=\"promtool\", le=\"+Inf\", x=\"y\"} 2 1000",
            ],
        );
        check(
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n",
            &[
                "h_bucket{job=\"promtool\", le=\"+Inf\", x=\"y\"} 2 1000",
                "h_count{job=\"promtool\", x=\"y\"} 2 1000",
            ],
        );
        check(
            "# TYPE s summary\ns{quantile=\"0.50\"} 1\n",
            &["s{job=\"promtool\", quantile=\"0.5\", x=\"y\"} 1 1000"],
        );
        check("h_bucket{le=\"1.0\"} 1\n", &["h_bucket{job=\"promtool\", le=\"1.0\", x=\"y\"} 1 1000"]);
    }

    #[test]
    fn families() {
        let text = "# HELP b_total B\n# TYPE b_total counter\nb_total 1\n# TYPE a gauge\na 1\nc 1\n";
        let page = Page::read(text.as_bytes(), &[], 0).unwrap();
        let kinds: Vec<_> =
            page.families.iter().map(|(name, m)| (name.as_str(), m.kind, m.help.as_str())).collect();
        assert_eq!(
            kinds,
            [("a", MetricType::Gauge, ""), ("b_total", MetricType::Counter, "B"), ("c", MetricType::Unknown, "")]
        );
        assert_eq!(page.items[0].series.metadata.as_ref().unwrap().help, "B");
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, part: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("a{\n", "line 1: ");
        check("a{b=\"1\",b=\"2\"} 1\n", "duplicate label name \"b\"");
    }
}

//! The registry behind `/metrics`. Two ways in: a *source* is a closure that returns its families when they
//! are asked for (the store, ingestion, the process), and [`HttpMetrics`] counts what the HTTP server did.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name is given without `_total`.
    Counter,
    Gauge,
}

/// One metric family with its values at this moment.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: Cow<'static, str>,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    pub fn counter(name: impl Into<Cow<'static, str>>, help: &'static str, value: f64) -> Self {
        Self { name: name.into(), help, kind: Kind::Counter, samples: vec![(Vec::new(), value)] }
    }

    pub fn gauge(name: impl Into<Cow<'static, str>>, help: &'static str, value: f64) -> Self {
        Self { name: name.into(), help, kind: Kind::Gauge, samples: vec![(Vec::new(), value)] }
    }

    /// The same family with one more labelled sample.
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        self.samples.push((labels.iter().map(|(n, v)| (*n, v.to_string())).collect(), value));
        self
    }

    /// A family whose samples all carry labels; see [`Family::with`].
    pub fn labelled(name: impl Into<Cow<'static, str>>, help: &'static str, kind: Kind) -> Self {
        Self { name: name.into(), help, kind, samples: Vec::new() }
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    pub http: HttpMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let http = HttpMetrics::default();
        let mut registry = Registry::default();
        registry.register("promlake_http_requests", "Number of HTTP requests answered", http.requests.clone());
        registry.register(
            "promlake_http_request_duration_seconds",
            "Time from a request's head to the head of its response",
            http.seconds.clone(),
        );
        Self { registry: RwLock::new(registry), http }
    }

    /// Adds a source; `collect` is called once per exposition and must not block.
    pub fn add_source(&self, collect: impl Fn() -> Vec<Family> + Send + Sync + 'static) {
        self.registry.write().register_collector(Box::new(Source(Arc::new(collect))));
    }

    /// All metrics as OpenMetrics 1.0, with `# EOF`.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.read())
            .expect("writing to a string cannot fail");
        text
    }
}

#[derive(Clone)]
struct Source(Arc<dyn Fn() -> Vec<Family> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in (self.0)() {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(&family.name, family.help, None, kind)?;
            for (labels, value) in family.samples {
                if labels.is_empty() {
                    encode_value(family.kind, value, metric)?;
                    // An unlabelled sample is the family's only one.
                    break;
                }
                let labels = Pairs(labels);
                encode_value(family.kind, value, metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode_value(
    kind: Kind,
    value: f64,
    encoder: prometheus_client::encoding::MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(value).encode(encoder),
    }
}

/// Label pairs known only at run time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pairs(Vec<(&'static str, String)>);

impl EncodeLabelSet for Pairs {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.as_slice().iter().try_for_each(|(name, value)| {
            use prometheus_client::encoding::EncodeLabel;
            (*name, value.as_str()).encode(encoder.encode_label())
        })
    }
}

/// What the HTTP server counts, by route.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Labelled<Pairs, Counter>,
    seconds: Labelled<Pairs, Histogram, fn() -> Histogram>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self { requests: Labelled::default(), seconds: Labelled::new_with_constructor(latency_histogram) }
    }
}

impl HttpMetrics {
    /// `handler` is a route's pattern, never a path a client chose, so that the number of series is bounded.
    pub fn observe(&self, handler: &'static str, code: u16, elapsed: Duration) {
        let by_code = Pairs(vec![("handler", handler.to_string()), ("code", code.to_string())]);
        self.requests.get_or_create(&by_code).inc();
        let by_handler = Pairs(vec![("handler", handler.to_string())]);
        self.seconds.get_or_create(&by_handler).observe(elapsed.as_secs_f64());
    }
}

fn latency_histogram() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0])
}

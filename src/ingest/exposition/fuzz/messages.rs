//! The messages of `client_model` through `prost`, printed as `render` prints what our reader makes of them.

use prost::Message;

use super::super::number;
use crate::model::metadata::MetricType;

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    help: Vec<u8>,
    #[prost(int64, tag = "3")]
    kind: i64,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
    #[prost(bytes = "vec", tag = "5")]
    unit: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Simple>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Counter>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Simple>,
    #[prost(int64, tag = "6")]
    timestamp: i64,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Simple {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(message, optional, tag = "2")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    quantiles: Vec<Quantile>,
}

#[derive(Clone, PartialEq, Message)]
struct Quantile {
    #[prost(double, tag = "1")]
    quantile: f64,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(double, tag = "4")]
    count_float: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
    #[prost(double, tag = "4")]
    count_float: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int64, tag = "2")]
    nanos: i64,
}

/// The body as prost would write it: each field once, and in order. `None` for what is no list of families.
pub(super) fn canonical(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let family = Family::decode_length_delimited(&mut body).ok()?;
        family.encode_length_delimited(&mut out).expect("a Vec has room");
    }
    Some(out)
}

/// The events of a canonical body, up to the first error.
pub(super) fn events(mut body: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let family = Family::decode_length_delimited(&mut body).expect("it is canonical");
        if !family.metrics.is_empty() && of_family(&family, &mut out).is_none() {
            out.push("error".to_string());
            break;
        }
    }
    out
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn of_family(family: &Family, out: &mut Vec<String>) -> Option<()> {
    let name = text(&family.name).filter(|name| !name.is_empty())?;
    let (help, unit) = (text(&family.help)?, text(&family.unit)?);
    let kind = match family.kind {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Summary,
        3 => MetricType::Unknown,
        4 => MetricType::Histogram,
        5 => MetricType::GaugeHistogram,
        _ => return None,
    };
    out.push(format!("help {name} {help:?}"));
    if !unit.is_empty() {
        out.push(format!("unit {name} {unit}"));
    }
    out.push(format!("type {name} {}", kind.as_str()));
    for metric in &family.metrics {
        let mut add = |suffix: &str, magic: Option<(&str, f64)>, value: f64, exemplar: Option<&Exemplar>| {
            let mut line = vec![format!("__name__={:?}", format!("{name}{suffix}"))];
            for label in &metric.labels {
                let name = text(&label.name).filter(|name| !name.is_empty())?;
                line.push(format!("{name}={:?}", text(&label.value)?));
            }
            line.extend(magic.map(|(name, bound)| format!("{name}={:?}", number::format_openmetrics(bound))));
            line.push(value.to_string());
            line.extend(Some(metric.timestamp).filter(|t| *t != 0).map(|t| format!("@{t}")));
            if let Some(exemplar) = exemplar {
                line.push(of_exemplar(exemplar)?);
            }
            out.push(line.join(" "));
            Some(())
        };
        let value = |simple: &Option<Simple>| simple.as_ref().map_or(0.0, |simple| simple.value);
        match kind {
            MetricType::Counter => {
                let counter = metric.counter.clone().unwrap_or_default();
                add("", None, counter.value, counter.exemplar.as_ref())?;
            }
            MetricType::Gauge => add("", None, value(&metric.gauge), None)?,
            MetricType::Unknown => add("", None, value(&metric.untyped), None)?,
            MetricType::Summary => {
                let summary = metric.summary.clone().unwrap_or_default();
                add("_count", None, summary.count as f64, None)?;
                add("_sum", None, summary.sum, None)?;
                for quantile in &summary.quantiles {
                    add("", Some(("quantile", quantile.quantile)), quantile.value, None)?;
                }
            }
            _ => {
                let histogram = metric.histogram.clone().unwrap_or_default();
                let either = |float: f64, whole: u64| if float != 0.0 { float } else { whole as f64 };
                let count = either(histogram.count_float, histogram.count);
                add("_count", None, count, None)?;
                add("_sum", None, histogram.sum, None)?;
                let infinite = histogram.buckets.iter().position(|bucket| bucket.upper_bound == f64::INFINITY);
                let last = infinite.map_or(histogram.buckets.len(), |at| at + 1);
                for bucket in &histogram.buckets[..last] {
                    let count = either(bucket.count_float, bucket.count);
                    add("_bucket", Some(("le", bucket.upper_bound)), count, bucket.exemplar.as_ref())?;
                }
                if infinite.is_none() {
                    add("_bucket", Some(("le", f64::INFINITY)), count, None)?;
                }
            }
        }
    }
    Some(())
}

fn of_exemplar(exemplar: &Exemplar) -> Option<String> {
    let mut labels = Vec::new();
    for label in &exemplar.labels {
        labels.push((text(&label.name).filter(|name| !name.is_empty())?, text(&label.value)?));
    }
    let timestamp = exemplar
        .timestamp
        .as_ref()
        .map(|stamp| stamp.seconds.saturating_mul(1000).saturating_add(stamp.nanos / 1_000_000));
    Some(format!("exemplar {labels:?} {} {timestamp:?}", exemplar.value))
}

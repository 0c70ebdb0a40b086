//! `/api/v1/status/self_metrics`: what `/metrics` shows, or the part of it whose names match, as JSON: each family as
//! protobuf's JSON form has `io.prometheus.client.MetricFamily`.

use std::sync::Arc;

use axum::extract::State;

use crate::error::Error;
use crate::model::float;
use crate::model::pattern::anchored;
use crate::server::http::describe::{About, Kind as Of, Parameter, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::json::write_string;
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server};
use crate::telemetry::metrics::{Family, Kind, Sample, Value};

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/status/self_metrics").get(self_metrics).about(SELF_METRICS)]
}

const SELF_METRICS: About = About::new(Tag::Status, "status-self-metrics", "Metrics of this server")
    .takes(&[Parameter::new(
        "metric_name_pattern",
        Of::Text,
        "A regular expression that names match; all by default",
    )])
    .answers(Reply::Data(Shape::List(&Shape::Object(&[
        ("name", Shape::Text),
        ("help", Shape::Text),
        ("type", Shape::Text),
        ("metric", Shape::List(&Shape::Map(&Shape::Any))),
    ]))));

async fn self_metrics(State(server): State<Arc<Server>>, Ready(_): Ready, params: Params) -> ApiResult {
    let pattern = match params.get("metric_name_pattern") {
        "" => None,
        pattern => Some(anchored(pattern).map_err(|error| {
            // Go's words alone.
            let message = error
                .message
                .rsplit_once("error parsing regexp: ")
                .map_or(error.message.clone(), |(_, why)| format!("error parsing regexp: {why}"));
            ApiError(Error::bad_input(format!("invalid metric_name_pattern: {message}")))
        })?),
    };
    let families: Vec<(String, Family)> = server
        .metrics
        .families()
        .into_iter()
        .map(|family| (name(&family), family))
        .filter(|(name, family)| {
            !family.samples.is_empty() && pattern.as_ref().is_none_or(|pattern| pattern.is_match(name))
        })
        .collect();
    Ok(envelope::success_json(&render(families), Vec::new(), Vec::new()))
}

/// As it is on the page in the text format.
fn name(family: &Family) -> String {
    let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
    format!("{}{suffix}", family.name)
}

fn render(mut families: Vec<(String, Family)>) -> String {
    families.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut out = String::from("[");
    for (at, (name, family)) in families.iter().enumerate() {
        out.push_str(if at == 0 { "{\"name\":" } else { ",{\"name\":" });
        write_string(&mut out, name);
        out.push_str(",\"help\":");
        write_string(&mut out, &format!("{}.", family.help));
        let (kind, key) = match family.kind {
            Kind::Counter => ("COUNTER", "counter"),
            Kind::Gauge => ("GAUGE", "gauge"),
            Kind::Summary => ("SUMMARY", "summary"),
            Kind::Histogram => ("HISTOGRAM", "histogram"),
        };
        out.push_str(&format!(",\"type\":\"{kind}\",\"metric\":["));
        for (at, sample) in family.samples.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_metric(&mut out, sample, key);
        }
        out.push_str("]}");
    }
    out.push(']');
    out
}

fn write_metric(out: &mut String, sample: &Sample, key: &str) {
    out.push('{');
    let mut labels: Vec<_> = sample.labels.iter().collect();
    labels.sort_unstable();
    if !labels.is_empty() {
        out.push_str("\"label\":");
        write_list(out, &labels, |out, (name, value)| {
            out.push_str("{\"name\":");
            write_string(out, name);
            out.push_str(",\"value\":");
            write_string(out, value);
            out.push('}');
        });
        out.push(',');
    }
    out.push_str(&format!("\"{key}\":{{"));
    match &sample.value {
        Value::Number(value) => write_pair(out, "\"value\":", *value),
        Value::Summary(summary) => {
            // Protobuf's whole numbers of 64 bits are texts.
            out.push_str(&format!("\"sampleCount\":\"{}\",", summary.count));
            write_pair(out, "\"sampleSum\":", summary.sum);
            out.push_str(",\"quantile\":");
            write_list(out, &summary.quantiles, |out, (quantile, value)| {
                write_pair(out, "{\"quantile\":", *quantile);
                write_pair(out, ",\"value\":", *value);
                out.push('}');
            });
        }
        Value::Histogram(histogram) => {
            out.push_str(&format!("\"sampleCount\":\"{}\",", histogram.count()));
            write_pair(out, "\"sampleSum\":", histogram.sum);
            out.push_str(",\"bucket\":");
            // The infinite one is the count.
            let finite: Vec<_> = histogram.buckets.iter().filter(|(bound, _)| bound.is_finite()).collect();
            write_list(out, &finite, |out, (bound, count)| {
                out.push_str(&format!("{{\"cumulativeCount\":\"{count}\","));
                write_pair(out, "\"upperBound\":", *bound);
                out.push('}');
            });
        }
    }
    out.push_str("}}");
}

fn write_list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// What is no number of JSON is a text, by protobuf's names.
fn write_pair(out: &mut String, key: &str, value: f64) {
    out.push_str(key);
    match value {
        value if value.is_nan() => out.push_str("\"NaN\""),
        f64::INFINITY => out.push_str("\"Infinity\""),
        f64::NEG_INFINITY => out.push_str("\"-Infinity\""),
        value => float::write_json(out, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::histogram::HistogramValue;
    use crate::telemetry::summary::SummaryValue;

    /// What protojson makes of client_golang's families.
    #[test]
    fn families() {
        let requests = Family::labelled("b_requests", "Requests", Kind::Counter)
            .with(&[("z", "1"), ("code", "a\"b")], 3.0)
            .with(&[], 0.0);
        let sizes = Family::labelled("a_seconds", "Times", Kind::Histogram).with_histogram(
            &[],
            HistogramValue { buckets: vec![(0.5, 1), (2.0, 3), (f64::INFINITY, 4)], sum: 7.25 },
        );
        let times = Family::summary(
            "c_seconds",
            "Times",
            SummaryValue { quantiles: vec![(0.5, f64::NAN), (0.9, f64::INFINITY)], sum: 1e21, count: 2 },
        );
        let gauge = Family::gauge("b_gauge", "A gauge", f64::NEG_INFINITY);
        let families: Vec<_> =
            [requests, times, sizes, gauge].into_iter().map(|family| (name(&family), family)).collect();
        let expected = [
            r#"{"name":"a_seconds","help":"Times.","type":"HISTOGRAM","metric":[{"histogram":{"sampleCount":"4","sampleSum":7.25,"bucket":[{"cumulativeCount":"1","upperBound":0.5},{"cumulativeCount":"3","upperBound":2}]}}]}"#,
            r#"{"name":"b_gauge","help":"A gauge.","type":"GAUGE","metric":[{"gauge":{"value":"-Infinity"}}]}"#,
            r#"{"name":"b_requests_total","help":"Requests.","type":"COUNTER","metric":[{"label":[{"name":"code","value":"a\"b"},{"name":"z","value":"1"}],"counter":{"value":3}},{"counter":{"value":0}}]}"#,
            r#"{"name":"c_seconds","help":"Times.","type":"SUMMARY","metric":[{"summary":{"sampleCount":"2","sampleSum":1e+21,"quantile":[{"quantile":0.5,"value":"NaN"},{"quantile":0.9,"value":"Infinity"}]}}]}"#,
        ];
        let got = render(families);
        assert_eq!(got, format!("[{}]", expected.join(",")));
        serde_json::from_str::<serde_json::Value>(&got).unwrap();
    }
}

//! Rendering for `/metrics`: OpenMetrics 1.0, or the text format 0.0.4.

use std::fmt::Write;

use crate::model::float;
use crate::telemetry::metrics::{Family, Kind, Sample, Value};

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// OpenMetrics where the client would rather have it than the text format, by the `q` of its `Accept` header.
    /// Only media ranges that name one of the two count; with neither, or equal weights, it is the text format.
    pub fn negotiate(accept: &str) -> Self {
        let (mut open, mut text) = (0.0_f64, 0.0_f64);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("");
            let weight =
                parts.filter_map(|p| p.strip_prefix("q=")).next().and_then(|q| q.parse().ok()).unwrap_or(1.0);
            match kind {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" => text = text.max(weight),
                _ => {}
            }
        }
        if open > text { Format::OpenMetrics } else { Format::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Families as text. Those without a sample are left out.
pub fn render(families: impl IntoIterator<Item = Family>, format: Format) -> String {
    let mut out = String::new();
    for family in families.into_iter().filter(|family| !family.samples.is_empty()) {
        render_family(&mut out, &family, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn render_family(out: &mut String, family: &Family, format: Format) {
    let name = family.name.as_ref();
    // The text format has the family under the name of its samples.
    let suffix = if family.kind == Kind::Counter && format == Format::Text { "_total" } else { "" };
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Summary => "summary",
        Kind::Histogram => "histogram",
    };
    // To write to a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name}{suffix} {}.\n# TYPE {name}{suffix} {kind}", escaped(family.help));
    for Sample { labels, value } in &family.samples {
        match value {
            Value::Number(value) => {
                let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
                line(out, name, suffix, labels, None, *value);
            }
            Value::Summary(summary) => {
                for (quantile, value) in &summary.quantiles {
                    let bound = bound(*quantile, format);
                    line(out, name, "", labels, Some(("quantile", &bound)), *value);
                }
                line(out, name, "_sum", labels, None, summary.sum);
                line(out, name, "_count", labels, None, summary.count as f64);
            }
            Value::Histogram(histogram) => {
                for (upper, count) in &histogram.buckets {
                    let bound = bound(*upper, format);
                    line(out, name, "_bucket", labels, Some(("le", &bound)), *count as f64);
                }
                line(out, name, "_sum", labels, None, histogram.sum);
                line(out, name, "_count", labels, None, histogram.count() as f64);
            }
        }
    }
}

fn line(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[(&'static str, String)],
    last: Option<(&str, &str)>,
    value: f64,
) {
    out.push_str(name);
    out.push_str(suffix);
    let pairs = labels.iter().map(|(name, value)| (*name, value.as_str())).chain(last);
    let mut separator = '{';
    for (name, value) in pairs {
        out.push(separator);
        let _ = write!(out, "{name}=\"{}\"", escaped(value));
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    out.push(' ');
    float::write_json(out, value);
    out.push('\n');
}

/// OpenMetrics wants bounds to look like floats.
fn bound(value: f64, format: Format) -> String {
    match format {
        Format::Text => float::format_general(value),
        Format::OpenMetrics => float::format_open_metrics(value),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::histogram::Histogram;
    use crate::telemetry::summary::Summary;

    #[test]
    fn accept_decides() {
        let check = |accept, format| assert_eq!(Format::negotiate(accept), format, "{accept}");
        check("", Format::Text);
        check("*/*", Format::Text);
        check("text/plain", Format::Text);
        check("application/openmetrics-text", Format::OpenMetrics);
        check(
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
        );
        check("application/openmetrics-text;q=0.3,text/plain;q=0.5", Format::Text);
    }

    fn families() -> Vec<Family> {
        let summary = Summary::default();
        [1.0, 2.5].into_iter().for_each(|value| summary.observe(value));
        let histogram = Histogram::new(&[1.0]);
        histogram.observe(0.25);
        vec![
            Family::labelled("nothing", "Left out", Kind::Gauge),
            Family::labelled("size_bytes", "Sizes", Kind::Gauge)
                .with(&[("part", "a\"b\\c")], 1.5)
                .with(&[("part", "cache")], 2.0),
            Family::labelled("seconds", "Times", Kind::Histogram).with_histogram(&[("h", "/")], histogram.read()),
            Family::counter("things", "Things seen", 3.0),
            Family::summary("waits", "Waits", summary.read()),
        ]
    }

    #[test]
    fn text() {
        let expected = r#"# HELP size_bytes Sizes.
# TYPE size_bytes gauge
size_bytes{part="a\"b\\c"} 1.5
size_bytes{part="cache"} 2
# HELP seconds Times.
# TYPE seconds histogram
seconds_bucket{h="/",le="1"} 1
seconds_bucket{h="/",le="+Inf"} 1
seconds_sum{h="/"} 0.25
seconds_count{h="/"} 1
# HELP things_total Things seen.
# TYPE things_total counter
things_total 3
# HELP waits Waits.
# TYPE waits summary
waits{quantile="0.5"} 1
waits{quantile="0.9"} 2.5
waits{quantile="0.99"} 2.5
waits_sum 3.5
waits_count 2
"#;
        assert_eq!(render(families(), Format::Text), expected);
    }

    #[test]
    fn open_metrics() {
        let open = render(families(), Format::OpenMetrics);
        assert!(open.contains("# TYPE things counter\nthings_total 3\n"), "{open}");
        assert!(open.contains("seconds_bucket{h=\"/\",le=\"1.0\"} 1\n"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
    }
}

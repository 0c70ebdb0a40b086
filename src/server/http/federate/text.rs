//! Families in the text format 0.0.4 (`expfmt/text_create.go`). Names that its older readers do not know stand in quotes,
//! that of the metric within the braces.

use std::borrow::Cow;

use crate::model::float;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::is_legacy_metric_name;
use crate::server::http::federate::escape::Escaping;
use crate::server::http::federate::families::{Family, Kind, Metric, Value, cumulative};

pub fn write(out: &mut String, family: &Family<'_>, escaping: Escaping) {
    let name = escaping.name(family.name);
    out.push_str("# TYPE ");
    write_name(out, &name);
    // It knows no gauge histograms.
    out.push_str(if family.kind == Kind::Untyped { " untyped\n" } else { " histogram\n" });
    for metric in &family.metrics {
        let mut lines = Lines { out, name: &name, metric, escaping };
        match metric.value {
            Value::Float(value) => lines.line("", None, *value),
            Value::Histogram(histogram) => lines.histogram(histogram),
        }
    }
}

struct Lines<'o, 'f> {
    out: &'o mut String,
    name: &'f str,
    metric: &'f Metric<'f>,
    escaping: Escaping,
}

impl Lines<'_, '_> {
    fn histogram(&mut self, histogram: &FloatHistogram) {
        let mut ends_in_infinity = false;
        for (bound, count) in cumulative(histogram) {
            self.line("_bucket", Some(bound), count);
            ends_in_infinity |= bound == f64::INFINITY;
        }
        if !ends_in_infinity {
            self.line("_bucket", Some(f64::INFINITY), histogram.count);
        }
        self.line("_sum", None, histogram.sum);
        self.line("_count", None, histogram.count);
    }

    fn line(&mut self, suffix: &str, le: Option<f64>, value: f64) {
        let name: Cow<'_, str> = match suffix {
            "" => Cow::Borrowed(self.name),
            suffix => Cow::Owned(format!("{}{suffix}", self.name)),
        };
        let outside = is_legacy_metric_name(&name);
        let mut separator = '{';
        if !outside {
            self.out.push(separator);
            separator = ',';
        }
        write_name(self.out, &name);
        for (label, text) in &self.metric.labels {
            self.out.push(separator);
            separator = ',';
            write_name(self.out, &self.escaping.name(label));
            self.out.push_str("=\"");
            write_escaped(self.out, text);
            self.out.push('"');
        }
        if let Some(bound) = le {
            self.out.push(separator);
            separator = ',';
            self.out.push_str("le=\"");
            write_float(self.out, bound);
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
        write_float(self.out, value);
        self.out.push(' ');
        self.out.push_str(itoa::Buffer::new().format(self.metric.time));
        self.out.push('\n');
    }
}

fn write_name(out: &mut String, name: &str) {
    if is_legacy_metric_name(name) {
        return out.push_str(name);
    }
    out.push('"');
    write_escaped(out, name);
    out.push('"');
}

fn write_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// Of the zeros there is only one.
fn write_float(out: &mut String, value: f64) {
    if value == 0.0 { out.push('0') } else { float::write_general(out, value) }
}

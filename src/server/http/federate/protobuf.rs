//! Families as `io.prometheus.client.MetricFamily`, each behind its length.

use crate::model::histogram::{FloatHistogram, Span};
use crate::server::http::federate::escape::Escaping;
use crate::server::http::federate::families::{Family, Kind, Metric, Value, cumulative};
use crate::server::http::remote_read::wire;

pub fn write(out: &mut Vec<u8>, family: &Family<'_>, escaping: Escaping) {
    let mut message = Vec::new();
    wire::text(&mut message, 1, &escaping.name(family.name));
    let kind = match family.kind {
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
    };
    wire::uint64(&mut message, 3, kind);
    for metric in &family.metrics {
        wire::message(&mut message, 4, |out| put_metric(out, metric, escaping));
    }
    wire::varint(out, message.len() as u64);
    out.extend(message);
}

fn put_metric(out: &mut Vec<u8>, metric: &Metric<'_>, escaping: Escaping) {
    for (name, value) in &metric.labels {
        wire::message(out, 1, |out| {
            wire::text(out, 1, &escaping.name(name));
            wire::text(out, 2, value);
        });
    }
    if let Value::Float(value) = metric.value {
        wire::message(out, 5, |out| wire::double(out, 1, *value));
    }
    wire::int64(out, 6, metric.time);
    if let Value::Histogram(histogram) = metric.value {
        wire::message(out, 7, |out| put_histogram(out, histogram));
    }
}

/// Custom buckets as classic ones, without the last, which is known by the count.
fn put_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    wire::double(out, 2, histogram.sum);
    if histogram.uses_custom_buckets() {
        for (bound, count) in cumulative(histogram) {
            wire::message(out, 3, |out| {
                wire::double(out, 2, bound);
                wire::double(out, 4, count);
            });
        }
        return wire::double(out, 4, histogram.count);
    }
    wire::double(out, 4, histogram.count);
    wire::sint32(out, 5, histogram.schema);
    wire::double(out, 6, histogram.zero_threshold);
    wire::double(out, 8, histogram.zero_count);
    put_spans(out, 9, &histogram.negative_spans);
    histogram.negative_buckets.iter().for_each(|count| wire::double(out, 11, *count));
    put_spans(out, 12, &histogram.positive_spans);
    histogram.positive_buckets.iter().for_each(|count| wire::double(out, 14, *count));
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        wire::message(out, number, |out| {
            wire::sint32(out, 1, span.offset);
            wire::uint64(out, 2, span.length.into());
        });
    }
}

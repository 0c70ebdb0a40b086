//! Families as `io.prometheus.client.MetricFamily`, each behind its length.

use crate::model::histogram::{FloatHistogram, Span};
use crate::model::protobuf;
use crate::server::http::federate::escape::Escaping;
use crate::server::http::federate::families::{Family, Kind, Metric, Value, cumulative};

pub fn write(out: &mut Vec<u8>, family: &Family<'_>, escaping: Escaping) {
    let mut message = Vec::new();
    protobuf::bytes(&mut message, 1, escaping.name(family.name).as_bytes());
    let kind = match family.kind {
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
    };
    protobuf::int_of_choice(&mut message, 3, kind);
    for metric in &family.metrics {
        protobuf::nested(&mut message, 4, |out| put_metric(out, metric, escaping));
    }
    protobuf::varint(out, message.len() as u64);
    out.extend(message);
}

fn put_metric(out: &mut Vec<u8>, metric: &Metric<'_>, escaping: Escaping) {
    for (name, value) in &metric.labels {
        protobuf::nested(out, 1, |out| {
            protobuf::bytes(out, 1, escaping.name(name).as_bytes());
            protobuf::bytes(out, 2, value.as_bytes());
        });
    }
    if let Value::Float(value) = metric.value {
        protobuf::nested(out, 5, |out| protobuf::double_of_choice(out, 1, *value));
    }
    protobuf::int(out, 6, metric.time);
    if let Value::Histogram(histogram) = metric.value {
        protobuf::nested(out, 7, |out| put_histogram(out, histogram));
    }
}

/// Custom buckets as classic ones, without the last, which is known by the count.
fn put_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    protobuf::double_of_choice(out, 2, histogram.sum);
    if histogram.uses_custom_buckets() {
        for (bound, count) in cumulative(histogram) {
            protobuf::nested(out, 3, |out| {
                protobuf::double_of_choice(out, 2, bound);
                protobuf::double_of_choice(out, 4, count);
            });
        }
        return protobuf::double_of_choice(out, 4, histogram.count);
    }
    protobuf::double_of_choice(out, 4, histogram.count);
    protobuf::signed(out, 5, i64::from(histogram.schema));
    protobuf::double_of_choice(out, 6, histogram.zero_threshold);
    protobuf::double_of_choice(out, 8, histogram.zero_count);
    put_spans(out, 9, &histogram.negative_spans);
    histogram.negative_buckets.iter().for_each(|count| protobuf::double_of_choice(out, 11, *count));
    put_spans(out, 12, &histogram.positive_spans);
    histogram.positive_buckets.iter().for_each(|count| protobuf::double_of_choice(out, 14, *count));
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        protobuf::nested(out, number, |out| {
            protobuf::signed(out, 1, i64::from(span.offset));
            protobuf::int(out, 2, i64::from(span.length));
        });
    }
}

//! JSON as Prometheus writes it (`util/jsonutil`, `web/api/v1/json_codec.go`): sample values are strings,
//! timestamps are seconds with at most three decimals. Results are written straight into bytes, since a range
//! query's answer may be millions of numbers.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::engine::session::{Point, QueryValue, ResultSeries};
use crate::model::float;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;

/// A JSON string with its quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => Some("\\\""),
            b'\\' => Some("\\\\"),
            b'\n' => Some("\\n"),
            b'\r' => Some("\\r"),
            b'\t' => Some("\\t"),
            0..0x20 => None,
            _ => continue,
        };
        out.push_str(&text[plain_from..i]);
        plain_from = i + 1;
        match escape {
            Some(escape) => out.push_str(escape),
            None => put(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// Seconds since the epoch, without trailing decimals where the milliseconds are zero.
pub fn write_timestamp(out: &mut String, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push('-');
    }
    let (seconds, millis) = (timestamp_ms.unsigned_abs() / 1000, timestamp_ms.unsigned_abs() % 1000);
    out.push_str(itoa::Buffer::new().format(seconds));
    if millis != 0 {
        put(out, format_args!(".{millis:03}"));
    }
}

/// A time as Go prints it.
pub fn rfc3339(time_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(time_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A sample value in quotes.
pub fn write_value(out: &mut String, value: f64) {
    out.push('"');
    float::write_json(out, value);
    out.push('"');
}

pub fn write_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, name);
        out.push(':');
        write_string(out, value);
    }
    out.push('}');
}

/// `"resultType":…,"result":…`, the inside of a query's data object.
pub fn write_result(out: &mut String, value: &QueryValue) {
    let kind = match value {
        QueryValue::Scalar(..) => "scalar",
        QueryValue::String(..) => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    put(out, format_args!("\"resultType\":\"{kind}\",\"result\":"));
    match value {
        QueryValue::Scalar(timestamp, value) => write_point(out, *timestamp, |out| write_value(out, *value)),
        QueryValue::String(timestamp, text) => write_point(out, *timestamp, |out| write_string(out, text)),
        QueryValue::Vector(series) => write_list(out, series, write_vector_element),
        QueryValue::Matrix(series) => write_list(out, series, write_matrix_element),
    }
}

/// About how long [`write_result`] makes a text, so that there is room for it at once.
pub fn expected_bytes(value: &QueryValue) -> usize {
    // `[1767301192,"12345.678"],`
    const POINT_BYTES: usize = 28;
    const SERIES_BYTES: usize = 200;
    match value {
        QueryValue::Scalar(..) | QueryValue::String(..) => POINT_BYTES,
        QueryValue::Vector(series) | QueryValue::Matrix(series) => {
            series.iter().map(|series| SERIES_BYTES + series.points.len() * POINT_BYTES).sum()
        }
    }
}

fn write_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn write_vector_element(out: &mut String, series: &ResultSeries) {
    out.push_str("{\"metric\":");
    write_labels(out, &series.labels);
    if let Some((timestamp, point)) = series.points.first() {
        match point {
            Point::Float(value) => {
                out.push_str(",\"value\":");
                write_point(out, *timestamp, |out| write_value(out, *value));
            }
            Point::Histogram(histogram) => {
                out.push_str(",\"histogram\":");
                write_point(out, *timestamp, |out| write_histogram(out, histogram));
            }
        }
    }
    out.push('}');
}

fn write_matrix_element(out: &mut String, series: &ResultSeries) {
    out.push_str("{\"metric\":");
    write_labels(out, &series.labels);
    let floats = series.points.iter().filter_map(|(t, p)| match p {
        Point::Float(value) => Some((*t, *value)),
        Point::Histogram(_) => None,
    });
    if floats.clone().next().is_some() {
        out.push_str(",\"values\":");
        write_list(out, floats, |out, (t, value)| write_point(out, t, |out| write_value(out, value)));
    }
    let histograms = series.points.iter().filter_map(|(t, p)| match p {
        Point::Histogram(histogram) => Some((*t, histogram)),
        Point::Float(_) => None,
    });
    if histograms.clone().next().is_some() {
        out.push_str(",\"histograms\":");
        write_list(out, histograms, |out, (t, h)| write_point(out, t, |out| write_histogram(out, h)));
    }
    out.push('}');
}

fn write_point(out: &mut String, timestamp_ms: i64, write: impl FnOnce(&mut String)) {
    out.push('[');
    write_timestamp(out, timestamp_ms);
    out.push(',');
    write(out);
    out.push(']');
}

/// `{"count":…,"sum":…,"buckets":[[boundaries,lower,upper,count],…]}` without empty buckets. Boundaries:
/// 0 is open on the left, 1 open on the right, 2 open on both sides, 3 closed on both.
pub fn write_histogram(out: &mut String, histogram: &FloatHistogram) {
    out.push_str("{\"count\":");
    write_value(out, histogram.count);
    out.push_str(",\"sum\":");
    write_value(out, histogram.sum);
    let mut buckets = histogram.all_buckets();
    buckets.retain(|b| b.count != 0.0);
    if !buckets.is_empty() {
        out.push_str(",\"buckets\":");
        write_list(out, buckets, |out, bucket| {
            let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            put(out, format_args!("[{boundaries},"));
            write_value(out, bucket.lower);
            out.push(',');
            write_value(out, bucket.upper);
            out.push(',');
            write_value(out, bucket.count);
            out.push(']');
        });
    }
    out.push('}');
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests;

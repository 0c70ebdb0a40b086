//! Prometheus' text forms of a histogram.

use std::fmt::{self, Write};

use super::buckets::{Bucket, Sign};
use super::{CounterResetHint, FloatHistogram, Span};
use crate::model::float::{format_general, write_general};

/// `{count:3, sum:4.5, [-0.001,0.001]:1, (1,2]:2}`, populated buckets only.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(64);
        out.push_str("{count:");
        write_general(&mut out, self.count);
        out.push_str(", sum:");
        write_general(&mut out, self.sum);
        let negative: Vec<_> = self.buckets(Sign::Negative).filter(|b| b.count != 0.0).collect();
        negative.iter().rev().for_each(|bucket| write_bucket(&mut out, bucket));
        if self.zero_count != 0.0 && !self.uses_custom_buckets() {
            write_bucket(&mut out, &self.zero_bucket());
        }
        self.buckets(Sign::Positive).filter(|b| b.count != 0.0).for_each(|bucket| write_bucket(&mut out, &bucket));
        out.push('}');
        f.write_str(&out)
    }
}

fn write_bucket(out: &mut String, bucket: &Bucket) {
    out.push_str(if bucket.lower_inclusive { ", [" } else { ", (" });
    write_general(out, bucket.lower);
    out.push(',');
    write_general(out, bucket.upper);
    out.push_str(if bucket.upper_inclusive { "]:" } else { "):" });
    write_general(out, bucket.count);
}

impl FloatHistogram {
    /// The notation of promqltest and of rule unit tests, `{{schema:1 count:3 buckets:[1 2]}}`.
    pub fn test_expression(&self) -> String {
        let mut compacted = self.clone();
        // The notation has one span a side; it is not meant for gaps larger than this.
        compacted.compact(1 << 16);
        let mut parts = Vec::new();
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        let numbers = [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ];
        parts.extend(
            numbers.iter().filter(|(_, n)| *n != 0.0).map(|(key, n)| format!("{key}:{}", format_general(*n))),
        );
        if self.uses_custom_buckets() {
            parts.push(format!("custom_values:{}", list(&self.custom_values)));
        }
        match self.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::Reset => parts.push("counter_reset_hint:reset".into()),
            CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".into()),
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".into()),
        }
        push_side(&mut parts, ("offset", "buckets"), &compacted.positive_spans, &compacted.positive_buckets);
        push_side(&mut parts, ("n_offset", "n_buckets"), &compacted.negative_spans, &compacted.negative_buckets);
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn push_side(parts: &mut Vec<String>, keys: (&str, &str), spans: &[Span], counts: &[f64]) {
    if let Some(span) = spans.first()
        && span.offset != 0
    {
        parts.push(format!("{}:{}", keys.0, span.offset));
    }
    if !counts.is_empty() {
        parts.push(format!("{}:{}", keys.1, list(counts)));
    }
}

fn list(numbers: &[f64]) -> String {
    let mut out = String::from("[");
    for (i, number) in numbers.iter().enumerate() {
        let _ = write!(out, "{}{}", if i == 0 { "" } else { " " }, format_general(*number));
    }
    out.push(']');
    out
}

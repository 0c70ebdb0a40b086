//! The sentences of warnings and infos, without prefix and position.

use crate::model::float::format_general;

/// Go's `%q` for what occurs in metric names and label values.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn for_metric(text: impl Into<String>, metric: &str) -> String {
    let text = text.into();
    if metric.is_empty() { text } else { format!("{text} for metric name {}", quoted(metric)) }
}

/// An operation on histograms, as far as a warning names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

// Warnings.

pub fn invalid_ratio(ratio: f64, capped: f64) -> String {
    format!(
        "ratio value should be between -1 and 1, got {}, capping to {}",
        format_general(ratio),
        format_general(capped)
    )
}

pub fn invalid_quantile(quantile: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", format_general(quantile))
}

pub fn bad_bucket_label(metric: &str, le: &str) -> String {
    for_metric(format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(le)), metric)
}

pub fn mixed_floats_histograms(metric: &str) -> String {
    format!("encountered a mix of histograms and floats for metric name {}", quoted(metric))
}

pub fn mixed_floats_histograms_aggregation() -> String {
    "encountered a mix of histograms and floats for aggregation".into()
}

pub fn mixed_classic_native_histograms(metric: &str) -> String {
    for_metric("vector contains a mix of classic and native histograms", metric)
}

pub fn native_histogram_not_counter(metric: &str) -> String {
    format!("this native histogram metric is not a counter: {}", quoted(metric))
}

pub fn native_histogram_not_gauge(metric: &str) -> String {
    format!("this native histogram metric is not a gauge: {}", quoted(metric))
}

pub fn mixed_exponential_custom_histograms(metric: &str) -> String {
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        quoted(metric)
    )
}

pub fn incompatible_bucket_layout(operator: &str) -> String {
    format!("incompatible bucket layout encountered for binary operator {operator}")
}

pub fn sort_in_range_query() -> String {
    "sort is ineffective for range queries since results are always ordered by labels".into()
}

pub fn counter_reset_collision(operation: Operation) -> String {
    format!("conflicting counter resets during histogram {}", operation.as_str())
}

/// Comes with [`super::Detail::Occurrences`].
pub fn start_time_overlap(metric: &str) -> String {
    format!("sample has start time that overlaps with previous sample timestamp for metric {}", quoted(metric))
}

// Infos.

pub fn possible_non_counter(metric: &str) -> String {
    format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}", quoted(metric))
}

pub fn possible_non_counter_label(metric: &str, type_label: &str) -> String {
    format!(
        "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
        quoted(type_label),
        quoted(metric)
    )
}

/// Comes with [`super::Detail::Monotonicity`].
pub fn forced_monotonicity(metric: &str) -> String {
    for_metric(
        "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
        metric,
    )
}

pub fn incompatible_types(left: &str, operator: &str, right: &str) -> String {
    format!(
        "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
        quoted(operator)
    )
}

pub fn histogram_ignored_in_aggregation(aggregation: &str) -> String {
    format!("ignored histogram in {aggregation} aggregation")
}

pub fn histogram_ignored_in_mixed_range(metric: &str) -> String {
    format!(
        "ignored histograms in a range containing both floats and histograms for metric name {}",
        quoted(metric)
    )
}

pub fn quantile_nan_result(metric: &str) -> String {
    for_metric("input to histogram_quantile has NaN observations, result is NaN", metric)
}

pub fn quantile_nan_skew(metric: &str) -> String {
    for_metric("input to histogram_quantile has NaN observations, result is skewed higher", metric)
}

pub fn fraction_nans(metric: &str) -> String {
    for_metric("input to histogram_fraction has NaN observations, which are excluded from all fractions", metric)
}

pub fn mismatched_custom_buckets(operation: Operation) -> String {
    format!("mismatched custom buckets were reconciled during {}", operation.as_str())
}

//! Values as text, in the form of Prometheus' Go library.

use std::fmt::Write;

use crate::cli::query::value::{Bucket, Histogram, Millis, Sample, Series, Value};
use crate::model::float::{format_general, format_plain};

/// Without a line feed at its end.
pub fn value(value: &Value) -> String {
    match value {
        Value::Scalar((at, number)) => format!("scalar: {} @[{}]", format_plain(number.0), seconds(*at)),
        Value::String((_, text)) => text.clone(),
        Value::Vector(samples) => samples.iter().map(sample).collect::<Vec<_>>().join("\n"),
        Value::Matrix(all) => {
            let mut sorted: Vec<&Series> = all.iter().collect();
            sorted.sort_by(|a, b| a.metric.compare(&b.metric));
            sorted.into_iter().map(series).collect::<Vec<_>>().join("\n")
        }
    }
}

fn sample(sample: &Sample) -> String {
    let float = sample.value.map(|(at, number)| point(&format_plain(number.0), at));
    let histogram = sample.histogram.as_ref().map(|(at, h)| point(&histogram_text(h), *at));
    format!("{} => {}", sample.metric.as_metric(), float.or(histogram).unwrap_or_default())
}

/// Floats first, whatever their times.
fn series(series: &Series) -> String {
    let floats = series.values.iter().flatten().map(|(at, number)| point(&format_plain(number.0), *at));
    let histograms = series.histograms.iter().flatten().map(|(at, h)| point(&histogram_text(h), *at));
    let points: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", series.metric.as_metric(), points.join("\n"))
}

fn point(value: &str, at: Millis) -> String {
    format!("{value} @[{}]", seconds(at))
}

pub fn seconds(at: Millis) -> String {
    format_plain(at.0 as f64 / 1000.0)
}

fn histogram_text(histogram: &Histogram) -> String {
    let buckets: Vec<String> = histogram.buckets.iter().flatten().map(bucket).collect();
    let (count, sum) = (six_decimals(histogram.count.0), six_decimals(histogram.sum.0));
    format!("Count: {count}, Sum: {sum}, Buckets: [{}]", buckets.join(" "))
}

/// Go's `%f`.
fn six_decimals(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { format_plain(value) }
}

/// `[0.5,1):3`, with the bounds that belong to it in brackets.
fn bucket((boundaries, lower, upper, count): &Bucket) -> String {
    let (open, close) = (matches!(boundaries, 1 | 3), matches!(boundaries, 0 | 3));
    let mut out = String::from(if open { '[' } else { '(' });
    let _ = write!(out, "{},{}", format_general(lower.0), format_general(upper.0));
    out.push(if close { ']' } else { ')' });
    let _ = write!(out, ":{}", format_plain(count.0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of promtool 3.5.3 for the same answers.
    #[test]
    fn values() {
        let check = |json: &str, expected: &str| {
            let parsed: Value = serde_json::from_str(json).unwrap();
            assert_eq!(value(&parsed), expected, "{json}");
        };
        check(r#"{"resultType":"scalar","result":[1795834355.0,"1.5"]}"#, "scalar: 1.5 @[1795834355]");
        check(r#"{"resultType":"string","result":[1,"a\"b"]}"#, "a\"b");
        check(r#"{"resultType":"vector","result":[]}"#, "");
        check(
            r#"{"resultType":"vector","result":[
                {"metric":{"__name__":"odd","kind":"tiny"},"value":[0.001,"1.5e-9"]},
                {"metric":{"kind":"huge"},"value":[-1.5,"1.5e+25"]},
                {"metric":{},"value":[1,"NaN"]},
                {"metric":{"__name__":"x"},"value":[1,"-Inf"]},
                {"metric":{"__name__":"x"},"value":[1,"-0"]}]}"#,
            "odd{kind=\"tiny\"} => 0.0000000015 @[0.001]\n\
             {kind=\"huge\"} => 15000000000000000000000000 @[-1.5]\n\
             {} => NaN @[1]\nx => -Inf @[1]\nx => -0 @[1]",
        );
        check(
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"latency","job":"a"},"histogram":[1795834355,
                {"count":"457","sum":"685.5","buckets":[[3,"-0.001","0.001","1"],[0,"1.414213562373095","1.6817928305074288","76"],
                [1,"-2","-1","2.5"],[2,"1e+06","+Inf","1"]]}]}]}"#,
            "latency{job=\"a\"} => Count: 457.000000, Sum: 685.500000, Buckets: [[-0.001,0.001]:1 \
             (1.414213562373095,1.6817928305074288]:76 [-2,-1):2.5 (1e+06,+Inf):1] @[1795834355]",
        );
        check(
            r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"0","sum":"NaN"}]}]}"#,
            "{} => Count: 0.000000, Sum: NaN, Buckets: [] @[1]",
        );
        check(
            r#"{"resultType":"matrix","result":[
                {"metric":{"__name__":"http.size","a b":"x","job":"a"},"values":[[1,"1"]]},
                {"metric":{"__name__":"up","job":"b"},"values":[[1,"1"],[16.004,"2"]]},
                {"metric":{"__name__":"up","job":"a"},"values":[[1,"1"]],"histograms":[[0.5,{"count":"1","sum":"1"}]]}]}"#,
            "up{job=\"a\"} =>\n1 @[1]\nCount: 1.000000, Sum: 1.000000, Buckets: [] @[0.5]\n\
             up{job=\"b\"} =>\n1 @[1]\n2 @[16.004]\n\
             http.size{a b=\"x\", job=\"a\"} =>\n1 @[1]",
        );
        check(r#"{"resultType":"matrix","result":[]}"#, "");
    }
}

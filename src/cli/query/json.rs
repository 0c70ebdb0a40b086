//! Answers as JSON, as Go's library encodes Prometheus' types: keys of labels are sorted, floats never have an exponent, and
//! what HTML would take for its own is escaped.

use std::fmt::Write;

use crate::cli::query::labels::LabelSet;
use crate::cli::query::text::seconds;
use crate::cli::query::value::{Histogram, Millis, Number, Value};
use crate::model::float::format_plain;

pub fn value(value: &Value) -> String {
    match value {
        Value::Scalar((at, number)) => float(*at, *number),
        Value::String((at, text)) => format!("[{},{}]", seconds(*at), quoted(text)),
        Value::Vector(samples) => list(samples.iter().map(|sample| {
            let metric = labels(&sample.metric);
            match (sample.value, &sample.histogram) {
                (_, Some((at, value))) => {
                    format!("{{\"metric\":{metric},\"histogram\":{}}}", histogram(*at, value))
                }
                (Some((at, value)), None) => format!("{{\"metric\":{metric},\"value\":{}}}", float(at, value)),
                (None, None) => format!("{{\"metric\":{metric}}}"),
            }
        })),
        Value::Matrix(all) => list(all.iter().map(|series| {
            let floats = series.values.iter().flatten().map(|(at, value)| float(*at, *value));
            let histograms = series.histograms.iter().flatten().map(|(at, value)| histogram(*at, value));
            let (floats, histograms) = (list(floats), list(histograms));
            let metric = labels(&series.metric);
            match (floats.as_str(), histograms.as_str()) {
                (floats, "[]") => format!("{{\"metric\":{metric},\"values\":{floats}}}"),
                ("[]", histograms) => format!("{{\"metric\":{metric},\"histograms\":{histograms}}}"),
                (floats, histograms) => {
                    format!("{{\"metric\":{metric},\"values\":{floats},\"histograms\":{histograms}}}")
                }
            }
        })),
    }
}

/// Labels of series; `null` where the server has nothing to say.
pub fn series(found: Option<&[LabelSet]>) -> String {
    found.map_or_else(|| "null".to_string(), |found| list(found.iter().map(labels)))
}

pub fn texts(found: Option<&[String]>) -> String {
    found.map_or_else(|| "null".to_string(), |found| list(found.iter().map(|text| quoted(text))))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn labels(labels: &LabelSet) -> String {
    let pairs = labels.0.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn float(at: Millis, value: Number) -> String {
    format!("[{},\"{}\"]", seconds(at), format_plain(value.0))
}

fn histogram(at: Millis, histogram: &Histogram) -> String {
    let buckets = histogram.buckets.as_ref().map(|buckets| {
        list(buckets.iter().map(|(boundaries, lower, upper, count)| {
            let [lower, upper, count] = [lower, upper, count].map(|value| format_plain(value.0));
            format!("[{boundaries},\"{lower}\",\"{upper}\",\"{count}\"]")
        }))
    });
    format!(
        "[{},{{\"count\":\"{}\",\"sum\":\"{}\",\"buckets\":{}}}]",
        seconds(at),
        format_plain(histogram.count.0),
        format_plain(histogram.sum.0),
        buckets.as_deref().unwrap_or("null"),
    )
}

/// A text in quotes.
fn quoted(text: &str) -> String {
    let plain = serde_json::to_string(text).expect("texts have a JSON form");
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
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
        check(r#"{"resultType":"scalar","result":[1.5,"+Inf"]}"#, r#"[1.5,"+Inf"]"#);
        check(r#"{"resultType":"string","result":[1,"a<b>"]}"#, r#"[1,"a\u003cb\u003e"]"#);
        check(r#"{"resultType":"vector","result":[]}"#, "[]");
        check(
            "{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"a1\":\"x\",\"a\":\"<&>\u{2028}é\\u0001\"},\"value\":[1,\"1e30\"]}]}",
            r#"[{"metric":{"a":"\u003c\u0026\u003e\u2028é\u0001","a1":"x"},"value":[1,"1000000000000000000000000000000"]}]"#,
        );
        let latency = r#"[1,{"count":"3","sum":"4.5","buckets":[[3,"-0.001","0.001","1"],[0,"1","+Inf","2"]]}]"#;
        check(
            &format!(r#"{{"resultType":"vector","result":[{{"metric":{{}},"histogram":{latency}}}]}}"#),
            &format!(r#"[{{"metric":{{}},"histogram":{latency}}}]"#),
        );
        check(
            &format!(
                r#"{{"resultType":"matrix","result":[{{"metric":{{"b":"c"}},"values":[[2,"1"]],"histograms":[{latency}]}},
                {{"metric":{{}},"histograms":[[1,{{"count":"0","sum":"0"}}]]}}, {{"metric":{{}},"values":[[1.001,"0.1"]]}}]}}"#
            ),
            &format!(
                r#"[{{"metric":{{"b":"c"}},"values":[[2,"1"]],"histograms":[{latency}]}},{}]"#,
                r#"{"metric":{},"histograms":[[1,{"count":"0","sum":"0","buckets":null}]]},{"metric":{},"values":[[1.001,"0.1"]]}"#
            ),
        );
    }

    #[test]
    fn labels_alone() {
        assert_eq!(texts(Some(&["a".into(), "<".into()])), r#"["a","\u003c"]"#);
        assert_eq!((texts(Some(&[])), texts(None)), ("[]".to_string(), "null".to_string()));
        let found: LabelSet = serde_json::from_str(r#"{"z":"1","__name__":"up"}"#).unwrap();
        assert_eq!(series(Some(&[found])), r#"[{"__name__":"up","z":"1"}]"#);
    }
}

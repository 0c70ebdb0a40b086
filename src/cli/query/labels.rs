//! Labels of series as text: that of series alone, and that of values, in which the metric stands before the braces.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::model::labels::METRIC_NAME;
use crate::promql::strings::quote;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct LabelSet(pub BTreeMap<String, String>);

impl LabelSet {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `metric{a="b", c="d"}`. Whole texts are sorted, so `a1="x"` comes before `a="x"`.
    pub fn as_metric(&self) -> String {
        let metric = self.get(METRIC_NAME);
        let labels = self.0.iter().filter(|(name, _)| *name != METRIC_NAME);
        let mut labels: Vec<String> = labels.map(|(name, value)| format!("{name}={}", quote(value))).collect();
        labels.sort_unstable();
        match (metric, &labels[..]) {
            (Some(metric), []) => metric.to_string(),
            (metric, labels) => format!("{}{{{}}}", metric.unwrap_or(""), labels.join(", ")),
        }
    }

    /// The order of Prometheus' Go library: fewer labels first, then by the first label that is not in both, then by the
    /// first value that differs.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| {
            let (mut own, mut others) = (self.0.iter(), other.0.iter());
            while let (Some((name, value)), Some((other_name, other_value))) = (own.next(), others.next()) {
                // Who lacks the smaller name is first.
                let order = other_name.cmp(name).then_with(|| value.cmp(other_value));
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        })
    }
}

impl fmt::Display for LabelSet {
    /// `{__name__="metric", a="b"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        write!(f, "{{{}}}", labels.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> LabelSet {
        LabelSet(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn texts() {
        let check = |pairs: &[(&str, &str)], metric: &str, series: &str| {
            assert_eq!(labels(pairs).as_metric(), metric);
            assert_eq!(labels(pairs).to_string(), series);
        };
        check(&[], "{}", "{}");
        check(&[("__name__", "up")], "up", "{__name__=\"up\"}");
        check(&[("a", "b")], "{a=\"b\"}", "{a=\"b\"}");
        check(
            &[("__name__", "odd"), ("a", "<&>\u{2028}é\u{1}"), ("a1", "x")],
            "odd{a1=\"x\", a=\"<&>\\u2028é\\x01\"}",
            "{__name__=\"odd\", a=\"<&>\\u2028é\\x01\", a1=\"x\"}",
        );
        check(
            &[("__name__", "http.size"), ("a b", "x\"")],
            "http.size{a b=\"x\\\"\"}",
            "{__name__=\"http.size\", a b=\"x\\\"\"}",
        );
    }

    #[test]
    fn order() {
        let check = |first: &[(&str, &str)], second: &[(&str, &str)]| {
            assert_eq!(labels(first).compare(&labels(second)), Ordering::Less, "{first:?} {second:?}");
            assert_eq!(labels(second).compare(&labels(first)), Ordering::Greater, "{first:?} {second:?}");
        };
        check(&[("z", "z")], &[("a", "a"), ("b", "b")]);
        check(&[("a", "1")], &[("a", "2")]);
        check(&[("b", "1")], &[("a", "1")]);
        check(&[("a", "1"), ("c", "1")], &[("a", "1"), ("b", "2")]);
        check(&[("a", "1"), ("b", "9")], &[("a", "2"), ("b", "1")]);
        assert_eq!(labels(&[("a", "1")]).compare(&labels(&[("a", "1")])), Ordering::Equal);
    }
}

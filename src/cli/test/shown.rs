//! Alerts and samples as promtool compares and prints them.

use std::fmt::Write;

use crate::engine::session::{Point, ResultSeries};
use crate::model::float;
use crate::model::labels::{Labels, is_legacy_label_name};
use crate::promql::series::Pairs;
use crate::promql::strings::quote;

/// What is told of an alert that fires; sorted by labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownAlert {
    pub labels: Pairs,
    pub annotations: Pairs,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShownSample {
    pub labels: Pairs,
    /// 0 for a histogram.
    pub value: f64,
    /// In the notation of tests; empty for none.
    pub histogram: String,
}

pub fn pairs_of(labels: &Labels) -> Pairs {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

impl ShownSample {
    pub fn new(labels: Pairs, point: &Point) -> Self {
        match point {
            Point::Float(value) => Self { labels, value: *value, histogram: String::new() },
            Point::Histogram(histogram) => Self { labels, value: 0.0, histogram: histogram.test_expression() },
        }
    }

    /// Numbers are equal as Go's are, so that `NaN` never is; `fuzzy` ones also where no other lies between them.
    pub fn equals(&self, other: &Self, fuzzy: bool) -> bool {
        let near = |a: f64, b: f64| a.next_down() == b || a.next_up() == b;
        let same = self.value == other.value || fuzzy && near(self.value, other.value);
        same && (&self.labels, &self.histogram) == (&other.labels, &other.histogram)
    }

    fn text(&self) -> String {
        let value = match self.histogram.is_empty() {
            true => float::format_exponent(self.value).replace('e', "E"),
            false => self.histogram.clone(),
        };
        format!("{} {value}", labels_text(&self.labels))
    }
}

pub fn samples_text(samples: &[ShownSample]) -> String {
    match samples {
        [] => "nil".to_string(),
        samples => samples.iter().map(ShownSample::text).collect::<Vec<_>>().join(", "),
    }
}

pub fn alerts_text(alerts: &[ShownAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_string();
    }
    let item = |(place, alert): (usize, &ShownAlert)| {
        let (labels, annotations) = (labels_text(&alert.labels), labels_text(&alert.annotations));
        format!("{place}:\n  Labels:{labels}\n  Annotations:{annotations}")
    };
    let items: Vec<String> = alerts.iter().enumerate().map(item).collect();
    format!("[\n{}\n]", items.join(",\n"))
}

/// All lines but the first behind an indentation.
pub fn indented(text: &str, indentation: &str) -> String {
    text.replace('\n', &format!("\n{indentation}"))
}

/// `{__name__="up", job="x"}`: Go's text of labels, which shows the metric as one of them.
pub fn labels_text(labels: &Pairs) -> String {
    let name = |name: &String| if is_legacy_label_name(name) { name.clone() } else { quote(name) };
    let pair = |(label, value): &(String, String)| format!("{}={}", name(label), quote(value));
    format!("{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// Series with all their samples, a line each.
pub fn matrix_text(series: &[ResultSeries]) -> String {
    let of_series = |series: &ResultSeries| {
        let mut out = format!("{} =>", labels_text(&pairs_of(&series.labels)));
        let (floats, histograms): (Vec<_>, Vec<_>) =
            series.points.iter().partition(|(_, point)| matches!(point, Point::Float(_)));
        for (at, point) in floats.into_iter().chain(histograms) {
            let _ = match point {
                Point::Float(value) => write!(out, "\n{} @[{at}]", float::format_plain(*value)),
                Point::Histogram(histogram) => write!(out, "\n{histogram} @[{at}]"),
            };
        }
        out
    };
    series.iter().map(of_series).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The texts are those of promtool 3.5.3.
    #[test]
    fn alerts() {
        assert_eq!(alerts_text(&[]), "[]");
        let alert = ShownAlert {
            labels: pairs(&[("alertname", "A"), ("job", "x\"y")]),
            annotations: pairs(&[("summary", "two\nlines")]),
        };
        let text = "[\n0:\n  Labels:{alertname=\"A\", job=\"x\\\"y\"}\n  Annotations:{summary=\"two\\nlines\"},\n\
                    1:\n  Labels:{}\n  Annotations:{}\n]";
        assert_eq!(alerts_text(&[alert, ShownAlert::default()]), text);
        assert_eq!(indented("a\nb\n]", "  "), "a\n  b\n  ]");
    }

    #[test]
    fn samples() {
        let sample =
            |value: f64| ShownSample::new(pairs(&[("__name__", "up"), ("a b", "c")]), &Point::Float(value));
        assert_eq!(samples_text(&[]), "nil");
        assert_eq!(samples_text(&[sample(100.5)]), "{__name__=\"up\", \"a b\"=\"c\"} 1.005E+02");
        let shown = |value: f64| samples_text(&[ShownSample::new(vec![], &Point::Float(value))]);
        assert_eq!([shown(0.0), shown(-1e-9), shown(f64::NAN)], ["{} 0E+00", "{} -1E-09", "{} NaN"]);
        assert_eq!([shown(f64::INFINITY), shown(2.9999999999999996)], ["{} +Inf", "{} 2.9999999999999996E+00"]);
    }

    #[test]
    fn equality() {
        let check = |a: f64, b: f64, exact: bool, fuzzy: bool| {
            let [a, b] = [a, b].map(|value| ShownSample::new(vec![], &Point::Float(value)));
            assert_eq!((a.equals(&b, false), a.equals(&b, true)), (exact, fuzzy), "{a:?} {b:?}");
        };
        check(3.0, 3.0, true, true);
        check(3.0, 2.9999999999999996, false, true);
        check(3.0, 3.0000000000000004, false, true);
        check(3.0, 2.9999999999999987, false, false);
        check(f64::NAN, f64::NAN, false, false);
        check(f64::INFINITY, f64::INFINITY, true, true);
    }
}

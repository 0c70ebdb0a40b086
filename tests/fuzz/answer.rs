//! Answers of Prometheus' HTTP API, and what is different between two of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;

use crate::expression::Expr;
use crate::generate::Question;

/// Two floats are equal within this share of the larger one. Both servers compensate their sums, so what is left are
/// the last bits of functions that Go and Rust's libm round differently, after some arithmetic with them.
const RELATIVE: f64 = 1e-9;
/// And within this, where a difference of nearly equal numbers is left.
const ABSOLUTE: f64 = 1e-12;

pub type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub enum Answer {
    Failed { kind: String, message: String },
    Found { kind: String, series: Vec<Series>, warnings: Vec<String>, infos: Vec<String> },
}

#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    /// By timestamp in milliseconds.
    pub samples: Vec<(i64, Value)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Vec<f64>),
}

impl Answer {
    pub fn parse(body: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(body).map_err(|e| format!("{e} in {body}"))?;
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_string();
        if json["status"] != "success" {
            return Ok(Self::Failed { kind: text("errorType"), message: text("error") });
        }
        let notes = |name: &str| {
            let notes = json[name].as_array().into_iter().flatten();
            notes.filter_map(|note| note.as_str().map(str::to_string)).collect()
        };
        let kind = json["data"]["resultType"].as_str().unwrap_or_default().to_string();
        let series = series(&kind, &json["data"]["result"]).ok_or_else(|| format!("not understood: {body}"))?;
        Ok(Self::Found { kind, series, warnings: notes("warnings"), infos: notes("infos") })
    }

    pub fn series(&self) -> &[Series] {
        match self {
            Self::Failed { .. } => &[],
            Self::Found { series, .. } => series,
        }
    }

    /// At most `lines` lines of it, for the report.
    pub fn summary(&self, lines: usize) -> String {
        match self {
            Self::Failed { kind, message } => format!("    {kind}: {message}\n"),
            Self::Found { kind, series, warnings, infos } => {
                let mut out = format!("    {kind} of {} series\n", series.len());
                for one in series.iter().take(lines) {
                    let samples: Vec<String> =
                        one.samples.iter().take(12).map(|(t, v)| format!("{v:?} @{t}")).collect();
                    let labels: Vec<String> = one.labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                    let _ = writeln!(out, "    {{{}}} {}", labels.join(", "), samples.join(", "));
                }
                for note in warnings.iter().chain(infos) {
                    let _ = writeln!(out, "    {note}");
                }
                out
            }
        }
    }
}

fn series(kind: &str, result: &Json) -> Option<Vec<Series>> {
    if kind == "scalar" {
        return Some(vec![Series { labels: Labels::new(), samples: vec![float(result)?] }]);
    }
    let one = |json: &Json| {
        let labels = json["metric"].as_object()?.iter();
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())));
        let mut samples = Vec::new();
        for name in ["value", "values"] {
            match json[name].as_array().map(Vec::as_slice) {
                Some([Json::Number(_), _]) => samples.push(float(&json[name])?),
                Some(list) => samples.extend(list.iter().filter_map(float)),
                None => {}
            }
        }
        for name in ["histogram", "histograms"] {
            match json[name].as_array().map(Vec::as_slice) {
                Some([Json::Number(_), _]) => samples.push(histogram(&json[name])?),
                Some(list) => samples.extend(list.iter().filter_map(histogram)),
                None => {}
            }
        }
        samples.sort_by_key(|(t, _)| *t);
        Some(Series { labels: labels.collect(), samples })
    };
    result.as_array()?.iter().map(one).collect()
}

fn time(json: &Json) -> Option<i64> {
    Some((json.as_f64()? * 1000.0).round() as i64)
}

fn number(json: &Json) -> Option<f64> {
    json.as_str()?.parse().ok()
}

fn float(json: &Json) -> Option<(i64, Value)> {
    Some((time(&json[0])?, Value::Float(number(&json[1])?)))
}

/// Count, sum, and four numbers a bucket. A bucket of next to nothing is one of nothing, which is not listed.
fn histogram(json: &Json) -> Option<(i64, Value)> {
    let mut numbers = vec![number(&json[1]["count"])?, number(&json[1]["sum"])?];
    for bucket in json[1]["buckets"].as_array().into_iter().flatten() {
        if number(&bucket[3])?.abs() > ABSOLUTE {
            numbers.push(bucket[0].as_f64()?);
            numbers.extend((1..4).filter_map(|i| number(&bucket[i])));
        }
    }
    Some((time(&json[0])?, Value::Histogram(numbers)))
}

/// What differs, or `None`. Where the query says in which order series come, the order counts too.
pub fn difference(question: &Question, ours: &Answer, theirs: &Answer) -> Option<String> {
    match (ours, theirs) {
        (Answer::Failed { kind: a, .. }, Answer::Failed { kind: b, .. }) => {
            (a != b).then(|| "another kind of error".to_string())
        }
        (Answer::Failed { .. }, _) => Some("only ours fails".to_string()),
        (_, Answer::Failed { .. }) => Some("only theirs fails".to_string()),
        (
            Answer::Found { kind: a, series: ours, warnings: our_warnings, infos: our_infos },
            Answer::Found { kind: b, series: theirs, warnings: their_warnings, infos: their_infos },
        ) => {
            if a != b {
                return Some("another type of result".to_string());
            }
            values_differ(ours, theirs)
                .or_else(|| order_differs(&question.expr, ours, theirs))
                .or_else(|| notes_differ("warnings", our_warnings, their_warnings))
                .or_else(|| notes_differ("infos", our_infos, their_infos))
        }
    }
}

fn values_differ(ours: &[Series], theirs: &[Series]) -> Option<String> {
    let by_labels = |series: &[Series]| {
        series.iter().map(|s| (s.labels.clone(), s.samples.clone())).collect::<BTreeMap<_, _>>()
    };
    let (a, b) = (by_labels(ours), by_labels(theirs));
    if a.len() != ours.len() {
        return Some("a label set comes twice".to_string());
    }
    if !a.keys().eq(b.keys()) {
        return Some("other series".to_string());
    }
    for (ours, theirs) in a.values().zip(b.values()) {
        if !ours.iter().map(|s| s.0).eq(theirs.iter().map(|s| s.0)) {
            return Some("samples at other times".to_string());
        }
        if let Some(((t, a), (_, b))) = ours.iter().zip(theirs).find(|(a, b)| !a.1.is_close(&b.1)) {
            return Some(format!("{a:?} is not {b:?} at {t}"));
        }
    }
    None
}

impl Value {
    pub fn is_close(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => is_close(*a, *b),
            (Self::Histogram(a), Self::Histogram(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(*a, *b))
            }
            _ => false,
        }
    }
}

fn is_close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a.is_infinite() || b.is_infinite() {
        return a == b;
    }
    (a - b).abs() <= ABSOLUTE.max(RELATIVE * a.abs().max(b.abs()))
}

/// Series of equal value may change places under `sort`, those of equal labels do not exist.
fn order_differs(expr: &Expr, ours: &[Series], theirs: &[Series]) -> Option<String> {
    let Expr::Call { function, .. } = expr else { return None };
    let same = match *function {
        "sort" | "sort_desc" => {
            ours.iter().zip(theirs).all(|(a, b)| a.samples.iter().zip(&b.samples).all(|(a, b)| a.1.is_close(&b.1)))
        }
        "sort_by_label" | "sort_by_label_desc" => ours.iter().zip(theirs).all(|(a, b)| a.labels == b.labels),
        _ => true,
    };
    (!same).then(|| "another order".to_string())
}

/// The texts change between versions; that something is said does not.
fn notes_differ(what: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    (ours.is_empty() != theirs.is_empty()).then(|| format!("{what} of one only"))
}

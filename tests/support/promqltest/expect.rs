//! What an evaluation expects, and the comparison of a result with it.

use std::collections::HashMap;

use promlake::engine::session::{EvalTime, Point, QueryResponse, QueryValue, ResultSeries};
use promlake::model::labels::Labels;
use promlake::model::sample::is_stale;
use regex::Regex;

use super::histogram::Sparse;
use super::series::{Item, SeriesLine};

#[derive(Debug, Default)]
pub struct Expectation {
    /// The query must fail, with this text.
    pub fail: Option<Pattern>,
    pub ordered: bool,
    /// Every line must match one, and if there is any of a kind, every one of that kind a line.
    pub annotations: Vec<(Annotation, Pattern)>,
    pub no_warnings: bool,
    pub no_infos: bool,
    /// The forms `eval_warn` and `eval_info`: at least one.
    pub some_warning: bool,
    pub some_info: bool,
    /// Start, end and step of the points of a range vector.
    pub range_vector: Option<(i64, i64, i64)>,
    pub expected: Expected,
}

#[derive(Debug)]
pub enum Expected {
    Scalar(f64),
    String(String),
    Series(Vec<SeriesLine>),
}

impl Default for Expected {
    fn default() -> Self {
        Expected::Series(Vec::new())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotation {
    Warning,
    Info,
}

#[derive(Debug)]
pub enum Pattern {
    Any,
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    pub fn regex(text: &str) -> Result<Self, String> {
        Regex::new(text.trim()).map(Pattern::Regex).map_err(|e| e.to_string())
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => exact == text,
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

type Checked = Result<(), String>;

/// How far floats may be apart, relative to the sum of their sizes.
const TOLERANCE: f64 = 1e-6;

pub fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sizes = a.abs() + b.abs();
    let distance = (a - b).abs();
    if a == 0.0 || b == 0.0 || sizes < f64::MIN_POSITIVE {
        return distance < TOLERANCE * f64::MIN_POSITIVE;
    }
    distance / sizes.min(f64::MAX) < TOLERANCE
}

impl Expectation {
    /// Whether the lines make sense together.
    pub fn check(&self) -> Checked {
        let has = |kind| self.annotations.iter().any(|(k, _)| *k == kind);
        if (has(Annotation::Warning) && self.no_warnings) || (has(Annotation::Info) && self.no_infos) {
            return Err("an annotation is both expected and forbidden".to_string());
        }
        Ok(())
    }

    pub fn add_series(&mut self, line: SeriesLine) {
        match &mut self.expected {
            Expected::Series(lines) => {
                lines.retain(|l| l.labels != line.labels);
                lines.push(line);
            }
            other => *other = Expected::Series(vec![line]),
        }
    }

    pub fn check_failure(&self, error: &str) -> Checked {
        match &self.fail {
            Some(pattern) if pattern.matches(error) => Ok(()),
            Some(pattern) => Err(format!("expected an error matching {pattern:?}, got: {error}")),
            None => Err(format!("query failed: {error}")),
        }
    }

    pub fn check_annotations(&self, response: &QueryResponse) -> Checked {
        let kinds = [
            (Annotation::Warning, &response.warnings, self.some_warning, self.no_warnings),
            (Annotation::Info, &response.infos, self.some_info, self.no_infos),
        ];
        for (kind, found, some, none) in kinds {
            if some && found.is_empty() {
                return Err(format!("expected {kind:?} annotations, got none"));
            }
            if none && !found.is_empty() {
                return Err(format!("expected no {kind:?} annotations, got {found:?}"));
            }
            let patterns: Vec<&Pattern> =
                self.annotations.iter().filter(|(k, _)| *k == kind).map(|(_, p)| p).collect();
            if let Some(missing) = patterns.iter().find(|p| !found.iter().any(|text| p.matches(text))) {
                return Err(format!("no {kind:?} annotation matches {missing:?}, got {found:?}"));
            }
            let unexpected = found.iter().find(|text| !patterns.iter().any(|p| p.matches(text)));
            if let (Some(text), false) = (unexpected, patterns.is_empty()) {
                return Err(format!("unexpected {kind:?} annotation: {text}"));
            }
        }
        Ok(())
    }

    pub fn compare(&self, value: &QueryValue, time: &EvalTime) -> Checked {
        match (&self.expected, value) {
            (Expected::Scalar(expected), QueryValue::Scalar(_, got)) if almost_equal(*expected, *got) => Ok(()),
            (Expected::Scalar(expected), QueryValue::Scalar(_, got)) => {
                Err(format!("expected scalar {expected}, got {got}"))
            }
            (Expected::String(expected), QueryValue::String(_, got)) if expected == got => Ok(()),
            (Expected::Series(lines), QueryValue::Vector(series)) => self.compare_vector(lines, series, time),
            (Expected::Series(lines), QueryValue::Matrix(series)) => self.compare_matrix(lines, series, time),
            (expected, got) => Err(format!("expected {expected:?}, got {got:?}")),
        }
    }

    fn compare_vector(&self, lines: &[SeriesLine], series: &[ResultSeries], time: &EvalTime) -> Checked {
        let EvalTime::Instant { at } = *time else {
            return Err("a range query returned a vector".to_string());
        };
        let expected = by_labels(lines);
        for (position, got) in series.iter().enumerate() {
            let labels = &got.labels;
            let Some((expected_position, line)) = expected.get(labels) else {
                return Err(format!("unexpected series {labels} with {:?}", got.points));
            };
            if self.ordered && *expected_position != position {
                return Err(format!("expected {labels} at place {expected_position}, got it at {position}"));
            }
            let [(timestamp, point)] = got.points.as_slice() else {
                return Err(format!("expected one point of {labels}, got {:?}", got.points));
            };
            if *timestamp != at {
                return Err(format!("expected {labels} at {at}, got it at {timestamp}"));
            }
            let item = line.items.first().unwrap_or(&Item::Omitted);
            compare_point(item, point).map_err(|why| format!("{labels}: {why}"))?;
        }
        all_seen(lines, series)
    }

    fn compare_matrix(&self, lines: &[SeriesLine], series: &[ResultSeries], time: &EvalTime) -> Checked {
        if self.ordered {
            return Err("expected an ordered vector, got a matrix".to_string());
        }
        if let Some(pair) = series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
            return Err(format!("{} stands before {}", pair[0].labels, pair[1].labels));
        }
        let (start, end, step) = match (self.range_vector, *time) {
            (Some(times), _) => times,
            (None, EvalTime::Range { start, end_inclusive, step }) => (start, end_inclusive, step),
            (None, EvalTime::Instant { .. }) => return Err("an instant query returned a matrix".to_string()),
        };
        let expected = by_labels(lines);
        for got in series {
            let labels = &got.labels;
            let Some((_, line)) = expected.get(labels) else {
                return Err(format!("unexpected series {labels} with {:?}", got.points));
            };
            let times = (0..).map(|i| start + i * step);
            let wanted: Vec<(i64, &Item)> =
                times.zip(&line.items).filter(|(_, item)| **item != Item::Omitted).collect();
            let same_times = wanted.iter().map(|(t, _)| t).eq(got.points.iter().map(|(t, _)| t));
            if !same_times || wanted.last().is_some_and(|(t, _)| *t > end) {
                return Err(format!("{labels}: expected {wanted:?}, got {:?}", got.points));
            }
            for ((timestamp, item), (_, point)) in wanted.iter().zip(&got.points) {
                compare_point(item, point).map_err(|why| format!("{labels} at {timestamp}: {why}"))?;
            }
        }
        all_seen(lines, series)
    }
}

fn by_labels(lines: &[SeriesLine]) -> HashMap<&Labels, (usize, &SeriesLine)> {
    lines.iter().enumerate().map(|(i, line)| (&line.labels, (i, line))).collect()
}

fn all_seen(lines: &[SeriesLine], series: &[ResultSeries]) -> Checked {
    if let Some(missing) = lines.iter().find(|l| !series.iter().any(|s| s.labels == l.labels)) {
        return Err(format!("expected series {} is missing", missing.labels));
    }
    if lines.len() != series.len() {
        return Err(format!("expected {} series, got {}, some twice", lines.len(), series.len()));
    }
    Ok(())
}

fn compare_point(item: &Item, point: &Point) -> Checked {
    let same = match (item, point) {
        (Item::Float(expected), Point::Float(got)) => almost_equal(*expected, *got),
        (Item::Histogram(expected), Point::Histogram(got)) => {
            expected.histogram.matches(&Sparse::from_model(got), expected.hint_given)
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("expected {item:?}, got {point:?}")) }
}

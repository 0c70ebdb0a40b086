//! The series that a test begins with. They come into the store up to the time of an evaluation, so that it sees nothing of what
//! is yet to come.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::rule_tests::RuleTest;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::promql::series::{self, Pairs, Value};
use crate::promql::strings::quote;
use crate::storage::store::Store;
use crate::storage::types::{HistogramRow, SampleRow, SeriesRef, WriteBatch};

/// Values of all series of a test: a short text can stand for many.
const MAX_VALUES: usize = 20_000_000;

pub struct Input(Vec<Line>);

struct Line {
    /// Why it cannot be stored.
    broken: Option<String>,
    labels: Labels,
    series: Option<SeriesRef>,
    /// Times of those that are yet to be stored ascend.
    left: std::vec::IntoIter<(i64, Point)>,
}

enum Point {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Input {
    /// Parses the series of a test that begins at `start`. Line breaks within them are those of the script that promtool
    /// makes of them, which an empty line ends: `notes` is told of what it drops.
    pub fn parse(test: &RuleTest, start: i64, notes: &mut String) -> Result<Self, String> {
        let mut lines = Lines::default();
        let mut room = MAX_VALUES;
        // What comes behind the last evaluation is seen by nobody; --debug shows series to the end of its second.
        let end_ms = (test.end_ms().max(0) / 1000).saturating_add(1).saturating_mul(1000);
        let needed = usize::try_from(end_ms / test.interval_ms.max(1)).unwrap_or(usize::MAX);
        let needed = needed.saturating_add(1);
        // The first one of the script says how far apart values are.
        let mut number = 1;
        let script = test.input.iter().map(|input| format!("{} {}", input.series, input.values));
        for (place, text) in script.enumerate() {
            for line in text.split('\n').map(str::trim) {
                number += 1;
                if line.is_empty() || line.starts_with('#') {
                    let dropped = test.input.len() - place - 1;
                    if dropped > 0 {
                        *notes += &format!(
                            "  WARNING: series {} ends with an empty line, which ends the series of the test: \
                             the {dropped} behind it are not read\n",
                            quote(&test.input[place].series)
                        );
                    }
                    return Ok(Self(lines.those_that_count()));
                }
                let parsed = series::parse(line, needed, room).map_err(|error| {
                    let column = error.position.map_or(1, |(_, column)| column);
                    format!("{number}:{column}: parse error: {}", error.message)
                })?;
                room -= parsed.values.len();
                lines.add(Line::new(parsed, start, test.interval_ms));
            }
        }
        Ok(Self(lines.those_that_count()))
    }

    /// Stores what there is up to a time.
    ///
    /// # Errors
    /// Where a sample is none that can be stored, as a rule has written another one at its time.
    pub async fn load(&mut self, store: &Store, until: i64) -> Result<(), String> {
        if let Some(broken) = self.0.iter().find(|line| line.is_due(until)).and_then(|line| line.broken.clone()) {
            return Err(broken);
        }
        let mut rows = Vec::new();
        for line in &mut self.0 {
            line.take(store, until, &mut rows);
        }
        if rows.is_empty() {
            return Ok(());
        }
        // A batch has its histograms behind its floats, so one with both goes time by time.
        let has_both = rows.iter().any(|row| matches!(row.point, Point::Float(_)))
            && rows.iter().any(|row| matches!(row.point, Point::Histogram(_)));
        if has_both {
            rows.sort_by_key(|row| row.at);
        }
        let mut rows = rows.into_iter().peekable();
        let mut refused = Ok(());
        while let Some(at) = rows.peek().map(|row| row.at) {
            let batch = std::iter::from_fn(|| rows.next_if(|row| !has_both || row.at <= at));
            let stored = append(store, batch).await;
            refused = refused.and(stored);
        }
        refused
    }
}

/// Of a series that comes again only the last line counts.
#[derive(Default)]
struct Lines {
    all: Vec<Option<Line>>,
    places: HashMap<Labels, usize>,
}

impl Lines {
    fn add(&mut self, line: Line) {
        if let Some(before) = self.places.insert(line.labels.clone(), self.all.len()) {
            self.all[before] = None;
        }
        self.all.push(Some(line));
    }

    fn those_that_count(self) -> Vec<Line> {
        self.all.into_iter().flatten().collect()
    }
}

struct Row {
    series: SeriesRef,
    at: i64,
    point: Point,
}

impl Line {
    fn new(parsed: series::Series, start: i64, interval_ms: i64) -> Self {
        let broken = broken(&parsed.labels, &parsed.values);
        let at = |place: usize| start.saturating_add(interval_ms.saturating_mul(place as i64));
        let points = parsed.values.into_iter().enumerate().filter_map(|(place, value)| match value {
            Value::Omitted => None,
            Value::Float(value) => Some((at(place), Point::Float(value))),
            Value::Histogram(histogram) => Some((at(place), Point::Histogram(histogram))),
        });
        let left = points.collect::<Vec<_>>().into_iter();
        Self { broken, labels: Labels::from_pairs(parsed.labels), series: None, left }
    }

    fn is_due(&self, until: i64) -> bool {
        self.left.as_slice().first().is_some_and(|(at, _)| *at <= until)
    }

    fn take(&mut self, store: &Store, until: i64, rows: &mut Vec<Row>) {
        if !self.is_due(until) {
            return;
        }
        let series = *self.series.get_or_insert_with(|| store.intern(&self.labels));
        let due = self.left.as_slice().partition_point(|(at, _)| *at <= until);
        rows.extend(self.left.by_ref().take(due).map(|(at, point)| Row { series, at, point }));
    }
}

/// Why no store takes a series, in the words of Prometheus' own.
fn broken(labels: &Pairs, values: &[Value]) -> Option<String> {
    let kept: Vec<&String> = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
    if kept.is_empty() {
        return Some("empty labelset: invalid sample".to_string());
    }
    if let Some(twice) = kept.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("label name {} is not unique: invalid sample", quote(twice[0])));
    }
    let invalid = |value: &Value| match value {
        Value::Histogram(histogram) => histogram.validate().err().map(|error| error.to_string()),
        Value::Omitted | Value::Float(_) => None,
    };
    values.iter().find_map(invalid)
}

async fn append(store: &Store, rows: impl Iterator<Item = Row>) -> Result<(), String> {
    let mut batch = WriteBatch::default();
    for Row { series, at: timestamp, point } in rows {
        match point {
            Point::Float(value) => {
                batch.samples.push(SampleRow { series, timestamp, value, start_timestamp: 0 });
            }
            Point::Histogram(histogram) => {
                batch.histograms.push(HistogramRow { series, timestamp, histogram, start_timestamp: 0 });
            }
        }
    }
    let report = store.append(batch).await.map_err(|error| error.to_string())?;
    let refused = report.rejected_samples.first().or(report.rejected_histograms.first());
    refused.map_or(Ok(()), |(_, rejection)| Err(rejection.as_str().to_string()))
}

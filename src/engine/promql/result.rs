//! Record batches in the vector layout to the result of a query.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringViewArray,
};
use datafusion::error::DataFusionError;

use super::cancel::Cancel;
use super::kernel::select::sort_order;
use super::lower::lowered::Order;
use super::plan::functions::windows::{Input, Shape};
use super::plan::layout::{Floats, Grid, HISTOGRAMS, Points, Sample, TIMESTAMPS, VALUES, label, missing, strings};
use super::plan::ops::series::is_label;
use super::plan::samples::{decode, decode_stored};
use super::plan::work::Work;
use crate::engine::columns::{ASKER, label_of};
use crate::engine::query::{Point, ResultSeries};
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::model::sample::is_stale;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The labels of the rows of a batch.
struct RowLabels<'a> {
    names: Vec<&'a str>,
    columns: Vec<&'a StringViewArray>,
}

impl<'a> RowLabels<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let fields = batch.schema_ref().fields().iter().zip(batch.columns());
        let mut labels: Vec<(&str, &ArrayRef)> = fields
            .filter(|(f, _)| is_label(f.name()) && f.name() != ASKER)
            .map(|(f, a)| (label_of(f.name()), a))
            .collect();
        labels.sort_unstable_by_key(|(name, _)| *name);
        let columns = labels.iter().map(|(_, array)| strings(*array)).collect::<Result<Vec<_>>>()?;
        Ok(Self { names: labels.into_iter().map(|(name, _)| name).collect(), columns })
    }

    /// The label set of a row.
    fn get(&self, row: usize, work: &Work) -> Result<Labels> {
        let labels = self.names.iter().zip(&self.columns).map(|(n, c)| (*n, label(c, row)));
        // Lengths stand before names and values.
        work.reserve(labels.clone().map(|(n, v)| n.len() + v.len() + 8).sum())?;
        Ok(Labels::from_sorted(labels))
    }
}

fn point(sample: Sample<'_>, work: &Work) -> Result<Point> {
    Ok(match sample {
        Sample::Float(value) => Point::Float(value),
        Sample::Histogram(bytes) => {
            // Decoded it takes about as much; its fixed parts besides.
            work.reserve(bytes.len() + size_of::<FloatHistogram>())?;
            Point::Histogram(Arc::new(decode(bytes)?))
        }
    })
}

/// The series of an evaluated vector; rows without a value at any step are no series.
pub fn vector(batches: &[RecordBatch], grid: Grid, work: &Work) -> Result<Vec<ResultSeries>> {
    let mut series = vec![];
    for batch in batches {
        let points = Points::of(batch)?;
        let labels = RowLabels::of(batch)?;
        for row in 0..batch.num_rows() {
            work.spend(grid.steps)?;
            let count = match points.histograms {
                None => {
                    let mut count = 0;
                    points.floats.mask(row).for_each_run(grid.steps, |steps| count += steps.len());
                    count
                }
                Some(_) => (0..grid.steps).filter(|step| points.present(row, *step)).count(),
            };
            if count == 0 {
                continue;
            }
            work.reserve_items::<(i64, Point)>(count)?;
            work.reserve_items::<ResultSeries>(1)?;
            let mut found = Vec::with_capacity(count);
            if points.histograms.is_none() {
                let floats = points.floats.row(row);
                points.floats.mask(row).for_each_run(grid.steps, |steps| {
                    found.extend(steps.map(|step| (grid.at(step), Point::Float(floats[step]))));
                });
            } else {
                for step in 0..grid.steps {
                    if let Some(sample) = points.get(row, step) {
                        found.push((grid.at(step), point(sample, work)?));
                    }
                }
            }
            series.push(ResultSeries { labels: labels.get(row, work)?, points: found });
        }
    }
    Ok(series)
}

/// The vectors of so many instant queries that were asked together, each sorted by labels.
pub fn by_asker(batches: &[RecordBatch], askers: usize, work: &Work) -> Result<Vec<Vec<(Labels, Point)>>> {
    work.reserve_items::<Vec<(Labels, Point)>>(askers)?;
    let mut vectors: Vec<Vec<(Labels, Point)>> = std::iter::repeat_with(Vec::new).take(askers).collect();
    for batch in batches {
        let (points, labels) = (Points::of(batch)?, RowLabels::of(batch)?);
        let numbers = strings(batch.column_by_name(ASKER).ok_or_else(|| missing(ASKER))?)?;
        for row in 0..batch.num_rows() {
            work.spend(1)?;
            let Some(sample) = points.get(row, 0) else { continue };
            let number = label(numbers, row).parse::<usize>().ok();
            let vector = number.and_then(|number| vectors.get_mut(number)).ok_or_else(|| missing(ASKER))?;
            work.reserve_items::<(Labels, Point)>(1)?;
            vector.push((labels.get(row, work)?, point(sample, work)?));
        }
    }
    vectors.iter_mut().for_each(|vector| vector.sort_unstable_by(|a, b| a.0.cmp(&b.0)));
    Ok(vectors)
}

/// The values of a scalar, from its one row.
pub fn scalar(batches: &[RecordBatch], grid: Grid) -> Result<Vec<f64>> {
    let batch = batches
        .iter()
        .find(|b| b.num_rows() > 0)
        .ok_or_else(|| DataFusionError::Internal("a scalar has one row".into()))?;
    let floats = Floats::new(batch.column_by_name(VALUES).ok_or_else(|| missing(VALUES))?)?;
    Ok((0..grid.steps).map(|step| floats.get(0, step).unwrap_or(f64::NAN)).collect())
}

/// The samples of a range vector in the window of an instant query.
pub fn ranges(batches: &[RecordBatch], input: Input, shape: &Shape, work: &Work) -> Result<Vec<ResultSeries>> {
    let (begin, end) = (shape.start.saturating_sub(shape.range_ms), shape.start);
    let mut series = vec![];
    for batch in batches {
        let found = match input {
            Input::Lists { .. } => raw_samples(batch, begin, end, work)?,
            Input::Steps { grid, .. } => {
                let inside = |(t, _): &(i64, Point)| begin < *t && *t <= end;
                let mut series = vector(std::slice::from_ref(batch), grid, work)?;
                series.iter_mut().for_each(|s| s.points.retain(inside));
                series
            }
        };
        series.extend(found.into_iter().filter(|s| !s.points.is_empty()));
    }
    series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    Ok(series)
}

/// How many samples [`ranges`] takes from a batch of raw samples, histograms by their size.
pub fn count_raw(batch: &RecordBatch, shape: &Shape, cancel: &Cancel) -> Result<u64> {
    let size = |(_, point): &(i64, Point)| match point {
        Point::Float(_) => 1,
        Point::Histogram(histogram) => histogram.size_in_samples() as u64,
    };
    // What is made of one batch is gone at once.
    let work = Work::unbounded(cancel);
    let series = raw_samples(batch, shape.start.saturating_sub(shape.range_ms), shape.start, &work)?;
    Ok(series.iter().flat_map(|s| &s.points).map(size).sum())
}

fn raw_samples(batch: &RecordBatch, begin: i64, end: i64, work: &Work) -> Result<Vec<ResultSeries>> {
    let lists = |name: &str| -> Result<&ListArray> {
        let array = batch.column_by_name(name).ok_or_else(|| missing(name))?;
        array.as_any().downcast_ref().ok_or_else(|| missing(name))
    };
    let (timestamps, values) = (lists(TIMESTAMPS)?, lists(VALUES)?);
    let histograms = lists(HISTOGRAMS).ok();
    let mut series = vec![];
    let labels = RowLabels::of(batch)?;
    for row in 0..batch.num_rows() {
        let (times, floats) = (timestamps.value(row), values.value(row));
        let encoded = histograms.map(|h| h.value(row));
        let (Some(times), Some(floats)) =
            (times.as_any().downcast_ref::<Int64Array>(), floats.as_any().downcast_ref::<Float64Array>())
        else {
            return Err(missing(VALUES));
        };
        let encoded = encoded.as_ref().and_then(|e| e.as_any().downcast_ref::<BinaryArray>());
        work.spend(times.len())?;
        let inside = times.values().iter().filter(|t| begin < **t && **t <= end).count();
        work.reserve_items::<(i64, Point)>(inside)?;
        work.reserve_items::<ResultSeries>(1)?;
        let mut stored: Vec<Option<Arc<FloatHistogram>>> = vec![];
        if let Some(encoded) = encoded {
            work.reserve(encoded.values().len() + encoded.len() * size_of::<FloatHistogram>())?;
            let bytes = (0..encoded.len()).map(|i| encoded.is_valid(i).then(|| encoded.value(i)));
            decode_stored(bytes, &mut stored)?;
        }
        let mut points = Vec::with_capacity(inside);
        for (i, time) in times.values().iter().enumerate().filter(|(_, t)| begin < **t && **t <= end) {
            match stored.get(i).and_then(Option::as_ref) {
                Some(histogram) if histogram.is_stale() => {}
                Some(histogram) => points.push((*time, Point::Histogram(Arc::clone(histogram)))),
                None if is_stale(floats.value(i)) => {}
                None => points.push((*time, Point::Float(floats.value(i)))),
            }
        }
        series.push(ResultSeries { labels: labels.get(row, work)?, points });
    }
    Ok(series)
}

/// Puts the result of an instant query in order; where the query asks for none it is that of the labels, so
/// that equal queries have equal answers.
pub fn sort(series: &mut [ResultSeries], order: Option<&Order>) {
    match order {
        None => series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels)),
        Some(Order::Rows) => {}
        Some(Order::Value { descending }) => {
            series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
            series.sort_by(|a, b| sort_order(value(a), value(b), *descending));
        }
        Some(Order::Labels { labels, descending }) => series.sort_by(|a, b| {
            let ordering = by_labels(a, b, labels);
            if *descending { ordering.reverse() } else { ordering }
        }),
    }
}

fn value(series: &ResultSeries) -> f64 {
    match series.points.first() {
        Some((_, Point::Float(value))) => *value,
        _ => f64::NAN,
    }
}

fn by_labels(a: &ResultSeries, b: &ResultSeries, labels: &[String]) -> Ordering {
    for name in labels {
        let [left, right] = [a, b].map(|series| series.labels.get(name).unwrap_or(""));
        let ordering = natural_order(left, right);
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    a.labels.cmp(&b.labels)
}

/// Natural sort order: runs of digits compare as numbers.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (left, right) = (digits(&mut a), digits(&mut b));
            let ordering = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
            if ordering != Ordering::Equal {
                return ordering;
            }
            continue;
        }
        if x != y {
            return x.cmp(y);
        }
        (a, b) = (&a[1..], &b[1..]);
    }
    a.len().cmp(&b.len())
}

/// Takes a run of digits, without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (run, rest) = text.split_at(length);
    *text = rest;
    let zeros = run.iter().take_while(|c| **c == b'0').count();
    &run[zeros.min(length.saturating_sub(1))..]
}

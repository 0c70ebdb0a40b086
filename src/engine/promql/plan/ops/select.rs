//! `topk`, `bottomk`, `limitk`, `limit_ratio`: rows stay, steps at which a row is not chosen are masked.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use xxhash_rust::xxh64::xxh64;

use super::series::{KeyIds, column, label_columns};
use super::unique::execution;
use crate::engine::promql::ast::AggregateOp;
use crate::engine::promql::plan::layout::{Floats, HISTOGRAMS, Points, PointsBuilder, Sample, VALUES, label, missing, strings};
use crate::engine::promql::plan::samples::Sink;
use crate::model::float;
use crate::model::labels::{LabelsBuilder, METRIC_NAME};

/// A scalar that is known when the query is planned, or a column of one value per step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// Bits of the float.
    Constant(u64),
    Column(String),
}

impl Parameter {
    /// The value at each step. A step without a value is NaN, as `scalar()` makes it.
    pub fn per_step(&self, batch: &RecordBatch, steps: usize) -> Result<Vec<f64>> {
        match self {
            Parameter::Constant(bits) => Ok(vec![f64::from_bits(*bits); steps]),
            Parameter::Column(_) if batch.num_rows() == 0 => Ok(vec![0.0; steps]),
            Parameter::Column(name) => {
                let array = batch.column_by_name(name).ok_or_else(|| missing(name))?;
                let floats = Floats::new(array)?;
                Ok((0..steps).map(|k| floats.get(0, k).unwrap_or(f64::NAN)).collect())
            }
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::Constant(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Parameter::Column(name) => f.write_str(name),
        }
    }
}

/// `by` or `without` labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

impl Grouping {
    /// Whether results of the aggregation have this label.
    pub fn keeps(&self, name: &str) -> bool {
        let listed = self.labels.iter().any(|l| l == name);
        if self.without { !listed && name != METRIC_NAME } else { listed }
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", if self.without { "without" } else { "by" }, self.labels.join(", "))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorSelect {
    pub op: AggregateOp,
    pub parameter: Parameter,
    pub grouping: Grouping,
    pub steps: usize,
    pub sink: Sink,
}

impl fmt::Display for VectorSelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}) {}", self.op.as_str(), self.parameter, self.grouping)
    }
}

impl VectorSelect {
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let parameter = self.parameter.per_step(input, self.steps)?;
        if self.op == AggregateOp::LimitRatio {
            self.check_ratios(&parameter)?;
        } else {
            check_counts(&parameter)?;
        }
        let input = &sort_by_labels(input)?;
        let mut names = label_columns(schema);
        names.retain(|n| self.grouping.keeps(n));
        let keys = KeyIds::new(&[input], &names)?;
        let mut groups: Vec<Vec<usize>> = vec![vec![]; keys.count];
        for (row, id) in keys.ids[0].iter().enumerate() {
            groups[*id].push(row);
        }
        let points = Points::of(input)?;
        let mut chosen = vec![false; input.num_rows() * self.steps];
        let mut order = Vec::with_capacity(input.num_rows());
        let offsets = if self.op == AggregateOp::LimitRatio { ratio_offsets(input)? } else { vec![] };
        for rows in &groups {
            for (step, value) in parameter.iter().enumerate() {
                let picked = match self.op {
                    AggregateOp::LimitRatio => pick_ratio(rows, &points, step, *value, &offsets),
                    AggregateOp::LimitK => {
                        let present = rows.iter().copied().filter(|r| points.present(*r, step));
                        present.take(count(*value)).collect()
                    }
                    _ => self.rank(rows, &points, step, count(*value)),
                };
                picked.iter().for_each(|row| chosen[row * self.steps + step] = true);
                if self.steps == 1 {
                    order.extend(picked.into_iter().map(|r| r as u64));
                }
            }
            if self.steps != 1 {
                let any = |r: &usize| chosen[r * self.steps..(r + 1) * self.steps].contains(&true);
                order.extend(rows.iter().copied().filter(any).map(|r| r as u64));
            }
        }
        self.build(input, schema, &points, &chosen, order)
    }

    fn build(
        &self,
        input: &RecordBatch,
        schema: &SchemaRef,
        points: &Points<'_>,
        chosen: &[bool],
        order: Vec<u64>,
    ) -> Result<RecordBatch> {
        let mut out = PointsBuilder::new(order.len(), self.steps, schema.index_of(HISTOGRAMS).is_ok());
        for row in order.iter().map(|r| *r as usize) {
            for step in 0..self.steps {
                out.push(if chosen[row * self.steps + step] { points.get(row, step) } else { None });
            }
        }
        let (values, histograms) = out.finish()?;
        let order = UInt64Array::from(order);
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                VALUES => Arc::clone(&values),
                HISTOGRAMS => histograms.clone().ok_or_else(|| missing(HISTOGRAMS))?,
                name => take(input.column_by_name(name).ok_or_else(|| missing(name))?, &order, None)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    /// The `k` largest or smallest, best first; NaN is worse than everything.
    fn rank(&self, rows: &[usize], points: &Points<'_>, step: usize, k: usize) -> Vec<usize> {
        if k == 0 {
            return vec![];
        }
        let mut candidates: Vec<(f64, usize)> = vec![];
        for row in rows {
            match points.get(*row, step) {
                Some(Sample::Float(v)) => candidates.push((v, *row)),
                Some(Sample::Histogram(_)) => {
                    self.sink.info(format!("ignored histogram in {} aggregation", self.op.as_str()));
                }
                None => {}
            }
        }
        let top = self.op == AggregateOp::TopK;
        let better = |a: &(f64, usize), b: &(f64, usize)| {
            let by_value = match (a.0.is_nan(), b.0.is_nan()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ if top => b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal),
                _ => a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal),
            };
            by_value.then(a.1.cmp(&b.1))
        };
        if k < candidates.len() {
            candidates.select_nth_unstable_by(k, better);
            candidates.truncate(k);
        }
        candidates.sort_unstable_by(better);
        candidates.into_iter().map(|(_, row)| row).collect()
    }

    fn check_ratios(&self, ratios: &[f64]) -> Result<()> {
        for ratio in ratios {
            if ratio.is_nan() {
                return Err(execution("Ratio value is NaN"));
            }
            if ratio.abs() > 1.0 {
                self.sink.warn(format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    float::format_general(*ratio),
                    float::format_general(ratio.signum()),
                ));
            }
        }
        Ok(())
    }
}

fn check_counts(counts: &[f64]) -> Result<()> {
    for value in counts {
        if value.is_nan() {
            return Err(execution("Parameter value is NaN"));
        }
        if *value <= i64::MIN as f64 {
            return Err(execution(format!("Scalar value {} underflows int64", float::format_general(*value))));
        }
        if *value >= i64::MAX as f64 {
            return Err(execution(format!("Scalar value {} overflows int64", float::format_general(*value))));
        }
    }
    Ok(())
}

/// `k` as a count; below one there is nothing to choose.
fn count(k: f64) -> usize {
    if k >= 1.0 { k as usize } else { 0 }
}

/// The rows whose label hash falls into the ratio, or for a negative ratio into its complement's complement:
/// `limit_ratio(r)` and `limit_ratio(r - 1)` share no series and leave none out.
fn pick_ratio(rows: &[usize], points: &Points<'_>, step: usize, ratio: f64, offsets: &[f64]) -> Vec<usize> {
    let ratio = ratio.clamp(-1.0, 1.0);
    let inside = |row: &usize| {
        if ratio >= 0.0 { offsets[*row] < ratio } else { offsets[*row] >= 1.0 + ratio }
    };
    rows.iter().copied().filter(|r| points.present(*r, step) && inside(r)).collect()
}

/// Where the label set of each row falls in `[0, 1)`, by the hash Prometheus uses.
fn ratio_offsets(input: &RecordBatch) -> Result<Vec<f64>> {
    let names = label_columns(input.schema_ref());
    let names: Vec<String> = names.into_iter().filter(|n| !n.starts_with("__scalar_")).collect();
    let arrays: Vec<ArrayRef> = names.iter().map(|n| column(input, n)).collect();
    let columns = arrays.iter().map(|a| strings(a)).collect::<Result<Vec<_>>>()?;
    let mut builder = LabelsBuilder::new();
    Ok((0..input.num_rows())
        .map(|row| {
            builder.clear();
            for (name, column) in names.iter().zip(&columns) {
                builder.set(name, label(column, row));
            }
            xxh64(builder.build().as_bytes(), 0) as f64 / u64::MAX as f64
        })
        .collect())
}

/// Rows in the order of their labels, so that a choice among equals does not depend on scheduling.
fn sort_by_labels(input: &RecordBatch) -> Result<RecordBatch> {
    let mut names = label_columns(input.schema_ref());
    names.retain(|n| !n.starts_with("__scalar_"));
    names.sort_unstable();
    if names.is_empty() || input.num_rows() < 2 {
        return Ok(input.clone());
    }
    let columns: Vec<SortColumn> =
        names.iter().map(|n| SortColumn { values: column(input, n), options: None }).collect();
    Ok(take_record_batch(input, &lexsort_to_indices(&columns, None)?)?)
}

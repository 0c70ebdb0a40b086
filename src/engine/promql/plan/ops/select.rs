//! `topk`, `bottomk`, `limitk`, `limit_ratio`: rows stay, steps at which a row is not chosen are masked.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};

use super::series::{KeyIds, column, label_columns, members};
use crate::engine::promql::kernel::select;
use crate::engine::promql::kernel::types::Param;
use crate::engine::promql::plan::layout::{
    Floats, HISTOGRAMS, Points, PointsBuilder, Sample, VALUES, label, missing, strings,
};
use crate::engine::promql::plan::samples::Sink;
use crate::engine::promql::plan::work::{Work, rows_bytes};
use crate::model::labels::METRIC_NAME;
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;

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
    pub parameter_span: Span,
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
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef, work: &Work) -> Result<RecordBatch> {
        work.reserve_items::<f64>(self.steps)?;
        let parameter = self.parameter.per_step(input, self.steps)?;
        let notes = self.sink.notes("");
        let possible = select::check_param(self.op, &Param::Steps(&parameter), self.parameter_span, &notes)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let input = &if possible { sort_by_labels(input, work)? } else { input.slice(0, 0) };
        let mut names = label_columns(schema);
        names.retain(|n| self.grouping.keeps(n));
        let keys = KeyIds::new(&[input], &names, work)?;
        let groups = members(&keys.ids[0], keys.count, work)?;
        let points = Points::of(input)?;
        // Which samples stay; the order of their rows and the hashes of their labels beside it.
        work.reserve(input.num_rows().saturating_mul(self.steps))?;
        work.reserve_items::<[u64; 2]>(input.num_rows())?;
        let mut chosen = vec![false; input.num_rows() * self.steps];
        let mut order = Vec::with_capacity(input.num_rows());
        let hashes = if self.op == AggregateOp::LimitRatio { label_hashes(input)? } else { vec![] };
        for rows in &groups {
            for (step, value) in parameter.iter().enumerate() {
                work.spend(rows.len())?;
                let picked = match self.op {
                    AggregateOp::LimitRatio => {
                        let inside = |r: &usize| points.present(*r, step) && select::in_ratio(*value, hashes[*r]);
                        rows.iter().copied().filter(inside).collect()
                    }
                    AggregateOp::LimitK => {
                        let present = rows.iter().copied().filter(|r| points.present(*r, step));
                        present.take(select::limit(*value)).collect()
                    }
                    _ => self.rank(rows, &points, step, select::limit(*value)),
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
        self.build(input, schema, &points, &chosen, order, work)
    }

    fn build(
        &self,
        input: &RecordBatch,
        schema: &SchemaRef,
        points: &Points<'_>,
        chosen: &[bool],
        order: Vec<u64>,
        work: &Work,
    ) -> Result<RecordBatch> {
        let histograms = schema.index_of(HISTOGRAMS).is_ok();
        let mut out = PointsBuilder::within(work, order.len(), self.steps, histograms)?;
        for row in order.iter().map(|r| *r as usize) {
            work.spend(self.steps)?;
            out.account(work)?;
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
        let mut best = select::TopK::new(self.op, k);
        for row in rows {
            match points.get(*row, step) {
                Some(Sample::Float(value)) => best.offer(value, *row),
                Some(Sample::Histogram(_)) => select::note_ignored_histogram(self.op, &self.sink.notes("")),
                None => {}
            }
        }
        best.into_best().into_iter().map(|(_, row)| row).collect()
    }
}

/// The label hash of each row, which decides for `limit_ratio`.
fn label_hashes(input: &RecordBatch) -> Result<Vec<u64>> {
    let mut names = label_columns(input.schema_ref());
    names.sort_unstable();
    let arrays: Vec<ArrayRef> = names.iter().map(|n| column(input, n)).collect();
    let columns = arrays.iter().map(|a| strings(a)).collect::<Result<Vec<_>>>()?;
    Ok((0..input.num_rows())
        .map(|row| {
            let pairs = names.iter().zip(&columns).map(|(n, c)| (n.as_str(), label(c, row)));
            select::label_hash(pairs.filter(|(_, value)| !value.is_empty()))
        })
        .collect())
}

/// Rows in the order of their labels, so that a choice among equals does not depend on scheduling.
fn sort_by_labels(input: &RecordBatch, work: &Work) -> Result<RecordBatch> {
    let mut names = label_columns(input.schema_ref());
    names.sort_unstable();
    if names.is_empty() || input.num_rows() < 2 {
        return Ok(input.clone());
    }
    work.reserve(rows_bytes(input)?)?;
    let columns: Vec<SortColumn> =
        names.iter().map(|n| SortColumn { values: column(input, n), options: None }).collect();
    Ok(take_record_batch(input, &lexsort_to_indices(&columns, None)?)?)
}

//! One row per label set: rows that became equal when labels were dropped or replaced are merged, which is
//! an error where two of them have a sample at the same step.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};

use super::series::{KeyIds, label_columns, members};
use crate::engine::promql::plan::layout::{DROP_NAME, HISTOGRAMS, Points, PointsBuilder, VALUES, missing};
use crate::engine::promql::plan::work::{Work, rows_bytes};
use crate::error::Error;

pub const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

/// An error of a query's data, on its way through DataFusion.
pub fn execution(message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Error::execution(message)))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueSeries {
    pub steps: usize,
}

impl UniqueSeries {
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef, work: &Work) -> Result<RecordBatch> {
        merge_rows(input, schema, self.steps, work, |_, _| execution(SAME_LABELSET))
    }
}

/// Merges rows of equal labels; `collision` makes the error for two rows with a sample at the same step.
pub fn merge_rows(
    input: &RecordBatch,
    schema: &SchemaRef,
    steps: usize,
    work: &Work,
    collision: impl Fn(usize, usize) -> DataFusionError,
) -> Result<RecordBatch> {
    let keys = KeyIds::new(&[input], &label_columns(schema), work)?;
    let ids = &keys.ids[0];
    if input.num_rows() == keys.count {
        return Ok(input.clone().with_schema(Arc::clone(schema)).unwrap_or_else(|_| input.clone()));
    }
    let points = Points::of(input)?;
    let members = members(ids, keys.count, work)?;
    let histograms = schema.index_of(HISTOGRAMS).is_ok();
    let mut out = PointsBuilder::within(work, keys.count, steps, histograms)?;
    for rows in &members {
        for step in 0..steps {
            work.spend(rows.len())?;
            let mut holders = rows.iter().copied().filter(|r| points.present(*r, step));
            let first = holders.next();
            if let (Some(a), Some(b)) = (first, holders.next()) {
                return Err(collision(a, b));
            }
            out.push(first.and_then(|row| points.get(row, step)));
        }
        out.account(work)?;
    }
    work.reserve(rows_bytes(input)?)?;
    let firsts: UInt64Array = members.iter().filter_map(|m| m.first()).map(|r| *r as u64).collect();
    assemble(input, schema, &firsts, &members, out)
}

fn assemble(
    input: &RecordBatch,
    schema: &SchemaRef,
    firsts: &UInt64Array,
    members: &[Vec<usize>],
    out: PointsBuilder,
) -> Result<RecordBatch> {
    let (values, mut histograms) = out.finish()?;
    let mut columns: Vec<ArrayRef> = vec![];
    for field in schema.fields() {
        let source = input.column_by_name(field.name()).ok_or_else(|| missing(field.name()))?;
        columns.push(match field.name().as_str() {
            VALUES => Arc::clone(&values),
            HISTOGRAMS => histograms.take().ok_or_else(|| missing(HISTOGRAMS))?,
            DROP_NAME => {
                let drop = source.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| missing(DROP_NAME))?;
                Arc::new(BooleanArray::from_iter(members.iter().map(|m| Some(m.iter().any(|r| drop.value(*r))))))
            }
            _ => take(source, firsts, None)?,
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

//! `histogram_quantiles` of a quantile that varies by step: the quantile of each step as a label.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use super::series::{column, gather};
use crate::engine::promql::kernel::buckets::quantile_label;
use crate::engine::promql::plan::layout::{Floats, PointsBuilder, VALUES, missing};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuantileLabel {
    pub label: String,
    /// The column of the quantiles.
    pub quantiles: String,
    pub steps: usize,
}

impl fmt::Display for QuantileLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.label)
    }
}

impl QuantileLabel {
    /// A row becomes one for each quantile it has values of.
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let floats = |name: &str| Floats::new(input.column_by_name(name).ok_or_else(|| missing(name))?);
        let (values, quantiles) = (floats(VALUES)?, floats(&self.quantiles)?);
        let mut places: HashMap<(usize, String), usize> = HashMap::new();
        let mut results: Vec<(usize, String, Vec<Option<f64>>)> = vec![];
        for row in 0..input.num_rows() {
            for step in 0..self.steps {
                let Some(value) = values.get(row, step) else { continue };
                let text = quantile_label(quantiles.get(row, step).unwrap_or(f64::NAN));
                let place = *places.entry((row, text.clone())).or_insert_with(|| {
                    results.push((row, text, vec![None; self.steps]));
                    results.len() - 1
                });
                results[place].2[step] = Some(value);
            }
        }
        let mut out = PointsBuilder::new(results.len(), self.steps, false);
        for value in results.iter().flat_map(|(_, _, values)| values) {
            match value {
                Some(value) => out.push_float(*value),
                None => out.push_none(),
            }
        }
        let (values, _) = out.finish()?;
        let rows: Vec<(usize, usize)> = results.iter().map(|(row, _, _)| (0, *row)).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                VALUES => Arc::clone(&values),
                name if name == self.label => {
                    Arc::new(StringViewArray::from_iter_values(results.iter().map(|(_, text, _)| text)))
                }
                name => gather(&[column(input, name)], &DataType::Utf8View, &rows)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

//! `count_values`: how many series of a group have each value, the value as a new label.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use super::select::Grouping;
use super::series::{KeyIds, column, gather, label_columns};
use crate::engine::promql::plan::layout::{DROP_NAME, HISTOGRAMS, Points, PointsBuilder, Sample, VALUES, missing};
use crate::engine::promql::plan::samples;
use crate::model::float;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountValues {
    /// The label that gets the value.
    pub label: String,
    pub grouping: Grouping,
    pub steps: usize,
}

impl fmt::Display for CountValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.label, self.grouping)
    }
}

impl CountValues {
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let labelled = schema.index_of(&self.label).is_ok();
        let mut names = label_columns(schema);
        names.retain(|n| *n != self.label);
        let keys = KeyIds::new(&[input], &names)?;
        let points = Points::of(input)?;
        let mut rows: HashMap<(usize, String), usize> = HashMap::new();
        // By result row: the value as text, an input row of the group, the count at each step.
        let mut results: Vec<(String, usize, Vec<f64>)> = vec![];
        for (row, group) in keys.ids[0].iter().enumerate() {
            for step in 0..self.steps {
                let text = match points.get(row, step) {
                    None => continue,
                    Some(_) if !labelled => String::new(),
                    Some(Sample::Float(v)) => float::format_plain(v),
                    Some(Sample::Histogram(bytes)) => samples::decode(bytes)?.to_string(),
                };
                let at = *rows.entry((*group, text.clone())).or_insert_with(|| {
                    results.push((text, row, vec![0.0; self.steps]));
                    results.len() - 1
                });
                results[at].2[step] += 1.0;
            }
        }
        self.build(input, schema, &results)
    }

    fn build(
        &self,
        input: &RecordBatch,
        schema: &SchemaRef,
        results: &[(String, usize, Vec<f64>)],
    ) -> Result<RecordBatch> {
        let mut out = PointsBuilder::new(results.len(), self.steps, schema.index_of(HISTOGRAMS).is_ok());
        for (_, _, counts) in results {
            let present: Vec<bool> = counts.iter().map(|count| *count > 0.0).collect();
            out.push_floats(counts, &present);
        }
        let (values, histograms) = out.finish()?;
        let rows: Vec<(usize, usize)> = results.iter().map(|(_, row, _)| (0, *row)).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                VALUES => Arc::clone(&values),
                HISTOGRAMS => histograms.clone().ok_or_else(|| missing(HISTOGRAMS))?,
                DROP_NAME => Arc::new(BooleanArray::from(vec![false; results.len()])),
                name if name == self.label => {
                    Arc::new(StringViewArray::from_iter_values(results.iter().map(|(text, _, _)| text)))
                }
                name => gather(&[column(input, name)], &DataType::Utf8View, &rows)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

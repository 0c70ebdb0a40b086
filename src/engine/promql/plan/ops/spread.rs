//! Samples spread over the rows of a result by a label that is made of their values. The places of all samples are
//! found first, so that the size of the result is known, and accounted for, before there is a result.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanBufferBuilder, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::{DataFusionError, Result};

use super::series::{column, gather};
use crate::engine::promql::plan::layout::{PointsBuilder, VALUES, points_bytes};
use crate::engine::promql::plan::work::Work;

/// No row.
const NOWHERE: u32 = u32::MAX;
/// A row of the result, beside its text and points: where it comes from, and what is remembered to find it.
const ROW_BYTES: usize = 96;

/// See the module.
pub struct Spread<'a> {
    input: &'a RecordBatch,
    steps: usize,
    /// The value of the new label, and the input row that has the other labels.
    rows: Vec<(String, usize)>,
    /// The row of the result for each input row and step.
    places: Vec<u32>,
    work: &'a Work,
}

impl<'a> Spread<'a> {
    pub fn new(input: &'a RecordBatch, steps: usize, work: &'a Work) -> Result<Self> {
        let places = input.num_rows().saturating_mul(steps);
        work.reserve_items::<u32>(places)?;
        Ok(Self { input, steps, rows: vec![], places: Vec::with_capacity(places), work })
    }

    /// Another row of the result, for samples like one of the input row.
    pub fn add_row(&mut self, text: String, row: usize) -> Result<u32> {
        self.work.reserve(ROW_BYTES + text.len())?;
        let place = u32::try_from(self.rows.len()).ok().filter(|place| *place != NOWHERE);
        let place = place.ok_or_else(|| DataFusionError::ResourcesExhausted("more than 2^32 series".into()))?;
        self.rows.push((text, row));
        Ok(place)
    }

    /// Where the next sample goes, step after step, row after row.
    pub fn push(&mut self, place: Option<u32>) {
        self.places.push(place.unwrap_or(NOWHERE));
    }

    /// The result: `value` makes one of what is there already and the sample of an input row and step.
    pub fn build(
        self,
        label: &str,
        schema: &SchemaRef,
        value: impl Fn(f64, usize, usize) -> f64,
    ) -> Result<RecordBatch> {
        let (steps, work) = (self.steps, self.work);
        work.reserve(points_bytes(self.rows.len(), steps, false))?;
        work.reserve((self.rows.len() * 16).saturating_mul(schema.fields().len()))?;
        let points = self.rows.len() * steps;
        let mut values = vec![0.0; points];
        let mut valid = BooleanBufferBuilder::new(points);
        valid.append_n(points, false);
        for row in 0..self.input.num_rows() {
            work.spend(steps)?;
            for step in 0..steps {
                let place = self.places[row * steps + step];
                if place != NOWHERE {
                    let at = place as usize * steps + step;
                    values[at] = value(values[at], row, step);
                    valid.set_bit(at, true);
                }
            }
        }
        let (values, _) = PointsBuilder::of(values, valid, steps).finish()?;
        let sources: Vec<(usize, usize)> = self.rows.iter().map(|(_, row)| (0, *row)).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                VALUES => Arc::clone(&values),
                name if name == label => {
                    Arc::new(StringViewArray::from_iter_values(self.rows.iter().map(|(text, _)| text)))
                }
                name => gather(&[column(self.input, name)], &DataType::Utf8View, &sources)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

//! `count_values`: how many series of a group have each value, the value as a new label.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use hashbrown::HashMap;

use super::select::Grouping;
use super::series::{KeyIds, label_columns};
use super::spread::Spread;
use crate::engine::promql::plan::layout::{Points, Sample};
use crate::engine::promql::plan::samples;
use crate::engine::promql::plan::work::Work;
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
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef, work: &Work) -> Result<RecordBatch> {
        let labelled = schema.index_of(&self.label).is_ok();
        let mut names = label_columns(schema);
        names.retain(|n| *n != self.label);
        let keys = KeyIds::new(&[input], &names, work)?;
        let points = Points::of(input)?;
        let mut spread = Spread::new(input, self.steps, work)?;
        let mut known = Known::default();
        for (row, group) in keys.ids[0].iter().enumerate() {
            work.spend(self.steps)?;
            for step in 0..self.steps {
                let sample = points.get(row, step).map(|sample| if labelled { sample } else { Sample::Float(0.0) });
                let place = sample.map(|sample| known.place(&mut spread, *group, row, sample, labelled, work));
                spread.push(place.transpose()?);
            }
        }
        spread.build(&self.label, schema, |count, _, _| count + 1.0)
    }
}

/// The rows of the result so far, by group and value.
#[derive(Default)]
struct Known {
    /// By the bits of the float; a text is made once for each, which takes longer than all the rest.
    floats: HashMap<(usize, u64), u32>,
    histograms: HashMap<(usize, String), u32>,
}

impl Known {
    fn place(
        &mut self,
        spread: &mut Spread<'_>,
        group: usize,
        row: usize,
        sample: Sample<'_>,
        labelled: bool,
        work: &Work,
    ) -> Result<u32> {
        match sample {
            Sample::Float(value) => {
                // All NaN have one text.
                let value = if value.is_nan() { f64::NAN } else { value };
                let key = (group, value.to_bits());
                if let Some(place) = self.floats.get(&key) {
                    return Ok(*place);
                }
                let text = if labelled { float::format_plain(value) } else { String::new() };
                let place = spread.add_row(text, row)?;
                self.floats.insert(key, place);
                Ok(place)
            }
            Sample::Histogram(bytes) => {
                let key = (group, samples::decode(bytes)?.to_string());
                work.spend(bytes.len())?;
                if let Some(place) = self.histograms.get(&key) {
                    return Ok(*place);
                }
                work.reserve(key.1.len())?;
                let place = spread.add_row(key.1.clone(), row)?;
                self.histograms.insert(key, place);
                Ok(place)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, StringViewArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::engine::promql::plan::layout::{PointsBuilder, VALUES, strings, values_type};

    /// Rows of one group.
    fn vector(rows: &[&[Option<f64>]]) -> RecordBatch {
        let mut points = PointsBuilder::new(rows.len(), rows[0].len(), false);
        rows.iter().flat_map(|row| *row).for_each(|value| points.push(value.map(Sample::Float)));
        let (values, _) = points.finish().unwrap();
        let labels: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|_| "a")));
        RecordBatch::try_new(schema("l", rows[0].len()), vec![labels, values]).unwrap()
    }

    fn schema(label: &str, steps: usize) -> SchemaRef {
        let label = Field::new(label, DataType::Utf8View, true);
        Arc::new(Schema::new(vec![label, Field::new(VALUES, values_type(steps), true)]))
    }

    fn count(input: &RecordBatch, steps: usize, limit: usize) -> Result<Vec<(String, Vec<Option<f64>>)>> {
        let grouping = Grouping { without: false, labels: vec![] };
        let op = CountValues { label: "v".into(), grouping, steps };
        let result = op.evaluate(input, &schema("v", steps), &Work::with_limit(limit))?;
        let points = Points::of(&result)?;
        let texts = strings(result.column(0))?;
        let row = |row| (0..steps).map(|step| points.floats.get(row, step)).collect();
        Ok((0..result.num_rows()).map(|r| (texts.value(r).to_string(), row(r))).collect())
    }

    #[test]
    fn values_in_the_order_they_first_occur() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
        let input = vector(&[
            &[Some(2.0), None, Some(f64::NAN)],
            &[Some(1.5), Some(-0.0), Some(2.0)],
            &[Some(2.0), Some(0.0), Some(other_nan)],
        ]);
        let expected = [
            ("2", [Some(2.0), None, Some(1.0)]),
            ("NaN", [None, None, Some(2.0)]),
            ("1.5", [Some(1.0), None, None]),
            ("-0", [None, Some(1.0), None]),
            ("0", [None, Some(1.0), None]),
        ];
        let expected: Vec<_> = expected.iter().map(|(text, row)| (text.to_string(), row.to_vec())).collect();
        assert_eq!(count(&input, 3, 1 << 20).unwrap(), expected);
    }

    /// A million different values are a million rows of a thousand steps, 8 GB: the server was killed for it.
    #[test]
    fn a_result_that_does_not_fit_is_refused_before_it_is_made() {
        let rows: Vec<Vec<Option<f64>>> =
            (0..1_100).map(|row| (0..1_000).map(|step| Some(f64::from(row * 1_000 + step))).collect()).collect();
        let input = vector(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let refused = count(&input, 1_000, 1 << 30).unwrap_err();
        assert!(refused.to_string().contains("Resources exhausted"), "{refused}");
    }
}

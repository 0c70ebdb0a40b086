//! `histogram_quantiles` of a quantile that varies by step: the quantile of each step as a label.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use hashbrown::HashMap;

use super::spread::Spread;
use crate::engine::promql::kernel::buckets::quantile_label;
use crate::engine::promql::plan::layout::{Floats, VALUES, missing};
use crate::engine::promql::plan::work::Work;

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
    pub fn evaluate(&self, input: &RecordBatch, schema: &SchemaRef, work: &Work) -> Result<RecordBatch> {
        let floats = |name: &str| Floats::new(input.column_by_name(name).ok_or_else(|| missing(name))?);
        let (values, quantiles) = (floats(VALUES)?, floats(&self.quantiles)?);
        let mut spread = Spread::new(input, self.steps, work)?;
        // By the bits of the quantile, of one row at a time.
        let mut places: HashMap<u64, u32> = HashMap::new();
        for row in 0..input.num_rows() {
            work.spend(self.steps)?;
            places.clear();
            for step in 0..self.steps {
                if !values.present(row, step) {
                    spread.push(None);
                    continue;
                }
                let quantile = quantiles.get(row, step).unwrap_or(f64::NAN);
                let quantile = if quantile.is_nan() { f64::NAN } else { quantile };
                let place = match places.get(&quantile.to_bits()) {
                    Some(place) => *place,
                    None => {
                        let place = spread.add_row(quantile_label(quantile), row)?;
                        places.insert(quantile.to_bits(), place);
                        place
                    }
                };
                spread.push(Some(place));
            }
        }
        spread.build(&self.label, schema, |_, row, step| values.get(row, step).unwrap_or(f64::NAN))
    }
}

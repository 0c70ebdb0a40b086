//! `histogram_quantile(q, le, count)` over the rows of the buckets of a classic histogram: PromQL's function of
//! `sum by (le) (count)`, by the same kernel. `le` is the label or a number; what is no number is left out, as PromQL does it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use datafusion::scalar::ScalarValue;

use super::plain::{is_text, type_name};
use crate::engine::promql::kernel::buckets::{Bucket, bucket_quantile};
use crate::engine::sql::state::raised;
use crate::model::float;

const NAME: &str = "histogram_quantile";

pub fn histogram_quantile() -> AggregateUDF {
    AggregateUDF::new_from_impl(HistogramQuantile { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HistogramQuantile {
    signature: Signature,
}

fn bound_type(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Dictionary(_, of) => bound_type(of),
        of if of.is_numeric() => Some(DataType::Float64),
        of if is_text(of) => Some(DataType::Utf8),
        _ => None,
    }
}

impl AggregateUDFImpl for HistogramQuantile {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |of: &DataType| of.is_numeric() || of.is_null();
        match types {
            [q, le, count] if is_number(q) && is_number(count) && bound_type(le).is_some() => {
                Ok(vec![DataType::Float64, bound_type(le).unwrap_or(DataType::Utf8), DataType::Float64])
            }
            _ => {
                let types: Vec<String> = types.iter().map(type_name).collect();
                Err(raised("42883", format!("function {NAME}({}) does not exist", types.join(", "))))
            }
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let literal = args.exprs.first().and_then(|expr| expr.downcast_ref::<Literal>());
        match literal.map(Literal::value) {
            Some(ScalarValue::Float64(q)) => Ok(Box::new(Buckets { q: *q, counts: HashMap::new() })),
            _ => Err(raised("0A000", format!("the quantile of {NAME}() must be a constant"))),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str| {
            let list = DataType::new_list(DataType::Float64, true);
            Arc::new(Field::new(format!("{}[{name}]", args.name), list, true))
        };
        Ok(vec![list("bounds"), list("counts")])
    }
}

/// The counts of a group by the bits of their bounds.
#[derive(Debug)]
struct Buckets {
    q: Option<f64>,
    counts: HashMap<u64, f64>,
}

impl Buckets {
    fn add(&mut self, bound: f64, count: f64) {
        // One zero, and no bound that is no number.
        if !bound.is_nan() {
            *self.counts.entry((bound + 0.0).to_bits()).or_default() += count;
        }
    }

    fn sorted(&self) -> Vec<Bucket> {
        let bucket = |(bits, count): (&u64, &f64)| Bucket { upper_bound: f64::from_bits(*bits), count: *count };
        let mut buckets: Vec<Bucket> = self.counts.iter().map(bucket).collect();
        buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
        buckets
    }
}

impl Accumulator for Buckets {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [_, bounds, counts] = columns else { return internal_err!("{NAME}() of {} columns", columns.len()) };
        let counts = counts.as_primitive::<Float64Type>();
        for row in (0..counts.len()).filter(|row| bounds.is_valid(*row) && counts.is_valid(*row)) {
            let bound = match bounds.as_string_opt::<i32>() {
                Some(texts) => float::parse(texts.value(row)),
                None => Some(bounds.as_primitive::<Float64Type>().value(row)),
            };
            if let Some(bound) = bound {
                self.add(bound, counts.value(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [bounds, counts] = states else { return internal_err!("{NAME}() of {} states", states.len()) };
        for (bounds, counts) in bounds.as_list::<i32>().iter().zip(counts.as_list::<i32>().iter()) {
            let (Some(bounds), Some(counts)) = (bounds, counts) else { continue };
            let bounds = bounds.as_primitive::<Float64Type>().values();
            for (bound, count) in bounds.iter().zip(counts.as_primitive::<Float64Type>().values()) {
                self.add(*bound, *count);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let buckets = self.sorted();
        let list = |values: Float64Array| {
            let field = Arc::new(Field::new_list_field(DataType::Float64, true));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            ScalarValue::List(Arc::new(ListArray::new(field, offsets, Arc::new(values), None)))
        };
        Ok(vec![
            list(Float64Array::from_iter_values(buckets.iter().map(|bucket| bucket.upper_bound))),
            list(Float64Array::from_iter_values(buckets.iter().map(|bucket| bucket.count))),
        ])
    }

    /// NULL where there is no bucket.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut buckets = self.sorted();
        let Some(q) = self.q.filter(|_| !buckets.is_empty()) else { return Ok(ScalarValue::Float64(None)) };
        Ok(ScalarValue::Float64(Some(bucket_quantile(q, &mut buckets).0)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(u64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    #[test]
    fn of_parts() {
        let part = |les: [&str; 3], counts: [f64; 3]| {
            let mut buckets = Buckets { q: Some(0.5), counts: HashMap::new() };
            let q: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 3]));
            let les: ArrayRef = Arc::new(StringArray::from(les.to_vec()));
            buckets.update_batch(&[q, les, Arc::new(Float64Array::from(counts.to_vec()))]).unwrap();
            buckets
        };
        let mut one = part(["1", "2", "+Inf"], [10.0, 20.0, 20.0]);
        assert_eq!(one.evaluate().unwrap(), ScalarValue::Float64(Some(1.0)));
        let states = part(["1.0", "nonsense", "+Inf"], [0.0, 7.0, 20.0]).state().unwrap();
        let states: Vec<ArrayRef> = states.iter().map(|state| state.to_array().unwrap()).collect();
        one.merge_batch(&states).unwrap();
        assert_eq!(one.evaluate().unwrap(), ScalarValue::Float64(Some(2.0)));
        let mut none = Buckets { q: Some(0.5), counts: HashMap::new() };
        assert_eq!(none.evaluate().unwrap(), ScalarValue::Float64(None));
    }
}

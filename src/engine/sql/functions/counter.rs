//! `increase`, `rate` and `delta` over `(timestamp, value)`: the change from the first to the last sample of a
//! group, in the order of time whatever the order of rows. Unlike PromQL's functions they know no window, so they
//! do not extrapolate to one: `rate` is the increase per second between the first and the last sample.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use std::sync::Arc;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

use crate::model::sample::is_stale;

pub fn functions() -> Vec<AggregateUDF> {
    [Change::Increase, Change::Rate, Change::Delta]
        .map(|change| {
            let signature = Signature::user_defined(Volatility::Immutable);
            AggregateUDF::new_from_impl(Counter { change, signature })
        })
        .to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Change {
    /// Of a counter: drops are resets to zero.
    Increase,
    /// The increase per second.
    Rate,
    /// Of a gauge: last minus first.
    Delta,
}

impl Change {
    fn of(self, samples: &[(i64, f64)]) -> Option<f64> {
        let [(start, first), .., (end, last)] = samples else { return None };
        if self == Change::Delta {
            return Some(last - first);
        }
        let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        let increase = last - first + resets.map(|pair| pair[0].1).sum::<f64>();
        match self {
            Change::Rate if end == start => None,
            Change::Rate => Some(increase / ((end - start) as f64 / 1000.0)),
            Change::Increase | Change::Delta => Some(increase),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counter {
    change: Change,
    signature: Signature,
}

impl AggregateUDFImpl for Counter {
    fn name(&self) -> &str {
        match self.change {
            Change::Increase => "increase",
            Change::Rate => "rate",
            Change::Delta => "delta",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [DataType::Timestamp(_, zone), value] if value.is_numeric() || value.is_null() => {
                Ok(vec![DataType::Timestamp(TimeUnit::Millisecond, zone.clone()), DataType::Float64])
            }
            _ => plan_err!("{}() takes (timestamp, value)", self.name()),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Samples { change: self.change, samples: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let list = DataType::List(Arc::new(Field::new("item", item, true)));
            Arc::new(Field::new(format!("{}[{name}]", args.name), list, true))
        };
        Ok(vec![list("timestamps", DataType::Int64), list("values", DataType::Float64)])
    }
}

/// Every sample of a group: resets cannot be seen before all are there and sorted.
#[derive(Debug)]
struct Samples {
    change: Change,
    samples: Vec<(i64, f64)>,
}

impl Samples {
    fn extend(&mut self, timestamps: &[i64], values: &[f64], valid: impl Fn(usize) -> bool) {
        let pairs = timestamps.iter().zip(values).enumerate();
        let pairs = pairs.filter(|(row, (_, value))| valid(*row) && !is_stale(**value));
        self.samples.extend(pairs.map(|(_, (timestamp, value))| (*timestamp, *value)));
    }
}

impl Accumulator for Samples {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let timestamps = columns[0].as_primitive::<TimestampMillisecondType>();
        let values = columns[1].as_primitive::<Float64Type>();
        let valid = |row| timestamps.is_valid(row) && values.is_valid(row);
        self.extend(timestamps.values(), values.values(), valid);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (timestamps, values) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in (0..timestamps.len()).filter(|row| timestamps.is_valid(*row)) {
            let (timestamps, values) = (timestamps.value(row), values.value(row));
            let timestamps = timestamps.as_primitive::<Int64Type>();
            self.extend(timestamps.values(), values.as_primitive::<Float64Type>().values(), |_| true);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |items: ArrayRef| {
            let field = Arc::new(Field::new("item", items.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            ScalarValue::List(Arc::new(ListArray::new(field, offsets, items, None)))
        };
        let samples = std::mem::take(&mut self.samples);
        Ok(vec![
            list(Arc::new(Int64Array::from_iter_values(samples.iter().map(|s| s.0)))),
            list(Arc::new(Float64Array::from_iter_values(samples.iter().map(|s| s.1)))),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.samples.sort_by_key(|(timestamp, _)| *timestamp);
        Ok(ScalarValue::Float64(self.change.of(&self.samples)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.samples.capacity() * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::Change;

    #[test]
    fn changes() {
        let samples = [(0, 5.0), (10_000, 8.0), (20_000, 1.0), (40_000, 3.0)];
        assert_eq!(Change::Delta.of(&samples), Some(-2.0));
        assert_eq!(Change::Increase.of(&samples), Some(6.0));
        assert_eq!(Change::Rate.of(&samples), Some(0.15));
        assert_eq!(Change::Rate.of(&samples[..1]), None);
        assert_eq!(Change::Rate.of(&[(5, 1.0), (5, 2.0)]), None);
    }
}

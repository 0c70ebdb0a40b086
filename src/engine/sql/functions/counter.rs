//! `increase`, `rate` and `delta` over `(timestamp, value)`: the change from the first to the last sample of each series
//! of a group, in the order of time whatever the order of rows, and their sum. Unlike PromQL's functions they know no
//! window, so they do not extrapolate to one: `rate` is the increase per second between the first and the last sample.
//!
//! Which series a sample is of is told by further arguments, whatever they are. [`series`](crate::engine::sql::series)
//! adds the labels where there are none.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use arrow::row::{RowConverter, SortField};

use datafusion::common::{internal_err, plan_err};
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

/// Whether it is one of them.
pub fn is_counter(function: &AggregateUDF) -> bool {
    function.inner().downcast_ref::<Counter>().is_some()
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
            [DataType::Timestamp(_, zone), value, series @ ..] if value.is_numeric() || value.is_null() => {
                let mut types = vec![DataType::Timestamp(TimeUnit::Millisecond, zone.clone()), DataType::Float64];
                types.extend_from_slice(series);
                Ok(types)
            }
            _ => plan_err!("{}() takes (timestamp, value)", self.name()),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Samples { change: self.change, converter: None, series: HashMap::new(), bytes: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let list = DataType::List(Arc::new(Field::new("item", item, true)));
            Arc::new(Field::new(format!("{}[{name}]", args.name), list, true))
        };
        Ok(vec![
            list("series", DataType::Binary),
            list("lengths", DataType::Int64),
            list("timestamps", DataType::Int64),
            list("values", DataType::Float64),
        ])
    }
}

/// Every sample of a group, by series: resets cannot be seen before all are there and sorted.
#[derive(Debug)]
struct Samples {
    change: Change,
    /// Makes keys of what tells series apart; there with the first rows.
    converter: Option<RowConverter>,
    series: HashMap<Box<[u8]>, Vec<(i64, f64)>>,
    /// Of all of it, about.
    bytes: usize,
}

/// What a series takes beside its key and samples.
const SERIES_BYTES: usize = 64;

impl Samples {
    fn add(&mut self, series: &[u8], samples: impl Iterator<Item = (i64, f64)>) {
        let known = match self.series.get_mut(series) {
            Some(known) => known,
            None => {
                self.bytes += series.len() + SERIES_BYTES;
                self.series.entry(series.into()).or_default()
            }
        };
        let before = known.capacity();
        known.extend(samples);
        self.bytes += (known.capacity() - before) * size_of::<(i64, f64)>();
    }
}

impl Accumulator for Samples {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let timestamps = columns[0].as_primitive::<TimestampMillisecondType>();
        let values = columns[1].as_primitive::<Float64Type>();
        let valid =
            |row: &usize| timestamps.is_valid(*row) && values.is_valid(*row) && !is_stale(values.value(*row));
        let sample = |row: usize| (timestamps.value(row), values.value(row));
        if columns.len() == 2 {
            self.add(&[], (0..values.len()).filter(valid).map(sample));
            return Ok(());
        }
        if self.converter.is_none() {
            let field = |column: &ArrayRef| SortField::new(column.data_type().clone());
            self.converter = Some(RowConverter::new(columns[2..].iter().map(field).collect())?);
        }
        let converter = self.converter.as_ref().expect("it was just made");
        let keys = converter.convert_columns(&columns[2..])?;
        // Rows of a series come one after the other, mostly.
        let mut start = 0;
        while start < values.len() {
            let key = keys.row(start);
            let end = (start + 1..values.len()).find(|row| keys.row(*row) != key).unwrap_or(values.len());
            self.add(key.as_ref(), (start..end).filter(valid).map(sample));
            start = end;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [series, lengths, timestamps, values] = states else {
            return internal_err!("a state of {} columns", states.len());
        };
        let lists = [series, lengths, timestamps, values].map(|state| state.as_list::<i32>());
        for row in (0..lists[0].len()).filter(|row| lists[0].is_valid(*row)) {
            let [series, lengths, timestamps, values] = lists.map(|list| list.value(row));
            let (series, lengths) = (series.as_binary::<i32>(), lengths.as_primitive::<Int64Type>());
            let timestamps = timestamps.as_primitive::<Int64Type>().values();
            let values = values.as_primitive::<Float64Type>().values();
            let mut start = 0;
            for (place, length) in lengths.values().iter().enumerate() {
                let end = start + *length as usize;
                let samples = timestamps[start..end].iter().copied().zip(values[start..end].iter().copied());
                self.add(series.value(place), samples);
                start = end;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |items: ArrayRef| {
            let field = Arc::new(Field::new("item", items.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            ScalarValue::List(Arc::new(ListArray::new(field, offsets, items, None)))
        };
        let series: Vec<_> = std::mem::take(&mut self.series).into_iter().collect();
        let samples = || series.iter().flat_map(|(_, samples)| samples);
        Ok(vec![
            list(Arc::new(BinaryArray::from_iter_values(series.iter().map(|(key, _)| key)))),
            list(Arc::new(Int64Array::from_iter_values(series.iter().map(|(_, samples)| samples.len() as i64)))),
            list(Arc::new(Int64Array::from_iter_values(samples().map(|s| s.0)))),
            list(Arc::new(Float64Array::from_iter_values(samples().map(|s| s.1)))),
        ])
    }

    /// The sum of what is known of each series, in the order of their keys, since floats are added.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut series: Vec<_> = self.series.iter_mut().collect();
        series.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let change = self.change;
        let changes = series.into_iter().filter_map(|(_, samples)| {
            samples.sort_by_key(|(timestamp, _)| *timestamp);
            change.of(samples)
        });
        Ok(ScalarValue::Float64(changes.reduce(|sum, change| sum + change)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
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

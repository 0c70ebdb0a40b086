//! Histograms on their way through a query: from the struct of a file, to the bytes operators exchange, to the
//! JSON that SQL shows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StructArray};
use arrow::datatypes::{Float64Type, Int8Type, Int32Type};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use serde_json::{Value, json};

pub use crate::model::histogram::codec::encode;

use crate::model::histogram::buckets::{Bucket, Sign};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};

/// The `histogram` column of one batch of a file, its children found by name once.
pub(super) struct HistogramColumn<'a> {
    column: &'a StructArray,
    hint: &'a ArrayRef,
    schema: &'a ArrayRef,
    /// zero_threshold, zero_count, count, sum
    scalars: [&'a ArrayRef; 4],
    positive: Side<'a>,
    negative: Side<'a>,
    custom_values: &'a ArrayRef,
}

/// Spans and buckets of one sign.
struct Side<'a> {
    offsets: &'a ArrayRef,
    lengths: &'a ArrayRef,
    buckets: &'a ArrayRef,
}

impl<'a> HistogramColumn<'a> {
    pub fn new(column: &'a StructArray) -> Result<Self> {
        let child = |name: &str| {
            let found = column.column_by_name(name);
            found.ok_or_else(|| internal_datafusion_err!("the histogram column has no field {name}"))
        };
        let side = |sign: &str| -> Result<Side<'a>> {
            Ok(Side {
                offsets: child(&format!("{sign}_offsets"))?,
                lengths: child(&format!("{sign}_lengths"))?,
                buckets: child(&format!("{sign}_buckets"))?,
            })
        };
        Ok(Self {
            column,
            hint: child("counter_reset_hint")?,
            schema: child("schema")?,
            scalars: [child("zero_threshold")?, child("zero_count")?, child("count")?, child("sum")?],
            positive: side("positive")?,
            negative: side("negative")?,
            custom_values: child("custom_values")?,
        })
    }

    /// Appends one entry per row, `None` where the row is no histogram.
    pub fn append(&self, start: usize, end: usize, out: &mut Vec<Option<Arc<FloatHistogram>>>) {
        out.extend((start..end).map(|row| self.column.is_valid(row).then(|| Arc::new(self.row(row)))));
    }

    fn row(&self, row: usize) -> FloatHistogram {
        let [zero_threshold, zero_count, count, sum] =
            self.scalars.map(|column| column.as_primitive::<Float64Type>().value(row));
        FloatHistogram {
            counter_reset_hint: CounterResetHint::from_code(self.hint.as_primitive::<Int8Type>().value(row) as u8),
            schema: self.schema.as_primitive::<Int32Type>().value(row),
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans: self.positive.spans(row),
            negative_spans: self.negative.spans(row),
            positive_buckets: items::<Float64Type>(self.positive.buckets, row),
            negative_buckets: items::<Float64Type>(self.negative.buckets, row),
            custom_values: items::<Float64Type>(self.custom_values, row),
        }
    }
}

impl Side<'_> {
    fn spans(&self, row: usize) -> Vec<Span> {
        let lengths = items::<Int32Type>(self.lengths, row);
        let offsets = items::<Int32Type>(self.offsets, row);
        let span = |(offset, length): (i32, i32)| Span { offset, length: length as u32 };
        offsets.into_iter().zip(lengths).map(span).collect()
    }
}

fn items<T: ArrowPrimitiveType>(lists: &ArrayRef, row: usize) -> Vec<T::Native> {
    let lists = lists.as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    lists.value(row).as_primitive::<T>().values().to_vec()
}

/// The JSON of Prometheus' HTTP API with plain numbers:
/// `{"count":3,"sum":4.5,"buckets":[[rule, lower, upper, count]]}`. The rule says which bounds belong to the
/// bucket: 0 the upper, 1 the lower, 2 none, 3 both. Numbers that JSON has no word for are strings.
pub fn to_json(histogram: &FloatHistogram) -> String {
    let populated = |sign| -> Vec<Bucket> { histogram.buckets(sign).filter(|b| b.count != 0.0).collect() };
    let mut buckets = populated(Sign::Negative);
    buckets.reverse();
    if histogram.zero_count != 0.0 && !histogram.uses_custom_buckets() {
        buckets.push(histogram.zero_bucket());
    }
    buckets.extend(populated(Sign::Positive));
    let buckets: Vec<Value> = buckets.iter().map(bucket_json).collect();
    json!({ "count": number(histogram.count), "sum": number(histogram.sum), "buckets": buckets }).to_string()
}

fn bucket_json(bucket: &Bucket) -> Value {
    let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    };
    json!([rule, number(bucket.lower), number(bucket.upper), number(bucket.count)])
}

fn number(value: f64) -> Value {
    match value {
        v if v.is_finite() => json!(v),
        v if v.is_nan() => json!("NaN"),
        v if v > 0.0 => json!("+Inf"),
        _ => json!("-Inf"),
    }
}

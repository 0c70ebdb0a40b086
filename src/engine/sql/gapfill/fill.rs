//! The rows of one group: those there are, and one for each bucket that has none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    TimestampNanosecondType,
};
use datafusion::error::Result;

use super::names::INTERPOLATE;
use crate::engine::sql::state::raised;

/// What a row has that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub enum Filling {
    /// NULL
    Nothing,
    /// What the last row before it has. `skips_null`: the last that is not NULL, for rows that were there too.
    Last { skips_null: bool },
    /// Between the rows around it, by time.
    Interpolated,
}

/// Columns of a group: those that it is told by, one of which is the bucket, and behind them those that are filled.
#[derive(Clone, Debug)]
pub struct Shape {
    pub schema: SchemaRef,
    pub bucket: usize,
    pub groups: usize,
    pub fillings: Vec<Filling>,
}

/// The rows of a group with those that are missing. Rows of `group` are sorted by bucket, NULL behind all, and are not none
/// unless it is told by the bucket alone; `buckets` in nanoseconds, sorted.
///
/// # Errors
/// 0A000 for a type that cannot be interpolated, and of Arrow.
pub fn fill(group: &RecordBatch, shape: &Shape, buckets: &[i64]) -> Result<RecordBatch> {
    let times = group.column(shape.bucket).as_primitive::<TimestampNanosecondType>();
    let (rows, at) = merged(times, buckets);
    let places = UInt32Array::from(rows);
    let columns = (0..group.num_columns()).map(|column| {
        let values = group.column(column);
        let made: ArrayRef = match column.checked_sub(shape.groups).map(|filled| shape.fillings[filled]) {
            None if column == shape.bucket => {
                let zone = times.timezone().map(Arc::from);
                Arc::new(TimestampNanosecondArray::from(at.clone()).with_timezone_opt::<Arc<str>>(zone))
            }
            // All rows of a group are alike here.
            None => take(values, &Int64Array::from(vec![0; places.len()]), None)?,
            Some(Filling::Nothing) => take(values, &places, None)?,
            Some(Filling::Last { skips_null }) => take(values, &last(&places, values, skips_null), None)?,
            Some(Filling::Interpolated) => interpolated(&places, &at, values)?,
        };
        Ok(made)
    });
    Ok(RecordBatch::try_new(Arc::clone(&shape.schema), columns.collect::<Result<Vec<_>>>()?)?)
}

/// The row of each bucket, if there is one, and its time.
fn merged(times: &TimestampNanosecondArray, buckets: &[i64]) -> (Vec<Option<u32>>, Vec<Option<i64>>) {
    let (mut rows, mut at) = (Vec::new(), Vec::new());
    let mut buckets = buckets.iter().copied().peekable();
    for (row, time) in times.iter().enumerate() {
        while let Some(bucket) = buckets.next_if(|bucket| time.is_none_or(|time| *bucket < time)) {
            rows.push(None);
            at.push(Some(bucket));
        }
        buckets.next_if(|bucket| Some(*bucket) == time);
        rows.push(Some(row as u32));
        at.push(time);
    }
    rows.resize(rows.len() + buckets.len(), None);
    at.extend(buckets.map(Some));
    (rows, at)
}

fn last(places: &UInt32Array, values: &ArrayRef, skips_null: bool) -> UInt32Array {
    let mut last = None;
    let last = places.iter().map(|place| {
        if let Some(place) = place
            && (!skips_null || values.is_valid(place as usize))
        {
            last = Some(place);
        }
        last
    });
    last.collect()
}

fn interpolated(places: &UInt32Array, at: &[Option<i64>], values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float64 => along::<Float64Type>(places, at, values, of_doubles),
        DataType::Float32 => {
            along::<Float32Type>(places, at, values, |line, x| of_doubles(line.map(f64::from), x) as f32)
        }
        DataType::Int64 => along::<Int64Type>(places, at, values, |line, x| of_integers(line, x) as i64),
        DataType::Int32 => {
            along::<Int32Type>(places, at, values, |line, x| of_integers(line.map(i64::from), x) as i32)
        }
        DataType::Int16 => {
            along::<Int16Type>(places, at, values, |line, x| of_integers(line.map(i64::from), x) as i16)
        }
        other => {
            let message = format!("{INTERPOLATE}() takes integers and doubles, not {other}");
            return Err(raised("0A000", message));
        }
    })
}

/// From one point to another.
#[derive(Clone, Copy)]
struct Line<T> {
    from: (i64, T),
    to: (i64, T),
}

impl<T> Line<T> {
    fn map<U>(self, change: impl Fn(T) -> U) -> Line<U> {
        let Line { from, to } = self;
        Line { from: (from.0, change(from.1)), to: (to.0, change(to.1)) }
    }
}

fn of_doubles(Line { from, to }: Line<f64>, x: i64) -> f64 {
    let share = x.abs_diff(from.0) as f64 / to.0.abs_diff(from.0) as f64;
    from.1 * (1.0 - share) + to.1 * share
}

/// Towards zero, as TimescaleDB divides. The result is between both values.
fn of_integers(Line { from, to }: Line<i64>, x: i64) -> i128 {
    let (left, right) = (i128::from(x) - i128::from(from.0), i128::from(to.0) - i128::from(x));
    let whole = (i128::from(to.0) - i128::from(from.0)).max(1);
    // Less than 2^63 times 2^64, as the sum is no more than the larger value times the whole.
    (i128::from(from.1) * right + i128::from(to.1) * left) / whole
}

fn along<T: ArrowPrimitiveType>(
    places: &UInt32Array,
    at: &[Option<i64>],
    values: &ArrayRef,
    of: impl Fn(Line<T::Native>, i64) -> T::Native,
) -> ArrayRef {
    let values = values.as_primitive::<T>();
    let point = |row: usize| {
        let place = places.is_valid(row).then(|| places.value(row) as usize)?;
        Some((at[row]?, values.is_valid(place).then(|| values.value(place))?))
    };
    let mut filled = Vec::with_capacity(at.len());
    let mut from = None;
    while filled.len() < at.len() {
        let row = filled.len();
        if places.is_valid(row) {
            from = point(row);
            filled.push(from.map(|(_, value)| value));
            continue;
        }
        // As far as rows are missing.
        let next = (row..at.len()).find(|row| places.is_valid(*row)).unwrap_or(at.len());
        let to = if next < at.len() { point(next) } else { None };
        let line = from.zip(to).map(|(from, to)| Line { from, to });
        filled.extend(at[row..next].iter().map(|x| Some(of(line?, (*x)?))));
    }
    Arc::new(filled.into_iter().collect::<PrimitiveArray<T>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};
    use arrow::datatypes::{Field, Schema, TimeUnit};

    type Row = (Option<i64>, Option<f64>);

    fn filled(rows: &[Row], buckets: &[i64], filling: Filling) -> Vec<Row> {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("host", DataType::Utf8, true),
            Field::new("bucket", time, true),
            Field::new("value", DataType::Float64, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["a"; rows.len()])),
            Arc::new(rows.iter().map(|row| row.0).collect::<TimestampNanosecondArray>().with_timezone("+00:00")),
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        ];
        let group = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let shape = Shape { schema, bucket: 1, groups: 2, fillings: vec![filling] };
        let filled = fill(&group, &shape, buckets).unwrap();
        assert_eq!(filled.column(0).null_count(), 0);
        let times = filled.column(1).as_primitive::<TimestampNanosecondType>().iter();
        times.zip(filled.column(2).as_primitive::<Float64Type>().iter()).collect()
    }

    const BUCKETS: [i64; 5] = [10, 20, 30, 40, 50];

    #[test]
    fn rows_that_are_missing_are_made() {
        let rows = [(Some(20), Some(2.0)), (Some(40), None)];
        let times: Vec<_> = filled(&rows, &BUCKETS, Filling::Nothing).into_iter().map(|row| row.0).collect();
        assert_eq!(times, BUCKETS.map(Some));
        // What is not among the buckets stays, and so does a time that is NULL.
        let rows = [(Some(5), Some(1.0)), (Some(60), Some(6.0)), (None, Some(0.0))];
        let times: Vec<_> = filled(&rows, &[10, 20], Filling::Nothing).into_iter().map(|row| row.0).collect();
        assert_eq!(times, [Some(5), Some(10), Some(20), Some(60), None]);
        assert_eq!(filled(&rows, &[], Filling::Nothing), rows);
    }

    #[test]
    fn values_are_carried_forward() {
        let rows = [(Some(20), Some(2.0)), (Some(40), None)];
        let values = |filling| filled(&rows, &BUCKETS, filling).into_iter().map(|row| row.1).collect::<Vec<_>>();
        assert_eq!(values(Filling::Last { skips_null: false }), [None, Some(2.0), Some(2.0), None, None]);
        assert_eq!(values(Filling::Last { skips_null: true }), [None, Some(2.0), Some(2.0), Some(2.0), Some(2.0)]);
    }

    #[test]
    fn values_are_interpolated() {
        let values = |rows: &[Row]| {
            filled(rows, &BUCKETS, Filling::Interpolated).into_iter().map(|row| row.1).collect::<Vec<_>>()
        };
        let ends = [(Some(10), Some(1.0)), (Some(50), Some(5.0))];
        assert_eq!(values(&ends), [1.0, 2.0, 3.0, 4.0, 5.0].map(Some));
        let middle = [(Some(20), Some(2.0)), (Some(40), None)];
        assert_eq!(values(&middle), [None, Some(2.0), None, None, None]);
        let line = |from: i64, to: i64| Line { from: (0, from), to: (3, to) };
        assert_eq!(of_integers(line(i64::MIN, i64::MAX), 1), (2 * i128::from(i64::MIN) + i128::from(i64::MAX)) / 3);
        assert_eq!(of_integers(line(0, -10), 1), -3);
        assert!(of_doubles(Line { from: (0, f64::MAX), to: (3, -f64::MAX) }, 1).is_finite());
    }
}

//! `generate_series(start, stop [, step])` as an array, of which `unnest` makes rows: integers, and times whose steps of days
//! and months are those of the clocks of a session.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, ListArray, ListBuilder, TimestampNanosecondArray,
    TimestampNanosecondBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::exec_err;
use datafusion::error::Result;

use super::intervals::{INTERVAL, moved};
use super::plain::{Row, is_text, text};
use super::time_text::Kind;
use super::zoned::utc;
use crate::engine::sql::datetime::interval;
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::state::raised;

/// What a call makes of a batch of rows at most.
const MAX_VALUES: usize = (32 << 20) / size_of::<i64>();
const SECOND_NS: i64 = 1_000_000_000;

pub static ROWS: [Row; 1] = [Row { of_session: true, ..Row::new("generate_series", takes, returns, series) }];

/// What is written as a text is read in the zone of the session, and a date is midnight there.
fn takes(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_number = |of: &DataType| of.is_integer() || of.is_null();
    if (2..=3).contains(&types.len()) && types.iter().all(is_number) {
        return Some(vec![DataType::Int64; types.len()]);
    }
    let [start, stop, step] = types else { return None };
    let is_time = |of: &DataType| matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let takes = |of: &DataType| match of {
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Nanosecond, zone.as_ref().and(utc()))),
        DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
        of if is_text(of) => Some(DataType::Utf8),
        _ => None,
    };
    let step = match step {
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        of if is_text(of) => DataType::Utf8,
        _ => return None,
    };
    (is_time(start) || is_time(stop)).then_some(())?;
    Some(vec![takes(start)?, takes(stop)?, step])
}

/// Times without a zone are between such alone.
fn is_local(types: &[DataType]) -> bool {
    let ends = || types.iter().take(2);
    ends().any(|of| matches!(of, DataType::Timestamp(_, None)))
        && !ends().any(|of| matches!(of, DataType::Timestamp(_, Some(_))))
}

fn returns(types: &[DataType]) -> DataType {
    let of = match types.first() {
        Some(DataType::Int64) => DataType::Int64,
        _ => DataType::Timestamp(TimeUnit::Nanosecond, if is_local(types) { None } else { utc() }),
    };
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

fn series(args: &[ArrayRef], now: Now) -> Result<ArrayRef> {
    let is_number = args.iter().all(|arg| *arg.data_type() == DataType::Int64);
    if is_number { numbers(args) } else { times(args, now) }
}

fn zero() -> datafusion::error::DataFusionError {
    raised("22023", "step size cannot equal zero")
}

fn check(values: usize) -> Result<()> {
    match values > MAX_VALUES {
        true => {
            exec_err!("generate_series() would make {values} values of a batch of rows, more than 32 MiB")
        }
        false => Ok(()),
    }
}

fn numbers(args: &[ArrayRef]) -> Result<ArrayRef> {
    let column = |at: usize| args.get(at).map(|of| of.as_primitive::<Int64Type>());
    let (Some(starts), Some(stops)) = (column(0), column(1)) else {
        return exec_err!("generate_series() of nothing");
    };
    let steps = column(2);
    let (mut lists, mut values) = (ListBuilder::new(Int64Builder::new()), 0);
    for row in 0..starts.len() {
        if args.iter().any(|arg| arg.is_null(row)) {
            lists.append(false);
            continue;
        }
        let (start, stop) = (starts.value(row), stops.value(row));
        let step = steps.map_or(1, |steps| steps.value(row));
        if step == 0 {
            return Err(zero());
        }
        let between = (i128::from(stop) - i128::from(start)) / i128::from(step);
        let is_any = if step > 0 { start <= stop } else { start >= stop };
        if is_any {
            let count = usize::try_from(between + 1).unwrap_or(usize::MAX);
            values = count.saturating_add(values);
            check(values)?;
            // What is between is in range, whatever a factor is.
            let value = |i: i64| Some(start.wrapping_add(i.wrapping_mul(step)));
            lists.values().extend((0..count as i64).map(value));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// A column of times as nanoseconds; what has no zone is of the session where the series has one.
fn ends(array: &ArrayRef, local: bool, now: Now) -> Result<TimestampNanosecondArray> {
    let kind = if local { Kind::Timestamp } else { Kind::Timestamptz };
    if *array.data_type() == DataType::Utf8 {
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let read = |of: Option<&str>| -> Result<Option<i64>> {
            let Some(of) = of else { return Ok(None) };
            let array = kind.read(of, now)?.to_array()?;
            let array = in_range(&array, &nanoseconds)?;
            Ok(Some(array.as_primitive::<TimestampNanosecondType>().value(0)))
        };
        return text(array).iter().map(read).collect();
    }
    let is_of_clocks = !matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let times = in_range(array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
    let times = times.as_primitive::<TimestampNanosecondType>();
    Ok(match is_of_clocks && !local {
        true => times.unary(|time| {
            let away = now.zone.offset_of_local(time.div_euclid(SECOND_NS));
            time.saturating_sub(i64::from(away) * SECOND_NS)
        }),
        false => times.clone(),
    })
}

/// Times as another type of them. Of what is out of its range a cast would make NULLs.
fn in_range(times: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    let made = cast(times, kind)?;
    match made.null_count() == times.null_count() {
        true => Ok(made),
        false => Err(raised("22008", "timestamp out of range")),
    }
}

fn steps(array: &ArrayRef) -> Result<Vec<Option<IntervalMonthDayNano>>> {
    match array.data_type() {
        DataType::Utf8 => text(array).iter().map(|of| of.map(|of| interval::read(of, "")).transpose()).collect(),
        _ => Ok(array.as_primitive::<IntervalMonthDayNanoType>().iter().collect()),
    }
}

fn times(args: &[ArrayRef], now: Now) -> Result<ArrayRef> {
    let types: Vec<DataType> = args.iter().map(|arg| arg.data_type().clone()).collect();
    let [start, stop, step] = args else { return exec_err!("generate_series() of times takes a step") };
    let local = is_local(&types);
    let (starts, stops, steps) = (ends(start, local, now)?, ends(stop, local, now)?, steps(step)?);
    let zone = (!local).then_some(now.zone);
    let (mut lists, mut values) = (ListBuilder::new(TimestampNanosecondBuilder::new()), 0);
    for (row, step) in steps.into_iter().enumerate() {
        let (false, false, Some(step)) = (starts.is_null(row), stops.is_null(row), step) else {
            lists.append(false);
            continue;
        };
        let length = interval::length(step);
        if length == 0 {
            return Err(zero());
        }
        let (mut time, stop) = (starts.value(row), stops.value(row));
        while if length > 0 { time <= stop } else { time >= stop } {
            values += 1;
            check(values)?;
            lists.values().append_value(time);
            time = moved(time, step, false, zone)?;
        }
        lists.append(true);
    }
    let made: ListArray = lists.finish();
    Ok(cast(&made, &returns(&types))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    #[test]
    fn of_numbers() {
        let of = |args: [i64; 3]| -> Result<Vec<i64>> {
            let args = args.map(|arg| Arc::new(Int64Array::from(vec![arg])) as ArrayRef);
            let list = numbers(&args)?;
            let list = list.as_list::<i32>().value(0);
            Ok(list.as_primitive::<Int64Type>().values().to_vec())
        };
        assert_eq!(of([1, 7, 3]).unwrap(), [1, 4, 7]);
        assert_eq!(of([3, 1, -2]).unwrap(), [3, 1]);
        assert!(of([3, 1, 1]).unwrap().is_empty());
        assert_eq!(of([i64::MAX - 1, i64::MAX, 1]).unwrap(), [i64::MAX - 1, i64::MAX]);
        assert!(of([1, 2, 0]).unwrap_err().to_string().contains("step size"));
        assert!(of([i64::MIN, i64::MAX, 1]).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn of_times_that_are_texts() {
        let now = Now { zone: crate::engine::sql::zone::Zone::UTC, micros: 0 };
        let start: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![0]));
        let texts = ["1970-01-03", "1 day"].map(|of| Arc::new(StringArray::from(vec![of])) as ArrayRef);
        let [stop, step] = texts;
        let list = times(&[Arc::clone(&start), Arc::clone(&stop), step], now).unwrap();
        assert_eq!(list.as_list::<i32>().value(0).len(), 3);
        let none: ArrayRef = Arc::new(StringArray::from(vec!["0 days"]));
        assert!(times(&[start, stop, none], now).is_err());
    }
}

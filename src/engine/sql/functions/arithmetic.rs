//! Functions of numbers that DataFusion lacks: `sign`, `mod`, `div`, `width_bucket`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::plain::{Row, numbers};
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::state::raised;

pub static ROWS: [Row; 4] = [
    Row::new(
        "sign",
        |types| numbers(types, 1),
        |_| DataType::Float64,
        |args, _| {
            // Of NaN it is 0.
            let sign = |of: f64| f64::from(i8::from(of > 0.0) - i8::from(of < 0.0));
            let signs: Float64Array = args[0].as_primitive::<Float64Type>().unary(sign);
            Ok(Arc::new(signs))
        },
    ),
    Row::new("mod", of_two, same, |args, _| of_pairs(args, |a, b| a.checked_rem(b).unwrap_or(0), |a, b| a % b)),
    Row::new("div", of_two, same, |args, _| {
        // The one that is out of range is refused before.
        of_pairs(args, |a, b| a.checked_div(b).unwrap_or(i64::MAX), |a, b| (a / b).trunc())
    }),
    Row::new("width_bucket", of_bounds, |_| DataType::Int32, width_bucket),
];

/// Integers as integers, of four bytes where both are.
fn of_two(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_narrow = |of: &DataType| matches!(of, DataType::Int8 | DataType::Int16 | DataType::Int32);
    match types {
        [one, other] if is_narrow(one) && is_narrow(other) => Some(vec![DataType::Int32; 2]),
        [one, other] if one.is_integer() && other.is_integer() => Some(vec![DataType::Int64; 2]),
        _ => numbers(types, 2),
    }
}

fn same(types: &[DataType]) -> DataType {
    types.first().cloned().unwrap_or(DataType::Null)
}

fn of_pairs(args: &[ArrayRef], whole: fn(i64, i64) -> i64, real: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let [one, other] = args else { return internal_err!("a function of two numbers") };
    let by_zero = || raised("22012", "division by zero");
    Ok(match one.data_type() {
        DataType::Int32 => {
            let wide = [cast(one, &DataType::Int64)?, cast(other, &DataType::Int64)?];
            let pairs = of_pairs(&wide, whole, real)?;
            let narrow = |of: i64| i32::try_from(of).map_err(|_| raised("22003", "integer out of range"));
            let pairs: Int32Array = pairs.as_primitive::<Int64Type>().try_unary(narrow)?;
            Arc::new(pairs)
        }
        DataType::Int64 => {
            let pairs = one.as_primitive::<Int64Type>().iter().zip(other.as_primitive::<Int64Type>());
            let of = |pair| match pair {
                (Some(_), Some(0)) => Err(by_zero()),
                (Some(i64::MIN), Some(-1)) if whole(i64::MIN, -1) != 0 => {
                    Err(raised("22003", "bigint out of range"))
                }
                (Some(one), Some(other)) => Ok(Some(whole(one, other))),
                _ => Ok(None),
            };
            Arc::new(pairs.map(of).collect::<Result<Int64Array>>()?)
        }
        _ => {
            let pairs = one.as_primitive::<Float64Type>().iter().zip(other.as_primitive::<Float64Type>());
            let of = |pair| match pair {
                (Some(_), Some(0.0)) => Err(by_zero()),
                (Some(one), Some(other)) => Ok(Some(real(one, other))),
                _ => Ok(None),
            };
            Arc::new(pairs.map(of).collect::<Result<Float64Array>>()?)
        }
    })
}

/// `(operand, low, high, count)` or `(operand, thresholds)`.
fn of_bounds(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_number = |of: &DataType| of.is_numeric() || of.is_null();
    match types {
        [of, low, high, count] if [of, low, high, count].into_iter().all(is_number) => {
            Some(vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int32])
        }
        [of, DataType::List(item)] if is_number(of) && is_number(item.data_type()) => {
            Some(vec![DataType::Float64, DataType::new_list(DataType::Float64, true)])
        }
        _ => None,
    }
}

fn width_bucket(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let of = args[0].as_primitive::<Float64Type>();
    let is_null = |row| args.iter().any(|arg| arg.is_null(row));
    let buckets = match args {
        [_, lows, highs, counts] => {
            let (lows, highs) = (lows.as_primitive::<Float64Type>(), highs.as_primitive::<Float64Type>());
            let counts = counts.as_primitive::<Int32Type>();
            let bucket = |row| match is_null(row) {
                true => Ok(None),
                false => bucket(of.value(row), lows.value(row), highs.value(row), counts.value(row)).map(Some),
            };
            (0..of.len()).map(bucket).collect::<Result<Int32Array>>()?
        }
        [_, thresholds] => {
            let thresholds = thresholds.as_list::<i32>();
            let bucket = |row| {
                if is_null(row) {
                    return Ok(None);
                }
                let list = thresholds.value(row);
                let list = list.as_primitive::<Float64Type>();
                if list.null_count() > 0 {
                    return Err(raised("22004", "thresholds array must not contain NULLs"));
                }
                // One NaN equals another, and is above all numbers.
                let is_below = |low: &f64| of.value(row).is_nan() || *low <= of.value(row);
                Ok(Some(list.values().partition_point(is_below) as i32))
            };
            (0..of.len()).map(bucket).collect::<Result<Int32Array>>()?
        }
        _ => return internal_err!("width_bucket() takes two or four arguments"),
    };
    Ok(Arc::new(buckets))
}

/// After PostgreSQL's `width_bucket_float8`.
fn bucket(of: f64, low: f64, high: f64, count: i32) -> Result<i32> {
    let wrong = |what: &str| raised("2201G", what);
    if count <= 0 {
        return Err(wrong("count must be greater than zero"));
    }
    if of.is_nan() || low.is_nan() || high.is_nan() {
        return Err(wrong("operand, lower bound, and upper bound cannot be NaN"));
    }
    if !low.is_finite() || !high.is_finite() {
        return Err(wrong("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(wrong("lower bound cannot equal upper bound"));
    }
    let (from_low, range, is_past) = match low < high {
        true => (of - low, high - low, of >= high),
        false => (low - of, low - high, of <= high),
    };
    if from_low < 0.0 {
        return Ok(0);
    }
    let after = count.checked_add(1).ok_or_else(|| raised("22003", "integer out of range"))?;
    if is_past {
        return Ok(after);
    }
    // Of halves, where the range is more than a double can tell.
    let part = if range.is_finite() { from_low / range } else { (from_low / 2.0) / (range / 2.0) };
    Ok(((f64::from(count) * part) as i32 + 1).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn buckets() {
        for ((of, low, high), expected) in [
            ((5.0, 0.0, 10.0), 3),
            ((-1.0, 0.0, 10.0), 0),
            ((11.0, 0.0, 10.0), 6),
            ((10.0, 0.0, 10.0), 6),
            ((5.0, 10.0, 0.0), 3),
            ((f64::INFINITY, 0.0, 10.0), 6),
        ] {
            assert_eq!(bucket(of, low, high, 5).unwrap(), expected, "{of}");
        }
        assert!(bucket(1.0, 0.0, 0.0, 5).is_err());
        assert!(bucket(f64::NAN, 0.0, 1.0, 5).is_err());
        assert!(bucket(1.0, 0.0, 1.0, 0).is_err());
        assert!(bucket(2.0, 0.0, 1.0, i32::MAX).is_err());
    }
}

//! Arithmetic with intervals, under the names that PostgreSQL's functions have. Sessions do not know them: operators are
//! planned as calls of them.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, IntervalMonthDayNanoArray, StringBuilder,
    TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use chrono::{DateTime, Days, Months};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::on_arrays;
use super::zoned::{units_per_second, utc};
use crate::engine::sql::datetime::interval::{self, MICRO_NS};
use crate::engine::sql::datetime::write;
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

pub const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// Of [`Operation::Length`]: ten digits of days, fourteen of nanoseconds, and room.
const LENGTH: DataType = DataType::Decimal128(38, 0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `time + interval`
    Plus,
    /// `time - interval`
    Minus,
    /// `time - time`
    Between,
    /// `interval * number`
    Times,
    /// `interval / number`
    Divided,
    /// What intervals are compared by.
    Length,
    /// Of a text.
    Read,
    /// As a text.
    Write,
    /// The longest of some.
    Greatest,
    /// The shortest of some.
    Least,
}

const OPERATIONS: [(&str, Operation); 10] = [
    ("timestamp_pl_interval", Operation::Plus),
    ("timestamp_mi_interval", Operation::Minus),
    ("timestamp_mi", Operation::Between),
    ("interval_mul", Operation::Times),
    ("interval_div", Operation::Divided),
    ("interval_length", Operation::Length),
    ("interval_in", Operation::Read),
    ("interval_out", Operation::Write),
    ("interval_larger", Operation::Greatest),
    ("interval_smaller", Operation::Least),
];

impl Operation {
    pub fn function(self) -> &'static ScalarUDF {
        static FUNCTIONS: LazyLock<Vec<ScalarUDF>> = LazyLock::new(|| {
            let udf = |(name, operation): (&'static str, Operation)| {
                let volatility = match operation {
                    Operation::Plus | Operation::Minus => Volatility::Stable,
                    _ => Volatility::Immutable,
                };
                let signature = Signature::user_defined(volatility);
                ScalarUDF::new_from_impl(Arithmetic { name, operation, signature })
            };
            OPERATIONS.map(udf).into()
        });
        &FUNCTIONS[self as usize]
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = |time: &DataType| match time {
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            _ => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        };
        match (self.operation, types) {
            (Operation::Plus | Operation::Minus, [of, _]) => Ok(vec![time(of), INTERVAL]),
            (Operation::Between, [first, second]) => Ok(vec![time(first), time(second)]),
            (Operation::Times | Operation::Divided, [_, _]) => Ok(vec![INTERVAL, DataType::Float64]),
            (Operation::Length | Operation::Write, [_]) => Ok(vec![INTERVAL]),
            (Operation::Read, [_]) => Ok(vec![DataType::Utf8]),
            (Operation::Greatest | Operation::Least, of) => Ok(vec![INTERVAL; of.len()]),
            _ => plan_err!("{}() of {} arguments", self.name, types.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.operation {
            Operation::Plus | Operation::Minus => types[0].clone(),
            Operation::Length => LENGTH,
            Operation::Write => DataType::Utf8,
            _ => INTERVAL,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = zone::of(&args.config_options);
        on_arrays::computed(&args, |arrays| self.of(arrays, zone))
    }
}

impl Arithmetic {
    fn of(&self, arrays: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
        let intervals = |array: &ArrayRef| array.as_primitive::<IntervalMonthDayNanoType>().clone();
        match (self.operation, arrays) {
            (Operation::Greatest | Operation::Least, arrays) => {
                let columns: Vec<_> = arrays.iter().map(intervals).collect();
                let sign = if self.operation == Operation::Greatest { -1 } else { 1 };
                // The first of those that are equal, and no NULL where there is an interval.
                let found = (0..columns.first().map_or(0, Array::len)).map(|row| {
                    let values =
                        columns.iter().filter(|column| column.is_valid(row)).map(|column| column.value(row));
                    values.min_by_key(|of| sign * interval::length(*of))
                });
                Ok(Arc::new(found.collect::<IntervalMonthDayNanoArray>()))
            }
            (Operation::Plus | Operation::Minus, [times, away]) => {
                let DataType::Timestamp(_, has_zone) = times.data_type() else {
                    return internal_err!("{}() of {}", self.name, times.data_type());
                };
                let zone = has_zone.as_ref().map(|_| zone);
                let back = self.operation == Operation::Minus;
                let (times, away) = (times.as_primitive::<TimestampNanosecondType>(), intervals(away));
                let moved = times.iter().zip(away.iter()).map(|pair| match pair {
                    (Some(time), Some(away)) => moved(time, away, back, zone).map(Some),
                    _ => Ok(None),
                });
                let moved = moved.collect::<Result<TimestampNanosecondArray>>()?;
                Ok(Arc::new(moved.with_timezone_opt(has_zone.clone())))
            }
            (Operation::Between, [first, second]) => {
                let (first, second) = (nanoseconds(first)?, nanoseconds(second)?);
                let between = first.into_iter().zip(second).map(|pair| match pair {
                    (Some(first), Some(second)) => interval::between(first - second).map(Some),
                    _ => Ok(None),
                });
                Ok(Arc::new(between.collect::<Result<IntervalMonthDayNanoArray>>()?))
            }
            (Operation::Times | Operation::Divided, [of, by]) => {
                let scale = if self.operation == Operation::Times { interval::times } else { interval::divided };
                let (of, by): (_, Float64Array) = (intervals(of), by.as_primitive::<Float64Type>().clone());
                let scaled = of.iter().zip(by.iter()).map(|pair| match pair {
                    (Some(of), Some(by)) => scale(of, by).map(Some),
                    _ => Ok(None),
                });
                Ok(Arc::new(scaled.collect::<Result<IntervalMonthDayNanoArray>>()?))
            }
            (Operation::Length, [of]) => {
                let lengths: Decimal128Array = intervals(of).iter().map(|of| of.map(interval::length)).collect();
                Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
            }
            (Operation::Read, [texts]) => {
                let read = |text: Option<&str>| text.map(|text| interval::read(text, "")).transpose();
                let read =
                    texts.as_string::<i32>().iter().map(read).collect::<Result<IntervalMonthDayNanoArray>>()?;
                Ok(Arc::new(read))
            }
            (Operation::Write, [of]) => {
                let (mut out, mut text) = (StringBuilder::new(), String::new());
                for of in &intervals(of) {
                    text.clear();
                    if let Some(of) = of {
                        write::interval(&mut text, of.months, of.days, of.nanoseconds / MICRO_NS);
                    }
                    out.append_option(of.map(|_| &text));
                }
                Ok(Arc::new(out.finish()))
            }
            _ => internal_err!("{}() of {} arguments", self.name, arrays.len()),
        }
    }
}

/// Of any unit.
fn nanoseconds(times: &ArrayRef) -> Result<Vec<Option<i128>>> {
    let DataType::Timestamp(unit, _) = times.data_type() else {
        return internal_err!("a time that is {}", times.data_type());
    };
    let factor = i128::from(1_000_000_000 / units_per_second(*unit));
    let numbers = cast(times, &DataType::Int64)?;
    Ok(numbers.as_primitive::<Int64Type>().iter().map(|time| time.map(|time| i128::from(time) * factor)).collect())
}

/// Months and days are those that clocks of the zone show, time is what passes.
pub(super) fn moved(nanoseconds: i64, away: IntervalMonthDayNano, back: bool, zone: Option<Zone>) -> Result<i64> {
    let out_of_range = || raised("22008", "timestamp out of range");
    let mut time = nanoseconds;
    if away.months != 0 || away.days != 0 {
        let zone = zone.unwrap_or(Zone::UTC);
        let offset = i64::from(zone.offset_at(time.div_euclid(1_000_000_000)));
        let local = time.checked_add(offset * 1_000_000_000).ok_or_else(out_of_range)?;
        let shown = DateTime::from_timestamp_nanos(local).naive_utc();
        let months = Months::new(away.months.unsigned_abs());
        let shown = match (away.months < 0) == back {
            true => shown.checked_add_months(months),
            false => shown.checked_sub_months(months),
        };
        let days = Days::new(away.days.unsigned_abs().into());
        let shown = shown.and_then(|shown| match (away.days < 0) == back {
            true => shown.checked_add_days(days),
            false => shown.checked_sub_days(days),
        });
        let local = shown.and_then(|shown| shown.and_utc().timestamp_nanos_opt()).ok_or_else(out_of_range)?;
        let offset = i64::from(zone.offset_of_local(local.div_euclid(1_000_000_000)));
        time = local.checked_sub(offset * 1_000_000_000).ok_or_else(out_of_range)?;
    }
    let moved = if back { time.checked_sub(away.nanoseconds) } else { time.checked_add(away.nanoseconds) };
    moved.ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::datetime::read::{self, Now};
    use chrono_tz::Tz;

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn over_the_days_clocks_are_set() {
        let zone = Zone::Named(Tz::Europe__Berlin);
        let check = |time: &str, away: &str, back: bool, expected: &str| {
            let time = read::timestamptz(time, Now { zone, micros: 0 }).unwrap() * 1000;
            let away = interval::read(away, "").unwrap();
            let mut out = String::new();
            write::timestamptz(&mut out, moved(time, away, back, Some(zone)).unwrap() / 1000, zone);
            assert_eq!(out, expected);
        };
        check("2026-03-28 12:00", "1 day", false, "2026-03-29 12:00:00+02");
        check("2026-03-28 12:00", "24 hours", false, "2026-03-29 13:00:00+02");
        check("2026-10-24 12:00", "1 day", false, "2026-10-25 12:00:00+01");
        check("2026-05-31 12:00", "3 months", true, "2026-02-28 12:00:00+01");
        check("2026-03-01 12:00", "-1 mon 1 day", true, "2026-03-31 12:00:00+02");
    }
}

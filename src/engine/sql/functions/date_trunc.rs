//! `date_trunc(unit, time [, zone])`: in the zone of the session, or the one that is named.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use chrono::{Datelike, NaiveDate};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::plain::is_text;
use super::zoned::{units_per_second, utc};
use crate::engine::sql::datetime::read::date_of;
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

const DAY_S: i64 = 86_400;
/// From the epoch, a Thursday, back to Monday.
const MONDAY_DAYS: i64 = -3;

pub fn date_trunc() -> ScalarUDF {
    ScalarUDF::new_from_impl(DateTrunc { signature: Signature::user_defined(Volatility::Stable) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    /// So many months, counted from the first year; decades from year 0.
    Months(i64),
}

impl Unit {
    fn named(name: &str, of: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().trim_end_matches('s') {
            "microsecond" | "usec" | "u" => Unit::Microsecond,
            "millisecond" | "msec" | "m" => Unit::Millisecond,
            "second" | "sec" => Unit::Second,
            "minute" | "min" => Unit::Minute,
            "hour" | "hr" => Unit::Hour,
            "day" => Unit::Day,
            "week" => Unit::Week,
            "month" | "mon" => Unit::Months(1),
            "quarter" | "qtr" => Unit::Months(3),
            "year" | "yr" => Unit::Months(12),
            "decade" => Unit::Months(120),
            "century" | "centurie" => Unit::Months(1_200),
            "millennium" | "millennia" => Unit::Months(12_000),
            _ => return Err(raised("22023", format!("unit \"{name}\" not recognized for type {of}"))),
        })
    }

    /// Of a time in so many units a second, as clocks show it.
    fn of_local(self, time: i64, per: i64) -> Option<i64> {
        let floor = |step: i64, from: i64| Some((time - from).div_euclid(step) * step + from);
        match self {
            Unit::Microsecond => floor((per / 1_000_000).max(1), 0),
            Unit::Millisecond => floor((per / 1_000).max(1), 0),
            Unit::Second => floor(per, 0),
            Unit::Minute => floor(60 * per, 0),
            Unit::Hour => floor(3_600 * per, 0),
            Unit::Day => floor(DAY_S * per, 0),
            Unit::Week => floor(7 * DAY_S * per, MONDAY_DAYS * DAY_S * per),
            Unit::Months(months) => {
                let date = date_of(time.div_euclid(DAY_S * per))?;
                let year = i64::from(date.year());
                let (year, month) = match months {
                    12_000 => ((year - 1).div_euclid(1000) * 1000 + 1, 1),
                    1_200 => ((year - 1).div_euclid(100) * 100 + 1, 1),
                    120 => (year.div_euclid(10) * 10, 1),
                    months => (year, i64::from(date.month0()) / months * months + 1),
                };
                let first = NaiveDate::from_ymd_opt(year as i32, month as u32, 1)?;
                let days = i64::from(first.num_days_from_ce()) - 719_163;
                days.checked_mul(DAY_S * per)
            }
        }
    }

    /// Of a time in a zone, or of one without any.
    fn of(self, time: i64, per: i64, zone: Option<Zone>) -> Option<i64> {
        let Some(zone) = zone.filter(|zone| !zone.is_utc()) else { return self.of_local(time, per) };
        let offset = i64::from(zone.offset_at(time.div_euclid(per)));
        let local = self.of_local(time.checked_add(offset * per)?, per)?;
        // Within an hour clocks are not set, but for the one that comes twice: it stays the one it is.
        let offset = match self >= Unit::Day {
            true => i64::from(zone.offset_of_local(local.div_euclid(per))),
            false => offset,
        };
        local.checked_sub(offset * per)
    }

    fn of_interval(self, of: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
        let floor = |step: i64| of.nanoseconds - of.nanoseconds % step;
        let (months, days, nanoseconds) = match self {
            Unit::Microsecond => (of.months, of.days, floor(1_000)),
            Unit::Millisecond => (of.months, of.days, floor(1_000_000)),
            Unit::Second => (of.months, of.days, floor(1_000_000_000)),
            Unit::Minute => (of.months, of.days, floor(60_000_000_000)),
            Unit::Hour => (of.months, of.days, floor(3_600_000_000_000)),
            Unit::Day => (of.months, of.days, 0),
            Unit::Week => return None,
            Unit::Months(months) => (of.months - of.months % months as i32, 0, 0),
        };
        Some(IntervalMonthDayNano { months, days, nanoseconds })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    signature: Signature,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }

    /// DataFusion's has that as well, and would take the name back when a session is made of another.
    fn aliases(&self) -> &[String] {
        static ALIASES: LazyLock<[String; 1]> = LazyLock::new(|| ["datetrunc".to_string()]);
        &*ALIASES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = |time: &DataType| match time {
            DataType::Timestamp(unit, None) => Ok(DataType::Timestamp(*unit, None)),
            DataType::Timestamp(unit, Some(_)) => Ok(DataType::Timestamp(*unit, utc())),
            DataType::Interval(_) | DataType::Duration(_) => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
            DataType::Date32 | DataType::Date64 | DataType::Null => {
                Ok(DataType::Timestamp(TimeUnit::Nanosecond, utc()))
            }
            of if is_text(of) => Ok(DataType::Timestamp(TimeUnit::Nanosecond, utc())),
            other => plan_err!("date_trunc() takes a time, not {other}"),
        };
        match types {
            [unit, of] if is_text(unit) => Ok(vec![DataType::Utf8, time(of)?]),
            [unit, of, zone] if is_text(unit) && is_text(zone) => {
                Ok(vec![DataType::Utf8, time(of)?, DataType::Utf8])
            }
            _ => plan_err!("date_trunc() takes (unit, time) or (unit, time, zone)"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), args.arg_fields[1].data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let text = |arg: &ColumnarValue| match arg {
            ColumnarValue::Scalar(value) => Ok(value.try_as_str().flatten().map(str::to_string)),
            ColumnarValue::Array(_) => plan_err!("the unit and the zone of date_trunc() must be constants"),
        };
        let times = args.args[1].to_array(rows)?;
        let zone = match args.args.get(2) {
            Some(zone) => text(zone)?.map(|zone| Zone::of_text(&zone)).transpose()?,
            None => Some(zone::of(&args.config_options)),
        };
        let (Some(unit), Some(zone)) = (text(&args.args[0])?, zone) else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?));
        };
        let truncated = truncate(&unit, &times, zone)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&truncated, 0)?)),
            false => Ok(ColumnarValue::Array(truncated)),
        }
    }
}

fn truncate(unit: &str, times: &ArrayRef, zone: Zone) -> Result<ArrayRef> {
    let out_of_range = || raised("22008", "timestamp out of range");
    match times.data_type() {
        DataType::Timestamp(of, None) => {
            let unit = Unit::named(unit, "timestamp without time zone")?;
            numbers(times, |time| unit.of(time, units_per_second(*of), None).ok_or_else(out_of_range))
        }
        DataType::Timestamp(of, Some(_)) => {
            let unit = Unit::named(unit, "timestamp with time zone")?;
            numbers(times, |time| unit.of(time, units_per_second(*of), Some(zone)).ok_or_else(out_of_range))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let of = Unit::named(unit, "interval")?;
            let whole = |interval| {
                let message = || format!("unit \"{unit}\" not supported for type interval");
                of.of_interval(interval).ok_or_else(|| raised("0A000", message()))
            };
            let intervals = times.as_primitive::<IntervalMonthDayNanoType>();
            let whole: IntervalMonthDayNanoArray = intervals.try_unary(whole)?;
            Ok(Arc::new(whole))
        }
        other => internal_err!("date_trunc() of {other}"),
    }
}

fn numbers(times: &ArrayRef, of: impl Fn(i64) -> Result<i64>) -> Result<ArrayRef> {
    let numbers = cast(times, &DataType::Int64)?;
    let made: Int64Array = numbers.as_primitive::<Int64Type>().try_unary(of)?;
    Ok(cast(&made, times.data_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::datetime::read::{self, Now};
    use crate::engine::sql::datetime::write;
    use chrono_tz::Tz;

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn units() {
        let check = |unit: &str, time: &str, tz: Tz, expected: &str| {
            let zone = Zone::Named(tz);
            let time = read::timestamptz(time, Now { zone, micros: 0 }).unwrap();
            let truncated = Unit::named(unit, "x").unwrap().of(time, 1_000_000, Some(zone)).unwrap();
            let mut out = String::new();
            write::timestamptz(&mut out, truncated, zone);
            assert_eq!(out, expected, "{unit} {time}");
        };
        let berlin = Tz::Europe__Berlin;
        check("day", "2026-07-01 00:00Z", berlin, "2026-07-01 00:00:00+02");
        check("hour", "2026-10-25 00:30Z", berlin, "2026-10-25 02:00:00+02");
        check("hour", "2026-10-25 01:30Z", berlin, "2026-10-25 02:00:00+01");
        check("week", "2026-07-01 00:00Z", berlin, "2026-06-29 00:00:00+02");
        check("month", "2026-10-31 00:00Z", berlin, "2026-10-01 00:00:00+02");
        check("quarter", "2026-12-31 00:00Z", berlin, "2026-10-01 00:00:00+02");
        check("years", "2026-12-31 23:30Z", berlin, "2027-01-01 00:00:00+01");
        check("century", "2000-12-31", berlin, "1901-01-01 00:00:00+01");
        check("decade", "2019-12-31", berlin, "2010-01-01 00:00:00+01");
        check("hour", "2026-07-01 00:10Z", Tz::Asia__Kolkata, "2026-07-01 05:00:00+05:30");
        check("week", "1969-12-30 00:00Z", Tz::UTC, "1969-12-29 00:00:00+00");
        assert!(Unit::named("nope", "x").is_err());
    }
}

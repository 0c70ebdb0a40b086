//! `date_part(field, time)` and `EXTRACT(field FROM time)`, of a `timestamptz` in the zone of the session. Both are doubles
//! here, with fractions of seconds; PostgreSQL's `EXTRACT` is `numeric`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use chrono::{Datelike, NaiveDate};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::plain::is_text;
use super::zoned::{units_per_second, utc};
use crate::engine::sql::datetime::read::date_of;
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

const DAY_US: i64 = 86_400_000_000;

pub fn date_part() -> &'static ScalarUDF {
    static FUNCTION: LazyLock<ScalarUDF> = LazyLock::new(|| {
        ScalarUDF::new_from_impl(DatePart { signature: Signature::user_defined(Volatility::Stable) })
    });
    &FUNCTION
}

/// A time as clocks show it.
struct Shown {
    date: NaiveDate,
    /// Of the day.
    micros: i64,
    /// Seconds east of UTC.
    offset: i64,
}

impl Shown {
    fn new(local_micros: i64, offset: i64) -> Option<Self> {
        let date = date_of(local_micros.div_euclid(DAY_US))?;
        Some(Self { date, micros: local_micros.rem_euclid(DAY_US), offset })
    }

    fn field(&self, name: &str) -> Option<f64> {
        let (date, year) = (self.date, self.date.year());
        let number = |number: i64| Some(number as f64);
        match name {
            "day" | "days" => number(date.day().into()),
            "month" | "months" | "mon" | "mons" => number(date.month().into()),
            "quarter" | "quarters" | "qtr" => number((date.month0() / 3 + 1).into()),
            "year" | "years" => number(year.into()),
            "decade" | "decades" => number(year.div_euclid(10).into()),
            "century" | "centuries" => number(((year - 1).div_euclid(100) + 1).into()),
            "millennium" | "millennia" => number(((year - 1).div_euclid(1000) + 1).into()),
            "dow" => number(date.weekday().num_days_from_sunday().into()),
            "isodow" => number(date.weekday().number_from_monday().into()),
            "doy" => number(date.ordinal().into()),
            "week" | "weeks" => number(date.iso_week().week().into()),
            "isoyear" => number(date.iso_week().year().into()),
            "julian" => Some(f64::from(date.num_days_from_ce()) + 1_721_425.0 + self.micros as f64 / DAY_US as f64),
            _ => of_day(name, self.micros),
        }
    }

    fn of_zone(&self, name: &str) -> Option<f64> {
        match name {
            "timezone" => Some(self.offset as f64),
            "timezone_hour" => Some((self.offset / 3600) as f64),
            "timezone_minute" => Some((self.offset / 60 % 60) as f64),
            _ => None,
        }
    }
}

/// Hours and less.
fn of_day(name: &str, micros: i64) -> Option<f64> {
    Some(match name {
        "hour" | "hours" => (micros / 3_600_000_000) as f64,
        "minute" | "minutes" | "min" | "mins" => (micros / 60_000_000 % 60) as f64,
        "second" | "seconds" | "sec" | "secs" => (micros % 60_000_000) as f64 / 1e6,
        "millisecond" | "milliseconds" | "msec" | "ms" => (micros % 60_000_000) as f64 / 1e3,
        "microsecond" | "microseconds" | "usec" | "us" => (micros % 60_000_000) as f64,
        _ => return None,
    })
}

fn of_interval(name: &str, of: IntervalMonthDayNano) -> Option<f64> {
    let (years, months) = (i64::from(of.months / 12), i64::from(of.months % 12));
    let number = |number: i64| Some(number as f64);
    match name {
        "day" | "days" => number(of.days.into()),
        "month" | "months" | "mon" | "mons" => number(months),
        "quarter" | "quarters" | "qtr" => number(months / 3 + 1),
        "year" | "years" => number(years),
        "decade" | "decades" => number(years / 10),
        "century" | "centuries" => number(years / 100),
        "millennium" | "millennia" => number(years / 1000),
        "epoch" => {
            let days = years as f64 * 365.25 + months as f64 * 30.0 + f64::from(of.days);
            Some(days * 86_400.0 + (of.nanoseconds / 1_000) as f64 / 1e6)
        }
        _ => of_day(name, of.nanoseconds / 1_000),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    signature: Signature,
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        "date_part"
    }

    fn aliases(&self) -> &[String] {
        static ALIASES: LazyLock<[String; 1]> = LazyLock::new(|| ["datepart".to_string()]);
        &*ALIASES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [field, time] = types else { return plan_err!("date_part() takes a field and a time") };
        if !is_text(field) {
            return plan_err!("date_part() takes the name of a field first, not {field}");
        }
        let time = match time {
            DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, None),
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, utc()),
            DataType::Date32 | DataType::Date64 => DataType::Date32,
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Null => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            of if is_text(of) => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            other => return plan_err!("date_part() takes a time, not {other}"),
        };
        Ok(vec![DataType::Utf8, time])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(field), time] = args.args.as_slice() else {
            return plan_err!("the field of date_part() must be a constant");
        };
        let Some(Some(field)) = field.try_as_str() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Float64(None)));
        };
        let field = field.to_ascii_lowercase();
        match time {
            ColumnarValue::Scalar(time) => {
                let part = part(&field, &time.to_array()?, zone::of(&args.config_options))?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&part, 0)?))
            }
            ColumnarValue::Array(times) => {
                Ok(ColumnarValue::Array(part(&field, times, zone::of(&args.config_options))?))
            }
        }
    }
}

fn part(field: &str, times: &ArrayRef, zone: Zone) -> Result<ArrayRef> {
    let unknown = |of: &str| raised("22023", format!("unit \"{field}\" not recognized for type {of}"));
    let numbers = |of: &dyn Fn(i64) -> Result<f64>| -> Result<ArrayRef> {
        let numbers = cast(times, &DataType::Int64)?;
        let parts: Float64Array = numbers.as_primitive::<Int64Type>().try_unary(of)?;
        Ok(Arc::new(parts))
    };
    match times.data_type() {
        DataType::Timestamp(unit, has_zone) => {
            let per = units_per_second(*unit);
            let of = if has_zone.is_some() { "timestamp with time zone" } else { "timestamp without time zone" };
            if field == "epoch" {
                // As exact as a double is.
                return numbers(&|time| Ok(time.div_euclid(per) as f64 + time.rem_euclid(per) as f64 / per as f64));
            }
            numbers(&|time| {
                let offset = if has_zone.is_some() { i64::from(zone.offset_at(time.div_euclid(per))) } else { 0 };
                let micros = (i128::from(time) * 1_000_000).div_euclid(i128::from(per)) as i64;
                let shown = Shown::new(micros.saturating_add(offset * 1_000_000), offset);
                let shown = shown.ok_or_else(|| raised("22008", "timestamp out of range"))?;
                let of_zone = || has_zone.as_ref().and_then(|_| shown.of_zone(field));
                shown.field(field).or_else(of_zone).ok_or_else(|| unknown(of))
            })
        }
        DataType::Date32 => {
            let days = cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?;
            let parts: Float64Array = days.as_primitive::<Int64Type>().try_unary(|days| {
                if field == "epoch" {
                    return Ok(days as f64 * 86_400.0);
                }
                let shown = Shown::new(days.saturating_mul(DAY_US), 0);
                let shown = shown.ok_or_else(|| raised("22008", "date out of range"))?;
                let of_day = of_day(field, 0).is_some();
                shown.field(field).filter(|_| !of_day).ok_or_else(|| unknown("date"))
            })?;
            Ok(Arc::new(parts))
        }
        DataType::Time64(TimeUnit::Microsecond) => numbers(&|micros| match field {
            "epoch" => Ok(micros as f64 / 1e6),
            _ => of_day(field, micros).ok_or_else(|| unknown("time without time zone")),
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let intervals = times.as_primitive::<IntervalMonthDayNanoType>();
            let parts: Float64Array =
                intervals.try_unary(|interval| of_interval(field, interval).ok_or_else(|| unknown("interval")))?;
            Ok(Arc::new(parts))
        }
        other => internal_err!("date_part() of {other}"),
    }
}

//! What is made of times and intervals, and of their parts: `age`, `justify_hours` and its like, `make_timestamp`, `isfinite`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, IntervalMonthDayNanoArray,
    TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
    TimestampNanosecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::intervals::INTERVAL;
use super::plain::Row;
use super::zoned::utc;
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::state::raised;

const DAY_NS: i64 = 86_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// More than any interval has.
const MAX_SECONDS: f64 = 1e12;

pub static ROWS: [Row; 9] = [
    Row { of_session: true, ..Row::new("age", of_times, |_| INTERVAL, ages) },
    Row::new("justify_hours", of_interval, |_| INTERVAL, |args, _| justified(&args[0], justify_hours)),
    Row::new("justify_days", of_interval, |_| INTERVAL, |args, _| justified(&args[0], justify_days)),
    Row::new("justify_interval", of_interval, |_| INTERVAL, |args, _| justified(&args[0], justify_interval)),
    Row::new(
        "isfinite",
        of_finite,
        |_| DataType::Boolean,
        |args, _| {
            // None that can be stored is not.
            Ok(Arc::new(BooleanArray::from(vec![true; args[0].len()])))
        },
    ),
    Row::new("make_date", |types| parts(types, 3, 3), |_| DataType::Date32, make_date),
    Row::new(
        "make_timestamp",
        |types| parts(types, 6, 5),
        |_| DataType::Timestamp(TimeUnit::Nanosecond, None),
        |args, _| make_times(args, None),
    ),
    Row {
        of_session: true,
        ..Row::new(
            "make_timestamptz",
            |types| parts(types, 6, 5),
            |_| DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            |args, now| make_times(args, Some(now)),
        )
    },
    Row::new("make_interval", of_parts, |_| INTERVAL, make_intervals),
];

fn of_interval(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Interval(_) | DataType::Duration(_) | DataType::Null] => Some(vec![INTERVAL]),
        _ => None,
    }
}

fn of_finite(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [of @ (DataType::Timestamp(..) | DataType::Date32 | DataType::Interval(_) | DataType::Null)] => {
            Some(vec![of.clone()])
        }
        _ => None,
    }
}

/// Two of one type. Where there is one, the other is put in before anything is planned.
fn of_times(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_time = |of: &DataType| {
        matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null)
    };
    if types.len() != 2 || !types.iter().all(is_time) {
        return None;
    }
    // A date is midnight where the session is.
    let lacks_zone = types.iter().any(|of| matches!(of, DataType::Timestamp(_, None)));
    let has_zone = types.iter().any(|of| matches!(of, DataType::Timestamp(_, Some(_))));
    let zone = if has_zone || !lacks_zone { utc() } else { None };
    let as_is = |of: &DataType| match of {
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
    };
    Some(types.iter().map(as_is).collect())
}

fn parts(types: &[DataType], count: usize, whole: usize) -> Option<Vec<DataType>> {
    let is_number = |of: &DataType| of.is_numeric() || of.is_null();
    let taken = |i| if i < whole { DataType::Int32 } else { DataType::Float64 };
    (types.len() == count && types.iter().all(is_number)).then(|| (0..count).map(taken).collect())
}

fn of_parts(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_number = |of: &DataType| of.is_numeric() || of.is_null();
    let taken = |i| if i < 6 { DataType::Int32 } else { DataType::Float64 };
    (types.len() <= 7 && types.iter().all(is_number)).then(|| (0..types.len()).map(taken).collect())
}

/// What clocks show, in nanoseconds.
fn shown(array: &ArrayRef, now: Now) -> Result<Vec<Option<NaiveDateTime>>> {
    let of_local = |nanoseconds: i64| DateTime::from_timestamp_nanos(nanoseconds).naive_utc();
    let has_zone = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let array = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
    let times = array.as_primitive::<TimestampNanosecondType>();
    Ok(times
        .iter()
        .map(|time| {
            time.map(|time| match has_zone {
                true => {
                    let away = i64::from(now.zone.offset_at(time.div_euclid(SECOND_NS))) * SECOND_NS;
                    of_local(time.saturating_add(away))
                }
                false => of_local(time),
            })
        })
        .collect())
}

fn ages(args: &[ArrayRef], now: Now) -> Result<ArrayRef> {
    let (later, earlier) = match args {
        [later, earlier] => (shown(later, now)?, shown(earlier, now)?),
        _ => return internal_err!("age() takes two times"),
    };
    let ages = later.into_iter().zip(earlier).map(|pair| match pair {
        (Some(later), Some(earlier)) => Some(age(later, earlier)),
        _ => None,
    });
    Ok(Arc::new(ages.collect::<IntervalMonthDayNanoArray>()))
}

/// After PostgreSQL's `timestamp_age`: the difference of each part, of which none is negative where the whole is not.
fn age(one: NaiveDateTime, other: NaiveDateTime) -> IntervalMonthDayNano {
    let (late, early, sign) = if one < other { (other, one, -1) } else { (one, other, 1) };
    let of_day = |time: NaiveDateTime| {
        i64::from(time.num_seconds_from_midnight()) * SECOND_NS + i64::from(time.nanosecond() / 1_000) * 1_000
    };
    let mut time = of_day(late) - of_day(early);
    let mut days = late.day() as i32 - early.day() as i32;
    let mut months = (late.year() - early.year()) * 12 + late.month() as i32 - early.month() as i32;
    if time < 0 {
        time += DAY_NS;
        days -= 1;
    }
    if days < 0 {
        days += length_of_month(early.year(), early.month());
        months -= 1;
    }
    IntervalMonthDayNano { months: sign * months, days: sign * days, nanoseconds: i64::from(sign) * time }
}

fn length_of_month(year: i32, month: u32) -> i32 {
    let next = if month == 12 {
        NaiveDate::from_ymd_opt(year + 1, 1, 1)
    } else {
        NaiveDate::from_ymd_opt(year, month + 1, 1)
    };
    next.and_then(|next| next.pred_opt()).map_or(31, |last| last.day() as i32)
}

fn out_of_range() -> datafusion::error::DataFusionError {
    raised("22008", "interval out of range")
}

fn justified(
    array: &ArrayRef,
    justify: fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>,
) -> Result<ArrayRef> {
    let of = array.as_primitive::<IntervalMonthDayNanoType>();
    let justified = of.iter().map(|of| of.map(|of| justify(of).ok_or_else(out_of_range)).transpose());
    Ok(Arc::new(justified.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// A whole number of days of the time, and time and days of one sign.
fn justify_hours(of: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let whole = i32::try_from(of.nanoseconds / DAY_NS).ok()?;
    let (mut days, mut time) = (of.days.checked_add(whole)?, of.nanoseconds % DAY_NS);
    if days > 0 && time < 0 {
        (days, time) = (days - 1, time + DAY_NS);
    } else if days < 0 && time > 0 {
        (days, time) = (days + 1, time - DAY_NS);
    }
    Some(IntervalMonthDayNano { months: of.months, days, nanoseconds: time })
}

/// The same of months of thirty days.
fn justify_days(of: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (mut months, mut days) = (of.months.checked_add(of.days / 30)?, of.days % 30);
    if months > 0 && days < 0 {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && days > 0 {
        (months, days) = (months + 1, days - 30);
    }
    Some(IntervalMonthDayNano { months, days, nanoseconds: of.nanoseconds })
}

/// Both, and all three of one sign.
fn justify_interval(of: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let whole = i32::try_from(of.nanoseconds / DAY_NS).ok()?;
    let (mut days, mut time) = (of.days.checked_add(whole)?, of.nanoseconds % DAY_NS);
    let mut months = of.months.checked_add(days / 30)?;
    days %= 30;
    if months > 0 && (days < 0 || (days == 0 && time < 0)) {
        (months, days) = (months - 1, days + 30);
    } else if months < 0 && (days > 0 || (days == 0 && time > 0)) {
        (months, days) = (months + 1, days - 30);
    }
    if days > 0 && time < 0 {
        (days, time) = (days - 1, time + DAY_NS);
    } else if days < 0 && time > 0 {
        (days, time) = (days + 1, time - DAY_NS);
    }
    Some(IntervalMonthDayNano { months, days, nanoseconds: time })
}

fn whole(array: &ArrayRef) -> &Int32Array {
    array.as_primitive::<Int32Type>()
}

/// A year of PostgreSQL's: there is none that is 0, and before it they are counted from -1.
fn date(year: i32, month: i32, day: i32) -> Result<NaiveDate> {
    let wrong = || raised("22008", format!("date field value out of range: {year}-{month:02}-{day:02}"));
    let astronomical = if year < 0 { year + 1 } else { year };
    let (Ok(month), Ok(day), true) = (u32::try_from(month), u32::try_from(day), year != 0) else {
        return Err(wrong());
    };
    NaiveDate::from_ymd_opt(astronomical, month, day).ok_or_else(wrong)
}

fn make_date(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let [years, months, days] = args else { return internal_err!("make_date() takes three numbers") };
    let (years, months, days) = (whole(years), whole(months), whole(days));
    let made = (0..years.len()).map(|row| {
        if years.is_null(row) || months.is_null(row) || days.is_null(row) {
            return Ok(None);
        }
        let date = date(years.value(row), months.value(row), days.value(row))?;
        Ok(Some(date.signed_duration_since(NaiveDate::default()).num_days() as i32))
    });
    Ok(Arc::new(made.collect::<Result<Date32Array>>()?))
}

/// In the zone of the session, if there is one.
fn make_times(args: &[ArrayRef], session: Option<Now>) -> Result<ArrayRef> {
    let [years, months, days, hours, minutes, seconds] = args else {
        return internal_err!("make_timestamp() takes six numbers");
    };
    let (years, months, days) = (whole(years), whole(months), whole(days));
    let (hours, minutes) = (whole(hours), whole(minutes));
    let seconds: &Float64Array = seconds.as_primitive::<Float64Type>();
    let made = (0..years.len()).map(|row| {
        if args.iter().any(|arg| arg.is_null(row)) {
            return Ok(None);
        }
        let date = date(years.value(row), months.value(row), days.value(row))?;
        let (hour, minute, second) = (hours.value(row), minutes.value(row), seconds.value(row));
        let wrong = || raised("22008", format!("time field value out of range: {hour}:{minute:02}:{second}"));
        let (Ok(on), Ok(past), true) = (u32::try_from(hour), u32::try_from(minute), (0.0..=60.0).contains(&second))
        else {
            return Err(wrong());
        };
        let start = match (on, past) {
            // The end of a day is its 24th hour.
            (24, 0) if second == 0.0 => date.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0)),
            _ => NaiveTime::from_hms_opt(on, past, 0).map(|time| date.and_time(time)),
        };
        let start = start.and_then(|start| start.and_utc().timestamp_nanos_opt()).ok_or_else(wrong)?;
        let local = start.checked_add((second * 1e6).round_ties_even() as i64 * 1_000).ok_or_else(wrong)?;
        let away = session.map_or(0, |now| now.zone.offset_of_local(local.div_euclid(SECOND_NS)));
        Ok(Some(local.saturating_sub(i64::from(away) * SECOND_NS)))
    });
    let made = made.collect::<Result<TimestampNanosecondArray>>()?;
    Ok(Arc::new(made.with_timezone_opt(session.and_then(|_| utc()))))
}

/// `(years, months, weeks, days, hours, minutes, seconds)`, of which any may be left out at the end.
fn make_intervals(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let rows = args.first().map_or(1, |array| array.len());
    let made = (0..rows).map(|row| {
        if args.iter().any(|arg| arg.is_null(row)) {
            return Ok(None);
        }
        let number = |i: usize| args.get(i).map_or(0, |array| i64::from(whole(array).value(row)));
        let seconds = args.get(6).map_or(0.0, |array| array.as_primitive::<Float64Type>().value(row));
        if seconds.abs() > MAX_SECONDS || seconds.is_nan() {
            return Err(out_of_range());
        }
        let months = number(0) * 12 + number(1);
        let days = number(2) * 7 + number(3);
        let time = i128::from(number(4) * 3_600 + number(5) * 60) * i128::from(SECOND_NS)
            + (seconds * 1e6).round_ties_even() as i128 * 1_000;
        let (Ok(months), Ok(days), Ok(nanoseconds)) = (months.try_into(), days.try_into(), time.try_into()) else {
            return Err(out_of_range());
        };
        Ok(Some(IntervalMonthDayNano { months, days, nanoseconds }))
    });
    Ok(Arc::new(made.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::datetime::{interval, write};

    fn text(of: IntervalMonthDayNano) -> String {
        let mut out = String::new();
        write::interval(&mut out, of.months, of.days, of.nanoseconds / 1_000);
        out
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn ages_of_times() {
        let check = |one: &str, other: &str, expected: &str| {
            let time = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
            assert_eq!(text(age(time(one), time(other))), expected, "{one} {other}");
        };
        check("2026-03-01 00:00", "2026-01-15 00:00", "1 mon 17 days");
        check("2026-01-15 00:00", "2026-03-01 00:00", "-1 mons -17 days");
        check("2026-01-31 10:00", "2026-02-28 12:00", "-28 days -02:00:00");
        check("2024-02-29 00:00", "2023-03-31 00:00", "10 mons 29 days");
        check("2026-03-29 12:00", "2026-02-28 13:00", "1 mon 23:00:00");
    }

    #[test]
    fn justified_intervals() {
        let check =
            |justify: fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>, of: &str, expected: &str| {
                assert_eq!(text(justify(interval::read(of, "").unwrap()).unwrap()), expected, "{of}");
            };
        check(justify_hours, "27 hours", "1 day 03:00:00");
        check(justify_hours, "-27 hours 1 day", "-03:00:00");
        check(justify_days, "65 days -1 mon", "1 mon 5 days");
        check(justify_days, "-35 days", "-1 mons -5 days");
        check(justify_interval, "1 mon -1 hour", "29 days 23:00:00");
        check(justify_interval, "-1 mon 65 days 27 hours", "1 mon 6 days 03:00:00");
        assert!(justify_days(IntervalMonthDayNano { months: i32::MAX, days: 30, nanoseconds: 0 }).is_none());
    }

    #[test]
    fn dates_there_are() {
        assert!(date(2026, 2, 30).is_err() && date(0, 1, 1).is_err() && date(2026, -1, 1).is_err());
        assert_eq!(date(-5, 1, 1).unwrap().year(), -4);
    }
}

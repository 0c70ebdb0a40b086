//! Methods of the types that have some: `time.Time`, `time.Duration` and the histogram's text.
//!
//! Those are left out that give or take types which templates can do nothing with, and those of the server's time zone.

use super::characters::to_text;
use super::format::name;
use super::host::Param;
use super::time::{Time, duration_text};
use super::value::{IntType, Value};
use crate::model::calendar::{MONTHS, WEEKDAYS};

pub(super) struct Method {
    pub name: &'static str,
    pub fixed: &'static [Param],
    /// With a message that has no more to be said about it.
    pub body: fn(&Value, &[Value]) -> Result<Value, String>,
}

pub(super) fn find(receiver: &Value, name: &str) -> Option<&'static Method> {
    let methods = match receiver {
        Value::Time(_) => TIME,
        Value::Int(IntType::Duration, _) => DURATION,
        Value::Int(IntType::Month | IntType::Weekday, _) | Value::Histogram(_) => TEXT,
        _ => return None,
    };
    methods.iter().find(|method| method.name == name)
}

const fn row(
    name: &'static str,
    fixed: &'static [Param],
    body: fn(&Value, &[Value]) -> Result<Value, String>,
) -> Method {
    Method { name, fixed, body }
}

static TIME: &[Method] = &[
    row("Add", &[Param::Duration], |time, arguments| {
        Ok(Value::Time(Time(this(time).0 + i128::from(number(arguments, 0)))))
    }),
    row("AddDate", &[Param::Int, Param::Int, Param::Int], |time, arguments| {
        let parts = [number(arguments, 0), number(arguments, 1), number(arguments, 2)];
        // Go's arithmetic overflows somewhere behind.
        match parts.map(|part| part.clamp(-1_000_000_000, 1_000_000_000)) {
            clamped if clamped == parts => Ok(Value::Time(this(time).add_date(parts[0], parts[1], parts[2]))),
            _ => Err("AddDate: date out of range".to_string()),
        }
    }),
    row("After", &[Param::Time], |time, arguments| Ok(Value::Bool(this(time) > other(arguments)))),
    row("Before", &[Param::Time], |time, arguments| Ok(Value::Bool(this(time) < other(arguments)))),
    row("Clock", &[], |_, _| Err("function Clock has 3 return values; should be 1 or 2".to_string())),
    row("Compare", &[Param::Time], |time, arguments| Ok(Value::int(this(time).cmp(other(arguments)) as i64))),
    row("Date", &[], |_, _| Err("function Date has 3 return values; should be 1 or 2".to_string())),
    row("Day", &[], |time, _| Ok(Value::int(this(time).civil().day))),
    row("Equal", &[Param::Time], |time, arguments| Ok(Value::Bool(this(time) == other(arguments)))),
    row("Format", &[Param::String], |time, arguments| {
        let layout = match arguments.first() {
            Some(Value::String(layout)) => to_text(layout),
            _ => String::new(),
        };
        Ok(Value::text(this(time).format(&layout)))
    }),
    row("GoString", &[], |time, _| Ok(Value::text(this(time).to_go()))),
    row("Hour", &[], |time, _| Ok(Value::int(this(time).civil().hour))),
    row("ISOWeek", &[], |_, _| {
        Err("invalid function signature for ISOWeek: second return value should be error; is int".to_string())
    }),
    row("IsDST", &[], |_, _| Ok(Value::Bool(false))),
    row("IsZero", &[], |time, _| Ok(Value::Bool(*this(time) == Time(-62_135_596_800_000_000_000)))),
    row("Minute", &[], |time, _| Ok(Value::int(this(time).civil().minute))),
    row("Month", &[], |time, _| Ok(Value::Int(IntType::Month, this(time).civil().month as i64))),
    row("Nanosecond", &[], |time, _| Ok(Value::int(this(time).civil().nanosecond))),
    row("Second", &[], |time, _| Ok(Value::int(this(time).civil().second))),
    row("String", &[], |time, _| Ok(Value::text(this(time).to_text()))),
    row("Sub", &[Param::Time], |time, arguments| {
        let nanoseconds = this(time).0 - other(arguments).0;
        let nanoseconds = nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Ok(Value::Int(IntType::Duration, nanoseconds as i64))
    }),
    row("Truncate", &[Param::Duration], |time, arguments| {
        let unit = i128::from(number(arguments, 0));
        Ok(Value::Time(if unit > 0 { since_year_one(time, |at| at - at.rem_euclid(unit)) } else { *this(time) }))
    }),
    row("UTC", &[], |time, _| Ok(Value::Time(*this(time)))),
    row("Unix", &[], |time, _| Ok(int64(this(time).unix()))),
    row("UnixMicro", &[], |time, _| Ok(int64(this(time).0.div_euclid(1_000)))),
    row("UnixMilli", &[], |time, _| Ok(int64(this(time).0.div_euclid(1_000_000)))),
    row("UnixNano", &[], |time, _| Ok(int64(this(time).0))),
    row("Weekday", &[], |time, _| Ok(Value::Int(IntType::Weekday, this(time).civil().weekday as i64))),
    row("Year", &[], |time, _| Ok(Value::int(this(time).civil().year))),
    row("YearDay", &[], |time, _| Ok(Value::int(this(time).civil().year_day))),
    row("Zone", &[], |_, _| {
        Err("invalid function signature for Zone: second return value should be error; is int".to_string())
    }),
];

static DURATION: &[Method] = &[
    row("Abs", &[], |duration, _| {
        let nanoseconds = length(duration).checked_abs().unwrap_or(i64::MAX);
        Ok(Value::Int(IntType::Duration, nanoseconds))
    }),
    row("Hours", &[], |duration, _| Ok(split(duration, 3_600_000_000_000))),
    row("Microseconds", &[], |duration, _| Ok(int64((length(duration) / 1_000).into()))),
    row("Milliseconds", &[], |duration, _| Ok(int64((length(duration) / 1_000_000).into()))),
    row("Minutes", &[], |duration, _| Ok(split(duration, 60_000_000_000))),
    row("Nanoseconds", &[], |duration, _| Ok(int64(length(duration).into()))),
    row("Round", &[Param::Duration], |duration, arguments| {
        let (length, unit) = (i128::from(length(duration)), i128::from(number(arguments, 0)));
        let rounded = match unit {
            ..=0 => length,
            // Halves go away from zero.
            _ => (2 * length.abs() + unit) / (2 * unit) * unit * length.signum(),
        };
        let rounded = rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Ok(Value::Int(IntType::Duration, rounded as i64))
    }),
    row("Seconds", &[], |duration, _| Ok(split(duration, 1_000_000_000))),
    row("String", &[], |duration, _| Ok(Value::text(duration_text(length(duration))))),
    row("Truncate", &[Param::Duration], |duration, arguments| {
        let (length, unit) = (length(duration), number(arguments, 0));
        Ok(Value::Int(IntType::Duration, if unit > 0 { length - length % unit } else { length }))
    }),
];

static TEXT: &[Method] = &[row("String", &[], |value, _| {
    Ok(Value::text(match value {
        Value::Int(IntType::Month, number) => name(&MONTHS, *number, 1),
        Value::Int(_, number) => name(&WEEKDAYS, *number, 0),
        Value::Histogram(histogram) => histogram.to_string(),
        _ => String::new(),
    }))
})];

fn this(value: &Value) -> &Time {
    match value {
        Value::Time(time) => time,
        _ => &Time(0),
    }
}

fn other(arguments: &[Value]) -> &Time {
    arguments.first().map_or(&Time(0), this)
}

fn length(value: &Value) -> i64 {
    match value {
        Value::Int(_, number) => *number,
        _ => 0,
    }
}

fn number(arguments: &[Value], nth: usize) -> i64 {
    arguments.get(nth).map_or(0, length)
}

fn int64(number: i128) -> Value {
    Value::Int(IntType::Int64, number as i64)
}

/// Whole units and their fraction are added as floats, as Go does.
fn split(duration: &Value, unit: i64) -> Value {
    let length = length(duration);
    Value::Float((length / unit) as f64 + (length % unit) as f64 / unit as f64)
}

/// Times are rounded from the year 1 on.
fn since_year_one(time: &Value, rounded: impl Fn(i128) -> i128) -> Time {
    const EPOCH: i128 = 62_135_596_800_000_000_000;
    Time(rounded(this(time).0 + EPOCH) - EPOCH)
}

//! Dates, times and intervals as text: what the engine reads, and what it has no words for.

use chrono::{NaiveTime, TimeDelta, Timelike};
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::PgWireResult;

use crate::engine::sql::datetime::interval;
use crate::engine::sql::datetime::read::{self, Now};
use crate::server::pg::{errors, types};

/// A value of a type of times.
///
/// # Errors
/// 22007 for what is none, 22008 for a field that is out of its range.
pub fn read(text: &str, wire: &Type, now: Now) -> PgWireResult<ScalarValue> {
    let infinite = match text.trim().to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ => None,
    };
    let micros = |read: datafusion::error::Result<i64>| match infinite {
        Some(micros) => Ok(Some(micros)),
        None => read.map(Some).map_err(errors::datafusion),
    };
    Ok(match *wire {
        Type::TIMESTAMPTZ => {
            ScalarValue::TimestampMicrosecond(micros(read::timestamptz(text, now))?, Some("UTC".into()))
        }
        Type::TIMESTAMP => ScalarValue::TimestampMicrosecond(micros(read::timestamp(text, now))?, None),
        Type::DATE if infinite.is_some() => return Err(errors::unsupported("an infinite date")),
        Type::DATE => ScalarValue::Date32(Some(read::date(text, now).map_err(errors::datafusion)?)),
        Type::INTERVAL => {
            ScalarValue::IntervalMonthDayNano(Some(interval::read(text, "").map_err(errors::datafusion)?))
        }
        _ => {
            let unreadable = || {
                let name = types::type_name(wire.oid());
                errors::error("22007", format!("invalid input syntax for type {name}: \"{text}\""))
            };
            let time = time(text.trim()).ok_or_else(unreadable)?;
            let micros =
                i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000);
            ScalarValue::Time64Microsecond(Some(micros))
        }
    })
}

/// Hours and minutes, and seconds or not.
fn time(text: &str) -> Option<NaiveTime> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, *seconds),
        _ => return None,
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if fraction.len() > 30 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}")[..9].parse::<u32>().ok()?;
    let number = |text: &str| {
        let fits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { text.parse().ok() } else { None }
    };
    // Microseconds are what there is; half of one is a whole one.
    let micros = (nanos + 500) / 1_000;
    let time = NaiveTime::from_hms_opt(number(hours)?, number(minutes)?, number(whole)?)?;
    Some(time.overflowing_add_signed(TimeDelta::microseconds(micros.into())).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pg::settings::zone::Zone;

    #[test]
    fn times_as_they_are_written() {
        let check = |text: &str, wire: Type, zone: &str, want: &str| {
            let now = Now { zone: Zone::read(zone).unwrap().0, micros: 86_400_000_000 };
            let got = match read(text, &wire, now) {
                Ok(ScalarValue::TimestampMicrosecond(Some(n), _) | ScalarValue::Time64Microsecond(Some(n))) => {
                    n.to_string()
                }
                Ok(ScalarValue::Date32(Some(n))) => n.to_string(),
                Ok(other) => other.to_string(),
                Err(error) => error.code().to_string(),
            };
            assert_eq!(got, want, "{text} as {wire}");
        };
        let tz = Type::TIMESTAMPTZ;
        check("1970-01-01 00:00:01Z", tz.clone(), "UTC", "1000000");
        check("1970-01-01T01:00+01:00", tz.clone(), "UTC", "0");
        check("1970-01-01 01:00", tz.clone(), "Europe/Berlin", "0");
        check("1970-01-02", tz.clone(), "UTC", "86400000000");
        check("1970-01-01 05:30:00.000001+0530", tz.clone(), "UTC", "1");
        check("now", tz.clone(), "UTC", "86400000000");
        // Clocks are set forward.
        check("2026-03-29 02:30", tz.clone(), "Europe/Berlin", "1774747800000000");
        check("infinity", tz.clone(), "UTC", "9223372036854775807");
        check("-infinity", Type::TIMESTAMP, "UTC", "-9223372036854775808");
        check("infinity", Type::DATE, "UTC", "0A000");
        check("1970-01-01 00:00:01+02", Type::TIMESTAMP, "UTC", "1000000");
        check("2026-13-01", tz.clone(), "UTC", "22008");
        check("soon", tz.clone(), "UTC", "22007");
        check("2026-12-01 nonsense", tz, "UTC", "22007");
        check("1970-01-03", Type::DATE, "UTC", "2");
        check("yesterday", Type::DATE, "UTC", "0");
        check("12:30", Type::TIME, "UTC", "45000000000");
        check("12", Type::TIME, "UTC", "22007");
        for (text, micros) in [("1 day 02:03:04", 7_384_000_000), ("1 day 7384 seconds", 7_384_000_000)] {
            let read = read(text, &Type::INTERVAL, Now { zone: Zone::UTC, micros: 0 }).unwrap();
            assert_eq!(read, ScalarValue::new_interval_mdn(0, 1, micros * 1_000), "{text}");
        }
        check("often", Type::INTERVAL, "UTC", "22007");
    }
}

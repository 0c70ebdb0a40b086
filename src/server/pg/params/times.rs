//! Dates, times and intervals as text. What has no offset is of a zone.

use chrono::{Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike};
use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use crate::server::pg::settings::zone::Zone;
use crate::server::pg::{errors, types};

/// No time zone is further from Greenwich, in seconds.
const MOST_OFFSET: i32 = 16 * 3600;

/// A value of a type of times.
///
/// # Errors
/// 22007 for what is none, 22008 for a field that is out of its range.
pub fn read(text: &str, wire: &Type, zone: Zone) -> PgWireResult<ScalarValue> {
    let trimmed = text.trim();
    let unreadable = || {
        let name = types::type_name(wire.oid());
        errors::error("22007", format!("invalid input syntax for type {name}: \"{text}\""))
    };
    if *wire == Type::INTERVAL {
        return interval(trimmed).ok_or_else(unreadable);
    }
    if *wire == Type::TIME {
        let time = time(trimmed).ok_or_else(unreadable)?;
        return Ok(ScalarValue::Time64Microsecond(Some(micros_of(time))));
    }
    let infinite = match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ => None,
    };
    let micros = match (infinite, wire) {
        (Some(_), &Type::DATE) => return Err(errors::unsupported("an infinite date")),
        (Some(micros), _) => micros,
        (None, _) => {
            let (at, offset) = date_time(trimmed, text)?.ok_or_else(unreadable)?;
            if *wire == Type::DATE {
                let days = at.date().num_days_from_ce() - NaiveDate::default().num_days_from_ce();
                return Ok(ScalarValue::Date32(Some(days)));
            }
            let utc = match (wire, offset) {
                (&Type::TIMESTAMPTZ, Some(offset)) => at.checked_sub_signed(TimeDelta::seconds(offset.into())),
                (&Type::TIMESTAMPTZ, None) => in_zone(at, zone),
                // PostgreSQL passes over an offset where the type has none.
                _ => Some(at),
            };
            utc.ok_or_else(|| out_of_range(text))?.and_utc().timestamp_micros()
        }
    };
    let zone = (*wire == Type::TIMESTAMPTZ).then(|| "UTC".into());
    Ok(ScalarValue::TimestampMicrosecond(Some(micros), zone))
}

fn out_of_range(text: &str) -> PgWireError {
    errors::error("22008", format!("date/time field value out of range: \"{text}\""))
}

/// A date, a time behind it or not, and an offset in seconds behind that or not; `None` where it is not written so.
fn date_time(trimmed: &str, text: &str) -> PgWireResult<Option<(NaiveDateTime, Option<i32>)>> {
    let split = trimmed.find([' ', 'T', 't']).unwrap_or(trimmed.len());
    let (day, rest) = trimmed.split_at(split);
    let fields: Vec<&str> = day.split(['-', '/']).collect();
    let [year, month, day] = fields.as_slice() else { return Ok(None) };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4..=5), digits(month, 1..=2), digits(day, 1..=2))
    else {
        return Ok(None);
    };
    let date = NaiveDate::from_ymd_opt(year, month.unsigned_abs(), day.unsigned_abs());
    let date = date.ok_or_else(|| out_of_range(text))?;
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    if rest.is_empty() {
        return Ok(Some((date.and_time(NaiveTime::MIN), None)));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    if !clock.contains(':') {
        return Ok(None);
    }
    let Some(time) = time(clock) else { return Err(out_of_range(text)) };
    let at = date.and_time(time);
    match zone.trim() {
        "" => Ok(Some((at, None))),
        zone => Ok(offset(zone, at).map(|offset| (at, Some(offset)))),
    }
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<i32> {
    let fits = length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
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
    let number = |text: &str| digits(text, 1..=2).map(i32::unsigned_abs);
    // Microseconds are what there is; half of one is a whole one.
    let micros = (nanos + 500) / 1_000;
    let time = NaiveTime::from_hms_opt(number(hours)?, number(minutes)?, number(whole)?)?;
    Some(time.overflowing_add_signed(TimeDelta::microseconds(micros.into())).0)
}

fn micros_of(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000)
}

/// Seconds east of Greenwich: `Z`, `+02`, `-07:30`, `+0530`, or the name of a zone.
fn offset(text: &str, at: NaiveDateTime) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => {
            let (zone, _) = Zone::read(text)?;
            let utc = in_zone(at, zone)?;
            return i32::try_from((at - utc).num_seconds()).ok();
        }
    };
    let text = &text[1..];
    let parts: Vec<&str> = match text.contains(':') {
        true => text.split(':').collect(),
        false if text.len() == 4 && text.is_ascii() => vec![&text[..2], &text[2..]],
        false => vec![text],
    };
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        seconds += digits(part, 1..=2)? * unit;
    }
    (parts.len() <= 3 && seconds < MOST_OFFSET).then_some(sign * seconds)
}

/// The time in UTC that clocks of a zone show so. Of two the later one is meant, and of none the one that clocks would show had
/// they not been set.
fn in_zone(at: NaiveDateTime, zone: Zone) -> Option<NaiveDateTime> {
    let before = |seconds: i32| at.checked_sub_signed(TimeDelta::seconds(seconds.into()));
    let Zone::Named(named) = zone else { return before(zone.offset(&at)) };
    match named.from_local_datetime(&at) {
        LocalResult::Single(found) | LocalResult::Ambiguous(_, found) => Some(found.naive_utc()),
        LocalResult::None => {
            let earlier = at.checked_sub_signed(TimeDelta::days(1))?;
            before(zone.offset(&earlier))
        }
    }
}

/// As the engine reads it, and with a time of the day in it.
fn interval(text: &str) -> Option<ScalarValue> {
    let mut plain = vec![];
    for word in text.split_whitespace() {
        let (sign, clock) = match word.strip_prefix('-') {
            Some(clock) => ("-", clock),
            None => ("", word.strip_prefix('+').unwrap_or(word)),
        };
        let parts: Vec<&str> = clock.split(':').collect();
        match parts.as_slice() {
            [_] => plain.push(word.to_string()),
            [hours, minutes] => plain.push(format!("{sign}{hours} hours {sign}{minutes} minutes")),
            [hours, minutes, seconds] => {
                plain.push(format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"));
            }
            _ => return None,
        }
    }
    let read = ScalarValue::Utf8(Some(plain.join(" ")));
    let read = read.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)).ok()?;
    (!read.is_null()).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_they_are_written() {
        let check = |text: &str, wire: Type, zone: &str, want: &str| {
            let zone = Zone::read(zone).unwrap().0;
            let got = match read(text, &wire, zone) {
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
        check("1970-01-01 05:30:00.0000005+0530", tz.clone(), "UTC", "1");
        check("1970-01-01 01:00 Europe/Berlin", tz.clone(), "UTC", "0");
        // Clocks are set forward, and back.
        check("2026-03-29 02:30", tz.clone(), "Europe/Berlin", "1774747800000000");
        check("2026-10-25 02:30", tz.clone(), "Europe/Berlin", "1792891800000000");
        check("infinity", tz.clone(), "UTC", "9223372036854775807");
        check("1970-01-01 00:00:01+02", Type::TIMESTAMP, "UTC", "1000000");
        check("2026-13-01", tz.clone(), "UTC", "22008");
        check("2026-12-01 25:00", tz.clone(), "UTC", "22008");
        check("soon", tz.clone(), "UTC", "22007");
        check("2026-12-01 nonsense", tz, "UTC", "22007");
        check("1970-01-03", Type::DATE, "UTC", "2");
        check("12:30", Type::TIME, "UTC", "45000000000");
        for (text, micros) in [("1 day 02:03:04", 7_384_000_000), ("1 day 7384 seconds", 7_384_000_000)] {
            let read = read(text, &Type::INTERVAL, Zone::UTC).unwrap();
            assert_eq!(read, ScalarValue::new_interval_mdn(0, 1, micros * 1_000), "{text}");
        }
        check("often", Type::INTERVAL, "UTC", "22007");
    }
}

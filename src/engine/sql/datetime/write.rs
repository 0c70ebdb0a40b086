//! Timestamps, dates, times and intervals in Postgres' ISO output style.

use std::fmt::Write;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike};

use crate::engine::sql::zone::Zone;

/// Microseconds from the Unix epoch to Postgres' epoch, 2000-01-01.
pub const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from the Unix epoch to Postgres' epoch.
pub const PG_EPOCH_DAYS: i32 = 10_957;

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
}

fn put_date_time(out: &mut String, t: NaiveDateTime) {
    let _ = write!(out, "{:04}-{:02}-{:02} ", t.year(), t.month(), t.day());
    put_time(out, t.num_seconds_from_midnight(), t.nanosecond() / 1_000);
}

fn put_time(out: &mut String, seconds: u32, micros: u32) {
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if micros > 0 {
        let text = format!(".{micros:06}");
        out.push_str(text.trim_end_matches('0'));
    }
}

/// `timestamp`; microseconds since the Unix epoch.
pub fn timestamp(out: &mut String, micros: i64) {
    match naive(micros) {
        Some(t) => put_date_time(out, t),
        None => out.push_str(if micros < 0 { "-infinity" } else { "infinity" }),
    }
}

/// `timestamptz` in a zone, `2026-01-01 13:02:03+01`.
pub fn timestamptz(out: &mut String, micros: i64, zone: Zone) {
    let Some(utc) = naive(micros) else { return timestamp(out, micros) };
    let offset = zone.offset_at(utc.and_utc().timestamp());
    put_date_time(out, utc + TimeDelta::seconds(i64::from(offset)));
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.abs();
    let _ = write!(out, "{sign}{:02}", offset / 3600);
    if offset % 3600 != 0 {
        let _ = write!(out, ":{:02}", offset / 60 % 60);
    }
    if offset % 60 != 0 {
        let _ = write!(out, ":{:02}", offset % 60);
    }
}

/// `date`; days since the Unix epoch.
pub fn date(out: &mut String, days: i32) {
    if let Some(t) = naive(i64::from(days) * 86_400_000_000) {
        let _ = write!(out, "{:04}-{:02}-{:02}", t.year(), t.month(), t.day());
    }
}

/// `time`; microseconds since midnight.
pub fn time(out: &mut String, micros: i64) {
    put_time(out, (micros / 1_000_000) as u32, (micros % 1_000_000) as u32);
}

/// `interval` in style `postgres`: `1 mon 2 days 03:04:05.6`.
pub fn interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let start = out.len();
    // What is above zero says so where the part before it is below.
    let mut below = false;
    let mut unit = |out: &mut String, n: i32, one: &str| {
        if n != 0 {
            if out.len() > start {
                out.push(' ');
            }
            let sign = if below && n > 0 { "+" } else { "" };
            let _ = write!(out, "{sign}{n} {one}{}", if n == 1 { "" } else { "s" });
            below = n < 0;
        }
    };
    unit(out, months / 12, "year");
    unit(out, months % 12, "mon");
    unit(out, days, "day");
    if micros != 0 || out.len() == start {
        if out.len() > start {
            out.push(' ');
        }
        match micros < 0 {
            true => out.push('-'),
            false if below => out.push('+'),
            false => {}
        }
        let micros = micros.unsigned_abs();
        let seconds = micros / 1_000_000;
        let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if !micros.is_multiple_of(1_000_000) {
            let text = format!(".{:06}", micros % 1_000_000);
            out.push_str(text.trim_end_matches('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Tz;

    fn check(got: impl FnOnce(&mut String), want: &str) {
        let mut out = String::new();
        got(&mut out);
        assert_eq!(out, want);
    }

    #[test]
    fn prints_as_postgres_does() {
        check(|o| timestamp(o, 1_767_225_600_000_000), "2026-01-01 00:00:00");
        check(|o| timestamp(o, 1_767_225_600_120_000), "2026-01-01 00:00:00.12");
        check(|o| timestamptz(o, 1_767_225_600_000_000, Zone::UTC), "2026-01-01 00:00:00+00");
        check(|o| timestamptz(o, 1_767_225_600_000_000, Zone::Named(Tz::Europe__Berlin)), "2026-01-01 01:00:00+01");
        check(
            |o| timestamptz(o, 1_767_225_600_000_000, Zone::Named(Tz::Asia__Kolkata)),
            "2026-01-01 05:30:00+05:30",
        );
        check(|o| timestamptz(o, 1_767_225_600_000_000, Zone::Fixed(-12_600)), "2025-12-31 20:30:00-03:30");
        check(|o| date(o, 20_454), "2026-01-01");
        check(|o| time(o, 3_661_500_000), "01:01:01.5");
        check(|o| interval(o, 14, 3, 3_661_000_000), "1 year 2 mons 3 days 01:01:01");
        check(|o| interval(o, 0, 0, 0), "00:00:00");
        check(|o| interval(o, 0, 1, -1_500_000), "1 day -00:00:01.5");
        check(|o| interval(o, 14, -3, 1_000_000), "1 year 2 mons -3 days +00:00:01");
    }
}

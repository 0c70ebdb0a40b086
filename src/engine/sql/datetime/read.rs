//! Dates and times as people write them, after PostgreSQL's `DecodeDateTime` with `DateStyle` ISO, MDY: words in any
//! order, each a date, a time, a zone, a name of a month or a day of the week, or a word for a moment.

use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;

use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};
use crate::model::calendar::{MONTHS, WEEKDAYS};

pub const DAY_US: i64 = 86_400_000_000;
/// Longer texts are none.
const MAX_BYTES: usize = 128;

/// Of which a time is read.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The zone of the session.
    pub zone: Zone,
    /// Microseconds since the epoch.
    pub micros: i64,
}

impl Now {
    /// When a statement of a session begins.
    pub fn of(session: &dyn Session) -> Self {
        let start = session.execution_props().query_execution_start_time;
        Self { zone: zone::of(session.config_options()), micros: start.map_or(0, |start| start.timestamp_micros()) }
    }

    /// The same, where there are only the options of the session.
    pub fn of_options(options: &ConfigOptions) -> Self {
        let time = zone::time_of(options);
        Self { zone: time.zone, micros: time.began_us.unwrap_or_default() }
    }
}

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    /// Days since the epoch, microseconds of the day, and the zone that was named.
    Local(i64, i64, Option<Zone>),
    /// Microseconds since the epoch.
    Moment(i64),
}

/// Names of types in messages.
const TIMESTAMP: &str = "timestamp";
const TIMESTAMPTZ: &str = "timestamp with time zone";
const DATE: &str = "date";

/// A `timestamptz` in microseconds since the epoch; without a zone of its own it is in that of the session.
///
/// # Errors
/// 22007 for what is no time, 22008 for one that is not, as the 30th of February, 22023 for an unknown zone.
pub fn timestamptz(text: &str, now: Now) -> Result<i64> {
    match read(text, now, TIMESTAMPTZ)? {
        Read::Moment(micros) => Ok(micros),
        Read::Local(days, micros, zone) => {
            let local = days * DAY_US + micros;
            let offset = zone.unwrap_or(now.zone).offset_of_local(local.div_euclid(1_000_000));
            Ok(local - i64::from(offset) * 1_000_000)
        }
    }
}

/// A `timestamp` in microseconds; a zone that is named says nothing.
///
/// # Errors
/// As [`timestamptz`].
pub fn timestamp(text: &str, now: Now) -> Result<i64> {
    match read(text, now, TIMESTAMP)? {
        Read::Moment(micros) => Ok(local(micros, now.zone)),
        Read::Local(days, micros, _) => Ok(days * DAY_US + micros),
    }
}

/// A `date` in days since the epoch.
///
/// # Errors
/// As [`timestamptz`].
pub fn date(text: &str, now: Now) -> Result<i32> {
    let days = match read(text, now, DATE)? {
        Read::Moment(micros) => local(micros, now.zone).div_euclid(DAY_US),
        Read::Local(days, _, _) => days,
    };
    i32::try_from(days).map_err(|_| out_of_range(text))
}

/// What clocks of a zone show, in microseconds since they showed the epoch.
pub fn local(micros: i64, zone: Zone) -> i64 {
    micros.saturating_add(i64::from(zone.offset_at(micros.div_euclid(1_000_000))) * 1_000_000)
}

fn out_of_range(text: &str) -> datafusion::error::DataFusionError {
    raised("22008", format!("date/time field value out of range: \"{text}\""))
}

/// What was found of a text so far.
#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    /// Microseconds of a day, which may be all of it.
    time: Option<i64>,
    zone: Option<Zone>,
    afternoon: Option<bool>,
    /// Numbers of one or two digits, in their order.
    numbers: Vec<(i64, usize)>,
}

fn read(text: &str, now: Now, kind: &str) -> Result<Read> {
    let invalid = || raised("22007", format!("invalid input syntax for type {kind}: \"{text}\""));
    if text.len() > MAX_BYTES {
        return Err(invalid());
    }
    let lower = text.trim().to_ascii_lowercase();
    let today = local(now.micros, now.zone).div_euclid(DAY_US);
    match lower.as_str() {
        "now" => return Ok(Read::Moment(now.micros)),
        "epoch" => return Ok(Read::Moment(0)),
        _ => {}
    }
    let mut fields = Fields::default();
    let mut date = None;
    for word in words(&lower) {
        let relative = match word {
            "today" => Some(today),
            "tomorrow" => Some(today + 1),
            "yesterday" => Some(today - 1),
            _ => None,
        };
        match relative {
            Some(day) if date.is_none() => date = Some(day),
            Some(_) => return Err(invalid()),
            None => fields.word(word, text)?.ok_or_else(invalid)?,
        }
    }
    let days = match date {
        Some(days) if fields.is_dateless() => days,
        Some(_) => return Err(invalid()),
        None => fields.days(text)?.ok_or_else(invalid)?,
    };
    let time = fields.time_of_day().ok_or_else(|| out_of_range(text))?;
    Ok(Read::Local(days, time, fields.zone))
}

/// Parts between blanks and commas; what stands before and behind the `T` of ISO 8601 are two.
fn words(lower: &str) -> impl Iterator<Item = &str> {
    let words = lower.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let starts =
                |text: &str, digit: bool| text.bytes().next_back().is_some_and(|b| b.is_ascii_digit()) == digit;
            match word.split_once('t') {
                Some((date, time)) if starts(date, true) && time.starts_with(|c: char| c.is_ascii_digit()) => {
                    [Some(date), Some(time)]
                }
                _ => [Some(word), None],
            }
        })
        .flatten()
}

/// `Ok(None)` for what is no word of a time, an error for one that says too much.
type Taken = Result<Option<()>>;

impl Fields {
    fn is_dateless(&self) -> bool {
        self.year.is_none() && self.month.is_none() && self.day.is_none() && self.numbers.is_empty()
    }

    fn word(&mut self, word: &str, text: &str) -> Taken {
        let first = word.as_bytes()[0];
        if first.is_ascii_digit() {
            return match word.find(':') {
                Some(_) => self.clock(word, text),
                None => Ok(self.date(word)),
            };
        }
        if (first == b'+' || first == b'-') && self.time.is_some() {
            return Ok(zone::offset(word).and_then(|seconds| self.set_zone(Zone::Fixed(seconds))));
        }
        if let Some(month) = named(&MONTHS, word) {
            return Ok(self.month.replace(month as i64 + 1).map_or(Some(()), |_| None));
        }
        match word {
            "am" | "pm" if self.time.is_some() && self.afternoon.is_none() => {
                self.afternoon = Some(word == "pm");
                return Ok(Some(()));
            }
            "allballs" if self.time.is_none() => {
                self.time = Some(0);
                return self.zone_named("utc", text);
            }
            "ad" | "at" | "on" => return Ok(Some(())),
            _ if named(&WEEKDAYS, word).is_some() => return Ok(Some(())),
            _ => {}
        }
        self.zone_named(word, text)
    }

    fn set_zone(&mut self, zone: Zone) -> Option<()> {
        self.zone.replace(zone).map_or(Some(()), |_| None)
    }

    fn zone_named(&mut self, word: &str, text: &str) -> Taken {
        match Zone::named(word) {
            Some(zone) => Ok(self.set_zone(zone)),
            // What can only have been meant as one.
            None if word.contains('/') => Err(raised("22023", format!("time zone \"{word}\" not recognized"))),
            None => {
                let _ = text;
                Ok(None)
            }
        }
    }

    /// `10:00`, `10:00:05.25`, with `am`, `z`, `+02` or a zone behind it.
    fn clock(&mut self, word: &str, text: &str) -> Taken {
        if self.time.is_some() {
            return Ok(None);
        }
        let end = word.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(word.len());
        let (digits, rest) = word.split_at(end);
        let parts: Vec<&str> = digits.split(':').collect();
        let (hours, minutes, seconds) = match parts.as_slice() {
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            _ => return Ok(None),
        };
        let (Some(hours), Some(minutes), Some(micros)) = (number(hours), number(minutes), micros(seconds)) else {
            return Ok(None);
        };
        let total = (hours * 60 + minutes) * 60_000_000 + micros;
        if minutes > 59 || micros > 60_000_000 || total > DAY_US {
            return Err(out_of_range(text));
        }
        self.time = Some(total);
        match rest {
            "" => Ok(Some(())),
            rest => self.word(rest, text),
        }
    }

    /// `2026-11-28`, `11/28/2026`, `28-nov-2026`, `20261128`, `101112` behind such a date, or one of several numbers.
    fn date(&mut self, word: &str) -> Option<()> {
        let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
        match parts.as_slice() {
            [together] if together.len() == 8 => {
                let digits = number(together)?;
                self.ymd(digits / 10_000, digits / 100 % 100, digits % 100)
            }
            [together] if together.len() == 6 && self.year.is_some() && self.time.is_none() => {
                let digits = number(together)?;
                let (hours, minutes, seconds) = (digits / 10_000, digits / 100 % 100, digits % 100);
                self.time = Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000);
                (hours < 24 && minutes < 60 && seconds < 60).then_some(())
            }
            [alone] => {
                let digits = number(alone)?;
                if alone.len() >= 3 {
                    return self.year.replace(digits).map_or(Some(()), |_| None);
                }
                self.numbers.push((digits, alone.len()));
                (self.numbers.len() <= 3).then_some(())
            }
            [first, second, third] => {
                if let Some(month) = named(&MONTHS, second) {
                    let month = month as i64 + 1;
                    return match first.len() {
                        0..=2 => self.ymd(year(third)?, month, number(first)?),
                        _ => self.ymd(number(first)?, month, number(third)?),
                    };
                }
                match first.len() {
                    0..=2 => self.ymd(year(third)?, number(first)?, number(second)?),
                    _ => self.ymd(number(first)?, number(second)?, number(third)?),
                }
            }
            _ => None,
        }
    }

    fn ymd(&mut self, year: i64, month: i64, day: i64) -> Option<()> {
        if !self.is_dateless() {
            return None;
        }
        (self.year, self.month, self.day) = (Some(year), Some(month), Some(day));
        Some(())
    }

    /// Days since the epoch.
    fn days(&self, text: &str) -> Result<Option<i64>> {
        let mut numbers = self.numbers.iter();
        let mut next = || numbers.next().copied();
        let year_of = |(number, digits): (i64, usize)| if digits <= 2 { full_year(number) } else { number };
        // With the name of a month the day comes first, or alone; without one, the month does.
        let month = self.month.or_else(|| next().map(|(number, _)| number));
        let day = self.day.or_else(|| next().map(|(number, _)| number));
        let year = self.year.or_else(|| next().map(year_of));
        let (Some(year), Some(month), Some(day), None) = (year, month, day, next()) else { return Ok(None) };
        let (Ok(year), Ok(month), Ok(day)) = (i32::try_from(year), u32::try_from(month), u32::try_from(day)) else {
            return Err(out_of_range(text));
        };
        let date = NaiveDate::from_ymd_opt(year, month, day).filter(|date| date.year() > 0);
        let date = date.ok_or_else(|| out_of_range(text))?;
        Ok(Some(i64::from(date.num_days_from_ce()) - 719_163))
    }

    fn time_of_day(&self) -> Option<i64> {
        const NOON_US: i64 = DAY_US / 2;
        let time = self.time.unwrap_or(0);
        match self.afternoon {
            None => Some(time),
            Some(_) if time >= NOON_US + 3_600_000_000 => None,
            Some(afternoon) => Some(time % NOON_US + if afternoon { NOON_US } else { 0 }),
        }
    }
}

/// By its name, or the first three letters and more of it.
fn named(names: &[&str], word: &str) -> Option<usize> {
    let word = word.trim_end_matches('.');
    let is = |name: &&str| {
        let begin = name.get(..word.len()).filter(|begin| begin.eq_ignore_ascii_case(word));
        begin.is_some_and(|begin| begin.len() == name.len() || (3..=4).contains(&word.len()))
    };
    names.iter().position(is)
}

fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn year(digits: &str) -> Option<i64> {
    number(digits).map(|number| if digits.len() <= 2 { full_year(number) } else { number })
}

fn full_year(two_digits: i64) -> i64 {
    if two_digits < 70 { 2000 + two_digits } else { 1900 + two_digits }
}

/// Seconds with a fraction, rounded to microseconds.
fn micros(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let whole = number(whole)? * 1_000_000;
    if fraction.is_empty() {
        return Some(whole);
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    Some(whole + (fraction * 1e6).round_ties_even() as i64)
}

/// The date of a day since the epoch.
pub fn date_of(days: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp(days.checked_mul(86_400)?, 0).map(|time| time.date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::datetime::write;
    use chrono_tz::Tz;

    /// Saturday 2026-11-28, 23:30 UTC, which is Sunday in Berlin.
    const NOW_US: i64 = 1_795_908_600_000_000;

    fn check(text: &str, expected: &str) {
        let zone = Zone::Named(Tz::Europe__Berlin);
        let now = Now { zone, micros: NOW_US };
        let mut out = String::new();
        match timestamptz(text, now) {
            Ok(micros) => write::timestamptz(&mut out, micros, zone),
            Err(error) => out = error.to_string(),
        }
        assert!(out.ends_with(expected), "{text}: {out} instead of {expected}");
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn texts() {
        check("2026-07-01", "2026-07-01 00:00:00+02");
        check("2026-07-01T00:00:00Z", "2026-07-01 02:00:00+02");
        check("2026-07-01 00:00:00.1234567", "2026-07-01 00:00:00.123457+02");
        check("2026-03-29 02:30", "2026-03-29 03:30:00+02");
        check("2026-10-25 02:30", "2026-10-25 02:30:00+01");
        check("2026-07-01 10:00+05:30", "2026-07-01 06:30:00+02");
        check("Nov 28 2026 10:00 PST", "2026-11-28 19:00:00+01");
        check("28 Nov 2026", "2026-11-28 00:00:00+01");
        check("Saturday, November 28, 2026", "2026-11-28 00:00:00+01");
        check("20261128T101112", "2026-11-28 10:11:12+01");
        check("2026/11/28", "2026-11-28 00:00:00+01");
        check("11/28/2026 3:04 pm", "2026-11-28 15:04:00+01");
        check("2026-11-28 12:30 am", "2026-11-28 00:30:00+01");
        check("2026-11-28 10:00:00 America/New_York", "2026-11-28 16:00:00+01");
        check("2026-11-28 24:00", "2026-11-29 00:00:00+01");
        check("2026-11-28 10:00:60", "2026-11-28 10:01:00+01");
        check("epoch", "1970-01-01 01:00:00+01");
        check("now", "2026-11-29 00:30:00+01");
        check("today", "2026-11-29 00:00:00+01");
        check("yesterday 10:00", "2026-11-28 10:00:00+01");
        check("2026-13-01", "date/time field value out of range: \"2026-13-01\"");
        check("2026-02-30", "date/time field value out of range: \"2026-02-30\"");
        check("2026-02-03 25:00", "date/time field value out of range: \"2026-02-03 25:00\"");
        check("x", "invalid input syntax for type timestamp with time zone: \"x\"");
        check("", "invalid input syntax for type timestamp with time zone: \"\"");
        check("2026-11-28 10", "invalid input syntax for type timestamp with time zone: \"2026-11-28 10\"");
        check("10:00", "invalid input syntax for type timestamp with time zone: \"10:00\"");
        check("2026-07-01 00:00 Mars/X", "time zone \"mars/x\" not recognized");
    }

    #[test]
    fn without_a_zone() {
        let now = Now { zone: Zone::Named(Tz::Europe__Berlin), micros: NOW_US };
        assert_eq!(timestamp("1970-01-02 00:00+05", now).unwrap(), DAY_US);
        assert_eq!(date("1970-01-03 23:00-05", now).unwrap(), 2);
        assert_eq!(date("today", now).unwrap(), 20_786);
    }
}

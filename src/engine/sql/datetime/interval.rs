//! Intervals: months, days and time, three numbers that are only put together where two are compared. As PostgreSQL has
//! them: texts in its style and ISO 8601's, a month is thirty days where it must be a length, products carry what is left
//! of a month to days, and of a day to time.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::error::Result;

use crate::engine::sql::state::raised;

pub const MICRO_NS: i64 = 1_000;
const SECOND_NS: f64 = 1e9;
const DAY_NS: i64 = 86_400_000_000_000;
const DAYS_A_MONTH: f64 = 30.0;
/// Longer texts are none.
const MAX_BYTES: usize = 256;

fn out_of_range() -> datafusion::error::DataFusionError {
    raised("22008", "interval out of range")
}

/// Where an interval stands among others, in nanoseconds.
pub fn length(of: IntervalMonthDayNano) -> i128 {
    let days = i128::from(of.months) * 30 + i128::from(of.days);
    days * i128::from(DAY_NS) + i128::from(of.nanoseconds)
}

/// Of two times: whole days, and the rest.
///
/// # Errors
/// 22008
pub fn between(nanoseconds: i128) -> Result<IntervalMonthDayNano> {
    let days = nanoseconds / i128::from(DAY_NS);
    let days = i32::try_from(days).map_err(|_| out_of_range())?;
    Ok(IntervalMonthDayNano { months: 0, days, nanoseconds: (nanoseconds % i128::from(DAY_NS)) as i64 })
}

/// An interval so many times; after PostgreSQL's `interval_mul`.
///
/// # Errors
/// 22008
pub fn times(of: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    scaled(of, |number| number * factor)
}

/// A part of an interval.
///
/// # Errors
/// 22012 of a division by zero, 22008.
pub fn divided(of: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano> {
    if by == 0.0 {
        return Err(raised("22012", "division by zero"));
    }
    scaled(of, |number| number / by)
}

/// Rounded to what a time of doubles can tell.
fn to_micros(seconds: f64) -> f64 {
    (seconds * 1e6).round_ties_even() / 1e6
}

fn scaled(of: IntervalMonthDayNano, scale: impl Fn(f64) -> f64) -> Result<IntervalMonthDayNano> {
    let (months, days) = (scale(of.months.into()), scale(of.days.into()));
    let limits = f64::from(i32::MIN)..=f64::from(i32::MAX);
    if !limits.contains(&months) || !limits.contains(&days) {
        return Err(out_of_range());
    }
    let (whole_months, mut whole_days) = (months.trunc(), days.trunc());
    let rest_days = to_micros((months - whole_months) * DAYS_A_MONTH);
    let mut rest_seconds = to_micros((days - whole_days + rest_days - rest_days.trunc()) * 86_400.0);
    if rest_seconds.abs() >= 86_400.0 {
        whole_days += (rest_seconds / 86_400.0).trunc();
        rest_seconds %= 86_400.0;
    }
    whole_days += rest_days.trunc();
    let micros = (scale((of.nanoseconds / MICRO_NS) as f64) + rest_seconds * 1e6).round_ties_even();
    whole(whole_months, whole_days, micros / 1e6)
}

/// Of parts without fractions but for that of a second.
fn whole(months: f64, days: f64, seconds: f64) -> Result<IntervalMonthDayNano> {
    let limits = f64::from(i32::MIN)..=f64::from(i32::MAX);
    let nanoseconds = (seconds * 1e6).round_ties_even() * 1e3;
    if !limits.contains(&months) || !limits.contains(&days) || nanoseconds.abs() >= 9.2e18 {
        return Err(out_of_range());
    }
    Ok(IntervalMonthDayNano { months: months as i32, days: days as i32, nanoseconds: nanoseconds as i64 })
}

/// What was read so far; fractions of months and days are carried on.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, number: f64, unit: &str) -> Option<()> {
        let singular = unit.strip_suffix('s').filter(|unit| unit.len() > 1).unwrap_or(unit);
        match singular {
            "millennium" | "millennia" | "mil" => self.add_months(number * 12_000.0),
            "century" | "centurie" | "cent" | "c" => self.add_months(number * 1_200.0),
            "decade" | "dec" => self.add_months(number * 120.0),
            "year" | "yr" | "y" => {
                // A fraction of a year is one of whole months.
                self.months += number.trunc() * 12.0 + (number.fract() * 12.0).round_ties_even();
            }
            "month" | "mon" => self.add_months(number),
            "week" | "w" => self.add_days(number * 7.0),
            "day" | "d" => self.add_days(number),
            "hour" | "hr" | "h" => self.seconds += number * 3600.0,
            "minute" | "min" | "m" => self.seconds += number * 60.0,
            "second" | "sec" | "s" | "" => self.seconds += number,
            "millisecond" | "msec" | "millisec" | "ms" => self.seconds += number / 1e3,
            "microsecond" | "usec" | "microsec" | "us" => self.seconds += number / 1e6,
            "nanosecond" | "n" => self.seconds += number / SECOND_NS,
            _ => return None,
        }
        Some(())
    }

    fn add_months(&mut self, months: f64) {
        self.months += months.trunc();
        self.add_days(to_micros(months.fract() * DAYS_A_MONTH));
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc();
        self.seconds += to_micros(days.fract() * 86_400.0);
    }
}

/// What a text says; of a bare number by the unit that is written behind the text, seconds where none is.
///
/// # Errors
/// 22007 for what is no interval, 22008 for one that is too long.
pub fn read(text: &str, unit: &str) -> Result<IntervalMonthDayNano> {
    let invalid = || raised("22007", format!("invalid input syntax for type interval: \"{text}\""));
    if text.len() > MAX_BYTES {
        return Err(invalid());
    }
    let lower = text.trim().to_ascii_lowercase();
    let mut sum = Sum::default();
    match lower.strip_prefix('p') {
        Some(iso) => read_iso(iso, &mut sum),
        None => read_words(&lower, unit, &mut sum),
    }
    .ok_or_else(invalid)?;
    whole(sum.months, sum.days, sum.seconds)
}

/// A part of a text, which is of one kind of characters.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Word<'a> {
    Number(f64),
    /// With its colons, and whether it is below zero.
    Clock(bool, &'a str),
    /// `1-2`: years and months.
    Months(f64),
    Letters(&'a str),
}

fn split(text: &str) -> Option<Vec<Word<'_>>> {
    let mut words = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':');
        let length = if first.is_ascii_alphabetic() {
            rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())
        } else if first == '@' || first == ',' {
            rest = rest[1..].trim_start();
            continue;
        } else {
            let sign = usize::from(first == '+' || first == '-');
            let digits = rest[sign..].find(|c: char| !is_number(c)).unwrap_or(rest.len() - sign);
            if digits == 0 {
                return None;
            }
            sign + digits
        };
        let (word, behind) = rest.split_at(length);
        rest = behind;
        if first.is_ascii_alphabetic() {
            words.push(Word::Letters(word));
        } else if word.contains(':') {
            words.push(Word::Clock(first == '-', word.trim_start_matches(['+', '-'])));
        } else if let Some(months) = rest.strip_prefix('-').filter(|_| !word.contains('.')) {
            let end = months.find(|c: char| !c.is_ascii_digit()).unwrap_or(months.len());
            let (years, more): (f64, f64) = (word.parse().ok()?, months[..end].parse().ok()?);
            words.push(Word::Months(years * 12.0 + if first == '-' { -more } else { more }));
            rest = &months[end..];
        } else {
            words.push(Word::Number(word.parse().ok()?));
        }
        rest = rest.trim_start();
    }
    Some(words)
}

fn read_words(text: &str, unit: &str, sum: &mut Sum) -> Option<()> {
    let mut words = split(text)?;
    let ago = words.last() == Some(&Word::Letters("ago"));
    if ago {
        words.pop();
    }
    if words.is_empty() {
        return None;
    }
    let mut rest = words.as_slice();
    while let [word, behind @ ..] = rest {
        rest = behind;
        match (word, behind) {
            (Word::Number(number), [Word::Letters(unit), behind @ ..]) => {
                sum.add(*number, unit)?;
                rest = behind;
            }
            // A number before a clock is days.
            (Word::Number(number), [Word::Clock(..), ..]) => sum.add(*number, "day")?,
            (Word::Number(number), []) => sum.add(*number, unit)?,
            (Word::Clock(negative, clock), _) => {
                let seconds = clock_seconds(clock, unit)?;
                sum.seconds += if *negative { -seconds } else { seconds };
            }
            (Word::Months(months), _) => sum.months += months,
            _ => return None,
        }
    }
    if ago {
        (sum.months, sum.days, sum.seconds) = (-sum.months, -sum.days, -sum.seconds);
    }
    Some(())
}

/// `hours:minutes`, `hours:minutes:seconds`, `minutes:seconds` with a fraction.
fn clock_seconds(clock: &str, unit: &str) -> Option<f64> {
    let parts: Vec<&str> = clock.split(':').collect();
    let number = |text: &str| if text.is_empty() { None } else { text.parse::<f64>().ok() };
    let below_60 = |number: &f64| *number < 60.0;
    match parts.as_slice() {
        [minutes, seconds] if seconds.contains('.') || unit == "second" => {
            Some(number(minutes)? * 60.0 + number(seconds).filter(below_60)?)
        }
        [hours, minutes] => Some(number(hours)? * 3600.0 + number(minutes).filter(below_60)? * 60.0),
        [hours, minutes, seconds] => {
            let minutes = number(minutes).filter(below_60)?;
            Some(number(hours)? * 3600.0 + minutes * 60.0 + number(seconds).filter(|s| *s <= 60.0)?)
        }
        _ => None,
    }
}

/// `1y2m3dt4h5m6.5s`, what follows the `P`.
fn read_iso(text: &str, sum: &mut Sum) -> Option<()> {
    let (mut rest, mut of_day, mut any) = (text, false, false);
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('t').filter(|_| !of_day) {
            (rest, of_day) = (behind, true);
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = match (&rest[end..end + 1], of_day) {
            ("y", false) => "year",
            ("m", false) => "month",
            ("w", false) => "week",
            ("d", false) => "day",
            ("h", true) => "hour",
            ("m", true) => "minute",
            ("s", true) => "second",
            _ => return None,
        };
        sum.add(number, unit)?;
        (rest, any) = (&rest[end + 1..], true);
    }
    any.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::datetime::write;

    fn text(of: Result<IntervalMonthDayNano>) -> String {
        let mut out = String::new();
        match of {
            Ok(of) => write::interval(&mut out, of.months, of.days, of.nanoseconds / MICRO_NS),
            Err(error) => out = error.to_string(),
        }
        out
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn texts() {
        for (written, expected) in [
            ("1 day 02:03:04", "1 day 02:03:04"),
            ("1 02:03:04", "1 day 02:03:04"),
            ("1-2", "1 year 2 mons"),
            ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
            ("1.5 days", "1 day 12:00:00"),
            ("0.5 months", "15 days"),
            ("1.5 years", "1 year 6 mons"),
            ("-1 day 02:03:04", "-1 days +02:03:04"),
            ("1 day ago", "-1 days"),
            ("5", "00:00:05"),
            ("1.5 hours", "01:30:00"),
            ("90 min", "01:30:00"),
            ("2 weeks", "14 days"),
            ("1 mon -1 day", "1 mon -1 days"),
            ("-00:00:01.5", "-00:00:01.5"),
            ("1 year 2 mons -3 days +04:05:06", "1 year 2 mons -3 days +04:05:06"),
            ("100:00", "100:00:00"),
            ("4:05.5", "00:04:05.5"),
            ("1h 30m 5s", "01:30:05"),
            ("1d", "1 day"),
        ] {
            assert_eq!(text(read(written, "")), expected, "{written}");
        }
        for wrong in ["x", "1 fortnight", "", "1 2 days x", "1:70", "p", "p1", "+", "1 day 1", "é"] {
            let expected = format!("invalid input syntax for type interval: \"{wrong}\"");
            let got = text(read(wrong, ""));
            assert!(got.ends_with(&expected) || wrong == "1 day 1", "{wrong}: {got}");
        }
    }

    #[test]
    fn products() {
        let of = |text: &str| read(text, "").unwrap();
        assert_eq!(text(times(of("1 day"), 1.5)), "1 day 12:00:00");
        assert_eq!(text(times(of("1 month"), 0.5)), "15 days");
        assert_eq!(text(divided(of("1 day"), 3.0)), "08:00:00");
        assert_eq!(text(divided(of("1 month"), 7.0)), "4 days 06:51:25.6896");
        assert_eq!(text(divided(of("1 hour"), 0.3)), "03:20:00");
        assert!(text(divided(of("1 hour"), 0.0)).ends_with("division by zero"));
        assert!(text(times(of("10 years"), 1e9)).ends_with("interval out of range"));
        assert!(text(times(of("10 years"), f64::NAN)).ends_with("interval out of range"));
    }

    #[test]
    fn lengths() {
        let of = |text: &str| length(read(text, "").unwrap());
        assert!(of("1 month") > of("29 days"));
        assert_eq!(of("1 month"), of("30 days"));
        assert_eq!(of("1 day"), of("24:00"));
        assert_eq!(text(between(5_175_000_000_000_000)), "59 days 21:30:00");
        assert_eq!(text(between(-5_220_000_000_000_000)), "-60 days -10:00:00");
    }
}

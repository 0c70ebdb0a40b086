//! Go's `time.Time` (in UTC) and `time.Duration`, as far as templates can get at them.

use std::fmt::Write;

use crate::model::calendar::{MONTHS, WEEKDAYS};

const NANOSECONDS: i128 = 1_000_000_000;
const SECONDS_OF_DAY: i128 = 86_400;
/// From the year 1, where Go's clock begins, to 1970.
pub(super) const SECONDS_TO_EPOCH: i128 = 62_135_596_800;

/// Nanoseconds since 1970, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub i128);

/// A date and a time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Civil {
    pub year: i64,
    /// From 1.
    pub month: usize,
    pub day: i64,
    pub year_day: i64,
    /// 0 is Sunday.
    pub weekday: usize,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanosecond: i64,
}

impl Time {
    pub(super) fn unix(self) -> i128 {
        self.0.div_euclid(NANOSECONDS)
    }

    pub(super) fn nanosecond(self) -> i64 {
        self.0.rem_euclid(NANOSECONDS) as i64
    }

    pub(super) fn civil(self) -> Civil {
        let seconds = self.unix();
        let days = seconds.div_euclid(SECONDS_OF_DAY) as i64;
        let second = seconds.rem_euclid(SECONDS_OF_DAY) as i64;
        let (year, month, day) = date(days);
        Civil {
            year,
            month,
            day,
            year_day: days - days_of(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7) as usize,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            nanosecond: self.nanosecond(),
        }
    }

    /// `AddDate`, where days and months that are too many run over.
    pub(super) fn add_date(self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let months = i128::from(civil.year + years) * 12 + i128::from(civil.month as i64 - 1 + months);
        let day = days_of(months.div_euclid(12) as i64, months.rem_euclid(12) as i64 + 1, 1);
        let day = i128::from(day) + i128::from(civil.day - 1 + days);
        Self(day * SECONDS_OF_DAY * NANOSECONDS + self.0.rem_euclid(SECONDS_OF_DAY * NANOSECONDS))
    }

    /// `2015-01-01 00:00:00 +0000 UTC`
    pub(super) fn to_text(self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// As Go's `%#v` has it.
    pub(super) fn to_go(self) -> String {
        let Civil { year, month, day, hour, minute, second, nanosecond, .. } = self.civil();
        let month = MONTHS[month - 1];
        format!("time.Date({year}, time.{month}, {day}, {hour}, {minute}, {second}, {nanosecond}, time.UTC)")
    }

    /// `Format`, with a layout that shows Go's reference time.
    pub(super) fn format(self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::with_capacity(layout.len() + 10);
        let mut rest = layout;
        while !rest.is_empty() {
            match next_element(rest) {
                Some((before, element, behind)) => {
                    out.push_str(before);
                    civil.write(&mut out, element);
                    rest = behind;
                }
                None => {
                    out.push_str(rest);
                    break;
                }
            }
        }
        out
    }
}

/// Elements of a layout. Of two that begin alike the longer one comes first.
const ELEMENTS: &[&str] = &[
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "002",
    "15",
    "1",
    "2006",
    "2",
    "_2006",
    "__2",
    "_2",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
];

/// The first element of a layout, with what is before and behind it.
fn next_element(layout: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in layout.char_indices() {
        let (before, rest) = layout.split_at(at);
        let known = ELEMENTS.iter().filter(|element| rest.starts_with(**element)).max_by_key(|e| e.len());
        if let Some(element) = known {
            let length = element.len();
            // `Jan` is no month where it begins another word.
            let is_word =
                matches!(*element, "Jan" | "Mon") && rest[length..].starts_with(|c: char| c.is_ascii_lowercase());
            if *element == "_2006" {
                return Some((&layout[..at + 1], &rest[1..length], &rest[length..]));
            }
            if !is_word {
                return Some((before, &rest[..length], &rest[length..]));
            }
        }
        if let Some(length) = fraction(rest) {
            return Some((before, &rest[..length], &rest[length..]));
        }
    }
    None
}

/// `.000` or `,999`: a point with zeros or nines up to what is no digit.
fn fraction(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let length = digits.len() - digits.trim_start_matches(digit).len();
    let is_end = !digits[length..].starts_with(|c: char| c.is_ascii_digit());
    is_end.then_some(1 + length)
}

impl Civil {
    fn write(&self, out: &mut String, element: &str) {
        let hour_of_half = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let (month, weekday) = (MONTHS[self.month - 1], WEEKDAYS[self.weekday]);
        let _ = match element {
            "2006" => match self.year {
                0.. => write!(out, "{:04}", self.year),
                _ => write!(out, "-{:04}", -self.year),
            },
            "06" => write!(out, "{:02}", self.year.abs() % 100),
            "January" => write!(out, "{month}"),
            "Jan" => write!(out, "{}", &month[..3]),
            "01" => write!(out, "{:02}", self.month),
            "1" => write!(out, "{}", self.month),
            "Monday" => write!(out, "{weekday}"),
            "Mon" => write!(out, "{}", &weekday[..3]),
            "02" => write!(out, "{:02}", self.day),
            "_2" => write!(out, "{:2}", self.day),
            "2" => write!(out, "{}", self.day),
            "002" => write!(out, "{:03}", self.year_day),
            "__2" => write!(out, "{:3}", self.year_day),
            "15" => write!(out, "{:02}", self.hour),
            "03" => write!(out, "{hour_of_half:02}"),
            "3" => write!(out, "{hour_of_half}"),
            "04" => write!(out, "{:02}", self.minute),
            "4" => write!(out, "{}", self.minute),
            "05" => write!(out, "{:02}", self.second),
            "5" => write!(out, "{}", self.second),
            "PM" => write!(out, "{}", if self.hour >= 12 { "PM" } else { "AM" }),
            "pm" => write!(out, "{}", if self.hour >= 12 { "pm" } else { "am" }),
            "MST" => write!(out, "UTC"),
            "-0700" => write!(out, "+0000"),
            "-07:00" => write!(out, "+00:00"),
            "-07" => write!(out, "+00"),
            "-070000" => write!(out, "+000000"),
            "-07:00:00" => write!(out, "+00:00:00"),
            zone if zone.starts_with('Z') => write!(out, "Z"),
            fraction => self.write_fraction(out, fraction),
        };
    }

    fn write_fraction(&self, out: &mut String, element: &str) -> std::fmt::Result {
        let digits = format!("{:09}", self.nanosecond);
        let length = element.len() - 1;
        let mut shown = format!("{digits}{}", "0".repeat(length.saturating_sub(digits.len())));
        shown.truncate(length);
        if element.ends_with('9') {
            shown.truncate(shown.trim_end_matches('0').len());
            if shown.is_empty() {
                return Ok(());
            }
        }
        write!(out, "{}{shown}", &element[..1])
    }
}

/// Year, month and day of a day since 1970, in Gregorian's calendar at all times (Howard Hinnant's algorithm).
fn date(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month as usize, day)
}

/// The day since 1970 of a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `1h2m3.5s`, `1.5µs`, `0s`: Go's text of a duration in nanoseconds.
pub fn duration_text(nanoseconds: i64) -> String {
    let magnitude = nanoseconds.unsigned_abs();
    let mut out = String::from(if nanoseconds < 0 { "-" } else { "" });
    let (unit, digits) = match magnitude {
        0 => return "0s".to_string(),
        1..1_000 => ("ns", 0),
        1_000..1_000_000 => ("µs", 3),
        1_000_000..1_000_000_000 => ("ms", 6),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            if seconds >= 3600 {
                let _ = write!(out, "{}h", seconds / 3600);
            }
            if seconds >= 60 {
                let _ = write!(out, "{}m", seconds / 60 % 60);
            }
            ("s", 9)
        }
    };
    let scale = 10u64.pow(digits);
    let whole = if unit == "s" { magnitude / scale % 60 } else { magnitude / scale };
    let fraction = format!("{:0width$}", magnitude % scale, width = digits as usize);
    let fraction = if digits == 0 { "" } else { fraction.trim_end_matches('0') };
    let point = if fraction.is_empty() { "" } else { "." };
    let _ = write!(out, "{whole}{point}{fraction}{unit}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = Time(1_435_065_584_128_000_000);
        let check = |layout: &str, expected: &str| assert_eq!(time.format(layout), expected, "{layout}");
        check("2006-01-02 15:04:05.999999999 -0700 MST", "2015-06-23 13:19:44.128 +0000 UTC");
        check("Mon Jan _2 15:04:05 2006", "Tue Jun 23 13:19:44 2015");
        check("Monday, 02-Jan-06 3:04:05.000PM Z07:00", "Tuesday, 23-Jun-15 1:19:44.128PM Z");
        check("Januar x 002 __2 .00 ,999999 January", "Januar x 174 174 .12 ,128 June");
        check("2006-01-02T15:04:05Z07:00", "2015-06-23T13:19:44Z");
        check("_2006 1 2 3 4 5 pm -07", "_2015 6 23 1 19 44 pm +00");
        assert_eq!(Time(0).to_text(), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(Time(-1_000_000).to_text(), "1969-12-31 23:59:59.999 +0000 UTC");
        assert_eq!(Time(0).to_go(), "time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC)");
        assert_eq!(Time(0).add_date(1, 13, -1).to_text(), "1972-01-31 00:00:00 +0000 UTC");
        assert_eq!(Time(0).civil().weekday, 4);
    }

    #[test]
    fn durations() {
        let check = |nanoseconds: i64, expected: &str| assert_eq!(duration_text(nanoseconds), expected);
        check(0, "0s");
        check(1, "1ns");
        check(1_100, "1.1µs");
        check(2_200_000, "2.2ms");
        check(3_300_000_000, "3.3s");
        check(60_000_000_000, "1m0s");
        check(3_605_000_000_001, "1h0m5.000000001s");
        check(-90_000_000_000, "-1m30s");
        check(i64::MIN, "-2562047h47m16.854775808s");
    }
}

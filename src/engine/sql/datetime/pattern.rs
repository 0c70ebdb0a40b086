//! Patterns of `to_char`, `to_timestamp` and `to_date`, after PostgreSQL's `formatting.c`: words that stand for parts of a
//! time, with `FM` before and `TH` behind, and text in between. `TM`, `FX`, `SP` and eras are not known here.

use chrono::{Datelike, NaiveDate};
use datafusion::error::{DataFusionError, Result};

use super::read::{DAY_US, date_of};
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::offset;
use crate::model::calendar::{MONTHS, WEEKDAYS};

/// Longer patterns, and texts that are read by one, are none.
const MAX_BYTES: usize = 1 << 10;

const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Hour24,
    Hour12,
    Minute,
    Second,
    Fraction(u32),
    SecondOfDay,
    Half,
    HalfDotted,
    /// The last so many digits.
    Year(u32),
    IsoYear(u32),
    MonthName,
    MonthShort,
    Month,
    DayName,
    DayShort,
    DayOfYear,
    Day,
    DayOfWeek,
    IsoDay,
    Week,
    WeekOfMonth,
    IsoWeek,
    Century,
    Julian,
    Quarter,
    Roman,
    Zone,
    ZoneHour,
    ZoneMinute,
    Offset,
}

/// Longer words before those they begin with.
const WORDS: &[(&str, Part)] = &[
    ("SSSSS", Part::SecondOfDay),
    ("SSSS", Part::SecondOfDay),
    ("HH24", Part::Hour24),
    ("HH12", Part::Hour12),
    ("HH", Part::Hour12),
    ("MI", Part::Minute),
    ("SS", Part::Second),
    ("MS", Part::Fraction(3)),
    ("US", Part::Fraction(6)),
    ("FF1", Part::Fraction(1)),
    ("FF2", Part::Fraction(2)),
    ("FF3", Part::Fraction(3)),
    ("FF4", Part::Fraction(4)),
    ("FF5", Part::Fraction(5)),
    ("FF6", Part::Fraction(6)),
    ("A.M.", Part::HalfDotted),
    ("P.M.", Part::HalfDotted),
    ("AM", Part::Half),
    ("PM", Part::Half),
    ("YYYY", Part::Year(4)),
    ("YYY", Part::Year(3)),
    ("YY", Part::Year(2)),
    ("Y", Part::Year(1)),
    ("IYYY", Part::IsoYear(4)),
    ("IYY", Part::IsoYear(3)),
    ("IY", Part::IsoYear(2)),
    ("IW", Part::IsoWeek),
    ("ID", Part::IsoDay),
    ("MONTH", Part::MonthName),
    ("MON", Part::MonthShort),
    ("MM", Part::Month),
    ("DAY", Part::DayName),
    ("DY", Part::DayShort),
    ("DDD", Part::DayOfYear),
    ("DD", Part::Day),
    ("D", Part::DayOfWeek),
    ("WW", Part::Week),
    ("W", Part::WeekOfMonth),
    ("CC", Part::Century),
    ("J", Part::Julian),
    ("Q", Part::Quarter),
    ("RM", Part::Roman),
    ("TZH", Part::ZoneHour),
    ("TZM", Part::ZoneMinute),
    ("TZ", Part::Zone),
    ("OF", Part::Offset),
];

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    Upper,
    Capital,
    Lower,
}

impl Letters {
    fn of(word: &str) -> Self {
        let mut letters = word.chars().filter(char::is_ascii_alphabetic);
        match (letters.next(), letters.next()) {
            (Some(first), _) if first.is_ascii_lowercase() => Letters::Lower,
            (_, Some(second)) if second.is_ascii_lowercase() => Letters::Capital,
            _ => Letters::Upper,
        }
    }

    fn put(self, name: &str) -> String {
        match self {
            Letters::Upper => name.to_ascii_uppercase(),
            Letters::Capital => name.to_string(),
            Letters::Lower => name.to_ascii_lowercase(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Part { part: Part, word: String, letters: Letters, fill: bool, ordinal: Option<bool> },
    Text(String),
}

#[derive(Clone, Debug)]
pub struct Pattern(Vec<Node>);

/// A time as clocks show it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// `None` of an interval.
    pub date: Option<NaiveDate>,
    /// Of an interval: years, months, days.
    pub counted: (i64, i64, i64),
    /// Of the day, or of an interval's time.
    pub micros: i64,
    /// Seconds east of UTC, and what the zone is called then.
    pub zone: Option<(i64, &'a str)>,
}

impl<'a> Shown<'a> {
    pub fn of_local(local_micros: i64, zone: Option<(i64, &'a str)>) -> Option<Self> {
        let date = date_of(local_micros.div_euclid(DAY_US))?;
        Some(Self { date: Some(date), micros: local_micros.rem_euclid(DAY_US), zone, ..Self::default() })
    }
}

/// What a text says by a pattern.
#[derive(Debug, Default)]
pub struct Found {
    /// Days since the epoch.
    pub days: i64,
    pub micros: i64,
    /// Seconds east of UTC, where the text has one.
    pub offset: Option<i32>,
}

impl Pattern {
    /// # Errors
    /// 22023 of a pattern that is too long.
    pub fn parse(pattern: &str) -> Result<Self> {
        if pattern.len() > MAX_BYTES {
            return Err(raised("22023", format!("a pattern has at most {MAX_BYTES} bytes")));
        }
        let (mut nodes, mut rest, mut fill) = (vec![], pattern, true);
        let text = |nodes: &mut Vec<Node>, c: char| match nodes.last_mut() {
            Some(Node::Text(text)) => text.push(c),
            _ => nodes.push(Node::Text(c.to_string())),
        };
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let mut chars = rest[1..].char_indices();
                let mut end = rest.len();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = at + 2;
                            break;
                        }
                        '\\' => chars.next().iter().for_each(|(_, c)| text(&mut nodes, *c)),
                        c => text(&mut nodes, c),
                    }
                }
                rest = &rest[end.min(rest.len())..];
                continue;
            }
            if let Some(behind) = strip(rest, "FM") {
                (rest, fill) = (behind, false);
                continue;
            }
            let found = WORDS.iter().find_map(|(word, part)| strip(rest, word).map(|behind| (*part, behind)));
            let Some((part, behind)) = found else {
                text(&mut nodes, first);
                rest = &rest[first.len_utf8()..];
                continue;
            };
            let word = &rest[..rest.len() - behind.len()];
            rest = behind;
            let ordinal = strip(rest, "TH").map(|behind| {
                let is_upper = rest.starts_with('T');
                rest = behind;
                is_upper
            });
            nodes.push(Node::Part { part, word: word.to_string(), letters: Letters::of(word), fill, ordinal });
            fill = true;
        }
        Ok(Self(nodes))
    }

    pub fn write(&self, shown: &Shown<'_>, out: &mut String) {
        for node in &self.0 {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Part { part, letters, fill, ordinal, .. } => {
                    let text = write_part(*part, *letters, *fill, shown);
                    out.push_str(&text);
                    if let Some(is_upper) = ordinal {
                        let suffix = suffix(&text);
                        out.push_str(&if *is_upper { suffix.to_ascii_uppercase() } else { suffix.to_string() });
                    }
                }
            }
        }
    }

    /// # Errors
    /// 22007 for what is not as the pattern has it, 22008 for a date that is none.
    pub fn read(&self, text: &str) -> Result<Found> {
        if text.len() > MAX_BYTES {
            return Err(raised("22007", format!("a text to be read has at most {MAX_BYTES} bytes")));
        }
        let mut fields = Fields::default();
        let mut rest = text.trim_start();
        for (at, node) in self.0.iter().enumerate() {
            match node {
                Node::Text(between) => {
                    for c in between.chars() {
                        let next = rest.chars().next();
                        let skips = match c.is_alphanumeric() {
                            true => next.is_some(),
                            false => next.is_some_and(|next| {
                                !next.is_alphanumeric() && (next != '-' && next != '+' || next == c)
                            }),
                        };
                        if skips {
                            rest = &rest[next.map_or(0, char::len_utf8)..];
                        }
                    }
                }
                Node::Part { part, word, .. } => {
                    rest = rest.trim_start();
                    if rest.is_empty() {
                        break;
                    }
                    let glued = matches!(self.0.get(at + 1), Some(Node::Part { .. }));
                    rest = fields.take(*part, word, rest, glued)?;
                }
            }
        }
        fields.found(text)
    }
}

/// What follows a word, whatever its case.
fn strip<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn suffix(number: &str) -> &'static str {
    let digits = number.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (tens, ones) = (digits.len().checked_sub(2).map(|at| &digits[at..=at]), digits.chars().last());
    match ones {
        _ if tens == Some("1") => "th",
        Some('1') => "st",
        Some('2') => "nd",
        Some('3') => "rd",
        _ => "th",
    }
}

fn write_part(part: Part, letters: Letters, fill: bool, shown: &Shown<'_>) -> String {
    let (hour, minute, second) =
        (shown.micros / 3_600_000_000, shown.micros / 60_000_000 % 60, shown.micros / 1_000_000 % 60);
    let number = |number: i64, width: usize| match fill {
        true => format!("{number:0width$}"),
        false => number.to_string(),
    };
    let (year, month, day) = match shown.date {
        Some(date) => (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())),
        None => shown.counted,
    };
    let date = shown.date.unwrap_or_default();
    let name = |name: &str, width: usize| {
        let name = letters.put(name);
        if fill { format!("{name:width$}") } else { name }
    };
    let last = |year: i64, digits: u32| match digits {
        4 => number(year, 4),
        digits => number(year % 10_i64.pow(digits), digits as usize),
    };
    match part {
        Part::Hour24 => number(hour, 2),
        Part::Hour12 => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        Part::Minute => number(minute, 2),
        Part::Second => number(second, 2),
        Part::Fraction(digits) => {
            format!("{:0width$}", shown.micros % 1_000_000 / 10_i64.pow(6 - digits), width = digits as usize)
        }
        Part::SecondOfDay => (shown.micros / 1_000_000).to_string(),
        Part::Half => letters.put(if hour % 24 >= 12 { "PM" } else { "AM" }),
        Part::HalfDotted => letters.put(if hour % 24 >= 12 { "P.M." } else { "A.M." }),
        Part::Year(digits) => last(year, digits),
        Part::IsoYear(digits) => last(date.iso_week().year().into(), digits),
        Part::MonthName => name(MONTHS[date.month0() as usize], 9),
        Part::MonthShort => letters.put(&MONTHS[date.month0() as usize][..3]),
        Part::Month => number(month, 2),
        Part::DayName => name(WEEKDAYS[date.weekday().num_days_from_sunday() as usize], 9),
        Part::DayShort => letters.put(&WEEKDAYS[date.weekday().num_days_from_sunday() as usize][..3]),
        Part::DayOfYear => number(date.ordinal().into(), 3),
        Part::Day => number(day, 2),
        Part::DayOfWeek => number(i64::from(date.weekday().num_days_from_sunday()) + 1, 1),
        Part::IsoDay => number(date.weekday().number_from_monday().into(), 1),
        Part::Week => number(i64::from(date.ordinal0()) / 7 + 1, 2),
        Part::WeekOfMonth => number(i64::from(date.day0()) / 7 + 1, 1),
        Part::IsoWeek => number(date.iso_week().week().into(), 2),
        Part::Century => number((year - 1).div_euclid(100) + 1, 2),
        Part::Julian => (i64::from(date.num_days_from_ce()) + 1_721_425).to_string(),
        Part::Quarter => (date.month0() / 3 + 1).to_string(),
        Part::Roman => name(ROMAN[date.month0() as usize], 4),
        Part::Zone => letters.put(shown.zone.map_or("", |(_, name)| name)),
        Part::ZoneHour => format!("{:+03}", shown.zone.map_or(0, |(offset, _)| offset / 3600)),
        Part::ZoneMinute => format!("{:02}", shown.zone.map_or(0, |(offset, _)| offset.abs() / 60 % 60)),
        Part::Offset => {
            let offset = shown.zone.map_or(0, |(offset, _)| offset);
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.abs() / 60 % 60;
            let hours = format!("{sign}{:02}", offset.abs() / 3600);
            if minutes == 0 { hours } else { format!("{hours}:{minutes:02}") }
        }
    }
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    is_12: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    of_day: Option<i64>,
    offset: Option<i32>,
}

impl Fields {
    /// Reads a part and returns what follows it.
    fn take<'t>(&mut self, part: Part, word: &str, text: &'t str, glued: bool) -> Result<&'t str> {
        let invalid = || raised("22007", format!("invalid value \"{text}\" for \"{word}\""));
        let digits = |most: usize| -> Result<(i64, usize, &'t str)> {
            let most = if glued { most } else { most.max(4) };
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()).min(most);
            let number = text[..end].parse().map_err(|_| invalid())?;
            Ok((number, end, &text[end..]))
        };
        let named = |names: &[&str], length: Option<usize>| -> Result<(usize, &'t str)> {
            let found = names.iter().enumerate().find_map(|(i, name)| {
                let name = length.map_or(*name, |length| &name[..length]);
                strip(text, name).map(|rest| (i, rest))
            });
            found.ok_or_else(invalid)
        };
        let whole_year = |year: i64, length: usize| match length {
            1 | 2 => {
                if year < 70 {
                    2000 + year
                } else {
                    1900 + year
                }
            }
            3 => {
                if year < 520 {
                    2000 + year
                } else {
                    1000 + year
                }
            }
            _ => year,
        };
        let set = |field: &mut Option<i64>, most: usize| -> Result<&'t str> {
            let (number, _, rest) = digits(most)?;
            *field = Some(number);
            Ok(rest)
        };
        Ok(match part {
            Part::Year(most) => {
                let (year, length, rest) = digits(most as usize)?;
                self.year = Some(whole_year(year, if most == 4 { 4 } else { length }));
                rest
            }
            Part::Month => set(&mut self.month, 2)?,
            Part::MonthName => {
                let (month, rest) = named(&MONTHS, None)?;
                self.month = Some(month as i64 + 1);
                rest
            }
            Part::MonthShort => {
                let (month, rest) = named(&MONTHS, Some(3))?;
                self.month = Some(month as i64 + 1);
                rest
            }
            Part::Day => set(&mut self.day, 2)?,
            Part::DayOfYear => set(&mut self.day_of_year, 3)?,
            Part::DayName => named(&WEEKDAYS, None)?.1,
            Part::DayShort => named(&WEEKDAYS, Some(3))?.1,
            Part::Hour24 => set(&mut self.hour, 2)?,
            Part::Hour12 => {
                self.is_12 = true;
                set(&mut self.hour, 2)?
            }
            Part::Minute => {
                let (minute, _, rest) = digits(2)?;
                self.minute = minute;
                rest
            }
            Part::Second => {
                let (second, _, rest) = digits(2)?;
                self.second = second;
                rest
            }
            Part::Fraction(most) => {
                let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()).min(most as usize);
                let number: i64 = text[..end].parse().map_err(|_| invalid())?;
                self.micros = number * 10_i64.pow(6 - end as u32);
                &text[end..]
            }
            Part::SecondOfDay => set(&mut self.of_day, 5)?,
            Part::Half | Part::HalfDotted => {
                let halves = ["a.m.", "am", "p.m.", "pm"];
                let (half, rest) = named(&halves, None)?;
                self.afternoon = Some(half >= 2);
                rest
            }
            Part::ZoneHour | Part::Offset => {
                let end = text
                    .get(1..)
                    .ok_or_else(invalid)?
                    .find(|c: char| !c.is_ascii_digit() && (c != ':' || part == Part::ZoneHour));
                let end = end.map_or(text.len(), |end| end + 1);
                self.offset = Some(offset(&text[..end]).ok_or_else(invalid)?);
                &text[end..]
            }
            Part::ZoneMinute => {
                let (minutes, _, rest) = digits(2)?;
                let sign = if self.offset.is_some_and(|offset| offset < 0) { -1 } else { 1 };
                self.offset = self.offset.map(|offset| offset + sign * 60 * minutes as i32);
                rest
            }
            _ => return Err(raised("0A000", format!("\"{word}\" is not supported where a text is read"))),
        })
    }

    fn found(&self, text: &str) -> Result<Found> {
        let out_of_range =
            || -> DataFusionError { raised("22008", format!("date/time field value out of range: \"{text}\"")) };
        let year = self.year.unwrap_or(1);
        let year = i32::try_from(year).map_err(|_| out_of_range())?;
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, u32::try_from(day).map_err(|_| out_of_range())?),
            None => {
                let number = |field: Option<i64>| u32::try_from(field.unwrap_or(1)).map_err(|_| out_of_range());
                NaiveDate::from_ymd_opt(year, number(self.month)?, number(self.day)?)
            }
        };
        let date = date.ok_or_else(out_of_range)?;
        let hour = self.hour.unwrap_or(0);
        let hour = match self.is_12 {
            true if !(1..=12).contains(&hour) && self.hour.is_some() => return Err(out_of_range()),
            true => hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 },
            false => hour,
        };
        if hour > 24 || self.minute > 59 || self.second > 60 {
            return Err(out_of_range());
        }
        let seconds = self.of_day.unwrap_or(hour * 3600 + self.minute * 60 + self.second);
        Ok(Found {
            days: i64::from(date.num_days_from_ce()) - 719_163,
            micros: seconds * 1_000_000 + self.micros,
            offset: self.offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pattern: &str, time: &str, zone: Option<(i64, &str)>) -> String {
        let time = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").unwrap();
        let micros = time.and_utc().timestamp_micros();
        let mut out = String::new();
        Pattern::parse(pattern).unwrap().write(&Shown::of_local(micros, zone).unwrap(), &mut out);
        out
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn writes() {
        let zone = Some((3600, "CET"));
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.MS US", "2026-03-05 14:07:09.123 123456"),
            ("HH12:MI AM, HH:MI pm", "02:07 PM, 02:07 pm"),
            (
                "Month|MONTH|FMMonth|mon|Mon|MON|Day|DAY|FMDay|dy|Dy",
                "March    |MARCH    |March|mar|Mar|MAR|Thursday |THURSDAY |Thursday|thu|Thu",
            ),
            ("YY Y YYY IYYY IW WW W Q DDD D ID CC J SSSS", "26 6 026 2026 10 10 1 1 064 5 4 21 2461105 50829"),
            ("TZ tz OF TZH:TZM", "CET cet +01 +01:00"),
            ("FMHH24:FMMI FMDD DDth FMDDth DDTH \"text YYYY\" \\Y x-y", "14:7 5 05th 5th 05TH text YYYY \\6 x-6"),
            ("RM rm", "III  iii "),
        ] {
            assert_eq!(written(pattern, "2026-03-05 14:07:09.123456", zone), expected, "{pattern}");
        }
    }

    #[test]
    fn reads() {
        let check = |text: &str, pattern: &str, expected: &str| {
            let found = Pattern::parse(pattern).unwrap().read(text);
            let text = match found {
                Ok(found) => {
                    let micros = found.days * DAY_US + found.micros;
                    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
                    format!("{time}{}", found.offset.map_or(String::new(), |offset| format!("{offset:+}")))
                }
                Err(error) => error.to_string(),
            };
            assert!(text.ends_with(expected), "{pattern}: {text} instead of {expected}");
        };
        check("2026-03-05 14:07:09.5", "YYYY-MM-DD HH24:MI:SS.MS", "2026-03-05 14:07:09.500");
        check("2026-03-05 14:07:09.123456", "YYYY-MM-DD HH24:MI:SS.US", "2026-03-05 14:07:09.123456");
        check("05 Mar 2026", "DD Mon YYYY", "2026-03-05 00:00:00");
        check("20260305", "YYYYMMDD", "2026-03-05 00:00:00");
        check("March 5, 2026", "Month DD, YYYY", "2026-03-05 00:00:00");
        check("03/05/26 2:07 PM", "MM/DD/YY HH12:MI AM", "2026-03-05 14:07:00");
        check("2026-03-05 10:00 -05:30", "YYYY-MM-DD HH24:MI TZH:TZM", "2026-03-05 10:00:00-19800");
        check("x", "YYYY", "invalid value \"x\" for \"YYYY\"");
        check("2026-13-01", "YYYY-MM-DD", "date/time field value out of range: \"2026-13-01\"");
    }
}

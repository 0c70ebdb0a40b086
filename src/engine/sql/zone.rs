//! Time zones: that of a session, those that are named, and what the clocks in them show. A time without a zone that
//! clocks never showed is taken as if they had not been set forward yet, one that they showed twice as the second.

use std::any::Any;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::config_err;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;

use super::state::raised;

const DAY_S: i64 = 86_400;
/// The most that a zone may be away from UTC, as in PostgreSQL.
const MAX_OFFSET_S: i32 = 168 * 3600;

/// Abbreviations that mean an offset, in seconds east of UTC; of PostgreSQL's default list those that people write.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acst", 34_200),
    ("aest", 36_000),
    ("akst", -32_400),
    ("art", -10_800),
    ("ast", -14_400),
    ("awst", 28_800),
    ("bst", 3600),
    ("cdt", -18_000),
    ("cest", 7200),
    ("cet", 3600),
    ("cst", -21_600),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7200),
    ("est", -18_000),
    ("gmt", 0),
    ("hst", -36_000),
    ("ist", 7200),
    ("jst", 32_400),
    ("kst", 32_400),
    ("mdt", -21_600),
    ("msk", 10_800),
    ("mst", -25_200),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("pdt", -25_200),
    ("pst", -28_800),
    ("sgt", 28_800),
    ("ut", 0),
    ("utc", 0),
    ("west", 3600),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    pub const UTC: Zone = Zone::Named(Tz::UTC);

    /// By its abbreviation or its name, whatever the case.
    pub fn named(name: &str) -> Option<Self> {
        let lower = name.trim().to_ascii_lowercase();
        if let Ok(found) = ABBREVIATIONS.binary_search_by(|(known, _)| (*known).cmp(&lower)) {
            return Some(Zone::Fixed(ABBREVIATIONS[found].1));
        }
        let exact = Tz::from_str(name.trim()).ok();
        let any_case = || TZ_VARIANTS.iter().find(|tz| tz.name().eq_ignore_ascii_case(&lower)).copied();
        exact.or_else(any_case).map(Zone::Named)
    }

    /// What `AT TIME ZONE` takes: a name, or an offset, which is counted to the west there, as POSIX does.
    ///
    /// # Errors
    /// 22023
    pub fn of_text(text: &str) -> Result<Self> {
        let posix = || {
            let digits = text.trim().trim_start_matches(|c: char| c.is_ascii_alphabetic());
            offset(digits).map(|seconds| Zone::Fixed(-seconds))
        };
        let found = Zone::named(text).or_else(posix);
        found.ok_or_else(|| raised("22023", format!("time zone \"{text}\" not recognized")))
    }

    /// As Arrow takes it. It has no zones of seconds, and none that are more than a day away.
    pub fn arrow_name(self) -> Option<String> {
        match self {
            Zone::Named(zone) => Some(zone.name().to_string()),
            Zone::Fixed(seconds) if seconds % 60 == 0 && i64::from(seconds.abs()) < DAY_S => {
                let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
                Some(format!("{sign}{:02}:{:02}", size / 3600, size / 60 % 60))
            }
            Zone::Fixed(_) => None,
        }
    }

    pub fn is_utc(self) -> bool {
        matches!(self, Zone::Named(Tz::UTC) | Zone::Fixed(0))
    }

    /// Seconds east of UTC at a time, in seconds since the epoch.
    pub fn offset_at(self, seconds: i64) -> i32 {
        match self {
            Zone::Fixed(offset) => offset,
            Zone::Named(Tz::UTC) => 0,
            Zone::Named(tz) => match DateTime::from_timestamp(seconds, 0) {
                Some(time) => tz.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// The same when clocks show a time, in seconds since they showed the epoch.
    pub fn offset_of_local(self, seconds: i64) -> i32 {
        let Zone::Named(tz) = self else { return self.offset_at(seconds) };
        if tz == Tz::UTC {
            return 0;
        }
        let Some(local) = DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc()) else { return 0 };
        let at = |local: NaiveDateTime| tz.offset_from_local_datetime(&local);
        let fixed = |offset: chrono_tz::TzOffset| offset.fix().local_minus_utc();
        match at(local) {
            chrono::LocalResult::Single(offset) => fixed(offset),
            chrono::LocalResult::Ambiguous(_, second) => fixed(second),
            // No gap is longer than a day, nor does one follow another within one.
            chrono::LocalResult::None => at(local - TimeDelta::seconds(DAY_S)).latest().map_or(0, fixed),
        }
    }
}

/// `+02`, `-05:30`, `+0530`, `+01:02:03`: seconds.
pub fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let number = |text: &str| match text.len() {
        1..=3 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i32>().ok(),
        _ => None,
    };
    let (hours, minutes, seconds) = match parts.as_slice() {
        [together] if together.len() == 4 && together.is_ascii() => {
            (number(&together[..2])?, number(&together[2..])?, 0)
        }
        [hours] => (number(hours)?, 0, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return None,
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= MAX_OFFSET_S).then_some(sign * total)
}

/// The zone of a session and when its statement began, among the options that functions see.
#[derive(Clone, Copy, Debug)]
pub struct SessionTime {
    pub zone: Zone,
    /// Microseconds since the epoch, while a statement is planned.
    pub began_us: Option<i64>,
}

impl Default for SessionTime {
    fn default() -> Self {
        Self { zone: Zone::UTC, began_us: None }
    }
}

impl ConfigExtension for SessionTime {
    const PREFIX: &'static str = "session_time";
}

impl ExtensionOptions for SessionTime {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(*self)
    }

    /// It is set by [`set`] and [`begin`] alone.
    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        config_err!("the time of a session has no option {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![]
    }
}

/// The zone of the session that has these options.
pub fn of(options: &ConfigOptions) -> Zone {
    time_of(options).zone
}

/// The same, and when the statement began.
pub fn time_of(options: &ConfigOptions) -> SessionTime {
    options.extensions.get::<SessionTime>().copied().unwrap_or_default()
}

/// Gives a session another zone: statements planned from now on read times without a zone in it, and all that run show
/// them in it.
pub fn set(context: &SessionContext, zone: Zone) {
    let state = context.state_ref();
    if of(state.read().config_options()) != zone {
        state.write().config_mut().options_mut().extensions.insert(SessionTime { zone, began_us: None });
    }
}

/// Tells the functions that are asked while a statement is planned when it began.
pub fn begin(state: &mut SessionState) {
    let start = state.execution_props().query_execution_start_time;
    let began_us = start.map(|start| start.timestamp_micros());
    let options = state.config_mut().options_mut();
    let zone = of(options);
    options.extensions.insert(SessionTime { zone, began_us });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp()
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn names() {
        assert_eq!(Zone::named("europe/berlin"), Some(Zone::Named(Tz::Europe__Berlin)));
        assert_eq!(Zone::named("CET"), Some(Zone::Fixed(3600)));
        assert_eq!(Zone::named("Mars/X"), None);
        assert_eq!(Zone::of_text("+03").unwrap(), Zone::Fixed(-10_800));
        assert!(Zone::of_text("nope").is_err());
        for (text, expected) in [
            ("+02", Some(7200)),
            ("-05:30", Some(-19_800)),
            ("+0530", Some(19_800)),
            ("+1:02:03", Some(3723)),
            ("02", None),
            ("+02:77", None),
            ("+999", None),
            ("+é1", None),
        ] {
            assert_eq!(offset(text), expected, "{text}");
        }
    }

    /// What PostgreSQL 15 makes of the hours that Berlin skips and repeats.
    #[test]
    fn clocks_that_are_set() {
        let berlin = Zone::Named(Tz::Europe__Berlin);
        for (local, hours) in [
            ("2026-03-29 01:30", 1),
            ("2026-03-29 02:30", 1),
            ("2026-03-29 03:30", 2),
            ("2026-10-25 01:30", 2),
            ("2026-10-25 02:30", 1),
            ("2026-10-25 03:30", 1),
        ] {
            assert_eq!(berlin.offset_of_local(seconds(local)), hours * 3600, "{local}");
        }
        assert_eq!(berlin.offset_at(seconds("2026-10-25 00:30")), 7200);
        assert_eq!(berlin.offset_at(seconds("2026-10-25 01:30")), 3600);
    }
}

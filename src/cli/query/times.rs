//! Times of queries as promtool reads and sends them, with nanoseconds.

use std::fmt;

use chrono::DateTime;

use crate::app;
use crate::model::float::{self, format_plain};

pub const NS_IN_SECOND: i128 = 1_000_000_000;
/// Seconds from 1970, either way, that are times: beyond that a float does not count them.
const MOST_SECONDS: f64 = 9e15;

/// Nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i128);

impl Moment {
    pub fn now() -> Self {
        Self::from_millis(app::system_clock()())
    }

    pub fn from_millis(ms: i64) -> Self {
        Self(i128::from(ms) * 1_000_000)
    }

    /// One that may be given; an empty text is none.
    pub fn given(text: &Option<String>) -> Result<Option<Self>, String> {
        text.as_deref().filter(|text| !text.is_empty()).map(Self::parse).transpose()
    }

    /// Unix seconds, or RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        let of_float = |seconds: f64| {
            let nanoseconds = (seconds.fract() * NS_IN_SECOND as f64) as i128;
            Self(seconds.trunc() as i128 * NS_IN_SECOND + nanoseconds)
        };
        let of_date = |date: DateTime<_>| {
            Self(i128::from(date.timestamp()) * NS_IN_SECOND + i128::from(date.timestamp_subsec_nanos()))
        };
        let parsed = match float::parse(text) {
            Some(seconds) => Some(seconds).filter(|seconds| seconds.abs() < MOST_SECONDS).map(of_float),
            None => DateTime::parse_from_rfc3339(text).ok().map(of_date),
        };
        parsed.ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
    }
}

impl fmt::Display for Moment {
    /// Seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&seconds_text(self.0))
    }
}

/// Nanoseconds as seconds, in as few digits as tell them apart.
pub fn seconds_text(nanoseconds: i128) -> String {
    let whole = nanoseconds.div_euclid(NS_IN_SECOND) as f64;
    format_plain(whole + nanoseconds.rem_euclid(NS_IN_SECOND) as f64 / NS_IN_SECOND as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What promtool 3.5.3 sends.
    #[test]
    fn times() {
        let check = |text: &str, sent: &str| {
            assert_eq!(Moment::parse(text).map(|at| at.to_string()), Ok(sent.to_string()), "{text}");
        };
        check("1", "1");
        check("1.2345678", "1.2345678");
        check("1e9", "1000000000");
        check("-1.5", "-1.5");
        check("0x10p0", "16");
        check("2024-01-01T00:00:00Z", "1704067200");
        check("2024-01-01T01:00:00.25+01:00", "1704067200.25");
        for bad in ["", "x", "NaN", "Inf", "1e300", "2024-01-01", "1m"] {
            assert_eq!(Moment::parse(bad), Err(format!("cannot parse {bad:?} to a valid timestamp")));
        }
        assert_eq!(Moment::from_millis(1500).to_string(), "1.5");
    }

    #[test]
    fn steps() {
        assert_eq!(seconds_text(15 * NS_IN_SECOND), "15");
        assert_eq!(seconds_text(1_500_000), "0.0015");
        assert_eq!(seconds_text(-300 * NS_IN_SECOND), "-300");
    }
}

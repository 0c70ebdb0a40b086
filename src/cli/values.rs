//! Values of flags as Prometheus reads them, which is not alike everywhere: durations of its own and of Go, whole numbers
//! that may be written as `5e7`, sizes with and without a unit.

use std::time::Duration;

use regex::Regex;

use crate::config::size;
use crate::model::pattern::anchored;
use crate::model::{duration, float};
use crate::storage::store;

/// Prometheus' own, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map(|ms| Duration::from_millis(ms.unsigned_abs())).map_err(|e| e.message)
}

/// Go's, `1.5s` or `-300us`, with days and weeks as `kingpin` adds them; in nanoseconds.
pub fn go_duration(text: &str) -> Result<i64, String> {
    const UNITS: &[(&str, i128)] = &[
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
        ("w", 604_800_000_000_000),
    ];
    /// More digits than a duration has, and few enough for the sums.
    const MOST_DIGITS: usize = 20;
    let invalid = || format!("time: invalid duration {text:?}");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = if unsigned == "0" { "" } else { unsigned };
    let mut total = 0i128;
    while !rest.is_empty() {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (whole, tail) = rest.split_at(digits(rest));
        let behind_point = tail.strip_prefix('.');
        let (fraction, tail) = behind_point.map_or(("", tail), |tail| tail.split_at(digits(tail)));
        if whole.is_empty() && fraction.is_empty() || whole.len() > MOST_DIGITS {
            return Err(invalid());
        }
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let unknown = || format!("time: unknown unit {unit:?} in duration {text:?}");
        let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(unknown)?;
        let fraction = &fraction[..fraction.len().min(MOST_DIGITS - 5)];
        let number =
            |digits: &str| if digits.is_empty() { Ok(0i128) } else { digits.parse().map_err(|_| invalid()) };
        total += number(whole)? * ns + number(fraction)? * ns / 10i128.pow(fraction.len() as u32);
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = tail;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if text.starts_with('-') { -total } else { total })
}

/// The same in milliseconds, where nothing is negative.
pub fn go_duration_ms(text: &str) -> Result<f64, String> {
    const NS_IN_DAY: i64 = 86_400_000_000_000;
    match go_duration(text)? {
        // A day is more than any tolerance.
        ns @ 0..=NS_IN_DAY => Ok(ns as f64 / 1e6),
        _ => Err(format!("time: invalid duration {text:?}")),
    }
}

/// A whole number, also as `5e7` or `0x10`; what is behind a point is cut off, as in Prometheus.
pub fn whole(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let as_float = || float::parse(text).filter(|value| value.abs() < 9e15).map(|value| value as i64);
    parsed.or_else(as_float).ok_or_else(|| "expected a whole number".into())
}

/// A whole number of at least 0, where that means any number.
pub fn non_negative(text: &str) -> Result<usize, String> {
    usize::try_from(whole(text)?).map_err(|_| "expected a whole number of at least 0".into())
}

/// Larger than 0 and up to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = float::parse(text).filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "must be greater than 0 and less than or equal to 1".into())
}

/// A size with its unit, which may have a fraction, as Prometheus' flags take it; in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u32)] = &[("B", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60)];
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unknown = || format!("unknown unit {unit:?} in {text:?}: it is one of B, KB, MB, GB, TB, PB, EB");
        let letter = if unit == "B" {
            "B"
        } else {
            unit.strip_suffix("iB").or(unit.strip_suffix('B')).ok_or_else(unknown)?
        };
        let (_, shift) = UNITS.iter().find(|(name, _)| *name == letter).ok_or_else(unknown)?;
        let number: f64 = number.parse().map_err(|_| format!("not a valid size: {text:?}"))?;
        total += number * (1u64 << shift) as f64;
        rest = tail;
    }
    // Beyond this a float does not count bytes, and no disk has them.
    if text.is_empty() || total >= 9.2e18 { Err(format!("not a valid size: {text:?}")) } else { Ok(total as u64) }
}

/// A size of promlake's own flags: without a unit it is bytes.
pub fn memory(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text).map_err(|e| e.message)?;
    usize::try_from(bytes).map_err(|_| "larger than the address space".to_string())
}

pub fn queue_memory(text: &str) -> Result<usize, String> {
    match memory(text)? {
        bytes if (1..=store::MAX_QUEUE_BYTES).contains(&bytes) => Ok(bytes),
        _ => Err(format!("expected a size of up to {}, and not 0", size::format(store::MAX_QUEUE_BYTES as u64))),
    }
}

/// Of what there is memory for each.
pub fn at_most<const MOST: usize>(text: &str) -> Result<usize, String> {
    match count(text)? {
        count if count <= MOST => Ok(count),
        _ => Err(format!("expected at most {MOST}")),
    }
}

/// A whole number above zero.
pub fn count(text: &str) -> Result<usize, String> {
    let count = whole(text).ok().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    count.ok_or_else(|| "expected a whole number above zero".into())
}

/// One of the levels, in capitals or not.
pub fn level(text: &str) -> Result<String, String> {
    let level = text.to_lowercase();
    match level.as_str() {
        "debug" | "info" | "warn" | "error" => Ok(level),
        _ => Err(format!("unrecognized log level {text}: it is one of debug, info, warn, error")),
    }
}

/// A host's name, without what else a URL has.
pub fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = text.strip_prefix("*.").unwrap_or(text);
    let valid =
        text == "*" || !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "/:*@,".contains(c));
    if valid { Ok(text.to_string()) } else { Err("expected a name without scheme and port, *.NAME or *".into()) }
}

pub fn regex(text: &str) -> Result<Regex, String> {
    anchored(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        let check = |text: &str, number: i64| assert_eq!(whole(text), Ok(number), "{text}");
        check("20", 20);
        check("5e7", 50_000_000);
        check("1.5", 1);
        check("0x10", 16);
        check("-1", -1);
        for bad in ["", "x", "1e300", "NaN", "0xg"] {
            assert!(whole(bad).is_err(), "{bad}");
        }
        assert_eq!(count("5e7"), Ok(50_000_000));
        assert!(count("0").is_err() && count("0.5").is_err() && count("-1").is_err());
        assert_eq!(at_most::<7>("7"), Ok(7));
        assert!(at_most::<7>("8").is_err());
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(size(text), Ok(bytes), "{text}");
        check("0", 0);
        check("0B", 0);
        check("512MB", 512 << 20);
        check("512MiB", 512 << 20);
        check("1.5GB", 3 << 29);
        check("1GB512MB", (1 << 30) + (512 << 20));
        for bad in ["", "50G", "5", "B", "1.5.5GB", "-1B", "1XB", "1iB", "99EB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(memory("512"), Ok(512));
        assert!(queue_memory("0").is_err());
    }

    #[test]
    fn durations_of_go() {
        let check = |text: &str, ms: f64| assert_eq!(go_duration_ms(text), Ok(ms), "{text}");
        check("2ms", 2.0);
        check("1.5s", 1500.0);
        check("300us", 0.3);
        check("1m2s", 62_000.0);
        check("0", 0.0);
        for bad in ["", "1", "-2ms", "ms", "9999h", "1..5s"] {
            assert!(go_duration_ms(bad).is_err(), "{bad}");
        }
        let check = |text: &str, ns: i64| assert_eq!(go_duration(text), Ok(ns), "{text}");
        check("-5m", -300_000_000_000);
        check("+1.5h", 5_400_000_000_000);
        check(".5s", 500_000_000);
        check("1.d12h", 129_600_000_000_000);
        check("1w", 604_800_000_000_000);
        check("0.123456789123456789123456789s", 123_456_789);
        check("-0", 0);
        // The words of promtool 3.5.3.
        let check = |text: &str, expected: &str| assert_eq!(go_duration(text).unwrap_err(), expected);
        check("", "time: invalid duration \"\"");
        check("x", "time: invalid duration \"x\"");
        check("5", "time: missing unit in duration \"5\"");
        check("1y", "time: unknown unit \"y\" in duration \"1y\"");
        check("1.2.3s", "time: missing unit in duration \"1.2.3s\"");
        for bad in ["300000000000000000000000000000000000000000s", "99999999999999999999w", "."] {
            assert!(go_duration(bad).unwrap_err().starts_with("time: invalid duration"), "{bad}");
        }
    }

    #[test]
    fn levels_and_shares() {
        assert_eq!(level("WARN").as_deref(), Ok("warn"));
        assert!(level("warning").is_err());
        assert_eq!(share("0.9"), Ok(0.9));
        assert!(share("0").is_err() && share("2").is_err() && share("NaN").is_err());
    }
}

//! The notation of durations in queries, `1h30m`, in the nanoseconds of 64 bits that Prometheus' parser counts in, and with
//! its error texts. That of configurations and flags is [`model::duration`](crate::model::duration).

use super::strings::quote;
use crate::error::{Error, Result};

/// Units from large to small, with their nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Prometheus' durations are nanoseconds in 64 bits; what does not fit is an error, for compatibility.
const LIMIT_NANOS: u64 = i64::MAX as u64;

/// The milliseconds of `1h30m` or `0`: units in falling order, each at most once, a year has 365 days.
pub fn parse_duration(text: &str) -> Result<i64> {
    parse_nanos(text).map(|nanos| nanos / 1_000_000).map_err(Error::bad_input)
}

/// [`parse_duration`] in nanoseconds. The error is Prometheus' text.
pub(super) fn parse_nanos(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".to_string()),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut rest = text;
    let mut next_unit = 0;
    let mut total = 0u64;
    while !rest.is_empty() {
        let (digits, tail) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, tail) = split_at_first(tail, |c| c.is_ascii_digit());
        rest = tail;
        let value: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        if index < next_unit {
            return Err(invalid());
        }
        next_unit = index + 1;
        total = value
            .checked_mul(UNITS[index].1)
            .and_then(|nanos| total.checked_add(nanos))
            .filter(|nanos| *nanos <= LIMIT_NANOS)
            .ok_or("duration out of range")?;
    }
    Ok(total as i64)
}

fn split_at_first(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Milliseconds in Prometheus' notation; years and weeks only where nothing is left over.
pub(crate) fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = if ms < 0 { "-".to_string() } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (unit, nanos) in UNITS {
        let size = nanos / 1_000_000;
        if rest < size || (matches!(unit, "y" | "w") && !rest.is_multiple_of(size)) {
            continue;
        }
        out += &format!("{}{unit}", rest / size);
        rest %= size;
    }
    out
}

/// Seconds that do not fit Prometheus' durations.
pub(super) fn out_of_range(seconds: f64) -> bool {
    seconds.abs() > LIMIT_NANOS as f64 / 1e9
}

/// Seconds of a literal to milliseconds, by way of whole nanoseconds.
pub(super) fn literal_millis(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_notation() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90s", 90_000, "1m30s"),
            ("1y", 31_536_000_000, "1y"),
            ("2w", 1_209_600_000, "2w"),
            ("8d", 691_200_000, "8d"),
            ("1d1ms", 86_400_001, "1d1ms"),
        ] {
            assert_eq!(parse_duration(text).expect(text), ms);
            assert_eq!(format_duration(ms), printed);
        }
        assert_eq!(format_duration(-90_000), "-1m30s");
        for bad in ["", "1", "m", "-1m", "1m1h", "1m1m", "1.5h", "1h ", "300y", "99999999999999999999s", "1µs"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}

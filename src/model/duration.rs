//! Prometheus' durations, `1h30m`, as milliseconds (`common/model/time.go`). Queries have their own, wider
//! notation in `promql/durations`.

use crate::error::{Error, Result};

/// Units in the order in which they must appear, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses `1h30m` and the like: whole numbers, each unit at most once, from large to small; `0` alone needs no
/// unit. Negative durations and fractions are errors.
pub fn parse(text: &str) -> Result<i64> {
    match text {
        "" => return Err(Error::bad_input("empty duration string")),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || Error::bad_input(format!("not a valid duration string: {text:?}"));
    let mut total_ms = 0i64;
    let mut rest = text;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let at = UNITS[next_unit..].iter().position(|(name, _)| *name == unit).ok_or_else(invalid)? + next_unit;
        if number.is_empty() {
            return Err(invalid());
        }
        total_ms = number
            .parse::<i64>()
            .ok()
            .and_then(|n| n.checked_mul(UNITS[at].1))
            .and_then(|ms| total_ms.checked_add(ms))
            // Prometheus counts in nanoseconds, so its range ends much earlier than ours.
            .filter(|ms| *ms <= i64::MAX / 1_000_000)
            .ok_or_else(|| Error::bad_input("duration out of range"))?;
        next_unit = at + 1;
        rest = tail;
    }
    Ok(total_ms)
}

/// The shortest exact notation, as Prometheus prints it: years and weeks only when nothing is left over.
pub fn format(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    let mut rest = duration_ms.unsigned_abs();
    if duration_ms < 0 {
        out.push('-');
    }
    for (name, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let exact_only = matches!(name, "y" | "w");
        if rest < unit_ms || (exact_only && !rest.is_multiple_of(unit_ms)) {
            continue;
        }
        out.push_str(&format!("{}{name}", rest / unit_ms));
        rest %= unit_ms;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_prometheus_parses() {
        let check = |text: &str, ms: i64| assert_eq!(parse(text).unwrap(), ms, "{text}");
        check("0", 0);
        check("0w", 0);
        check("324ms", 324);
        check("3s", 3_000);
        check("5m", 300_000);
        check("1h30m", 5_400_000);
        check("4d", 4 * 86_400_000);
        check("4d1h", 4 * 86_400_000 + 3_600_000);
        check("3w2d1h", 23 * 86_400_000 + 3_600_000);
        check("10y", 3650 * 86_400_000);
        for bad in ["", "1", "1.5h", "d", "-5s", "1h1d", "1m1m", "1 h", "1hh", "99999999999y", "294y", "ms"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formats_and_comes_back() {
        let check = |ms: i64, text: &str| {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text).unwrap(), ms);
        };
        check(300_000, "5m");
        check(90_000, "1m30s");
        check(86_400_000, "1d");
        check(90_000_000, "1d1h");
        check(90 * 86_400_000, "90d");
        check(1_234, "1s234ms");
        check(14 * 86_400_000, "2w");
        assert_eq!(format(0), "0s");
    }
}

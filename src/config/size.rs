//! Byte sizes: `10MB`, `1GB512MB`, always in powers of two. In files as Prometheus reads them (`alecthomas/units`); on the
//! command line also plain numbers of bytes.

use crate::error::{Error, Result};

const UNITS: [(&str, u32); 7] = [("B", 0), ("KB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("PB", 50), ("EB", 60)];

/// Of a flag: as [`of_file`], or bytes without a unit, and not below 0.
pub fn parse(text: &str) -> Result<u64> {
    match text.parse::<u64>() {
        Ok(bytes) => Ok(bytes),
        Err(_) => of_file(text).and_then(|bytes| u64::try_from(bytes).map_err(|_| invalid(text))),
    }
}

/// Of a file: numbers with units, with fractions, and a sign in front of them all; `0` alone needs no unit.
pub fn of_file(text: &str) -> Result<i64> {
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    let (mut total, mut rest) = (0.0, unsigned);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        // `KiB` means the same, as every unit is a power of two.
        let known =
            |name: &str| name == unit || name.len() == 2 && unit.len() == 3 && unit == format!("{}iB", &name[..1]);
        let (_, shift) = UNITS.iter().find(|(name, _)| known(name)).ok_or_else(|| invalid(text))?;
        // Also `.5` and `5.`; not `.` and not `1.2.3`.
        let number: f64 = number.parse().map_err(|_| invalid(text))?;
        total += number * (1_u64 << shift) as f64;
        rest = tail;
    }
    let limit = -(i64::MIN as f64);
    if unsigned.is_empty() || total >= limit { Err(invalid(text)) } else { Ok((sign * total) as i64) }
}

fn invalid(text: &str) -> Error {
    Error::bad_input(format!("not a valid size: {text:?}, expected a number with one of B, KB, MB, GB, TB, PB, EB"))
}

/// Unit by unit, as Prometheus prints sizes: `1GiB512MiB`.
pub fn format_mixed(bytes: u64) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    for (unit, shift) in UNITS.iter().rev() {
        let unit = if *shift == 0 { unit.to_string() } else { format!("{}iB", &unit[..1]) };
        if rest >> shift > 0 {
            out.push_str(&format!("{}{unit}", rest >> shift));
            rest &= (1 << shift) - 1;
        }
    }
    if out.is_empty() { "0B".to_string() } else { out }
}

/// With the largest unit that leaves a whole number.
pub fn format(bytes: u64) -> String {
    let (unit, shift) =
        UNITS.iter().rev().find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift)).unwrap_or(&UNITS[0]);
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(parse(text).unwrap(), bytes, "{text}");
        check("0", 0);
        check("512", 512);
        check("15MB", 15 << 20);
        check("1GB512MB", (1 << 30) + (512 << 20));
        check("2KiB", 2048);
        for bad in ["", "MB", "10XB", "-1B", "99999999EB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let check = |text: &str, bytes: i64| assert_eq!(of_file(text).unwrap(), bytes, "{text}");
        check("0", 0);
        check("-0", 0);
        check("1.5GB", 3 << 29);
        check("-1B", -1);
        check("+.5KiB", 512);
        check("1.KB1B", 1025);
        for bad in
            ["", "-", "512", "1", ".", ".KB", "1.2.3KB", "1k", "1 KB", "1EiBB", "8EB", "KiB", "1B2", "1e3B", "infB"]
        {
            assert!(of_file(bad).is_err(), "{bad}");
        }
        assert_eq!(format(15 << 20), "15MB");
        assert_eq!(format(1000), "1000B");
        assert_eq!(format(0), "0B");
        assert_eq!(format_mixed((5 << 30) + (1 << 10) + 3), "5GiB1KiB3B");
        assert_eq!(format_mixed(0), "0B");
    }
}

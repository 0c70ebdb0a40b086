//! Byte sizes as Prometheus reads them (`alecthomas/units`): `512`, `10MB`, `1GB512MB`, always in powers of two.

use crate::error::{Error, Result};

const UNITS: [(&str, u32); 7] = [("B", 0), ("KB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("PB", 50), ("EB", 60)];

pub fn parse(text: &str) -> Result<u64> {
    if let Ok(bytes) = text.parse::<u64>() {
        return Ok(bytes);
    }
    let invalid = || {
        Error::bad_input(format!(
            "not a valid size: {text:?}, expected a number with one of B, KB, MB, GB, TB, PB, EB"
        ))
    };
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        // `KiB` means the same, as every unit is a power of two.
        let unit = unit.replace('i', "");
        let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let bytes = number.parse::<u64>().map_err(|_| invalid())?.checked_mul(1 << shift).ok_or_else(invalid)?;
        total = total.checked_add(bytes).ok_or_else(invalid)?;
        rest = tail;
    }
    if text.is_empty() { Err(invalid()) } else { Ok(total) }
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
        for bad in ["", "MB", "1.5GB", "10XB", "-1B", "99999999EB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format(15 << 20), "15MB");
        assert_eq!(format(1000), "1000B");
        assert_eq!(format(0), "0B");
        assert_eq!(format_mixed((5 << 30) + (1 << 10) + 3), "5GiB1KiB3B");
        assert_eq!(format_mixed(0), "0B");
    }
}

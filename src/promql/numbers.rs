//! Number literals, read as Go's `strconv` reads them.

use super::strings::quote;

/// The value of a number token: an integer (decimal, `0x1f`, octal with a leading zero, digits separated by
/// `_`) or else a float. The error is Prometheus' text.
pub fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    parse_float(text)
        .map_err(|why| format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text)))
}

/// A signed 64-bit integer in Go's base 0 notation, `None` for anything else.
fn parse_integer(text: &str) -> Option<i64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A decimal float, `inf`, `infinity` or `nan` in any case, with an optional sign.
pub fn parse_float(text: &str) -> Result<f64, &'static str> {
    let plain = text.replace('_', "");
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let word = digits.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let value: f64 = match plain.parse() {
        Ok(value) if underscores_separate_digits(text) => value,
        _ => return Err("invalid syntax"),
    };
    if value.is_infinite() && !word {
        return Err("value out of range");
    }
    Ok(value)
}

/// Underscores may only stand between digits, or between a base prefix and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let hex = matches!(body, [b'0', b'x' | b'X', ..]);
    let prefixed = hex || matches!(body, [b'0', b'b' | b'B' | b'o' | b'O', ..]);
    let (mut last, start) = if prefixed { (b'0', 2) } else { (b'^', 0) };
    for &b in &body[start..] {
        let digit = b.is_ascii_digit() || (hex && b.is_ascii_hexdigit());
        match b {
            _ if digit => last = b'0',
            b'_' if last != b'0' => return false,
            b'_' => last = b'_',
            _ if last == b'_' => return false,
            _ => last = b'!',
        }
    }
    last != b'_'
}

/// Go's `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits, never an exponent.
pub(crate) fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_string()
    } else {
        format!("{value}")
    }
}

//! Floats of the text formats.

use crate::model::sample::NORMAL_NAN_BITS;

/// Powers of ten that are exact doubles.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
    1e20, 1e21, 1e22,
];

/// Parses what Go's `ParseFloat` takes, less hexadecimal and underscores; every NaN is the one of arithmetic.
/// `None` for anything else, also for a number too large for a double.
#[inline]
pub fn parse(text: &[u8]) -> Option<f64> {
    parse_short(text).or_else(|| parse_any(text))
}

/// A decimal whose digits fit 53 bits and whose power of ten is exact needs one correctly rounded operation
/// (Clinger's fast path). Nearly every exported number is one.
#[inline]
fn parse_short(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    // 18 digits cannot overflow the mantissa.
    if digits.len() > 19 {
        return None;
    }
    let mut mantissa = 0u64;
    let mut point = None;
    for (i, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(i),
            _ => return None,
        }
    }
    let fraction_digits = point.map_or(0, |at| digits.len() - at - 1);
    let count = digits.len() - usize::from(point.is_some());
    if count == 0 || count > 18 || mantissa >= 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / EXACT_POWERS[fraction_digits];
    Some(if negative { -value } else { value })
}

#[cold]
fn parse_any(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let letters = text.trim_start_matches(['+', '-']);
    if value.is_nan() {
        // Rust reads a signed NaN, Go does not.
        return (letters.len() == text.len()).then(|| f64::from_bits(NORMAL_NAN_BITS));
    }
    let spelled = letters.starts_with(['i', 'I']);
    (value.is_finite() || spelled).then_some(value)
}

/// Parses a number in a label, where Go's hexadecimal floats and underscores between digits count as well.
pub fn parse_label(text: &[u8]) -> Option<f64> {
    parse(text).or_else(|| parse_hexadecimal(text)).or_else(|| {
        let at = memchr::memchr(b'_', text)?;
        let is_digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
        let between = |at: usize| text[at] != b'_' || (is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
        let plain: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'_').collect();
        (at..text.len()).all(between).then(|| parse(&plain)).flatten()
    })
}

/// `0x1.8p3`, of so many digits as a double can tell apart.
fn parse_hexadecimal(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let (mantissa, exponent) = digits.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 13 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mantissa = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(4 * fraction.len() as i32)?;
    let value = mantissa * 2f64.powi(exponent);
    value.is_finite().then_some(if negative { -value } else { value })
}

/// OpenMetrics' canonical form: Go's `%g` with the fewest digits, and always a point or an exponent.
pub fn format_openmetrics(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value == 0.0 {
        return "0.0".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    // Where Go's shortest `%g` turns to the exponent.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

//! Floats as text, the way Go writes and reads them: label values, the JSON API, `le` bounds, expositions.
//!
//! Rust already prints the shortest digits that read back to the same bits, as Go does; only the layout
//! differs (`+Inf`, exponents of at least two digits with a sign, the choice between the two notations).

use std::fmt::Write;

/// Go's `FormatFloat(v, 'f', -1, 64)`: never an exponent.
pub fn format_plain(value: f64) -> String {
    let mut out = String::new();
    write_plain(&mut out, value);
    out
}

/// [`format_plain`] appended to `out`.
pub fn write_plain(out: &mut String, value: f64) {
    if write_special(out, value) {
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    // It writes the same digits as Rust, some three times as fast, but integers with a decimal and the very large
    // and small with an exponent.
    match text.contains('e') {
        false => out.push_str(text.strip_suffix(".0").unwrap_or(text)),
        true => {
            let _ = write!(out, "{value}");
        }
    }
}

/// A sample value in the JSON of the API: plain, but with an exponent below 1e-6 and from 1e21 on.
pub fn format_json(value: f64) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

/// [`format_json`] appended to `out`.
pub fn write_json(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) && magnitude.is_finite() {
        write_exponent(out, &format!("{value:e}"));
    } else {
        write_plain(out, value);
    }
}

/// Go's `%g` and `%v` of a float64: an exponent below 1e-4 and from 1e6 on.
pub fn format_general(value: f64) -> String {
    let mut out = String::new();
    write_general(&mut out, value);
    out
}

/// [`format_general`] appended to `out`.
pub fn write_general(out: &mut String, value: f64) {
    if write_special(out, value) {
        return;
    }
    let scientific = format!("{value:e}");
    let exponent = exponent_of(&scientific);
    if value != 0.0 && !(-4..GENERAL_EXPONENT_LIMIT).contains(&exponent) {
        write_exponent(out, &scientific);
    } else {
        let _ = write!(out, "{value}");
    }
}

/// Go's `%.<digits>g`: so many significant digits, trailing zeros removed.
pub fn format_general_digits(value: f64, digits: usize) -> String {
    let mut out = String::new();
    if write_special(&mut out, value) {
        return out;
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let exponent = exponent_of(&scientific);
    if value != 0.0 && !(-4..digits as i32).contains(&exponent) {
        let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
        write_exponent(&mut out, &format!("{}e{exponent}", strip_zeros(mantissa)));
    } else {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        out.push_str(strip_zeros(&format!("{value:.decimals$}")));
    }
    out
}

/// Go's `%e` with as few digits as tell the number apart: `1e+00`.
pub fn format_exponent(value: f64) -> String {
    if !value.is_finite() {
        return format_general(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A float as OpenMetrics canonical label value (`le`, `quantile`): `%g`, but never looking like an integer.
pub fn format_open_metrics(value: f64) -> String {
    let mut out = format_general(value);
    if value.is_finite() && !out.contains(['e', '.']) {
        out.push_str(".0");
    }
    out
}

/// Go's `ParseFloat(text, 64)`; `None` for its syntax and range errors.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = if negative { -1.0 } else { 1.0 };
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let without_underscores;
    let mut number = unsigned;
    if number.contains('_') {
        if !underscores_separate_digits(number) {
            return None;
        }
        without_underscores = number.replace('_', "");
        number = &without_underscores;
    }
    let magnitude = match number.get(..2) {
        Some("0x" | "0X") => parse_hex(&number[2..])?,
        _ => parse_decimal(number)?,
    };
    // What is spelled out as a number but does not fit is a range error, not infinity.
    magnitude.is_finite().then_some(sign * magnitude)
}

/// [`parse`] without the forms the text formats forbid (hexadecimal floats and digit separators).
pub fn parse_exposition(text: &str) -> Option<f64> {
    if text.contains(['p', 'P', '_']) { None } else { parse(text) }
}

/// Go writes `%g` with an exponent from this decimal exponent on when it prints the shortest digits.
const GENERAL_EXPONENT_LIMIT: i32 = 6;

fn write_special(out: &mut String, value: f64) -> bool {
    let text = if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "+Inf"
    } else if value == f64::NEG_INFINITY {
        "-Inf"
    } else {
        return false;
    };
    out.push_str(text);
    true
}

/// Rewrites `1.5e-7` as Go does: `1.5e-07`.
fn write_exponent(out: &mut String, scientific: &str) {
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
}

fn exponent_of(scientific: &str) -> i32 {
    let (_, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    exponent.parse().expect("the exponent of a float is a small integer")
}

fn strip_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Rust's parser, kept to Go's grammar: digits, at most one point, an optional decimal exponent.
fn parse_decimal(number: &str) -> Option<f64> {
    let plain = number.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    number.parse().ok()
}

/// `<hex digits>[.<hex digits>]p<decimal exponent>`; the exponent is mandatory.
fn parse_hex(number: &str) -> Option<f64> {
    let (mantissa, exponent) = number.split_once(['p', 'P'])?;
    if !exponent.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits: u64 = 0;
    let mut shift: i64 = 0;
    for (position, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        let fractional = position >= whole.len();
        if bits >> 59 == 0 {
            bits = bits << 4 | digit;
            shift -= if fractional { 4 } else { 0 };
        } else {
            // Digits beyond what decides the rounding only matter as "not zero".
            bits |= u64::from(digit != 0);
            shift += if fractional { 0 } else { 4 };
        }
    }
    Some(scale_by_power_of_two(bits, exponent.saturating_add(shift).clamp(-100_000, 100_000)))
}

/// `bits * 2^exponent`, rounded once.
fn scale_by_power_of_two(bits: u64, exponent: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let length = 64 - i64::from(bits.leading_zeros());
    // Precision left for the result: 53 bits, fewer where it is subnormal.
    let keep = 53.min(length + exponent + 1074);
    let drop = length - keep;
    if keep < 0 {
        return 0.0;
    }
    let (mut kept, mut exponent) = (bits, exponent);
    if drop > 0 {
        let rest = if drop >= 64 { bits } else { bits & ((1 << drop) - 1) };
        let half = 1u64 << (drop - 1);
        kept = if drop >= 64 { 0 } else { bits >> drop };
        if rest > half || (rest == half && kept & 1 == 1) {
            kept += 1;
        }
        exponent += drop;
    }
    let mut value = kept as f64;
    while exponent != 0 {
        let step = exponent.clamp(-1000, 1000);
        value *= 2f64.powi(step as i32);
        exponent -= step;
        if value == 0.0 || value.is_infinite() {
            break;
        }
    }
    value
}

/// Go allows `_` between digits and between a base prefix and a digit.
fn underscores_separate_digits(number: &str) -> bool {
    let hex = matches!(number.get(..2), Some("0x" | "0X"));
    let body = if hex { &number[2..] } else { number };
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    let bytes = body.as_bytes();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'_').all(|(i, _)| {
        let before = if i == 0 { hex } else { is_digit(bytes[i - 1]) || bytes[i - 1].is_ascii_digit() };
        before && bytes.get(i + 1).is_some_and(|b| is_digit(*b))
    })
}

#[cfg(test)]
mod tests;

//! Numbers as templates write them: Go's literals, each with all types whose value it can be.

use crate::model::float;

use super::quote::{quote, unquote_unit};
use super::token::Kind;

/// A number. It has no type before it is an argument or a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    /// As it is written.
    pub text: String,
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    /// Real and imaginary part, where it is written with one.
    pub complex: Option<(f64, f64)>,
}

impl Number {
    pub(super) fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let mut number = Self { text: text.to_string(), int: None, uint: None, float: None, complex: None };
        match kind {
            Kind::CharConstant => number.read_char(text)?,
            Kind::Complex => number.set_complex(complex(text)?),
            _ => number.read_real(text)?,
        }
        Ok(number)
    }

    fn read_char(&mut self, text: &str) -> Result<(), String> {
        let (unit, rest) = unquote_unit(&text[1..], '\'').ok_or("invalid syntax")?;
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let number = unit.number();
        self.int = Some(number.into());
        self.uint = Some(number.into());
        self.float = Some(number.into());
        Ok(())
    }

    fn read_real(&mut self, text: &str) -> Result<(), String> {
        if let Some(imaginary) = text.strip_suffix('i').and_then(float::parse) {
            self.set_complex((0.0, imaginary));
            return Ok(());
        }
        self.uint = parse_uint(text);
        self.int = parse_int(text);
        if self.int == Some(0) {
            // `-0` is no unsigned number as it is written.
            self.uint = Some(0);
        }
        self.float = match (self.int, self.uint) {
            (Some(int), _) => Some(int as f64),
            (None, Some(uint)) => Some(uint as f64),
            (None, None) => {
                let float = float::parse(text).ok_or_else(|| format!("illegal number syntax: {}", quoted(text)))?;
                if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                    return Err(format!("integer overflow: {}", quoted(text)));
                }
                self.set_integers(float);
                Some(float)
            }
        };
        Ok(())
    }

    fn set_complex(&mut self, complex: (f64, f64)) {
        self.complex = Some(complex);
        if complex.1 == 0.0 {
            self.float = Some(complex.0);
            self.set_integers(complex.0);
        }
    }

    /// The integers that are equal to a float.
    fn set_integers(&mut self, float: f64) {
        self.int = Some(to_int64(float)).filter(|int| *int as f64 == float);
        self.uint = Some(to_uint64(float)).filter(|uint| *uint as f64 == float);
    }

    /// Whether it is written as a float, where nothing else tells its type.
    pub(super) fn looks_like_float(&self) -> bool {
        let is_hex = matches!(self.text.get(..2), Some("0x" | "0X"))
            && self.text.len() > 2
            && !self.text.contains(['p', 'P']);
        self.float.is_some()
            && !is_hex
            && !self.text.starts_with('\'')
            && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}

/// Go's conversion of a float to an integer, which is the smallest one for what does not fit.
pub(super) fn to_int64(float: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
    if fits { float as i64 } else { i64::MIN }
}

fn to_uint64(float: f64) -> u64 {
    let fits = (0.0..18_446_744_073_709_551_616.0).contains(&float);
    if fits { float as u64 } else { 1 << 63 }
}

fn parse_int(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = i128::from(parse_uint(digits)?);
    i64::try_from(if is_negative { -magnitude } else { magnitude }).ok()
}

/// `strconv.ParseUint` with base 0: decimal, or with a prefix.
fn parse_uint(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (16, &lower[2..]),
        [b'0', b'o', _, ..] => (8, &lower[2..]),
        [b'0', b'b', _, ..] => (2, &lower[2..]),
        [b'0', ..] => (8, &lower[1..]),
        [_, ..] => (10, &lower[..]),
        [] => return None,
    };
    if digits.contains('_') && !has_good_underscores(&lower) {
        return None;
    }
    digits.bytes().filter(|byte| *byte != b'_').try_fold(0u64, |number, byte| {
        number.checked_mul(base)?.checked_add(char::from(byte).to_digit(base as u32)?.into())
    })
}

/// Underscores stand between digits, or a prefix and a digit.
fn has_good_underscores(text: &str) -> bool {
    let has_prefix = matches!(text.get(..2), Some("0x" | "0o" | "0b"));
    let digits = if has_prefix { &text[1..] } else { text };
    // The letter of the prefix counts as a digit.
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = digits.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        before.is_some_and(is_digit) && bytes.get(at + 1).is_some_and(is_digit)
    })
}

/// `1+2i`
fn complex(text: &str) -> Result<(f64, f64), String> {
    let text = text.strip_suffix('i').unwrap_or(text);
    let is_sign =
        |(at, c): &(usize, char)| matches!(c, '+' | '-') && *at > 0 && !text[..*at].ends_with(['e', 'E', 'p', 'P']);
    let (real, imaginary) = text.split_at(text.char_indices().rev().find(is_sign).map_or(0, |(at, _)| at));
    match imaginary {
        "+" | "-" => Err("syntax error scanning complex number".to_string()),
        _ => Ok((parse_float(real.as_bytes())?, parse_float(imaginary.as_bytes())?)),
    }
}

/// `strconv.ParseFloat`
pub(super) fn parse_float(bytes: &[u8]) -> Result<f64, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let problem = match float::parse(text) {
        Some(number) => return Ok(number),
        None if is_too_large(text) => "value out of range",
        None => "invalid syntax",
    };
    Err(format!("strconv.ParseFloat: parsing {}: {problem}", quote(bytes)))
}

/// Whether a text that is no float would be one with a smaller exponent.
fn is_too_large(text: &str) -> bool {
    let is_hex =
        text.trim_start_matches(['+', '-']).get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    let signs: &[char] = if is_hex { &['p', 'P'] } else { &['e', 'E'] };
    let (mantissa, exponent) = text.split_once(signs).unwrap_or((text, "0"));
    // A hexadecimal float has an exponent.
    if is_hex && mantissa.len() == text.len() {
        return false;
    }
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_number = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
    // A mantissa alone can be too large as well.
    let shortened: String = mantissa.chars().take(100).collect();
    is_number && float::parse(&format!("{shortened}{}0", signs[0])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let check = |text: &str, int: Option<i64>, uint: Option<u64>| {
            let number = Number::parse(text, Kind::Number).unwrap();
            assert_eq!((number.int, number.uint), (int, uint), "{text}");
        };
        check("12", Some(12), Some(12));
        check("-12", Some(-12), None);
        check("+12", Some(12), None);
        check("-0", Some(0), Some(0));
        check("0x1F", Some(31), Some(31));
        check("0b101", Some(5), Some(5));
        check("0o17", Some(15), Some(15));
        check("017", Some(15), Some(15));
        check("1_000", Some(1000), Some(1000));
        check("1e3", Some(1000), Some(1000));
        check("1.5", None, None);
        check("18446744073709551615", None, Some(u64::MAX));
        check("-9223372036854775808", Some(i64::MIN), None);
        check("2i", None, None);
        check("0i", Some(0), Some(0));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, kind, message: &str| assert_eq!(Number::parse(text, kind).unwrap_err(), message);
        check("089", Kind::Number, "integer overflow: \"089\"");
        check("1__0", Kind::Number, "illegal number syntax: \"1__0\"");
        check("99999999999999999999", Kind::Number, "integer overflow: \"99999999999999999999\"");
        check("0x", Kind::Number, "illegal number syntax: \"0x\"");
        check("''", Kind::CharConstant, "invalid syntax");
        check("'ab'", Kind::CharConstant, "malformed character constant: 'ab'");
    }
}

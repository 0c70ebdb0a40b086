//! Values as text, as PostgreSQL's input functions take them.

use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use super::{array, times};
use crate::engine::sql::datetime::read::Now;
use crate::server::pg::{errors, types};

/// A value of a type. What has no type of the engine's own is a text.
///
/// # Errors
/// 22P02 for what is none, 22003 for numbers that are too large, 22007 and 22008 for times.
pub fn read(text: &str, wire: &Type, now: Now) -> PgWireResult<ScalarValue> {
    if let Some(element) = types::element(wire) {
        return array::from_text(text, &element, wire, &|text| read(text, &element, now));
    }
    let trimmed = text.trim();
    Ok(match *wire {
        Type::BOOL => ScalarValue::Boolean(Some(boolean(trimmed).ok_or_else(|| invalid(wire, text))?)),
        Type::INT2 => ScalarValue::Int16(Some(integer(text, wire)?)),
        Type::INT4 => ScalarValue::Int32(Some(integer(text, wire)?)),
        Type::INT8 => ScalarValue::Int64(Some(integer(text, wire)?)),
        Type::OID => ScalarValue::UInt32(Some(integer(text, wire)?)),
        Type::FLOAT4 => ScalarValue::Float32(Some(double(text, wire)? as f32)),
        Type::FLOAT8 => ScalarValue::Float64(Some(double(text, wire)?)),
        Type::NUMERIC => {
            double(text, wire)?;
            ScalarValue::Utf8(Some(trimmed.to_string()))
        }
        Type::BYTEA => ScalarValue::Binary(Some(bytes(text).ok_or_else(|| invalid(wire, text))?)),
        Type::DATE | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::INTERVAL => {
            times::read(text, wire, now)?
        }
        Type::UUID => ScalarValue::Utf8(Some(uuid(trimmed).ok_or_else(|| invalid(wire, text))?)),
        Type::JSON | Type::JSONB => {
            let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
            parsed.map_err(|_| errors::error("22P02", format!("invalid input syntax for type {}", wire.name())))?;
            ScalarValue::Utf8(Some(text.to_string()))
        }
        _ => ScalarValue::Utf8(Some(text.to_string())),
    })
}

/// Text as Postgres takes it: UTF-8 without zero bytes.
pub fn utf8(index: usize, bytes: &[u8]) -> PgWireResult<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| {
        errors::error("22021", format!("invalid byte sequence for encoding \"UTF8\" in parameter ${}", index + 1))
    })
}

/// What is said of a text that is no value of a type.
pub fn invalid(wire: &Type, text: &str) -> PgWireError {
    let name = types::type_name(wire.oid());
    errors::error("22P02", format!("invalid input syntax for type {name}: \"{text}\""))
}

fn out_of_range(wire: &Type, text: &str) -> PgWireError {
    let name = types::type_name(wire.oid());
    errors::error("22003", format!("value \"{text}\" is out of range for type {name}"))
}

/// Words may be cut short where that leaves them one.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || text == "on" || text == "1" {
        return Some(true);
    }
    (begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0").then_some(false)
}

fn integer<T: TryFrom<i64>>(text: &str, wire: &Type) -> PgWireResult<T> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(wire, text));
    }
    let value = trimmed.parse::<i64>().ok().and_then(|n| T::try_from(n).ok());
    value.ok_or_else(|| out_of_range(wire, text))
}

fn double(text: &str, wire: &Type) -> PgWireResult<f64> {
    let trimmed = text.trim();
    let value: f64 = trimmed.parse().map_err(|_| invalid(wire, text))?;
    // Infinity is one where it is written.
    if value.is_infinite() && trimmed.bytes().any(|b| b.is_ascii_digit()) {
        return Err(errors::error(
            "22003",
            format!("\"{text}\" is out of range for type {}", types::type_name(wire.oid())),
        ));
    }
    Ok(value)
}

/// In hexadecimal digits behind `\x`, or with what is not printable as three octal ones behind a backslash.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let nibble = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let pairs = digits.as_bytes().chunks(2);
        return pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, behind) {
            (b'\\', [b'\\', behind @ ..]) => {
                out.push(b'\\');
                rest = behind;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = behind;
            }
            (b'\\', _) => return None,
            (plain, _) => out.push(plain),
        }
    }
    Some(out)
}

/// As PostgreSQL prints it: 32 digits, with hyphens behind any four of them, in braces or not.
fn uuid(text: &str) -> Option<String> {
    let inner = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}')?,
        None => text,
    };
    let digits: String = inner.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pg::settings::zone::Zone;

    #[test]
    fn texts_of_all_types() {
        let check = |text: &str, wire: Type, want: Result<ScalarValue, &str>| {
            let got = read(text, &wire, Now { zone: Zone::UTC, micros: 0 }).map_err(|e| e.code().to_string());
            assert_eq!(got, want.map_err(String::from), "{text} as {wire}");
        };
        check(" TR ", Type::BOOL, Ok(ScalarValue::Boolean(Some(true))));
        check("of", Type::BOOL, Ok(ScalarValue::Boolean(Some(false))));
        check("o", Type::BOOL, Err("22P02"));
        check(" -7 ", Type::INT2, Ok(ScalarValue::Int16(Some(-7))));
        check("40000", Type::INT2, Err("22003"));
        check("1.0", Type::INT4, Err("22P02"));
        check("99999999999999999999", Type::INT8, Err("22003"));
        check("1e3", Type::FLOAT8, Ok(ScalarValue::Float64(Some(1000.0))));
        check("-Infinity", Type::FLOAT8, Ok(ScalarValue::Float64(Some(f64::NEG_INFINITY))));
        check("1e400", Type::FLOAT8, Err("22003"));
        check("\\x01fF", Type::BYTEA, Ok(ScalarValue::Binary(Some(vec![1, 255]))));
        check("a\\\\\\377", Type::BYTEA, Ok(ScalarValue::Binary(Some(vec![b'a', b'\\', 255]))));
        check("a\\9", Type::BYTEA, Err("22P02"));
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        check("{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", Type::UUID, Ok(ScalarValue::from(uuid)));
        check("a0eebc99", Type::UUID, Err("22P02"));
        check("{\"a\": [1]}", Type::JSONB, Ok(ScalarValue::from("{\"a\": [1]}")));
        check("{a}", Type::JSON, Err("22P02"));
        check("{a}", Type::TEXT, Ok(ScalarValue::from("{a}")));
    }
}

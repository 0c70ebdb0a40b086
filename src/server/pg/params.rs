//! Bound parameters, text or binary, to scalar values of the type the plan wants.

use bytes::{Buf, Bytes};
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;
use pgwire::api::{DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};
use std::sync::Arc;

use super::arguments::Given;
use super::errors;
use crate::engine::sql::datetime::write as datetime;

/// Checks the formats of a Bind's values: none means text for all, one is for all, otherwise there is one for each.
///
/// # Errors
/// 08P01 for any other number, 22023 for a code that is neither text nor binary.
pub fn check_formats(codes: &[i16], values: usize) -> PgWireResult<()> {
    let got = codes.len();
    if got > 1 && got != values {
        let text = format!("bind message has {got} parameter formats but {values} parameters");
        return Err(errors::error("08P01", text));
    }
    check_codes(codes)
}

/// Checks that codes are text or binary; how many columns there are is known elsewhere.
///
/// # Errors
/// 22023 for others.
pub fn check_codes(codes: &[i16]) -> PgWireResult<()> {
    match codes.iter().find(|code| !matches!(code, 0 | 1)) {
        Some(code) => Err(errors::error("22023", format!("unsupported format code: {code}"))),
        None => Ok(()),
    }
}

/// Checks the number of values of a Bind.
///
/// # Errors
/// 08P01 where the statement has another number of parameters.
pub fn check_count(statement: &str, got: usize, want: usize) -> PgWireResult<()> {
    if got == want {
        return Ok(());
    }
    let name = if statement == DEFAULT_NAME { "" } else { statement };
    let text = format!("bind message supplies {got} parameters, but prepared statement \"{name}\" requires {want}");
    Err(errors::error("08P01", text))
}

/// Decodes one parameter. `declared` is what the client said in Parse, `inferred` what the plan wants.
pub fn decode(
    index: usize,
    bytes: Option<&Bytes>,
    binary: bool,
    declared: Option<&Type>,
    inferred: Option<&DataType>,
) -> PgWireResult<ScalarValue> {
    let declared = declared.filter(|t| **t != Type::UNKNOWN);
    let wire = declared.cloned().unwrap_or_else(|| inferred.map_or(Type::TEXT, super::types::pg_type));
    let target = inferred.cloned().unwrap_or_else(|| super::types::arrow_type(&wire));
    let Some(bytes) = bytes else { return ScalarValue::try_from(&target).map_err(errors::datafusion) };
    // A time keeps what it has below milliseconds: comparisons round it in the right direction.
    let target = match target {
        DataType::Timestamp(TimeUnit::Millisecond, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone),
        other => other,
    };
    let value = if binary { from_binary(index, bytes, &wire)? } else { from_text(index, bytes, &wire)? };
    if value.data_type() == target {
        return Ok(value);
    }
    value.cast_to(&target).map_err(|_| invalid(index, &wire))
}

/// A value that is given in SQL, as the type that is wanted.
///
/// # Errors
/// 22P02 for a text that is no value of the type, 42804 for a value of another type.
pub fn converted(
    index: usize,
    given: Given,
    declared: Option<&Type>,
    inferred: Option<&DataType>,
) -> PgWireResult<ScalarValue> {
    let declared = declared.filter(|t| **t != Type::UNKNOWN);
    match given {
        Given::Text(text) => decode(index, Some(&Bytes::from(text)), false, declared, inferred),
        Given::Null => decode(index, None, false, declared, inferred),
        Given::Value(value) => {
            let target = inferred.cloned().or_else(|| declared.map(super::types::arrow_type));
            let target = target.unwrap_or_else(|| value.data_type());
            let from = super::types::type_name(super::types::pg_type(&value.data_type()).oid());
            value.cast_to(&target).map_err(|_| {
                let wanted = super::types::type_name(super::types::pg_type(&target).oid());
                let number = index + 1;
                let text =
                    format!("parameter ${number} of type {from} cannot be coerced to the expected type {wanted}");
                errors::error("42804", text)
            })
        }
    }
}

fn invalid(index: usize, wire: &Type) -> PgWireError {
    errors::error("22P02", format!("invalid input for parameter ${} of type {}", index + 1, wire.name()))
}

fn out_of_range(index: usize, wire: &Type) -> PgWireError {
    errors::error("22008", format!("{} out of range in parameter ${}", wire.name(), index + 1))
}

/// Text as Postgres takes it: UTF-8 without zero bytes.
fn utf8(index: usize, bytes: &[u8]) -> PgWireResult<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| {
        errors::error("22021", format!("invalid byte sequence for encoding \"UTF8\" in parameter ${}", index + 1))
    })
}

fn from_text(index: usize, bytes: &Bytes, wire: &Type) -> PgWireResult<ScalarValue> {
    let text = utf8(index, bytes)?;
    if *wire == Type::BOOL {
        return match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" | "y" => Ok(ScalarValue::Boolean(Some(true))),
            "f" | "false" | "0" | "off" | "no" | "n" => Ok(ScalarValue::Boolean(Some(false))),
            _ => Err(invalid(index, wire)),
        };
    }
    let target = super::types::arrow_type(wire);
    if target == DataType::Utf8 {
        return Ok(ScalarValue::Utf8(Some(text.to_string())));
    }
    if target == DataType::Binary {
        return hex(text).map(|b| ScalarValue::Binary(Some(b))).ok_or_else(|| invalid(index, wire));
    }
    let array: ArrayRef = Arc::new(StringArray::from(vec![text.trim()]));
    let strict = CastOptions { safe: false, ..Default::default() };
    let array = cast_with_options(&array, &target, &strict).map_err(|_| invalid(index, wire))?;
    ScalarValue::try_from_array(&array, 0).map_err(errors::datafusion)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let nibble = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}

fn from_binary(index: usize, bytes: &Bytes, wire: &Type) -> PgWireResult<ScalarValue> {
    let mut data = bytes.clone();
    let fixed = match *wire {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::OID | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => bytes.len(),
    };
    if bytes.len() != fixed {
        return Err(errors::error(
            "22P03",
            format!("incorrect binary data format in bind parameter {}", index + 1),
        ));
    }
    Ok(match *wire {
        Type::BOOL => ScalarValue::Boolean(Some(data.get_u8() != 0)),
        Type::INT2 => ScalarValue::Int16(Some(data.get_i16())),
        Type::INT4 => ScalarValue::Int32(Some(data.get_i32())),
        Type::INT8 => ScalarValue::Int64(Some(data.get_i64())),
        Type::OID => ScalarValue::UInt32(Some(data.get_u32())),
        Type::FLOAT4 => ScalarValue::Float32(Some(data.get_f32())),
        Type::FLOAT8 => ScalarValue::Float64(Some(data.get_f64())),
        Type::DATE => {
            let days = data.get_i32().checked_add(datetime::PG_EPOCH_DAYS);
            ScalarValue::Date32(Some(days.ok_or_else(|| out_of_range(index, wire))?))
        }
        Type::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(micros(index, data.get_i64(), wire)?), None),
        Type::TIMESTAMPTZ => {
            ScalarValue::TimestampMicrosecond(Some(micros(index, data.get_i64(), wire)?), Some("UTC".into()))
        }
        Type::INTERVAL => {
            let (micros, days, months) = (data.get_i64(), data.get_i32(), data.get_i32());
            let nanos = micros.checked_mul(1_000).ok_or_else(|| out_of_range(index, wire))?;
            ScalarValue::new_interval_mdn(months, days, nanos)
        }
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::JSON | Type::UNKNOWN => {
            ScalarValue::Utf8(Some(utf8(index, bytes)?.to_string()))
        }
        _ => return Err(errors::unsupported(format!("a binary parameter of type {}", wire.name()))),
    })
}

/// Microseconds since the Unix epoch, from Postgres' since 2000. Infinity is the last there is.
fn micros(index: usize, pg: i64, wire: &Type) -> PgWireResult<i64> {
    match pg {
        i64::MAX => Ok(i64::MAX),
        _ => pg.checked_add(datetime::PG_EPOCH_MICROS).ok_or_else(|| out_of_range(index, wire)),
    }
}

/// What Describe tells about a parameter nobody typed; Postgres says `text` too once it must decide.
pub fn described(declared: Option<&Type>, inferred: Option<&DataType>) -> Type {
    match (declared.filter(|t| **t != Type::UNKNOWN), inferred) {
        (Some(pg), _) => pg.clone(),
        (
            None,
            Some(DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Nanosecond, zone)),
        ) => {
            if zone.is_some() {
                Type::TIMESTAMPTZ
            } else {
                Type::TIMESTAMP
            }
        }
        (None, Some(arrow)) => super::types::pg_type(arrow),
        (None, None) => Type::TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        bytes: &[u8],
        binary: bool,
        declared: Option<Type>,
        inferred: Option<DataType>,
        want: Option<ScalarValue>,
    ) {
        let bytes = Bytes::copy_from_slice(bytes);
        let got = decode(0, Some(&bytes), binary, declared.as_ref(), inferred.as_ref());
        assert_eq!(got.ok(), want);
    }

    #[test]
    fn decodes() {
        check(b"12", false, None, Some(DataType::Int64), Some(ScalarValue::Int64(Some(12))));
        check(b"x", false, None, Some(DataType::Int64), None);
        check(b"t", false, Some(Type::BOOL), None, Some(ScalarValue::Boolean(Some(true))));
        check(
            &5i32.to_be_bytes(),
            true,
            Some(Type::INT4),
            Some(DataType::Int64),
            Some(ScalarValue::Int64(Some(5))),
        );
        check(&[1, 2], true, Some(Type::INT4), None, None);
        check(b"\\x01ff", false, Some(Type::BYTEA), None, Some(ScalarValue::Binary(Some(vec![1, 255]))));
        check(b"a", false, None, None, Some(ScalarValue::Utf8(Some("a".into()))));
        let infinity = ScalarValue::TimestampMicrosecond(Some(i64::MAX), None);
        check(&i64::MAX.to_be_bytes(), true, Some(Type::TIMESTAMP), None, Some(infinity));
    }

    #[test]
    fn what_cannot_be_a_value_has_its_code() {
        let cases: &[(&[u8], bool, Type, &str)] = &[
            (&[], true, Type::INT4, "22P03"),
            (&[1, 2, 3], true, Type::INT8, "22P03"),
            (&[0; 9], true, Type::FLOAT8, "22P03"),
            (&[0; 15], true, Type::INTERVAL, "22P03"),
            (&i32::MAX.to_be_bytes(), true, Type::DATE, "22008"),
            (&(i64::MAX - 1).to_be_bytes(), true, Type::TIMESTAMPTZ, "22008"),
            (&[0x7f; 16], true, Type::INTERVAL, "22008"),
            (b"\xff", true, Type::TEXT, "22021"),
            (b"a\0b", false, Type::TEXT, "22021"),
            (b"x", false, Type::FLOAT8, "22P02"),
            (b"\\x0", false, Type::BYTEA, "22P02"),
            (&[0, 1], true, Type::NUMERIC, "0A000"),
            (&[0; 20], true, Type::INT4_ARRAY, "0A000"),
        ];
        for (bytes, binary, declared, code) in cases {
            let error = decode(0, Some(&Bytes::copy_from_slice(bytes)), *binary, Some(declared), None).unwrap_err();
            assert_eq!(error.code(), *code, "{bytes:?} as {declared}: {error}");
        }
    }

    /// Any bytes as any type, for whatever the plan wants: a value or an error.
    #[test]
    fn random_bytes_are_values_or_errors() {
        let mut random = fastrand::Rng::with_seed(10);
        let wires: Vec<Type> = (16..4_100).filter_map(Type::from_oid).collect();
        let targets = [
            None,
            Some(DataType::Int16),
            Some(DataType::Int64),
            Some(DataType::Float64),
            Some(DataType::Utf8),
            Some(DataType::Boolean),
            Some(DataType::Date32),
            Some(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
            Some(DataType::Decimal128(10, 2)),
            Some(DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano)),
            Some(DataType::new_list(DataType::Utf8, true)),
        ];
        for _ in 0..50_000 {
            let length =
                if random.bool() { *random.choice(&[1, 2, 4, 8, 16]).expect("some") } else { random.usize(..20) };
            let bytes: Vec<u8> = match random.u8(..3) {
                0 => (0..length).map(|_| random.u8(..)).collect(),
                1 => (0..length).map(|_| *random.choice(b"0123456789.-+:eTZ \\x{}\"").expect("some")).collect(),
                _ => vec![*random.choice(&[0, 0x7f, 0x80, 0xff]).expect("some"); length],
            };
            let wire = random.bool().then(|| random.choice(&wires).expect("some"));
            let target = random.choice(&targets).expect("some");
            let _ = decode(0, Some(&Bytes::from(bytes)), random.bool(), wire, target.as_ref());
        }
    }

    #[test]
    fn formats_and_counts() {
        let check = |codes: &[i16], values: usize, want: Option<&str>| {
            let got = check_formats(codes, values);
            assert_eq!(got.err().as_ref().map(PgWireError::code), want, "{codes:?} for {values}");
        };
        check(&[], 3, None);
        check(&[1], 3, None);
        check(&[1], 0, None);
        check(&[0, 1, 0], 3, None);
        check(&[1, 1], 3, Some("08P01"));
        check(&[1, 1, 1, 1], 3, Some("08P01"));
        check(&[2], 3, Some("22023"));
        check(&[0, -1], 2, Some("22023"));
        assert_eq!(check_count(DEFAULT_NAME, 1, 2).unwrap_err().code(), "08P01");
        assert!(check_count("s", 2, 2).is_ok());
    }
}

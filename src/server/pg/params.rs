//! Bound parameters, text or binary, to scalar values of the type the plan wants.

use bytes::{Buf, Bytes};
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};
use std::sync::Arc;

use super::{datetime, errors};

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

fn invalid(index: usize, wire: &Type) -> PgWireError {
    errors::error("22P02", format!("invalid input for parameter ${} of type {}", index + 1, wire.name()))
}

fn from_text(index: usize, bytes: &Bytes, wire: &Type) -> PgWireResult<ScalarValue> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        errors::error("22021", format!("invalid byte sequence for encoding \"UTF8\" in parameter ${}", index + 1))
    })?;
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
        Type::DATE => ScalarValue::Date32(data.get_i32().checked_add(datetime::PG_EPOCH_DAYS)),
        Type::TIMESTAMP => {
            ScalarValue::TimestampMicrosecond(data.get_i64().checked_add(datetime::PG_EPOCH_MICROS), None)
        }
        Type::TIMESTAMPTZ => ScalarValue::TimestampMicrosecond(
            data.get_i64().checked_add(datetime::PG_EPOCH_MICROS),
            Some("UTC".into()),
        ),
        Type::INTERVAL => {
            let (micros, days, months) = (data.get_i64(), data.get_i32(), data.get_i32());
            ScalarValue::new_interval_mdn(months, days, micros.saturating_mul(1_000))
        }
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::JSON | Type::UNKNOWN => {
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| invalid(index, wire))?;
            ScalarValue::Utf8(Some(text))
        }
        _ => return Err(errors::unsupported(format!("a binary parameter of type {}", wire.name()))),
    })
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
    }
}

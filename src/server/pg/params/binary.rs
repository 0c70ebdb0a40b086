//! Values in the binary format.

use bytes::{Buf, Bytes};
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use super::array;
use super::array::malformed;
use super::text::utf8;
use crate::engine::sql::datetime::write as datetime;
use crate::server::pg::{errors, numeric, types};

/// The version of the format of `jsonb`.
const JSONB_VERSION: u8 = 1;

/// A value of a type. What has no type of the engine's own is a text.
///
/// # Errors
/// 22P03 for bytes that are none, 22008 for times that are out of range, 22021 for what is no UTF-8.
pub fn read(index: usize, bytes: &Bytes, wire: &Type) -> PgWireResult<ScalarValue> {
    if let Some(element) = types::element(wire) {
        return array::from_binary(index, bytes, &element, &|bytes| read(index, bytes, &element));
    }
    let mut data = bytes.clone();
    let fixed = match *wire {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::OID | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL | Type::UUID => 16,
        _ => bytes.len(),
    };
    if bytes.len() != fixed {
        return Err(malformed(index));
    }
    Ok(match *wire {
        Type::BOOL => ScalarValue::Boolean(Some(data.get_u8() != 0)),
        Type::INT2 => ScalarValue::Int16(Some(data.get_i16())),
        Type::INT4 => ScalarValue::Int32(Some(data.get_i32())),
        Type::INT8 => ScalarValue::Int64(Some(data.get_i64())),
        Type::OID => ScalarValue::UInt32(Some(data.get_u32())),
        Type::FLOAT4 => ScalarValue::Float32(Some(data.get_f32())),
        Type::FLOAT8 => ScalarValue::Float64(Some(data.get_f64())),
        Type::NUMERIC => ScalarValue::Utf8(Some(numeric::read(bytes).ok_or_else(|| malformed(index))?)),
        Type::DATE => {
            let days = data.get_i32().checked_add(datetime::PG_EPOCH_DAYS);
            ScalarValue::Date32(Some(days.ok_or_else(|| out_of_range(index, wire))?))
        }
        Type::TIME => {
            let micros = data.get_i64();
            if !(0..86_400_000_000).contains(&micros) {
                return Err(out_of_range(index, wire));
            }
            ScalarValue::Time64Microsecond(Some(micros))
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
        Type::UUID => {
            ScalarValue::Utf8(Some(uuid::Uuid::from_slice(bytes).map_err(|_| malformed(index))?.to_string()))
        }
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::JSONB => match bytes.split_first() {
            Some((&JSONB_VERSION, text)) => ScalarValue::Utf8(Some(utf8(index, text)?.to_string())),
            _ => return Err(malformed(index)),
        },
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::CHAR | Type::JSON | Type::UNKNOWN => {
            ScalarValue::Utf8(Some(utf8(index, bytes)?.to_string()))
        }
        _ => return Err(errors::unsupported(format!("a binary parameter of type {}", wire.name()))),
    })
}

fn out_of_range(index: usize, wire: &Type) -> PgWireError {
    errors::error("22008", format!("{} out of range in parameter ${}", wire.name(), index + 1))
}

/// Microseconds since the Unix epoch, from Postgres' since 2000. Infinity is the last there is, either way.
fn micros(index: usize, pg: i64, wire: &Type) -> PgWireResult<i64> {
    match pg {
        i64::MAX | i64::MIN => Ok(pg),
        _ => pg.checked_add(datetime::PG_EPOCH_MICROS).ok_or_else(|| out_of_range(index, wire)),
    }
}

//! Bound parameters: what a statement wants in their place, and values, text or binary, as that.

/// Arrays, as text and binary.
mod array;
/// Values in the binary format.
pub mod binary;
/// Types by what stands beside a parameter in the plan.
pub mod inferred;
/// Types that clients declare, and casts.
pub mod known;
/// Values as text.
pub mod text;
/// Dates, times and intervals as text.
mod times;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::scalar::ScalarValue;
use pgwire::api::{DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use crate::engine::sql::datetime::read::Now;

/// Parameters of a statement; messages count them in 16 bits.
const MOST: usize = 65_535;

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

/// A value, and whether its type is one that a text may become.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// As it is written: a quoted text takes whatever type is wanted.
    Text(String),
    Null,
    Value(ScalarValue),
}

/// What a statement wants in the place of `$n`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// What its values are sent as, and what it is described as.
    pub pg: Type,
    /// What the plan takes.
    pub arrow: DataType,
}

impl Parameter {
    /// `known` where the client or the text says so.
    pub fn new(known: Option<&Type>, arrow: DataType) -> Self {
        Self { pg: known.cloned().unwrap_or_else(|| super::types::pg_type(&arrow)), arrow }
    }
}

/// The number of a parameter by its name, `$1`.
pub fn number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$')?;
    digits.parse().ok().filter(|n| (1..=MOST).contains(n))
}

/// The type that a plan takes, by what is known of each parameter.
pub fn arrow_types(known: &[Option<Type>]) -> Vec<Option<DataType>> {
    known.iter().map(|known| known.as_ref().map(super::types::arrow_type)).collect()
}

/// Values as the engine takes them; none where there are none.
pub fn bound(values: Vec<ScalarValue>) -> Option<ParamValues> {
    let values: Vec<ScalarAndMetadata> = values.into_iter().map(ScalarAndMetadata::from).collect();
    (!values.is_empty()).then_some(ParamValues::List(values))
}

/// Decodes one value. Times without an offset are of the zone of `now`.
///
/// # Errors
/// 22P02, 22P03, 22003, 22007, 22008 and 22021, as PostgreSQL.
pub fn decode(
    index: usize,
    bytes: Option<&Bytes>,
    is_binary: bool,
    wanted: &Parameter,
    now: Now,
) -> PgWireResult<ScalarValue> {
    let Some(bytes) = bytes else { return ScalarValue::try_from(&wanted.arrow).map_err(errors::datafusion) };
    let value = match is_binary {
        true => binary::read(index, bytes, &wanted.pg)?,
        false => text::read(text::utf8(index, bytes)?, &wanted.pg, now)?,
    };
    fitted(value, &wanted.arrow).map_err(|_| invalid(index, &wanted.pg))
}

/// A value as the type that the plan takes.
fn fitted(value: ScalarValue, target: &DataType) -> datafusion::error::Result<ScalarValue> {
    // A time keeps what it has below milliseconds: comparisons round it in the right direction.
    let target = match target {
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        target => target,
    };
    if value.data_type() == *target { Ok(value) } else { value.cast_to(target) }
}

/// A value that is given in SQL, as the type that is wanted.
///
/// # Errors
/// 22P02 for a text that is no value of the type, 42804 for a value of another type.
pub fn converted(index: usize, given: Given, wanted: &Parameter, now: Now) -> PgWireResult<ScalarValue> {
    match given {
        Given::Text(text) => decode(index, Some(&Bytes::from(text)), false, wanted, now),
        Given::Null => decode(index, None, false, wanted, now),
        Given::Value(value) => {
            let from = super::types::type_name(super::types::pg_type(&value.data_type()).oid());
            value.cast_to(&wanted.arrow).map_err(|_| {
                let to = super::types::type_name(wanted.pg.oid());
                let number = index + 1;
                let text =
                    format!("parameter ${number} of type {from} cannot be coerced to the expected type {to}");
                errors::error("42804", text)
            })
        }
    }
}

fn invalid(index: usize, wire: &Type) -> PgWireError {
    let name = super::types::type_name(wire.oid());
    errors::error("22P02", format!("the value of parameter ${} is none of type {name}", index + 1))
}

#[cfg(test)]
mod tests;

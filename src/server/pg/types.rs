//! Which Postgres type stands for an Arrow type on the wire.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use pgwire::api::Type;

/// The wire type of a column. Types without a Postgres counterpart travel as text; maps and structs as JSON.
/// `UInt32` is `oid`: our catalog relations use it for object ids, and no user column has it.
pub fn pg_type(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::UInt32 => Type::OID,
        DataType::Int64 => Type::INT8,
        DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Type::BYTEA
        }
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::Map(..) | DataType::Struct(_) => Type::JSONB,
        DataType::Dictionary(_, value) => pg_type(value),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            array_type(&pg_type(field.data_type()))
        }
        _ => Type::TEXT,
    }
}

/// The same where its metadata tells more: names and single characters are texts of other types.
pub fn of_field(field: &Field) -> Type {
    match (pg_type(field.data_type()), field.metadata().get("pg_type").map(String::as_str)) {
        (Type::TEXT, Some("name")) => Type::NAME,
        (Type::TEXT, Some("varchar")) => Type::VARCHAR,
        (Type::TEXT, Some("bpchar")) => Type::BPCHAR,
        (Type::TEXT_ARRAY, Some("_name")) => Type::NAME_ARRAY,
        (Type::OID, Some("xid")) => Type::XID,
        (other, _) => other,
    }
}

fn array_type(of: &Type) -> Type {
    match *of {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::OID => Type::OID_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        Type::JSONB => Type::JSONB_ARRAY,
        // An array of arrays is one of more dimensions.
        ref array if element(array).is_some() => array.clone(),
        _ => Type::TEXT_ARRAY,
    }
}

/// What an array is of.
pub fn element(array: &Type) -> Option<Type> {
    Some(match *array {
        Type::BOOL_ARRAY => Type::BOOL,
        Type::INT2_ARRAY => Type::INT2,
        Type::INT4_ARRAY => Type::INT4,
        Type::INT8_ARRAY => Type::INT8,
        Type::OID_ARRAY => Type::OID,
        Type::FLOAT4_ARRAY => Type::FLOAT4,
        Type::FLOAT8_ARRAY => Type::FLOAT8,
        Type::NUMERIC_ARRAY => Type::NUMERIC,
        Type::TEXT_ARRAY => Type::TEXT,
        Type::VARCHAR_ARRAY => Type::VARCHAR,
        Type::BPCHAR_ARRAY => Type::BPCHAR,
        Type::CHAR_ARRAY => Type::CHAR,
        Type::NAME_ARRAY => Type::NAME,
        Type::BYTEA_ARRAY => Type::BYTEA,
        Type::DATE_ARRAY => Type::DATE,
        Type::TIME_ARRAY => Type::TIME,
        Type::TIMESTAMP_ARRAY => Type::TIMESTAMP,
        Type::TIMESTAMPTZ_ARRAY => Type::TIMESTAMPTZ,
        Type::INTERVAL_ARRAY => Type::INTERVAL,
        Type::JSON_ARRAY => Type::JSON,
        Type::JSONB_ARRAY => Type::JSONB,
        Type::UUID_ARRAY => Type::UUID,
        _ => return None,
    })
}

/// The Arrow type a parameter of a Postgres type is decoded to, where the plan does not say.
pub fn arrow_type(pg: &Type) -> DataType {
    match *pg {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::OID => DataType::UInt32,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ref other => match element(other) {
            Some(element) => DataType::new_list(arrow_type(&element), true),
            None => DataType::Utf8,
        },
    }
}

/// `pg_type.typlen`: bytes of a fixed-width type, -1 for others.
pub fn type_size(pg: &Type) -> i16 {
    match *pg {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::OID | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// The name `format_type` prints.
pub fn type_name(oid: u32) -> &'static str {
    match Type::from_oid(oid) {
        Some(Type::BOOL) => "boolean",
        Some(Type::INT2) => "smallint",
        Some(Type::INT4) => "integer",
        Some(Type::INT8) => "bigint",
        Some(Type::OID) => "oid",
        Some(Type::NUMERIC) => "numeric",
        Some(Type::FLOAT4) => "real",
        Some(Type::FLOAT8) => "double precision",
        Some(Type::BYTEA) => "bytea",
        Some(Type::DATE) => "date",
        Some(Type::TIME) => "time without time zone",
        Some(Type::TIMESTAMP) => "timestamp without time zone",
        Some(Type::TIMESTAMPTZ) => "timestamp with time zone",
        Some(Type::INTERVAL) => "interval",
        Some(Type::JSONB) => "jsonb",
        Some(Type::NAME) => "name",
        Some(Type::TEXT) => "text",
        Some(Type::BOOL_ARRAY) => "boolean[]",
        Some(Type::INT2_ARRAY) => "smallint[]",
        Some(Type::INT4_ARRAY) => "integer[]",
        Some(Type::INT8_ARRAY) => "bigint[]",
        Some(Type::OID_ARRAY) => "oid[]",
        Some(Type::FLOAT4_ARRAY) => "real[]",
        Some(Type::FLOAT8_ARRAY) => "double precision[]",
        Some(Type::TEXT_ARRAY) => "text[]",
        Some(Type::TIMESTAMP_ARRAY) => "timestamp without time zone[]",
        Some(Type::TIMESTAMPTZ_ARRAY) => "timestamp with time zone[]",
        Some(Type::NUMERIC_ARRAY) => "numeric[]",
        Some(Type::BYTEA_ARRAY) => "bytea[]",
        Some(Type::DATE_ARRAY) => "date[]",
        Some(Type::TIME_ARRAY) => "time without time zone[]",
        Some(Type::INTERVAL_ARRAY) => "interval[]",
        Some(Type::JSONB_ARRAY) => "jsonb[]",
        Some(Type::JSON) => "json",
        Some(Type::UUID) => "uuid",
        Some(Type::VARCHAR) => "character varying",
        Some(Type::BPCHAR) => "character",
        _ => "???",
    }
}

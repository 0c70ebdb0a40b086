//! Types as SQL writes them.

use datafusion::sql::sqlparser::ast::DataType;
use pgwire::api::Type;

/// The type that a statement names; `None` for one that is not known here.
pub fn named(declared: &DataType) -> Option<Type> {
    let name = declared.to_string().to_lowercase();
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name.as_str(), false),
    };
    // Of an array of arrays PostgreSQL says no more than that it is one.
    let element = element.trim_end_matches("[]");
    let bare = element.split('(').next().unwrap_or_default().trim();
    let rest = element.split_once(')').map_or("", |(_, rest)| rest.trim());
    let bare = bare.strip_prefix("pg_catalog.").unwrap_or(bare);
    let known = match (bare, rest) {
        ("int" | "integer" | "int4", _) => (Type::INT4, Type::INT4_ARRAY),
        ("bigint" | "int8", _) => (Type::INT8, Type::INT8_ARRAY),
        ("smallint" | "int2", _) => (Type::INT2, Type::INT2_ARRAY),
        ("bool" | "boolean", _) => (Type::BOOL, Type::BOOL_ARRAY),
        ("double precision" | "float8" | "float" | "double", _) => (Type::FLOAT8, Type::FLOAT8_ARRAY),
        ("real" | "float4", _) => (Type::FLOAT4, Type::FLOAT4_ARRAY),
        ("numeric" | "decimal" | "dec", _) => (Type::NUMERIC, Type::NUMERIC_ARRAY),
        ("text", _) => (Type::TEXT, Type::TEXT_ARRAY),
        ("varchar" | "character varying" | "char varying", _) => (Type::VARCHAR, Type::VARCHAR_ARRAY),
        ("char" | "character" | "bpchar", _) => (Type::BPCHAR, Type::BPCHAR_ARRAY),
        ("name", _) => (Type::NAME, Type::NAME_ARRAY),
        ("bytea", _) => (Type::BYTEA, Type::BYTEA_ARRAY),
        ("date", _) => (Type::DATE, Type::DATE_ARRAY),
        ("timestamptz" | "timestamp with time zone", _) | ("timestamp", "with time zone") => {
            (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY)
        }
        ("timestamp" | "timestamp without time zone", _) => (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
        ("time" | "time without time zone", "" | "without time zone") => (Type::TIME, Type::TIME_ARRAY),
        ("interval", _) => (Type::INTERVAL, Type::INTERVAL_ARRAY),
        ("oid", _) => (Type::OID, Type::OID_ARRAY),
        ("json", _) => (Type::JSON, Type::JSON_ARRAY),
        ("jsonb", _) => (Type::JSONB, Type::JSONB_ARRAY),
        ("uuid", _) => (Type::UUID, Type::UUID_ARRAY),
        _ => return None,
    };
    Some(if is_array { known.1 } else { known.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn types_of_parameters() {
        let check = |name: &str, want: Option<Type>| {
            let sql = format!("PREPARE p({name}) AS SELECT 1");
            let Statement::Prepare { data_types, .. } =
                Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap().remove(0)
            else {
                panic!("{sql}");
            };
            assert_eq!(named(&data_types[0]), want, "{name}");
        };
        check("int", Some(Type::INT4));
        check("double precision", Some(Type::FLOAT8));
        check("character varying(20)", Some(Type::VARCHAR));
        check("timestamp with time zone", Some(Type::TIMESTAMPTZ));
        check("timestamptz(3)", Some(Type::TIMESTAMPTZ));
        check("timestamp(3) with time zone", Some(Type::TIMESTAMPTZ));
        check("timestamp", Some(Type::TIMESTAMP));
        check("time", Some(Type::TIME));
        check("text[]", Some(Type::TEXT_ARRAY));
        check("int[][]", Some(Type::INT4_ARRAY));
        check("unknown", None);
        check("nosuch", None);
    }
}

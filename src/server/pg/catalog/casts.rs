//! Casts to PostgreSQL's own types: those whose values are ids become functions that read names, the others the engine's types
//! under the names that `pg_catalog` has for them.

use datafusion::sql::sqlparser::ast::{self, ArrayElemTypeDef, DataType, Expr, TimezoneInfo};

use super::spec::{self, REG_TYPES};

/// What a cast becomes, if not itself; its type may be changed in place.
pub fn rewritten(inner: &mut Expr, to: &mut DataType) -> Option<Expr> {
    if let Some(reg_type) = reg_type(to) {
        let inner = std::mem::replace(inner, Expr::value(ast::Value::Null));
        return Some(super::syntax::call(&format!("{reg_type}in"), vec![inner]));
    }
    if custom(to).is_some_and(|name| name == "oid") && is_id_with_name(inner) {
        // A cast keeps what is said of its operand, and would go on printing as a name.
        let inner = std::mem::replace(inner, Expr::value(ast::Value::Null));
        return Some(super::syntax::call("oidin", vec![inner]));
    }
    plain(to);
    None
}

/// Whether it is of a `reg…` type, as far as syntax tells.
fn is_id_with_name(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Function(function) => function.name.to_string(),
        Expr::Nested(inner) => return is_id_with_name(inner),
        Expr::Identifier(ident) => return is_reg_column(&ident.value),
        Expr::CompoundIdentifier(parts) => return parts.last().is_some_and(|ident| is_reg_column(&ident.value)),
        _ => return false,
    };
    name.starts_with("reg") || name.starts_with("to_reg")
}

fn is_reg_column(name: &str) -> bool {
    spec::column_type(&name.to_ascii_lowercase()).is_some_and(|t| REG_TYPES.contains(&t))
}

fn reg_type(to: &DataType) -> Option<&'static str> {
    if *to == DataType::Regclass {
        return Some("regclass");
    }
    let name = custom(to)?;
    REG_TYPES.iter().copied().find(|known| *known == name)
}

/// The last part of the name of a type that the parser does not know.
fn custom(to: &DataType) -> Option<String> {
    let DataType::Custom(name, _) = to else { return None };
    Some(name.0.last()?.as_ident()?.value.to_ascii_lowercase())
}

/// Under the name the engine knows it by.
fn plain(to: &mut DataType) {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) =
        to
    {
        return plain(element);
    }
    let Some(name) = custom(to) else { return };
    *to = match name.as_str() {
        "name" | "char" | "text" | "varchar" | "bpchar" | "cstring" | "pg_node_tree" | "aclitem" | "unknown" => {
            DataType::Text
        }
        "oid" | "xid" | "cid" => DataType::IntUnsigned(None),
        "int2" => DataType::SmallInt(None),
        "int4" => DataType::Int(None),
        "int8" => DataType::BigInt(None),
        "float4" => DataType::Real,
        "float8" => DataType::DoublePrecision,
        "bool" => DataType::Boolean,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        "bytea" => DataType::Bytea,
        "int2vector" => DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::SmallInt(None)), None)),
        "oidvector" => {
            DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::IntUnsigned(None)), None))
        }
        _ => return,
    };
}

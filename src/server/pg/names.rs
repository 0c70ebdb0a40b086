//! Result column names as Postgres gives them: the function's name, the cast's type, `?column?`.

use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement};

/// A name as it is looked up.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// A name as it has to be written to be looked up as it is.
pub fn quoted(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A name for every output column, `None` where the engine's own names hold (wildcards, set operations).
pub fn output_names(statement: &Statement) -> Option<Vec<String>> {
    let Statement::Query(query) = statement else { return None };
    let mut body = query.body.as_ref();
    while let SetExpr::Query(inner) = body {
        body = inner.body.as_ref();
    }
    let SetExpr::Select(select) = body else { return None };
    select.projection.iter().map(item_name).collect()
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(e) => Some(expr_name(e)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

fn expr_name(e: &Expr) -> String {
    match e {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        Expr::Function(f) => f.name.0.last().and_then(|p| p.as_ident()).map_or_else(|| "?column?".into(), fold),
        Expr::Cast { expr, data_type, .. } => match expr_name(expr) {
            name if name == "?column?" => type_name(&data_type.to_string()),
            name => name,
        },
        Expr::Nested(inner) => expr_name(inner),
        Expr::Case { .. } => "case".into(),
        Expr::Extract { .. } => "extract".into(),
        Expr::Exists { .. } => "exists".into(),
        Expr::Array(_) => "array".into(),
        Expr::Substring { .. } => "substring".into(),
        Expr::Trim { .. } => "btrim".into(),
        Expr::AtTimeZone { .. } => "timezone".into(),
        _ => "?column?".into(),
    }
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn type_name(declared: &str) -> String {
    let declared = declared.to_lowercase();
    match declared.split('(').next().unwrap_or("").trim() {
        "int" | "integer" => "int4".into(),
        "bigint" => "int8".into(),
        "smallint" => "int2".into(),
        "double precision" => "float8".into(),
        "real" => "float4".into(),
        "boolean" => "bool".into(),
        "timestamp with time zone" => "timestamptz".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn names() {
        for (sql, want) in [
            ("select 1", Some(vec!["?column?"])),
            ("select count(*), max(x), a.b, c as \"D\", 1 as Foo", Some(vec!["count", "max", "b", "D", "foo"])),
            ("select '1'::bigint, x::text, case when true then 1 end", Some(vec!["int8", "x", "case"])),
            ("select *", None),
            ("select 1 union select 2", None),
        ] {
            let statement = &Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap()[0];
            let want = want.map(|w| w.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(output_names(statement), want, "{sql}");
        }
    }
}

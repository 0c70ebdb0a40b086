//! Result column names as Postgres gives them: the function's name, the cast's type, `?column?`.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, SelectItem, SetExpr, Statement, TrimWhereField};

/// What a column is called that nothing names.
const NAMELESS: &str = "?column?";

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

/// A name for every output column, `None` where the engine's own names hold (wildcards, VALUES). Those of a set operation are
/// those of its first query.
pub fn output_names(statement: &Statement) -> Option<Vec<String>> {
    let Statement::Query(query) = statement else { return None };
    first_items(&query.body)?.iter().map(item_name).collect()
}

/// What is selected by the query that names the columns.
fn first_items(mut body: &SetExpr) -> Option<&[SelectItem]> {
    loop {
        body = match body {
            SetExpr::Query(inner) => inner.body.as_ref(),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            SetExpr::Select(select) => return Some(&select.projection),
            _ => return None,
        };
    }
}

/// What an output column is called, where one item is one column.
pub fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(e) => Some(expr_name(e)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

fn expr_name(e: &Expr) -> String {
    found(e).map_or_else(|| NAMELESS.into(), |(name, _)| name)
}

/// The name of an expression, and whether it is one that a cast or a CASE around it leaves: PostgreSQL's
/// `FigureColnameInternal`.
fn found(e: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_string(), true));
    match e {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| (fold(part), true)),
        Expr::Function(f) => f.name.0.last().and_then(|p| p.as_ident()).map(|ident| (fold(ident), true)),
        Expr::Cast { expr, data_type, .. } => match found(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(found) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".into(), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".into(), false)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => found(inner),
        Expr::CompoundFieldAccess { root, .. } => found(root),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where: Some(TrimWhereField::Leading), .. } => strong("ltrim"),
        Expr::Trim { trim_where: Some(TrimWhereField::Trailing), .. } => strong("rtrim"),
        Expr::Trim { .. } => strong("btrim"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Array(_) => strong("array"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => {
            let first = first_items(&query.body).and_then(|items| item_name(items.first()?));
            first.filter(|name| name != NAMELESS).map(|name| (name, true))
        }
        Expr::Tuple(_) => strong("row"),
        _ => None,
    }
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A type as `pg_type` calls it.
fn type_name(declared: &DataType) -> String {
    let declared = declared.to_string().to_lowercase();
    let declared = declared.trim_end_matches("[]");
    let bare = declared.split('(').next().unwrap_or("").trim();
    let rest = declared.split_once(')').map_or("", |(_, rest)| rest.trim());
    let bare = bare.rsplit('.').next().unwrap_or(bare).trim_matches('"');
    match (bare, rest) {
        ("int" | "integer", _) => "int4",
        ("bigint", _) => "int8",
        ("smallint", _) => "int2",
        ("double precision" | "float" | "double", _) => "float8",
        ("real", _) => "float4",
        ("boolean", _) => "bool",
        ("decimal" | "dec", _) => "numeric",
        ("character varying" | "char varying", _) => "varchar",
        ("character" | "char", _) => "bpchar",
        ("timestamp with time zone", _) | ("timestamp", "with time zone") => "timestamptz",
        ("timestamp without time zone", _) => "timestamp",
        ("time with time zone", _) | ("time", "with time zone") => "timetz",
        ("time without time zone", _) => "time",
        (other, _) => other,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    /// As PostgreSQL 15 calls them.
    #[test]
    fn names() {
        for (sql, want) in [
            ("select 1", Some(vec!["?column?"])),
            ("select count(*), max(x), a.b, c as \"D\", 1 as Foo", Some(vec!["count", "max", "b", "D", "foo"])),
            ("select '1'::bigint, x::text, case when true then 1 end", Some(vec!["int8", "x", "case"])),
            ("select case when a then 1 else b end, (1 + 1)::int[]", Some(vec!["b", "int4"])),
            ("select f(x)::varchar(3), 'a'::pg_catalog.text, x[1]", Some(vec!["f", "text", "x"])),
            ("select date '2020-01-01', interval '1 day', -x", Some(vec!["date", "interval", "?column?"])),
            (
                "select (select max(v) from t), (select 1), exists (select 1)",
                Some(vec!["max", "?column?", "exists"]),
            ),
            ("select array[1], row(1, 2), coalesce(a, b)", Some(vec!["array", "row", "coalesce"])),
            ("select *", None),
            ("select 1 union select 2", Some(vec!["?column?"])),
            ("(select a from t) union all select 2", Some(vec!["a"])),
            ("values (1)", None),
        ] {
            let statement = &Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap()[0];
            let want = want.map(|w| w.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(output_names(statement), want, "{sql}");
        }
    }
}

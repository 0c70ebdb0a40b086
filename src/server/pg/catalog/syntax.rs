//! Constructs of statements about the catalog that the engine cannot plan, made into ones it can, on the syntax tree.
//!
//! | construct | becomes | asked by |
//! | --- | --- | --- |
//! | `ARRAY(SELECT x …)` | `array_or_empty((SELECT array_agg(x) …))` | psql, pgAdmin |
//! | subqueries of a SELECT from a relation that is always empty | `NULL`, `false` | psql `\d`, pgjdbc |
//! | a subquery over a relation that is always empty | the same | psql `\d` |
//! | `generate_subscripts(a, 1)` | `unnest(array_subscripts(a, 1))` | SQLAlchemy |
//! | `_pg_expandarray(a)` | `unnest(_pg_expandarray(a))` | pgjdbc |
//! | `(x).n` | `(x).'n'` | pgjdbc |
//! | `SELECT NULL, NULL` from a relation | the same with a name | psql `\d` |
//! | `pg_catalog.unnest(a)` in FROM | `unnest(a)` | psql `\dy` |
//! | `t.xmin`, `t.tableoid` of a relation | a constant | DataGrip, psql `\dd` |
//! | `indisprimary = 't'`, `polroles = '{0}'` | literals of the column's type | psqlODBC, psql |
//! | `age(transactionid)` | `pg_xid_age(transactionid)` | DataGrip |

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, JoinOperator, ObjectName,
    ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins, Value,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::sources::is_always_empty;
use super::spec::{self, PG_CATALOG};
use crate::engine::sql::text::walk::{walk_expr_mut, walk_mut};
use crate::server::pg::names::folded;

/// Applies all rules in place.
pub fn apply(statement: &mut Statement) {
    let _ = walk_mut(statement, &mut Rules::default());
}

/// Names that stand for relations of the catalog in a SELECT, and what they stand for; `None` for what stands for
/// something else.
type Scope = HashMap<String, Option<&'static spec::Relation>>;

fn scope(select: &Select) -> Scope {
    let factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let named = |factor: &TableFactor| match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let last = name.0.last().and_then(|part| part.as_ident()).map(folded)?;
            Some((alias.as_ref().map_or(last, |alias| folded(&alias.name)), relation(name)))
        }
        TableFactor::Derived { alias: Some(alias), .. } => Some((folded(&alias.name), None)),
        _ => None,
    };
    factors.filter_map(named).collect()
}

/// The relation of the catalog that a name stands for.
fn relation(name: &ObjectName) -> Option<&'static spec::Relation> {
    let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<_>>()?;
    match parts.as_slice() {
        [name] => spec::relation(PG_CATALOG, name),
        [.., schema, name] => spec::relation(schema, name),
        [] => None,
    }
}

/// The SELECTs around what is visited, innermost last.
#[derive(Default)]
struct Rules {
    scopes: Vec<Scope>,
}

impl VisitorMut for Rules {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.scopes.push(scope(select));
        if select.from.iter().any(is_empty) {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    without_subqueries(expr);
                }
            }
            if let Some(expr) = &mut select.selection {
                without_subqueries(expr);
            }
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((constant, name)) = self.system_column(expr)
            {
                *item = SelectItem::ExprWithAlias { expr: constant, alias: Ident::new(name) };
            }
        }
        if self.scopes.last().is_some_and(|scope| scope.values().any(Option::is_some)) {
            tell_literals_apart(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = factor {
            strip_schema(name);
            args.args.iter_mut().for_each(wide_bound);
        }
        if let Some(unnested) = unnest(factor) {
            *factor = unnested;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(constant) = constant(expr) {
            *expr = constant;
        }
        if let Some((constant, _)) = self.system_column(expr) {
            *expr = constant;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                typed_literal(left, right);
                typed_literal(right, left);
            }
            Expr::Function(function) => {
                strip_schema(&mut function.name);
                if let Some(replacement) = rewritten_function(function) {
                    *expr = replacement;
                }
            }
            // `t.a[1]` is a name with a schema, and stays.
            Expr::CompoundFieldAccess { root, access_chain } if matches!(**root, Expr::Nested(_)) => {
                access_chain.iter_mut().for_each(field_by_text);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `(x).field`, of which the engine wants the field as a text.
fn field_by_text(access: &mut AccessExpr) {
    if let AccessExpr::Dot(field) = access
        && let Expr::Identifier(name) = field
    {
        *field = Expr::value(Value::SingleQuotedString(folded(name)));
    }
}

/// `SELECT NULL, NULL` has columns of one name, which the engine refuses.
fn tell_literals_apart(select: &mut Select) {
    let mut seen: Vec<String> = vec![];
    for (at, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr @ Expr::Value(_)) = item else { continue };
        let text = expr.to_string();
        if seen.contains(&text) {
            let alias = Ident::with_quote('"', format!("?column? {at}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        } else {
            seen.push(text);
        }
    }
}

/// A bound of an array where the engine's `generate_series` takes only numbers of 64 bits.
fn wide_bound(argument: &mut FunctionArg) {
    const BOUNDS: [&str; 3] = ["array_length", "array_lower", "array_upper"];
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return };
    let Expr::Function(function) = &*expr else { return };
    let name = function.name.0.last().and_then(|part| part.as_ident()).map(folded);
    if name.is_some_and(|name| BOUNDS.contains(&name.as_str())) {
        *expr = cast(expr.clone(), DataType::BigInt(None));
    }
}

/// `pg_catalog.unnest(a) AS x`, which the parser knows without the schema only.
fn unnest(factor: &mut TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } = factor else { return None };
    let [part] = name.0.as_slice() else { return None };
    if folded(part.as_ident()?) != "unnest" {
        return None;
    }
    let array_exprs = args.args.iter().map(plain_argument).collect::<Option<Vec<Expr>>>()?;
    Some(TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    })
}

fn plain_argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

impl Rules {
    /// A column that every relation of PostgreSQL has and no `*` shows, and its name.
    fn system_column(&self, expr: &Expr) -> Option<(Expr, String)> {
        let Expr::CompoundIdentifier(parts) = expr else { return None };
        let [relation, column] = parts.as_slice() else { return None };
        let name = folded(relation);
        let relation = (*self.scopes.iter().rev().find_map(|scope| scope.get(&name))?)?;
        let column = folded(column);
        if relation.columns.iter().any(|c| c.name == column) {
            return None;
        }
        let value = match column.as_str() {
            "xmin" | "xmax" | "cmin" | "cmax" => 1,
            "tableoid" => relation.oid?,
            _ => return None,
        };
        let number = Expr::value(Value::Number(value.to_string(), false));
        Some((cast(number, DataType::IntUnsigned(None)), column))
    }
}

/// Whether a part of FROM never has a row.
fn is_empty(from: &TableWithJoins) -> bool {
    let mut empty = is_empty_factor(&from.relation);
    for join in &from.joins {
        let joined = is_empty_factor(&join.relation);
        empty = match join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || joined,
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => joined,
            _ => empty && joined,
        };
    }
    empty
}

fn is_empty_factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            relation(name).is_some_and(|r| r.schema == PG_CATALOG && is_always_empty(r.name))
        }
        TableFactor::Table { args: Some(args), .. } => match args.args.as_slice() {
            [one] => plain_argument(one).is_some_and(|e| is_never_set(&e)),
            _ => false,
        },
        TableFactor::UNNEST { array_exprs, .. } => array_exprs.iter().all(is_never_set),
        TableFactor::Derived { subquery, .. } => is_empty_query(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => is_empty(table_with_joins),
        _ => false,
    }
}

/// Grants and options of things, which nothing here has.
fn is_never_set(expr: &Expr) -> bool {
    let Some(name) = last_name(expr) else { return false };
    match spec::column_type(&name) {
        Some("_aclitem") => true,
        Some("_text") => name.ends_with("options"),
        _ => false,
    }
}

/// A SELECT without aggregates from nothing.
fn is_empty_query(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    query.with.is_none() && select.from.iter().any(is_empty) && !select.projection.iter().any(aggregates)
}

/// `SELECT count(…)` from nothing, without groups.
fn counts_nothing(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(e, _) if e.is_empty());
    let [SelectItem::UnnamedExpr(Expr::Function(function))] = select.projection.as_slice() else { return false };
    query.with.is_none()
        && ungrouped
        && select.having.is_none()
        && select.from.iter().any(is_empty)
        && function.name.to_string().eq_ignore_ascii_case("count")
}

fn aggregates(item: &SelectItem) -> bool {
    const AGGREGATES: &[&str] =
        &["count(", "min(", "max(", "sum(", "avg(", "array_agg(", "string_agg(", "bool_and(", "bool_or("];
    let text = item.to_string().to_ascii_lowercase();
    AGGREGATES.iter().any(|name| text.contains(name))
}

/// NULL of the type of a query's column, as far as its name tells.
fn null_of(query: &Query) -> Expr {
    let item = match query.body.as_ref() {
        SetExpr::Select(select) => select.projection.first(),
        _ => None,
    };
    let name = match item {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => last_name(expr),
        _ => None,
    };
    let data_type = match name.and_then(|name| spec::column_type(&name)) {
        Some("bool") => DataType::Boolean,
        Some("int2") => DataType::SmallInt(None),
        Some("int4") => DataType::Int(None),
        Some("int8") => DataType::BigInt(None),
        Some("oid" | "xid") => DataType::IntUnsigned(None),
        _ => DataType::Text,
    };
    cast(Expr::value(Value::Null), data_type)
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: ast::CastKind::Cast, expr: Box::new(expr), data_type, format: None, array: false }
}

fn no() -> Expr {
    Expr::value(Value::Boolean(false))
}

/// What a subquery over nothing is.
fn constant(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Subquery(query) if is_empty_query(query) => Some(null_of(query)),
        Expr::Subquery(query) if counts_nothing(query) => Some(Expr::value(Value::Number("0".into(), false))),
        Expr::Exists { subquery, negated } if is_empty_query(subquery) => {
            Some(Expr::value(Value::Boolean(*negated)))
        }
        Expr::Function(function) => match array_query(function) {
            Some(query) if is_empty_query(query) => Some(empty_array()),
            _ => None,
        },
        _ => None,
    }
}

/// The query of `ARRAY(SELECT …)`.
fn array_query(function: &Function) -> Option<&Query> {
    let [part] = function.name.0.as_slice() else { return None };
    match &function.args {
        FunctionArguments::Subquery(query) if part.as_ident().is_some_and(|i| folded(i) == "array") => Some(query),
        _ => None,
    }
}

fn empty_array() -> Expr {
    let empty = Expr::Array(ast::Array { elem: vec![], named: true });
    let text = ast::ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None);
    cast(empty, DataType::Array(text))
}

/// Subqueries of a SELECT that has no rows are never asked for.
fn without_subqueries(expr: &mut Expr) {
    struct Without;
    impl VisitorMut for Without {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Subquery(query) => *expr = null_of(query),
                Expr::Exists { .. } | Expr::InSubquery { .. } => *expr = no(),
                Expr::Function(function) if array_query(function).is_some() => *expr = empty_array(),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_expr_mut(expr, &mut Without);
}

/// A call of a function by its plain name.
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// `pg_catalog.f` is `f`, and so are those of `information_schema` and what `public` lists.
fn strip_schema(name: &mut ObjectName) {
    const SCHEMAS: [&str; 3] = [PG_CATALOG, spec::INFORMATION_SCHEMA, "public"];
    let schema = name.0.first().and_then(|part| part.as_ident()).map(folded);
    if name.0.len() == 2 && schema.is_some_and(|schema| SCHEMAS.contains(&schema.as_str())) {
        name.0.remove(0);
    }
}

fn rewritten_function(function: &Function) -> Option<Expr> {
    let [part] = function.name.0.as_slice() else { return None };
    let name = folded(part.as_ident()?);
    match name.as_str() {
        "array" => {
            let FunctionArguments::Subquery(query) = &function.args else { return None };
            let query = aggregated(query).or_else(|| listed(query))?;
            Some(call("array_or_empty", vec![Expr::Subquery(Box::new(query))]))
        }
        "generate_subscripts" => {
            let arguments = arguments(function)?;
            Some(call("unnest", vec![call("array_subscripts", arguments)]))
        }
        "_pg_expandarray" => {
            let arguments = arguments(function)?;
            Some(call("unnest", vec![call("_pg_expandarray", arguments)]))
        }
        "age" => {
            let arguments = arguments(function)?;
            let is_xid = |e: &Expr| last_name(e).is_some_and(|name| spec::column_type(&name) == Some("xid"));
            match arguments.as_slice() {
                [one] if is_xid(one) => Some(call("pg_xid_age", arguments)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().map(plain_argument).collect()
}

/// A list around a query that is more than a SELECT; what it says of tables outside is too deep for the engine then.
fn listed(query: &Query) -> Option<Query> {
    let text = format!("SELECT array_agg(listed.item) FROM ({query}) AS listed(item)");
    match Parser::parse_sql(&PostgreSqlDialect {}, &text).ok()?.pop()? {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

/// The query with its column as a list, where it is a SELECT that an aggregate can be put into.
fn aggregated(query: &Query) -> Option<Query> {
    let mut query = query.clone();
    let is_plain = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(e, _) if e.is_empty());
    if !is_plain || !ungrouped || select.distinct.is_some() || select.projection.iter().any(aggregates) {
        return None;
    }
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let item = item.clone();
    // `ORDER BY 1` is by the column.
    let order = query.order_by.take().and_then(|order| match order.kind {
        OrderByKind::Expressions(expressions) => Some(expressions),
        OrderByKind::All(_) => None,
    });
    let order = order.map(|mut order| {
        for by in &mut order {
            if matches!(&by.expr, Expr::Value(v) if matches!(&v.value, Value::Number(n, _) if n == "1")) {
                by.expr = item.clone();
            }
        }
        order
    });
    let Expr::Function(mut function) = call("array_agg", vec![item]) else { return None };
    if let (FunctionArguments::List(list), Some(order)) = (&mut function.args, order) {
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    select.projection = vec![SelectItem::UnnamedExpr(Expr::Function(function))];
    Some(query)
}

fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Nested(inner) => last_name(inner),
        _ => None,
    }
}

/// A text beside a column of the catalog is a value of its type.
fn typed_literal(column: &Expr, literal: &mut Expr) {
    let Expr::Value(value) = &*literal else { return };
    let Value::SingleQuotedString(text) = &value.value else { return };
    let Some(type_name) = last_name(column).and_then(|name| spec::column_type(&name)) else { return };
    let typed = match (type_name, text.as_str()) {
        ("bool", "t" | "true") => Expr::value(Value::Boolean(true)),
        ("bool", "f" | "false") => no(),
        ("_oid" | "oidvector" | "int2vector" | "_int2", list) => {
            let Some(inner) = list.strip_prefix('{').and_then(|l| l.strip_suffix('}')) else { return };
            if !inner.chars().all(|c| c.is_ascii_digit() || c == ',') {
                return;
            }
            let numbers = inner.split(',').filter(|n| !n.is_empty());
            let elem: Vec<Expr> = numbers.map(|n| Expr::value(Value::Number(n.to_string(), false))).collect();
            let element =
                if type_name.contains("oid") { DataType::IntUnsigned(None) } else { DataType::SmallInt(None) };
            let list = ast::ArrayElemTypeDef::SquareBracket(Box::new(element), None);
            cast(Expr::Array(ast::Array { elem, named: true }), DataType::Array(list))
        }
        _ => return,
    };
    *literal = typed;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, want: &str) {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        apply(&mut statement);
        assert_eq!(statement.to_string(), want);
    }

    #[test]
    fn arrays_of_queries_are_aggregates() {
        check(
            "SELECT ARRAY(SELECT b.rolname FROM pg_roles b WHERE b.oid = r.oid ORDER BY 1) FROM pg_roles r",
            "SELECT array_or_empty((SELECT array_agg(b.rolname ORDER BY b.rolname) FROM pg_roles b WHERE b.oid = r.oid)) \
             FROM pg_roles r",
        );
        check(
            "SELECT generate_subscripts(a, 1), (information_schema._pg_expandarray(b)).n FROM t",
            "SELECT unnest(array_subscripts(a, 1)), (unnest(_pg_expandarray(b))).'n' FROM t",
        );
    }

    #[test]
    fn nothing_is_asked_of_what_is_empty() {
        check(
            "SELECT (SELECT tgname FROM pg_trigger t WHERE t.oid = c.oid) FROM c",
            "SELECT CAST(NULL AS TEXT) FROM c",
        );
        check("SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger)", "SELECT false");
        check("SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid LIMIT 1) FROM c", "SELECT 0 FROM c");
        check(
            "SELECT (SELECT x FROM f(p.a)) FROM pg_policy p JOIN b ON true",
            "SELECT CAST(NULL AS TEXT) FROM pg_policy p JOIN b ON true",
        );
        check(
            "SELECT (SELECT max(x) FROM b) FROM c LEFT JOIN pg_policy p ON true",
            "SELECT (SELECT max(x) FROM b) FROM c LEFT JOIN pg_policy p ON true",
        );
    }

    #[test]
    fn options_are_never_set_and_literals_have_names() {
        check(
            "SELECT ARRAY(SELECT 'toast.' || x FROM pg_catalog.unnest(tc.reloptions) x) FROM pg_class tc",
            "SELECT CAST(ARRAY[] AS TEXT[]) FROM pg_class tc",
        );
        check("SELECT x FROM pg_catalog.unnest(a) AS t(x)", "SELECT x FROM UNNEST(a) AS t (x)");
        check("SELECT NULL, NULL FROM pg_class", "SELECT NULL, NULL AS \"?column? 1\" FROM pg_class");
        check("SELECT (a.k).X FROM a", "SELECT (a.k).'x' FROM a");
        check(
            "SELECT (SELECT rngtypid FROM pg_range WHERE rngmultitypid = t.oid) FROM pg_type t",
            "SELECT CAST(NULL AS INT UNSIGNED) FROM pg_type t",
        );
    }

    #[test]
    fn columns_of_the_system_and_literals() {
        check(
            "SELECT c.xmin, c.tableoid FROM pg_class c",
            "SELECT CAST(1 AS INT UNSIGNED) AS xmin, CAST(1259 AS INT UNSIGNED) AS tableoid FROM pg_class c",
        );
        check("SELECT t.xmin FROM t", "SELECT t.xmin FROM t");
        check(
            "SELECT 1 FROM pg_index i WHERE i.indisprimary = 't'",
            "SELECT 1 FROM pg_index i WHERE i.indisprimary = true",
        );
        check(
            "SELECT age(l.transactionid), age(x) FROM pg_locks l",
            "SELECT pg_xid_age(l.transactionid), age(x) FROM pg_locks l",
        );
    }

    #[test]
    fn other_statements_stay() {
        for sql in [
            "SELECT a = 't', age(b) FROM m",
            "SELECT (SELECT max(v) FROM m)",
            "SELECT m.xmin, m.labels['job'], m.a[1] FROM m",
            "SELECT (SELECT count(*) FROM m)",
            "SELECT 1, 1 FROM m",
        ] {
            check(sql, sql);
        }
        check(
            "SELECT 1 FROM pg_catalog.generate_series(1, array_upper(a, 1)) AS s",
            "SELECT 1 FROM generate_series(1, CAST(array_upper(a, 1) AS BIGINT)) AS s",
        );
    }
}

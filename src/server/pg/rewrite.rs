//! Rewrites of the syntax tree that catalog queries of clients need. Each rule acts on one construct that the
//! engine cannot plan and Postgres can; statements without these constructs pass unchanged.
//!
//! | construct | becomes | asked by |
//! | --- | --- | --- |
//! | `pg_class` | `pg_catalog.pg_class` | every driver |
//! | `pg_catalog.f(…)` | `f(…)` | psql, every driver |
//! | `a OPERATOR(pg_catalog.~) b` | `a ~ b` | psql |
//! | `x COLLATE c` | `x` | psql |
//! | `x::regtype`, `x::regclass`, `x::oid`, `x::name`, `x::"char"` | see [`casts`](super::catalog::casts) | psql, pgjdbc |
//! | others | see [`syntax`](super::catalog::syntax) | |
//! | scalar subquery over a relation that has no row for any column of ours | `NULL` | psql `\d name` |
//! | other scalar subquery over the catalog without an aggregate | the same with `min(…)` | psql, pgjdbc |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, Ident, ObjectName, ObjectNamePart, SelectItem, SetExpr, Statement,
    TableFactor, Visitor, VisitorMut,
};

use super::names::folded;
use crate::engine::sql::text::walk::{walk, walk_mut};

/// The relations a statement names without a schema, each once. Names of `WITH` are not among them, wherever in the
/// statement they are known, nor are table functions.
pub fn unqualified(statement: &Statement) -> Vec<Ident> {
    let mut names = Unqualified::default();
    let _ = walk(statement, &mut names);
    let Unqualified { found, local } = names;
    let local: Vec<String> = local.iter().map(folded).collect();
    let mut kept: Vec<Ident> = vec![];
    for ident in found {
        if !local.contains(&folded(&ident)) && !kept.contains(&ident) {
            kept.push(ident);
        }
    }
    kept
}

/// Gives names of [`unqualified`] their schema.
pub fn qualify(statement: &mut Statement, schemas: &[(Ident, &'static str)]) {
    let _ = walk_mut(statement, &mut Qualify(schemas));
}

#[derive(Default)]
struct Unqualified {
    found: Vec<Ident>,
    local: Vec<Ident>,
}

impl Visitor for Unqualified {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.local.extend(with.map(|cte| cte.alias.name.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor
            && let [part] = name.0.as_slice()
        {
            self.found.extend(part.as_ident().cloned());
        }
        ControlFlow::Continue(())
    }
}

struct Qualify<'a>(&'a [(Ident, &'static str)]);

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor
            && let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && let Some((_, schema)) = self.0.iter().find(|(named, _)| named == ident)
        {
            name.0.insert(0, ObjectNamePart::Identifier(Ident::new(*schema)));
        }
        ControlFlow::Continue(())
    }
}

/// Applies all rules in place.
pub fn apply(statement: &mut Statement) {
    super::catalog::syntax::apply(statement);
    let _ = walk_mut(statement, &mut Rules);
}

struct Rules;

impl VisitorMut for Rules {
    type Break = ();

    fn post_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if let [part] = relation.0.as_slice()
            && let Some(ident) = part.as_ident()
            && super::catalog::spec::is_relation(&folded(ident))
        {
            relation.0.insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { op, .. } => plain_operator(op),
            Expr::Collate { expr: inner, .. } => *expr = take(inner),
            Expr::Cast { expr: inner, data_type, .. } => {
                if let Some(replacement) = super::catalog::casts::rewritten(inner, data_type) {
                    *expr = replacement;
                }
            }
            Expr::Subquery(query) if never_a_row(query) => {
                *expr = Expr::Cast {
                    kind: ast::CastKind::Cast,
                    expr: Box::new(Expr::Value(ast::Value::Null.into())),
                    data_type: DataType::Text,
                    format: None,
                    array: false,
                };
            }
            Expr::Subquery(query) => aggregate_projection(query),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Identifier(Ident::new("")))
}

fn plain_operator(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else { return };
    let plain = match parts.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        Some("+") => BinaryOperator::Plus,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *op = plain;
}

/// Relations in which a client's correlated lookup finds nothing: no column of ours has a default, and each has
/// the collation of its type, which is the case `\\d` does not show. The lookups correlate by more than
/// equality, which the engine cannot plan.
const WITHOUT_ROWS: &[&str] = &["pg_attrdef", "pg_collation"];

fn never_a_row(query: &ast::Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let named = |t: &ast::TableWithJoins| {
        matches!(&t.relation, ast::TableFactor::Table { name, .. }
            if name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| WITHOUT_ROWS.contains(&i.value.as_str())))
    };
    let aggregates = select.projection.iter().any(|item| item.to_string().to_ascii_lowercase().contains("count("));
    select.from.iter().any(named) && !aggregates
}

/// A scalar subquery over the catalog returns at most one row by key; the engine wants an aggregate to prove
/// it. Only subqueries that read `pg_catalog` relations, have one plain output and no grouping are touched.
fn aggregate_projection(query: &mut ast::Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let catalog = select.from.iter().any(|t| {
        matches!(&t.relation, ast::TableFactor::Table { name, .. }
            if name.0.iter().any(|p| p.as_ident().is_some_and(|i| i.value.to_ascii_lowercase().starts_with("pg_"))))
    });
    let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(e, _) if e.is_empty());
    if !catalog || !ungrouped || select.projection.len() != 1 {
        return;
    }
    let item = match &mut select.projection[0] {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => e,
        _ => return,
    };
    const AGGREGATES: &[&str] =
        &["min", "max", "count", "sum", "avg", "array_agg", "string_agg", "bool_and", "bool_or"];
    let text = item.to_string().to_ascii_lowercase();
    let aggregated = AGGREGATES.iter().any(|name| text.contains(&format!("{name}(")));
    if !aggregated {
        *item = super::catalog::syntax::call("min", vec![take(item)]);
        query.order_by = None;
        query.limit_clause = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn check(sql: &str, want: &str) {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        apply(&mut statement);
        assert_eq!(statement.to_string(), want);
    }

    #[test]
    fn catalog_constructs() {
        check("SELECT pg_catalog.f(x)", "SELECT f(x)");
        check("SELECT a OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default", "SELECT a ~ '^(t)$'");
        check("SELECT 'x'::regclass, 'x'::pg_catalog.regtype", "SELECT regclassin('x'), regtypein('x')");
        check("SELECT x::pg_catalog.oid, y::pg_catalog.int2[]", "SELECT x::INT UNSIGNED, y::SMALLINT[]");
        check(
            "SELECT (SELECT d.x FROM pg_catalog.pg_description d WHERE d.a = t.a) FROM t",
            "SELECT (SELECT min(d.x) FROM pg_catalog.pg_description d WHERE d.a = t.a) FROM t",
        );
        check(
            "SELECT (SELECT d.x FROM pg_attrdef d WHERE d.a = t.a AND t.has) FROM t",
            "SELECT CAST(NULL AS TEXT) FROM t",
        );
    }

    #[test]
    fn names_without_a_schema() {
        let check = |sql: &str, names: &[&str], qualified: &str| {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let found = unqualified(&statement);
            assert_eq!(found.iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), names, "{sql}");
            let schemas: Vec<_> = found.into_iter().map(|ident| (ident, "s")).collect();
            qualify(&mut statement, &schemas);
            assert_eq!(statement.to_string(), qualified);
        };
        check(
            "SELECT a.x FROM a JOIN b.c ON true, a AS d",
            &["a"],
            "SELECT a.x FROM s.a JOIN b.c ON true, s.a AS d",
        );
        check("SELECT * FROM promql('up')", &[], "SELECT * FROM promql('up')");
        check(
            "WITH w AS (SELECT 1 FROM a) SELECT (SELECT max(x) FROM b) FROM w",
            &["a", "b"],
            "WITH w AS (SELECT 1 FROM s.a) SELECT (SELECT max(x) FROM s.b) FROM w",
        );
    }

    #[test]
    fn user_sql_is_left_alone() {
        for sql in ["SELECT abort, \"select\" FROM t WHERE a LIKE 'COLLATE x'", "SELECT (SELECT max(v) FROM m)"] {
            check(sql, sql);
        }
    }
}

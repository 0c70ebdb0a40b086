//! `x <op> ANY (subquery)` and `x <op> ALL (subquery)`, by the least and the greatest of the subquery, with NULL where
//! PostgreSQL has it: what decides is found first, then a NULL among the rows leaves the rest unknown.

use std::ops::ControlFlow;

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Query, TableFactor, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::growth::Growth;
use super::text::walk::walk_expr_mut;

/// How often the sides of a comparison are written at most.
const LEFTS: usize = 3;
const QUERIES: usize = 5;
/// What stands for `x` in the templates below.
const LEFT: &str = "quantified_left";

#[derive(Clone, Copy, PartialEq)]
pub enum Quantifier {
    Any,
    All,
}

/// The same without a quantifier; `None` for an operator that has no such form.
///
/// # Errors
/// 54001 where that is too long.
pub fn plain(
    left: &Expr,
    op: &BinaryOperator,
    quantifier: Quantifier,
    query: &Query,
    growth: &mut Growth,
) -> Result<Option<Expr>> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let in_subquery = |negated| {
        let (expr, subquery) = (Box::new(left.clone()), Box::new(query.clone()));
        Ok(Some(Expr::InSubquery { expr, subquery, negated }))
    };
    let template = match (op, quantifier) {
        (Eq, Quantifier::Any) => return in_subquery(false),
        (NotEq, Quantifier::All) => return in_subquery(true),
        (NotEq, Quantifier::Any) => differs("true", "false"),
        (Eq, Quantifier::All) => differs("false", "true"),
        (Lt | LtEq | Gt | GtEq, quantifier) => ordered(op, quantifier),
        _ => return Ok(None),
    };
    growth.add(left, LEFTS)?;
    growth.add(query, QUERIES)?;
    let mut expr = Parser::new(&PostgreSqlDialect {}).try_with_sql(&template)?.parse_expr()?;
    let _ = walk_expr_mut(&mut expr, &mut Fill { left, query });
    Ok(Some(Expr::Nested(Box::new(expr))))
}

const ROWS: &str = "(SELECT count(*) FROM (SELECT 1) AS quantified (c))";
const KNOWN: &str = "(SELECT count(c) FROM (SELECT 1) AS quantified (c))";

fn extreme(function: &str) -> String {
    format!("(SELECT {function}(c) FROM (SELECT 1) AS quantified (c))")
}

fn ordered(op: &BinaryOperator, quantifier: Quantifier) -> String {
    let below = matches!(op, BinaryOperator::Lt | BinaryOperator::LtEq);
    // What is less than any is less than the greatest, what is less than all is less than the least.
    let of = extreme(if below == (quantifier == Quantifier::Any) { "max" } else { "min" });
    let compared = format!("{LEFT} {op} {of}");
    match quantifier {
        Quantifier::Any => format!(
            "CASE WHEN {ROWS} = 0 THEN false WHEN {compared} THEN true WHEN {ROWS} > {KNOWN} THEN NULL ELSE {compared} END"
        ),
        Quantifier::All => format!(
            "CASE WHEN {ROWS} = 0 THEN true WHEN NOT ({compared}) THEN false WHEN {ROWS} > {KNOWN} THEN NULL \
             ELSE {compared} END"
        ),
    }
}

/// Whether a row differs from `x`: what it means that one does, and that there is none at all.
fn differs(found: &str, other: &str) -> String {
    let (least, greatest) = (extreme("min"), extreme("max"));
    let empty = other;
    format!(
        "CASE WHEN {ROWS} = 0 THEN {empty} WHEN {LEFT} <> {least} OR {LEFT} <> {greatest} THEN {found} \
         WHEN {ROWS} > {KNOWN} THEN NULL WHEN {LEFT} IS NULL THEN NULL ELSE {other} END"
    )
}

/// Puts the parts into a template.
struct Fill<'a> {
    left: &'a Expr,
    query: &'a Query,
}

impl VisitorMut for Fill<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(Ident { value, .. }) if value == LEFT) {
            *expr = Expr::Nested(Box::new(self.left.clone()));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor
            && alias.name.value == "quantified"
        {
            **subquery = self.query.clone();
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::{Statement, Value};

    #[test]
    fn templates_are_expressions() {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT 2").unwrap().remove(0);
        let Statement::Query(query) = &mut statement else { panic!("a query") };
        let left = Expr::Value(Value::Boolean(true).into());
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, Plus};
        for op in [Eq, NotEq, Lt, LtEq, Gt, GtEq] {
            for quantifier in [Quantifier::Any, Quantifier::All] {
                let text =
                    plain(&left, &op, quantifier, query, &mut Growth::default()).unwrap().unwrap().to_string();
                assert!(text.contains("SELECT 2") && text.contains("true") && !text.contains(LEFT), "{text}");
            }
        }
        assert!(plain(&left, &Plus, Quantifier::Any, query, &mut Growth::default()).unwrap().is_none());
    }
}

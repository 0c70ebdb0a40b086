//! Values of expressions without rows: the arguments of EXECUTE.

use std::ops::ControlFlow;

use datafusion::arrow::array::RecordBatch;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Expr, UnaryOperator, Value, Visitor};
use futures::StreamExt;
use pgwire::error::PgWireResult;

use super::params::Given;
use super::run::Clock;
use super::session::Session;
use super::statement::{self, Work};
use super::{cooperate, errors};
use crate::engine::door::Pass;
use crate::engine::session::Engine;
use crate::engine::sql::text::walk::walk;

/// The values of expressions, one after the other. Those that are plainly written need no engine.
///
/// # Errors
/// 0A000 for subqueries and for what makes rows, and those of the expressions.
pub async fn values(
    engine: &Engine,
    session: &Session,
    expressions: &[Expr],
    clock: &Clock,
) -> PgWireResult<Vec<Given>> {
    let literals: Option<Vec<Given>> = expressions.iter().map(literal).collect();
    if let Some(literals) = literals {
        return Ok(literals);
    }
    let list: Vec<String> = expressions.iter().map(Expr::to_string).collect();
    let mut parsed = statement::parse(&format!("SELECT {}", list.join(", ")))?;
    let select = parsed.pop().filter(|_| parsed.is_empty());
    let select = select.ok_or_else(|| errors::error("42601", "an argument of EXECUTE is no expression"))?;
    if walk(&select, &mut Subqueries { outer: true }).is_break() {
        return Err(errors::error("0A000", "cannot use subquery in EXECUTE parameter"));
    }
    let prepared = statement::prepare(engine, session, select, &[], clock).await?;
    let Work::Query { plan, .. } = &prepared.work else {
        return Err(errors::error("XX000", "a query was planned as something else"));
    };
    if !prepared.parameters.is_empty() {
        return Err(errors::error("42P02", "there are no parameters in an argument of EXECUTE"));
    }
    let (context, plan) = (session.context().clone(), plan.as_ref().clone());
    let limits = clock.limits(engine, session.open_message());
    let row: PgWireResult<RecordBatch> = engine
        .run(&limits, |pass: Pass| async move {
            let mut batches = cooperate::rows(&context, plan, &pass).await.map_err(errors::datafusion)?;
            let mut row = None;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(errors::datafusion)?;
                if batch.num_rows() > 0 && (batch.num_rows() > 1 || row.replace(batch).is_some()) {
                    row = None;
                    break;
                }
            }
            row.ok_or_else(|| {
                errors::error("0A000", "set-returning functions are not allowed in EXECUTE parameters")
            })
        })
        .await;
    let row = row?;
    let value = |at: usize| ScalarValue::try_from_array(row.column(at), 0).map_err(errors::datafusion);
    (0..row.num_columns()).map(|at| value(at).map(Given::Value)).collect()
}

/// A value that is plainly written.
fn literal(expression: &Expr) -> Option<Given> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Null => Some(Given::Null),
            Value::Boolean(value) => Some(Given::Value(ScalarValue::Boolean(Some(*value)))),
            Value::SingleQuotedString(text) => Some(Given::Text(text.clone())),
            Value::Number(digits, false) => digits.parse().ok().map(|n| Given::Value(ScalarValue::Int64(Some(n)))),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Given::Value(ScalarValue::Int64(Some(n))) => Some(Given::Value(ScalarValue::Int64(Some(-n)))),
            _ => None,
        },
        _ => None,
    }
}

/// Stops at a query within the query.
struct Subqueries {
    outer: bool,
}

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        if std::mem::take(&mut self.outer) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn plain_values() {
        let check = |text: &str, want: Option<Given>| {
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
            assert_eq!(literal(&parsed), want, "{text}");
        };
        check("1", Some(Given::Value(ScalarValue::Int64(Some(1)))));
        check("-7", Some(Given::Value(ScalarValue::Int64(Some(-7)))));
        check("'x'", Some(Given::Text("x".into())));
        check("NULL", Some(Given::Null));
        check("true", Some(Given::Value(ScalarValue::Boolean(Some(true)))));
        check("1.5", None);
        check("99999999999999999999", None);
        check("1 + 1", None);
        check("-'x'", None);
    }
}

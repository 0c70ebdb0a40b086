//! Finds the subqueries that DataFusion leaves where they are and puts columns for them. Where its own rules do, it is
//! left to them: equality and an aggregate, and EXISTS and IN among the conditions of a WHERE.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::error::Result;
use datafusion::functions_aggregate::count::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when,
};
use datafusion::scalar::ScalarValue;

use super::domain::{Domain, columns, outer_columns};
use crate::engine::sql::state::raised;

/// Operators of a plan: those around a subquery are there again for it, and again for each below.
const MAX_OPERATORS: usize = 2_000;

/// Changes all of a plan, its subqueries first.
///
/// # Errors
/// Of building a plan; 54001 of one that grows too large.
pub fn flatten(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut number = 0;
    let bounded = |plan| {
        let flat = node(plan, &mut number)?;
        if flat.transformed && !is_bounded(&flat.data)? {
            return Err(raised(
                "54001",
                "statement too complex: its subqueries refer too often to what is around them",
            ));
        }
        Ok(flat)
    };
    Ok(plan.transform_up_with_subqueries(bounded)?.data)
}

fn is_bounded(plan: &LogicalPlan) -> Result<bool> {
    let mut operators = 0;
    plan.apply(|_| {
        operators += 1;
        Ok(if operators > MAX_OPERATORS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(operators <= MAX_OPERATORS)
}

/// Of all subqueries of a statement each has its number: what is joined to rows may be joined to those of another.
fn node(plan: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Join(join) = &plan {
        *number += 1;
        let flat = lateral(join, *number)?;
        return Ok(flat.map_or_else(|| Transformed::no(plan), Transformed::yes));
    }
    let [around] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    let wanted = wanted(&plan, around.schema())?;
    if wanted.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let mut input = around.clone();
    let mut values: Vec<(Expr, Expr)> = vec![];
    for subquery in wanted {
        check_aggregates(&subquery, matches!(plan, LogicalPlan::Filter(_)))?;
        *number += 1;
        if let Some((joined, value)) = value_of(around, &input, &subquery, *number)? {
            input = joined;
            values.push((subquery, value));
        }
    }
    if values.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let put = |expr: Expr| match values.iter().find(|(subquery, _)| *subquery == expr) {
        Some((_, value)) => Ok(Transformed::new(value.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(expr)),
    };
    let exprs = plan.expressions().into_iter().map(|expr| {
        let name = names.save(&expr);
        Ok(name.restore(expr.transform_down(put)?.data))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let flat = plan.with_new_exprs(exprs, vec![input])?;
    let keeps = matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_));
    Ok(Transformed::yes(match keeps {
        true => flat,
        // What was joined goes no further.
        false => LogicalPlanBuilder::from(flat).project(columns(&plan))?.build()?,
    }))
}

/// The subqueries of an operator that are to be replaced.
fn wanted(plan: &LogicalPlan, around: &DFSchema) -> Result<Vec<Expr>> {
    let mut found = vec![];
    match plan {
        LogicalPlan::Filter(filter) => {
            for condition in split_conjunction(&filter.predicate) {
                in_condition(condition, around, &mut found)?;
            }
        }
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
            plan.apply_expressions(|expr| {
                in_expression(expr, around, &mut found)?;
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        _ => {}
    }
    Ok(found)
}

/// DataFusion knows EXISTS and IN as conditions, and in an OR, but `NOT IN` only of a subquery that stands alone.
fn in_condition(condition: &Expr, around: &DFSchema, found: &mut Vec<Expr>) -> Result<()> {
    let is_known = |of: &Subquery| is_condition(&of.subquery, around);
    match condition {
        Expr::Exists(of) if is_known(&of.subquery)? => Ok(()),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::Exists(of) if is_known(&of.subquery)? => Ok(()),
            _ => in_expression(inner, around, found),
        },
        // What is written has no column to join by.
        Expr::InSubquery(of)
            if !of.expr.column_refs().is_empty()
                && is_known(&of.subquery)?
                && (!of.negated || outer_columns(&of.subquery.subquery)?.is_empty()) =>
        {
            in_expression(&of.expr, around, found)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            for side in [left, right] {
                match side.as_ref() {
                    Expr::InSubquery(of) if of.negated => in_expression(side, around, found)?,
                    _ => in_condition(side, around, found)?,
                }
            }
            Ok(())
        }
        other => in_expression(other, around, found),
    }
}

fn in_expression(expr: &Expr, around: &DFSchema, found: &mut Vec<Expr>) -> Result<()> {
    expr.apply(|expr| {
        let is_wanted = match expr {
            Expr::Exists(_) | Expr::InSubquery(_) => true,
            Expr::ScalarSubquery(of) => match outer_columns(&of.subquery)?.is_empty() {
                true => loses_null(&of.subquery)?,
                false => !is_plain(&of.subquery)? || is_far(&of.subquery, around)?,
            },
            _ => false,
        };
        if is_wanted && !found.contains(expr) {
            found.push(expr.clone());
        }
        Ok(if is_wanted { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    })?;
    Ok(())
}

/// Whether DataFusion makes a join of a subquery that is a condition: not where one of its own says nothing of its rows, or
/// where what it selects is of what is around it.
fn is_condition(subquery: &LogicalPlan, around: &DFSchema) -> Result<bool> {
    let is_of_outer = |condition: &Expr| condition.contains_outer() && condition.column_refs().is_empty();
    let is_unknown = |plan: &LogicalPlan| match plan {
        LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).into_iter().any(is_of_outer),
        LogicalPlan::Projection(projection) => projection.expr.iter().any(Expr::contains_outer),
        _ => false,
    };
    Ok(!subquery.exists(|plan| Ok(is_unknown(plan)))? && !is_far(subquery, around)?)
}

/// Whether a subquery refers to what is further away than the rows around it, which DataFusion does not follow.
fn is_far(subquery: &LogicalPlan, around: &DFSchema) -> Result<bool> {
    Ok(outer_columns(subquery)?.iter().any(|column| !around.has_column(column)))
}

/// Whether DataFusion makes a join of it: an aggregate of rows that are equal to those around in some columns.
fn is_plain(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => match plan.inputs()[..] {
            [input] => Ok(!selects_outer(plan)? && is_plain(input)?),
            _ => Ok(false),
        },
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() && !selects_outer(plan)? => {
            let mut below = aggregate.input.as_ref();
            while let LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) = below {
                let [input] = below.inputs()[..] else { return Ok(false) };
                if selects_outer(below)? {
                    return Ok(false);
                }
                below = input;
            }
            let LogicalPlan::Filter(filter) = below else { return Ok(false) };
            let is_outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
            let is_plain = |condition: &Expr| match condition {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    (is_outer(left) && !right.contains_outer()) || (is_outer(right) && !left.contains_outer())
                }
                other => !other.contains_outer(),
            };
            Ok(split_conjunction(&filter.predicate).into_iter().all(is_plain)
                && outer_columns(&filter.input)?.is_empty())
        }
        _ => Ok(false),
    }
}

/// Whether an operator itself refers to columns around a subquery.
fn selects_outer(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || expr.contains_outer();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// An aggregate of nothing but columns around a subquery is one of the query there, to SQL.
fn check_aggregates(subquery: &Expr, of_condition: bool) -> Result<()> {
    let plan = match subquery {
        Expr::ScalarSubquery(of) => &of.subquery,
        Expr::Exists(of) => &of.subquery.subquery,
        Expr::InSubquery(of) => &of.subquery.subquery,
        _ => return Ok(()),
    };
    let is_foreign = |expr: &Expr| match expr {
        Expr::AggregateFunction(call) => {
            let args = &call.params.args;
            args.iter().any(Expr::contains_outer) && args.iter().all(|arg| arg.column_refs().is_empty())
        }
        _ => false,
    };
    let is_foreign = |plan: &LogicalPlan| match plan {
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.aggr_expr.iter().any(|expr| expr.exists(|expr| Ok(is_foreign(expr))).unwrap_or(false))
        }
        _ => false,
    };
    if !plan.exists(|plan| Ok(is_foreign(plan)))? {
        return Ok(());
    }
    Err(match of_condition {
        true => raised("42803", "aggregate functions are not allowed in WHERE"),
        false => raised("0A000", "aggregates of columns around a subquery are not supported"),
    })
}

/// Whether DataFusion takes a value for one that is never NULL, though there may be no row.
fn loses_null(plan: &LogicalPlan) -> Result<bool> {
    let is_never_null = plan.schema().fields().first().is_some_and(|field| !field.is_nullable());
    Ok(is_never_null && !has_row(plan) && is_single(plan)?)
}

/// Whether a subquery has a row whatever there is.
fn has_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(relation) => relation.produce_one_row,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) => {
            plan.inputs().into_iter().all(has_row)
        }
        _ => false,
    }
}

/// Whether a subquery has at most one row whatever is around it.
fn is_single(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Ok(aggregate.group_expr.is_empty()),
        LogicalPlan::Limit(limit) => Ok(matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0 | 1)))),
        LogicalPlan::EmptyRelation(_) => Ok(true),
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_) => match plan.inputs()[..] {
            [input] => is_single(input),
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

/// The input of an operator with what a subquery is of each row, and the expression that stands for it.
fn value_of(
    around: &LogicalPlan,
    input: &LogicalPlan,
    subquery: &Expr,
    number: usize,
) -> Result<Option<(LogicalPlan, Expr)>> {
    let columns = Columns { around, input, number };
    match subquery {
        Expr::ScalarSubquery(of) if is_single(&of.subquery)? => {
            let value = of.subquery.schema().columns().into_iter().map(Expr::Column).next();
            let Some(value) = value else { return Ok(None) };
            let found = columns.computed(&of.subquery, vec![value])?;
            Ok(found.map(|(input, values)| (input, values.into_iter().next().expect("one was asked for"))))
        }
        Expr::Exists(Exists { subquery, negated }) => {
            let mut rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery));
            if outer_columns(&subquery.subquery)?.is_empty() {
                rows = rows.limit(0, Some(1))?;
            }
            let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias(ROWS)])?.build()?;
            let found = columns.computed(&counted, vec![column(ROWS)])?;
            Ok(found.map(|(input, values)| {
                let rows = values.into_iter().next().expect("one was asked for");
                (input, if *negated { rows.eq(lit(0_i64)) } else { rows.gt(lit(0_i64)) })
            }))
        }
        Expr::InSubquery(of) => columns.membership(of),
        _ => Ok(None),
    }
}

const ROWS: &str = "?rows?";
const KNOWN: &str = "?known?";
const EQUAL: &str = "?equal?";

fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// Columns that are joined to the input of an operator.
struct Columns<'a> {
    around: &'a LogicalPlan,
    input: &'a LogicalPlan,
    number: usize,
}

impl Columns<'_> {
    /// Some columns of a plan that has one row for each around it.
    fn computed(&self, plan: &LogicalPlan, wanted: Vec<Expr>) -> Result<Option<(LogicalPlan, Vec<Expr>)>> {
        let outer = outer_columns(plan)?;
        let domain = Domain::of(self.around, outer, self.number)?;
        let Some(rows) = domain.rows_of(plan)? else { return Ok(None) };
        let name = |i: usize| format!("?value {}.{i}?", self.number);
        let values: Vec<Expr> = (0..wanted.len()).map(|i| column(name(i))).collect();
        let kept = wanted.into_iter().enumerate().map(|(i, value)| value.alias(name(i)));
        let kept: Vec<Expr> = kept.chain(domain.columns()).collect();
        let rows = LogicalPlanBuilder::from(rows).project(kept)?.build()?;
        Ok(Some((domain.join(self.input.clone(), rows, JoinType::Left, None)?, values)))
    }

    /// `x IN (subquery)`: NULL where there is a row, none is equal, and one is unknown or `x` is.
    fn membership(&self, of: &InSubquery) -> Result<Option<(LogicalPlan, Expr)>> {
        let subquery = &of.subquery.subquery;
        let Some(element) = subquery.schema().columns().into_iter().map(Expr::Column).next() else {
            return Ok(None);
        };
        let found = match outer_columns(subquery)?.is_empty() {
            true => self.beside(of, subquery, element)?,
            false => self.for_each(of, subquery, element)?,
        };
        let Some((input, rows, known, is_equal)) = found else { return Ok(None) };
        let unknown = || Expr::Literal(ScalarValue::Boolean(None), None);
        let is_in = when(rows.clone().eq(lit(0_i64)), lit(false))
            .when(of.expr.as_ref().clone().is_null(), unknown())
            .when(is_equal, lit(true))
            .when(rows.gt(known), unknown())
            .otherwise(lit(false))?;
        Ok(Some((input, if of.negated { not(is_in) } else { is_in })))
    }

    /// Of a subquery that stands for itself: its elements are joined, and counted once.
    fn beside(
        &self,
        of: &InSubquery,
        subquery: &LogicalPlan,
        element: Expr,
    ) -> Result<Option<(LogicalPlan, Expr, Expr, Expr)>> {
        let name = |what: &str| format!("?{what} {}?", self.number);
        let counts = vec![count(lit(1_i64)).alias(name("rows")), count(element.clone()).alias(name("known"))];
        let counted = LogicalPlanBuilder::from(subquery.clone()).aggregate(Vec::<Expr>::new(), counts)?.build()?;
        let elements = LogicalPlanBuilder::from(subquery.clone())
            .project(vec![element.alias(name("element"))])?
            .distinct()?
            .build()?;
        // A join goes by columns; what is written becomes one.
        let (input, key) = match of.expr.column_refs().is_empty() {
            true => {
                let key = of.expr.as_ref().clone().alias(name("wanted"));
                let all = columns(self.input).into_iter().chain([key]).collect::<Vec<_>>();
                (LogicalPlanBuilder::from(self.input.clone()).project(all)?, column(name("wanted")))
            }
            false => (LogicalPlanBuilder::from(self.input.clone()), of.expr.as_ref().clone()),
        };
        let keys = (vec![key], vec![column(name("element"))]);
        let input =
            input.cross_join(counted)?.join_with_expr_keys(elements, JoinType::Left, keys, None)?.build()?;
        let is_equal = column(name("element")).is_not_null();
        Ok(Some((input, column(name("rows")), column(name("known")), is_equal)))
    }

    fn for_each(
        &self,
        of: &InSubquery,
        subquery: &LogicalPlan,
        element: Expr,
    ) -> Result<Option<(LogicalPlan, Expr, Expr, Expr)>> {
        let wanted = outer(of.expr.as_ref().clone(), self.around.schema())?;
        let is_equal = when(element.clone().eq(wanted), lit(1_i64)).end()?;
        let counts = vec![count(lit(1_i64)).alias(ROWS), count(element).alias(KNOWN), count(is_equal).alias(EQUAL)];
        let counted = LogicalPlanBuilder::from(subquery.clone()).aggregate(Vec::<Expr>::new(), counts)?.build()?;
        let found = self.computed(&counted, vec![column(ROWS), column(KNOWN), column(EQUAL)])?;
        Ok(found.and_then(|(input, values)| match <[Expr; 3]>::try_from(values) {
            Ok([rows, known, equal]) => Some((input, rows, known, equal.gt(lit(0_i64)))),
            Err(_) => None,
        }))
    }
}

/// An expression of the rows around a subquery, as it is within.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let put = |expr: Expr| match &expr {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column.clone())))
        }
        _ => Ok(Transformed::no(expr)),
    };
    Ok(expr.transform_up(put)?.data)
}

/// A join with a LATERAL subquery.
fn lateral(join: &Join, number: usize) -> Result<Option<LogicalPlan>> {
    let is_subquery = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Subquery(_));
    if !join.right.exists(|plan| Ok(is_subquery(plan)))? || !join.on.is_empty() {
        return Ok(None);
    }
    let bare = join.right.as_ref().clone().transform_up(|plan| match plan {
        LogicalPlan::Subquery(Subquery { subquery, .. }) => Ok(Transformed::yes(Arc::unwrap_or_clone(subquery))),
        other => Ok(Transformed::no(other)),
    })?;
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(None);
    }
    let outer = outer_columns(&bare.data)?;
    let domain = Domain::of(&join.left, outer, number)?;
    let Some(rows) = domain.rows_of(&bare.data)? else { return Ok(None) };
    let joined = domain.join(join.left.as_ref().clone(), rows, join.join_type, join.filter.clone())?;
    let kept: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    Ok(Some(LogicalPlanBuilder::from(joined).project(kept)?.build()?))
}

//! Plans that have calls of the functions to plans that have the rows.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::fill::Filling;
use super::names::{GAPFILL, INTERPOLATE, LOCF, misplaced};
use super::{bounds, node};
use crate::engine::sql::functions::time_bucket;
use crate::engine::sql::state::raised;

/// The plan of a statement that has a call of these functions, with the rows that are missing.
///
/// # Errors
/// 0A000 for calls elsewhere, 22023 where the first or the last bucket is not known.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_down_with_subqueries(|plan| {
        let mut columns = Columns::default();
        Ok(match filled(&plan, &mut columns)? {
            Some(filled) => Transformed::yes(filled),
            None => Transformed::no(plan),
        })
    })?;
    let mut left = None;
    plan.data.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                left = left.or(call(expr).map(|(name, _)| name));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    left.map_or(Ok(plan.data), |name| Err(misplaced(name)))
}

fn call(expr: &Expr) -> Option<(&'static str, &ScalarFunction)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let name = [GAPFILL, LOCF, INTERPOLATE].into_iter().find(|name| *name == call.func.name())?;
    Some((name, call))
}

/// What is filled in, each as a column.
#[derive(Default)]
struct Columns {
    all: Vec<(Expr, Filling, String)>,
}

impl Columns {
    /// The column of a call.
    fn of(&mut self, name: &'static str, call: &ScalarFunction) -> Result<Expr> {
        let filling = match (name, call.args.get(1)) {
            (INTERPOLATE, _) => Filling::Interpolated,
            (_, None) => Filling::Last { skips_null: false },
            (_, Some(Expr::Literal(ScalarValue::Boolean(Some(skips_null)), _))) => {
                Filling::Last { skips_null: *skips_null }
            }
            (_, Some(_)) => {
                return Err(raised("22023", "treat_null_as_missing of locf() must be true or false"));
            }
        };
        let value = call.args[0].clone();
        let known = self.all.iter().find(|(known, how, _)| *known == value && *how == filling);
        let column = match known {
            Some((.., column)) => column.clone(),
            None => {
                // Labels may be called anything, this as well; but the columns of an aggregation have other names.
                let column = format!("{name} of column {}", self.all.len());
                self.all.push((value, filling, column.clone()));
                column
            }
        };
        Ok(Expr::Column(Column::from_name(column)))
    }

    /// Expressions with columns for calls, under the names they had.
    fn in_place_of_calls(&mut self, expressions: Vec<Expr>) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let replaced = expressions.into_iter().map(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_down(|expr| match call(&expr) {
                Some((name, call)) if name != GAPFILL => Ok(Transformed::yes(self.of(name, call)?)),
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok(if replaced.transformed { name.restore(replaced.data) } else { replaced.data })
        });
        replaced.collect()
    }
}

/// The plan above the aggregation of a query, as far as it belongs to its select list; `None` where it is of none that has gaps.
fn filled(plan: &LogicalPlan, columns: &mut Columns) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Window(_) => {
            let input = plan.inputs()[0];
            if !has_gaps(input) {
                return Ok(None);
            }
            let expressions = columns.in_place_of_calls(plan.expressions())?;
            let Some(input) = filled(input, columns)? else { return Ok(None) };
            Ok(Some(plan.with_new_exprs(expressions, vec![input])?))
        }
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            LogicalPlan::Aggregate(aggregate) if gap_of(aggregate).is_some() => {
                let grouped = |input| LogicalPlanBuilder::from(input).filter(filter.predicate.clone())?.build();
                with_rows(aggregate, columns, grouped).map(Some)
            }
            _ => Ok(None),
        },
        LogicalPlan::Aggregate(aggregate) if gap_of(aggregate).is_some() => {
            with_rows(aggregate, columns, Ok).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether there is such an aggregation below, with nothing but parts of its query between.
fn has_gaps(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => gap_of(aggregate).is_some(),
        LogicalPlan::Projection(_) | LogicalPlan::Window(_) | LogicalPlan::Filter(_) => has_gaps(plan.inputs()[0]),
        _ => false,
    }
}

/// The place of the bucket among the groups.
fn gap_of(aggregate: &Aggregate) -> Option<usize> {
    let is_gap = |expr: &Expr| matches!(call(&expr.clone().unalias()), Some((GAPFILL, _)));
    aggregate.group_expr.iter().position(is_gap)
}

fn with_rows(
    aggregate: &Aggregate,
    columns: &Columns,
    having: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let at = gap_of(aggregate).expect("it was looked for");
    let mut group_expr = aggregate.group_expr.clone();
    let gap = group_expr[at].clone().unalias();
    let Some((_, gap)) = call(&gap) else { return Err(misplaced(GAPFILL)) };
    if group_expr.iter().enumerate().any(|(other, expr)| other != at && is_called(expr)) {
        return Err(raised("0A000", format!("a query has one {GAPFILL}() at most")));
    }
    let bounds = bounds::of(gap, &aggregate.input)?;
    let (width, time) = (gap.args[0].clone(), gap.args[1].clone());
    let name = group_expr[at].schema_name().to_string();
    group_expr[at] = time_bucket().call(vec![width.clone(), time]).alias(name);
    let groups = group_expr.len();
    let rows = Aggregate::try_new(Arc::clone(&aggregate.input), group_expr, aggregate.aggr_expr.clone())?;
    let rows = having(LogicalPlan::Aggregate(rows))?;
    let known = rows.schema().columns();
    let mut projected: Vec<Expr> = known.iter().cloned().map(Expr::Column).collect();
    for (value, _, column) in &columns.all {
        if let Some(other) = value.column_refs().into_iter().find(|column| !known.contains(column)) {
            let message =
                format!("what {LOCF}() and {INTERPOLATE}() are called with cannot have \"{}\"", other.name);
            return Err(raised("0A000", message));
        }
        projected.push(value.clone().alias(column));
    }
    let fillings = vec![Filling::Nothing; known.len() - groups];
    let fillings = fillings.into_iter().chain(columns.all.iter().map(|(_, filling, _)| *filling)).collect();
    let rows = LogicalPlanBuilder::from(rows).project(projected)?.build()?;
    node::plan(rows, node::Gaps { bucket: at, groups, fillings, width, bounds })
}

fn is_called(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(call(expr).is_some())).unwrap_or(true)
}

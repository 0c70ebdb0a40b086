//! Which rows are alike: doubles are made canonical where a plan tells rows apart, so that there is one NaN and one zero for
//! GROUP BY, DISTINCT, set operations, windows and the keys of joins, as PostgreSQL has it. DataFusion compares bits, of
//! which `Infinity - Infinity` has others than `NaN`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Window,
};

use super::floats;

/// The plan, whose expressions are what they shall be, with canonical doubles where rows are told apart by them.
///
/// # Errors
/// Of building a plan.
pub fn apply(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => distinct(input),
        LogicalPlan::Join(join) => joined(join),
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
        LogicalPlan::Window(window) => partitioned(window),
        other => Ok(Transformed::no(other)),
    }
}

/// A plan that is grouped by the same only once: the columns of one that is grouped by it twice are not told apart.
///
/// # Errors
/// Of building a plan.
pub fn without_repeats(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
    let mut groups: Vec<Expr> = vec![];
    for group in &aggregate.group_expr {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    if groups.len() == aggregate.group_expr.len() {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let once = Aggregate::try_new(aggregate.input, groups, aggregate.aggr_expr)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(once)))
}

/// An expression that keeps its name, whatever becomes of it.
fn named(
    names: &NamePreserver,
    expr: Expr,
    change: impl FnOnce(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    let name = names.save(&expr);
    let changed = change(expr)?;
    Ok(match changed.transformed {
        true => changed.update_data(|expr| name.restore(expr.unalias())),
        false => changed,
    })
}

fn is_double(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| of == DataType::Float64)
}

/// All columns of a plan under their names, the doubles among them changed; `None` where it has none.
fn with_doubles(input: &Arc<LogicalPlan>, change: impl Fn(Expr) -> Expr) -> Result<Option<LogicalPlan>> {
    let schema = input.schema();
    let is_double = |field: &FieldRef| *field.data_type() == DataType::Float64;
    if !schema.fields().iter().any(is_double) {
        return Ok(None);
    }
    let columns = schema.columns().into_iter().zip(schema.fields()).map(|(column, field)| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        match is_double(field) {
            true => change(Expr::Column(column)).alias_qualified(relation, name),
            false => Expr::Column(column),
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(Arc::clone(input)).project(columns)?.build().map(Some)
}

/// By integers that stand for the doubles: DataFusion's hash tables for the first groups alone lose a NaN.
fn distinct(input: Arc<LogicalPlan>) -> Result<Transformed<LogicalPlan>> {
    let Some(keys) = with_doubles(&input, floats::key)? else {
        return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
    };
    let columns = input.schema().columns().into_iter().zip(input.schema().fields());
    let columns = columns.map(|(column, field)| of_group(column, *field.data_type() == DataType::Float64));
    let columns: Vec<Expr> = columns.collect();
    let distinct = LogicalPlan::Distinct(Distinct::All(Arc::new(keys)));
    LogicalPlanBuilder::from(distinct).project(columns)?.build().map(Transformed::yes)
}

/// What a group is told by, as it was before.
fn of_group(column: Column, is_key: bool) -> Expr {
    let (relation, name) = (column.relation.clone(), column.name.clone());
    match is_key {
        true => floats::of_key(Expr::Column(column)).alias_qualified(relation, name),
        false => Expr::Column(column),
    }
}

fn joined(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let is_set_operation = join.null_equality == NullEquality::NullEqualsNull;
    let mut changed = false;
    if is_set_operation {
        for side in [&mut join.left, &mut join.right] {
            if let Some(rows) = with_doubles(side, floats::sorted)? {
                *side = Arc::new(rows);
                changed = true;
            }
        }
    } else {
        for (left, right) in &mut join.on {
            if is_double(left, join.left.schema()) && is_double(right, join.right.schema()) {
                *left = floats::sorted(left.clone());
                *right = floats::sorted(right.clone());
                changed = true;
            }
        }
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
}

fn grouped(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(aggregate.input.schema());
    let is_distinct = |expr: &Expr| {
        Ok(matches!(expr, Expr::AggregateFunction(call) if call.params.distinct
            && call.params.args.iter().any(|of| is_double(of, &schema))))
    };
    let counts = aggregate.aggr_expr.iter().any(|expr| expr.exists(is_distinct).unwrap_or(false));
    let groups = aggregate.group_expr.iter().any(|expr| is_double(expr, &schema));
    if !groups && !counts {
        return floats::extremes(LogicalPlan::Aggregate(aggregate)).map(Transformed::yes);
    }
    let names = NamePreserver::new_for_projection();
    let is_key: Vec<bool> = aggregate.group_expr.iter().map(|expr| is_double(expr, &schema)).collect();
    let group_expr = aggregate.group_expr.into_iter().zip(&is_key).map(|(expr, is_key)| {
        let key = |expr: Expr| match is_key {
            true => Ok(Transformed::yes(floats::key(expr.unalias()))),
            false => Ok(Transformed::no(expr)),
        };
        Ok(named(&names, expr, key)?.data)
    });
    let group_expr = group_expr.collect::<Result<Vec<_>>>()?;
    let aggr_expr = aggregate.aggr_expr.into_iter().map(|expr| {
        let of_canonical = |expr: Expr| match expr {
            Expr::AggregateFunction(mut call) if call.params.distinct => {
                let args = call.params.args.into_iter();
                call.params.args =
                    args.map(|of| if is_double(&of, &schema) { floats::sorted(of) } else { of }).collect();
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(named(&names, expr, |expr| expr.transform(of_canonical))?.data)
    });
    let aggr_expr = aggr_expr.collect::<Result<Vec<_>>>()?;
    let aggregate = Aggregate::try_new(aggregate.input, group_expr, aggr_expr)?;
    let aggregate = floats::extremes(LogicalPlan::Aggregate(aggregate))?;
    let columns = aggregate.schema().columns().into_iter().enumerate();
    let columns: Vec<Expr> =
        columns.map(|(at, column)| of_group(column, is_key.get(at).copied().unwrap_or(false))).collect();
    LogicalPlanBuilder::from(aggregate).project(columns)?.build().map(Transformed::yes)
}

fn partitioned(window: Window) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(window.input.schema());
    let names = NamePreserver::new_for_projection();
    let mut changed = false;
    let windows = window.window_expr.iter().map(|expr| {
        let of_canonical = |expr: Expr| {
            let Expr::WindowFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
            let mut touched = false;
            let keys = call.params.partition_by.iter_mut();
            let keys = keys.chain(call.params.order_by.iter_mut().map(|sort| &mut sort.expr));
            // Within a window they are found by comparing.
            let of_extremes = matches!(call.fun.name(), "min" | "max").then_some(&mut call.params.args);
            for key in keys.chain(of_extremes.into_iter().flatten()) {
                if is_double(key, &schema) {
                    *key = floats::sorted(key.clone());
                    touched = true;
                }
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(call), touched))
        };
        let made = named(&names, expr.clone(), |expr| expr.transform(of_canonical))?;
        changed |= made.transformed;
        Ok(made.data)
    });
    let windows = windows.collect::<Result<Vec<_>>>()?;
    match changed {
        true => Ok(Transformed::yes(LogicalPlan::Window(Window::try_new(windows, window.input)?))),
        false => Ok(Transformed::no(LogicalPlan::Window(window))),
    }
}

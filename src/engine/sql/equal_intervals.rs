//! Intervals of one length are equal, `1 day` and `24:00:00`: groups and DISTINCT are told apart by the length, and show the
//! first of each; the least and the greatest are found by it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Projection};

use super::alike;
use super::functions::intervals::Operation;

fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Interval(_) | DataType::Duration(_))
}

fn length(of: Expr) -> Expr {
    Operation::Length.function().call(vec![of])
}

/// The plan, whose expressions are what they shall be, with lengths where rows are told apart by intervals. Its doubles are
/// what [`alike`] makes of them.
///
/// # Errors
/// Of building a plan.
pub fn apply(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input))
            if input.schema().fields().iter().any(|field| is_interval(field.data_type())) =>
        {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            by_length(Aggregate::try_new(input, columns, vec![])?).map(Transformed::yes)
        }
        LogicalPlan::Aggregate(aggregate) if has_intervals(&aggregate) => {
            by_length(aggregate).map(Transformed::yes)
        }
        plan => Ok(Transformed::no(plan)),
    }
}

fn has_intervals(aggregate: &Aggregate) -> bool {
    let schema = aggregate.input.schema();
    let is_one = |expr: &Expr| expr.get_type(schema).is_ok_and(|of| is_interval(&of));
    let of_call = |expr: &Expr| call(expr).is_some_and(|call| call.params.args.iter().any(is_one));
    aggregate.group_expr.iter().any(is_one) || aggregate.aggr_expr.iter().any(of_call)
}

fn call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::AggregateFunction(call) => Some(call),
        Expr::Alias(alias) => call(&alias.expr),
        _ => None,
    }
}

fn first(of: Expr, by: Vec<Sort>) -> AggregateFunction {
    AggregateFunction::new_udf(first_value_udaf(), vec![of], false, None, by, None)
}

fn by_length(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(aggregate.input.schema());
    let is_one = |expr: &Expr| expr.get_type(&schema).is_ok_and(|of| is_interval(&of));
    let columns = aggregate.schema.columns();
    let name = |what: &str, i: usize| format!("?{what} {i}?");
    let (mut groups, mut firsts, mut output) = (vec![], vec![], vec![]);
    for (i, (group, column)) in aggregate.group_expr.iter().zip(&columns).enumerate() {
        if !is_one(group) {
            groups.push(group.clone());
            output.push(Expr::Column(column.clone()));
            continue;
        }
        groups.push(length(group.clone()).alias(name("length", i)));
        firsts.push(Expr::AggregateFunction(first(group.clone(), vec![])).alias(name("first", i)));
        let shown = Expr::Column(Column::from_name(name("first", i)));
        output.push(shown.alias_qualified(column.relation.clone(), column.name.clone()));
    }
    // Grouping sets are one expression for several columns, none of which is changed.
    output.extend(columns[output.len()..].iter().cloned().map(Expr::Column));
    let names = NamePreserver::new_for_projection();
    let mut calls: Vec<Expr> = aggregate
        .aggr_expr
        .into_iter()
        .map(|expr| {
            let saved = names.save(&expr);
            saved.restore(compared(expr, &is_one))
        })
        .collect();
    calls.extend(firsts);
    let inner = alike::apply(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, groups, calls)?))?.data;
    Ok(LogicalPlan::Projection(Projection::try_new(output, Arc::new(inner))?))
}

fn compared(expr: Expr, is_one: &impl Fn(&Expr) -> bool) -> Expr {
    match expr {
        Expr::Alias(mut alias) => {
            *alias.expr = compared(*alias.expr, is_one);
            Expr::Alias(alias)
        }
        Expr::AggregateFunction(mut call) => {
            match (call.func.name(), call.params.args.as_slice()) {
                (which @ ("min" | "max"), [of]) if is_one(of) => {
                    let by = Sort::new(length(of.clone()), which == "min", false);
                    let filter = call.params.filter.take();
                    let mut first = first(of.clone(), vec![by]);
                    first.params.filter = filter;
                    return Expr::AggregateFunction(first);
                }
                ("count", [of]) if call.params.distinct && is_one(of) => {
                    call.params.args = vec![length(of.clone())]
                }
                _ => {}
            }
            Expr::AggregateFunction(call)
        }
        other => other,
    }
}

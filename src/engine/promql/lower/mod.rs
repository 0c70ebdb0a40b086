//! AST to one logical plan in the vector layout.
//!
//! Two phases. `resolve` (async) walks the tree, works out which time range every selector reads, and takes a
//! snapshot of its series; so every plan knows its label columns. Lowering (pure) is one function per node,
//! which returns what it learned beside the plan: labels, histograms, what becomes of the metric name, and
//! whether label sets are known to be unique.

/// Aggregations, `histogram_quantile`, `absent`.
pub mod aggregates;
/// Function calls.
pub mod calls;
/// Functions that work on labels: `label_replace`, `label_join`, `info`.
pub mod labels;
/// The labels that a query names, by their columns.
pub mod named;
/// What lowering knows of the query, and what a node returns.
pub mod lowered;
/// Binary and unary operators.
pub mod operators;
/// The time ranges and series of every selector.
pub mod resolve;
/// Selectors and subqueries.
pub mod selectors;
/// What a query repeats.
pub mod shared;

#[cfg(test)]
pub(crate) mod tests;

use datafusion::prelude::lit;

use self::lowered::{Context, Lowered, Scalar, Value};
use crate::engine::promql::kernel::functions::compute;
use crate::engine::promql::plan::functions::shape;
use crate::error::{Error, Result};
use crate::promql::ast::Expr;

/// Lowers an expression of any type but a range vector.
pub fn lower(cx: &Context<'_>, expr: &Expr) -> Result<Value> {
    match shared::lower(cx, expr)? {
        Some(lowered) => Ok(Value::Vector(lowered)),
        None => lower_alone(cx, expr),
    }
}

/// Lowers an instant vector that may be one of several alike.
fn vector_alone(cx: &Context<'_>, expr: &Expr) -> Result<Lowered> {
    match lower_alone(cx, expr)? {
        Value::Vector(lowered) => Ok(lowered),
        _ => Err(Error::internal("only instant vectors are shared")),
    }
}

fn lower_alone(cx: &Context<'_>, expr: &Expr) -> Result<Value> {
    if cx.grid.steps > 1 && is_step_invariant(expr) && !expr.is_literal() {
        return lower_once(cx, expr);
    }
    match expr {
        Expr::Number { value, .. } => Ok(Value::Scalar(Scalar::Constant(*value))),
        Expr::String { value, .. } => Ok(Value::String(value.clone())),
        Expr::Paren { inner, .. } => lower(cx, inner),
        Expr::Unary { negative, inner, span } => operators::unary(cx, *negative, inner, *span),
        Expr::Binary(binary) => operators::binary(cx, binary),
        Expr::Aggregate(aggregate) => aggregates::aggregate(cx, aggregate).map(Value::Vector),
        Expr::Call(call) => calls::call(cx, call),
        Expr::Vector(selector) => selectors::instant(cx, selector).map(Value::Vector),
        Expr::Matrix(_) | Expr::Subquery(_) => Err(Error::internal("a range vector where a value is expected")),
    }
}

/// Lowers an instant vector.
pub fn vector(cx: &Context<'_>, expr: &Expr) -> Result<Lowered> {
    match lower(cx, expr)? {
        Value::Vector(lowered) => Ok(lowered),
        _ => Err(Error::internal("the parser lets only instant vectors through here")),
    }
}

/// Lowers a scalar.
pub fn scalar(cx: &Context<'_>, expr: &Expr) -> Result<Scalar> {
    match lower(cx, expr)? {
        Value::Scalar(scalar) => Ok(scalar),
        _ => Err(Error::internal("the parser lets only scalars through here")),
    }
}

/// The text of a string argument.
pub fn string(expr: &Expr) -> Result<&str> {
    match expr {
        Expr::String { value, .. } => Ok(value),
        Expr::Paren { inner, .. } => string(inner),
        _ => Err(Error::internal("the parser lets only strings through here")),
    }
}

/// Evaluates a step-invariant expression on the first step and repeats it.
fn lower_once(cx: &Context<'_>, expr: &Expr) -> Result<Value> {
    let steps = cx.grid.steps;
    Ok(match lower_alone(&cx.with_grid(cx.grid.first()), expr)? {
        Value::Vector(lowered) => {
            let call = shape::broadcast(lowered.point_columns(), steps);
            let histograms = lowered.histograms;
            Value::Vector(lowered.with_points(call, histograms, steps)?)
        }
        Value::Scalar(Scalar::Steps { expr, sources }) => {
            Value::Scalar(Scalar::Steps { expr: shape::broadcast(vec![expr], steps), sources })
        }
        other => other,
    })
}

/// Whether the expression has the same value at every step, because of `@`.
pub fn is_step_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number { .. } | Expr::String { .. } => true,
        Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => is_step_invariant(inner),
        Expr::Binary(b) => is_step_invariant(&b.left) && is_step_invariant(&b.right),
        Expr::Aggregate(a) => is_step_invariant(&a.inner) && a.param.as_ref().is_none_or(is_step_invariant),
        Expr::Call(c) => !compute(c.function).depends_on_time() && c.args.iter().all(is_step_invariant),
        Expr::Vector(s) => s.at.is_some(),
        Expr::Matrix(m) => m.selector.at.is_some(),
        Expr::Subquery(s) => s.at.is_some(),
    }
}

/// The whole query: names dropped, one row per label set, one row for a scalar.
pub fn query(cx: &Context<'_>, expr: &Expr) -> Result<Value> {
    Ok(match lower(cx, expr)? {
        Value::Vector(lowered) => Value::Vector(lowered.finish(cx)?),
        other => other,
    })
}

/// A constant as a vector of one series without labels.
pub fn constant_vector(value: f64, steps: usize) -> Result<Lowered> {
    Lowered::one_row(shape::fill(lit(value), steps), vec![], steps)
}

/// A scalar as a vector with one row and no labels.
pub fn scalar_vector(cx: &Context<'_>, scalar: Scalar) -> Result<Lowered> {
    let steps = cx.grid.steps;
    match scalar {
        Scalar::Constant(value) => constant_vector(value, steps),
        Scalar::Steps { expr, sources } => Lowered::one_row(shape::fill(expr, steps), sources, steps),
    }
}

//! Numbers in a plan, as PostgreSQL has them: doubles become integers half to even and text in its notation; one NaN
//! equals another and is above all numbers, whatever its bits, and there is one zero; integers that overflow are errors.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Cast, Expr, ExprSchemable, LogicalPlan, Operator, Projection};
use datafusion::scalar::ScalarValue;

use super::functions::numbers::Operation;

/// Whether [`cast`] may have something to say of what is cast to that.
pub fn is_integer(to: &DataType) -> bool {
    matches!(to, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

pub fn is_double(of: &DataType) -> bool {
    matches!(of, DataType::Float64 | DataType::Float32)
}

/// A number that is written with a point is a `numeric` to PostgreSQL, whose halves are rounded away from zero.
fn written(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => Some(*number),
        Expr::Negative(inner) => written(inner).map(|number| -number),
        _ => None,
    }
}

/// A double cast to an integer or a text.
pub fn cast(inner: &Expr, from: &DataType, to: &DataType) -> Option<Expr> {
    let call = |operation: Operation, inner: Expr| operation.function().call(vec![inner]);
    let integer = |operation: Operation| {
        let inner = match written(inner) {
            Some(number) => Expr::Literal(ScalarValue::Float64(Some(number.round())), None),
            None => inner.clone(),
        };
        Some(call(operation, inner))
    };
    match (from, to) {
        (from, DataType::Int16) if is_double(from) => integer(Operation::Int2),
        (from, DataType::Int32) if is_double(from) => integer(Operation::Int4),
        (from, DataType::Int64) if is_double(from) => integer(Operation::Int8),
        (DataType::Float64, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            let text = call(Operation::Write, inner.clone());
            Some(match to {
                DataType::Utf8 => text,
                _ => Expr::Cast(Cast::new(Box::new(text), to.clone())),
            })
        }
        _ => None,
    }
}

/// Both sides of a comparison. A number that is written and neither zero nor NaN needs nothing.
pub fn pair(left: &Expr, right: &Expr, of: (&DataType, &DataType)) -> Option<(Expr, Expr)> {
    let is_plain = |expr: &Expr| match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) => number != 0.0 && !number.is_nan(),
            _ => true,
        },
        _ => false,
    };
    if !(is_double(of.0) || is_double(of.1)) || !(of.0.is_numeric() && of.1.is_numeric()) {
        return None;
    }
    let canonical = |expr: &Expr| match is_plain(expr) {
        true => expr.clone(),
        false => Operation::Canonical.function().call(vec![expr.clone()]),
    };
    Some((canonical(left), canonical(right)))
}

/// `round(x)`: of a double half to even, of a number that is written away from zero, as DataFusion has it.
pub fn rounded(args: &[Expr], schema: &DFSchema) -> Option<Expr> {
    match args {
        [of] if written(of).is_none() && of.get_type(schema).is_ok_and(|of| is_double(&of)) => {
            Some(Operation::Round.function().call(vec![of.clone()]))
        }
        _ => None,
    }
}

/// What a double is sorted by.
pub fn sorted(expr: Expr) -> Expr {
    Operation::Canonical.function().call(vec![expr])
}

/// An integer for a double, by which groups are told apart and which is ordered as doubles are.
pub fn key(expr: Expr) -> Expr {
    Operation::Key.function().call(vec![expr])
}

/// The double that [`key`] was made of.
pub fn of_key(key: Expr) -> Expr {
    Operation::OfKey.function().call(vec![key])
}

/// `+`, `-` and `*` of integers of eight bytes, or of four.
pub fn checked(left: &Expr, op: Operator, right: &Expr, of: (&DataType, &DataType)) -> Option<Expr> {
    // A parameter is what it is beside, whatever it is taken for.
    let of = match (left, right) {
        (Expr::Placeholder(_), Expr::Placeholder(_)) => of,
        (Expr::Placeholder(_), _) => (of.1, of.1),
        (_, Expr::Placeholder(_)) => (of.0, of.0),
        _ => of,
    };
    let is_either = |width: &DataType| of.0 == width || of.1 == width;
    if !(of.0.is_signed_integer() && of.1.is_signed_integer()) {
        return None;
    }
    let [eight, four] = match op {
        Operator::Plus => [Operation::Plus, Operation::Plus4],
        Operator::Minus => [Operation::Minus, Operation::Minus4],
        Operator::Multiply => [Operation::Times, Operation::Times4],
        _ => return None,
    };
    let operation = match (is_either(&DataType::Int64), is_either(&DataType::Int32)) {
        (true, _) => eight,
        (false, true) => four,
        (false, false) => return None,
    };
    Some(operation.function().call(vec![left.clone(), right.clone()]))
}

/// `min` and `max` of doubles, which DataFusion finds by group with `<` and `>`, so that NaN counts or not as its row
/// comes. They are found among integers that are ordered as doubles are.
///
/// # Errors
/// Of building a plan.
pub fn extremes(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(plan) };
    let schema = aggregate.input.schema();
    let of_double: Vec<bool> = aggregate.aggr_expr.iter().map(|expr| is_extreme(expr, schema)).collect();
    if !of_double.contains(&true) {
        return Ok(plan);
    }
    let groups = aggregate.schema.fields().len() - of_double.len();
    let names: Vec<Expr> = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
    let keyed =
        aggregate.aggr_expr.iter().zip(&of_double).enumerate().map(|(i, (expr, of_double))| match of_double {
            true => keyed(expr.clone()).alias(name(&names[groups + i])),
            false => expr.clone(),
        });
    let keyed = keyed.collect();
    let inner = Aggregate::try_new(Arc::clone(&aggregate.input), aggregate.group_expr.clone(), keyed)?;
    let output = names.iter().enumerate().map(|(i, column)| match i >= groups && of_double[i - groups] {
        true => Operation::OfKey.function().call(vec![column.clone()]).alias(name(column)),
        false => column.clone(),
    });
    let output = output.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(output, Arc::new(LogicalPlan::Aggregate(inner)))?))
}

fn name(column: &Expr) -> String {
    match column {
        Expr::Column(Column { name, .. }) => name.clone(),
        other => other.schema_name().to_string(),
    }
}

fn call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::AggregateFunction(call) => Some(call),
        Expr::Alias(alias) => call(&alias.expr),
        _ => None,
    }
}

fn is_extreme(expr: &Expr, schema: &DFSchema) -> bool {
    call(expr).is_some_and(|call| {
        matches!(call.func.name(), "min" | "max")
            && matches!(call.params.args.as_slice(), [of] if of.get_type(schema).is_ok_and(|of| of == DataType::Float64))
    })
}

fn keyed(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => keyed(*alias.expr),
        Expr::AggregateFunction(mut call) => {
            call.params.args =
                call.params.args.into_iter().map(|of| Operation::Key.function().call(vec![of])).collect();
            Expr::AggregateFunction(call)
        }
        other => other,
    }
}

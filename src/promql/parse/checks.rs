//! Type checks, in Prometheus' order and words. They also drop the vector matching of operators with a
//! scalar side, where it has no meaning; the types are not known earlier.

use std::collections::HashSet;

use super::error::{Parsed, Problem, problem};
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Aggregate, Binary, Call, Cardinality, Expr, VectorSelector};
use crate::promql::operators::AggregateOp;
use crate::promql::selectors::matches_anything;
use crate::promql::strings::quote;
use crate::promql::value_type::ValueType;

/// Checks a tree and returns its type.
pub(super) fn check(expr: &mut Expr) -> Parsed<ValueType> {
    match expr {
        Expr::Number { .. } | Expr::String { .. } => {}
        Expr::Paren { inner, .. } => return check(inner),
        Expr::Unary { inner, span, .. } => {
            let found = check(inner)?;
            if !is_operand(found) {
                let found = quote(found.as_str());
                let message = "unary expression only allowed on expressions of type scalar or instant vector";
                return Err(problem(*span, format!("{message}, got {found}")));
            }
            return Ok(found);
        }
        Expr::Binary(binary) => return check_binary(binary),
        Expr::Aggregate(aggregate) => check_aggregate(aggregate)?,
        Expr::Call(call) => check_call(call)?,
        Expr::Vector(selector) => check_selector(selector, false)?,
        Expr::Matrix(matrix) => check_selector(&matrix.selector, false)?,
        Expr::Subquery(subquery) => {
            let found = check(&mut subquery.inner)?;
            if found != ValueType::Vector {
                let message =
                    format!("subquery is only allowed on instant vector, got {} instead", found.short_name());
                return Err(problem(subquery.span, message));
            }
        }
    }
    Ok(expr.value_type())
}

fn is_operand(kind: ValueType) -> bool {
    matches!(kind, ValueType::Scalar | ValueType::Vector)
}

fn expect(expr: &mut Expr, wanted: ValueType, place: &str) -> Parsed<()> {
    let found = check(expr)?;
    if found != wanted {
        return Err(wrong_type(expr, wanted, place, found));
    }
    Ok(())
}

fn wrong_type(expr: &Expr, wanted: ValueType, place: &str, found: ValueType) -> Problem {
    let message = format!("expected type {} in {place}, got {}", wanted.as_str(), found.as_str());
    problem(expr.span(), message)
}

fn check_aggregate(aggregate: &mut Aggregate) -> Parsed<()> {
    expect(&mut aggregate.inner, ValueType::Vector, "aggregation expression")?;
    let Some(param) = &mut aggregate.param else {
        return Ok(());
    };
    let string = aggregate.op == AggregateOp::CountValues;
    expect(param, if string { ValueType::String } else { ValueType::Scalar }, "aggregation parameter")
}

fn check_binary(binary: &mut Binary) -> Parsed<ValueType> {
    let left = check(&mut binary.left)?;
    let right = check(&mut binary.right)?;
    let at_operator = |message: String| Err(problem(binary.op_span, message));
    let both_scalar = left == ValueType::Scalar && right == ValueType::Scalar;
    if binary.return_bool && !binary.op.is_comparison() {
        return at_operator("bool modifier can only be used on comparison operators".to_string());
    }
    if binary.op.is_comparison() && !binary.return_bool && both_scalar {
        return at_operator("comparisons between scalars must use BOOL modifier".to_string());
    }
    let twice = binary.matching.as_ref().filter(|m| m.on).and_then(|m| {
        let included: HashSet<&String> = m.include.iter().collect();
        m.labels.iter().find(|label| included.contains(label))
    });
    if let Some(label) = twice {
        let label = quote(label);
        return at_operator(format!("label {label} must not occur in ON and GROUP clause at once"));
    }
    for (side, found) in [(&binary.left, left), (&binary.right, right)] {
        if !is_operand(found) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(problem(side.span(), message));
        }
    }
    check_matching(binary, left == ValueType::Vector && right == ValueType::Vector)?;
    if binary.op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
        let op = quote(binary.op.as_str());
        return Err(problem(binary.span, format!("set operator {op} not allowed in binary scalar expression")));
    }
    Ok(if both_scalar { ValueType::Scalar } else { ValueType::Vector })
}

fn check_matching(binary: &mut Binary, both_vectors: bool) -> Parsed<()> {
    let Some(matching) = &binary.matching else {
        return Ok(());
    };
    let fail = |message: String| Err(problem(binary.span, message));
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if !both_vectors {
        if !matching.labels.is_empty() {
            return fail("vector matching only allowed between instant vectors".to_string());
        }
        if fills {
            return fail("filling in missing series only allowed between instant vectors".to_string());
        }
        binary.matching = None;
        return Ok(());
    }
    if binary.op.is_set() {
        if matching.cardinality != Cardinality::ManyToMany {
            return fail(format!("no grouping allowed for {} operation", quote(binary.op.as_str())));
        }
        if fills {
            return fail("filling in missing series not allowed for set operators".to_string());
        }
    }
    Ok(())
}

fn check_call(call: &mut Call) -> Parsed<()> {
    check_argument_count(call)?;
    let function = call.function;
    let quoted = quote(function.name);
    if function.selects_labels && call.args.len() > 1 {
        check_label_selector(call)?;
    }
    for (i, arg) in call.args.iter_mut().enumerate() {
        // The last type stands for all further arguments.
        let Some(wanted) = function.args.get(i).or(function.args.last()) else {
            break;
        };
        let found = match arg {
            Expr::Vector(selector) if function.selects_labels && i == 1 => {
                check_selector(selector, true)?;
                ValueType::Vector
            }
            _ => check(arg)?,
        };
        if found != *wanted {
            return Err(wrong_type(arg, *wanted, &format!("call to function {quoted}"), found));
        }
    }
    Ok(())
}

fn check_argument_count(call: &Call) -> Parsed<()> {
    let function = call.function;
    let (wanted, got) = (function.args.len(), call.args.len());
    let fail = |bound: &str, count: usize| {
        let name = quote(function.name);
        Err(problem(call.span, format!("expected {bound}{count} argument(s) in call to {name}, got {got}")))
    };
    if function.variadic == 0 {
        return if got == wanted { Ok(()) } else { fail("", wanted) };
    }
    let at_least = wanted - 1;
    if got < at_least {
        return fail("at least ", at_least);
    }
    match usize::try_from(function.variadic) {
        Ok(more) if got > at_least + more => fail("at most ", at_least + more),
        _ => Ok(()),
    }
}

/// The second argument of such a function selects labels of info metrics; a metric name there would be a mistake.
fn check_label_selector(call: &Call) -> Parsed<()> {
    let arg = &call.args[1];
    let found = arg.value_type();
    if found != ValueType::Vector {
        let message = format!(
            "expected type {} in call to function {}, got {}",
            ValueType::Vector.as_str(),
            quote(call.function.name),
            found.as_str()
        );
        return Err(problem(call.span, message));
    }
    match arg {
        Expr::Vector(selector) if selector.name.is_none() => Ok(()),
        Expr::Vector(selector) => {
            Err(problem(selector.span, "expected label selectors only, got vector selector instead"))
        }
        _ => Err(problem(arg.span(), "expected label selectors only")),
    }
}

fn check_selector(selector: &VectorSelector, may_match_anything: bool) -> Parsed<()> {
    if let Some(name) = &selector.name {
        // The last matcher is that of the name in front.
        let inside = &selector.matchers[..selector.matchers.len() - 1];
        return match inside.iter().find(|m| m.name == METRIC_NAME) {
            Some(inner) => Err(problem(selector.span, named_twice(name, &inner.value))),
            None => Ok(()),
        };
    }
    if !may_match_anything && matches_anything(&selector.matchers) {
        return Err(problem(selector.span, "vector selector must contain at least one non-empty matcher"));
    }
    Ok(())
}

/// Part of messages about selectors named twice.
fn named_twice(outer: &str, inner: &str) -> String {
    format!("metric name must not be set twice: {} or {}", quote(outer), quote(inner))
}

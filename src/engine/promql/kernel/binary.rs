//! Binary operators on floats and histograms, element by element. Matching of series is not done here.

use std::sync::Arc;

use super::types::{Notes, Param, Value, VectorIn, VectorOut};
use crate::engine::promql::annotations::text::{self, Operation};
use crate::model::histogram::trim::Keep;
use crate::model::histogram::{CounterResetHint, FloatHistogram};
use crate::promql::operators::BinaryOp;

/// One side of an operator.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    Vector(VectorIn<'a>),
    Scalar(Param<'a>),
}

impl Operand<'_> {
    fn value(&self, k: usize) -> Option<Value> {
        match self {
            Operand::Vector(vector) => vector.value(k),
            Operand::Scalar(param) => Some(Value::Float(param.at(k))),
        }
    }

    fn has_histograms(&self) -> bool {
        matches!(self, Operand::Vector(vector) if !vector.histograms.is_empty())
    }
}

/// What an operator makes of two elements. For a comparison `value` is what a filter lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub value: Value,
    /// `false`: a comparison does not hold.
    pub keep: bool,
}

/// Evaluates an operator for one pair of matched series (or a series and a scalar, or two scalars) at all steps.
///
/// A comparison keeps the left value, of a scalar and a vector the vector's; with `return_bool`, and always
/// between scalars, it is 0 or 1. Set operators do not come here. Annotations are placed at `notes.span`.
pub fn evaluate(
    op: BinaryOp,
    return_bool: bool,
    left: &Operand<'_>,
    right: &Operand<'_>,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) {
    out.clear();
    let scalars = matches!((left, right), (Operand::Scalar(_), Operand::Scalar(_)));
    let keep_right = matches!((left, right), (Operand::Scalar(_), Operand::Vector(_)));
    let as_bool = op.is_comparison() && (return_bool || scalars);
    if !left.has_histograms() && !right.has_histograms() && !is_trim(op) {
        return evaluate_floats(op, as_bool, keep_right, left, right, out);
    }
    for k in 0..out.values.len() {
        let (Some(l), Some(r)) = (left.value(k), right.value(k)) else {
            continue;
        };
        let kept = keep_right.then(|| r.clone());
        let Some(element) = combine(op, l, r, notes) else {
            continue;
        };
        if as_bool {
            out.set(k, f64::from(u8::from(element.keep)));
        } else if element.keep {
            let value = match kept {
                Some(vector) if op.is_comparison() => vector,
                _ => element.value,
            };
            out.set_value(k, value);
        }
    }
}

fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
}

fn evaluate_floats(
    op: BinaryOp,
    as_bool: bool,
    keep_right: bool,
    left: &Operand<'_>,
    right: &Operand<'_>,
    out: &mut VectorOut<'_>,
) {
    let float = |operand: &Operand<'_>, k| match operand {
        Operand::Vector(vector) => vector.float(k),
        Operand::Scalar(param) => Some(param.at(k)),
    };
    for k in 0..out.values.len() {
        let (Some(l), Some(r)) = (float(left, k), float(right, k)) else {
            continue;
        };
        if !op.is_comparison() {
            out.set(k, arithmetic(op, l, r));
        } else if as_bool {
            out.set(k, f64::from(u8::from(compare(op, l, r))));
        } else if compare(op, l, r) {
            out.set(k, if keep_right { r } else { l });
        }
    }
}

/// An arithmetic operator on floats; NaN for operators that have no meaning for two floats.
#[inline]
pub fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::NAN,
    }
}

/// A comparison of floats; `false` for operators that are none.
#[inline]
pub fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::Less => left < right,
        BinaryOp::GreaterEqual => left >= right,
        BinaryOp::LessEqual => left <= right,
        _ => false,
    }
}

/// An operator on two elements of any type; `None`, with an annotation, if it is not defined for them.
pub fn combine(op: BinaryOp, left: Value, right: Value, notes: &Notes<'_>) -> Option<Element> {
    use BinaryOp::*;
    let kept = |value: Value| Some(Element { value, keep: true });
    match (left, right) {
        (Value::Float(l), Value::Float(r)) if !is_trim(op) => Some(match op.is_comparison() {
            true => Element { value: Value::Float(l), keep: compare(op, l, r) },
            false => Element { value: Value::Float(arithmetic(op, l, r)), keep: true },
        }),
        (Value::Float(l), Value::Histogram(r)) if op == Mul => kept(changed(r, |h| h.mul(l).compact(0))),
        (Value::Histogram(l), Value::Float(r)) if matches!(op, Mul | Div | TrimUpper | TrimLower) => {
            kept(changed(l, |h| match op {
                Mul => h.mul(r).compact(0),
                Div => h.div(r).compact(0),
                TrimUpper => h.trim(r, Keep::Below),
                _ => h.trim(r, Keep::Above),
            }))
        }
        (Value::Histogram(l), Value::Histogram(r)) if matches!(op, Add | Sub) => {
            add_histograms(op, l, &r, notes).and_then(kept)
        }
        (Value::Histogram(l), Value::Histogram(r)) if matches!(op, Equal | NotEqual) => {
            let equal = l.equals(&r);
            Some(Element { keep: equal == (op == Equal), value: Value::Histogram(l) })
        }
        (left, right) => {
            let text = text::incompatible_types(type_name(&left), op.as_str(), type_name(&right));
            notes.annotations.info(text, notes.span);
            None
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Float(_) => "float",
        Value::Histogram(_) => "histogram",
    }
}

fn changed(
    histogram: Arc<FloatHistogram>,
    change: impl FnOnce(&mut FloatHistogram) -> &mut FloatHistogram,
) -> Value {
    let mut histogram = Arc::unwrap_or_clone(histogram);
    change(&mut histogram);
    histogram.into()
}

/// `+` and `-`. As in Prometheus, conflicting counter resets leave no result.
fn add_histograms(
    op: BinaryOp,
    left: Arc<FloatHistogram>,
    right: &FloatHistogram,
    notes: &Notes<'_>,
) -> Option<Value> {
    let mut result = Arc::unwrap_or_clone(left);
    let (combined, operation) = match op {
        BinaryOp::Add => (result.add(right), Operation::Addition),
        _ => (result.sub(right), Operation::Subtraction),
    };
    let Ok(combined) = combined else {
        notes.annotations.warn(text::incompatible_bucket_layout(op.as_str()), notes.span);
        return None;
    };
    if combined.reset_conflict {
        notes.annotations.warn(text::counter_reset_collision(operation), notes.span);
        return None;
    }
    if combined.bounds_reconciled {
        notes.annotations.info(text::mismatched_custom_buckets(operation), notes.span);
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result.compact(0);
    Some(result.into())
}

/// Unary minus: negates floats and histograms.
pub fn negate(input: &VectorIn<'_>, out: &mut VectorOut<'_>) {
    out.clear();
    for k in 0..out.values.len() {
        match input.value(k) {
            Some(Value::Float(value)) => out.set(k, -value),
            Some(Value::Histogram(histogram)) => out.set_value(k, changed(histogram, |h| h.mul(-1.0))),
            None => {}
        }
    }
}

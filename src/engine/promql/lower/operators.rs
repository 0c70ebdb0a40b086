//! Unary and binary operators.

use datafusion::logical_expr::LogicalPlan;

use super::lower;
use super::lowered::{Context, Lowered, NameFate, Scalar, Value, is_metadata_label};
use crate::engine::promql::plan::functions::binary::{self, Operation, ScalarOp};
use crate::engine::promql::plan::functions::elementwise::{self, Elementwise};
use crate::engine::promql::plan::node::{VectorNode, VectorOp};
use crate::engine::promql::plan::ops::matching::VectorMatch;
use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Binary, Cardinality, Expr, Matching};
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;

/// `+` changes nothing; `-` negates and drops the name.
pub fn unary(cx: &Context<'_>, negative: bool, inner: &Expr, _span: Span) -> Result<Value> {
    let value = lower(cx, inner)?;
    if !negative {
        return Ok(value);
    }
    let cancel = &cx.query.cancel;
    Ok(match value {
        Value::Scalar(Scalar::Constant(v)) => Value::Scalar(Scalar::Constant(-v)),
        Value::Scalar(Scalar::Steps { expr, sources }) => {
            let expr = elementwise::apply("negate", Elementwise::Negate, cx.grid.steps, vec![expr], vec![], cancel);
            Value::Scalar(Scalar::Steps { expr, sources })
        }
        Value::Vector(vector) => {
            let points = vector.point_columns();
            let histograms = vector.histograms;
            let call = elementwise::apply("negate", Elementwise::Negate, cx.grid.steps, points, vec![], cancel);
            Value::Vector(vector.with_points(call, histograms, cx.grid.steps)?.drop_name(cx)?)
        }
        Value::String(_) => return Err(Error::internal("the parser lets no minus before strings through")),
    })
}

pub fn binary(cx: &Context<'_>, node: &Binary) -> Result<Value> {
    let cx = &cx.with_statistics(false);
    match (lower(cx, &node.left)?, lower(cx, &node.right)?) {
        (Value::Scalar(l), Value::Scalar(r)) => Ok(Value::Scalar(scalars(cx, ScalarOp::Operator(node.op), l, r))),
        (Value::Vector(l), Value::Scalar(r)) => with_scalar(cx, node, l, r, false).map(Value::Vector),
        (Value::Scalar(l), Value::Vector(r)) => with_scalar(cx, node, r, l, true).map(Value::Vector),
        (Value::Vector(l), Value::Vector(r)) => vectors(cx, node, l, r).map(Value::Vector),
        _ => Err(Error::internal("the parser lets no operators on strings through")),
    }
}

pub fn scalars(cx: &Context<'_>, op: ScalarOp, left: Scalar, right: Scalar) -> Scalar {
    if let (Scalar::Constant(l), Scalar::Constant(r)) = (&left, &right) {
        return Scalar::Constant(op.apply(*l, *r));
    }
    let (l, mut sources) = left.into_argument();
    let (r, more) = right.into_argument();
    sources.extend(more);
    Scalar::Steps { expr: binary::scalars(op, cx.grid.steps, l, r), sources }
}

fn with_scalar(
    cx: &Context<'_>,
    node: &Binary,
    vector: Lowered,
    scalar: Scalar,
    scalar_left: bool,
) -> Result<Lowered> {
    let (argument, sources) = scalar.into_argument();
    let operation = Operation {
        op: node.op,
        return_bool: node.return_bool,
        scalar_left,
        steps: cx.grid.steps,
        sink: cx.sink_for(node.span, node.span),
    };
    let histograms = vector.histograms;
    let call = binary::with_scalar(operation, vector.point_columns(), argument);
    let result = vector.with_points_from(call, &sources, histograms, cx.grid.steps)?;
    if drops_name(node) { result.drop_name(cx) } else { Ok(result) }
}

/// Arithmetic makes something new of a metric, so does a comparison that gives 0 or 1.
fn drops_name(node: &Binary) -> bool {
    node.return_bool || is_arithmetic(node.op)
}

/// Comparisons, set operators and trims pass samples on; the others make new ones.
fn is_arithmetic(op: BinaryOp) -> bool {
    !(op.is_comparison() || op.is_set() || matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower))
}

fn vectors(cx: &Context<'_>, node: &Binary, left: Lowered, right: Lowered) -> Result<Lowered> {
    let matching = node.matching.as_ref().ok_or_else(|| Error::internal("vectors without a matching"))?;
    let sink = cx.sink_for(node.span, node.span);
    let op = VectorMatch::new(node.op, node.return_bool, matching, cx.grid.steps, sink);
    if node.op.is_set() {
        set(cx, node.op, op, left, right)
    } else {
        arithmetic(cx, node, matching, op, left, right)
    }
}

fn node_plan(cx: &Context<'_>, op: VectorMatch, inputs: Vec<LogicalPlan>, like: &Lowered) -> Result<LogicalPlan> {
    let fate = like.name == NameFate::ByRow;
    let schema = Lowered::schema(&like.labels, fate, like.histograms, like.steps)?;
    Ok(VectorNode::plan(VectorOp::Match(op), inputs, schema, &cx.query.cancel))
}

fn set(cx: &Context<'_>, kind: BinaryOp, op: VectorMatch, left: Lowered, right: Lowered) -> Result<Lowered> {
    if kind != BinaryOp::Or {
        let plan = node_plan(cx, op, vec![left.plan.clone(), right.plan], &left)?;
        return Ok(Lowered { plan, order: None, ..left });
    }
    let (left, right) = if left.name == right.name && left.name != NameFate::ByRow {
        (left, right)
    } else {
        (left.with_fate_column()?, right.with_fate_column()?)
    };
    let mut labels = left.labels.clone();
    labels.extend(right.labels.iter().filter(|l| !left.has_label(l)).cloned());
    let result = Lowered {
        plan: left.plan.clone(),
        unique_unnamed: !labels.iter().any(|l| is_metadata_label(l)),
        labels,
        steps: cx.grid.steps,
        histograms: left.histograms || right.histograms,
        name: left.name,
        unique: true,
        order: None,
    };
    let plan = node_plan(cx, op, vec![left.plan, right.plan], &result)?;
    Ok(Lowered { plan, ..result })
}

fn arithmetic(
    cx: &Context<'_>,
    node: &Binary,
    matching: &Matching,
    op: VectorMatch,
    left: Lowered,
    right: Lowered,
) -> Result<Lowered> {
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (&right, &left) } else { (&left, &right) };
    // Arithmetic never keeps a name; the names of `bool` comparisons go with the delayed ones, if at all.
    let renamed = is_arithmetic(node.op) || (node.return_bool && !cx.delayed_names());
    let dropped = |l: &str| renamed && is_metadata_label(l);
    let listed = |l: &String| matching.labels.contains(l);
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let mut labels: Vec<String> = many.labels.clone();
    if one_to_one {
        labels.retain(|l| listed(l) == matching.on);
    }
    labels.retain(|l| !dropped(l));
    // A filled sample has the labels of its match group, also where the many side has no such label.
    if op_fills(matching) {
        let by = |l: &String| if matching.on { listed(l) } else { !listed(l) && l != METRIC_NAME };
        let missing: Vec<String> =
            one.labels.iter().filter(|l| by(l) && !dropped(l) && !labels.contains(l)).cloned().collect();
        labels.extend(missing);
    }
    for label in &matching.include {
        if !labels.contains(label) && one.has_label(label) {
            labels.push(label.clone());
        }
    }
    let named = labels.iter().any(|l| is_metadata_label(l));
    let name = match many.name {
        _ if !named => NameFate::Kept,
        _ if node.return_bool => NameFate::Dropped,
        fate => fate,
    };
    let result = Lowered {
        plan: many.plan.clone(),
        labels,
        steps: cx.grid.steps,
        histograms: left.histograms || right.histograms,
        name,
        unique: true,
        unique_unnamed: !named,
        order: None,
    };
    let plan = node_plan(cx, op, vec![left.plan.clone(), right.plan.clone()], &result)?;
    Ok(Lowered { plan, ..result })
}

fn op_fills(matching: &Matching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}

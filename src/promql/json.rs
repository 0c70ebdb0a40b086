//! The tree as JSON in the form of Prometheus' `/api/v1/parse_query`, which its web interface draws.

use serde_json::{Value, json};

use super::ast::{At, Cardinality, Duration, DurationExpr, DurationNode, Expr, Matching, Subquery, VectorSelector};
use super::numbers::format_float;
use crate::model::matcher::Matcher;

/// See the module. Ranges, steps and offsets are milliseconds; where they are expressions, they are 0 and
/// the expression stands beside them.
pub fn ast_json(expr: &Expr) -> Value {
    match expr {
        Expr::Number { value, .. } => json!({"type": "numberLiteral", "val": format_float(*value)}),
        Expr::String { value, .. } => json!({"type": "stringLiteral", "val": value}),
        Expr::Paren { inner, .. } => json!({"type": "parenExpr", "expr": ast_json(inner)}),
        Expr::Unary { negative, inner, .. } => {
            json!({"type": "unaryExpr", "op": sign(*negative), "expr": ast_json(inner)})
        }
        Expr::Binary(e) => json!({
            "type": "binaryExpr",
            "op": e.op.as_str(),
            "lhs": ast_json(&e.left),
            "rhs": ast_json(&e.right),
            "matching": e.matching.as_ref().map(matching),
            "bool": e.return_bool,
        }),
        Expr::Aggregate(e) => json!({
            "type": "aggregation",
            "op": e.op.as_str(),
            "expr": ast_json(&e.inner),
            "param": e.param.as_ref().map(ast_json),
            "grouping": e.labels,
            "without": e.without,
        }),
        Expr::Call(e) => json!({
            "type": "call",
            "func": {
                "name": e.function.name,
                "argTypes": e.function.args.iter().map(|t| t.short_name()).collect::<Vec<_>>(),
                "variadic": e.function.variadic,
                "returnType": e.function.returns.short_name(),
            },
            "args": e.args.iter().map(ast_json).collect::<Vec<_>>(),
        }),
        Expr::Vector(e) => selector("vectorSelector", e),
        Expr::Matrix(e) => {
            let mut node = selector("matrixSelector", &e.selector);
            node["range"] = json!(millis(&e.range));
            node["rangeExpr"] = expression(&e.range);
            node
        }
        Expr::Subquery(e) => subquery(e),
    }
}

fn selector(kind: &str, v: &VectorSelector) -> Value {
    json!({
        "type": kind,
        "name": v.name.as_deref().unwrap_or(""),
        "offset": millis(&v.offset),
        "offsetExpr": expression(&v.offset),
        "matchers": v.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp(&v.at),
        "startOrEnd": start_or_end(&v.at),
        "anchored": v.anchored,
        "smoothed": v.smoothed,
    })
}

fn subquery(s: &Subquery) -> Value {
    json!({
        "type": "subquery",
        "expr": ast_json(&s.inner),
        "range": millis(&s.range),
        "rangeExpr": expression(&s.range),
        "offset": millis(&s.offset),
        "offsetExpr": expression(&s.offset),
        "step": s.step.as_ref().map_or(0, millis),
        "stepExpr": s.step.as_ref().map_or(Value::Null, expression),
        "timestamp": timestamp(&s.at),
        "startOrEnd": start_or_end(&s.at),
    })
}

fn matcher(m: &Matcher) -> Value {
    json!({"name": m.name, "value": m.value, "type": m.op.as_str()})
}

fn matching(m: &Matching) -> Value {
    let card = match m.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": m.labels,
        "on": m.on,
        "include": m.include,
        // JSON has no NaN and no infinity; such a fill shows as null.
        "fillValues": {"lhs": m.fill_left, "rhs": m.fill_right},
    })
}

fn millis(duration: &Duration) -> i64 {
    match duration {
        Duration::Literal(ms) => *ms,
        Duration::Expr(_) => 0,
    }
}

fn expression(duration: &Duration) -> Value {
    match duration {
        Duration::Literal(_) => Value::Null,
        Duration::Expr(expr) => duration_json(expr),
    }
}

fn duration_json(expr: &DurationExpr) -> Value {
    let (left, right) = match &expr.node {
        DurationNode::Number { seconds, duration } => {
            return json!({"type": "numberLiteral", "val": format_float(*seconds), "duration": duration});
        }
        DurationNode::Step | DurationNode::Range => (Value::Null, Value::Null),
        DurationNode::Unary { inner, .. } => (Value::Null, duration_json(inner)),
        DurationNode::Binary { left, right, .. }
        | DurationNode::MinOf(left, right)
        | DurationNode::MaxOf(left, right) => (duration_json(left), duration_json(right)),
    };
    json!({
        "type": "durationExpr",
        "op": duration_operator(&expr.node),
        "lhs": left,
        "rhs": right,
        "wrapped": expr.wrapped,
    })
}

fn duration_operator(node: &DurationNode) -> &'static str {
    match node {
        DurationNode::Number { .. } => "",
        DurationNode::Unary { negative, .. } => sign(*negative),
        DurationNode::Binary { op, .. } => op.as_str(),
        DurationNode::Step => "step",
        DurationNode::Range => "range",
        DurationNode::MinOf(..) => "min_of",
        DurationNode::MaxOf(..) => "max_of",
    }
}

fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "+" }
}

fn timestamp(at: &Option<At>) -> Option<i64> {
    match at {
        Some(At::Timestamp(ms)) => Some(*ms),
        _ => None,
    }
}

fn start_or_end(at: &Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

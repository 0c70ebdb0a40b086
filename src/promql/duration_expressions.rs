//! The evaluation of duration expressions, once start, end and step of a query are known.

use super::ast::{Duration, DurationExpr, DurationNode, Expr};
use super::durations::out_of_range;
use super::operators::BinaryOp;
use crate::error::{Error, Result};

/// What duration expressions can ask for.
#[derive(Clone, Copy)]
struct QueryTimes {
    step_seconds: f64,
    range_seconds: f64,
}

/// Replaces every duration expression by its value in milliseconds. An instant query has step 0 and
/// `start == end`, so that a range of `step()` is an error there.
pub fn resolve(expr: &mut Expr, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<()> {
    let times = QueryTimes {
        step_seconds: step_ms as f64 / 1000.0,
        range_seconds: end_ms.saturating_sub(start_ms) as f64 / 1000.0,
    };
    resolve_in(expr, times)
}

/// Whether there are any that are not written out.
pub fn are_in(expr: &Expr) -> bool {
    let open = |duration: &Duration| duration.literal().is_none();
    let mut found = match expr {
        Expr::Vector(v) => open(&v.offset),
        Expr::Matrix(m) => open(&m.range) || open(&m.selector.offset),
        Expr::Subquery(s) => open(&s.offset) || open(&s.range) || s.step.as_ref().is_some_and(open),
        _ => false,
    };
    expr.for_each_child(&mut |child| found = found || are_in(child));
    found
}

fn resolve_in(expr: &mut Expr, times: QueryTimes) -> Result<()> {
    match expr {
        Expr::Vector(v) => settle(&mut v.offset, times, true)?,
        Expr::Matrix(m) => {
            settle(&mut m.range, times, false)?;
            settle(&mut m.selector.offset, times, true)?;
        }
        Expr::Subquery(s) => {
            settle(&mut s.offset, times, true)?;
            if let Some(step) = &mut s.step {
                settle(step, times, false)?;
            }
            settle(&mut s.range, times, false)?;
        }
        _ => {}
    }
    let mut result = Ok(());
    expr.for_each_child_mut(&mut |child| {
        if result.is_ok() {
            result = resolve_in(child, times);
        }
    });
    result
}

fn settle(duration: &mut Duration, times: QueryTimes, may_be_negative: bool) -> Result<()> {
    let Duration::Expr(expr) = duration else {
        return Ok(());
    };
    let seconds = evaluate(expr, times)?;
    if !seconds.is_finite() {
        return Err(complain(expr, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !may_be_negative {
        return Err(complain(expr, "duration must be greater than 0"));
    }
    if out_of_range(seconds) {
        return Err(complain(expr, "duration is out of range"));
    }
    *duration = Duration::Literal((seconds * 1000.0) as i64);
    Ok(())
}

fn evaluate(expr: &DurationExpr, times: QueryTimes) -> Result<f64> {
    Ok(match &expr.node {
        DurationNode::Number { seconds, .. } => *seconds,
        DurationNode::Step => times.step_seconds,
        DurationNode::Range => times.range_seconds,
        DurationNode::Unary { negative, inner } => {
            let value = evaluate(inner, times)?;
            if *negative { -value } else { value }
        }
        // The standard library's min and max skip NaN, Go's do not.
        DurationNode::MinOf(a, b) | DurationNode::MaxOf(a, b) => {
            let (a, b) = (evaluate(a, times)?, evaluate(b, times)?);
            let min = matches!(expr.node, DurationNode::MinOf(..));
            if a.is_nan() || b.is_nan() {
                f64::NAN
            } else if min {
                a.min(b)
            } else {
                a.max(b)
            }
        }
        DurationNode::Binary { op, left, right } => {
            let (left, right) = (evaluate(left, times)?, evaluate(right, times)?);
            match op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                BinaryOp::Div if right == 0.0 => return Err(complain(expr, "division by zero")),
                BinaryOp::Div => left / right,
                BinaryOp::Mod if right == 0.0 => return Err(complain(expr, "modulo by zero")),
                BinaryOp::Mod => left % right,
                BinaryOp::Pow => left.powf(right),
                _ => unreachable!("the parser builds no other operator into a duration"),
            }
        }
    })
}

/// Prometheus gives these two byte offsets and no line.
fn complain(expr: &DurationExpr, message: &str) -> Error {
    Error::bad_input(format!("{}:{}: {message}", expr.span.start, expr.span.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    #[test]
    fn duration_expressions_resolve_to_milliseconds() {
        // A query from 100 s to 700 s with a step of 15 s.
        for (query, printed) in [
            ("a[step() * 2]", "a[30s]"),
            ("a[range() / 2 - 1m]", "a[4m]"),
            ("a[max_of(step(), 1m)] offset -step()", "a[1m] offset -15s"),
            ("a[2 ^ 3 + 7 % 4]", "a[11s]"),
            ("a[-(-1m)]", "a[1m]"),
            // As in Prometheus, a colon needs a literal somewhere before it.
            ("a[range() * 1:step()] offset (1m * 2)", "a[10m:15s] offset 2m"),
            ("sum(rate(a[step() + 45s])) + b offset (step() - 15s)", "sum(rate(a[1m])) + b"),
        ] {
            let mut expr = parse(query, &ParseOptions::all()).expect(query);
            resolve(&mut expr, 100_000, 700_000, 15_000).expect(query);
            assert_eq!(expr.to_string(), printed, "{query}");
        }
        for (query, message) in [
            ("a[step()]", "2:8: duration must be greater than 0"),
            ("a[5m / step()]", "2:13: division by zero"),
            ("a[5m % step()]", "2:13: modulo by zero"),
            ("a[2 ^ 5000]", "2:10: duration is NaN or infinite"),
            ("a[200y * 2]", "2:10: duration is out of range"),
            ("a[1m - 1h]", "2:9: duration must be greater than 0"),
        ] {
            let mut expr = parse(query, &ParseOptions::all()).expect(query);
            let error = resolve(&mut expr, 0, 0, 0).expect_err(query);
            assert_eq!(error.to_string(), message, "{query}");
        }
    }
}

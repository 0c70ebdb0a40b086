//! The executions a script does not show: an instant query must give the same result with `@` put on its
//! selectors, wherever it is evaluated then, and as the middle step of a range query.

use promlake::engine::session::{EvalTime, Point, QueryValue, ResultSeries};
use promlake::promql::ast::{At, Expr};
use promlake::promql::parse::{ParseOptions, parse};

use super::expect::Expected;

/// Functions whose value changes with the evaluation time although their arguments do not.
const DEPENDS_ON_TIME: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "step",
    "range",
];

/// Queries and evaluation times that must give the result of `query` at `at`.
pub fn fixed_in_time(query: &str, at: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query, &ParseOptions::all()) else {
        return Vec::new();
    };
    if !pin(&mut expr, at) {
        return Vec::new();
    }
    let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
    let pinned = expr.to_string();
    times.into_iter().map(|time| (pinned.clone(), time)).collect()
}

/// Puts `@ at` on every selector and subquery without a timestamp; what is inside a subquery so pinned keeps
/// its own times. `false` where a function makes the result depend on the evaluation time all the same.
fn pin(expr: &mut Expr, at: i64) -> bool {
    let slot = match expr {
        Expr::Vector(v) => Some(&mut v.at),
        Expr::Matrix(m) => Some(&mut m.selector.at),
        Expr::Subquery(s) => Some(&mut s.at),
        Expr::Call(call) if DEPENDS_ON_TIME.contains(&call.function.name) => return false,
        _ => None,
    };
    if let Some(slot) = slot {
        if !matches!(slot, Some(At::Timestamp(_))) {
            *slot = Some(At::Timestamp(at));
        }
        return true;
    }
    let mut fixed = true;
    expr.for_each_child_mut(&mut |child| fixed &= pin(child, at));
    fixed
}

const MINUTE_MS: i64 = 60_000;

/// The range query whose middle step is the instant query at `at`; `None` where the query asks for its own
/// times and so means something else there.
pub fn as_range(query: &str, at: i64) -> Option<EvalTime> {
    let asks = ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call));
    let around = EvalTime::Range { start: at - MINUTE_MS, end_inclusive: at + MINUTE_MS, step: MINUTE_MS };
    (!asks).then_some(around)
}

/// The points of a range query at one step, as the instant query returns them.
pub fn at_step(value: QueryValue, at: i64, expected: &Expected) -> Result<QueryValue, String> {
    let QueryValue::Matrix(series) = value else {
        return Err(format!("a range query returned {value:?}"));
    };
    if let Some(pair) = series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        return Err(format!("{} stands before {}", pair[0].labels, pair[1].labels));
    }
    let mut vector = Vec::with_capacity(series.len());
    for ResultSeries { labels, points } in series {
        let found = points.into_iter().find(|(timestamp, _)| *timestamp == at);
        vector.extend(found.map(|point| ResultSeries { labels, points: vec![point] }));
    }
    if let (Expected::Scalar(_), [only]) = (expected, vector.as_slice())
        && let (_, Point::Float(value)) = only.points[0]
    {
        return Ok(QueryValue::Scalar(at, value));
    }
    Ok(QueryValue::Vector(vector))
}

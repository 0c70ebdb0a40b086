//! Function calls.

use std::collections::HashSet;

use datafusion::logical_expr::Expr as PlanExpr;

use super::lowered::{Context, Lowered, Order, Scalar, Value, column};
use super::operators;
use super::selectors;
use super::{aggregates, labels, scalar, scalar_vector, string, vector};
use crate::engine::promql::kernel::functions::{self, Compute, Named, QueryTimes};
use crate::engine::promql::kernel::range::RangeKernel;
use crate::engine::promql::plan::aggregate::Aggregation;
use crate::engine::promql::plan::functions::binary::ScalarOp;
use crate::engine::promql::plan::functions::elementwise::{self, Elementwise};
use crate::engine::promql::plan::functions::shape;
use crate::engine::promql::plan::functions::windows::Over;
use crate::engine::promql::plan::layout::VALUES;
use crate::error::{Error, Result};
use crate::promql::ast::{Call, Expr};

pub fn call(cx: &Context<'_>, call: &Call) -> Result<Value> {
    let name = call.function.name;
    let float = |kernel| Elementwise::Float(Named { name, kernel });
    let histogram = |kernel| Elementwise::Histogram(Named { name, kernel });
    let arg = |i: usize| scalar(cx, &call.args[i]);
    Ok(Value::Vector(match *functions::compute(call.function) {
        Compute::Constant(value) => return Ok(Value::Scalar(Scalar::Constant(value))),
        Compute::QueryTime(of) => return Ok(Value::Scalar(query_time(cx, of))),
        Compute::Time => return Ok(Value::Scalar(time(cx))),
        Compute::ToScalar => return aggregates::scalar_of(cx, call).map(Value::Scalar),
        Compute::Scalars(kernel) => {
            let op = ScalarOp::Function(Named { name, kernel });
            return Ok(Value::Scalar(operators::scalars(cx, op, arg(0)?, arg(1)?)));
        }
        Compute::ToVector => scalar_vector(cx, arg(0)?)?,
        Compute::Math(kernel) => elementwise_call(cx, call, float(kernel))?,
        Compute::MathWith(kernel) => elementwise_call(cx, call, Elementwise::FloatWith(Named { name, kernel }))?,
        Compute::Date(kernel) => date(cx, call, float(kernel))?,
        Compute::Histogram(kernel) => elementwise_call(cx, call, histogram(kernel))?,
        Compute::Statistic(kernel) => elementwise_call(&cx.with_statistics(true), call, histogram(kernel))?,
        Compute::Range(_) => range_function(cx, call)?,
        Compute::AbsentOf(_) => absent_over_time(cx, call)?,
        Compute::Timestamp => timestamps(cx, call, Over::Timestamp, Elementwise::EvalTime(cx.grid))?,
        // Nothing but stored samples has a start timestamp.
        Compute::StartTimestamp => timestamps(cx, call, Over::StartTimestamp, Elementwise::Nothing)?,
        Compute::Absent => aggregates::absent(cx, call, vector(cx, &call.args[0])?, call.args[0].as_selector())?,
        Compute::HistogramQuantile => aggregates::histogram(cx, call, Aggregation::HistogramQuantile)?,
        Compute::HistogramFraction => aggregates::histogram(cx, call, Aggregation::HistogramFraction)?,
        Compute::HistogramQuantiles => aggregates::histogram_quantiles(cx, call)?,
        Compute::Sort { descending } => sorted(cx, call, Order::Value { descending })?,
        Compute::SortByLabel { descending } => sorted_by_label(cx, call, descending)?,
        Compute::LabelReplace => labels::replace(cx, call)?,
        Compute::LabelJoin => labels::join(cx, call)?,
        Compute::Info => labels::info(cx, call)?,
    }))
}

/// Of the vector in front, and of the scalars behind it.
fn elementwise_call(cx: &Context<'_>, call: &Call, function: Elementwise) -> Result<Lowered> {
    let scalars = call.args[1..].iter().map(|arg| scalar(cx, arg)).collect::<Result<Vec<_>>>()?;
    let input = vector(cx, &call.args[0])?;
    elementwise_of(cx, call.function.name, function, input, scalars)
}

fn elementwise_of(
    cx: &Context<'_>,
    name: &str,
    function: Elementwise,
    input: Lowered,
    scalars: Vec<Scalar>,
) -> Result<Lowered> {
    let (mut arguments, mut sources): (Vec<PlanExpr>, Vec<_>) = (vec![], vec![]);
    for scalar in scalars {
        let (argument, plans) = scalar.into_argument();
        arguments.push(argument);
        sources.extend(plans);
    }
    let histograms = input.histograms && function.keeps_histograms();
    let (steps, columns) = (cx.grid.steps, input.point_columns());
    let points = elementwise::apply(name, function, steps, columns, arguments, &cx.query.cancel);
    input.with_points_from(points, &sources, histograms, cx.grid.steps)?.drop_name(cx)
}

/// Without an argument a date function is of the evaluation time.
fn date(cx: &Context<'_>, call: &Call, function: Elementwise) -> Result<Lowered> {
    let input = match call.args.first() {
        Some(arg) => vector(cx, arg)?,
        None => Lowered::one_row(shape::time(cx.grid), vec![], cx.grid.steps)?,
    };
    elementwise_of(cx, call.function.name, function, input, vec![])
}

fn over_windows(call: &Call) -> Result<Named<&'static RangeKernel>> {
    let name = call.function.name;
    functions::over_windows(call.function).ok_or_else(|| Error::internal(format!("{name} is not a range function")))
}

fn range_function(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let at = call
        .args
        .iter()
        .position(Expr::is_range)
        .ok_or_else(|| Error::internal("a range function without a range vector"))?;
    let (mut parameters, mut sources) = (vec![], vec![]);
    for (_, arg) in call.args.iter().enumerate().filter(|(i, _)| *i != at) {
        let (argument, plans) = scalar(cx, arg)?.into_argument();
        parameters.push(argument);
        sources.extend(plans);
    }
    let function = over_windows(call)?;
    let ranges = selectors::ranges(cx, &call.args[at])?;
    functions::check_extension(call.function, ranges.shape.extension())?;
    let histograms = ranges.input.has_histograms() && function.kernel.may_return_histograms;
    let sink = cx.sink_for(call.span, call.args[0].span());
    let result = ranges.evaluate(cx, Over::Range(function), histograms, sink, parameters, &sources)?;
    if function.kernel.keeps_name { Ok(result) } else { result.drop_name(cx) }
}

fn absent_over_time(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let ranges = selectors::ranges(cx, &call.args[0])?;
    functions::check_extension(call.function, ranges.shape.extension())?;
    let sink = cx.sink_for(call.span, call.args[0].span());
    let present = ranges.evaluate(cx, Over::Range(over_windows(call)?), false, sink, vec![], &[])?;
    let selector = match call.args[0].without_parens() {
        Expr::Matrix(matrix) => Some(&matrix.selector),
        _ => None,
    };
    aggregates::absent(cx, call, present, selector)
}

/// The times of the samples of a bare selector; `of_results` for anything else.
fn timestamps(cx: &Context<'_>, call: &Call, over: Over, of_results: Elementwise) -> Result<Lowered> {
    match call.args[0].as_selector() {
        Some(selector) => selectors::take(cx, selector, over, call.span)?.drop_name(cx),
        None => {
            let input = vector(cx, &call.args[0])?;
            elementwise_of(cx, call.function.name, of_results, input, vec![])
        }
    }
}

fn seconds(ms: i64) -> Scalar {
    Scalar::Constant(ms as f64 / 1000.0)
}

fn query_time(cx: &Context<'_>, of: fn(QueryTimes) -> i64) -> Scalar {
    let grid = cx.query.grid;
    let step = if grid.steps > 1 { grid.step } else { 0 };
    seconds(of(QueryTimes { start: grid.start, end: grid.end(), step }))
}

fn time(cx: &Context<'_>) -> Scalar {
    match cx.grid.steps {
        1 => seconds(cx.grid.start),
        _ => Scalar::Steps { expr: shape::time(cx.grid), sources: vec![] },
    }
}

/// The order matters only for the result of an instant query.
fn sorted(cx: &Context<'_>, call: &Call, order: Order) -> Result<Lowered> {
    if cx.query.grid.steps > 1 {
        cx.query
            .annotations
            .warn("sort is ineffective for range queries since results are always ordered by labels", call.span);
    }
    let input = vector(cx, &call.args[0])?;
    // Histograms have no place in an order of values, and are left out.
    let input = match (&order, input.histograms) {
        (Order::Value { .. }, true) => input.with_points(column(VALUES), false, cx.grid.steps)?,
        _ => input,
    };
    Ok(Lowered { order: Some(order), ..input })
}

fn sorted_by_label(cx: &Context<'_>, call: &Call, descending: bool) -> Result<Lowered> {
    let mut labels: Vec<String> = vec![];
    let mut seen = HashSet::new();
    for arg in &call.args[1..] {
        let label = string(arg)?;
        // Series are equal in what was compared before.
        if seen.insert(label) {
            labels.push(label.to_string());
        }
    }
    let sorted = sorted(cx, call, Order::Labels { labels: vec![], descending })?;
    // And in labels that none of them has.
    labels.retain(|label| sorted.has_label(label));
    Ok(Lowered { order: Some(Order::Labels { labels, descending }), ..sorted })
}

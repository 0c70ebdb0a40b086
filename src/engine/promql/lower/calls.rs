//! Function calls.

use datafusion::logical_expr::Expr as PlanExpr;

use super::lowered::{Context, Lowered, Order, Scalar, Value, column};
use super::operators::{self, as_selector};
use super::selectors;
use super::{aggregates, labels, scalar, scalar_vector, string, unwrap_parens, vector};
use crate::engine::promql::ast::{Call, Expr};
use crate::engine::promql::kernel::date::DateFunction;
use crate::engine::promql::kernel::math::MathFunction;
use crate::engine::promql::kernel::range::RangeFunction;
use crate::engine::promql::plan::aggregate::Aggregation;
use crate::engine::promql::plan::functions::binary::ScalarOp;
use crate::engine::promql::plan::functions::elementwise::{self, Elementwise, HistogramPart};
use crate::engine::promql::plan::functions::shape;
use crate::engine::promql::plan::functions::windows::Over;
use crate::engine::promql::plan::layout::{Grid, VALUES};
use crate::error::{Error, Result};

pub fn call(cx: &Context<'_>, call: &Call) -> Result<Value> {
    let name = call.function.name;
    if let Some(function) = RangeFunction::from_name(name) {
        return range_function(cx, call, function).map(Value::Vector);
    }
    if let Some(function) = MathFunction::from_name(name) {
        return elementwise_call(cx, call, Elementwise::Math(function), &[]).map(Value::Vector);
    }
    if let Some(function) = DateFunction::from_name(name) {
        return date(cx, call, function).map(Value::Vector);
    }
    Ok(match name {
        "time" | "pi" | "start" | "end" | "step" | "range" | "max_of" | "min_of" | "scalar" => {
            Value::Scalar(scalar_call(cx, call)?)
        }
        "vector" => Value::Vector(scalar_vector(cx, scalar(cx, &call.args[0])?)?),
        "sort" => Value::Vector(sorted(cx, call, Order::Value { descending: false })?),
        "sort_desc" => Value::Vector(sorted(cx, call, Order::Value { descending: true })?),
        "sort_by_label" | "sort_by_label_desc" => Value::Vector(sorted_by_label(cx, call)?),
        "label_replace" => Value::Vector(labels::replace(cx, call)?),
        "label_join" => Value::Vector(labels::join(cx, call)?),
        "info" => Value::Vector(labels::info(cx, call)?),
        "absent" => {
            let input = vector(cx, &call.args[0])?;
            Value::Vector(aggregates::absent(cx, call, input, as_selector(&call.args[0]))?)
        }
        "absent_over_time" => Value::Vector(absent_over_time(cx, call)?),
        "histogram_quantile" => Value::Vector(aggregates::histogram(cx, call, Aggregation::HistogramQuantile)?),
        "histogram_fraction" => Value::Vector(aggregates::histogram(cx, call, Aggregation::HistogramFraction)?),
        "histogram_quantiles" => Value::Vector(aggregates::histogram_quantiles(cx, call)?),
        _ => Value::Vector(element_function(cx, call)?),
    })
}

/// Functions of one element that take more than the element.
fn element_function(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let infinite = |value: f64| Scalar::Constant(value);
    let arg = |i: usize| scalar(cx, &call.args[i]);
    let statistic = |part| elementwise_call(&cx.with_statistics(true), call, Elementwise::Histogram(part), &[]);
    match call.function.name {
        "clamp" => elementwise_call(cx, call, Elementwise::Clamp, &[arg(1)?, arg(2)?]),
        "clamp_min" => elementwise_call(cx, call, Elementwise::Clamp, &[arg(1)?, infinite(f64::INFINITY)]),
        "clamp_max" => elementwise_call(cx, call, Elementwise::Clamp, &[infinite(f64::NEG_INFINITY), arg(1)?]),
        "round" => {
            let nearest = if call.args.len() > 1 { arg(1)? } else { Scalar::Constant(1.0) };
            elementwise_call(cx, call, Elementwise::Round, &[nearest])
        }
        "timestamp" => timestamps(cx, call, Over::Timestamp),
        "start_timestamp" => timestamps(cx, call, Over::StartTimestamp),
        "histogram_avg" => statistic(HistogramPart::Avg),
        "histogram_count" => statistic(HistogramPart::Count),
        "histogram_stddev" => elementwise_call(cx, call, Elementwise::Histogram(HistogramPart::Stddev), &[]),
        "histogram_stdvar" => elementwise_call(cx, call, Elementwise::Histogram(HistogramPart::Stdvar), &[]),
        "histogram_sum" => statistic(HistogramPart::Sum),
        other => Err(Error::unsupported(format!("the function {other} is not supported yet"))),
    }
}

fn elementwise_call(cx: &Context<'_>, call: &Call, function: Elementwise, scalars: &[Scalar]) -> Result<Lowered> {
    let input = vector(cx, &call.args[0])?;
    elementwise_of(cx, call.function.name, function, input, scalars)
}

fn elementwise_of(
    cx: &Context<'_>,
    name: &str,
    function: Elementwise,
    input: Lowered,
    scalars: &[Scalar],
) -> Result<Lowered> {
    let (mut arguments, mut sources): (Vec<PlanExpr>, Vec<_>) = (vec![], vec![]);
    for scalar in scalars {
        let (argument, plans) = scalar.clone().into_argument();
        arguments.push(argument);
        sources.extend(plans);
    }
    let histograms = input.histograms && function.keeps_histograms();
    let points = elementwise::apply(name, function, cx.grid.steps, input.point_columns(), arguments);
    input.with_points_from(points, &sources, histograms, cx.grid.steps)?.drop_name(cx)
}

/// Without an argument a date function is of the evaluation time.
fn date(cx: &Context<'_>, call: &Call, function: DateFunction) -> Result<Lowered> {
    let input = match call.args.first() {
        Some(arg) => vector(cx, arg)?,
        None => Lowered::one_row(shape::time(cx.grid), vec![], cx.grid.steps)?,
    };
    elementwise_of(cx, call.function.name, Elementwise::Date(function), input, &[])
}

fn range_function(cx: &Context<'_>, call: &Call, function: RangeFunction) -> Result<Lowered> {
    let at = call
        .args
        .iter()
        .position(super::is_range)
        .ok_or_else(|| Error::internal("a range function without a range vector"))?;
    let (mut parameters, mut sources) = (vec![], vec![]);
    for (_, arg) in call.args.iter().enumerate().filter(|(i, _)| *i != at) {
        let (argument, plans) = scalar(cx, arg)?.into_argument();
        parameters.push(argument);
        sources.extend(plans);
    }
    let ranges = selectors::ranges(cx, &call.args[at])?;
    function.check_extension(ranges.shape.extension())?;
    let histograms = ranges.input.has_histograms() && function.may_return_histograms();
    let sink = cx.sink_for(call.span, call.args[0].span());
    let result = ranges.evaluate(cx, Over::Range(function), histograms, sink, parameters, &sources)?;
    if function.keeps_name() { Ok(result) } else { result.drop_name(cx) }
}

fn absent_over_time(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let ranges = selectors::ranges(cx, &call.args[0])?;
    RangeFunction::PresentOverTime.check_extension_as(ranges.shape.extension(), call.function.name)?;
    let sink = cx.sink_for(call.span, call.args[0].span());
    let present = ranges.evaluate(cx, Over::Range(RangeFunction::PresentOverTime), false, sink, vec![], &[])?;
    let selector = match unwrap_parens(&call.args[0]) {
        Expr::Matrix(matrix) => Some(&matrix.selector),
        _ => None,
    };
    aggregates::absent(cx, call, present, selector)
}

/// The time of the sample for a bare selector, the evaluation time for anything else.
fn timestamps(cx: &Context<'_>, call: &Call, over: Over) -> Result<Lowered> {
    match as_selector(&call.args[0]) {
        Some(selector) => selectors::take(cx, selector, over, call.span)?.drop_name(cx),
        None => {
            let input = vector(cx, &call.args[0])?;
            // Nothing but stored samples has a start timestamp.
            let of_results =
                if over == Over::StartTimestamp { Elementwise::Nothing } else { Elementwise::EvalTime(cx.grid) };
            elementwise_of(cx, call.function.name, of_results, input, &[])
        }
    }
}

fn scalar_call(cx: &Context<'_>, call: &Call) -> Result<Scalar> {
    let query = cx.query.grid;
    let seconds = |ms: i64| Scalar::Constant(ms as f64 / 1000.0);
    let length = |grid: Grid| grid.end() - grid.start;
    Ok(match call.function.name {
        "pi" => Scalar::Constant(std::f64::consts::PI),
        "start" => seconds(query.start),
        "end" => seconds(query.end()),
        "step" => seconds(if query.steps > 1 { query.step } else { 0 }),
        "range" => seconds(length(query)),
        "time" if cx.grid.steps == 1 => seconds(cx.grid.start),
        "time" => Scalar::Steps { expr: shape::time(cx.grid), sources: vec![] },
        "scalar" => aggregates::scalar_of(cx, call)?,
        name => {
            let op = if name == "max_of" { ScalarOp::Larger } else { ScalarOp::Smaller };
            operators::scalars(cx, op, scalar(cx, &call.args[0])?, scalar(cx, &call.args[1])?)
        }
    })
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

fn sorted_by_label(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let labels = call.args[1..].iter().map(|a| string(a).map(str::to_string)).collect::<Result<Vec<_>>>()?;
    let descending = call.function.name == "sort_by_label_desc";
    sorted(cx, call, Order::Labels { labels, descending })
}

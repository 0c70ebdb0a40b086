//! Aggregations, and functions that aggregate: `histogram_quantile` and relatives, `absent`, `scalar`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::{self, Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};

use super::lowered::{
    Context, Lowered, NameFate, Scalar, column, columns_read, cross_join, is_metadata_label, label_literal,
    project, split,
};
use super::{scalar, string, vector};
use crate::engine::columns;
use crate::engine::error::from_datafusion;
use crate::engine::promql::annotations::text;
use crate::engine::promql::kernel::buckets::quantile_label;
use crate::engine::promql::plan::aggregate::{self, Aggregation, Settings};
use crate::engine::promql::plan::layout::{VALUES, scalar_column};
use crate::engine::promql::plan::node::{VectorNode, VectorOp};
use crate::engine::promql::plan::ops::count_values::CountValues;
use crate::engine::promql::plan::ops::quantile_label::QuantileLabel;
use crate::engine::promql::plan::ops::select::{Grouping, Parameter, VectorSelect};
use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{Aggregate, Call, Expr, VectorSelector};
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;
use crate::promql::strings::{is_label_name, quote};

pub fn aggregate(cx: &Context<'_>, node: &Aggregate) -> Result<Lowered> {
    let input = vector(cx, &node.inner)?;
    let grouping = Grouping { without: node.without, labels: node.labels.clone() };
    match node.op {
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
            select(cx, node, input, grouping)
        }
        AggregateOp::CountValues => count_values(cx, node, input, grouping),
        _ => group(cx, node, input, &grouping),
    }
}

fn param(node: &Aggregate) -> Result<&Expr> {
    node.param.as_ref().ok_or_else(|| Error::internal(format!("{} without its parameter", node.op.as_str())))
}

fn group(cx: &Context<'_>, node: &Aggregate, input: Lowered, grouping: &Grouping) -> Result<Lowered> {
    let mut parameters = vec![];
    let mut sources = vec![];
    if node.op == AggregateOp::Quantile {
        let param = param(node)?;
        let quantile = scalar(cx, param)?;
        warn_of_constant(cx, &quantile, param.span());
        let (argument, plans) = quantile.into_argument();
        parameters.push(argument);
        sources = plans;
    }
    let labels: Vec<String> = input.labels.iter().filter(|l| grouping.keeps(l)).cloned().collect();
    let call = GroupCall {
        aggregation: Aggregation::Operator(node.op),
        span: node.span,
        arg_span: node.inner.span(),
        parameter_span: node.param.as_ref().map_or(node.span, Expr::span),
        parameters,
        sources,
        labels,
    };
    call.lower(cx, input)
}

/// Prometheus warns of a quantile out of bounds also where there are no series, but not in a subquery that has no step
/// in its range; kernels see only the series there are. A quantile that varies by step is left to them.
fn warn_of_constant(cx: &Context<'_>, quantile: &Scalar, at: Span) {
    if let Scalar::Constant(q) = quantile
        && !(0.0..=1.0).contains(q)
        && !cx.unused
    {
        cx.query.annotations.warn(text::invalid_quantile(*q), at);
    }
}

/// A grouping aggregate of a vector.
struct GroupCall {
    aggregation: Aggregation,
    span: Span,
    arg_span: Span,
    parameter_span: Span,
    parameters: Vec<PlanExpr>,
    sources: Vec<LogicalPlan>,
    /// Labels of the result.
    labels: Vec<String>,
}

impl GroupCall {
    fn lower(self, cx: &Context<'_>, input: Lowered) -> Result<Lowered> {
        let steps = cx.grid.steps;
        let settings = Settings {
            aggregation: self.aggregation,
            grid: cx.grid,
            histograms: input.histograms,
            parameter_span: self.parameter_span,
            sink: cx.sink_for(self.span, self.arg_span),
        };
        let histograms = input.histograms && self.aggregation.keeps_histograms();
        let mut arguments = input.point_columns();
        let named = self.labels.iter().any(|l| is_metadata_label(l));
        let fate = if named { input.group_fate() } else { None };
        let name = if named { input.name } else { NameFate::Kept };
        let keys: Vec<PlanExpr> = self.labels.iter().map(|l| column(l)).collect();
        arguments.extend(self.parameters);
        let mut aggregates = vec![aggregate::call(settings, arguments).alias(VALUES)];
        aggregates.extend(fate);
        let plan = match input.plan {
            plan @ LogicalPlan::Projection(_) => narrowed(plan, keys.iter().chain(&aggregates))?,
            plan => plan,
        };
        let input = Arc::new(cross_join(plan, &self.sources)?);
        let plan = logical_expr::Aggregate::try_new(input, keys, aggregates).map_err(from_datafusion)?;
        let result = Lowered {
            plan: LogicalPlan::Aggregate(plan),
            unique_unnamed: !named,
            labels: self.labels,
            steps,
            histograms,
            name,
            unique: true,
            order: None,
        };
        let mut columns = result.row_columns();
        if histograms {
            columns = split(columns);
        } else {
            columns.push(column(VALUES));
        }
        let plan = project(result.plan, columns)?;
        Ok(Lowered { plan, ..result })
    }
}

/// A plan without the columns that none of the expressions reads.
fn narrowed<'a>(plan: LogicalPlan, readers: impl Iterator<Item = &'a PlanExpr>) -> Result<LogicalPlan> {
    let read = columns_read(readers);
    let names = plan.schema().fields().iter().map(|field| field.name());
    let columns = names.filter(|name| read.contains(name.as_str())).map(|name| column(name)).collect();
    project(plan, columns)
}

/// The parameter of an extension operator, and the input with the columns it needs.
fn parameter(scalar: Scalar, span: Span, input: LogicalPlan) -> Result<(Parameter, LogicalPlan)> {
    match scalar {
        Scalar::Constant(value) => Ok((Parameter::Constant(value.to_bits()), input)),
        Scalar::Steps { expr, sources } => {
            let name = scalar_column(span.start);
            let mut columns: Vec<PlanExpr> = input.schema().columns().into_iter().map(PlanExpr::Column).collect();
            columns.push(expr.alias(&name));
            let plan = project(cross_join(input, &sources)?, columns)?;
            Ok((Parameter::Column(name), plan))
        }
    }
}

fn select(cx: &Context<'_>, node: &Aggregate, input: Lowered, grouping: Grouping) -> Result<Lowered> {
    let param = param(node)?;
    let schema = Lowered::schema(&input.labels, input.name == NameFate::ByRow, input.histograms, cx.grid.steps)?;
    let (parameter, plan) = parameter(scalar(cx, param)?, param.span(), input.plan.clone())?;
    let sink = cx.sink_for(node.span, node.inner.span());
    let parameter_span = param.span();
    let op = VectorSelect { op: node.op, parameter, parameter_span, grouping, steps: cx.grid.steps, sink };
    let plan = VectorNode::plan(VectorOp::Select(op), vec![plan], schema, &cx.query.cancel);
    let ranked = matches!(node.op, AggregateOp::TopK | AggregateOp::BottomK);
    let order = ranked.then_some(super::lowered::Order::Rows);
    Ok(Lowered { plan, order, ..input })
}

fn check_label_name(name: &str) -> Result<()> {
    if is_label_name(name) { Ok(()) } else { Err(Error::execution(format!("invalid label name {}", quote(name)))) }
}

fn count_values(cx: &Context<'_>, node: &Aggregate, input: Lowered, grouping: Grouping) -> Result<Lowered> {
    let label = string(param(node)?)?.to_string();
    check_label_name(&label)?;
    let mut labels: Vec<String> =
        input.labels.iter().filter(|l| **l != label && grouping.keeps(l)).cloned().collect();
    if !(grouping.without && grouping.labels.contains(&label)) {
        labels.push(label.clone());
    }
    let named = labels.iter().any(|l| is_metadata_label(l) && *l != label);
    let name = if named { input.name } else { NameFate::Kept };
    let input = if name == NameFate::ByRow { input.finish(cx)? } else { input };
    let name = if name == NameFate::ByRow { NameFate::Kept } else { name };
    let schema = Lowered::schema(&labels, false, false, cx.grid.steps)?;
    let op = CountValues { label, grouping, steps: cx.grid.steps };
    let plan = VectorNode::plan(VectorOp::CountValues(op), vec![input.plan], schema, &cx.query.cancel);
    let unique_unnamed = !labels.iter().any(|l| is_metadata_label(l));
    let steps = cx.grid.steps;
    Ok(Lowered { plan, labels, steps, histograms: false, name, unique: true, unique_unnamed, order: None })
}

/// `scalar(v)`: the value of the only series.
pub fn scalar_of(cx: &Context<'_>, call: &Call) -> Result<Scalar> {
    let input = vector(cx, &call.args[0])?;
    let span = call.args[0].span();
    let group = GroupCall {
        aggregation: Aggregation::Scalar,
        span: call.span,
        arg_span: span,
        parameter_span: span,
        parameters: vec![],
        sources: vec![],
        labels: vec![],
    };
    let one = group.lower(cx, input)?;
    let name = scalar_column(call.span.start);
    let plan = project(one.plan, vec![column(VALUES).alias(&name)])?;
    Ok(Scalar::Steps { expr: column(&name), sources: vec![plan] })
}

/// `absent(v)` and `absent_over_time(m)`: 1 with the labels the selector promises, where nothing is there.
pub fn absent(cx: &Context<'_>, call: &Call, input: Lowered, selector: Option<&VectorSelector>) -> Result<Lowered> {
    let group = GroupCall {
        aggregation: Aggregation::Absent,
        span: call.span,
        arg_span: call.args[0].span(),
        parameter_span: call.span,
        parameters: vec![],
        sources: vec![],
        labels: vec![],
    };
    let absent = group.lower(cx, input)?;
    let labels = selector.map_or(vec![], promised_labels);
    let exprs = labels.iter().map(|(_, value)| label_literal(value)).collect();
    absent.with_labels(exprs, labels.into_iter().map(|(name, _)| name).collect(), true)
}

/// The labels of equality matchers. Prometheus puts a label in at its first `=` and takes it out at every other matcher
/// of the label, after it has moved matchers that only take series away (`!=` and `!~` that match nothing) to the end.
/// So a label is known where its first `=` is its last matcher and none of it takes away.
fn promised_labels(selector: &VectorSelector) -> Vec<(String, String)> {
    #[derive(Clone, Copy, Default)]
    struct Seen {
        last: usize,
        equals: usize,
        takes_away: bool,
    }
    let takes_away = |m: &Matcher| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex) && m.matches("");
    let mut by_label: HashMap<&str, Seen> = HashMap::new();
    for (i, matcher) in selector.matchers.iter().enumerate() {
        let seen = by_label.entry(&matcher.name).or_default();
        seen.last = i;
        seen.equals += usize::from(matcher.op == MatchOp::Equal);
        seen.takes_away |= takes_away(matcher);
    }
    let known = |(i, m): &(usize, &Matcher)| {
        let Seen { last, equals, takes_away } = by_label[m.name.as_str()];
        m.op == MatchOp::Equal && last == *i && equals == 1 && !takes_away
    };
    let promised = selector.matchers.iter().enumerate().filter(known).map(|(_, matcher)| matcher);
    let promised = promised.filter(|m| !m.value.is_empty() && m.name != METRIC_NAME);
    promised.map(|m| (columns::of_label(&m.name).into_owned(), m.value.clone())).collect()
}

/// `histogram_quantile(q, v)` and `histogram_fraction(lower, upper, v)`.
pub fn histogram(cx: &Context<'_>, call: &Call, aggregation: Aggregation) -> Result<Lowered> {
    let cx = &cx.with_statistics(false);
    let (last, scalars) = call.args.split_last().ok_or_else(|| Error::internal("a call without arguments"))?;
    let input = vector(cx, last)?;
    let scalars = scalars.iter().map(|arg| scalar(cx, arg)).collect::<Result<Vec<_>>>()?;
    let at = HistogramSpans { call: call.span, vector: last.span(), parameter: call.args[0].span() };
    histogram_of(cx, at, aggregation, input, scalars)
}

/// Where in the query the parts of a call stand.
#[derive(Clone, Copy)]
struct HistogramSpans {
    call: Span,
    vector: Span,
    parameter: Span,
}

fn histogram_of(
    cx: &Context<'_>,
    at: HistogramSpans,
    aggregation: Aggregation,
    input: Lowered,
    scalars: Vec<Scalar>,
) -> Result<Lowered> {
    let mut parameters = vec![];
    let mut sources = vec![];
    for scalar in scalars {
        if aggregation == Aggregation::HistogramQuantile {
            warn_of_constant(cx, &scalar, at.parameter);
        }
        let (argument, plans) = scalar.into_argument();
        parameters.push(argument);
        sources.extend(plans);
    }
    parameters.extend([input.label("le"), input.label(METRIC_NAME)]);
    let labels: Vec<String> = input.labels.iter().filter(|l| *l != "le").cloned().collect();
    let unique_unnamed = input.unique_unnamed && !input.has_label("le");
    let HistogramSpans { call: span, vector: arg_span, parameter: parameter_span } = at;
    let call = GroupCall { aggregation, span, arg_span, parameter_span, parameters, sources, labels };
    let grouped = call.lower(cx, input)?;
    let unique_unnamed = grouped.unique_unnamed || unique_unnamed;
    Lowered { unique_unnamed, ..grouped }.drop_name(cx)
}

/// `histogram_quantiles(v, "label", q, …)`: one vector per quantile, told apart by the label.
pub fn histogram_quantiles(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let cx = &cx.with_statistics(false);
    let input = vector(cx, &call.args[0])?;
    let label = string(&call.args[1])?.to_string();
    check_label_name(&label)?;
    let mut result: Option<Lowered> = None;
    for arg in &call.args[2..] {
        let quantile = scalar(cx, arg)?;
        let at = HistogramSpans { call: call.span, vector: call.args[0].span(), parameter: arg.span() };
        let values = vec![quantile.clone()];
        let part = histogram_of(cx, at, Aggregation::HistogramQuantile, input.clone(), values)?;
        let part = label_quantile(cx, part, &label, quantile, arg.span())?;
        result = Some(match result {
            None => part,
            Some(before) => union(before, part)?,
        });
    }
    result.ok_or_else(|| Error::internal("histogram_quantiles without quantiles"))?.ensure_unique(cx)
}

/// The quantile of each value as a label.
fn label_quantile(cx: &Context<'_>, part: Lowered, label: &str, quantile: Scalar, at: Span) -> Result<Lowered> {
    let labels: Vec<String> =
        part.labels.iter().filter(|l| *l != label).cloned().chain([label.to_string()]).collect();
    let unique = !part.has_label(label);
    let (expr, sources) = match quantile {
        Scalar::Constant(q) => {
            let text = label_literal(&quantile_label(q));
            let exprs = labels.iter().map(|l| if l == label { text.clone() } else { column(l) }).collect();
            return part.with_labels(exprs, labels, unique);
        }
        Scalar::Steps { expr, sources } => (expr, sources),
    };
    let quantiles = format!("{}q", scalar_column(at.start));
    let mut columns: Vec<PlanExpr> = part.labels.iter().map(|l| column(l)).collect();
    columns.extend([column(VALUES), expr.alias(&quantiles)]);
    let plan = project(cross_join(part.plan.clone(), &sources)?, columns)?;
    let schema = Lowered::schema(&labels, false, false, cx.grid.steps)?;
    let op = QuantileLabel { label: label.to_string(), quantiles, steps: cx.grid.steps };
    let plan = VectorNode::plan(VectorOp::QuantileLabel(op), vec![plan], schema, &cx.query.cancel);
    let unnamed = unique && (part.unique_unnamed || !labels.iter().any(|l| is_metadata_label(l)));
    Ok(Lowered { plan, labels, unique, unique_unnamed: unnamed, histograms: false, ..part })
}

/// All rows of two vectors of the same shape; equal quantiles give equal label sets.
fn union(a: Lowered, b: Lowered) -> Result<Lowered> {
    let plan = LogicalPlanBuilder::from(a.plan.clone())
        .union(b.plan)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    Ok(Lowered { plan, unique: false, unique_unnamed: false, ..a })
}

//! Selectors and subqueries.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{EmptyRelation, Expr as PlanExpr, LogicalPlan, TableScanBuilder};

use super::lowered::{Context, Lowered, NameFate, Value, column, project};
use super::resolve::{Leaf, Times};
use crate::engine::error::from_datafusion;
use crate::engine::promql::plan::functions::windows::{Evaluation, Input, Over, Shape, evaluate};
use crate::engine::promql::plan::layout::{HISTOGRAMS, START_TIMESTAMPS, TIMESTAMPS, VALUES};
use crate::engine::promql::plan::samples::Sink;
use crate::engine::promql::tally::Counted;
use crate::engine::scan::{ScanOptions, SeriesTable};
use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Call, Expr, VectorSelector};
use crate::promql::span::Span;

/// The rows of a range vector, before a function is applied to its windows.
pub struct Ranges {
    /// Labels and points; the points of raw samples are lists.
    pub rows: Lowered,
    pub input: Input,
    /// Where its samples are counted.
    pub counted: Counted,
    /// The grid the functions are evaluated for, and the windows that belong to it.
    pub shape: Shape,
}

/// A range vector that is the result of a query.
pub struct RawRanges {
    pub plan: LogicalPlan,
    pub labels: Vec<String>,
    pub input: Input,
    pub counted: Counted,
    pub shape: Shape,
}

fn times(cx: &Context<'_>) -> Times {
    Times {
        query: cx.query.grid,
        lookback_ms: cx.query.lookback_ms,
        default_subquery_step_ms: cx.query.default_subquery_step_ms,
    }
}

fn leaf<'a>(cx: &Context<'a>, span: Span) -> Result<&'a Leaf> {
    cx.query.leaves.get(&span).ok_or_else(|| Error::internal("a selector without its series"))
}

/// The scan of a leaf, and which columns it has.
fn scan(cx: &Context<'_>, leaf: &Leaf) -> Result<(LogicalPlan, Input)> {
    let options = ScanOptions { leaf: Some(leaf.span), askers: leaf.askers.clone(), ..cx.query.scan.clone() };
    let table = SeriesTable::lists(Arc::clone(&leaf.snapshot), leaf.range, &options);
    let has = |name| table.schema().index_of(name).is_ok();
    let input = Input::Lists { histograms: has(HISTOGRAMS), start_timestamps: has(START_TIMESTAMPS) };
    let scan = TableScanBuilder::new(TableReference::bare("series"), provider_as_source(table));
    Ok((LogicalPlan::TableScan(scan.build().map_err(from_datafusion)?), input))
}

fn sample_columns(input: Input) -> Vec<PlanExpr> {
    match input {
        Input::Lists { histograms, start_timestamps } => {
            let mut columns = vec![column(TIMESTAMPS), column(VALUES)];
            if histograms {
                columns.push(column(HISTOGRAMS));
            }
            if start_timestamps {
                columns.push(column(START_TIMESTAMPS));
            }
            columns
        }
        Input::Steps { histograms, .. } => {
            let mut columns = vec![column(VALUES)];
            if histograms {
                columns.push(column(HISTOGRAMS));
            }
            columns
        }
    }
}

fn rows(leaf: &Leaf, plan: LogicalPlan, steps: usize, histograms: bool) -> Lowered {
    Lowered {
        plan,
        labels: leaf.labels.clone(),
        steps,
        histograms,
        name: NameFate::Kept,
        unique: true,
        unique_unnamed: leaf.unique_unnamed,
        order: None,
    }
}

fn shape(cx: &Context<'_>, selector: &VectorSelector, range_ms: i64) -> Shape {
    let (start, step) = times(cx).shifted(cx.grid, selector.at.as_ref(), selector.offset.millis());
    Shape {
        start,
        step,
        steps: cx.grid.steps,
        range_ms,
        eval: cx.grid,
        anchored: selector.anchored,
        smoothed: selector.smoothed,
        lookback_ms: cx.query.lookback_ms,
        use_start_timestamps: cx.query.features.use_start_timestamps,
    }
}

/// An instant selector.
pub fn instant(cx: &Context<'_>, selector: &VectorSelector) -> Result<Lowered> {
    take(cx, selector, Over::Instant, selector.span)
}

/// An instant selector, or the times of its samples.
pub fn take(cx: &Context<'_>, selector: &VectorSelector, over: Over, span: Span) -> Result<Lowered> {
    if selector.anchored {
        return Err(Error::execution("anchored modifier can only be used with range vector selectors"));
    }
    let leaf = leaf(cx, selector.span)?;
    let over = if selector.smoothed && over == Over::Instant { Over::Smoothed } else { over };
    let counted = cx.counted(selector.span)?;
    select(cx, leaf, over, shape(cx, selector, cx.query.lookback_ms), counted, cx.sink(span))
}

/// The newest samples of a leaf that is not written as a selector.
fn select(
    cx: &Context<'_>,
    leaf: &Leaf,
    over: Over,
    shape: Shape,
    counted: Counted,
    sink: Sink,
) -> Result<Lowered> {
    let (plan, input) = scan(cx, leaf)?;
    let histograms = input.has_histograms() && !matches!(over, Over::Timestamp | Over::StartTimestamp);
    let rows = rows(leaf, plan, cx.grid.steps, input.has_histograms());
    let ranges = Ranges { rows, input, counted, shape };
    ranges.evaluate(cx, over, histograms, sink, vec![], &[])
}

/// The times of the newest samples of the series `info` takes labels from.
pub fn info_series(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let (start, step) = times(cx).info_times(cx.grid, call);
    let shape = Shape {
        start,
        step,
        steps: cx.grid.steps,
        range_ms: cx.query.lookback_ms,
        eval: cx.grid,
        anchored: false,
        smoothed: false,
        lookback_ms: cx.query.lookback_ms,
        use_start_timestamps: false,
    };
    let counted = cx.counted(call.span)?;
    select(cx, leaf(cx, call.span)?, Over::InfoTimestamp, shape, counted, cx.sink(call.span))
}

/// A range vector: a selector with a range, or a subquery.
pub fn ranges(cx: &Context<'_>, expr: &Expr) -> Result<Ranges> {
    match expr.without_parens() {
        Expr::Matrix(matrix) => {
            let leaf = leaf(cx, matrix.span)?;
            let (plan, input) = scan(cx, leaf)?;
            let rows = rows(leaf, plan, cx.grid.steps, input.has_histograms());
            let shape = shape(cx, &matrix.selector, matrix.range.millis());
            Ok(Ranges { rows, input, counted: cx.counted(matrix.span)?, shape })
        }
        Expr::Subquery(subquery) => {
            let times = times(cx);
            let counted = cx.counted(subquery.span)?;
            let grid = times.inner_grid(cx.grid, subquery);
            // Where the windows fall between two steps there is nothing to evaluate, and no row.
            let nothing = grid.steps == 0;
            let grid = if nothing { grid.first() } else { grid };
            let inside = cx.with_grid(grid).with_statistics(false).with_unused(nothing);
            let mut rows = vector_or_scalar(&inside, &subquery.inner)?;
            if nothing {
                let schema = Arc::clone(rows.plan.schema());
                rows.plan = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
            }
            let (start, step) = times.shifted(cx.grid, subquery.at.as_ref(), subquery.offset.millis());
            let input = Input::Steps { grid, histograms: rows.histograms };
            let shape = Shape {
                start,
                step,
                steps: cx.grid.steps,
                range_ms: subquery.range.millis(),
                eval: cx.grid,
                anchored: false,
                smoothed: false,
                lookback_ms: cx.query.lookback_ms,
                use_start_timestamps: false,
            };
            Ok(Ranges { rows, input, counted, shape })
        }
        _ => Err(Error::internal("the parser lets only range vectors through here")),
    }
}

/// The inner expression of a subquery; a scalar is a vector with one series.
fn vector_or_scalar(cx: &Context<'_>, expr: &Expr) -> Result<Lowered> {
    match super::lower(cx, expr)? {
        Value::Vector(lowered) => Ok(lowered),
        Value::Scalar(scalar) => super::scalar_vector(cx, scalar),
        Value::String(_) => Err(Error::internal("the parser lets no string through here")),
    }
}

impl Ranges {
    /// Applies a function to the windows; `parameters` are expressions over `sources`.
    pub fn evaluate(
        self,
        cx: &Context<'_>,
        over: Over,
        histograms: bool,
        sink: Sink,
        parameters: Vec<PlanExpr>,
        sources: &[LogicalPlan],
    ) -> Result<Lowered> {
        let typed = cx.query.features.type_and_unit_labels;
        let (input, shape, statistics) = (self.input, self.shape, cx.statistics);
        let counted = self.counted;
        let evaluation = Evaluation { over, input, shape, histograms, statistics, typed, counted, sink };
        let (metric, kind) = (self.rows.label(METRIC_NAME), self.rows.label("__type__"));
        let points = evaluate(evaluation, sample_columns(self.input), metric, kind, parameters);
        self.rows.with_points_from(points, sources, histograms, cx.grid.steps)
    }

    /// The rows as they are: the result of an instant query for a range vector.
    pub fn raw(self, cx: &Context<'_>) -> Result<RawRanges> {
        // The end of the query for what a subquery evaluated; samples have their names.
        let evaluated = matches!(self.input, Input::Steps { .. });
        let Self { rows, input, counted, shape } = self;
        let rows = if evaluated { rows.finish(cx)? } else { rows };
        let mut columns = rows.row_columns();
        columns.extend(sample_columns(input));
        let plan = project(rows.plan, columns)?;
        Ok(RawRanges { plan, labels: rows.labels, input, counted, shape })
    }
}

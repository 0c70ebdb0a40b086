//! The time ranges and series of every selector of a query.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashSet;

use super::lowered::is_metadata_label;
use crate::engine::columns;
use crate::engine::error::from_datafusion;
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::plan::layout::{Grid, MAX_STEPS};
use crate::engine::query::Snapshots;
use crate::engine::scan::{self, Askers};
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::TimeRange;
use crate::promql::ast::{At, Call, Expr, Subquery, VectorSelector};
use crate::promql::span::Span;
use crate::storage::types::Snapshot;

/// The series of one selector.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Where in the query it stands.
    pub span: Span,
    pub snapshot: Arc<Snapshot>,
    pub range: TimeRange,
    pub labels: Vec<String>,
    /// Label sets stay unique without the metric name and its companions.
    pub unique_unnamed: bool,
    /// Whose series they are, where several queries are asked together; then this is the last of `labels`.
    pub askers: Option<Askers>,
}

/// What a selector asks of the store.
#[derive(Clone, Debug)]
pub struct Request {
    pub span: Span,
    pub range: TimeRange,
    pub matchers: Vec<Matcher>,
}

impl Request {
    /// What is looked at where there are histograms: whether one continues the one before it is told by that one.
    pub fn wider(&self, lookback_ms: i64) -> TimeRange {
        TimeRange::new(self.range.start_inclusive.saturating_sub(lookback_ms), self.range.end_inclusive)
    }
}

impl Leaf {
    /// The series of several queries of one form, which have the same labels. No metric is told by a pattern, nor are
    /// there [companions](is_metadata_label) of its name.
    pub fn of_askers(request: &Request, lookback_ms: i64, snapshot: Snapshot, askers: Askers) -> Self {
        let range = if scan::has_histograms(&snapshot) { request.wider(lookback_ms) } else { request.range };
        let mut labels = columns_of(&snapshot);
        labels.push(columns::ASKER.to_string());
        let (span, snapshot, askers) = (request.span, Arc::new(snapshot), Some(askers));
        Self { span, snapshot, range, labels, unique_unnamed: true, askers }
    }
}

fn columns_of(snapshot: &Snapshot) -> Vec<String> {
    snapshot.label_names.iter().map(|name| columns::of_label(name).into_owned()).collect()
}

/// The times that decide which samples a selector reads.
#[derive(Clone, Copy)]
pub struct Times {
    /// Start and end of the whole query, for `@ start()` and `@ end()`.
    pub query: Grid,
    pub lookback_ms: i64,
    pub default_subquery_step_ms: i64,
}

impl Times {
    /// The time `@` stands for.
    pub fn at(&self, at: &At) -> i64 {
        match at {
            At::Timestamp(ms) => *ms,
            At::Start => self.query.start,
            At::End => self.query.end(),
        }
    }

    /// Where a selector is evaluated for the steps of `grid`: start and step, with `@` and offset applied.
    pub fn shifted(&self, grid: Grid, at: Option<&At>, offset_ms: i64) -> (i64, i64) {
        match at {
            Some(at) => (self.at(at).saturating_sub(offset_ms), 0),
            None => (grid.start.saturating_sub(offset_ms), grid.step),
        }
    }

    /// The grid of a subquery's inner expression: multiples of its step, independent of the query's start,
    /// from just inside of the first window to the end of the last.
    pub fn inner_grid(&self, grid: Grid, subquery: &Subquery) -> Grid {
        let step = subquery.step.as_ref().map_or(self.default_subquery_step_ms, |s| s.millis()).max(1);
        let (start, outer_step) = self.shifted(grid, subquery.at.as_ref(), subquery.offset.millis());
        let end = last_of(start, outer_step, grid);
        let bound = start.saturating_sub(subquery.range.millis());
        let mut first = bound.div_euclid(step).saturating_mul(step);
        if first <= bound {
            first = first.saturating_add(step);
        }
        let steps = if first > end { 0 } else { (end.saturating_sub(first) / step) as usize + 1 };
        Grid::new(first, step, steps)
    }

    /// The samples a selector reads: its windows reach `before_ms` back (left-open) and `after_ms` ahead.
    fn range(&self, grid: Grid, selector: &VectorSelector, before_ms: i64, after_ms: i64) -> TimeRange {
        let (start, step) = self.shifted(grid, selector.at.as_ref(), selector.offset.millis());
        let end = last_of(start, step, grid);
        TimeRange::new(start.saturating_sub(before_ms).saturating_add(1), end.saturating_add(after_ms))
    }

    pub fn vector_range(&self, grid: Grid, selector: &VectorSelector) -> TimeRange {
        let after = if selector.smoothed { self.lookback_ms } else { 0 };
        self.range(grid, selector, self.lookback_ms, after)
    }

    pub fn matrix_range(&self, grid: Grid, selector: &VectorSelector, range_ms: i64) -> TimeRange {
        let before = if selector.anchored || selector.smoothed { self.lookback_ms } else { 0 };
        let after = if selector.smoothed { self.lookback_ms } else { 0 };
        self.range(grid, selector, range_ms.saturating_add(before), after)
    }
}

impl Times {
    /// When `info` looks at its info series for the steps of `grid`: at the times the samples of the base series
    /// are from, by the `@` and offsets of the first selector and of the subqueries around it.
    pub fn info_times(&self, grid: Grid, call: &Call) -> (i64, i64) {
        let mut shifts = vec![];
        first_selector(&call.args[0], &mut shifts);
        if let Some(Expr::Vector(selector)) = call.args.get(1) {
            shifts.push((selector.at.as_ref(), selector.offset.millis()));
        }
        shifts.into_iter().fold((grid.start, grid.step), |(start, step), (at, offset_ms)| {
            self.shifted(Grid { start, step, steps: grid.steps }, at, offset_ms)
        })
    }
}

/// The last of the times `start`, `start + step`… that belong to the steps of `grid`.
fn last_of(start: i64, step: i64, grid: Grid) -> i64 {
    start.saturating_add(step.saturating_mul(grid.steps.saturating_sub(1) as i64))
}

/// Collects the `@` and offsets on the way to the first selector.
fn first_selector<'a>(expr: &'a Expr, shifts: &mut Vec<(Option<&'a At>, i64)>) -> bool {
    match expr {
        Expr::Vector(selector) => shifts.push((selector.at.as_ref(), selector.offset.millis())),
        Expr::Matrix(matrix) => shifts.push((matrix.selector.at.as_ref(), matrix.selector.offset.millis())),
        _ => {
            let before = shifts.len();
            if let Expr::Subquery(subquery) = expr {
                shifts.push((subquery.at.as_ref(), subquery.offset.millis()));
            }
            let mut found = false;
            expr.for_each_child(&mut |child| found = found || first_selector(child, shifts));
            if !found {
                shifts.truncate(before);
            }
            return found;
        }
    }
    true
}

/// The most steps any part of an expression is evaluated at. Fails if these are more than there may be, which must be
/// known before anything is made of that size: a subquery's steps are its range by its step, whatever these are.
pub fn most_steps(times: &Times, expr: &Expr) -> Result<usize> {
    steps_within(times, times.query, expr)
}

fn steps_within(times: &Times, grid: Grid, expr: &Expr) -> Result<usize> {
    let grid = match expr {
        Expr::Subquery(subquery) => times.inner_grid(grid, subquery),
        _ => grid,
    };
    if grid.steps > MAX_STEPS {
        let message = format!("a subquery has at most {MAX_STEPS} steps");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let mut most = Ok(grid.steps);
    expr.for_each_child(&mut |child| {
        if let Ok(so_far) = most {
            most = steps_within(times, grid, child).map(|steps| steps.max(so_far));
        }
    });
    most
}

/// Every selector of an expression.
pub fn requests(times: &Times, expr: &Expr) -> Vec<Request> {
    let mut out = vec![];
    walk(times, times.query, expr, &mut out);
    out
}

fn walk(times: &Times, grid: Grid, expr: &Expr, out: &mut Vec<Request>) {
    match expr {
        Expr::Number { .. } | Expr::String { .. } => {}
        Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => walk(times, grid, inner, out),
        Expr::Binary(binary) => {
            walk(times, grid, &binary.left, out);
            walk(times, grid, &binary.right, out);
        }
        Expr::Aggregate(aggregate) => {
            walk(times, grid, &aggregate.inner, out);
            if let Some(param) = &aggregate.param {
                walk(times, grid, param, out);
            }
        }
        Expr::Call(call) if call.function.selects_labels => walk_info(times, grid, call, out),
        Expr::Call(call) => call.args.iter().for_each(|arg| walk(times, grid, arg, out)),
        Expr::Vector(selector) => {
            let range = times.vector_range(grid, selector);
            out.push(Request { span: selector.span, range, matchers: selector.matchers.clone() });
        }
        Expr::Matrix(matrix) => {
            let range = times.matrix_range(grid, &matrix.selector, matrix.range.millis());
            out.push(Request { span: matrix.span, range, matchers: matrix.selector.matchers.clone() });
        }
        Expr::Subquery(subquery) => walk(times, times.inner_grid(grid, subquery), &subquery.inner, out),
    }
}

/// `info` reads the info metrics its second argument selects, `target_info` by default.
fn walk_info(times: &Times, grid: Grid, call: &Call, out: &mut Vec<Request>) {
    walk(times, grid, &call.args[0], out);
    let selector = match call.args.get(1) {
        Some(Expr::Vector(selector)) => Some(selector),
        _ => None,
    };
    let matchers = info_matchers(selector.map(|s| s.as_ref()));
    let (start, step) = times.info_times(grid, call);
    let end = last_of(start, step, grid);
    let range = TimeRange::new(start.saturating_sub(times.lookback_ms).saturating_add(1), end);
    out.push(Request { span: call.span, range, matchers });
}

/// The matchers for info series.
pub fn info_matchers(selector: Option<&VectorSelector>) -> Vec<Matcher> {
    let mut matchers: Vec<Matcher> = selector.map_or(vec![], |s| s.matchers.clone());
    let named = |m: &&Matcher| m.name == METRIC_NAME;
    let selects = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regex);
    if !matchers.iter().any(|m| m.name == METRIC_NAME) {
        matchers.push(Matcher::metric("target_info"));
    } else if !matchers.iter().filter(named).any(selects) {
        // Names that are only excluded are excluded from all that look like info metrics.
        let pattern = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info");
        matchers.push(pattern.expect("the pattern is valid"));
    }
    matchers
}

/// The series of all selectors of a query together: each is remembered once for each selector, outside of the memory of
/// queries.
const MAX_SERIES: usize = 32 << 20;

/// Takes the snapshots.
pub async fn leaves(
    snapshots: &dyn Snapshots,
    requests: Vec<Request>,
    lookback_ms: i64,
    cancel: &Cancel,
) -> Result<HashMap<Span, Leaf>> {
    let mut leaves = HashMap::new();
    let mut series = 0;
    for request in requests {
        cancel.check().map_err(from_datafusion)?;
        let wider = request.wider(lookback_ms);
        let snapshot = Arc::new(snapshots.snapshot(wider, &request.matchers).await?);
        series += snapshot.series.len();
        if series > MAX_SERIES {
            let message = format!("the selectors of a query match at most {MAX_SERIES} series together");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let range = if scan::has_histograms(&snapshot) { wider } else { request.range };
        let leaf = Leaf {
            span: request.span,
            labels: columns_of(&snapshot),
            unique_unnamed: unique_unnamed(&snapshot, &request.matchers),
            snapshot,
            range,
            askers: None,
        };
        leaves.insert(request.span, leaf);
    }
    Ok(leaves)
}

/// Checked on the series themselves, and only where they may have different names.
fn unique_unnamed(snapshot: &Snapshot, matchers: &[Matcher]) -> bool {
    let fixed = matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
    let is_name = |name: &String| name == METRIC_NAME;
    if fixed && !snapshot.label_names.iter().any(|name| !is_name(name) && is_metadata_label(name)) {
        return true;
    }
    // Two label sets of one hash count as equal: then the result is checked where the names are dropped.
    let mut seen = HashSet::with_capacity(snapshot.series.len());
    snapshot.series.iter().all(|series| seen.insert(series.labels.hash_without(is_metadata_label)))
}

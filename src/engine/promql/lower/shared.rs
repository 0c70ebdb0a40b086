//! Sub-expressions that a query repeats: lowered and computed once, wherever they stand.
//!
//! What is spelled alike and evaluated at the same times is the same. The last occurrence is the one that is
//! lowered, as the position of its annotations is the one Prometheus keeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lowered::{Context, Lowered};
use super::resolve::{Leaf, Times};
use super::vector_alone;
use crate::engine::promql::kernel::functions::compute;
use crate::engine::promql::plan::layout::Grid;
use crate::engine::promql::plan::shared::SharedNode;
use crate::error::Result;
use crate::promql::ast::Expr;
use crate::promql::functions::Function;
use crate::promql::span::Span;
use crate::promql::value_type::ValueType;

/// Values of a vector that is not aggregated, beyond which it is cheaper to compute it again as a stream than to
/// hold it.
const MAX_VALUES: usize = 1 << 20;

/// The repeated sub-expressions of a query.
#[derive(Default)]
pub struct Repeated {
    /// Which group an occurrence belongs to.
    groups: HashMap<Span, usize>,
    /// The last occurrence of each.
    last: Vec<Expr>,
    lowered: Mutex<HashMap<Key, Lowered>>,
}

type Spelled<'a> = (&'a str, Grid);

/// A group, and what of the context decides what it is lowered to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    group: usize,
    grid: Grid,
    statistics: bool,
    unused: bool,
}

impl Repeated {
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// `leaves` say how large a vector is.
    pub fn of(query: &str, times: &Times, expr: &Expr, leaves: &HashMap<Span, Leaf>) -> Self {
        let finder = Finder { query, times, leaves };
        let mut counts = HashMap::new();
        finder.walk(times.query, expr, &mut |spelled, _| {
            *counts.entry(spelled).or_insert(0) += 1;
            true
        });
        // Only the largest repeated parts: what is repeated within them is computed once with them.
        let mut found: HashMap<Spelled<'_>, Vec<&Expr>> = HashMap::new();
        finder.walk(times.query, expr, &mut |spelled, expr| {
            let repeated = counts[&spelled] > 1;
            if repeated {
                found.entry(spelled).or_default().push(expr);
            }
            !repeated
        });
        let mut repeated = Self::default();
        let mut groups: Vec<Vec<&Expr>> = found.into_values().filter(|group| group.len() > 1).collect();
        // Numbered as they stand in the query, so that equal queries have equal plans.
        groups.sort_by_key(|occurrences| occurrences[0].span().start);
        for occurrences in groups {
            let group = repeated.last.len();
            repeated.groups.extend(occurrences.iter().map(|expr| (expr.span(), group)));
            repeated.last.extend(occurrences.into_iter().max_by_key(|expr| expr.span().start).cloned());
        }
        repeated
    }
}

struct Finder<'a> {
    query: &'a str,
    times: &'a Times,
    leaves: &'a HashMap<Span, Leaf>,
}

impl<'a> Finder<'a> {
    /// Calls `visit` with every part that may be shared, outer ones first; it says whether to go on inside.
    fn walk(&self, grid: Grid, expr: &'a Expr, visit: &mut impl FnMut(Spelled<'a>, &'a Expr) -> bool) {
        if let Some(text) = self.text(grid, expr)
            && !visit((text, grid), expr)
        {
            return;
        }
        match expr {
            Expr::Number { .. } | Expr::String { .. } | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => self.walk(grid, inner, visit),
            Expr::Binary(binary) => {
                self.walk(grid, &binary.left, visit);
                self.walk(grid, &binary.right, visit);
            }
            Expr::Aggregate(aggregate) => {
                self.walk(grid, &aggregate.inner, visit);
                aggregate.param.iter().for_each(|param| self.walk(grid, param, visit));
            }
            Expr::Call(call) => call.args.iter().for_each(|arg| self.walk(grid, arg, visit)),
            Expr::Subquery(subquery) => self.walk(self.times.inner_grid(grid, subquery), &subquery.inner, visit),
        }
    }

    /// The spelling of what may be shared: vectors with work in them that are not too large.
    fn text(&self, grid: Grid, expr: &'a Expr) -> Option<&'a str> {
        let candidate = matches!(expr, Expr::Aggregate(_) | Expr::Call(_) | Expr::Binary(_));
        if !candidate || expr.value_type() != ValueType::Vector || self.counts_occurrences(expr) {
            return None;
        }
        let series = self.series(expr);
        if series == 0 || series.saturating_mul(grid.steps) > MAX_VALUES {
            return None;
        }
        let span = expr.span();
        self.query.get(span.start..span.end)
    }

    /// Whether a call in the expression [does](crate::engine::promql::kernel::functions::Compute::counts_occurrences).
    fn counts_occurrences(&self, expr: &Expr) -> bool {
        let mut counted = false;
        each_call(expr, &mut |function| counted |= compute(function).counts_occurrences());
        counted
    }

    /// How many series are held at most; at least 1 where any are read.
    fn series(&self, expr: &Expr) -> usize {
        match expr {
            Expr::Number { .. } | Expr::String { .. } => 0,
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => self.series(inner),
            Expr::Binary(binary) => self.series(&binary.left) + self.series(&binary.right),
            // Groups are fewer than series, mostly by far.
            Expr::Aggregate(aggregate) => self.series(&aggregate.inner).min(1),
            Expr::Call(call) => call.args.iter().map(|arg| self.series(arg)).sum(),
            Expr::Vector(_) | Expr::Matrix(_) => {
                self.leaves.get(&expr.span()).map_or(0, |leaf| leaf.snapshot.series.len())
            }
            Expr::Subquery(subquery) => self.series(&subquery.inner),
        }
    }
}

fn each_call(expr: &Expr, visit: &mut impl FnMut(&Function)) {
    match expr {
        Expr::Number { .. } | Expr::String { .. } | Expr::Vector(_) | Expr::Matrix(_) => {}
        Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => each_call(inner, visit),
        Expr::Binary(binary) => {
            each_call(&binary.left, visit);
            each_call(&binary.right, visit);
        }
        Expr::Aggregate(aggregate) => {
            each_call(&aggregate.inner, visit);
            aggregate.param.iter().for_each(|param| each_call(param, visit));
        }
        Expr::Call(call) => {
            visit(call.function);
            call.args.iter().for_each(|arg| each_call(arg, visit));
        }
        Expr::Subquery(subquery) => each_call(&subquery.inner, visit),
    }
}

/// The vector, if the expression is one of several that are alike.
pub fn lower(cx: &Context<'_>, expr: &Expr) -> Result<Option<Lowered>> {
    let repeated = &cx.query.repeated;
    let Some(&group) = repeated.groups.get(&expr.span()) else { return Ok(None) };
    let key = Key { group, grid: cx.grid, statistics: cx.statistics, unused: cx.unused };
    if let Some(lowered) = repeated.lowered.lock().expect("no panic while the lock is held").get(&key) {
        return Ok(Some(lowered.clone()));
    }
    let lowered = vector_alone(cx, &repeated.last[group])?;
    let schema = Arc::clone(lowered.plan.schema());
    let shared = Lowered { plan: SharedNode::plan(group, lowered.plan, schema), ..lowered };
    repeated.lowered.lock().expect("no panic while the lock is held").insert(key, shared.clone());
    Ok(Some(shared))
}

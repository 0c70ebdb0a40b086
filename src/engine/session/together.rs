//! Small instant queries of one form in one run: see [`together`](crate::engine::together).
//!
//! Each is as small as one that is answered on the caller's thread by itself, and they run there as well. What does not fit
//! (it is not small, files have some of its samples) is not answered, and neither is what fails: who asks then asks for it
//! alone, and hears of its own error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    Engine, Grid, KeptQuery, Prepared, Resolved, SMALL_METRIC_SERIES, SMALL_SERIES, SMALL_WINDOW_MS, gather,
};
use crate::engine::door::Pass;
use crate::engine::error::from_datafusion;
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::lower::lowered::is_metadata_label;
use crate::engine::promql::lower::resolve::{self, Leaf, Request, Times};
use crate::engine::promql::lower::shared::Repeated;
use crate::engine::promql::result;
use crate::engine::query::Point;
use crate::engine::runtime;
use crate::engine::scan::Askers;
use crate::engine::stats::QueryStats;
use crate::engine::together::Form;
use crate::engine::usage::By;
use crate::error::Result;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::matcher::Matcher;
use crate::promql::ast::{Expr, VectorSelector};
use crate::promql::selectors;
use crate::storage::store::select::Side;
use crate::storage::types::Snapshot;
use crate::telemetry::spans;

/// Queries of one run at most, and the series of one selector of all of them.
const MOST_QUERIES: usize = 64;
const MOST_SERIES: usize = 1024;

/// Elements in the order of their labels.
type Vector = Vec<(Labels, Point)>;

/// Queries that fit into one run, by their places among those of their form.
struct Run {
    places: Vec<usize>,
    series: usize,
}

impl Engine {
    /// The form of an expression, by which it may be asked together with others.
    pub fn form(&self, expr: &Expr) -> Option<Arc<Form>> {
        self.forms.of(expr, SMALL_WINDOW_MS)
    }

    /// The vectors of several expressions, each with its form, at one time; `None` for those that are to be asked alone.
    pub async fn vectors(&self, at: i64, asked: &[(&Arc<Form>, &Expr)]) -> Vec<Option<Vector>> {
        let mut answers: Vec<Option<Vector>> = asked.iter().map(|_| None).collect();
        // The log tells of each query by itself.
        if asked.is_empty() || self.query_log().is_some() {
            return answers;
        }
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.sort_by_key(|place| Arc::as_ptr(asked[*place].0) as usize);
        let (limits, answered) = (self.limits(None), &mut answers);
        let whole = |pass: Pass| {
            runtime::here(async move {
                for alike in order.chunk_by(|a, b| Arc::ptr_eq(asked[*a].0, asked[*b].0)) {
                    let exprs: Vec<&Expr> = alike.iter().map(|place| asked[*place].1).collect();
                    let vectors = self.vectors_alike(at, asked[alike[0]].0, &exprs, pass.queued).await;
                    for (place, vector) in alike.iter().zip(vectors) {
                        answered[*place] = vector;
                    }
                }
                Ok(())
            })
        };
        // Those that were not answered until then are asked alone.
        let _ = self.door.run(&limits, whole).await;
        answers
    }

    /// Of expressions of one form.
    async fn vectors_alike(&self, at: i64, form: &Form, exprs: &[&Expr], queued: Duration) -> Vec<Option<Vector>> {
        let mut answers: Vec<Option<Vector>> = exprs.iter().map(|_| None).collect();
        let times = Times {
            query: Grid::new(at, 1, 1),
            lookback_ms: self.options.lookback_delta_ms,
            default_subquery_step_ms: 1,
        };
        let requests = resolve::requests(&times, &form.tree);
        if let Some(usage) = self.visible.usage() {
            exprs.iter().for_each(|expr| usage.promql(By::Rule, expr));
        }
        let Ok(mut sides) = self.sides(&requests, exprs, times.lookback_ms).await else { return answers };
        for run in self.runs(&sides, exprs) {
            let leaves = requests
                .iter()
                .zip(&mut sides)
                .map(|(request, side)| (request.span, leaf(request, times.lookback_ms, side, &run.places)));
            let resolved = Resolved {
                expr: Arc::clone(&form.tree),
                times,
                features: self.options.features.clone(),
                leaves: Arc::new(leaves.collect()),
                repeated: Repeated::default(),
                most_steps: 1,
                counted: false,
            };
            let Ok(vectors) = self.run_together(resolved, run.places.len(), queued).await else { continue };
            for (place, vector) in run.places.iter().zip(vectors) {
                answers[*place] = Some(vector);
            }
        }
        answers
    }

    /// What each selector of the form finds for each expression.
    async fn sides(&self, requests: &[Request], exprs: &[&Expr], lookback_ms: i64) -> Result<Vec<Side>> {
        let selectors: Vec<Vec<&VectorSelector>> = exprs.iter().map(|expr| selectors_of(expr)).collect();
        let mut sides = Vec::with_capacity(requests.len());
        for (number, request) in requests.iter().enumerate() {
            let sets: Vec<&[Matcher]> =
                selectors.iter().map(|selectors| selectors[number].matchers.as_slice()).collect();
            sides.push(self.visible.select_side_by_side(request.wider(lookback_ms), &sets).await?);
        }
        Ok(sides)
    }

    /// Puts together what has the same labels, and leaves out what does not fit.
    fn runs(&self, sides: &[Side], exprs: &[&Expr]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for place in (0..exprs.len()).filter(|place| self.is_small_in(sides, *place, exprs[*place])) {
            let series = sides.iter().map(|side| side.selected[place].series.len()).max().unwrap_or(0);
            let fits = |run: &&mut Run| {
                let first = run.places[0];
                run.places.len() < MOST_QUERIES
                    && run.series + series <= MOST_SERIES
                    && sides.iter().all(|s| s.selected[first].label_names == s.selected[place].label_names)
            };
            match runs.iter_mut().find(fits) {
                Some(run) => {
                    run.places.push(place);
                    run.series += series;
                }
                None => runs.push(Run { places: vec![place], series }),
            }
        }
        runs
    }

    /// As of a query that is answered by itself.
    fn is_small_in(&self, sides: &[Side], place: usize, expr: &Expr) -> bool {
        let selected = || sides.iter().map(|side| &side.selected[place]);
        let companions = |name: &String| name != METRIC_NAME && is_metadata_label(name);
        let metrics = selectors_of(expr).into_iter().filter_map(selectors::metric);
        selected().map(|selected| selected.series.len()).sum::<usize>() <= SMALL_SERIES
            && selected().all(|selected| !selected.in_files && !selected.label_names.iter().any(companions))
            && metrics.map(|metric| self.visible.metric_len(metric)).all(|series| series <= SMALL_METRIC_SERIES)
    }

    async fn run_together(&self, resolved: Resolved, count: usize, queued: Duration) -> Result<Vec<Vector>> {
        let started = Instant::now();
        // Not the flag of all of them: a plan is kept with it, and they may be given up when this one is done.
        let preparing = spans::span("promqlPrepare").around(self.ready(resolved, Cancel::default())).await?;
        let Prepared { planned, physical: Some(physical), kept } = preparing else { return Ok(vec![]) };
        let prepare = started.elapsed();
        let run = async {
            planned.tally.check()?;
            let (batches, work) = gather(&planned, physical).await?;
            result::by_asker(&batches, count, &work)
        };
        let vectors = spans::span("promqlEval").around(run).await.map_err(from_datafusion)?;
        let share = |time: Duration| time / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let (prepare, execute) = (share(prepare), share(started.elapsed().saturating_sub(prepare)));
        let stats = QueryStats { queue: queued, prepare, execute, ..QueryStats::default() };
        for _ in 0..count {
            self.times.queue.observe(queued.as_secs_f64());
            self.times.answered(&stats);
        }
        if let Some((key, kept)) = kept {
            self.kept.put(key, KeptQuery { planned, kept });
        }
        Ok(vectors)
    }
}

fn selectors_of(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    selectors::for_each(expr, &mut |selector| found.push(selector));
    found
}

/// The series of some places in one snapshot. They are taken out, as each is in one run.
fn leaf(request: &Request, lookback_ms: i64, side: &mut Side, places: &[usize]) -> Leaf {
    let label_names = std::mem::take(&mut side.selected[places[0]].label_names).into();
    let (mut series, mut ends) = (Vec::new(), Vec::with_capacity(places.len()));
    for place in places {
        series.append(&mut side.selected[*place].series);
        ends.push(series.len());
    }
    let (memory, objects) = (side.memory.clone(), Arc::clone(&side.objects));
    let snapshot = Snapshot { series: series.into(), label_names, memory, files: vec![], objects };
    Leaf::of_askers(request, lookback_ms, snapshot, Askers::of_ends(ends))
}

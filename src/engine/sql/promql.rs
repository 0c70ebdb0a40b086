//! The table function `promql`.
//!
//! Its text is planned while the statement is planned, which tells the label columns, and the plan is handed to
//! DataFusion as that of a view: `EXPLAIN` shows one plan, and projections and filters go through. A row of the
//! vector layout is a series; on top of it, `unnest` makes a row per sample.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Column, UnnestOptions, internal_datafusion_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use futures::future::BoxFuture;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::columns::label_of;
use crate::engine::door::canceled;
use crate::engine::promql::annotations::{Annotations, Saved};
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::tally::Tally;
use crate::engine::query::{EvalTime, QueryRequest};
use crate::engine::scan::table::timestamp_type;
use crate::engine::scan::table::{HISTOGRAM, HISTOGRAMS, START_TIMESTAMPS, TIMESTAMP, TIMESTAMPS, VALUE, VALUES};
use crate::engine::sql::arguments;
use crate::engine::sql::catalog::external;
use crate::engine::sql::functions::{histogram_json, prom_steps};
use crate::engine::sql::samples::column_names;
use crate::engine::sql::wait::wait;

/// A planned query: rows are series in the vector layout, either raw samples (with `__timestamps__`) or one value
/// per step of `time`.
#[derive(Clone, Debug)]
pub struct PlannedVector {
    pub plan: LogicalPlan,
    pub time: EvalTime,
    pub run: StatementPromql,
}

/// What a `promql()` shares with whoever runs its statement, which may be more than once.
#[derive(Clone, Debug, Default)]
pub struct StatementPromql {
    query: String,
    annotations: Annotations,
    /// What was known before anything ran.
    planned: Saved,
    cancel: Cancel,
    tally: Arc<Tally>,
}

impl StatementPromql {
    /// Of a query that is planned and has not run yet.
    pub fn new(query: String, annotations: Annotations, cancel: Cancel, tally: Arc<Tally>) -> Self {
        let planned = annotations.saved();
        Self { query, annotations, planned, cancel, tally }
    }

    /// Before each run: forgets the last one.
    pub fn begin(&self) {
        self.annotations.restore(&self.planned);
        self.tally.reset();
        self.cancel.lower();
    }

    /// `(warnings, infos)` of the run so far.
    pub fn annotations(&self) -> (Vec<String>, Vec<String>) {
        self.annotations.render(&self.query)
    }

    /// What ends its run.
    pub fn flag(&self) -> &Cancel {
        &self.cancel
    }
}

/// Every `promql()` of a statement: an extension of the configuration it is planned with, since a table function
/// has nothing else of its statement.
#[derive(Debug)]
pub struct StatementRuns {
    planned: Mutex<Vec<StatementPromql>>,
    /// One for all of them: they end together.
    flag: Cancel,
    /// Nobody waits for the plan any more.
    given_up: CancellationToken,
}

impl StatementRuns {
    pub fn new(flag: Cancel) -> Self {
        Self { planned: Mutex::default(), flag, given_up: CancellationToken::new() }
    }

    /// Ends what the planning of the statement waits for, when it is dropped.
    pub fn given_up(&self) -> DropGuard {
        self.given_up.clone().drop_guard()
    }

    pub fn take(&self) -> Vec<StatementPromql> {
        std::mem::take(&mut self.planned.lock().expect("no panic while the lock is held"))
    }
}

/// Parses and plans PromQL; from the engine.
pub type PlanPromql =
    Arc<dyn Fn(QueryRequest, Cancel) -> BoxFuture<'static, crate::error::Result<PlannedVector>> + Send + Sync>;

/// Steps of one query at most, as in Prometheus' range queries.
const MAX_STEPS: i64 = 11_000;

pub struct PromqlFunction {
    plan: PlanPromql,
}

impl PromqlFunction {
    pub fn new(plan: PlanPromql) -> Self {
        Self { plan }
    }
}

impl std::fmt::Debug for PromqlFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PromqlFunction")
    }
}

impl TableFunctionImpl for PromqlFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let request = request(args.exprs(), args.session())?;
        let text = request.query.clone();
        let planned = match args.session().config().get_extension::<StatementRuns>() {
            Some(runs) => self.plan_for(&runs, request)?,
            None => wait(async { (self.plan)(request, Cancel::default()).await.map_err(external) })?,
        };
        let plan = to_rows(planned.plan, steps(planned.time)?)?;
        Ok(Arc::new(ViewTable::new(plan, Some(text))))
    }
}

impl PromqlFunction {
    /// Planning may wait for the lake; it ends when the statement does.
    fn plan_for(&self, runs: &StatementRuns, request: QueryRequest) -> Result<PlannedVector> {
        let planned = wait(async {
            tokio::select! {
                planned = (self.plan)(request, runs.flag.clone()) => planned.map_err(external),
                () = runs.given_up.cancelled() => Err(external(canceled())),
            }
        })?;
        runs.planned.lock().expect("no panic while the lock is held").push(planned.run.clone());
        Ok(planned)
    }
}

fn request(args: &[Expr], session: &dyn Session) -> Result<QueryRequest> {
    let fold = |name: &str, expr: &Expr| arguments::fold(&format!("promql(): {name}"), expr, session);
    let time = |name: &str, expr: &Expr| arguments::time_ms(name, &fold(name, expr)?);
    let (query, time) = match args {
        [query] => {
            let now = session.execution_props().query_execution_start_time;
            let now = now.ok_or_else(|| internal_datafusion_err!("promql(): the statement has no start time"))?;
            (query, EvalTime::Instant { at: now.timestamp_millis() })
        }
        [query, at] => (query, EvalTime::Instant { at: time("at", at)? }),
        [query, start, end, step] => {
            let step = arguments::duration_ms("step", &fold("step", step)?)?;
            (query, EvalTime::Range { start: time("start", start)?, end_inclusive: time("end", end)?, step })
        }
        _ => return plan_err!("promql() takes (query), (query, at) or (query, start, end, step)"),
    };
    if let EvalTime::Range { start, end_inclusive, step } = time {
        check_range(start, end_inclusive, step)?;
    }
    let query = arguments::text("query", &fold("query", query)?)?;
    Ok(QueryRequest::new(query, time))
}

fn check_range(start: i64, end_inclusive: i64, step: i64) -> Result<()> {
    if step <= 0 {
        return plan_err!("promql(): step must be positive");
    }
    if end_inclusive < start {
        return plan_err!("promql(): end must not be before start");
    }
    if end_inclusive.saturating_sub(start) / step > MAX_STEPS {
        return plan_err!("promql(): more than {MAX_STEPS} steps; take a longer step or a shorter range");
    }
    Ok(())
}

/// The timestamps of the steps, as a list.
fn steps(time: EvalTime) -> Result<Expr> {
    let (start, end_inclusive, step) = match time {
        EvalTime::Instant { at } => (at, at, 1),
        EvalTime::Range { start, end_inclusive, step } => (start, end_inclusive, step),
    };
    check_range(start, end_inclusive, step)?;
    Ok(prom_steps().call(vec![lit(start), lit(end_inclusive), lit(step)]))
}

/// Labels, `timestamp`, `value`, and `histogram` where the vector has any: a row per sample.
fn to_rows(plan: LogicalPlan, steps: Expr) -> Result<LogicalPlan> {
    let names: Vec<String> = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    let data = [TIMESTAMPS, VALUES, HISTOGRAMS, START_TIMESTAMPS];
    let has = |name: &str| names.iter().any(|n| n == name);
    let histograms = has(HISTOGRAMS);
    let labels: Vec<String> = names.iter().filter(|n| !data.contains(&n.as_str())).cloned().collect();
    let label_names: Vec<String> = labels.iter().map(|column| label_of(column).to_string()).collect();
    let label_columns = column_names(&label_names, &[TIMESTAMP, VALUE, HISTOGRAM]);
    check_unique(&label_columns)?;

    let timestamps = match has(TIMESTAMPS) {
        true => ident(TIMESTAMPS),
        false => steps,
    };
    let label = |(label, column): (&String, &String)| ident(label).alias(column);
    let mut columns: Vec<Expr> = labels.iter().zip(&label_columns).map(label).collect();
    columns.extend([timestamps.alias(TIMESTAMP), ident(VALUES).alias(VALUE)]);
    let mut lists = vec![Column::from_name(TIMESTAMP), Column::from_name(VALUE)];
    let mut present = ident(VALUE).is_not_null();
    if histograms {
        columns.push(ident(HISTOGRAMS).alias(HISTOGRAM));
        lists.push(Column::from_name(HISTOGRAM));
        present = present.or(ident(HISTOGRAM).is_not_null());
    }

    let mut output: Vec<Expr> = label_columns.iter().map(ident).collect();
    output.push(cast(ident(TIMESTAMP), timestamp_type()).alias(TIMESTAMP));
    output.push(ident(VALUE));
    if histograms {
        output.push(histogram_json().call(vec![ident(HISTOGRAM)]).alias(HISTOGRAM));
    }
    let options = UnnestOptions::new().with_preserve_nulls(false);
    LogicalPlanBuilder::from(plan)
        .project(columns)?
        .unnest_columns_with_options(lists, options)?
        .filter(present)?
        .project(output)?
        .build()
}

/// PromQL may make labels that differ in nothing SQL could tell apart.
fn check_unique(columns: &[String]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match columns.iter().find(|column| !seen.insert(*column)) {
        Some(column) => plan_err!("promql(): two labels would be named {column}"),
        None => Ok(()),
    }
}

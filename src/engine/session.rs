//! The engine's door: one `Engine` for the process, queries in, results out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser as sql_parser;
use datafusion::sql::sqlparser::ast::Statement;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::config::web::roles::{Grant, Role};
use crate::engine::active::ActiveQueries;
use crate::engine::door::{Answer, Door, Limits, Load, Memory, Pass};
use crate::engine::error::from_datafusion;
use crate::engine::kept::key::Key;
use crate::engine::kept::{self, KeptPlans};
use crate::engine::promql::annotations::{Annotations, Saved};
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::lower::lowered::{Context, Order, Query, Scalar, Value};
use crate::engine::promql::lower::resolve::{self, Leaf, Times};
use crate::engine::promql::lower::shared::Repeated;
use crate::engine::promql::moment::Moment;
use crate::engine::promql::plan::functions::windows::{Input, Shape};
use crate::engine::promql::plan::layout::{Grid, MAX_STEPS, rows_per_batch};
use crate::engine::promql::plan::work::{Work, rows_bytes};
use crate::engine::promql::tally::{Counted, Tally};
use crate::engine::promql::{lower, result, small};
pub use crate::engine::query::{
    EngineOptions, EvalTime, Features, Point, QueryRequest, QueryResponse, QueryValue, ResultSeries, Snapshots,
};
use crate::engine::query_log::{Entry, QueryLog};
use crate::engine::recent::{Question, Recent, Ticket};
use crate::engine::runtime::{self, QueryRuntime, Size};
use crate::engine::scan::ScanOptions;
use crate::engine::sql;
use crate::engine::sql::external::ListExternal;
use crate::engine::sql::promql::{PlannedVector, StatementPromql, StatementRuns};
use crate::engine::sql::system::SystemTables;
use crate::engine::stats::QueryStats;
use crate::engine::times::QueryTimes;
use crate::engine::together::Forms;
use crate::engine::usage::By;
use crate::engine::usage::Usage;
use crate::engine::visible::Visible;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::promql::ast::Expr;
use crate::promql::duration_expressions;
use crate::promql::parse;
use crate::promql::span::Span;
use crate::promql::value_type::ValueType;
use crate::storage::store::Store;
use crate::telemetry::spans;

/// Several small queries in one run.
mod together;

/// What a query may be at most to be answered on the thread it arrives on: its text, the series of a metric that are
/// looked through, those that are read, and the range of samples a function is applied to.
const SMALL_TEXT_BYTES: usize = 512;
const SMALL_METRIC_SERIES: usize = 4096;
const SMALL_SERIES: usize = 256;
const SMALL_WINDOW_MS: i64 = 3_600_000;
/// The same of a range query, which has many windows; and its range and steps.
const SMALL_PANEL_SERIES: usize = 4;
const SMALL_PANEL_WINDOW_MS: i64 = 300_000;
const SMALL_PANEL_MS: i64 = 6 * 3_600_000;
const SMALL_PANEL_STEPS: i64 = 1_000;
/// Steps of all selectors together whose samples are counted for `stats` and the log of queries.
const MAX_COUNTED_STEPS: usize = 2 << 20;

/// A planned PromQL query.
#[derive(Clone)]
pub struct PlannedQuery {
    /// Vectors and scalars in the vector layout; raw samples of a range vector as lists; `None` for a string
    /// or a constant.
    pub plan: Option<LogicalPlan>,
    pub labels: Vec<String>,
    pub grid: Grid,
    pub kind: PlannedKind,
    pub annotations: Annotations,
    /// How many series its selectors match.
    series: usize,
    /// How many steps any part of it has.
    most_steps: usize,
    cancel: Cancel,
    tally: Arc<Tally>,
    moment: Moment,
}

/// An execution plan, and the context to run it in.
struct Physical {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// A query that is ready to run.
struct Prepared {
    planned: PlannedQuery,
    /// `None` for a constant, and for what is to be planned by the threads that run it.
    physical: Option<Physical>,
    kept: Option<(Key, Kept)>,
}

/// What is kept of a query to run it again, beside what was planned.
struct Kept {
    /// Without series.
    physical: Physical,
    /// What planning said of it.
    said: Saved,
    /// The time that it was planned for.
    start: i64,
}

/// A query between two runs.
struct KeptQuery {
    /// Without the logical plan. Its flag was that of the first run; a run on the thread of whoever waits for it ends with
    /// the wait.
    planned: PlannedQuery,
    kept: Kept,
}

impl Prepared {
    /// Nothing is to be planned any more.
    fn is_ready(&self) -> bool {
        self.physical.is_some() || self.planned.plan.is_none()
    }
}

impl KeptQuery {
    /// For the series and the time of another run. `None` where they do not fit.
    fn prepared(self, key: Key, resolved: &Resolved) -> Result<Option<Prepared>> {
        let Self { mut planned, kept } = self;
        let bound = kept::bound(&kept.physical.plan, &resolved.leaves).map_err(from_datafusion)?;
        let Some(plan) = bound else { return Ok(None) };
        planned.grid = resolved.times.query;
        planned.annotations.restore(&kept.said);
        planned.tally.reset();
        planned.moment.set(planned.grid.start.saturating_sub(kept.start));
        let physical = Physical { plan, context: Arc::clone(&kept.physical.context) };
        Ok(Some(Prepared { planned, physical: Some(physical), kept: Some((key, kept)) }))
    }
}

impl PlannedQuery {
    fn size(&self, alone: bool) -> Size {
        Size { steps: self.most_steps, series: self.series, alone }
    }

    /// The plan as a table of series; a constant becomes one series without labels.
    fn into_vector(self, request: &QueryRequest) -> Result<PlannedVector> {
        let plan = match (self.plan, &self.kind) {
            (Some(plan), _) => plan,
            (None, PlannedKind::Constant(value)) => lower::constant_vector(*value, self.grid.steps)?.plan,
            (None, _) => return Err(Error::bad_input("promql(): a string is not a table")),
        };
        let run = StatementPromql::new(request.query.clone(), self.annotations, self.cancel, self.tally);
        Ok(PlannedVector { plan, time: request.time, run })
    }
}

/// What the rows of a plan are.
#[derive(Clone, Debug)]
pub enum PlannedKind {
    Constant(f64),
    /// One row, a value for each step.
    Scalar,
    String(String),
    Vector(Option<Order>),
    /// Samples of a range vector: where they are, and the window they belong to.
    Ranges(Input, Shape, Counted),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// What it shows of the store.
    visible: Visible,
    pub options: Arc<EngineOptions>,
    /// Tables of the application in schema `promlake`.
    pub system: Arc<SystemTables>,
    runtime: Arc<QueryRuntime>,
    door: Arc<Door>,
    active: Option<ActiveQueries>,
    log: Option<Arc<QueryLog>>,
    recent: Option<Arc<Recent>>,
    /// Files that SQL reads as tables, and which of them who asks may read.
    external: (ListExternal, Option<Arc<[String]>>),
    /// Of an answer.
    max_rows: Option<u64>,
    /// Who asks, where there are roles, and whether he sees what others ask.
    user: Option<Arc<str>>,
    sees_others: bool,
    times: Arc<QueryTimes>,
    kept: Arc<KeptPlans<KeptQuery>>,
    forms: Forms,
}

impl Engine {
    pub fn new(store: Arc<Store>, options: EngineOptions) -> Result<Self> {
        let runtime = Arc::new(QueryRuntime::new(&options)?);
        let (system, times, door) = (Arc::default(), Arc::default(), runtime.door(options.max_concurrency));
        let (options, kept, forms) = (Arc::new(options), Arc::default(), Forms::default());
        let (active, log, recent, visible) = (None, None, None, Visible::all(store));
        let (max_rows, user, sees_others) = (None, None, true);
        Ok(Self {
            visible,
            options,
            system,
            runtime,
            door,
            active,
            log,
            recent,
            external: (Arc::new(Vec::new), None),
            max_rows,
            user,
            sees_others,
            times,
            kept,
            forms,
        })
    }

    /// The same engine for one who has a role, within its limits.
    pub fn within(&self, user: &str, grant: &Grant) -> Self {
        let allowed = &grant.allowed;
        let mut engine = self.clone();
        engine.user = Some(Arc::from(user));
        engine.sees_others = grant.role == Role::Admin;
        if let Some(most) = allowed.statement_timeout {
            let timeout = self.options.timeout.min(most);
            engine.options = Arc::new(EngineOptions { timeout, ..EngineOptions::clone(&self.options) });
        }
        if let Some(bytes) = allowed.memory {
            engine.door = Arc::new(self.door.with_share(usize::try_from(bytes).unwrap_or(usize::MAX)));
        }
        engine.max_rows = allowed.max_rows;
        engine.external.1 = allowed.external_tables.clone();
        engine.visible = self.visible.only(allowed.metrics.clone());
        engine
    }

    /// What it shows of the store.
    pub fn visible(&self) -> &Visible {
        &self.visible
    }

    /// Everything that is stored, whatever the engine shows of it: for those who write.
    pub fn store(&self) -> &Arc<Store> {
        self.visible.whole()
    }

    /// How many rows an answer may have.
    pub fn max_rows(&self) -> Option<u64> {
        self.max_rows
    }

    /// # Errors
    /// `Limit` for an answer of more rows than the role of who asks may have.
    pub fn check_rows(&self, rows: usize) -> Result<()> {
        check_rows(self.max_rows, rows)
    }

    /// The same engine through a door of its own: so many queries at once, whoever waits at the other ones. Threads and
    /// memory are shared.
    pub fn with_own_slots(&self, slots: usize) -> Self {
        Self { door: self.runtime.door(slots), ..self.clone() }
    }

    /// Keeps PromQL queries in a file while they run, but for small ones.
    pub fn with_active_queries(self, active: ActiveQueries) -> Self {
        Self { active: Some(active), ..self }
    }

    /// Tells this log of PromQL queries, whenever it is on.
    pub fn with_query_log(self, log: Arc<QueryLog>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Keeps what clients ask.
    pub fn with_recent(self, recent: Arc<Recent>) -> Self {
        Self { recent: Some(recent), ..self }
    }

    /// With files that SQL reads as tables.
    pub fn with_external(self, tables: ListExternal) -> Self {
        Self { external: (tables, None), ..self }
    }

    /// Tells what is asked for.
    pub fn with_usage(self, usage: Arc<Usage>) -> Self {
        Self { visible: self.visible.with_usage(usage), ..self }
    }

    /// Tells that a client asks, where that is kept.
    pub fn asks(&self, question: impl FnOnce() -> Option<Question>) -> Option<Ticket> {
        let recent = self.recent.as_ref()?;
        Some(recent.begin(question()?))
    }

    /// The log of queries, while it is on.
    pub fn query_log(&self) -> Option<&Arc<QueryLog>> {
        self.log.as_ref().filter(|log| log.is_on())
    }

    /// Parses, plans and runs one PromQL query, and turns the response into what the caller wants of it where the query
    /// ran. Dropping the future cancels it.
    pub async fn promql<T: Send + 'static>(
        &self,
        request: QueryRequest,
        render: impl FnOnce(QueryResponse) -> T + Send + 'static,
    ) -> Result<T> {
        let ticket = self.asks(|| request.question(self.user.as_deref()));
        let answer = match self.query_log() {
            Some(log) => {
                let entry = log.begin(request.asked());
                Box::pin(self.logged(request, entry, render)).await
            }
            None => {
                let limits = self.limits(request.timeout);
                self.door.run(&limits, |pass| self.answer(request, pass, render)).await
            }
        };
        if let Some(ticket) = ticket {
            ticket.finish(answer.as_ref().map(|_| ()));
        }
        answer
    }

    /// The same, told to the log. Its samples are counted for it, whether the client wants to know or not.
    async fn logged<T: Send + 'static>(
        &self,
        request: QueryRequest,
        entry: Entry,
        render: impl FnOnce(QueryResponse) -> T + Send + 'static,
    ) -> Result<T> {
        let request = QueryRequest { stats: true, ..request };
        let limits = self.limits(request.timeout);
        let rendered = |response: QueryResponse| {
            let stats = response.stats.clone();
            (stats, render(response))
        };
        let answer = self.door.run(&limits, |pass| self.answer(request, pass, rendered)).await;
        entry.finish(answer.as_ref().map(|(stats, _)| stats));
        answer.map(|(_, answer)| answer)
    }

    /// Answers small queries on the caller's thread: to hand them to another would take as long. All others go to the
    /// query threads, at once or when their series are known.
    async fn answer<T: Send + 'static>(
        &self,
        request: QueryRequest,
        pass: Pass,
        render: impl FnOnce(QueryResponse) -> T + Send + 'static,
    ) -> Result<T> {
        let cancel = pass.flag.clone();
        let (visible, options, runtime) = (self.visible.clone(), self.options.clone(), self.runtime.clone());
        let max_rows = self.max_rows;
        let started = Instant::now();
        let times = self.times.clone();
        times.queue.observe(pass.queued.as_secs_f64());
        let keep = Arc::clone(&self.kept);
        let complete = async move |prepared: Prepared, request: QueryRequest| {
            // Its slot stays with the work, which may outlive the wait for it by a moment. A closure would take along only
            // the field that is read.
            let pass = pass;
            let Prepared { planned, physical, kept } = prepared;
            // What the result takes is held until it is rendered.
            let work = finish(&runtime, &request, &planned, physical, started, Some(&pass));
            let (mut response, _held) = spans::span("promqlEval").around(work).await?;
            check_rows(max_rows, response.value.rows())?;
            response.stats.queue = pass.queued;
            times.answered(&response.stats);
            let answer = render(response);
            if let Some((key, kept)) = kept {
                keep.put(key, KeptQuery { planned, kept });
            }
            Ok(answer)
        };
        // Not of small queries: to write that one runs takes a good part of the time it runs.
        let active = self.active.clone();
        let shown = move |request: &QueryRequest| active.and_then(|active| active.insert(&request.query));
        let is_short = is_short(request.time) && request.query.len() <= SMALL_TEXT_BYTES;
        let parsed = if is_short { Some(parse(&options, &request)?) } else { None };
        if let Some(expr) = &parsed {
            tell_usage(&visible, &request, expr);
        }
        let Some(expr) = parsed.filter(|expr| self.is_small(expr, request.time)) else {
            let work = async move {
                let _active = shown(&request);
                let expr = parse(&options, &request)?;
                if !is_short {
                    tell_usage(&visible, &request, &expr);
                }
                let request = QueryRequest { parsed: Some(expr), ..request };
                let planned =
                    spans::span("promqlPrepare").around(plan(&visible, &options, &request, cancel)).await?;
                complete(Prepared { planned, physical: None, kept: None }, request).await
            };
            return self.runtime.spawn(work).await;
        };
        let preparing = runtime::here(self.prepare(&request, expr, cancel));
        let prepared = spans::span("promqlPrepare").around(preparing).await?;
        if prepared.is_ready() {
            return runtime::here(complete(prepared, request)).await;
        }
        let work = async move {
            let _active = shown(&request);
            complete(prepared, request).await
        };
        self.runtime.spawn(work).await
    }

    /// What may be a small query, ready to run on the caller's thread if it is one: by the plan of an earlier run, or by
    /// one of its own that may be kept.
    async fn prepare(&self, request: &QueryRequest, expr: Arc<Expr>, cancel: Cancel) -> Result<Prepared> {
        let resolved = resolve_query(&self.visible, &self.options, request, expr, &cancel).await?;
        if resolved.is_small() {
            return self.ready(resolved, cancel).await;
        }
        let planned = lower_query(&self.options, resolved, cancel)?;
        Ok(Prepared { planned, physical: None, kept: None })
    }

    /// A small query, ready to run.
    async fn ready(&self, resolved: Resolved, cancel: Cancel) -> Result<Prepared> {
        let key = resolved.key();
        let earlier = key.as_ref().and_then(|key| Some((key.clone(), self.kept.take(key)?)));
        if let Some((key, earlier)) = earlier
            && let Some(prepared) = earlier.prepared(key, &resolved)?
        {
            self.times.by_a_kept_plan();
            return Ok(prepared);
        }
        let leaves = Arc::clone(&resolved.leaves);
        let mut planned = lower_query(&self.options, resolved, cancel)?;
        let Some(logical) = &planned.plan else { return Ok(Prepared { planned, physical: None, kept: None }) };
        let said = planned.annotations.saved();
        let physical = physical(&self.runtime, logical, planned.size(true)).await?;
        let mut kept = None;
        if let Some(key) = key
            && let Some(plan) = kept::emptied(&physical.plan, &leaves).map_err(from_datafusion)?
        {
            let physical = Physical { plan, context: Arc::clone(&physical.context) };
            kept = Some((key, Kept { physical, said, start: planned.grid.start }));
            planned.plan = None;
        }
        Ok(Prepared { planned, physical: Some(physical), kept })
    }

    /// Whether a query may be planned on the caller's thread.
    fn is_small(&self, expr: &Expr, time: EvalTime) -> bool {
        let is_small = |metric: &&str| self.visible.metric_len(metric) <= SMALL_METRIC_SERIES;
        let most_ms = match time {
            EvalTime::Instant { .. } => SMALL_WINDOW_MS,
            EvalTime::Range { .. } => SMALL_PANEL_WINDOW_MS,
        };
        small::metrics(expr, most_ms).is_some_and(|metrics| metrics.iter().all(is_small))
    }

    /// Parses and plans PromQL without running it.
    pub async fn plan_promql(&self, request: &QueryRequest) -> Result<PlannedQuery> {
        plan(&self.visible, &self.options, request, Cancel::default()).await
    }

    /// The physical plan of a PromQL query as [`Engine::promql`] runs it, as text; empty for a constant.
    pub async fn explain_promql(&self, request: QueryRequest) -> Result<String> {
        let planned = self.plan_promql(&request).await?;
        let Some(logical) = &planned.plan else { return Ok(String::new()) };
        let physical = physical(&self.runtime, logical, planned.size(false)).await?;
        Ok(displayable(physical.plan.as_ref()).indent(false).to_string())
    }

    /// A DataFusion session of one SQL client: shared catalog, runtime and functions, its own settings.
    pub fn sql_context(&self) -> SessionContext {
        let (engine, lake) = (self.clone(), Arc::clone(self.store()));
        let promql = move |request: QueryRequest, flag: Cancel| -> BoxFuture<'static, Result<PlannedVector>> {
            let engine = engine.clone();
            Box::pin(async move {
                let parsed = parse(&engine.options, &request)?;
                tell_usage(&engine.visible, &request, &parsed);
                let request = QueryRequest { parsed: Some(parsed), ..request };
                plan(&engine.visible, &engine.options, &request, flag).await?.into_vector(&request)
            })
        };
        sql::context::build(sql::context::Parts {
            visible: self.visible.clone(),
            state: self.runtime.sql_state(),
            promql: Arc::new(promql),
            files: Arc::new(move || lake.lake().files().samples.clone()),
            system: self.system.clone(),
            external: self.external.clone(),
            reader: self.user.clone().filter(|_| !self.sees_others),
        })
    }

    /// Plans one SQL statement on the query threads and refuses a plan that does more than read. With the plan
    /// comes what the PromQL in it shares with whoever runs it. DataFusion's planning looks at no flag, so a
    /// planning that was given up goes on to its end, and keeps its slot until then.
    pub async fn plan_sql(
        &self,
        context: &SessionContext,
        mut statement: Statement,
        limits: &Limits,
    ) -> Result<(LogicalPlan, Vec<StatementPromql>), DataFusionError> {
        let mut state = context.state();
        let runs = Arc::new(StatementRuns::new(limits.flag.clone()));
        let _ended = runs.given_up();
        state.config_mut().set_extension(Arc::clone(&runs));
        sql::zone::begin(&mut state);
        sql::syntax::apply(&mut statement)?;
        let has_gaps = sql::gapfill::arguments::apply(&mut statement)?;
        let statement = sql_parser::Statement::Statement(Box::new(statement));
        let now = sql::datetime::read::Now::of(&state);
        let planning = |pass: Pass| async move {
            let _pass = pass;
            let mut plan = state.statement_to_plan(statement).await?;
            if has_gaps {
                plan = sql::gapfill::rewrite::apply(plan)?;
            }
            let plan = sql::widths::apply(plan)?;
            let plan = sql::subqueries::flatten(plan)?;
            let plan = sql::coerce::apply(plan, now)?;
            sql::verify::verify(&plan).map_err(|refused| DataFusionError::External(Box::new(refused)))?;
            Ok::<_, DataFusionError>(plan)
        };
        let plan = self.run(limits, planning).await?;
        Ok((plan, runs.take()))
    }

    pub(super) fn runtime(&self) -> &Arc<QueryRuntime> {
        &self.runtime
    }

    /// What queries take at the moment.
    pub fn load(&self) -> Load {
        self.door.load()
    }

    /// Memory of the query pool, for what a client keeps between its queries.
    pub fn memory(&self, name: &str) -> Memory {
        self.door.memory(name)
    }

    /// How long PromQL queries took.
    pub fn times(&self) -> &QueryTimes {
        &self.times
    }

    /// The limits of work whose client allows it a time, of which `--query.timeout` is the most.
    pub fn limits(&self, timeout: Option<Duration>) -> Limits {
        Limits::within(timeout.map_or(self.options.timeout, |t| t.min(self.options.timeout)))
    }

    /// Runs work on the threads of queries, past the door. The work keeps its pass as long as it runs.
    ///
    /// # Errors
    /// See [`Door::run`](crate::engine::door::Door::run); `Internal` if the work panics.
    pub async fn run<T, E, F>(&self, limits: &Limits, work: impl FnOnce(Pass) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.door.run(limits, |pass| self.runtime.spawn(work(pass))).await
    }

    /// The same of work that answers in parts; of these so many wait for a reader. The limits hold whether
    /// anybody reads or not, so that the work of a reader that is stuck ends at its deadline.
    pub fn stream<T, E, F>(
        &self,
        limits: Limits,
        waiting: usize,
        work: impl FnOnce(Pass, mpsc::Sender<T>) -> F + Send + 'static,
    ) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (runtime, door) = (Arc::clone(&self.runtime), Arc::clone(&self.door));
        Answer::start(
            waiting,
            |parts| async move { door.run(&limits, |pass| runtime.spawn(work(pass, parts))).await },
        )
    }
}

/// Text to result.
#[cfg(test)]
pub(crate) async fn evaluate(
    snapshots: &dyn Snapshots,
    options: &EngineOptions,
    runtime: &QueryRuntime,
    request: &QueryRequest,
    cancel: Cancel,
) -> Result<QueryResponse> {
    let started = Instant::now();
    let planned = plan(snapshots, options, request, cancel).await?;
    Ok(finish(runtime, request, &planned, None, started, None).await?.0)
}

/// Plan to result; planned for all threads where no execution plan is there yet.
async fn finish(
    runtime: &QueryRuntime,
    request: &QueryRequest,
    planned: &PlannedQuery,
    ready: Option<Physical>,
    started: Instant,
    pass: Option<&Pass>,
) -> Result<(QueryResponse, Work)> {
    let ready = match (ready, &planned.plan) {
        (None, Some(logical)) => Some(physical(runtime, logical, planned.size(false)).await?),
        (ready, _) => ready,
    };
    let prepare = started.elapsed();
    planned.tally.check().map_err(from_datafusion)?;
    let (batches, work) = match ready {
        Some(mut physical) => {
            if let Some(pass) = pass {
                physical.context = pass.context(physical.context);
            }
            gather(planned, physical).await.map_err(from_datafusion)?
        }
        None => (vec![], Work::unbounded(&planned.cancel)),
    };
    let (value, sort) = value(planned, &batches, request.time, &work).map_err(from_datafusion)?;
    let (warnings, infos) = planned.annotations.render(&request.query);
    let execute = started.elapsed() - prepare - sort;
    let samples = planned.tally.is_detailed().then(|| planned.tally.stats());
    let stats = QueryStats { queue: Duration::ZERO, prepare, execute, sort, samples };
    Ok((QueryResponse { value, warnings, infos, stats }, work))
}

async fn physical(runtime: &QueryRuntime, logical: &LogicalPlan, size: Size) -> Result<Physical> {
    let (plan, context) = runtime.plan_promql(logical, size).await?;
    Ok(Physical { plan, context })
}

/// The batches of the result, as long as they fit the memory of queries.
async fn gather(
    planned: &PlannedQuery,
    Physical { plan, context }: Physical,
) -> Result<(Vec<RecordBatch>, Work), DataFusionError> {
    let work = Work::new(&planned.cancel, MemoryConsumer::new("result").register(context.memory_pool()));
    let mut stream = execute_stream(plan, context)?;
    let mut batches = vec![];
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        work.reserve(rows_bytes(&batch)?)?;
        if let PlannedKind::Ranges(Input::Lists { .. }, shape, counted) = &planned.kind {
            counted.add_whole(result::count_raw(&batch, shape, &planned.cancel)?)?;
        }
        batches.push(batch);
    }
    Ok((batches, work))
}

fn tell_usage(visible: &Visible, request: &QueryRequest, expr: &Expr) {
    if let Some(usage) = visible.usage() {
        usage.promql(By::of(request.origin.as_deref()), expr);
    }
}

fn check_rows(most: Option<u64>, rows: usize) -> Result<()> {
    match most.filter(|most| rows as u64 > *most) {
        None => Ok(()),
        Some(most) => Err(Error::new(ErrorKind::Limit, too_many_rows(most))),
    }
}

/// What is said of an answer with more rows than its reader may have.
pub fn too_many_rows(most: u64) -> String {
    format!("the answer has more than {most} rows, the most that the user's role may have of one (max_rows)")
}

fn parse(options: &EngineOptions, request: &QueryRequest) -> Result<Arc<Expr>> {
    match &request.parsed {
        Some(parsed) => Ok(Arc::clone(parsed)),
        None => Ok(Arc::new(parse::parse(&request.query, &options.features.language())?)),
    }
}

/// Text to plan: parse, resolve durations, take snapshots, lower.
async fn plan(
    snapshots: &dyn Snapshots,
    options: &EngineOptions,
    request: &QueryRequest,
    cancel: Cancel,
) -> Result<PlannedQuery> {
    let resolved = resolve_query(snapshots, options, request, parse(options, request)?, &cancel).await?;
    lower_query(options, resolved, cancel)
}

/// A query of which is known what its selectors read.
struct Resolved {
    expr: Arc<Expr>,
    times: Times,
    features: Features,
    leaves: Arc<HashMap<Span, Leaf>>,
    repeated: Repeated,
    most_steps: usize,
    /// Samples are counted by step.
    counted: bool,
}

impl Resolved {
    fn series(&self) -> usize {
        self.leaves.values().map(|leaf| leaf.snapshot.series.len()).sum()
    }

    fn in_memory(&self) -> bool {
        self.leaves.values().all(|leaf| leaf.snapshot.files.is_empty())
    }

    fn is_small(&self) -> bool {
        let most = if self.times.query.steps > 1 { SMALL_PANEL_SERIES } else { SMALL_SERIES };
        self.series() <= most && self.in_memory()
    }

    /// By which its plan is kept. Not where parts of it are one, which depends on what the selectors look for.
    fn key(&self) -> Option<Key> {
        let alone = self.repeated.is_empty() && !self.counted;
        let key = || Key::of(&self.expr, &self.times, &self.leaves, self.features.use_start_timestamps);
        if alone { key() } else { None }
    }
}

async fn resolve_query(
    snapshots: &dyn Snapshots,
    options: &EngineOptions,
    request: &QueryRequest,
    mut expr: Arc<Expr>,
    cancel: &Cancel,
) -> Result<Resolved> {
    let (grid, step) = grid(request.time)?;
    let mut features = options.features.clone();
    features.use_start_timestamps = request.use_start_timestamps.unwrap_or(features.use_start_timestamps);
    if duration_expressions::are_in(&expr) {
        duration_expressions::resolve(Arc::make_mut(&mut expr), grid.start, grid.end(), step)?;
    }
    lower::named::by_columns(&mut expr);
    let kind = expr.value_type();
    let range = matches!(request.time, EvalTime::Range { .. });
    if range && matches!(kind, ValueType::Matrix | ValueType::String) {
        let word = kind.as_str();
        let message = format!("invalid expression type {word:?} for range query, must be Scalar or instant Vector");
        return Err(Error::bad_input(message));
    }
    let lookback_ms = request.lookback_delta_ms.unwrap_or(options.lookback_delta_ms);
    let default_subquery_step_ms = options.default_subquery_step_ms.load(Ordering::Relaxed);
    let times = Times { query: grid, lookback_ms, default_subquery_step_ms };
    let most_steps = resolve::most_steps(&times, &expr)?;
    let requests = resolve::requests(&times, &expr);
    // Counts are kept for each step of each selector, which the memory of queries does not know.
    let counted = request.stats && requests.len().saturating_mul(most_steps) <= MAX_COUNTED_STEPS;
    let leaves = resolve::leaves(snapshots, requests, lookback_ms, cancel).await?;
    let repeated = match features.use_start_timestamps || counted {
        // Annotations, and samples asked for, are counted wherever they occur.
        true => Repeated::default(),
        false => Repeated::of(&request.query, &times, &expr, &leaves),
    };
    Ok(Resolved { expr, times, features, leaves: Arc::new(leaves), repeated, most_steps, counted })
}

fn lower_query(options: &EngineOptions, resolved: Resolved, cancel: Cancel) -> Result<PlannedQuery> {
    let series = resolved.series();
    let Resolved { expr, times, features, leaves, repeated, most_steps, counted } = resolved;
    let grid = times.query;
    let tally = Arc::new(Tally::new(&times, &expr, options.max_samples as u64, counted));
    let query = Query {
        grid,
        lookback_ms: times.lookback_ms,
        default_subquery_step_ms: times.default_subquery_step_ms,
        features,
        annotations: Annotations::new(),
        scan: ScanOptions::of_query(rows_per_batch(most_steps), cancel.clone()),
        cancel,
        moment: Moment::default(),
        tally,
        leaves,
        repeated,
    };
    let cx = Context::new(&query);
    let (plan, labels, kind) = if expr.is_range() {
        let rows = lower::selectors::ranges(&cx, &expr)?.raw(&cx)?;
        (Some(rows.plan), rows.labels, PlannedKind::Ranges(rows.input, rows.shape, rows.counted))
    } else {
        match lower::query(&cx, &expr)? {
            Value::String(text) => (None, vec![], PlannedKind::String(text)),
            Value::Scalar(Scalar::Constant(value)) => (None, vec![], PlannedKind::Constant(value)),
            Value::Scalar(scalar) => (Some(lower::scalar_vector(&cx, scalar)?.plan), vec![], PlannedKind::Scalar),
            Value::Vector(lowered) => (Some(lowered.plan), lowered.labels, PlannedKind::Vector(lowered.order)),
        }
    };
    let Query { annotations, cancel, tally, moment, .. } = query;
    Ok(PlannedQuery { plan, labels, grid, kind, series, most_steps, annotations, cancel, tally, moment })
}

/// Whether few series can be read and evaluated at these times in a moment.
fn is_short(time: EvalTime) -> bool {
    match time {
        EvalTime::Instant { .. } => true,
        EvalTime::Range { start, end_inclusive, step } => {
            let range = end_inclusive.saturating_sub(start);
            range <= SMALL_PANEL_MS && step > 0 && range / step < SMALL_PANEL_STEPS
        }
    }
}

/// The steps of a request, and the step a duration expression sees (0 for an instant query).
fn grid(time: EvalTime) -> Result<(Grid, i64)> {
    match time {
        EvalTime::Instant { at } => Ok((Grid::new(at, 1, 1), 0)),
        EvalTime::Range { step, .. } if step <= 0 => {
            Err(Error::bad_input("zero or negative query resolution step"))
        }
        EvalTime::Range { start, end_inclusive, .. } if end_inclusive < start => {
            Err(Error::bad_input("end timestamp must not be before start time"))
        }
        EvalTime::Range { start, end_inclusive, step } => {
            let steps = (end_inclusive.saturating_sub(start) / step).saturating_add(1);
            // An Arrow list has at most this many items; the HTTP API allows far fewer.
            let steps = usize::try_from(steps).ok().filter(|s| *s <= MAX_STEPS);
            let steps = steps.ok_or_else(|| Error::bad_input(format!("a query has at most {MAX_STEPS} steps")))?;
            Ok((Grid::new(start, step, steps), step))
        }
    }
}

/// The result, and how long it took to sort it.
fn value(
    planned: &PlannedQuery,
    batches: &[RecordBatch],
    time: EvalTime,
    work: &Work,
) -> Result<(QueryValue, Duration), DataFusionError> {
    let grid = planned.grid;
    let instant = matches!(time, EvalTime::Instant { .. });
    let scalar = |values: Vec<f64>| {
        if instant {
            return QueryValue::Scalar(grid.start, values[0]);
        }
        let points = values.into_iter().enumerate().map(|(k, v)| (grid.at(k), Point::Float(v))).collect();
        QueryValue::Matrix(vec![ResultSeries { labels: Labels::empty(), points }])
    };
    let mut sorting = Duration::ZERO;
    let value = match &planned.kind {
        PlannedKind::String(text) => QueryValue::String(grid.start, text.clone()),
        PlannedKind::Constant(value) => scalar(vec![*value; grid.steps]),
        PlannedKind::Scalar => scalar(result::scalar(batches, grid)?),
        PlannedKind::Ranges(input, shape, _) => QueryValue::Matrix(result::ranges(batches, *input, shape, work)?),
        PlannedKind::Vector(order) => {
            let mut series = result::vector(batches, grid, work)?;
            let started = Instant::now();
            result::sort(&mut series, order.as_ref().filter(|_| instant));
            sorting = started.elapsed();
            if instant { QueryValue::Vector(series) } else { QueryValue::Matrix(series) }
        }
    };
    Ok((value, sorting))
}

//! Where queries run: their own threads, slots and memory. A query that computes for a long time never keeps scrapes,
//! remote writes and health checks waiting for a thread; between threads the kernel is fair.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::door::{self, AbortOnDrop, Door, Pass};
use super::error::from_datafusion;
use super::promql::plan::layout::rows_per_batch;
use super::promql::plan::node::PromqlQueryPlanner;
use super::query::EngineOptions;
use super::scan::SeriesTable;
use super::sql::functions::{ConcatPlanner, TimePlanner};
use super::sql::milliseconds::RoundToMilliseconds;
use super::sql::series::TellSeriesApart;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::telemetry::spans;

/// Up to so many series one thread merges the groups of all partitions: handing them around would take longer.
const SERIES_MERGED_ALONE: usize = 4096;

/// Stack of every thread that plans or runs queries, which go down their operators: 512 on top of each other have been seen
/// to take more than two MiB, which is what threads have by default. It is memory only where it is used.
pub const STACK_BYTES: usize = 16 << 20;

/// Threads, slots and memory of all queries of a process.
pub struct QueryRuntime {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    environment: Arc<RuntimeEnv>,
    partitions: usize,
    spill_bytes: usize,
    promql: Mutex<HashMap<PromqlNeeds, Arc<PromqlSession>>>,
}

/// What plans PromQL queries, and what their plans run in.
struct PromqlSession {
    state: SessionState,
    context: Arc<TaskContext>,
}

/// What PromQL queries differ in for DataFusion.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PromqlNeeds {
    rules: PhysicalRules,
    partitions: usize,
    /// Rows of a batch.
    batch_size: usize,
    /// Groups are handed around between partitions.
    repartition: bool,
}

/// Which of DataFusion's physical rules have something to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PhysicalRules {
    None,
    /// Those that join the two phases of aggregates.
    Phases,
    /// Those that insert exchanges and move projections down as well.
    All,
}

/// What is to be known of a query to plan it.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The most any part of it has.
    pub steps: usize,
    /// That are read.
    pub series: usize,
    /// It is answered by one thread.
    pub alone: bool,
}

impl QueryRuntime {
    pub fn new(options: &EngineOptions) -> Result<Self> {
        let partitions = options.threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(partitions)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .context(ErrorKind::Internal, || "starting the threads of queries failed".into())?;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(options.memory_bytes)))
            .with_metadata_cache_limit(options.footer_bytes)
            .with_disk_manager_builder(DiskManager::builder().with_max_temp_directory_size(options.disk_bytes))
            .build_arc()
            .map_err(from_datafusion)?;
        let (spill_bytes, promql) = (options.spill_bytes, Mutex::default());
        Ok(Self { runtime: Some(runtime), environment, partitions, spill_bytes, promql })
    }

    /// The execution plan of a PromQL query, and the context to run it in.
    pub async fn plan_promql(
        &self,
        logical: &LogicalPlan,
        size: Size,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        let rows = rows_per_batch(size.steps);
        // Both sides of a union are partitions of it, so that there is something to exchange.
        let has_union =
            |plan: &LogicalPlan| plan.exists(|p| Ok(matches!(p, LogicalPlan::Union(_)))).unwrap_or(true);
        let session = self.promql_session(PromqlNeeds {
            rules: match size.alone {
                _ if is_scan(logical) => PhysicalRules::None,
                true if !has_union(logical) => PhysicalRules::Phases,
                _ => PhysicalRules::All,
            },
            partitions: if size.alone { 1 } else { self.partitions },
            // Powers of two, so that there are few sessions.
            batch_size: 1 << rows.ilog2(),
            repartition: size.series > SERIES_MERGED_ALONE,
        });
        // Past the logical rules, of which there are none.
        let physical = session.state.query_planner().create_physical_plan(logical, &session.state).await;
        Ok((physical.map_err(from_datafusion)?, Arc::clone(&session.context)))
    }

    /// The rows of a leaf by itself, in no order.
    pub async fn scan(&self, table: &SeriesTable, pass: &Pass) -> Result<SendableRecordBatchStream> {
        let session = self.promql_session(PromqlNeeds {
            rules: PhysicalRules::None,
            partitions: self.partitions,
            batch_size: 1 << rows_per_batch(1).ilog2(),
            repartition: false,
        });
        let plan = table.scan(&session.state, None, &[], None).await.map_err(from_datafusion)?;
        execute_stream(plan, pass.context(Arc::clone(&session.context))).map_err(from_datafusion)
    }

    /// The session of all queries that need the same; to make one would take a good part of planning.
    fn promql_session(&self, needs: PromqlNeeds) -> Arc<PromqlSession> {
        let mut sessions = self.promql.lock();
        let session = sessions.entry(needs).or_insert_with(|| {
            let mut config = config(needs.partitions, self.spill_bytes)
                .with_batch_size(needs.batch_size)
                .with_repartition_aggregations(needs.repartition);
            // The leaf has as many partitions as its series are worth.
            config.options_mut().optimizer.enable_round_robin_repartition = false;
            let state = promql_state(Arc::clone(&self.environment), config, needs.rules);
            let context = state.task_ctx();
            Arc::new(PromqlSession { state, context })
        });
        Arc::clone(session)
    }

    /// A state with DataFusion's own rules and functions, which also plans PromQL's operators; for SQL.
    pub fn sql_state(&self) -> SessionState {
        let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
            vec![Arc::new(TellSeriesApart), Arc::new(RoundToMilliseconds)];
        rules.extend(Analyzer::new().rules);
        let mut sql_config = config(self.partitions, self.spill_bytes);
        // Of every `timestamptz`; in which zone a session shows it is another thing.
        sql_config.options_mut().execution.time_zone = Some("UTC".into());
        let mut builder = SessionStateBuilder::new().with_default_features();
        builder
            .expr_planners()
            .get_or_insert_default()
            .splice(0..0, [Arc::new(ConcatPlanner) as _, Arc::new(TimePlanner) as _]);
        builder
            .with_config(sql_config)
            .with_runtime_env(Arc::clone(&self.environment))
            .with_query_planner(Arc::new(PromqlQueryPlanner))
            .with_analyzer_rules(rules)
            .build()
    }

    /// What work passes, so much of it at once; the memory is that of all doors.
    pub fn door(&self, slots: usize) -> Arc<Door> {
        Arc::new(Door::new(slots, Arc::clone(&self.environment.memory_pool)))
    }

    /// Runs work on the query threads. Dropping the returned future ends it.
    pub async fn spawn<T, E>(&self, work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().expect("taken only by drop");
        let mut task = AbortOnDrop(runtime.spawn(spans::carried(work)));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(failed) if failed.is_cancelled() => Err(door::canceled().into()),
            Err(failed) => Err(door::panicked().with_source(failed).into()),
        }
    }
}

/// Runs work on the caller's own thread; a panic ends it alone, as on the query threads.
pub async fn here<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(door::panicked()))
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        // A runtime must not be dropped from inside of another one in the ordinary way, which waits.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn config(partitions: usize, spill_bytes: usize) -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.execution.collect_statistics = false;
    options.execution.sort_spill_reservation_bytes = spill_bytes;
    SessionConfig::from(options).with_target_partitions(partitions)
}

/// Whether a plan is a scan, under one projection at most: nothing could be moved and no exchange is needed.
fn is_scan(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => matches!(*projection.input, LogicalPlan::TableScan(_)),
        plan => matches!(plan, LogicalPlan::TableScan(_)),
    }
}

/// Lowering builds calls with the types they need and scans of the columns they need: DataFusion's logical rules would
/// find nothing to do, and plans have no filters, sorts, limits or joins to choose for, so that most of the physical ones
/// would not either. They would take most of the planning time.
fn promql_state(environment: Arc<RuntimeEnv>, config: SessionConfig, rules: PhysicalRules) -> SessionState {
    let physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = match rules {
        PhysicalRules::None => vec![],
        PhysicalRules::Phases => vec![Arc::new(CombinePartialFinalAggregate::new())],
        PhysicalRules::All => vec![
            Arc::new(EnsureRequirements::new()),
            Arc::new(CombinePartialFinalAggregate::new()),
            Arc::new(ProjectionPushdown::new()),
            Arc::new(EnsureCooperative::new()),
            Arc::new(SanityCheckPlan::new()),
        ],
    };
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(environment)
        .with_analyzer_rules(vec![])
        .with_optimizer_rules(vec![])
        .with_physical_optimizer_rules(physical)
        .with_query_planner(Arc::new(PromqlQueryPlanner))
        .build()
}

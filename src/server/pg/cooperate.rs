//! Joins and unnests that give way to the runtime, and end when the statement does.
//!
//! DataFusion's operators yield when they ask their input for a batch. An operator that turns one input batch
//! into very many rows does not ask for long, so aborting its task has no effect until it does. A physical optimizer rule
//! makes it yield with each batch of its own. A join in nested loops may go on for long before it has one: its filter is
//! asked for each row of the left side, fails once the statement was given up, and now and then lets another thread go on with
//! what else the runtime has to do: as many such joins as there are threads would keep everybody waiting.

use std::fmt::{Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::engine::door::Pass;
use crate::engine::promql::cancel::Cancel;

#[derive(Debug)]
pub struct CooperativeJoins;

impl PhysicalOptimizerRule for CooperativeJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrap = |node: Arc<dyn ExecutionPlan>| {
            if node.name().contains("Join") || node.name() == "UnnestExec" {
                let node: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
                return Ok(Transformed::yes(node));
            }
            Ok(Transformed::no(node))
        };
        Ok(plan.transform_up(wrap)?.data)
    }

    fn name(&self) -> &str {
        "cooperative_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Begins to run the plan of a statement, which ends when its flag is raised, in the memory of its pass. There is no other way from a plan to rows.
///
/// # Errors
/// Of planning.
pub async fn rows(context: &SessionContext, plan: LogicalPlan, pass: &Pass) -> Result<SendableRecordBatchStream> {
    let frame = context.execute_logical_plan(plan).await?;
    let task = pass.context(Arc::new(frame.task_ctx()));
    execute_stream(guarded(frame.create_physical_plan().await?, &pass.flag)?, task)
}

/// The plan with filters of nested loops that look at a flag.
fn guarded(plan: Arc<dyn ExecutionPlan>, flag: &Cancel) -> Result<Arc<dyn ExecutionPlan>> {
    let guard = |node: Arc<dyn ExecutionPlan>| {
        let Some((join, filter)) =
            node.downcast_ref::<NestedLoopJoinExec>().and_then(|join| Some((join, join.filter()?)))
        else {
            return Ok(Transformed::no(node));
        };
        let inner = Arc::clone(filter.expression());
        let guarded = Arc::new(Guarded { inner, flag: flag.clone(), pace: Arc::default() });
        let filter = JoinFilter::new(guarded, filter.column_indices().to_vec(), Arc::clone(filter.schema()));
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
        Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(guard)?.data)
}

/// How long a thread of the runtime may go on with one join.
const TURN: Duration = Duration::from_millis(50);

/// When a thread was last given away, by all partitions of a join.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Whether another thread should go on with other work. Not with the first rows.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock();
        let is_due = last.is_some_and(|last| now.duration_since(last) >= TURN);
        if is_due || last.is_none() {
            *last = Some(now);
        }
        is_due
    }
}

/// An expression that fails once its flag is raised, and gives way to the runtime.
#[derive(Debug)]
struct Guarded {
    inner: Arc<dyn PhysicalExpr>,
    flag: Cancel,
    pace: Arc<Pace>,
}

// What is derived would move out of the `Arc`.
impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Guarded {}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Display for Guarded {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Guarded {
    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.flag.check()?;
        let is_of_many = || Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
        match self.pace.is_due() && is_of_many() {
            // Whoever takes the thread's place keeps it until this poll is over.
            true => block_in_place(|| self.inner.evaluate(batch)),
            false => self.inner.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, flag: self.flag.clone(), pace: self.pace.clone() }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt_sql(f)
    }
}

//! The extension operator: whole vectors in, one vector out, for what is neither a projection nor an
//! aggregate. One logical node, one execution plan; what it does is a [`VectorOp`].
//!
//! The operators look at all series at once, so they gather their inputs (under the query's memory pool) and
//! run on one partition.

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt};

use super::layout::rows_per_batch;
use super::ops::count_values::CountValues;
use super::ops::info::InfoJoin;
use super::ops::matching::VectorMatch;
use super::ops::quantile_label::QuantileLabel;
use super::ops::select::VectorSelect;
use super::ops::unique::UniqueSeries;
use super::shared::SharedNode;
use super::work::{Work, rows_bytes};
use crate::engine::promql::cancel::Cancel;

/// What an extension operator does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VectorOp {
    Match(VectorMatch),
    Select(VectorSelect),
    Unique(UniqueSeries),
    CountValues(CountValues),
    Info(InfoJoin),
    QuantileLabel(QuantileLabel),
}

impl VectorOp {
    fn name(&self) -> &'static str {
        match self {
            VectorOp::Match(_) => "VectorMatch",
            VectorOp::Select(_) => "VectorSelect",
            VectorOp::Unique(_) => "UniqueSeries",
            VectorOp::CountValues(_) => "CountValues",
            VectorOp::Info(_) => "InfoJoin",
            VectorOp::QuantileLabel(_) => "QuantileLabel",
        }
    }

    fn steps(&self) -> usize {
        match self {
            VectorOp::Match(op) => op.steps,
            VectorOp::Select(op) => op.steps,
            VectorOp::Unique(op) => op.steps,
            VectorOp::CountValues(op) => op.steps,
            VectorOp::Info(op) => op.steps,
            VectorOp::QuantileLabel(op) => op.steps,
        }
    }

    fn details(&self) -> String {
        match self {
            VectorOp::Match(op) => op.to_string(),
            VectorOp::Select(op) => op.to_string(),
            VectorOp::Unique(_) => String::new(),
            VectorOp::CountValues(op) => op.to_string(),
            VectorOp::Info(op) => op.to_string(),
            VectorOp::QuantileLabel(op) => op.to_string(),
        }
    }

    /// Inputs are gathered, one batch each; the result has exactly the columns of `schema`.
    fn evaluate(&self, inputs: &[RecordBatch], schema: &SchemaRef, work: &Work) -> Result<RecordBatch> {
        match self {
            VectorOp::Match(op) => op.evaluate(&inputs[0], &inputs[1], schema, work),
            VectorOp::Select(op) => op.evaluate(&inputs[0], schema, work),
            VectorOp::Unique(op) => op.evaluate(&inputs[0], schema, work),
            VectorOp::CountValues(op) => op.evaluate(&inputs[0], schema, work),
            VectorOp::Info(op) => op.evaluate(&inputs[0], &inputs[1], schema, work),
            VectorOp::QuantileLabel(op) => op.evaluate(&inputs[0], schema, work),
        }
    }
}

/// The logical node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorNode {
    op: VectorOp,
    inputs: Vec<LogicalPlan>,
    schema: DFSchemaRef,
    cancel: Cancel,
}

impl VectorNode {
    pub fn plan(op: VectorOp, inputs: Vec<LogicalPlan>, schema: DFSchemaRef, cancel: &Cancel) -> LogicalPlan {
        let node = Self { op, inputs, schema, cancel: cancel.clone() };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }
}

impl PartialOrd for VectorNode {
    /// Nodes have no order; DataFusion asks only for the trait.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for VectorNode {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.op.name(), self.op.details())
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { inputs, ..self.clone() })
    }
}

/// Plans [`VectorNode`]s and [`SharedNode`]s; any session that runs PromQL plans needs it.
#[derive(Debug, Default)]
pub struct VectorPlanner;

#[async_trait]
impl ExtensionPlanner for VectorPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn datafusion::catalog::Session,
        _planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let (Some(shared), [input]) = (node.as_any().downcast_ref::<SharedNode>(), physical_inputs) {
            return Ok(Some(shared.execution(Arc::clone(input))));
        }
        let Some(node) = node.as_any().downcast_ref::<VectorNode>() else { return Ok(None) };
        let schema = Arc::clone(node.schema.inner());
        let (op, cancel) = (node.op.clone(), node.cancel.clone());
        Ok(Some(Arc::new(VectorExec::new(op, physical_inputs.to_vec(), schema, cancel))))
    }
}

/// A query planner that knows the extension operators.
#[derive(Debug, Default)]
pub struct PromqlQueryPlanner;

#[async_trait]
impl QueryPlanner for PromqlQueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn datafusion::catalog::Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(VectorPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// The execution plan.
#[derive(Debug)]
pub struct VectorExec {
    op: VectorOp,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    cancel: Cancel,
}

impl VectorExec {
    fn new(op: VectorOp, inputs: Vec<Arc<dyn ExecutionPlan>>, schema: SchemaRef, cancel: Cancel) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { op, inputs, properties: Arc::new(properties), cancel }
    }
}

impl DisplayAs for VectorExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}Exec: {}", self.op.name(), self.op.details())
    }
}

impl ExecutionPlan for VectorExec {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; self.inputs.len()])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        // Whatever the inputs are, the result is in one partition and in no order.
        let (op, cancel, properties) = (self.op.clone(), self.cancel.clone(), Arc::clone(&self.properties));
        Ok(Arc::new(Self { op, inputs: children, properties, cancel }))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!("{} has one partition, not {partition}", self.name())));
        }
        let inputs = self.inputs.clone();
        let op = self.op.clone();
        let schema = self.schema();
        let out = Arc::clone(&schema);
        let cancel = self.cancel.clone();
        let batch_size = context.session_config().batch_size().min(rows_per_batch(op.steps())).max(1);
        let result = async move {
            let reservation = MemoryConsumer::new(op.name()).register(context.memory_pool());
            let (batch, reservation) = {
                let held = gather_all(&inputs, &context, op.name(), op.steps() > 1).await?;
                let gathered: Vec<RecordBatch> = held.iter().map(|(batch, _)| batch.clone()).collect();
                let work = Work::new(&cancel, reservation);
                work.check()?;
                let batch = op.evaluate(&gathered, &out, &work)?;
                let bytes = rows_bytes(&batch)?;
                (batch, work.settle(bytes)?)
            };
            let slices: Vec<Result<RecordBatch>> = (0..batch.num_rows())
                .step_by(batch_size)
                .map(|from| Ok(batch.slice(from, batch_size.min(batch.num_rows() - from))))
                .collect();
            // The reservation lives as long as the slices that share the memory.
            Ok::<_, DataFusionError>(futures::stream::iter(slices).inspect(move |_| {
                let _ = &reservation;
            }))
        };
        let stream = futures::stream::once(result).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

/// The rows of every input as one batch, and the memory they are accounted for. Inputs that are worth it are computed
/// side by side.
async fn gather_all(
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &Arc<TaskContext>,
    consumer: &str,
    side_by_side: bool,
) -> Result<Vec<(RecordBatch, MemoryReservation)>> {
    let whole = |input: &Arc<dyn ExecutionPlan>| {
        let (input, context) = (Arc::clone(input), Arc::clone(context));
        let reservation = MemoryConsumer::new(consumer).register(context.memory_pool());
        async move {
            let batches = gather(&input, &context, &reservation).await?;
            // For a moment they are there twice.
            let bytes = reservation.size();
            if batches.len() > 1 {
                reservation.try_grow(bytes)?;
            }
            let whole = concat_batches(&input.schema(), &batches)?;
            drop(batches);
            reservation.try_resize(bytes)?;
            Ok::<_, DataFusionError>((whole, reservation))
        }
    };
    let mut gathered = Vec::with_capacity(inputs.len());
    let Some((last, others)) = inputs.split_last().filter(|_| side_by_side) else {
        for input in inputs {
            gathered.push(whole(input).await?);
        }
        return Ok(gathered);
    };
    let others: Vec<_> = others.iter().map(|input| SpawnedTask::spawn(whole(input))).collect();
    let last = whole(last).await;
    for other in others {
        gathered.push(other.join_unwind().await.map_err(|e| DataFusionError::External(Box::new(e)))??);
    }
    // Of several errors it is the leftmost that is told.
    gathered.push(last?);
    Ok(gathered)
}

/// All batches of an input with one partition, accounted for.
pub(super) async fn gather(
    input: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    reservation: &MemoryReservation,
) -> Result<Vec<RecordBatch>> {
    debug_assert_eq!(input.output_partitioning().partition_count(), 1);
    let mut stream = input.execute(0, Arc::clone(context))?;
    let mut batches = vec![];
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        reservation.try_grow(rows_bytes(&batch)?)?;
        batches.push(batch);
    }
    Ok(batches)
}

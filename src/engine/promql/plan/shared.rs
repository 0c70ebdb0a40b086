//! An operator whose result is used in several places of a plan: whoever runs first computes it, the others wait and
//! read the same batches.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, Weak};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PlanProperties,
};
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::node::gather;

/// The result, once it is there, and the memory it is accounted for.
type Held = OnceCell<(Vec<RecordBatch>, MemoryReservation)>;

/// The logical node; its clones in a plan are one.
#[derive(Clone, Debug)]
pub struct SharedNode {
    /// For `EXPLAIN`.
    number: usize,
    input: LogicalPlan,
    schema: DFSchemaRef,
    /// What the execution plans made of this node have in common, as long as there are any: planned again later,
    /// the node is computed again.
    held: Arc<Mutex<Weak<Held>>>,
}

impl SharedNode {
    pub fn plan(number: usize, input: LogicalPlan, schema: DFSchemaRef) -> LogicalPlan {
        let held = Arc::new(Mutex::new(Weak::new()));
        LogicalPlan::Extension(Extension { node: Arc::new(Self { number, input, schema, held }) })
    }

    /// The execution plan of one occurrence.
    pub fn execution(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let mut latest = self.held.lock().expect("no panic while the lock is held");
        let held = latest.upgrade().unwrap_or_default();
        *latest = Arc::downgrade(&held);
        Arc::new(SharedExec::new(self.number, input, held))
    }
}

impl PartialEq for SharedNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held) && self.input == other.input
    }
}

impl Eq for SharedNode {}

impl Hash for SharedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl PartialOrd for SharedNode {
    /// Nodes have no order; DataFusion asks only for the trait.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SharedNode {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Shared: #{}", self.number)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.pop().ok_or_else(|| DataFusionError::Internal("Shared has one input".into()))?;
        Ok(Self { input, ..self.clone() })
    }
}

#[derive(Debug)]
struct SharedExec {
    number: usize,
    input: Arc<dyn ExecutionPlan>,
    held: Arc<Held>,
    properties: Arc<PlanProperties>,
}

impl SharedExec {
    fn new(number: usize, input: Arc<dyn ExecutionPlan>, held: Arc<Held>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { number, input, held, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SharedExec: #{}", self.number)
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("SharedExec has one child".into()))?;
        Ok(Arc::new(Self::new(self.number, input, Arc::clone(&self.held))))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!("SharedExec has one partition, not {partition}")));
        }
        let (input, held) = (Arc::clone(&self.input), Arc::clone(&self.held));
        let schema: SchemaRef = self.schema();
        let batches = async move {
            let compute = async || {
                let reservation = MemoryConsumer::new("SharedExec").register(context.memory_pool());
                let batches = gather(&input, &context, &reservation).await?;
                Ok::<_, DataFusionError>((batches, reservation))
            };
            let (batches, _) = held.get_or_try_init(compute).await?;
            let batches: Vec<Result<RecordBatch>> = batches.iter().cloned().map(Ok).collect();
            Ok::<_, DataFusionError>(futures::stream::iter(batches))
        };
        let stream = futures::stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

//! The logical node, and the planner that knows it beside those of PromQL.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::bounds::Bounds;
use super::exec::GapFillExec;
use super::fill::{Filling, Shape};
use super::times::Times;
use crate::engine::promql::plan::node::VectorPlanner;

/// What is filled in. Columns of the input: those of the groups, of which `bucket` is one, and behind them those that are filled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub struct Gaps {
    pub bucket: usize,
    pub groups: usize,
    pub fillings: Vec<Filling>,
    pub width: Expr,
    pub bounds: Bounds,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GapFill {
    input: Arc<LogicalPlan>,
    gaps: Gaps,
    schema: DFSchemaRef,
}

/// The plan of an input whose gaps are filled.
///
/// # Errors
/// None that is expected.
pub fn plan(input: LogicalPlan, gaps: Gaps) -> Result<LogicalPlan> {
    let schema = schema(&input, gaps.groups)?;
    let node = GapFill { input: Arc::new(input), gaps, schema };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// What is filled may be NULL.
fn schema(input: &LogicalPlan, groups: usize) -> Result<DFSchemaRef> {
    let fields = input.schema().iter().enumerate().map(|(at, (qualifier, field))| {
        let field = match at < groups {
            true => Arc::clone(field),
            false => Arc::new(Field::clone(field).with_nullable(true)),
        };
        (qualifier.cloned(), field)
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
    Ok(Arc::new(schema))
}

impl PartialOrd for GapFill {
    /// Nodes have no order; DataFusion asks only for the trait.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// None refers to the input; they are here to be made constants.
    fn expressions(&self) -> Vec<Expr> {
        let Bounds { starts, finishes } = &self.gaps.bounds;
        [&self.gaps.width].into_iter().chain(starts).chain(finishes).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Gaps { bucket, groups, width, .. } = &self.gaps;
        write!(f, "GapFill: bucket={bucket}, groups={groups}, width={width}")
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.pop().map_or_else(|| Arc::clone(&self.input), Arc::new);
        let mut gaps = self.gaps.clone();
        if exprs.len() == 1 + gaps.bounds.starts.len() + gaps.bounds.finishes.len() {
            gaps.bounds.finishes = exprs.split_off(1 + gaps.bounds.starts.len());
            gaps.bounds.starts = exprs.split_off(1);
            gaps.width = exprs.remove(0);
        }
        let schema = schema(&input, gaps.groups)?;
        Ok(Self { input, gaps, schema })
    }
}

/// A query planner that knows the operators of SQL and of PromQL.
#[derive(Debug, Default)]
pub struct SqlQueryPlanner;

#[async_trait]
impl QueryPlanner for SqlQueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
            vec![Arc::new(VectorPlanner), Arc::new(GapPlanner)];
        DefaultPhysicalPlanner::with_extension_planners(planners).create_physical_plan(plan, session).await
    }
}

#[derive(Debug)]
struct GapPlanner;

#[async_trait]
impl ExtensionPlanner for GapPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<GapFill>(), physical_inputs) else {
            return Ok(None);
        };
        let gaps = &node.gaps;
        let schema = Arc::clone(node.schema.inner());
        let zone = match schema.field(gaps.bucket).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = Times::planned(&gaps.width, &gaps.bounds, zone, session)?;
        let shape = Shape { schema, bucket: gaps.bucket, groups: gaps.groups, fillings: gaps.fillings.clone() };
        Ok(Some(Arc::new(GapFillExec::new(Arc::clone(input), shape, Arc::new(times)))))
    }
}

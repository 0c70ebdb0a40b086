//! The execution plan: rows come sorted by group and bucket, and are kept until their group ends.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortOptions, concat_batches};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalSortRequirement,
};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr,
    PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use super::fill::{Shape, fill};
use super::times::Times;

/// What a column of a row that is made takes, about, beside the texts that its group is told by.
const CELL_BYTES: usize = 16;

#[derive(Debug)]
pub struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    shape: Shape,
    times: Arc<Times>,
    properties: Arc<PlanProperties>,
}

impl GapFillExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, shape: Shape, times: Arc<Times>) -> Self {
        // Where the bucket is all there is, there is one group, which may be empty.
        let partitions = if shape.groups == 1 { 1 } else { input.output_partitioning().partition_count() };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&shape.schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, shape, times, properties: Arc::new(properties) }
    }

    fn column(&self, at: usize) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(self.input.schema().field(at).name(), at))
    }

    /// Columns that groups are told by, but for the bucket.
    fn keys(&self) -> impl Iterator<Item = usize> + use<> {
        let bucket = self.shape.bucket;
        (0..self.shape.groups).filter(move |at| *at != bucket)
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GapFillExec: bucket={}, groups={}", self.shape.bucket, self.shape.groups)
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys: Vec<_> = self.keys().map(|at| self.column(at)).collect();
        InputDistributionRequirements::new(vec![match keys.is_empty() {
            true => Distribution::SinglePartition,
            false => Distribution::KeyPartitioned(keys),
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let options = SortOptions { descending: false, nulls_first: false };
        let columns = self.keys().chain([self.shape.bucket]);
        let sorted = columns.map(|at| PhysicalSortRequirement::new(self.column(at), Some(options)));
        vec![LexRequirement::new(sorted).map(OrderingRequirements::new)]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self::new(input, self.shape.clone(), Arc::clone(&self.times))))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let memory = MemoryConsumer::new("GapFill").register(context.memory_pool());
        let keys: Vec<usize> = self.keys().collect();
        let schema = self.input.schema();
        let fields = keys.iter().map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let groups = Groups {
            converter: RowConverter::new(fields.collect())?,
            keys,
            shape: self.shape.clone(),
            times: Arc::clone(&self.times),
            buckets: None,
            waiting: VecDeque::new(),
            last: None,
            rows: vec![],
            has_any: false,
            batch_size: context.session_config().batch_size().max(1),
            memory,
            made_bytes: 0,
        };
        let stream = futures::stream::try_unfold(Some((input, groups)), |state| async move {
            let Some((mut input, mut groups)) = state else { return Ok::<_, DataFusionError>(None) };
            let (made, ended) = groups.next(&mut input).await?;
            let batches = futures::stream::iter(groups.in_batches(made)?.into_iter().map(Ok));
            Ok(Some((batches, (!ended).then_some((input, groups)))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.shape.schema), stream.try_flatten())))
    }
}

/// The group whose rows come, and what comes behind it.
struct Groups {
    converter: RowConverter,
    keys: Vec<usize>,
    shape: Shape,
    times: Arc<Times>,
    buckets: Option<Arc<[i64]>>,
    /// Rows of one group each, and whether it is another one than that of the rows before.
    waiting: VecDeque<(bool, RecordBatch)>,
    /// What the last of them was told by.
    last: Option<OwnedRow>,
    /// Of the group.
    rows: Vec<RecordBatch>,
    has_any: bool,
    batch_size: usize,
    /// Of the rows, and of those that are made.
    memory: MemoryReservation,
    /// Of those that are made and may still be on their way.
    made_bytes: usize,
}

impl Groups {
    /// The rows of the next groups, a batch of them or more, and whether they are the last.
    async fn next(&mut self, input: &mut SendableRecordBatchStream) -> Result<(Vec<RecordBatch>, bool)> {
        // What was made before has been taken.
        self.memory.shrink(std::mem::take(&mut self.made_bytes));
        let (mut made, mut rows) = (vec![], 0);
        while rows < self.batch_size {
            let Some((begins, slice)) = self.waiting.pop_front() else {
                match input.next().await {
                    Some(batch) => self.split(&batch?)?,
                    None => {
                        made.extend(self.finish()?);
                        if self.keys.is_empty() && !self.has_any {
                            made.push(self.filled(&RecordBatch::new_empty(Arc::clone(&self.shape.schema)))?);
                        }
                        return Ok((made, true));
                    }
                }
                continue;
            };
            if begins && let Some(filled) = self.finish()? {
                rows += filled.num_rows();
                made.push(filled);
            }
            self.memory.try_grow(slice.get_array_memory_size())?;
            self.rows.push(slice);
        }
        Ok((made, false))
    }

    fn split(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.keys.is_empty() {
            self.waiting.push_back((false, batch.clone()));
            return Ok(());
        }
        let keys: Vec<ArrayRef> = self.keys.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let mut begins = self.last.as_ref().is_none_or(|last| last.row() != keys.row(0));
        let mut from = 0;
        for row in 1..=batch.num_rows() {
            if row == batch.num_rows() || keys.row(row) != keys.row(from) {
                self.waiting.push_back((begins, batch.slice(from, row - from)));
                (begins, from) = (true, row);
            }
        }
        self.last = Some(keys.row(batch.num_rows() - 1).owned());
        Ok(())
    }

    /// The rows of the group that has ended.
    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.rows.first() else { return Ok(None) };
        let group = concat_batches(&first.schema(), &self.rows)?;
        self.rows.clear();
        self.has_any = true;
        self.memory.try_resize(self.made_bytes + group.get_array_memory_size())?;
        Ok(Some(self.filled(&group)?))
    }

    fn filled(&mut self, group: &RecordBatch) -> Result<RecordBatch> {
        let buckets = match &self.buckets {
            Some(buckets) => Arc::clone(buckets),
            None => self.buckets.insert(self.times.buckets()?.into()).clone(),
        };
        let texts = self.last.as_ref().map_or(0, |last| last.row().data().len());
        let row_bytes = CELL_BYTES * group.num_columns() + texts;
        self.memory.try_grow((buckets.len() + group.num_rows()) * row_bytes)?;
        let filled = fill(group, &self.shape, &buckets)?;
        // The rows it was made of are gone with this.
        self.made_bytes += filled.get_array_memory_size();
        self.memory.try_resize(self.made_bytes)?;
        Ok(filled)
    }

    /// Of the size that others expect.
    fn in_batches(&self, made: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        if made.is_empty() {
            return Ok(vec![]);
        }
        let made = concat_batches(&self.shape.schema, &made)?;
        let starts = (0..made.num_rows()).step_by(self.batch_size);
        Ok(starts.map(|from| made.slice(from, self.batch_size.min(made.num_rows() - from))).collect())
    }
}

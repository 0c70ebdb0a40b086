//! `SeriesMergeExec`: one child per file, memory sources beside them, series runs out.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err, stats::Precision};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, PlanProperties, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
};
use futures::stream;

use crate::engine::scan::cursor::FileCursor;
use crate::engine::scan::merge::{self, Merge, MergeMetrics};
use crate::engine::scan::open::Part;
use crate::engine::scan::output::{BatchBuilder, Wants};
use crate::engine::scan::prune::Pruned;
use crate::engine::scan::table::{Askers, ScanOptions, SeriesTable, Shape};
use crate::model::sample::TimeRange;
use crate::promql::span::Span;
use crate::storage::types::{SampleFile, Snapshot};

/// A file and the plan that reads it, with as many partitions as the merge.
#[derive(Clone, Debug)]
pub(super) struct FileInput {
    pub file: Arc<SampleFile>,
    /// Of equal timestamps the source of higher priority wins; files by commit, memory above them.
    pub priority: usize,
    /// What each partition reads of it.
    pub parts: Vec<Part>,
    pub plan: Arc<dyn ExecutionPlan>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SeriesMergeExec {
    table: SeriesTable,
    wants: Wants,
    /// The series of each partition.
    chunks: Vec<Range<usize>>,
    inputs: Vec<FileInput>,
    pruned: Pruned,
    /// Rows after which each partition stops.
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl SeriesMergeExec {
    pub(super) fn new(
        table: SeriesTable,
        wants: Wants,
        chunks: Vec<Range<usize>>,
        inputs: Vec<FileInput>,
        pruned: Pruned,
        fetch: Option<usize>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(table.schema.clone()),
            Partitioning::UnknownPartitioning(chunks.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { table, wants, chunks, inputs, pruned, fetch, metrics, properties: Arc::new(properties) }
    }

    /// The selector it reads, if it does so from memory alone and in one partition: what may be exchanged.
    pub fn leaf(&self) -> Option<Span> {
        let whole = self.inputs.is_empty() && self.chunks.len() == 1 && self.fetch.is_none();
        self.table.options.leaf.filter(|_| whole)
    }

    /// The same columns of other series at other times, nothing of it executed yet. Only where there is a [`leaf`].
    ///
    /// [`leaf`]: SeriesMergeExec::leaf
    pub fn exchanged(&self, snapshot: Arc<Snapshot>, range: TimeRange, askers: Option<Askers>) -> Self {
        let wants = Wants::of(&self.table.columns, self.table.shape, &snapshot);
        let chunks = std::iter::once(0..snapshot.series.len()).collect();
        let options = ScanOptions { askers, ..self.table.options.clone() };
        let table = SeriesTable { snapshot, range, options, ..self.table.clone() };
        Self { table, wants, chunks, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    fn open(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Merge> {
        let inputs = self.inputs.iter().filter(|input| input.parts[partition].rows > 0);
        let cursors = inputs.map(|input| {
            let (part, stream) = (input.parts[partition], input.plan.execute(partition, context.clone())?);
            Ok(FileCursor::new(input.file.clone(), input.priority, part, stream, self.wants))
        });
        let consumer = MemoryConsumer::new(format!("SeriesMergeExec[{partition}]"));
        let builder =
            BatchBuilder::new(self.table.shape, &self.table.columns, self.table.schema.clone(), self.wants)
                .with_askers(self.table.options.askers.clone());
        Ok(Merge {
            snapshot: self.table.snapshot.clone(),
            chunk: self.chunks[partition].clone(),
            range: self.table.range,
            options: self.table.options.clone(),
            wants: self.wants,
            cursors: cursors.collect::<Result<_>>()?,
            packed: Vec::new(),
            builder,
            rows_left: self.fetch,
            batch_series: match self.table.shape {
                Shape::Lists => merge::batch_series(&self.table.options, self.wants),
                Shape::Rows => self.table.options.batch_series,
            },
            held: 0,
            reservation: consumer.register(context.memory_pool()),
            metrics: MergeMetrics::new(&self.metrics, partition),
        })
    }
}

impl DisplayAs for SeriesMergeExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = &self.table.snapshot;
        let separator = match format {
            DisplayFormatType::TreeRender => "\n",
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                f.write_str("SeriesMergeExec: ")?;
                ", "
            }
        };
        let shape = match self.table.shape {
            Shape::Lists => "lists",
            Shape::Rows => "rows",
        };
        write!(f, "shape={shape}{separator}series={}", snapshot.series.len())?;
        write!(f, "{separator}files={}/{}", self.inputs.len(), snapshot.files.len())?;
        write!(f, "{separator}pages={}/{}", self.pruned.pages_selected, self.pruned.pages_total)?;
        write!(f, "{separator}memory={}", snapshot.memory.len())?;
        let bound = |t: i64| match t {
            i64::MIN | i64::MAX => String::new(),
            t => chrono::DateTime::from_timestamp_millis(t)
                .map_or_else(|| t.to_string(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        };
        let range = self.table.range;
        write!(f, "{separator}range=[{}..{}]", bound(range.start_inclusive), bound(range.end_inclusive))?;
        if let Some(fetch) = self.fetch {
            write!(f, "{separator}fetch={fetch}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SeriesMergeExec {
    fn name(&self) -> &str {
        "SeriesMergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().map(|input| &input.plan).collect()
    }

    /// The children's partitions are key ranges; they must stay as they are.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.inputs.len() {
            return internal_err!("SeriesMergeExec has {} children, got {}", self.inputs.len(), children.len());
        }
        // Partition by partition a child reads the series of ours.
        let partitions = |child: &Arc<dyn ExecutionPlan>| child.output_partitioning().partition_count();
        if let Some(found) = children.iter().map(partitions).find(|found| *found != self.chunks.len()) {
            return internal_err!("SeriesMergeExec has {} partitions, a child {found}", self.chunks.len());
        }
        let inputs = self.inputs.iter().zip(children);
        let inputs = inputs.map(|(input, plan)| FileInput { plan, ..input.clone() }).collect();
        Ok(Arc::new(Self { inputs, metrics: ExecutionPlanMetricsSet::new(), ..Self::clone(&self) }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let merge = self.open(partition, &context)?;
        let batches = stream::try_unfold((merge, None), |(mut merge, progress)| async move {
            let mut progress = match progress {
                Some(progress) => progress,
                None => merge.start().await?,
            };
            let batch = merge.next_batch(&mut progress).await?;
            Ok(batch.map(|batch| (batch, (merge, Some(progress)))))
        });
        let stream = RecordBatchStreamAdapter::new(self.table.schema.clone(), Box::pin(batches));
        Ok(Box::pin(cooperative(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = match self.table.shape {
            Shape::Lists => self.table.snapshot.series.len(),
            Shape::Rows => {
                let memory: usize = self.table.snapshot.memory.iter().map(|m| m.samples()).sum();
                self.pruned.rows_selected + memory
            }
        };
        let rows = if args.partition().is_some() { rows / self.chunks.len() } else { rows };
        let mut statistics = Statistics::new_unknown(&self.table.schema);
        statistics.num_rows = Precision::Inexact(rows);
        Ok(Arc::new(statistics))
    }
}

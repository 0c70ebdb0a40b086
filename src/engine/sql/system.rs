//! Schema `promlake`: `samples`, `series`, `metrics`, `exemplars`, `alert_history` and `files` from the store, tables the
//! application registers (such as `targets`), and the views.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::RwLock;

use crate::engine::door::Memory;
use crate::engine::exemplars;
use crate::engine::scan::output::{labels_map, labels_maps};
use crate::engine::scan::table::{Column, Shape, labels_type, timestamp_type};
use crate::engine::sql::alert_history;
use crate::engine::sql::catalog::external;
use crate::engine::sql::context::Parts;
use crate::engine::sql::pushdown::{self, Pushdown};
use crate::engine::sql::samples::SamplesTable;
use crate::engine::sql::verify::{Reason, Refused};
use crate::engine::sql::views;
use crate::engine::visible::Visible;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::store::Store;
use crate::storage::store::select::Exactly;
use crate::storage::types::{SampleFile, Series};

/// Tables and views of series alone, of which those are left out that a role may not see. There is nothing in the others
/// that its matchers could be applied to.
const OF_SERIES: &[&str] = &["samples", "series", "metrics", "exemplars", "cardinality", "label_values"];

/// Why a role cannot read any other table.
pub const NOT_BY_MATCHERS: &str =
    "the user's role may see some series only (metrics), and this is not about series";

/// Memory of a series while the table of all is made, besides its text.
const ENTRY_BYTES: usize = 64;

/// The live files of the lake, at the moment of the call.
pub type ListFiles = Arc<dyn Fn() -> Vec<Arc<SampleFile>> + Send + Sync>;

/// Makes the content of a system table, each time it is read.
/// It is told who reads it, where that one does not see everything of others.
pub type Produce = Arc<dyn Fn(Option<&str>) -> BoxFuture<'static, crate::error::Result<RecordBatch>> + Send + Sync>;

/// Tables of the application, by name. A table nobody registers does not exist.
#[derive(Default)]
pub struct SystemTables {
    tables: RwLock<BTreeMap<String, (SchemaRef, Produce)>>,
}

impl SystemTables {
    /// Adds or replaces a table; `produce` returns batches of this schema.
    pub fn register(&self, name: &str, schema: SchemaRef, produce: Produce) {
        self.tables.write().insert(name.to_string(), (schema, produce));
    }

    fn names(&self) -> Vec<String> {
        self.tables.read().keys().cloned().collect()
    }

    fn table(&self, name: &str, reader: Option<Arc<str>>) -> Option<SystemTable> {
        let tables = self.tables.read();
        let (schema, produce) = tables.get(name)?;
        let produce = produce.clone();
        Some(SystemTable::at_once(schema.clone(), Vec::new(), Arc::new(move |_, _| produce(reader.as_deref()))))
    }
}

impl fmt::Debug for SystemTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

pub struct SystemSchema {
    parts: Parts,
}

impl SystemSchema {
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    fn built_in(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        Some(match name {
            "samples" => Arc::new(SamplesTable::of_all(self.parts.visible.clone())),
            "series" => Arc::new(series_table(self.parts.visible.clone())),
            "metrics" => Arc::new(metrics_table(self.parts.visible.clone())),
            "exemplars" => Arc::new(exemplars_table(self.parts.visible.clone())),
            "alert_history" => Arc::new(alert_history_table(self.parts.visible.whole().clone())),
            "files" => Arc::new(files_table(self.parts.files.clone())),
            _ => return None,
        })
    }
}

impl SystemSchema {
    fn all_names(&self) -> Vec<String> {
        let built_in = ["samples", "series", "metrics", "exemplars", "alert_history", "files"].map(str::to_string);
        let views = views::VIEWS.iter().map(|view| view.name.to_string());
        built_in.into_iter().chain(self.parts.system.names()).chain(views).collect()
    }

    /// Whether a table has nothing that who asks may not see.
    fn shows(&self, name: &str) -> bool {
        !self.parts.visible.is_part() || OF_SERIES.contains(&name)
    }
}

impl fmt::Debug for SystemSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemSchema")
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.all_names();
        names.retain(|name| self.shows(name));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !self.shows(name) && self.all_names().iter().any(|n| n == name) {
            let message = format!("permission denied for table {name}: {NOT_BY_MATCHERS}");
            return Err(DataFusionError::External(Box::new(Refused { reason: Reason::Forbidden, message })));
        }
        if let Some(table) = self.built_in(name) {
            return Ok(Some(table));
        }
        if let Some(table) = self.parts.system.table(name, self.parts.reader.clone()) {
            return Ok(Some(Arc::new(table)));
        }
        views::plan(name, &self.parts).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|n| n == name)
    }
}

/// All rows of a table in one batch.
type FillAtOnce =
    Arc<dyn Fn(Pushdown, Memory) -> BoxFuture<'static, crate::error::Result<RecordBatch>> + Send + Sync>;

/// The rows of a table, some at a time.
type Fill = Arc<dyn Fn(Pushdown, Memory) -> BoxStream<'static, crate::error::Result<RecordBatch>> + Send + Sync>;

/// A table made anew for each run of a plan.
struct SystemTable {
    schema: SchemaRef,
    /// What clauses on its columns mean to the store; empty where nothing is pushed down.
    columns: Vec<(String, Column)>,
    fill: Fill,
}

impl SystemTable {
    fn new(schema: SchemaRef, columns: Vec<(String, Column)>, fill: Fill) -> Self {
        Self { schema, columns, fill }
    }

    fn at_once(schema: SchemaRef, columns: Vec<(String, Column)>, fill: FillAtOnce) -> Self {
        Self::new(schema, columns, Arc::new(move |wanted, memory| stream::once(fill(wanted, memory)).boxed()))
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemTable")
    }
}

/// The content of a system table, made when it is asked for, in the memory of queries.
struct Content {
    schema: SchemaRef,
    wanted: Pushdown,
    fill: Fill,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

impl PartitionStream for Content {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size().max(1);
        let making = Memory::of(context.memory_pool(), "system table");
        let sliced = move |batch: crate::error::Result<RecordBatch>| {
            let batch = batch.map_err(external)?;
            let made = Memory::of(context.memory_pool(), "system table");
            made.grow(batch.get_array_memory_size()).map_err(external)?;
            let slices = (0..batch.num_rows()).step_by(rows).map(move |from| {
                // Held until the last slice is handed on.
                let _made = &made;
                Ok(batch.slice(from, rows.min(batch.num_rows() - from)))
            });
            Ok::<_, DataFusionError>(stream::iter(slices))
        };
        let batches = (self.fill)(self.wanted.clone(), making).map(sliced).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match pushdown::translate(filter, &self.columns) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut wanted = Pushdown::default();
        for pushdown in filters.iter().filter_map(|filter| pushdown::translate(filter, &self.columns)) {
            wanted.and(pushdown);
        }
        // A clause that nothing can satisfy says so by an empty range.
        if wanted.range.is_empty() {
            return MemTable::try_new(self.schema.clone(), vec![vec![]])?.scan(state, projection, &[], limit).await;
        }
        let content = Content { schema: self.schema.clone(), wanted, fill: Arc::clone(&self.fill) };
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(content)];
        Ok(Arc::new(StreamingTableExec::try_new(self.schema.clone(), partitions, projection, [], false, limit)?))
    }
}

/// `series_id`, `metric`, `labels`, over all time that is listed.
fn series_table(visible: Visible) -> SystemTable {
    let columns = vec![
        ("series_id".to_string(), Column::SeriesId),
        ("metric".to_string(), Column::Label(METRIC_NAME.to_string())),
        ("labels".to_string(), Column::Labels),
    ];
    let fields = [
        Column::SeriesId.field("series_id", Shape::Rows),
        Field::new("metric", DataType::Utf8, true),
        Field::new("labels", labels_type(), false),
    ];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let fill_schema = schema.clone();
    let fill: FillAtOnce = Arc::new(move |wanted, memory| {
        let (visible, schema) = (visible.clone(), fill_schema.clone());
        async move {
            let mut found: BTreeMap<Labels, Arc<Series>> = BTreeMap::new();
            let add = |series: &Arc<Series>| {
                if !found.contains_key(&series.labels) {
                    // The entry, and its text in the batch.
                    memory.grow(ENTRY_BYTES + series.labels.as_bytes().len())?;
                    found.insert(series.labels.clone(), Arc::clone(series));
                }
                Ok(())
            };
            visible.visit_series(TimeRange::ALL, Exactly::Days, &[wanted.matchers], add).await?;
            let series: Vec<&Series> = found.values().map(Arc::as_ref).collect();
            let metrics = series.iter().map(|s| s.labels.get(METRIC_NAME));
            batch(
                schema,
                vec![
                    Arc::new(Int64Array::from_iter_values(series.iter().map(|s| s.id))),
                    Arc::new(metrics.collect::<StringArray>()),
                    labels_map(&series),
                ],
            )
        }
        .boxed()
    });
    SystemTable::at_once(schema, columns, fill)
}

fn batch(schema: SchemaRef, columns: Vec<arrow::array::ArrayRef>) -> crate::error::Result<RecordBatch> {
    RecordBatch::try_new(schema, columns)
        .map_err(|e| crate::error::Error::internal("a system table does not fit its schema").with_source(e))
}

/// `name`, `type`, `unit`, `help`: every family with metadata, and every metric without.
fn metrics_table(visible: Visible) -> SystemTable {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![text("name"), text("type"), text("unit"), text("help")]));
    let fill_schema = schema.clone();
    let fill: FillAtOnce = Arc::new(move |_, _| {
        let (visible, schema) = (visible.clone(), fill_schema.clone());
        async move {
            let names = visible.metric_names(TimeRange::ALL).await?;
            let metadata = visible.metadata_among(&names);
            let rows = describe(names, metadata);
            let column = |of: fn(&(String, Metadata)) -> &str| {
                Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as arrow::array::ArrayRef
            };
            let columns = vec![
                column(|row| &row.0),
                column(|row| row.1.kind.as_str()),
                column(|row| &row.1.unit),
                column(|row| &row.1.help),
            ];
            batch(schema, columns)
        }
        .boxed()
    });
    SystemTable::at_once(schema, Vec::new(), fill)
}

/// Metadata by family, and an unknown one for each metric that belongs to no family.
fn describe(names: Vec<String>, metadata: Vec<(String, Metadata)>) -> Vec<(String, Metadata)> {
    const SUFFIXES: [&str; 5] = ["_bucket", "_count", "_sum", "_total", "_created"];
    let mut rows: BTreeMap<String, Metadata> = metadata.into_iter().collect();
    for name in names {
        let family = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
        if !family.into_iter().any(|family| rows.contains_key(family)) {
            rows.entry(name).or_default();
        }
    }
    rows.into_iter().collect()
}

/// `metric`, `series_labels`, `timestamp`, `value`, `labels`: as they were told, by series and time.
fn exemplars_table(visible: Visible) -> SystemTable {
    let columns = vec![
        ("metric".to_string(), Column::Label(METRIC_NAME.to_string())),
        ("series_labels".to_string(), Column::Labels),
        ("timestamp".to_string(), Column::Timestamp),
    ];
    let fields = [
        Field::new("metric", DataType::Utf8, true),
        Field::new("series_labels", labels_type(), false),
        Field::new("timestamp", timestamp_type(), false),
        Field::new("value", DataType::Float64, false),
        Field::new("labels", labels_type(), false),
    ];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let fill_schema = schema.clone();
    let fill: FillAtOnce = Arc::new(move |wanted, memory| {
        let (visible, schema) = (visible.clone(), fill_schema.clone());
        async move {
            let sets = [wanted.matchers];
            let found =
                exemplars::gather(&visible, wanted.range, &sets, |bytes| memory.grow(bytes), || Ok(())).await?;
            let rows = || {
                let by_series = found.by_series.iter();
                by_series.flat_map(|(labels, (_, exemplars))| exemplars.iter().map(move |e| (labels, e)))
            };
            let times = TimestampMillisecondArray::from_iter_values(rows().map(|(_, e)| e.timestamp));
            batch(
                schema,
                vec![
                    Arc::new(rows().map(|(labels, _)| labels.get(METRIC_NAME)).collect::<StringArray>()),
                    labels_maps(rows().map(|(labels, _)| labels)),
                    Arc::new(times.with_timezone("UTC")),
                    Arc::new(Float64Array::from_iter_values(rows().map(|(_, e)| e.value()))),
                    labels_maps(rows().map(|(_, e)| &e.labels)),
                ],
            )
        }
        .boxed()
    });
    SystemTable::at_once(schema, columns, fill)
}

fn alert_history_table(store: Arc<Store>) -> SystemTable {
    let fill: Fill = Arc::new(move |wanted, memory| alert_history::changes(store.clone(), wanted.range, memory));
    SystemTable::new(alert_history::schema(), alert_history::columns(), fill)
}

/// The live Parquet files of `samples`.
fn files_table(files: ListFiles) -> SystemTable {
    let schema = files_schema();
    let fill: FillAtOnce = Arc::new(move |_, _| {
        let result = files_batch(&files());
        async move { result }.boxed()
    });
    SystemTable::at_once(schema, Vec::new(), fill)
}

fn files_schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field("path", DataType::Utf8),
        field("day", DataType::Date32),
        field("size_bytes", DataType::UInt64),
        field("rows", DataType::UInt64),
        field("commit", DataType::Int64),
        field("min_timestamp", timestamp_type()),
        field("max_timestamp", timestamp_type()),
        field("min_metric", DataType::Utf8),
        field("max_metric", DataType::Utf8),
    ]))
}

fn files_batch(files: &[Arc<SampleFile>]) -> crate::error::Result<RecordBatch> {
    let texts = |of: fn(&SampleFile) -> &str| Arc::new(StringArray::from_iter_values(files.iter().map(|f| of(f))));
    let times = |of: fn(&SampleFile) -> i64| {
        let times = TimestampMillisecondArray::from_iter_values(files.iter().map(|f| of(f)));
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: Vec<arrow::array::ArrayRef> = vec![
        texts(|f| &f.path),
        Arc::new(Date32Array::from_iter_values(files.iter().map(|f| f.day))),
        Arc::new(UInt64Array::from_iter_values(files.iter().map(|f| f.size_bytes))),
        Arc::new(UInt64Array::from_iter_values(files.iter().map(|f| f.rows))),
        Arc::new(Int64Array::from_iter_values(files.iter().map(|f| f.commit))),
        times(|f| f.min_timestamp),
        times(|f| f.max_timestamp),
        texts(|f| &f.min_metric),
        texts(|f| &f.max_metric),
    ];
    batch(files_schema(), columns)
}

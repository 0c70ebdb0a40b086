//! From snapshot to physical plan: reads the footers, splits the matched series into partitions by key range,
//! and gives every file a Parquet source whose partitions read only the pages their series can be in.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column as ColumnExpr, lit};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::scalar::ScalarValue;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use crate::engine::scan::exec::{FileInput, SeriesMergeExec};
use crate::engine::scan::footer::{self, Footer, ReaderFactory};
use crate::engine::scan::open::{OPEN_FILES, PACKED_ROWS, Part};
use crate::engine::scan::output::Wants;
use crate::engine::scan::prune::{KeyColumns, Pruned, Wanted, access_plan};
use crate::engine::scan::table::{SeriesTable, timestamp_type};
use crate::model::sample::TimeRange;
use crate::storage::types::{Series, Snapshot};

/// Below this a further partition costs more than it gives.
const MIN_SERIES_PER_PARTITION: usize = 32;
/// Rows decoded at a time from one file, and of all that are open together.
const FILE_BATCH_ROWS: usize = 16 << 10;
const OPEN_BATCH_ROWS: usize = OPEN_FILES * FILE_BATCH_ROWS;
/// Below this decoding would be slow.
const MIN_BATCH_ROWS: usize = 2 << 10;
/// Of a column that is being read: its decompressor, which for zstd is most of it, and a page.
const COLUMN_BYTES: usize = 256 << 10;
/// A row in the columns of floats: id, time, scaled value, scale and value.
const ROW_BYTES: usize = 33;
/// More of a row where there are histograms: a common one's.
const HISTOGRAM_BYTES: usize = 512;

/// Plans the leaf. The output has one partition per key range.
pub(super) async fn plan(
    table: SeriesTable,
    state: &dyn Session,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let chunks = chunks(table.snapshot.series.len(), state.config().target_partitions());
    let wants = Wants::of(&table.columns, table.shape, &table.snapshot);
    let (inputs, pruned) = match table.snapshot.files.is_empty() {
        true => Default::default(),
        false => file_inputs(&table, state, &chunks, &wants).await?,
    };
    Ok(Arc::new(SeriesMergeExec::new(table, wants, chunks, inputs, pruned, limit)))
}

/// A source for each file that may have samples of the series in range.
async fn file_inputs(
    table: &SeriesTable,
    state: &dyn Session,
    chunks: &[Range<usize>],
    wants: &Wants,
) -> Result<(Vec<FileInput>, Pruned)> {
    let runtime = state.runtime_env();
    // DataFusion looks the store up before it asks our reader factory, which has its own.
    let url = ObjectStoreUrl::parse("promlake://lake")?;
    runtime.register_object_store(url.as_ref(), table.snapshot.objects.clone());

    let footers = footer::read_all(&table.snapshot, runtime.cache_manager.get_file_metadata_cache()).await?;
    let series = &table.snapshot.series;
    let wanted: Vec<Wanted<'_>> = chunks.iter().map(|c| Wanted::new(&series[c.clone()], table.range)).collect();
    let mut pruned = Pruned::default();
    let read: Vec<_> = footers
        .into_iter()
        .enumerate()
        .map(|(priority, footer)| {
            let selected = select(&footer, &wanted, &mut pruned);
            (priority, footer, selected)
        })
        .filter(|(_, _, selected)| selected.iter().any(Option::is_some))
        .collect();
    let stays_open = |selected: &[Option<Selected>]| selected.iter().flatten().any(|part| part.rows > PACKED_ROWS);
    let open = read.iter().filter(|(_, _, selected)| stays_open(selected)).count();
    let batch_rows = (OPEN_BATCH_ROWS / open.max(1)).clamp(MIN_BATCH_ROWS, FILE_BATCH_ROWS);
    let predicate = Predicate::new(series, table.range);
    let mut inputs = Vec::new();
    for (priority, footer, selected) in read {
        let schema = Arc::new(file_schema(&footer.parquet, wants)?);
        let part = |selected: &Option<Selected>| {
            selected.as_ref().map_or_else(Part::default, |part| part.of(&footer.parquet, &schema, batch_rows))
        };
        let parts = selected.iter().map(part).collect();
        let groups = selected.into_iter().map(|selected| file_group(&footer, selected)).collect();
        let plan = parquet_source(schema, groups, batch_rows, &predicate, &table.snapshot, &url)?;
        inputs.push(FileInput { file: footer.file, priority, parts, plan });
    }
    // Runs are read source by source: oldest first, most need no sorting afterwards.
    inputs.sort_by_key(|input| (input.file.min_timestamp, input.priority));
    Ok((inputs, pruned))
}

/// Contiguous, about equal parts of the matched series; at least one, which may be empty.
pub(super) fn chunks(series: usize, target_partitions: usize) -> Vec<Range<usize>> {
    let parts = target_partitions.min(series.div_ceil(MIN_SERIES_PER_PARTITION)).max(1);
    (0..parts).map(|part| series * part / parts..series * (part + 1) / parts).collect()
}

/// What a partition reads of a file.
struct Selected {
    plan: ParquetAccessPlan,
    rows: usize,
}

/// What each partition reads of a file, `None` where nothing in it is wanted.
fn select(footer: &Footer, wanted: &[Wanted<'_>], pruned: &mut Pruned) -> Vec<Option<Selected>> {
    let keys = KeyColumns::of(&footer.parquet);
    let selected = wanted.iter().enumerate().map(|(partition, wanted)| {
        let (plan, part) = access_plan(&footer.parquet, &keys, wanted);
        pruned.pages_selected += part.pages_selected;
        pruned.rows_selected += part.rows_selected;
        if partition == 0 {
            pruned.pages_total += part.pages_total;
        }
        plan.map(|plan| Selected { plan, rows: part.rows_selected })
    });
    selected.collect()
}

fn file_group(footer: &Footer, selected: Option<Selected>) -> FileGroup {
    let file = |selected: Selected| {
        let file = PartitionedFile::new_from_meta(footer.meta.clone());
        file.with_extension(footer.clone()).with_extension(selected.plan)
    };
    FileGroup::new(selected.map(file).into_iter().collect())
}

impl Selected {
    /// What is held while it is read: of one row group at a time its pages, and two batches.
    fn of(&self, parquet: &ParquetMetaData, schema: &Schema, batch_rows: usize) -> Part {
        let is_read = |root: &String| *root != "metric" && schema.index_of(root).is_ok();
        let leaves = parquet.file_metadata().schema_descr().columns().iter().enumerate();
        let leaves = leaves.filter(|(_, leaf)| leaf.path().parts().first().is_some_and(is_read));
        let leaves: Vec<usize> = leaves.map(|(position, _)| position).collect();
        let pages = self.plan.inner().iter().zip(parquet.row_groups()).map(|(access, group)| {
            let all = group.num_rows().max(1) as u128;
            let selected = match access {
                RowGroupAccess::Skip => 0,
                RowGroupAccess::Scan => all,
                RowGroupAccess::Selection(selection) => selection.row_count() as u128,
            };
            let compressed = |leaf: &usize| group.column(*leaf).compressed_size().max(0) as u128;
            leaves.iter().map(compressed).sum::<u128>() * selected / all
        });
        let pages_bytes = pages.max().unwrap_or(0) as usize;
        let row_bytes = ROW_BYTES + if schema.index_of("histogram").is_ok() { HISTOGRAM_BYTES } else { 0 };
        let batches_bytes = 2 * self.rows.min(batch_rows) * row_bytes;
        Part { rows: self.rows, reading_bytes: pages_bytes + leaves.len() * COLUMN_BYTES + batches_bytes }
    }
}

fn parquet_source(
    schema: SchemaRef,
    groups: Vec<FileGroup>,
    batch_rows: usize,
    predicate: &Predicate,
    snapshot: &Snapshot,
    url: &ObjectStoreUrl,
) -> Result<Arc<dyn ExecutionPlan>> {
    // The metric comes last: it is there for the predicate and is not read.
    let read = (0..schema.fields().len()).filter(|i| schema.field(*i).name() != "metric").collect();
    let mut source = ParquetSource::new(TableSchema::from(schema.clone()))
        .with_enable_page_index(false)
        .with_bloom_filter_on_read(false)
        .with_pushdown_filters(false)
        .with_parquet_file_reader_factory(Arc::new(ReaderFactory { objects: snapshot.objects.clone() }));
    if let Some(predicate) = predicate.over(&schema) {
        source = source.with_predicate(predicate);
    }
    let partitioning = Partitioning::UnknownPartitioning(groups.len());
    let config = FileScanConfigBuilder::new(url.clone(), Arc::new(source))
        .with_projection_indices(Some(read))?
        .with_file_groups(groups)
        .with_batch_size(Some(batch_rows))
        // A partition is a key range here: the optimizer must not split a file by bytes, and idle partitions must
        // not take each other's files.
        .with_output_partitioning(Some(partitioning))
        .with_preserve_order(true)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The wanted columns that the file has and that are not all NULL in it.
fn file_schema(parquet: &ParquetMetaData, wants: &Wants) -> Result<Schema> {
    let metadata = parquet.file_metadata();
    let physical = parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())?;
    let mut fields =
        vec![Field::new("series_id", DataType::Int64, false), Field::new("timestamp", timestamp_type(), false)];
    let mut add = |name: &str, data_type: Option<DataType>| {
        if let Ok(field) = physical.field_with_name(name)
            && !all_null(parquet, name)
        {
            let data_type = data_type.unwrap_or_else(|| field.data_type().clone());
            fields.push(Field::new(name, data_type, true));
        }
    };
    if wants.values {
        add("scaled", Some(DataType::Int64));
        add("scale", Some(DataType::Int8));
        add("value", Some(DataType::Float64));
    }
    if wants.histograms {
        add("histogram", None);
    }
    if wants.start_timestamps {
        add("start_timestamp", Some(timestamp_type()));
    }
    add("metric", Some(DataType::Utf8View));
    Ok(Schema::new(fields))
}

fn all_null(parquet: &ParquetMetaData, name: &str) -> bool {
    let columns = parquet.file_metadata().schema_descr().columns();
    let Some(column) = columns.iter().position(|c| c.path().string() == name) else { return false };
    parquet.row_groups().iter().all(|group| {
        let nulls = group.column(column).statistics().and_then(|s| s.null_count_opt());
        nulls == Some(group.num_rows() as u64)
    })
}

/// What the scan asks of every file, as an expression: for `EXPLAIN`, and for row group statistics.
struct Predicate {
    metrics: Option<(String, String)>,
    range: TimeRange,
}

impl Predicate {
    fn new(series: &[Arc<Series>], range: TimeRange) -> Self {
        let metric = |s: &Arc<Series>| s.labels.metric().to_string();
        Self { metrics: series.first().map(metric).zip(series.last().map(metric)), range }
    }

    fn over(&self, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
        let mut terms: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        let mut term = |name: &str, op: Operator, value: ScalarValue| {
            if let Ok(index) = schema.index_of(name) {
                let column = Arc::new(ColumnExpr::new(name, index));
                terms.push(Arc::new(BinaryExpr::new(column, op, lit(value))));
            }
        };
        if let Some((first, last)) = &self.metrics {
            let text = |t: &String| ScalarValue::Utf8View(Some(t.clone()));
            if first == last {
                term("metric", Operator::Eq, text(first));
            } else {
                term("metric", Operator::GtEq, text(first));
                term("metric", Operator::LtEq, text(last));
            }
        }
        let time = |t: i64| ScalarValue::TimestampMillisecond(Some(t), Some("UTC".into()));
        if self.range.start_inclusive != i64::MIN {
            term("timestamp", Operator::GtEq, time(self.range.start_inclusive));
        }
        if self.range.end_inclusive != i64::MAX {
            term("timestamp", Operator::LtEq, time(self.range.end_inclusive));
        }
        let and = |a, b| Arc::new(BinaryExpr::new(a, Operator::And, b)) as Arc<dyn PhysicalExpr>;
        terms.into_iter().reduce(and)
    }
}

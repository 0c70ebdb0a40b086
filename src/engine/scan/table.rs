//! `SeriesTable`: a snapshot and a time range as a DataFusion table, in one of two shapes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::engine::columns;
use crate::engine::promql::cancel::Cancel;
use crate::engine::scan::sources;
use crate::model::sample::TimeRange;
use crate::promql::span::Span;
use crate::storage::types::Snapshot;

/// Data columns of the list shape.
pub use crate::engine::columns::{HISTOGRAMS, START_TIMESTAMPS, TIMESTAMPS, VALUES};

/// Data columns of the row shape.
pub const TIMESTAMP: &str = "timestamp";
pub const VALUE: &str = "value";
pub const HISTOGRAM: &str = "histogram";

#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// An output batch is closed when it holds this many samples; one series is never split in the list shape.
    pub batch_samples: usize,
    /// And when it holds this many series in the list shape. What functions make of a batch has a value for each step
    /// of each of its series.
    pub batch_series: usize,
    /// Raised when nobody waits for the rows any more.
    pub cancel: Cancel,
    /// Which selector of a query it is, for a plan that is run again with other series.
    pub leaf: Option<Span>,
    /// Whose series they are, where several queries are asked together. They are in their order, and not by metric and id,
    /// so that they cannot be read from files.
    pub askers: Option<Askers>,
}

/// Queries that are asked together: the series of each follow those of the one before it.
#[derive(Clone, Debug)]
pub struct Askers(Arc<[usize]>);

impl Askers {
    /// By where the series of each end, in their order.
    pub fn of_ends(ends: Vec<usize>) -> Self {
        Self(ends.into())
    }

    /// Whose series it is, by its position among all of them.
    pub fn of(&self, position: usize) -> usize {
        self.0.partition_point(|end| *end <= position)
    }
}

impl ScanOptions {
    /// For the vectors of a query, of which so many series fit a batch.
    pub fn of_query(batch_series: usize, cancel: Cancel) -> Self {
        Self { batch_series, cancel, ..Self::default() }
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        // 128 Ki samples of 16 bytes are 2 MiB.
        Self { batch_samples: 128 << 10, batch_series: 8192, cancel: Cancel::default(), leaf: None, askers: None }
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A row is a series; its samples are lists.
    Lists,
    /// A row is a sample.
    Rows,
}

/// Where a column's content comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// One label, by its name; NULL where the series has none of that name.
    Label(String),
    /// All labels but the metric name, as a map.
    Labels,
    /// The number of the query whose series it is, of several that are asked together.
    Asker,
    SeriesId,
    Timestamp,
    Value,
    /// Lists: `model::histogram::codec`; rows: JSON, see `scan::histogram::to_json`.
    Histogram,
    StartTimestamp,
}

impl Column {
    fn data_type(&self, shape: Shape) -> DataType {
        let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
        match (self, shape) {
            (Column::Label(_) | Column::Asker, _) => DataType::Utf8View,
            (Column::Labels, _) => labels_type(),
            (Column::SeriesId, _) => DataType::Int64,
            (Column::Timestamp | Column::StartTimestamp, Shape::Lists) => list(DataType::Int64),
            (Column::Timestamp | Column::StartTimestamp, Shape::Rows) => timestamp_type(),
            (Column::Value, Shape::Lists) => list(DataType::Float64),
            (Column::Value, Shape::Rows) => DataType::Float64,
            (Column::Histogram, Shape::Lists) => list(DataType::Binary),
            (Column::Histogram, Shape::Rows) => DataType::Utf8View,
        }
    }

    fn nullable(&self, shape: Shape) -> bool {
        match self {
            Column::Label(_) | Column::Asker | Column::Histogram => true,
            Column::Labels | Column::SeriesId | Column::Timestamp => false,
            // A histogram sample has no float value; a float sample may have no start timestamp.
            Column::Value | Column::StartTimestamp => shape == Shape::Rows,
        }
    }

    pub fn field(&self, name: &str, shape: Shape) -> Field {
        Field::new(name, self.data_type(shape), self.nullable(shape))
    }
}

/// The SQL type of timestamps: milliseconds in UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// `Map<Utf8, Utf8>`, as `MapBuilder` names its fields.
pub fn labels_type() -> DataType {
    let entries =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// See the module. Series without a sample in range give no row.
#[derive(Clone, Debug)]
pub struct SeriesTable {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) range: TimeRange,
    pub(super) shape: Shape,
    /// Parallel to the fields of `schema`.
    pub(super) columns: Vec<Column>,
    pub(super) schema: SchemaRef,
    pub(super) options: ScanOptions,
}

impl SeriesTable {
    /// One row per series: its labels, who asks for it where several do, then `__timestamps__`, `__values__`, and `__histograms__` and
    /// `__start_timestamps__` where a source holds any.
    pub fn lists(snapshot: Arc<Snapshot>, range: TimeRange, options: &ScanOptions) -> Arc<dyn TableProvider> {
        let label = |name: &String| (columns::of_label(name).into_owned(), Column::Label(name.clone()));
        let mut columns: Vec<(String, Column)> = snapshot.label_names.iter().map(label).collect();
        if options.askers.is_some() {
            columns.push((columns::ASKER.to_string(), Column::Asker));
        }
        columns.push((TIMESTAMPS.to_string(), Column::Timestamp));
        columns.push((VALUES.to_string(), Column::Value));
        if has_histograms(&snapshot) {
            columns.push((HISTOGRAMS.to_string(), Column::Histogram));
        }
        if has_start_timestamps(&snapshot) {
            columns.push((START_TIMESTAMPS.to_string(), Column::StartTimestamp));
        }
        Arc::new(Self::with_columns(snapshot, range, Shape::Lists, columns, options))
    }

    /// One row per sample: `timestamp`, `value`, the labels, and `histogram` where a source holds any.
    pub fn rows(snapshot: Arc<Snapshot>, range: TimeRange, options: &ScanOptions) -> Arc<dyn TableProvider> {
        let mut columns = vec![(TIMESTAMP.to_string(), Column::Timestamp), (VALUE.to_string(), Column::Value)];
        columns.extend(snapshot.label_names.iter().map(|name| (name.clone(), Column::Label(name.clone()))));
        if has_histograms(&snapshot) {
            columns.push((HISTOGRAM.to_string(), Column::Histogram));
        }
        Arc::new(Self::with_columns(snapshot, range, Shape::Rows, columns, options))
    }

    /// The leaf with the caller's own columns and names, for tables whose schema was fixed before the
    /// snapshot was taken.
    pub fn with_columns(
        snapshot: Arc<Snapshot>,
        range: TimeRange,
        shape: Shape,
        columns: Vec<(String, Column)>,
        options: &ScanOptions,
    ) -> Self {
        let fields: Vec<Field> = columns.iter().map(|(name, column)| column.field(name, shape)).collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let schema = Arc::new(Schema::new(fields));
        Self { snapshot, range, shape, columns, schema, options: options.clone() }
    }
}

/// Whether any source of the snapshot may have histograms.
pub fn has_histograms(snapshot: &Snapshot) -> bool {
    snapshot.files.iter().any(|f| f.has_histograms) || snapshot.memory.iter().any(|m| m.has_histograms())
}

/// The same of start timestamps.
pub fn has_start_timestamps(snapshot: &Snapshot) -> bool {
    snapshot.files.iter().any(|f| f.has_start_timestamps)
        || snapshot.memory.iter().any(|m| m.has_start_timestamps())
}

#[async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = match projection {
            None => self.clone(),
            Some(indices) => Self {
                columns: indices.iter().map(|i| self.columns[*i].clone()).collect(),
                schema: Arc::new(self.schema.project(indices)?),
                ..self.clone()
            },
        };
        sources::plan(table, state, limit).await
    }
}

//! Tables of schema `promlake` whose rows other parts of the process make when they are asked for, without a word of Arrow.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::FutureExt;

use crate::engine::scan::output::labels_maps;
use crate::engine::scan::table::{labels_type, timestamp_type};
use crate::engine::sql::system::SystemTables;
use crate::error::{Context, ErrorKind, Result};
use crate::model::labels::Labels;

/// A column of such a table, with a value for each row.
pub enum Cells {
    Text(Vec<Option<String>>),
    Float(Vec<Option<f64>>),
    /// Milliseconds since the epoch.
    Time(Vec<Option<i64>>),
    /// Names and values, without that of a metric.
    Labels(Vec<Labels>),
}

/// Names of columns and their values; all columns have as many.
pub type Rows = Vec<(&'static str, Cells)>;

impl SystemTables {
    /// Adds or replaces a table. `rows` is called once here, for the names and kinds of its columns, and again each time the
    /// table is read.
    pub fn register_live(&self, name: &str, rows: impl Fn() -> Rows + Send + Sync + 'static) {
        self.register_live_for(name, move |_| rows());
    }

    /// The same for a table that is not the same for all: `rows` is told who reads, if that one sees of others not all.
    pub fn register_live_for(&self, name: &str, rows: impl Fn(Option<&str>) -> Rows + Send + Sync + 'static) {
        let first = rows(None);
        let fields = first.iter().map(|(name, cells)| Field::new(*name, cells.data_type(), cells.is_nullable()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let (of_batch, rows) = (schema.clone(), Arc::new(rows));
        let produce = move |reader: Option<&str>| {
            let (schema, rows, reader) = (of_batch.clone(), rows.clone(), reader.map(str::to_string));
            async move { batch(schema, rows(reader.as_deref())) }.boxed()
        };
        self.register(name, schema, Arc::new(produce));
    }
}

fn batch(schema: Arc<Schema>, rows: Rows) -> Result<RecordBatch> {
    let columns = rows.into_iter().map(|(_, cells)| cells.into_array()).collect();
    RecordBatch::try_new(schema, columns).context(ErrorKind::Internal, || "a table of the application".into())
}

impl Cells {
    fn data_type(&self) -> DataType {
        match self {
            Cells::Text(_) => DataType::Utf8,
            Cells::Float(_) => DataType::Float64,
            Cells::Time(_) => timestamp_type(),
            Cells::Labels(_) => labels_type(),
        }
    }

    fn is_nullable(&self) -> bool {
        !matches!(self, Cells::Labels(_))
    }

    fn into_array(self) -> ArrayRef {
        match self {
            Cells::Text(values) => Arc::new(StringArray::from(values)),
            Cells::Float(values) => Arc::new(Float64Array::from(values)),
            Cells::Time(values) => Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC")),
            Cells::Labels(sets) => labels_maps(sets.iter()),
        }
    }
}

//! `promlake.alert_history`: a row for each change of the state of an alert, from the lake. Read file by file, so that no more
//! is held at a time than one file and the part of it that is handed on.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, StructArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType};
use arrow::error::ArrowError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::engine::door::Memory;
use crate::engine::scan::table::{Column, labels_type};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::sample::TimeRange;
use crate::storage::lake::files::RowFile;
use crate::storage::lake::schema;
use crate::storage::store::Store;

/// The columns of the table in the lake, maps in the type of all others.
pub fn schema() -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Map(..) => field.as_ref().clone().with_data_type(labels_type()),
        _ => field.as_ref().clone(),
    };
    Arc::new(Schema::new(schema::ALERT_HISTORY.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Which clauses choose what is read.
pub fn columns() -> Vec<(String, Column)> {
    vec![(schema::TIME.to_string(), Column::Timestamp)]
}

/// The changes within a range, of the days it touches, in no order.
pub fn changes(store: Arc<Store>, range: TimeRange, memory: Memory) -> BoxStream<'static, Result<RecordBatch>> {
    let files = store.lake().alert_files(range);
    let memory = Arc::new(memory);
    let read = move |file: Arc<RowFile>| {
        let (store, memory) = (store.clone(), memory.clone());
        async move {
            let held = Held::new(memory, usize::try_from(file.size_bytes).unwrap_or(usize::MAX))?;
            let batches = store.lake().read_alert_file(&file).await?;
            Ok::<_, Error>(stream::iter(batches.map(move |batch| {
                // As long as there are parts of it to come.
                let _held = &held;
                shown(&batch?, range)
            })))
        }
    };
    stream::iter(files).then(read).try_flatten().boxed()
}

/// Memory of a file.
struct Held(Arc<Memory>, usize);

impl Held {
    fn new(memory: Arc<Memory>, bytes: usize) -> Result<Self> {
        memory.grow(bytes)?;
        Ok(Self(memory, bytes))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.shrink(self.1);
    }
}

/// The rows within the range.
fn shown(batch: &RecordBatch, range: TimeRange) -> Result<RecordBatch> {
    let message = || "a file of alert_history does not fit its table".to_string();
    let columns = batch.columns().iter().map(|column| match column.as_map_opt() {
        Some(map) => labels(map),
        None => Ok(Arc::clone(column)),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().context(ErrorKind::Internal, message)?;
    let batch = RecordBatch::try_new(schema(), columns).context(ErrorKind::Internal, message)?;
    let times = batch.column_by_name(schema::TIME).expect("it is in the schema");
    let times = times.as_primitive::<TimestampMillisecondType>().values();
    let wanted: BooleanArray = times.iter().map(|time| Some(range.contains(*time))).collect();
    filter_record_batch(&batch, &wanted).context(ErrorKind::Internal, message)
}

/// The same map under the names of [`labels_type`].
fn labels(map: &MapArray) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entries, _) = labels_type() else { return Err(ArrowError::SchemaError("labels".into())) };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::SchemaError("entries".into()));
    };
    let pairs = StructArray::try_new(fields.clone(), map.entries().columns().to_vec(), None)?;
    Ok(Arc::new(MapArray::try_new(entries, map.offsets().clone(), pairs, None, false)?))
}

//! Records of deletes, and how they are written: a row of the table `deletes` each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, TimestampMillisecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, TimestampMillisecondType};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::model::sample::TimeRange;
use crate::storage::deleted::{Deleted, Deletes};
use crate::storage::lake::files::RowFile;
use crate::storage::lake::rows;
use crate::storage::lake::schema;

/// The record of a delete.
#[derive(Debug)]
pub struct Delete {
    pub id: String,
    /// When it was asked for. Milliseconds since the epoch.
    pub time: i64,
    /// The selectors, as they were given.
    pub matchers: Vec<String>,
    pub deleted: Arc<Deleted>,
    /// What it takes is in these. Below the root of the store.
    pub files: Vec<String>,
    /// The file it was read from, and whether nothing else was.
    pub record: Arc<RowFile>,
    is_alone: bool,
}

/// All deletes that have a record.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Oldest first.
    pub deletes: Vec<Arc<Delete>>,
    records: Vec<Arc<RowFile>>,
    by_file: HashMap<String, Deletes>,
}

impl Recorded {
    /// The deletes of some files of the table.
    pub fn new(records: Vec<Arc<RowFile>>, mut deletes: Vec<Arc<Delete>>) -> Self {
        deletes.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let mut by_file: HashMap<String, Deletes> = HashMap::new();
        for delete in &deletes {
            for path in &delete.files {
                by_file.entry(path.clone()).or_default().push(delete.deleted.clone());
            }
        }
        Self { deletes, records, by_file }
    }

    /// What they take from a file, by its path below the root.
    pub fn of(&self, path: &str) -> Deletes {
        self.by_file.get(path).cloned().unwrap_or_default()
    }

    /// Whether these are the deletes of exactly these files.
    pub fn is_of(&self, records: &[Arc<RowFile>]) -> bool {
        self.records == records
    }

    /// What was read from a file; one of ours has one delete.
    pub fn read_from(&self, record: &RowFile) -> Option<&Arc<Delete>> {
        self.deletes.iter().find(|delete| delete.record.path == record.path && delete.is_alone)
    }

    /// How many files they name, one that several name as often.
    pub fn named_files(&self) -> usize {
        self.deletes.iter().map(|delete| delete.files.len()).sum()
    }
}

/// Writes a record.
pub fn encode(id: &str, now_ms: i64, matchers: &[String], deleted: &Deleted, files: &[String]) -> Result<Vec<u8>> {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
    let time = |time: i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values([time]).with_timezone("UTC"))
    };
    let list = |elements: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("element", elements.data_type().clone(), true));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([elements.len()]), elements, None))
    };
    let texts = |of: &[String]| list(Arc::new(StringArray::from_iter_values(of)));
    let columns = vec![
        text(id),
        time(now_ms),
        texts(matchers),
        time(deleted.range.start_inclusive),
        time(deleted.range.end_inclusive),
        list(Arc::new(Int64Array::from(deleted.ids.clone()))),
        texts(files),
    ];
    rows::encode(&schema::DELETES, columns)
}

pub fn decode(bytes: Bytes, file: &Arc<RowFile>) -> Result<Vec<Delete>> {
    let path = &file.path;
    let bad = || Error::internal(format!("{path} is no file of deletes"));
    let mut deletes = Vec::new();
    let is_alone = file.rows == 1;
    for batch in rows::decode(bytes, path)? {
        let ids = rows::column(&batch, "id", &DataType::Utf8, path)?;
        let time = |name: &str| rows::column(&batch, name, &schema::timestamp_type(), path);
        let (times, starts, ends) = (time(schema::TIME)?, time("start_time")?, time("end_time")?);
        let at = |column: &ArrayRef, row: usize| column.as_primitive::<TimestampMillisecondType>().value(row);
        let list = |name: &str, row: usize, kind: &DataType| -> Result<ArrayRef> {
            let column =
                batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>()).ok_or_else(bad)?;
            cast(&column.value(row), kind).map_err(|_| bad())
        };
        for row in 0..batch.num_rows() {
            let texts = |name: &str| -> Result<Vec<String>> {
                let texts = list(name, row, &DataType::Utf8)?;
                Ok(texts.as_string::<i32>().iter().flatten().map(str::to_string).collect())
            };
            let mut series =
                list("series_ids", row, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec();
            series.sort_unstable();
            let range = TimeRange::new(at(&starts, row), at(&ends, row));
            deletes.push(Delete {
                id: ids.as_string::<i32>().value(row).to_string(),
                time: at(&times, row),
                matchers: texts("matchers")?,
                deleted: Arc::new(Deleted { ids: series, range }),
                files: texts("files")?,
                record: file.clone(),
                is_alone,
            });
        }
    }
    Ok(deletes)
}

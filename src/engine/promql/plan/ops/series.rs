//! Label columns of gathered vectors: dense ids of label sets, columns gathered from several sides, label
//! sets as Prometheus prints them in messages.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

pub use crate::engine::columns::is_label;
use crate::engine::columns::label_of;
use crate::engine::promql::plan::layout::strings;
use crate::engine::promql::plan::work::Work;
use crate::model::labels::is_legacy_label_name;

/// The columns of labels among those of a schema.
pub fn label_columns(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|f| f.name().clone()).filter(|n| is_label(n)).collect()
}

/// The column of a label, all NULL where the vector has none.
pub fn column(batch: &RecordBatch, name: &str) -> ArrayRef {
    match batch.column_by_name(name) {
        Some(column) => Arc::clone(column),
        None => new_null_array(&DataType::Utf8View, batch.num_rows()),
    }
}

/// Gives rows with equal values of the named labels the same id, counting from 0, over several batches.
/// Absent labels are equal to each other.
pub struct KeyIds {
    /// Ids by batch and row.
    pub ids: Vec<Vec<usize>>,
    pub count: usize,
}

impl KeyIds {
    pub fn new(batches: &[&RecordBatch], names: &[String], work: &Work) -> Result<Self> {
        work.reserve_items::<usize>(batches.iter().map(|b| b.num_rows()).sum())?;
        if names.is_empty() {
            let ids = batches.iter().map(|b| vec![0; b.num_rows()]).collect();
            return Ok(Self { ids, count: 1 });
        }
        let converter = RowConverter::new(names.iter().map(|_| SortField::new(DataType::Utf8View)).collect())?;
        let mut seen: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut ids = Vec::with_capacity(batches.len());
        for batch in batches {
            let columns: Vec<ArrayRef> = names.iter().map(|n| column(batch, n)).collect();
            let rows = converter.convert_columns(&columns)?;
            // Of the rows and, as far as they differ, of the keys.
            let bytes = rows.size();
            work.reserve(2 * bytes)?;
            let mut of_batch = Vec::with_capacity(batch.num_rows());
            for row in rows.iter() {
                let next = seen.len();
                let id = match seen.get(row.as_ref()) {
                    Some(id) => *id,
                    None => {
                        seen.insert(row.as_ref().into(), next);
                        work.reserve(KEY_BYTES)?;
                        next
                    }
                };
                of_batch.push(id);
                work.spend(ROW_ELEMENTS)?;
            }
            work.release(bytes);
            ids.push(of_batch);
        }
        Ok(Self { ids, count: seen.len() })
    }
}

/// A place in a table of keys, beside the key.
const KEY_BYTES: usize = 48;
/// What a row costs beside the look-up of its labels, in elements of a loop.
const ROW_ELEMENTS: usize = 64;

/// The rows of each group.
pub fn members(groups: &[usize], count: usize, work: &Work) -> Result<Vec<Vec<usize>>> {
    // A group has at least room for four.
    work.reserve_items::<[usize; 7]>(count)?;
    work.reserve_items::<usize>(groups.len())?;
    let mut members: Vec<Vec<usize>> = vec![vec![]; count];
    for (row, group) in groups.iter().enumerate() {
        members[*group].push(row);
    }
    work.spend(groups.len())?;
    Ok(members)
}

/// Takes rows `(source, row)` of one column; source `sources.len()` is NULL.
pub fn gather(sources: &[ArrayRef], data_type: &DataType, rows: &[(usize, usize)]) -> Result<ArrayRef> {
    if rows.is_empty() {
        return Ok(new_null_array(data_type, 0));
    }
    let null = new_null_array(data_type, 1);
    let mut arrays: Vec<&dyn Array> = sources.iter().map(|a| a.as_ref()).collect();
    arrays.push(null.as_ref());
    Ok(interleave(&arrays, rows)?)
}

/// A label set as Go's `labels.Labels.String()` prints it: everything in braces, sorted by name.
pub fn print_labels(batch: &RecordBatch, row: usize, keep: impl Fn(&str) -> bool) -> Result<String> {
    let mut pairs = vec![];
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if is_label(field.name()) && keep(field.name()) && array.is_valid(row) {
            let column: &StringViewArray = strings(array)?;
            pairs.push((label_of(field.name()), column.value(row)));
        }
    }
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(n, v)| if is_legacy_label_name(n) { format!("{n}={v:?}") } else { format!("{n:?}={v:?}") })
        .collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

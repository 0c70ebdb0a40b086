//! Rows of a relation, column by column: only those columns are made that a reader asks for, and what a source does not know
//! is the type's zero, or NULL.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int16Array, Int32Array, Int64Array, ListBuilder, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, UInt32Array, UInt32Builder, new_null_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::scalar::ScalarValue;

use super::spec::{Column, Relation, arrow_type};

type ColumnOf = Box<dyn Fn(&str) -> Option<ArrayRef> + Send + Sync>;

/// So many rows, and each column by its name.
pub struct Rows {
    pub len: usize,
    column: ColumnOf,
}

impl Rows {
    pub fn new(len: usize, column: impl Fn(&str) -> Option<ArrayRef> + Send + Sync + 'static) -> Self {
        Self { len, column: Box::new(column) }
    }

    pub fn none() -> Self {
        Self::new(0, |_| None)
    }

    /// Rows of words under a line of names, `~` for NULL.
    pub fn fixed(names: &'static str, rows: &'static [&'static str]) -> Self {
        Self::new(rows.len(), move |name| {
            let at = names.split(' ').position(|n| n == name)?;
            let word = |row: &&'static str| row.split(' ').nth(at).filter(|word| *word != "~");
            Some(Arc::new(rows.iter().map(word).collect::<StringArray>()) as ArrayRef)
        })
    }

    /// The columns of a relation that are read, under its schema.
    pub fn batch(
        &self,
        relation: &Relation,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> Result<RecordBatch> {
        let places: Vec<usize> = match projection {
            Some(places) => places.clone(),
            None => (0..relation.columns.len()).collect(),
        };
        let schema = Arc::new(schema.project(&places)?);
        let columns = places.iter().map(|at| self.array(&relation.columns[*at])).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn array(&self, column: &Column) -> Result<ArrayRef> {
        let data_type = arrow_type(column.type_name);
        match (self.column)(column.name) {
            Some(array) if array.len() != self.len => Err(DataFusionError::Internal(format!(
                "column {} has {} rows, not {}",
                column.name,
                array.len(),
                self.len
            ))),
            Some(array) if *array.data_type() == data_type => Ok(array),
            Some(array) => Ok(cast(&array, &data_type)?),
            None if column.nullable => Ok(new_null_array(&data_type, self.len)),
            None => ScalarValue::new_default(&data_type)?.to_array_of_size(self.len),
        }
    }
}

pub fn texts<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub fn maybe_texts<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub fn oids(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

pub fn booleans(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

pub fn smalls(values: impl Iterator<Item = i16>) -> ArrayRef {
    Arc::new(Int16Array::from_iter_values(values))
}

pub fn numbers(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub fn longs(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// The same text in each row.
pub fn same(text: &str, len: usize) -> ArrayRef {
    texts(std::iter::repeat_n(text, len))
}

/// Lists of texts, `None` for NULL.
pub fn text_lists(values: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for value in values {
        let there = value.is_some();
        value.into_iter().flatten().for_each(|text| lists.values().append_value(text));
        lists.append(there);
    }
    Arc::new(lists.finish())
}

/// Lists of ids.
pub fn oid_lists(values: impl Iterator<Item = Vec<u32>>) -> ArrayRef {
    let mut lists = ListBuilder::new(UInt32Builder::new());
    for value in values {
        value.into_iter().for_each(|oid| lists.values().append_value(oid));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

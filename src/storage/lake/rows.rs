//! The small tables: series, exemplars and metadata, to Parquet and back, whole files at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, MapArray, MapBuilder, MapFieldNames, RecordBatch,
    StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimestampMillisecondType};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::metadata::{Metadata, MetricType};
use crate::storage::lake::schema;
use crate::storage::types::Series;

/// An exemplar with the series it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub series: Arc<Series>,
    pub timestamp: i64,
    pub value: f64,
    pub labels: Labels,
}

/// An exemplar as it is read back; the series is known by its id.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredExemplar {
    pub series_id: i64,
    pub timestamp: i64,
    pub value: f64,
    pub labels: Labels,
}

/// Writes `series`; sorts a copy by (metric, id).
pub fn encode_series(series: &[Arc<Series>]) -> Result<Vec<u8>> {
    let mut sorted: Vec<&Series> = series.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable_by(|a, b| (a.labels.metric(), a.id).cmp(&(b.labels.metric(), b.id)));
    sorted.dedup_by_key(|s| s.id);
    let metrics = StringArray::from_iter_values(sorted.iter().map(|s| s.labels.metric()));
    let ids = Int64Array::from_iter_values(sorted.iter().map(|s| s.id));
    let labels = label_column(sorted.iter().map(|s| &s.labels))?;
    encode(&schema::SERIES, vec![Arc::new(metrics), Arc::new(ids), labels])
}

pub fn decode_series(bytes: Bytes, path: &str) -> Result<Vec<Series>> {
    let mut out = Vec::new();
    for batch in decode(bytes, path)? {
        let ids = column(&batch, schema::SERIES_ID, &DataType::Int64, path)?;
        let labels = labels_of(&batch, path)?;
        out.extend(
            ids.as_primitive::<Int64Type>()
                .values()
                .iter()
                .zip(labels)
                .map(|(id, labels)| Series { id: *id, labels }),
        );
    }
    Ok(out)
}

/// Writes `exemplars`; sorts a copy by (metric, id, timestamp).
pub fn encode_exemplars(exemplars: &[&Exemplar]) -> Result<Vec<u8>> {
    let mut sorted = exemplars.to_vec();
    sorted.sort_by(|a, b| {
        let key = |e: &Exemplar| (e.series.id, e.timestamp);
        a.series.labels.metric().cmp(b.series.labels.metric()).then_with(|| key(a).cmp(&key(b)))
    });
    let metrics = StringArray::from_iter_values(sorted.iter().map(|e| e.series.labels.metric()));
    let ids = Int64Array::from_iter_values(sorted.iter().map(|e| e.series.id));
    let timestamps = TimestampMillisecondArray::from_iter_values(sorted.iter().map(|e| e.timestamp));
    let values = Float64Array::from_iter_values(sorted.iter().map(|e| e.value));
    let labels = label_column(sorted.iter().map(|e| &e.labels))?;
    let columns: Vec<ArrayRef> =
        vec![Arc::new(metrics), Arc::new(ids), Arc::new(timestamps.with_timezone("UTC")), Arc::new(values), labels];
    encode(&schema::EXEMPLARS, columns)
}

pub fn decode_exemplars(bytes: Bytes, path: &str) -> Result<Vec<StoredExemplar>> {
    let mut out = Vec::new();
    for batch in decode(bytes, path)? {
        let ids = column(&batch, schema::SERIES_ID, &DataType::Int64, path)?;
        let timestamps = column(&batch, schema::TIMESTAMP, &schema::timestamp_type(), path)?;
        let values = column(&batch, schema::VALUE, &DataType::Float64, path)?;
        let (ids, values) = (ids.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
        let timestamps = timestamps.as_primitive::<TimestampMillisecondType>();
        for (row, labels) in labels_of(&batch, path)?.into_iter().enumerate() {
            let (series_id, timestamp) = (ids.value(row), timestamps.value(row));
            out.push(StoredExemplar { series_id, timestamp, value: values.value(row), labels });
        }
    }
    Ok(out)
}

/// Writes `metadata`; sorts a copy by family.
pub fn encode_metadata(metadata: &[(String, Metadata)]) -> Result<Vec<u8>> {
    let mut sorted: Vec<&(String, Metadata)> = metadata.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let text = |of: fn(&(String, Metadata)) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(sorted.iter().map(|m| of(m))))
    };
    let columns = vec![text(|m| &m.0), text(|m| m.1.kind.as_str()), text(|m| &m.1.unit), text(|m| &m.1.help)];
    encode(&schema::METADATA, columns)
}

pub fn decode_metadata(bytes: Bytes, path: &str) -> Result<Vec<(String, Metadata)>> {
    let mut out = Vec::new();
    for batch in decode(bytes, path)? {
        let text = |name: &str| column(&batch, name, &DataType::Utf8, path);
        let (families, kinds, units, helps) = (text("family")?, text("kind")?, text("unit")?, text("help")?);
        for row in 0..batch.num_rows() {
            let at = |column: &ArrayRef| column.as_string::<i32>().value(row).to_string();
            let kind = MetricType::parse(&at(&kinds)).unwrap_or_default();
            out.push((at(&families), Metadata { kind, help: at(&helps), unit: at(&units) }));
        }
    }
    Ok(out)
}

pub(super) fn encode(schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> Result<Vec<u8>> {
    let message = || "cannot encode a Parquet file".to_string();
    encode_batch(&RecordBatch::try_new(Arc::clone(schema), columns).context(ErrorKind::Internal, message)?)
}

pub(super) fn encode_batch(batch: &RecordBatch) -> Result<Vec<u8>> {
    let message = || "cannot encode a Parquet file".to_string();
    let id = ColumnPath::from(schema::SERIES_ID);
    let properties = WriterProperties::builder()
        .set_created_by(concat!("promlake ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("level 3 exists")))
        .set_column_dictionary_enabled(id.clone(), false)
        .set_column_encoding(id, Encoding::PLAIN)
        .set_key_value_metadata(Some(schema::key_values()))
        .build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).context(ErrorKind::Internal, message)?;
    writer.write(batch).context(ErrorKind::Internal, message)?;
    writer.into_inner().context(ErrorKind::Internal, message)
}

/// The rows of a file of series or exemplars without those of which `is_gone` says so, by series and by time, where it has
/// one; and how many these are. `None`: nothing is left.
pub(super) fn without(
    bytes: Bytes,
    path: &str,
    is_gone: impl Fn(i64, Option<i64>) -> bool,
) -> Result<Option<(usize, Vec<u8>)>> {
    let message = || format!("cannot rewrite {path}");
    let mut left = Vec::new();
    for batch in decode(bytes, path)? {
        let ids = column(&batch, schema::SERIES_ID, &DataType::Int64, path)?;
        let times = match batch.column_by_name(schema::TIMESTAMP) {
            Some(_) => Some(column(&batch, schema::TIMESTAMP, &schema::timestamp_type(), path)?),
            None => None,
        };
        let time = |row| times.as_ref().map(|times| times.as_primitive::<TimestampMillisecondType>().value(row));
        let ids = ids.as_primitive::<Int64Type>().values();
        let kept: Vec<bool> = ids.iter().enumerate().map(|(row, id)| !is_gone(*id, time(row))).collect();
        let kept = filter_record_batch(&batch, &kept.into()).context(ErrorKind::Internal, message)?;
        left.push(kept);
    }
    let Some(first) = left.first() else { return Ok(None) };
    let left = concat_batches(&first.schema(), &left).context(ErrorKind::Internal, message)?;
    match left.num_rows() {
        0 => Ok(None),
        rows => Ok(Some((rows, encode_batch(&left)?))),
    }
}

pub(super) fn decode(bytes: Bytes, path: &str) -> Result<Vec<RecordBatch>> {
    let message = || format!("cannot read {path}");
    ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.build())
        .context(ErrorKind::Internal, message)?
        .collect::<Result<Vec<_>, _>>()
        .context(ErrorKind::Internal, message)
}

/// A column of a file, in the type asked for: another writer may have chosen a wider or a view type.
pub(super) fn column(batch: &RecordBatch, name: &str, kind: &DataType, path: &str) -> Result<ArrayRef> {
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| Error::internal(format!("{path} has no column {name}")))?;
    if column.data_type() == kind {
        return Ok(Arc::clone(column));
    }
    cast(column, kind).context(ErrorKind::Internal, || format!("column {name} of {path} is no {kind}"))
}

fn label_column<'a>(labels: impl Iterator<Item = &'a Labels>) -> Result<ArrayRef> {
    map_column(labels.map(Labels::iter))
}

/// Pairs of texts, by rows.
pub(super) fn map_column<'a, R>(rows: impl Iterator<Item = R>) -> Result<ArrayRef>
where
    R: IntoIterator<Item = (&'a str, &'a str)>,
{
    let names =
        MapFieldNames { entry: "key_value".to_string(), key: "key".to_string(), value: "value".to_string() };
    let value_field = arrow::datatypes::Field::new("value", DataType::Utf8, false);
    let mut builder =
        MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new()).with_values_field(value_field);
    for row in rows {
        for (name, value) in row {
            builder.keys().append_value(name);
            builder.values().append_value(value);
        }
        builder.append(true).context(ErrorKind::Internal, || "cannot build a column of maps".to_string())?;
    }
    Ok(Arc::new(builder.finish()))
}

pub(super) fn labels_of(batch: &RecordBatch, path: &str) -> Result<Vec<Labels>> {
    let bad = || Error::internal(format!("{path} has no map of labels"));
    let map: &MapArray = batch.column_by_name(schema::LABELS).and_then(|c| c.as_map_opt()).ok_or_else(bad)?;
    let text = |column: &ArrayRef| cast(column, &DataType::Utf8).context(ErrorKind::Internal, || bad().message);
    let (keys, values) = (text(map.keys())?, text(map.values())?);
    let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
    let offsets = map.value_offsets();
    let rows = (0..map.len()).map(|row| {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        Labels::from_pairs(range.map(|at| (keys.value(at), values.value(at))))
    });
    Ok(rows.collect())
}

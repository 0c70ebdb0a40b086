//! Rows to the bytes of one log object, and back. `FORMAT.md` draws the bytes.
//!
//! Encoding copies columns into Arrow buffers; nothing is computed per row but the copy, and the checksum.
//! Decoding trusts nothing: header, checksum and lengths are checked before Arrow reads a section.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Float64Builder, Int8Array, Int32Array, Int32Builder, Int64Array, ListArray,
    ListBuilder, MapArray, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::model::labels::Labels;
use crate::model::metadata::{Metadata, MetricType};
use crate::storage::types::{LogExemplar, LogHistogram, LogRows, LogSamples, Series};

const MAGIC: &[u8; 8] = b"PROMLWAL";
const VERSION: u32 = 2;
/// Magic, version, sections, writer, epoch, sequence, body length, checksum.
const HEADER_BYTES: usize = 56;
/// Version 1 has no epoch; it is read so that a log of an older promlake can be replayed.
const HEADER_V1_BYTES: usize = 48;
/// Kind, zeros, length.
const SECTION_HEADER_BYTES: usize = 16;
/// The slot of a row before the registry knows its series.
pub const NO_SLOT: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Section {
    Series = 1,
    Samples = 2,
    Histograms = 3,
    Exemplars = 4,
    Metadata = 5,
    /// Nothing more is written in this epoch; the body is the epoch of the process that said so.
    Seal = 6,
    /// Stands where an object could not be read and was moved aside.
    Void = 7,
}

impl Section {
    fn of(kind: u32) -> Option<Self> {
        [Self::Series, Self::Samples, Self::Histograms, Self::Exemplars, Self::Metadata, Self::Seal, Self::Void]
            .into_iter()
            .find(|section| *section as u32 == kind)
    }
}

/// Who writes an object, and where it belongs. `writer` is drawn once per process, so that two processes never write
/// the same bytes under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub writer: u64,
    pub epoch: u64,
    pub sequence: u64,
}

/// No object with rows is as small as a seal or a void.
pub const MAX_MARK_BYTES: u64 = 128;

/// The object of a group commit.
pub fn encode(rows: &LogRows, origin: Origin) -> Result<Bytes> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 4096 + rows.samples.slots.len() * 24);
    out.resize(HEADER_BYTES, 0);
    let mut sections = 0;
    let batches = [
        (Section::Series, !rows.series.is_empty(), series_batch as fn(&LogRows) -> Result<RecordBatch>),
        (Section::Samples, !rows.samples.slots.is_empty(), samples_batch),
        (Section::Histograms, !rows.histograms.is_empty(), histograms_batch),
        (Section::Exemplars, !rows.exemplars.is_empty(), exemplars_batch),
        (Section::Metadata, !rows.metadata.is_empty(), metadata_batch),
    ];
    for (section, _, batch) in batches.into_iter().filter(|(_, present, _)| *present) {
        put_section(&mut out, section, &batch(rows)?)?;
        sections += 1;
    }
    put_header(&mut out, sections, origin);
    Ok(out.into())
}

/// The object that ends an epoch. `by` is the epoch of the process that seals it.
pub fn encode_seal(origin: Origin, by: u64) -> Bytes {
    encode_mark(Section::Seal, origin, by)
}

/// The object that takes the place of one that was moved aside. `by` as above.
pub fn encode_void(origin: Origin, by: u64) -> Bytes {
    encode_mark(Section::Void, origin, by)
}

fn encode_mark(section: Section, origin: Origin, by: u64) -> Bytes {
    let mut out = vec![0; HEADER_BYTES];
    out.extend_from_slice(&(section as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&8u64.to_le_bytes());
    out.extend_from_slice(&by.to_le_bytes());
    put_header(&mut out, 1, origin);
    out.into()
}

fn put_header(out: &mut [u8], sections: u32, origin: Origin) {
    let body_bytes = (out.len() - HEADER_BYTES) as u64;
    out[0..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&sections.to_le_bytes());
    out[16..24].copy_from_slice(&origin.writer.to_le_bytes());
    out[24..32].copy_from_slice(&origin.epoch.to_le_bytes());
    out[32..40].copy_from_slice(&origin.sequence.to_le_bytes());
    out[40..48].copy_from_slice(&body_bytes.to_le_bytes());
    let checksum = checksum_of(out, HEADER_BYTES);
    out[48..56].copy_from_slice(&checksum.to_le_bytes());
}

/// Over everything but itself.
fn checksum_of(object: &[u8], header_bytes: usize) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&object[..header_bytes - 8]);
    hash.update(&object[header_bytes..]);
    hash.digest()
}

fn put_section(out: &mut Vec<u8>, section: Section, batch: &RecordBatch) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&(section as u32).to_le_bytes());
    out.extend_from_slice(&[0; SECTION_HEADER_BYTES - 4]);
    let write = |out: &mut Vec<u8>| {
        let mut writer = StreamWriter::try_new(out, batch.schema_ref())?;
        writer.write(batch)?;
        writer.finish()
    };
    write(out).context(ErrorKind::Internal, || format!("cannot encode {section:?} for the write-ahead log"))?;
    let length = (out.len() - start - SECTION_HEADER_BYTES) as u64;
    out[start + 8..start + 16].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// What an object holds.
#[derive(Debug)]
pub enum Content {
    /// Slots are [`NO_SLOT`].
    Rows(Box<LogRows>),
    /// The epoch ends here; `by` is the epoch that ended it.
    Seal { by: u64 },
    /// What stood here could not be read and was moved aside.
    Void,
}

/// Who wrote an object, and what.
#[derive(Debug)]
pub struct Decoded {
    pub origin: Origin,
    pub content: Content,
}

/// Fails, naming the reason, on anything but an object of this module.
pub fn decode(object: &[u8]) -> Result<Decoded> {
    let header = read_header(object)?;
    let mut rest = &object[header.bytes..];
    let (mut rows, mut mark) = (LogRows::default(), None);
    for _ in 0..header.sections {
        let (section, body, behind) = split_section(rest)?;
        rest = behind;
        match section {
            Section::Seal | Section::Void if header.sections == 1 && body.len() == 8 => {
                mark = Some((section, u64::from_le_bytes(body.try_into().expect("eight bytes"))));
            }
            Section::Seal | Section::Void => return Err(bad("a mark is not alone in it")),
            section => take_section(section, body, &mut rows)?,
        }
    }
    if !rest.is_empty() {
        return Err(bad(format!("{} bytes follow its last section", rest.len())));
    }
    let content = match mark {
        None => Content::Rows(Box::new(rows)),
        Some((Section::Seal, by)) => Content::Seal { by },
        Some(_) => Content::Void,
    };
    Ok(Decoded { origin: header.origin, content })
}

struct Header {
    origin: Origin,
    sections: u32,
    bytes: usize,
}

/// The header, once it and the checksum have been found right.
fn read_header(object: &[u8]) -> Result<Header> {
    if object.len() < HEADER_V1_BYTES {
        return Err(bad(format!("{} bytes are less than a header", object.len())));
    }
    if &object[0..8] != MAGIC {
        return Err(bad("it does not begin with the magic of a log object"));
    }
    let number = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().expect("eight bytes"));
    let small = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes"));
    let (bytes, epoch, at) = match small(8) {
        1 => (HEADER_V1_BYTES, 0, 24),
        VERSION if object.len() < HEADER_BYTES => {
            return Err(bad(format!("{} bytes are less than a header", object.len())));
        }
        VERSION => (HEADER_BYTES, number(24), 32),
        found => {
            return Err(Error::unsupported(format!(
                "write-ahead log version {found}, this promlake reads up to {VERSION}"
            )));
        }
    };
    let (sequence, body_bytes, checksum) = (number(at), number(at + 8), number(at + 16));
    if body_bytes != (object.len() - bytes) as u64 {
        return Err(bad(format!("its body has {} bytes instead of {body_bytes}", object.len() - bytes)));
    }
    if checksum != checksum_of(object, bytes) {
        return Err(bad("its checksum does not match"));
    }
    Ok(Header { origin: Origin { writer: number(16), epoch, sequence }, sections: small(12), bytes })
}

/// The first section of some bytes, its body, and what follows it.
fn split_section(bytes: &[u8]) -> Result<(Section, &[u8], &[u8])> {
    let Some((header, rest)) = bytes.split_at_checked(SECTION_HEADER_BYTES) else {
        return Err(bad("a section header is cut off"));
    };
    let kind = u32::from_le_bytes(header[0..4].try_into().expect("four bytes"));
    let length = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
    let section = Section::of(kind).ok_or_else(|| bad(format!("section kind {kind} is unknown")))?;
    let body = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (body, behind) = body.ok_or_else(|| bad("a section is cut off"))?;
    Ok((section, body, behind))
}

fn take_section(section: Section, stream: &[u8], rows: &mut LogRows) -> Result<()> {
    for batch in read_batches(stream, section)? {
        match section {
            Section::Series => take_series(&batch, rows)?,
            Section::Samples => take_samples(&batch, &mut rows.samples)?,
            Section::Histograms => take_histograms(&batch, rows)?,
            Section::Exemplars => take_exemplars(&batch, rows)?,
            Section::Metadata => take_metadata(&batch, rows)?,
            Section::Seal | Section::Void => return Err(bad("a mark has no rows")),
        }
    }
    Ok(())
}

/// Arrow's reader checks most of what it reads, but panics on some lengths that cannot be. Only bytes whose checksum
/// was made to match get this far, and they too must end in an error.
fn read_batches(stream: &[u8], section: Section) -> Result<Vec<RecordBatch>> {
    let read = || StreamReader::try_new(Cursor::new(stream), None)?.collect::<Result<Vec<_>, ArrowError>>();
    let context = || format!("its {section:?} section is no Arrow stream");
    check_frames(stream).ok_or_else(|| bad(context()))?;
    match std::panic::catch_unwind(read) {
        Ok(batches) => batches.context(ErrorKind::Internal, context),
        Err(_) => Err(bad(context())),
    }
}

/// Every message of the stream lies within it; Arrow's reader would allocate whatever length it finds.
fn check_frames(mut stream: &[u8]) -> Option<()> {
    loop {
        let (marker, rest) = stream.split_at_checked(8)?;
        let number = |at: usize| u32::from_le_bytes(marker[at..at + 4].try_into().expect("four bytes"));
        if number(0) != u32::MAX {
            return None;
        }
        if number(4) == 0 {
            return rest.is_empty().then_some(());
        }
        let (message, rest) = rest.split_at_checked(usize::try_from(number(4)).ok()?)?;
        let body_bytes = root_as_message(message).ok()?.bodyLength();
        stream = rest.split_at_checked(usize::try_from(body_bytes).ok()?)?.1;
    }
}

fn bad(reason: impl Into<String>) -> Error {
    Error::internal(reason)
}

// Columns out.

fn int64s(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::new(copied(values), None))
}

fn float64s(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::new(copied(values), None))
}

fn copied<T: ArrowNativeType>(values: &[T]) -> ScalarBuffer<T> {
    ScalarBuffer::new(Buffer::from_slice_ref(values), 0, values.len())
}

fn int64_column<T>(rows: &[T], of: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
}

fn float64_column<T>(rows: &[T], of: impl Fn(&T) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
}

fn text_column<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), false)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .context(ErrorKind::Internal, || "cannot build a batch for the write-ahead log".to_string())
}

fn labels_column<'a>(labels: impl Iterator<Item = &'a Labels>) -> Result<ArrayRef> {
    let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for labels in labels {
        for (name, value) in labels.iter() {
            map.keys().append_value(name);
            map.values().append_value(value);
        }
        map.append(true).context(ErrorKind::Internal, || "cannot encode labels".to_string())?;
    }
    Ok(Arc::new(map.finish()))
}

fn series_batch(rows: &LogRows) -> Result<RecordBatch> {
    let labels = labels_column(rows.series.iter().map(|(_, series)| &series.labels))?;
    batch(vec![("series_id", int64_column(&rows.series, |(_, s)| s.id)), ("labels", labels)])
}

fn samples_batch(rows: &LogRows) -> Result<RecordBatch> {
    let samples = &rows.samples;
    let mut columns = vec![
        ("series_id", int64s(&samples.series_ids)),
        ("timestamp", int64s(&samples.timestamps)),
        ("value", float64s(&samples.values)),
    ];
    if !samples.start_timestamps.is_empty() {
        columns.push(("start_timestamp", int64s(&samples.start_timestamps)));
    }
    batch(columns)
}

fn histograms_batch(rows: &LogRows) -> Result<RecordBatch> {
    let rows = &rows.histograms;
    let histogram = |of: fn(&FloatHistogram) -> f64| float64_column(rows, |row| of(&row.histogram));
    let floats = |of: fn(&FloatHistogram) -> &[f64]| {
        let mut list = ListBuilder::new(Float64Builder::new());
        for row in rows {
            list.values().append_slice(of(&row.histogram));
            list.append(true);
        }
        Arc::new(list.finish()) as ArrayRef
    };
    // Offset and length of each span, one after the other.
    let spans = |of: fn(&FloatHistogram) -> &[Span]| {
        let mut list = ListBuilder::new(Int32Builder::new());
        for row in rows {
            for span in of(&row.histogram) {
                list.values().append_value(span.offset);
                list.values().append_value(span.length.cast_signed());
            }
            list.append(true);
        }
        Arc::new(list.finish()) as ArrayRef
    };
    let hints = Int8Array::from_iter_values(rows.iter().map(|row| row.histogram.counter_reset_hint as i8));
    let schemas = Int32Array::from_iter_values(rows.iter().map(|row| row.histogram.schema));
    batch(vec![
        ("series_id", int64_column(rows, |row| row.series_id)),
        ("timestamp", int64_column(rows, |row| row.timestamp)),
        ("start_timestamp", int64_column(rows, |row| row.start_timestamp)),
        ("counter_reset_hint", Arc::new(hints)),
        ("schema", Arc::new(schemas)),
        ("zero_threshold", histogram(|h| h.zero_threshold)),
        ("zero_count", histogram(|h| h.zero_count)),
        ("count", histogram(|h| h.count)),
        ("sum", histogram(|h| h.sum)),
        ("positive_spans", spans(|h| &h.positive_spans)),
        ("negative_spans", spans(|h| &h.negative_spans)),
        ("positive_buckets", floats(|h| &h.positive_buckets)),
        ("negative_buckets", floats(|h| &h.negative_buckets)),
        ("custom_values", floats(|h| &h.custom_values)),
    ])
}

fn exemplars_batch(rows: &LogRows) -> Result<RecordBatch> {
    let rows = &rows.exemplars;
    batch(vec![
        ("series_id", int64_column(rows, |row| row.series_id)),
        ("timestamp", int64_column(rows, |row| row.timestamp)),
        ("value", float64_column(rows, |row| row.value)),
        ("labels", labels_column(rows.iter().map(|row| &row.labels))?),
    ])
}

fn metadata_batch(rows: &LogRows) -> Result<RecordBatch> {
    let rows = &rows.metadata;
    batch(vec![
        ("family", text_column(rows.iter().map(|(family, _)| family.as_str()))),
        ("kind", text_column(rows.iter().map(|(_, m)| m.kind.as_str()))),
        ("unit", text_column(rows.iter().map(|(_, m)| m.unit.as_str()))),
        ("help", text_column(rows.iter().map(|(_, m)| m.help.as_str()))),
    ])
}

// Columns in.

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T> {
    let column = batch.column_by_name(name).ok_or_else(|| bad(format!("column {name} is missing")))?;
    if column.null_count() > 0 {
        return Err(bad(format!("column {name} has nulls")));
    }
    column.as_any().downcast_ref().ok_or_else(|| bad(format!("column {name} has type {}", column.data_type())))
}

fn values_of<'a, T: Array + 'static>(array: &'a dyn Array, name: &str) -> Result<&'a T> {
    let wrong = || bad(format!("column {name} has elements of type {}", array.data_type()));
    if array.null_count() > 0 {
        return Err(bad(format!("column {name} has null elements")));
    }
    array.as_any().downcast_ref().ok_or_else(wrong)
}

fn read_labels(batch: &RecordBatch, name: &str) -> Result<Vec<Labels>> {
    let map: &MapArray = column(batch, name)?;
    let keys: &StringArray = values_of(map.keys(), name)?;
    let values: &StringArray = values_of(map.values(), name)?;
    let labels = |row: usize| {
        let entries = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
        Labels::from_pairs(entries.map(|entry| (keys.value(entry), values.value(entry))))
    };
    Ok((0..map.len()).map(labels).collect())
}

fn take_series(batch: &RecordBatch, rows: &mut LogRows) -> Result<()> {
    let ids: &Int64Array = column(batch, "series_id")?;
    let labels = read_labels(batch, "labels")?;
    let series =
        ids.values().iter().zip(labels).map(|(id, labels)| (NO_SLOT, Arc::new(Series { id: *id, labels })));
    rows.series.extend(series);
    Ok(())
}

fn take_samples(batch: &RecordBatch, samples: &mut LogSamples) -> Result<()> {
    let ids: &Int64Array = column(batch, "series_id")?;
    let timestamps: &Int64Array = column(batch, "timestamp")?;
    let values: &Float64Array = column(batch, "value")?;
    if batch.column_by_name("start_timestamp").is_some() {
        let starts: &Int64Array = column(batch, "start_timestamp")?;
        samples.start_timestamps.resize(samples.slots.len(), 0);
        samples.start_timestamps.extend_from_slice(starts.values());
    }
    samples.slots.resize(samples.slots.len() + batch.num_rows(), NO_SLOT);
    samples.series_ids.extend_from_slice(ids.values());
    samples.timestamps.extend_from_slice(timestamps.values());
    samples.values.extend_from_slice(values.values());
    if !samples.start_timestamps.is_empty() {
        samples.start_timestamps.resize(samples.slots.len(), 0);
    }
    Ok(())
}

fn take_histograms(batch: &RecordBatch, rows: &mut LogRows) -> Result<()> {
    let int64 = |name| column::<Int64Array>(batch, name);
    let float64 = |name| column::<Float64Array>(batch, name);
    let (ids, timestamps, starts) = (int64("series_id")?, int64("timestamp")?, int64("start_timestamp")?);
    let hints: &Int8Array = column(batch, "counter_reset_hint")?;
    let schemas: &Int32Array = column(batch, "schema")?;
    let (thresholds, zeros) = (float64("zero_threshold")?, float64("zero_count")?);
    let (counts, sums) = (float64("count")?, float64("sum")?);
    for row in 0..batch.num_rows() {
        let histogram = FloatHistogram {
            counter_reset_hint: hint_of(hints.value(row)),
            schema: schemas.value(row),
            zero_threshold: thresholds.value(row),
            zero_count: zeros.value(row),
            count: counts.value(row),
            sum: sums.value(row),
            positive_spans: read_spans(batch, "positive_spans", row)?,
            negative_spans: read_spans(batch, "negative_spans", row)?,
            positive_buckets: read_floats(batch, "positive_buckets", row)?,
            negative_buckets: read_floats(batch, "negative_buckets", row)?,
            custom_values: read_floats(batch, "custom_values", row)?,
        };
        rows.histograms.push(LogHistogram {
            slot: NO_SLOT,
            series_id: ids.value(row),
            timestamp: timestamps.value(row),
            histogram: Arc::new(histogram),
            start_timestamp: starts.value(row),
        });
    }
    Ok(())
}

fn hint_of(number: i8) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn read_floats(batch: &RecordBatch, name: &str, row: usize) -> Result<Vec<f64>> {
    let list = column::<ListArray>(batch, name)?.value(row);
    Ok(values_of::<Float64Array>(&list, name)?.values().to_vec())
}

fn read_spans(batch: &RecordBatch, name: &str, row: usize) -> Result<Vec<Span>> {
    let list = column::<ListArray>(batch, name)?.value(row);
    let numbers: &Int32Array = values_of(&list, name)?;
    if !numbers.len().is_multiple_of(2) {
        return Err(bad(format!("column {name} has half a span")));
    }
    let span = |pair: &[i32]| Span { offset: pair[0], length: pair[1].cast_unsigned() };
    Ok(numbers.values().chunks_exact(2).map(span).collect())
}

fn take_exemplars(batch: &RecordBatch, rows: &mut LogRows) -> Result<()> {
    let ids: &Int64Array = column(batch, "series_id")?;
    let timestamps: &Int64Array = column(batch, "timestamp")?;
    let values: &Float64Array = column(batch, "value")?;
    let labels = read_labels(batch, "labels")?;
    rows.exemplars.extend(labels.into_iter().enumerate().map(|(row, labels)| LogExemplar {
        slot: NO_SLOT,
        series_id: ids.value(row),
        timestamp: timestamps.value(row),
        value: values.value(row),
        labels,
    }));
    Ok(())
}

fn take_metadata(batch: &RecordBatch, rows: &mut LogRows) -> Result<()> {
    let text = |name| column::<StringArray>(batch, name);
    let (families, kinds, units, helps) = (text("family")?, text("kind")?, text("unit")?, text("help")?);
    for row in 0..batch.num_rows() {
        let kind = MetricType::parse(kinds.value(row)).unwrap_or_default();
        let metadata = Metadata { kind, help: helps.value(row).into(), unit: units.value(row).into() };
        rows.metadata.push((families.value(row).to_string(), metadata));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

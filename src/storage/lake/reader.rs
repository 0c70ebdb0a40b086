//! Parquet files back to runs of samples, one series at a time, for merging and for tests.
//!
//! Queries do not come this way: the engine reads the same files through DataFusion. What they share is
//! [`HistogramColumn`], which turns the stored struct back into a histogram.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int8Array, Int64Array, ListArray, PrimitiveArray,
    RecordBatch, StructArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int8Type, Int32Type, Int64Type, Schema,
    TimestampMillisecondType,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::storage::deleted::Deletes;
use crate::storage::lake::schema;
use crate::storage::scaled;
use crate::storage::types::{Run, SampleFile};

/// Rows decoded at once.
const BATCH_ROWS: usize = 1 << 14;

/// Fetched from the end of a file at once, in the hope that the footer is in it.
const FOOTER_BYTES: usize = 64 << 10;

/// All samples a file has of one series.
#[derive(Clone, Debug)]
pub struct FileRun {
    pub metric: Arc<str>,
    pub series_id: i64,
    pub run: Run,
}

/// Streams a `samples` file in key order. Holds a row group's compressed bytes, one batch and one run.
pub struct RunStream {
    path: String,
    stream: ParquetRecordBatchStream<ObjectInput>,
    batch: Option<SampleBatch>,
    row: usize,
    metric: Arc<str>,
    deletes: Deletes,
}

impl RunStream {
    /// Of a live file, without what was deleted from it.
    pub async fn of(store: Arc<dyn ObjectStore>, file: &SampleFile) -> Result<Self> {
        let stream = Self::open(store, &file.path, file.size_bytes).await?;
        Ok(Self { deletes: file.deletes.clone(), ..stream })
    }

    /// Of all that a file has.
    pub async fn open(store: Arc<dyn ObjectStore>, path: &str, size_bytes: u64) -> Result<Self> {
        let message = || format!("cannot read {path}");
        let mut input = ObjectInput { store, path: Path::from(path), size_bytes };
        let metadata = ArrowReaderMetadata::load_async(&mut input, ArrowReaderOptions::new())
            .await
            .context(ErrorKind::Unavailable, message)?;
        // As a dictionary a metric name is one number for each row, not one string.
        let hinted = with_metric_dictionary(metadata.schema());
        let options = ArrowReaderOptions::new().with_schema(Arc::new(hinted));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
            .context(ErrorKind::Internal, || format!("{path} has another schema than samples"))?;
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(input, metadata)
            .with_batch_size(BATCH_ROWS)
            .build()
            .context(ErrorKind::Internal, message)?;
        Ok(Self {
            path: path.to_string(),
            stream,
            batch: None,
            row: 0,
            metric: Arc::from(""),
            deletes: Deletes::default(),
        })
    }

    /// The next series that has samples; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<FileRun>> {
        loop {
            let Some(mut found) = self.next_stored().await? else { return Ok(None) };
            if self.deletes.is_empty() {
                return Ok(Some(found));
            }
            let (deletes, series_id) = (&self.deletes, found.series_id);
            found.run.retain(|timestamp| !deletes.take(series_id, timestamp));
            if !found.run.timestamps.is_empty() {
                return Ok(Some(found));
            }
        }
    }

    async fn next_stored(&mut self) -> Result<Option<FileRun>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let batch = self.batch.as_ref().expect("filled above");
        let series_id = batch.series_ids.value(self.row);
        let metric = batch.metric(self.row)?;
        if *self.metric != *metric {
            self.metric = Arc::from(metric);
        }
        let mut run = Run::default();
        loop {
            let batch = self.batch.as_ref().expect("filled above or below");
            let ids = &batch.series_ids.values()[self.row..];
            let rows = ids.iter().position(|id| *id != series_id).unwrap_or(ids.len());
            batch.append(self.row..self.row + rows, &mut run)?;
            self.row += rows;
            // A run goes on in the next batch when this one ended with it.
            if self.row < batch.rows() || !self.fill().await? {
                break;
            }
            let next = self.batch.as_ref().expect("filled above");
            if next.series_ids.value(self.row) != series_id {
                break;
            }
        }
        Ok(Some(FileRun { metric: Arc::clone(&self.metric), series_id, run }))
    }

    /// Makes sure there is a row at `self.row`; `false` at the end of the file.
    async fn fill(&mut self) -> Result<bool> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.rows()) {
            let Some(batch) = self.stream.next().await else { return Ok(false) };
            let batch = batch.context(ErrorKind::Unavailable, || format!("cannot read {}", self.path))?;
            self.batch = Some(
                SampleBatch::new(&batch)
                    .map_err(|e| Error::internal(format!("{} is no file of samples", self.path)).with_source(e))?,
            );
            self.row = 0;
        }
        Ok(true)
    }
}

/// An object as Parquet reads it.
struct ObjectInput {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size_bytes: u64,
}

impl AsyncFileReader for ObjectInput {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.store.get_range(&self.path, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let reader = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(FOOTER_BYTES));
            let size_bytes = self.size_bytes;
            reader.load_and_finish(self, size_bytes).await.map(Arc::new)
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn with_metric_dictionary(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.name() == schema::METRIC {
            true => {
                let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                field.as_ref().clone().with_data_type(kind)
            }
            false => field.as_ref().clone(),
        })
        .collect();
    Schema::new(fields)
}

/// The columns of one batch of `samples`; those a file lacks are `None`.
struct SampleBatch {
    metrics: DictionaryArray<Int32Type>,
    series_ids: Int64Array,
    timestamps: PrimitiveArray<TimestampMillisecondType>,
    values: Option<Float64Array>,
    scaled: Option<(Int64Array, Int8Array)>,
    histograms: Option<HistogramColumn>,
    start_timestamps: Option<PrimitiveArray<TimestampMillisecondType>>,
}

impl SampleBatch {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let need = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| Error::internal(format!("column {name} is missing")))
        };
        let scaled = match batch.column_by_name(schema::SCALED) {
            None => None,
            Some(column) => Some((primitive::<Int64Type>(column)?, primitive::<Int8Type>(need(schema::SCALE)?)?)),
        };
        let metrics = need(schema::METRIC)?
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| Error::internal("column metric is no string"))?;
        Ok(Self {
            metrics: metrics.clone(),
            series_ids: primitive::<Int64Type>(need(schema::SERIES_ID)?)?,
            timestamps: primitive::<TimestampMillisecondType>(need(schema::TIMESTAMP)?)?,
            values: batch.column_by_name(schema::VALUE).map(primitive::<Float64Type>).transpose()?,
            scaled,
            histograms: batch.column_by_name(schema::HISTOGRAM).map(HistogramColumn::new).transpose()?,
            start_timestamps: batch
                .column_by_name(schema::START_TIMESTAMP)
                .map(primitive::<TimestampMillisecondType>)
                .transpose()?,
        })
    }

    fn rows(&self) -> usize {
        self.series_ids.len()
    }

    fn metric(&self, row: usize) -> Result<&str> {
        let names = self.metrics.values().as_string_opt::<i32>();
        let names = names.ok_or_else(|| Error::internal("column metric is no string"))?;
        Ok(names.value(self.metrics.keys().value(row) as usize))
    }

    /// Appends rows of one series to a run.
    fn append(&self, rows: Range<usize>, run: &mut Run) -> Result<()> {
        let before = run.timestamps.len();
        run.timestamps.extend_from_slice(&self.timestamps.values()[rows.clone()]);
        self.append_values(rows.clone(), &mut run.values)?;
        if let Some(histograms) = &self.histograms {
            for row in rows.clone() {
                let Some(histogram) = histograms.get(row) else { continue };
                let at = before + row - rows.start;
                run.histograms.resize(at, None);
                run.histograms.push(Some(Arc::new(histogram)));
            }
        }
        if !run.histograms.is_empty() {
            run.histograms.resize(run.timestamps.len(), None);
        }
        if let Some(starts) = &self.start_timestamps {
            for row in rows.clone().filter(|row| starts.is_valid(*row)) {
                run.start_timestamps.resize(before + row - rows.start, 0);
                run.start_timestamps.push(starts.value(row));
            }
        }
        if !run.start_timestamps.is_empty() {
            run.start_timestamps.resize(run.timestamps.len(), 0);
        }
        Ok(())
    }

    /// `coalesce(value, scaled / 10^scale)`; 0 for a histogram.
    fn append_values(&self, rows: Range<usize>, out: &mut Vec<f64>) -> Result<()> {
        let before = out.len();
        match &self.scaled {
            None => out.resize(before + rows.len(), 0.0),
            Some((scaled, scales)) => {
                for row in rows.clone() {
                    let scale = if scaled.is_valid(row) { scales.value(row) } else { 0 };
                    let scale = u8::try_from(scale).ok().filter(|s| usize::from(*s) < scaled::POWERS.len());
                    let scale = scale.ok_or_else(|| Error::internal("a sample has a scale out of range"))?;
                    out.push(if scaled.is_valid(row) { scaled::unscale(scaled.value(row), scale) } else { 0.0 });
                }
            }
        }
        if let Some(values) = &self.values {
            for row in rows.clone().filter(|row| values.is_valid(*row)) {
                out[before + row - rows.start] = values.value(row);
            }
        }
        Ok(())
    }
}

fn primitive<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<PrimitiveArray<T>> {
    let array = column.as_primitive_opt::<T>();
    array.cloned().ok_or_else(|| Error::internal(format!("a column has the type {}", column.data_type())))
}

/// The stored `histogram` column; [`HistogramColumn::get`] reads a row.
#[derive(Clone, Debug)]
pub struct HistogramColumn {
    column: StructArray,
    hints: Int8Array,
    schemas: PrimitiveArray<Int32Type>,
    /// zero_threshold, zero_count, count, sum.
    numbers: [Float64Array; 4],
    /// Offsets and lengths, positive and negative.
    spans: [(ListArray, ListArray); 2],
    buckets: [ListArray; 2],
    custom_values: ListArray,
}

impl HistogramColumn {
    /// Fails when the column is not the struct of [`schema::HISTOGRAM_FIELDS`].
    pub fn new(column: &ArrayRef) -> Result<Self> {
        let column = column.as_struct_opt().ok_or_else(|| Error::internal("column histogram is no struct"))?;
        let child = |name: &str| {
            column.column_by_name(name).ok_or_else(|| Error::internal(format!("histogram has no field {name}")))
        };
        let number = |name: &str| primitive::<Float64Type>(child(name)?);
        let list = |name: &str| {
            let list = child(name)?.as_list_opt::<i32>().cloned();
            list.ok_or_else(|| Error::internal(format!("histogram field {name} is no list")))
        };
        Ok(Self {
            hints: primitive::<Int8Type>(child("counter_reset_hint")?)?,
            schemas: primitive::<Int32Type>(child("schema")?)?,
            numbers: [number("zero_threshold")?, number("zero_count")?, number("count")?, number("sum")?],
            spans: [
                (list("positive_offsets")?, list("positive_lengths")?),
                (list("negative_offsets")?, list("negative_lengths")?),
            ],
            buckets: [list("positive_buckets")?, list("negative_buckets")?],
            custom_values: list("custom_values")?,
            column: column.clone(),
        })
    }

    /// The histogram of a row; `None` where the sample is a float.
    pub fn get(&self, row: usize) -> Option<FloatHistogram> {
        if self.column.is_null(row) {
            return None;
        }
        let [zero_threshold, zero_count, count, sum] = self.numbers.each_ref().map(|n| n.value(row));
        Some(FloatHistogram {
            counter_reset_hint: match self.hints.value(row) {
                1 => CounterResetHint::Reset,
                2 => CounterResetHint::NotReset,
                3 => CounterResetHint::Gauge,
                _ => CounterResetHint::Unknown,
            },
            schema: self.schemas.value(row),
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans: spans(&self.spans[0], row),
            negative_spans: spans(&self.spans[1], row),
            positive_buckets: elements::<Float64Type>(&self.buckets[0], row),
            negative_buckets: elements::<Float64Type>(&self.buckets[1], row),
            custom_values: elements::<Float64Type>(&self.custom_values, row),
        })
    }
}

fn spans((offsets, lengths): &(ListArray, ListArray), row: usize) -> Vec<Span> {
    let offsets = elements::<Int32Type>(offsets, row);
    let lengths = elements::<Int32Type>(lengths, row);
    offsets.into_iter().zip(lengths).map(|(offset, length)| Span { offset, length: length as u32 }).collect()
}

fn elements<T: ArrowPrimitiveType>(list: &ListArray, row: usize) -> Vec<T::Native> {
    let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
    list.values().as_primitive::<T>().values()[range].to_vec()
}

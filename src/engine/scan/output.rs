//! The samples of one output batch in plain vectors, and the record batch made from them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, Float64Array, Int64Array, ListArray, MapBuilder, StringBuilder,
    StringViewArray, StringViewBuilder, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::exec_err;
use datafusion::error::Result;

use crate::engine::scan::histogram;
use crate::engine::scan::merge::Segment;
use crate::engine::scan::table::{Askers, Column, Shape, has_histograms, timestamp_type};
use crate::model::histogram::FloatHistogram;
use crate::model::labels::{Labels, METRIC_NAME, text};
use crate::model::sample::{TimeRange, is_stale};
use crate::storage::types::{MemorySource, Run, Series, Snapshot};

/// Which parts of a sample the output needs; timestamps always, as they decide what a sample is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub values: bool,
    /// Mark samples without a float value, which are histograms.
    pub absent: bool,
    pub histograms: bool,
    pub start_timestamps: bool,
}

impl Wants {
    /// Rows are no rows where they are staleness markers, so there values are read whoever wants them.
    pub fn of(columns: &[Column], shape: Shape, snapshot: &Snapshot) -> Self {
        let rows = shape == Shape::Rows;
        let values = rows || columns.contains(&Column::Value);
        let has_histograms = has_histograms(snapshot);
        Self {
            values,
            absent: values && has_histograms,
            histograms: rows && has_histograms || columns.contains(&Column::Histogram),
            start_timestamps: columns.contains(&Column::StartTimestamp),
        }
    }
}

/// Parallel vectors; those that are not wanted stay empty.
#[derive(Debug, Default)]
pub(super) struct SampleBuffer {
    pub wants: Wants,
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    /// True where the sample has no float value.
    pub absent: Vec<bool>,
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// 0 for unset.
    pub start_timestamps: Vec<i64>,
    /// Bytes of the histograms, and how many of them are counted.
    histogram_bytes: usize,
    histograms_counted: usize,
}

impl SampleBuffer {
    pub fn new(wants: Wants) -> Self {
        Self { wants, ..Self::default() }
    }

    /// Appends what a source has at a place; `scratch` is reused from call to call.
    pub fn append_from(&mut self, source: &dyn MemorySource, place: u32, range: TimeRange, scratch: &mut Run) {
        scratch.values.clear();
        scratch.histograms.clear();
        scratch.start_timestamps.clear();
        // The source writes to where the samples stay.
        std::mem::swap(&mut scratch.timestamps, &mut self.timestamps);
        if self.wants.values {
            std::mem::swap(&mut scratch.values, &mut self.values);
        }
        source.read_at(place, range, scratch);
        std::mem::swap(&mut scratch.timestamps, &mut self.timestamps);
        if self.wants.values {
            std::mem::swap(&mut scratch.values, &mut self.values);
        }
        let length = self.timestamps.len();
        if self.wants.absent {
            self.absent.extend(scratch.histograms.iter().map(Option::is_some));
            self.absent.resize(length, false);
        }
        if self.wants.histograms {
            self.histograms.extend(scratch.histograms.iter().cloned());
            self.histograms.resize(length, None);
        }
        if self.wants.start_timestamps {
            self.start_timestamps.extend_from_slice(&scratch.start_timestamps);
            self.start_timestamps.resize(length, 0);
        }
    }

    /// Brings the segments, which are the end of the buffer, into time order; of equal timestamps the one of
    /// highest priority stays. The sort finds the sorted runs in its input, so this is a merge.
    pub fn merge(&mut self, segments: &[Segment]) {
        let Some(first) = segments.iter().map(|s| s.rows.start).min() else { return };
        let mut order: Vec<(i64, usize, usize)> = segments
            .iter()
            .flat_map(|s| s.rows.clone().map(|row| (self.timestamps[row], s.priority, row)))
            .collect();
        order.sort_by_key(|(timestamp, priority, _)| (*timestamp, *priority));
        let mut rows: Vec<usize> = Vec::with_capacity(order.len());
        for (position, (timestamp, _, row)) in order.iter().enumerate() {
            if order.get(position + 1).is_none_or(|(next, _, _)| next != timestamp) {
                rows.push(*row);
            }
        }
        permute(&mut self.timestamps, first, &rows);
        permute(&mut self.values, first, &rows);
        permute(&mut self.absent, first, &rows);
        permute(&mut self.histograms, first, &rows);
        permute(&mut self.start_timestamps, first, &rows);
    }

    /// Takes out the staleness markers from a row on. To be asked of a buffer that has values.
    fn drop_markers(&mut self, first: usize) {
        let is_marker = |row: usize| match self.absent.get(row) {
            Some(true) => self.histograms[row].as_ref().is_some_and(|histogram| histogram.is_stale()),
            _ => is_stale(self.values[row]),
        };
        let all = first..self.timestamps.len();
        let rows: Vec<usize> = match all.clone().any(is_marker) {
            true => all.filter(|row| !is_marker(*row)).collect(),
            false => return,
        };
        permute(&mut self.timestamps, first, &rows);
        permute(&mut self.values, first, &rows);
        permute(&mut self.absent, first, &rows);
        permute(&mut self.histograms, first, &rows);
        permute(&mut self.start_timestamps, first, &rows);
    }

    /// Leaves nothing in it but the room.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.absent.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
        (self.histogram_bytes, self.histograms_counted) = (0, 0);
    }

    /// Counts histograms that were appended since the last call.
    fn count_histograms(&mut self) {
        let from = self.histograms_counted.min(self.histograms.len());
        // A histogram's size in samples is that of samples of sixteen bytes.
        let bytes =
            |histogram: &Arc<FloatHistogram>| size_of::<FloatHistogram>() + 16 * histogram.size_in_samples();
        self.histogram_bytes += self.histograms[from..].iter().flatten().map(bytes).sum::<usize>();
        self.histograms_counted = self.histograms.len();
    }

    fn memory_bytes(&self) -> usize {
        self.timestamps.capacity() * 8
            + self.values.capacity() * 8
            + self.absent.capacity()
            + self.start_timestamps.capacity() * 8
            + self.histograms.capacity() * 8
            + self.histogram_bytes
    }
}

fn permute<T: Clone>(column: &mut Vec<T>, first: usize, rows: &[usize]) {
    if column.is_empty() {
        return;
    }
    let merged: Vec<T> = rows.iter().map(|row| column[*row].clone()).collect();
    column.truncate(first);
    column.extend(merged);
}

/// Gathers series and their samples, and turns them into a batch.
pub(super) struct BatchBuilder {
    shape: Shape,
    columns: Vec<Column>,
    schema: SchemaRef,
    /// Label columns in the order of label names, with their position among the columns.
    labels: Vec<(String, usize)>,
    buffer: SampleBuffer,
    askers: Option<Askers>,
    /// Positions in the snapshot of the series gathered, and where their samples end.
    series: Vec<usize>,
    ends: Vec<usize>,
}

impl BatchBuilder {
    pub fn new(shape: Shape, columns: &[Column], schema: SchemaRef, wants: Wants) -> Self {
        let label = |(position, column): (usize, &Column)| match column {
            Column::Label(name) => Some((name.clone(), position)),
            _ => None,
        };
        let mut labels: Vec<(String, usize)> = columns.iter().enumerate().filter_map(label).collect();
        labels.sort_unstable();
        let buffer = SampleBuffer::new(wants);
        let (columns, series, ends) = (columns.to_vec(), Vec::new(), Vec::new());
        Self { shape, columns, schema, labels, buffer, askers: None, series, ends }
    }

    /// Tells whose series they are, in the column for it.
    pub fn with_askers(self, askers: Option<Askers>) -> Self {
        Self { askers, ..self }
    }

    pub fn buffer(&mut self) -> &mut SampleBuffer {
        &mut self.buffer
    }

    pub fn timestamps(&self) -> &[i64] {
        &self.buffer.timestamps
    }

    pub fn samples(&self) -> usize {
        self.buffer.timestamps.len()
    }

    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Of the histograms alone, which are there twice while a batch is made of them.
    pub fn histogram_bytes(&self) -> usize {
        self.buffer.histogram_bytes
    }

    pub fn rows(&self) -> usize {
        match self.shape {
            Shape::Lists => self.series(),
            Shape::Rows => self.samples(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn memory_bytes(&self) -> usize {
        self.buffer.memory_bytes() + self.series.capacity() * 16
    }

    /// The samples appended since the last call are those of this series; a series without any is left out.
    /// Of rows staleness markers are left out as well.
    pub fn close_series(&mut self, rank: usize) {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.shape == Shape::Rows {
            self.buffer.drop_markers(start);
        }
        self.buffer.count_histograms();
        if self.samples() > start {
            self.series.push(rank);
            self.ends.push(self.samples());
        }
    }

    /// Makes room for more samples, at once instead of by doubling.
    pub fn reserve(&mut self, samples: usize) {
        self.buffer.timestamps.reserve_exact(samples);
        if self.buffer.wants.values {
            self.buffer.values.reserve_exact(samples);
        }
    }

    /// The gathered rows as a batch; the builder is empty afterwards.
    pub fn finish(&mut self, snapshot: &Snapshot) -> Result<RecordBatch> {
        let rows = self.rows();
        let ranks = std::mem::take(&mut self.series);
        let ends = std::mem::take(&mut self.ends);
        let next = SampleBuffer::new(self.buffer.wants);
        let buffer = std::mem::replace(&mut self.buffer, next);
        let series: Vec<&Series> = ranks.iter().map(|rank| snapshot.series[*rank].as_ref()).collect();
        let askers = self.askers.as_ref().map(|askers| asker_column(askers, &ranks));
        let mut per_series = SeriesColumns { labels: self.label_columns(&series), askers, series: &series };
        let mut data = DataColumns::new(self.shape, &ends, buffer)?;

        let mut arrays = Vec::with_capacity(self.columns.len());
        for (position, column) in self.columns.iter().enumerate() {
            let array = match column {
                Column::Label(_) | Column::Labels | Column::Asker | Column::SeriesId => {
                    data.spread(per_series.column(position, column))?
                }
                Column::Timestamp => data.timestamps(),
                Column::Value => data.values(),
                Column::Histogram => data.histograms(),
                Column::StartTimestamp => data.start_timestamps(),
            };
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }

    /// One array per label column, by its position. Labels and columns are both sorted by name, so each
    /// series is one pass over its labels.
    fn label_columns(&self, series: &[&Series]) -> Vec<Option<ArrayRef>> {
        let mut builders: Vec<StringViewBuilder> =
            self.labels.iter().map(|_| StringViewBuilder::with_capacity(series.len())).collect();
        for series in series {
            let mut labels = series.labels.iter_bytes().peekable();
            for (builder, (name, _)) in builders.iter_mut().zip(&self.labels) {
                while labels.next_if(|(label, _)| *label < name.as_bytes()).is_some() {}
                let found = labels.peek().filter(|(label, _)| *label == name.as_bytes());
                builder.append_option(found.map(|(_, value)| text(value)));
            }
        }
        let mut columns = vec![None; self.columns.len()];
        for (mut builder, (_, position)) in builders.into_iter().zip(&self.labels) {
            columns[*position] = Some(Arc::new(builder.finish()) as ArrayRef);
        }
        columns
    }
}

/// Columns with one value per series.
struct SeriesColumns<'a> {
    labels: Vec<Option<ArrayRef>>,
    askers: Option<ArrayRef>,
    series: &'a [&'a Series],
}

impl SeriesColumns<'_> {
    fn column(&mut self, position: usize, column: &Column) -> ArrayRef {
        match column {
            Column::SeriesId => Arc::new(Int64Array::from_iter_values(self.series.iter().map(|s| s.id))),
            Column::Labels => labels_map(self.series),
            Column::Asker => match self.askers.take() {
                Some(askers) => askers,
                None => new_null_array(&DataType::Utf8View, self.series.len()),
            },
            _ => self.labels[position].take().expect("every label column was built"),
        }
    }
}

/// Numbers as texts, as labels are.
fn asker_column(askers: &Askers, ranks: &[usize]) -> ArrayRef {
    let mut texts = StringViewBuilder::with_capacity(ranks.len());
    let mut number = itoa::Buffer::new();
    ranks.iter().for_each(|rank| texts.append_value(number.format(askers.of(*rank))));
    Arc::new(texts.finish())
}

/// The labels of each series but its metric name, as a map.
pub(in crate::engine) fn labels_map(series: &[&Series]) -> ArrayRef {
    labels_maps(series.iter().map(|series| &series.labels))
}

/// Sets of labels without their metric names, as maps.
pub(in crate::engine) fn labels_maps<'a>(sets: impl Iterator<Item = &'a Labels>) -> ArrayRef {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for labels in sets {
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            map.keys().append_value(name);
            map.values().append_value(value);
        }
        map.append(true).expect("keys and values are appended together");
    }
    Arc::new(map.finish())
}

/// Columns with one value per sample, shaped. Each is asked for once: a projection names a column once.
struct DataColumns {
    shape: Shape,
    offsets: OffsetBuffer<i32>,
    /// For rows: the series of each sample.
    spread: UInt32Array,
    buffer: SampleBuffer,
    /// Where a sample is NULL as a float.
    float_nulls: Option<NullBuffer>,
}

impl DataColumns {
    fn new(shape: Shape, ends: &[usize], mut buffer: SampleBuffer) -> Result<Self> {
        let Ok(_) = i32::try_from(buffer.timestamps.len()) else {
            return exec_err!("a series has more than {} samples in the range of the query", i32::MAX);
        };
        let offsets: Vec<i32> = std::iter::once(0).chain(ends.iter().map(|end| *end as i32)).collect();
        let spread = match shape {
            Shape::Lists => UInt32Array::from(Vec::<u32>::new()),
            Shape::Rows => {
                let lengths = offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
                let repeated = lengths.enumerate().flat_map(|(i, n)| std::iter::repeat_n(i as u32, n));
                UInt32Array::from_iter_values(repeated)
            }
        };
        let absent = std::mem::take(&mut buffer.absent);
        if buffer.histogram_bytes > i32::MAX as usize {
            return exec_err!("a series has more than 2 GiB of histograms in the range of the query");
        }
        let float_nulls =
            absent.contains(&true).then(|| NullBuffer::from_iter(absent.iter().map(|absent| !absent)));
        Ok(Self { shape, offsets: OffsetBuffer::new(offsets.into()), spread, buffer, float_nulls })
    }

    /// A per-series column in the batch's shape.
    fn spread(&self, column: ArrayRef) -> Result<ArrayRef> {
        match self.shape {
            Shape::Lists => Ok(column),
            Shape::Rows => Ok(take(&column, &self.spread, None)?),
        }
    }

    fn list(&self, items: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        Arc::new(ListArray::new(field, self.offsets.clone(), items, None))
    }

    /// Lists of plain integers, or a column of timestamps.
    fn times(&self, times: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        let times: ScalarBuffer<i64> = times.into();
        match self.shape {
            Shape::Lists => self.list(Arc::new(Int64Array::new(times, None))),
            Shape::Rows => {
                let DataType::Timestamp(_, zone) = timestamp_type() else { unreachable!("it is a timestamp") };
                Arc::new(TimestampMillisecondArray::new(times, nulls).with_timezone_opt(zone))
            }
        }
    }

    fn timestamps(&mut self) -> ArrayRef {
        let timestamps = std::mem::take(&mut self.buffer.timestamps);
        self.times(timestamps, None)
    }

    fn start_timestamps(&mut self) -> ArrayRef {
        let set = NullBuffer::from_iter(self.buffer.start_timestamps.iter().map(|t| *t != 0));
        let start_timestamps = std::mem::take(&mut self.buffer.start_timestamps);
        self.times(start_timestamps, Some(set))
    }

    fn values(&mut self) -> ArrayRef {
        let values: ScalarBuffer<f64> = std::mem::take(&mut self.buffer.values).into();
        let values = Arc::new(Float64Array::new(values, self.float_nulls.clone()));
        match self.shape {
            Shape::Lists => self.list(values),
            Shape::Rows => values,
        }
    }

    fn histograms(&mut self) -> ArrayRef {
        match self.shape {
            Shape::Lists => {
                let mut builder = BinaryBuilder::new();
                let mut bytes = Vec::new();
                for histogram in &self.buffer.histograms {
                    bytes.clear();
                    match histogram {
                        None => builder.append_null(),
                        Some(histogram) => {
                            histogram::encode(histogram, &mut bytes);
                            builder.append_value(&bytes);
                        }
                    }
                }
                self.list(Arc::new(builder.finish()))
            }
            Shape::Rows => {
                let texts = self.buffer.histograms.iter().map(|h| h.as_ref().map(|h| histogram::to_json(h)));
                Arc::new(texts.collect::<StringViewArray>())
            }
        }
    }
}

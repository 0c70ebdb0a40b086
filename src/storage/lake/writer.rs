//! Sorted samples to Parquet files whose pages follow series and time.
//!
//! Runs of samples come in key order and gather into a row group; a full row group is encoded column by column
//! and handed out as bytes. Pages are cut where a reader wants to jump: a long run is cut at fixed UTC times, so
//! that a page is one series and one slice of time; short runs of neighbouring series share a page. Each call of
//! `write_batch` is made exactly one page, which is why this drives Parquet's column writers itself and not
//! `ArrowWriter`. `timestamp`, `scaled`, `value` and the rest share their page boundaries; the run-length coded
//! columns have fewer pages: `series_id` one for each run or pack, `metric` and `scale` larger ones.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;

use crate::error::{Context, ErrorKind, Result};
use crate::model::histogram::{FloatHistogram, Span};
use crate::storage::lake::schema::{self, Columns};
use crate::storage::scaled;
use crate::storage::types::RunSlice;

/// Rows of a row group, about.
pub const ROW_GROUP_ROWS: usize = 1 << 20;
/// Histograms of a row group, about: a million of them would take gigabytes until they are encoded.
const ROW_GROUP_HISTOGRAM_BYTES: usize = 64 << 20;
/// A page is cut before it would hold more rows than this.
pub const PAGE_ROWS: usize = 2048;
/// A change of metric closes a page with at least this many rows.
const PAGE_ROWS_MIN: usize = 512;
/// Pages of the run-length coded columns.
const WIDE_PAGE_ROWS: usize = 1 << 13;
/// Lengths of time slices, longest first; all divide a day.
const SLICES_MS: [i64; 9] = [21_600_000, 10_800_000, 3_600_000, 1_800_000, 900_000, 300_000, 60_000, 15_000, 5_000];

/// What a finished file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStats {
    pub rows: u64,
    pub min_timestamp: i64,
    pub max_timestamp: i64,
    pub min_metric: String,
    pub max_metric: String,
    pub min_series_id: i64,
    pub max_series_id: i64,
}

/// Encodes one file. Bytes are taken with [`SampleWriter::take`] as row groups fill.
pub struct SampleWriter {
    columns: Columns,
    rows: RowGroup,
    /// Opened with the first row group, when it is known which columns the file has.
    file: Option<SerializedFileWriter<Sink>>,
    sink: Sink,
    stats: Option<FileStats>,
    bytes_written: u64,
}

impl SampleWriter {
    /// `histograms` and `start_timestamps` say whether any run may have them; without, they are ignored.
    pub fn new(histograms: bool, start_timestamps: bool) -> Self {
        Self {
            columns: Columns {
                value: true,
                scaled: true,
                histogram: histograms,
                start_timestamp: start_timestamps,
            },
            rows: RowGroup::default(),
            file: None,
            sink: Sink::default(),
            stats: None,
            bytes_written: 0,
        }
    }

    /// Appends a run; keys must ascend from call to call. Nothing happens for an empty run.
    pub fn push(&mut self, metric: &str, series_id: i64, run: RunSlice<'_>) {
        let (Some(first), Some(last)) = (run.timestamps.first(), run.timestamps.last()) else { return };
        let rows = run.timestamps.len() as u64;
        match &mut self.stats {
            None => {
                self.stats = Some(FileStats {
                    rows,
                    min_timestamp: *first,
                    max_timestamp: *last,
                    min_metric: metric.to_string(),
                    max_metric: metric.to_string(),
                    min_series_id: series_id,
                    max_series_id: series_id,
                });
            }
            Some(stats) => {
                stats.rows += rows;
                stats.min_timestamp = stats.min_timestamp.min(*first);
                stats.max_timestamp = stats.max_timestamp.max(*last);
                if stats.max_metric != metric {
                    stats.max_metric = metric.to_string();
                }
                stats.min_series_id = stats.min_series_id.min(series_id);
                stats.max_series_id = stats.max_series_id.max(series_id);
            }
        }
        self.rows.push(metric, series_id, run, self.columns);
    }

    /// Whether the gathered rows should be encoded now.
    pub fn is_full(&self) -> bool {
        self.rows.timestamps.len() >= ROW_GROUP_ROWS || self.rows.histogram_bytes >= ROW_GROUP_HISTOGRAM_BYTES
    }

    /// Bytes of the file so far, without the rows still gathered.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Encodes the gathered rows as a row group.
    pub fn encode(&mut self) -> Result<()> {
        if self.rows.timestamps.is_empty() {
            return Ok(());
        }
        self.rows.close_page();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open_file(self.columns, self.sink.clone())?),
        };
        let written = file.next_row_group().and_then(|mut group| {
            self.rows.write(&mut group, self.columns)?;
            group.close()
        });
        written.context(ErrorKind::Internal, || "cannot encode a row group".to_string())?;
        self.rows.clear();
        Ok(())
    }

    /// Encodes what is left and closes the file; `None` when nothing was pushed.
    pub fn finish(&mut self) -> Result<Option<FileStats>> {
        if self.file.is_none() {
            // The whole file is in sight: columns without a value are left out.
            self.columns.scaled &= self.rows.scales.iter().any(Option::is_some);
            self.columns.value &= self.rows.has_values;
        }
        self.encode()?;
        let Some(mut file) = self.file.take() else { return Ok(None) };
        file.finish().context(ErrorKind::Internal, || "cannot close a Parquet file".to_string())?;
        Ok(self.stats.take())
    }

    /// The bytes encoded since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut *self.sink.0.lock());
        self.bytes_written += bytes.len() as u64;
        bytes
    }
}

/// Where the file writer writes; shared so that bytes can be taken out between row groups.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn open_file(columns: Columns, sink: Sink) -> Result<SerializedFileWriter<Sink>> {
    let message = || "cannot open a Parquet file".to_string();
    let descriptor = ArrowSchemaConverter::new()
        .schema_root("samples")
        .convert(&schema::samples(columns))
        .context(ErrorKind::Internal, message)?;
    SerializedFileWriter::new(sink, descriptor.root_schema_ptr(), Arc::new(properties()))
        .context(ErrorKind::Internal, message)
}

fn properties() -> WriterProperties {
    let path = |name: &str| ColumnPath::from(name);
    let ascending = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("level 1 exists"));
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("promlake ", env!("CARGO_PKG_VERSION")).to_string())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        // One page for each call of `write_batch`, see the module.
        .set_data_page_row_count_limit(1)
        .set_write_batch_size(1 << 20)
        .set_data_page_size_limit(1 << 30)
        .set_dictionary_page_size_limit(64 << 20)
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_index_truncate_length(None)
        .set_statistics_truncate_length(None)
        .set_compression(zstd)
        .set_dictionary_enabled(false)
        .set_sorting_columns(Some((0..3).map(ascending).collect()))
        .set_key_value_metadata(Some(schema::key_values()));
    for name in [schema::METRIC, schema::SERIES_ID, schema::SCALE] {
        builder = builder
            .set_column_dictionary_enabled(path(name), true)
            .set_column_compression(path(name), Compression::UNCOMPRESSED);
    }
    for name in [schema::METRIC, schema::SERIES_ID, schema::TIMESTAMP] {
        builder = builder.set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    for name in [schema::TIMESTAMP, schema::SCALED, schema::START_TIMESTAMP] {
        builder = builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    builder.set_column_encoding(path(schema::VALUE), Encoding::BYTE_STREAM_SPLIT).build()
}

/// Rows on their way into a row group, in columns, with the page boundaries chosen so far.
#[derive(Default)]
struct RowGroup {
    runs: Vec<RunRows>,
    timestamps: Vec<i64>,
    /// Where the sample is no float exactly at the run's scale; parallel to the rest.
    values: Vec<f64>,
    scaled: Vec<i64>,
    kinds: Vec<Kind>,
    /// The scale of each run.
    scales: Vec<Option<u8>>,
    histograms: Vec<Option<Arc<FloatHistogram>>>,
    histogram_bytes: usize,
    start_timestamps: Vec<i64>,
    /// Row each page ends before.
    pages: Vec<usize>,
    has_values: bool,
    scratch_scaled: Vec<i64>,
    scratch_exact: Vec<bool>,
    /// Metric names, one for each change.
    metrics: Vec<ByteArray>,
}

struct RunRows {
    metric: usize,
    series_id: i64,
    end: usize,
}

/// Which column has the sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Scaled,
    Histogram,
}

impl RowGroup {
    fn clear(&mut self) {
        let scratch = (std::mem::take(&mut self.scratch_scaled), std::mem::take(&mut self.scratch_exact));
        self.runs.clear();
        self.timestamps.clear();
        self.values.clear();
        self.scaled.clear();
        self.kinds.clear();
        self.scales.clear();
        self.histograms.clear();
        self.histogram_bytes = 0;
        self.start_timestamps.clear();
        self.pages.clear();
        self.metrics.clear();
        (self.scratch_scaled, self.scratch_exact) = scratch;
    }

    fn push(&mut self, metric: &str, series_id: i64, run: RunSlice<'_>, columns: Columns) {
        let start = self.timestamps.len();
        let changed = self.metrics.last().is_none_or(|last| last.data() != metric.as_bytes());
        if changed {
            self.metrics.push(ByteArray::from(metric));
        }
        self.cut_pages(start, run.timestamps, changed);
        self.timestamps.extend_from_slice(run.timestamps);
        self.push_values(run);
        if columns.histogram {
            match run.histograms.is_empty() {
                true => self.histograms.resize(self.timestamps.len(), None),
                false => {
                    self.histograms.extend_from_slice(run.histograms);
                    self.histogram_bytes += run.histograms.iter().flatten().map(|h| bytes_of(h)).sum::<usize>();
                }
            }
        }
        if columns.start_timestamp {
            match run.start_timestamps.is_empty() {
                true => self.start_timestamps.resize(self.timestamps.len(), 0),
                false => self.start_timestamps.extend_from_slice(run.start_timestamps),
            }
        }
        self.runs.push(RunRows { metric: self.metrics.len() - 1, series_id, end: self.timestamps.len() });
    }

    fn push_values(&mut self, run: RunSlice<'_>) {
        self.values.extend_from_slice(run.values);
        let scale = scaled::encode(run.values, &mut self.scratch_scaled, &mut self.scratch_exact);
        match scale {
            Some(_) => {
                self.scaled.extend_from_slice(&self.scratch_scaled);
                let kind = |exact: &bool| if *exact { Kind::Scaled } else { Kind::Value };
                self.kinds.extend(self.scratch_exact.iter().map(kind));
            }
            None => {
                self.scaled.resize(self.values.len(), 0);
                self.kinds.resize(self.values.len(), Kind::Value);
            }
        }
        self.scales.push(scale);
        let start = self.kinds.len() - run.values.len();
        for (at, _) in run.histograms.iter().enumerate().filter(|(_, h)| h.is_some()) {
            self.kinds[start + at] = Kind::Histogram;
        }
        self.has_values |= self.kinds[start..].contains(&Kind::Value);
    }

    /// Chooses where pages end, for a run that begins at row `start`.
    fn cut_pages(&mut self, start: usize, timestamps: &[i64], metric_changed: bool) {
        let open = start - self.pages.last().copied().unwrap_or(0);
        let long = timestamps.len() > PAGE_ROWS;
        let full = open + timestamps.len() > PAGE_ROWS;
        if open > 0 && (long || full || (metric_changed && open >= PAGE_ROWS_MIN)) {
            self.pages.push(start);
        }
        if !long {
            return;
        }
        let slice = slice_ms(timestamps);
        let mut page = 0;
        while page < timestamps.len() {
            let next = (timestamps[page].div_euclid(slice) + 1).saturating_mul(slice);
            let rows = timestamps[page..].partition_point(|t| *t < next).min(2 * PAGE_ROWS);
            page += rows.max(1);
            self.pages.push(start + page);
        }
    }

    fn close_page(&mut self) {
        if self.pages.last() != Some(&self.timestamps.len()) {
            self.pages.push(self.timestamps.len());
        }
    }

    /// Writes every column of the schema, in its order.
    fn write(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        columns: Columns,
    ) -> parquet::errors::Result<()> {
        self.write_metric(group)?;
        self.write_series_id(group)?;
        self.write_required::<Int64Type>(group, &self.timestamps)?;
        if columns.value {
            self.write_kind::<DoubleType>(group, &self.values, Kind::Value)?;
        }
        if columns.scaled {
            self.write_kind::<Int64Type>(group, &self.scaled, Kind::Scaled)?;
            self.write_scale(group)?;
        }
        if columns.histogram {
            self.write_histograms(group)?;
        }
        if columns.start_timestamp {
            self.write_optional::<Int64Type>(group, |at| {
                Some(self.start_timestamps[at]).filter(|start| *start != 0)
            })?;
        }
        Ok(())
    }

    /// Row ranges of the pages all fine columns share.
    fn page_ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let starts = std::iter::once(0).chain(self.pages.iter().copied());
        starts.zip(self.pages.iter().copied()).map(|(start, end)| start..end)
    }

    /// Groups of runs that make one page of a run-length coded column: closed at a change of metric when
    /// large enough, and when full.
    fn wide_pages(&self) -> Vec<std::ops::Range<usize>> {
        let mut pages = Vec::new();
        let (mut first, mut first_row, mut row) = (0, 0, 0);
        for (at, run) in self.runs.iter().enumerate() {
            let rows = row - first_row;
            let changed = at > first && self.runs[at - 1].metric != run.metric;
            if at > first && ((changed && rows >= PAGE_ROWS_MIN) || rows + (run.end - row) > WIDE_PAGE_ROWS) {
                pages.push(first..at);
                (first, first_row) = (at, row);
            }
            row = run.end;
        }
        pages.push(first..self.runs.len());
        pages
    }

    fn run_start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.runs[at - 1].end }
    }

    fn write_metric(&self, group: &mut SerializedRowGroupWriter<'_, Sink>) -> parquet::errors::Result<()> {
        // Names repeat from page to page, and a copy of one is counted: what is there already is kept.
        let mut page: Vec<ByteArray> = Vec::with_capacity(WIDE_PAGE_ROWS);
        let mut repeated = usize::MAX;
        column(group, |writer| {
            let writer = writer.typed::<ByteArrayType>();
            for runs in self.wide_pages() {
                let (first, last) = (&self.runs[runs.start], &self.runs[runs.end - 1]);
                let rows = last.end - self.run_start(runs.start);
                if first.metric == last.metric {
                    if repeated != first.metric {
                        page.clear();
                        repeated = first.metric;
                    }
                    if page.len() < rows {
                        page.resize(rows, self.metrics[first.metric].clone());
                    }
                } else {
                    repeated = usize::MAX;
                    page.clear();
                    for at in runs {
                        let rows = self.runs[at].end - self.run_start(at);
                        page.resize(page.len() + rows, self.metrics[self.runs[at].metric].clone());
                    }
                }
                writer.write_batch(&page[..rows], None, None)?;
            }
            Ok(())
        })
    }

    /// A page of `series_id` ends where a page of the fine columns ends, but not within a run.
    fn write_series_id(&self, group: &mut SerializedRowGroupWriter<'_, Sink>) -> parquet::errors::Result<()> {
        let mut page: Vec<i64> = Vec::with_capacity(2 * PAGE_ROWS);
        let mut ends = self.pages.iter().copied().peekable();
        column(group, |writer| {
            let writer = writer.typed::<Int64Type>();
            let mut row = 0;
            for run in &self.runs {
                page.resize(page.len() + run.end - row, run.series_id);
                row = run.end;
                while ends.next_if(|end| *end < row).is_some() {}
                if ends.next_if_eq(&row).is_some() {
                    writer.write_batch(&page, None, None)?;
                    page.clear();
                }
            }
            Ok(())
        })
    }

    fn write_required<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        values: &[T::T],
    ) -> parquet::errors::Result<()> {
        column(group, |writer| {
            let writer = writer.typed::<T>();
            self.page_ranges().try_for_each(|rows| writer.write_batch(&values[rows], None, None).map(|_| ()))
        })
    }

    /// The rows of one kind; NULL for the others.
    fn write_kind<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        values: &[T::T],
        kind: Kind,
    ) -> parquet::errors::Result<()> {
        let (mut page, mut levels): (Vec<T::T>, Vec<i16>) = (Vec::new(), Vec::new());
        column(group, |writer| {
            let writer = writer.typed::<T>();
            for rows in self.page_ranges() {
                let kinds = &self.kinds[rows.clone()];
                levels.clear();
                levels.extend(kinds.iter().map(|k| i16::from(*k == kind)));
                let count: usize = levels.iter().map(|level| *level as usize).sum();
                if count == kinds.len() {
                    writer.write_batch(&values[rows], Some(&levels), None)?;
                    continue;
                }
                page.clear();
                if count > 0 {
                    let present = kinds.iter().zip(&values[rows]).filter(|(k, _)| **k == kind);
                    page.extend(present.map(|(_, value)| value.clone()));
                }
                writer.write_batch(&page, Some(&levels), None)?;
            }
            Ok(())
        })
    }

    /// The scale of the run, where the sample is scaled.
    fn write_scale(&self, group: &mut SerializedRowGroupWriter<'_, Sink>) -> parquet::errors::Result<()> {
        let (mut page, mut levels): (Vec<i32>, Vec<i16>) = (Vec::new(), Vec::new());
        column(group, |writer| {
            let writer = writer.typed::<Int32Type>();
            for runs in self.wide_pages() {
                page.clear();
                levels.clear();
                for at in runs {
                    let kinds = &self.kinds[self.run_start(at)..self.runs[at].end];
                    levels.extend(kinds.iter().map(|kind| i16::from(*kind == Kind::Scaled)));
                    let count = kinds.iter().filter(|kind| **kind == Kind::Scaled).count();
                    page.resize(page.len() + count, i32::from(self.scales[at].unwrap_or(0)));
                }
                writer.write_batch(&page, Some(&levels), None)?;
            }
            Ok(())
        })
    }

    fn write_optional<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        value: impl Fn(usize) -> Option<T::T>,
    ) -> parquet::errors::Result<()> {
        let (mut page, mut levels): (Vec<T::T>, Vec<i16>) = (Vec::new(), Vec::new());
        column(group, |writer| {
            let writer = writer.typed::<T>();
            for rows in self.page_ranges() {
                page.clear();
                levels.clear();
                for value in rows.map(&value) {
                    levels.push(i16::from(value.is_some()));
                    page.extend(value);
                }
                writer.write_batch(&page, Some(&levels), None)?;
            }
            Ok(())
        })
    }

    /// The leaves of `histogram`, in the order of [`schema::HISTOGRAM_FIELDS`].
    fn write_histograms(&self, group: &mut SerializedRowGroupWriter<'_, Sink>) -> parquet::errors::Result<()> {
        self.scalar::<Int32Type>(group, |h| h.counter_reset_hint as i32)?;
        self.scalar::<Int32Type>(group, |h| h.schema)?;
        self.scalar::<DoubleType>(group, |h| h.zero_threshold)?;
        self.scalar::<DoubleType>(group, |h| h.zero_count)?;
        self.scalar::<DoubleType>(group, |h| h.count)?;
        self.scalar::<DoubleType>(group, |h| h.sum)?;
        let offsets = |spans: &[Span]| spans.iter().map(|span| span.offset).collect::<Vec<_>>();
        let lengths = |spans: &[Span]| spans.iter().map(|span| span.length as i32).collect::<Vec<_>>();
        self.list::<Int32Type>(group, |h| offsets(&h.positive_spans))?;
        self.list::<Int32Type>(group, |h| lengths(&h.positive_spans))?;
        self.list::<DoubleType>(group, |h| h.positive_buckets.clone())?;
        self.list::<Int32Type>(group, |h| offsets(&h.negative_spans))?;
        self.list::<Int32Type>(group, |h| lengths(&h.negative_spans))?;
        self.list::<DoubleType>(group, |h| h.negative_buckets.clone())?;
        self.list::<DoubleType>(group, |h| h.custom_values.clone())
    }

    /// Definition levels: 0 no histogram, 2 present.
    fn scalar<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        value: impl Fn(&FloatHistogram) -> T::T,
    ) -> parquet::errors::Result<()> {
        let (mut page, mut levels): (Vec<T::T>, Vec<i16>) = (Vec::new(), Vec::new());
        column(group, |writer| {
            let writer = writer.typed::<T>();
            for rows in self.page_ranges() {
                page.clear();
                levels.clear();
                for histogram in &self.histograms[rows] {
                    levels.push(if histogram.is_some() { 2 } else { 0 });
                    page.extend(histogram.as_deref().map(&value));
                }
                writer.write_batch(&page, Some(&levels), None)?;
            }
            Ok(())
        })
    }

    /// Definition levels: 0 no histogram, 2 an empty list, 4 an element.
    fn list<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        values: impl Fn(&FloatHistogram) -> Vec<T::T>,
    ) -> parquet::errors::Result<()> {
        let (mut page, mut defs, mut reps): (Vec<T::T>, Vec<i16>, Vec<i16>) = (Vec::new(), Vec::new(), Vec::new());
        column(group, |writer| {
            let writer = writer.typed::<T>();
            for rows in self.page_ranges() {
                page.clear();
                defs.clear();
                reps.clear();
                for histogram in &self.histograms[rows] {
                    let elements = histogram.as_deref().map(&values);
                    let count = elements.as_ref().map_or(0, Vec::len);
                    reps.push(0);
                    reps.resize(reps.len() + count.saturating_sub(1), 1);
                    match elements {
                        None => defs.push(0),
                        Some(elements) if elements.is_empty() => defs.push(2),
                        Some(elements) => {
                            defs.resize(defs.len() + count, 4);
                            page.extend(elements);
                        }
                    }
                }
                writer.write_batch(&page, Some(&defs), Some(&reps))?;
            }
            Ok(())
        })
    }
}

/// Memory of a histogram, about.
fn bytes_of(histogram: &FloatHistogram) -> usize {
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
    size_of::<FloatHistogram>() + 8 * (spans + buckets + histogram.custom_values.len())
}

fn column(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    write: impl FnOnce(&mut parquet::file::writer::SerializedColumnWriter<'_>) -> parquet::errors::Result<()>,
) -> parquet::errors::Result<()> {
    let mut writer = group.next_column()?.expect("the schema has a column for each one written");
    write(&mut writer)?;
    writer.close()
}

/// The longest slice that gives pages of at most [`PAGE_ROWS`] rows, for a run with evenly spread samples.
fn slice_ms(timestamps: &[i64]) -> i64 {
    let span = match (timestamps.first(), timestamps.last()) {
        (Some(first), Some(last)) => (last - first).max(1) as f64,
        _ => 1.0,
    };
    let rows_per_ms = timestamps.len() as f64 / span;
    let fits = |slice: &&i64| rows_per_ms * (**slice as f64) <= PAGE_ROWS as f64;
    SLICES_MS.iter().find(fits).copied().unwrap_or(SLICES_MS[SLICES_MS.len() - 1])
}

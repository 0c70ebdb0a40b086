//! The leaf over hand-made files in memory and a fixed memory source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int8Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::engine::scan::table::{HISTOGRAMS, VALUES};
use crate::engine::scan::{ScanOptions, SeriesTable};
use crate::model::histogram::{FloatHistogram, codec};
use crate::model::labels::Labels;
use crate::model::sample::{STALE_NAN, TimeRange};
use crate::storage::types::{MemorySource, NOWHERE, Run, SampleFile, Series, Snapshot};

type Samples = Vec<(i64, f64)>;

/// How a test file stores its floats.
#[derive(Clone, Copy)]
enum Encoding {
    Value,
    Scaled,
    /// Even rows scaled, odd rows not.
    Mixed,
}

#[derive(Debug, Default)]
struct Memory {
    samples: Vec<(i64, Run)>,
}

impl MemorySource for Memory {
    fn locate(&self, ids: &[i64], _range: TimeRange, places: &mut [u32]) {
        for (id, place) in ids.iter().zip(places) {
            let found = self.samples.iter().position(|(other, _)| other == id);
            *place = found.map_or(NOWHERE, |at| at as u32);
        }
    }

    fn read_at(&self, place: u32, range: TimeRange, run: &mut Run) {
        let (_, all) = &self.samples[place as usize];
        for (row, timestamp) in all.timestamps.iter().enumerate().filter(|(_, t)| range.contains(**t)) {
            run.timestamps.push(*timestamp);
            run.values.push(all.values[row]);
            run.histograms.extend(all.histograms.get(row).cloned());
        }
    }

    fn bounds(&self) -> Option<TimeRange> {
        Some(TimeRange::ALL)
    }

    fn samples(&self) -> usize {
        self.samples.iter().map(|(_, run)| run.timestamps.len()).sum()
    }

    fn has_histograms(&self) -> bool {
        self.samples.iter().any(|(_, run)| !run.histograms.is_empty())
    }

    fn has_start_timestamps(&self) -> bool {
        false
    }
}

/// Builds a snapshot piece by piece.
struct Lake {
    objects: Arc<InMemory>,
    series: Vec<Arc<Series>>,
    files: Vec<Arc<SampleFile>>,
    memory: Vec<Arc<dyn MemorySource>>,
}

impl Lake {
    /// Series `m{i="<id>"}` for the ids, all of one metric.
    fn new(ids: &[i64]) -> Self {
        let series = ids.iter().map(|id| {
            let labels = Labels::from_pairs([("__name__", "m".to_string()), ("i", id.to_string())]);
            Arc::new(Series { id: *id, labels })
        });
        Self { objects: Arc::new(InMemory::new()), series: series.collect(), files: Vec::new(), memory: Vec::new() }
    }

    /// Adds a file with these series, in the order given.
    async fn file(&mut self, rows: &[(i64, Samples)], encoding: Encoding) -> &mut Self {
        let name = format!("samples/day=2026-11-21/{}.parquet", self.files.len());
        let bytes = parquet_bytes(rows, encoding);
        let size_bytes = bytes.len() as u64;
        self.objects.put(&Path::from(name.as_str()), bytes.into()).await.unwrap();
        let times = || rows.iter().flat_map(|(_, samples)| samples.iter().map(|(t, _)| *t));
        self.files.push(Arc::new(SampleFile {
            path: name,
            size_bytes,
            rows: times().count() as u64,
            day: 0,
            commit: self.files.len() as i64,
            min_timestamp: times().min().unwrap(),
            max_timestamp: times().max().unwrap(),
            min_metric: "m".into(),
            max_metric: "m".into(),
            has_histograms: false,
            has_start_timestamps: false,
            modified_ms: 0,
            deletes: Default::default(),
        }));
        self
    }

    fn memory(&mut self, samples: Vec<(i64, Run)>) -> &mut Self {
        self.memory.push(Arc::new(Memory { samples }));
        self
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            series: self.series.clone().into(),
            label_names: self.series.first().map_or(vec![], |_| vec!["__name__".into(), "i".into()]).into(),
            memory: self.memory.clone(),
            files: self.files.clone(),
            objects: self.objects.clone() as Arc<dyn ObjectStore>,
        })
    }

    /// Scans as lists, for up to three partitions, and returns each series with its samples.
    async fn read(&self, range: TimeRange) -> Vec<(String, Samples)> {
        let table = SeriesTable::lists(self.snapshot(), range, &ScanOptions::default());
        let batches = context(3).read_table(table).unwrap().collect().await.unwrap();
        let mut read: Vec<(String, Samples)> = batches.iter().flat_map(list_rows).collect();
        read.sort_by_key(|(name, _)| name.parse::<i64>().unwrap());
        read
    }

    /// The physical plan as text.
    async fn explain(&self, range: TimeRange, partitions: usize) -> String {
        let table = SeriesTable::lists(self.snapshot(), range, &ScanOptions::default());
        let frame = context(partitions).read_table(table).unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }
}

fn context(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions);
    // The optimizer would split files of any size by bytes, if it were let.
    config.options_mut().optimizer.repartition_file_min_size = 1;
    SessionContext::new_with_config(config)
}

fn parquet_bytes(rows: &[(i64, Samples)], encoding: Encoding) -> Vec<u8> {
    let flat: Vec<(i64, i64, f64)> =
        rows.iter().flat_map(|(id, samples)| samples.iter().map(|(t, v)| (*id, *t, *v))).collect();
    let is_scaled = |row: usize| match encoding {
        Encoding::Value => false,
        Encoding::Scaled => true,
        Encoding::Mixed => row.is_multiple_of(2),
    };
    let scaled = |(row, (_, _, v)): (usize, &(i64, i64, f64))| is_scaled(row).then(|| (*v * 100.0).round() as i64);
    let value = |(row, (_, _, v)): (usize, &(i64, i64, f64))| (!is_scaled(row)).then_some(*v);
    let timestamps = TimestampMillisecondArray::from_iter_values(flat.iter().map(|r| r.1)).with_timezone("UTC");
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("metric", Arc::new(StringArray::from(vec!["m"; flat.len()]))),
        ("series_id", Arc::new(Int64Array::from_iter_values(flat.iter().map(|r| r.0)))),
        ("timestamp", Arc::new(timestamps)),
    ];
    if !matches!(encoding, Encoding::Scaled) {
        columns.push(("value", Arc::new(flat.iter().enumerate().map(value).collect::<Float64Array>())));
    }
    if !matches!(encoding, Encoding::Value) {
        columns.push(("scaled", Arc::new(flat.iter().enumerate().map(scaled).collect::<Int64Array>())));
        let scales = (0..flat.len()).map(|row| is_scaled(row).then_some(2));
        columns.push(("scale", Arc::new(scales.collect::<Int8Array>())));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, !matches!(name, "metric" | "series_id" | "timestamp"))),
    );
    let batch = batch.unwrap();
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(10)
        .set_max_row_group_row_count(Some(200))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn list_rows(batch: &RecordBatch) -> Vec<(String, Samples)> {
    let names = batch.column_by_name("i").unwrap().as_string_view();
    let times = batch.column_by_name("__timestamps__").unwrap().as_list::<i32>();
    let values = batch.column_by_name(VALUES).unwrap().as_list::<i32>();
    (0..batch.num_rows())
        .map(|row| {
            let times = times.value(row);
            let values = values.value(row);
            let times = times.as_primitive::<Int64Type>().values();
            let values = values.as_primitive::<Float64Type>().values();
            (names.value(row).to_string(), times.iter().copied().zip(values.iter().copied()).collect())
        })
        .collect()
}

/// `n` samples from `start`, 10 apart, values with two decimals that depend on `seed`.
fn ramp(start: i64, n: i64, seed: f64) -> Samples {
    (0..n).map(|i| (start + i * 10, ((seed * 100.0 + i as f64 * 25.0).round()) / 100.0)).collect()
}

fn run(samples: &[(i64, f64)]) -> Run {
    Run {
        timestamps: samples.iter().map(|s| s.0).collect(),
        values: samples.iter().map(|s| s.1).collect(),
        ..Run::default()
    }
}

fn expected(samples: &[(i64, Samples)]) -> Vec<(String, Samples)> {
    samples.iter().map(|(id, samples)| (id.to_string(), samples.clone())).collect()
}

#[tokio::test]
async fn every_encoding_reads_back_the_same_bits() {
    let rows = vec![(1, ramp(0, 40, 0.07)), (2, ramp(0, 25, 12345.67)), (5, ramp(100, 300, -3.5))];
    for encoding in [Encoding::Value, Encoding::Scaled, Encoding::Mixed] {
        let mut lake = Lake::new(&[1, 2, 5]);
        lake.file(&rows, encoding).await;
        assert_eq!(lake.read(TimeRange::ALL).await, expected(&rows));
    }
}

#[tokio::test]
async fn series_nobody_asked_for_and_series_without_samples_are_left_out() {
    let rows = vec![(1, ramp(0, 15, 1.0)), (2, ramp(0, 15, 2.0)), (3, ramp(0, 15, 3.0)), (4, ramp(0, 15, 4.0))];
    let mut lake = Lake::new(&[2, 4, 9]);
    lake.file(&rows, Encoding::Scaled).await;
    assert_eq!(lake.read(TimeRange::ALL).await, expected(&[rows[1].clone(), rows[3].clone()]));
    assert_eq!(lake.read(TimeRange::new(1000, 2000)).await, vec![]);
}

#[tokio::test]
async fn both_ends_of_the_range_belong_to_it() {
    let mut lake = Lake::new(&[1]);
    lake.file(&[(1, ramp(0, 10, 1.0))], Encoding::Value).await;
    lake.memory(vec![(1, run(&ramp(100, 10, 5.0)))]);
    let read = lake.read(TimeRange::new(90, 110)).await;
    assert_eq!(read, expected(&[(1, vec![(90, 3.25), (100, 5.0), (110, 5.25)])]));
}

#[tokio::test]
async fn files_are_put_in_time_order_whatever_their_commit() {
    let mut lake = Lake::new(&[1, 2]);
    lake.file(&[(1, ramp(500, 10, 2.0)), (2, ramp(500, 10, 2.0))], Encoding::Value).await;
    lake.file(&[(1, ramp(0, 10, 1.0))], Encoding::Scaled).await;
    let first = [ramp(0, 10, 1.0), ramp(500, 10, 2.0)].concat();
    assert_eq!(lake.read(TimeRange::ALL).await, expected(&[(1, first), (2, ramp(500, 10, 2.0))]));
}

#[tokio::test]
async fn of_equal_timestamps_the_later_commit_wins_and_memory_wins_over_files() {
    let mut lake = Lake::new(&[1]);
    lake.file(&[(1, vec![(0, 1.0), (10, 1.0), (20, 1.0), (40, 1.0)])], Encoding::Value).await;
    lake.file(&[(1, vec![(10, 2.0), (20, 2.0), (30, 2.0)])], Encoding::Value).await;
    lake.memory(vec![(1, run(&[(20, 3.0), (30, 3.0)]))]);
    lake.memory(vec![(1, run(&[(30, 4.0)]))]);
    let merged = vec![(0, 1.0), (10, 2.0), (20, 3.0), (30, 4.0), (40, 1.0)];
    assert_eq!(lake.read(TimeRange::ALL).await, expected(&[(1, merged)]));
}

/// A day before its merge is many small files, and a reader for each of them at once took the memory of the machine.
#[tokio::test]
async fn many_files_are_read_in_the_memory_of_a_few() {
    let (files, ids) = (90, 40);
    let mut lake = Lake::new(&(0..ids).collect::<Vec<_>>());
    let encodings = [Encoding::Value, Encoding::Scaled, Encoding::Mixed];
    let mut expected: Vec<BTreeMap<i64, f64>> = vec![BTreeMap::new(); ids as usize];
    for file in 0..files {
        // Each overlaps the next, and series 3 is only in some.
        let wanted = (0..ids).filter(|id| *id != 3 || file % 7 == 0);
        let rows: Vec<(i64, Samples)> = wanted.map(|id| (id, ramp(file * 80, 10, (file + id) as f64))).collect();
        rows.iter().for_each(|(id, samples)| expected[*id as usize].extend(samples.iter().copied()));
        lake.file(&rows, encodings[file as usize % 3]).await;
    }
    lake.memory(vec![(5, run(&[(40, -1.0), (100_000, 7.0)]))]);
    expected[5].extend([(40, -1.0), (100_000, 7.0)]);

    let read = |memory_bytes: usize| {
        let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
        let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)));
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, environment.build_arc().unwrap());
        async move { context.read_table(table).unwrap().collect().await }
    };
    // Side by side the readers would hold 90 times four columns of 256 KiB.
    let mut found: Vec<_> = read(24 << 20).await.unwrap().iter().flat_map(list_rows).collect();
    found.sort_by_key(|(name, _)| name.parse::<i64>().unwrap());
    let expected = expected.into_iter().enumerate();
    assert_eq!(found, expected.map(|(id, all)| (id.to_string(), all.into_iter().collect())).collect::<Vec<_>>());

    let error = read(1 << 20).await.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
}

#[tokio::test]
async fn only_pages_that_can_hold_wanted_series_in_range_are_planned() {
    let rows: Vec<(i64, Samples)> = (0..20).map(|id| (id, ramp(0, 50, id as f64))).collect();
    let mut lake = Lake::new(&[7]);
    lake.file(&rows, Encoding::Scaled).await;
    // Pages are 10 rows: one series is five of the hundred pages, a window of 100 ms is one or two.
    let plan = lake.explain(TimeRange::ALL, 2).await;
    assert!(plan.contains("pages=5/100"), "{plan}");
    let plan = lake.explain(TimeRange::new(100, 190), 2).await;
    assert!(plan.contains("pages=1/100"), "{plan}");
    assert!(plan.contains("metric@"), "the predicate is shown: {plan}");
    let read = lake.read(TimeRange::new(100, 190)).await;
    assert_eq!(read, expected(&[(7, ramp(100, 10, 9.5))]));
    // A file without a wanted page is no child at all.
    let plan = lake.explain(TimeRange::new(10_000, 20_000), 2).await;
    assert!(plan.contains("files=0/1") && !plan.contains("DataSourceExec"), "{plan}");
}

#[tokio::test]
async fn partitions_split_the_series_and_lose_none() {
    let ids: Vec<i64> = (0..400).collect();
    let rows: Vec<(i64, Samples)> = ids.iter().map(|id| (*id, ramp(0, 13, *id as f64))).collect();
    let mut lake = Lake::new(&ids);
    lake.file(&rows[..240], Encoding::Scaled).await.file(&rows[160..], Encoding::Value).await;
    for partitions in [1, 2, 3, 8] {
        let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
        let frame = context(partitions).read_table(table).unwrap();
        let parts = frame.collect_partitioned().await.unwrap();
        assert_eq!(parts.len(), partitions);
        let mut read: Vec<(String, Samples)> = parts.iter().flatten().flat_map(list_rows).collect();
        read.sort_by_key(|(name, _)| name.parse::<i64>().unwrap());
        assert_eq!(read, expected(&rows), "{partitions} partitions");
    }
}

#[tokio::test]
async fn rows_carry_the_labels_of_their_series() {
    let mut lake = Lake::new(&[1, 2]);
    lake.file(&[(1, vec![(0, 1.5), (10, 2.5)])], Encoding::Scaled).await;
    lake.memory(vec![(2, run(&[(5, 7.0)]))]);
    let table = SeriesTable::rows(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    let batches = context(1).read_table(table).unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let times = batch.column(0).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(1).as_primitive::<Float64Type>();
        let names = batch.column_by_name("i").unwrap().as_string_view();
        rows.extend((0..batch.num_rows()).map(|r| (names.value(r).to_string(), times.value(r), values.value(r))));
    }
    assert_eq!(rows, [("1".into(), 0, 1.5), ("1".into(), 10, 2.5), ("2".into(), 5, 7.0)]);
}

#[tokio::test]
async fn rows_can_be_counted_without_a_column_and_limited() {
    let mut lake = Lake::new(&[1, 2]);
    lake.file(&[(1, ramp(0, 30, 1.0)), (2, ramp(0, 12, 1.0))], Encoding::Value).await;
    let table = SeriesTable::rows(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    assert_eq!(context(2).read_table(table.clone()).unwrap().count().await.unwrap(), 42);
    let frame = context(2).read_table(table).unwrap().limit(0, Some(7)).unwrap();
    let rows: usize = frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 7);
}

/// A target that vanished left a marker, and after it `avg` and `last` of a metric were NaN.
#[tokio::test]
async fn staleness_markers_are_no_rows() {
    let histogram = |sum| Some(Arc::new(FloatHistogram { count: 3.0, sum, ..FloatHistogram::default() }));
    let mut lake = Lake::new(&[1, 2, 3]);
    lake.file(&[(1, vec![(0, 1.5), (10, STALE_NAN), (20, f64::NAN)]), (2, vec![(0, STALE_NAN)])], Encoding::Value)
        .await;
    let run = Run {
        timestamps: vec![0, 10, 20, 30],
        values: vec![1.0, STALE_NAN, 0.0, 0.0],
        histograms: vec![None, None, histogram(4.5), histogram(STALE_NAN)],
        ..Run::default()
    };
    lake.memory(vec![(3, run)]);
    let rows = |table| async move {
        let frame = context(2).read_table(table).unwrap();
        let counted = frame.clone().count().await.unwrap();
        let batches = frame.select_columns(&["i", "timestamp"]).unwrap().collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            let (names, times) = (batch.column(0).as_string_view(), batch.column(1));
            let times = times.as_primitive::<TimestampMillisecondType>();
            rows.extend((0..batch.num_rows()).map(|row| (names.value(row).to_string(), times.value(row))));
        }
        assert_eq!(rows.len(), counted);
        rows.sort();
        rows
    };
    let table = SeriesTable::rows(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    let expected = [("1", 0), ("1", 20), ("3", 0), ("3", 20)].map(|(name, time)| (name.to_string(), time));
    assert_eq!(rows(table).await, expected);
    // PromQL needs them.
    let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    let batches = context(1).read_table(table).unwrap().collect().await.unwrap();
    let samples: usize =
        batches.iter().map(|batch| batch.column_by_name(VALUES).unwrap().as_list::<i32>().values().len()).sum();
    assert_eq!(samples, 8);
}

#[tokio::test]
async fn histograms_are_bytes_beside_null_floats() {
    let histogram = FloatHistogram { count: 3.0, sum: 4.5, ..FloatHistogram::default() };
    let mut lake = Lake::new(&[1]);
    lake.memory(vec![(
        1,
        Run {
            timestamps: vec![0, 10],
            values: vec![1.0, 0.0],
            histograms: vec![None, Some(Arc::new(histogram.clone()))],
            ..Run::default()
        },
    )]);
    let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    let batches = context(1).read_table(table).unwrap().collect().await.unwrap();
    let values = batches[0].column_by_name(VALUES).unwrap().as_list::<i32>().value(0);
    let histograms = batches[0].column_by_name(HISTOGRAMS).unwrap().as_list::<i32>().value(0);
    use arrow::array::Array;
    assert!(values.is_valid(0) && values.is_null(1) && histograms.is_null(0));
    assert_eq!(codec::decode(histograms.as_binary::<i32>().value(1)).unwrap(), histogram);
}

#[tokio::test]
async fn batches_are_bounded() {
    let ids: Vec<i64> = (0..40).collect();
    let rows: Vec<(i64, Samples)> = ids.iter().map(|id| (*id, ramp(0, 100, 1.0))).collect();
    let mut lake = Lake::new(&ids);
    lake.file(&rows, Encoding::Scaled).await;
    let options = ScanOptions { batch_samples: 250, ..ScanOptions::default() };
    let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &options);
    let batches = context(1).read_table(table).unwrap().collect().await.unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 3), "three series pass 250 samples");
}

#[tokio::test]
async fn an_unsorted_file_is_an_error_and_not_a_wrong_answer() {
    let mut lake = Lake::new(&[1, 2]);
    lake.file(&[(2, ramp(0, 30, 1.0)), (1, ramp(0, 30, 1.0))], Encoding::Value).await;
    let table = SeriesTable::lists(lake.snapshot(), TimeRange::ALL, &ScanOptions::default());
    let error = context(1).read_table(table).unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("is not sorted"), "{error}");
}

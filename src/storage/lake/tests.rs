//! The lake against a store that fails on purpose, and files read back bit by bit.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parquet::file::reader::FileReader;

use super::merge::Limits;
use super::reader::RunStream;
use super::rows::Exemplar;
use super::tables::Clock;
use super::writer::{PAGE_ROWS, SampleWriter};
use super::*;
use crate::error::ErrorKind;
use crate::model::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::model::labels::Labels;
use crate::model::metadata::{Metadata, MetricType};
use crate::model::sample::{DAY_MS, STALE_NAN, TimeRange};
use crate::storage::object::{self, Kind, Objects};
use crate::storage::runs::combine;
use crate::storage::types::{Run, Series, SortedRuns};

/// The history of alerts.
mod alerts;

const DAY: i32 = 20_000;
const DAY_START: i64 = DAY as i64 * DAY_MS;

fn clock(now_ms: i64) -> Clock {
    Arc::new(move || now_ms)
}

fn series(metric: &str, instance: &str) -> Arc<Series> {
    let labels = Labels::from_pairs([("__name__", metric), ("instance", instance)]);
    Arc::new(Series { id: labels.hash_id(), labels })
}

/// Runs of series in the order of their keys.
#[derive(Default)]
struct Runs {
    series: Vec<Arc<Series>>,
    runs: Vec<Run>,
}

impl SortedRuns for Runs {
    fn series(&self) -> &[Arc<Series>] {
        &self.series
    }

    fn times(&self, at: usize) -> TimeRange {
        let timestamps = &self.runs[at].timestamps;
        TimeRange::new(timestamps[0], timestamps[timestamps.len() - 1])
    }

    fn read(&self, at: usize, range: TimeRange, run: &mut Run) {
        let from = &self.runs[at];
        for (row, timestamp) in from.timestamps.iter().enumerate().filter(|(_, t)| range.contains(**t)) {
            run.timestamps.push(*timestamp);
            run.values.push(from.values[row]);
            run.histograms.extend(from.histograms.get(row).cloned());
            run.start_timestamps.extend(from.start_timestamps.get(row));
        }
    }

    fn has_histograms(&self) -> bool {
        self.runs.iter().any(|run| !run.histograms.is_empty())
    }

    fn has_start_timestamps(&self) -> bool {
        self.runs.iter().any(|run| !run.start_timestamps.is_empty())
    }
}

/// One run for each series, in the order of their keys.
fn block(mut runs: Vec<(Arc<Series>, Run)>) -> Runs {
    runs.sort_by(|(a, _), (b, _)| (a.labels.metric(), a.id).cmp(&(b.labels.metric(), b.id)));
    let (series, runs) = runs.into_iter().unzip();
    Runs { series, runs }
}

fn floats(samples: &[(i64, f64)]) -> Run {
    Run {
        timestamps: samples.iter().map(|(t, _)| DAY_START + t).collect(),
        values: samples.iter().map(|(_, v)| *v).collect(),
        ..Run::default()
    }
}

fn histogram(count: f64) -> Arc<FloatHistogram> {
    Arc::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count,
        sum: -2.5,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 5, length: 1 }],
        negative_spans: Vec::new(),
        positive_buckets: vec![1.0, 2.0, count],
        negative_buckets: Vec::new(),
        custom_values: vec![0.5],
    })
}

async fn flush(lake: &Lake, seq: u64, block: &Runs) -> crate::error::Result<usize> {
    let listed: Vec<Arc<Series>> = block.series().to_vec();
    lake.commit_flush(seq, lake.deletes_seen(), block, &[(DAY, listed)], &[], &[]).await.map(|files| files.len())
}

/// Everything the lake's files hold, merged as a reader merges: (metric, id) to samples.
async fn contents(lake: &Lake, objects: &Objects) -> Vec<((String, i64), Run)> {
    let mut runs: std::collections::BTreeMap<(String, i64), Vec<Run>> = Default::default();
    for file in &lake.files().samples {
        let mut stream = RunStream::open(Arc::clone(&objects.store), &file.path, file.size_bytes).await.unwrap();
        while let Some(found) = stream.next().await.unwrap() {
            runs.entry((found.metric.to_string(), found.series_id)).or_default().push(found.run);
        }
    }
    runs.into_iter().map(|(key, runs)| (key, combine(runs))).collect()
}

fn assert_same(a: &Run, b: &Run) {
    assert_eq!(a.timestamps, b.timestamps);
    let bits = |run: &Run| -> Vec<u64> {
        let float = |at: usize| run.histograms.get(at).is_none_or(Option::is_none);
        run.values.iter().enumerate().map(|(at, v)| if float(at) { v.to_bits() } else { 0 }).collect()
    };
    assert_eq!(bits(a), bits(b));
    let padded = |run: &Run| {
        let mut all = run.histograms.clone();
        all.resize(run.timestamps.len(), None);
        all
    };
    assert_eq!(padded(a), padded(b));
    let starts = |run: &Run| {
        let mut all = run.start_timestamps.clone();
        all.resize(run.timestamps.len(), 0);
        all
    };
    assert_eq!(starts(a), starts(b));
}

/// Fails puts to commits: before they happen, or after, when the answer is lost.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    fail_before: AtomicUsize,
    fail_after: AtomicUsize,
    overwrites: bool,
}

impl Flaky {
    fn objects(fail_before: usize, fail_after: usize) -> (Arc<Flaky>, Objects) {
        let store = Arc::new(Flaky {
            inner: InMemory::new(),
            fail_before: fail_before.into(),
            fail_after: fail_after.into(),
            overwrites: false,
        });
        (Arc::clone(&store), as_objects(store))
    }

    fn take(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
    }
}

fn as_objects(store: Arc<dyn ObjectStore>) -> Objects {
    Objects { store, kind: Kind::Memory, url: "memory:///".parse().unwrap(), display: "memory".to_string() }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        key: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let lost = || object_store::Error::Generic { store: "flaky", source: "the answer was lost".into() };
        let commit = key.as_ref().contains("_delta_log");
        if self.overwrites {
            opts.mode = object_store::PutMode::Overwrite;
        }
        if commit && Flaky::take(&self.fail_before) {
            return Err(lost());
        }
        let result = self.inner.put_opts(key, payload, opts).await?;
        if commit && Flaky::take(&self.fail_after) {
            return Err(lost());
        }
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_read_back_after_a_restart() {
    let objects = object::open("memory://").unwrap();
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    assert_eq!((lake.applied_seq(), lake.files().samples.len()), (0, 0));
    let one = series("up", "1");
    let run = floats(&[(0, 1.0), (15_000, STALE_NAN), (30_000, 0.1 + 0.2), (DAY_MS, 4.0)]);
    let exemplar = Exemplar {
        series: Arc::clone(&one),
        timestamp: DAY_START + 1,
        value: 2.5,
        labels: Labels::from_pairs([("trace", "x")]),
    };
    let metadata = Metadata { kind: MetricType::Gauge, help: "is it up".to_string(), unit: String::new() };
    let block = block(vec![(Arc::clone(&one), run.clone())]);
    let listed = [(DAY, vec![Arc::clone(&one)]), (DAY + 1, vec![Arc::clone(&one)])];
    let names = [("up".to_string(), metadata)];
    let files = lake.commit_flush(7, 0, &block, &listed, std::slice::from_ref(&exemplar), &names).await.unwrap();
    assert_eq!(files.iter().map(|f| f.day).collect::<Vec<_>>(), [DAY, DAY + 1]);
    assert_eq!((files[0].min_timestamp, files[0].max_timestamp, files[0].rows), (DAY_START, DAY_START + 30_000, 3));
    assert_eq!((files[0].min_metric.as_str(), files[0].max_metric.as_str()), ("up", "up"));
    let again = lake.commit_flush(7, 0, &block, &listed, &[exemplar], &names).await.unwrap();
    assert!(again.is_empty());

    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    assert_eq!((lake.applied_seq(), lake.files().samples.len()), (7, 2));
    assert_eq!(Lake::open(&objects, "b", clock(0)).await.unwrap().applied_seq(), 0);
    let found = contents(&lake, &objects).await;
    assert_eq!(found.len(), 1);
    assert_same(&found[0].1, &run);
    assert_eq!(lake.read_series(DAY).await.unwrap(), [one.as_ref().clone()]);
    assert_eq!(lake.read_series(DAY + 2).await.unwrap(), []);
    assert_eq!(lake.read_metadata().await.unwrap(), names);
    let exemplars = lake.read_exemplars(DAY).await.unwrap();
    assert_eq!((exemplars.len(), exemplars[0].series_id, exemplars[0].value), (1, one.id, 2.5));
    assert_eq!(lake.days().iter().map(|(day, _)| *day).collect::<Vec<_>>(), [DAY, DAY + 1]);
}

/// An answer lost after the put: trying again would add the rows twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_happens_once() {
    for (before, after) in [(1, 0), (0, 1), (2, 3), (0, 5)] {
        let (store, objects) = Flaky::objects(0, 0);
        let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
        store.fail_before.store(before, Ordering::SeqCst);
        store.fail_after.store(after, Ordering::SeqCst);
        for seq in 1..=4 {
            let block = block(vec![(series("up", "1"), floats(&[(seq as i64 * 1000, seq as f64)]))]);
            assert_eq!(flush(&lake, seq, &block).await.unwrap(), 1, "{before} {after} {seq}");
        }
        assert_eq!(lake.files().samples.len(), 4);
        let reopened = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
        assert_eq!((reopened.applied_seq(), reopened.files().samples.len()), (4, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_commit_at_once() {
    let objects = object::open("memory://").unwrap();
    let a = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    let b = Lake::open(&objects, "b", clock(DAY_START)).await.unwrap();
    let one = |lake: Lake, name: &'static str| async move {
        for seq in 1..=8u64 {
            let block = block(vec![(series("up", name), floats(&[(seq as i64, 1.0)]))]);
            assert_eq!(flush(&lake, seq, &block).await.unwrap(), 1);
        }
        lake
    };
    let (a, b) = tokio::join!(one(a, "a"), one(b, "b"));
    a.refresh().await.unwrap();
    b.refresh().await.unwrap();
    assert!(!b.refresh().await.unwrap());
    assert_eq!((a.files().samples.len(), b.files().samples.len()), (16, 16));
    let found = contents(&a, &objects).await;
    assert_eq!(found.iter().map(|(_, run)| run.timestamps.len()).collect::<Vec<_>>(), [8, 8]);
}

/// The library's own conflict check accepts both merges, and the rows are there twice (seen in 1.1.3).
#[tokio::test(flavor = "multi_thread")]
async fn of_two_merges_of_the_same_files_one_is_refused() {
    let objects = object::open("memory://").unwrap();
    let a = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    for seq in 1..=12 {
        let block = block(vec![(series("up", "1"), floats(&[(seq as i64, seq as f64), (100, seq as f64)]))]);
        flush(&a, seq, &block).await.unwrap();
    }
    let b = Lake::open(&objects, "b", clock(DAY_START)).await.unwrap();
    let before = contents(&a, &objects).await;
    let jobs = a.plan_merges(&Limits::default());
    assert_eq!((jobs.len(), jobs[0].inputs.len()), (1, 12));
    a.run_merge(&jobs[0]).await.unwrap();
    let refused = b.run_merge(&jobs[0]).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    b.refresh().await.unwrap();
    assert_eq!((a.files().samples.len(), b.files().samples.len()), (1, 1));
    assert_eq!(a.files().samples[0].commit, jobs[0].inputs[11].commit);
    let after = contents(&b, &objects).await;
    assert_eq!(after.len(), before.len());
    assert_same(&after[0].1, &before[0].1);
    assert_eq!(after[0].1.values.last(), Some(&12.0));
    // Nothing may be deleted while queries may read it; later everything that was replaced is.
    assert_eq!(a.sweep().await.unwrap(), 0);
    let later = Lake::open(&objects, "a", clock(DAY_START + 2 * DAY_MS)).await.unwrap();
    assert_eq!(later.sweep().await.unwrap(), 12);
    assert_same(&contents(&later, &objects).await[0].1, &before[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_read_back() {
    let objects = object::open("memory://").unwrap();
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    for seq in 1..=110 {
        let block = block(vec![(series("up", "1"), floats(&[(seq as i64, 1.0)]))]);
        flush(&lake, seq, &block).await.unwrap();
    }
    let hint = objects.store.get(&Path::from("samples/_delta_log/_last_checkpoint")).await;
    assert!(hint.is_ok(), "no checkpoint was written");
    let reopened = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    assert_eq!(reopened.applied_seq(), 110);
    let (a, b) = (lake.files(), reopened.files());
    assert_eq!(format!("{:?}", a.samples), format!("{:?}", b.samples));
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_days_are_dropped() {
    let objects = object::open("memory://").unwrap();
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    flush(&lake, 1, &block(vec![(series("up", "1"), floats(&[(0, 1.0), (DAY_MS, 2.0)]))])).await.unwrap();
    assert_eq!(lake.drop_days_before(DAY + 1).await.unwrap(), 2);
    assert_eq!(lake.files().samples.iter().map(|f| f.day).collect::<Vec<_>>(), [DAY + 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_overwrites_is_refused() {
    let store = Flaky { inner: InMemory::new(), fail_before: 0.into(), fail_after: 0.into(), overwrites: true };
    let error = Lake::open(&as_objects(Arc::new(store)), "a", clock(0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("If-None-Match"), "{error}");
}

/// A run of one of the shapes metrics have.
fn random_run(random: &mut fastrand::Rng) -> Run {
    let rows = *random.choice(&[1usize, 2, 39, 40, 700, 2048, 2049, 5760, 9000]).unwrap();
    let step = *random.choice(&[1_000i64, 15_000, 9_600]).unwrap();
    let shape = random.u8(0..7);
    let mut run = Run::default();
    let mut counter = 0.0;
    for at in 0..rows {
        let timestamp = DAY_START + at as i64 * step.min(DAY_MS / rows as i64);
        counter += (random.f64() * 1000.0).round() / 100.0;
        let value = match shape {
            0 => (random.f64() * 1e4).round(),
            1 => counter,
            2 => 42.5,
            3 => f64::from_bits(random.u64(..)),
            4 => {
                *random.choice(&[0.0, -0.0, STALE_NAN, f64::INFINITY, f64::NAN, 1e300, 9007199254740993.0]).unwrap()
            }
            _ => (random.f64() * 1e3).round() / 10f64.powi(random.i32(0..5)),
        };
        run.timestamps.push(timestamp);
        run.values.push(value);
        if shape == 5 {
            run.histograms.push(random.bool().then(|| histogram(at as f64)));
            run.start_timestamps.push(if random.bool() { DAY_START - 5 } else { 0 });
        }
    }
    run
}

async fn write_and_read(runs: &[(String, i64, Run)]) -> (Vec<u8>, Vec<super::reader::FileRun>) {
    let mut writer = SampleWriter::new(true, true);
    for (metric, id, run) in runs {
        writer.push(metric, *id, run.into());
        if writer.is_full() {
            writer.encode().unwrap();
        }
    }
    let stats = writer.finish().unwrap().unwrap();
    let bytes = writer.take();
    assert_eq!(stats.rows as usize, runs.iter().map(|(.., run)| run.timestamps.len()).sum::<usize>());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put(&Path::from("f"), bytes.clone().into()).await.unwrap();
    let mut stream = RunStream::open(store, "f", bytes.len() as u64).await.unwrap();
    let mut read = Vec::new();
    while let Some(run) = stream.next().await.unwrap() {
        read.push(run);
    }
    (bytes, read)
}

#[tokio::test]
async fn files_are_read_back_bit_by_bit() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut runs: Vec<(String, i64, Run)> = (0..random.usize(1..60))
            .map(|_| (format!("metric_{}", random.u8(0..9)), random.i64(..), random_run(&mut random)))
            .collect();
        runs.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let (_, read) = write_and_read(&runs).await;
        assert_eq!(read.len(), runs.len());
        for (found, (metric, id, run)) in read.iter().zip(&runs) {
            assert_eq!((&*found.metric, found.series_id), (metric.as_str(), *id));
            assert_same(&found.run, run);
        }
    }
}

/// What the reader prunes by: a page is one series and one slice of time, or a few whole short series.
#[tokio::test]
async fn pages_follow_series_and_time() {
    let long = |id: i64| {
        let samples: Vec<(i64, f64)> = (0..5760).map(|at| (at * 15_000, at as f64)).collect();
        ("m".to_string(), id, floats(&samples))
    };
    let short = |id: i64| {
        let samples: Vec<(i64, f64)> = (0..40).map(|at| (at * 15_000, at as f64)).collect();
        ("n".to_string(), id, floats(&samples))
    };
    let runs: Vec<_> = (0..3).map(long).chain((0..200).map(short)).collect();
    let (bytes, _) = write_and_read(&runs).await;
    let options = parquet::file::serialized_reader::ReadOptionsBuilder::new().with_page_index().build();
    let reader =
        parquet::file::serialized_reader::SerializedFileReader::new_with_options(Bytes::from(bytes), options)
            .unwrap();
    let metadata = reader.metadata();
    let names: Vec<_> =
        metadata.file_metadata().schema_descr().columns().iter().map(|c| c.path().string()).collect();
    assert_eq!(&names[..5], ["metric", "series_id", "timestamp", "scaled", "scale"], "no value column is needed");
    let index = &metadata.offset_index().expect("an offset index is written")[0];
    let first_rows = |column: usize| -> Vec<i64> {
        index[column].page_locations().iter().map(|page| page.first_row_index).collect()
    };
    let timestamps = first_rows(2);
    assert_eq!(&timestamps[..9], [0, 1440, 2880, 4320, 5760, 7200, 8640, 10080, 11520]);
    assert_eq!(first_rows(3), timestamps);
    assert_eq!(&first_rows(1)[..3], [0, 5760, 11520]);
    let (start, total) = (3 * 5760, 3 * 5760 + 200 * 40);
    let packed: Vec<i64> = timestamps.iter().copied().filter(|row| *row >= start).chain([total]).collect();
    for pair in packed.windows(2) {
        let rows = pair[1] - pair[0];
        assert!(rows <= PAGE_ROWS as i64 && rows % 40 == 0 && (rows > 1900 || pair[1] == total), "{packed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let objects = object::open(folder.path().join("new/data").to_str().unwrap()).unwrap();
    assert_eq!(objects.kind, Kind::Disk);
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    for seq in 1..=12 {
        let samples: Vec<(i64, f64)> = (0..40).map(|at| (seq as i64 * 600_000 + at * 15_000, at as f64)).collect();
        let runs = (0..50).map(|n| (series("up", &n.to_string()), floats(&samples))).collect();
        flush(&lake, seq, &block(runs)).await.unwrap();
    }
    let before = contents(&lake, &objects).await;
    for job in lake.plan_merges(&Limits::default()) {
        lake.run_merge(&job).await.unwrap();
    }
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    assert_eq!((lake.applied_seq(), lake.files().samples.len()), (12, 1));
    let after = contents(&lake, &objects).await;
    assert_eq!(before.len(), after.len());
    before.iter().zip(&after).for_each(|(a, b)| assert_same(&a.1, &b.1));
}

/// How tests skip.
#[allow(dead_code)]
#[path = "../../../tests/support/skip.rs"]
mod skip;

/// A program of the Python environment that `tests/peers` installs.
fn peer(program: &str) -> Option<std::path::PathBuf> {
    let home = std::path::PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let venv = std::env::var_os("PROMLAKE_VENV").map_or_else(|| home.join(".cache/promlake/venv"), Into::into);
    let program = venv.join("bin").join(program);
    if program.is_file() {
        return Some(program);
    }
    skip::skip("reading a lake", &format!("{} is missing; run tests/peers", program.display()));
    None
}

/// DuckDB, with `sql/lake/duckdb.sql`.
#[tokio::test(flavor = "multi_thread")]
async fn duckdb_reads_a_lake() {
    let Some(python) = peer("python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let objects = object::open(folder.path().to_str().unwrap()).unwrap();
    let lake = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    // One file without `value`, one without `scaled`, one with everything.
    let mut mixed = floats(&[(3, 3.5), (4, 0.1 + 0.2), (5, 0.0)]);
    mixed.histograms = vec![None, None, Some(histogram(9.0))];
    mixed.start_timestamps = vec![0, DAY_START - 5, 0];
    let third = 1.0 / 3.0;
    for (at, run) in [floats(&[(1, 12345.67)]), floats(&[(2, third)]), mixed].into_iter().enumerate() {
        let one = series("up", "1");
        let metadata = Metadata { kind: MetricType::Gauge, help: "is it up".to_string(), unit: String::new() };
        let exemplar = Exemplar {
            series: Arc::clone(&one),
            timestamp: DAY_START + 1,
            value: 2.5,
            labels: Labels::from_pairs([("trace", "x")]),
        };
        let listed = [(DAY, vec![Arc::clone(&one)])];
        let names = [("up".to_string(), metadata)];
        lake.commit_flush(at as u64 + 1, 0, &block(vec![(one, run)]), &listed, &[exemplar], &names).await.unwrap();
    }
    lake.commit_alert_changes(1, &[alerts::change("Hot", DAY_START + 1, "pending", "firing")], false)
        .await
        .unwrap();
    let script = r#"
import glob, os, sys, duckdb, duckdb_extension_delta
db = duckdb.connect()
# On a slow machine it would draw a bar between the lines.
db.execute("SET enable_progress_bar = false")
wheel = os.path.dirname(duckdb_extension_delta.__file__)
db.execute("LOAD '" + glob.glob(wheel + "/extensions/*/delta.duckdb_extension")[0] + "'")
db.execute("SET TimeZone = 'UTC'")
db.execute("SET VARIABLE lake = '" + sys.argv[1] + "'")
db.execute(open(sys.argv[2]).read().replace("INSTALL delta;", "").replace("LOAD delta;", ""))
print(db.execute("SELECT epoch_ms(timestamp) % 86400000, value, labels['instance'], histogram.count, epoch_ms(start_timestamp) FROM promlake_samples WHERE metric = 'up' AND day = DATE '2024-10-04' ORDER BY timestamp").fetchall())
print(db.execute("SELECT * FROM promlake_metrics").fetchall())
print(db.execute("SELECT value, series_labels['instance'], labels['trace'] FROM promlake_exemplars").fetchall())
print(db.execute("SELECT epoch_ms(time) % 86400000, alert, labels['room'], annotations['summary'], from_state, to_state, value FROM promlake_alert_history").fetchall())
"#;
    let views = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/lake/duckdb.sql");
    let output =
        std::process::Command::new(python).args(["-c", script]).arg(folder.path()).arg(views).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let start = DAY_START - 5;
    let expected = format!(
        "[(1, 12345.67, '1', None, None), (2, {third}, '1', None, None), (3, 3.5, '1', None, None), \
         (4, 0.30000000000000004, '1', None, {start}), (5, None, '1', 9.0, None)]\n\
         [('up', 'gauge', '', 'is it up')]\n[(2.5, '1', 'x')]\n\
         [(1, 'Hot', 'hall', 'is hot', 'pending', 'firing', 1.5)]\n"
    );
    assert_eq!(stdout, expected);
}

/// moto's S3 server with one bucket; killed when dropped.
struct S3Server {
    child: std::process::Child,
    endpoint: String,
}

impl S3Server {
    async fn start() -> Option<Self> {
        let program = peer("moto_server")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = std::process::Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let bucket = format!("{}/bucket", server.endpoint);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !reqwest::Client::new().put(&bucket).send().await.is_ok_and(|r| r.status().is_success()) {
            assert!(std::time::Instant::now() < deadline, "moto_server does not answer");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Some(server)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_a_lake() {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = S3Server::start().await else { return };
    let settings = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test");
    let objects = object::open_bucket(settings, &"s3://bucket/lake".parse().unwrap()).unwrap();
    assert_eq!(objects.kind, Kind::Bucket);
    let a = Lake::open(&objects, "a", clock(DAY_START)).await.unwrap();
    let b = Lake::open(&objects, "b", clock(DAY_START)).await.unwrap();
    for seq in 1..=12 {
        let one = block(vec![(series("up", "1"), floats(&[(seq as i64, seq as f64)]))]);
        let (first, second) = tokio::join!(flush(&a, seq, &one), flush(&b, seq, &one));
        assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    }
    a.refresh().await.unwrap();
    for job in a.plan_merges(&Limits::default()) {
        a.run_merge(&job).await.unwrap();
    }
    assert!(b.refresh().await.unwrap());
    assert_eq!(b.files().samples.len(), a.files().samples.len());
    let found = contents(&b, &objects).await;
    assert_eq!(found[0].1.timestamps.len(), 12);
    // Long enough for an upload in parts.
    let mut random = fastrand::Rng::with_seed(1);
    let samples: Vec<(i64, f64)> = (0..1_500_000).map(|at| (at * 50, random.f64())).collect();
    let large = block(vec![(series("up", "1"), floats(&samples))]);
    assert_eq!(flush(&a, 13, &large).await.unwrap(), 1);
    assert!(a.files().samples.last().unwrap().size_bytes > 8 << 20);
    assert_eq!(contents(&a, &objects).await[0].1.timestamps.len(), 1_500_000 + 12);
}

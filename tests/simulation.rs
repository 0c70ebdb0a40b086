//! Random writes, crashes, and a bucket that fails before or after it did what it was asked to.
//!
//! Every seed is one history: appends, queries, deletes, flushes, merges and restarts in random order on one object store.
//! After each restart, and while it runs, every acknowledged sample is read exactly once, with its last value, and
//! nothing is read that was never sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use promlake::error::ErrorKind;
use promlake::model::labels::Labels;
use promlake::model::matcher::{MatchOp, Matcher};
use promlake::model::sample::TimeRange;
use promlake::storage::lake::reader::RunStream;
use promlake::storage::object::{self, Objects};
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{Run, SampleRow, SeriesRef, Snapshot, WriteBatch, WriteReport};

const SERIES: usize = 12;
const START: i64 = 1_790_035_200_000 - 20 * 60_000;

/// Fails puts at random: before they happen, or after.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    random: parking_lot::Mutex<fastrand::Rng>,
    /// Of a thousand puts, how many fail.
    failing: AtomicU64,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty")
    }
}

fn fault(when: &str) -> StoreError {
    StoreError::Generic { store: "Faulty", source: format!("injected {when} the put").into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        let (fails, before, pause) = {
            let mut random = self.random.lock();
            (random.u64(0..1000) < self.failing.load(Ordering::Relaxed), random.bool(), random.u64(0..3))
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if fails && before {
            return Err(fault("before"));
        }
        let result = self.inner.put_opts(at, payload, opts).await;
        if fails { Err(fault("after")) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
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

/// What was sent for one sample, oldest first.
#[derive(Default, Debug)]
struct Sent {
    /// Values whose append was acknowledged; the last one is what must be read.
    acknowledged: Option<f64>,
    /// Values whose append failed or was cut off: each may be read, or not.
    uncertain: Vec<f64>,
}

struct Simulation {
    seed: u64,
    random: fastrand::Rng,
    faulty: Arc<Faulty>,
    objects: Objects,
    now: Arc<AtomicI64>,
    sent: BTreeMap<(usize, i64), Sent>,
    writers: u64,
    store: Arc<Store>,
    /// Stores that were not stopped when the next one started; they go on until they notice.
    overtaken: Vec<Arc<Store>>,
}

fn labels(series: usize) -> Labels {
    let metric = ["alpha", "beta", "gamma"][series % 3];
    Labels::from_pairs([("__name__", metric), ("n", &series.to_string())])
}

/// Rows of a batch that were not stored.
fn left_out(report: &WriteReport) -> Vec<usize> {
    let rejected = report.rejected_samples.iter().map(|(row, _)| *row);
    rejected.chain(report.dropped_samples.iter().copied()).collect()
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let faulty = Arc::new(Faulty {
            inner: InMemory::new(),
            random: parking_lot::Mutex::new(fastrand::Rng::with_seed(seed ^ 0xfa11)),
            failing: AtomicU64::new(0),
        });
        let objects = Objects { store: faulty.clone(), ..object::open("memory://").unwrap() };
        let now = Arc::new(AtomicI64::new(START));
        let store = open(&objects, &now, 1, true).await;
        let random = fastrand::Rng::with_seed(seed);
        Self { seed, random, faulty, objects, now, sent: BTreeMap::new(), writers: 1, store, overtaken: Vec::new() }
    }

    async fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now.fetch_add(self.random.i64(0..120_000), Ordering::Relaxed);
            match self.random.u32(0..100) {
                0..70 => self.append().await,
                70..77 => self.flush().await,
                77..80 => self.delete().await,
                80..84 => drop(self.store.merge().await),
                84..90 => self.check("while running").await,
                90..93 => self.restart().await,
                93..95 => self.overtake().await,
                _ => self.busy().await,
            }
        }
        self.restart().await;
        let store = self.store.clone();
        store.shutdown().await.unwrap();
        self.writers += 1;
        self.store = open(&self.objects, &self.now, self.writers, false).await;
        self.check("after a clean shutdown").await;
        assert_eq!(
            self.store.stats().head_samples,
            0,
            "seed {}: a clean shutdown leaves nothing to replay",
            self.seed
        );
    }

    fn batch(&mut self) -> (WriteBatch, Vec<(usize, i64, f64)>) {
        let now = self.now.load(Ordering::Relaxed);
        let all: Vec<Labels> = (0..SERIES).map(labels).collect();
        let refs: Vec<SeriesRef> = self.store.intern_all(&all);
        let mut batch = WriteBatch::default();
        let mut rows = Vec::new();
        for _ in 0..self.random.usize(1..20) {
            let series = self.random.usize(0..SERIES);
            // Seconds, so that timestamps repeat; now and then far behind.
            let behind =
                if self.random.u32(0..10) == 0 { self.random.i64(0..7_200) } else { self.random.i64(0..30) };
            let timestamp = now / 1000 * 1000 - behind * 1000;
            let value = self.random.i64(0..1_000_000) as f64;
            batch.samples.push(SampleRow { series: refs[series], timestamp, value, start_timestamp: 0 });
            rows.push((series, timestamp, value));
        }
        (batch, rows)
    }

    async fn append(&mut self) {
        self.faulty.failing.store(if self.random.u32(0..8) == 0 { 300 } else { 0 }, Ordering::Relaxed);
        let (batch, rows) = self.batch();
        let result = self.store.append(batch).await;
        self.faulty.failing.store(0, Ordering::Relaxed);
        match result {
            Ok(report) => {
                let left_out = left_out(&report);
                for (_, row) in rows.into_iter().enumerate().filter(|(i, _)| !left_out.contains(i)) {
                    self.sent.entry((row.0, row.1)).or_default().acknowledged = Some(row.2);
                }
            }
            // Puts that fail are repeated until they succeed, so nobody hears of them.
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    fn doubt(&mut self, rows: Vec<(usize, i64, f64)>) {
        for (series, timestamp, value) in rows {
            self.sent.entry((series, timestamp)).or_default().uncertain.push(value);
        }
    }

    async fn flush(&mut self) {
        self.faulty.failing.store(if self.random.u32(0..4) == 0 { 200 } else { 0 }, Ordering::Relaxed);
        // It may fail; the rows stay where they are, and the flusher goes on trying.
        let _ = self.store.flush().await;
        self.faulty.failing.store(0, Ordering::Relaxed);
    }

    /// Takes samples of a metric away while files are merged, by this process and by those that were overtaken.
    async fn delete(&mut self) {
        let start = self.now.load(Ordering::Relaxed) - self.random.i64(0..7_200_000);
        let end = if self.random.bool() { i64::MAX } else { start + self.random.i64(0..1_800_000) };
        let (range, metric) = (TimeRange::new(start, end), ["alpha", "beta", "gamma"][self.random.usize(0..3)]);
        self.faulty.failing.store(if self.random.u32(0..3) == 0 { 200 } else { 0 }, Ordering::Relaxed);
        let merges: Vec<_> = self.overtaken.iter().chain([&self.store]).cloned().collect();
        let merges: Vec<_> =
            merges.into_iter().map(|store| tokio::spawn(async move { drop(store.merge().await) })).collect();
        let matchers = vec![Matcher::new("__name__", MatchOp::Equal, metric).unwrap()];
        let deleted = self.store.delete(range, &[matchers], vec![metric.to_string()]).await;
        self.faulty.failing.store(0, Ordering::Relaxed);
        for merge in merges {
            merge.await.unwrap();
        }
        let is_meant = |series: usize, time: i64| labels(series).metric() == metric && range.contains(time);
        for (_, sent) in self.sent.iter_mut().filter(|((series, time), _)| is_meant(*series, *time)) {
            match &deleted {
                Ok(_) => *sent = Sent::default(),
                // A put that failed before anything was recorded, or after.
                Err(_) => sent.uncertain.extend(sent.acknowledged.take()),
            }
        }
        if self.random.u32(0..3) == 0 {
            let _ = self.store.clean_deleted().await;
        }
        self.check("after a delete").await;
    }

    /// Appends, flushes, merges and queries at the same time, and perhaps a crash in the middle.
    async fn busy(&mut self) {
        let mut appends = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            let (batch, rows) = self.batch();
            let store = self.store.clone();
            appends.push((rows, tokio::spawn(async move { store.append(batch).await })));
        }
        let background = [self.store.clone(), self.store.clone()];
        let [flushing, merging] = background;
        let flushing = tokio::spawn(async move { drop(flushing.flush().await) });
        let merging = tokio::spawn(async move { drop(merging.merge().await) });
        let crash = self.random.u32(0..3) == 0;
        if crash {
            tokio::time::sleep(Duration::from_millis(self.random.u64(0..6))).await;
            self.store.stop().await;
        }
        for (rows, append) in appends {
            // Rows of concurrent appends have no order among them, so a value is certain only once it is read back.
            match append.await.unwrap() {
                Ok(report) => {
                    let left_out = left_out(&report);
                    if report.samples_written > 0 {
                        for (_, row) in rows.into_iter().enumerate().filter(|(i, _)| !left_out.contains(i)) {
                            let sent = self.sent.entry((row.0, row.1)).or_default();
                            if let Some(old) = sent.acknowledged.replace(row.2) {
                                sent.uncertain.push(old);
                            }
                            sent.uncertain.push(row.2);
                        }
                    }
                }
                Err(_) => self.doubt(rows),
            }
        }
        if crash {
            flushing.abort();
            merging.abort();
        }
        let _ = flushing.await;
        let _ = merging.await;
        if crash {
            self.restart().await;
        }
    }

    /// A start while the process before still runs, as after a pause: whatever that one had acknowledged is there, and
    /// it acknowledges nothing more.
    async fn overtake(&mut self) {
        self.writers += 1;
        let next = open(&self.objects, &self.now, self.writers, self.random.bool()).await;
        let old = std::mem::replace(&mut self.store, next);
        let (batch, rows) = self.batch();
        let renamed: Vec<Labels> = rows.iter().map(|(series, ..)| labels(*series)).collect();
        let refs = old.intern_all(&renamed);
        let samples = batch.samples.iter().zip(refs).map(|(row, series)| SampleRow { series, ..*row }).collect();
        let error = old.append(WriteBatch { samples, ..WriteBatch::default() }).await;
        let refused = error.as_ref().is_err_and(|e| e.kind == ErrorKind::Poisoned);
        // A batch of which nothing is left to write has nothing to fail with.
        let empty = error.as_ref().is_ok_and(|report| report.samples_written == 0);
        assert!(refused || empty, "seed {}: {error:?}", self.seed);
        self.overtaken.push(old);
        self.check("after an overtaking").await;
    }

    async fn restart(&mut self) {
        for old in self.overtaken.drain(..) {
            // Perhaps it was in the middle of a flush; it cannot finish it any more.
            let _ = old.flush().await;
            old.stop().await;
        }
        self.store.stop().await;
        self.writers += 1;
        self.store = open(&self.objects, &self.now, self.writers, self.random.bool()).await;
        self.check("after a restart").await;
    }

    async fn check(&mut self, when: &str) {
        let matchers = [Matcher::new("__name__", MatchOp::Regex, "alpha|beta|gamma").unwrap()];
        let snapshot = self.store.snapshot(TimeRange::ALL, &matchers).await.unwrap();
        let mut read = read_all(&snapshot).await;
        let seed = self.seed;
        for ((series, timestamp), sent) in &mut self.sent {
            let found = read.remove(&(labels(*series), *timestamp));
            match found {
                Some(value) => {
                    let known = sent.acknowledged == Some(value) || sent.uncertain.contains(&value);
                    assert!(known, "seed {seed} {when}: series {series} at {timestamp} is {value}, sent {sent:?}");
                    // What was read once stays.
                    (sent.acknowledged, sent.uncertain) = (Some(value), Vec::new());
                }
                None => {
                    let lost = sent.acknowledged;
                    assert!(lost.is_none(), "seed {seed} {when}: series {series} at {timestamp} lost {lost:?}");
                    if when != "while running" {
                        sent.uncertain.clear();
                    }
                }
            }
        }
        read.retain(|_, value| *value != 0.5);
        assert!(read.is_empty(), "seed {seed} {when}: never sent {read:?}");
    }
}

async fn open(objects: &Objects, now: &Arc<AtomicI64>, writer: u64, cache: bool) -> Arc<Store> {
    let options = Options {
        url: "memory://".to_string(),
        node: "sim".to_string(),
        wal_flush_interval: None,
        flush_interval: Duration::from_secs(3600),
        flush_bytes: 1 << 20,
        cache_bytes: if cache { 1 << 20 } else { 0 },
        out_of_order_window_ms: 3_600_000,
        ..Options::default()
    };
    let now = now.clone();
    Store::open_on(objects.clone(), options, Arc::new(move || now.load(Ordering::Relaxed)), writer).await.unwrap()
}

/// Every sample of a snapshot, as the scan reads them: files oldest commit first, then memory, the later wins.
/// Within a source a sample is there at most once, and a file is not read when its block is.
async fn read_all(snapshot: &Snapshot) -> BTreeMap<(Labels, i64), f64> {
    let mut all = BTreeMap::new();
    let by_id: BTreeMap<i64, &Labels> = snapshot.series.iter().map(|s| (s.id, &s.labels)).collect();
    assert_eq!(by_id.len(), snapshot.series.len(), "each series once");
    let order: Vec<_> = snapshot.series.iter().map(|s| (s.labels.metric().to_string(), s.id)).collect();
    assert!(order.is_sorted(), "series in the order of the files");
    for file in &snapshot.files {
        let mut runs = RunStream::of(snapshot.objects.clone(), file).await.unwrap();
        while let Some(found) = runs.next().await.unwrap() {
            take(&mut all, by_id[&found.series_id], &found.run);
        }
    }
    for source in &snapshot.memory {
        for series in snapshot.series.iter() {
            let mut run = Run::default();
            source.read(series.id, TimeRange::ALL, &mut run);
            take(&mut all, &series.labels, &run);
        }
    }
    all
}

fn take(all: &mut BTreeMap<(Labels, i64), f64>, labels: &Labels, run: &Run) {
    assert!(run.timestamps.windows(2).all(|pair| pair[0] < pair[1]), "sorted and unique");
    for (timestamp, value) in run.timestamps.iter().zip(&run.values) {
        all.insert((labels.clone(), *timestamp), *value);
    }
}

#[test]
fn acknowledged_samples_are_read_exactly_once() {
    let seeds = std::env::var("SIMULATION_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let first: u64 = std::env::var("SIMULATION_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { Simulation::new(seed).await.run(150).await });
    }
}

/// Two processes under one node id: the later one has it, and the earlier can neither write nor flush, says why, and
/// leaves no second copy of what it had.
#[tokio::test]
async fn of_two_processes_under_one_node_id_the_later_writes() {
    let now = Arc::new(AtomicI64::new(START));
    let objects = object::open("memory://").unwrap();
    let batch = |store: &Store, timestamp| {
        let row = SampleRow { series: store.intern(&labels(0)), timestamp, value: 1.0, start_timestamp: 0 };
        WriteBatch { samples: vec![row], ..WriteBatch::default() }
    };
    let first = open(&objects, &now, 1, true).await;
    first.append(batch(&first, START)).await.unwrap();
    let second = open(&objects, &now, 2, true).await;
    // Nobody has told the first one yet.
    let error = first.flush().await.unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
    let error = first.append(batch(&first, START + 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Poisoned);
    assert!(first.durability().borrow().alarm(START).is_some());
    second.append(batch(&second, START + 2)).await.unwrap();
    second.flush().await.unwrap();
    let rows: u64 = second.lake().files().samples.iter().map(|file| file.rows).sum();
    assert_eq!(rows, 2);
    first.stop().await;
    // The log of the first one is gone with the flush, its seal is not.
    let third = open(&objects, &now, 3, true).await;
    assert_eq!(third.stats().head_samples, 0);
    let error = second.append(batch(&second, START + 3)).await.unwrap_err();
    assert!(error.to_string().contains("node \"sim\""), "{error}");
    third.append(batch(&third, START + 3)).await.unwrap();
}

/// The last log object may be torn, because nothing after it was acknowledged; one before it may not.
#[tokio::test]
async fn a_torn_object_is_skipped_at_the_end_and_named_in_the_middle() {
    use object_store::ObjectStoreExt;
    let now = Arc::new(AtomicI64::new(START));
    let objects = object::open("memory://").unwrap();
    let store = open(&objects, &now, 1, true).await;
    for timestamp in 0..3 {
        let row = SampleRow { series: store.intern(&labels(0)), timestamp, value: 1.0, start_timestamp: 0 };
        store.append(WriteBatch { samples: vec![row], ..WriteBatch::default() }).await.unwrap();
    }
    store.stop().await;
    let path = |sequence: u64| Path::from(format!("_wal/sim/0000000001/{sequence:020}.arrow"));
    let whole = objects.store.get(&path(3)).await.unwrap().bytes().await.unwrap();
    objects.store.put(&path(3), whole.slice(..whole.len() - 7).into()).await.unwrap();
    let store = open(&objects, &now, 2, true).await;
    assert_eq!((store.stats().head_samples, store.stats().wal_damaged_total), (2, 1));
    let aside = Path::from("_wal/sim/quarantine/0000000001-00000000000000000003");
    assert_eq!(objects.store.get(&aside).await.unwrap().bytes().await.unwrap().len(), whole.len() - 7);
    store.stop().await;

    objects.store.put(&path(1), whole.slice(..9).into()).await.unwrap();
    let options = |node: &str| Options {
        url: "memory://".to_string(),
        node: node.to_string(),
        wal_flush_interval: None,
        flush_interval: Duration::ZERO,
        flush_bytes: 1 << 20,
        cache_bytes: 0,
        out_of_order_window_ms: 0,
        ..Options::default()
    };
    let error = Store::open_on(objects.clone(), options("sim"), Arc::new(|| START), 3).await.unwrap_err();
    assert!(error.to_string().contains("00000000000000000001.arrow"), "{error}");
    objects.store.delete(&path(1)).await.unwrap();
    let error = Store::open_on(objects.clone(), options("sim"), Arc::new(|| START), 4).await.unwrap_err();
    assert!(error.to_string().contains("lacks _wal/sim/0000000001/00000000000000000001.arrow"), "{error}");
    // What is damaged or missing is skipped when one asks for it: two of the three samples were lost here, the third was
    // torn. The series had its labels in the first object.
    let lenient = Options { skip_damaged: true, ..options("sim") };
    let store = Store::open_on(objects.clone(), lenient, Arc::new(|| START), 5).await.unwrap();
    assert_eq!(store.stats().head_samples, 0);
    store.stop().await;
    let error = Store::open_on(objects, options("../x"), Arc::new(|| START), 5).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadInput);
}

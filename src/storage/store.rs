//! The store: append → log → head → flush → lake on one side, snapshot on the other.
//!
//! `append` checks rows under one lock and queues them ([`gate`]); the [`writer`] logs a queue as one object, applies
//! it to the open memtable and acknowledges; the [`flusher`] takes frozen memtables to the lake. What queries see is
//! one immutable [`view`]. The parts joined here do not know each other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::head::memtable::Memtable;
use crate::storage::head::registry::Rules;
use crate::storage::index::days::DayIndexes;
use crate::storage::index::series_index::SeriesIndex;
use crate::storage::lake::Lake;
use crate::storage::object::{self, Kind, Objects};
use crate::storage::store::replay::Replaying;
use crate::storage::types::{Haste, Series, SeriesRef, Snapshot, WriteBatch, WriteReport};
use crate::storage::wal;
use crate::storage::wal::claim::Claim;
use crate::storage::wal::codec::Origin;
use crate::storage::wal::log::Log;

use durability::Durability;
use flusher::Progress;
use gate::{Answer, Gate};
use stats::{Counters, StoreStats};
use tails::Tails;
use view::View;

/// Whether the write-ahead log takes rows.
pub mod durability;
/// Samples of series taken away, and the files rewritten that have them.
mod deleting;
/// Exemplars of head and lake.
mod exemplars;
/// Memtables to the lake, in a task.
mod flusher;
/// The lock of the write path: registry and queue.
mod gate;
/// Merges of the lake, in a task.
mod merger;
/// What others commit to the lake, in a task.
mod refresher;
/// The log after a restart.
pub mod replay;
/// A store that only reads, beside those who write.
pub mod reading;
/// Matchers to series, over head and lake.
pub mod select;
/// Numbers for telemetry.
pub mod stats;
/// Rows that became durable, for those who send them on.
pub mod tails;
/// What of a range is in files, for those whose part of the log is gone.
pub mod past;
/// The background tasks, supervised.
mod tasks;
/// What a query sees, as one value.
mod view;
/// The newest files back into the cache, in a task.
mod warmer;
/// Queue to log object to memtable, in a task.
mod writer;

/// The largest queue of rows waiting for the log: a batch's room is counted in a `u32`.
pub const MAX_QUEUE_BYTES: usize = 2 << 30;
/// A queue filled to this part does not wait for the floor between puts.
const HURRY_PART: usize = 8;
/// Memory of rows that are not in the lake yet, as a multiple of `flush_bytes`; appends beyond wait for a flush.
pub const HEAD_FLUSHES: usize = 4;
/// How long an append waits for room, and then for the log, before it is told to come back.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);
/// How long a shutdown waits for a log that takes nothing.
const LAST_PUT_TIMEOUT: Duration = Duration::from_secs(10);
/// Samples later than the clock by more than this are out of bounds.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;
/// 0001-01-01T00:00:00Z. Earlier days have no date in the tools that read the lake.
const OLDEST_TIMESTAMP_MS: i64 = -62_135_596_800_000;
/// The floor between two puts to a bucket, unless it is configured.
const BUCKET_WAL_INTERVAL: Duration = Duration::from_secs(1);

/// Milliseconds since the Unix epoch; the composition root passes the one that reads the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Settings of the store; see the flags of the same names.
#[derive(Clone, Debug)]
pub struct Options {
    /// `./data` or `s3://bucket/prefix`.
    pub url: String,
    /// Names this process' write-ahead log; one process per node id.
    pub node: String,
    /// Start although objects of the log are damaged or missing; what is damaged is moved aside.
    pub skip_damaged: bool,
    /// The floor between two puts of the log; `None`: 0 on disk, 1 s on a bucket. Where zero is asked for, what is in no haste
    /// waits for nobody either.
    pub wal_flush_interval: Option<Duration>,
    /// Zero: only by `flush_bytes`, and when asked.
    pub flush_interval: Duration,
    /// The open memtable is flushed when it holds more than this.
    pub flush_bytes: usize,
    /// Samples of the newest files are kept in memory, packed, up to this.
    pub cache_bytes: usize,
    /// Rows waiting for the log, up to [`MAX_QUEUE_BYTES`]; appends beyond wait for room.
    pub queue_bytes: usize,
    /// Scrapes that wait before the gate while the log cannot be written; the oldest is dropped beyond it.
    pub wal_buffer_bytes: usize,
    /// Objects of the log that the lake contains are kept up to this for readers that lag.
    pub wal_retain_bytes: usize,
    /// Samples are for readers of the log alone, which keeps what they have not read for at most this long, and go to no
    /// lake: agent mode.
    pub log_only: Option<Duration>,
    /// Rows kept in memory for readers of the log that keep up.
    pub recent_bytes: usize,
    /// Memory of the series indexes of the lake's days.
    pub index_bytes: usize,
    pub out_of_order_window_ms: i64,
}

/// As on a machine with memory to spare.
impl Default for Options {
    fn default() -> Self {
        Self {
            url: "./data".to_string(),
            node: "main".to_string(),
            skip_damaged: false,
            wal_flush_interval: None,
            flush_interval: Duration::from_secs(600),
            flush_bytes: 48 << 20,
            cache_bytes: 128 << 20,
            queue_bytes: 64 << 20,
            wal_buffer_bytes: 256 << 20,
            wal_retain_bytes: 4 << 30,
            log_only: None,
            recent_bytes: 16 << 20,
            index_bytes: 256 << 20,
            out_of_order_window_ms: 0,
        }
    }
}

impl Options {
    fn queue_room(&self) -> usize {
        self.queue_bytes.clamp(1, MAX_QUEUE_BYTES)
    }
}

/// See the module.
pub struct Store {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps other processes from the node until the store is stopped.
    claim: Mutex<Option<Claim>>,
}

/// Rows that passed the gate. They become durable whether anybody waits or not.
pub struct Pending {
    inner: Arc<Inner>,
    /// `None` where there was nothing to write.
    answer: Option<Answer>,
}

/// What the doors and the tasks share. Locks are taken in the order of the fields, and none is held across an await,
/// but for those of tokio.
struct Inner {
    options: Options,
    clock: Clock,
    objects: Objects,
    lake: Lake,
    log: Log,
    wal_interval: Duration,
    moment: Duration,
    gate: Mutex<Gate>,
    head_index: RwLock<SeriesIndex>,
    view: RwLock<Arc<View>>,
    days: DayIndexes,
    pending_room: Arc<Semaphore>,
    head_room: Notify,
    writer_wake: Notify,
    writer_hurry: Notify,
    flusher_wake: Notify,
    warmer_wake: Notify,
    progress: watch::Sender<Progress>,
    durability: Durability,
    /// Why the process has to end.
    fatal: watch::Sender<Option<Arc<Error>>>,
    /// The last log object whose rows are in the lake.
    flushed_through: AtomicU64,
    tails: Tails,
    trimming: tokio::sync::Mutex<()>,
    merging: tokio::sync::Mutex<()>,
    /// A flush and a join of cached blocks take turns, as each holds its samples twice for a while.
    packing: tokio::sync::Mutex<()>,
    counters: Counters,
    out_of_order_window_ms: AtomicI64,
}

impl Store {
    /// Claims the node, opens the lake (probe, migrations), replays the write-ahead log, starts the background work.
    pub async fn open(options: Options, clock: Clock) -> Result<Arc<Store>> {
        Self::open_telling(options, clock, &Replaying::default()).await
    }

    /// The same, and tells how far the replay is.
    pub async fn open_telling(options: Options, clock: Clock, progress: &Replaying) -> Result<Arc<Store>> {
        let objects = object::open(&options.url)?;
        let writer = uuid::Uuid::new_v4().as_u64_pair().0;
        Self::opened(objects, options, clock, writer, progress).await
    }

    /// The same on an opened object store; `writer` tells the log objects of this process from those of others.
    pub async fn open_on(objects: Objects, options: Options, clock: Clock, writer: u64) -> Result<Arc<Store>> {
        Self::opened(objects, options, clock, writer, &Replaying::default()).await
    }

    async fn opened(
        objects: Objects,
        options: Options,
        clock: Clock,
        writer: u64,
        progress: &Replaying,
    ) -> Result<Arc<Store>> {
        let wal = wal::objects::Objects::new(objects.store.clone(), &options.node)?;
        let mut claim = Claim::take(&objects, &wal, writer, clock()).await?;
        let lake = Lake::open(&objects, &options.node, clock.clone()).await?;
        // The order is the proof, see `wal/FORMAT.md`: after the take-over no older epoch trims its log, and after the
        // seals none writes to it.
        let epoch = wal::epoch::claim(&wal, writer, clock()).await?;
        claim.announce(epoch, clock()).await?;
        let applied = lake.take_over(epoch).await?;
        let own = Origin { writer, epoch, sequence: 0 };
        let sealed = wal::epoch::seal_older(&wal, own, applied).await?;
        let readers = wal::readers::load(&wal).await?;
        let mut gate = Gate::new(1);
        gate.metadata.extend(lake.read_metadata().await?);
        let (memtable, mut head_index) = (Memtable::new(gate.generation), SeriesIndex::default());
        let mut head = replay::Head { gate: &mut gate, memtable: &memtable, index: &mut head_index };
        let source = replay::Source { objects: &wal, own, skip_damaged: options.skip_damaged, progress };
        let replayed = replay::replay(&source, &sealed.to_replay(), applied.sequence, &mut head).await?;
        if replayed != replay::Replayed::default() {
            tracing::info!(?replayed, "write-ahead log replayed");
        }
        let lease = claim.lease();
        let first = sealed.last_sequence + 1;
        let log = Log::new(wal, writer, epoch, first, sealed.objects);
        let view = View { open: Arc::new(memtable), frozen: Vec::new(), cached: Vec::new(), files: lake.files() };
        let default_interval = if objects.kind == Kind::Bucket { BUCKET_WAL_INTERVAL } else { Duration::ZERO };
        let out_of_order_window_ms = AtomicI64::new(options.out_of_order_window_ms);
        let tails = Tails::new(readers, first - 1, options.recent_bytes);
        let inner = Arc::new(Inner {
            wal_interval: options.wal_flush_interval.unwrap_or(default_interval),
            moment: options.wal_flush_interval.map_or(writer::MOMENT, |interval| interval.min(writer::MOMENT)),
            days: DayIndexes::new(options.index_bytes),
            pending_room: Arc::new(Semaphore::new(options.queue_room())),
            options,
            durability: Durability::new(clock()),
            clock,
            objects,
            lake,
            log,
            gate: Mutex::new(gate),
            head_index: RwLock::new(head_index),
            view: RwLock::new(Arc::new(view)),
            head_room: Notify::new(),
            writer_wake: Notify::new(),
            writer_hurry: Notify::new(),
            flusher_wake: Notify::new(),
            warmer_wake: Notify::new(),
            progress: watch::Sender::new(Progress { flushed_before: 1, ..Progress::default() }),
            fatal: watch::Sender::new(None),
            flushed_through: AtomicU64::new(applied.sequence),
            tails,
            trimming: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            packing: tokio::sync::Mutex::new(()),
            counters: Counters::default(),
            out_of_order_window_ms,
        });
        inner.counters.wal_damaged.store(replayed.damaged as u64, Ordering::Relaxed);
        inner.counters.replayed_objects.store(replayed.objects as u64, Ordering::Relaxed);
        if let Err(error) = inner.trim().await {
            tracing::warn!("flushed log objects stay for now: {error}");
        }
        let tasks = tasks::start(&inner, first, lease);
        Ok(Arc::new(Store { inner, tasks: Mutex::new(tasks), claim: Mutex::new(Some(claim)) }))
    }

    /// The handle of a series, registered if it is new.
    pub fn intern(&self, labels: &Labels) -> SeriesRef {
        let hash = labels.hash_id();
        let mut gate = self.inner.gate.lock();
        let generation = gate.generation;
        gate.registry.intern(labels, hash, generation)
    }

    /// Handles of many series under one lock.
    pub fn intern_all(&self, labels: &[Labels]) -> Vec<SeriesRef> {
        let hashes: Vec<i64> = labels.iter().map(Labels::hash_id).collect();
        let mut gate = self.inner.gate.lock();
        let generation = gate.generation;
        labels.iter().zip(hashes).map(|(labels, hash)| gate.registry.intern(labels, hash, generation)).collect()
    }

    /// How far behind the newest sample of its series one may be, for what comes from now on.
    pub fn set_out_of_order_window(&self, milliseconds: i64) {
        self.inner.out_of_order_window_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// See [`Self::set_out_of_order_window`].
    pub fn out_of_order_window_ms(&self) -> i64 {
        self.inner.out_of_order_window_ms.load(Ordering::Relaxed)
    }

    /// Checks a batch and queues what is accepted for the log. Fails, before anything was looked at, while the log
    /// takes no rows: [`ErrorKind::Unavailable`] asks to come back, [`ErrorKind::Poisoned`] is for good. Rows older than
    /// `oldest_allowed_ms` are out of bounds.
    pub async fn submit(
        &self,
        batch: &WriteBatch,
        oldest_allowed_ms: i64,
        haste: Haste,
    ) -> Result<(WriteReport, Pending)> {
        let inner = &self.inner;
        if let Some(error) = inner.durability.now().error() {
            return Err(error);
        }
        let permit = inner.wait_for_room(queue_bytes_of(batch, inner.options.queue_room())).await?;
        let now_ms = (inner.clock)();
        let rules = Rules {
            oldest_allowed_ms: oldest_allowed_ms.max(OLDEST_TIMESTAMP_MS),
            newest_allowed_ms: now_ms.saturating_add(MAX_AHEAD_MS),
            out_of_order_window_ms: inner.out_of_order_window_ms.load(Ordering::Relaxed),
        };
        let (report, answer, queued_bytes) = {
            let mut gate = inner.gate.lock();
            let accepted = gate.accept(batch, rules, now_ms, haste, permit);
            // A gate that was closed since the log was looked at has its reason there.
            let (report, answer) = accepted.map_err(|e| inner.durability.now().error().unwrap_or(e))?;
            (report, answer, gate.queued_bytes())
        };
        inner.counters.count_rejected(&report);
        if answer.is_some() {
            inner.writer_wake.notify_one();
        }
        if queued_bytes > inner.options.queue_room() / HURRY_PART {
            inner.writer_hurry.notify_one();
        }
        Ok((report, Pending { inner: inner.clone(), answer }))
    }

    /// The same for rows of any age; returns when those accepted are durable and visible.
    pub async fn append(&self, batch: WriteBatch) -> Result<WriteReport> {
        let (report, mut pending) = self.submit(&batch, i64::MIN, Haste::Now).await?;
        pending.durable().await?;
        Ok(report)
    }

    /// When the log took no rows for a while, up to now where it takes none.
    pub fn gaps(&self) -> Vec<durability::Gap> {
        self.inner.durability.gaps((self.inner.clock)())
    }

    /// Whether the write-ahead log takes rows; its changes wake who waits.
    pub fn durability(&self) -> watch::Receiver<durability::Log> {
        self.inner.durability.watch()
    }

    /// Returns when the process has to end, with the reason.
    pub async fn failed(&self) -> Arc<Error> {
        let mut fatal = self.inner.fatal.subscribe();
        let failed = fatal.wait_for(Option::is_some).await;
        failed.ok().and_then(|error| error.clone()).unwrap_or_else(|| Arc::new(stopped()))
    }

    /// The view a query runs on: series that satisfy all matchers and have samples on a day that `range`
    /// touches, and the sources that may hold their samples within `range`.
    pub async fn snapshot(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Snapshot> {
        self.snapshot_of_any(range, &[matchers]).await
    }

    /// The same for series that satisfy any of the matcher sets; none where there is no set.
    pub async fn snapshot_of_any(&self, range: TimeRange, sets: &[&[Matcher]]) -> Result<Snapshot> {
        // The view first: series of samples that come later do no harm, samples without their series would.
        let view = self.inner.view();
        let (series, label_names) = self.inner.select(&view, range, sets).await?;
        let (memory, files) = match series.is_empty() {
            true => (Vec::new(), Vec::new()),
            false => (view.memory(range), view.sample_files(range, &series)),
        };
        let (series, label_names) = (series.into(), label_names.into());
        Ok(Snapshot { series, label_names, memory, files, objects: self.inner.objects.store.clone() })
    }

    /// The series that satisfy any of the matcher sets (all series when there is none), sorted by labels.
    pub async fn series(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Result<Vec<Arc<Series>>> {
        let view = self.inner.view();
        let sets: Vec<&[Matcher]> = match matcher_sets {
            [] => vec![&[]],
            sets => sets.iter().map(Vec::as_slice).collect(),
        };
        let (mut series, _) = self.inner.select(&view, range, &sets).await?;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// How many series of a metric have been written lately, which tells what it takes to look for some of them.
    pub fn metric_len(&self, metric: &str) -> usize {
        self.inner.head_index.read().metric_len(metric)
    }

    /// Names of all metrics with samples on a day that `range` touches, sorted.
    pub async fn metric_names(&self, range: TimeRange) -> Result<Vec<String>> {
        let view = self.inner.view();
        let mut names: BTreeSet<Arc<str>> =
            self.inner.head_index.read().metric_names(Some(select::days_of(range))).cloned().collect();
        for day in self.inner.day_names(&view, range).await? {
            names.extend(day.keys().cloned());
        }
        Ok(names.iter().map(|name| name.to_string()).collect())
    }

    /// Label names of one metric over all time that is listed, sorted, without `__name__`; empty for an
    /// unknown metric. For the SQL catalog.
    pub async fn metric_labels(&self, metric: &str) -> Result<Vec<String>> {
        let view = self.inner.view();
        let mut names: BTreeSet<String> =
            self.inner.head_index.read().label_names(metric).map(str::to_string).collect();
        for day in self.inner.day_names(&view, TimeRange::ALL).await? {
            names.extend(day.get(metric).into_iter().flat_map(|labels| labels.iter().cloned()));
        }
        Ok(names.into_iter().collect())
    }

    /// Metadata by metric family name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.inner.gate.lock().metadata.iter().map(|(family, m)| (family.clone(), m.clone())).collect()
    }

    /// Writes the head to the lake and returns when it is committed.
    pub async fn flush(&self) -> Result<()> {
        let mut progress = self.inner.progress.subscribe();
        let failures = progress.borrow_and_update().failures;
        let target = self.inner.request_freeze();
        let mut log = self.inner.durability.watch();
        loop {
            let now = progress.borrow_and_update().clone();
            if now.flushed_before >= target {
                return Ok(());
            }
            if now.failures > failures {
                return Err(Error::new(ErrorKind::Unavailable, format!("flush failed: {}", now.last_error)));
            }
            tokio::select! {
                changed = progress.changed() => changed.map_err(|_| stopped())?,
                error = log_stays_broken(&mut log) => return Err(error),
            }
        }
    }

    /// Merges the small files of each day; returns how many files were replaced.
    pub async fn merge(&self) -> Result<usize> {
        self.inner.merge().await
    }

    /// Flushes and stops the background work. Appends after it fail.
    pub async fn shutdown(&self) -> Result<()> {
        self.inner.gate.lock().close();
        let flushed = self.flush().await;
        if let Err(error) = self.save_tails().await {
            tracing::warn!("the positions of remote write are not saved: {error}");
        }
        let lease = self.claim.lock().as_ref().and_then(Claim::lease);
        self.stop().await;
        // Without an answer in time the next start finds that this process has ended.
        if let Some(lease) = lease {
            let _ = tokio::time::timeout(LAST_PUT_TIMEOUT, lease.release()).await;
        }
        flushed
    }

    /// Stops the background work where it stands, as a crash would, and returns when it has stopped.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            let _ = task.await;
        }
        self.inner.pending_room.close();
        // Nobody is left to answer those who wait.
        self.inner.gate.lock().abandon();
        self.inner.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.last_error = "the store was stopped".to_string();
        });
        drop(self.claim.lock().take());
    }

    /// Numbers for telemetry.
    pub fn stats(&self) -> StoreStats {
        self.inner.stats()
    }

    /// The lake below, for what does not go through the head: deletes, retention, exemplars.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.tasks.lock().iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.inner.objects)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Pending {
    /// Returns when the rows are durable and visible, or with [`ErrorKind::Unavailable`] when that takes too long: they
    /// are not forgotten then, and sending them again changes nothing.
    /// May be asked again.
    pub async fn durable(&mut self) -> Result<()> {
        let Some(answer) = &mut self.answer else { return Ok(()) };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(())) => {
                self.answer = None;
                Ok(())
            }
            // The writer is gone, or going; it says why in a moment.
            Ok(Err(_)) => {
                let mut log = self.inner.durability.watch();
                let ended = tokio::time::timeout(Duration::from_secs(1), log.wait_for(|log| !log.works())).await;
                Err(ended.ok().and_then(|log| log.ok()?.error()).unwrap_or_else(stopped))
            }
            Err(_) => {
                let log = self.inner.durability.now();
                let late = || Error::new(ErrorKind::Unavailable, "the write-ahead log took no samples in time");
                Err(log.error().unwrap_or_else(late))
            }
        }
    }
}

impl Inner {
    /// No row is taken from now on; who waits is told.
    fn end_writing(&self, why: &str) {
        self.durability.ended(why);
        self.gate.lock().abandon();
        self.pending_room.close();
        self.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.last_error = why.to_string();
        });
    }

    /// Room for a batch in the head and in the queue. No append waits for ever: a log that takes nothing, or for too
    /// long no more than it has, ends the wait.
    async fn wait_for_room(&self, permits: u32) -> Result<OwnedSemaphorePermit> {
        self.wait_for_head_room().await?;
        let mut log = self.durability.watch();
        let full = || {
            let message = "samples wait for the write-ahead log until its queue is full";
            Error::new(ErrorKind::Unavailable, message)
        };
        tokio::select! {
            biased;
            permit = self.pending_room.clone().acquire_many_owned(permits) => {
                permit.map_err(|_| self.durability.now().error().unwrap_or_else(stopped))
            }
            failing = log.wait_for(|log| !log.works()) => {
                Err(failing.ok().and_then(|log| log.error()).unwrap_or_else(stopped))
            }
            () = tokio::time::sleep(ROOM_TIMEOUT) => Err(full()),
        }
    }

    fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Replaces the view; `change` sees the latest one and must not block.
    fn update_view(&self, change: impl FnOnce(&View) -> View) {
        let mut view = self.view.write();
        *view = Arc::new(change(&view));
    }

    /// Freezes the open memtable if it has rows. Returns the number below which all generations have to be
    /// flushed so that everything acknowledged by now is in the lake.
    fn request_freeze(&self) -> u32 {
        let mut gate = self.gate.lock();
        if !gate.dirty {
            return gate.generation;
        }
        gate.freeze_requested = true;
        let target = gate.generation + 1;
        drop(gate);
        self.writer_wake.notify_one();
        self.writer_hurry.notify_one();
        target
    }

    /// Memory that rows outside the lake may take is bounded; beyond it an append waits for a flush.
    async fn wait_for_head_room(&self) -> Result<()> {
        let limit = self.options.flush_bytes.saturating_mul(HEAD_FLUSHES);
        let deadline = tokio::time::Instant::now() + ROOM_TIMEOUT;
        loop {
            let room = self.head_room.notified();
            let held = self.view().head_bytes();
            if held <= limit {
                return Ok(());
            }
            self.counters.head_waits.fetch_add(1, Ordering::Relaxed);
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                let message = format!("the head holds {held} bytes that wait to be flushed, more than {limit}");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        }
    }
}

/// Room a batch needs in a queue of `room` bytes.
fn queue_bytes_of(batch: &WriteBatch, room: usize) -> u32 {
    let histograms: usize =
        batch.histograms.iter().map(|row| crate::storage::head::packed::histogram_bytes(&row.histogram)).sum();
    let bytes = batch.samples.len() * 40 + batch.exemplars.len() * 200 + batch.metadata.len() * 200 + histograms;
    // A batch larger than the queue gets all of it.
    u32::try_from(bytes.clamp(1, room)).expect("the queue is smaller than 4 GiB")
}

/// Returns when the log has taken nothing for a while, or never will, with the reason.
async fn log_stays_broken(log: &mut watch::Receiver<durability::Log>) -> Error {
    loop {
        match log.wait_for(|log| !log.works()).await.as_deref() {
            Ok(durability::Log::Fails { .. }) => {}
            Ok(ended) => return ended.error().unwrap_or_else(stopped),
            Err(_) => return stopped(),
        }
        let changed = tokio::time::timeout(LAST_PUT_TIMEOUT, log.changed());
        match changed.await.map(|changed| changed.is_ok()) {
            Ok(true) => {}
            Ok(false) => return stopped(),
            Err(_) => return log.borrow().error().unwrap_or_else(stopped),
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is shut down")
}

//! The flusher task: frozen memtables to the lake, oldest first. Packing frees the memtable before the Parquet
//! files are written, what is packed becomes a cache entry once they are committed, and the log objects up to
//! it are deleted, save what a reader of the log still needs. A flush that fails is tried again until it succeeds; queries and the log hold the rows.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Context, ErrorKind, Result};
use crate::model::metadata::Metadata;
use crate::model::sample::day_of;
use crate::storage::head::cache::{self, Placed};
use crate::storage::head::memtable::Memtable;
use crate::storage::head::sorted::Sorted;
use crate::storage::lake::rows::Exemplar;
use crate::storage::store::Inner;
use crate::storage::store::view::{Frozen, Source, View};
use crate::storage::types::{LogExemplar, SampleFile, Series, SortedRuns};

/// A series without samples for this long leaves the registry.
const IDLE_MS: i64 = 3 * 3_600_000;
/// Slots looked at under one lock when idle series are evicted.
const EVICT_SLOTS: usize = 16_384;
/// Series ids kept to know which series a day lists already (8 bytes each and some).
const MAX_LISTED: usize = 4_000_000;
/// How often lists of series are looked through that nothing may need, where no samples are kept.
const FORGET_PERIOD_MS: i64 = 3_600_000;
/// New series of a flush, by day.
type SeriesByDay = Vec<(i32, Vec<Arc<Series>>)>;

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How far flushing has come; `Store::flush` waits on it.
#[derive(Debug, Default, Clone)]
pub struct Progress {
    /// Generations below this are in the lake.
    pub flushed_before: u32,
    pub failures: u64,
    pub last_error: String,
}

/// What goes to the lake beside samples and series.
#[derive(Debug, Default)]
pub struct Rest {
    pub exemplars: Vec<Exemplar>,
    metadata: Vec<(String, Metadata)>,
}

/// Runs for the life of the store.
pub async fn run(inner: Arc<Inner>) {
    let mut flusher = Flusher { inner, listed: Listed::default(), ended: VecDeque::new(), forgot_ms: 0 };
    let period = flusher.inner.options.flush_interval;
    loop {
        tokio::select! {
            // An interval of zero: only by bytes, and when asked.
            () = tokio::time::sleep(period), if !period.is_zero() => { flusher.inner.request_freeze(); }
            () = flusher.inner.flusher_wake.notified() => {}
        }
        while let Some(frozen) = flusher.inner.view().frozen.first().cloned() {
            if flusher.flush(frozen).await.is_none() {
                return;
            }
        }
        flusher.evict_idle();
        if let Some(longest) = flusher.inner.options.log_only {
            flusher.forget_lists(longest).await;
        }
    }
}

struct Flusher {
    inner: Arc<Inner>,
    listed: Listed,
    /// Generations and when they were flushed, oldest first.
    ended: VecDeque<(u32, i64)>,
    /// When lists of series were looked through last, where no samples are kept.
    forgot_ms: i64,
}

impl Flusher {
    /// `None` where sorting failed, which only a defect or the end of the runtime can do.
    async fn flush(&mut self, frozen: Frozen) -> Option<()> {
        let started = Instant::now();
        let inner = self.inner.clone();
        let _alone = inner.packing.lock().await;
        let (sorted, rest) = match frozen.source {
            Source::Memtable(memtable) => self.sort(memtable).await?,
            // Sorted by an earlier life of this task.
            Source::Sorted(sorted, rest) => (sorted, rest),
        };
        let (files, listed) = self.commit_until_done(frozen.last_sequence, &sorted, &rest).await;
        self.publish(&sorted, &files);
        self.listed.note(&listed);
        self.delete_log(frozen.last_sequence).await;
        self.ended.push_back((frozen.generation, (self.inner.clock)()));
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.inner.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.inner.counters.flush_us.fetch_add(elapsed_us, Ordering::Relaxed);
        self.inner.progress.send_modify(|progress| progress.flushed_before = frozen.generation + 1);
        Some(())
    }

    /// Packs a memtable, for everybody from then on. `None` where that failed, which only a defect or the
    /// end of the runtime can do.
    async fn sort(&self, memtable: Arc<Memtable>) -> Option<(Arc<Sorted>, Arc<Rest>)> {
        let sorted = tokio::task::spawn_blocking(move || {
            let exemplars = memtable.exemplars().into_iter().map(exemplar_of).collect();
            let rest = Rest { exemplars, metadata: memtable.metadata() };
            (Arc::new(memtable.sorted()), Arc::new(rest))
        });
        let (sorted, rest) = sorted
            .await
            .context(ErrorKind::Internal, || "sorting a memtable".to_string())
            .inspect_err(|e| tracing::error!("{e}"))
            .ok()?;
        self.inner.update_view(|view| {
            let mut frozen = view.frozen.clone();
            frozen[0].source = Source::Sorted(sorted.clone(), rest.clone());
            View { frozen, ..view.clone() }
        });
        Some((sorted, rest))
    }

    /// Tries until the rows are in the lake; returns its files and the series it listed. Does not return once another
    /// process has the node, since its rows are for that one to flush.
    async fn commit_until_done(
        &mut self,
        sequence: u64,
        sorted: &Sorted,
        rest: &Rest,
    ) -> (Vec<Arc<SampleFile>>, SeriesByDay) {
        let mut wait = FIRST_RETRY;
        loop {
            let error = match self.commit(sequence, sorted, rest).await {
                Ok(done) => return done,
                // Lists of series have lost some meanwhile: what they have is looked up again.
                Err(error) if error.kind == ErrorKind::Conflict => {
                    match self.listed.begin_anew(&self.inner).await {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.inner.counters.flush_failures.fetch_add(1, Ordering::Relaxed);
            self.inner.progress.send_modify(|progress| {
                progress.failures += 1;
                progress.last_error = error.to_string();
            });
            if error.kind == ErrorKind::Poisoned {
                self.inner.end_writing(&error.to_string());
                std::future::pending::<()>().await;
            }
            if wait == FIRST_RETRY || wait == LAST_RETRY {
                tracing::warn!("flush failed, trying again until it succeeds: {error}");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn commit(
        &mut self,
        sequence: u64,
        sorted: &Sorted,
        rest: &Rest,
    ) -> Result<(Vec<Arc<SampleFile>>, SeriesByDay)> {
        let deletes = self.inner.lake.deletes_seen();
        let series_by_day = self.listed.missing(&self.inner, deletes, sorted).await?;
        let (nothing, no_exemplars) = (Sorted::default(), vec![]);
        let (samples, exemplars) = match self.inner.options.log_only {
            None => (sorted, &rest.exemplars),
            // Which series the ids in the log are must be known after a restart; the samples are in the log alone.
            Some(_) => (&nothing, &no_exemplars),
        };
        let lake = &self.inner.lake;
        let files =
            lake.commit_flush(sequence, deletes, samples, &series_by_day, exemplars, &rest.metadata).await?;
        Ok((files, series_by_day))
    }

    /// Forgets lists of series whose log is gone. Where there are samples, or were lately, they stay.
    async fn forget_lists(&mut self, longest: Duration) {
        let now_ms = (self.inner.clock)();
        if now_ms - self.forgot_ms < FORGET_PERIOD_MS {
            return;
        }
        self.forgot_ms = now_ms;
        let longest_ms = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
        let written_ms = now_ms.saturating_sub(longest_ms).saturating_sub(FORGET_PERIOD_MS);
        match self.inner.lake.drop_series_lists(day_of(now_ms) - 1, written_ms).await {
            Ok(days) => self.listed.forget(&days),
            Err(error) => tracing::warn!("lists of series that nothing needs stay for now: {error}"),
        }
        self.inner.update_view(|view| view.with_files(self.inner.lake.files()));
    }

    /// Swaps the frozen memtable for the files, and the cache entry that stands for them.
    fn publish(&self, sorted: &Sorted, files: &[Arc<SampleFile>]) {
        let budget_bytes = self.inner.options.cache_bytes;
        // Without a file there is nothing for a block to stand for.
        let entry = files.first().filter(|_| budget_bytes > 0).map(|file| {
            let placed = |block: &Arc<_>| Placed { commit: file.commit, block: Arc::clone(block) };
            let files = files.iter().map(|file| file.path.clone()).collect();
            Arc::new(cache::Entry { blocks: sorted.blocks().iter().map(placed).collect(), files })
        });
        self.inner.update_view(|view| {
            let mut next = view.with_files(self.inner.lake.files());
            next.frozen.remove(0);
            next.cached.extend(entry.filter(|_| next.has_as_read(files)));
            next.cached = cache::evict(next.cached, budget_bytes);
            // A merge or a delete may have been quicker than this swap.
            next.with_files(next.files.clone())
        });
        self.inner.head_room.notify_waiters();
        self.inner.warmer_wake.notify_one();
    }

    async fn delete_log(&self, through: u64) {
        self.inner.flushed_through.store(through, Ordering::Relaxed);
        // Otherwise the next flush, or the next start, deletes them.
        if let Err(error) = self.inner.trim().await {
            tracing::warn!("flushed log objects stay for now: {error}");
        }
    }

    /// Forgets series that had no samples for long and are in no memtable.
    fn evict_idle(&mut self) {
        let deadline = (self.inner.clock)() - IDLE_MS;
        let mut touched_before = 0;
        while let Some(&(generation, _)) = self.ended.front().filter(|(_, at)| *at <= deadline) {
            touched_before = generation + 1;
            self.ended.pop_front();
        }
        let touched_before = touched_before.min(self.inner.view().oldest_generation());
        if touched_before == 0 {
            return;
        }
        let slots = self.inner.gate.lock().registry.slots();
        for from in (0..slots).step_by(EVICT_SLOTS) {
            let mut gate = self.inner.gate.lock();
            let gone = gate.registry.evict(from, from + EVICT_SLOTS, touched_before);
            if !gone.is_empty() {
                self.inner.counters.series_evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
                // Still under the gate: nobody can register one of them again before the index forgot it.
                self.inner.head_index.write().remove(&gone);
            }
        }
    }
}

fn exemplar_of((series, row): (Arc<Series>, LogExemplar)) -> Exemplar {
    Exemplar { series, timestamp: row.timestamp, value: row.value, labels: row.labels }
}

/// Which series each day lists already, for the days flushed lately.
#[derive(Default)]
struct Listed {
    days: HashMap<i32, HashSet<i64>>,
    /// Least recently flushed first.
    order: VecDeque<i32>,
    /// The deletes that are known to them.
    deletes: u64,
}

impl Listed {
    /// The series of a flush by day, without those the day lists already.
    async fn missing(
        &mut self,
        inner: &Inner,
        deletes: u64,
        sorted: &Sorted,
    ) -> Result<Vec<(i32, Vec<Arc<Series>>)>> {
        if self.deletes != deletes {
            *self = Self { deletes, ..Self::default() };
        }
        let mut by_day: BTreeMap<i32, Vec<Arc<Series>>> = BTreeMap::new();
        for (at, series) in sorted.series().iter().enumerate() {
            for day in sorted.days(at) {
                by_day.entry(day).or_default().push(series.clone());
            }
        }
        for (day, series) in &mut by_day {
            self.load(inner, *day).await?;
            let listed = &self.days[day];
            series.retain(|s| !listed.contains(&s.id));
        }
        by_day.retain(|_, series| !series.is_empty());
        Ok(by_day.into_iter().collect())
    }

    /// Follows what was deleted, and forgets what the days list.
    async fn begin_anew(&mut self, inner: &Inner) -> Result<()> {
        inner.lake.refresh().await?;
        *self = Self::default();
        Ok(())
    }

    async fn load(&mut self, inner: &Inner, day: i32) -> Result<()> {
        if let Entry::Vacant(entry) = self.days.entry(day) {
            let listed = match inner.lake.files().series_version(day) {
                Some(_) => inner.lake.read_series(day).await?,
                None => Vec::new(),
            };
            entry.insert(listed.iter().map(|series| series.id).collect());
        }
        self.order.retain(|other| *other != day);
        self.order.push_back(day);
        Ok(())
    }

    /// These days list nothing any more.
    fn forget(&mut self, days: &[i32]) {
        self.days.retain(|day, _| !days.contains(day));
        self.order.retain(|day| !days.contains(day));
    }

    /// Remembers what a committed flush listed.
    fn note(&mut self, series_by_day: &[(i32, Vec<Arc<Series>>)]) {
        for (day, series) in series_by_day {
            self.days.entry(*day).or_default().extend(series.iter().map(|s| s.id));
        }
        while self.days.values().map(HashSet::len).sum::<usize>() > MAX_LISTED && self.order.len() > 1 {
            let oldest = self.order.pop_front().expect("more than one");
            self.days.remove(&oldest);
        }
    }
}

//! One remote: reads behind the log, turns rows into samples with the labels that leave the server, and deals them out
//! to shards by series.
//!
//! It is done with an object of the log once every row of it was sent, refused or dropped, and that is what is saved:
//! after a crash the rows of objects that were not done with are sent again, the same samples at the same times. When
//! the number of shards changes, their senders finish the attempt they are at, and what they hold is dealt out anew, so
//! that no sample overtakes another of its series.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::remote::write::Message;
use crate::error::Result;
use crate::forward::item::{Counts, Exemplar, Item, Sample};
use crate::forward::metadata;
use crate::forward::rates::Rates;
use crate::forward::remote::{Behind, Remote};
use crate::forward::scale;
use crate::forward::series::{Known, SeriesCache};
use crate::forward::shard::{self, Halt, Shard};
use crate::forward::stats::{Reason, Stats};
use crate::model::histogram::FloatHistogram;
use crate::model::sample::{day_of, is_stale};
use crate::storage::store::past::PastRun;
use crate::storage::store::tails::{Gone, Next, Part, Tail};
use crate::storage::types::{LogExemplar, LogRows};
use crate::storage::wal::readers::Position;

/// Rows of an object turned into samples before those are dealt out.
const ROWS_AT_ONCE: usize = 8192;
/// How often it is told what is done with.
const DONE_PERIOD: Duration = Duration::from_secs(1);
/// Between attempts to read what cannot be read.
const READ_PAUSE: Duration = Duration::from_secs(2);
/// A place in the log has its time to a second.
const TIMES_APART_MS: i64 = 1000;

/// How a queue ends.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Nothing more is read.
    pub reading: CancellationToken,
    /// Only one more attempt for what was read: the rest is for the next one that reads the log.
    pub handing_over: CancellationToken,
}

/// The shards, and what was dealt out to them.
struct Layout {
    shards: Vec<Arc<Shard>>,
    /// All rows up to here.
    enqueued: Position,
    /// When objects were put that are not done with, oldest first.
    times: VecDeque<Position>,
}

impl Layout {
    /// How far all is done with.
    fn position(&self) -> Position {
        let Some(first) = self.shards.iter().filter_map(|shard| shard.first()).min() else {
            return self.enqueued;
        };
        let sequence = first.saturating_sub(1).min(self.enqueued.sequence);
        let known = self.times.iter().take_while(|position| position.sequence <= sequence).last();
        Position { sequence, put_ms: known.map_or(0, |position| position.put_ms) }
    }
}

/// Sends what a reader of the log gets, until it is stopped. Ends when what was read is sent, or given up at the
/// deadline, and returns what was given up.
pub async fn run(remote: Arc<Remote>, tail: Tail, stop: Stop, deadline: Duration) -> Counts {
    let begin = tail.position();
    let layout = Layout { shards: vec![], enqueued: begin, times: VecDeque::from([begin]) };
    let layout = Arc::new(Mutex::new(layout));
    let done = tail.handle();
    let cache = SeriesCache::new(&remote.settings, &remote.external, tail.metadata());
    let rates = Rates::new();
    let mut queue = Queue {
        remote: remote.clone(),
        layout: layout.clone(),
        tail,
        stop: stop.clone(),
        cache,
        staged: vec![],
        senders: vec![],
        halt: Halt::default(),
        uncounted: Counts::default(),
        newest_ms: 0,
        rates,
    };
    queue.start_shards(remote.limits.min_shards, VecDeque::new());
    let own_metadata = send_metadata(remote.clone(), done.handle());
    tokio::select! {
        () = queue.read() => {}
        () = tell_done(&remote.stats, &layout, done.handle()) => {}
        () = own_metadata => {}
    }
    queue.finish(deadline).await;
    done.done(layout.lock().position());
    remote.stats.pending.now()
}

async fn send_metadata(remote: Arc<Remote>, tail: Tail) {
    match remote.stats.own_metadata {
        true => metadata::run(remote, tail).await,
        false => std::future::pending().await,
    }
}

async fn tell_done(stats: &Stats, layout: &Mutex<Layout>, tail: Tail) {
    loop {
        tokio::time::sleep(DONE_PERIOD).await;
        let position = layout.lock().position();
        if position.put_ms > 0 {
            tail.done(position);
        }
        let mut layout = layout.lock();
        while layout.times.get(1).is_some_and(|next| next.sequence <= position.sequence) {
            layout.times.pop_front();
        }
        let behind = tail.last().saturating_sub(position.sequence);
        stats.behind_objects.store(behind, Ordering::Relaxed);
    }
}

/// The side that reads.
struct Queue {
    remote: Arc<Remote>,
    layout: Arc<Mutex<Layout>>,
    tail: Tail,
    stop: Stop,
    cache: SeriesCache,
    /// For each shard, what is on its way to it.
    staged: Vec<VecDeque<Item>>,
    senders: Vec<JoinHandle<()>>,
    halt: Halt,
    /// What was staged since it was counted, and the newest timestamp of all.
    uncounted: Counts,
    newest_ms: i64,
    rates: Rates,
}

/// An exemplar's series and it.
type Exemplars = HashMap<i64, Vec<Exemplar>>;

impl Queue {
    async fn read(&mut self) {
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.reading.cancelled() => return,
                next = self.tail.next() => next,
            };
            let went_on = match next {
                Ok(Next::Parts(parts)) => self.take_parts(&parts).await,
                Ok(Next::Gone(gone)) => self.take_gone(gone).await,
                Err(error) => self.pause_after("the write-ahead log", &error).await,
            };
            if !went_on {
                return;
            }
            self.cache.sweep(Instant::now());
            self.change_shards().await;
        }
    }

    /// `false` when it is time to stop.
    async fn take_parts(&mut self, parts: &[Part]) -> bool {
        for part in parts {
            while let Err(error) = self.learn(&part.rows).await {
                if !self.pause_after("the labels of series", &error).await {
                    return false;
                }
            }
            if !self.take_rows(&part.rows, part.position.sequence).await {
                return false;
            }
            self.enqueued(part.position);
        }
        true
    }

    /// All rows up to here are with the shards.
    fn enqueued(&self, position: Position) {
        let mut layout = self.layout.lock();
        layout.enqueued = position;
        if layout.times.back().is_none_or(|last| position.put_ms - last.put_ms >= TIMES_APART_MS) {
            layout.times.push_back(position);
        }
    }

    /// Finds out about the series of an object that are not known yet.
    async fn learn(&mut self, rows: &LogRows) -> Result<()> {
        self.cache.learn_metadata(&rows.metadata);
        for (_, series) in &rows.series {
            self.cache.learn(series.id, &series.labels);
        }
        let samples = rows.samples.series_ids.iter().copied().zip(rows.samples.timestamps.iter().copied());
        let histograms = rows.histograms.iter().map(|row| (row.series_id, row.timestamp));
        let exemplars = rows.exemplars.iter().map(|row| (row.series_id, row.timestamp));
        let unknown: BTreeMap<i64, i32> = samples
            .chain(histograms)
            .chain(exemplars)
            .filter(|(id, _)| !self.cache.knows(*id))
            .map(|(id, timestamp)| (id, day_of(timestamp)))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<(i64, i32)> = unknown.into_iter().collect();
        let found = self.tail.series(&unknown).await?;
        for ((id, _), series) in unknown.into_iter().zip(found) {
            match series {
                Some(series) => self.cache.learn(id, &series.labels),
                None => self.cache.lose(id),
            }
        }
        Ok(())
    }

    async fn take_rows(&mut self, rows: &LogRows, sequence: u64) -> bool {
        let mut exemplars: Exemplars = HashMap::new();
        if self.remote.settings.send_exemplars {
            for row in &rows.exemplars {
                exemplars.entry(row.series_id).or_default().push(exemplar_of(row));
            }
        }
        let message = self.remote.settings.message;
        let samples = &rows.samples;
        for row in 0..samples.timestamps.len() {
            let (id, value) = (samples.series_ids[row], samples.values[row]);
            let mut sample = Sample::Float(value);
            // The head ends all series alike; to others a series of histograms has none but histograms.
            if is_stale(value) && self.cache.ends_histograms(id) {
                let marker = Arc::new(FloatHistogram { sum: value, ..FloatHistogram::default() });
                if !self.takes_histogram(&marker) {
                    continue;
                }
                sample = Sample::Histogram(marker);
            }
            let (timestamp, start) = (samples.timestamps[row], samples.start_timestamp(row));
            self.stage(id, sequence, timestamp, start, sample, &mut exemplars);
            if row % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 && !self.deliver().await {
                return false;
            }
        }
        for (at, row) in rows.histograms.iter().enumerate() {
            self.cache.saw_histogram(row.series_id);
            if self.takes_histogram(&row.histogram) {
                let sample = Sample::Histogram(row.histogram.clone());
                self.stage(row.series_id, sequence, row.timestamp, row.start_timestamp, sample, &mut exemplars);
            }
            if at % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 && !self.deliver().await {
                return false;
            }
        }
        for (id, left) in exemplars.drain().collect::<Vec<_>>() {
            let counts = Counts { exemplars: left.len() as u64, ..Counts::default() };
            let Some(last) = left.last().map(|exemplar| exemplar.timestamp) else { continue };
            match message {
                Message::V1 => {
                    let mut own = Exemplars::from_iter([(id, left)]);
                    self.stage(id, sequence, last, 0, Sample::None, &mut own);
                }
                // A series of 2.0 has samples.
                Message::V2 => self.remote.stats.count_dropped(Reason::WithoutSample, counts),
            }
        }
        self.deliver().await
    }

    /// Whether the remote gets histograms, and this kind of them.
    fn takes_histogram(&self, histogram: &FloatHistogram) -> bool {
        let Remote { settings, stats, .. } = &*self.remote;
        match settings.message {
            Message::V2 => true,
            Message::V1 if !settings.send_native_histograms => false,
            Message::V1 if histogram.uses_custom_buckets() => {
                stats.count_dropped(Reason::CustomBuckets, Counts { histograms: 1, ..Counts::default() });
                false
            }
            Message::V1 => true,
        }
    }

    /// Puts a sample on its way, with the exemplars of its series.
    #[inline]
    fn stage(
        &mut self,
        id: i64,
        sequence: u64,
        timestamp: i64,
        start_timestamp: i64,
        sample: Sample,
        exemplars: &mut Exemplars,
    ) {
        let (reason, series) = match self.cache.get(id) {
            Known::Sent(series) => (Reason::TooOld, Some(series.clone())),
            Known::Dropped => (Reason::DroppedSeries, None),
            Known::Lost | Known::Unknown => (Reason::LostSeries, None),
        };
        let exemplars = if exemplars.is_empty() { vec![] } else { exemplars.remove(&id).unwrap_or_default() };
        let counts = sample.counts(exemplars.len());
        let too_old = self.remote.oldest_ms().is_some_and(|oldest| timestamp < oldest);
        let Some(series) = series.filter(|_| !too_old) else {
            return self.remote.stats.count_dropped(reason, counts);
        };
        self.uncounted = self.uncounted.plus(counts);
        self.newest_ms = self.newest_ms.max(timestamp);
        let shard = shard_of(id, self.staged.len());
        self.staged[shard].push_back(Item { series, sequence, timestamp, start_timestamp, sample, exemplars });
    }

    /// Counts what was staged, before a shard can have sent it.
    fn count(&mut self) {
        let (stats, counts) = (&self.remote.stats, std::mem::take(&mut self.uncounted));
        stats.pending.add(counts);
        stats.read.fetch_add(counts.total(), Ordering::Relaxed);
        stats.highest_ms.fetch_max(self.newest_ms, Ordering::Relaxed);
    }

    /// Hands to the shards what is staged, waiting for room. `false` when it is time to stop.
    async fn deliver(&mut self) -> bool {
        self.count();
        loop {
            {
                let layout = self.layout.lock();
                let count = layout.shards.len();
                let (capacity, batch) = (self.remote.limits.capacity(count), self.remote.limits.batch(count));
                for (shard, staged) in layout.shards.iter().zip(&mut self.staged).filter(|(_, s)| !s.is_empty()) {
                    shard.push(staged, capacity, batch);
                }
            }
            if self.staged.iter().all(VecDeque::is_empty) {
                return true;
            }
            self.remote.stats.enqueue_retries.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                biased;
                () = self.stop.reading.cancelled() => {
                    self.forget_staged();
                    return false;
                }
                () = self.remote.room.notified() => {}
                () = tokio::time::sleep_until(self.rates.next()) => {}
            }
            self.change_shards().await;
        }
    }

    /// What no shard has is read again by whoever reads next.
    fn forget_staged(&mut self) {
        for item in self.staged.iter_mut().flat_map(|staged| staged.drain(..)) {
            self.remote.stats.pending.take(item.counts());
        }
    }

    /// A part of the log is gone.
    async fn take_gone(&mut self, gone: Gone) -> bool {
        let stats = self.remote.stats.clone();
        let missed = gone.through.sequence.saturating_sub(self.layout.lock().enqueued.sequence);
        stats.gaps.fetch_add(1, Ordering::Relaxed);
        stats.missed_objects.fetch_add(missed, Ordering::Relaxed);
        let rereads = self.remote.behind == Behind::Reread;
        self.remote.notices.gone.tell(|left_out| {
            let what = if rereads { "it is read from the lake, by time" } else { "it is not sent" };
            tracing::warn!(
                remote = stats.name,
                url = stats.url,
                objects = missed,
                from_ms = gone.times.start_inclusive,
                to_ms = gone.times.end_inclusive,
                left_out,
                "a remote is further behind than --storage.wal.retain-bytes keeps of the write-ahead log; {what}"
            );
        });
        if rereads {
            let mut past = self.tail.past(gone.times);
            loop {
                match past.next().await {
                    Ok(Some(run)) => {
                        if !self.take_run(run, gone.through.sequence).await {
                            return false;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        if !self.pause_after("the lake", &error).await {
                            return false;
                        }
                    }
                }
            }
        }
        self.enqueued(gone.through);
        true
    }

    /// Samples out of the lake, which belong to the last object that is gone.
    async fn take_run(&mut self, found: PastRun, sequence: u64) -> bool {
        let PastRun { series, run } = found;
        self.cache.learn(series.id, &series.labels);
        self.remote.stats.from_lake.fetch_add(run.timestamps.len() as u64, Ordering::Relaxed);
        let mut none = Exemplars::new();
        for (at, timestamp) in run.timestamps.iter().enumerate() {
            let start = run.start_timestamps.get(at).copied().unwrap_or(0);
            let sample = match run.histograms.get(at).and_then(Option::as_ref) {
                None => Sample::Float(run.values[at]),
                Some(histogram) if self.takes_histogram(histogram) => Sample::Histogram(histogram.clone()),
                Some(_) => continue,
            };
            self.stage(series.id, sequence, *timestamp, start, sample, &mut none);
        }
        self.deliver().await
    }

    /// Waits a moment after something could not be read. `false` when it is time to stop.
    async fn pause_after(&self, what: &str, error: &crate::error::Error) -> bool {
        self.remote.notices.unreadable.tell(|left_out| {
            let (remote, url) = (&self.remote.stats.name, &self.remote.stats.url);
            tracing::warn!(remote, url, left_out, "{what} cannot be read for a remote, trying again: {error}");
        });
        tokio::select! {
            () = self.stop.reading.cancelled() => false,
            () = tokio::time::sleep(READ_PAUSE) => true,
        }
    }

    /// Looks, every so often, whether another number of shards would be better.
    async fn change_shards(&mut self) {
        if Instant::now() < self.rates.next() {
            return;
        }
        let remote = self.remote.clone();
        let load = self.rates.tick(&remote.stats, self.tail.newest_ms());
        let (now, limits) = (self.senders.len(), remote.limits);
        let (right, wanted) = scale::desired(load, now, limits.min_shards, limits.max_shards);
        remote.stats.set_desired(right);
        let held = remote.held_until.lock().is_some_and(|until| Instant::now() < until);
        let fresh = remote.settings.queue.batch_send_deadline * 2;
        let sends = remote.last_sent.lock().is_some_and(|sent| sent.elapsed() <= fresh.max(scale::PERIOD));
        if wanted == now || held || !sends {
            return;
        }
        tracing::info!(
            remote = remote.stats.name,
            url = remote.stats.url,
            from = now,
            to = wanted,
            "shards change"
        );
        self.halt.batches.cancel();
        self.halt.attempts.cancel();
        for sender in std::mem::take(&mut self.senders) {
            // It has looked after its panics.
            let _ = sender.await;
        }
        // Nothing awaits between this and the new shards, so nobody finds that what is on its way is done with.
        let waiting = oldest_first(&self.layout.lock().shards);
        self.start_shards(wanted, waiting);
    }

    /// Begins with so many shards, which get what waited in those before.
    fn start_shards(&mut self, count: usize, waiting: VecDeque<Item>) {
        let deal = |items: VecDeque<Item>| {
            let mut dealt: Vec<VecDeque<Item>> = (0..count).map(|_| VecDeque::new()).collect();
            for item in items {
                dealt[shard_of(item.series.id, count)].push_back(item);
            }
            dealt
        };
        let batch = self.remote.limits.batch(count);
        let shards: Vec<Arc<Shard>> = (0..count).map(|_| Arc::new(Shard::default())).collect();
        for (shard, mut items) in shards.iter().zip(deal(waiting)) {
            // They had room before.
            shard.push(&mut items, usize::MAX, batch);
        }
        self.staged = deal(std::mem::take(&mut self.staged).into_iter().flatten().collect());
        self.halt = Halt::default();
        self.senders = shards
            .iter()
            .map(|shard| tokio::spawn(shard::run(self.remote.clone(), shard.clone(), batch, self.halt.clone())))
            .collect();
        self.remote.stats.shards.store(count as u64, Ordering::Relaxed);
        self.layout.lock().shards = shards;
    }

    /// Sends what was read, up to a deadline.
    async fn finish(&mut self, deadline: Duration) {
        self.forget_staged();
        for shard in &self.layout.lock().shards {
            shard.close();
        }
        let end = Instant::now() + deadline;
        let attempts = self.halt.attempts.clone();
        let handing_over = self.stop.handing_over.clone();
        let impatience = async move {
            handing_over.cancelled().await;
            attempts.cancel();
            std::future::pending::<()>().await;
        };
        let senders = std::mem::take(&mut self.senders);
        let aborts: Vec<AbortHandle> = senders.iter().map(JoinHandle::abort_handle).collect();
        let all = async move {
            for sender in senders {
                let _ = sender.await;
            }
        };
        tokio::select! {
            () = all => {}
            () = impatience => {}
            () = tokio::time::sleep_until(end) => {}
        }
        aborts.iter().for_each(AbortHandle::abort);
    }
}

/// What waits in shards. What is done with is told from the front of each shard, so that has to be the oldest; of a series
/// the order stays as it is.
fn oldest_first(shards: &[Arc<Shard>]) -> VecDeque<Item> {
    let mut waiting: Vec<Item> = shards.iter().flat_map(|shard| shard.drain()).collect();
    waiting.sort_by_key(|item| item.sequence);
    waiting.into()
}

/// Ids are hashes.
fn shard_of(id: i64, shards: usize) -> usize {
    (id.cast_unsigned() % shards as u64) as usize
}

fn exemplar_of(row: &LogExemplar) -> Exemplar {
    Exemplar { timestamp: row.timestamp, value: row.value, labels: row.labels.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::series::Outgoing;
    use crate::model::labels::Labels;

    /// A shard that gets what waited in others never has an object behind a younger one.
    #[test]
    fn what_is_dealt_out_anew_has_the_oldest_in_front() {
        let item = |id: i64, sequence: u64, timestamp: i64| {
            let series = Outgoing { id, labels: Labels::empty(), lacks_external: false, metadata: None };
            let (series, sample) = (Arc::new(series), Sample::Float(0.5));
            Item { series, sequence, timestamp, start_timestamp: 0, sample, exemplars: vec![] }
        };
        let shards: Vec<Arc<Shard>> = (0..2).map(|_| Arc::new(Shard::default())).collect();
        for (id, shard) in [1, 2].into_iter().zip(&shards) {
            let mut items =
                (20..40).flat_map(|n| [item(id, n, 2 * n as i64), item(id, n, 2 * n as i64 + 1)]).collect();
            shard.push(&mut items, usize::MAX, 10);
        }
        let dealt = oldest_first(&shards);
        assert_eq!(dealt.len(), 80);
        assert!(dealt.iter().is_sorted_by_key(|item| item.sequence));
        for id in [1, 2] {
            let times = dealt.iter().filter(|item| item.series.id == id).map(|item| item.timestamp);
            assert!(times.is_sorted());
        }
    }
}

//! The task of a target: wait for its moment, fetch, parse, append, and so on until the target is removed or the
//! process ends. Every target waits for its own append only.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex as SyncMutex;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::scrape::ScrapeConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::appender::{Appended, Appender, Unsent};
use crate::ingest::exposition::negotiate::response_format;
use crate::ingest::scrape::batch::{Job, Refused, ScrapeBatch, ScrapeReport};
use crate::ingest::scrape::buffers::Buffers;
use crate::ingest::scrape::cache::TargetCache;
use crate::ingest::scrape::failure_log::FailureLog;
use crate::ingest::scrape::features::Features;
use crate::ingest::scrape::metadata::SharedMetadata;
use crate::ingest::scrape::request::{FetchError, Requester};
use crate::ingest::scrape::target::{Health, Target, TargetHealth};
use crate::ingest::scrape::waiting::{Batch, Room, Waiting};
use crate::ingest::stats::add;
use crate::model::labels::Labels;
use crate::storage::store::Clock;
use crate::storage::store::durability::Log;
use crate::storage::types::{Haste, SeriesRef, WriteReport};
use crate::telemetry::spans;
use crate::telemetry::summary::Summary;

/// A tick that comes this much late is still stamped with its due time, where nothing else is said: equal distances
/// compress better.
pub const TIMESTAMP_TOLERANCE_MS: i64 = 2;

/// Between a panic of a scrape loop and its next start.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// The three ways in which a worker is told to end.
#[derive(Clone, Debug)]
pub struct Signals {
    /// The target is gone: finish the scrape, then end its series.
    pub removed: CancellationToken,
    /// Another worker goes on with the same series: leave them alone.
    pub superseded: CancellationToken,
    /// The process ends: stop at once, and leave the series alone, as the next process goes on with them.
    pub shutdown: CancellationToken,
}

pub struct Worker {
    pub target: Arc<Target>,
    pub config: Arc<ScrapeConfig>,
    pub requester: Requester,
    pub appender: Arc<Appender>,
    pub clock: Clock,
    pub offset_seed: u64,
    pub signals: Signals,
    /// Locked for the life of the worker; a successor waits here for its predecessor.
    pub cache: Arc<Mutex<TargetCache>>,
    pub failure_log: Option<Arc<FailureLog>>,
    /// Told the times between two scrapes.
    pub interval_seconds: Arc<Summary>,
    pub common: Arc<Common>,
}

/// What all targets have in common.
#[derive(Debug)]
pub struct Common {
    pub features: Features,
    pub buffers: Buffers,
    pub metadata: SharedMetadata,
    /// What all targets together may keep for a store that takes nothing.
    pub room: Arc<Room>,
    /// See [`TIMESTAMP_TOLERANCE_MS`]; 0 for none.
    pub timestamp_tolerance_ms: i64,
}

impl Worker {
    /// Runs until the target is gone. A panic is a defect of ours, and no reason to lose a target: the loop begins anew.
    pub async fn run(self) {
        while AssertUnwindSafe(self.scrape_on()).catch_unwind().await.is_err() {
            add(&self.appender.stats().scrape_loop_failures, 1);
            let (pool, target) = (&self.target.scrape_pool, self.target.scrape_url.as_str());
            tracing::error!(scrape_pool = pool, target, "the scrape loop panicked; it is started again");
            if self.stopped_within(sleep(RESTART_PAUSE)).await {
                return;
            }
        }
    }

    async fn scrape_on(&self) {
        let mut cache = self.cache.lock().await;
        let wait_ms = self.target.first_wait_ms((self.clock)(), self.offset_seed);
        tokio::select! {
            () = self.signals.shutdown.cancelled() => return,
            () = self.signals.removed.cancelled() => {}
            () = sleep(Duration::from_millis(wait_ms as u64)) => {}
        }
        let mut ticker = interval_at(Instant::now(), Duration::from_millis(self.target.interval_ms as u64));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut aligned_ms = (self.clock)();
        let mut body_bytes = 0;
        let mut last_scrape: Option<Instant> = None;
        let waiting = Waiting::new(self.common.room.clone());
        let mut store = StoreSide { waiting, log: self.appender.durability() };
        loop {
            tokio::select! {
                biased;
                () = self.signals.shutdown.cancelled() => return,
                () = self.signals.removed.cancelled() => break,
                _ = ticker.tick() => {}
                () = store.takes_what_waits() => {
                    // What is refused goes on waiting; the next scrape tells the target why.
                    let _ = self.drain(&mut store, &mut cache).await;
                    continue;
                }
            }
            let now = Instant::now();
            if let Some(last) = last_scrape.replace(now) {
                self.interval_seconds.observe((now - last).as_secs_f64());
            }
            let tolerance_ms = self.common.timestamp_tolerance_ms;
            let timestamp = align((self.clock)(), &mut aligned_ms, self.target.interval_ms, tolerance_ms);
            let span = spans::span("scrape");
            span.text("scrape_pool", &self.target.scrape_pool);
            span.text("target", &self.target.scrape_url);
            if !span.around(self.scrape(&mut cache, &mut store, timestamp, &mut body_bytes)).await {
                return;
            }
        }
        self.end_series(&mut cache, &mut store, ticker).await;
    }

    /// One scrape. `false` when the process ended in the middle of it. `body_bytes` is the size of the last body that had
    /// something in it.
    async fn scrape(
        &self,
        cache: &mut TargetCache,
        store: &mut StoreSide,
        timestamp: i64,
        body_bytes: &mut usize,
    ) -> bool {
        let started = Instant::now();
        let mut body = self.common.buffers.take(*body_bytes);
        let fetched = match self.target.forced_error() {
            Some(error) => {
                add(&self.appender.stats().scrapes_exceeded_target_limit, 1);
                Err(FetchError::Failed(error))
            }
            None => {
                let span = spans::client_span("scrapeRequest");
                let fetched = tokio::select! {
                    () = self.signals.shutdown.cancelled() => return false,
                    fetched = span.around(self.requester.fetch(&self.target, &mut body)) => fetched,
                };
                if let Err(error) = &fetched {
                    span.failed(|| error.to_string());
                    self.log(error);
                }
                fetched
            }
        };
        let duration_seconds = started.elapsed().as_secs_f64();
        let mut report =
            ScrapeReport { duration_seconds, body_bytes: body.len() as i64, ..ScrapeReport::default() };
        let mut batch = ScrapeBatch::new(self.job(), cache, timestamp);
        let outcome = self.take(&mut batch, fetched, &body, &mut report);
        if !body.is_empty() {
            *body_bytes = body.len();
        }
        // The store may take its time.
        self.common.buffers.give(body);
        report.up = outcome.is_ok();
        batch.report(&report);
        self.observe(&outcome, timestamp, &report);
        let ScrapeBatch { batch: rows, zeros, ended, cache, .. } = batch;
        spans::span("scrapeAppend").around(self.store(store, Batch { rows, zeros, ended }, cache)).await;
        true
    }

    fn job(&self) -> Job<'_> {
        Job {
            config: &self.config,
            target: &self.target,
            features: self.common.features,
            appender: &self.appender,
            shared_metadata: &self.common.metadata,
        }
    }

    /// A request that failed goes to the file of the job, if it has one.
    fn log(&self, error: &FetchError) {
        if let Some(log) = &self.failure_log {
            let (pool, target) = (&self.target.scrape_pool, &self.target.scrape_url);
            log.record((self.clock)(), pool, target, &error.to_string());
        }
    }

    fn take(
        &self,
        batch: &mut ScrapeBatch<'_>,
        fetched: Result<Option<String>, FetchError>,
        body: &[u8],
        report: &mut ScrapeReport,
    ) -> Result<(), String> {
        let stats = self.appender.stats();
        add(&stats.scrapes, 1);
        let format = match fetched {
            // A target that has nothing to say need not say in which format.
            Ok(_) if body.is_empty() => {
                batch.failed();
                return Ok(());
            }
            Ok(content_type) => response_format(content_type.as_deref(), self.config.fallback_scrape_protocol),
            Err(error) => {
                let too_large = matches!(error, FetchError::BodyTooLarge);
                add(&stats.scrapes_exceeded_body_size_limit, usize::from(too_large));
                report.body_bytes = if too_large { -1 } else { 0 };
                Err(error.to_string())
            }
        };
        let format = format.inspect_err(|_| batch.failed())?;
        add(&stats.scrape_body_bytes, body.len());
        batch.scraped(format, body, report).map_err(|refused| match refused {
            Refused::SampleLimit => {
                add(&stats.scrapes_exceeded_sample_limit, 1);
                "sample limit exceeded".to_string()
            }
            Refused::BucketLimit => {
                add(&stats.scrapes_exceeded_native_histogram_bucket_limit, 1);
                "histogram bucket limit exceeded".to_string()
            }
            Refused::Invalid(message) => message,
        })
    }

    fn observe(&self, outcome: &Result<(), String>, timestamp: i64, report: &ScrapeReport) {
        if let Err(error) = outcome {
            add(&self.appender.stats().scrapes_failed, 1);
            let (pool, target) = (&self.target.scrape_pool, self.target.scrape_url.as_str());
            tracing::debug!(scrape_pool = pool, target, error, "scrape failed");
        }
        self.target.set_health(TargetHealth {
            health: if outcome.is_ok() { Health::Up } else { Health::Down },
            last_error: outcome.as_ref().err().cloned().unwrap_or_default(),
            last_scrape_ms: Some(timestamp),
            last_scrape_duration_seconds: report.duration_seconds,
        });
    }

    /// Makes a batch durable, or keeps it until the store takes samples again; the target shows why it waits.
    async fn store(&self, store: &mut StoreSide, batch: Batch, cache: &mut TargetCache) {
        let sent = match self.drain(store, cache).await {
            Ok(()) => self.send(batch, cache).await,
            Err(error) => Err((error, batch)),
        };
        match sent {
            // The store has it now. It need not be waited for where the log fails, as the next scrape is due.
            Ok(mut appended) => {
                let outcome = tokio::select! {
                    outcome = appended.durable() => outcome,
                    failing = store.log.wait_for(|log| !log.works()) => {
                        failing.ok().and_then(|log| log.error()).map_or(Ok(()), Err)
                    }
                };
                if let Err(error) = outcome {
                    self.target.not_stored(&error.to_string());
                }
            }
            Err((error, batch)) => self.keep(store, batch, &error),
        }
    }

    /// What was refused waits if that may help.
    fn keep(&self, store: &mut StoreSide, batch: Batch, error: &Error) {
        self.target.not_stored(&error.to_string());
        match error.kind {
            ErrorKind::Unavailable => store.waiting.push(batch),
            // The store has said so itself, and goes on saying it.
            ErrorKind::Poisoned => add(&self.appender.stats().scrapes_dropped, 1),
            _ => {
                let (pool, target) = (&self.target.scrape_pool, self.target.scrape_url.as_str());
                tracing::error!(scrape_pool = pool, target, %error, "scrape not stored");
            }
        }
    }

    /// Sends what waits, oldest first, for as long as the store takes it. Each of them is not waited for: a bucket is
    /// written once a second, and there may be hundreds.
    async fn drain(&self, store: &mut StoreSide, cache: &mut TargetCache) -> Result<()> {
        while let Some(batch) = store.waiting.pop() {
            if let Err((error, batch)) = self.send(batch, cache).await {
                match error.kind {
                    ErrorKind::Unavailable => store.waiting.put_back(batch),
                    _ => add(&self.appender.stats().scrapes_dropped, 1),
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Hands a batch to the store, or back where it is refused.
    async fn send(&self, batch: Batch, cache: &mut TargetCache) -> Result<Appended, (Error, Batch)> {
        let Batch { rows, zeros, ended } = batch;
        let labels_by_series = SyncMutex::new(None::<HashMap<SeriesRef, Labels>>);
        let known: &TargetCache = cache;
        let sent = self
            .appender
            .submit_behind_zeros(rows, zeros, Haste::Moment, |series| {
                let mut labels = labels_by_series.lock();
                let labels = labels.get_or_insert_with(|| {
                    let mut labels = known.labels_by_series();
                    labels.extend(ended.iter().cloned());
                    labels
                });
                labels.get(&series).cloned()
            })
            .await;
        let appended = match sent {
            Ok(appended) => appended,
            Err(Unsent { error, batch: rows }) => return Err((error, Batch { rows, zeros, ended })),
        };
        cache.renew(&appended);
        let (pool, target) = (&self.target.scrape_pool, self.target.scrape_url.as_str());
        self.appender.stats().record_scrape(&appended.report);
        let WriteReport { rejected_samples, rejected_histograms, .. } = &appended.report;
        if let Some((_, first)) = rejected_samples.first().or(rejected_histograms.first()) {
            let (refused, reason) = (rejected_samples.len() + rejected_histograms.len(), first.as_str());
            tracing::warn!(scrape_pool = pool, target, refused, reason, "samples refused");
        }
        Ok(appended)
    }

    /// Ends the series of a removed target, stamped with the first scrape it missed. Waits two intervals before,
    /// since a target that comes back, here or with another server, goes on with its series.
    async fn end_series(&self, cache: &mut TargetCache, store: &mut StoreSide, mut ticker: Interval) {
        if !cache.reported || self.gone(&mut ticker).await {
            return;
        }
        let timestamp = (self.clock)();
        let rest = Duration::from_millis(self.target.interval_ms as u64 / 10);
        if self.gone(&mut ticker).await || self.stopped_within(sleep(rest)).await {
            return;
        }
        let mut batch = ScrapeBatch::new(self.job(), cache, timestamp);
        batch.removed();
        let ScrapeBatch { batch: rows, zeros, ended, cache, .. } = batch;
        self.store(store, Batch { rows, zeros, ended }, cache).await;
        // The last scrapes wait on, up to the end of the process or the next life of the target.
        while !store.waiting.is_empty() {
            if self.stopped_within(store.takes_what_waits()).await {
                return;
            }
            if self.drain(store, cache).await.is_err_and(|error| error.kind != ErrorKind::Unavailable) {
                return;
            }
        }
    }

    async fn gone(&self, ticker: &mut Interval) -> bool {
        self.stopped_within(ticker.tick()).await
    }

    /// Waits for `moment`; `true` when somebody said in the meantime that there is nothing to end.
    async fn stopped_within<T>(&self, moment: impl Future<Output = T>) -> bool {
        tokio::select! {
            biased;
            () = self.signals.shutdown.cancelled() => true,
            () = self.signals.superseded.cancelled() => true,
            _ = moment => false,
        }
    }
}

/// The store as one target sees it.
struct StoreSide {
    waiting: Waiting,
    log: watch::Receiver<Log>,
}

impl StoreSide {
    /// Returns when something waits and the store may take it.
    async fn takes_what_waits(&mut self) {
        if self.waiting.is_empty() || self.log.wait_for(Log::works).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The timestamp of a scrape that happens at `now_ms`: its due time where it is close enough.
fn align(now_ms: i64, aligned_ms: &mut i64, interval_ms: i64, tolerance_ms: i64) -> i64 {
    if now_ms - *aligned_ms >= interval_ms {
        *aligned_ms += interval_ms * ((now_ms - *aligned_ms) / interval_ms);
    }
    // Just before the next due time counts as that.
    let tolerance_ms = tolerance_ms.min(interval_ms / 100);
    if *aligned_ms + interval_ms - now_ms <= tolerance_ms {
        *aligned_ms += interval_ms;
    }
    if (now_ms - *aligned_ms).abs() <= tolerance_ms { *aligned_ms } else { now_ms }
}

#[cfg(test)]
mod tests {
    use super::{TIMESTAMP_TOLERANCE_MS, align};

    #[test]
    fn timestamps_snap_to_their_due_time() {
        let aligned = |now_ms: i64, interval_ms: i64, tolerance_ms: i64| {
            align(now_ms, &mut 1_000_000, interval_ms, tolerance_ms)
        };
        let check = |now_ms: i64, interval_ms: i64, want: i64| {
            assert_eq!(aligned(now_ms, interval_ms, TIMESTAMP_TOLERANCE_MS), want, "{now_ms} {interval_ms}");
        };
        assert_eq!(aligned(1_015_002, 15_000, 0), 1_015_002);
        assert_eq!(aligned(1_015_100, 15_000, 120), 1_015_000);
        check(1_000_000, 15_000, 1_000_000);
        check(1_015_002, 15_000, 1_015_000);
        check(1_015_003, 15_000, 1_015_003);
        check(1_014_999, 15_000, 1_015_000);
        check(1_045_001, 15_000, 1_045_000);
        check(1_000_101, 100, 1_000_100);
        check(1_000_102, 100, 1_000_102);
        check(999_000, 15_000, 999_000);
    }
}

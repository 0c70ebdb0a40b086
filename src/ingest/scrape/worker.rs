//! The task of a target: wait for its moment, fetch, parse, append, and so on until the target is removed or the
//! process ends. Every target waits for its own append only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::scrape::ScrapeConfig;
use crate::ingest::appender::Appender;
use crate::ingest::exposition::negotiate::response_format;
use crate::ingest::scrape::batch::{Refused, ScrapeBatch, ScrapeReport};
use crate::ingest::scrape::cache::TargetCache;
use crate::ingest::scrape::request::{FetchError, Requester};
use crate::ingest::scrape::target::{Health, Target, TargetHealth};
use crate::ingest::stats::add;
use crate::model::labels::Labels;
use crate::storage::store::Clock;
use crate::storage::types::SeriesRef;

/// A tick that comes this much late is still stamped with its due time: equal distances compress better.
const TIMESTAMP_TOLERANCE_MS: i64 = 2;

/// A body buffer that a single large answer has grown beyond this is given back.
const KEPT_BUFFER_BYTES: usize = 16 << 20;

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
}

impl Worker {
    pub async fn run(self) {
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
        let mut body = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.signals.shutdown.cancelled() => return,
                () = self.signals.removed.cancelled() => break,
                _ = ticker.tick() => {}
            }
            let timestamp = align((self.clock)(), &mut aligned_ms, self.target.interval_ms);
            if !self.scrape(&mut cache, timestamp, &mut body).await {
                return;
            }
            body.shrink_to(KEPT_BUFFER_BYTES);
        }
        self.end_series(&mut cache, ticker).await;
    }

    /// One scrape. `false` when the process ended in the middle of it.
    async fn scrape(&self, cache: &mut TargetCache, timestamp: i64, body: &mut Vec<u8>) -> bool {
        let started = Instant::now();
        let fetched = match self.target.forced_error() {
            Some(error) => {
                add(&self.appender.stats().scrapes_exceeded_target_limit, 1);
                body.clear();
                Err(FetchError::Failed(error))
            }
            None => tokio::select! {
                () = self.signals.shutdown.cancelled() => return false,
                fetched = self.requester.fetch(&self.target, body) => fetched,
            },
        };
        let duration_seconds = started.elapsed().as_secs_f64();
        let mut report =
            ScrapeReport { duration_seconds, body_bytes: body.len() as i64, ..ScrapeReport::default() };
        let mut batch = ScrapeBatch::new(&self.config, &self.target.labels, &self.appender, cache, timestamp);
        let outcome = self.take(&mut batch, fetched, body, &mut report);
        report.up = outcome.is_ok();
        batch.report(&report, self.target.timeout_ms);
        self.observe(&outcome, timestamp, &report);
        self.append(batch).await;
        true
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
        let mut metadata = self.target.metadata.lock();
        batch.scraped(format, body, &mut metadata, report).map_err(|refused| match refused {
            Refused::SampleLimit => {
                add(&stats.scrapes_exceeded_sample_limit, 1);
                "sample limit exceeded".to_string()
            }
            Refused::Invalid(message) => message,
        })
    }

    fn observe(&self, outcome: &Result<(), String>, timestamp: i64, report: &ScrapeReport) {
        if let Err(error) = outcome {
            add(&self.appender.stats().scrapes_failed, 1);
            let (pool, target) = (&self.target.scrape_pool, self.target.url.as_str());
            tracing::debug!(scrape_pool = pool, target, error, "scrape failed");
        }
        self.target.set_health(TargetHealth {
            health: if outcome.is_ok() { Health::Up } else { Health::Down },
            last_error: outcome.as_ref().err().cloned().unwrap_or_default(),
            last_scrape_ms: Some(timestamp),
            last_scrape_duration_seconds: report.duration_seconds,
        });
    }

    /// Makes the batch durable. A refused sample is counted, a failed append is logged: the next scrape is as
    /// good a repetition as any.
    async fn append(&self, batch: ScrapeBatch<'_>) {
        let ScrapeBatch { batch: rows, ended, cache, .. } = batch;
        let labels_by_series = SyncMutex::new(None::<HashMap<SeriesRef, Labels>>);
        let known: &TargetCache = cache;
        let outcome = self
            .appender
            .append(rows, |series| {
                let mut labels = labels_by_series.lock();
                let labels = labels.get_or_insert_with(|| {
                    let mut labels = known.labels_by_series();
                    labels.extend(ended.iter().cloned());
                    labels
                });
                labels.get(&series).cloned()
            })
            .await;
        let (pool, target) = (&self.target.scrape_pool, self.target.url.as_str());
        match outcome {
            Ok(appended) => {
                cache.renew(&appended);
                if let Some((_, first)) = appended.report.rejected_samples.first() {
                    let (refused, reason) = (appended.report.rejected_samples.len(), first.as_str());
                    tracing::warn!(scrape_pool = pool, target, refused, reason, "samples refused");
                }
            }
            Err(error) => tracing::error!(scrape_pool = pool, target, %error, "scrape not stored"),
        }
    }

    /// Ends the series of a removed target, stamped with the first scrape it missed. Waits two intervals before,
    /// since a target that comes back, here or with another server, goes on with its series.
    async fn end_series(&self, cache: &mut TargetCache, mut ticker: Interval) {
        if !cache.reported || self.gone(&mut ticker).await {
            return;
        }
        let timestamp = (self.clock)();
        let rest = Duration::from_millis(self.target.interval_ms as u64 / 10);
        if self.gone(&mut ticker).await || self.stopped_within(sleep(rest)).await {
            return;
        }
        let mut batch = ScrapeBatch::new(&self.config, &self.target.labels, &self.appender, cache, timestamp);
        batch.removed();
        self.append(batch).await;
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

/// The timestamp of a scrape that happens at `now_ms`: its due time where it is close enough.
fn align(now_ms: i64, aligned_ms: &mut i64, interval_ms: i64) -> i64 {
    if now_ms - *aligned_ms >= interval_ms {
        *aligned_ms += interval_ms * ((now_ms - *aligned_ms) / interval_ms);
    }
    // Just before the next due time counts as that.
    let tolerance_ms = TIMESTAMP_TOLERANCE_MS.min(interval_ms / 100);
    if *aligned_ms + interval_ms - now_ms <= tolerance_ms {
        *aligned_ms += interval_ms;
    }
    if (now_ms - *aligned_ms).abs() <= tolerance_ms { *aligned_ms } else { now_ms }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn timestamps_snap_to_their_due_time() {
        let check = |now_ms: i64, interval_ms: i64, want: i64| {
            let mut aligned = 1_000_000;
            assert_eq!(align(now_ms, &mut aligned, interval_ms), want, "{now_ms} {interval_ms}");
        };
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

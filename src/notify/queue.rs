//! What waits for one Alertmanager, and the task that sends it, a batch at a time. A queue that is full loses its oldest
//! alerts. One that ends sends what it has, if it is to, for a while.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::alert::Alert;
use crate::notify::encode::encode;
use crate::notify::endpoint::Endpoint;
use crate::notify::options::Options;
use crate::notify::send::Sender;
use crate::notify::stats::Stats;
use crate::telemetry::notice::Notice;

/// See the module.
pub(super) struct Queue {
    pub(super) endpoint: Endpoint,
    options: Options,
    /// Another one takes its place where only how to send has changed.
    sender: Mutex<Sender>,
    waiting: Mutex<VecDeque<Arc<Alert>>>,
    /// There is something to send.
    work: Notify,
    stopped: CancellationToken,
    stats: Arc<Stats>,
    full: Notice,
    failed: Notice,
}

impl Queue {
    pub(super) fn new(endpoint: Endpoint, sender: Sender, options: Options, stats: Arc<Stats>) -> Self {
        Self {
            endpoint,
            options,
            sender: Mutex::new(sender),
            waiting: Mutex::default(),
            work: Notify::new(),
            stopped: CancellationToken::new(),
            stats,
            full: Notice::default(),
            failed: Notice::default(),
        }
    }

    pub(super) fn set_sender(&self, sender: Sender) {
        *self.sender.lock() = sender;
    }

    /// Adds alerts; the oldest go where there are too many. Never waits, and does nothing once the queue was stopped.
    pub(super) fn add(&self, alerts: &[Arc<Alert>]) {
        let mut waiting = self.waiting.lock();
        if self.stopped.is_cancelled() {
            return;
        }
        let capacity = self.options.queue_capacity;
        let too_many = alerts.len().saturating_sub(capacity);
        let fitting = &alerts[too_many..];
        let oldest = (waiting.len() + fitting.len()).saturating_sub(capacity);
        waiting.drain(..oldest);
        waiting.extend(fitting.iter().cloned());
        count(&self.stats.queued, fitting.len());
        self.stats.queued.fetch_sub(oldest as u64, Ordering::Relaxed);
        drop(waiting);
        self.work.notify_one();
        let dropped = too_many + oldest;
        if dropped > 0 {
            count(&self.stats.dropped, dropped);
            let alertmanager = &self.endpoint.shown;
            self.full.tell(|left_out| {
                tracing::warn!(
                    alertmanager,
                    dropped,
                    capacity,
                    left_out,
                    "the queue of alerts is full (--alertmanager.notification-queue-capacity), the oldest are dropped"
                );
            });
        }
    }

    /// Nothing is added any more; the task ends soon.
    pub(super) fn stop(&self) {
        let _waiting = self.waiting.lock();
        self.stopped.cancel();
    }

    /// Sends until it is stopped, and then what is left for as long as that may take.
    pub(super) async fn run(self: Arc<Self>) {
        let overdue = async {
            self.stopped.cancelled().await;
            tokio::time::sleep(self.options.drain_deadline).await;
        };
        tokio::pin!(overdue);
        loop {
            let stopped = self.stopped.is_cancelled();
            if stopped && !self.options.drain_on_shutdown {
                break;
            }
            let batch = self.next_batch();
            if batch.is_empty() {
                if stopped {
                    break;
                }
                tokio::select! {
                    () = self.stopped.cancelled() => {}
                    () = self.work.notified() => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                sent = AssertUnwindSafe(self.send(&batch)).catch_unwind() => {
                    if sent.is_err() {
                        self.count_failed(batch.len(), "the sending of alerts panicked");
                    }
                }
                () = &mut overdue => {
                    self.count_failed(batch.len(), "the server does not wait for it any longer");
                    break;
                }
            }
        }
        self.drop_rest();
    }

    fn next_batch(&self) -> Vec<Arc<Alert>> {
        let mut waiting = self.waiting.lock();
        let size = waiting.len().min(self.options.batch_size);
        let batch: Vec<Arc<Alert>> = waiting.drain(..size).collect();
        self.stats.queued.fetch_sub(batch.len() as u64, Ordering::Relaxed);
        batch
    }

    async fn send(&self, batch: &[Arc<Alert>]) {
        let sender = self.sender.lock().clone();
        let began = Instant::now();
        match sender.post(&self.endpoint, encode(batch)).await {
            Ok(()) => {
                self.stats.observe(began.elapsed());
                count(&self.stats.sent, batch.len());
            }
            Err(why) => self.count_failed(batch.len(), &why),
        }
    }

    fn count_failed(&self, alerts: usize, error: &str) {
        count(&self.stats.errors, alerts);
        count(&self.stats.dropped, alerts);
        let alertmanager = &self.endpoint.shown;
        self.failed.tell(|left_out| {
            tracing::error!(alertmanager, alerts, left_out, error, "alerts could not be sent");
        });
    }

    fn drop_rest(&self) {
        let left = std::mem::take(&mut *self.waiting.lock()).len();
        self.stats.queued.fetch_sub(left as u64, Ordering::Relaxed);
        if left > 0 {
            count(&self.stats.dropped, left);
            let alertmanager = &self.endpoint.shown;
            tracing::warn!(alertmanager, alerts = left, "alerts that were not sent yet are dropped");
        }
    }
}

fn count(counter: &AtomicU64, alerts: usize) {
    counter.fetch_add(alerts as u64, Ordering::Relaxed);
}

//! Whether the write-ahead log takes rows, for everybody who asks: appends that would queue, scrapes that would wait,
//! health pages, metrics. Its changes are logged, and while it fails a summary each minute, whoever is waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// While puts fail, a line is logged this often.
const SUMMARY_MS: i64 = 60_000;
/// A put that takes longer than this is not just on its way.
const GAP_MS: i64 = 2_000;
/// One that took longer than this is remembered when it is over, and so many of these are.
const REMEMBERED_MS: i64 = 5_000;
const MAX_GAPS: usize = 64;
/// Shorter failures are not worth an alarm: `/-/ready?for=write` goes on saying yes.
const ALARM_MS: i64 = 30_000;

/// The log as writers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Log {
    #[default]
    Works,
    /// Puts have failed since; they are repeated.
    Fails { since_ms: i64, why: Arc<str> },
    /// Another process has the node, or the writer is gone: only a restart helps.
    Ended { why: Arc<str> },
}

impl Log {
    pub fn works(&self) -> bool {
        matches!(self, Log::Works)
    }

    /// Why rows cannot be taken; `None` where they can.
    pub fn error(&self) -> Option<Error> {
        match self {
            Log::Works => None,
            Log::Fails { why, .. } => {
                let message = format!("the write-ahead log takes no samples at the moment: {why}");
                Some(Error::new(ErrorKind::Unavailable, message))
            }
            Log::Ended { why } => {
                let message = format!("the store takes no samples until it is restarted: {why}");
                Some(Error::new(ErrorKind::Poisoned, message))
            }
        }
    }

    /// What a supervisor should hear: why the store takes no samples, and has not for half a minute.
    pub fn alarm(&self, now_ms: i64) -> Option<Error> {
        match self {
            Log::Fails { since_ms, .. } if now_ms - since_ms < ALARM_MS => None,
            log => log.error(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Durability {
    state: watch::Sender<Log>,
    failures: AtomicU64,
    last_success_ms: AtomicI64,
    /// Of the oldest rows in the put that is under way, [`i64::MAX`] for none.
    in_flight_since_ms: AtomicI64,
    /// When that put began, [`i64::MAX`] for none.
    put_since_ms: AtomicI64,
    summary: Mutex<Summary>,
    /// The last puts that took long, oldest first.
    gaps: Mutex<VecDeque<Gap>>,
}

/// A time in which the log took no rows, so that what was there to be scraped or received was not, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub since_ms: i64,
    pub until_ms: i64,
}

#[derive(Debug, Default)]
struct Summary {
    told_ms: i64,
    failures: u64,
}

impl Durability {
    pub fn new(now_ms: i64) -> Self {
        Self {
            state: watch::Sender::new(Log::Works),
            failures: AtomicU64::new(0),
            last_success_ms: AtomicI64::new(now_ms),
            in_flight_since_ms: AtomicI64::new(i64::MAX),
            put_since_ms: AtomicI64::new(i64::MAX),
            summary: Mutex::default(),
            gaps: Mutex::default(),
        }
    }

    /// Times in which a put took long, the one up to now among them if one does. An outage is one put, which is repeated
    /// until it succeeds; a log that is slow all the time has many short ones.
    pub fn gaps(&self, now_ms: i64) -> Vec<Gap> {
        let open = gap(self.put_since_ms.load(Ordering::Relaxed), now_ms);
        self.gaps.lock().iter().copied().chain(open).collect()
    }

    pub fn watch(&self) -> watch::Receiver<Log> {
        self.state.subscribe()
    }

    pub fn now(&self) -> Log {
        self.state.borrow().clone()
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn last_success_ms(&self) -> i64 {
        self.last_success_ms.load(Ordering::Relaxed)
    }

    /// When the oldest rows of the put under way were accepted; `None` where there is none.
    pub fn in_flight_since_ms(&self) -> Option<i64> {
        Some(self.in_flight_since_ms.load(Ordering::Relaxed)).filter(|since_ms| *since_ms != i64::MAX)
    }

    /// `oldest_ms` is when the oldest of its rows were accepted.
    pub fn put_begins(&self, oldest_ms: i64, now_ms: i64) {
        self.in_flight_since_ms.store(oldest_ms, Ordering::Relaxed);
        self.put_since_ms.store(now_ms, Ordering::Relaxed);
    }

    pub fn put_succeeded(&self, now_ms: i64) {
        self.in_flight_since_ms.store(i64::MAX, Ordering::Relaxed);
        let gap = gap(self.put_since_ms.swap(i64::MAX, Ordering::Relaxed), now_ms);
        if let Some(gap) = gap.filter(|gap| gap.until_ms - gap.since_ms >= REMEMBERED_MS) {
            let mut gaps = self.gaps.lock();
            if gaps.len() == MAX_GAPS {
                gaps.pop_front();
            }
            gaps.push_back(gap);
        }
        self.last_success_ms.store(now_ms, Ordering::Relaxed);
    }

    /// `waiting` is the bytes of rows that wait for the log.
    pub fn put_failed(&self, error: &Error, now_ms: i64, waiting: usize) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let mut summary = self.summary.lock();
        if let Log::Works = self.now() {
            tracing::error!("the write-ahead log takes no samples, trying again until it does: {error}");
            *summary = Summary { told_ms: now_ms, failures: failures - 1 };
            self.state.send_replace(Log::Fails { since_ms: now_ms, why: error.to_string().into() });
        } else if now_ms - summary.told_ms >= SUMMARY_MS {
            let attempts = failures - summary.failures;
            tracing::error!(
                attempts,
                waiting_bytes = waiting,
                "the write-ahead log still takes no samples: {error}"
            );
            *summary = Summary { told_ms: now_ms, failures };
        }
    }

    /// All that waited when puts began to fail is durable.
    pub fn recovered(&self, now_ms: i64) {
        self.state.send_if_modified(|state| match state {
            Log::Fails { since_ms, .. } => {
                let seconds = (now_ms - *since_ms) / 1000;
                tracing::info!("the write-ahead log takes samples again, after {seconds} s");
                *state = Log::Works;
                true
            }
            Log::Works | Log::Ended { .. } => false,
        });
    }

    /// For good.
    pub fn ended(&self, why: &str) {
        self.state.send_if_modified(|state| match state {
            Log::Ended { .. } => false,
            Log::Works | Log::Fails { .. } => {
                tracing::error!("{why}; the store takes no samples until it is restarted");
                *state = Log::Ended { why: why.into() };
                true
            }
        });
    }
}

/// Of a put that began and ended, or goes on, at these times; [`i64::MAX`] for none.
fn gap(since_ms: i64, until_ms: i64) -> Option<Gap> {
    (until_ms.saturating_sub(since_ms) >= GAP_MS).then_some(Gap { since_ms, until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_pass_and_the_end_stays() {
        let durability = Durability::new(0);
        let error = Error::new(ErrorKind::Unavailable, "no bucket");
        assert_eq!(durability.now().error().map(|e| e.kind), None);
        durability.put_failed(&error, 1_000, 5);
        durability.put_failed(&error, 2_000, 5);
        let failing = durability.now();
        assert_eq!(failing.error().map(|e| e.kind), Some(ErrorKind::Unavailable));
        assert!(failing.alarm(30_999).is_none());
        assert!(failing.alarm(31_000).is_some_and(|e| e.message.contains("no bucket")));
        durability.put_succeeded(40_000);
        assert!(!durability.now().works(), "what waited is not durable yet");
        durability.recovered(40_000);
        assert_eq!(
            (durability.now(), durability.failures(), durability.last_success_ms()),
            (Log::Works, 2, 40_000)
        );
        durability.ended("fenced");
        durability.recovered(50_000);
        durability.put_failed(&error, 50_000, 5);
        assert_eq!(durability.now().alarm(50_000).map(|e| e.kind), Some(ErrorKind::Poisoned));
    }

    #[test]
    fn gaps_are_remembered() {
        let durability = Durability::new(0);
        let error = Error::new(ErrorKind::Unavailable, "no bucket");
        let gap = |since_ms, until_ms| Gap { since_ms, until_ms };
        durability.put_begins(1_000, 1_000);
        durability.put_succeeded(1_200);
        assert_eq!(durability.gaps(60_000), [], "nothing was there to be taken");
        durability.put_begins(60_000, 60_000);
        assert_eq!(durability.gaps(61_999), []);
        // Whether it fails or hangs.
        assert_eq!(durability.gaps(62_000), [gap(60_000, 62_000)]);
        durability.put_failed(&error, 70_000, 5);
        durability.put_succeeded(100_000);
        // Slow ones come and go.
        for at in 100..200 {
            durability.put_begins(at * 3_000, at * 3_000);
            durability.put_succeeded(at * 3_000 + 2_900);
        }
        assert_eq!(durability.gaps(600_000), [gap(60_000, 100_000)]);
        durability.put_begins(700_000, 700_000);
        durability.put_succeeded(710_000);
        assert_eq!(durability.gaps(720_000), [gap(60_000, 100_000), gap(700_000, 710_000)]);
        for at in 100..200 {
            durability.put_begins(at * 10_000, at * 10_000);
            durability.put_succeeded(at * 10_000 + 9_000);
        }
        assert_eq!(durability.gaps(9_000_000).len(), MAX_GAPS);
    }
}

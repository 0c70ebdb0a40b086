//! The two ways to find targets: to ask every so often, and to watch; and what either may use.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::discovery::group::Group;
use crate::discovery::manager::Updates;
use crate::discovery::stats::Stats;
use crate::error::Result;
use crate::storage::store::Clock;

/// How long a source that never answered is left alone at first, then twice as long each time, up to its interval.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// What kinds may use besides their settings.
#[derive(Clone)]
pub struct Context {
    pub clock: Clock,
    pub stats: Arc<Stats>,
    /// The environment, an argument for tests.
    pub env: fn(&str) -> Option<String>,
}

/// One of a kind, ready to run.
pub enum Way {
    Polled { interval: Duration, source: Box<dyn Polled> },
    Watched(Box<dyn Watched>),
}

/// A source that is asked.
#[async_trait]
pub trait Polled: Send {
    /// All groups there are. On an error those of the last time stay.
    async fn refresh(&mut self) -> Result<Vec<Group>>;
}

/// A source that tells by itself, or in parts.
#[async_trait]
pub trait Watched: Send {
    /// Sends groups as they change, until it is dropped. It mends its connections itself.
    async fn run(&mut self, updates: &Updates);
}

impl Way {
    /// Runs until it is dropped.
    pub(super) async fn run(self, updates: &Updates) {
        match self {
            Way::Watched(mut source) => source.run(updates).await,
            Way::Polled { interval, source } => poll(interval, source, updates).await,
        }
    }
}

async fn poll(interval: Duration, mut source: Box<dyn Polled>, updates: &Updates) {
    let mut pause = FIRST_RETRY;
    while !refresh(&mut *source, updates).await {
        // Later failures keep what is known, so that there is time.
        if pause >= interval {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let mut ticker = interval_at(Instant::now() + interval, interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticker.tick().await;
        refresh(&mut *source, updates).await;
    }
}

/// Whether the source answered.
async fn refresh(source: &mut dyn Polled, updates: &Updates) -> bool {
    match source.refresh().await {
        Ok(groups) => {
            updates.replace(groups);
            true
        }
        Err(error) => {
            updates.failures.fetch_add(1, Ordering::Relaxed);
            let (kind, jobs) = (updates.kind(), updates.jobs());
            tracing::error!(discovery = kind, config = %jobs, %error, "unable to refresh target groups");
            false
        }
    }
}

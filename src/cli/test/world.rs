//! A store, an engine and an environment of rules in memory, at a time that a test sets. Nothing of it is written anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::config::rule_tests::RuleTest;
use crate::engine::session::{Engine, EngineOptions, Features};
use crate::error::Result;
use crate::ingest::appender::Appender;
use crate::ingest::stats::IngestStats;
use crate::model::labels::Labels;
use crate::rules::environment::{Environment, Options};
use crate::rules::history::History;
use crate::storage::store::{self, Clock, Store};
use crate::template::subject::Server;

/// promtool's limits of a query.
const MAX_SAMPLES: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(100);
/// Of queries, and of all samples of a test.
const MEMORY_BYTES: usize = 1 << 30;

pub struct World {
    pub store: Arc<Store>,
    pub environment: Environment,
    now_ms: Arc<AtomicI64>,
}

impl World {
    /// One in which `interval_ms` is between evaluations.
    pub async fn open(test: &RuleTest, interval_ms: i64, features: &Features) -> Result<Self> {
        let now_ms = Arc::new(AtomicI64::new(0));
        let now = now_ms.clone();
        let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
        let options = store::Options {
            url: "memory://".to_string(),
            node: "test".to_string(),
            wal_flush_interval: Some(Duration::ZERO),
            flush_interval: Duration::ZERO,
            flush_bytes: MEMORY_BYTES,
            cache_bytes: 0,
            recent_bytes: 0,
            ..store::Options::default()
        };
        let store = Store::open(options, clock.clone()).await?;
        let options = EngineOptions {
            default_subquery_step_ms: Arc::new(AtomicI64::new(interval_ms)),
            timeout: TIMEOUT,
            max_samples: MAX_SAMPLES,
            memory_bytes: MEMORY_BYTES,
            threads: 1,
            features: features.clone(),
            ..EngineOptions::default()
        };
        let engine = Engine::new(store.clone(), options)?;
        let appender = Arc::new(Appender::new(store.clone(), Arc::new(IngestStats::default())).of_any_time());
        let environment =
            Environment::new(engine, appender, Arc::new(|_| {}), History::forgetful(), clock, Options::default());
        let server = Server {
            external_labels: Labels::from_pairs(&test.external_labels),
            external_url: test.external_url.clone(),
            path_prefix: String::new(),
        };
        environment.set(server, 0, 0);
        Ok(Self { store, environment, now_ms })
    }

    pub fn set_time(&self, at: i64) {
        self.now_ms.store(at, Ordering::Relaxed);
    }
}

//! Pools of targets, and what a reload changes about them: a target that stays is not disturbed, one that goes
//! ends its series, one that comes back in time goes on with them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::file::Config;
use crate::config::scrape::{ScrapeConfig, StaticConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::appender::Appender;
use crate::ingest::scrape::cache::TargetCache;
use crate::ingest::scrape::metadata::FamilyMetadata;
use crate::ingest::scrape::request::Requester;
use crate::ingest::scrape::target::{Resolved, Target, TargetStatus, offset_seed};
use crate::ingest::scrape::waiting::Room;
use crate::ingest::scrape::worker::{Signals, Worker};
use crate::model::labels::Labels;
use crate::storage::store::Clock;

/// Identity of a target within its pool.
type Key = (Labels, String);

pub struct ScrapeManager {
    appender: Arc<Appender>,
    clock: Clock,
    hostname: String,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    state: SyncMutex<State>,
    /// For scrapes that wait for the store.
    room: Arc<Room>,
}

#[derive(Default)]
struct State {
    offset_seed: u64,
    pools: BTreeMap<String, Pool>,
    /// Workers of removed targets that have not ended their series yet, by target labels.
    retiring: HashMap<Labels, Running>,
}

struct Pool {
    /// Without its targets; they come and go without touching the others.
    config: Arc<ScrapeConfig>,
    static_configs: Vec<StaticConfig>,
    requester: Requester,
    targets: HashMap<Key, Running>,
    dropped: Dropped,
}

/// Targets that relabelling drops.
#[derive(Default)]
struct Dropped {
    count: u64,
    /// As many as are to be shown.
    labels: Vec<Labels>,
}

/// A dropped target as `/api/v1/targets` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedTarget {
    pub discovered_labels: Labels,
    pub scrape_pool: String,
}

struct Running {
    target: Arc<Target>,
    signals: Signals,
    cache: Arc<Mutex<TargetCache>>,
}

impl ScrapeManager {
    /// `hostname` goes into the phase at which targets are scraped; `waiting_bytes` is what scrapes may take that wait
    /// for the store. Nothing is scraped before `apply_config`.
    pub fn new(appender: Arc<Appender>, clock: Clock, hostname: impl Into<String>, waiting_bytes: usize) -> Self {
        let room = Arc::new(Room::new(waiting_bytes, appender.stats().clone()));
        Self {
            room,
            appender,
            clock,
            hostname: hostname.into(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            state: SyncMutex::default(),
        }
    }

    /// Starts, keeps and stops targets so that they are those of `config`. Must run within a tokio runtime. On an
    /// error nothing has changed.
    pub fn apply_config(&self, config: &Config) -> Result<()> {
        if self.shutdown.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "scraping has stopped"));
        }
        let requesters: Vec<Requester> = config.scrape_configs.iter().map(Requester::new).collect::<Result<_>>()?;
        let state = &mut *self.state.lock();
        state.retiring.retain(|_, running| Arc::strong_count(&running.cache) > 1);
        let seed = offset_seed(&self.hostname, &config.global.external_labels);
        // Holds for the targets started from now on; the others keep their phase.
        state.offset_seed = seed;
        let mut old_pools = std::mem::take(&mut state.pools);
        for (scrape, requester) in config.scrape_configs.iter().zip(requesters) {
            let old = old_pools.remove(&scrape.job_name);
            let pool = self.renew_pool(state, old, scrape, requester);
            state.pools.insert(scrape.job_name.clone(), pool);
        }
        for (_, pool) in old_pools {
            pool.targets.into_values().for_each(|running| state.retire(running));
        }
        Ok(())
    }

    fn renew_pool(
        &self,
        state: &mut State,
        old: Option<Pool>,
        scrape: &ScrapeConfig,
        requester: Requester,
    ) -> Pool {
        let config = Arc::new(scrape.without_targets());
        let static_configs = scrape.static_configs.clone();
        let mut old_targets = HashMap::new();
        let dropped = Dropped::default();
        let mut pool = Pool { config, static_configs, requester, targets: HashMap::new(), dropped };
        match old {
            Some(old) if *old.config == *pool.config => {
                (pool.config, pool.requester) = (old.config, old.requester);
                old_targets = old.targets;
            }
            Some(old) => {
                let reusable = same_series(&old.config, &pool.config);
                old.targets.into_values().for_each(|running| state.retire_for_successor(running, reusable));
            }
            None => {}
        }
        let (targets, dropped) = targets_of(scrape);
        pool.dropped = dropped;
        for target in targets {
            let key = target.key();
            if pool.targets.contains_key(&key) {
                continue;
            }
            let running = match old_targets.remove(&key) {
                Some(running) => running,
                None => self.start(state, &pool, target),
            };
            pool.targets.insert(key, running);
        }
        old_targets.into_values().for_each(|running| state.retire(running));
        pool.enforce_target_limit();
        pool
    }

    fn start(&self, state: &mut State, pool: &Pool, target: Target) -> Running {
        let cache = match state.retiring.remove(&target.labels) {
            Some(predecessor) => {
                predecessor.signals.superseded.cancel();
                predecessor.cache
            }
            None => Arc::default(),
        };
        let target = Arc::new(target);
        let signals = Signals {
            removed: CancellationToken::new(),
            superseded: CancellationToken::new(),
            shutdown: self.shutdown.clone(),
        };
        let worker = Worker {
            target: target.clone(),
            config: pool.config.clone(),
            requester: pool.requester.clone(),
            appender: self.appender.clone(),
            clock: self.clock.clone(),
            offset_seed: state.offset_seed,
            signals: signals.clone(),
            cache: cache.clone(),
            room: self.room.clone(),
        };
        self.tasks.spawn(worker.run());
        Running { target, signals, cache }
    }

    /// Names of the pools, sorted.
    pub fn pools(&self) -> Vec<String> {
        self.state.lock().pools.keys().cloned().collect()
    }

    /// The configuration of a pool as YAML; `None` for a pool that does not exist.
    pub fn pool_config(&self, pool: &str) -> Option<String> {
        let state = self.state.lock();
        let pool = state.pools.get(pool)?;
        let mut config = (*pool.config).clone();
        config.static_configs = pool.static_configs.clone();
        let value = config.to_yaml();
        Some(serde_yaml::to_string(&value).expect("a tree of strings and numbers has a YAML form"))
    }

    /// Bytes of the scrapes that wait for the store.
    pub fn waiting_bytes(&self) -> usize {
        self.room.held_bytes()
    }

    /// Every active target by pool and labels.
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.active().iter().map(|target| target.status()).collect()
    }

    /// Dropped targets by pool: how many there are, and those that are kept to be shown.
    pub fn dropped(&self) -> (BTreeMap<String, u64>, Vec<DroppedTarget>) {
        let state = self.state.lock();
        let counts = state.pools.iter().map(|(name, pool)| (name.clone(), pool.dropped.count)).collect();
        let shown = state.pools.iter().flat_map(|(name, pool)| {
            let labels = pool.dropped.labels.iter().cloned();
            labels.map(|discovered_labels| DroppedTarget { discovered_labels, scrape_pool: name.clone() })
        });
        (counts, shown.collect())
    }

    /// Active targets with the metadata each of them told.
    pub fn metadata(&self) -> Vec<(Labels, Vec<FamilyMetadata>)> {
        self.active().iter().map(|target| (target.labels.clone(), target.metadata())).collect()
    }

    fn active(&self) -> Vec<Arc<Target>> {
        let state = self.state.lock();
        let mut targets = Vec::new();
        for pool in state.pools.values() {
            let first = targets.len();
            targets.extend(pool.targets.values().map(|running| running.target.clone()));
            targets[first..].sort_by(|a, b| (&a.labels, &a.scrape_url).cmp(&(&b.labels, &b.scrape_url)));
        }
        targets
    }

    /// Stops all scrapes and waits until the appends in progress are done. No series is ended.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl fmt::Debug for ScrapeManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapeManager").field("pools", &self.pools()).finish_non_exhaustive()
    }
}

impl State {
    fn retire(&mut self, running: Running) {
        running.signals.removed.cancel();
        self.retiring.insert(running.target.labels.clone(), running);
    }

    /// A changed pool starts its targets anew; the workers they replace must not end their series.
    fn retire_for_successor(&mut self, running: Running, reusable: bool) {
        running.signals.removed.cancel();
        if reusable {
            self.retiring.insert(running.target.labels.clone(), running);
        } else {
            running.signals.superseded.cancel();
        }
    }
}

impl Pool {
    /// Too many targets fail all of them, as nobody can say which ones are too many.
    fn enforce_target_limit(&self) {
        let (count, limit) = (self.targets.len() as u64, self.config.limits.target_limit);
        let error = (limit != 0 && count > limit)
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        for running in self.targets.values() {
            running.target.set_forced_error(error.clone());
        }
    }
}

/// Whether the lines of a target stand for the same series under both configurations, and pass the same checks.
fn same_series(old: &ScrapeConfig, new: &ScrapeConfig) -> bool {
    let checks = |c: &ScrapeConfig| {
        let limits = c.limits;
        let lengths = (limits.label_limit, limits.label_name_length_limit, limits.label_value_length_limit);
        (c.honor_labels, c.name_validation, lengths, c.metric_relabel_configs.clone())
    };
    checks(old) == checks(new)
}

/// The targets of a job. One that makes no sense is left out and logged, as a discovered one would be.
fn targets_of(config: &ScrapeConfig) -> (Vec<Target>, Dropped) {
    let (mut targets, mut dropped) = (Vec::new(), Dropped::default());
    let keep = match config.limits.keep_dropped_targets {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    for StaticConfig { targets: addresses, labels } in &config.static_configs {
        for address in addresses {
            match Target::resolve(config, address, labels) {
                Ok(Resolved::Active(target)) => targets.push(*target),
                Ok(Resolved::Dropped(labels)) => {
                    dropped.count += 1;
                    if dropped.labels.len() < keep {
                        dropped.labels.push(labels);
                    }
                }
                Err(error) => tracing::error!(scrape_pool = config.job_name, address, %error, "target left out"),
            }
        }
    }
    (targets, dropped)
}

//! Pools of targets, and what a reload changes about them: a target that stays is not disturbed, one that goes
//! ends its series, one that comes back in time goes on with them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::file::Config;
use crate::config::protocol::ScrapeProtocol;
use crate::config::scrape::ScrapeConfig;
use crate::config::yaml;
use crate::discovery::group::Group;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::appender::Appender;
use crate::ingest::scrape::buffers::Buffers;
use crate::ingest::scrape::cache::TargetCache;
use crate::ingest::scrape::failure_log::{self, FailureLog};
use crate::ingest::scrape::features::Features;
use crate::ingest::scrape::groups::Groups;
use crate::ingest::scrape::metadata::{FamilyMetadata, SharedMetadata};
use crate::ingest::scrape::request::Requester;
use crate::ingest::scrape::stats::{PoolStats, PoolStatus, ScrapeStats};
use crate::ingest::scrape::target::{Target, TargetKey, TargetStatus, offset_seed};
use crate::ingest::scrape::waiting::Room;
use crate::ingest::scrape::worker::{Common, Signals, TIMESTAMP_TOLERANCE_MS, Worker};
use crate::model::labels::Labels;
use crate::model::relabel::Rule;
use crate::storage::store::Clock;

/// Buffers for bodies that nobody uses; each scrape under way has one more.
const IDLE_BUFFERS_BYTES: usize = 32 << 20;

pub struct ScrapeManager {
    appender: Arc<Appender>,
    clock: Clock,
    hostname: String,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    state: SyncMutex<State>,
    common: Arc<Common>,
    stats: ScrapeStats,
}

#[derive(Default)]
struct State {
    offset_seed: u64,
    pools: BTreeMap<String, Pool>,
    /// Workers of removed targets that have not ended their series yet, by target labels.
    retiring: HashMap<Labels, Running>,
    failure_logs: HashMap<PathBuf, Arc<FailureLog>>,
}

struct Pool {
    /// Without its targets; they come and go without touching the others.
    config: Arc<ScrapeConfig>,
    /// All of it, to be shown.
    whole: Arc<ScrapeConfig>,
    requester: Requester,
    failure_log: Option<Arc<FailureLog>>,
    /// Of the configuration.
    static_groups: Vec<Arc<Group>>,
    /// As discovery told them last.
    found_groups: Vec<Arc<Group>>,
    groups: Groups,
    targets: HashMap<TargetKey, Running>,
    stats: Arc<PoolStats>,
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
        let common = Common {
            features: Features::default(),
            buffers: Buffers::new(IDLE_BUFFERS_BYTES),
            metadata: SharedMetadata::default(),
            room: Arc::new(Room::new(waiting_bytes, appender.stats().clone())),
            timestamp_tolerance_ms: TIMESTAMP_TOLERANCE_MS,
        };
        Self {
            common: Arc::new(common),
            appender,
            clock,
            hostname: hostname.into(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            state: SyncMutex::default(),
            stats: ScrapeStats::default(),
        }
    }

    /// Before anything is scraped.
    pub fn with_features(mut self, features: Features) -> Self {
        self.common().features = features;
        self
    }

    /// How far a scrape may be off its due time and still be stamped with it; 0 for not at all. Before anything is
    /// scraped.
    pub fn with_timestamp_tolerance_ms(mut self, timestamp_tolerance_ms: i64) -> Self {
        self.common().timestamp_tolerance_ms = timestamp_tolerance_ms;
        self
    }

    fn common(&mut self) -> &mut Common {
        Arc::get_mut(&mut self.common).expect("nobody else has it before targets run")
    }

    pub fn stats(&self) -> &ScrapeStats {
        &self.stats
    }

    /// Starts, keeps and stops targets so that they are those of `config`. Must run within a tokio runtime. On an
    /// error nothing has changed.
    pub fn apply_config(&self, config: &Config) -> Result<()> {
        if self.shutdown.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "scraping has stopped"));
        }
        let jobs: Vec<ScrapeConfig> = config.scrape_configs.iter().map(|job| self.effective(job)).collect();
        let requesters: Vec<Requester> = jobs.iter().map(|job| self.requester(job)).collect::<Result<_>>()?;
        let state = &mut *self.state.lock();
        state.failure_logs = failure_log::open_all(&jobs, &state.failure_logs)?;
        state.forget_retired();
        let seed = offset_seed(&self.hostname, &config.global.external_labels);
        // Holds for the targets started from now on; the others keep their phase.
        state.offset_seed = seed;
        let mut old_pools = std::mem::take(&mut state.pools);
        for (scrape, requester) in jobs.iter().zip(requesters) {
            let old = old_pools.remove(&scrape.job_name);
            let log = state.failure_logs.get(Path::new(&scrape.scrape_failure_log_file)).cloned();
            let pool = self.renew_pool(state, old, scrape, requester, log);
            state.pools.insert(scrape.job_name.clone(), pool);
        }
        for (_, pool) in old_pools {
            pool.targets.into_values().for_each(|running| state.retire(running));
        }
        Ok(())
    }

    /// A job with what follows from feature flags: start timestamps are best told in protobuf.
    fn effective(&self, job: &ScrapeConfig) -> ScrapeConfig {
        let mut job = job.clone();
        if self.common.features.needs_start_timestamps() && job.has_default_protocols {
            job.scrape_protocols = ScrapeProtocol::PROTOBUF_FIRST.to_vec();
        }
        job
    }

    fn requester(&self, scrape: &ScrapeConfig) -> Result<Requester> {
        Requester::new(scrape, self.clock.clone()).inspect_err(|_| {
            let known = self.state.lock().pools.contains_key(&scrape.job_name);
            count(if known { &self.stats.reloads_failed } else { &self.stats.pools_failed });
        })
    }

    fn renew_pool(
        &self,
        state: &mut State,
        old: Option<Pool>,
        scrape: &ScrapeConfig,
        requester: Requester,
        failure_log: Option<Arc<FailureLog>>,
    ) -> Pool {
        let started = Instant::now();
        let mut pool = Pool::new(scrape, requester, failure_log);
        let mut reloaded = false;
        match old {
            Some(old) if *old.config == *pool.config => {
                pool.take_over(&old);
                (pool.config, pool.requester) = (old.config, old.requester);
                (pool.groups, pool.targets) = (old.groups, old.targets);
            }
            Some(old) => {
                pool.take_over(&old);
                reloaded = true;
                let reusable = same_series(&old.config, &pool.config);
                old.targets.into_values().for_each(|running| state.retire_for_successor(running, reusable));
            }
            None => count(&self.stats.pools),
        }
        self.sync(state, &mut pool);
        if reloaded {
            self.stats.reloaded(pool.config.scrape_interval_ms, started.elapsed());
        }
        pool
    }

    /// The groups that discovery found for a job are these. A job that is unknown, or no more, has none.
    pub fn update_targets(&self, job: &str, groups: Vec<Arc<Group>>) {
        if self.shutdown.is_cancelled() {
            return;
        }
        let state = &mut *self.state.lock();
        state.forget_retired();
        // A pool is not known while its targets change, so that both can be changed.
        let Some(mut pool) = state.pools.remove(job) else { return };
        pool.found_groups = groups;
        self.sync(state, &mut pool);
        state.pools.insert(job.to_string(), pool);
    }

    /// Starts and stops what the groups of a pool ask for.
    fn sync(&self, state: &mut State, pool: &mut Pool) {
        let started = Instant::now();
        let all = pool.static_groups.iter().chain(&pool.found_groups).cloned();
        let wanted = pool.groups.replace(&pool.config, all);
        let gone: Vec<TargetKey> =
            pool.targets.keys().filter(|key| !wanted.all.contains_key(*key)).cloned().collect();
        for running in gone.iter().filter_map(|key| pool.targets.remove(key)) {
            state.retire(running);
        }
        for target in wanted.new {
            let key = target.key();
            if !pool.targets.contains_key(&key) {
                let running = self.start(state, pool, target);
                pool.targets.insert(key, running);
            }
        }
        for (key, labels) in wanted.all {
            if let Some(running) = pool.targets.get(&key) {
                running.target.set_discovered_labels(labels);
            }
        }
        if pool.enforce_target_limit() {
            count(&self.stats.exceeded_target_limit);
        }
        pool.stats.synced(started.elapsed(), wanted.failed);
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
            failure_log: pool.failure_log.clone(),
            interval_seconds: self.stats.interval(target.interval_ms),
            common: self.common.clone(),
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
        let value = self.state.lock().pools.get(pool)?.whole.to_yaml();
        Some(yaml::print::print(&value))
    }

    /// The rules that a pool's targets pass; `None` for a pool that does not exist.
    pub fn relabel_rules(&self, pool: &str) -> Option<Vec<Rule>> {
        self.state.lock().pools.get(pool).map(|pool| pool.config.relabel_configs.clone())
    }

    /// Bytes of the scrapes that wait for the store.
    pub fn waiting_bytes(&self) -> usize {
        self.common.room.held_bytes()
    }

    /// Every active target by pool and labels.
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.active().iter().map(|target| target.status()).collect()
    }

    /// Dropped targets by pool: how many there are, and those that are kept to be shown.
    pub fn dropped(&self) -> (BTreeMap<String, u64>, Vec<DroppedTarget>) {
        let state = self.state.lock();
        let (mut counts, mut shown) = (BTreeMap::new(), vec![]);
        for (name, pool) in &state.pools {
            let dropped = pool.groups.dropped(pool.config.limits.keep_dropped_targets);
            counts.insert(name.clone(), dropped.count);
            let labels = dropped.labels.into_iter();
            shown.extend(
                labels.map(|discovered_labels| DroppedTarget { discovered_labels, scrape_pool: name.clone() }),
            );
        }
        (counts, shown)
    }

    /// Every pool by name, for telemetry.
    pub fn pool_statuses(&self) -> Vec<PoolStatus> {
        self.state.lock().pools.iter().map(|(name, pool)| pool.status(name)).collect()
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
    /// Those that have ended their series hold their cache no more.
    fn forget_retired(&mut self) {
        self.retiring.retain(|_, running| Arc::strong_count(&running.cache) > 1);
    }

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
    fn status(&self, name: &str) -> PoolStatus {
        let metadata = self.targets.values().map(|running| running.target.metadata_size());
        let (metadata_entries, metadata_bytes) =
            metadata.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        PoolStatus {
            name: name.to_string(),
            targets: self.targets.len(),
            discovered: self.targets.len() as u64 + self.groups.dropped_count(),
            target_limit: self.config.limits.target_limit,
            syncs: self.stats.syncs.load(Ordering::Relaxed),
            failed_targets: self.stats.failed_targets.load(Ordering::Relaxed),
            sync_seconds: self.stats.sync_seconds.read(),
            metadata_entries,
            metadata_bytes,
        }
    }

    /// Without targets.
    fn new(scrape: &ScrapeConfig, requester: Requester, failure_log: Option<Arc<FailureLog>>) -> Self {
        let groups = scrape.static_configs.iter().enumerate();
        Self {
            config: Arc::new(scrape.without_targets()),
            whole: Arc::new(scrape.clone()),
            requester,
            failure_log,
            static_groups: groups.map(|(at, config)| Arc::new(Group::of_static(at, config))).collect(),
            found_groups: vec![],
            groups: Groups::default(),
            targets: HashMap::new(),
            stats: Arc::default(),
        }
    }

    /// Groups of the configuration that are as they were stay the ones they are; what discovery found holds until it
    /// tells otherwise; counters go on.
    fn take_over(&mut self, old: &Pool) {
        for group in &mut self.static_groups {
            if let Some(same) = old.static_groups.iter().find(|known| *known == group) {
                *group = same.clone();
            }
        }
        self.found_groups.clone_from(&old.found_groups);
        self.stats = old.stats.clone();
    }

    /// Too many targets fail all of them, as nobody can say which ones are too many. `true` where that is so.
    fn enforce_target_limit(&self) -> bool {
        let (count, limit) = (self.targets.len() as u64, self.config.limits.target_limit);
        let error = (limit != 0 && count > limit)
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        for running in self.targets.values() {
            running.target.set_forced_error(error.clone());
        }
        error.is_some()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
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

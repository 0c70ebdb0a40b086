//! One of a kind for all jobs that have the same entry, and what it found last. A reload starts and stops only what
//! changed. Updates are gathered: the first goes out at once, further ones ever slower while they do not cease, at most
//! every five seconds or as a flag says, and only jobs whose groups changed are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::discovery::Discovery;
use crate::discovery::group::Group;
use crate::discovery::kinds;
use crate::discovery::list::MAX_TARGETS;
use crate::discovery::stats::Numbers;
use crate::discovery::way::Context;
use crate::storage::store::Clock;

/// How long updates are gathered at first.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// And at most, where nobody says otherwise (`--scrape.discovery-reload-interval`).
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Before an entry that cannot run is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// All groups of jobs, for those jobs whose groups changed. May take its time: it has a thread of its own.
pub type Consumer = Arc<dyn Fn(Vec<(String, Vec<Arc<Group>>)>) + Send + Sync>;

/// Discovery for a set of jobs.
pub struct Manager {
    context: Context,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    state: Mutex<State>,
    /// There are jobs to tell.
    changed: Notify,
}

#[derive(Default)]
struct State {
    providers: BTreeMap<u64, Provider>,
    last_id: u64,
    /// Jobs to tell.
    dirty: BTreeSet<String>,
    received_updates: u64,
    sent_updates: u64,
    delayed_updates: u64,
    task_failures: u64,
    last_update_ms: BTreeMap<String, i64>,
}

/// A running entry.
struct Provider {
    discovery: Discovery,
    jobs: BTreeSet<String>,
    /// By source; none is empty.
    groups: BTreeMap<String, Arc<Group>>,
    /// It cannot run.
    failed: bool,
    failures: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// The way of what an entry found to its jobs.
pub struct Updates {
    shared: Arc<Shared>,
    id: u64,
    kind: &'static str,
    pub(super) failures: Arc<AtomicU64>,
    /// What a run before this one found is still there.
    stale: AtomicBool,
}

impl Manager {
    /// Nothing is asked before `apply`. `longest_wait` is the time between two updates that do not cease. Must be made
    /// within a tokio runtime.
    pub fn new(context: Context, consumer: Consumer, longest_wait: Duration) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Notify::new() });
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let clock = context.clock.clone();
        let sender = send_on(shared.clone(), consumer, clock, Pace::new(longest_wait));
        let stop = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sender => {}
            }
        });
        Self { context, shared, shutdown, tasks }
    }

    /// Starts, keeps and stops what the jobs need. All of them are told what they have, with or without targets.
    pub fn apply<'a>(&self, jobs: impl IntoIterator<Item = (&'a str, &'a [Discovery])>) {
        if self.shutdown.is_cancelled() {
            return;
        }
        let state = &mut *self.shared.state.lock();
        for provider in state.providers.values_mut() {
            state.dirty.append(&mut provider.jobs);
        }
        for (job, discoveries) in jobs {
            for discovery in discoveries {
                let id = self.provider(state, discovery);
                let provider = state.providers.get_mut(&id).expect("it was found or made");
                provider.jobs.insert(job.to_string());
                state.dirty.insert(job.to_string());
            }
        }
        state.providers.retain(|_, provider| {
            if provider.jobs.is_empty() {
                provider.stop.cancel();
            }
            !provider.jobs.is_empty()
        });
        let State { providers, last_update_ms, .. } = state;
        last_update_ms.retain(|job, _| providers.values().any(|provider| provider.jobs.contains(job)));
        self.shared.changed.notify_one();
    }

    /// The provider of an entry; it is started if there is none.
    fn provider(&self, state: &mut State, discovery: &Discovery) -> u64 {
        let is_same = |provider: &Provider| {
            let known = &provider.discovery;
            known.kind == discovery.kind && known.node == discovery.node
        };
        if let Some((id, _)) = state.providers.iter().find(|(_, provider)| is_same(provider)) {
            return *id;
        }
        state.last_id += 1;
        let (id, stop) = (state.last_id, self.shutdown.child_token());
        let provider = Provider {
            discovery: discovery.clone(),
            jobs: BTreeSet::new(),
            groups: BTreeMap::new(),
            failed: false,
            failures: Arc::default(),
            stop: stop.clone(),
        };
        let updates = Updates {
            shared: self.shared.clone(),
            id,
            kind: discovery.kind.name,
            failures: provider.failures.clone(),
            stale: AtomicBool::new(false),
        };
        state.providers.insert(id, provider);
        let running = run_on(discovery.clone(), self.context.clone(), updates);
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = running => {}
            }
        });
        id
    }

    pub fn numbers(&self) -> Numbers {
        let state = self.shared.state.lock();
        let mut numbers = Numbers {
            received_updates: state.received_updates,
            sent_updates: state.sent_updates,
            delayed_updates: state.delayed_updates,
            task_failures: state.task_failures,
            last_update_ms: state.last_update_ms.clone(),
            ..Numbers::default()
        };
        for provider in state.providers.values() {
            numbers.failed_configs += u64::from(provider.failed);
            for job in &provider.jobs {
                let failures = numbers.refresh_failures.entry((provider.discovery.kind.name, job.clone()));
                *failures.or_default() += provider.failures.load(Ordering::Relaxed);
            }
        }
        numbers
    }

    /// Counters of the kinds.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Stops all of it; nobody is told of anything any more.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.shared.state.lock().providers.len();
        f.debug_struct("Manager").field("providers", &count).finish_non_exhaustive()
    }
}

impl Updates {
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// The jobs that are told, for logs.
    pub(super) fn jobs(&self) -> String {
        let state = self.shared.state.lock();
        let jobs = state.providers.get(&self.id).map(|provider| &provider.jobs);
        jobs.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
    }

    /// These groups are all there are.
    pub fn replace(&self, groups: Vec<Group>) {
        self.update(groups, true);
    }

    /// These groups changed; those without targets are gone.
    pub fn change(&self, groups: Vec<Group>) {
        let stale = self.stale.swap(false, Ordering::Relaxed);
        self.update(groups, stale);
    }

    fn update(&self, groups: Vec<Group>, all: bool) {
        let state = &mut *self.shared.state.lock();
        state.received_updates += 1;
        let Some(provider) = state.providers.get_mut(&self.id) else { return };
        match provider.update(groups, all) {
            Ok(false) => {}
            Ok(true) => {
                state.dirty.extend(provider.jobs.iter().cloned());
                self.shared.changed.notify_one();
            }
            Err(count) => {
                let kind = self.kind;
                tracing::error!(
                    discovery = kind,
                    targets = count,
                    limit = MAX_TARGETS,
                    "too many targets, the last ones stay"
                );
            }
        }
    }

    fn set_failed(&self, failed: bool) {
        if let Some(provider) = self.shared.state.lock().providers.get_mut(&self.id) {
            provider.failed = failed;
        }
    }
}

impl Provider {
    /// Whether anything is other than it was. A group that is equal stays the one it is, so that nobody looks at it again.
    /// Fails with their number if there are too many targets.
    fn update(&mut self, groups: Vec<Group>, all: bool) -> Result<bool, usize> {
        let new: BTreeMap<String, Group> = groups.into_iter().map(|group| (group.source.clone(), group)).collect();
        let kept = |source: &String| !all && !new.contains_key(source);
        let kept_targets =
            self.groups.iter().filter(|(source, _)| kept(source)).map(|(_, group)| group.targets.len());
        let targets: usize =
            kept_targets.sum::<usize>() + new.values().map(|group| group.targets.len()).sum::<usize>();
        if targets > MAX_TARGETS {
            return Err(targets);
        }
        let before = self.groups.len();
        self.groups.retain(|source, _| !all || new.contains_key(source));
        let mut changed = self.groups.len() != before;
        for (source, group) in new {
            match self.groups.get(&source) {
                Some(known) if **known == group => {}
                None if group.targets.is_empty() => {}
                Some(_) if group.targets.is_empty() => {
                    self.groups.remove(&source);
                    changed = true;
                }
                _ => {
                    self.groups.insert(source, Arc::new(group));
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// Runs an entry until it is dropped; what cannot run is tried again, a panic is a defect of ours and no reason to find
/// nothing any more.
async fn run_on(discovery: Discovery, context: Context, updates: Updates) {
    let mut pause = FIRST_RETRY;
    loop {
        match kinds::way(&discovery, &context) {
            Ok(way) => {
                updates.set_failed(false);
                pause = FIRST_RETRY;
                // Its sources never end by themselves.
                let _ = AssertUnwindSafe(way.run(&updates)).catch_unwind().await;
                updates.shared.state.lock().task_failures += 1;
                updates.stale.store(true, Ordering::Relaxed);
                tracing::error!(discovery = updates.kind, config = %updates.jobs(), "discovery ended; it is started again");
            }
            Err(error) => {
                updates.set_failed(true);
                let jobs = updates.jobs();
                tracing::error!(discovery = updates.kind, config = %jobs, %error, "cannot create service discovery");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// How long updates are gathered.
#[derive(Debug)]
struct Pace {
    wait: Duration,
    longest: Duration,
    last_sent: Option<Instant>,
}

impl Pace {
    fn new(longest: Duration) -> Self {
        Self { wait: SHORTEST_WAIT.min(longest), longest, last_sent: None }
    }

    /// Of an update at this time. After a while without any the next goes out at once again.
    fn wait(&mut self, now: Instant) -> Duration {
        if self.last_sent.is_none_or(|sent| now - sent > self.longest) {
            self.wait = SHORTEST_WAIT.min(self.longest);
        }
        self.wait
    }

    fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.wait = (self.wait * 3 / 2).min(self.longest);
    }
}

/// Tells the consumer of what changed.
async fn send_on(shared: Arc<Shared>, consumer: Consumer, clock: Clock, mut pace: Pace) {
    loop {
        shared.changed.notified().await;
        let wait = pace.wait(Instant::now());
        sleep(wait).await;
        let jobs = {
            let state = &mut *shared.state.lock();
            let jobs = state.take_dirty(clock());
            state.sent_updates += u64::from(!jobs.is_empty());
            state.delayed_updates += u64::from(!jobs.is_empty() && wait > SHORTEST_WAIT);
            jobs
        };
        // What was told of in the meantime went out with the last.
        if jobs.is_empty() {
            continue;
        }
        pace.sent(Instant::now());
        let consumer = consumer.clone();
        if tokio::task::spawn_blocking(move || consumer(jobs)).await.is_err() {
            shared.state.lock().task_failures += 1;
            tracing::error!("targets that were found could not be taken over");
        }
    }
}

impl State {
    /// The groups of the jobs to tell.
    fn take_dirty(&mut self, now_ms: i64) -> Vec<(String, Vec<Arc<Group>>)> {
        let jobs = std::mem::take(&mut self.dirty);
        let groups_of = |job: &String| {
            let providers = self.providers.values().filter(|provider| provider.jobs.contains(job));
            providers.flat_map(|provider| provider.groups.values().cloned()).collect()
        };
        let all: Vec<(String, Vec<Arc<Group>>)> =
            jobs.into_iter().map(|job| (job.clone(), groups_of(&job))).collect();
        for (job, _) in &all {
            if self.providers.values().any(|provider| provider.jobs.contains(job)) {
                self.last_update_ms.insert(job.clone(), now_ms);
            }
        }
        all
    }
}

#[cfg(test)]
#[path = "manager/tests.rs"]
mod tests;

//! The remotes in force. A reload leaves those alone whose settings did not change; one that changed hands over to its
//! successor, which goes on where it was; one that is gone sends what it has read, up to `--storage.remote.flush-deadline`.
//!
//! A remote is known by its name, or by its URL where it has none. What is not known begins with what comes in from now
//! on, as in Prometheus.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::file::Config;
use crate::config::remote::write::{Message, RemoteWrite};
use crate::error::{Error, Result};
use crate::forward::item::Counts;
use crate::forward::queue::{self, Stop};
use crate::forward::remote::{Behind, Limits, Remote};
use crate::forward::stats::{self, Fixed, Stats};
use crate::model::labels::Labels;
use crate::storage::store::{Clock, Store};
use crate::telemetry::metrics::Family;

/// More senders than this for one remote are asked for by mistake.
const MAX_SHARDS: usize = 1024;
/// Memory is shared by so many remotes at least, so that one more does not change the others.
const SHARES: usize = 4;
/// After the deadline of a queue, for what it does then.
const END: Duration = Duration::from_secs(2);

/// Settings of the flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a remote that ends may take for what it has read.
    pub flush_deadline: Duration,
    /// Of all queues together.
    pub memory_bytes: usize,
    pub behind: Behind,
}

/// See the module.
pub struct Forwarder {
    store: Arc<Store>,
    clock: Clock,
    options: Options,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: Vec<Running>,
    ending: Vec<Ending>,
}

struct Running {
    settings: RemoteWrite,
    external: Labels,
    stats: Arc<Stats>,
    ending: Ending,
}

/// A task and how to end it.
struct Ending {
    name: String,
    stop: Stop,
    task: JoinHandle<()>,
}

/// A configuration that can be put in force.
pub struct Prepared(Vec<Planned>);

enum Planned {
    Unchanged(String),
    New(String, Box<Remote>),
}

impl Forwarder {
    pub fn new(store: Arc<Store>, clock: Clock, options: Options) -> Self {
        Self { store, clock, options, state: Arc::default() }
    }

    /// Finds what cannot be used, and changes nothing.
    pub fn prepare(&self, config: &Config) -> Result<Prepared> {
        let (remotes, external) = (&config.remote_writes, &config.global.external_labels);
        let names = names(remotes)?;
        let state = self.state.lock();
        let planned = remotes.iter().zip(names).map(|(settings, name)| {
            let runs = |running: &Running| {
                running.ending.name == name && same(&running.settings, settings) && running.external == *external
            };
            if state.running.iter().any(runs) {
                return Ok(Planned::Unchanged(name));
            }
            let limits = self.limits(settings, remotes.len());
            let fixed = Fixed {
                name: name.clone(),
                url: settings.shown_url(),
                own_metadata: settings.metadata.send && settings.message == Message::V1,
                shards_min: limits.min_shards,
                shards_max: limits.max_shards,
                capacity: limits.capacity(limits.min_shards),
                max_samples_per_send: limits.batch(limits.min_shards),
            };
            let (stats, clock) = (Arc::new(Stats::new(fixed)), self.clock.clone());
            let remote =
                Remote::new(settings.clone(), external.clone(), limits, self.options.behind, stats, clock)?;
            Ok(Planned::New(name, Box::new(remote)))
        });
        Ok(Prepared(planned.collect::<Result<_>>()?))
    }

    fn limits(&self, settings: &RemoteWrite, remotes: usize) -> Limits {
        let queue = &settings.queue;
        if queue.max_shards > MAX_SHARDS {
            tracing::warn!("{}.queue_config.max_shards: {MAX_SHARDS} are the most that are used", settings.path);
        }
        let max_shards = queue.max_shards.min(MAX_SHARDS);
        Limits {
            capacity: queue.capacity,
            batch: queue.max_samples_per_send,
            min_shards: queue.min_shards.min(max_shards),
            max_shards,
            memory_bytes: self.options.memory_bytes / SHARES.max(remotes),
        }
    }

    /// Puts a configuration in force. Returns at once; what ends does so beside it.
    pub fn install(&self, prepared: Prepared) {
        let mut state = self.state.lock();
        state.ending.retain(|ending| !ending.task.is_finished());
        let mut before = std::mem::take(&mut state.running);
        for planned in prepared.0 {
            match planned {
                Planned::Unchanged(name) => {
                    let at = before.iter().position(|running| running.ending.name == name);
                    state.running.extend(at.map(|at| before.swap_remove(at)));
                }
                Planned::New(name, remote) => {
                    let at = before.iter().position(|running| running.ending.name == name);
                    let mut previous = at.map(|at| before.swap_remove(at).ending);
                    if let Some(previous) = &previous {
                        previous.stop.reading.cancel();
                        previous.stop.handing_over.cancel();
                    } else if let Some(at) = state.ending.iter().position(|ending| ending.name == name) {
                        previous = Some(state.ending.swap_remove(at));
                    }
                    state.running.push(self.start(name, *remote, previous));
                }
            }
        }
        for Running { ending, stats, .. } in before {
            tracing::info!(remote = stats.name, url = stats.url, "a remote is gone, what was read for it is sent");
            ending.stop.reading.cancel();
            state.ending.push(ending);
        }
        let known: HashSet<String> = state
            .running
            .iter()
            .map(|running| running.ending.name.clone())
            .chain(state.ending.iter().map(|ending| ending.name.clone()))
            .collect();
        self.store.keep_tails(|name| known.contains(name));
    }

    fn start(&self, name: String, remote: Remote, previous: Option<Ending>) -> Running {
        let (remote, stop, deadline) = (Arc::new(remote), Stop::default(), self.options.flush_deadline);
        let (store, state) = (self.store.clone(), self.state.clone());
        // One that is new begins here and now.
        let tail = previous.is_none().then(|| store.tail(&name));
        let task = {
            let (name, remote, stop) = (name.clone(), remote.clone(), stop.clone());
            tokio::spawn(async move {
                if let Some(previous) = previous {
                    let _ = previous.task.await;
                }
                let tail = tail.unwrap_or_else(|| store.tail(&name));
                let left = queue::run(remote.clone(), tail, stop.clone(), deadline).await;
                announce_end(&remote.stats, &stop, left);
                if !stop.handing_over.is_cancelled() && !is_running(&state.lock(), &name) {
                    store.keep_tails(|other| other != name);
                }
            })
        };
        Running {
            settings: remote.settings.clone(),
            external: remote.external.clone(),
            stats: remote.stats.clone(),
            ending: Ending { name, stop, task },
        }
    }

    /// Stops sending, after one more attempt for what was read. The rest is sent after the next start.
    pub async fn shutdown(&self) {
        let (running, mut ending) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.running), std::mem::take(&mut state.ending))
        };
        ending.extend(running.into_iter().map(|running| running.ending));
        for ending in &ending {
            ending.stop.reading.cancel();
            ending.stop.handing_over.cancel();
        }
        let end = tokio::time::Instant::now() + self.options.flush_deadline + END;
        for ending in ending {
            if tokio::time::timeout_at(end, ending.task).await.is_err() {
                tracing::warn!(remote = ending.name, "a remote did not stop in time");
            }
        }
    }

    /// For telemetry.
    pub fn families(&self) -> Vec<Family> {
        let remotes: Vec<Arc<Stats>> =
            self.state.lock().running.iter().map(|running| running.stats.clone()).collect();
        let store = self.store.stats();
        let came_in = Counts {
            samples: store.samples_appended_total,
            histograms: store.histograms_appended_total,
            exemplars: store.exemplars_appended_total,
        };
        stats::families(&remotes, came_in, self.store.newest_ms())
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({} remotes)", self.0.len())
    }
}

fn is_running(state: &State, name: &str) -> bool {
    state.running.iter().any(|running| running.ending.name == name)
}

fn announce_end(stats: &Stats, stop: &Stop, left: Counts) {
    if left.total() == 0 {
        return;
    }
    let (remote, url) = (&stats.name, &stats.url);
    let Counts { samples, histograms, exemplars } = left;
    if stop.handing_over.is_cancelled() {
        tracing::info!(
            remote,
            url,
            samples,
            histograms,
            exemplars,
            "a remote took not all, the rest is sent later"
        );
    } else {
        stats.failed.add(left);
        tracing::error!(
            remote,
            url,
            samples,
            histograms,
            exemplars,
            "a remote that is gone did not take all before --storage.remote.flush-deadline, the rest is dropped"
        );
    }
}

/// Where a section stands in the file is no part of it.
fn same(a: &RemoteWrite, b: &RemoteWrite) -> bool {
    *a == RemoteWrite { path: a.path.clone(), ..b.clone() }
}

/// What remotes are known by: six digits of the hash of the URL where there is no name, counted where it is there twice.
fn names(remotes: &[RemoteWrite]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(remotes.len());
    for (at, remote) in remotes.iter().enumerate() {
        if let Some(twin) = remotes[..at].iter().find(|other| same(other, remote)) {
            return Err(Error::bad_input(format!(
                "duplicate remote write configs are not allowed, found duplicate for URL: {} ({} and {})",
                remote.shown_url(),
                twin.path,
                remote.path
            )));
        }
        let url = remote.url.as_ref().map(ToString::to_string).unwrap_or_default();
        let hash = format!("{:016x}", xxh3_64(url.as_bytes()));
        let base = if remote.name.is_empty() { hash[..6].to_string() } else { remote.name.clone() };
        let mut name = base.clone();
        for number in 2.. {
            if !names.contains(&name) {
                break;
            }
            name = format!("{base}-{number}");
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes(text: &str) -> Vec<RemoteWrite> {
        Config::parse_with_env(text, &|_| None).unwrap().remote_writes
    }

    #[test]
    fn names_are_stable_and_unique() {
        let of = |text: &str| names(&remotes(text)).unwrap();
        let first = of("remote_write: [{url: 'http://a/'}, {url: 'http://b/', name: b}]");
        assert_eq!((first[0].len(), first[1].as_str()), (6, "b"));
        // Other settings of one that has no name, and another order.
        let second = of("remote_write: [{url: 'http://b/', name: b}, {url: 'http://a/', remote_timeout: 1s}]");
        assert_eq!(second[1], first[0]);
        let twice = of("remote_write: [{url: 'http://a/'}, {url: 'http://a/', remote_timeout: 1s}]");
        assert_eq!(twice[1], format!("{}-2", twice[0]));
        let error = names(&remotes("remote_write: [{url: 'http://u:secret@a/'}, {url: 'http://u:secret@a/'}]"));
        let message = error.unwrap_err().message;
        assert!(
            message.contains("remote_write[0] and remote_write[1]") && !message.contains("secret"),
            "{message}"
        );
    }

    #[test]
    fn a_place_is_no_setting() {
        let a = remotes("remote_write: [{url: 'http://a/'}, {url: 'http://b/'}]");
        let b = remotes("remote_write: [{url: 'http://b/'}, {url: 'http://a/', send_exemplars: true}]");
        assert!(same(&a[1], &b[0]) && !same(&a[0], &b[1]));
    }
}

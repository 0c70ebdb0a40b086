//! The Alertmanagers in force, and the one way in for alerts.
//!
//! What a reload or discovery changes is decided under one lock and then published as a list that alerts follow, so that
//! who has alerts to send waits for neither. A queue stays as long as its Alertmanager is found, whatever else of the
//! configuration changes, and keeps its alerts.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio_util::task::TaskTracker;

use crate::client::Clock;
use crate::config::alerting::Alertmanagers;
use crate::config::discovery::Discovery;
use crate::config::file::Config;
use crate::discovery::group::Group;
use crate::error::Result;
use crate::model::alert::Alert;
use crate::model::labels::Labels;
use crate::model::relabel::Rule;
use crate::notify::endpoint::Endpoint;
use crate::notify::options::Options;
use crate::notify::queue::Queue;
use crate::notify::relabel::relabelled;
use crate::notify::send::Sender;
use crate::notify::set::{Route, Set, Spare};
use crate::notify::stats::Registry;
use crate::telemetry::metrics::{Family, Kind};

/// See the module.
pub struct Notifier {
    options: Options,
    clock: Clock,
    state: Mutex<State>,
    routes: RwLock<Arc<Routes>>,
    registry: Registry,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    external: Labels,
    rules: Arc<[Rule]>,
    sets: Vec<Set>,
    stopped: bool,
}

/// How alerts get to all Alertmanagers.
#[derive(Default)]
struct Routes {
    external: Labels,
    rules: Arc<[Rule]>,
    sets: Vec<Route>,
}

/// A configuration that can be put in force.
pub struct Prepared {
    external: Labels,
    rules: Arc<[Rule]>,
    /// With their names among the jobs of discovery.
    sets: Vec<(String, Arc<Alertmanagers>, Sender)>,
}

impl Notifier {
    /// Sends to nobody before `install`. `clock` tells when tokens expire.
    pub fn new(clock: Clock, options: Options) -> Self {
        Self {
            options,
            clock,
            state: Mutex::default(),
            routes: RwLock::default(),
            registry: Registry::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Hands alerts to all Alertmanagers: with external labels where they have none of the name, and as the rules of the
    /// configuration change them. Never waits; what becomes of them is counted. After `shutdown` they are dropped.
    pub fn send(&self, alerts: Vec<Alert>) {
        let routes = self.routes.read().clone();
        if routes.sets.is_empty() {
            return;
        }
        let alerts: Vec<Arc<Alert>> = alerts.into_iter().map(Arc::new).collect();
        let alerts = relabelled(&alerts, &routes.external, &routes.rules);
        if !alerts.is_empty() {
            routes.sets.iter().for_each(|set| set.send(&alerts));
        }
    }

    /// Finds what cannot be used, and changes nothing.
    pub fn prepare(&self, config: &Config) -> Result<Prepared> {
        let state = self.state.lock();
        let set = |(name, settings): (String, &Alertmanagers)| {
            let alike = |set: &&Set| set.config.http == settings.http && set.config.timeout == settings.timeout;
            let sender = match state.sets.iter().find(alike) {
                Some(set) => set.sender.clone(),
                None => Sender::new(settings, self.clock.clone())?,
            };
            Ok((name, Arc::new(settings.clone()), sender))
        };
        Ok(Prepared {
            external: config.global.external_labels.clone(),
            rules: config.alerting.alert_relabel_configs.clone().into(),
            sets: config.alerting.named_alertmanagers().map(set).collect::<Result<_>>()?,
        })
    }

    /// Puts a configuration in force. Returns at once; queues that end do so beside it. Must run within a tokio runtime.
    pub fn install(&self, prepared: Prepared) {
        let state = &mut *self.state.lock();
        if state.stopped {
            return;
        }
        (state.external, state.rules) = (prepared.external, prepared.rules);
        let mut before = std::mem::take(&mut state.sets);
        let mut heirs: Vec<Option<Set>> = prepared.sets.iter().map(|_| None).collect();
        // Those that are as they were come first, so that no other takes what is theirs.
        for goes_on in [is_same, is_found_alike, is_sent_alike] {
            for (heir, (_, config, _)) in heirs.iter_mut().zip(&prepared.sets).filter(|(heir, _)| heir.is_none()) {
                *heir = take(&mut before, |old| goes_on(old, config));
            }
        }
        let mut spare = Spare::default();
        before.into_iter().flat_map(|set| set.queues).for_each(|queue| spare.put(queue));
        let all = prepared.sets.into_iter().zip(heirs);
        state.sets = all
            .map(|((name, config, sender), heir)| {
                let mut set = Set::new(name, config, sender);
                if let Some(old) = heir {
                    set.queues = old.queues;
                    // What was found holds until discovery tells otherwise.
                    if !set.config.discoveries.is_empty() {
                        set.found_groups = old.found_groups;
                    }
                }
                set
            })
            .collect();
        state.sets.iter_mut().for_each(|set| set.sync(&mut spare, |at, sender| self.start(at, sender)));
        spare.stop();
        self.publish(state);
    }

    /// The groups that discovery found for an entry, `config-0` for the first, are these. One that is unknown, or no more,
    /// has none.
    pub fn update_targets(&self, name: &str, groups: Vec<Arc<Group>>) {
        let state = &mut *self.state.lock();
        if state.stopped {
            return;
        }
        let Some(set) = state.sets.iter_mut().find(|set| set.name == name) else { return };
        // What was found for the one that had this name before.
        if set.config.discoveries.is_empty() {
            return;
        }
        set.found_groups = groups;
        let mut spare = Spare::default();
        set.sync(&mut spare, |at, sender| self.start(at, sender));
        spare.stop();
        self.publish(state);
    }

    fn start(&self, endpoint: Endpoint, sender: Sender) -> Arc<Queue> {
        let stats = self.registry.of(&endpoint.shown);
        let queue = Arc::new(Queue::new(endpoint, sender, self.options, stats));
        self.tasks.spawn(queue.clone().run());
        queue
    }

    fn publish(&self, state: &State) {
        let sets = state.sets.iter().map(Set::route).collect();
        *self.routes.write() =
            Arc::new(Routes { external: state.external.clone(), rules: state.rules.clone(), sets });
    }

    /// URLs of the Alertmanagers that alerts are sent to.
    pub fn alertmanagers(&self) -> Vec<String> {
        let state = self.state.lock();
        let queues = state.sets.iter().flat_map(|set| &set.queues);
        queues.map(|queue| queue.endpoint.shown.clone()).collect()
    }

    /// URLs of those that relabelling drops.
    pub fn dropped_alertmanagers(&self) -> Vec<String> {
        self.state.lock().sets.iter().flat_map(|set| set.dropped.clone()).collect()
    }

    /// For telemetry.
    pub fn families(&self) -> Vec<Family> {
        let mut out = self.registry.families();
        let state = self.state.lock();
        let discovered = state.sets.iter().map(|set| set.queues.len()).sum::<usize>();
        let help = "Targets found, the dropped ones too";
        let found = Family::labelled("prometheus_sd_discovered_targets", help, Kind::Gauge);
        out.extend([
            Family::gauge(
                "prometheus_notifications_queue_capacity",
                "Alerts that may wait for an Alertmanager",
                self.options.queue_capacity as f64,
            ),
            Family::gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "Alertmanagers that alerts are sent to",
                discovered as f64,
            ),
            state.sets.iter().fold(found, |family, set| {
                family.with(&[("config", set.name.as_str()), ("name", "notify")], set.discovered as f64)
            }),
        ]);
        out
    }

    /// Takes no alerts any more, and waits for what is in the queues, if that is to be sent, for a while.
    pub async fn shutdown(&self) {
        {
            let state = &mut *self.state.lock();
            state.stopped = true;
            *self.routes.write() = Arc::default();
            state.sets.drain(..).flat_map(|set| set.queues).for_each(|queue| queue.stop());
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({} sets of Alertmanagers)", self.sets.len())
    }
}

/// The first of these sets that is one.
fn take(sets: &mut Vec<Set>, is_one: impl Fn(&Alertmanagers) -> bool) -> Option<Set> {
    let at = sets.iter().position(|set| is_one(&set.config))?;
    Some(sets.remove(at))
}

/// Where a section stands in the file is no part of it.
fn is_same(a: &Alertmanagers, b: &Alertmanagers) -> bool {
    a.static_configs == b.static_configs && same_discoveries(a, b) && is_sent_alike(a, b)
}

fn is_sent_alike(a: &Alertmanagers, b: &Alertmanagers) -> bool {
    fn parts(c: &Alertmanagers) -> impl PartialEq + '_ {
        let to = (&c.http, &c.scheme, &c.path_prefix, c.timeout);
        (to, &c.relabel_configs, &c.alert_relabel_configs)
    }
    parts(a) == parts(b)
}

/// Whether what was found for one holds for the other.
fn is_found_alike(a: &Alertmanagers, b: &Alertmanagers) -> bool {
    !a.discoveries.is_empty() && same_discoveries(a, b)
}

fn same_discoveries(a: &Alertmanagers, b: &Alertmanagers) -> bool {
    let same = |(a, b): (&Discovery, &Discovery)| a.kind == b.kind && a.node == b.node;
    a.discoveries.len() == b.discoveries.len() && a.discoveries.iter().zip(&b.discoveries).all(same)
}

//! The Alertmanagers of one entry of the configuration. All of them get every alert; one that is found several times gets it
//! once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::alerting::Alertmanagers;
use crate::discovery::group::Group;
use crate::model::alert::Alert;
use crate::model::labels::Labels;
use crate::notify::endpoint::{Endpoint, Found};
use crate::notify::queue::Queue;
use crate::notify::relabel::relabelled;
use crate::notify::send::Sender;

/// See the module.
pub(super) struct Set {
    /// Among discovery's jobs, as Prometheus names it.
    pub(super) name: String,
    pub(super) config: Arc<Alertmanagers>,
    pub(super) sender: Sender,
    /// As discovery told them last.
    pub(super) found_groups: Vec<Arc<Group>>,
    /// In the order in which they were found.
    pub(super) queues: Vec<Arc<Queue>>,
    /// URLs of those that relabelling drops.
    pub(super) dropped: Vec<String>,
    /// Targets before relabelling.
    pub(super) discovered: usize,
}

/// Queues by the URL of their Alertmanagers.
#[derive(Default)]
pub(super) struct Spare(HashMap<String, Vec<Arc<Queue>>>);

impl Set {
    /// Without Alertmanagers.
    pub(super) fn new(name: String, config: Arc<Alertmanagers>, sender: Sender) -> Self {
        Self { name, config, sender, found_groups: vec![], queues: vec![], dropped: vec![], discovered: 0 }
    }

    /// Brings the queues in line with what was found: they are taken from those that are spare, own ones first, or started.
    /// Those that nobody is found for become spare.
    pub(super) fn sync(&mut self, spare: &mut Spare, start: impl Fn(Endpoint, Sender) -> Arc<Queue>) {
        let mut found = Found::default();
        let own = self.config.static_configs.iter().enumerate().map(|(at, group)| Group::of_static(at, group));
        self.discovered = 0;
        for group in own.map(Arc::new).chain(self.found_groups.iter().cloned()) {
            self.discovered += group.targets.len();
            found.add(&self.config, &group);
        }
        let mut before = Spare::default();
        self.queues.drain(..).for_each(|queue| before.put(queue));
        let mut seen = std::collections::HashSet::new();
        for endpoint in found.active {
            if !seen.insert(endpoint.shown.clone()) {
                continue;
            }
            let known = before.take(&endpoint).or_else(|| spare.take(&endpoint));
            self.queues.push(match known {
                Some(queue) => {
                    queue.set_sender(self.sender.clone());
                    queue
                }
                None => start(endpoint, self.sender.clone()),
            });
        }
        self.dropped = found.dropped;
        spare.append(before);
    }

    /// How alerts get to it.
    pub(super) fn route(&self) -> Route {
        Route { config: self.config.clone(), queues: self.queues.clone() }
    }
}

impl Spare {
    pub(super) fn put(&mut self, queue: Arc<Queue>) {
        self.0.entry(queue.endpoint.shown.clone()).or_default().push(queue);
    }

    fn take(&mut self, endpoint: &Endpoint) -> Option<Arc<Queue>> {
        self.0.get_mut(&endpoint.shown).and_then(Vec::pop)
    }

    fn append(&mut self, others: Self) {
        others.0.into_values().flatten().for_each(|queue| self.put(queue));
    }

    /// Nobody takes these any more.
    pub(super) fn stop(self) {
        self.0.into_values().flatten().for_each(|queue| queue.stop());
    }
}

/// The way of alerts to a set, as it was when they came.
pub(super) struct Route {
    config: Arc<Alertmanagers>,
    queues: Vec<Arc<Queue>>,
}

impl Route {
    pub(super) fn send(&self, alerts: &[Arc<Alert>]) {
        if self.queues.is_empty() {
            return;
        }
        let alerts = relabelled(alerts, &Labels::empty(), &self.config.alert_relabel_configs);
        if !alerts.is_empty() {
            self.queues.iter().for_each(|queue| queue.add(&alerts));
        }
    }
}

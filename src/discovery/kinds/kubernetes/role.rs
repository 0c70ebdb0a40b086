//! What is kept for a role in one namespace, or in all, and which groups change with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::discovery::group::Group;
use crate::discovery::kinds::kubernetes::objects::{Meta, Pod, Reference, key};
use crate::discovery::kinds::kubernetes::stores::{Change, Kind, Stores};
use crate::discovery::kinds::kubernetes::{endpoints, endpointslice, ingress, node, pod, service};
use crate::discovery::manager::Updates;
use crate::discovery::stats::Stats;

/// How long changes are gathered, since one thing that happens changes many objects.
const GATHER: Duration = Duration::from_millis(50);
const AT_ONCE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    Node,
}

impl Role {
    /// Of the words that a configuration may have.
    pub(super) fn parse(name: &str) -> Self {
        let all = [Role::Service, Role::Endpoints, Role::EndpointSlice, Role::Ingress, Role::Node];
        all.into_iter().find(|role| role.as_str() == name).unwrap_or(Role::Pod)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Role::Pod => "pod",
            Role::Service => "service",
            Role::Endpoints => "endpoints",
            Role::EndpointSlice => "endpointslice",
            Role::Ingress => "ingress",
            Role::Node => "node",
        }
    }

    /// The objects that groups are made of.
    fn kind(self) -> Kind {
        match self {
            Role::Pod => Kind::Pod,
            Role::Service => Kind::Service,
            Role::Endpoints => Kind::Endpoints,
            Role::EndpointSlice => Kind::EndpointSlice,
            Role::Ingress => Kind::Ingress,
            Role::Node => Kind::Node,
        }
    }

    /// The source of an object's group.
    pub(super) fn source(self, key: &str) -> String {
        match self {
            Role::Service => format!("svc/{key}"),
            _ => format!("{}/{key}", self.as_str()),
        }
    }
}

/// What else a target is told, of objects around it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attached {
    pub(super) node: bool,
    pub(super) namespace: bool,
    pub(super) deployment: bool,
    pub(super) job: bool,
    pub(super) cron_job: bool,
}

/// What groups are made from.
pub(super) struct Known {
    pub(super) stores: Stores,
    pub(super) attached: Attached,
}

pub(super) struct Tracker {
    role: Role,
    known: Known,
    /// Keys of objects that changed since the last groups, by kind.
    touched: HashMap<Kind, HashSet<String>>,
    /// Everything was listed once, and groups were sent.
    synced: bool,
    stats: Arc<Stats>,
}

impl Tracker {
    pub(super) fn new(role: Role, attached: Attached, stats: Arc<Stats>) -> Self {
        let known = Known { stores: Stores::default(), attached };
        Self { role, known, touched: HashMap::new(), synced: false, stats }
    }

    /// Until nobody sends changes any more.
    pub(super) async fn run(mut self, mut changes: mpsc::Receiver<Change>, updates: &Updates) {
        let mut some = vec![];
        while changes.recv_many(&mut some, AT_ONCE).await > 0 {
            some.drain(..).for_each(|change| self.apply(change));
            if !changes.is_empty() {
                continue;
            }
            let groups = self.changed();
            if !groups.is_empty() {
                updates.change(groups);
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        let (kind, touched) = self.known.stores.apply(change);
        if let Some(role) = kind.role() {
            for (event, count) in [("add", touched.added), ("update", touched.updated), ("delete", touched.deleted)]
            {
                if count > 0 {
                    self.stats.count_kubernetes(role, event, count);
                }
            }
        }
        self.touched.entry(kind).or_default().extend(touched.keys);
    }

    /// The groups that are others now; none before all that is needed is known.
    pub(super) fn changed(&mut self) -> Vec<Group> {
        let primary = self.role.kind();
        if !self.synced {
            if !self.needed().iter().all(|kind| self.known.stores.is_listed(*kind)) {
                return vec![];
            }
            self.synced = true;
            self.touched.clear();
            return self.known.stores.keys(primary).iter().map(|key| self.group(key)).collect();
        }
        let touched = std::mem::take(&mut self.touched);
        let mut keys: BTreeSet<String> = touched.get(&primary).into_iter().flatten().cloned().collect();
        if touched.iter().any(|(kind, touched)| *kind != primary && !touched.is_empty()) {
            keys.extend(self.depending(touched));
        }
        keys.iter().map(|key| self.group(key)).collect()
    }

    fn needed(&self) -> Vec<Kind> {
        let attached = self.known.attached;
        let behind_services = matches!(self.role, Role::Endpoints | Role::EndpointSlice);
        let pods = behind_services || self.role == Role::Pod;
        let mut kinds = vec![self.role.kind()];
        let more = [
            (Kind::Service, behind_services),
            (Kind::Pod, behind_services),
            (Kind::Node, pods && attached.node),
            (Kind::Namespace, self.role != Role::Node && attached.namespace),
            (Kind::ReplicaSet, pods && attached.deployment),
            (Kind::Job, pods && (attached.job || attached.cron_job)),
        ];
        kinds.extend(more.into_iter().filter(|(_, is_needed)| *is_needed).map(|(kind, _)| kind));
        kinds
    }

    /// Keys of objects of the role that depend on what was touched.
    fn depending(&self, touched: HashMap<Kind, HashSet<String>>) -> Vec<String> {
        let stores = &self.known.stores;
        let mut around = Around { touched };
        let pods = stores.pods.objects.iter().filter(|(_, pod)| around.touches_owner(pod));
        let owned: Vec<String> = pods.map(|(key, _)| key.clone()).collect();
        around.touched.entry(Kind::Pod).or_default().extend(owned);
        fn keys<'a, T>(
            objects: &'a HashMap<String, T>,
            depends: impl Fn(&str, &T) -> bool + 'a,
        ) -> impl Iterator<Item = String> + 'a {
            objects.iter().filter(move |(key, object)| depends(key, object)).map(|(key, _)| key.clone())
        }
        match self.role {
            Role::Node => vec![],
            Role::Service => keys(&stores.services.objects, |_, o| around.touches_namespace(&o.metadata)).collect(),
            Role::Ingress => {
                keys(&stores.ingresses.objects, |_, o| around.touches_namespace(&o.metadata)).collect()
            }
            Role::Pod => keys(&stores.pods.objects, |key, pod| around.touches_pod(key, pod)).collect(),
            Role::Endpoints => {
                keys(&stores.endpoints.objects, |key, o| endpoints::depends(key, o, &around)).collect()
            }
            Role::EndpointSlice => {
                keys(&stores.endpoint_slices.objects, |_, o| endpointslice::depends(o, &around)).collect()
            }
        }
    }

    fn group(&self, key: &str) -> Group {
        let (known, stores) = (&self.known, &self.known.stores);
        let source = self.role.source(key);
        let found = match self.role {
            Role::Pod => stores.pods.get(key).and_then(|pod| pod::group(pod, known)),
            Role::Service => stores.services.get(key).map(|service| service::group(service, known)),
            Role::Endpoints => stores.endpoints.get(key).map(|endpoints| endpoints::group(endpoints, known)),
            Role::EndpointSlice => stores.endpoint_slices.get(key).map(|slice| endpointslice::group(slice, known)),
            Role::Ingress => stores.ingresses.get(key).map(|ingress| ingress::group(ingress, known)),
            Role::Node => stores.nodes.get(key).and_then(node::group),
        };
        found.map_or_else(
            || Group::empty(&source),
            |(targets, labels)| Group { source: source.clone(), targets, labels },
        )
    }
}

/// Objects that changed around those of a role.
pub(super) struct Around {
    touched: HashMap<Kind, HashSet<String>>,
}

impl Around {
    pub(super) fn touches(&self, kind: Kind, key: &str) -> bool {
        self.touched.get(&kind).is_some_and(|keys| keys.contains(key))
    }

    pub(super) fn touches_namespace(&self, meta: &Meta) -> bool {
        self.touches(Kind::Namespace, &meta.namespace)
    }

    /// What an address refers to, or the node it is on.
    pub(super) fn touches_address(&self, target: Option<&Reference>, node: Option<&str>) -> bool {
        let target = target.is_some_and(|target| match target.kind.as_str() {
            "Pod" => self.touches(Kind::Pod, &key(&target.namespace, &target.name)),
            "Node" => self.touches(Kind::Node, &target.name),
            _ => false,
        });
        target || node.is_some_and(|node| self.touches(Kind::Node, node))
    }

    fn touches_pod(&self, key: &str, pod: &Pod) -> bool {
        self.touches(Kind::Pod, key)
            || self.touches(Kind::Node, &pod.spec.node_name)
            || self.touches_namespace(&pod.metadata)
    }

    fn touches_owner(&self, pod: &Pod) -> bool {
        let Some(owner) = pod.metadata.controller() else { return false };
        let key = key(&pod.metadata.namespace, &owner.name);
        match owner.kind.as_str() {
            "ReplicaSet" => self.touches(Kind::ReplicaSet, &key),
            "Job" => self.touches(Kind::Job, &key),
            _ => false,
        }
    }
}

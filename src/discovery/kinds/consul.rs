//! Consul: which services there are, and the instances of each. Both are asked for what changed since an index, and Consul
//! answers when something did, or after two minutes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::discovery::settings::Settings;
use crate::config::http::{Authorization, Secret};
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, pairs, separated};
use crate::discovery::manager::Updates;
use crate::discovery::stats::{Stats, add_one};
use crate::discovery::way::{Context, Watched, Way};
use crate::error::{Error, Result};
use crate::model::labels::Labels;

/// How long Consul may wait for a change, and how much longer an answer may take.
const WAIT: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(15);

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let mut config = settings.http();
    let (username, password) = (settings.text("username"), settings.text("password"));
    if !username.is_empty() || !password.is_empty() {
        let secret = |text: &str| if text.is_empty() { Secret::None } else { Secret::Text(text.to_string()) };
        config.authorization = Authorization::Basic { username: secret(username), password: secret(password) };
    }
    let server = settings.text("server");
    // A scheme that the address brings is stronger.
    let (scheme, address) = server.split_once("://").unwrap_or((settings.text("scheme"), server));
    let base = format!("{scheme}://{address}/{}", settings.text("path_prefix").trim_start_matches('/'));
    let mut api = Api::new(&config, &base, WAIT + GRACE, &context.clock)?;
    let token = settings.text("token");
    if !token.is_empty() {
        api = api.with_header("x-consul-token", token)?;
    }
    let source = Source {
        watch: Watch {
            api,
            datacenter: settings.text("datacenter").to_string(),
            namespace: settings.text("namespace").to_string(),
            partition: settings.text("partition").to_string(),
            allow_stale: settings.is_true("allow_stale"),
            node_meta: settings.pairs("node_meta"),
            stats: context.stats.clone(),
        },
        tag_separator: settings.text("tag_separator").to_string(),
        services: settings.texts("services"),
        tags: settings.texts("tags"),
        filter: settings.text("filter").to_string(),
        health_filter: settings.text("health_filter").to_string(),
        interval: settings.duration("refresh_interval"),
    };
    Ok(Way::Watched(Box::new(source)))
}

struct Source {
    watch: Watch,
    tag_separator: String,
    /// All of them, if there is no name.
    services: Vec<String>,
    /// A service needs all of them.
    tags: Vec<String>,
    filter: String,
    health_filter: String,
    /// Between two questions of one kind.
    interval: Duration,
}

/// Questions for what changed.
struct Watch {
    api: Api,
    datacenter: String,
    namespace: String,
    partition: String,
    allow_stale: bool,
    node_meta: Vec<(String, String)>,
    stats: Arc<Stats>,
}

/// What became of a question, and when and as of which index the next is to be asked.
struct Turn<T> {
    /// `None` where nothing changed, or nothing is known.
    found: Option<T>,
    index: u64,
    not_before: Instant,
}

/// A question for the instances of a service that is named.
type ServiceTurn<'a> = BoxFuture<'a, (String, Turn<Group>)>;

#[async_trait]
impl Watched for Source {
    async fn run(&mut self, updates: &Updates) {
        let datacenter = loop {
            match self.watch.own_datacenter().await {
                Ok(datacenter) => break datacenter,
                Err(error) => {
                    self.watch.failed("retrieving the datacenter's name", updates, &error);
                    sleep(RETRY).await;
                }
            }
        };
        let source: &Source = self;
        let mut turns = Turns { source, datacenter: &datacenter, updates, pending: FuturesUnordered::new() };
        if !source.services.is_empty() && source.tags.is_empty() && source.filter.is_empty() {
            source.services.iter().for_each(|name| turns.begin(name));
            while let Some((name, turn)) = turns.pending.next().await {
                turns.tell(name, turn);
            }
        } else {
            source.watch_catalog(turns).await;
        }
    }
}

/// Questions for services that are under way.
struct Turns<'a> {
    source: &'a Source,
    datacenter: &'a str,
    updates: &'a Updates,
    pending: FuturesUnordered<ServiceTurn<'a>>,
}

impl Turns<'_> {
    fn begin(&mut self, name: &str) {
        self.ask(name.to_string(), 0, Instant::now());
    }

    /// Tells what was found, and asks again.
    fn tell(&mut self, name: String, turn: Turn<Group>) {
        turn.found.into_iter().for_each(|group| self.updates.change(vec![group]));
        self.ask(name, turn.index, turn.not_before);
    }

    fn ask(&mut self, name: String, index: u64, not_before: Instant) {
        let (source, datacenter, updates) = (self.source, self.datacenter, self.updates);
        self.pending.push(Box::pin(async move {
            sleep_until(not_before).await;
            let turn = source.instances(&name, index, datacenter, updates).await;
            (name, turn)
        }));
    }
}

impl Source {
    /// Watches all services that are wanted, as long as they are there.
    async fn watch_catalog(&self, mut turns: Turns<'_>) {
        // Names with whether their service is wanted still; one that came back may have a turn already.
        let mut watched: HashMap<String, bool> = HashMap::new();
        let updates = turns.updates;
        let mut catalog = Box::pin(self.catalog(0, Instant::now(), updates));
        loop {
            tokio::select! {
                turn = &mut catalog => {
                    catalog = Box::pin(self.catalog(turn.index, turn.not_before, updates));
                    let Some(wanted) = turn.found else { continue };
                    for (name, is_there) in &mut watched {
                        let was_there = std::mem::replace(is_there, wanted.contains(name));
                        if was_there && !*is_there {
                            updates.change(vec![Group::empty(name.as_str())]);
                        }
                    }
                    for name in wanted {
                        if let Entry::Vacant(new) = watched.entry(name) {
                            turns.begin(new.key());
                            new.insert(true);
                        }
                    }
                }
                Some((name, turn)) = turns.pending.next() => {
                    if watched.get(&name) == Some(&true) {
                        turns.tell(name, turn);
                    } else {
                        watched.remove(&name);
                    }
                }
            }
        }
    }

    /// The services that are wanted.
    async fn catalog(&self, index: u64, not_before: Instant, updates: &Updates) -> Turn<BTreeSet<String>> {
        sleep_until(not_before).await;
        let is_wanted = |name: &String, tags: &Option<Vec<String>>| {
            let has = |tag: &String| tags.iter().flatten().any(|of_service| of_service == tag);
            (self.services.is_empty() || self.services.contains(name)) && self.tags.iter().all(has)
        };
        let asked =
            self.turn::<BTreeMap<String, Option<Vec<String>>>>("v1/catalog/services", &self.filter, &[], index);
        let turn = asked.await;
        turn.told(self, "refreshing the list of services", updates).map(|services| {
            services.into_iter().filter(|(name, tags)| is_wanted(name, tags)).map(|(name, _)| name).collect()
        })
    }

    /// The instances of a service.
    async fn instances(&self, name: &str, index: u64, datacenter: &str, updates: &Updates) -> Turn<Group> {
        let tags: Vec<(&str, &str)> = self.tags.iter().map(|tag| ("tag", tag.as_str())).collect();
        let path = format!("v1/health/service/{name}");
        let turn = self.turn::<Vec<Instance>>(&path, &self.health_filter, &tags, index).await;
        let turn = turn.told(self, &format!("refreshing the service {name}"), updates);
        turn.map(|instances| self.group(name, datacenter, &instances))
    }

    async fn turn<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &str,
        more: &[(&str, &str)],
        index: u64,
    ) -> Result<Turn<T>, (Error, u64)> {
        let not_before = Instant::now() + self.interval;
        let (new, found) = self.watch.ask(path, filter, more, index).await.map_err(|error| (error, index))?;
        // Unchanged: Consul waited in vain. Smaller: it began anew, and is to be asked from the beginning.
        let next = if new < index { 0 } else { new };
        Ok(Turn { found: (new != index).then_some(found), index: next, not_before })
    }

    fn group(&self, name: &str, datacenter: &str, instances: &[Instance]) -> Group {
        let labels = Labels::from_pairs([("__meta_consul_service", name), ("__meta_consul_dc", datacenter)]);
        let targets = instances.iter().map(|instance| instance.labels(&self.tag_separator)).collect();
        Group { source: name.to_string(), targets, labels }
    }
}

/// Errors are told, and the question is asked again later.
trait Told<T> {
    fn told(self, source: &Source, doing: &str, updates: &Updates) -> Turn<T>;
}

impl<T> Told<T> for Result<Turn<T>, (Error, u64)> {
    fn told(self, source: &Source, doing: &str, updates: &Updates) -> Turn<T> {
        self.unwrap_or_else(|(error, index)| {
            source.watch.failed(doing, updates, &error);
            Turn { found: None, index, not_before: Instant::now() + RETRY }
        })
    }
}

impl<T> Turn<T> {
    fn map<U>(self, make: impl FnOnce(T) -> U) -> Turn<U> {
        Turn { found: self.found.map(make), index: self.index, not_before: self.not_before }
    }
}

impl Watch {
    /// The one that is named, or that of the agent.
    async fn own_datacenter(&self) -> Result<String> {
        if !self.datacenter.is_empty() {
            return Ok(self.datacenter.clone());
        }
        let agent: serde_json::Value = self.api.json("v1/agent/self", &[]).await?;
        let name = agent.pointer("/Config/Datacenter").and_then(serde_json::Value::as_str);
        name.map(str::to_string).ok_or_else(|| Error::bad_input("the agent does not name its datacenter"))
    }

    /// What there is as soon as it is other than as of `index`, and the index as of which it is.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &str,
        more: &[(&str, &str)],
        index: u64,
    ) -> Result<(u64, T)> {
        let (index_text, wait) = (index.to_string(), format!("{}ms", WAIT.as_millis()));
        let mut query: Vec<(&str, &str)> = vec![("wait", &wait)];
        let maybe = [
            ("index", if index == 0 { "" } else { &index_text }),
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("filter", filter),
        ];
        query.extend(maybe.into_iter().filter(|(_, value)| !value.is_empty()));
        if self.allow_stale {
            query.push(("stale", ""));
        }
        let meta: Vec<String> = self.node_meta.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        query.extend(meta.iter().map(|pair| ("node-meta", pair.as_str())));
        query.extend_from_slice(more);
        let answer = self.api.get(path, &query).await?;
        let index = answer.header("x-consul-index").and_then(|text| text.parse().ok());
        let index = index.ok_or_else(|| Error::bad_input("the answer has no X-Consul-Index"))?;
        Ok((index, answer.json()?))
    }

    fn failed(&self, doing: &str, updates: &Updates, error: &Error) {
        add_one(&self.stats.consul_rpc_failures);
        let jobs = updates.jobs();
        tracing::error!(discovery = "consul", config = %jobs, %error, "error {doing}");
    }
}

/// Of a service, on a node.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Instance {
    node: Node,
    service: Service,
    checks: Option<Vec<Check>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: String,
    address: String,
    tagged_addresses: Option<BTreeMap<String, String>>,
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    tags: Option<Vec<String>>,
    address: String,
    port: i64,
    meta: Option<BTreeMap<String, String>>,
    namespace: String,
    partition: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "Status")]
    status: String,
}

impl Instance {
    fn labels(&self, tag_separator: &str) -> Labels {
        let (node, service) = (&self.node, &self.service);
        // A service can be registered through another node than it runs on.
        let host = if service.address.is_empty() { &node.address } else { &service.address };
        let mut labels = Collected::new();
        labels.set(ADDRESS, host_port(host, service.port));
        labels.set("__meta_consul_address", &node.address);
        labels.set("__meta_consul_node", &node.node);
        labels.set("__meta_consul_namespace", &service.namespace);
        labels.set("__meta_consul_partition", &service.partition);
        labels.set("__meta_consul_tags", separated(service.tags.as_deref().unwrap_or_default(), tag_separator));
        labels.set("__meta_consul_service_address", &service.address);
        labels.set("__meta_consul_service_port", service.port.to_string());
        labels.set("__meta_consul_service_id", &service.id);
        labels.set("__meta_consul_health", health(self.checks.as_deref().unwrap_or_default()));
        labels.prefixed("__meta_consul_metadata_", pairs(&node.meta));
        labels.prefixed("__meta_consul_service_metadata_", pairs(&service.meta));
        labels.prefixed("__meta_consul_tagged_address_", pairs(&node.tagged_addresses));
        labels.build()
    }
}

/// The worst of its checks, as Consul's own client sums them up; a state that it does not know is none.
fn health(checks: &[Check]) -> &'static str {
    const BY_RANK: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
    let rank = |check: &Check| {
        if check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:") {
            return Some(3);
        }
        BY_RANK[..3].iter().position(|state| *state == check.status)
    };
    let ranks: Option<Vec<usize>> = checks.iter().map(rank).collect();
    ranks.map_or("", |ranks| BY_RANK[ranks.into_iter().max().unwrap_or(0)])
}

#[cfg(test)]
#[path = "consul/tests.rs"]
mod tests;

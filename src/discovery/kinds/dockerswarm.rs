//! Nodes, services or tasks of a Docker swarm.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde::Deserialize;

use crate::config::discovery::settings::Settings;
use crate::discovery::group::{ADDRESS, Collected, Group, address_of_network, host_port, pairs};
use crate::discovery::kinds::docker::Daemon;
use crate::discovery::way::{Context, Polled, Way};
use crate::error::Result;
use crate::model::labels::Labels;

const SOURCE: &str = "DockerSwarm";
const PREFIX: &str = "__meta_dockerswarm_";
const NODE_ADDRESS: &str = "__meta_dockerswarm_node_address";

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let role = match settings.text("role") {
        "nodes" => Role::Nodes,
        "services" => Role::Services,
        _ => Role::Tasks,
    };
    let source =
        Source { daemon: Daemon::new(settings, interval, &context.clock)?, port: settings.integer("port"), role };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    daemon: Daemon,
    /// Of what publishes none.
    port: i64,
    role: Role,
}

#[derive(Clone, Copy)]
enum Role {
    Nodes,
    Services,
    Tasks,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let targets = match self.role {
            Role::Nodes => {
                let nodes: Vec<Node> = self.daemon.filtered("nodes").await?;
                nodes.iter().map(|node| node.target(self.port)).collect()
            }
            Role::Services => {
                let services: Vec<Service> = self.daemon.filtered("services").await?;
                let networks = self.daemon.network_labels(PREFIX).await?;
                services.iter().flat_map(|service| service.targets(self.port, &networks)).collect()
            }
            Role::Tasks => {
                let tasks: Vec<Task> = self.daemon.filtered("tasks").await?;
                let swarm = Swarm::read(&self.daemon).await?;
                tasks.iter().flat_map(|task| task.targets(self.port, &swarm)).collect()
            }
        };
        Ok(vec![Group { source: SOURCE.to_string(), targets, ..Group::default() }])
    }
}

/// What tasks belong to, by ids.
struct Swarm {
    services: HashMap<String, Service>,
    nodes: HashMap<String, Node>,
    networks: HashMap<String, Collected>,
}

impl Swarm {
    async fn read(daemon: &Daemon) -> Result<Self> {
        let services: Vec<Service> = daemon.all("services").await?;
        let nodes: Vec<Node> = daemon.all("nodes").await?;
        Ok(Self {
            services: services.into_iter().map(|service| (service.id.clone(), service)).collect(),
            nodes: nodes.into_iter().map(|node| (node.id.clone(), node)).collect(),
            networks: daemon.network_labels(PREFIX).await?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    spec: NodeSpec,
    description: Description,
    status: NodeStatus,
    manager_status: Option<ManagerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeSpec {
    role: String,
    availability: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Description {
    hostname: String,
    platform: Platform,
    engine: Engine,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform {
    #[serde(rename = "Architecture")]
    architecture: String,
    #[serde(rename = "OS")]
    os: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Engine {
    engine_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeStatus {
    state: String,
    addr: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ManagerStatus {
    leader: bool,
    reachability: String,
    addr: String,
}

impl Node {
    fn target(&self, port: i64) -> Labels {
        let mut labels = self.labels();
        labels.set("__meta_dockerswarm_node_engine_version", &self.description.engine.engine_version);
        if let Some(manager) = &self.manager_status {
            labels.set("__meta_dockerswarm_node_manager_leader", manager.leader.to_string());
            labels.set("__meta_dockerswarm_node_manager_reachability", &manager.reachability);
            labels.set("__meta_dockerswarm_node_manager_address", &manager.addr);
        }
        labels.set(ADDRESS, host_port(&self.status.addr, port));
        labels.build()
    }

    /// Those that its tasks have as well.
    fn labels(&self) -> Collected {
        let (spec, description) = (&self.spec, &self.description);
        let mut labels = Collected::new();
        labels.set("__meta_dockerswarm_node_id", &self.id);
        labels.set("__meta_dockerswarm_node_role", &spec.role);
        labels.set(NODE_ADDRESS, &self.status.addr);
        labels.set("__meta_dockerswarm_node_availability", &spec.availability);
        labels.set("__meta_dockerswarm_node_hostname", &description.hostname);
        labels.set("__meta_dockerswarm_node_platform_architecture", &description.platform.architecture);
        labels.set("__meta_dockerswarm_node_platform_os", &description.platform.os);
        labels.set("__meta_dockerswarm_node_status", &self.status.state);
        labels.prefixed("__meta_dockerswarm_node_label_", pairs(&spec.labels));
        labels
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    spec: ServiceSpec,
    endpoint: ServiceEndpoint,
    update_status: Option<UpdateStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceSpec {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    mode: BTreeMap<String, serde_json::Value>,
    task_template: TaskSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskSpec {
    container_spec: Option<ContainerSpec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    image: String,
    hostname: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceEndpoint {
    #[serde(rename = "Ports")]
    ports: Option<Vec<PublishedPort>>,
    #[serde(rename = "VirtualIPs")]
    virtual_ips: Option<Vec<VirtualIp>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PublishedPort {
    name: String,
    protocol: String,
    published_port: u16,
    publish_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VirtualIp {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "Addr")]
    addr: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UpdateStatus {
    state: String,
}

impl Service {
    fn targets(&self, port: i64, networks: &HashMap<String, Collected>) -> Vec<Labels> {
        let mut common = self.labels();
        if let Some(container) = &self.spec.task_template.container_spec {
            common.set("__meta_dockerswarm_service_task_container_hostname", &container.hostname);
            common.set("__meta_dockerswarm_service_task_container_image", &container.image);
        }
        common.maybe(
            "__meta_dockerswarm_service_updating_status",
            self.update_status.as_ref().map(|status| &status.state),
        );
        let mut targets = vec![];
        for ip in self.endpoint.virtual_ips.iter().flatten() {
            // A network that is being made has none yet.
            let Some(address) = address_of_network(&ip.addr) else { continue };
            let mut labels = common.clone();
            if let Some(network) = networks.get(&ip.network_id) {
                labels.extend(network);
            }
            let first = targets.len();
            for published in self.tcp_ports() {
                let mut labels = labels.clone();
                labels.set("__meta_dockerswarm_service_endpoint_port_name", &published.name);
                labels.set("__meta_dockerswarm_service_endpoint_port_publish_mode", &published.publish_mode);
                labels.set(ADDRESS, host_port(&address.to_string(), published.published_port));
                targets.push(labels.build());
            }
            if targets.len() == first {
                labels.set(ADDRESS, host_port(&address.to_string(), port));
                targets.push(labels.build());
            }
        }
        targets
    }

    fn tcp_ports(&self) -> impl Iterator<Item = &PublishedPort> {
        self.endpoint.ports.iter().flatten().filter(|port| port.protocol == "tcp")
    }

    /// Those that its tasks have as well.
    fn labels(&self) -> Collected {
        let mode = if self.spec.mode.get("Global").is_some_and(|mode| !mode.is_null()) {
            "global"
        } else if self.spec.mode.get("Replicated").is_some_and(|mode| !mode.is_null()) {
            "replicated"
        } else {
            ""
        };
        let mut labels = Collected::new();
        labels.set("__meta_dockerswarm_service_id", &self.id);
        labels.set("__meta_dockerswarm_service_name", &self.spec.name);
        labels.set("__meta_dockerswarm_service_mode", mode);
        labels.prefixed("__meta_dockerswarm_service_label_", pairs(&self.spec.labels));
        labels
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    slot: i64,
    desired_state: String,
    spec: TaskSpec,
    status: TaskStatus,
    networks_attachments: Option<Vec<Attachment>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskStatus {
    state: String,
    container_status: Option<ContainerStatus>,
    port_status: Option<PortStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PortStatus {
    ports: Option<Vec<PublishedPort>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    network: AttachedNetwork,
    addresses: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AttachedNetwork {
    #[serde(rename = "ID")]
    id: String,
}

impl Task {
    fn targets(&self, port: i64, swarm: &Swarm) -> Vec<Labels> {
        let common = self.labels(swarm);
        let mut targets = vec![];
        let mut add = |labels: &Collected, published: Option<&PublishedPort>, address: &str| {
            let mut labels = labels.clone();
            let port = match published {
                Some(published) => {
                    labels.set("__meta_dockerswarm_task_port_publish_mode", &published.publish_mode);
                    i64::from(published.published_port)
                }
                None => port,
            };
            labels.set(ADDRESS, host_port(address, port));
            targets.push(labels.build());
        };
        let own = self.status.port_status.iter().flat_map(|status| status.ports.iter().flatten());
        for published in own.filter(|port| port.protocol == "tcp") {
            add(&common, Some(published), common.get(NODE_ADDRESS));
        }
        let service = swarm.services.get(&self.service_id);
        for attachment in self.networks_attachments.iter().flatten() {
            let mut labels = common.clone();
            if let Some(network) = swarm.networks.get(&attachment.network.id) {
                labels.extend(network);
            }
            let addresses = attachment.addresses.iter().flatten();
            for address in addresses.filter_map(|network| address_of_network(network)) {
                let address = address.to_string();
                let mut published = service.into_iter().flat_map(Service::tcp_ports).peekable();
                if published.peek().is_none() {
                    add(&labels, None, &address);
                }
                published.for_each(|port| add(&labels, Some(port), &address));
            }
        }
        targets
    }

    fn labels(&self, swarm: &Swarm) -> Collected {
        let mut labels = Collected::new();
        labels.set("__meta_dockerswarm_task_id", &self.id);
        labels.set("__meta_dockerswarm_task_desired_state", &self.desired_state);
        labels.set("__meta_dockerswarm_task_state", &self.status.state);
        labels.set("__meta_dockerswarm_task_slot", self.slot.to_string());
        let container = self.status.container_status.as_ref().map(|status| &status.container_id);
        labels.maybe("__meta_dockerswarm_task_container_id", container);
        if let Some(container) = &self.spec.container_spec {
            labels.prefixed("__meta_dockerswarm_container_label_", pairs(&container.labels));
        }
        if let Some(service) = swarm.services.get(&self.service_id) {
            labels.extend(&service.labels());
        }
        if let Some(node) = swarm.nodes.get(&self.node_id) {
            labels.extend(&node.labels());
        }
        labels
    }
}

#[cfg(test)]
#[path = "dockerswarm/tests.rs"]
mod tests;

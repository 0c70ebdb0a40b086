//! Containers of a Docker daemon, a target for each of their open ports and networks.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use crate::client::Clock;
use crate::config::discovery::settings::Settings;
use crate::config::http::HttpConfig;
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, pairs};
use crate::discovery::way::{Context, Polled, Way};
use crate::error::{Error, Result};

const SOURCE: &str = "Docker";
const PREFIX: &str = "__meta_docker_";

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let source = Source {
        daemon: Daemon::new(settings, interval, &context.clock)?,
        port: settings.integer("port"),
        host_networking_host: settings.text("host_networking_host").to_string(),
        match_first_network: settings.is_true("match_first_network"),
    };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    daemon: Daemon,
    /// Of containers without open ports.
    port: i64,
    /// The address of containers in the host's network.
    host_networking_host: String,
    match_first_network: bool,
}

/// A daemon's API. Paths without a version are those of the newest it has.
pub(super) struct Daemon {
    api: Api,
    /// As the API takes them: names to values to `true`.
    filters: String,
}

impl Daemon {
    pub(super) fn new(settings: &Settings<'_>, timeout: Duration, clock: &Clock) -> Result<Self> {
        let host = settings.text("host");
        let mut filters: BTreeMap<&str, BTreeMap<String, bool>> = BTreeMap::new();
        for filter in settings.sections("filters") {
            let values = filters.entry(filter.text("name")).or_default();
            values.extend(filter.texts("values").into_iter().map(|value| (value, true)));
        }
        let filters = if filters.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&filters).expect("texts have a JSON form")
        };
        Ok(Self { api: api(host, &settings.http(), timeout, clock)?, filters })
    }

    /// What passes the filters.
    pub(super) async fn filtered<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        match self.filters.as_str() {
            "" => self.all(path).await,
            filters => self.api.json(path, &[("filters", filters)]).await,
        }
    }

    pub(super) async fn all<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.api.json(path, &[]).await
    }

    /// Labels of networks by their ids.
    pub(super) async fn network_labels(&self, prefix: &str) -> Result<HashMap<String, Collected>> {
        let networks: Option<Vec<Network>> = self.all("networks").await?;
        Ok(networks
            .unwrap_or_default()
            .iter()
            .map(|network| (network.id.clone(), network.labels(prefix)))
            .collect())
    }
}

/// As for Docker's own client: what is said about requests holds for `http` and `https` only.
fn api(host: &str, config: &HttpConfig, timeout: Duration, clock: &Clock) -> Result<Api> {
    let plain = HttpConfig::default();
    match host.split_once("://") {
        Some(("http" | "https", _)) => Api::new(config, host, timeout, clock),
        Some(("tcp", rest)) => Api::new(&plain, &format!("http://{rest}"), timeout, clock),
        Some(("unix", path)) => Ok(Api::new(&plain, "http://localhost", timeout, clock)?.with_socket(path.into())),
        Some((scheme, _)) => {
            Err(Error::unsupported(format!("host {host:?}: the protocol {scheme} is not supported")))
        }
        None => Err(Error::bad_input(format!("unable to parse docker host `{host}`"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

impl Network {
    fn labels(&self, prefix: &str) -> Collected {
        let mut labels = Collected::new();
        labels.named(format!("{prefix}network_id"), &self.id);
        labels.named(format!("{prefix}network_name"), &self.name);
        labels.named(format!("{prefix}network_scope"), &self.scope);
        labels.named(format!("{prefix}network_internal"), self.internal.to_string());
        labels.named(format!("{prefix}network_ingress"), self.ingress.to_string());
        labels.prefixed(&format!("{prefix}network_label_"), pairs(&self.labels));
        labels
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<Port>>,
    host_config: HostConfig,
    network_settings: Option<NetworkSettings>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let containers: Option<Vec<Container>> = self.daemon.filtered("containers/json").await?;
        let networks = self.daemon.network_labels(PREFIX).await?;
        Ok(vec![self.group(&containers.unwrap_or_default(), &networks)])
    }
}

impl Source {
    fn group(&self, containers: &[Container], networks: &HashMap<String, Collected>) -> Group {
        let by_id: HashMap<&str, &Container> =
            containers.iter().map(|container| (container.id.as_str(), container)).collect();
        let mut group = Group { source: SOURCE.to_string(), ..Group::default() };
        for container in containers {
            let Some(name) = container.names.iter().flatten().next() else { continue };
            let common = container.labels(name);
            for endpoint in self.endpoints(container, &by_id) {
                let first = group.targets.len();
                let nothing = Collected::new();
                let network = networks.get(&endpoint.network_id).unwrap_or(&nothing);
                let address = endpoint.address();
                for port in container.ports.iter().flatten().filter(|port| port.r#type == "tcp") {
                    let mut labels = Collected::new();
                    labels.set("__meta_docker_network_ip", address);
                    labels.set("__meta_docker_port_private", port.private_port.to_string());
                    if port.public_port > 0 {
                        labels.set("__meta_docker_port_public", port.public_port.to_string());
                        labels.set("__meta_docker_port_public_ip", &port.ip);
                    }
                    labels.extend(&common).extend(network);
                    labels.set(ADDRESS, host_port(address, port.private_port));
                    group.targets.push(labels.build());
                }
                if group.targets.len() == first {
                    let mut labels = Collected::new();
                    labels.set("__meta_docker_network_ip", address).extend(&common).extend(network);
                    // Containers in the host's network have no ports of their own.
                    labels.set(
                        ADDRESS,
                        match container.host_config.network_mode.as_str() {
                            "host" => self.host_networking_host.clone(),
                            _ => host_port(address, self.port),
                        },
                    );
                    group.targets.push(labels.build());
                }
            }
        }
        group
    }

    /// A container's own networks, or those of the container whose network it shares.
    fn endpoints<'a>(&self, container: &'a Container, by_id: &HashMap<&str, &'a Container>) -> Vec<&'a Endpoint> {
        let mut owner = container;
        // Those that share each other's network have none.
        for _ in 0..by_id.len() {
            if owner.has_networks() {
                break;
            }
            let shared = owner.host_config.network_mode.strip_prefix("container:");
            let Some(next) = shared.and_then(|id| by_id.get(id)) else { break };
            owner = next;
        }
        let mut all: Vec<&Endpoint> = owner.networks().values().flatten().collect();
        if self.match_first_network {
            all.truncate(1);
        }
        all
    }
}

impl Container {
    fn networks(&self) -> &BTreeMap<String, Option<Endpoint>> {
        static NONE: BTreeMap<String, Option<Endpoint>> = BTreeMap::new();
        self.network_settings.as_ref().and_then(|settings| settings.networks.as_ref()).unwrap_or(&NONE)
    }

    fn has_networks(&self) -> bool {
        !self.networks().is_empty()
    }

    fn labels(&self, name: &str) -> Collected {
        let mut labels = Collected::new();
        labels.set("__meta_docker_container_id", &self.id);
        labels.set("__meta_docker_container_name", name);
        labels.set("__meta_docker_container_network_mode", &self.host_config.network_mode);
        labels.set("__meta_docker_container_image", &self.image);
        labels.set("__meta_docker_container_image_id", &self.image_id);
        labels.prefixed("__meta_docker_container_label_", pairs(&self.labels));
        labels
    }
}

impl Endpoint {
    fn address(&self) -> &str {
        if self.ip_address.is_empty() { &self.global_ipv6_address } else { &self.ip_address }
    }
}

#[cfg(test)]
#[path = "docker/tests.rs"]
mod tests;

//! Hetzner: servers of the cloud, or rented ones of the robot.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, pairs, sanitized};
use crate::discovery::list::MAX_TARGETS;
use crate::discovery::way::{Context, Polled, Way};
use crate::error::{Error, Result};
use crate::model::labels::Labels;

const SOURCE: &str = "hetzner";
/// Of an answer, whatever is in them.
const MAX_PAGES: u64 = 10_000;
const CLOUD: &str = "https://api.hetzner.cloud/v1";
const ROBOT: &str = "https://robot-ws.your-server.de";

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let role = if settings.text("role") == "robot" { Role::Robot } else { Role::Cloud };
    let base = match role {
        Role::Robot => ROBOT,
        Role::Cloud => CLOUD,
    };
    let source = Source {
        api: Api::new(&settings.http(), base, interval, &context.clock)?,
        role,
        port: settings.integer("port"),
        label_selector: settings.text("label_selector").to_string(),
    };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    api: Api,
    role: Role,
    port: i64,
    label_selector: String,
}

#[derive(Clone, Copy)]
enum Role {
    Cloud,
    Robot,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let targets = match self.role {
            Role::Robot => {
                let servers: Vec<Rented> = self.api.json("server", &[]).await?;
                servers.iter().map(|rented| rented.server.labels(self.port)).collect()
            }
            Role::Cloud => {
                let selector = [("label_selector", self.label_selector.as_str())];
                let selector = if self.label_selector.is_empty() { &[][..] } else { &selector[..] };
                let servers: Vec<Server> = self.all("servers", selector).await?;
                let networks: Vec<Network> = self.all("networks", &[]).await?;
                let networks = networks.into_iter().map(|network| (network.id, network.name)).collect();
                servers.iter().map(|server| server.labels(self.port, &networks)).collect()
            }
        };
        Ok(vec![Group { source: SOURCE.to_string(), targets, ..Group::default() }])
    }
}

impl Source {
    /// Of all pages.
    async fn all<T: DeserializeOwned>(&self, what: &str, query: &[(&str, &str)]) -> Result<Vec<T>> {
        let (mut all, mut page) = (vec![], 1);
        loop {
            let number = page.to_string();
            let query = [query, &[("page", number.as_str()), ("per_page", "50")][..]].concat();
            let mut answer: HashMap<String, serde_json::Value> = self.api.json(what, &query).await?;
            let items = answer.remove(what).unwrap_or_default();
            let wrong =
                |error: serde_json::Error| Error::bad_input(format!("the answer is not as expected: {error}"));
            all.extend(serde_json::from_value::<Vec<T>>(items).map_err(wrong)?);
            let next = answer.get("meta").and_then(|meta| meta.pointer("/pagination/next_page")?.as_u64());
            match next {
                Some(next) if next > page && next <= MAX_PAGES && all.len() <= MAX_TARGETS => page = next,
                _ => return Ok(all),
            }
        }
    }
}

#[derive(Deserialize)]
struct Network {
    id: i64,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Server {
    id: i64,
    name: String,
    status: String,
    public_net: PublicNet,
    private_net: Option<Vec<PrivateNet>>,
    server_type: ServerType,
    location: Option<Location>,
    datacenter: Option<Datacenter>,
    image: Option<Image>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PublicNet {
    ipv4: Option<Ip>,
    ipv6: Option<Ip>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ip {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PrivateNet {
    network: i64,
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServerType {
    name: String,
    cores: i64,
    memory: f64,
    disk: i64,
    cpu_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Datacenter {
    location: Location,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    name: String,
    network_zone: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    name: Option<String>,
    description: Option<String>,
    os_flavor: Option<String>,
    os_version: Option<String>,
}

impl Server {
    fn labels(&self, port: i64, networks: &HashMap<i64, String>) -> Labels {
        let ip = |ip: &Option<Ip>| ip.as_ref().map(|ip| ip.ip.clone()).unwrap_or_default();
        let public_ip = ip(&self.public_net.ipv4);
        let mut labels = Collected::new();
        labels.set(ADDRESS, host_port(&public_ip, port));
        labels.set("__meta_hetzner_role", "hcloud");
        labels.set("__meta_hetzner_server_id", self.id.to_string());
        labels.set("__meta_hetzner_server_name", &self.name);
        labels.set("__meta_hetzner_server_status", &self.status);
        labels.set("__meta_hetzner_public_ipv4", public_ip);
        labels.set("__meta_hetzner_public_ipv6_network", ip(&self.public_net.ipv6));
        let location = self.location.as_ref().or(self.datacenter.as_ref().map(|center| &center.location));
        if let Some(location) = location {
            labels.set("__meta_hetzner_hcloud_location", &location.name);
            labels.set("__meta_hetzner_hcloud_location_network_zone", &location.network_zone);
            labels.set("__meta_hetzner_hcloud_datacenter_location", &location.name);
            labels.set("__meta_hetzner_hcloud_datacenter_location_network_zone", &location.network_zone);
        }
        let size = &self.server_type;
        labels.set("__meta_hetzner_hcloud_server_type", &size.name);
        labels.set("__meta_hetzner_hcloud_cpu_cores", size.cores.to_string());
        labels.set("__meta_hetzner_hcloud_cpu_type", &size.cpu_type);
        labels.set("__meta_hetzner_hcloud_memory_size_gb", (size.memory as i64).to_string());
        labels.set("__meta_hetzner_hcloud_disk_size_gb", size.disk.to_string());
        if let Some(image) = &self.image {
            labels.maybe("__meta_hetzner_hcloud_image_name", image.name.as_ref());
            labels.maybe("__meta_hetzner_hcloud_image_description", image.description.as_ref());
            labels.maybe("__meta_hetzner_hcloud_image_os_version", image.os_version.as_ref());
            labels.maybe("__meta_hetzner_hcloud_image_os_flavor", image.os_flavor.as_ref());
        }
        for private in self.private_net.iter().flatten() {
            if let Some(name) = networks.get(&private.network) {
                labels.named(format!("__meta_hetzner_hcloud_private_ipv4_{}", sanitized(name)), &private.ip);
            }
        }
        labels.prefixed("__meta_hetzner_hcloud_labelpresent_", pairs(&self.labels).map(|(name, _)| (name, "true")));
        labels.prefixed("__meta_hetzner_hcloud_label_", pairs(&self.labels));
        labels.build()
    }
}

#[derive(Deserialize)]
struct Rented {
    server: RentedServer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RentedServer {
    server_ip: Option<String>,
    server_number: i64,
    server_name: String,
    dc: String,
    status: String,
    product: String,
    cancelled: bool,
    subnet: Option<Vec<Subnet>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subnet {
    ip: String,
    mask: String,
}

impl RentedServer {
    fn labels(&self, port: i64) -> Labels {
        let public_ip = self.server_ip.as_deref().unwrap_or_default();
        let mut labels = Collected::new();
        labels.set(ADDRESS, host_port(public_ip, port));
        labels.set("__meta_hetzner_role", "robot");
        labels.set("__meta_hetzner_server_id", self.server_number.to_string());
        labels.set("__meta_hetzner_server_name", &self.server_name);
        labels.set("__meta_hetzner_server_status", &self.status);
        labels.set("__meta_hetzner_datacenter", self.dc.to_lowercase());
        labels.set("__meta_hetzner_public_ipv4", public_ip);
        labels.set("__meta_hetzner_robot_datacenter", self.dc.to_lowercase());
        labels.set("__meta_hetzner_robot_product", &self.product);
        labels.set("__meta_hetzner_robot_cancelled", self.cancelled.to_string());
        let network = self.subnet.iter().flatten().find(|subnet| subnet.ip.contains(':'));
        let network = network.map(|subnet| format!("{}/{}", subnet.ip, subnet.mask));
        labels.maybe("__meta_hetzner_public_ipv6_network", network);
        labels.build()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::http::HttpConfig;
    use crate::discovery::fake::{Reply, serve};

    /// Made by hand after the APIs' documentation.
    const SERVERS: &str = r#"{"servers": [{"id": 42, "name": "web", "status": "running",
        "public_net": {"ipv4": {"ip": "192.0.2.1"}, "ipv6": {"ip": "2001:db8::/64"}},
        "private_net": [{"network": 7, "ip": "10.0.0.2"}, {"network": 8, "ip": "10.1.0.2"}],
        "server_type": {"name": "cx22", "cores": 2, "memory": 4.0, "disk": 40, "cpu_type": "shared"},
        "datacenter": {"location": {"name": "fsn1", "network_zone": "eu-central"}},
        "image": {"name": "debian-13", "description": "Debian 13", "os_flavor": "debian", "os_version": "13"},
        "labels": {"my-key": "v"}}], "meta": {"pagination": {"page": 1, "next_page": 2}}}"#;
    const SECOND: &str = r#"{"servers": [{"id": 43, "name": "x", "image": null, "private_net": null, "labels": {}}],
        "meta": {"pagination": {"page": 2, "next_page": null}}}"#;
    const RENTED: &str = r#"[{"server": {"server_ip": "192.0.2.9", "server_number": 321, "server_name": "s", "dc": "NBG1-DC1",
        "status": "ready", "product": "EX 100", "cancelled": false,
        "subnet": [{"ip": "192.0.2.8", "mask": "29"}, {"ip": "2a01:4f8::", "mask": "64"}]}}]"#;

    async fn found(role: Role) -> Vec<String> {
        let address = serve(|asked| {
            let reply = match (asked.path.as_str(), asked.param("page"), asked.param("label_selector")) {
                ("/servers", "1", "a=b") => Reply::json(SERVERS),
                ("/servers", "2", "a=b") => Reply::json(SECOND),
                ("/networks", "1", "") => Reply::json(r#"{"networks": [{"id": 7, "name": "my net"}]}"#),
                ("/server", ..) => Reply::json(RENTED),
                _ => Reply::Whole(404, vec![], String::new()),
            };
            Box::pin(async move { reply })
        })
        .await;
        let clock: crate::client::Clock = Arc::new(|| 0);
        let base = format!("http://{address}");
        let api = Api::new(&HttpConfig::default(), &base, Duration::from_secs(5), &clock).unwrap();
        let mut source = Source { api, role, port: 80, label_selector: "a=b".to_string() };
        let groups = source.refresh().await.unwrap();
        assert_eq!(groups[0].source, "hetzner");
        groups[0].targets.iter().map(|target| target.to_string().replace("__meta_hetzner_", "")).collect()
    }

    #[tokio::test]
    async fn servers_of_the_cloud() {
        let first = r#"{__address__="192.0.2.1:80", hcloud_cpu_cores="2", hcloud_cpu_type="shared", hcloud_datacenter_location="fsn1", hcloud_datacenter_location_network_zone="eu-central", hcloud_disk_size_gb="40", hcloud_image_description="Debian 13", hcloud_image_name="debian-13", hcloud_image_os_flavor="debian", hcloud_image_os_version="13", hcloud_label_my_key="v", hcloud_labelpresent_my_key="true", hcloud_location="fsn1", hcloud_location_network_zone="eu-central", hcloud_memory_size_gb="4", hcloud_private_ipv4_my_net="10.0.0.2", hcloud_server_type="cx22", public_ipv4="192.0.2.1", public_ipv6_network="2001:db8::/64", role="hcloud", server_id="42", server_name="web", server_status="running"}"#;
        let all = found(Role::Cloud).await;
        assert_eq!((all.len(), all[0].as_str()), (2, first));
    }

    #[tokio::test]
    async fn servers_of_the_robot() {
        let want = r#"{__address__="192.0.2.9:80", datacenter="nbg1-dc1", public_ipv4="192.0.2.9", public_ipv6_network="2a01:4f8::/64", robot_cancelled="false", robot_datacenter="nbg1-dc1", robot_product="EX 100", role="robot", server_id="321", server_name="s", server_status="ready"}"#;
        assert_eq!(found(Role::Robot).await, [want]);
    }
}

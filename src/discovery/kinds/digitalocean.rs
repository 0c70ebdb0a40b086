//! DigitalOcean: droplets, or clusters of databases.

use async_trait::async_trait;
use serde::Deserialize;

use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, separated};
use crate::discovery::list::MAX_TARGETS;
use crate::discovery::way::{Context, Polled, Way};
use crate::error::Result;
use crate::model::labels::Labels;

const API: &str = "https://api.digitalocean.com";
const PAGE: &str = "200";

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let api = Api::new(&settings.http(), API, interval, &context.clock)?;
    let source = Source { api, databases: settings.text("role") == "databases", port: settings.integer("port") };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    api: Api,
    /// Droplets otherwise.
    databases: bool,
    port: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    droplets: Vec<Droplet>,
    databases: Option<Vec<Database>>,
    links: Links,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    pages: Option<Pages>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pages {
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Droplet {
    id: i64,
    name: String,
    image: Image,
    networks: Networks,
    region: Region,
    size_slug: String,
    status: String,
    vpc_uuid: String,
    features: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    slug: Option<String>,
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Networks {
    v4: Option<Vec<Network>>,
    v6: Option<Vec<Network>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Network {
    ip_address: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Region {
    slug: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Database {
    id: String,
    name: String,
    engine: String,
    version: String,
    status: String,
    region: String,
    size: String,
    num_nodes: i64,
    connection: Option<Connection>,
    private_connection: Option<Connection>,
    tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Connection {
    host: String,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let (path, source) = if self.databases {
            ("v2/databases", "DigitalOcean Databases")
        } else {
            ("v2/droplets", "DigitalOcean")
        };
        let mut group = Group { source: source.to_string(), ..Group::default() };
        let mut number = 1;
        loop {
            let page = number.to_string();
            let page: Page = self.api.json(path, &[("page", &page), ("per_page", PAGE)]).await?;
            let before = group.targets.len();
            group.targets.extend(page.droplets.iter().filter_map(|droplet| droplet.labels(self.port)));
            group.targets.extend(page.databases.iter().flatten().map(|database| database.labels(self.port)));
            let has_next = page.links.pages.is_some_and(|pages| pages.next.is_some_and(|next| !next.is_empty()));
            let is_empty = group.targets.len() == before && page.droplets.is_empty();
            // Lists of databases do not always tell of the next page.
            if is_empty || !has_next && !self.databases || group.targets.len() > MAX_TARGETS {
                return Ok(vec![group]);
            }
            number += 1;
        }
    }
}

impl Droplet {
    /// None before it has a network.
    fn labels(&self, port: i64) -> Option<Labels> {
        let v4 = self.networks.v4.as_ref().filter(|networks| !networks.is_empty())?;
        let address = |networks: &[Network], kind: &str| {
            let found = networks.iter().find(|network| network.r#type == kind);
            found.map(|network| network.ip_address.clone()).unwrap_or_default()
        };
        let public_ip = address(v4, "public");
        let mut labels = Collected::new();
        labels.set(ADDRESS, host_port(&public_ip, port));
        labels.set("__meta_digitalocean_droplet_id", self.id.to_string());
        labels.set("__meta_digitalocean_droplet_name", &self.name);
        labels.maybe("__meta_digitalocean_image", self.image.slug.as_ref());
        labels.maybe("__meta_digitalocean_image_name", self.image.name.as_ref());
        labels.set("__meta_digitalocean_private_ipv4", address(v4, "private"));
        labels.set("__meta_digitalocean_public_ipv4", public_ip);
        let v6 = self.networks.v6.as_deref().unwrap_or_default();
        labels.set("__meta_digitalocean_public_ipv6", address(v6, "public"));
        labels.set("__meta_digitalocean_region", &self.region.slug);
        labels.set("__meta_digitalocean_size", &self.size_slug);
        labels.set("__meta_digitalocean_status", &self.status);
        labels.set("__meta_digitalocean_vpc", &self.vpc_uuid);
        for (label, list) in
            [("__meta_digitalocean_features", &self.features), ("__meta_digitalocean_tags", &self.tags)]
        {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                labels.set(label, separated(list, ","));
            }
        }
        Some(labels.build())
    }
}

impl Database {
    fn labels(&self, port: i64) -> Labels {
        let host = |connection: &Option<Connection>| connection.as_ref().map(|connection| connection.host.clone());
        let (private, public) = (host(&self.private_connection), host(&self.connection));
        let mut labels = Collected::new();
        let address = private.clone().filter(|host| !host.is_empty()).or(public.clone());
        if let Some(host) = address.filter(|host| !host.is_empty()) {
            labels.set(ADDRESS, host_port(&host, port));
        }
        labels.set("__meta_digitalocean_db_id", &self.id);
        labels.set("__meta_digitalocean_db_name", &self.name);
        labels.set("__meta_digitalocean_db_engine", &self.engine);
        labels.set("__meta_digitalocean_db_version", &self.version);
        labels.set("__meta_digitalocean_db_status", &self.status);
        labels.set("__meta_digitalocean_db_region", &self.region);
        labels.set("__meta_digitalocean_db_size", &self.size);
        labels.set("__meta_digitalocean_db_num_nodes", self.num_nodes.to_string());
        labels.maybe("__meta_digitalocean_db_private_host", private);
        labels.maybe("__meta_digitalocean_db_host", public);
        for tag in self.tags.iter().flatten() {
            labels.named(format!("__meta_digitalocean_db_tag_{tag}"), "true");
        }
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

    /// Made by hand after the API's documentation.
    const DROPLETS: &str = r#"{"droplets": [
        {"id": 1, "name": "web", "status": "active", "size_slug": "s-1vcpu-1gb", "vpc_uuid": "v", "features": ["backups", "ipv6"],
         "tags": ["a", "b"], "region": {"slug": "fra1"}, "image": {"slug": "ubuntu-24", "name": "24.04"},
         "networks": {"v4": [{"ip_address": "10.0.0.1", "type": "private"}, {"ip_address": "192.0.2.1", "type": "public"}],
           "v6": [{"ip_address": "2001:db8::1", "type": "public"}]}},
        {"id": 2, "name": "new", "networks": {"v4": []}}], "links": {"pages": {"next": "https://x?page=2"}}}"#;
    const SECOND: &str = r#"{"droplets": [{"id": 3, "name": "last", "image": {"slug": null, "name": "own"}, "features": [], "tags": null,
        "networks": {"v4": [{"ip_address": "192.0.2.3", "type": "public"}]}}], "links": {}}"#;
    const DATABASES: &str = r#"{"databases": [{"id": "d", "name": "db", "engine": "pg", "version": "17", "status": "online",
        "region": "fra1", "size": "db-s", "num_nodes": 2, "connection": {"host": "db.example"},
        "private_connection": {"host": "private.example"}, "tags": ["prod"]}], "links": {}}"#;

    async fn found(databases: bool) -> Vec<String> {
        let address = serve(|asked| {
            let reply = match (asked.path.as_str(), asked.param("page")) {
                ("/v2/droplets", "1") => Reply::json(DROPLETS),
                ("/v2/droplets", "2") => Reply::json(SECOND),
                ("/v2/databases", "1") => Reply::json(DATABASES),
                ("/v2/databases", _) => Reply::json(r#"{"databases": null}"#),
                _ => Reply::Whole(404, vec![], String::new()),
            };
            Box::pin(async move { reply })
        })
        .await;
        let clock: crate::client::Clock = Arc::new(|| 0);
        let base = format!("http://{address}");
        let api = Api::new(&HttpConfig::default(), &base, Duration::from_secs(5), &clock).unwrap();
        let groups = Source { api, databases, port: 80 }.refresh().await.unwrap();
        groups[0].targets.iter().map(|target| target.to_string().replace("__meta_digitalocean_", "")).collect()
    }

    #[tokio::test]
    async fn droplets() {
        let first = r#"{__address__="192.0.2.1:80", droplet_id="1", droplet_name="web", features=",backups,ipv6,", image="ubuntu-24", image_name="24.04", private_ipv4="10.0.0.1", public_ipv4="192.0.2.1", public_ipv6="2001:db8::1", region="fra1", size="s-1vcpu-1gb", status="active", tags=",a,b,", vpc="v"}"#;
        let last = r#"{__address__="192.0.2.3:80", droplet_id="3", droplet_name="last", image_name="own", public_ipv4="192.0.2.3"}"#;
        assert_eq!(found(false).await, [first, last]);
    }

    #[tokio::test]
    async fn databases() {
        let want = r#"{__address__="private.example:80", db_engine="pg", db_host="db.example", db_id="d", db_name="db", db_num_nodes="2", db_private_host="private.example", db_region="fra1", db_size="db-s", db_status="online", db_tag_prod="true", db_version="17"}"#;
        assert_eq!(found(true).await, [want]);
    }
}

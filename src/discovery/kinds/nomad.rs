//! Nomad: the services that are entered in its own register.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, separated};
use crate::discovery::stats::{Stats, add_one};
use crate::discovery::way::{Context, Polled, Way};
use crate::error::Result;
use crate::model::labels::Labels;

const SOURCE: &str = "Nomad";

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let source = Source {
        api: Api::new(&settings.http(), settings.text("server"), interval, &context.clock)?,
        region: settings.text("region").to_string(),
        namespace: settings.text("namespace").to_string(),
        allow_stale: settings.is_true("allow_stale"),
        tag_separator: settings.text("tag_separator").to_string(),
        stats: context.stats.clone(),
    };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    api: Api,
    region: String,
    namespace: String,
    allow_stale: bool,
    tag_separator: String,
    stats: Arc<Stats>,
}

/// The services of a namespace.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Namespace {
    services: Option<Vec<Service>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    service_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Instance {
    #[serde(rename = "ID")]
    id: String,
    service_name: String,
    namespace: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    datacenter: String,
    tags: Option<Vec<String>>,
    address: String,
    port: i64,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let found = self.targets().await;
        if found.is_err() {
            add_one(&self.stats.nomad_failures);
        }
        Ok(vec![Group { source: SOURCE.to_string(), targets: found?, ..Group::default() }])
    }
}

impl Source {
    async fn targets(&self) -> Result<Vec<Labels>> {
        let mut targets = vec![];
        let namespaces: Option<Vec<Namespace>> = self.ask("v1/services").await?;
        for service in namespaces.into_iter().flatten().flat_map(|namespace| namespace.services.unwrap_or_default())
        {
            let instances: Option<Vec<Instance>> =
                self.ask(&format!("v1/service/{}", service.service_name)).await?;
            targets.extend(instances.iter().flatten().map(|instance| instance.labels(&self.tag_separator)));
        }
        Ok(targets)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut query = vec![];
        for (name, value) in [("region", &self.region), ("namespace", &self.namespace)] {
            if !value.is_empty() {
                query.push((name, value.as_str()));
            }
        }
        if self.allow_stale {
            query.push(("stale", ""));
        }
        self.api.json(path, &query).await
    }
}

impl Instance {
    fn labels(&self, tag_separator: &str) -> Labels {
        let mut labels = Collected::new();
        labels.set(ADDRESS, host_port(&self.address, self.port));
        labels.set("__meta_nomad_address", &self.address);
        labels.set("__meta_nomad_dc", &self.datacenter);
        labels.set("__meta_nomad_node_id", &self.node_id);
        labels.set("__meta_nomad_namespace", &self.namespace);
        labels.set("__meta_nomad_service", &self.service_name);
        labels.set("__meta_nomad_service_address", &self.address);
        labels.set("__meta_nomad_service_id", &self.id);
        labels.set("__meta_nomad_service_port", self.port.to_string());
        if let Some(tags) = self.tags.as_ref().filter(|tags| !tags.is_empty()) {
            labels.set("__meta_nomad_tags", separated(tags, tag_separator));
        }
        labels.build()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::discovery::fake::{Reply, Running, serve};

    #[tokio::test]
    async fn services_and_their_labels() {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let address = serve(move |asked| {
            let query: Vec<String> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            seen.lock().push(format!("{}?{}", asked.path, query.join("&")));
            let reply = match asked.path.as_str() {
                "/v1/services" => {
                    Reply::json(r#"[{"Namespace": "n", "Services": [{"ServiceName": "web", "Tags": ["a"]}]}, {"Services": null}]"#)
                }
                "/v1/service/web" => Reply::json(
                    r#"[{"ID": "_nomad-1", "ServiceName": "web", "Namespace": "n", "NodeID": "node", "Datacenter": "dc1",
                        "Tags": ["a", "b"], "Address": "10.0.0.1", "Port": 8080},
                        {"ID": "_nomad-2", "ServiceName": "web", "Tags": [], "Address": "::1", "Port": 1}]"#,
                ),
                _ => Reply::Whole(404, vec![], String::new()),
            };
            Box::pin(async move { reply })
        })
        .await;
        let entry = format!("{{server: 'http://{address}', namespace: n, region: r, refresh_interval: 100ms}}");
        let running = Running::start("nomad", &entry);
        let found = running.found("__address__", &["10.0.0.1:8080", "[::1]:1"]).await;
        let want = r#"{__address__="10.0.0.1:8080", __meta_nomad_address="10.0.0.1", __meta_nomad_dc="dc1", __meta_nomad_namespace="n", __meta_nomad_node_id="node", __meta_nomad_service="web", __meta_nomad_service_address="10.0.0.1", __meta_nomad_service_id="_nomad-1", __meta_nomad_service_port="8080", __meta_nomad_tags=",a,b,"}"#;
        assert_eq!(found[0].to_string(), want);
        let query = "region=r&namespace=n&stale=";
        assert_eq!(asked.lock()[..2], [format!("/v1/services?{query}"), format!("/v1/service/web?{query}")]);
    }
}

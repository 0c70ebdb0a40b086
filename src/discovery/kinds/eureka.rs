//! Eureka: the instances of all applications.

use async_trait::async_trait;

use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, sanitized};
use crate::discovery::way::{Context, Polled, Way};
use crate::discovery::xml::Element;
use crate::error::Result;
use crate::model::labels::Labels;

const SOURCE: &str = "eureka";
/// Of an instance that names none.
const PORT: &str = "80";

/// Labels that are an element's text.
const LABELS: [(&str, &str); 10] = [
    ("__meta_eureka_app_instance_hostname", "hostName"),
    ("__meta_eureka_app_instance_homepage_url", "homePageUrl"),
    ("__meta_eureka_app_instance_statuspage_url", "statusPageUrl"),
    ("__meta_eureka_app_instance_healthcheck_url", "healthCheckUrl"),
    ("__meta_eureka_app_instance_ip_addr", "ipAddr"),
    ("__meta_eureka_app_instance_vip_address", "vipAddress"),
    ("__meta_eureka_app_instance_secure_vip_address", "secureVipAddress"),
    ("__meta_eureka_app_instance_status", "status"),
    ("__meta_eureka_app_instance_id", "instanceId"),
    ("instance", "instanceId"),
];

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let api = Api::new(&settings.http(), settings.text("server"), interval, &context.clock)?;
    Ok(Way::Polled { interval, source: Box::new(Source(api)) })
}

struct Source(Api);

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let url = self.0.url("apps", &[]);
        // Eureka would answer in JSON if it were asked to.
        let answer = self.0.exchange(crate::client::Request::get(url), self.0.timeout()).await?.good()?;
        let targets = targets(&Element::parse(&answer.body)?);
        Ok(vec![Group { source: SOURCE.to_string(), targets, ..Group::default() }])
    }
}

fn targets(root: &Element) -> Vec<Labels> {
    let named = |name: &'static str| move |element: &&Element| element.name == name;
    let applications = root.children.iter().filter(named("application"));
    let instances = applications.flat_map(|application| {
        let name = application.text_of("name").unwrap_or_default();
        application.children.iter().filter(named("instance")).map(move |instance| target(name, instance))
    });
    instances.collect()
}

fn target(application: &str, instance: &Element) -> Labels {
    let mut labels = Collected::new();
    labels.set("__meta_eureka_app_name", application);
    for (label, element) in LABELS {
        labels.maybe(label, instance.text_of(element));
    }
    let country = instance.text_of("countryId").and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    labels.set("__meta_eureka_app_instance_country_id", country.to_string());
    let mut port = None;
    for (label, enabled, element) in [
        ("__meta_eureka_app_instance_port", "__meta_eureka_app_instance_port_enabled", "port"),
        ("__meta_eureka_app_instance_secure_port", "__meta_eureka_app_instance_secure_port_enabled", "securePort"),
    ] {
        if let Some(found) = instance.child(element) {
            let number = found.text.trim();
            labels.set(label, number);
            labels.set(enabled, (found.attribute("enabled") == "true").to_string());
            port = port.or((element == "port").then_some(number));
        }
    }
    if let Some(center) = instance.child("dataCenterInfo") {
        labels.maybe("__meta_eureka_app_instance_datacenterinfo_name", center.text_of("name"));
        add_metadata(&mut labels, "__meta_eureka_app_instance_datacenterinfo_metadata_", center);
    }
    add_metadata(&mut labels, "__meta_eureka_app_instance_metadata_", instance);
    labels.set(ADDRESS, host_port(instance.text_of("hostName").unwrap_or_default(), port.unwrap_or(PORT)));
    labels.build()
}

fn add_metadata(labels: &mut Collected, prefix: &str, of: &Element) {
    for item in of.items("metadata") {
        labels.named(format!("{prefix}{}", sanitized(&item.name)), item.text.as_str());
    }
}

#[cfg(test)]
mod tests {
    use crate::discovery::fake::{Reply, Running, serve};

    /// Made by hand after Eureka's documentation.
    const APPS: &str = r#"<applications><versions__delta>1</versions__delta><apps__hashcode>UP_2_</apps__hashcode>
      <application><name>SHOP</name>
        <instance><instanceId>i1</instanceId><hostName>shop-1</hostName><app>SHOP</app><ipAddr>10.0.0.1</ipAddr>
          <status>UP</status><port enabled="true">8080</port><securePort enabled="false">443</securePort>
          <countryId>1</countryId><dataCenterInfo class="x"><name>Amazon</name><metadata><instance-id>i-9</instance-id>
          </metadata></dataCenterInfo><metadata><management.port>8090</management.port></metadata>
          <homePageUrl>http://shop-1:8080/</homePageUrl><statusPageUrl>http://shop-1:8080/info</statusPageUrl>
          <healthCheckUrl>http://shop-1:8080/health</healthCheckUrl><vipAddress>shop</vipAddress>
          <secureVipAddress>shop-s</secureVipAddress></instance>
        <instance><hostName>shop-2</hostName></instance></application></applications>"#;

    #[tokio::test]
    async fn instances_and_their_labels() {
        let address = serve(|asked| {
            let reply = match asked.path.as_str() {
                "/eureka/apps" => Reply::Whole(200, vec![], APPS.to_string()),
                _ => Reply::Whole(404, vec![], String::new()),
            };
            Box::pin(async move { reply })
        })
        .await;
        let running = Running::start("eureka", &format!("{{server: 'http://{address}/eureka'}}"));
        let found = running.found("__address__", &["shop-1:8080", "shop-2:80"]).await;
        let first = found[0].to_string().replace("__meta_eureka_", "").replace("app_instance_", "");
        let want = r#"{__address__="shop-1:8080", country_id="1", datacenterinfo_metadata_instance_id="i-9", datacenterinfo_name="Amazon", healthcheck_url="http://shop-1:8080/health", homepage_url="http://shop-1:8080/", hostname="shop-1", id="i1", ip_addr="10.0.0.1", metadata_management_port="8090", port="8080", port_enabled="true", secure_port="443", secure_port_enabled="false", secure_vip_address="shop-s", status="UP", statuspage_url="http://shop-1:8080/info", vip_address="shop", app_name="SHOP", instance="i1"}"#;
        assert_eq!(first, want);
    }
}

//! `alerting`: where alerts are sent, and how they are relabelled before.

use std::time::Duration;

use crate::config::discovery::{self, Discovery};
use crate::config::http::{self, HttpConfig, line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::relabel;
use crate::config::schema::{Kind, Printed, Schema, below, field, with};
use crate::config::scrape::{self, StaticConfig};
use crate::config::values;
use crate::config::yaml::Node;
use crate::model::relabel::Rule;

pub static ALERTING: Schema = Schema {
    name: "alerting",
    fields: &[&[
        relabel::rules("alert_relabel_configs"),
        field("alertmanagers", Kind::List(&Kind::Section(&ALERTMANAGER))),
    ]],
};

static ALERTMANAGER: Schema = Schema {
    name: "alertmanager config",
    fields: &[
        http::FIELDS,
        &[
            field("sigv4", Kind::Section(&SIGV4)),
            with("scheme", Kind::Text, "http"),
            field("path_prefix", Kind::Text),
            with("timeout", Kind::Duration, "10s"),
            with("api_version", Kind::Text, "v2").printed(Printed::Always),
            relabel::rules("relabel_configs"),
            relabel::rules("alert_relabel_configs"),
        ],
        discovery::AROUND_STATIC.0,
        &[scrape::STATIC_CONFIGS],
        discovery::AROUND_STATIC.1,
    ],
};

/// How requests to AWS are signed.
pub static SIGV4: Schema = Schema {
    name: "sigv4",
    fields: &[&[
        field("region", Kind::Text),
        field("access_key", Kind::Text),
        field("secret_key", Kind::Secret),
        field("profile", Kind::Text),
        field("role_arn", Kind::Text),
        field("external_id", Kind::Text),
        field("use_fips_sts_endpoint", Kind::Bool),
        field("service_name", Kind::Text),
    ]],
};

#[derive(Clone, Debug, Default)]
pub struct Alerting {
    /// What alerts pass before they go to any Alertmanager.
    pub alert_relabel_configs: Vec<Rule>,
    pub alertmanagers: Vec<Alertmanagers>,
}

/// Alertmanagers that are found and asked alike.
#[derive(Clone, Debug)]
pub struct Alertmanagers {
    /// `alerting.alertmanagers[0]`, for errors.
    pub path: String,
    pub http: HttpConfig,
    /// Any text; an Alertmanager whose scheme is none cannot be sent to.
    pub scheme: String,
    /// In front of `/api/v2/alerts`, as it is written.
    pub path_prefix: String,
    /// Of a request.
    pub timeout: Duration,
    pub static_configs: Vec<StaticConfig>,
    pub discoveries: Vec<Discovery>,
    /// What becomes of those that are found.
    pub relabel_configs: Vec<Rule>,
    /// What alerts pass before they go to these.
    pub alert_relabel_configs: Vec<Rule>,
}

impl Alerting {
    /// With the names that Prometheus has for them among the jobs of discovery: `config-0` is the first.
    pub fn named_alertmanagers(&self) -> impl Iterator<Item = (String, &Alertmanagers)> {
        self.alertmanagers.iter().enumerate().map(|(position, set)| (format!("config-{position}"), set))
    }

    pub(super) fn read(node: &Node, names: NameValidation, found: &Found) -> Self {
        let path = "alerting";
        let all = node.get("alertmanagers").map(Node::items).unwrap_or_default().iter().enumerate();
        Self {
            alert_relabel_configs: relabel::read(node, "alert_relabel_configs", path, names, found),
            alertmanagers: all
                .map(|(i, node)| Alertmanagers::read(node, &format!("{path}.alertmanagers[{i}]"), names, found))
                .collect(),
        }
    }
}

impl Alertmanagers {
    fn read(node: &Node, path: &str, names: NameValidation, found: &Found) -> Self {
        if let Some(version) = text(node, "api_version").filter(|version| *version != "v2") {
            let message = format!("expected Alertmanager api version to be one of [v2] but got {version}");
            found.add(line_of(node, "api_version"), &below(path, "api_version"), message);
        }
        http::check(node, path, &["sigv4"], found);
        let relabel_configs = relabel::read(node, "relabel_configs", path, names, found);
        let timeout_ms = values::duration_ms(node, "timeout", 10_000);
        // An empty scheme is one, and none that works.
        let scheme = node.get("scheme").map_or("http", |node| node.text().unwrap_or(""));
        Self {
            path: path.to_string(),
            http: HttpConfig::read(node),
            scheme: scheme.to_string(),
            path_prefix: values::text(node, "path_prefix").unwrap_or("").to_string(),
            timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
            static_configs: scrape::static_configs(node, path, !relabel_configs.is_empty(), names, found),
            discoveries: discovery::read(node, path, found),
            alert_relabel_configs: relabel::read(node, "alert_relabel_configs", path, names, found),
            relabel_configs,
        }
    }
}

/// What a section with this node asks for that nothing here does yet.
pub(super) fn not_built(node: &Node, alerting: &Alerting, found: &Found) {
    let nodes = node.get("alertmanagers").map(Node::items).unwrap_or_default();
    for (node, settings) in nodes.iter().zip(&alerting.alertmanagers) {
        // An empty section asks for what the environment says.
        if node.get("sigv4").is_some_and(|section| !section.is_null()) {
            found.add(line_of(node, "sigv4"), &below(&settings.path, "sigv4"), "is not supported yet");
        }
        for discovery in &settings.discoveries {
            if let Some(message) = discovery.missing() {
                found.add(discovery.line, &below(&settings.path, discovery.kind.key), message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    #[test]
    fn settings_and_defaults() {
        let config = Config::parse_with_env(
            "alerting:\n\
             \x20 alertmanagers:\n\
             \x20 - static_configs: [{targets: ['a:1']}]\n\
             \x20 - scheme: https\n\
             \x20   path_prefix: am/\n\
             \x20   timeout: 3s\n\
             \x20   follow_redirects: false\n\
             \x20   dns_sd_configs: [{names: [x], type: A, port: 1}]\n\
             \x20   alert_relabel_configs: [{action: labeldrop, regex: replica}]\n",
            &|_| None,
        );
        let config = config.unwrap();
        let [first, second] = &config.alerting.alertmanagers[..] else { panic!("{:?}", config.alerting) };
        assert_eq!((first.scheme.as_str(), first.path_prefix.as_str()), ("http", ""));
        assert_eq!((first.timeout, first.http.no_redirects), (Duration::from_secs(10), false));
        assert_eq!((second.scheme.as_str(), second.path_prefix.as_str()), ("https", "am/"));
        assert_eq!((second.timeout, second.http.no_redirects), (Duration::from_secs(3), true));
        assert_eq!((second.discoveries.len(), second.alert_relabel_configs.len()), (1, 1));
        assert!(config.not_built().is_ok());
    }

    #[test]
    fn what_is_not_built_is_named() {
        let text = "alerting:\n  alertmanagers:\n  - static_configs: []\n  - sigv4: {region: x}\n    eureka_sd_configs: \
                    [{server: 'http://e/'}]\n    gce_sd_configs:\n    - {project: p, zone: z}\n";
        let told = Config::parse_with_env(text, &|_| None).unwrap().not_built().unwrap_err().0;
        let lines: Vec<(Option<usize>, &str)> = told.iter().map(|m| (m.line, m.path.as_str())).collect();
        let of = |key: &str| format!("alerting.alertmanagers[1].{key}");
        assert_eq!(lines, [(Some(4), of("sigv4").as_str()), (Some(7), of("gce_sd_configs").as_str())]);
    }
}

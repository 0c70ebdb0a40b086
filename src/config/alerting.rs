//! `alerting`: where alerts are sent, and how they are relabelled before.

use crate::config::discovery::{self, Discovery};
use crate::config::http::{self, line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::relabel;
use crate::config::schema::{Kind, Schema, below, field, with};
use crate::config::scrape::{self, StaticConfig};
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
            with("api_version", Kind::Text, "v2"),
            relabel::rules("relabel_configs"),
            relabel::rules("alert_relabel_configs"),
            field("static_configs", Kind::List(&Kind::Section(&scrape::STATIC))),
        ],
        discovery::FIELDS,
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
    pub alert_relabel_configs: Vec<Rule>,
    pub alertmanagers: Vec<Alertmanagers>,
}

/// Alertmanagers that are found and asked alike.
#[derive(Clone, Debug)]
pub struct Alertmanagers {
    pub static_configs: Vec<StaticConfig>,
    pub discoveries: Vec<Discovery>,
    pub relabel_configs: Vec<Rule>,
    pub alert_relabel_configs: Vec<Rule>,
}

impl Alerting {
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
        Self {
            static_configs: scrape::static_configs(node, path, !relabel_configs.is_empty(), names, found),
            discoveries: discovery::read(node, path, found),
            alert_relabel_configs: relabel::read(node, "alert_relabel_configs", path, names, found),
            relabel_configs,
        }
    }
}

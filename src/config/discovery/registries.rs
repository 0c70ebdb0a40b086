//! Registers in which services or machines are entered by others: Consul, Nomad, Eureka, Zookeeper and the like.

use crate::config::discovery::{add, check_url, has, kept, required, scheme_and_host, text};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, field, with};
use crate::config::yaml::Node;

pub static CONSUL: Schema = Schema {
    name: "consul_sd_config",
    fields: &[
        &[
            with("server", Kind::Text, "localhost:8500"),
            field("path_prefix", Kind::Text),
            field("token", Kind::Secret),
            field("datacenter", Kind::Text),
            field("namespace", Kind::Text),
            field("partition", Kind::Text),
            with("tag_separator", Kind::Text, ","),
            with("scheme", Kind::Text, "http"),
            field("username", Kind::Text),
            field("password", Kind::Secret),
            with("allow_stale", Kind::Bool, "true"),
            with("refresh_interval", Kind::Duration, "30s"),
            field("services", Kind::List(&Kind::Text)),
            field("tags", Kind::List(&Kind::Text)),
            field("node_meta", Kind::Map(&Kind::Text)),
            field("filter", Kind::Text),
            field("health_filter", Kind::Text),
        ],
        http::FIELDS,
    ],
};

pub static EUREKA: Schema = Schema {
    name: "eureka_sd_config",
    fields: &[&[field("server", Kind::Url), with("refresh_interval", Kind::Duration, "30s")], http::FIELDS],
};

pub static KUMA: Schema = Schema {
    name: "kuma_sd_config",
    fields: &[
        &[
            field("server", Kind::Url),
            field("client_id", Kind::Text),
            with("refresh_interval", Kind::Duration, "15s"),
            with("fetch_timeout", Kind::Duration, "2m"),
        ],
        http::FIELDS,
    ],
};

/// Zookeeper, for both that keep their entries in it.
const ZOOKEEPER: &[Field] = &[
    field("servers", Kind::List(&Kind::Text)),
    field("paths", Kind::List(&Kind::Text)),
    with("timeout", Kind::Duration, "10s"),
];

pub static NERVE: Schema = Schema { name: "nerve_sd_config", fields: &[ZOOKEEPER] };

pub static SERVERSET: Schema = Schema { name: "serverset_sd_config", fields: &[ZOOKEEPER] };

pub static NOMAD: Schema = Schema {
    name: "nomad_sd_config",
    fields: &[
        &[
            with("allow_stale", Kind::Bool, "true"),
            with("namespace", Kind::Text, "default"),
            with("refresh_interval", Kind::Duration, "60s"),
            with("region", Kind::Text, "global"),
            with("server", Kind::Text, "http://localhost:4646"),
            with("tag_separator", Kind::Text, ","),
        ],
        http::FIELDS,
    ],
};

pub static PUPPETDB: Schema = Schema {
    name: "puppetdb_sd_config",
    fields: &[
        &[
            field("url", Kind::Url),
            field("query", Kind::Text),
            with("include_parameters", Kind::Bool, "false"),
            with("refresh_interval", Kind::Duration, "60s"),
            with("port", Kind::Integer, "80"),
        ],
        http::FIELDS,
    ],
};

pub static UYUNI: Schema = Schema {
    name: "uyuni_sd_config",
    fields: &[
        &[
            field("server", Kind::Url),
            field("username", Kind::Text),
            field("password", Kind::Secret),
            with("entitlement", Kind::Text, "monitoring_entitled"),
            with("separator", Kind::Text, ","),
            with("refresh_interval", Kind::Duration, "60s"),
        ],
        http::FIELDS,
    ],
};

pub(super) fn check_consul(node: &Node, path: &str, found: &Found) {
    kept(node, path, "server", "consul SD configuration requires a server address", found);
    if (has(node, "username") || has(node, "password")) && has(node, "basic_auth") {
        let message =
            "at most one of consul SD configuration username and password and basic auth can be configured";
        add(node, path, "basic_auth", message, found);
    }
    let other = ["authorization", "oauth2"].into_iter().find(|key| has(node, key));
    if let Some(other) = other.filter(|_| has(node, "token")) {
        let message = "at most one of consul SD token, authorization, or oauth2 can be configured";
        add(node, path, other, message, found);
    }
}

pub(super) fn check_eureka(node: &Node, path: &str, found: &Found) {
    if !has(node, "server") {
        add(node, path, "server", "eureka_sd: empty or null eureka server", found);
    } else if !has_scheme_and_host(node) {
        add(node, path, "server", "eureka_sd: invalid eureka server URL", found);
    }
}

pub(super) fn check_kuma(node: &Node, path: &str, found: &Found) {
    if !has(node, "server") {
        add(node, path, "server", "kuma SD server must not be empty: ", found);
    } else if !has_scheme_and_host(node) {
        let server = text(node, "server", "");
        let message = format!("kuma SD server must not be empty and have a scheme: {server}");
        add(node, path, "server", &message, found);
    }
}

fn has_scheme_and_host(node: &Node) -> bool {
    let (scheme, host) = scheme_and_host(text(node, "server", ""));
    !scheme.is_empty() && !host.is_empty()
}

pub(super) fn check_nerve(node: &Node, path: &str, found: &Found) {
    check_zookeeper("nerve", node, path, found);
}

pub(super) fn check_serverset(node: &Node, path: &str, found: &Found) {
    check_zookeeper("serverset", node, path, found);
}

fn check_zookeeper(name: &str, node: &Node, path: &str, found: &Found) {
    let no_server = format!("{name} SD config must contain at least one Zookeeper server");
    let no_path = format!("{name} SD config must contain at least one path");
    required(node, path, &[("servers", &no_server), ("paths", &no_path)], found);
    for (position, item) in node.get("paths").map(Node::items).unwrap_or_default().iter().enumerate() {
        let wrong = item.text().unwrap_or_default();
        if !wrong.starts_with('/') {
            let message = format!("{name} SD config paths must begin with '/': {wrong}");
            found.add(item.line, &format!("{path}.paths[{position}]"), message);
        }
    }
}

pub(super) fn check_nomad(node: &Node, path: &str, found: &Found) {
    kept(node, path, "server", "nomad SD configuration requires a server address", found);
}

pub(super) fn check_puppetdb(node: &Node, path: &str, found: &Found) {
    check_url(node, path, found);
    required(node, path, &[("query", "query missing")], found);
}

pub(super) fn check_uyuni(node: &Node, path: &str, found: &Found) {
    let keys = [
        ("server", "Uyuni SD configuration requires server host"),
        ("username", "Uyuni SD configuration requires a username"),
        ("password", "Uyuni SD configuration requires a password"),
    ];
    required(node, path, &keys, found);
}

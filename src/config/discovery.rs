//! Service discovery: what each kind may be told, as data, and the rules that a table of keys cannot say.
//!
//! A scrape or Alertmanager section takes in [`FIELDS`] and is checked as any other; then [`read`] collects its
//! entries and checks each by its kind. Nothing here looks anything up. `static_configs`, which Prometheus counts
//! among the kinds, are targets rather than a way to find them, and stand with the sections that hold them.

use std::fmt;

use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, below, field};
use crate::config::yaml::{Node, Value};

/// DNS records, files, the answer of an HTTP server.
mod lists;
/// Consul, Eureka, Nomad, Zookeeper and the like.
mod registries;
/// Docker, Swarm, Marathon.
mod containers;
/// Kubernetes.
mod kubernetes;
/// Amazon's services.
mod aws;
/// Other clouds.
mod clouds;
/// Selectors of Kubernetes' API.
mod selector;
/// What an entry says.
pub mod settings;

/// A way to find targets.
pub struct DiscoveryKind {
    pub name: &'static str,
    /// Of its entries in a section.
    pub key: &'static str,
    pub schema: &'static Schema,
    /// Its own rules, after those of the schema; not those of an HTTP client.
    check: Check,
}

type Check = fn(&Node, &str, &Found);

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    pub kind: &'static DiscoveryKind,
    pub node: Node,
    pub line: usize,
}

/// Both tables from one row a kind, since they have to name the same keys.
macro_rules! kinds {
    ($($name:literal, $schema:expr, $check:expr;)*) => {
        /// All kinds but `static`.
        pub const KINDS: &[DiscoveryKind] = &[$(DiscoveryKind {
            name: $name,
            key: concat!($name, "_sd_configs"),
            schema: &$schema,
            check: $check,
        }),*];

        /// The keys, to be taken into a section.
        pub const FIELDS: &[Field] = &[
            $(field(concat!($name, "_sd_configs"), Kind::List(const { &Kind::Section(&$schema) }))),*
        ];
    };
}

kinds! {
    "aws", aws::AWS, aws::check_role;
    "azure", clouds::AZURE, clouds::check_azure;
    "consul", registries::CONSUL, registries::check_consul;
    "digitalocean", clouds::DIGITALOCEAN, anything;
    "dns", lists::DNS, lists::check_dns;
    "docker", containers::DOCKER, containers::check_docker;
    "dockerswarm", containers::DOCKERSWARM, containers::check_dockerswarm;
    "ec2", aws::EC2, aws::check_ec2;
    "ecs", aws::ECS, anything;
    "elasticache", aws::ELASTICACHE, anything;
    "eureka", registries::EUREKA, registries::check_eureka;
    "file", lists::FILE, lists::check_file;
    "gce", clouds::GCE, clouds::check_gce;
    "hetzner", clouds::HETZNER, clouds::check_hetzner;
    "http", lists::HTTP, lists::check_http;
    "ionos", clouds::IONOS, clouds::check_ionos;
    "kubernetes", kubernetes::KUBERNETES, kubernetes::check;
    "kuma", registries::KUMA, registries::check_kuma;
    "lightsail", aws::LIGHTSAIL, anything;
    "linode", clouds::LINODE, anything;
    "marathon", containers::MARATHON, containers::check_marathon;
    "msk", aws::MSK, anything;
    "nerve", registries::NERVE, registries::check_nerve;
    "nomad", registries::NOMAD, registries::check_nomad;
    "oci", clouds::OCI, clouds::check_oci;
    "openstack", clouds::OPENSTACK, clouds::check_openstack;
    "outscale", clouds::OUTSCALE, clouds::check_outscale;
    "ovhcloud", clouds::OVHCLOUD, clouds::check_ovhcloud;
    "puppetdb", registries::PUPPETDB, registries::check_puppetdb;
    "rds", aws::RDS, anything;
    "scaleway", clouds::SCALEWAY, clouds::check_scaleway;
    "serverset", registries::SERVERSET, registries::check_serverset;
    "stackit", clouds::STACKIT, clouds::check_stackit;
    "triton", clouds::TRITON, clouds::check_triton;
    "uyuni", registries::UYUNI, registries::check_uyuni;
    "vultr", clouds::VULTR, anything;
}

/// The keys before and behind `static_configs`, as sections are printed in the order of names.
pub const AROUND_STATIC: (&[Field], &[Field]) = FIELDS.split_at(FIELDS.len() - BEHIND_STATIC);

/// `triton`, `uyuni` and `vultr`.
const BEHIND_STATIC: usize = 3;

/// The kinds that find something; the others are refused when the server starts.
pub const BUILT: &[&str] = &[
    "aws",
    "consul",
    "digitalocean",
    "dns",
    "docker",
    "dockerswarm",
    "ec2",
    "eureka",
    "file",
    "hetzner",
    "http",
    "kubernetes",
    "nomad",
];

/// Which of many are asked for, where an API has filters by name.
const FILTERS: &[Field] = &[field("filters", Kind::List(const { &Kind::Section(&FILTER) }))];

static FILTER: Schema =
    Schema { name: "filter", fields: &[&[field("name", Kind::Text), field("values", Kind::List(&Kind::Text))]] };

/// The entries of a section in the order of the file. What is wrong with their keys was found through its schema.
pub(super) fn read(section: &Node, path: &str, found: &Found) -> Vec<Discovery> {
    let mut all = vec![];
    for (key, entries) in section.entries() {
        let Some(kind) = KINDS.iter().find(|kind| kind.key == key.text) else { continue };
        let path = below(path, kind.key);
        for (position, node) in entries.items().iter().enumerate() {
            // Anything else is not one, as the schema has told.
            if matches!(node.value, Value::Map(_)) {
                kind.check(node, &format!("{path}[{position}]"), found);
                all.push(Discovery { kind, node: node.clone(), line: node.line });
            }
        }
    }
    all
}

impl Discovery {
    /// What is told where it would find nothing, since its kind is not built.
    pub(super) fn missing(&self) -> Option<String> {
        match (self.kind.name, text(&self.node, "role", "")) {
            (name, _) if !BUILT.contains(&name) => Some("is not supported yet".to_string()),
            ("aws", role) if role != "ec2" => Some(format!("the role {role} is not supported yet")),
            _ => None,
        }
    }
}

impl DiscoveryKind {
    fn check(&self, node: &Node, path: &str, found: &Found) {
        (self.check)(node, path, found);
        if self.schema.field("basic_auth").is_some() {
            http::check(node, path, &[], found);
        } else if let Some(tls) = node.get("tls_config") {
            http::check_tls(tls, &below(path, "tls_config"), found);
        }
    }
}

impl PartialEq for DiscoveryKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for DiscoveryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn anything(_: &Node, _: &str, _: &Found) {}

/// The text of a key, or its default: what is there with nothing behind it is empty, as in Prometheus.
fn text<'a>(node: &'a Node, key: &str, default: &'a str) -> &'a str {
    node.get(key).map_or(default, |node| node.text().unwrap_or_default())
}

/// Whether a key has a value: neither an empty text nor an empty list.
fn has(node: &Node, key: &str) -> bool {
    match node.get(key).map(|node| &node.value) {
        None | Some(Value::Null) => false,
        Some(Value::Scalar(scalar)) => !scalar.text.is_empty(),
        Some(Value::List(items)) => !items.is_empty(),
        Some(Value::Map(_)) => true,
    }
}

/// Where a key is, or would be.
fn add(node: &Node, path: &str, key: &str, message: &str, found: &Found) {
    found.add(http::line_of(node, key), &below(path, key), message);
}

/// Keys without a default, each with what is told if it has no value.
fn required(node: &Node, path: &str, keys: &[(&str, &str)], found: &Found) {
    for (key, message) in keys.iter().filter(|(key, _)| !has(node, key)) {
        add(node, path, key, message, found);
    }
}

/// The same for a key of certain words, where the schema has told that an empty text is none of them.
fn required_word(node: &Node, path: &str, key: &str, message: &str, found: &Found) {
    if node.get(key).is_none_or(Node::is_null) {
        add(node, path, key, message, found);
    }
}

/// A key that must not be emptied.
fn kept(node: &Node, path: &str, key: &str, message: &str, found: &Found) {
    if node.get(key).is_some_and(|node| node.is_null() || node.text().is_some_and(|text| text.trim().is_empty())) {
        add(node, path, key, message, found);
    }
}

/// A secret, in place or in a file.
fn one_secret(node: &Node, path: &str, found: &Found) {
    match (has(node, "secret_key"), has(node, "secret_key_file")) {
        (false, false) => {
            add(node, path, "secret_key", "one of secret_key & secret_key_file must be configured", found);
        }
        (true, true) => {
            let message = "at most one of secret_key & secret_key_file must be configured";
            add(node, path, "secret_key_file", message, found);
        }
        _ => {}
    }
}

/// Scheme and host of a URL, each empty where there is none, as Go tells them apart: a URL is not mended, so that
/// `http:///path` has no host.
fn scheme_and_host(url: &str) -> (&str, &str) {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ => ("", url),
    };
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    (scheme, authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// The `url` that is asked for a list.
fn check_url(node: &Node, path: &str, found: &Found) {
    let (scheme, host) = scheme_and_host(text(node, "url", ""));
    // Go turns a scheme to lower case.
    let message = match scheme.to_ascii_lowercase().as_str() {
        _ if !has(node, "url") => "URL is missing",
        "http" | "https" if host.is_empty() => "host is missing in URL",
        "http" | "https" => return,
        _ => "URL scheme must be 'http' or 'https'",
    };
    add(node, path, "url", message, found);
}

#[cfg(test)]
mod tests;

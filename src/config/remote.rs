//! `remote_write` and `remote_read`: other stores that samples are sent to, and asked of.

/// One remote that samples are sent to.
pub mod write;

use std::collections::HashSet;

use crate::config::alerting::SIGV4;
use crate::config::http::{self, is_set, line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::relabel;
use crate::config::remote::write::RemoteWrite;
use crate::config::schema::{Kind, Schema, below, field, with};
use crate::config::yaml::{Node, Value};

pub static WRITE: Schema = Schema {
    name: "remote_write",
    fields: &[
        &[
            field("url", Kind::Url),
            with("remote_timeout", Kind::Duration, "30s"),
            field("headers", Kind::Map(&Kind::Text)),
            relabel::rules("write_relabel_configs"),
            field("name", Kind::Text),
            field("send_exemplars", Kind::Bool),
            field("send_native_histograms", Kind::Bool),
            field("round_robin_dns", Kind::Bool),
            with("protobuf_message", Kind::OneOf(MESSAGES), "prometheus.WriteRequest"),
            field("failed_request_logging", Kind::Bool),
        ],
        http::CREDENTIALS,
        &[with("follow_redirects", Kind::Bool, "true"), with("enable_http2", Kind::Bool, "false")],
        http::FIELDS,
        &[
            with("queue_config", Kind::Section(&QUEUE), "{}"),
            with("metadata_config", Kind::Section(&METADATA), "{}"),
            field("sigv4", Kind::Section(&SIGV4)),
            field("azuread", Kind::Section(&AZURE_AD)),
            field("google_iam", Kind::Section(&GOOGLE_IAM)),
        ],
    ],
};

const MESSAGES: &[&str] = &["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

static QUEUE: Schema = Schema {
    name: "queue_config",
    fields: &[&[
        with("capacity", Kind::Count, "10000"),
        with("max_shards", Kind::Count, "50"),
        with("min_shards", Kind::Count, "1"),
        with("max_samples_per_send", Kind::Count, "2000"),
        with("batch_send_deadline", Kind::Duration, "5s"),
        with("min_backoff", Kind::Duration, "30ms"),
        with("max_backoff", Kind::Duration, "5s"),
        field("retry_on_http_429", Kind::Bool),
        field("sample_age_limit", Kind::Duration),
    ]],
};

static METADATA: Schema = Schema {
    name: "metadata_config",
    fields: &[&[
        with("send", Kind::Bool, "true"),
        with("send_interval", Kind::Duration, "1m"),
        with("max_samples_per_send", Kind::Count, "2000"),
    ]],
};

static AZURE_AD: Schema = Schema {
    name: "azuread",
    fields: &[&[
        field("managed_identity", Kind::Map(&Kind::Text)),
        field("workload_identity", Kind::Map(&Kind::Text)),
        field("oauth", Kind::Map(&Kind::Secret)),
        field("sdk", Kind::Map(&Kind::Text)),
        field("certificate", Kind::Map(&Kind::Secret)),
        field("cloud", Kind::Text),
        field("scope", Kind::Text),
    ]],
};

static GOOGLE_IAM: Schema = Schema { name: "google_iam", fields: &[&[field("credentials_file", Kind::Path)]] };

pub static READ: Schema = Schema {
    name: "remote_read",
    fields: &[
        &[
            field("url", Kind::Url),
            with("remote_timeout", Kind::Duration, "1m"),
            with("chunked_read_limit", Kind::Count, "50000000"),
            field("headers", Kind::Map(&Kind::Text)),
            field("read_recent", Kind::Bool),
            field("name", Kind::Text),
        ],
        http::FIELDS,
        &[field("required_matchers", Kind::Map(&Kind::Text)), with("filter_external_labels", Kind::Bool, "true")],
    ],
};

/// Headers that a request to another store has anyway.
const AUTHORIZED_BY: &str = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or \
                             google_iam parameter";

const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Checks the section and reads it.
pub(super) fn writes(items: &[Node], names: NameValidation, found: &Found) -> Vec<RemoteWrite> {
    check_writes(items, names, found);
    let remotes = items.iter().enumerate();
    remotes.map(|(at, node)| RemoteWrite::read(node, &format!("remote_write[{at}]"), names)).collect()
}

fn check_writes(items: &[Node], names: NameValidation, found: &Found) {
    check_names(items, "remote_write", "write", found);
    for (position, node) in items.iter().enumerate() {
        let path = format!("remote_write[{position}]");
        check_url(node, &path, found);
        http::check(node, &path, &["sigv4", "azuread", "google_iam"], found);
        check_headers(node, &path, AUTHORIZED_BY, found);
        relabel::read(node, "write_relabel_configs", &path, names, found);
        if let Some(queue) = node.get("queue_config") {
            check_queue(queue, &below(&path, "queue_config"), found);
        }
    }
}

pub(super) fn check_reads(items: &[Node], found: &Found) {
    check_names(items, "remote_read", "read", found);
    for (position, node) in items.iter().enumerate() {
        let path = format!("remote_read[{position}]");
        check_url(node, &path, found);
        http::check(node, &path, &[], found);
        check_headers(node, &path, AUTHORIZED_BY, found);
    }
}

fn check_names(items: &[Node], path: &str, what: &str, found: &Found) {
    let mut known = HashSet::new();
    for (position, node) in items.iter().enumerate() {
        if let Some(name) = text(node, "name").filter(|name| !name.is_empty())
            && !known.insert(name)
        {
            let message = format!("found multiple remote {what} configs with job name {name:?}");
            found.add(line_of(node, "name"), &format!("{path}[{position}].name"), message);
        }
    }
}

/// Prometheus accepts one that is empty or lacks its scheme.
fn check_url(node: &Node, path: &str, found: &Found) {
    if node.get("url").is_none_or(Node::is_null) {
        found.add(node.line, path, "url for remote storage is empty");
    }
}

/// `instead` says how a request is authorized, as no header does it.
pub(super) fn check_headers(node: &Node, path: &str, instead: &str, found: &Found) {
    for (name, _) in node.get("headers").map(Node::entries).unwrap_or_default() {
        let path = below(path, "headers");
        let lower = name.text.to_ascii_lowercase();
        if lower == "authorization" {
            found.add(name.line, &path, instead);
        } else if RESERVED_HEADERS.contains(&lower.as_str()) {
            found.add(name.line, &path, format!("{} is a reserved header. It must not be changed", name.text));
        }
    }
}

fn check_queue(node: &Node, path: &str, found: &Found) {
    let number = |key: &str| match node.get(key).map(|node| &node.value) {
        Some(Value::Scalar(scalar)) => scalar.integer(),
        _ => None,
    };
    for key in ["capacity", "max_shards", "min_shards", "max_samples_per_send"] {
        if is_set(node, key) && number(key).is_some_and(|n| n <= 0) {
            found.add(line_of(node, key), &below(path, key), format!("{key} must be above 0"));
        }
    }
    if let (Some(least), Some(most)) = (number("min_shards").or(Some(1)), number("max_shards").or(Some(50)))
        && most < least
    {
        let message = "max_shards must be at least min_shards";
        found.add(line_of(node, "max_shards"), &below(path, "max_shards"), message);
    }
}

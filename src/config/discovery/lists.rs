//! Targets from a list that somebody else keeps: DNS records, files, the answer of an HTTP server.

use crate::config::discovery::{add, check_url, required, text};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Printed, Schema, field, with};
use crate::config::yaml::{Node, Value};

pub static DNS: Schema = Schema {
    name: "dns_sd_config",
    fields: &[&[
        field("names", Kind::List(&Kind::Text)),
        with("refresh_interval", Kind::Duration, "30s"),
        with("type", Kind::Text, "SRV"),
        with("port", Kind::Integer, "0").printed(Printed::Always),
    ]],
};

pub static FILE: Schema = Schema {
    name: "file_sd_config",
    fields: &[&[field("files", Kind::List(&Kind::Path)), with("refresh_interval", Kind::Duration, "5m")]],
};

pub static HTTP: Schema = Schema {
    name: "http_sd_config",
    fields: &[&[field("url", Kind::Url), with("refresh_interval", Kind::Duration, "60s")], http::FIELDS],
};

pub(super) fn check_dns(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("names", "DNS-SD config must contain at least one SRV record name")], found);
    let record = text(node, "type", "SRV");
    match record.to_uppercase().as_str() {
        "SRV" => {}
        "A" | "AAAA" | "MX" | "NS" if has_port(node) => {}
        "A" | "AAAA" | "MX" | "NS" => {
            let message = "a port is required in DNS-SD configs for all record types except SRV";
            add(node, path, "port", message, found);
        }
        _ => add(node, path, "type", &format!("invalid DNS-SD records type {record}"), found),
    }
}

fn has_port(node: &Node) -> bool {
    match node.get("port").map(|port| &port.value) {
        None | Some(Value::Null) => false,
        // What is no number was told.
        Some(Value::Scalar(scalar)) => scalar.integer() != Some(0),
        Some(_) => true,
    }
}

pub(super) fn check_file(node: &Node, path: &str, found: &Found) {
    let no_file = "file service discovery config must contain at least one path name";
    required(node, path, &[("files", no_file)], found);
    for (position, file) in node.get("files").map(Node::items).unwrap_or_default().iter().enumerate() {
        let name = file.text().unwrap_or_default();
        if !is_file_pattern(name) {
            let message = format!("path name {name:?} is not valid for file discovery");
            found.add(file.line, &format!("{path}.files[{position}]"), message);
        }
    }
}

/// JSON or YAML by its name, with `*` only in the last part of the path.
fn is_file_pattern(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension)
        && stem.split_once('*').is_none_or(|(_, rest)| !rest.contains('/'))
}

pub(super) fn check_http(node: &Node, path: &str, found: &Found) {
    check_url(node, path, found);
}

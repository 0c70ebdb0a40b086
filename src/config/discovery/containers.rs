//! Containers, asked of what runs them: Docker, Swarm, Marathon. Kubernetes has a file of its own.

use crate::config::discovery::{FILTERS, add, has, required, required_word};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, field, with};
use crate::config::yaml::Node;

/// Of Docker's API, alone or in a swarm.
const DAEMON: &[Field] =
    &[field("host", Kind::Url), with("port", Kind::Integer, "80"), with("refresh_interval", Kind::Duration, "60s")];

pub static DOCKER: Schema = Schema {
    name: "docker_sd_config",
    fields: &[
        DAEMON,
        FILTERS,
        &[with("host_networking_host", Kind::Text, "localhost"), with("match_first_network", Kind::Bool, "true")],
        http::FIELDS,
    ],
};

pub static DOCKERSWARM: Schema = Schema {
    name: "dockerswarm_sd_config",
    fields: &[DAEMON, FILTERS, &[field("role", Kind::OneOf(&["tasks", "services", "nodes"]))], http::FIELDS],
};

pub static MARATHON: Schema = Schema {
    name: "marathon_sd_config",
    fields: &[
        &[
            field("servers", Kind::List(&Kind::Text)),
            with("refresh_interval", Kind::Duration, "30s"),
            field("auth_token", Kind::Secret),
            field("auth_token_file", Kind::Path),
        ],
        http::FIELDS,
    ],
};

pub(super) fn check_docker(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("host", "host missing")], found);
}

pub(super) fn check_dockerswarm(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("host", "host missing")], found);
    required_word(node, path, "role", "role missing (one of: tasks, services, nodes)", found);
}

pub(super) fn check_marathon(node: &Node, path: &str, found: &Found) {
    let no_server = "marathon_sd: must contain at least one Marathon server";
    required(node, path, &[("servers", no_server)], found);
    let (token, file) = (has(node, "auth_token"), has(node, "auth_token_file"));
    if token && file {
        let message = "marathon_sd: at most one of auth_token & auth_token_file must be configured";
        add(node, path, "auth_token_file", message, found);
    }
    if !token && !file {
        return;
    }
    // The token is one more way to authorize, but not told with the others.
    let bearer = "bearer_token, bearer_token_file, auth_token & auth_token_file";
    for (key, ways) in [
        ("basic_auth", "basic_auth, auth_token & auth_token_file"),
        ("bearer_token", bearer),
        ("bearer_token_file", bearer),
        ("authorization", "auth_token, auth_token_file & authorization"),
    ] {
        if has(node, key) {
            add(node, path, key, &format!("marathon_sd: at most one of {ways} must be configured"), found);
        }
    }
}

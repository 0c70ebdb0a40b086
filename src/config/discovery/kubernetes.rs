//! Kubernetes: what its API may be asked for, and how it is reached.

use crate::config::discovery::{add, has, required_word, selector, text};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, below, field, with};
use crate::config::yaml::{Node, Value};

pub static KUBERNETES: Schema = Schema {
    name: "kubernetes_sd_config",
    fields: &[
        &[
            field("api_server", Kind::Url),
            field("role", ROLE),
            field("kubeconfig_file", Kind::Path),
            field("namespaces", Kind::Section(&NAMESPACES)),
            field("selectors", Kind::List(&Kind::Section(&SELECTOR))),
            field("attach_metadata", Kind::Section(&ATTACH_METADATA)),
        ],
        http::FIELDS,
    ],
};

const ROLE: Kind = Kind::OneOf(&["pod", "service", "endpoints", "endpointslice", "node", "ingress"]);

static NAMESPACES: Schema = Schema {
    name: "namespaces",
    fields: &[&[with("own_namespace", Kind::Bool, "false"), field("names", Kind::List(&Kind::Text))]],
};

static SELECTOR: Schema = Schema {
    name: "selectors",
    fields: &[&[field("role", ROLE), field("label", Kind::Text), field("field", Kind::Text)]],
};

static ATTACH_METADATA: Schema = Schema {
    name: "attach_metadata",
    fields: &[&[
        with("node", Kind::Bool, "false"),
        with("namespace", Kind::Bool, "false"),
        with("deployment", Kind::Bool, "false"),
        with("job", Kind::Bool, "false"),
        with("cronjob", Kind::Bool, "false"),
    ]],
};

/// The objects that are watched for a role, which selectors can be put on.
const WATCHED: [(&str, &[&str]); 6] = [
    ("pod", &["pod", "node"]),
    ("service", &["service"]),
    ("endpointslice", &["pod", "service", "endpointslice"]),
    ("endpoints", &["pod", "service", "endpoints"]),
    ("node", &["node"]),
    ("ingress", &["ingress"]),
];

pub(super) fn check(node: &Node, path: &str, found: &Found) {
    let roles = "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
    required_word(node, path, "role", roles, found);
    check_access(node, path, found);
    check_selectors(node, path, found);
}

/// The API is that of the cluster around, of a file, or of a URL; only the last leaves something to say about
/// requests.
fn check_access(node: &Node, path: &str, found: &Found) {
    let server = node.get("api_server").is_some_and(|node| !node.is_null());
    let file = has(node, "kubeconfig_file");
    if server && file {
        let message = "cannot use 'kubeconfig_file' and 'api_server' simultaneously";
        add(node, path, "kubeconfig_file", message, found);
    }
    if let Some(key) = custom(http::FIELDS, node) {
        if file {
            let message = "cannot use a custom HTTP client configuration together with 'kubeconfig_file'";
            add(node, path, key, message, found);
        } else if !server {
            let message = "to use custom HTTP client configuration please provide the 'api_server' URL explicitly";
            add(node, path, key, message, found);
        }
    }
    let Some(namespaces) = node.get("namespaces") else { return };
    if namespaces.get("own_namespace").is_some_and(http::is_true) {
        let path = below(path, "namespaces");
        for (_, other) in [(server, "api_server"), (file, "kubeconfig_file")].into_iter().filter(|(is, _)| *is) {
            let message = format!("cannot use '{other}' and 'namespaces.own_namespace' simultaneously");
            add(namespaces, &path, "own_namespace", &message, found);
        }
    }
}

/// The first key that says something else than its default.
fn custom(fields: &'static [Field], node: &Node) -> Option<&'static str> {
    fields
        .iter()
        .find(|field| node.get(field.key).is_some_and(|value| is_custom(field, value)))
        .map(|field| field.key)
}

fn is_custom(field: &Field, node: &Node) -> bool {
    match (&field.kind, &node.value) {
        (_, Value::Null) => false,
        (Kind::Bool, Value::Scalar(scalar)) => {
            scalar.bool().is_some_and(|value| value != (field.default == "true"))
        }
        (_, Value::Scalar(scalar)) => !scalar.text.is_empty(),
        // Without anything in it, which for a way to authorize means that it is used.
        (Kind::Section(schema), _) if field.key == "tls_config" => {
            schema.fields.iter().any(|fields| custom(fields, node).is_some())
        }
        _ => true,
    }
}

fn check_selectors(node: &Node, path: &str, found: &Found) {
    let role = text(node, "role", "");
    let watched = WATCHED.iter().find(|(known, _)| *known == role).map(|(_, watched)| *watched);
    let selectors = node.get("selectors").map(Node::items).unwrap_or_default();
    for (position, selector) in selectors.iter().enumerate() {
        let path = format!("{path}.selectors[{position}]");
        let of = text(selector, "role", "");
        if selectors[..position].iter().any(|earlier| text(earlier, "role", "") == of) {
            add(selector, &path, "role", &format!("duplicated selector role: {of}"), found);
        }
        // A role that there is not was told.
        if let Some(watched) = watched.filter(|watched| !watched.contains(&of)) {
            let message = format!("{role} role supports only {} selectors", watched.join(", "));
            add(selector, &path, "role", &message, found);
        }
        if let Err(message) = selector::fields(text(selector, "field", "")) {
            add(selector, &path, "field", &message, found);
        }
        if let Err(message) = selector::labels(text(selector, "label", "")) {
            add(selector, &path, "label", &message, found);
        }
    }
}

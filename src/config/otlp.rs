//! `otlp`, `tracing` and `runtime`: sections that stand alone.

use crate::config::http::{self, is_set, line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::schema::{Kind, Schema, field, with};
use crate::config::values;
use crate::config::yaml::Node;

pub static OTLP: Schema = Schema {
    name: "otlp",
    fields: &[&[
        field("promote_all_resource_attributes", Kind::Bool),
        field("promote_resource_attributes", Kind::List(&Kind::Text)),
        field("ignore_resource_attributes", Kind::List(&Kind::Text)),
        with("translation_strategy", Kind::OneOf(STRATEGIES), "UnderscoreEscapingWithSuffixes"),
        field("keep_identifying_resource_attributes", Kind::Bool),
        field("convert_histograms_to_nhcb", Kind::Bool),
        field("promote_scope_metadata", Kind::Bool),
        with("label_name_underscore_sanitization", Kind::Bool, "true"),
        with("label_name_preserve_multiple_underscores", Kind::Bool, "true"),
    ]],
};

const STRATEGIES: &[&str] = &[
    "",
    "UnderscoreEscapingWithSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoTranslation",
];

pub static TRACING: Schema = Schema {
    name: "tracing",
    fields: &[&[
        with("client_type", Kind::OneOf(&["", "grpc", "http"]), "grpc"),
        field("endpoint", Kind::Text),
        field("sampling_fraction", Kind::Float),
        field("insecure", Kind::Bool),
        field("tls_config", Kind::Section(&http::TLS)),
        field("headers", Kind::Map(&Kind::Text)),
        field("compression", Kind::OneOf(&["", "gzip"])),
        with("timeout", Kind::Duration, "10s"),
    ]],
};

pub static RUNTIME: Schema = Schema { name: "runtime", fields: &[&[with("gogc", Kind::Integer, "75")]] };

pub(super) fn check_otlp(node: &Node, names: NameValidation, found: &Found) {
    let add = |key: &str, message: String| found.add(line_of(node, key), &format!("otlp.{key}"), message);
    let all = values::is_true(node, "promote_all_resource_attributes", false);
    let promoted = node.get("promote_resource_attributes").map(Node::items).unwrap_or_default();
    let ignored = node.get("ignore_resource_attributes").map(Node::items).unwrap_or_default();
    if all && !promoted.is_empty() {
        let message = "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously";
        add("promote_resource_attributes", message.into());
    }
    if !all && !ignored.is_empty() {
        let message =
            "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true";
        add("ignore_resource_attributes", message.into());
    }
    let strategy = text(node, "translation_strategy").unwrap_or("");
    if names == NameValidation::Legacy && matches!(strategy, "NoUTF8EscapingWithSuffixes" | "NoTranslation") {
        let message = format!("OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled");
        add("translation_strategy", message);
    }
}

pub(super) fn check_tracing(node: &Node, found: &Found) {
    if !is_set(node, "endpoint") {
        found.add(node.line, "tracing", "tracing endpoint must be set");
    }
    if let Some(tls) = node.get("tls_config") {
        http::check_tls(tls, "tracing.tls_config", found);
    }
}

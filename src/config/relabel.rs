//! Lists of relabelling rules; what they do is [`crate::model::relabel`].

use crate::config::http::{line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::schema::{Field, Kind, Printed, Schema, below, field, with};
use crate::config::yaml::{Node, Value};
use crate::model::relabel::{Action, DEFAULT_REGEX, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR, Parts, Rule};

pub static RULE: Schema = Schema {
    name: "relabel_config",
    fields: &[&[
        field("source_labels", Kind::List(&Kind::Text)).printed(Printed::InOneLine),
        with("separator", Kind::Text, DEFAULT_SEPARATOR).printed(Printed::Always),
        // As it is given; the default is not printed.
        field("regex", Kind::Text).printed(Printed::Always),
        field("modulus", Kind::Count),
        field("target_label", Kind::Text),
        with("replacement", Kind::Text, DEFAULT_REPLACEMENT).printed(Printed::Always),
        with("action", Kind::Text, "replace"),
    ]],
};

/// A key with a list of them.
pub const fn rules(key: &'static str) -> Field {
    field(key, Kind::List(const { &Kind::Section(&RULE) }))
}

/// The rules of a key; those with a mistake are left out.
pub(super) fn read(section: &Node, key: &str, path: &str, names: NameValidation, found: &Found) -> Vec<Rule> {
    let path = below(path, key);
    let items = section.get(key).map(Node::items).unwrap_or_default().iter().enumerate();
    items.filter_map(|(position, node)| rule(node, &format!("{path}[{position}]"), names, found)).collect()
}

fn rule(node: &Node, path: &str, names: NameValidation, found: &Found) -> Option<Rule> {
    // Others have told what else it is.
    let Value::Map(_) = node.value else { return None };
    // A key with nothing behind it is an empty text, whatever the default.
    let own = |key: &str, default: &str| match node.get(key) {
        None => default.to_string(),
        Some(node) => node.text().unwrap_or("").to_string(),
    };
    if node.get("action").is_some_and(Node::is_null) {
        found.add(line_of(node, "action"), &below(path, "action"), "relabel action cannot be empty");
        return None;
    }
    let action = match text(node, "action").map(Action::parse) {
        None => Action::Replace,
        Some(Ok(action)) => action,
        Some(Err(error)) => {
            found.add(line_of(node, "action"), &below(path, "action"), error.message);
            return None;
        }
    };
    let modulus = node.get("modulus").map(|node| &node.value);
    let parts = Parts {
        source_labels: texts(node, "source_labels"),
        separator: own("separator", DEFAULT_SEPARATOR),
        regex: own("regex", DEFAULT_REGEX),
        modulus: match modulus {
            Some(Value::Scalar(scalar)) => scalar.integer().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            _ => 0,
        },
        target_label: own("target_label", ""),
        replacement: own("replacement", DEFAULT_REPLACEMENT),
        action,
    };
    if let Err(error) = crate::model::pattern::anchored(&parts.regex) {
        found.add(line_of(node, "regex"), &below(path, "regex"), error.message);
        return None;
    }
    Rule::new(parts, |name| names.is_valid_label_name(name)).map_err(|e| found.add(node.line, path, e.message)).ok()
}

/// The scalars of a list.
pub(super) fn texts(section: &Node, key: &str) -> Vec<String> {
    let items = section.get(key).map(Node::items).unwrap_or_default();
    items.iter().map(|item| item.text().unwrap_or("").to_string()).collect()
}

//! `otlp` and `runtime`: sections that stand alone.

use std::collections::HashSet;

use crate::config::http::{line_of, text};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::relabel::texts;
use crate::config::schema::{Kind, Schema, field, with};
use crate::config::values;
use crate::config::yaml::{Node, Value};

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

/// How metrics that come by OTLP become series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    pub strategy: Strategy,
    pub promoted: Promoted,
    /// `service.name`, `service.namespace` and `service.instance.id` are labels of `target_info` as well.
    pub keep_identifying: bool,
    pub histograms_to_nhcb: bool,
    pub promote_scope: bool,
    /// A label that begins with one underscore gets `key` in front.
    pub sanitize_underscores: bool,
    pub keep_multiple_underscores: bool,
}

/// What becomes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Characters that older versions of Prometheus would not take become underscores.
    pub escape: bool,
    /// Units and types are appended to the names of metrics.
    pub suffixes: bool,
}

/// Attributes of resources that become labels of every series, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    These(Vec<String>),
    AllBut(Vec<String>),
}

impl Promoted {
    pub fn has(&self, attribute: &str) -> bool {
        match self {
            Promoted::These(names) => names.iter().any(|name| name == attribute),
            Promoted::AllBut(names) => !names.iter().any(|name| name == attribute),
        }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy { escape: true, suffixes: true },
            promoted: Promoted::These(Vec::new()),
            keep_identifying: false,
            histograms_to_nhcb: false,
            promote_scope: false,
            sanitize_underscores: true,
            keep_multiple_underscores: true,
        }
    }
}

impl OtlpConfig {
    pub(super) fn read(node: &Node, names: NameValidation, found: &Found) -> Self {
        check_otlp(node, names, found);
        let is_true = |key: &str, default: bool| values::is_true(node, key, default);
        let list = |key: &str| texts(node, key).iter().map(|name| name.trim().to_string()).collect();
        let (escape, suffixes) = match text(node, "translation_strategy").unwrap_or("") {
            "NoUTF8EscapingWithSuffixes" => (false, true),
            "UnderscoreEscapingWithoutSuffixes" => (true, false),
            "NoTranslation" => (false, false),
            _ => (true, true),
        };
        Self {
            strategy: Strategy { escape, suffixes },
            promoted: match is_true("promote_all_resource_attributes", false) {
                true => Promoted::AllBut(list("ignore_resource_attributes")),
                false => Promoted::These(list("promote_resource_attributes")),
            },
            keep_identifying: is_true("keep_identifying_resource_attributes", false),
            histograms_to_nhcb: is_true("convert_histograms_to_nhcb", false),
            promote_scope: is_true("promote_scope_metadata", false),
            sanitize_underscores: is_true("label_name_underscore_sanitization", true),
            keep_multiple_underscores: is_true("label_name_preserve_multiple_underscores", true),
        }
    }
}

pub static RUNTIME: Schema = Schema { name: "runtime", fields: &[&[with("gogc", Kind::Integer, "75")]] };

fn check_otlp(node: &Node, names: NameValidation, found: &Found) {
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
    check_attributes(node, "promote_resource_attributes", "promoted", found);
    check_attributes(node, "ignore_resource_attributes", "ignored", found);
    let strategy = text(node, "translation_strategy").unwrap_or("");
    if names == NameValidation::Legacy && matches!(strategy, "NoUTF8EscapingWithSuffixes" | "NoTranslation") {
        let message = format!("OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled");
        add("translation_strategy", message);
    }
}

/// Names of attributes are there, and there once.
fn check_attributes(node: &Node, key: &str, what: &str, found: &Found) {
    let mut known = HashSet::new();
    for (position, item) in node.get(key).map(Node::items).unwrap_or_default().iter().enumerate() {
        let Value::Scalar(name) = &item.value else { continue };
        let name = name.text.trim();
        let wrong = match name {
            "" => format!("empty {what} OTel resource attribute"),
            name if !known.insert(name) => format!("duplicated {what} OTel resource attribute {name:?}"),
            _ => continue,
        };
        found.add(item.line, &format!("otlp.{key}[{position}]"), format!("invalid '{key}': {wrong}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    #[test]
    fn settings() {
        let read = |text: &str| Config::parse(text).unwrap().otlp;
        assert_eq!(read(""), OtlpConfig::default());
        assert_eq!(read("otlp:"), OtlpConfig::default());
        let got = read(
            "otlp:\n  translation_strategy: NoTranslation\n  promote_resource_attributes: [' a.b ', c]\n  \
             keep_identifying_resource_attributes: true\n  convert_histograms_to_nhcb: true\n  \
             promote_scope_metadata: true\n  label_name_underscore_sanitization: false\n  \
             label_name_preserve_multiple_underscores: false\n",
        );
        let expected = OtlpConfig {
            strategy: Strategy { escape: false, suffixes: false },
            promoted: Promoted::These(vec!["a.b".into(), "c".into()]),
            keep_identifying: true,
            histograms_to_nhcb: true,
            promote_scope: true,
            sanitize_underscores: false,
            keep_multiple_underscores: false,
        };
        assert_eq!(got, expected);
        let all = read("otlp: {promote_all_resource_attributes: true, ignore_resource_attributes: [a]}");
        assert_eq!(all.promoted, Promoted::AllBut(vec!["a".into()]));
        assert!(all.promoted.has("b") && !all.promoted.has("a"));
    }

    #[test]
    fn attributes_are_named_once() {
        let check = |text: &str, expected: &str| {
            let mistakes = Config::parse(text).unwrap_err().into_error("f").to_string();
            assert!(mistakes.contains(expected), "{mistakes}");
        };
        let promoted = "invalid 'promote_resource_attributes': ";
        check(
            "otlp: {promote_resource_attributes: [a, ' a']}",
            &format!("{promoted}duplicated promoted OTel resource attribute \"a\""),
        );
        check(
            "otlp: {promote_resource_attributes: ['']}",
            &format!("{promoted}empty promoted OTel resource attribute"),
        );
        check(
            "otlp: {promote_all_resource_attributes: true, ignore_resource_attributes: [b, b]}",
            "invalid 'ignore_resource_attributes': duplicated ignored OTel resource attribute \"b\"",
        );
    }
}

//! Values of a section that its schema has checked: what is wrong was told, and counts as not given.

use std::collections::BTreeMap;

use crate::config::yaml::{Node, Scalar, Value};
use crate::model::duration;

fn scalar<'a>(section: &'a Node, key: &str) -> Option<&'a Scalar> {
    match &section.get(key)?.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

/// A duration of 0 takes the default, as everywhere in Prometheus.
pub fn duration_ms(section: &Node, key: &str, default: i64) -> i64 {
    let given = scalar(section, key).and_then(|scalar| duration::parse(&scalar.text).ok());
    given.filter(|ms| *ms != 0).unwrap_or(default)
}

/// A key with nothing behind it is `false`, whatever the default: so Go reads it.
pub fn is_true(section: &Node, key: &str, default: bool) -> bool {
    let default = default && section.get(key).is_none_or(|node| !node.is_null());
    scalar(section, key).and_then(Scalar::bool).unwrap_or(default)
}

pub fn count(section: &Node, key: &str) -> Option<u64> {
    scalar(section, key).and_then(Scalar::integer).and_then(|n| u64::try_from(n).ok())
}

pub fn float(section: &Node, key: &str) -> Option<f64> {
    scalar(section, key).and_then(Scalar::float)
}

/// A text that is not empty.
pub fn text<'a>(section: &'a Node, key: &str) -> Option<&'a str> {
    scalar(section, key).map(|scalar| scalar.text.as_str()).filter(|text| !text.is_empty())
}

/// Names with their texts.
pub type Pairs = BTreeMap<String, String>;

/// Names and texts; a name with nothing behind it has an empty text.
pub fn pairs(node: &Node, key: &str) -> Pairs {
    let entries = node.get(key).map(Node::entries).unwrap_or_default().iter();
    entries.map(|(name, value)| (name.text.clone(), value.text().unwrap_or_default().to_string())).collect()
}

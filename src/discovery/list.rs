//! Lists of groups that somebody else writes: `[{targets: [HOST:PORT], labels: {NAME: VALUE}}]`, as JSON or YAML. Both are
//! read as strictly as Prometheus reads them: one mistake, and none of the list counts.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::yaml::{self, Node, Value};
use crate::discovery::group::{ADDRESS, Group};
use crate::error::{Error, Result};
use crate::model::labels::Labels;

/// Of one list, and of all that one of a kind finds.
pub const MAX_TARGETS: usize = 1_000_000;

const NO_GROUP: &str = "nil target group item found";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default, alias = "Targets", alias = "TARGETS")]
    targets: Option<Vec<Option<String>>>,
    #[serde(default, alias = "Labels", alias = "LABELS")]
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// The groups of a JSON list, without sources. `with` is a label that all of them get.
pub fn of_json(bytes: &[u8], with: (&str, &str)) -> Result<Vec<Group>> {
    let listed: Option<Vec<Option<Listed>>> =
        serde_json::from_slice(bytes).map_err(|error| Error::bad_input(error.to_string()))?;
    let group = |listed: Option<Listed>| {
        let Listed { targets, labels } = listed.ok_or_else(|| Error::bad_input(NO_GROUP))?;
        let targets = targets.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
        let labels = labels.unwrap_or_default().into_iter();
        made(targets, labels.map(|(name, value)| (name, value.unwrap_or_default())).collect(), with)
    };
    bounded(listed.unwrap_or_default().into_iter().map(group).collect::<Result<_>>()?)
}

/// The same of YAML, where scalars of any kind are texts as they are written.
pub fn of_yaml(text: &str, with: (&str, &str)) -> Result<Vec<Group>> {
    let told = |fault: yaml::Fault| match fault.line {
        Some(line) => Error::bad_input(format!("line {line}: {}", fault.message)),
        None => Error::bad_input(fault.message),
    };
    let (root, twice) = yaml::parse(text).map_err(told)?;
    if let Some(fault) = twice.into_iter().next() {
        return Err(told(fault));
    }
    match &root.value {
        Value::Null => Ok(vec![]),
        Value::List(items) => bounded(items.iter().map(|node| of_node(node, with)).collect::<Result<_>>()?),
        _ => Err(wrong(&root, "a list of target groups")),
    }
}

fn of_node(node: &Node, with: (&str, &str)) -> Result<Group> {
    if node.is_null() {
        return Err(Error::bad_input(format!("line {}: {NO_GROUP}", node.line)));
    }
    if !matches!(node.value, Value::Map(_)) {
        return Err(wrong(node, "a target group"));
    }
    let (mut targets, mut labels) = (vec![], vec![]);
    for (key, value) in node.entries() {
        match (key.text.as_str(), &value.value) {
            ("targets" | "labels", Value::Null) => {}
            ("targets", Value::List(items)) => targets = items.iter().map(scalar).collect::<Result<_>>()?,
            ("labels", Value::Map(entries)) => {
                let label = |(name, value): &(yaml::Key, Node)| Ok((name.text.clone(), scalar(value)?));
                labels = entries.iter().map(label).collect::<Result<_>>()?;
            }
            ("targets", _) => return Err(wrong(value, "a list of addresses")),
            ("labels", _) => return Err(wrong(value, "a mapping of labels")),
            (other, _) => {
                let line = key.line;
                return Err(Error::bad_input(format!("line {line}: field {other} not found in a target group")));
            }
        }
    }
    made(targets, labels, with)
}

fn scalar(node: &Node) -> Result<String> {
    match &node.value {
        Value::Null => Ok(String::new()),
        Value::Scalar(scalar) => Ok(scalar.text.clone()),
        _ => Err(wrong(node, "a text")),
    }
}

fn wrong(node: &Node, expected: &str) -> Error {
    Error::bad_input(format!("line {}: expected {expected}, got {}", node.line, node.shown()))
}

fn made(targets: Vec<String>, mut labels: Vec<(String, String)>, with: (&str, &str)) -> Result<Group> {
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(Error::bad_input("\"\" is not a valid label name"));
    }
    labels.push((with.0.to_string(), with.1.to_string()));
    let targets = targets.iter().map(|address| Labels::from_pairs([(ADDRESS, address)])).collect();
    Ok(Group { source: String::new(), targets, labels: Labels::from_pairs(labels) })
}

fn bounded(groups: Vec<Group>) -> Result<Vec<Group>> {
    match groups.iter().map(|group| group.targets.len()).sum::<usize>() {
        count if count > MAX_TARGETS => {
            Err(Error::bad_input(format!("the list has {count} targets, more than {MAX_TARGETS}")))
        }
        _ => Ok(groups),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: (&str, &str) = ("__meta_from", "here");

    fn shown(groups: Result<Vec<Group>>) -> Result<String, String> {
        let group = |group: &Group| format!("{:?} {}", group.targets, group.labels);
        groups.map(|all| all.iter().map(group).collect::<Vec<_>>().join("; ")).map_err(|error| error.to_string())
    }

    #[test]
    fn json() {
        let check = |text: &str, want: &str| assert_eq!(shown(of_json(text.as_bytes(), WITH)).as_deref(), Ok(want));
        check("[]", "");
        check("null", "");
        check(
            r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x", "empty": ""}}, {"targets": null}, {}]"#,
            "[{__address__=\"a:1\"}, {__address__=\"b:2\"}] {__meta_from=\"here\", env=\"x\"}; \
             [] {__meta_from=\"here\"}; [] {__meta_from=\"here\"}",
        );
        check(
            r#"[{"Targets": ["a"], "Labels": {"a.b": "c"}}]"#,
            r#"[{__address__="a"}] {__meta_from="here", "a.b"="c"}"#,
        );
    }

    #[test]
    fn json_that_is_wrong() {
        let check = |text: &str, want: &str| {
            let error = shown(of_json(text.as_bytes(), WITH)).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        };
        check("", "EOF");
        check("[null]", NO_GROUP);
        check("{}", "expected a sequence");
        check(r#"[{"targets": ["a"], "label": {}}]"#, "unknown field `label`");
        check(r#"[{"targets": "a"}]"#, "expected a sequence");
        check(r#"[{"labels": {"a": 1}}]"#, "expected a string");
        check(r#"[{"labels": {"": "1"}}]"#, "not a valid label name");
        check(r#"[{"targets": []}] x"#, "trailing characters");
    }

    /// Numbers, booleans and dates as they are written.
    #[test]
    fn yaml() {
        let check = |text: &str, want: &str| assert_eq!(shown(of_yaml(text, WITH)).as_deref(), Ok(want), "{text}");
        check("", "");
        check("[]", "");
        check("# nothing yet", "");
        check(
            "- targets: ['a:1']\n  labels: {shard: 3, hex: 0x1F, on: yes, day: 2026-01-02, none: }\n",
            "[{__address__=\"a:1\"}] {__meta_from=\"here\", day=\"2026-01-02\", hex=\"0x1F\", on=\"yes\", shard=\"3\"}",
        );
        check(
            "- targets:\n- {targets: [1], labels: {a: &x b, c: *x}}",
            "[] {__meta_from=\"here\"}; \
               [{__address__=\"1\"}] {__meta_from=\"here\", a=\"b\", c=\"b\"}",
        );
    }

    #[test]
    fn yaml_that_is_wrong() {
        let check = |text: &str, want: &str| assert_eq!(shown(of_yaml(text, WITH)).unwrap_err(), want, "{text}");
        check("targets: [a]", "line 1: expected a list of target groups, got a mapping");
        check("- targets: a", "line 1: expected a list of addresses, got `a`");
        check("- targets: [a]\n  label: {}", "line 2: field label not found in a target group");
        check("- targets: [[a]]", "line 1: expected a text, got a list");
        check("- labels: [a]", "line 1: expected a mapping of labels, got a list");
        check("- targets: [a]\n-\n", "line 2: nil target group item found");
        check("- labels: {a: b, a: c}", "line 1: \"a\" is already set in this mapping, on line 1");
    }
}

//! Rule files: groups of recording and alerting rules, with Prometheus' validation. All mistakes of a file are told at once,
//! in the words of `rulefmt`, each with its line.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::config::file::read_text;
use crate::config::mistake::{Found, Mistakes};
use crate::config::protocol::NameValidation;
use crate::config::schema::{Kind, Schema, field};
use crate::config::values::{self, Pairs, pairs};
use crate::config::yaml::{self, Node, Value};
use crate::error::Result;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::Expr;
use crate::promql::parse::{self, ParseOptions};
use crate::template::source::Template;

static FILE: Schema =
    Schema { name: "a rule file", fields: &[&[field("groups", Kind::List(&Kind::Section(&GROUP)))]] };

static GROUP: Schema = Schema {
    name: "a rule group",
    fields: &[&[
        field("name", Kind::Text),
        field("interval", Kind::Duration),
        field("query_offset", Kind::Duration),
        field("limit", Kind::Integer),
        field("rules", Kind::List(&Kind::Section(&RULE))),
        field("labels", Kind::Map(&Kind::Text)),
    ]],
};

static RULE: Schema = Schema {
    name: "a rule",
    fields: &[&[
        field("record", Kind::Text),
        field("alert", Kind::Text),
        field("expr", Kind::Text),
        field("for", Kind::Duration),
        field("keep_firing_for", Kind::Duration),
        field("labels", Kind::Map(&Kind::Text)),
        field("annotations", Kind::Map(&Kind::Text)),
    ]],
};

/// A file that was read and found right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleFile {
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleGroup {
    /// Known once in its file.
    pub name: String,
    /// `None` takes the evaluation interval of the configuration.
    pub interval_ms: Option<i64>,
    /// How far back the queries look; `None` takes that of the configuration.
    pub query_offset_ms: Option<i64>,
    /// Of alerts or series of a rule; 0 for any number.
    pub limit: usize,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub kind: RuleKind,
    /// As it is evaluated and shown: the expression printed from its tree.
    pub query: String,
    /// Of that text.
    pub expr: Arc<Expr>,
    /// Those of the group, and its own in their place; sorted, each name once.
    pub labels: Vec<(String, String)>,
    /// Where it stands in its file.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    Recording {
        record: String,
    },
    Alerting {
        alert: String,
        /// `for`
        hold_ms: i64,
        keep_firing_for_ms: i64,
        /// Sorted, each name once.
        annotations: Vec<(String, String)>,
    },
}

impl Rule {
    /// Of the alert, or of the metric.
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Recording { record } => record,
            RuleKind::Alerting { alert, .. } => alert,
        }
    }
}

/// Lines and positions do not count.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.query, &self.labels) == (&other.kind, &other.query, &other.labels)
    }
}

impl RuleFile {
    /// # Errors
    /// `BadInput`: all mistakes, each with file and line.
    pub fn load(path: &Path, names: NameValidation, options: &ParseOptions) -> Result<Self> {
        Self::load_with(path, names, options, false)
    }

    /// The same, where keys that nobody knows may be passed over.
    pub fn load_with(
        path: &Path,
        names: NameValidation,
        options: &ParseOptions,
        ignore_unknown: bool,
    ) -> Result<Self> {
        let text = read_text(path)?;
        let parsed = Self::parse_with(&text, names, options, ignore_unknown);
        parsed.map_err(|mistakes| mistakes.into_error(&path.display().to_string()))
    }

    pub fn parse(text: &str, names: NameValidation, options: &ParseOptions) -> std::result::Result<Self, Mistakes> {
        Self::parse_with(text, names, options, false)
    }

    /// The same, where keys that nobody knows may be passed over: other tools have theirs in such files.
    pub fn parse_with(
        text: &str,
        names: NameValidation,
        options: &ParseOptions,
        ignore_unknown: bool,
    ) -> std::result::Result<Self, Mistakes> {
        let found = Found::default();
        let (mut root, twice) = yaml::parse(text).map_err(Mistakes::one)?;
        twice.into_iter().for_each(|fault| found.add_fault(fault));
        if ignore_unknown {
            FILE.drop_unknown(&mut root);
        }
        FILE.check(&root, "", &found);
        let mut known = HashSet::new();
        let nodes = root.get("groups").map(Node::items).unwrap_or_default().iter().enumerate();
        let groups = nodes.map(|(position, node)| {
            let reader = Reader { path: format!("groups[{position}]"), names, options, found: &found };
            let group = reader.group(node);
            if !known.insert(group.name.clone()) {
                let message = format!("groupname: {:?} is repeated in the same file", group.name);
                found.add(node.line, &reader.path, message);
            }
            group
        });
        let file = Self { groups: groups.collect() };
        found.into_result()?;
        Ok(file)
    }
}

/// Reads one group.
struct Reader<'a> {
    path: String,
    names: NameValidation,
    options: &'a ParseOptions,
    found: &'a Found,
}

impl Reader<'_> {
    fn group(&self, node: &Node) -> RuleGroup {
        let name = values::text(node, "name").unwrap_or_default().to_string();
        if name.is_empty() {
            self.found.add(node.line, &self.path, "Groupname must not be empty");
        }
        let labels = self.labels(node, |message| message);
        let duration = |key: &str| Some(values::duration_ms(node, key, 0)).filter(|ms| *ms != 0);
        let offset = node.get("query_offset").filter(|node| !node.is_null());
        let limit = match node.get("limit").map(|node| &node.value) {
            Some(Value::Scalar(limit)) => limit.integer().unwrap_or(0),
            _ => 0,
        };
        let rules = node.get("rules").map(Node::items).unwrap_or_default().iter().enumerate();
        RuleGroup {
            interval_ms: duration("interval"),
            query_offset_ms: offset.map(|_| duration("query_offset").unwrap_or(0)),
            limit: usize::try_from(limit).unwrap_or(0),
            rules: rules.filter_map(|(position, node)| self.rule(node, position, &name, &labels)).collect(),
            name,
        }
    }

    /// `None` where it is wrong, which was told.
    fn rule(&self, node: &Node, position: usize, group: &str, of_group: &Pairs) -> Option<Rule> {
        let text = |key: &str| values::text(node, key).unwrap_or_default();
        let (record, alert, query) = (text("record"), text("alert"), text("expr"));
        let path = format!("{}.rules[{position}]", self.path);
        let name = if alert.is_empty() { record } else { alert };
        let told = |message: String| format!("group {group:?}, rule {}, {name:?}: {message}", position + 1);
        let wrong = |key: &str, message: String| {
            let line = node.get(key).map_or(node.line, |node| node.line);
            self.found.add(line, &path, told(message));
        };
        match (record.is_empty(), alert.is_empty()) {
            (false, false) => wrong("record", "only one of 'record' and 'alert' must be set".into()),
            (true, true) => wrong("record", "one of 'record' or 'alert' must be set".into()),
            _ => {}
        }
        let expr = match query {
            "" => {
                wrong("expr", "field 'expr' must be set in rule".into());
                None
            }
            query => parse::parse(query, self.options)
                .inspect_err(|error| wrong("expr", format!("could not parse expression: {error}")))
                .ok(),
        };
        let duration = |key: &str| values::duration_ms(node, key, 0);
        let annotations = pairs(node, "annotations");
        if !record.is_empty() {
            for (key, is_there) in [
                ("annotations", !annotations.is_empty()),
                ("for", duration("for") != 0),
                ("keep_firing_for", duration("keep_firing_for") != 0),
            ] {
                if is_there {
                    wrong("record", format!("invalid field '{key}' in recording rule"));
                }
            }
            if !self.names.is_valid_metric_name(record) {
                wrong("record", format!("invalid recording rule name: {record}"));
            }
            if record.contains(['{', '}']) {
                let hint = "braces present in the recording rule name; should it be in expr?";
                wrong("record", format!("{hint}: {record}"));
            }
        }
        let own = self.labels(node, told);
        for name in annotations.keys().filter(|name| !self.names.is_valid_label_name(name)) {
            wrong("annotations", format!("invalid annotation name: {name}"));
        }
        if !alert.is_empty() {
            for (what, key, texts) in [("label", "labels", &own), ("annotation", "annotations", &annotations)] {
                for (name, text) in texts {
                    if let Err(error) = Template::of_alert(alert, text) {
                        wrong(key, format!("{what} {name:?}: {error}"));
                    }
                }
            }
        }
        let query = expr?.to_string();
        let kind = match alert.is_empty() {
            true => RuleKind::Recording { record: record.to_string() },
            false => RuleKind::Alerting {
                alert: alert.to_string(),
                hold_ms: duration("for"),
                keep_firing_for_ms: duration("keep_firing_for"),
                annotations: annotations.into_iter().collect(),
            },
        };
        let mut labels = of_group.clone();
        labels.extend(own);
        // Printed, so that positions in messages are those of the text that is shown.
        let expr = parse::parse(&query, &ParseOptions::all())
            .inspect_err(|error| wrong("expr", format!("could not parse expression: {error}")))
            .ok()?;
        Some(Rule { kind, query, expr: Arc::new(expr), labels: labels.into_iter().collect(), line: node.line })
    }

    fn labels(&self, node: &Node, told: impl Fn(String) -> String) -> Pairs {
        let labels = pairs(node, "labels");
        let line = node.get("labels").map_or(node.line, |node| node.line);
        for name in labels.keys() {
            if name == METRIC_NAME || !self.names.is_valid_label_name(name) {
                self.found.add(line, &self.path, told(format!("invalid label name: {name}")));
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests;

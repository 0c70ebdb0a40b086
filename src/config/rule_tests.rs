//! Files of tests of rules, in promtool's format (`cmd/promtool/unittest.go`): what there is in the beginning, and what
//! rules and expressions are to make of it.

use std::path::Path;

use crate::config::file::read_text;
use crate::config::mistake::{Found, Mistakes};
use crate::config::schema::{Kind, Schema, field};
use crate::config::values::{self, Pairs, pairs};
use crate::config::yaml::{self, Node, Value};
use crate::error::Result;

static FILE: Schema = Schema {
    name: "a file of rule tests",
    fields: &[&[
        field("rule_files", Kind::List(&Kind::Path)),
        field("evaluation_interval", Kind::Duration),
        field("group_eval_order", Kind::List(&Kind::Text)),
        field("tests", Kind::List(&Kind::Section(&TEST))),
        field("fuzzy_compare", Kind::Bool),
    ]],
};

static TEST: Schema = Schema {
    name: "a test",
    fields: &[&[
        field("interval", Kind::Duration),
        field("input_series", Kind::List(&Kind::Section(&SERIES))),
        field("alert_rule_test", Kind::List(&Kind::Section(&ALERT_TEST))),
        field("promql_expr_test", Kind::List(&Kind::Section(&EXPRESSION_TEST))),
        field("external_labels", Kind::Map(&Kind::Text)),
        field("external_url", Kind::Text),
        field("name", Kind::Text),
        field("start_timestamp", Kind::Text),
    ]],
};

static SERIES: Schema =
    Schema { name: "an input series", fields: &[&[field("series", Kind::Text), field("values", Kind::Text)]] };

static ALERT_TEST: Schema = Schema {
    name: "an item of alert_rule_test",
    fields: &[&[
        field("eval_time", Kind::Duration),
        field("alertname", Kind::Text),
        field("exp_alerts", Kind::List(&Kind::Section(&ALERT))),
    ]],
};

static ALERT: Schema = Schema {
    name: "an expected alert",
    fields: &[&[field("exp_labels", Kind::Map(&Kind::Text)), field("exp_annotations", Kind::Map(&Kind::Text))]],
};

static EXPRESSION_TEST: Schema = Schema {
    name: "an item of promql_expr_test",
    fields: &[&[
        field("expr", Kind::Text),
        field("eval_time", Kind::Duration),
        field("exp_samples", Kind::List(&Kind::Section(&SAMPLE))),
    ]],
};

static SAMPLE: Schema = Schema {
    name: "an expected sample",
    fields: &[&[field("labels", Kind::Text), field("value", Kind::Float), field("histogram", Kind::Text)]],
};

/// Between evaluations, where a file says nothing.
const EVALUATION_INTERVAL_MS: i64 = 60_000;
/// Lists whose items may be empty: what is not said then has its default.
const LISTS: &[&str] =
    &["tests", "input_series", "alert_rule_test", "exp_alerts", "promql_expr_test", "exp_samples"];

#[derive(Clone, Debug, PartialEq)]
pub struct RuleTests {
    /// Patterns, from the folder of the file.
    pub rule_files: Vec<String>,
    pub evaluation_interval_ms: i64,
    /// Names of groups; those that are not named come with the first.
    pub group_order: Vec<String>,
    /// Numbers are as good as equal where no other lies between them.
    pub fuzzy: bool,
    pub tests: Vec<RuleTest>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleTest {
    /// Empty for none.
    pub name: String,
    /// Between the values of a series.
    pub interval_ms: i64,
    pub input: Vec<InputSeries>,
    pub alerts: Vec<AlertTest>,
    pub expressions: Vec<ExpressionTest>,
    pub external_labels: Pairs,
    pub external_url: String,
    /// RFC 3339, or seconds since the epoch, which is where a test begins without it.
    pub start_timestamp: Option<String>,
}

/// As they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSeries {
    pub series: String,
    pub values: String,
}

/// All alerts of a name that fire at a time since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertTest {
    pub at_ms: i64,
    /// Empty where it is missing.
    pub alert: String,
    pub expected: Vec<ExpectedAlert>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedAlert {
    pub labels: Pairs,
    pub annotations: Pairs,
}

/// What an expression yields at a time since the start.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpressionTest {
    pub at_ms: i64,
    pub expr: String,
    pub expected: Vec<ExpectedSample>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedSample {
    /// `metric{label="value"}`
    pub labels: String,
    pub value: f64,
    /// `{{…}}`, or empty for none.
    pub histogram: String,
}

impl RuleTests {
    /// # Errors
    /// `BadInput`: all mistakes, each with file and line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let read = Self::parse(&text, path.parent().unwrap_or(Path::new("")));
        read.map_err(|mistakes| mistakes.into_error(&path.display().to_string()))
    }

    fn parse(text: &str, folder: &Path) -> std::result::Result<Self, Mistakes> {
        let found = Found::default();
        let (mut root, twice) = yaml::parse(text).map_err(Mistakes::one)?;
        twice.into_iter().for_each(|fault| found.add_fault(fault));
        fill_items(&mut root);
        FILE.check(&root, "", &found);
        FILE.join_paths(&mut root, folder);
        let interval_ms = values::duration_ms(&root, "evaluation_interval", EVALUATION_INTERVAL_MS);
        let tests = Self {
            rule_files: texts(&root, "rule_files"),
            evaluation_interval_ms: interval_ms,
            group_order: texts(&root, "group_eval_order"),
            fuzzy: values::is_true(&root, "fuzzy_compare", false),
            tests: items(&root, "tests").iter().map(|node| RuleTest::read(node, interval_ms)).collect(),
        };
        let mut before: Vec<&str> = Vec::new();
        for (node, name) in items(&root, "group_eval_order").iter().zip(&tests.group_order) {
            if before.contains(&name.as_str()) {
                let message = format!("group name repeated in evaluation order: {name}");
                found.add(node.line, "group_eval_order", message);
            }
            before.push(name);
        }
        found.into_result()?;
        Ok(tests)
    }
}

impl RuleTest {
    fn read(node: &Node, interval_ms: i64) -> Self {
        let owned = |node: &Node, key: &str| values::text(node, key).unwrap_or_default().to_string();
        let input = items(node, "input_series")
            .iter()
            .map(|node| InputSeries { series: owned(node, "series"), values: owned(node, "values") });
        let alerts = items(node, "alert_rule_test").iter().map(|node| AlertTest {
            at_ms: values::duration_ms(node, "eval_time", 0),
            alert: owned(node, "alertname"),
            expected: items(node, "exp_alerts")
                .iter()
                .map(|node| ExpectedAlert {
                    labels: pairs(node, "exp_labels"),
                    annotations: pairs(node, "exp_annotations"),
                })
                .collect(),
        });
        let expressions = items(node, "promql_expr_test").iter().map(|node| ExpressionTest {
            at_ms: values::duration_ms(node, "eval_time", 0),
            expr: owned(node, "expr"),
            expected: items(node, "exp_samples")
                .iter()
                .map(|node| ExpectedSample {
                    labels: owned(node, "labels"),
                    value: values::float(node, "value").unwrap_or(0.0),
                    histogram: owned(node, "histogram"),
                })
                .collect(),
        });
        Self {
            name: owned(node, "name"),
            interval_ms: values::duration_ms(node, "interval", interval_ms),
            input: input.collect(),
            alerts: alerts.collect(),
            expressions: expressions.collect(),
            external_labels: pairs(node, "external_labels"),
            external_url: owned(node, "external_url"),
            start_timestamp: values::text(node, "start_timestamp").map(str::to_string),
        }
    }

    /// The last time that anything is expected at, since the start.
    pub fn end_ms(&self) -> i64 {
        let alerts = self.alerts.iter().map(|test| test.at_ms);
        alerts.chain(self.expressions.iter().map(|test| test.at_ms)).max().unwrap_or(0)
    }
}

/// Makes items that are nothing sections in which nothing is said.
fn fill_items(node: &mut Node) {
    let Value::Map(entries) = &mut node.value else { return };
    for (key, value) in entries {
        let Value::List(items) = &mut value.value else { continue };
        if LISTS.contains(&key.text.as_str()) {
            for item in items {
                if item.is_null() {
                    item.value = Value::Map(Vec::new());
                }
                fill_items(item);
            }
        }
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

fn texts(node: &Node, key: &str) -> Vec<String> {
    items(node, key).iter().map(|node| node.text().unwrap_or_default().to_string()).collect()
}

#[cfg(test)]
mod tests;

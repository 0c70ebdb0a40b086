//! The `global` section: what every scrape inherits, and the labels of this server.

use crate::config::http::line_of;
use crate::config::limits::{self, ScrapeLimits};
use crate::config::mistake::Found;
use crate::config::protocol::{self, Escaping, Histograms, NameValidation, ScrapeProtocol};
use crate::config::schema::{Kind, Schema, below, field, with};
use crate::config::values;
use crate::config::yaml::Node;
use crate::model::duration;
use crate::model::labels::Labels;

pub static GLOBAL: Schema = Schema {
    name: "global",
    fields: &[
        &[
            with("scrape_interval", Kind::Duration, "1m"),
            with("scrape_timeout", Kind::Duration, "10s"),
            field("scrape_protocols", Kind::List(&Kind::Text)),
            with("evaluation_interval", Kind::Duration, "1m"),
            field("rule_query_offset", Kind::Duration),
            field("query_log_file", Kind::Path),
            field("scrape_failure_log_file", Kind::Path),
            field("external_labels", Kind::Map(&Kind::Text)),
        ],
        limits::OF_SCRAPES,
        &[limits::DROPPED_TARGETS],
        protocol::NAMES,
        &[protocol::NATIVE, protocol::TO_CUSTOM, protocol::CLASSIC_AS_WELL, protocol::EXTRA],
    ],
};

#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub evaluation_interval_ms: i64,
    /// How far back rules look, unless their group says otherwise.
    pub rule_query_offset_ms: i64,
    /// Added to what leaves this server (federation, remote write, alerts), never to stored samples.
    pub external_labels: Labels,
    /// `None` where the section says nothing, and each job chooses by the histograms it wants.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// A path; empty for none.
    pub query_log_file: String,
    /// A path as it is written; empty for none.
    pub scrape_failure_log_file: String,
    pub limits: ScrapeLimits,
    pub histograms: Histograms,
    pub name_validation: NameValidation,
    pub escaping: Escaping,
    pub extra_scrape_metrics: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            evaluation_interval_ms: 60_000,
            rule_query_offset_ms: 0,
            external_labels: Labels::empty(),
            scrape_protocols: None,
            query_log_file: String::new(),
            scrape_failure_log_file: String::new(),
            limits: ScrapeLimits::default(),
            histograms: Histograms::default(),
            name_validation: NameValidation::Utf8,
            escaping: Escaping::AllowUtf8,
            extra_scrape_metrics: false,
        }
    }
}

impl Global {
    /// `env` answers for the variables in external labels.
    pub(super) fn read(node: &Node, env: &dyn Fn(&str) -> Option<String>, found: &Found) -> Self {
        let defaults = Global::default();
        let path = "global";
        let scrape_interval_ms = values::duration_ms(node, "scrape_interval", defaults.scrape_interval_ms);
        let least = defaults.scrape_timeout_ms.min(scrape_interval_ms);
        let scrape_timeout_ms = values::duration_ms(node, "scrape_timeout", least);
        if scrape_timeout_ms > scrape_interval_ms {
            let message = "global scrape timeout greater than scrape interval";
            found.add(line_of(node, "scrape_timeout"), &below(path, "scrape_timeout"), message);
        }
        let name_validation = protocol::name_validation(node, path, defaults.name_validation, found);
        Self {
            scrape_interval_ms,
            scrape_timeout_ms,
            evaluation_interval_ms: values::duration_ms(
                node,
                "evaluation_interval",
                defaults.evaluation_interval_ms,
            ),
            rule_query_offset_ms: values::duration_ms(node, "rule_query_offset", 0),
            external_labels: external_labels(node, name_validation, env, found),
            scrape_protocols: protocol::list(node, path, found),
            query_log_file: values::text(node, "query_log_file").unwrap_or_default().to_string(),
            scrape_failure_log_file: values::text(node, "scrape_failure_log_file").unwrap_or_default().to_string(),
            limits: ScrapeLimits::read(node, &ScrapeLimits::default()),
            histograms: Histograms::read(node, Histograms::default()),
            name_validation,
            escaping: protocol::escaping(node, path, name_validation, None, found),
            extra_scrape_metrics: values::is_true(node, "extra_scrape_metrics", false),
        }
    }

    /// What replaces the texts of the file: values with their defaults.
    pub(super) fn shown(&self) -> Vec<(&'static str, serde_yaml::Value)> {
        let mut shown = vec![
            ("scrape_interval", duration::format(self.scrape_interval_ms).into()),
            ("scrape_timeout", duration::format(self.scrape_timeout_ms).into()),
            ("evaluation_interval", duration::format(self.evaluation_interval_ms).into()),
            ("scrape_native_histograms", self.histograms.native.into()),
            ("metric_name_validation_scheme", self.name_validation.as_str().into()),
            ("metric_name_escaping_scheme", self.escaping.as_str().into()),
            ("extra_scrape_metrics", self.extra_scrape_metrics.into()),
        ];
        shown.extend(self.scrape_protocols.iter().map(|p| ("scrape_protocols", protocol::shown(p))));
        if !self.external_labels.is_empty() {
            let labels = self.external_labels.iter().map(|(name, value)| (name.into(), value.into()));
            shown.push(("external_labels", serde_yaml::Value::Mapping(labels.collect())));
        }
        shown
    }
}

fn external_labels(
    node: &Node,
    names: NameValidation,
    env: &dyn Fn(&str) -> Option<String>,
    found: &Found,
) -> Labels {
    let entries = node.get("external_labels").map(Node::entries).unwrap_or_default();
    for (name, _) in entries {
        if !names.is_valid_label_name(&name.text) {
            let message = format!("{:?} is not a valid label name", name.text);
            found.add(name.line, "global.external_labels", message);
        }
    }
    let text = |node: &Node| expand(node.text().unwrap_or(""), env);
    Labels::from_pairs(entries.iter().map(|(name, node)| (name.text.as_str(), text(node))))
}

/// Replaces `$name` and `${name}`; `$$` is a dollar sign, an undefined variable is empty.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, tail) = braced.unwrap_or_else(|| {
            rest.split_at(
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len(),
            )
        });
        if name.is_empty() && braced.is_none() {
            out.push('$');
            continue;
        }
        match env(name) {
            Some(value) => out.push_str(&value),
            None => tracing::warn!(variable = name, "empty environment variable in external_labels"),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_external_labels() {
        let env = |name: &str| (name == "DC").then(|| "fra".to_string());
        let check = |text: &str, want: &str| assert_eq!(expand(text, &env), want, "{text}");
        check("plain", "plain");
        check("$DC", "fra");
        check("a-${DC}-b", "a-fra-b");
        check("$DC-1", "fra-1");
        check("cost: 5$$", "cost: 5$");
        check("${MISSING}x", "x");
        check("a $ b", "a $ b");
    }
}

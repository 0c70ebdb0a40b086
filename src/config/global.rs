//! The `global` section: what every scrape inherits, and the labels of this server.

use serde_yaml::{Mapping, Value};

use crate::config::limits::ScrapeLimits;
use crate::config::protocol::{self, NameValidation, ScrapeProtocol};
use crate::config::section::Section;
use crate::error::{Error, Result};
use crate::model::duration;
use crate::model::labels::{Labels, METRIC_NAME};

#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub evaluation_interval_ms: i64,
    /// Added to what leaves this server (federation, remote write, alerts), never to stored samples.
    pub external_labels: Labels,
    pub scrape_protocols: Vec<ScrapeProtocol>,
    pub limits: ScrapeLimits,
    pub name_validation: NameValidation,
    pub extra_scrape_metrics: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            evaluation_interval_ms: 60_000,
            external_labels: Labels::empty(),
            scrape_protocols: ScrapeProtocol::DEFAULT.to_vec(),
            limits: ScrapeLimits::default(),
            name_validation: NameValidation::Utf8,
            extra_scrape_metrics: false,
        }
    }
}

impl Global {
    /// Keys of Prometheus 3.14 without an implementation here, each with the value that asks for nothing.
    const NOT_YET: [(&'static str, &'static str); 7] = [
        ("rule_query_offset", "0s"),
        ("query_log_file", ""),
        ("scrape_failure_log_file", ""),
        ("scrape_native_histograms", "false"),
        ("convert_classic_histograms_to_nhcb", "false"),
        ("always_scrape_classic_histograms", "false"),
        ("metric_name_escaping_scheme", "allow-utf-8"),
    ];

    /// `env` answers for the variables in external labels.
    pub(super) fn read(mut section: Section, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let defaults = Global::default();
        section.refuse(&Self::NOT_YET)?;
        let or = |own: Option<i64>, default: i64| own.filter(|ms| *ms != 0).unwrap_or(default);
        let scrape_interval_ms = or(section.duration_ms("scrape_interval")?, defaults.scrape_interval_ms);
        let timeout_ms = section.duration_ms("scrape_timeout")?;
        let scrape_timeout_ms = or(timeout_ms, defaults.scrape_timeout_ms.min(scrape_interval_ms));
        if scrape_timeout_ms > scrape_interval_ms {
            return Err(Error::bad_input("global scrape timeout greater than scrape interval"));
        }
        let name_validation =
            NameValidation::parse(&section.string("metric_name_validation_scheme")?.unwrap_or_default())?;
        let external_labels = read_external_labels(&mut section, name_validation, env)?;
        let protocols = protocol::parse_list(section.list("scrape_protocols")?)
            .map_err(|e| Error::new(e.kind, format!("global: {}", e.message)))?;
        let global = Self {
            scrape_interval_ms,
            scrape_timeout_ms,
            evaluation_interval_ms: or(
                section.duration_ms("evaluation_interval")?,
                defaults.evaluation_interval_ms,
            ),
            external_labels,
            scrape_protocols: protocols.unwrap_or(defaults.scrape_protocols),
            limits: ScrapeLimits::read(&mut section, &ScrapeLimits::default())?,
            name_validation,
            extra_scrape_metrics: section.bool("extra_scrape_metrics")?.unwrap_or(false),
        };
        section.finish()?;
        Ok(global)
    }

    pub(super) fn to_yaml(&self) -> Value {
        let mut out = Mapping::new();
        out.insert("scrape_interval".into(), duration::format(self.scrape_interval_ms).into());
        out.insert("scrape_timeout".into(), duration::format(self.scrape_timeout_ms).into());
        let protocols: Vec<Value> = self.scrape_protocols.iter().map(|p| p.as_str().into()).collect();
        out.insert("scrape_protocols".into(), protocols.into());
        out.insert("evaluation_interval".into(), duration::format(self.evaluation_interval_ms).into());
        if !self.external_labels.is_empty() {
            let labels: Mapping = self.external_labels.iter().map(|(n, v)| (n.into(), v.into())).collect();
            out.insert("external_labels".into(), labels.into());
        }
        self.limits.write(&mut out);
        out.insert("metric_name_validation_scheme".into(), self.name_validation.as_str().into());
        if self.extra_scrape_metrics {
            out.insert("extra_scrape_metrics".into(), true.into());
        }
        out.into()
    }
}

fn read_external_labels(
    section: &mut Section,
    names: NameValidation,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Labels> {
    let pairs = section.strings("external_labels")?;
    for (name, _) in &pairs {
        if name == METRIC_NAME || !names.is_valid_label_name(name) {
            return Err(Error::bad_input(format!("{name:?} is not a valid label name in external_labels")));
        }
    }
    Ok(Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), expand(value, env)))))
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

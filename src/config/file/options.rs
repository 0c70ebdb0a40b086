//! What a command line says about how a configuration is read.

use std::path::{Path, PathBuf};

use crate::config::file::Config;
use crate::config::http::line_of;
use crate::config::mistake::{Found, Mistakes};
use crate::config::yaml::Node;
use crate::error::Result;

/// See the flags of these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--agent`: sections of a server are no part of the file.
    pub agent: bool,
    /// `--enable-feature=extra-scrape-metrics`: what `extra_scrape_metrics` is where nothing is said.
    pub extra_scrape_metrics: bool,
}

impl Config {
    /// [`Config::load`], as a command line has it.
    pub fn load_with(path: &Path, options: &Options) -> Result<Self> {
        let mut config = Self::load(path)?;
        if options.agent {
            config.check_agent().map_err(|mistakes| mistakes.into_error(&path.display().to_string()))?;
        }
        if options.extra_scrape_metrics {
            config.enable_extra_scrape_metrics();
        }
        Ok(config)
    }

    /// Files beside the configuration file that are a part of it: when one changes, the configuration does.
    pub fn parts(&self) -> Vec<PathBuf> {
        [self.scrape_config_paths(), self.rule_paths()].concat()
    }

    /// In Prometheus' words.
    fn check_agent(&self) -> std::result::Result<(), Mistakes> {
        let found = Found::default();
        let has = |key: &str| self.root.get(key).is_some_and(|node| !node.items().is_empty());
        if !has("remote_write") {
            let message = "at least one remote_write target must be specified in agent mode";
            found.add(line_of(&self.root, "remote_write"), "", message);
        }
        let alerting = |key: &str| {
            self.root.get("alerting").and_then(|node| node.get(key)).is_some_and(|node| !node.items().is_empty())
        };
        let refused = [
            ("alerting", alerting("alertmanagers") || alerting("alert_relabel_configs")),
            ("rule_files", has("rule_files")),
            ("remote_read", has("remote_read")),
        ];
        for (key, _) in refused.iter().filter(|(_, given)| *given) {
            let message = format!("field {key} is not allowed in agent mode");
            found.add(line_of(&self.root, key), key, message);
        }
        found.into_result()
    }

    fn enable_extra_scrape_metrics(&mut self) {
        const KEY: &str = "extra_scrape_metrics";
        let says = |node: Option<&Node>| node.and_then(|node| node.get(KEY)).is_some_and(|node| !node.is_null());
        if says(self.root.get("global")) {
            return;
        }
        self.global.extra_scrape_metrics = true;
        for job in self.scrape_configs.iter_mut().filter(|job| !says(Some(&job.node))) {
            job.extra_scrape_metrics = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, options: Options) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, text).unwrap();
        Config::load_with(&path, &options)
    }

    #[test]
    fn agents() {
        let agent = Options { agent: true, ..Options::default() };
        let error = load("rule_files: [a.yml]\nremote_read:\n- url: http://x/\n", agent).unwrap_err().to_string();
        for part in [
            "at least one remote_write target must be specified in agent mode",
            "field rule_files is not allowed in agent mode",
            "field remote_read is not allowed in agent mode",
            "prometheus.yml:1: rule_files",
        ] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        let alerting = "remote_write:\n- url: http://x/\nalerting:\n  alertmanagers:\n  - static_configs: []\n";
        assert!(load(alerting, agent).unwrap_err().to_string().contains("field alerting is not allowed"));
        assert!(load("remote_write:\n- url: http://x/\nrule_files:\nalerting:\n", agent).is_ok());
        assert!(load(alerting, Options::default()).is_ok());
    }

    #[test]
    fn extra_scrape_metrics() {
        let extra = Options { extra_scrape_metrics: true, ..Options::default() };
        let jobs = |text: &str| {
            let config = load(text, extra).unwrap();
            config.scrape_configs.iter().map(|job| job.extra_scrape_metrics).collect::<Vec<_>>()
        };
        let scrapes = "scrape_configs: [{job_name: a}, {job_name: b, extra_scrape_metrics: false}]\n";
        assert_eq!(jobs(scrapes), [true, false]);
        assert_eq!(jobs(&format!("global: {{extra_scrape_metrics: false}}\n{scrapes}")), [false, false]);
    }
}

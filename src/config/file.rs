//! `prometheus.yml`: text → checked settings, and back to text with every default filled in.

use std::collections::HashSet;
use std::path::Path;

use serde_yaml::{Mapping, Value};

use crate::config::global::Global;
use crate::config::scrape::{ScrapeConfig, StaticConfig};
use crate::config::section::Section;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::duration;

/// How often promlake scrapes itself when there is no file.
const SELF_SCRAPE_INTERVAL_MS: i64 = 15_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub global: Global,
    pub scrape_configs: Vec<ScrapeConfig>,
    pub storage: StorageConfig,
}

/// `storage` of the file. Where the data is kept is a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageConfig {
    /// How far a sample may be behind the newest one of its series.
    pub out_of_order_time_window_ms: i64,
}

impl Default for StorageConfig {
    /// Prometheus' default is 0; here an hour, as late samples cost no more than others.
    fn default() -> Self {
        Self { out_of_order_time_window_ms: 3_600_000 }
    }
}

impl Config {
    /// Top-level keys of Prometheus 3.14 without an implementation here.
    const NOT_YET: [(&'static str, &'static str); 8] = [
        ("runtime", ""),
        ("alerting", ""),
        ("rule_files", ""),
        ("scrape_config_files", ""),
        ("tracing", ""),
        ("remote_write", ""),
        ("remote_read", ""),
        ("otlp", ""),
    ];

    /// Reads and checks a file; external labels may name environment variables.
    pub fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).context(ErrorKind::BadInput, || format!("reading {}", path.display()))?;
        Self::parse(&text).map_err(|e| Error::new(e.kind, format!("{}: {}", path.display(), e)))
    }

    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with_env(text, &|name| std::env::var(name).ok())
    }

    /// The environment is an argument for tests.
    pub fn parse_with_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let document: Value = serde_yaml::from_str(text).context(ErrorKind::BadInput, || "parsing YAML".into())?;
        let mut root = Section::new("the configuration", document)?;
        root.refuse(&Self::NOT_YET)?;
        let global = Global::read(root.section("global")?, env)?;
        let storage = StorageConfig::read(root.section("storage")?)?;
        let mut scrape_configs = Vec::new();
        let mut jobs = HashSet::new();
        for value in root.list("scrape_configs")?.unwrap_or_default() {
            if value.is_null() {
                return Err(Error::bad_input("empty or null scrape config section"));
            }
            let scrape = ScrapeConfig::read(value, &global)?;
            if !jobs.insert(scrape.job_name.clone()) {
                let job = &scrape.job_name;
                return Err(Error::bad_input(format!("found multiple scrape configs with job name {job:?}")));
            }
            scrape_configs.push(scrape);
        }
        root.finish()?;
        Ok(Self { global, scrape_configs, storage })
    }

    /// What runs without a file: promlake scrapes itself at `address` (`host:port`).
    pub fn self_scrape(address: &str) -> Self {
        let global = Global {
            scrape_interval_ms: SELF_SCRAPE_INTERVAL_MS,
            evaluation_interval_ms: SELF_SCRAPE_INTERVAL_MS,
            ..Global::default()
        };
        let mut scrape = ScrapeConfig::new("promlake", &global);
        scrape.static_configs = vec![StaticConfig { targets: vec![address.to_string()], labels: Vec::new() }];
        Self { global, scrape_configs: vec![scrape], storage: StorageConfig::default() }
    }

    /// The configuration in force, for `/api/v1/status/config`. It holds no secrets yet: the keys that would are
    /// refused when the file is read.
    pub fn to_yaml(&self) -> String {
        let mut root = Mapping::new();
        root.insert("global".into(), self.global.to_yaml());
        if !self.scrape_configs.is_empty() {
            let jobs: Vec<Value> = self.scrape_configs.iter().map(ScrapeConfig::to_yaml).collect();
            root.insert("scrape_configs".into(), jobs.into());
        }
        root.insert("storage".into(), self.storage.to_yaml());
        serde_yaml::to_string(&Value::from(root)).expect("a tree of strings and numbers has a YAML form")
    }
}

impl StorageConfig {
    fn read(mut section: Section) -> Result<Self> {
        section.refuse(&[("exemplars", "")])?;
        let mut tsdb = section.section("tsdb")?;
        section.finish()?;
        tsdb.refuse(&[("retention", ""), ("stale_series_compaction_threshold", "0"), ("chunk_encoding", "")])?;
        let mut config = StorageConfig::default();
        if let Some(window_ms) = tsdb.duration_ms("out_of_order_time_window")? {
            config.out_of_order_time_window_ms = window_ms;
        }
        tsdb.finish()?;
        Ok(config)
    }

    fn to_yaml(&self) -> Value {
        let mut tsdb = Mapping::new();
        let window = duration::format(self.out_of_order_time_window_ms);
        tsdb.insert("out_of_order_time_window".into(), window.into());
        Mapping::from_iter([("tsdb".into(), Value::from(tsdb))]).into()
    }
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;

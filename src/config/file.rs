//! `prometheus.yml`: text → checked settings, and back to text with every default filled in.
//!
//! The text becomes a tree ([`yaml`]), the tree is checked against what each section may hold ([`schema`]), and the
//! sections are read into settings, each of which adds what does not go together. All that is wrong is told at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;

use crate::config::alerting::{ALERTING, Alerting};
use crate::config::global::{GLOBAL, Global};
use crate::config::http::{is_set, line_of};
use crate::config::mistake::{Found, Mistakes};
use crate::config::otlp::{self, OTLP, RUNTIME, TRACING};
use crate::config::relabel::texts;
use crate::config::remote;
use crate::config::schema::{Kind, Schema, field};
use crate::config::scrape::{SCRAPE, ScrapeConfig, StaticConfig};
use crate::config::storage::{STORAGE, StorageConfig};
use crate::config::yaml::{self, Node};
use crate::error::{Context, Error, ErrorKind, Result};

/// How often promlake scrapes itself when there is no file.
const SELF_SCRAPE_INTERVAL_MS: i64 = 15_000;

static FILE: Schema = Schema {
    name: "the configuration",
    fields: &[&[
        field("global", Kind::Section(&GLOBAL)),
        field("runtime", Kind::Section(&RUNTIME)),
        field("alerting", Kind::Section(&ALERTING)),
        field("rule_files", Kind::List(&Kind::Text)),
        field("scrape_config_files", Kind::List(&Kind::Text)),
        field("scrape_configs", Kind::List(&Kind::Section(&SCRAPE))),
        field("storage", Kind::Section(&STORAGE)),
        field("tracing", Kind::Section(&TRACING)),
        field("remote_write", Kind::List(&Kind::Section(&remote::WRITE))),
        field("remote_read", Kind::List(&Kind::Section(&remote::READ))),
        field("otlp", Kind::Section(&OTLP)),
    ]],
};

#[derive(Clone, Debug)]
pub struct Config {
    pub global: Global,
    pub scrape_configs: Vec<ScrapeConfig>,
    pub storage: StorageConfig,
    pub alerting: Alerting,
    /// Patterns, as they are written.
    pub rule_files: Vec<String>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    root: Node,
}

impl Config {
    /// Reads and checks a file; external labels may name environment variables.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).context(ErrorKind::BadInput, || format!("reading {name}"))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            Error::bad_input(format!("{name}:{line}: invalid UTF-8"))
        })?;
        let mut config =
            Self::parse_with_env(&text, &|name| std::env::var(name).ok()).map_err(|m| m.into_error(&name))?;
        config.directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(config)
    }

    pub fn parse(text: &str) -> std::result::Result<Self, Mistakes> {
        Self::parse_with_env(text, &|name| std::env::var(name).ok())
    }

    /// The environment is an argument for tests.
    pub fn parse_with_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> std::result::Result<Self, Mistakes> {
        let (root, twice) = yaml::parse(text).map_err(Mistakes::one)?;
        let found = Found::default();
        twice.into_iter().for_each(|fault| found.add_fault(fault));
        FILE.check(&root, "", &found);
        let config = Self::read(root, env, &found);
        found.into_result()?;
        Ok(config)
    }

    fn read(root: Node, env: &dyn Fn(&str) -> Option<String>, found: &Found) -> Self {
        let nothing = Node::nothing();
        let section = |key: &str| root.get(key).filter(|node| !node.is_null()).unwrap_or(&nothing);
        let global = Global::read(section("global"), env, found);
        let scrape_configs = scrape_configs(section("scrape_configs"), &global, found);
        remote::check_writes(section("remote_write").items(), global.name_validation, found);
        remote::check_reads(section("remote_read").items(), found);
        otlp::check_otlp(section("otlp"), global.name_validation, found);
        if root.get("tracing").is_some_and(|node| !node.entries().is_empty()) {
            otlp::check_tracing(section("tracing"), found);
        }
        check_patterns(&root, found);
        Self {
            storage: StorageConfig::read(section("storage"), found),
            alerting: Alerting::read(section("alerting"), global.name_validation, found),
            rule_files: texts(&root, "rule_files"),
            global,
            scrape_configs,
            directory: PathBuf::new(),
            root,
        }
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
        Self { global, scrape_configs: vec![scrape], ..Self::empty() }
    }

    /// That of an empty file.
    pub fn empty() -> Self {
        Self::read(Node::nothing(), &|_| None, &Found::default())
    }

    /// The configuration in force, for `/api/v1/status/config`; no secret is shown.
    pub fn to_yaml(&self) -> String {
        let nothing = Node::nothing();
        let section = |key: &str| self.root.get(key).unwrap_or(&nothing);
        let mut global = self.global.shown();
        global.extend(self.global.limits.shown());
        let mut given = vec![
            ("global", GLOBAL.show(section("global"), &global)),
            ("storage", self.storage.shown(section("storage"))),
        ];
        if !self.scrape_configs.is_empty() {
            let jobs: Vec<Yaml> = self.scrape_configs.iter().map(ScrapeConfig::to_yaml).collect();
            given.push(("scrape_configs", jobs.into()));
        }
        let shown = FILE.show(&self.root, &given);
        serde_yaml::to_string(&shown).expect("a tree of texts and numbers has a YAML form")
    }

    /// Sections and keys that nothing acts on yet, each with its line. The server starts with none of them, since what
    /// they ask for would be missed in silence.
    pub fn not_built(&self) -> std::result::Result<(), Mistakes> {
        let found = Found::default();
        let refuse = |node: &Node, key: &str, path: &str| {
            if asks_for_something(node, key) {
                found.add(line_of(node, key), path, "is not supported yet");
            }
        };
        for key in ["scrape_config_files", "tracing", "remote_write", "remote_read", "otlp"] {
            refuse(&self.root, key, key);
        }
        if let Some(global) = self.root.get("global") {
            refuse_escaping(global, "global", &found);
            for key in NOT_BUILT_IN_GLOBAL {
                refuse(global, key, &format!("global.{key}"));
            }
        }
        for (position, job) in self.scrape_configs.iter().enumerate() {
            for key in NOT_BUILT_IN_JOBS {
                refuse(&job.node, key, &format!("scrape_configs[{position}].{key}"));
            }
            refuse_escaping(&job.node, &format!("scrape_configs[{position}]"), &found);
            for discovery in &job.discoveries {
                let path = format!("scrape_configs[{position}].{}", discovery.kind.key);
                found.add(discovery.line, &path, "is not supported yet");
            }
        }
        found.into_result()
    }

    /// The rule files that the patterns name.
    pub fn rule_paths(&self) -> Vec<PathBuf> {
        self.rule_files.iter().flat_map(|pattern| paths(&self.directory, pattern)).collect()
    }

    /// Files that are named and not there, one a line. The server starts without them, as they may come.
    pub fn missing_files(&self, file: &str) -> Vec<String> {
        let mut missing = vec![];
        let mut look = |node: &Node, path: &Path| {
            if !path.exists() {
                let name = path.display();
                missing.push(format!("{file}:{}: {name:?} does not point to an existing file", node.line));
            }
        };
        for node in self.root.get("rule_files").map(Node::items).unwrap_or_default() {
            let pattern = node.text().unwrap_or("");
            if !pattern.contains('*') {
                look(node, &self.directory.join(pattern));
            }
        }
        named_files(&self.root, &mut |node| look(node, &self.directory.join(node.text().unwrap_or(""))));
        missing
    }

    /// What is read and checked, and does nothing yet, to be told at the start.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let mut parts = vec![];
        if !self.rule_files.is_empty() {
            parts.push("rules are not evaluated yet (rule_files)");
        }
        if !self.alerting.alertmanagers.is_empty() {
            parts.push("alerts are not sent yet (alerting)");
        }
        if self.root.get("storage").is_some_and(StorageConfig::has_tuning) {
            parts.push(
                "exemplar limits, stale series compaction and chunk encodings are Prometheus' storage's and do nothing here \
                 (storage)",
            );
        }
        if self.root.get("storage").is_some_and(StorageConfig::has_retention) {
            parts.push("retention is not enforced yet (storage.tsdb.retention)");
        }
        parts
    }
}

const NOT_BUILT_IN_GLOBAL: &[&str] = &[
    "query_log_file",
    "scrape_failure_log_file",
    "scrape_native_histograms",
    "convert_classic_histograms_to_nhcb",
    "always_scrape_classic_histograms",
];

const NOT_BUILT_IN_JOBS: &[&str] = &[
    "scrape_failure_log_file",
    "scrape_native_histograms",
    "convert_classic_histograms_to_nhcb",
    "always_scrape_classic_histograms",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "http_headers",
    "proxy_url",
    "proxy_from_environment",
];

/// Targets are asked for the escaping that goes with the names that are valid.
fn refuse_escaping(section: &Node, path: &str, found: &Found) {
    let key = "metric_name_escaping_scheme";
    let asked = section.get(key).and_then(Node::text).unwrap_or("");
    if !matches!(asked, "" | "allow-utf-8") {
        found.add(line_of(section, key), &format!("{path}.{key}"), "is not supported yet");
    }
}

/// More than nothing, an empty list or mapping, 0 or false.
fn asks_for_something(section: &Node, key: &str) -> bool {
    let Some(node) = section.get(key).filter(|_| is_set(section, key)) else { return false };
    match &node.value {
        yaml::Value::Null => false,
        yaml::Value::List(items) => !items.is_empty(),
        yaml::Value::Map(entries) => !entries.is_empty(),
        yaml::Value::Scalar(scalar) => scalar.bool() != Some(false) && scalar.integer() != Some(0),
    }
}

fn scrape_configs(node: &Node, global: &Global, found: &Found) -> Vec<ScrapeConfig> {
    let mut jobs: HashMap<String, usize> = HashMap::new();
    let mut all = vec![];
    for (position, node) in node.items().iter().enumerate().filter(|(_, node)| !node.is_null()) {
        let path = format!("scrape_configs[{position}]");
        let config = ScrapeConfig::read(node, &path, global, found);
        let line = line_of(node, "job_name");
        if let Some(first) = jobs.insert(config.job_name.clone(), line)
            && !config.job_name.is_empty()
        {
            let job = &config.job_name;
            let message = format!("found multiple scrape configs with job name {job:?}, the first on line {first}");
            found.add(line, &path, message);
        }
        all.push(config);
    }
    all
}

/// Calls `visit` with each value that names a file of credentials or certificates.
fn named_files(node: &Node, visit: &mut dyn FnMut(&Node)) {
    const KEYS: &[&str] = &["ca_file", "cert_file", "key_file", "credentials_file", "bearer_token_file"];
    for (key, value) in node.entries() {
        match KEYS.contains(&key.text.as_str()) && value.text().is_some_and(|text| !text.is_empty()) {
            true => visit(value),
            false => named_files(value, visit),
        }
    }
    for item in node.items() {
        named_files(item, visit);
    }
}

/// The files of a pattern with one star in its last part, sorted.
fn paths(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = directory.join(pattern);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, behind)) = name.split_once('*') else {
        return if path.is_file() { vec![path] } else { vec![] };
    };
    let entries = std::fs::read_dir(path.parent().unwrap_or(directory)).into_iter().flatten().flatten();
    let fits = |name: &str| {
        name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind)
    };
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Patterns of files have one star at most, in their last part.
fn check_patterns(root: &Node, found: &Found) {
    for key in ["rule_files", "scrape_config_files"] {
        for (position, node) in root.get(key).map(Node::items).unwrap_or_default().iter().enumerate() {
            let pattern = node.text().unwrap_or("");
            let star = pattern.split_once('*');
            if star.is_some_and(|(_, behind)| behind.contains(['*', '/'])) {
                let message =
                    format!("invalid {} file path {pattern:?}", key.trim_end_matches("_files").replace('_', " "));
                found.add(node.line, &format!("{key}[{position}]"), message);
            }
        }
    }
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;

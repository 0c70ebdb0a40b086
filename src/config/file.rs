//! `prometheus.yml`: text → checked settings, and back to text with every default filled in.
//!
//! The text becomes a tree ([`yaml`]), the tree is checked against what each section may hold ([`schema`]), and the
//! sections are read into settings, each of which adds what does not go together. All that is wrong is told at once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;

use crate::config::alerting::{self, ALERTING, Alerting};
use crate::config::glob;
use crate::config::global::{GLOBAL, Global};
use crate::config::http::{is_set, line_of};
use crate::config::mistake::{Found, Mistakes};
use crate::config::otlp::{OTLP, OtlpConfig, RUNTIME};
use crate::config::relabel::texts;
use crate::config::remote;
use crate::config::remote::write::{self, RemoteWrite};
use crate::config::schema::{Field, Kind, Schema, field};
use crate::config::scrape::{SCRAPE, ScrapeConfig, StaticConfig};
use crate::config::storage::{STORAGE, StorageConfig};
use crate::config::tracing::{TRACING, TracingConfig};
use crate::config::yaml::{self, Node};
use crate::error::{Context, Error, ErrorKind, Result};

/// What a command line says about it.
mod options;

pub use options::Options;

/// How often promlake scrapes itself when there is no file.
const SELF_SCRAPE_INTERVAL_MS: i64 = 15_000;

static FILE: Schema = Schema {
    name: "the configuration",
    fields: &[&[
        field("global", Kind::Section(&GLOBAL)),
        field("runtime", Kind::Section(&RUNTIME)),
        field("alerting", Kind::Section(&ALERTING)),
        field("rule_files", Kind::List(&Kind::Path)),
        field("scrape_config_files", Kind::List(&Kind::Path)),
        SCRAPES,
        field("storage", Kind::Section(&STORAGE)),
        field("tracing", Kind::Section(&TRACING)),
        field("remote_write", Kind::List(&Kind::Section(&remote::WRITE))),
        field("remote_read", Kind::List(&Kind::Section(&remote::READ))),
        field("otlp", Kind::Section(&OTLP)),
    ]],
};

const SCRAPES: Field = field("scrape_configs", Kind::List(const { &Kind::Section(&SCRAPE) }));

/// A file that `scrape_config_files` names.
static SCRAPE_FILE: Schema = Schema { name: "a scrape config file", fields: &[&[SCRAPES]] };

#[derive(Clone, Debug)]
pub struct Config {
    pub global: Global,
    /// Those of the file itself first.
    pub scrape_configs: Vec<ScrapeConfig>,
    pub storage: StorageConfig,
    pub otlp: OtlpConfig,
    pub alerting: Alerting,
    pub remote_writes: Vec<RemoteWrite>,
    pub tracing: Option<TracingConfig>,
    /// Patterns.
    pub rule_files: Vec<String>,
    root: Node,
}

impl Config {
    /// Reads and checks a file and those with further jobs; external labels may name environment variables. Relative
    /// paths become those from the folder of the file that has them.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let env = |name: &str| std::env::var(name).ok();
        let found = Found::default();
        let text = read_text(path)?;
        let mut config = Self::from_text(&text, path.parent(), &env, &found).map_err(|m| m.into_error(&name))?;
        for file in config.scrape_config_paths() {
            config.add_jobs(&file, &found)?;
        }
        found.into_result().map_err(|mistakes| mistakes.into_error(&name))?;
        Ok(config)
    }

    pub fn parse(text: &str) -> std::result::Result<Self, Mistakes> {
        Self::parse_with_env(text, &|name| std::env::var(name).ok())
    }

    /// The environment is an argument for tests.
    pub fn parse_with_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> std::result::Result<Self, Mistakes> {
        let found = Found::default();
        let config = Self::from_text(text, None, env, &found)?;
        found.into_result()?;
        Ok(config)
    }

    fn from_text(
        text: &str,
        directory: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
        found: &Found,
    ) -> std::result::Result<Self, Mistakes> {
        let mut root = tree(text, &FILE, found).map_err(Mistakes::one)?;
        check_patterns(&root, found);
        if let Some(directory) = directory {
            FILE.join_paths(&mut root, directory);
        }
        Ok(Self::read(root, env, found))
    }

    fn read(root: Node, env: &dyn Fn(&str) -> Option<String>, found: &Found) -> Self {
        let nothing = Node::nothing();
        let section = |key: &str| root.get(key).filter(|node| !node.is_null()).unwrap_or(&nothing);
        let global = Global::read(section("global"), env, found);
        let remote_writes = remote::writes(section("remote_write").items(), global.name_validation, found);
        remote::check_reads(section("remote_read").items(), found);
        let tracing = root.get("tracing").filter(|node| !node.is_null());
        let mut config = Self {
            storage: StorageConfig::read(section("storage"), found),
            otlp: OtlpConfig::read(section("otlp"), global.name_validation, found),
            alerting: Alerting::read(section("alerting"), global.name_validation, found),
            tracing: tracing.map(|node| TracingConfig::read(node, found)),
            remote_writes,
            rule_files: texts(&root, "rule_files"),
            global,
            scrape_configs: vec![],
            root: Node::nothing(),
        };
        config.read_jobs(&root, None, found);
        Self { root, ..config }
    }

    /// The jobs of a file that `scrape_config_files` names.
    fn add_jobs(&mut self, path: &Path, found: &Found) -> Result<()> {
        let name = path.display().to_string();
        let text = read_text(path)?;
        let of_file = Found::of_file(&name);
        match tree(&text, &SCRAPE_FILE, &of_file) {
            Ok(mut root) => {
                SCRAPE_FILE.join_paths(&mut root, path.parent().unwrap_or(Path::new("")));
                self.read_jobs(&root, Some(&name), &of_file);
            }
            Err(fault) => of_file.add_fault(fault),
        }
        found.append(of_file);
        Ok(())
    }

    fn read_jobs(&mut self, root: &Node, file: Option<&str>, found: &Found) {
        let nodes = root.get("scrape_configs").map(Node::items).unwrap_or_default();
        for (position, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_null()) {
            let path = format!("scrape_configs[{position}]");
            let mut job = ScrapeConfig::read(node, &path, &self.global, found);
            job.file = file.map(str::to_string);
            let first = self.scrape_configs.iter().find(|other| other.job_name == job.job_name);
            if let Some(first) = first.filter(|first| !first.job_name.is_empty()) {
                let place = match &first.file {
                    same if *same == job.file => String::new(),
                    Some(other) => format!(" of {other}"),
                    None => " of the main file".to_string(),
                };
                let (name, line) = (&job.job_name, line_of(&first.node, "job_name"));
                let message = format!(
                    "found multiple scrape configs with job name {name:?}, the first on line {line}{place}"
                );
                found.add(line_of(node, "job_name"), &path, message);
            }
            self.scrape_configs.push(job);
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
            ("otlp", OTLP.show(section("otlp"), &[])),
        ];
        let own = self.scrape_configs.iter().filter(|job| job.file.is_none());
        let jobs: Vec<Yaml> = own.map(ScrapeConfig::to_yaml).collect();
        if !jobs.is_empty() {
            given.push(("scrape_configs", jobs.into()));
        }
        let shown = FILE.show(&self.root, &given);
        yaml::print::print(&shown)
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
        refuse(&self.root, "remote_read", "remote_read");
        if let Some(node) = self.root.get("alerting") {
            alerting::not_built(node, &self.alerting, &found);
        }
        write::not_built(self.root.get("remote_write").map(Node::items).unwrap_or_default(), &found);
        let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
        for job in &self.scrape_configs {
            let position = counts.entry(job.file.as_deref()).or_default();
            let section = format!("scrape_configs[{position}]");
            *position += 1;
            let of_file = job.file.as_deref().map_or_else(Found::default, Found::of_file);
            for discovery in &job.discoveries {
                if let Some(message) = discovery.missing() {
                    of_file.add(discovery.line, &format!("{section}.{}", discovery.kind.key), message);
                }
            }
            found.append(of_file);
        }
        found.into_result()
    }

    /// The rule files that the patterns name, each once.
    pub fn rule_paths(&self) -> Vec<PathBuf> {
        let mut known = HashSet::new();
        let all = self.rule_files.iter().flat_map(|pattern| paths(pattern));
        all.filter(|path| known.insert(path.clone())).collect()
    }

    /// The files with further jobs that the patterns name.
    pub fn scrape_config_paths(&self) -> Vec<PathBuf> {
        texts(&self.root, "scrape_config_files").iter().flat_map(|pattern| paths(pattern)).collect()
    }

    /// Files that are named and not there, one a line. The server starts without them, as they may come.
    pub fn missing_files(&self, file: &str) -> Vec<String> {
        let mut missing = vec![];
        let mut look = |file: &str, node: &Node| {
            let path = node.text().unwrap_or("");
            if !Path::new(path).exists() {
                missing.push(format!("{file}:{}: {path:?} does not point to an existing file", node.line));
            }
        };
        for node in self.root.get("rule_files").map(Node::items).unwrap_or_default() {
            if node.text().is_some_and(|pattern| !glob::is_pattern(pattern)) {
                look(file, node);
            }
        }
        named_files(&self.root, &mut |node| look(file, node));
        for job in &self.scrape_configs {
            if let Some(file) = &job.file {
                named_files(&job.node, &mut |node| look(file, node));
            }
        }
        missing
    }

    /// What is read and checked, and does nothing yet, to be told at the start.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let mut parts = vec![];
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

/// A file as a tree that was checked against what it may hold.
fn tree(text: &str, schema: &Schema, found: &Found) -> std::result::Result<Node, yaml::Fault> {
    let (root, twice) = yaml::parse(text)?;
    twice.into_iter().for_each(|fault| found.add_fault(fault));
    schema.check(&root, "", found);
    Ok(root)
}

/// The text of a file.
///
/// # Errors
/// `BadInput` where it cannot be read, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let name = path.display();
    let bytes = std::fs::read(path).context(ErrorKind::BadInput, || format!("reading {name}"))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Error::bad_input(format!("{name}:{line}: invalid UTF-8"))
    })
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

/// The files of a pattern, sorted.
fn paths(pattern: &str) -> Vec<PathBuf> {
    let mut found = glob::files(pattern);
    found.retain(|path| path.is_file());
    found
}

/// Patterns of files have stars in their last part alone.
fn check_patterns(root: &Node, found: &Found) {
    for key in ["rule_files", "scrape_config_files"] {
        for (position, node) in root.get(key).map(Node::items).unwrap_or_default().iter().enumerate() {
            let pattern = node.text().unwrap_or("");
            let star = pattern.split_once('*');
            if star.is_some_and(|(_, behind)| behind.contains('/')) || glob::is_malformed(pattern) {
                let message =
                    format!("invalid {} file path {pattern:?}", key.trim_end_matches("_files").replace('_', " "));
                found.add(node.line, &format!("{key}[{position}]"), message);
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;

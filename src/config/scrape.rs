//! One entry of `scrape_configs`, with everything it inherits from `global` filled in.

use serde_yaml::Value as Yaml;

use crate::config::discovery::{self, Discovery};
use crate::config::global::Global;
use crate::config::http::{self, line_of};
use crate::config::limits::{self, ScrapeLimits};
use crate::config::mistake::Found;
use crate::config::protocol::{self, NameValidation, ScrapeProtocol};
use crate::config::relabel;
use crate::config::schema::{Kind, Schema, below, field, with};
use crate::config::values;
use crate::config::yaml::Node;
use crate::model::duration;
use crate::model::relabel::Rule;

pub static SCRAPE: Schema = Schema {
    name: "scrape_config",
    fields: &[
        &[
            field("job_name", Kind::Text),
            field("honor_labels", Kind::Bool),
            with("honor_timestamps", Kind::Bool, "true"),
            with("track_timestamps_staleness", Kind::Bool, "false"),
            field("params", Kind::Map(&Kind::List(&Kind::Text))),
            field("scrape_interval", Kind::Duration),
            field("scrape_timeout", Kind::Duration),
            field("scrape_protocols", Kind::List(&Kind::Text)),
            field("fallback_scrape_protocol", Kind::Text),
            field("scrape_failure_log_file", Kind::Text),
            with("metrics_path", Kind::Text, "/metrics"),
            with("scheme", Kind::Text, "http"),
            with("enable_compression", Kind::Bool, "true"),
            field("native_histogram_bucket_limit", Kind::Count),
            field("native_histogram_min_bucket_factor", Kind::Float),
        ],
        limits::FIELDS,
        protocol::FIELDS,
        http::FIELDS,
        &[
            relabel::rules("relabel_configs"),
            relabel::rules("metric_relabel_configs"),
            field("static_configs", Kind::List(&Kind::Section(&STATIC))),
        ],
        discovery::FIELDS,
    ],
};

pub static STATIC: Schema = Schema {
    name: "static_configs",
    fields: &[&[field("targets", Kind::List(&Kind::Text)), field("labels", Kind::Map(&Kind::Text))]],
};

#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    pub job_name: String,
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// Taken when a target's `Content-Type` is missing or unknown.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    pub metrics_path: String,
    /// Any text; a target whose scheme is none cannot be scraped.
    pub scheme: String,
    /// Query parameters, in the order of the file.
    pub params: Vec<(String, Vec<String>)>,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub enable_compression: bool,
    pub follow_redirects: bool,
    pub extra_scrape_metrics: bool,
    pub limits: ScrapeLimits,
    pub name_validation: NameValidation,
    pub relabel_configs: Vec<Rule>,
    pub metric_relabel_configs: Vec<Rule>,
    pub static_configs: Vec<StaticConfig>,
    pub discoveries: Vec<Discovery>,
    /// As it is in the file.
    pub(super) node: Node,
}

/// Targets that share labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StaticConfig {
    /// `host:port`.
    pub targets: Vec<String>,
    pub labels: Vec<(String, String)>,
}

impl ScrapeConfig {
    /// The defaults of a job that says nothing but its name.
    pub fn new(job_name: impl Into<String>, global: &Global) -> Self {
        Self {
            job_name: job_name.into(),
            scrape_interval_ms: global.scrape_interval_ms,
            scrape_timeout_ms: global.scrape_timeout_ms,
            scrape_protocols: global.scrape_protocols.clone(),
            fallback_scrape_protocol: None,
            metrics_path: "/metrics".to_string(),
            scheme: "http".to_string(),
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            follow_redirects: true,
            extra_scrape_metrics: global.extra_scrape_metrics,
            limits: global.limits,
            name_validation: global.name_validation,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            static_configs: Vec::new(),
            discoveries: Vec::new(),
            node: Node::nothing(),
        }
    }

    /// What all its targets have alike.
    pub fn without_targets(&self) -> Self {
        Self { static_configs: Vec::new(), node: self.node.without("static_configs"), ..self.clone() }
    }

    /// A job whose section was checked against [`SCRAPE`].
    pub(super) fn read(node: &Node, path: &str, global: &Global, found: &Found) -> Self {
        let job_name = values::text(node, "job_name").unwrap_or_default();
        if job_name.is_empty() {
            found.add(line_of(node, "job_name"), path, "job_name is empty");
        }
        let mut config = Self::new(job_name, global);
        config.read_timing(node, path, found);
        config.read_request(node, path, found);
        config.read_samples(node, path, global, found);
        http::check(node, path, &[], found);
        config.relabel_configs = relabel::read(node, "relabel_configs", path, config.name_validation, found);
        config.metric_relabel_configs =
            relabel::read(node, "metric_relabel_configs", path, config.name_validation, found);
        let relabelled = !config.relabel_configs.is_empty();
        config.static_configs = static_configs(node, path, relabelled, config.name_validation, found);
        config.discoveries = discovery::read(node, path, found);
        config.node = node.clone();
        config
    }

    fn read_timing(&mut self, node: &Node, path: &str, found: &Found) {
        self.scrape_interval_ms = values::duration_ms(node, "scrape_interval", self.scrape_interval_ms);
        let inherited = self.scrape_timeout_ms.min(self.scrape_interval_ms);
        self.scrape_timeout_ms = values::duration_ms(node, "scrape_timeout", inherited);
        if self.scrape_timeout_ms > self.scrape_interval_ms {
            let job = &self.job_name;
            let message =
                format!("scrape timeout greater than scrape interval for scrape config with job name {job:?}");
            found.add(line_of(node, "scrape_timeout"), &below(path, "scrape_timeout"), message);
        }
    }

    fn read_request(&mut self, node: &Node, path: &str, found: &Found) {
        if let Some(protocols) = protocol::list(node, path, found) {
            self.scrape_protocols = protocols;
        }
        if let Some(name) = values::text(node, "fallback_scrape_protocol") {
            let key = "fallback_scrape_protocol";
            let parsed = ScrapeProtocol::parse(name);
            self.fallback_scrape_protocol =
                parsed.map_err(|e| found.add(line_of(node, key), &below(path, key), e.message)).ok();
        }
        // An empty path is one, an empty scheme is none.
        if let Some(metrics_path) = node.get("metrics_path").and_then(Node::text) {
            self.metrics_path = metrics_path.to_string();
        }
        if let Some(scheme) = values::text(node, "scheme") {
            self.scheme = scheme.to_string();
        }
        let params = node.get("params").map(Node::entries).unwrap_or_default();
        let texts = |node: &Node| node.items().iter().map(|item| item.text().unwrap_or("").to_string()).collect();
        self.params = params.iter().map(|(name, node)| (name.text.clone(), texts(node))).collect();
        self.enable_compression = values::is_true(node, "enable_compression", true);
        self.follow_redirects = values::is_true(node, "follow_redirects", true);
    }

    fn read_samples(&mut self, node: &Node, path: &str, global: &Global, found: &Found) {
        self.honor_labels = values::is_true(node, "honor_labels", false);
        self.honor_timestamps = values::is_true(node, "honor_timestamps", true);
        self.track_timestamps_staleness = values::is_true(node, "track_timestamps_staleness", false);
        self.extra_scrape_metrics = values::is_true(node, "extra_scrape_metrics", global.extra_scrape_metrics);
        self.limits = ScrapeLimits::read(node, &global.limits);
        self.name_validation = protocol::name_validation(node, path, global.name_validation, found);
    }

    /// This job as YAML, for `/api/v1/scrape_pools/config`; no secret is shown.
    pub fn to_yaml(&self) -> Yaml {
        let mut shown: Vec<(&str, Yaml)> = vec![
            ("job_name", self.job_name.as_str().into()),
            ("scrape_interval", duration::format(self.scrape_interval_ms).into()),
            ("scrape_timeout", duration::format(self.scrape_timeout_ms).into()),
            ("scrape_protocols", protocol::shown(&self.scrape_protocols)),
            ("metric_name_validation_scheme", self.name_validation.as_str().into()),
        ];
        shown.extend(self.limits.shown());
        if self.extra_scrape_metrics {
            shown.push(("extra_scrape_metrics", true.into()));
        }
        if !self.static_configs.is_empty() {
            let all = self.static_configs.iter().map(StaticConfig::to_yaml).collect::<Vec<_>>();
            shown.push(("static_configs", all.into()));
        }
        SCRAPE.show(&self.node, &shown)
    }
}

impl StaticConfig {
    fn to_yaml(&self) -> Yaml {
        let mut out = serde_yaml::Mapping::new();
        out.insert("targets".into(), self.targets.clone().into());
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
            out.insert("labels".into(), Yaml::Mapping(labels.collect()));
        }
        Yaml::Mapping(out)
    }
}

/// The groups of a section. People write URLs, which are no addresses; what relabelling makes of them is not known here.
pub(super) fn static_configs(
    section: &Node,
    path: &str,
    relabelled: bool,
    names: NameValidation,
    found: &Found,
) -> Vec<StaticConfig> {
    let path = below(path, "static_configs");
    let groups = section.get("static_configs").map(Node::items).unwrap_or_default();
    let group = |(position, node): (usize, &Node)| {
        let path = format!("{path}[{position}]");
        let targets = node.get("targets").map(Node::items).unwrap_or_default();
        for target in targets {
            if let Some(address) = target.text().filter(|address| address.contains('/') && !relabelled) {
                let path = below(&path, "targets");
                found.add(target.line, &path, format!("{address:?} is not a valid hostname"));
            }
        }
        let labels = node.get("labels").map(Node::entries).unwrap_or_default();
        for (name, _) in labels.iter().filter(|(name, _)| !names.is_valid_label_name(&name.text)) {
            found.add(name.line, &below(&path, "labels"), format!("{:?} is not a valid label name", name.text));
        }
        let text = |node: &Node| node.text().unwrap_or("").to_string();
        StaticConfig {
            targets: targets.iter().map(text).collect(),
            labels: labels.iter().map(|(name, node)| (name.text.clone(), text(node))).collect(),
        }
    };
    groups.iter().enumerate().map(group).collect()
}

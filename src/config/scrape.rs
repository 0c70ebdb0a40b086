//! One entry of `scrape_configs`, with everything it inherits from `global` filled in.

use std::collections::BTreeMap;

use serde_yaml::Value as Yaml;

use crate::config::discovery::{self, Discovery};
use crate::config::global::Global;
use crate::config::http::{self, HttpConfig, line_of};
use crate::config::limits::{self, ScrapeLimits};
use crate::config::mistake::Found;
use crate::config::protocol::{self, Escaping, HistogramLimits, Histograms, NameValidation, ScrapeProtocol};
use crate::config::relabel;
use crate::config::schema::{Field, Kind, Printed, Schema, below, field, with};
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
            protocol::NATIVE,
            protocol::CLASSIC_AS_WELL.printed(Printed::Always),
            protocol::TO_CUSTOM.printed(Printed::Always),
            field("scrape_failure_log_file", Kind::Path),
            with("metrics_path", Kind::Text, "/metrics"),
            with("scheme", Kind::Text, "http"),
            with("enable_compression", Kind::Bool, "true"),
        ],
        limits::OF_SCRAPES,
        &[
            field("native_histogram_bucket_limit", Kind::Count),
            field("native_histogram_min_bucket_factor", Kind::Float),
            limits::DROPPED_TARGETS,
        ],
        protocol::NAMES,
        &[protocol::EXTRA],
        http::FIELDS,
        &[relabel::rules("relabel_configs"), relabel::rules("metric_relabel_configs")],
        discovery::AROUND_STATIC.0,
        &[STATIC_CONFIGS],
        discovery::AROUND_STATIC.1,
    ],
};

/// Targets by name.
pub const STATIC_CONFIGS: Field = field("static_configs", Kind::List(const { &Kind::Section(&STATIC) }));

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
    /// Whether nobody asked for just these protocols.
    pub has_default_protocols: bool,
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
    pub http: HttpConfig,
    pub extra_scrape_metrics: bool,
    pub limits: ScrapeLimits,
    pub histograms: Histograms,
    pub histogram_limits: HistogramLimits,
    /// A path as it is written; empty for none.
    pub scrape_failure_log_file: String,
    pub name_validation: NameValidation,
    pub escaping: Escaping,
    pub relabel_configs: Vec<Rule>,
    pub metric_relabel_configs: Vec<Rule>,
    pub static_configs: Vec<StaticConfig>,
    pub discoveries: Vec<Discovery>,
    /// Where it is not the main file.
    pub file: Option<String>,
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
            scrape_protocols: global.scrape_protocols.clone().unwrap_or(default_protocols(global.histograms)),
            has_default_protocols: global.scrape_protocols.is_none(),
            fallback_scrape_protocol: None,
            metrics_path: "/metrics".to_string(),
            scheme: "http".to_string(),
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            http: HttpConfig::default(),
            extra_scrape_metrics: global.extra_scrape_metrics,
            limits: global.limits,
            histograms: global.histograms,
            histogram_limits: HistogramLimits::default(),
            scrape_failure_log_file: global.scrape_failure_log_file.clone(),
            name_validation: global.name_validation,
            escaping: global.escaping,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            static_configs: Vec::new(),
            discoveries: Vec::new(),
            file: None,
            node: Node::nothing(),
        }
    }

    /// What all its targets have alike, without what says which they are.
    pub fn without_targets(&self) -> Self {
        let names_targets =
            |key: &str| key == "static_configs" || discovery::KINDS.iter().any(|kind| kind.key == key);
        let node = self.node.without(names_targets);
        Self { static_configs: Vec::new(), discoveries: Vec::new(), node, ..self.clone() }
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
        self.histograms = Histograms::read(node, self.histograms);
        self.histogram_limits = HistogramLimits::read(node);
        match protocol::list(node, path, found) {
            Some(protocols) => (self.scrape_protocols, self.has_default_protocols) = (protocols, false),
            None if self.has_default_protocols => self.scrape_protocols = default_protocols(self.histograms),
            None => {}
        }
        if let Some(name) = values::text(node, "fallback_scrape_protocol") {
            let key = "fallback_scrape_protocol";
            let parsed = ScrapeProtocol::parse(name);
            self.fallback_scrape_protocol =
                parsed.map_err(|e| found.add(line_of(node, key), &below(path, key), e.message)).ok();
        }
        // An empty path is one, an empty scheme is none.
        if let Some(metrics_path) = node.get("metrics_path") {
            self.metrics_path = metrics_path.text().unwrap_or("").to_string();
        }
        if let Some(scheme) = values::text(node, "scheme") {
            self.scheme = scheme.to_string();
        }
        let params = node.get("params").map(Node::entries).unwrap_or_default();
        let texts = |node: &Node| node.items().iter().map(|item| item.text().unwrap_or("").to_string()).collect();
        self.params = params.iter().map(|(name, node)| (name.text.clone(), texts(node))).collect();
        self.enable_compression = values::is_true(node, "enable_compression", true);
        self.http = HttpConfig::read(node);
    }

    fn read_samples(&mut self, node: &Node, path: &str, global: &Global, found: &Found) {
        self.honor_labels = values::is_true(node, "honor_labels", false);
        self.honor_timestamps = values::is_true(node, "honor_timestamps", true);
        self.track_timestamps_staleness = values::is_true(node, "track_timestamps_staleness", false);
        self.extra_scrape_metrics = values::is_true(node, "extra_scrape_metrics", global.extra_scrape_metrics);
        self.limits = ScrapeLimits::read(node, &global.limits);
        if let Some(file) = values::text(node, "scrape_failure_log_file") {
            self.scrape_failure_log_file = file.to_string();
        }
        self.name_validation = protocol::name_validation(node, path, global.name_validation, found);
        self.escaping = protocol::escaping(node, path, self.name_validation, Some(global.escaping), found);
    }

    /// This job as YAML, for `/api/v1/scrape_pools/config`; no secret is shown.
    pub fn to_yaml(&self) -> Yaml {
        let mut shown: Vec<(&str, Yaml)> = vec![
            ("job_name", self.job_name.as_str().into()),
            ("scrape_interval", duration::format(self.scrape_interval_ms).into()),
            ("scrape_timeout", duration::format(self.scrape_timeout_ms).into()),
            ("scrape_protocols", protocol::shown(&self.scrape_protocols)),
            ("metric_name_validation_scheme", self.name_validation.as_str().into()),
            ("metric_name_escaping_scheme", self.escaping.as_str().into()),
        ];
        shown.extend(self.histograms.shown());
        shown.extend(self.limits.shown());
        if !self.scrape_failure_log_file.is_empty() {
            shown.push(("scrape_failure_log_file", self.scrape_failure_log_file.as_str().into()));
        }
        shown.push(("extra_scrape_metrics", self.extra_scrape_metrics.into()));
        if !self.static_configs.is_empty() {
            let all = self.static_configs.iter().map(StaticConfig::to_yaml).collect::<Vec<_>>();
            shown.push(("static_configs", all.into()));
        }
        SCRAPE.show(&self.node, &shown)
    }
}

/// Only protobuf has native histograms.
fn default_protocols(histograms: Histograms) -> Vec<ScrapeProtocol> {
    match histograms.native {
        true => ScrapeProtocol::PROTOBUF_FIRST.to_vec(),
        false => ScrapeProtocol::DEFAULT.to_vec(),
    }
}

impl StaticConfig {
    fn to_yaml(&self) -> Yaml {
        let mut out = serde_yaml::Mapping::new();
        out.insert("targets".into(), self.targets.clone().into());
        if !self.labels.is_empty() {
            let labels: BTreeMap<_, _> = self.labels.iter().map(|(name, value)| (name.as_str(), value)).collect();
            let labels = labels.into_iter().map(|(name, value)| (name.into(), value.as_str().into()));
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

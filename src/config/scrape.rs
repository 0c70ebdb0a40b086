//! One entry of `scrape_configs`, with everything it inherits from `global` filled in.

use serde_yaml::{Mapping, Value};

use crate::config::global::Global;
use crate::config::limits::ScrapeLimits;
use crate::config::protocol::{self, NameValidation, ScrapeProtocol};
use crate::config::section::{Section, scalar};
use crate::error::{Error, Result};
use crate::model::duration;

#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    pub job_name: String,
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// Taken when a target's `Content-Type` is missing or unknown.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    pub metrics_path: String,
    pub scheme: Scheme,
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
    pub static_configs: Vec<StaticConfig>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
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
            scheme: Scheme::Http,
            params: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            follow_redirects: true,
            extra_scrape_metrics: global.extra_scrape_metrics,
            limits: global.limits,
            name_validation: global.name_validation,
            static_configs: Vec::new(),
        }
    }

    /// Keys of Prometheus 3.14 without an implementation here, each with the value that asks for nothing.
    const NOT_YET: [(&'static str, &'static str); 21] = [
        ("relabel_configs", ""),
        ("metric_relabel_configs", ""),
        ("tls_config", ""),
        ("basic_auth", ""),
        ("authorization", ""),
        ("oauth2", ""),
        ("bearer_token", ""),
        ("bearer_token_file", ""),
        ("proxy_url", ""),
        ("no_proxy", ""),
        ("proxy_from_environment", "false"),
        ("proxy_connect_header", ""),
        ("http_headers", ""),
        ("enable_http2", "false"),
        ("scrape_failure_log_file", ""),
        ("scrape_native_histograms", "false"),
        ("convert_classic_histograms_to_nhcb", "false"),
        ("always_scrape_classic_histograms", "false"),
        ("native_histogram_bucket_limit", "0"),
        ("native_histogram_min_bucket_factor", "0"),
        ("metric_name_escaping_scheme", "allow-utf-8"),
    ];

    /// Service discovery of Prometheus 3.14, as `<name>_sd_configs`.
    const DISCOVERIES: [&'static str; 36] = [
        "azure",
        "consul",
        "digitalocean",
        "dns",
        "docker",
        "dockerswarm",
        "ec2",
        "ecs",
        "elasticache",
        "eureka",
        "file",
        "gce",
        "hetzner",
        "http",
        "ionos",
        "kubernetes",
        "kuma",
        "lightsail",
        "linode",
        "marathon",
        "msk",
        "nerve",
        "nomad",
        "oci",
        "openstack",
        "outscale",
        "ovhcloud",
        "puppetdb",
        "rds",
        "scaleway",
        "serverset",
        "stackit",
        "triton",
        "uyuni",
        "vultr",
        "aws",
    ];

    pub(super) fn read(value: Value, global: &Global) -> Result<Self> {
        let mut section = Section::new("scrape_config", value)?;
        let job_name = section.string("job_name")?.unwrap_or_default();
        if job_name.is_empty() {
            return Err(Error::bad_input("job_name is empty"));
        }
        section.name = format!("scrape_config {job_name:?}");
        section.refuse(&Self::NOT_YET)?;
        for discovery in Self::DISCOVERIES {
            section.refuse(&[(format!("{discovery}_sd_configs").as_str(), "")])?;
        }
        let mut config = Self::new(job_name, global);
        config.read_timing(&mut section)?;
        config.read_request(&mut section)?;
        config.read_samples(&mut section, global)?;
        config.static_configs = read_static_configs(&mut section, config.name_validation)?;
        section.finish()?;
        Ok(config)
    }

    fn read_timing(&mut self, section: &mut Section) -> Result<()> {
        if let Some(interval_ms) = section.duration_ms("scrape_interval")?.filter(|ms| *ms != 0) {
            self.scrape_interval_ms = interval_ms;
        }
        match section.duration_ms("scrape_timeout")?.filter(|ms| *ms != 0) {
            Some(timeout_ms) if timeout_ms > self.scrape_interval_ms => {
                let job = &self.job_name;
                return Err(Error::bad_input(format!(
                    "scrape timeout greater than scrape interval for scrape config with job name {job:?}"
                )));
            }
            Some(timeout_ms) => self.scrape_timeout_ms = timeout_ms,
            None => self.scrape_timeout_ms = self.scrape_timeout_ms.min(self.scrape_interval_ms),
        }
        Ok(())
    }

    fn read_request(&mut self, section: &mut Section) -> Result<()> {
        let named = |e: Error, section: &Section| Error::new(e.kind, format!("{}: {}", section.name, e.message));
        let protocols = section.list("scrape_protocols")?;
        if let Some(protocols) = protocol::parse_list(protocols).map_err(|e| named(e, section))? {
            self.scrape_protocols = protocols;
        }
        if let Some(name) = section.string("fallback_scrape_protocol")?.filter(|n| !n.is_empty()) {
            let protocol = ScrapeProtocol::parse(&name).map_err(|e| named(e, section))?;
            self.fallback_scrape_protocol = Some(protocol);
        }
        if let Some(path) = section.string("metrics_path")? {
            self.metrics_path = path;
        }
        self.scheme = match section.string("scheme")?.as_deref() {
            None | Some("") | Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => return Err(section.error("scheme", format!("expected http or https, got {other:?}"))),
        };
        self.params = read_params(section)?;
        self.enable_compression = section.bool("enable_compression")?.unwrap_or(true);
        self.follow_redirects = section.bool("follow_redirects")?.unwrap_or(true);
        Ok(())
    }

    fn read_samples(&mut self, section: &mut Section, global: &Global) -> Result<()> {
        self.honor_labels = section.bool("honor_labels")?.unwrap_or(false);
        self.honor_timestamps = section.bool("honor_timestamps")?.unwrap_or(true);
        self.track_timestamps_staleness = section.bool("track_timestamps_staleness")?.unwrap_or(false);
        self.extra_scrape_metrics = section.bool("extra_scrape_metrics")?.unwrap_or(global.extra_scrape_metrics);
        self.limits = ScrapeLimits::read(section, &global.limits)?;
        if let Some(scheme) = section.string("metric_name_validation_scheme")?.filter(|s| !s.is_empty()) {
            self.name_validation = NameValidation::parse(&scheme)?;
        }
        Ok(())
    }

    /// This job as YAML, for `/api/v1/scrape_pools/config`.
    pub fn to_yaml(&self) -> Value {
        let mut out = Mapping::new();
        out.insert("job_name".into(), self.job_name.as_str().into());
        for (key, value) in [
            ("honor_labels", self.honor_labels),
            ("honor_timestamps", self.honor_timestamps),
            ("track_timestamps_staleness", self.track_timestamps_staleness),
        ] {
            if value || key != "honor_labels" {
                out.insert(key.into(), value.into());
            }
        }
        if !self.params.is_empty() {
            let params: Mapping = self.params.iter().map(|(n, v)| (n.as_str().into(), v.clone().into())).collect();
            out.insert("params".into(), params.into());
        }
        out.insert("scrape_interval".into(), duration::format(self.scrape_interval_ms).into());
        out.insert("scrape_timeout".into(), duration::format(self.scrape_timeout_ms).into());
        let protocols: Vec<Value> = self.scrape_protocols.iter().map(|p| p.as_str().into()).collect();
        out.insert("scrape_protocols".into(), protocols.into());
        if let Some(protocol) = self.fallback_scrape_protocol {
            out.insert("fallback_scrape_protocol".into(), protocol.as_str().into());
        }
        out.insert("metrics_path".into(), self.metrics_path.as_str().into());
        out.insert("scheme".into(), self.scheme.as_str().into());
        out.insert("enable_compression".into(), self.enable_compression.into());
        self.limits.write(&mut out);
        out.insert("metric_name_validation_scheme".into(), self.name_validation.as_str().into());
        if self.extra_scrape_metrics {
            out.insert("extra_scrape_metrics".into(), true.into());
        }
        out.insert("follow_redirects".into(), self.follow_redirects.into());
        let statics: Vec<Value> = self.static_configs.iter().map(StaticConfig::to_yaml).collect();
        out.insert("static_configs".into(), statics.into());
        out.into()
    }
}

impl StaticConfig {
    fn to_yaml(&self) -> Value {
        let mut out = Mapping::new();
        out.insert("targets".into(), self.targets.clone().into());
        if !self.labels.is_empty() {
            let labels: Mapping = self.labels.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect();
            out.insert("labels".into(), labels.into());
        }
        out.into()
    }
}

fn read_params(section: &mut Section) -> Result<Vec<(String, Vec<String>)>> {
    let Some(value) = section.take("params") else { return Ok(Vec::new()) };
    let list = |value: &Value| match value {
        Value::Sequence(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>(),
        Value::Null => Some(Vec::new()),
        other => scalar(other).map(|text| vec![text]),
    };
    let Value::Mapping(entries) = &value else {
        return Err(section.error("params", "expected a mapping of names to lists of strings"));
    };
    entries
        .iter()
        .map(|(name, values)| Some((scalar(name)?, list(values)?)))
        .collect::<Option<_>>()
        .ok_or_else(|| section.error("params", "expected a mapping of names to lists of strings"))
}

fn read_static_configs(section: &mut Section, names: NameValidation) -> Result<Vec<StaticConfig>> {
    let job = section.name.clone();
    let mut configs = Vec::new();
    for value in section.list("static_configs")?.unwrap_or_default() {
        if value.is_null() {
            return Err(Error::bad_input(format!("{job}: empty or null section in static_configs")));
        }
        let mut group = Section::new(format!("{job} static_configs"), value)?;
        let mut targets = Vec::new();
        for target in group.list("targets")?.unwrap_or_default() {
            let address = scalar(&target).unwrap_or_default();
            check_address(&address)?;
            targets.push(address);
        }
        let labels = group.strings("labels")?;
        if let Some((name, _)) = labels.iter().find(|(name, _)| !names.is_valid_label_name(name)) {
            return Err(group.error("labels", format!("{name:?} is not a valid label name")));
        }
        group.finish()?;
        configs.push(StaticConfig { targets, labels });
    }
    Ok(configs)
}

/// A target is `host:port`; people write URLs.
fn check_address(address: &str) -> Result<()> {
    if address.contains('/') {
        return Err(Error::bad_input(format!("{address:?} is not a valid hostname")));
    }
    Ok(())
}

//! One target: who it is (labels, URL), when it is scraped, and how it was the last time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parking_lot::Mutex;
use url::Url;

use crate::config::scrape::ScrapeConfig;
use crate::error::{Error, Result};
use crate::ingest::scrape::metadata::{FamilyMetadata, MetadataCache};
use crate::model::duration;
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::relabel;

#[derive(Debug)]
pub struct Target {
    /// Goes to every scraped series.
    pub labels: Labels,
    /// What was known before anything was decided, `__address__` and the like included.
    pub discovered_labels: Labels,
    pub scrape_pool: String,
    /// As it is shown; with labels of its own making a target can have one that is none.
    pub scrape_url: String,
    pub(super) url: std::result::Result<Url, String>,
    pub interval_ms: i64,
    pub timeout_ms: i64,
    health: Mutex<TargetHealth>,
    /// Why no scrape may succeed now; for the target limit.
    forced_error: Mutex<Option<String>>,
    pub(super) metadata: Mutex<MetadataCache>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// The last scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetHealth {
    pub health: Health,
    /// Empty where the scrape was fine.
    pub last_error: String,
    /// Milliseconds since the epoch; `None` before the first.
    pub last_scrape_ms: Option<i64>,
    pub last_scrape_duration_seconds: f64,
}

/// A target as `/api/v1/targets` and `promlake.targets` show it.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    pub discovered_labels: Labels,
    pub labels: Labels,
    pub scrape_pool: String,
    pub scrape_url: String,
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub last: TargetHealth,
}

/// What becomes of an address.
#[derive(Debug)]
pub enum Resolved {
    Active(Box<Target>),
    /// Relabelling drops it; what was known before.
    Dropped(Labels),
}

impl Target {
    /// A target of a job from its address and the labels it was found with, which win over the job's settings
    /// as they do in Prometheus (`__scheme__`, `__metrics_path__`, `__param_x`, `__scrape_interval__`, …). Fails where
    /// there is nothing to scrape after relabelling.
    pub fn resolve(config: &ScrapeConfig, address: &str, labels: &[(String, String)]) -> Result<Resolved> {
        let mut builder = LabelsBuilder::new();
        builder.set("__address__", address);
        for (name, value) in labels {
            builder.set(name, value);
        }
        let defaults = [
            ("job", config.job_name.clone()),
            ("__scrape_interval__", duration::format(config.scrape_interval_ms)),
            ("__scrape_timeout__", duration::format(config.scrape_timeout_ms)),
            ("__metrics_path__", config.metrics_path.clone()),
            ("__scheme__", config.scheme.clone()),
        ];
        let params = config.params.iter().filter_map(|(n, v)| Some((format!("__param_{n}"), v.first()?.clone())));
        for (name, value) in defaults.into_iter().map(|(n, v)| (n.to_string(), v)).chain(params) {
            if builder.get(&name).is_none() {
                builder.set(&name, &value);
            }
        }
        let discovered_labels = builder.build();
        if !relabel::apply(&config.relabel_configs, &mut builder) {
            return Ok(Resolved::Dropped(discovered_labels));
        }
        let relabelled = builder.build();
        let (scrape_url, url) = scrape_url(config, &relabelled)?;
        let (interval_ms, timeout_ms) = schedule(&relabelled)?;
        let address = relabelled.get("__address__").unwrap_or("").to_string();
        if builder.get("instance").is_none() {
            builder.set("instance", &address);
        }
        let public = builder.build();
        let public = Labels::from_pairs(public.iter().filter(|(name, _)| !name.starts_with("__")));
        Ok(Resolved::Active(Box::new(Self {
            labels: public,
            discovered_labels,
            scrape_pool: config.job_name.clone(),
            scrape_url,
            url,
            interval_ms,
            timeout_ms,
            health: Mutex::default(),
            forced_error: Mutex::default(),
            metadata: Mutex::default(),
        })))
    }

    /// Two targets with one key are one target.
    pub fn key(&self) -> (Labels, String) {
        (self.labels.clone(), self.scrape_url.clone())
    }

    /// How long to wait from `now_ms` for the first scrape. Scrapes are spread over the interval by target, and
    /// by server through `seed`, so that two servers with the same targets scrape at different moments.
    pub fn first_wait_ms(&self, now_ms: i64, seed: u64) -> i64 {
        let identity = format!("{:016}{}", self.labels.hash_id() as u64, self.scrape_url);
        let offset_ms = ((fnv1a64(identity.as_bytes()) ^ seed) % self.interval_ms as u64) as i64;
        (offset_ms - now_ms).rem_euclid(self.interval_ms)
    }

    pub fn status(&self) -> TargetStatus {
        TargetStatus {
            discovered_labels: self.discovered_labels.clone(),
            labels: self.labels.clone(),
            scrape_pool: self.scrape_pool.clone(),
            scrape_url: self.scrape_url.clone(),
            scrape_interval_ms: self.interval_ms,
            scrape_timeout_ms: self.timeout_ms,
            last: self.health.lock().clone(),
        }
    }

    /// What the target last told about its families, sorted by name.
    pub fn metadata(&self) -> Vec<FamilyMetadata> {
        self.metadata.lock().families()
    }

    /// The last scrape was not stored, or not yet.
    pub(super) fn not_stored(&self, why: &str) {
        let mut last = self.health.lock();
        if last.health == Health::Up {
            (last.health, last.last_error) = (Health::Down, format!("scraped, but not stored: {why}"));
        }
    }

    pub(super) fn set_health(&self, health: TargetHealth) {
        *self.health.lock() = health;
    }

    pub(super) fn set_forced_error(&self, error: Option<String>) {
        *self.forced_error.lock() = error;
    }

    pub(super) fn forced_error(&self) -> Option<String> {
        self.forced_error.lock().clone()
    }
}

/// Differs between servers that share a configuration but not their host or external labels.
pub fn offset_seed(hostname: &str, external_labels: &Labels) -> u64 {
    fnv1a64(format!("{hostname}{external_labels}").as_bytes())
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// The URL as it is shown, and as it is asked for, or why it cannot be: such a target is down, not gone.
fn scrape_url(config: &ScrapeConfig, labels: &Labels) -> Result<(String, std::result::Result<Url, String>)> {
    let address = labels.get("__address__").ok_or_else(|| Error::bad_input("no address"))?;
    if address.contains('/') {
        return Err(Error::bad_input(format!("{address:?} is not a valid hostname")));
    }
    let scheme = labels.get("__scheme__").unwrap_or("");
    let path = labels.get("__metrics_path__").unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    // A path has no query: what looks like one is a part of its name, as in Go.
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let shown = format!("{scheme}://{address}{slash}{path}");
    let mut url = match Url::parse(&shown) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) => return Ok((shown, Err(format!("unsupported protocol scheme {scheme:?}")))),
        Err(error) => return Ok((shown.clone(), Err(format!("parse {shown:?}: {error}")))),
    };
    let mut params: BTreeMap<Cow<str>, Vec<&str>> = BTreeMap::new();
    for (name, values) in &config.params {
        params.entry(name.as_str().into()).or_default().extend(values.iter().map(String::as_str));
    }
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix("__param_") else { continue };
        let values = params.entry(name.into()).or_default();
        match values.first_mut() {
            Some(first) => *first = value,
            None => values.push(value),
        }
    }
    if !params.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, values) in &params {
            for value in values {
                query.append_pair(name, value);
            }
        }
    }
    Ok((url.to_string(), Ok(url)))
}

/// Interval and timeout from the labels that carry them.
fn schedule(labels: &Labels) -> Result<(i64, i64)> {
    let read = |label: &str, what: &str| {
        let text = labels.get(label).unwrap_or("");
        match duration::parse(text) {
            Ok(0) => Err(Error::bad_input(format!("{what} cannot be 0"))),
            Ok(ms) => Ok(ms),
            Err(e) => Err(Error::bad_input(format!("error parsing {what}: {e}"))),
        }
    };
    let interval_ms = read("__scrape_interval__", "scrape interval")?;
    let timeout_ms = read("__scrape_timeout__", "scrape timeout")?;
    if timeout_ms > interval_ms {
        let (timeout, interval) = (duration::format(timeout_ms), duration::format(interval_ms));
        return Err(Error::bad_input(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"
        )));
    }
    Ok((interval_ms, timeout_ms))
}

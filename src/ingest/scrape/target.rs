//! One target: who it is (labels, URL), when it is scraped, and how it was the last time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;
use url::{Position, Url};

use crate::config::protocol::Histograms;
use crate::config::scrape::ScrapeConfig;
use crate::error::{Error, Result};
use crate::ingest::scrape::metadata::{FamilyMetadata, MetadataCache};
use crate::model::duration;
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::relabel;

/// Identity of a target within its pool: labels, URL and socket.
pub type TargetKey = (Labels, String, Option<PathBuf>);

#[derive(Debug)]
pub struct Target {
    /// Goes to every scraped series.
    pub labels: Labels,
    /// What was known before anything was decided, `__address__` and the like included; it can change, and the target
    /// be the same.
    discovered_labels: Mutex<Labels>,
    pub scrape_pool: String,
    /// As it is shown; with labels of its own making a target can have one that is none.
    pub scrape_url: String,
    pub(super) url: std::result::Result<Url, String>,
    /// What is connected to in place of the URL's host.
    pub(super) unix_socket: Option<PathBuf>,
    pub interval_ms: i64,
    pub timeout_ms: i64,
    /// What is taken of it; its labels may say otherwise than the job.
    pub histograms: Histograms,
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
    /// A target of a job from the labels it was found with, an address among them, sorted by name. They win over the
    /// job's settings as they do in Prometheus (`__scheme__`, `__metrics_path__`, `__param_x`, `__scrape_interval__`, …). Fails
    /// where there is nothing to scrape after relabelling.
    pub fn resolve(config: &ScrapeConfig, found: &[(&str, &str)]) -> Result<Resolved> {
        let discovered_labels = Self::discovered(config, found);
        let mut builder = LabelsBuilder::from_labels(&discovered_labels);
        if !relabel::apply(&config.relabel_configs, &mut builder) {
            return Ok(Resolved::Dropped(discovered_labels));
        }
        let relabelled = builder.build();
        let (scrape_url, url) = scrape_url(config, &relabelled)?;
        let (interval_ms, timeout_ms) = schedule(&relabelled)?;
        let histograms = histograms(&relabelled, config.histograms)?;
        let address = relabelled.get("__address__").unwrap_or("").to_string();
        if builder.get("instance").is_none() {
            builder.set("instance", &address);
        }
        let public = builder.build();
        let public = Labels::from_pairs(public.iter().filter(|(name, _)| !name.starts_with("__")));
        Ok(Resolved::Active(Box::new(Self {
            labels: public,
            discovered_labels: Mutex::new(discovered_labels),
            scrape_pool: config.job_name.clone(),
            scrape_url,
            url,
            unix_socket: relabelled.get("__unix_socket__").filter(|path| !path.is_empty()).map(PathBuf::from),
            interval_ms,
            timeout_ms,
            histograms,
            health: Mutex::default(),
            forced_error: Mutex::default(),
            metadata: Mutex::default(),
        })))
    }

    /// What is known of a target before relabelling: what was found, and what the job says where that does not.
    pub fn discovered(config: &ScrapeConfig, found: &[(&str, &str)]) -> Labels {
        let settings = [
            ("job", config.job_name.clone()),
            ("__scrape_interval__", duration::format(config.scrape_interval_ms)),
            ("__scrape_timeout__", duration::format(config.scrape_timeout_ms)),
            ("__metrics_path__", config.metrics_path.clone()),
            ("__scheme__", config.scheme.clone()),
            (CONVERT_CLASSIC, config.histograms.convert_classic.to_string()),
            (ALWAYS_CLASSIC, config.histograms.always_classic.to_string()),
            (NATIVE, config.histograms.native.to_string()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_string(), value));
        let params = config.params.iter().filter_map(|(n, v)| Some((format!("__param_{n}"), v.first()?.clone())));
        let of_job: BTreeMap<String, String> = settings.chain(params).collect();
        let is_found = |name: &str| found.binary_search_by_key(&name, |(name, _)| name).is_ok();
        let of_job = of_job.iter().filter(|(name, _)| !is_found(name)).map(|(n, v)| (n.as_str(), v.as_str()));
        let mut all: Vec<(&str, &str)> = found.iter().copied().chain(of_job).collect();
        all.sort_unstable();
        Labels::from_sorted(all)
    }

    /// Two targets with one key are one target.
    pub fn key(&self) -> TargetKey {
        (self.labels.clone(), self.scrape_url.clone(), self.unix_socket.clone())
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
            discovered_labels: self.discovered_labels(),
            labels: self.labels.clone(),
            scrape_pool: self.scrape_pool.clone(),
            scrape_url: self.scrape_url.clone(),
            scrape_interval_ms: self.interval_ms,
            scrape_timeout_ms: self.timeout_ms,
            last: self.health.lock().clone(),
        }
    }

    pub fn discovered_labels(&self) -> Labels {
        self.discovered_labels.lock().clone()
    }

    pub(super) fn set_discovered_labels(&self, labels: Labels) {
        *self.discovered_labels.lock() = labels;
    }

    /// What the target last told about its families, sorted by name.
    pub fn metadata(&self) -> Vec<FamilyMetadata> {
        self.metadata.lock().families()
    }

    /// Families that the target has told about, and the bytes of their texts.
    pub(super) fn metadata_size(&self) -> (usize, usize) {
        self.metadata.lock().size()
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
    // As Go shows it: with its port even where that is the scheme's own.
    let shown = format!("{}://{address}{}", url.scheme(), &url[Position::BeforePath..]);
    Ok((shown, Ok(url)))
}

const CONVERT_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const NATIVE: &str = "__scrape_native_histograms__";

/// What is taken of histograms, from the labels that carry it. One that relabelling has removed says nothing.
fn histograms(labels: &Labels, job: Histograms) -> Result<Histograms> {
    let read = |label: &str, what: &str, default: bool| match labels.get(label) {
        None => Ok(default),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(other) => Err(Error::bad_input(format!("error parsing {what}: {other:?} is neither true nor false"))),
    };
    Ok(Histograms {
        convert_classic: read(CONVERT_CLASSIC, "convert classic histograms to nhcb", job.convert_classic)?,
        always_classic: read(ALWAYS_CLASSIC, "always scrape classic histograms", job.always_classic)?,
        native: read(NATIVE, "scrape native histograms", job.native)?,
    })
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

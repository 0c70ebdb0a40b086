//! Everything the command line decided, as plain data.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use crate::app::budget::{Budget, Machine};
use crate::app::external_url::ExternalUrl;
use crate::config::file::Options;
use crate::config::storage::Retention;
use crate::engine::session::EngineOptions;
use crate::forward::forwarder;
use crate::ingest::otlp::translated::Delta;
use crate::ingest::remote_write::negotiate::Message;
use crate::ingest::scrape::features::Features;
use crate::notify::options;
use crate::rules::environment;
use crate::server::http::server::{RemoteReadLimits, SearchLimits};
use crate::storage::place::Place;
use crate::storage::store;
use crate::telemetry::logs;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `None`: promlake scrapes itself.
    pub config_file: Option<PathBuf>,
    pub config_options: Options,
    /// How often to look whether the configuration has changed; `None` for never.
    pub auto_reload: Option<Duration>,
    /// What is kept where the configuration says nothing.
    pub retention: Retention,
    pub scrape: ScrapeSettings,
    /// What of the command line has no effect, and the like: to be told once.
    pub notes: Vec<String>,
    pub web: WebSettings,
    pub pg_listen_address: String,
    pub pg_max_connections: usize,
    /// Whether SQL may insert samples.
    pub pg_writes: bool,
    /// Where the lake is; its URL is that of `storage`.
    pub place: Place,
    pub machine: Machine,
    /// What the parts were given of it; their settings say the same.
    pub budget: Budget,
    pub storage: store::Options,
    pub forward: forwarder::Options,
    pub notify: options::Options,
    pub rules: environment::Options,
    /// Of scraped and received samples; `None` for any.
    pub max_age: Option<Duration>,
    pub engine: EngineOptions,
    pub log_level: String,
    pub log_format: logs::Format,
}

#[derive(Clone, Copy, Debug)]
pub struct ScrapeSettings {
    /// Of `--enable-feature`.
    pub features: Features,
    /// How far a scrape may be off its due time and still be stamped with it; 0 for not at all.
    pub timestamp_tolerance_ms: i64,
    /// Shortest time between two changes of the targets that discovery finds.
    pub discovery_reload_interval: Duration,
}

#[derive(Clone, Debug)]
pub struct WebSettings {
    /// TLS, users and headers of both listeners.
    pub config_file: Option<PathBuf>,
    pub listen_addresses: Vec<String>,
    pub external_url: Option<ExternalUrl>,
    /// Empty, or with a slash in front and none at the end.
    pub route_prefix: String,
    pub page_title: String,
    /// Served at `/user`.
    pub user_assets: Option<PathBuf>,
    pub admin_api: bool,
    pub lifecycle: bool,
    /// `None`: exactly when every listen address is a loopback address.
    pub remote_write: Option<bool>,
    pub otlp: bool,
    /// By `--enable-feature`.
    pub otlp_delta: Delta,
    pub remote_read: RemoteReadLimits,
    /// `None` where it is off.
    pub search: Option<SearchLimits>,
    pub max_notifications_subscribers: usize,
    /// The messages it takes.
    pub remote_write_messages: Vec<Message>,
    pub cors_origin: Regex,
    /// Names, `*.name` or `*`.
    pub allowed_hosts: Vec<String>,
    pub max_connections: usize,
    pub body_bytes: usize,
    pub read_timeout: Duration,
    /// All flags with their values, without secrets.
    pub flags: Vec<(String, String)>,
}

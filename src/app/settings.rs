//! Everything the command line decided, as plain data.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use url::Url;

use crate::app::budget::{Budget, Machine};
use crate::engine::session::EngineOptions;
use crate::storage::place::Place;
use crate::storage::store;
use crate::telemetry::logs;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `None`: promlake scrapes itself.
    pub config_file: Option<PathBuf>,
    pub web: WebSettings,
    pub pg_listen_address: String,
    pub pg_max_connections: usize,
    /// Where the lake is; its URL is that of `storage`.
    pub place: Place,
    pub machine: Machine,
    /// What the parts were given of it; their settings say the same.
    pub budget: Budget,
    pub storage: store::Options,
    pub engine: EngineOptions,
    pub log_level: String,
    pub log_format: logs::Format,
}

#[derive(Clone, Debug)]
pub struct WebSettings {
    pub listen_addresses: Vec<String>,
    pub external_url: Option<Url>,
    /// Empty, or with a slash in front and none at the end.
    pub route_prefix: String,
    pub lifecycle: bool,
    /// `None`: exactly when every listen address is a loopback address.
    pub remote_write: Option<bool>,
    pub cors_origin: Regex,
    /// Names, `*.name` or `*`.
    pub allowed_hosts: Vec<String>,
    pub max_connections: usize,
    pub body_bytes: usize,
    pub read_timeout: Duration,
    /// All flags with their values, without secrets.
    pub flags: Vec<(String, String)>,
}

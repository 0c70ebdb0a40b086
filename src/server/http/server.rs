//! What every handler shares. The server listens before the store is open, so that `/-/ready`, `/metrics` and
//! the log of a long replay can be watched; until [`Server::open`] the API answers 503.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestHead;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use parking_lot::RwLock;
use regex::Regex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::file::Config;
use crate::config::storage::Retention;
use crate::engine::session::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::otlp::receiver::Otlp;
use crate::ingest::remote_write::receiver::RemoteWrite;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::model::labels::Labels;
use crate::notify::notifier::Notifier;
use crate::rules::manager::Manager as Rules;
use crate::server::access::door::Access;
use crate::server::http::auth::Granted;
use crate::server::http::bodies::{Bodies, retry_later};
use crate::server::http::envelope::text_response;
use crate::server::http::hosts::Hosts;
use crate::server::http::notifications::{Condition, Notifications};
use crate::storage::store::replay::Replaying;
use crate::storage::store::{Clock, Store};
use crate::telemetry::metrics::{Family, Metrics};

/// Settings of the HTTP server; see the flags of the same names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Before every path: empty, or `/prefix`.
    pub route_prefix: String,
    /// What links begin with: the path under which users reach the server, which a proxy may strip.
    pub link_prefix: String,
    /// Title of the page for people.
    pub page_title: String,
    /// Files at `/user`.
    pub user_assets: Option<PathBuf>,
    pub admin_api: bool,
    /// What is kept where the configuration says nothing.
    pub retention: Retention,
    /// Where users reach the server, for targets that name it as `localhost`.
    pub external_url: String,
    /// Of the first listener.
    pub listen_port: u16,
    pub cors_origin: Regex,
    pub hosts: Hosts,
    pub lifecycle: bool,
    /// Samples are sent on and not kept, so there is nothing to ask for.
    pub agent: bool,
    pub remote_write: bool,
    pub otlp: bool,
    pub remote_read: RemoteReadLimits,
    /// Of the search API; `None` where it is off.
    pub search: Option<SearchLimits>,
    /// Who may listen to notifications at a time.
    pub max_notifications_subscribers: usize,
    /// What this server can do, by part.
    pub features: Features,
    /// All flags with their values, for `/api/v1/status/flags`.
    pub flags: Vec<(String, String)>,
    pub build: BuildInfo,
    pub started_ms: i64,
}

/// `--storage.remote.read-*`.
#[derive(Clone, Copy, Debug)]
pub struct RemoteReadLimits {
    /// Of a query whose samples are sent raw; 0 for any number.
    pub sample_limit: usize,
    /// Requests at a time; 0 for any number.
    pub concurrent: usize,
    /// Of a frame of chunks, roughly.
    pub max_bytes_in_frame: usize,
}

/// `--web.search.*`.
#[derive(Clone, Copy, Debug)]
pub struct SearchLimits {
    /// Results of a request; 0 for any number.
    pub max_limit: usize,
}

/// Whether something is there and on, by the part that it belongs to and its name.
pub type Features = BTreeMap<&'static str, BTreeMap<String, bool>>;

#[derive(Clone, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    pub revision: &'static str,
    pub rustc: &'static str,
}

/// The parts that exist once the store is open.
#[derive(Clone)]
pub struct Parts {
    pub engine: Engine,
    pub store: Arc<Store>,
    pub scrape: Arc<ScrapeManager>,
    pub remote_write: Arc<RemoteWrite>,
    pub otlp: Arc<Otlp>,
    pub notifier: Arc<Notifier>,
    pub rules: Arc<Rules>,
}

/// What a handler may ask the process to do.
#[derive(Debug)]
pub enum Control {
    /// Answered when the configuration has been applied, or refused.
    Reload(oneshot::Sender<Result<()>>),
    Quit,
}

/// The configuration in force, as text, and how the last attempt to load one went.
#[derive(Clone, Debug)]
pub struct ConfigStatus {
    pub yaml: String,
    /// Of what leaves this server.
    pub external_labels: Labels,
    pub last_reload_succeeded: bool,
    pub last_loaded_ms: i64,
    pub retention: Retention,
}

impl Default for ConfigStatus {
    fn default() -> Self {
        let external_labels = Labels::empty();
        let retention = Retention::default();
        Self { yaml: String::new(), external_labels, last_reload_succeeded: false, last_loaded_ms: 0, retention }
    }
}

pub struct Server {
    pub settings: Settings,
    pub access: Arc<Access>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub config: RwLock<ConfigStatus>,
    pub bodies: Arc<Bodies>,
    pub notifications: Notifications,
    /// How far the start is.
    pub replaying: Arc<Replaying>,
    /// Of remote read.
    pub read_slots: Arc<Semaphore>,
    control: mpsc::Sender<Control>,
    parts: OnceLock<Parts>,
    stopping: AtomicBool,
}

impl Server {
    pub fn new(
        settings: Settings,
        access: Arc<Access>,
        bodies: Bodies,
        metrics: Arc<Metrics>,
        clock: Clock,
        control: mpsc::Sender<Control>,
    ) -> Self {
        let bodies = Arc::new(bodies);
        let counted = bodies.clone();
        metrics.add_source(move || {
            let help = "Memory that the bodies of HTTP requests take, of --web.body-bytes";
            vec![Family::gauge("promlake_http_body_bytes", help, counted.used_bytes() as f64)]
        });
        let concurrent = settings.remote_read.concurrent;
        let read_slots = if concurrent == 0 { Semaphore::MAX_PERMITS } else { concurrent };
        let notifications = Notifications::new(settings.max_notifications_subscribers);
        notifications.add(Condition::Starting, clock());
        Self {
            settings,
            access,
            notifications,
            replaying: Arc::default(),
            read_slots: Arc::new(Semaphore::new(read_slots)),
            metrics,
            clock,
            config: RwLock::default(),
            bodies,
            control,
            parts: OnceLock::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// From here on the API answers.
    pub fn open(&self, parts: Parts) {
        let first = self.parts.set(parts).is_ok();
        assert!(first, "a server is opened once");
        self.notifications.remove(Condition::Starting);
    }

    pub fn parts(&self) -> Option<&Parts> {
        self.parts.get().filter(|_| !self.stopping.load(Ordering::Relaxed))
    }

    pub fn config_loaded(&self, config: &Config) {
        *self.config.write() = ConfigStatus {
            yaml: config.to_yaml(),
            external_labels: config.global.external_labels.clone(),
            last_reload_succeeded: true,
            last_loaded_ms: self.now_ms(),
            retention: config.storage.retention.unwrap_or(self.settings.retention),
        };
        self.notifications.remove(Condition::ReloadFailed);
    }

    /// The configuration in force stays.
    pub fn config_failed(&self) {
        self.config.write().last_reload_succeeded = false;
        self.notifications.add(Condition::ReloadFailed, self.now_ms());
    }

    /// `/-/ready` says no from now on; requests under way go on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.notifications.add(Condition::Stopping, self.now_ms());
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub async fn ask(&self, control: Control) -> Result<()> {
        let closed = |_| Error::new(ErrorKind::Unavailable, "the server is stopping");
        self.control.send(control).await.map_err(closed)
    }

    fn not_ready(&self) -> Response {
        let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        let stopping = if self.stopping.load(Ordering::Relaxed) { "true" } else { "false" };
        response.headers_mut().insert("X-Prometheus-Stopping", HeaderValue::from_static(stopping));
        retry_later(response)
    }
}

/// Extracts the parts, or answers 503 while there are none. Whose role has limits has an engine that keeps them.
pub struct Ready(pub Parts);

impl FromRequestParts<Arc<Server>> for Ready {
    type Rejection = Response;

    async fn from_request_parts(head: &mut RequestHead, server: &Arc<Server>) -> Result<Self, Response> {
        let mut parts = server.parts().cloned().ok_or_else(|| server.not_ready())?;
        if let Some(Granted { user, grant }) = head.extensions.get::<Granted>() {
            parts.engine = parts.engine.within(user, grant);
        }
        Ok(Ready(parts))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Of a server that has what there is by default.
    pub fn settings() -> Settings {
        Settings {
            route_prefix: String::new(),
            link_prefix: String::new(),
            page_title: "promlake".into(),
            user_assets: None,
            admin_api: false,
            retention: Retention::default(),
            external_url: "http://localhost:9090".into(),
            listen_port: 9090,
            cors_origin: Regex::new(".*").unwrap(),
            hosts: Hosts::default(),
            lifecycle: false,
            agent: false,
            remote_write: true,
            otlp: false,
            remote_read: RemoteReadLimits { sample_limit: 0, concurrent: 0, max_bytes_in_frame: 1 << 20 },
            search: None,
            max_notifications_subscribers: 16,
            features: Features::new(),
            flags: Vec::new(),
            build: BuildInfo { version: "0", revision: "0", rustc: "0" },
            started_ms: 0,
        }
    }
}

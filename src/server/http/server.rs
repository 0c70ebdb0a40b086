//! What every handler shares. The server listens before the store is open, so that `/-/ready`, `/metrics` and
//! the log of a long replay can be watched; until [`Server::open`] the API answers 503.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestHead;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use parking_lot::RwLock;
use regex::Regex;
use tokio::sync::{mpsc, oneshot};

use crate::config::file::Config;
use crate::engine::session::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::remote_write::receiver::RemoteWrite;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::server::http::bodies::{Bodies, retry_later};
use crate::server::http::envelope::text_response;
use crate::server::http::hosts::Hosts;
use crate::storage::store::{Clock, Store};
use crate::telemetry::metrics::{Family, Metrics};

/// Settings of the HTTP server; see the flags of the same names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Before every path: empty, or `/prefix`.
    pub route_prefix: String,
    /// Where users reach the server, for targets that name it as `localhost`.
    pub external_url: String,
    pub cors_origin: Regex,
    pub hosts: Hosts,
    pub lifecycle: bool,
    pub remote_write: bool,
    /// All flags with their values, for `/api/v1/status/flags`.
    pub flags: Vec<(String, String)>,
    pub build: BuildInfo,
    pub started_ms: i64,
}

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
}

/// What a handler may ask the process to do.
#[derive(Debug)]
pub enum Control {
    /// Answered when the configuration has been applied, or refused.
    Reload(oneshot::Sender<Result<()>>),
    Quit,
}

/// The configuration in force, as text, and how the last attempt to load one went.
#[derive(Clone, Debug, Default)]
pub struct ConfigStatus {
    pub yaml: String,
    pub last_reload_succeeded: bool,
    pub last_loaded_ms: i64,
}

pub struct Server {
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub config: RwLock<ConfigStatus>,
    pub bodies: Arc<Bodies>,
    control: mpsc::Sender<Control>,
    parts: OnceLock<Parts>,
    stopping: AtomicBool,
}

impl Server {
    pub fn new(
        settings: Settings,
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
        Self {
            settings,
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
    }

    pub fn parts(&self) -> Option<&Parts> {
        self.parts.get().filter(|_| !self.stopping.load(Ordering::Relaxed))
    }

    pub fn config_loaded(&self, config: &Config) {
        *self.config.write() =
            ConfigStatus { yaml: config.to_yaml(), last_reload_succeeded: true, last_loaded_ms: self.now_ms() };
    }

    /// The configuration in force stays.
    pub fn config_failed(&self) {
        self.config.write().last_reload_succeeded = false;
    }

    /// `/-/ready` says no from now on; requests under way go on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
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

/// Extracts the parts, or answers 503 while there are none.
pub struct Ready(pub Parts);

impl FromRequestParts<Arc<Server>> for Ready {
    type Rejection = Response;

    async fn from_request_parts(_: &mut RequestHead, server: &Arc<Server>) -> Result<Self, Response> {
        server.parts().cloned().map(Ready).ok_or_else(|| server.not_ready())
    }
}

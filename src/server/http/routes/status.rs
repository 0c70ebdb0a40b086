//! `/api/v1/status/*`: what is running, how it was started, and with which configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::server::http::describe::{About, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::ApiResult;
use crate::server::http::json::rfc3339;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server};

/// The Prometheus whose API and PromQL we follow. Clients choose features by the version in `buildinfo`, so it
/// has to be this one and not ours; ours is beside it.
pub const PROMETHEUS_VERSION: &str = "3.16.0";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/status/buildinfo").within_limits().get(build_info).about(BUILD_INFO),
        read("/api/v1/status/runtimeinfo").get(runtime_info).about(RUNTIME_INFO),
        read("/api/v1/status/flags").get(flags).about(FLAGS),
        read("/api/v1/status/config").get(config).about(CONFIG),
        read("/api/v1/status/walreplay").get(wal_replay).about(WAL_REPLAY),
    ]
}

const BUILD_INFO: About = About::new(Tag::Status, "status-buildinfo", "What this binary was built from")
    .answers(Reply::Data(Shape::Map(&Shape::Text)));
const RUNTIME_INFO: About = About::new(Tag::Status, "status-runtimeinfo", "When and where this server was started")
    .answers(Reply::Data(Shape::Map(&Shape::Any)));
const FLAGS: About = About::new(Tag::Status, "status-flags", "All flags with the values in force")
    .answers(Reply::Data(Shape::Map(&Shape::Text)));
const CONFIG: About = About::new(Tag::Status, "status-config", "The configuration in force, without secrets")
    .answers(Reply::Data(Shape::Object(&[("yaml", Shape::Text)])));
const WAL_REPLAY: About =
    About::new(Tag::Status, "status-walreplay", "How far the write-ahead log is replayed").answers(Reply::Data(
        Shape::Object(&[("min", Shape::Whole), ("max", Shape::Whole), ("current", Shape::Whole)]),
    ));

async fn build_info(State(server): State<Arc<Server>>) -> ApiResult {
    Ok(envelope::success(&build_info_json(&server)))
}

pub fn build_info_json(server: &Server) -> Value {
    let build = &server.settings.build;
    json!({
        "version": PROMETHEUS_VERSION,
        "revision": build.revision,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "promlake",
        "applicationVersion": build.version,
        "rustVersion": build.rustc,
    })
}

/// Keys that describe Go's runtime are there because clients require them, with the nearest thing we have.
async fn runtime_info(State(server): State<Arc<Server>>, Ready(parts): Ready) -> ApiResult {
    let config = server.config.read().clone();
    let alarm = parts.store.durability().borrow().alarm(server.now_ms());
    let cwd = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(envelope::success(&json!({
        "startTime": rfc3339(server.settings.started_ms),
        "CWD": cwd,
        "hostname": hostname.trim(),
        "serverTime": rfc3339(server.now_ms()),
        "reloadConfigSuccess": config.last_reload_succeeded,
        "lastConfigTime": rfc3339(config.last_loaded_ms),
        "corruptionCount": 0,
        "goroutineCount": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        // What was asked for; it is not enforced yet, which the log says.
        "storageRetention": config.retention.to_string(),
        // Ours: empty where samples are taken.
        "storageWriteError": alarm.map(|error| error.to_string()).unwrap_or_default(),
    })))
}

async fn flags(State(server): State<Arc<Server>>) -> ApiResult {
    let flags: BTreeMap<_, _> = server.settings.flags.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    Ok(envelope::success(&flags))
}

async fn config(State(server): State<Arc<Server>>) -> ApiResult {
    let yaml = server.config.read().yaml.clone();
    Ok(envelope::success(&json!({ "yaml": yaml })))
}

/// Objects of the log by their numbers, where Prometheus has segments. Answers before the server is ready.
async fn wal_replay(State(server): State<Arc<Server>>) -> ApiResult {
    let [min, max, current] = server.replaying.objects();
    Ok(envelope::success(&json!({ "min": min, "max": max, "current": current })))
}

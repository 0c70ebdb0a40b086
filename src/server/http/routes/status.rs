//! `/api/v1/status/*`: what is running, how it was started, and with which configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::server::http::envelope;
use crate::server::http::errors::ApiResult;
use crate::server::http::router::{Route, read};
use crate::server::http::server::{Ready, Server};

/// The Prometheus whose API and PromQL we follow. Clients choose features by the version in `buildinfo`, so it
/// has to be this one and not ours; ours is beside it.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/status/buildinfo", get(build_info)),
        read("/api/v1/status/runtimeinfo", get(runtime_info)),
        read("/api/v1/status/flags", get(flags)),
        read("/api/v1/status/config", get(config)),
        read("/api/v1/status/walreplay", get(wal_replay)),
    ]
}

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

/// Our log is replayed within `Store::open`, which does not say how far it is; there is nothing left to replay
/// once the server is ready.
async fn wal_replay(State(_): State<Arc<Server>>) -> ApiResult {
    Ok(envelope::success(&json!({ "min": 0, "max": 0, "current": 0 })))
}

pub fn rfc3339(time_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(time_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_433_337_718_555), "2015-06-03T13:21:58.555Z");
    }
}

//! `/api/v1/admin/tsdb/*`: behind a switch, and not built yet.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;

use crate::error::{Error, ErrorKind};
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::router::{Route, plain};
use crate::server::http::server::Server;

/// Path and what it is called.
const MISSING: &[(&str, &str)] = &[
    ("/api/v1/admin/tsdb/delete_series", "deleting series"),
    ("/api/v1/admin/tsdb/clean_tombstones", "cleaning tombstones"),
    ("/api/v1/admin/tsdb/snapshot", "snapshots of the storage"),
];

pub fn routes() -> Vec<Route> {
    let route = |(path, what): &'static (&'static str, &'static str)| {
        let answer = move |State(server): State<Arc<Server>>| async move { refused(&server, path, what) };
        plain(path, post(answer).put(answer)).of_samples()
    };
    MISSING.iter().map(route).collect()
}

fn refused(server: &Server, path: &str, what: &str) -> ApiResult {
    // Prometheus' words.
    if !server.settings.admin_api {
        return Err(ApiError(Error::new(ErrorKind::Unavailable, "admin APIs disabled")));
    }
    Err(ApiError(Error::new(ErrorKind::NotFound, format!("{path}: {what} is not supported yet"))))
}

//! `/api/v1/admin/tsdb/*`: behind a switch, and not built yet.

use std::sync::Arc;

use axum::extract::State;

use crate::error::{Error, ErrorKind};
use crate::server::http::describe::{About, END, Kind, MATCH, Parameter, START, Tag};
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::route::{Route, plain};
use crate::server::http::server::Server;

/// Path, what it is called, and what is said of it.
const MISSING: &[(&str, &str, About)] = &[
    (
        "/api/v1/admin/tsdb/delete_series",
        "deleting series",
        About::new(Tag::Admin, "delete-series", "Deletes samples of series; not supported yet").takes(&[
            MATCH.required(),
            START,
            END,
        ]),
    ),
    (
        "/api/v1/admin/tsdb/clean_tombstones",
        "cleaning tombstones",
        About::new(Tag::Admin, "clean-tombstones", "Frees what deleted samples take; not supported yet"),
    ),
    (
        "/api/v1/admin/tsdb/snapshot",
        "snapshots of the storage",
        About::new(Tag::Admin, "snapshot", "Makes a snapshot of the storage; not supported yet")
            .takes(&[Parameter::new("skip_head", Kind::Flag, "Leaves out what is not in files yet")]),
    ),
];

pub fn routes() -> Vec<Route> {
    let route = |(path, what, about): &'static (&'static str, &'static str, About)| {
        let answer = move |State(server): State<Arc<Server>>| async move { refused(&server, path, what) };
        plain(path).post(answer).put(answer).of_samples().about(*about)
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

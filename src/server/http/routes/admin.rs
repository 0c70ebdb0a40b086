//! `/api/v1/admin/tsdb/*`: behind a switch. Series are deleted here; snapshots are not built yet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::server::http::describe::{About, END, Kind, MATCH, Parameter, START, Tag};
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, plain};
use crate::server::http::selectors;
use crate::server::http::server::{Ready, Server};

const DELETE: About = About::new(Tag::Admin, "delete-series", "Deletes samples of series within a range of time")
    .takes(&[MATCH.required(), START, END]);
const CLEAN: About =
    About::new(Tag::Admin, "clean-tombstones", "Rewrites the files that have deleted samples, and waits for it");
const SNAPSHOT: About = About::new(Tag::Admin, "snapshot", "Makes a snapshot of the storage; not supported yet")
    .takes(&[Parameter::new("skip_head", Kind::Flag, "Leaves out what is not in files yet")]);

pub fn routes() -> Vec<Route> {
    vec![
        plain("/api/v1/admin/tsdb/delete_series").post(delete).put(delete).of_samples().about(DELETE),
        plain("/api/v1/admin/tsdb/clean_tombstones").post(clean).put(clean).of_samples().about(CLEAN),
        plain("/api/v1/admin/tsdb/snapshot").post(snapshot).put(snapshot).of_samples().about(SNAPSHOT),
    ]
}

/// In Prometheus' words.
fn enabled(server: &Server) -> Result<(), ApiError> {
    match server.settings.admin_api {
        true => Ok(()),
        false => Err(ApiError(Error::new(ErrorKind::Unavailable, "admin APIs disabled"))),
    }
}

async fn delete(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    enabled(&server)?;
    let selectors = params.checked()?.all("match[]");
    if selectors.is_empty() {
        return Err(ApiError(Error::bad_input("no match[] parameter provided")));
    }
    let range = params.time_range()?;
    let matchers = selectors::parse_all(&selectors).map_err(|e| invalid_parameter("match[]", e))?;
    let texts: Vec<String> = selectors.iter().map(|text| text.to_string()).collect();
    let store = parts.engine.store().clone();
    let deleted = to_the_end(async move {
        let report = store.delete(range, &matchers, texts.clone()).await?;
        tracing::info!(selectors = ?texts, series = report.series, files = report.files, "samples were deleted");
        Ok(())
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn clean(State(server): State<Arc<Server>>, Ready(parts): Ready) -> ApiResult {
    enabled(&server)?;
    let store = parts.engine.store().clone();
    let cleaned = to_the_end(async move {
        let files = store.clean_deleted().await?;
        tracing::info!(files, "files were rewritten without what was deleted from them");
        Ok(())
    });
    cleaned.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn snapshot(State(server): State<Arc<Server>>) -> ApiResult {
    enabled(&server)?;
    let message = "/api/v1/admin/tsdb/snapshot: snapshots of the storage are not supported yet";
    Err(ApiError(Error::new(ErrorKind::NotFound, message)))
}

/// Also where the client does not wait for it: what was begun is not left by half, and what fails is told in the log as well.
async fn to_the_end(work: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let told = async { work.await.inspect_err(|error| tracing::warn!("deleting failed: {error}")) };
    tokio::spawn(told).await.context(ErrorKind::Internal, || "deleting ended before its time".to_string())?
}

//! Endpoints Prometheus has and we do not have yet: they answer with an error that names them.

use axum::routing::any;

use crate::error::{Error, ErrorKind};
use crate::server::http::errors::ApiError;
use crate::server::http::router::{Route, plain};

/// Path and what it is called.
const MISSING: &[(&str, &str)] = &[
    ("/api/v1/status/tsdb/blocks", "the list of blocks"),
    ("/api/v1/status/self_metrics", "filtered own metrics"),
    ("/api/v1/search/metric_names", "the search API"),
    ("/api/v1/search/label_names", "the search API"),
    ("/api/v1/search/label_values", "the search API"),
    ("/api/v1/features", "the list of features"),
    ("/api/v1/notifications", "notifications"),
    ("/api/v1/notifications/live", "notifications"),
    ("/api/v1/openapi.yaml", "the OpenAPI description"),
];

pub fn routes() -> Vec<Route> {
    let route = |(path, what): &'static (&'static str, &'static str)| {
        let route = plain(path, any(move || async move { ApiError(error(path, what)) }));
        Route {
            of_samples: path.starts_with("/api/v1/status/tsdb") || path.starts_with("/api/v1/search/"),
            ..route
        }
    };
    MISSING.iter().map(route).collect()
}

fn error(path: &str, what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path}: {what} is not supported yet"))
}

//! `/api/v1/openapi.yaml`: the description of the API.

use std::sync::Arc;

use axum::Extension;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::server::http::describe::{About, Kind, Parameter, Reply, Tag};
use crate::server::http::openapi::{Documents, Version};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/openapi.yaml").within_limits().get(openapi).about(OPENAPI)]
}

const OPENAPI: About = About::new(Tag::Status, "openapi", "This description")
    .takes(&[Parameter::new("openapi_version", Kind::OneOf(&["3.1", "3.2"]), "Of OpenAPI; 3.1 by default")])
    .answers(Reply::Raw("application/yaml"));

/// An unknown version is 3.1, as in Prometheus.
async fn openapi(Ready(_): Ready, Extension(documents): Extension<Arc<Documents>>, params: Params) -> Response {
    let version = match params.get("openapi_version") {
        "3.2" | "3.2.0" => Version::V32,
        _ => Version::V31,
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
    ];
    (headers, documents.get(version).to_string()).into_response()
}

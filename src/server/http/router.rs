//! All routes with what surrounds them: counting and timing by route, cross-origin headers, compression.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use tower_http::compression::CompressionLayer;

use crate::server::http::cors;
use crate::server::http::envelope::text_response;
use crate::server::http::routes;
use crate::server::http::server::Server;

/// One path with its handlers.
pub struct Route {
    pub path: &'static str,
    pub methods: MethodRouter<Arc<Server>>,
    /// Whether pages of other origins may read the answers.
    pub cross_origin: bool,
}

/// A route of the API that reads.
pub fn read(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    let methods = methods.options(|| async { StatusCode::NO_CONTENT });
    Route { path, methods, cross_origin: true }
}

/// A route for clients that are no web pages.
pub fn plain(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    Route { path, methods, cross_origin: false }
}

pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        let (server, path, cross_origin) = (server.clone(), route.path, route.cross_origin);
        let around = from_fn(move |request: Request, next: Next| {
            surround(server.clone(), path, cross_origin, request, next)
        });
        router = router.route(path, route.methods.layer(around));
    }
    let router = router.fallback(not_found).with_state(server.clone());
    let prefix = server.settings.route_prefix.clone();
    let router = if prefix.is_empty() {
        router
    } else {
        let home = format!("{prefix}/query");
        Router::new()
            .route("/", get(move || async move { Redirect::temporary(&home) }))
            .nest(&prefix, router)
            .fallback(not_found)
    };
    router.layer(CompressionLayer::new())
}

async fn surround(
    server: Arc<Server>,
    path: &'static str,
    cross_origin: bool,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    if cross_origin {
        cors::allow(response.headers_mut(), origin.as_ref(), &server.settings.cors_origin);
    }
    server.metrics.http.observe(path, response.status().as_u16(), start.elapsed());
    response
}

async fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

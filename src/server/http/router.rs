//! All routes with what surrounds them: the name the server was asked by, counting and timing by route, the guard of
//! what changes something, cross-origin headers, compression.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use tower_http::compression::CompressionLayer;

use crate::server::http::envelope::text_response;
use crate::server::http::hosts::authorities;
use crate::server::http::routes;
use crate::server::http::server::Server;
use crate::server::http::{cors, guard};

/// One path with its handlers.
pub struct Route {
    pub path: &'static str,
    pub methods: MethodRouter<Arc<Server>>,
    /// Whether it only reads: pages of other origins may have the answers where `--web.cors.origin` lets them, and POST
    /// is a GET with long parameters. On all other routes each method but GET, HEAD and OPTIONS changes something,
    /// which no such page may ask for; so no route may change anything on a GET.
    pub reads_only: bool,
}

/// By which kind of listener a request came in; an extension of it.
#[derive(Clone, Copy, Debug)]
pub struct Via {
    pub loopback: bool,
}

/// A route of the API that only reads.
pub fn read(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    let methods = methods.options(|| async { StatusCode::NO_CONTENT });
    Route { path, methods, reads_only: true }
}

/// A route for clients that are no pages of others.
pub fn plain(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    Route { path, methods, reads_only: false }
}

pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        let (server, path, reads_only) = (server.clone(), route.path, route.reads_only);
        let around =
            from_fn(move |request: Request, next: Next| surround(server.clone(), path, reads_only, request, next));
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
    let around = from_fn(move |request: Request, next: Next| outermost(server.clone(), request, next));
    router.layer(CompressionLayer::new()).layer(around)
}

/// Around everything, routes or none.
async fn outermost(server: Arc<Server>, request: Request, next: Next) -> Response {
    let mut response = match refuse_host(&server, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    // A label's value is anything, and no browser should make a page of it.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer to a request under a name that is not ours, or under none or several.
fn refuse_host(server: &Server, request: &Request) -> Option<Response> {
    let names = match authorities(request.uri(), request.headers(), request.version()) {
        Ok(names) => names,
        Err(status) => return Some(text_response(status, "expected one Host header\n")),
    };
    let hosts = &server.settings.hosts;
    let loopback = request.extensions().get::<Via>().is_none_or(|via| via.loopback);
    let unknown = names.into_iter().find(|name| hosts.checks(loopback) && !hosts.allows(name))?;
    let text = format!(
        "this server is not known as {unknown:?}: add the name to --web.allowed-hosts, or ask by an address\n"
    );
    Some(text_response(StatusCode::MISDIRECTED_REQUEST, text))
}

async fn surround(
    server: Arc<Server>,
    path: &'static str,
    reads_only: bool,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let changes = guard::changes(reads_only, request.method());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let refusal = if changes { refuse_page(&server, &request) } else { None };
    let mut response = match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    if reads_only && !changes {
        cors::allow(response.headers_mut(), origin.as_ref(), &server.settings.cors_origin);
    }
    server.metrics.http.observe(path, response.status().as_u16(), start.elapsed());
    response
}

/// The answer to a page of another site that wants to change something.
fn refuse_page(server: &Server, request: &Request) -> Option<Response> {
    let names = authorities(request.uri(), request.headers(), request.version()).unwrap_or_default();
    let refused = guard::check(request.headers(), &names, &server.settings.external_url).err()?;
    Some(text_response(StatusCode::FORBIDDEN, format!("{refused}\n")))
}

async fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

//! All routes with what surrounds them: who may ask, the name the server was asked by, counting and timing by route, the
//! guard of what changes something, cross-origin headers, compression.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::error::{Error, ErrorKind};
use crate::server::http::envelope::text_response;
use crate::server::http::errors::ApiError;
use crate::server::http::hosts::authorities;
use crate::server::http::openapi::Documents;
use crate::server::http::route::{API, Via};
use crate::server::http::routes;
use crate::server::http::routes::search::LINES;
use crate::server::http::server::Server;
use crate::server::http::{auth, cors, guard};
use crate::telemetry::http::RouteMetrics;
use crate::telemetry::spans;

/// Prometheus' words.
const NO_SAMPLES: &str = "unavailable with Prometheus Agent";

pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    let documents = Documents::of(&routes::all(), &server.settings);
    for route in routes::all() {
        let (server, reads_only, path) = (server.clone(), route.reads_only, route.path);
        let handlers = match route.of_samples && server.settings.agent {
            true => any(async || ApiError(Error::new(ErrorKind::Execution, NO_SAMPLES))),
            false if route.is_of_api() || reads_only => route.handlers.options(no_content),
            false => route.handlers,
        };
        let counters = server.metrics.http.route(route.path);
        let around = from_fn(move |request: Request, next: Next| {
            surround(server.clone(), counters.clone(), path, reads_only, request, next)
        });
        router = router.route(route.path, handlers.layer(around));
    }
    let router = router.fallback(no_route).layer(Extension(Arc::new(documents))).with_state(server.clone());
    let prefix = server.settings.route_prefix.clone();
    let router = if prefix.is_empty() {
        router
    } else {
        let home = format!("{}/query", server.settings.link_prefix);
        Router::new()
            .route("/", get(move || async move { Redirect::temporary(&home) }))
            .nest(&prefix, router)
            .fallback(no_route)
    };
    let around = from_fn(move |request: Request, next: Next| outermost(server.clone(), request, next));
    // Lines are sent when they are there; compressed they would wait for each other.
    let whole = DefaultPredicate::new().and(NotForContentType::const_new(LINES));
    router.layer(CompressionLayer::new().compress_when(whole)).layer(around)
}

/// Around everything, routes or none.
async fn outermost(server: Arc<Server>, request: Request, next: Next) -> Response {
    let mut response = match auth::admit(&server.access, request.headers()).await {
        Ok(rules) => {
            let mut response = match refuse_host(&server, &request) {
                Some(refusal) => refusal,
                None => next.run(request).await,
            };
            if let Some(rules) = &rules {
                auth::decorate(&mut response, rules);
            }
            response
        }
        Err(refusal) => refusal,
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
    counters: Arc<RouteMetrics>,
    route: &'static str,
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
        None => {
            let span = spans::server_span(request.method().as_str(), route, request.headers());
            span.text("url.path", request.uri().path());
            let response = span.around(next.run(request)).await;
            span.number("http.response.status_code", response.status().as_u16().into());
            if response.status().is_server_error() {
                span.failed(|| response.status().to_string());
            }
            response
        }
    };
    if reads_only && !changes {
        cors::allow(response.headers_mut(), origin.as_ref(), &server.settings.cors_origin);
    }
    counters.observe(response.status().as_u16(), start.elapsed());
    response.map(|body| Body::new(Counted { body, bytes: 0, counters }))
}

/// A body whose bytes are counted until it was sent, or nobody reads on.
struct Counted {
    body: Body,
    bytes: u64,
    counters: Arc<RouteMetrics>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.bytes += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counters.observe_bytes(self.bytes);
    }
}

/// The answer to a page of another site that wants to change something.
fn refuse_page(server: &Server, request: &Request) -> Option<Response> {
    let names = authorities(request.uri(), request.headers(), request.version()).unwrap_or_default();
    let refused = guard::check(request.headers(), &names, &server.settings.external_url).err()?;
    Some(text_response(StatusCode::FORBIDDEN, format!("{refused}\n")))
}

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Prometheus answers OPTIONS below its API whatever is asked about.
async fn no_route(request: Request) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path().starts_with(API) {
        return no_content().await.into_response();
    }
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

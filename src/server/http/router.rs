//! All routes with what surrounds them: who may ask, the name the server was asked by, counting and timing by route, the
//! guard of what changes something, cross-origin headers, compression.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, any, get};
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;

use crate::error::{Error, ErrorKind};
use crate::server::http::envelope::text_response;
use crate::server::http::errors::ApiError;
use crate::server::http::hosts::authorities;
use crate::server::http::routes;
use crate::server::http::server::Server;
use crate::server::http::{auth, cors, guard};
use crate::telemetry::http::RouteMetrics;
use crate::telemetry::spans;

/// Prometheus' words.
const NO_SAMPLES: &str = "unavailable with Prometheus Agent";

/// One path with its handlers.
pub struct Route {
    pub path: &'static str,
    pub methods: MethodRouter<Arc<Server>>,
    /// Whether it only reads: pages of other origins may have the answers where `--web.cors.origin` lets them, and POST
    /// is a GET with long parameters. On all other routes each method but GET, HEAD and OPTIONS changes something,
    /// which no such page may ask for; so no route may change anything on a GET.
    pub reads_only: bool,
    /// Whether it is about samples that are kept, and rules over them: an agent has none.
    pub of_samples: bool,
}

impl Route {
    pub fn of_samples(self) -> Self {
        Self { of_samples: true, ..self }
    }
}

/// By which kind of listener a request came in; an extension of it.
#[derive(Clone, Copy, Debug)]
pub struct Via {
    pub loopback: bool,
}

/// A route of the API that only reads.
pub fn read(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    let methods = methods.options(|| async { StatusCode::NO_CONTENT });
    Route { path, methods, reads_only: true, of_samples: false }
}

/// A route for clients that are no pages of others.
pub fn plain(path: &'static str, methods: MethodRouter<Arc<Server>>) -> Route {
    Route { path, methods, reads_only: false, of_samples: false }
}

pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        let (server, reads_only, path) = (server.clone(), route.reads_only, route.path);
        let methods = match route.of_samples && server.settings.agent {
            true => any(async || ApiError(Error::new(ErrorKind::Execution, NO_SAMPLES))),
            false => route.methods,
        };
        let counters = server.metrics.http.route(route.path);
        let around = from_fn(move |request: Request, next: Next| {
            surround(server.clone(), counters.clone(), path, reads_only, request, next)
        });
        router = router.route(route.path, methods.layer(around));
    }
    let router = router.fallback(not_found).with_state(server.clone());
    let prefix = server.settings.route_prefix.clone();
    let router = if prefix.is_empty() {
        router
    } else {
        let home = format!("{}/query", server.settings.link_prefix);
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

async fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

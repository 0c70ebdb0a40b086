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
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::error::{Error, ErrorKind};
use crate::server::access::door::Role;
use crate::server::http::auth::Granted;
use crate::server::http::envelope::text_response;
use crate::server::http::errors::ApiError;
use crate::server::http::hosts::authorities;
use crate::server::http::openapi::Documents;
use crate::server::http::paths::{self, redirect};
use crate::server::http::route::{API, Route};
use crate::server::http::routes;
use crate::server::http::routes::search::LINES;
use crate::server::http::server::Server;
use crate::server::http::via::Via;
use crate::server::http::{auth, cors, guard};
use crate::telemetry::http::RouteMetrics;
use crate::telemetry::spans;

/// Prometheus' words.
const NO_SAMPLES: &str = "unavailable with Prometheus Agent";

pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    let documents = Documents::of(&routes::all(), &server.settings);
    // Those below the API are asked by programs, which have no use for being led elsewhere.
    let pages: Arc<[&'static str]> = routes::all().iter().filter(|r| !r.is_of_api()).map(|r| r.path).collect();
    let mut home = None;
    for route in routes::all() {
        let about = Surroundings::of(&route, &server);
        let handlers = match (route.of_samples && server.settings.agent, about.allowed.clone()) {
            (true, _) => any(async || ApiError(Error::new(ErrorKind::Execution, NO_SAMPLES))).options(no_content),
            (false, None) => route.handlers.options(no_content).fallback(not_allowed),
            (false, Some(allowed)) => {
                route.handlers.options(async || [(header::ALLOW, allowed)]).fallback(not_allowed)
            }
        };
        let server = server.clone();
        let around =
            from_fn(move |request: Request, next: Next| surround(server.clone(), about.clone(), request, next));
        let handlers = handlers.layer(around);
        if route.path == "/" {
            home = Some(handlers.clone());
        }
        router = router.route(route.path, handlers);
    }
    let prefix = server.settings.route_prefix.clone();
    let (elsewhere, asked) = (prefix.clone(), server.clone());
    let router = router
        .fallback(move |request: Request| async move { near_route(&asked, &request, &elsewhere, &pages) })
        .layer(Extension(Arc::new(documents)));
    let router = if prefix.is_empty() {
        router
    } else {
        let (to, asked) = (prefix.clone(), server.clone());
        let below = format!("{prefix}/");
        Router::new()
            .route("/", get(async move |method: Method| redirect(StatusCode::FOUND, &method, &to)))
            .route(&below, home.expect("a route of all"))
            .nest(&prefix, router)
            .fallback(move |request: Request| async move { no_route(&asked, &request) })
    };
    let router = router.with_state(server.clone());
    let around = from_fn(move |request: Request, next: Next| outermost(server.clone(), request, next));
    // Lines are sent when they are there; compressed they would wait for each other.
    let whole = DefaultPredicate::new().and(NotForContentType::const_new(LINES));
    router.layer(CompressionLayer::new().compress_when(whole)).layer(around)
}

/// Around everything, routes or none.
async fn outermost(server: Arc<Server>, mut request: Request, next: Next) -> Response {
    let via = request.extensions().get::<Via>().cloned();
    let mut response = match auth::admit(&server.access, via.as_ref(), request.headers()).await {
        Ok((rules, granted)) => {
            if let Some(granted) = granted {
                request.extensions_mut().insert(granted);
            }
            let mut response = match refuse_host(&server, &request) {
                Some(refusal) => refusal,
                None => match clean_path(&server, &request) {
                    Some(redirect) => redirect,
                    None => next.run(request).await,
                },
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

/// What surrounds a route.
#[derive(Clone)]
struct Surroundings {
    route: &'static str,
    counters: Arc<RouteMetrics>,
    reads_only: bool,
    changes_by: Role,
    within_limits: bool,
    shared: bool,
    of_api: bool,
    /// What OPTIONS tells; below the API it tells nothing, as there every path answers it.
    allowed: Option<HeaderValue>,
}

impl Surroundings {
    fn of(route: &Route, server: &Server) -> Self {
        let allowed = HeaderValue::try_from(route.allowed()).expect("names of methods");
        Self {
            route: route.path,
            counters: server.metrics.http.route(route.path),
            reads_only: route.reads_only,
            changes_by: route.changes_by,
            within_limits: route.within_limits,
            shared: route.shared,
            of_api: route.is_of_api(),
            allowed: (!route.is_of_api()).then_some(allowed),
        }
    }

    /// Whom answers are for, and by what they vary.
    fn mark(&self, server: &Server, origin: Option<&HeaderValue>, changes: bool, response: &mut Response) {
        match self.of_api {
            true if self.shared && !changes => share(server, origin, response),
            // A page's origin decides whether it is answered.
            true => vary(response, "origin"),
            false => {}
        }
        if self.of_api || self.reads_only {
            vary(response, "accept-encoding");
        }
    }
}

async fn surround(server: Arc<Server>, about: Surroundings, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let changes = guard::changes(about.reads_only, request.method());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let granted = request.extensions().get::<Granted>().cloned();
    let needed = if changes { about.changes_by } else { Role::Reader };
    let refusal = if changes { refuse_page(&server, &request) } else { None };
    let refusal = refusal.or_else(|| auth::refuse_role(granted.as_ref(), needed));
    let refusal = refusal.or_else(|| auth::refuse_limits(granted.as_ref(), about.within_limits || changes));
    let mut response = match refusal {
        Some(refusal) => refusal,
        None => {
            let span = spans::server_span(request.method().as_str(), about.route, request.headers());
            span.text("url.path", request.uri().path());
            let response = span.around(next.run(request)).await;
            span.number("http.response.status_code", response.status().as_u16().into());
            if response.status().is_server_error() {
                span.failed(|| response.status().to_string());
            }
            response
        }
    };
    about.mark(&server, origin.as_ref(), changes, &mut response);
    let counters = about.counters;
    counters.observe(response.status().as_u16(), start.elapsed());
    response.map(|body| Body::new(Counted { body, bytes: 0, counters }))
}

fn share(server: &Server, origin: Option<&HeaderValue>, response: &mut Response) {
    cors::allow(response.headers_mut(), origin, &server.settings.cors_origin);
}

fn vary(response: &mut Response, by: &'static str) {
    response.headers_mut().append(header::VARY, HeaderValue::from_static(by));
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

async fn not_allowed() -> Response {
    text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

/// Leads those who ask by a path with parts that mean nothing to the one without, and to folders.
fn clean_path(server: &Server, request: &Request) -> Option<Response> {
    let (path, prefix) = (request.uri().path(), server.settings.route_prefix.as_str());
    let below = path.strip_prefix(prefix);
    let is_folder = match below {
        Some("") => !prefix.is_empty(),
        Some("/api/v1") => true,
        Some("/user") => server.settings.user_assets.is_some(),
        _ => false,
    };
    let path = match is_folder {
        true => format!("{path}/"),
        // `*` is no path.
        false if !path.starts_with('/') => return None,
        false => paths::cleaned(path)?,
    };
    Some(redirect(StatusCode::MOVED_PERMANENTLY, request.method(), &with_query(path, request)))
}

fn with_query(path: String, request: &Request) -> String {
    match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// To what is none of the routes, below `prefix`.
fn near_route(server: &Server, request: &Request, prefix: &str, pages: &[&str]) -> Response {
    let Some(meant) = paths::meant(request.uri().path(), pages.iter().copied()) else {
        return no_route(server, request);
    };
    // What asks by another method than GET does so again with the same one.
    let status = match *request.method() {
        Method::GET => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    redirect(status, request.method(), &with_query(format!("{prefix}{meant}"), request))
}

/// Prometheus answers OPTIONS below its API whatever is asked about.
fn no_route(server: &Server, request: &Request) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path().starts_with(API) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        share(server, request.headers().get(header::ORIGIN), &mut response);
        vary(&mut response, "accept-encoding");
        return response;
    }
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

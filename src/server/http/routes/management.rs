//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`, `/metrics` and `/version`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::server::http::envelope::{json_response, text_response};
use crate::server::http::route::{Route, plain};
use crate::server::http::routes::status::build_info_json;
use crate::server::http::server::{Control, Ready, Server};
use crate::telemetry::exposition::{Format, render};

pub fn routes() -> Vec<Route> {
    vec![
        plain("/-/healthy").within_limits().get(healthy),
        plain("/-/ready").within_limits().get(ready),
        plain("/-/reload").get(only_asked).post(reload).put(reload),
        plain("/-/quit").get(only_asked).post(quit).put(quit),
        plain("/metrics").get(metrics),
        plain("/version").within_limits().get(version),
    ]
}

/// Says no only where nothing but a restart would help.
async fn healthy(State(server): State<Arc<Server>>) -> Response {
    let log = server.parts().map(|parts| parts.store.durability().borrow().clone());
    match log.and_then(|log| log.error()).filter(|error| error.kind == ErrorKind::Poisoned) {
        None => text_response(StatusCode::OK, "promlake is healthy.\n"),
        Some(error) => {
            text_response(StatusCode::SERVICE_UNAVAILABLE, format!("promlake is not healthy: {error}\n"))
        }
    }
}

#[derive(Deserialize)]
struct ReadyFor {
    #[serde(rename = "for")]
    purpose: Option<String>,
}

/// Whether queries are answered; with `?for=write` also whether samples are taken, or were half a minute ago.
async fn ready(
    State(server): State<Arc<Server>>,
    Ready(parts): Ready,
    Query(ReadyFor { purpose }): Query<ReadyFor>,
) -> Response {
    let alarm = match purpose.as_deref() {
        None | Some("query") => None,
        Some("write") => parts.store.durability().borrow().alarm(server.now_ms()),
        Some(other) => {
            let text = format!("ready for {other:?} is not known; expected for=query or for=write\n");
            return text_response(StatusCode::BAD_REQUEST, text);
        }
    };
    match alarm {
        None => text_response(StatusCode::OK, "promlake is ready.\n"),
        Some(error) => text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn reload(State(server): State<Arc<Server>>) -> Response {
    if !server.settings.lifecycle {
        return lifecycle_off();
    }
    match ask_to_reload(&server).await {
        Ok(()) => text_response(StatusCode::OK, ""),
        Err(error) => {
            text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n"))
        }
    }
}

async fn ask_to_reload(server: &Server) -> Result<()> {
    let (answer, done) = oneshot::channel();
    server.ask(Control::Reload(answer)).await?;
    done.await.unwrap_or_else(|_| Err(Error::internal("the server stopped before the configuration was loaded")))
}

async fn quit(State(server): State<Arc<Server>>) -> Response {
    if !server.settings.lifecycle {
        return lifecycle_off();
    }
    match server.ask(Control::Quit).await {
        Ok(()) => text_response(StatusCode::OK, "Requesting termination... Goodbye!"),
        Err(error) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// To a GET, which nobody means to change anything with.
async fn only_asked() -> Response {
    text_response(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn lifecycle_off() -> Response {
    text_response(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

async fn metrics(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let _counted = server.metrics.http.page();
    let format = Format::negotiate(headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or(""));
    let mut response = text_response(StatusCode::OK, render(server.metrics.families(), format));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}

async fn version(State(server): State<Arc<Server>>) -> Response {
    json_response(StatusCode::OK, build_info_json(&server).to_string())
}

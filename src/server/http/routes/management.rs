//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`, `/metrics` and `/version`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::server::http::envelope::{json_response, text_response};
use crate::server::http::router::{Route, plain};
use crate::server::http::routes::status::build_info_json;
use crate::server::http::server::{Control, Ready, Server};
use crate::telemetry::exposition;

pub fn routes() -> Vec<Route> {
    vec![
        plain("/-/healthy", get(|| async { text_response(StatusCode::OK, "promlake is healthy.\n") })),
        plain("/-/ready", get(|Ready(_): Ready| async { text_response(StatusCode::OK, "promlake is ready.\n") })),
        plain("/-/reload", post(reload).put(reload)),
        plain("/-/quit", post(quit).put(quit)),
        plain("/metrics", get(metrics)),
        plain("/version", get(version)),
    ]
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
        Ok(()) => text_response(StatusCode::OK, "Requesting termination... Goodbye!\n"),
        Err(error) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn lifecycle_off() -> Response {
    text_response(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.\n")
}

async fn metrics(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let open = server.metrics.open_metrics();
    let (text, content_type) = if exposition::prefers_open_metrics(accept) {
        (open, exposition::OPEN_METRICS)
    } else {
        (exposition::text_of(&open), exposition::TEXT)
    };
    let mut response = text_response(StatusCode::OK, text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn version(State(server): State<Arc<Server>>) -> Response {
    json_response(StatusCode::OK, build_info_json(&server).to_string())
}

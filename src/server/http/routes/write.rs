//! `/api/v1/write`: the remote write receiver. `ingest` decodes the body and decides on the status;
//! here are the switch and the size limit.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::error::{Error, ErrorKind};
use crate::ingest::remote_write::receiver::{MAX_BODY_BYTES, WriteHeaders};
use crate::server::http::envelope::text_response;
use crate::server::http::router::{Route, plain};
use crate::server::http::server::{Ready, Server};

pub fn routes() -> Vec<Route> {
    vec![plain("/api/v1/write", post(write))]
}

async fn write(State(server): State<Arc<Server>>, Ready(parts): Ready, headers: HeaderMap, body: Body) -> Response {
    if !server.settings.remote_write {
        let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
        return text_response(StatusCode::NOT_FOUND, text);
    }
    let body = match server.read_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(error) => return refused(unread(&error), &error),
    };
    let header = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let headers = WriteHeaders {
        content_type: header(header::CONTENT_TYPE),
        content_encoding: header(header::CONTENT_ENCODING),
    };
    match parts.remote_write.write_v1(headers, body).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refused(status, &error)
        }
    }
}

fn refused(status: StatusCode, error: &dyn std::error::Error) -> Response {
    if status.is_server_error() {
        tracing::error!(%error, "remote write failed");
    }
    text_response(status, format!("{error}\n"))
}

/// The status for a body that did not arrive whole.
fn unread(error: &Error) -> StatusCode {
    if error.kind == ErrorKind::Limit { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
}

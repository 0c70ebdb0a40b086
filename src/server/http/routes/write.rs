//! `/api/v1/write`: the remote write receiver. `ingest` decodes the body and decides on the status;
//! here are the switch, the limits on memory, and what a page may not do.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::ingest::remote_write::receiver::{MAX_BODY_BYTES, WriteHeaders, declared_bytes};
use crate::server::http::bodies::{Unread, Whole, retry_later};
use crate::server::http::envelope::text_response;
use crate::server::http::guard;
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
    let content_type = text_of(&headers, header::CONTENT_TYPE);
    let content_encoding = text_of(&headers, header::CONTENT_ENCODING);
    // Without a content type it is Remote Write 1.0 by its specification; but a page can send that without asking
    // for leave, and what is asked for is what gives it away.
    if content_type.as_deref().is_none_or(|t| t.trim().is_empty()) && guard::from_page(&headers) {
        let text = "a page has to say that it sends a content-type of application/x-protobuf\n";
        return text_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    // Held until everything is durable, as the decoded rows are.
    let whole = match read(&server, body).await {
        Ok(whole) => whole,
        Err(error) => return refused(error.status, &error),
    };
    let headers =
        WriteHeaders { content_type: content_type.as_deref(), content_encoding: content_encoding.as_deref() };
    match parts.remote_write.write_v1(headers, whole.bytes).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refused(status, &error)
        }
    }
}

/// The body, with room in the budget for what it says to become once it is decompressed.
async fn read(server: &Server, body: Body) -> Result<Whole, Unread> {
    let mut whole = server.bodies.read(body, MAX_BODY_BYTES).await?;
    // One that is larger than may be is refused where it is decoded.
    let decoded = declared_bytes(&whole.bytes).min(MAX_BODY_BYTES);
    server.bodies.hold_more(&mut whole.held, decoded)?;
    Ok(whole)
}

/// A header that is no text is not the same as none.
fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

fn refused(status: StatusCode, error: &dyn std::error::Error) -> Response {
    // A store that takes nothing for a while has said so itself, once and not for each request.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(%error, "remote write failed");
    }
    retry_later(text_response(status, format!("{error}\n")))
}

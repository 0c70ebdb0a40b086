//! `/api/v1/write`: the remote write receiver. `ingest` decodes the body and decides on the status;
//! here are the switch, the limits on memory, and what a page may not do.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::ingest::remote_write::body::MAX_BODY_BYTES;
use crate::ingest::remote_write::negotiate::{Message, WriteHeaders};
use crate::ingest::remote_write::outcome::{WriteError, Written};
use crate::ingest::remote_write::receiver::RemoteWrite;
use crate::server::http::bodies::{Unread, retry_later};
use crate::server::http::describe::{About, Tag};
use crate::server::http::envelope::text_response;
use crate::server::http::guard;
use crate::server::http::route::{Route, plain};
use crate::server::http::server::{Ready, Server};

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

pub fn routes() -> Vec<Route> {
    vec![plain("/api/v1/write").by_writers().post(write).about(WRITE)]
}

const WRITE: About =
    About::new(Tag::Remote, "remote-write", "Takes samples by Remote Write 1.0 or 2.0, compressed with snappy")
        .takes_bodies(&["application/x-protobuf"]);

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
    let headers =
        WriteHeaders { content_type: content_type.as_deref(), content_encoding: content_encoding.as_deref() };
    let message = match parts.remote_write.check_headers(headers) {
        Ok(message) => message,
        Err(error) => {
            // A sender that is still sending would not see the answer, and would try again.
            let _ = server.bodies.read(body, MAX_BODY_BYTES).await;
            return refused(&error);
        }
    };
    let outcome = receive(&server, &parts.remote_write, message, body).await;
    let written = outcome.as_ref().map_or_else(|error| error.written, |written| *written);
    let response = match outcome {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    };
    match message {
        // Senders of 1.0 would take them for something else.
        Message::WriteRequest => response,
        Message::Request => with_counts(response, written),
    }
}

async fn receive(
    server: &Server,
    remote_write: &RemoteWrite,
    message: Message,
    body: Body,
) -> Result<Written, WriteError> {
    let unread = |error: Unread| WriteError::new(error.status.as_u16(), error.message);
    let mut whole = server.bodies.read(body, MAX_BODY_BYTES).await.map_err(unread)?;
    // Held until everything is durable, as the rows are.
    let held = &mut whole.held;
    let mut reserve = |bytes| server.bodies.hold_more(held, bytes).map_err(unread);
    remote_write.write(message, whole.bytes, &mut reserve).await
}

/// A header that is no text is not the same as none.
fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

fn with_counts(mut response: Response, written: Written) -> Response {
    let counts = [
        (SAMPLES_WRITTEN, written.samples),
        (HISTOGRAMS_WRITTEN, written.histograms),
        (EXEMPLARS_WRITTEN, written.exemplars),
    ];
    response.headers_mut().extend(counts.map(|(name, count)| (name, HeaderValue::from(count))));
    response
}

fn refused(error: &WriteError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A store that takes nothing for a while has said so itself, once and not for each request.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(%error, "remote write failed");
    }
    retry_later(text_response(status, format!("{error}\n")))
}

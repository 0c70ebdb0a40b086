//! `/api/v1/otlp/v1/metrics`: the OTLP receiver. `ingest` translates and writes; here are the switch, decompression, and
//! the limits on memory.

use std::io::Read;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::bufread::MultiGzDecoder;

use crate::ingest::otlp::receiver::{Format, MAX_BODY_BYTES, OtlpError};
use crate::server::http::bodies::{Unread, Whole, retry_later};
use crate::server::http::describe::{About, Tag};
use crate::server::http::envelope::text_response;
use crate::server::http::route::{Route, plain};
use crate::server::http::server::{Ready, Server};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Decompressed before more memory is asked for.
const STEP_BYTES: usize = 64 << 10;

pub fn routes() -> Vec<Route> {
    vec![plain("/api/v1/otlp/v1/metrics").by_writers().post(metrics).about(OTLP)]
}

const OTLP: About = About::new(
    Tag::Remote,
    "otlp-metrics",
    "Takes metrics of OpenTelemetry, where --web.enable-otlp-receiver is set",
)
.takes_bodies(&["application/x-protobuf", "application/json"]);

async fn metrics(
    State(server): State<Arc<Server>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !server.settings.otlp {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
        return text_response(StatusCode::NOT_FOUND, text);
    }
    let (format, compressed) = match accepted(&headers) {
        Ok(accepted) => accepted,
        Err(text) => return text_response(StatusCode::BAD_REQUEST, format!("{text}\n")),
    };
    // Held until everything is durable, as the decoded rows are.
    let mut whole = match read(&server, body, format, compressed).await {
        Ok(whole) => whole,
        Err(unread) => return retry_later(text_response(unread.status, format!("{unread}\n"))),
    };
    let Whole { bytes, held } = &mut whole;
    let mut reserve = |more| {
        let unread = |unread: Unread| OtlpError { status: unread.status.as_u16(), message: unread.message };
        server.bodies.hold_more(held, more).map_err(unread)
    };
    match parts.otlp.write(format, bytes, &mut reserve).await {
        Ok(()) => success(format),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            // A store that takes nothing for a while has said so itself, once and not for each request.
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(%error, "OTLP request failed");
            }
            retry_later(text_response(status, format!("{error}\n")))
        }
    }
}

/// The format of a body, and whether it is compressed.
fn accepted(headers: &HeaderMap) -> Result<(Format, bool), String> {
    let text = |name: HeaderName| {
        let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        value.unwrap_or_default()
    };
    let content_type = text(header::CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let format = match media_type.as_str() {
        PROTOBUF => Format::Protobuf,
        JSON => Format::Json,
        _ => return Err(format!("unsupported content type: {content_type}, supported: [{JSON}, {PROTOBUF}]")),
    };
    let encoding = text(header::CONTENT_ENCODING);
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok((format, false)),
        "gzip" => Ok((format, true)),
        _ => Err(format!("unsupported compression: {encoding}. Only \"gzip\" or no compression supported")),
    }
}

/// The body, decompressed, with room in the budget for it and for what it becomes.
async fn read(server: &Server, body: Body, format: Format, compressed: bool) -> Result<Whole, Unread> {
    let mut whole = server.bodies.read(body, MAX_BODY_BYTES).await?;
    if compressed {
        whole = gunzip(server, whole)?;
    }
    server.bodies.hold_more(&mut whole.held, format.growth_bytes(whole.bytes.len()))?;
    Ok(whole)
}

/// Memory is asked for as bytes come out, since a compressed body says nothing about them that could be relied on.
fn gunzip(server: &Server, whole: Whole) -> Result<Whole, Unread> {
    let Whole { bytes, mut held } = whole;
    let mut decoder = MultiGzDecoder::new(bytes.as_ref());
    let mut out: Vec<u8> = Vec::new();
    loop {
        if out.capacity() - out.len() < STEP_BYTES {
            let more = out.capacity().max(STEP_BYTES);
            server.bodies.hold_more(&mut held, more)?;
            out.reserve_exact(out.capacity() - out.len() + more);
        }
        let start = out.len();
        let taken = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut out);
        taken.map_err(|error| Unread { status: StatusCode::BAD_REQUEST, message: format!("gzip: {error}") })?;
        if out.len() == start {
            return Ok(Whole { bytes: Bytes::from(out), held });
        }
        if out.len() > MAX_BODY_BYTES {
            let message =
                format!("request body too large: the limit of a decompressed one is {MAX_BODY_BYTES} bytes");
            return Err(Unread { status: StatusCode::PAYLOAD_TOO_LARGE, message });
        }
    }
}

/// An `ExportMetricsServiceResponse` that says nothing, since all was taken.
fn success(format: Format) -> Response {
    let (content_type, body) = match format {
        Format::Protobuf => (PROTOBUF, ""),
        Format::Json => (JSON, "{}"),
    };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

//! Sends batches of spans. The rules are those of OTLP: which answers are tried again, with growing pauses or after those the
//! collector asks for, and all that for at most half a minute, as the spans that come meanwhile must wait.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::error::SendError;
use crate::client::{self, Client, Clock, Options, Request, Response};
use crate::config::http::{HttpConfig, ProxyConfig};
use crate::config::tracing::{Protocol, TracingConfig};
use crate::error::{Error, Result};
use crate::telemetry::notice::Notice;
use crate::traces::message::{self, Answer};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";

/// All attempts of a batch.
const LONGEST: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Of an answer, which says nothing or which spans were refused.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Of what an error says of an answer.
const MAX_SHOWN_BYTES: usize = 300;
/// A message of gRPC has a byte in front that says whether it is compressed, and four of its length.
const FRAME_BYTES: usize = 5;

pub struct Exporter {
    sender: Arc<Sender>,
    resource: Resource,
    /// The SDK asks on a thread of its own.
    runtime: Handle,
}

struct Sender {
    client: Client,
    url: Url,
    headers: HeaderMap,
    clock: Clock,
    protocol: Protocol,
    gzip: bool,
    timeout: Duration,
    given_up: CancellationToken,
    failed: Notice,
    rejected: Notice,
}

/// Why an attempt failed.
#[derive(Debug, PartialEq)]
struct Failure {
    why: String,
    again: Again,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    Never,
    Soon,
    After(Duration),
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exporter({})", self.sender.url)
    }
}

impl Exporter {
    pub fn new(config: &TracingConfig, clock: Clock, given_up: CancellationToken) -> Result<Self> {
        let http = HttpConfig {
            tls: config.tls.clone(),
            headers: config.headers.iter().map(|(name, value)| (name.clone(), vec![value.clone()])).collect(),
            no_redirects: true,
            proxy: ProxyConfig { from_environment: true, ..ProxyConfig::default() },
            ..HttpConfig::default()
        };
        let options = Options { compressed: false, clock };
        let client = match config.protocol {
            Protocol::Grpc => Client::http2(&http, options.clone()),
            Protocol::Http => Client::new(&http, options.clone()),
        };
        let sender = Sender {
            client: client.map_err(|e| Error::new(e.kind, format!("tracing: {e}")))?,
            url: url(config)?,
            headers: headers(config),
            clock: options.clock.clone(),
            protocol: config.protocol,
            gzip: config.gzip,
            timeout: config.timeout,
            given_up,
            failed: Notice::default(),
            rejected: Notice::default(),
        };
        Ok(Self {
            sender: Arc::new(sender),
            resource: Resource::builder_empty().build(),
            runtime: Handle::current(),
        })
    }
}

impl SpanExporter for Exporter {
    /// An error is told here: the SDK would tell each, and do nothing else about it.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let body = message::request(&self.resource, batch).encode_to_vec();
        let sender = self.sender.clone();
        let work = self.runtime.spawn(async move { sender.deliver(&body, spans).await });
        work.await.map_err(|_| OTelSdkError::InternalFailure("the sending of spans was lost".to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.clone();
    }
}

impl Sender {
    async fn deliver(&self, message: &[u8], spans: usize) {
        let body = self.body(message);
        let (mut pause, end) = (FIRST_PAUSE, Instant::now() + LONGEST);
        let why = loop {
            let attempt = tokio::select! {
                attempt = self.attempt(body.clone()) => attempt,
                () = self.given_up.cancelled() => break "the process or this configuration ended".to_string(),
            };
            let Err(Failure { why, again }) = attempt else { return };
            let wait = match again {
                Again::Never => break why,
                // Shortened at random, so that many do not come back at one moment.
                Again::Soon => pause.mul_f64(1.0 - fastrand::f64() / 2.0),
                Again::After(wait) => wait,
            };
            pause = pause.saturating_mul(2);
            if Instant::now() + wait >= end {
                break why;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.given_up.cancelled() => break why,
            }
        };
        self.failed.tell(|left_out| {
            tracing::error!(endpoint = %self.url, spans, error = why, also = left_out, "spans were not sent and are lost");
        });
    }

    fn body(&self, message: &[u8]) -> Bytes {
        let compressed = self.gzip.then(|| gzip(message));
        let message = compressed.as_deref().unwrap_or(message);
        match self.protocol {
            Protocol::Http => Bytes::copy_from_slice(message),
            Protocol::Grpc => {
                let mut body = BytesMut::with_capacity(FRAME_BYTES + message.len());
                body.put_u8(u8::from(self.gzip));
                // A batch is 512 spans of some texts of 2 KiB each.
                body.put_u32(u32::try_from(message.len()).expect("a batch has less than 4 GiB"));
                body.put_slice(message);
                body.freeze()
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> std::result::Result<(), Failure> {
        let mut request = Request::post(self.url.clone(), body);
        request.headers = self.headers.clone();
        let exchange = async {
            let response = self.client.send(request).await?;
            match self.protocol {
                Protocol::Grpc => judge_grpc(response).await,
                Protocol::Http => judge_http(response, (self.clock)()).await,
            }
        };
        let answer = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(judged)) => judged?,
            Ok(Err(error)) => return Err(Failure { why: error.to_string(), again: Again::Soon }),
            Err(_) => {
                let why = SendError::deadline(&Method::POST, &self.url).to_string();
                return Err(Failure { why, again: Again::Soon });
            }
        };
        if let Some(partial) =
            answer.partial_success.filter(|p| p.rejected_spans > 0 || !p.error_message.is_empty())
        {
            self.rejected.tell(|_| {
                let (rejected, error) = (partial.rejected_spans, shown(&partial.error_message));
                tracing::warn!(endpoint = %self.url, rejected, error, "the collector refused spans");
            });
        }
        Ok(())
    }
}

type Judged = std::result::Result<std::result::Result<Answer, Failure>, SendError>;

async fn judge_http(response: Response, now_ms: i64) -> Judged {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes(MAX_ANSWER_BYTES).await?;
    if status.is_success() {
        // Some answer with JSON or nothing, and mean the same.
        return Ok(Ok(Answer::decode(body).unwrap_or_default()));
    }
    let again = match status.as_u16() {
        429 | 502 | 503 | 504 => client::retry_after(&headers, now_ms).map_or(Again::Soon, Again::After),
        _ => Again::Never,
    };
    let why = format!("the collector answers {status}: {}", shown(&String::from_utf8_lossy(&body)));
    Ok(Err(Failure { why, again }))
}

async fn judge_grpc(response: Response) -> Judged {
    let (status, headers) = (response.status(), response.headers().clone());
    let (body, trailers) = response.bytes_and_trailers(MAX_ANSWER_BYTES).await?;
    if status != StatusCode::OK {
        // What is not gRPC, or a proxy in front of it.
        let again = match status.as_u16() {
            429 | 502 | 503 | 504 => Again::Soon,
            _ => Again::Never,
        };
        return Ok(Err(Failure { why: format!("the collector answers HTTP status {status}"), again }));
    }
    let of = |name: &str| {
        let value = trailers.get(name).or(headers.get(name))?;
        value.to_str().ok().map(str::to_string)
    };
    let Some(code) = of("grpc-status").and_then(|code| code.trim().parse::<u32>().ok()) else {
        let why = "the collector's answer has no grpc-status: it may speak OTLP over HTTP only (client_type: http)";
        return Ok(Err(Failure { why: why.to_string(), again: Again::Never }));
    };
    if code == 0 {
        let message = body.get(FRAME_BYTES..).unwrap_or_default();
        // A compressed answer was not asked for.
        return Ok(Ok(Answer::decode(message).unwrap_or_default()));
    }
    let text = of("grpc-message").unwrap_or_default();
    let name = GRPC_CODES.get(code as usize).copied().unwrap_or("an unknown code");
    let again = match name {
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => Again::Soon,
        _ => Again::Never,
    };
    // Bytes beyond ASCII, and `%`, come as `%25`.
    let text = percent_decode_str(&text).decode_utf8_lossy();
    Ok(Err(Failure { why: format!("the collector answers {name}: {}", shown(&text)), again }))
}

/// By number.
const GRPC_CODES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn url(config: &TracingConfig) -> Result<Url> {
    let scheme = if config.insecure { "http" } else { "https" };
    // As clients of gRPC take it.
    let place = config.endpoint.strip_prefix("dns:///").unwrap_or(&config.endpoint);
    let wrong = || {
        let given = &config.endpoint;
        Error::bad_input(format!("tracing.endpoint: expected HOST:PORT without scheme and path, got {given:?}"))
    };
    if place.is_empty() || place.contains(['/', '?', '#', '@', ' ']) {
        return Err(wrong());
    }
    let path = match config.protocol {
        Protocol::Grpc => GRPC_PATH,
        Protocol::Http => HTTP_PATH,
    };
    Url::parse(&format!("{scheme}://{place}{path}")).map_err(|_| wrong())
}

fn headers(config: &TracingConfig) -> HeaderMap {
    const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
    let fixed = HeaderValue::from_static;
    let mut headers = HeaderMap::new();
    match config.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, fixed("application/grpc"));
            headers.insert(TE, fixed("trailers"));
            if config.gzip {
                headers.insert(GRPC_ENCODING, fixed("gzip"));
            }
        }
        Protocol::Http => {
            headers.insert(CONTENT_TYPE, fixed("application/x-protobuf"));
            if config.gzip {
                headers.insert(CONTENT_ENCODING, fixed("gzip"));
            }
        }
    }
    headers
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).expect("memory takes what is written");
    encoder.finish().expect("memory takes what is written")
}

fn shown(text: &str) -> &str {
    text[..text.floor_char_boundary(MAX_SHOWN_BYTES)].trim()
}

#[cfg(test)]
mod tests;

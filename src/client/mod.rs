//! Requests to others, as a section of the configuration has them sent: with its credentials, certificates, proxies and
//! headers. Scrapes, discovery, Alertmanagers and remote write go through here.
//!
//! Redirects are followed by us, since what a request shows to be let in must not reach another host.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Body as _;
use url::Url;

use crate::client::error::{Reason, SendError};
use crate::client::oauth2::Tokens;
use crate::client::transport::{Transport, Way};
use crate::config::http::{Authorization, HttpConfig};
use crate::error::Result;
use crate::telemetry::spans;

/// Why a request has no answer, in the words of Go.
pub mod error;
/// Tokens of OAuth2 and when they are fetched.
mod oauth2;
/// Assertions by which tokens are asked for.
mod jwt;
/// Which requests go through which proxy.
mod proxy;
/// Connections, made anew when certificates change.
mod transport;
/// Certificates: ours, and whose we take.
mod tls;
/// Texts that are read when they are used.
pub mod secrets;

/// A server that asks for more patience is asked again after this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// As Go's client.
const MAX_REDIRECTS: usize = 10;

/// Milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a client is for.
#[derive(Clone)]
pub struct Options {
    /// Whether answers may be compressed; they are handed on as they were.
    pub compressed: bool,
    /// Tells when assertions are made and tokens expire.
    pub clock: Clock,
}

/// Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: HttpConfig,
    options: Options,
    transport: Transport,
    tokens: Option<Tokens>,
}

/// Headers that say what is asked for, and how; a redirect to another host keeps these.
const SHOWN_ELSEWHERE: &[&str] = &[
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-length",
    "content-type",
    "retry-attempt",
    "user-agent",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// A socket in place of the URL's host and port.
    pub unix_socket: Option<PathBuf>,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    response: reqwest::Response,
    /// As errors show it.
    asked: Asked,
}

/// What errors are about.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    url: Url,
}

impl Client {
    /// Connects to nobody, and looks at no file: what is missing then may come, and fails the requests until it does. An error
    /// is what can never work.
    pub fn new(config: &HttpConfig, options: Options) -> Result<Self> {
        Self::with_transport(config, options, |transport| transport)
    }

    /// The same with connections spread over the addresses of a host.
    pub fn round_robin(config: &HttpConfig, options: Options) -> Result<Self> {
        Self::with_transport(config, options, Transport::round_robin)
    }

    /// The same with HTTP/2 and nothing else, as gRPC has it, also where there is no TLS.
    pub fn http2(config: &HttpConfig, options: Options) -> Result<Self> {
        Self::with_transport(config, options, Transport::http2_only)
    }

    fn with_transport(
        config: &HttpConfig,
        options: Options,
        change: impl FnOnce(Transport) -> Transport,
    ) -> Result<Self> {
        let transport = Transport::new(&config.tls, &config.proxy, !config.no_http2, options.compressed)?;
        let transport = change(transport);
        let tokens = match &config.authorization {
            Authorization::OAuth2(oauth2) => Some(Tokens::new(oauth2, options.clock.clone())?),
            _ => None,
        };
        Ok(Self(Arc::new(Inner { config: config.clone(), options, transport, tokens })))
    }

    /// Yields the answer to the last of all redirects, whatever its status. Has no deadline of its own.
    pub async fn send(&self, mut request: Request) -> Result<Response, SendError> {
        let first_host = request.url.host_str().unwrap_or_default().to_ascii_lowercase();
        let mut trusted = true;
        for redirects in 0.. {
            let asked = Asked { method: request.method.clone(), url: request.url.clone() };
            let sent = self.exchange(&request, trusted).await;
            let response = sent.map_err(|reason| asked.failed(reason))?;
            let next = if self.0.config.no_redirects { None } else { redirected(&response, &request.url) };
            let Some(next) = next else { return Ok(Response { response, asked }) };
            let url = next.map_err(|reason| asked.failed(reason))?;
            let asked = Asked { url, ..asked };
            if redirects == MAX_REDIRECTS {
                return Err(asked.failed(Reason::other("stopped after 10 redirects")));
            }
            let host = asked.url.host_str().unwrap_or_default().to_ascii_lowercase();
            // Once elsewhere, nothing is shown again, not even back here.
            trusted = trusted && is_same_or_below(&host, &first_host);
            request.follow(response.status(), asked.url, trusted);
        }
        unreachable!("the loop ends at the last redirect")
    }

    async fn exchange(&self, request: &Request, trusted: bool) -> Result<reqwest::Response, Reason> {
        let Inner { config, options, transport, tokens } = &*self.0;
        let mut headers = request.headers.clone();
        spans::inject(&mut headers);
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("promlake/", env!("CARGO_PKG_VERSION"))));
        if !options.compressed {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if trusted {
            for (name, values) in &config.headers {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Reason::other(format!("net/http: invalid header field name {name:?}")))?;
                for value in values {
                    let text = secrets::read(value, "headers file").await?;
                    headers.append(name.clone(), header_value(&text, name.as_str())?);
                }
            }
            if !headers.contains_key(AUTHORIZATION) {
                let shown = match (&config.authorization, tokens) {
                    (Authorization::None, _) => None,
                    (Authorization::Basic { username, password }, _) => {
                        let username = secrets::read(username, "basic auth username").await?;
                        let password = secrets::read(password, "basic auth password").await?;
                        Some(basic(&username, &password))
                    }
                    (Authorization::Header { scheme, credentials }, _) => {
                        let credentials = secrets::read(credentials, "authorization credentials").await?;
                        Some(format!("{scheme} {credentials}"))
                    }
                    (Authorization::OAuth2(_), Some(tokens)) => Some(tokens.shown().await?),
                    (Authorization::OAuth2(_), None) => None,
                };
                if let Some(shown) = shown {
                    headers.insert(AUTHORIZATION, header_value(&shown, "Authorization")?);
                }
            }
        }
        let way = match &request.unix_socket {
            Some(path) => Way::Socket(path.clone()),
            None => transport.way(&request.url),
        };
        let mut url = request.url.clone();
        if let Way::Named { name, .. } = &way {
            headers.entry(HOST).or_insert(header_value(&host_and_port(&url), "Host")?);
            url.set_host(Some(name)).map_err(|e| Reason::other(format!("server_name {name:?}: {e}")))?;
        }
        let client = transport.client(&way).await?;
        let sent = client.request(request.method.clone(), url).headers(headers).body(request.body.clone()).send();
        sent.await.map_err(|e| Reason::of(&e, &request.url))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Request {
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), unix_socket: None }
    }

    pub fn post(url: Url, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(url) }
    }

    /// Becomes the request that a redirect asks for. What was posted is asked for, save where the status says otherwise.
    /// Another host is shown what the request is, and nothing else: any header may be a credential.
    fn follow(&mut self, status: StatusCode, url: Url, trusted: bool) {
        let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps && self.method != Method::GET && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
        if self.url.host() != url.host() {
            self.headers.remove(HOST);
            self.unix_socket = None;
        }
        if !trusted {
            let shown = |name: &HeaderName| SHOWN_ELSEWHERE.contains(&name.as_str());
            let kept = self.headers.iter().filter(|(name, _)| shown(name));
            self.headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        }
        self.url = url;
    }
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Of the request that was answered, which may be that of a redirect.
    pub fn url(&self) -> &Url {
        &self.asked.url
    }

    /// The next part of the body, or its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        self.response.chunk().await.map_err(|e| self.asked.failed(Reason::of(&e, &self.asked.url)))
    }

    /// The whole body, of at most `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, SendError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(self.asked.failed(Reason::other(format!("the answer has more than {limit} bytes"))));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The first bytes of the body, as much as there is of them: what is lost of it is lost.
    pub async fn first_bytes(&mut self, limit: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            bytes.extend_from_slice(&chunk[..chunk.len().min(limit - bytes.len())]);
            if bytes.len() == limit {
                break;
            }
        }
        bytes
    }

    /// The same with the headers behind it.
    pub async fn bytes_and_trailers(self, limit: usize) -> Result<(Bytes, HeaderMap), SendError> {
        let asked = self.asked;
        let mut stream = http::Response::<reqwest::Body>::from(self.response).into_body();
        let (mut body, mut trailers) = (BytesMut::new(), HeaderMap::new());
        while let Some(frame) = poll_fn(|context| Pin::new(&mut stream).poll_frame(context)).await {
            let frame = frame.map_err(|e| asked.failed(Reason::of(&e, &asked.url)))?;
            match frame.into_data() {
                Ok(data) if body.len() + data.len() > limit => {
                    return Err(asked.failed(Reason::other(format!("the answer has more than {limit} bytes"))));
                }
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        Ok((body.freeze(), trailers))
    }
}

impl Asked {
    fn failed(&self, reason: Reason) -> SendError {
        SendError::new(&self.method, &self.url, reason)
    }
}

/// How long a server asks to be left alone: in seconds, or as a date; not in the past, and an hour at most.
pub fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            // Which day of the week that is, is not checked by anybody.
            let (_, date) = text.split_once(", ")?;
            let date = chrono::NaiveDateTime::parse_from_str(date, "%d %b %Y %H:%M:%S GMT").ok()?;
            Duration::from_millis(u64::try_from(date.and_utc().timestamp_millis() - now_ms).ok()?)
        }
    };
    Some(wait.min(MAX_RETRY_AFTER)).filter(|wait| !wait.is_zero())
}

/// Where an answer sends us; `None` if it does not.
fn redirected(response: &reqwest::Response, from: &Url) -> Option<Result<Url, Reason>> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    let shown = String::from_utf8_lossy(location.as_bytes());
    let failed = |why: String| Reason::other(format!("failed to parse Location header {shown:?}: {why}"));
    Some(match std::str::from_utf8(location.as_bytes()).map(|text| from.join(text)) {
        Ok(Ok(url)) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(Ok(url)) => Err(Reason::other(format!("unsupported protocol scheme {:?}", url.scheme()))),
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(e) => Err(failed(e.to_string())),
    })
}

/// Whether a host is another one or a part of its domain.
fn is_same_or_below(host: &str, other: &str) -> bool {
    // Numbers and bracketed addresses have no domains.
    let address = other.starts_with('[') || other.parse::<std::net::IpAddr>().is_ok();
    host == other || !address && host.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'))
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

fn basic(username: &str, password: &str) -> String {
    use base64::Engine as _;
    let pair = format!("{username}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Never shown in logs, and in no error.
fn header_value(text: &str, name: &str) -> Result<HeaderValue, Reason> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Reason::other(format!("net/http: invalid header field value for {name:?}")))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;

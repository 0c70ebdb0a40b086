//! Requests to the APIs that kinds ask: one URL below another, an answer of bounded size within a bounded time.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use url::Url;

use crate::client::error::SendError;
use crate::client::{Client, Clock, Options, Request, Response};
use crate::config::http::HttpConfig;
use crate::error::{Error, ErrorKind, Result};

/// The largest answer: a page of Kubernetes' API or a list of some hundred thousand targets.
pub const MAX_ANSWER_BYTES: usize = 128 << 20;
/// How much of an answer that says what went wrong is told.
const MAX_TOLD: usize = 500;

/// An API.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base: Url,
    timeout: Duration,
    headers: HeaderMap,
    unix_socket: Option<PathBuf>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: http::StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Api {
    /// `base` is what paths are put behind; an answer that takes longer than `timeout` is none. `clock` tells when tokens
    /// expire.
    pub fn new(config: &HttpConfig, base: &str, timeout: Duration, clock: &Clock) -> Result<Self> {
        let base = Url::parse(base).map_err(|error| Error::bad_input(format!("parse {base:?}: {error}")))?;
        let client = Client::new(config, Options { compressed: true, clock: clock.clone() })?;
        Ok(Self { client, base, timeout, headers: HeaderMap::new(), unix_socket: None })
    }

    /// A socket that is connected to in place of the URL's host.
    pub fn with_socket(mut self, path: PathBuf) -> Self {
        self.unix_socket = Some(path);
        self
    }

    /// A header of all requests; its value is not shown.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::bad_input(format!("the value of the header {name} has letters that it may not have"))
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// The URL of a path and its query.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if !path.is_empty() {
            let whole = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
            url.set_path(&whole);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request, and waits for the head of its answer.
    pub async fn send(&self, mut request: Request, timeout: Duration) -> Result<Response> {
        for (name, value) in &self.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        request.unix_socket = self.unix_socket.clone();
        let late = SendError::deadline(&request.method, &request.url);
        let sent = tokio::time::timeout(timeout, self.client.send(request)).await;
        sent.unwrap_or(Err(late)).map_err(failed)
    }

    /// Sends a request, and reads the whole answer.
    pub async fn exchange(&self, request: Request, timeout: Duration) -> Result<Answer> {
        let late = SendError::deadline(&request.method, &request.url);
        let read = async {
            let response = self.send(request, timeout).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes(MAX_ANSWER_BYTES).await.map_err(failed)?;
            Ok(Answer { status, headers, body })
        };
        tokio::time::timeout(timeout, read).await.unwrap_or_else(|_| Err(failed(late)))
    }

    /// A good answer to a `GET`.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer> {
        self.get_url(self.url(path, query), self.timeout).await
    }

    pub async fn get_url(&self, url: Url, timeout: Duration) -> Result<Answer> {
        let mut request = Request::get(url);
        request.headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        self.exchange(request, timeout).await?.good()
    }

    /// The JSON of a good answer.
    pub async fn json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.get(path, query).await?.json()
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Answer {
    /// Fails unless its status is that of success.
    pub fn good(self) -> Result<Self> {
        if self.status.is_success() { Ok(self) } else { Err(refused(self.status, &self.body)) }
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let wrong = |error: serde_json::Error| Error::bad_input(format!("the answer is not as expected: {error}"));
        serde_json::from_slice(&self.body).map_err(wrong)
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The error of an answer that is none of success.
pub fn refused(status: http::StatusCode, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let told: String = text.trim().chars().take(MAX_TOLD).collect();
    let colon = if told.is_empty() { "" } else { ": " };
    Error::new(ErrorKind::Unavailable, format!("server returned HTTP status {status}{colon}{told}"))
}

fn failed(error: SendError) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}

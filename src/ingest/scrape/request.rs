//! One HTTP request for metrics, within its time and size.

use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::client::error::SendError;
use crate::client::{Client, Clock, Options, Request};
use crate::config::scrape::ScrapeConfig;
use crate::error::{Context, ErrorKind, Result};
use crate::ingest::exposition::negotiate::accept_header;
use crate::ingest::scrape::target::Target;

/// Where the job sets no limit: no exporter sends this much, and it must end somewhere.
const MAX_BODY_BYTES: u64 = 512 << 20;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// What all targets of a pool share.
#[derive(Clone, Debug)]
pub struct Requester {
    client: Client,
    accept: HeaderValue,
    body_limit_bytes: u64,
}

#[derive(Debug)]
pub enum FetchError {
    BodyTooLarge,
    Failed(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::BodyTooLarge => f.write_str("body size limit exceeded"),
            FetchError::Failed(message) => f.write_str(message),
        }
    }
}

impl Requester {
    /// `clock` tells when tokens expire.
    pub fn new(config: &ScrapeConfig, clock: Clock) -> Result<Self> {
        let named = || format!("scrape_config {:?}", config.job_name);
        let options = Options { compressed: config.enable_compression, clock };
        let accept = accept_header(&config.scrape_protocols, config.escaping);
        let limit = config.limits.body_size_limit_bytes;
        Ok(Self {
            client: Client::new(&config.http, options).context(ErrorKind::BadInput, named)?,
            accept: HeaderValue::from_str(&accept).context(ErrorKind::Internal, named)?,
            body_limit_bytes: if limit == 0 { MAX_BODY_BYTES } else { limit },
        })
    }

    /// Fills `body`, which is cleared first, and yields the `Content-Type`.
    pub async fn fetch(&self, target: &Target, body: &mut Vec<u8>) -> Result<Option<String>, FetchError> {
        body.clear();
        let url = match &target.url {
            Ok(url) => url.clone(),
            Err(why) => return Err(FetchError::Failed(format!("Get {:?}: {why}", target.scrape_url))),
        };
        let late = SendError::deadline(&Method::GET, &url);
        let request =
            Request { headers: self.headers(target), unix_socket: target.unix_socket.clone(), ..Request::get(url) };
        let timeout = Duration::from_millis(target.timeout_ms as u64);
        match tokio::time::timeout(timeout, self.exchange(request, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Failed(late.to_string())),
        }
    }

    fn headers(&self, target: &Target) -> HeaderMap {
        let seconds = (target.timeout_ms as f64 / 1000.0).to_string();
        let seconds = HeaderValue::from_str(&seconds).expect("a number is made of what headers may have");
        HeaderMap::from_iter([(ACCEPT, self.accept.clone()), (TIMEOUT_HEADER, seconds)])
    }

    async fn exchange(&self, request: Request, body: &mut Vec<u8>) -> Result<Option<String>, FetchError> {
        let failed = |e: SendError| FetchError::Failed(e.to_string());
        let mut response = self.client.send(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Failed(format!("server returned HTTP status {}", response.status())));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_string);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if (body.len() + chunk.len()) as u64 >= self.body_limit_bytes {
                return Err(FetchError::BodyTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(content_type)
    }
}

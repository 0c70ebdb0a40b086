//! One HTTP request for metrics, within its time and size. HTTP/1.1, gzip if the job wants it, redirects if the
//! job follows them; never through a proxy of the environment.

use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;

use crate::config::scrape::ScrapeConfig;
use crate::error::{Context, ErrorKind, Result};
use crate::ingest::exposition::negotiate::accept_header;
use crate::ingest::scrape::target::Target;

/// Where the job sets no limit: no exporter sends this much, and it must end somewhere.
const MAX_BODY_BYTES: u64 = 512 << 20;

/// A target is asked again and again, so its connection is kept; not forever.
const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// What all targets of a pool share.
#[derive(Clone, Debug)]
pub struct Requester {
    client: reqwest::Client,
    accept: String,
    compressed: bool,
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
    pub fn new(config: &ScrapeConfig) -> Result<Self> {
        let redirects = if config.follow_redirects { Policy::limited(10) } else { Policy::none() };
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .gzip(config.enable_compression)
            .redirect(redirects)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .context(ErrorKind::Internal, || format!("scrape_config {:?}: building its client", config.job_name))?;
        let limit = config.limits.body_size_limit_bytes;
        Ok(Self {
            client,
            accept: accept_header(&config.scrape_protocols, config.name_validation),
            compressed: config.enable_compression,
            body_limit_bytes: if limit == 0 { MAX_BODY_BYTES } else { limit },
        })
    }

    /// Fills `body`, which is cleared first, and yields the `Content-Type`.
    pub async fn fetch(&self, target: &Target, body: &mut Vec<u8>) -> Result<Option<String>, FetchError> {
        body.clear();
        let timeout = Duration::from_millis(target.timeout_ms as u64);
        match tokio::time::timeout(timeout, self.exchange(target, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Failed(format!("Get {:?}: context deadline exceeded", target.scrape_url))),
        }
    }

    async fn exchange(&self, target: &Target, body: &mut Vec<u8>) -> Result<Option<String>, FetchError> {
        let named = |why: &str| FetchError::Failed(format!("Get {:?}: {why}", target.scrape_url));
        let failed = |e: reqwest::Error| named(&root_cause(&e.without_url()));
        let url = target.url.as_ref().map_err(|why| named(why))?;
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT, &self.accept)
            .header(USER_AGENT, concat!("promlake/", env!("CARGO_PKG_VERSION")))
            .header("X-Prometheus-Scrape-Timeout-Seconds", (target.timeout_ms as f64 / 1000.0).to_string());
        if !self.compressed {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
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

/// The end of the chain says what happened (`connection refused`); the links before it say that something did.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

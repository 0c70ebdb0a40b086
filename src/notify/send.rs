//! One request to an Alertmanager, within its time.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::client::error::SendError;
use crate::client::{Client, Clock, Options, Request, Response};
use crate::config::alerting::Alertmanagers;
use crate::error::{Error, Result};
use crate::notify::endpoint::Endpoint;

/// Of the text of an error.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Of a body that is read so that its connection can be used again.
const MAX_IGNORED_BYTES: usize = 64 << 10;

/// Sends to the Alertmanagers of an entry of the configuration. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client,
    timeout: Duration,
}

impl Sender {
    /// `clock` tells when tokens expire. An error is what can never work.
    pub(super) fn new(config: &Alertmanagers, clock: Clock) -> Result<Self> {
        let client = Client::new(&config.http, Options { compressed: true, clock });
        let client = client.map_err(|e| Error::new(e.kind, format!("{}: {e}", config.path)))?;
        Ok(Self { client, timeout: config.timeout })
    }

    /// Any 2xx means that all of it was taken; otherwise yields why it was not.
    pub(super) async fn post(&self, endpoint: &Endpoint, body: Bytes) -> Result<(), String> {
        let url = endpoint.url.clone().map_err(|why| format!("Post {:?}: {why}", endpoint.shown))?;
        let late = SendError::deadline(&Method::POST, &url);
        let mut request = Request::post(url, body);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let exchange = async {
            let response = self.client.send(request).await.map_err(|e| e.to_string())?;
            judge(response).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(late.to_string()))
    }
}

async fn judge(mut response: Response) -> Result<(), String> {
    let status = response.status();
    if status.is_success() {
        response.first_bytes(MAX_IGNORED_BYTES).await;
        return Ok(());
    }
    let text = response.first_bytes(MAX_MESSAGE_BYTES).await;
    let text = String::from_utf8_lossy(&text);
    Err(format!("bad response status {status}: {}", text.trim()).trim_end_matches(": ").to_string())
}

//! How an import asks another server: a post for each request, its answer as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::{HeaderValue, Method, header};
use tokio::time::timeout;
use url::Url;

use crate::client::error::SendError;
use crate::client::{Client, Options, Request, Response};
use crate::config::http::HttpConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::import::remote_read::{Answer, Post};
use crate::storage::store::Clock;

/// A server may look for long before it answers, and not stop for long when it does.
const FIRST: Duration = Duration::from_secs(300);
const NEXT: Duration = Duration::from_secs(60);
/// Of an answer that says what is wrong.
const MAX_REASON_BYTES: usize = 4 << 10;

const HEADERS: [(&str, &str); 4] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("accept", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse, application/x-protobuf"),
    ("x-prometheus-remote-read-version", "0.1.0"),
];

/// Posts to a URL, as a configuration says.
pub fn post(url: Url, config: &HttpConfig, clock: Clock) -> Result<Post> {
    let client = Client::new(config, Options { compressed: false, clock })?;
    Ok(Arc::new(move |body: Bytes| ask(client.clone(), url.clone(), body).boxed()))
}

async fn ask(client: Client, url: Url, body: Bytes) -> Result<Answer> {
    let late = SendError::deadline(&Method::POST, &url);
    let failed = |error: SendError| Error::new(ErrorKind::Unavailable, error.to_string());
    let mut request = Request::post(url, body);
    for (name, value) in HEADERS {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let sent = timeout(FIRST, client.send(request)).await.unwrap_or(Err(late.clone()));
    let response = sent.map_err(failed)?;
    if !response.status().is_success() {
        let status = response.status();
        let said = response.bytes(MAX_REASON_BYTES).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim().to_string();
        return Err(Error::new(ErrorKind::Unavailable, format!("the server answered {status}: {said}")));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content_type = kind.unwrap_or_default().to_string();
    let next = move |mut response: Response| {
        let late = late.clone();
        async move {
            let chunk = timeout(NEXT, response.chunk()).await.unwrap_or(Err(late)).map_err(failed)?;
            Ok::<_, Error>(chunk.map(|chunk| (chunk, response)))
        }
    };
    Ok(Answer { content_type, body: stream::try_unfold(response, next).boxed() })
}

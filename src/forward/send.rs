//! One request to a remote, what its answer means, and the pauses between attempts.
//!
//! The rules are those of the Remote Write specifications as Prometheus follows them: 5xx, no answer, and 429 where the
//! configuration says so are tried again; everything else that is no 2xx is for good. Of an answer to 2.0 the numbers of
//! what was written count, and a 2xx without any of them is that of a receiver that did not understand.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::client::error::SendError;
use crate::client::{Client, Clock, Options, Request, Response, retry_after};
use crate::config::remote::write::{Message, RemoteWrite};
use crate::error::{Error, Result};
use crate::forward::item::Counts;

/// Of the text of an error.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Of a body that is read so that its connection can be used again.
const MAX_IGNORED_BYTES: usize = 64 << 10;

const VERSION: &str = "x-prometheus-remote-write-version";
const RETRY_ATTEMPT: &str = "retry-attempt";
const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";
const HISTOGRAMS_WRITTEN: &str = "x-prometheus-remote-write-histograms-written";
const EXEMPLARS_WRITTEN: &str = "x-prometheus-remote-write-exemplars-written";

/// Sends the requests of one remote.
pub struct Sender {
    client: Client,
    url: Url,
    headers: HeaderMap,
    message: Message,
    timeout: Duration,
    retry_on_http_429: bool,
    clock: Clock,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Of an answer without numbers all was written.
    Written(Counts),
    /// For good, with what was written all the same. `whole`: since something of it is bad, and maybe all of it was refused.
    Refused { why: String, written: Counts, whole: bool },
    /// To be tried again, not before a time if the receiver named one.
    Retry { why: String, after: Option<Duration> },
}

impl Sender {
    pub fn new(settings: &RemoteWrite, clock: Clock) -> Result<Self> {
        let path = &settings.path;
        let no_url = || Error::bad_input(format!("{path}.url: expected http:// or https:// and a host"));
        let url = settings.url.clone().ok_or_else(no_url)?;
        let options = Options { compressed: true, clock: clock.clone() };
        let client = match settings.round_robin_dns {
            true => Client::round_robin(&settings.http, options),
            false => Client::new(&settings.http, options),
        };
        let client = client.map_err(|e| Error::new(e.kind, format!("{path}: {e}")))?;
        Ok(Self {
            client,
            url,
            headers: headers(settings)?,
            message: settings.message,
            timeout: settings.timeout,
            retry_on_http_429: settings.queue.retry_on_http_429,
            clock,
        })
    }

    /// One attempt; `attempt` counts those before it. `sent` is what is in it.
    pub async fn post(&self, body: Bytes, attempt: u32, sent: Counts) -> Outcome {
        let mut request = Request::post(self.url.clone(), body);
        request.headers = self.headers.clone();
        if attempt > 0 {
            request.headers.insert(RETRY_ATTEMPT, HeaderValue::from(attempt));
        }
        let exchange = async {
            let response = self.client.send(request).await?;
            Ok::<Outcome, SendError>(self.judge(response, sent).await)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Retry { why: error.to_string(), after: None },
            Err(_) => {
                let error = SendError::deadline(&Method::POST, &self.url);
                Outcome::Retry { why: error.to_string(), after: None }
            }
        }
    }

    async fn judge(&self, mut response: Response, sent: Counts) -> Outcome {
        let status = response.status();
        let headers = response.headers().clone();
        if status.is_success() {
            ignore_body(response).await;
            return judge_success(self.message, &headers, sent);
        }
        let text = response.first_bytes(MAX_MESSAGE_BYTES).await;
        let text = String::from_utf8_lossy(&text);
        let text = text.trim();
        judge_failure(status, &headers, text, self.retry_on_http_429, (self.clock)())
    }
}

fn judge_success(message: Message, headers: &HeaderMap, sent: Counts) -> Outcome {
    match written(headers) {
        // To 1.0 nobody has to say it.
        None if message == Message::V1 => Outcome::Written(sent),
        Some(written) if message == Message::V1 || written.total() > 0 => Outcome::Written(written),
        _ => {
            let why = "the server answers that all is well, and not that anything was written: it may know Remote Write \
                       1.0 only (protobuf_message: prometheus.WriteRequest)";
            Outcome::Refused { why: why.to_string(), written: Counts::default(), whole: false }
        }
    }
}

fn judge_failure(status: StatusCode, headers: &HeaderMap, text: &str, retry_429: bool, now_ms: i64) -> Outcome {
    let why = format!("server returned HTTP status {status}: {text}");
    if status.is_server_error() || retry_429 && status == StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Retry { why, after: retry_after(headers, now_ms) };
    }
    // A receiver of 1.0 says not what it wrote, and Prometheus writes nothing of a request with one sample out of order.
    let whole = status == StatusCode::BAD_REQUEST && written(headers).is_none();
    Outcome::Refused { why, written: written(headers).unwrap_or_default(), whole }
}

/// What the receiver says it wrote; a number that is missing is 0, and without any nothing is said.
fn written(headers: &HeaderMap) -> Option<Counts> {
    let number = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| value.parse::<u64>().unwrap_or(0))
    };
    let (samples, histograms, exemplars) =
        (number(SAMPLES_WRITTEN), number(HISTOGRAMS_WRITTEN), number(EXEMPLARS_WRITTEN));
    samples.or(histograms).or(exemplars)?;
    Some(Counts {
        samples: samples.unwrap_or(0),
        histograms: histograms.unwrap_or(0),
        exemplars: exemplars.unwrap_or(0),
    })
}

async fn ignore_body(mut response: Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes += chunk.len();
        if bytes > MAX_IGNORED_BYTES {
            return;
        }
    }
}

fn headers(settings: &RemoteWrite) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let refused =
            |what: &str| Error::bad_input(format!("{}.headers: invalid {what} of {name:?}", settings.path));
        let name_of = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("name"))?;
        headers.insert(name_of, HeaderValue::from_str(value).map_err(|_| refused("value"))?);
    }
    let (content_type, version) = match settings.message {
        Message::V1 => ("application/x-protobuf", "0.1.0"),
        Message::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(VERSION, HeaderValue::from_static(version));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("promlake/", env!("CARGO_PKG_VERSION"))));
    Ok(headers)
}

/// Pauses between attempts: doubled each time, up to a limit, and shortened at random by up to a half so that many
/// senders do not come back at one moment.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        // A receiver that fails at once must not be asked in a loop.
        let shortest = shortest.max(Duration::from_millis(1));
        Self { next: shortest, longest: longest.max(shortest) }
    }

    /// The pause before the next attempt; what the receiver asked for counts in place of our own.
    pub fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let pause = asked.unwrap_or(self.next);
        self.next = pause.saturating_mul(2).min(self.longest);
        match asked {
            Some(asked) => asked.mul_f64(1.0 + fastrand::f64() / 10.0),
            None => pause.mul_f64(0.5 + fastrand::f64() / 2.0),
        }
    }
}

#[cfg(test)]
mod tests;

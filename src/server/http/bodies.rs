//! Bodies of requests, read whole: under a limit of their own, one budget for those of all connections together, and
//! the pace of [`crate::server::http::pace`]. Memory is asked for as bytes arrive, never because a header says so.
//!
//! A request that finds the budget empty is refused, it does not wait: it holds memory itself, and those that wait for
//! each other would wait for ever.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::server::http::pace::Pace;

/// What a body's first chunk makes room for; a longer one doubles it.
const FIRST_BYTES: usize = 16 << 10;
/// A refused body is read on and thrown away up to here, since a client that is still sending does not see an answer.
const MAX_DISCARDED_BYTES: usize = 128 << 20;
/// A client that sends nothing for so long may as well have its answer.
const DISCARD_PAUSE: Duration = Duration::from_secs(1);

/// The budget of all bodies, and how long one may take.
#[derive(Debug)]
pub struct Bodies {
    free: Arc<Semaphore>,
    budget_bytes: usize,
    /// For a whole body.
    timeout: Duration,
    /// Without a byte.
    stall: Duration,
}

/// A body, and its share of the budget until it is dropped.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Bytes,
    pub held: Held,
}

/// Bytes of the budget, given back when dropped.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

/// A body that was not read, with the status that says why.
#[derive(Debug, PartialEq, Eq)]
pub struct Unread {
    pub status: StatusCode,
    pub message: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unread {}

impl Bodies {
    pub fn new(budget_bytes: usize, timeout: Duration, stall: Duration) -> Self {
        let budget_bytes = budget_bytes.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(budget_bytes)), budget_bytes, timeout, stall }
    }

    pub fn used_bytes(&self) -> usize {
        self.budget_bytes.saturating_sub(self.free.available_permits())
    }

    /// A share of the budget: 503 where it is not free now.
    fn hold(&self, bytes: usize) -> Result<Held, Unread> {
        let busy = || Unread {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: format!(
                "the bodies of other requests take all of --web.body-bytes ({} bytes), try again",
                self.budget_bytes
            ),
        };
        let permits = u32::try_from(bytes).map_err(|_| busy())?;
        self.free.clone().try_acquire_many_owned(permits).map(Held).map_err(|_| busy())
    }

    /// A body of at most `limit` bytes. Errors: 413 above the limit, 503 while there is no room, 408 for one that is
    /// too slow, 400 for one that breaks off.
    pub async fn read(&self, body: Body, limit: usize) -> Result<Whole, Unread> {
        let announced = body.size_hint().exact();
        let mut arriving = Arriving::new(body, self);
        let limits = [(limit, "the limit"), (self.budget_bytes, "--web.body-bytes")];
        if let Some((most, what)) = limits.into_iter().find(|(most, _)| announced.is_some_and(|n| n > *most as u64))
        {
            arriving.discard().await;
            return Err(too_large(most, what));
        }
        let most = announced.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limit).min(limit);
        let mut held = self.hold(0)?;
        let mut whole = Vec::new();
        while let Some(chunk) = arriving.next().await? {
            let grown = if chunk.len() > limit - whole.len() {
                Err(too_large(limit, "the limit"))
            } else {
                self.grow(&mut whole, chunk.len(), most, &mut held)
            };
            if let Err(refused) = grown {
                drop((whole, held));
                arriving.discard().await;
                return Err(refused);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Whole { bytes: whole.into(), held })
    }

    /// Makes room for `more` bytes, by doubling up to what may come at most.
    fn grow(&self, whole: &mut Vec<u8>, more: usize, most: usize, held: &mut Held) -> Result<(), Unread> {
        let needed = whole.len() + more;
        if needed <= held.bytes() {
            return Ok(());
        }
        let doubled = (2 * held.bytes()).max(FIRST_BYTES).min(most).min(self.budget_bytes);
        let capacity = needed.max(doubled);
        self.hold_more(held, capacity - held.bytes())?;
        whole.reserve_exact(capacity - whole.len());
        Ok(())
    }

    /// A larger share; 413 where it would be more than all of the budget.
    pub fn hold_more(&self, held: &mut Held, bytes: usize) -> Result<(), Unread> {
        if held.bytes().saturating_add(bytes) > self.budget_bytes {
            return Err(too_large(self.budget_bytes, "--web.body-bytes"));
        }
        held.0.merge(self.hold(bytes)?.0);
        Ok(())
    }
}

impl Held {
    fn bytes(&self) -> usize {
        self.0.num_permits()
    }
}

/// The chunks of a body with their deadlines.
struct Arriving {
    chunks: BodyDataStream,
    pace: Pace,
    last: Instant,
}

impl Arriving {
    fn new(body: Body, bodies: &Bodies) -> Self {
        let now = Instant::now();
        Self { chunks: body.into_data_stream(), pace: Pace::new(now, bodies.stall), last: now + bodies.timeout }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        let deadline = self.pace.deadline().min(self.last);
        match timeout_at(deadline, self.chunks.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => {
                self.pace.moved(Instant::now(), chunk.len());
                Ok(Some(chunk))
            }
            Ok(Some(Err(error))) => Err(Unread {
                status: StatusCode::BAD_REQUEST,
                message: format!("error reading the request body: {error}"),
            }),
            Err(_) => Err(Unread {
                status: StatusCode::REQUEST_TIMEOUT,
                message: "the request body did not arrive in time".into(),
            }),
        }
    }

    async fn discard(&mut self) {
        let mut discarded = 0;
        // A body that breaks off is not told of: there is an answer already.
        while let Ok(Ok(Some(chunk))) = timeout(DISCARD_PAUSE, self.next()).await {
            discarded += chunk.len();
            if discarded > MAX_DISCARDED_BYTES {
                break;
            }
        }
    }
}

fn too_large(bytes: usize, what: &str) -> Unread {
    Unread {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        message: format!("request body too large: {what} is {bytes} bytes"),
    }
}

/// Tells a client that is to come back after how many seconds.
pub fn retry_later(mut response: Response) -> Response {
    if matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LIMIT: usize = 100_000;

    fn bodies(budget_bytes: usize) -> Bodies {
        Bodies::new(budget_bytes, Duration::from_secs(5), Duration::from_secs(5))
    }

    fn chunked(chunks: usize, bytes: usize) -> Body {
        let chunk = move |_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]));
        Body::from_stream(stream::iter(0..chunks).map(chunk))
    }

    #[tokio::test]
    async fn limits() {
        let check = async |budget: usize, body: Body, expected: Result<usize, u16>| {
            let bodies = bodies(budget);
            let got = bodies.read(body, LIMIT).await;
            if let Ok(whole) = &got {
                assert!(bodies.used_bytes() >= whole.bytes.len());
                assert!(bodies.used_bytes() <= LIMIT);
            }
            assert_eq!(got.map(|w| w.bytes.len()).map_err(|e| e.status.as_u16()), expected);
            assert_eq!(bodies.used_bytes(), 0, "everything is given back");
        };
        check(1 << 20, Body::empty(), Ok(0)).await;
        check(1 << 20, Body::from(vec![0; 10]), Ok(10)).await;
        check(1 << 20, Body::from(vec![0; LIMIT]), Ok(LIMIT)).await;
        check(1 << 20, Body::from(vec![0; LIMIT + 1]), Err(413)).await;
        check(1 << 20, chunked(100, 1000), Ok(LIMIT)).await;
        check(1 << 20, chunked(101, 1000), Err(413)).await;
        check(LIMIT, chunked(100, 1000), Ok(LIMIT)).await;
        // More than there will ever be.
        check(1000, Body::from(vec![0; 1001]), Err(413)).await;
        check(50_000, chunked(50, 1000), Ok(50_000)).await;
        check(50_000, chunked(51, 1000), Err(413)).await;
    }

    #[tokio::test]
    async fn one_budget_for_all() {
        let bodies = bodies(50_000);
        let first = bodies.read(Body::from(vec![0; 30_000]), LIMIT).await.unwrap();
        assert_eq!(bodies.read(Body::from(vec![0; 30_000]), LIMIT).await.unwrap_err().status, 503);
        assert_eq!(bodies.read(Body::from(vec![0; 60_000]), LIMIT).await.unwrap_err().status, 413);
        assert_eq!(bodies.read(Body::from(vec![0; 20_000]), LIMIT).await.unwrap().bytes.len(), 20_000);
        let mut first = first;
        assert_eq!(bodies.hold_more(&mut first.held, 20_000), Ok(()));
        assert_eq!(bodies.hold_more(&mut first.held, 1).unwrap_err().status, 413);
        drop(first);
        assert_eq!(bodies.read(Body::from(vec![0; 50_000]), LIMIT).await.unwrap().bytes.len(), 50_000);
    }

    #[tokio::test]
    async fn slow_senders() {
        let ms = Duration::from_millis;
        let check = async |timeout: Duration, stall: Duration| {
            let bodies = Bodies::new(1 << 20, timeout, stall);
            let chunk = stream::iter([Ok::<_, std::io::Error>(Bytes::from("x"))]);
            let body = Body::from_stream(chunk.chain(stream::pending()));
            assert_eq!(bodies.read(body, LIMIT).await.unwrap_err().status, 408);
        };
        check(ms(10), ms(60_000)).await;
        check(ms(60_000), ms(10)).await;
    }
}

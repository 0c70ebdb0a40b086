//! Connections: how many at once, TLS on them, how long one may be silent, and how they end at shutdown. Requests on
//! them are the router's business.
//!
//! To accept waits for nothing. Where all places are taken, connections that lie idle make room, and one that finds
//! none within [`MAKE_ROOM`] is told 503: a client, or a probe, that gets no answer cannot know why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::server::access::door::Access;
use crate::server::access::shown::Shown;
use crate::server::access::stream::Stream;
use crate::server::http::socket::{Activity, Patience, Socket};
use crate::server::http::via::Via;
use crate::telemetry::metrics::{Family, Metrics};

/// The head of a request, of which the target may be 64 KiB: hyper has 100 headers, too.
const MAX_HEAD_BYTES: usize = 128 << 10;
/// A connection that was silent for so long makes room for a new one, where there is none.
const IDLE: Duration = Duration::from_secs(5);
/// How long a connection above the limit waits for a place.
const MAKE_ROOM: Duration = Duration::from_secs(1);
/// Connections that wait for a place, or for their 503. More are closed unheard.
const MAX_SURPLUS: usize = 64;

/// To a client that speaks no TLS where it is asked for, in Go's words.
const NO_TLS: &str = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

const NO_ROOM: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Retry-After: 5\r\nConnection: close\r\nContent-Length: 58\r\n\r\n\
    too many connections, the limit is --web.max-connections\r\n";

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_connections: usize,
    /// How long a connection may be idle between two requests; reading a body is timed by the handler.
    pub read_timeout: Duration,
    pub patience: Patience,
    /// How long requests may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

/// The places of all listeners.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    surplus: Arc<Semaphore>,
    /// Told to connections when one more wants a place.
    crowded: Notify,
    refused: AtomicU64,
    max_connections: usize,
}

impl Places {
    fn new(max_connections: usize) -> Self {
        let max_connections = max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(max_connections)),
            surplus: Arc::new(Semaphore::new(MAX_SURPLUS)),
            crowded: Notify::new(),
            refused: AtomicU64::new(0),
            max_connections,
        }
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some(place);
        }
        self.crowded.notify_waiters();
        let place = timeout(MAKE_ROOM, self.free.clone().acquire_owned()).await.ok().and_then(Result::ok);
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    fn families(&self) -> Vec<Family> {
        let open = self.max_connections.saturating_sub(self.free.available_permits());
        let refused = self.refused.load(Ordering::Relaxed);
        vec![
            Family::gauge("promlake_http_connections", "Open HTTP connections", open as f64),
            Family::counter(
                "promlake_http_connections_refused",
                "HTTP connections above --web.max-connections",
                refused as f64,
            ),
        ]
    }
}

/// Accepts until `shutdown`, then lets the requests under way finish for at most the drain timeout.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    access: Arc<Access>,
    limits: Limits,
    metrics: &Metrics,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Places::new(limits.max_connections));
    let counted = places.clone();
    metrics.add_source(move || counted.families());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (router, access) = (router.clone(), access.clone());
        accepting.spawn(accept(listener, router, access, limits, places.clone(), shutdown.clone()));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(
    listener: TcpListener,
    router: Router,
    access: Arc<Access>,
    limits: Limits,
    places: Arc<Places>,
    shutdown: CancellationToken,
) {
    // A listener that cannot tell its address is treated as the stricter of both.
    let loopback = |address: std::net::SocketAddr| address.ip().to_canonical().is_loopback();
    let loopback = listener.local_addr().map_or(true, loopback);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            stream = next(&listener) => stream,
        };
        let surplus = match places.free.available_permits() {
            0 => match places.surplus.clone().try_acquire_owned() {
                Ok(surplus) => Some(surplus),
                Err(_) => {
                    places.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            },
            _ => None,
        };
        let (router, access, places, shutdown) = (router.clone(), access.clone(), places.clone(), shutdown.clone());
        let client = stream.peer_addr().ok().map(|address| address.ip().to_canonical());
        connections.spawn(async move {
            match places.take().await {
                Some(_place) => {
                    drop(surplus);
                    // Answers are written whole; waiting for more to send only delays them.
                    let _ = stream.set_nodelay(true);
                    let secured = tokio::select! {
                        secured = secure(stream, &access, limits.patience.head, &places.crowded) => secured,
                        () = shutdown.cancelled() => None,
                    };
                    if let Some((stream, shown)) = secured {
                        let via = Via { loopback, client, shown };
                        serve_connection(stream, via, router, limits, &places.crowded, shutdown).await;
                    }
                }
                // There is no telling a client before its handshake, for which there is no place.
                None if access.has_tls() => {}
                None => refuse(stream, NO_ROOM).await,
            }
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!("requests were still running after {:?} and were cut off", limits.drain_timeout);
        connections.shutdown().await;
    }
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Out of file descriptors, most likely: one of them has to be given back first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// A connection, and what it shows of its client where it has TLS.
type Secured = (Stream, Option<Arc<Shown>>);

/// TLS where it is asked for; `None` where that came to nothing, at the latest after `patience`. A handshake counts as
/// idle, so that it makes room where it takes long.
async fn secure(stream: TcpStream, access: &Access, patience: Duration, crowded: &Notify) -> Option<Secured> {
    if !access.has_tls() {
        return Some((Stream::Plain(stream), None));
    }
    let begun = Instant::now();
    let mut handshake = std::pin::pin!(timeout(patience, shake_hands(stream, access)));
    loop {
        tokio::select! {
            done = &mut handshake => return done.ok().flatten(),
            () = crowded.notified() => if begun.elapsed() >= IDLE { return None },
        }
    }
}

async fn shake_hands(stream: TcpStream, access: &Access) -> Option<Secured> {
    let mut first = [0];
    // TLS begins with 0x16, a request with the letters of its method.
    if stream.peek(&mut first).await.ok()? > 0 && first[0].is_ascii_alphabetic() {
        refuse(stream, NO_TLS).await;
        return None;
    }
    // Why it is closed is in the log.
    let accepting = access.http_acceptor().await.ok()?;
    match accepting.acceptor.accept(stream).await {
        Ok(stream) => {
            let shown = Shown::of(stream.get_ref().1, accepting.verifies);
            Some((Stream::Tls(Box::new(stream)), Some(Arc::new(shown))))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

/// Says why a connection ends, and reads what the client had sent: a socket that is closed with bytes unread takes its
/// answer back.
async fn refuse(mut stream: TcpStream, why: &str) {
    let said = async {
        stream.write_all(why.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that has gone, or does not go, is not waited for.
    let _ = timeout(MAKE_ROOM, said).await;
}

async fn serve_connection(
    stream: Stream,
    via: Via,
    router: Router,
    limits: Limits,
    crowded: &Notify,
    shutdown: CancellationToken,
) {
    let activity = Arc::new(Activity::new(Instant::now()));
    let socket = Socket::new(stream, activity.clone(), limits.patience);
    let (router, counted) = (TowerToHyperService::new(router), activity.clone());
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(via.clone());
        counted.request_begins();
        let (answer, counted) = (router.call(request), counted.clone());
        async move {
            let answer = answer.await;
            counted.request_ends();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = crowded.notified() => if activity.idle_for(IDLE) { return },
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::NO_ROOM;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let (head, body) = NO_ROOM.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }
}

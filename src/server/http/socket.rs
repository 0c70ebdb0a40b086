//! A connection's socket that gives up on a client that does not get on: one that takes long over the head of a
//! request, or does not read its answer. Bodies have a clock of their own (`bodies`), and so has a connection between
//! two requests (hyper's). The socket learns from [`Activity`] where between these it is. Targets of requests are read
//! from it as [`Targets`] has them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::http::pace::Pace;
use crate::server::http::target::Targets;

/// What a connection is doing, shared by its socket, its requests and whoever looks for idle connections.
#[derive(Debug)]
pub struct Activity {
    opened: Instant,
    /// Milliseconds after `opened` at which bytes moved last.
    moved_ms: AtomicU64,
    /// Requests whose head has arrived.
    requests: AtomicU64,
    serving: AtomicBool,
    blocked: AtomicBool,
}

impl Activity {
    pub fn new(now: Instant) -> Self {
        Self {
            opened: now,
            moved_ms: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            serving: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
        }
    }

    pub fn request_begins(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
    }

    pub fn request_ends(&self) {
        self.serving.store(false, Ordering::Relaxed);
        self.moved(Instant::now());
    }

    /// Whether nothing was asked and nothing moved for this long.
    pub fn idle_for(&self, time: Duration) -> bool {
        let moved = self.opened + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        let busy = self.serving.load(Ordering::Relaxed) || self.blocked.load(Ordering::Relaxed);
        !busy && moved.elapsed() >= time
    }

    fn moved(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.opened).as_millis();
        self.moved_ms.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// How long the parts of a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// For a client that reads nothing of its answer; see [`Pace`].
    pub stall: Duration,
}

pub struct Socket<S> {
    stream: S,
    activity: Arc<Activity>,
    patience: Patience,
    head: Option<Timer>,
    writing: Option<(Pace, Timer)>,
    targets: Targets,
    /// What did not fit the reader's buffer any more; to be read before all else.
    unread: Vec<u8>,
}

/// A clock for the request of this number; it is out of date with the next.
struct Timer {
    request: u64,
    deadline: Instant,
    /// Made when it is first waited for: most requests come and go whole.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn new(request: u64, deadline: Instant) -> Self {
        Self { request, deadline, sleep: None }
    }

    fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(deadline);
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.deadline;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl<S> Socket<S> {
    pub fn new(stream: S, activity: Arc<Activity>, patience: Patience) -> Self {
        let (targets, unread) = (Targets::new(), Vec::new());
        Self { stream, activity, patience, head: None, writing: None, targets, unread }
    }

    /// Bytes came in between two requests: the head of the next has begun.
    fn head_begins(&mut self, now: Instant) {
        let request = self.activity.requests();
        let begun = self.head.as_ref().is_some_and(|timer| timer.request == request);
        if !begun && !self.activity.serving.load(Ordering::Relaxed) {
            self.head = Some(Timer::new(request, now + self.patience.head));
        }
    }

    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let request = self.activity.requests();
        match &mut self.head {
            Some(timer) if timer.request == request => timer.is_over(cx),
            _ => {
                self.head = None;
                false
            }
        }
    }

    /// What writing came to, or an error once the client has let its answer wait for too long.
    fn wrote(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            let (now, request) = (Instant::now(), self.activity.requests());
            self.activity.moved(now);
            if let Some((pace, _)) = self.writing.as_mut().filter(|(_, timer)| timer.request == request) {
                pace.moved(now, bytes);
            }
        }
        self.unless_late(cx, result)
    }

    /// An error in the place of a wait that has been too long. With TLS, flushing and closing write as well.
    fn unless_late<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.blocked.store(result.is_pending(), Ordering::Relaxed);
        if result.is_ready() {
            return result;
        }
        let (now, request, stall) = (Instant::now(), self.activity.requests(), self.patience.stall);
        self.writing.take_if(|(_, timer)| timer.request != request);
        let (pace, timer) = self.writing.get_or_insert_with(|| {
            let pace = Pace::new(now, stall);
            (pace, Timer::new(request, pace.deadline()))
        });
        timer.reset(pace.deadline());
        if timer.is_over(cx) {
            return Poll::Ready(Err(late("the client does not read its answer")));
        }
        Poll::Pending
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let fitting = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread[..fitting]);
            self.unread.drain(..fitting);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > before {
                    let now = Instant::now();
                    self.activity.moved(now);
                    self.head_begins(now);
                    if let Some(mut rewritten) = self.targets.rewrite(&buf.filled()[before..]) {
                        buf.set_filled(before);
                        let rest = rewritten.split_off(rewritten.len().min(buf.remaining()));
                        buf.put_slice(&rewritten);
                        self.unread = rest;
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.head_is_late(cx) => {
                Poll::Ready(Err(late("the head of a request did not arrive in time")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_late(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.unless_late(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A socket of little patience, its activity, and the client's end.
    async fn connected() -> (Socket<TcpStream>, Arc<Activity>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let activity = Arc::new(Activity::new(Instant::now()));
        let short = Duration::from_millis(20);
        let patience = Patience { head: short, stall: short };
        (Socket::new(stream, activity.clone(), patience), activity, client)
    }

    #[tokio::test]
    async fn a_head_has_to_end() {
        let (mut socket, activity, mut client) = connected().await;
        for request in 0..2 {
            client.write_all(b"G").await.unwrap();
            assert_eq!(socket.read_u8().await.unwrap(), b'G');
            if request == 0 {
                // This one does: its clock is not that of the next.
                activity.request_begins();
                activity.request_ends();
            }
        }
        assert_eq!(socket.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn targets_that_become_longer_than_the_buffer() {
        let (mut socket, _activity, mut client) = connected().await;
        client.write_all(b"GET /{{{{ HTTP/1.1\r\n\r\n").await.unwrap();
        drop(client);
        let (mut read, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match socket.read(&mut buffer).await.unwrap() {
                0 => break,
                bytes => read.extend_from_slice(&buffer[..bytes]),
            }
        }
        assert_eq!(read, b"GET /%7B%7B%7B%7B HTTP/1.1\r\n\r\n");
    }

    #[tokio::test]
    async fn an_answer_has_to_be_read() {
        let (mut socket, activity, client) = connected().await;
        activity.request_begins();
        let chunk = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = socket.write_all(&chunk).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!activity.idle_for(Duration::ZERO), "it is being served");
        drop(client);
    }

    #[tokio::test]
    async fn idle_connections() {
        let (_, activity, _client) = connected().await;
        assert!(activity.idle_for(Duration::ZERO));
        assert!(!activity.idle_for(Duration::from_secs(60)));
        activity.request_begins();
        assert!(!activity.idle_for(Duration::ZERO));
        activity.request_ends();
        assert!(activity.idle_for(Duration::ZERO));
    }
}

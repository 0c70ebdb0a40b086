//! The outgoing half of a connection: a client that takes nothing for too long is cut off, since it holds its
//! statement's rows, memory and slot for as long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

pub struct Outgoing<W> {
    socket: W,
    limit: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// A write may be without progress for `limit`.
    pub fn new(socket: W, limit: Duration) -> Self {
        Self { socket, limit, stalled: None }
    }

    /// An error in the place of a wait that has been too long. With TLS, flushing and closing write as well.
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            return self.wait(context).map(Err);
        }
        self.stalled = None;
        result
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answers"))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Outgoing<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.unless_stalled(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.socket).poll_shutdown(context);
        self.unless_stalled(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_reader_that_stops_is_cut_off_and_a_slow_one_is_not() {
        let limit = Duration::from_millis(200);
        let (near, mut far) = tokio::io::duplex(16);
        let mut outgoing = Outgoing::new(near, limit);
        let slowly = async {
            // Ten parts, together well beyond the limit.
            for _ in 0..10 {
                tokio::time::sleep(limit / 4).await;
                far.read_exact(&mut [0u8; 16]).await.unwrap();
            }
            far
        };
        let (written, far) = tokio::join!(outgoing.write_all(&[0u8; 160]), slowly);
        written.unwrap();
        let error = outgoing.write_all(&[0u8; 160]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // It stays so, without another wait.
        assert!(outgoing.write_all(&[0u8; 1]).await.is_err());
        drop(far);
    }
}

//! What a connection is read from and written to: its socket, or TLS on it; and how client and server come to agree on
//! that before the first message.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use crate::server::access::door::{Accepting, Access, POSTGRESQL};
use crate::server::access::shown::Shown;

const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
/// Of a request for encryption, its length counted in.
const REQUEST_BYTES: i32 = 8;
/// What TLS begins with, and no message of Postgres.
const TLS_HANDSHAKE: u8 = 0x16;

/// Both halves of a connection on which messages may begin.
pub struct Transport {
    pub reading: Reading,
    pub writing: Writing,
    /// What was read of the first message.
    pub begun: BytesMut,
    /// `None` without TLS.
    pub shown: Option<Arc<Shown>>,
    /// What a login may be bound to: a digest of the certificate that the client was shown.
    pub binding: Binding,
}

type Binding = Option<Arc<[u8]>>;

pub enum Reading {
    Plain(OwnedReadHalf),
    Tls { stream: ReadHalf<TlsStream<Wire>>, socket: Arc<TcpStream> },
}

pub enum Writing {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<Wire>>),
}

/// Answers requests for encryption, and does what was agreed on. Clients ask with a message of their own, or begin with
/// TLS at once, since PostgreSQL 17. `None` where the client is gone, or no understanding was possible.
///
/// # Errors
/// Whatever the socket or the handshake said; the client cannot be told.
pub async fn negotiate(access: &Access, mut socket: TcpStream) -> io::Result<Option<Transport>> {
    let mut first = [0];
    if access.has_tls() && socket.peek(&mut first).await? > 0 && first[0] == TLS_HANDSHAKE {
        let Ok(accepting) = access.postgres_acceptor().await else { return Ok(None) };
        let stream = encrypt(&accepting, socket).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(POSTGRESQL);
        // As in Postgres: a client of another protocol could be made to say things here by a page.
        return Ok(agreed.then(|| Transport::encrypted(stream, accepting)));
    }
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        let Some(header) = word(&mut socket).await? else { return Ok(None) };
        let mut begun = BytesMut::from(&header.to_be_bytes()[..]);
        if header != REQUEST_BYTES {
            return Ok(Some(Transport::plain(socket, begun)));
        }
        let Some(code) = word(&mut socket).await? else { return Ok(None) };
        match code {
            SSL_REQUEST if !ssl_asked => {
                ssl_asked = true;
                if let Some(accepting) = acceptor(access).await {
                    // What came with the request is not read before the handshake, of which it would have to be a part.
                    socket.write_all(b"S").await?;
                    let stream = encrypt(&accepting, socket).await?;
                    return Ok(Some(Transport::encrypted(stream, accepting)));
                }
                socket.write_all(b"N").await?;
            }
            GSSENC_REQUEST if !gss_asked => {
                gss_asked = true;
                socket.write_all(b"N").await?;
            }
            code => {
                begun.extend_from_slice(&code.to_be_bytes());
                return Ok(Some(Transport::plain(socket, begun)));
            }
        }
    }
}

/// Nothing where the file is wrong, too: the client is told so when it goes on without.
async fn acceptor(access: &Access) -> Option<Accepting> {
    if access.has_tls() { access.postgres_acceptor().await.ok() } else { None }
}

async fn encrypt(accepting: &Accepting, socket: TcpStream) -> io::Result<TlsStream<Wire>> {
    accepting.acceptor.accept(Wire(Arc::new(socket))).await
}

/// Four bytes, and none after them; `None` where the client is gone before.
async fn word(socket: &mut TcpStream) -> io::Result<Option<i32>> {
    match socket.read_i32().await {
        Ok(word) => Ok(Some(word)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl Transport {
    fn plain(socket: TcpStream, begun: BytesMut) -> Self {
        let (reading, writing) = socket.into_split();
        let (reading, writing) = (Reading::Plain(reading), Writing::Plain(writing));
        Self { reading, writing, begun, shown: None, binding: None }
    }

    fn encrypted(stream: TlsStream<Wire>, accepting: Accepting) -> Self {
        let socket = stream.get_ref().0.0.clone();
        let shown = Shown::of(stream.get_ref().1, accepting.verifies);
        let (reading, writing) = tokio::io::split(stream);
        Self {
            reading: Reading::Tls { stream: reading, socket },
            writing: Writing::Tls(writing),
            begun: BytesMut::new(),
            shown: Some(Arc::new(shown)),
            binding: accepting.end_point,
        }
    }
}

impl Reading {
    /// Whether the client has closed its side, as far as can be seen without reading what it sent before.
    pub fn is_closed(&self) -> bool {
        let ready = match self {
            Self::Plain(socket) => socket.ready(Interest::READABLE).now_or_never(),
            Self::Tls { socket, .. } => socket.ready(Interest::READABLE).now_or_never(),
        };
        match ready {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

impl AsyncRead for Reading {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls { stream, .. } => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Writing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A socket below TLS, which others may look at as well. Only one task reads, and one writes.
pub struct Wire(Arc<TcpStream>);

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A duplicate is asked, which is the same socket: only owned ones have a method for it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let duplicate = std::net::TcpStream::from(self.0.as_fd().try_clone_to_owned()?);
        Poll::Ready(duplicate.shutdown(Shutdown::Write))
    }
}

//! What is sent to a client: messages in the library's encoding, gathered until there are enough of them, and rows that
//! are messages already.

use std::io;

use bytes::{Buf, BytesMut};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, ProtocolVersion};
use tokio::io::AsyncWriteExt;

use super::transmit::Outgoing;
use super::transport::Writing;

/// So much is gathered before it is written.
const GATHERED_BYTES: usize = 8 << 10;

pub struct Client {
    socket: Outgoing<Writing>,
    gathered: BytesMut,
    pub version: ProtocolVersion,
}

impl Client {
    pub fn new(socket: Outgoing<Writing>) -> Self {
        Self { socket, gathered: BytesMut::new(), version: ProtocolVersion::PROTOCOL3_0 }
    }

    /// Adds a message. What is gathered are whole messages, always.
    pub async fn feed(&mut self, message: PgWireBackendMessage) -> PgWireResult<()> {
        message.encode(&mut self.gathered)?;
        if self.gathered.len() >= GATHERED_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Sends a message at once, with all before it.
    pub async fn send(&mut self, message: PgWireBackendMessage) -> PgWireResult<()> {
        message.encode(&mut self.gathered)?;
        Ok(self.flush().await?)
    }

    /// Sends whole messages that are encoded, and waits until the client takes them.
    pub async fn pass_on(&mut self, mut messages: BytesMut) -> io::Result<()> {
        self.write().await?;
        while messages.has_remaining() {
            wrote(self.socket.write_buf(&mut messages).await?)?;
        }
        Ok(())
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        self.write().await?;
        self.socket.flush().await
    }

    pub async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.socket.shutdown().await
    }

    /// Tells of an error.
    pub async fn tell(&mut self, error: PgWireError) -> io::Result<()> {
        let info: ErrorInfo = error.into();
        let told = PgWireBackendMessage::ErrorResponse(info.into());
        // What cannot be encoded is nothing that an error has.
        self.feed(told).await.map_err(io::Error::other)
    }

    async fn write(&mut self) -> io::Result<()> {
        while self.gathered.has_remaining() {
            wrote(self.socket.write_buf(&mut self.gathered).await?)?;
        }
        // Memory of one long message is not kept.
        if self.gathered.capacity() > 4 * GATHERED_BYTES {
            self.gathered = BytesMut::new();
        }
        Ok(())
    }
}

fn wrote(bytes: usize) -> io::Result<()> {
    if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

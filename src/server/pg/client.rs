//! What is sent to a client: messages in the library's encoding, gathered until there are enough of them, and rows that
//! are messages already.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, ProtocolVersion};
use tokio::io::AsyncWriteExt;

use super::stats::Stats;
use super::transmit::Outgoing;
use super::transport::Writing;

/// So much is gathered before it is written.
const GATHERED_BYTES: usize = 8 << 10;

pub struct Client {
    socket: Outgoing<Writing>,
    gathered: BytesMut,
    /// What is left of messages that are passed on. Whoever passed them on may be gone, since its statement was ended.
    passing: BytesMut,
    stats: Arc<Stats>,
    pub version: ProtocolVersion,
}

impl Client {
    pub fn new(socket: Outgoing<Writing>, stats: Arc<Stats>) -> Self {
        let (gathered, passing) = (BytesMut::new(), BytesMut::new());
        Self { socket, gathered, passing, stats, version: ProtocolVersion::PROTOCOL3_0 }
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
    pub async fn pass_on(&mut self, messages: BytesMut) -> io::Result<()> {
        self.write().await?;
        self.passing = messages;
        self.write().await
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
        self.stats.error(&info.code);
        let told = PgWireBackendMessage::ErrorResponse(info.into());
        // What cannot be encoded is nothing that an error has.
        self.feed(told).await.map_err(io::Error::other)
    }

    /// Whoever waits here may be dropped; what is written next goes on where this has stopped.
    async fn write(&mut self) -> io::Result<()> {
        while self.passing.has_remaining() {
            self.stats.sent(self.socket.write_buf(&mut self.passing).await?)?;
        }
        self.passing = BytesMut::new();
        while self.gathered.has_remaining() {
            self.stats.sent(self.socket.write_buf(&mut self.gathered).await?)?;
        }
        // Memory of one long message is not kept.
        if self.gathered.capacity() > 4 * GATHERED_BYTES {
            self.gathered = BytesMut::new();
        }
        Ok(())
    }
}

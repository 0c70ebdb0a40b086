//! The incoming half of a connection: whole messages, read also while a statement runs, so that a client that says
//! good-bye or goes away is noticed then.
//!
//! A client is believed nothing. A message has a longest length by its kind, room for it is had before it is read,
//! and once begun it has to arrive in time. Reading ahead is bounded per connection; what is longer than that is
//! bounded by one budget of all connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use pgwire::error::{PgWireError, PgWireResult};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::errors::fatal;
use super::message::{self, HEADER_BYTES, PASSWORD, TERMINATE};
use super::stats::Stats;
use super::transport::Reading;
use crate::server::access::scram::MESSAGE_BYTES;

/// Bytes asked of the socket at a time, and what an idle connection keeps for them.
const READ_BYTES: usize = 8 << 10;
/// What one connection may have received and not yet answered, without the budget of all.
const AHEAD_BYTES: usize = 256 << 10;
/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 64;
/// How long a message waits for room in the budget of all connections.
const BUDGET_WAIT: Duration = Duration::from_secs(60);
/// How often a connection that waits for room is asked whether it is still there.
const CLOSED_CHECK: Duration = Duration::from_millis(200);
/// The longest start-up message, as in Postgres (`MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_BYTES: usize = 10_000;
/// The shortest one has a length and a code.
const STARTUP_LEAST: usize = 8;

/// Messages in the order they came; an error is the last.
pub type Messages = mpsc::UnboundedReceiver<PgWireResult<Frame>>;

/// A message with its header, and the room it takes until it was dealt with.
pub struct Frame {
    pub bytes: BytesMut,
    _ahead: OwnedSemaphorePermit,
    /// Room of the common budget, for a long message. What is kept of the message keeps it.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Frame {
    pub fn kind(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }
}

/// What all connections share for receiving.
pub struct Receiving {
    pub message_bytes: usize,
    pub message_timeout: Duration,
    budget: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Receiving {
    /// A message has to fit into the budget with its kind, which its length does not count.
    pub fn new(message_bytes: usize, message_timeout: Duration, budget_bytes: usize, stats: Arc<Stats>) -> Self {
        let budget_bytes = budget_bytes.min(u32::MAX as usize);
        let message_bytes = message_bytes.min(budget_bytes.saturating_sub(1));
        Self { message_bytes, message_timeout, budget: Arc::new(Semaphore::new(budget_bytes)), stats }
    }
}

pub struct Incoming {
    socket: Reading,
    input: BytesMut,
    ahead: Arc<Semaphore>,
    shared: Arc<Receiving>,
}

/// Why there is no message.
enum End {
    /// The client said so, or is gone.
    Closed,
    /// The client is told before the connection ends.
    Refused(PgWireError),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Incoming {
    /// `begun` is what was read already.
    pub fn new(socket: Reading, begun: BytesMut, shared: Arc<Receiving>) -> Self {
        let ahead = Arc::new(Semaphore::new(AHEAD_BYTES));
        Self { socket, input: begun, ahead, shared }
    }

    /// The next start-up message without its length: a code and what follows. `None` where the client is gone, or
    /// does not speak this protocol, in which case it would not understand an answer either.
    pub async fn startup_message(&mut self) -> io::Result<Option<BytesMut>> {
        let Some(header) = self.exactly(4).await? else { return Ok(None) };
        let length = header.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        if !(STARTUP_LEAST..=STARTUP_BYTES).contains(&length) {
            return Ok(None);
        }
        self.exactly(length - header.len()).await
    }

    /// The password that was asked for, without the zero that ends it.
    ///
    /// # Errors
    /// Where something else comes, or the client is gone: one that has none to give goes, and comes again with it.
    pub async fn password(&mut self) -> PgWireResult<BytesMut> {
        let mut password = self.proof(STARTUP_BYTES).await?;
        match memchr::memchr(0, &password) {
            Some(end) if end + 1 == password.len() => password.truncate(end),
            _ => return Err(fatal("08P01", "invalid password packet size")),
        }
        Ok(password)
    }

    /// The next message of SASL.
    ///
    /// # Errors
    /// As of a password.
    pub async fn sasl(&mut self) -> PgWireResult<BytesMut> {
        self.proof(MESSAGE_BYTES).await
    }

    /// Whatever the client says to show who it is, without the header, of at most so many bytes as its length says.
    async fn proof(&mut self, at_most: usize) -> PgWireResult<BytesMut> {
        let gone = || PgWireError::IoError(io::ErrorKind::UnexpectedEof.into());
        let header = self.exactly(HEADER_BYTES).await?.ok_or_else(gone)?;
        let (kind, length) = match *header {
            [kind, a, b, c, d] => (kind, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return Err(gone()),
        };
        if kind != PASSWORD {
            return Err(fatal("08P01", format!("expected password response, got message type {kind}")));
        }
        if !(HEADER_BYTES..=at_most).contains(&length) {
            return Err(fatal("08P01", "invalid password packet size"));
        }
        self.exactly(length + 1 - HEADER_BYTES).await?.ok_or_else(gone)
    }

    /// Hands messages over until the connection ends. The last may be an error to tell the client; then it only
    /// watches whether the client is there to be told.
    pub async fn read(&mut self, messages: mpsc::UnboundedSender<PgWireResult<Frame>>) {
        loop {
            match self.frame().await {
                Ok(frame) if frame.kind() == TERMINATE => return,
                Ok(frame) => {
                    if messages.send(Ok(frame)).is_err() {
                        return;
                    }
                }
                Err(End::Closed) => return,
                Err(End::Refused(error)) => {
                    // Nobody listens only if the connection has ended.
                    let _ = messages.send(Err(error));
                    while !self.is_closed() {
                        tokio::time::sleep(CLOSED_CHECK).await;
                    }
                    return;
                }
            }
        }
    }

    /// Reads and drops what the client still sends, for so long: closing a socket with unread data would take from
    /// the client what it was told last.
    pub async fn linger(&mut self, at_most: Duration) {
        let mut sink = [0u8; 1024];
        let drain = async {
            let mut left = self.shared.message_bytes;
            while let Ok(read @ 1..) = self.socket.read(&mut sink).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
        };
        // Whether it came to an end by itself makes no difference.
        let _ = timeout(at_most, drain).await;
    }

    async fn frame(&mut self) -> Result<Frame, End> {
        if self.input.is_empty() && !self.fill(1).await? {
            return Err(End::Closed);
        }
        let limit = self.shared.message_timeout;
        let header = timeout(limit, self.fill(HEADER_BYTES)).await.map_err(|_| slow(limit))?;
        if !header? {
            return Err(End::Closed);
        }
        let length = self.length()?;
        let ahead = self.room_ahead(length).await?;
        let room = self.room(length).await?;
        let bytes = timeout(limit, self.exactly(length)).await.map_err(|_| slow(limit))?;
        let bytes = bytes?.ok_or(End::Closed)?;
        Ok(Frame { bytes, _ahead: ahead, room })
    }

    /// The length of the message whose header is there, with its kind.
    fn length(&self) -> Result<usize, End> {
        let (kind, length) = match *self.input {
            [kind, a, b, c, d, ..] => (kind, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return Err(End::Closed),
        };
        let Some(limit) = message::limit(kind, self.shared.message_bytes) else {
            return Err(refused("08P01", format!("invalid frontend message type {kind}")));
        };
        if !(HEADER_BYTES - 1..=limit).contains(&length) {
            return Err(refused("08P01", format!("invalid message length {length}, at most {limit} are accepted")));
        }
        Ok(length + 1)
    }

    /// Waits until enough of what came before was dealt with, however long that takes.
    async fn room_ahead(&self, length: usize) -> Result<OwnedSemaphorePermit, End> {
        let cost = (length + MESSAGE_COST).min(AHEAD_BYTES);
        self.permit(&self.ahead, cost, Duration::MAX).await
    }

    async fn room(&self, length: usize) -> Result<Option<OwnedSemaphorePermit>, End> {
        if length <= AHEAD_BYTES {
            return Ok(None);
        }
        self.permit(&self.shared.budget, length, BUDGET_WAIT).await.map(Some)
    }

    /// Waits for so many bytes, and looks meanwhile whether the client is still there.
    async fn permit(
        &self,
        bytes: &Arc<Semaphore>,
        count: usize,
        at_most: Duration,
    ) -> Result<OwnedSemaphorePermit, End> {
        let start = Instant::now();
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        let mut waiting = std::pin::pin!(bytes.clone().acquire_many_owned(permits));
        loop {
            match timeout(CLOSED_CHECK, &mut waiting).await {
                Ok(permit) => return permit.map_err(|_| End::Closed),
                Err(_) if self.is_closed() => return Err(End::Closed),
                Err(_) if start.elapsed() >= at_most => {
                    return Err(refused("53200", format!("no memory for a message of {count} bytes")));
                }
                Err(_) => {}
            }
        }
    }

    /// Exactly so many bytes; `None` where the client is gone before.
    async fn exactly(&mut self, count: usize) -> io::Result<Option<BytesMut>> {
        if count <= READ_BYTES {
            return Ok(self.fill(count).await?.then(|| self.input.split_to(count)));
        }
        // Memory of its own, so that nothing of it stays behind with the next messages.
        let mut bytes = BytesMut::with_capacity(count);
        bytes.put_slice(&self.input.split_to(count.min(self.input.len())));
        while bytes.len() < count {
            let missing = count - bytes.len();
            let read = self.socket.read_buf(&mut (&mut bytes).limit(missing)).await?;
            if self.shared.stats.received(read) == 0 {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Reads until so many bytes wait in `input`, at most [`READ_BYTES`]; false where the client is gone before.
    async fn fill(&mut self, count: usize) -> io::Result<bool> {
        while self.input.len() < count {
            self.input.reserve(READ_BYTES - self.input.len());
            let room = READ_BYTES - self.input.len();
            let read = self.socket.read_buf(&mut (&mut self.input).limit(room)).await?;
            if self.shared.stats.received(read) == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the client has closed its side, as far as can be seen without reading what it sent before.
    fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }
}

fn refused(code: &str, text: String) -> End {
    End::Refused(fatal(code, text))
}

fn slow(limit: Duration) -> End {
    tracing::debug!(?limit, "a Postgres client did not finish a message in time");
    refused("08P01", format!("a message did not arrive within {} seconds", limit.as_secs()))
}

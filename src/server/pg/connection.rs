//! One connection from its first byte to its last: start, then messages one after the other, then a proper end.
//! Messages are read while an earlier one is dealt with, so that cancel requests, good-byes and clients that are
//! gone end what runs.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use pgwire::api::query::{ExtendedQueryHandler, send_ready_for_query};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, DefaultClient, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error};
use tokio::io::{Empty, Join};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::auth::Peer;
use super::handlers::{Handler, Planned};
use super::kept::Kept;
use super::listener::Limits;
use super::receive::{Frame, Incoming, Messages, Receiving};
use super::session::{Session, Sessions};
use super::startup::{self, fatal};
use super::transmit::Outgoing;
use super::transport::{self, Writing};
use super::{errors, message};
use crate::engine::session::Engine;
use crate::server::access::door::Access;

/// What is sent to a client, and what the library keeps of it. Messages are read elsewhere.
pub type Client = Framed<Join<Empty, Outgoing<Writing>>, PgWireMessageServerCodec<Planned>>;

/// How long what was asked before a good-bye may take: it is answered if it is quick, since some clients say all
/// they have to say at once.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// How long a client may take to read why its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What connections have in common.
pub struct Shared {
    pub engine: Engine,
    pub handler: Handler,
    /// Who may have one.
    pub access: Arc<Access>,
    pub sessions: Arc<Sessions>,
    /// One for each session.
    pub slots: Arc<Semaphore>,
    pub receiving: Arc<Receiving>,
    pub limits: Limits,
    /// Asked to end: sessions do when they have answered.
    pub shutdown: CancellationToken,
}

/// Serves a connection to its end. `starting` is given back once it has a session.
///
/// # Errors
/// Whatever the socket said; the client cannot be told.
pub async fn serve(shared: &Shared, socket: TcpStream, starting: OwnedSemaphorePermit) -> io::Result<()> {
    // Answers are written whole; waiting for more to send only delays them.
    socket.set_nodelay(true)?;
    keep_alive(&socket)?;
    let address = socket.peer_addr()?;
    let deadline = Instant::now() + shared.limits.startup_timeout;
    let agreed = match timeout_at(deadline, transport::negotiate(&shared.access, socket)).await {
        Ok(agreed) => agreed?,
        Err(_) => return Ok(()),
    };
    let Some(agreed) = agreed else { return Ok(()) };
    let peer = Peer { address, encrypted: agreed.encrypted };
    let mut incoming = Incoming::new(agreed.reading, agreed.begun, shared.receiving.clone());
    let outgoing = Outgoing::new(agreed.writing, shared.limits.write_timeout);
    let codec = PgWireMessageServerCodec::new(DefaultClient::new(address, peer.encrypted));
    let mut client = Framed::new(tokio::io::join(tokio::io::empty(), outgoing), codec);

    let start = startup::start(shared, &mut incoming, &mut client, peer);
    let opened = match timeout_at(deadline, start).await {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return end(&mut client, &mut incoming, error).await,
        // Like Postgres, without a word: there is no telling what the client speaks.
        Err(_) => return Ok(()),
    };
    drop(starting);
    let told = converse(shared, &opened.session, &mut incoming, &mut client).await;
    // Whatever still runs for portals ends now, not when the client has read its last words.
    client.portal_store().clear_portals();
    drop(opened);
    let told = told?;
    match told {
        Some(error) => end(&mut client, &mut incoming, error).await,
        None => Ok(()),
    }
}

/// Tells a client why its connection ends, and lets it read that.
async fn end(client: &mut Client, incoming: &mut Incoming, error: PgWireError) -> io::Result<()> {
    tracing::debug!(%error, "a Postgres connection ends");
    let last = async {
        client.send(PgWireBackendMessage::ErrorResponse(error_info(error).into())).await?;
        client.close().await
    };
    timeout(LAST_WORDS, last).await??;
    incoming.linger(LAST_WORDS).await;
    Ok(())
}

fn error_info(error: PgWireError) -> pgwire::error::ErrorInfo {
    error.into()
}

/// Asks the kernel to find out about clients whose machine or network is gone. A duplicate is asked, which is the
/// same socket, since only unconnected ones have a method for it.
fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let duplicate = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
    TcpSocket::from_std_stream(duplicate).set_keepalive(true)
}

/// Messages until either side has enough; what to tell the client if that is us.
async fn converse(
    shared: &Shared,
    session: &Arc<Session>,
    incoming: &mut Incoming,
    client: &mut Client,
) -> io::Result<Option<PgWireError>> {
    let (sender, messages) = mpsc::unbounded_channel();
    let mut conversation = Conversation { shared, session, client, kept: Kept::default() };
    let mut reading = std::pin::pin!(incoming.read(sender));
    let mut answering = std::pin::pin!(conversation.run(messages));
    tokio::select! {
        told = &mut answering => told,
        () = &mut reading => timeout(LAST_ANSWERS, answering).await.unwrap_or(Ok(None)),
    }
}

struct Conversation<'a> {
    shared: &'a Shared,
    session: &'a Arc<Session>,
    client: &'a mut Client,
    kept: Kept,
}

impl Conversation<'_> {
    async fn run(&mut self, mut messages: Messages) -> io::Result<Option<PgWireError>> {
        loop {
            let frame = tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => {
                    let text = "terminating connection due to administrator command";
                    return Ok(Some(fatal("57P01", text)));
                }
                next = messages.recv() => match next {
                    Some(Ok(frame)) => frame,
                    Some(Err(error)) => return Ok(Some(error)),
                    None => return Ok(None),
                },
            };
            let kind = frame.kind();
            match self.answer(frame).await {
                Ok(()) => {}
                Err(PgWireError::IoError(error)) => return Err(error),
                Err(error) if error.is_fatal() => return Ok(Some(error)),
                Err(error) => self.fail(kind, error).await?,
            }
        }
    }

    async fn answer(&mut self, frame: Frame) -> PgWireResult<()> {
        let kind = frame.kind();
        let skipping = matches!(self.client.state(), PgWireConnectionState::AwaitingSync);
        if message::is_ignored(kind) || skipping && kind != message::SYNC {
            return Ok(());
        }
        message::check(&frame.bytes)?;
        if kind == message::SYNC {
            return self.sync().await;
        }
        let message = self.session.open_message();
        // Messages to the client are whole whenever this is left: each is put into the buffer at once.
        tokio::select! {
            biased;
            answered = self.dispatch(frame) => answered?,
            () = message.cancelled() => return Err(canceled()),
        }
        if kind == message::QUERY {
            self.ready().await?;
        }
        Ok(())
    }

    async fn dispatch(&mut self, mut frame: Frame) -> PgWireResult<()> {
        let mut context = DecodeContext::new(self.client.protocol_version());
        context.awaiting_frontend_ssl = false;
        context.awaiting_frontend_startup = false;
        let Some(message) = PgWireFrontendMessage::decode(&mut frame.bytes, &context)? else { return Ok(()) };
        let handler = &self.shared.handler;
        match message {
            PgWireFrontendMessage::Query(query) => handler.simple(self.client, &query.query).await,
            PgWireFrontendMessage::Parse(parse) => {
                self.kept.check_statement(&parse)?;
                let (name, text_bytes) = (parse.name.clone(), parse.query.len());
                handler.on_parse(self.client, parse).await?;
                self.kept.add_statement(name, text_bytes);
                Ok(())
            }
            PgWireFrontendMessage::Bind(bind) => {
                self.kept.check_portal(&bind)?;
                let name = bind.portal_name.clone();
                handler.on_bind(self.client, bind).await?;
                self.kept.add_portal(name, frame.room.take());
                Ok(())
            }
            PgWireFrontendMessage::Describe(describe) => handler.on_describe(self.client, describe).await,
            PgWireFrontendMessage::Execute(execute) => handler.on_execute(self.client, execute).await,
            PgWireFrontendMessage::Close(close) => {
                self.kept.close(&close);
                handler.on_close(self.client, close).await
            }
            PgWireFrontendMessage::Flush(flush) => handler.on_flush(self.client, flush).await,
            // The kinds that can be read are all above; Sync is answered elsewhere.
            other => Err(errors::unsupported(format!("message {other:?}"))),
        }
    }

    async fn sync(&mut self) -> PgWireResult<()> {
        self.client.set_state(PgWireConnectionState::ReadyForQuery);
        self.ready().await
    }

    /// A message was answered to its end.
    async fn ready(&mut self) -> PgWireResult<()> {
        let status = self.client.transaction_status();
        if status == TransactionStatus::Idle {
            self.close_portals();
        }
        self.session.close_message();
        send_ready_for_query(self.client, status).await
    }

    /// Portals end with their transaction, which is the message where none was begun, and with an error.
    fn close_portals(&mut self) {
        self.client.portal_store().clear_portals();
        self.kept.close_portals();
    }

    async fn fail(&mut self, kind: u8, error: PgWireError) -> io::Result<()> {
        let error = named(error);
        tracing::debug!(%error, "a Postgres statement failed");
        self.close_portals();
        let extended = message::is_extended(kind);
        if !extended {
            self.session.close_message();
        }
        process_error(self.client, error, extended).await
    }
}

pub fn canceled() -> PgWireError {
    errors::error("57014", "canceling statement due to user request")
}

/// The library's errors that have other codes or words in Postgres.
fn named(error: PgWireError) -> PgWireError {
    let said = |name: &str| if name == DEFAULT_NAME { String::new() } else { name.to_string() };
    match error {
        PgWireError::PortalNotFound(name) => {
            errors::error("34000", format!("portal \"{}\" does not exist", said(&name)))
        }
        PgWireError::StatementNotFound(name) => {
            errors::error("26000", format!("prepared statement \"{}\" does not exist", said(&name)))
        }
        other => other,
    }
}

//! One connection from its first byte to its last: start, then messages one after the other, then a proper end.
//! Messages are read while an earlier one is dealt with, so that cancel requests, good-byes and clients that are
//! gone end what runs.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use pgwire::error::PgWireError;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::auth::Peer;
use super::client::Client;
use super::conversation::Conversation;
use super::errors;
use super::receive::Incoming;
use super::session::Session;
use super::shared::Shared;
use super::startup;
use super::transmit::Outgoing;
use super::transport;

/// How long what was asked before a good-bye may take: it is answered if it is quick, since some clients say all
/// they have to say at once.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// How long a client may take to read why its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    let peer = Peer { address, shown: agreed.shown, binding: agreed.binding };
    let mut incoming = Incoming::new(agreed.reading, agreed.begun, shared.receiving.clone());
    let mut client = Client::new(Outgoing::new(agreed.writing, shared.limits.write_timeout), shared.stats.clone());

    let start = startup::start(shared, &mut incoming, &mut client, peer);
    let opened = match timeout_at(deadline, start).await {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return end(&mut client, &mut incoming, error).await,
        // Like Postgres, without a word: there is no telling what the client speaks.
        Err(_) => return Ok(()),
    };
    drop(starting);
    let told = converse(&opened.shared, &opened.session, &mut incoming, &mut client).await;
    // Whatever was kept for the client is gone by now, before it has read its last words.
    drop(opened);
    match told? {
        Some(error) => end(&mut client, &mut incoming, error).await,
        None => Ok(()),
    }
}

/// Tells a client why its connection ends, and lets it read that.
async fn end(client: &mut Client, incoming: &mut Incoming, error: PgWireError) -> io::Result<()> {
    tracing::debug!(%error, "a Postgres connection ends");
    let last = async {
        client.tell(error).await?;
        client.close().await
    };
    timeout(LAST_WORDS, last).await??;
    incoming.linger(LAST_WORDS).await;
    Ok(())
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
    let mut conversation = Conversation::new(shared, session, client, messages);
    let mut reading = std::pin::pin!(incoming.read(sender));
    let mut answering = std::pin::pin!(conversation.run());
    tokio::select! {
        told = &mut answering => told,
        () = session.terminated() => {
            Ok(Some(errors::fatal("57P01", "terminating connection due to administrator command")))
        }
        () = &mut reading => timeout(LAST_ANSWERS, answering).await.unwrap_or(Ok(None)),
    }
}

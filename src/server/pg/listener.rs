//! Accepts connections, each into a task of its own from its first byte, so that none waits for a slow one. A client
//! beyond the limit of sessions is told so (53300); sockets beyond what may be starting at once are closed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalog::Instance;
use super::connection;
use super::receive::Receiving;
use super::session::Sessions;
use super::shared::{Limits, Shared};
use super::stats::Stats;
use crate::engine::session::Engine;
use crate::past::insert::Inserter;
use crate::server::access::door::Access;

/// How long to wait where no socket can be had; out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long clients may take at shutdown to hear that their statements were ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `shutdown`; then accepts no more, and ends open connections after a short grace. Without an inserter no
/// statement writes.
pub async fn serve(
    engine: Engine,
    inserter: Option<Arc<Inserter>>,
    access: Arc<Access>,
    listener: TcpListener,
    (limits, stats): (Limits, Arc<Stats>),
    shutdown: CancellationToken,
) {
    serve_shared(Arc::new(shared(engine, inserter, access, (limits, stats), shutdown)), listener).await;
}

fn shared(
    engine: Engine,
    inserter: Option<Arc<Inserter>>,
    access: Arc<Access>,
    (limits, stats): (Limits, Arc<Stats>),
    shutdown: CancellationToken,
) -> Shared {
    let (message_bytes, budget_bytes) = (limits.message_bytes, limits.receive_bytes);
    let sessions = Arc::new(Sessions::default());
    Shared {
        access,
        catalog: Arc::new(Instance::new(sessions.clone(), engine.visible().clone())),
        engine,
        inserter,
        sessions,
        slots: Arc::new(Semaphore::new(limits.connections)),
        receiving: Arc::new(Receiving::new(message_bytes, limits.message_timeout, budget_bytes, stats.clone())),
        limits,
        stats,
        shutdown,
    }
}

async fn serve_shared(shared: Arc<Shared>, listener: TcpListener) {
    let limits = shared.limits;
    // Whoever has a session has given its place here back.
    let starting = Arc::new(Semaphore::new(2 * limits.connections.max(1)));
    let tasks = TaskTracker::new();
    let closing = CancellationToken::new();
    loop {
        let socket = tokio::select! {
            () = shared.shutdown.cancelled() => break,
            socket = accept(&listener) => socket,
        };
        shared.stats.connection();
        let Ok(place) = starting.clone().try_acquire_owned() else {
            shared.stats.refused();
            tracing::debug!("a Postgres connection was closed, as many are starting already as may");
            continue;
        };
        let (shared, closing) = (shared.clone(), closing.clone());
        tasks.spawn(async move {
            let served = AssertUnwindSafe(connection::serve(&shared, socket, place)).catch_unwind();
            tokio::select! {
                () = closing.cancelled() => {}
                served = served => match served {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a Postgres connection ended"),
                    // What went wrong has been printed where it happened.
                    Err(_) => tracing::error!("a Postgres connection ended with a panic"),
                },
            }
        });
    }
    tasks.close();
    if tokio::time::timeout(limits.drain_timeout, tasks.wait()).await.is_err() {
        // What still runs is ended, and its client told so; whoever does not listen is left.
        shared.sessions.all().iter().filter_map(std::sync::Weak::upgrade).for_each(|session| session.terminate());
        let _ = tokio::time::timeout(LAST_WORDS, tasks.wait()).await;
        closing.cancel();
        tasks.wait().await;
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) => {
                tracing::warn!(%error, "could not accept a Postgres connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;

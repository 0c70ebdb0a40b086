//! Accepts connections. A connection beyond the limit is told so (53300) instead of being dropped; a client
//! that goes away while its query runs ends the query.

use std::fmt::Debug;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::Sink;
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::cancel::CancelHandler;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ClientInfo, ErrorHandler, PgWireServerHandlers};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::process_socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::errors;
use super::handlers::Handler;
use super::session::{SERVER_VERSION, Session, Sessions};
use crate::engine::session::Engine;

/// The one database.
pub const DATABASE: &str = "promlake";
/// How long open connections may finish their statements at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// How often a running connection is checked for a client that went away.
const DISCONNECT_CHECK: Duration = Duration::from_millis(200);

/// Serves so many connections at once until `shutdown`; then accepts no more, and ends open connections after a short
/// grace.
pub async fn serve(engine: Engine, listener: TcpListener, max_connections: usize, shutdown: CancellationToken) {
    let sessions = Arc::new(Sessions::default());
    let handler = Arc::new(Handler::new(engine.clone()));
    let slots = Arc::new(Semaphore::new(max_connections));
    let tasks = TaskTracker::new();
    let closing = CancellationToken::new();
    loop {
        let socket = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(e) => {
                    tracing::warn!(error = %e, "could not accept a Postgres connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let permit = slots.clone().try_acquire_owned().ok();
        let connection = Connection {
            engine: engine.clone(),
            handler: handler.clone(),
            sessions: sessions.clone(),
            full: permit.is_none(),
            process_id: Arc::new(AtomicI32::new(0)),
        };
        let closing = closing.clone();
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = closing.cancelled() => {}
                () = connection.run(socket) => {}
            }
        });
    }
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        closing.cancel();
        tasks.wait().await;
    }
}

/// One connection's handlers.
struct Connection {
    engine: Engine,
    handler: Arc<Handler>,
    sessions: Arc<Sessions>,
    full: bool,
    process_id: Arc<AtomicI32>,
}

impl Connection {
    async fn run(self, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let (sessions, process_id) = (self.sessions.clone(), self.process_id.clone());
        let watch = watch(&socket, self.sessions.clone(), self.process_id.clone());
        let closed = Cleanup { sessions, process_id };
        if let Err(e) = process_socket(socket, None, Arc::new(self)).await {
            tracing::debug!(error = %e, "Postgres connection ended");
        }
        watch.abort();
        drop(closed);
    }
}

/// Forgets the session and stops its statement, however the connection ends.
struct Cleanup {
    sessions: Arc<Sessions>,
    process_id: Arc<AtomicI32>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let id = self.process_id.load(Ordering::Relaxed);
        self.sessions.stop(id);
        self.sessions.remove(id);
    }
}

/// Peeks at a duplicate of the socket: the protocol library does not read while a statement runs, so it would
/// not notice that the client is gone.
fn watch(socket: &TcpStream, sessions: Arc<Sessions>, process_id: Arc<AtomicI32>) -> tokio::task::JoinHandle<()> {
    let duplicate =
        socket.as_fd().try_clone_to_owned().and_then(|fd| TcpStream::from_std(std::net::TcpStream::from(fd)));
    tokio::spawn(async move {
        let Ok(socket) = duplicate else { return };
        loop {
            tokio::time::sleep(DISCONNECT_CHECK).await;
            let mut byte = [0u8; 1];
            let peeked = tokio::time::timeout(Duration::from_millis(10), socket.peek(&mut byte)).await;
            if matches!(peeked, Ok(Ok(0) | Err(_))) {
                sessions.stop(process_id.load(Ordering::Relaxed));
                return;
            }
        }
    })
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.handler.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.handler.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(Startup {
            engine: self.engine.clone(),
            sessions: self.sessions.clone(),
            full: self.full,
            process_id: self.process_id.clone(),
        })
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(LogErrors)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(Cancel { sessions: self.sessions.clone() })
    }
}

struct LogErrors;

impl ErrorHandler for LogErrors {
    fn on_error<C: ClientInfo>(&self, _client: &C, error: &mut PgWireError) {
        tracing::debug!(%error, "Postgres statement failed");
    }
}

struct Cancel {
    sessions: Arc<Sessions>,
}

#[async_trait]
impl CancelHandler for Cancel {
    async fn on_cancel_request(&self, request: CancelRequest) {
        self.sessions.cancel(request.pid, &request.secret_key.to_bytes());
    }
}

struct Startup {
    engine: Engine,
    sessions: Arc<Sessions>,
    full: bool,
    process_id: Arc<AtomicI32>,
}

/// Process ids are handed out in sequence over the life of the server.
static NEXT_PROCESS_ID: AtomicI32 = AtomicI32::new(1);

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let PgWireFrontendMessage::Startup(ref startup) = message else { return Ok(()) };
        if self.full {
            return Err(fatal("53300", "sorry, too many clients already"));
        }
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        let metadata = client.metadata().clone();
        let user = metadata.get("user").cloned().unwrap_or_default();
        check_database(metadata.get("database").unwrap_or(&user), &user)?;

        let id = NEXT_PROCESS_ID.fetch_add(1, Ordering::Relaxed);
        let secret = SecretKey::I32(fastrand::i32(..));
        let session = Arc::new(Session::new(user, id, super::catalog::context(&self.engine)));
        configure(&session, &metadata)?;
        super::catalog::install(&session);
        self.process_id.store(id, Ordering::Relaxed);
        self.sessions.add(id, secret.to_bytes().to_vec(), session.clone());
        client.set_pid_and_secret_key(id, secret);
        client.session_extensions().insert(session.clone());

        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = SERVER_VERSION.to_string();
        parameters.time_zone = session.time_zone().name().to_string();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        finish_authentication(client, &parameters).await?;
        Ok(())
    }
}

fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    match errors::error(code, message) {
        PgWireError::UserError(mut info) => {
            info.severity = "FATAL".into();
            PgWireError::UserError(info)
        }
        other => other,
    }
}

/// Clients name a database: ours, their own user name (psql's default), or `postgres` (what tools try first).
fn check_database(name: &str, user: &str) -> PgWireResult<()> {
    if name.is_empty() || name == DATABASE || name == "postgres" || name == user {
        return Ok(());
    }
    Err(fatal("3D000", format!("database \"{name}\" does not exist")))
}

/// Start-up parameters and `options=-c name=value` become settings.
fn configure(session: &Session, metadata: &std::collections::HashMap<String, String>) -> PgWireResult<()> {
    const NOT_SETTINGS: &[&str] = &["user", "database", "options", "replication"];
    for (name, value) in metadata {
        if !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.") {
            session.set(name, Some(value))?;
        }
    }
    let options = metadata.get("options").map(String::as_str).unwrap_or("");
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or(""),
            Some(rest) => rest,
            None => return Err(fatal("42601", format!("unrecognized option \"{word}\""))),
        };
        let Some((name, value)) = setting.split_once('=') else {
            return Err(fatal("42601", format!("option \"{setting}\" has no value")));
        };
        session.set(name, Some(value))?;
    }
    Ok(())
}

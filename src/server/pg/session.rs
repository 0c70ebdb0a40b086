//! What the functions and relations of a connection know of it: who it is, its settings, its DataFusion context; and what
//! ends the message that it deals with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use parking_lot::{Mutex, MutexGuard};
use pgwire::error::PgWireResult;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::errors;
use super::locks::Locks;
use super::notices::Notices;
use super::settings::table;
use super::settings::values::Settings;
use super::settings::zone::Zone;
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::zone;
use crate::server::access::door::{Grant, Role};

/// The one database.
pub const DATABASE: &str = "promlake";

/// The schemas there are.
const SCHEMAS: &[&str] = &["public", "promlake", "external", "pg_catalog", "information_schema"];

/// State of one connection.
pub struct Session {
    pub user: String,
    pub process_id: i32,
    context: SessionContext,
    pub began: Instant,
    /// What it does, for those who watch.
    pub activity: Activity,
    /// What the statement that ended has to say besides its rows.
    pub notices: Notices,
    /// `None` where there are no roles.
    grant: Option<Grant>,
    /// Users with their roles, as far as this one may know them.
    members: Vec<(String, Role)>,
    settings: Mutex<Settings>,
    /// Ends the message that is dealt with.
    message: Mutex<Option<CancellationToken>>,
    /// Ends the connection.
    terminated: CancellationToken,
}

impl Session {
    /// `may_write` where the server allows INSERT.
    pub fn new(user: String, process_id: i32, context: SessionContext, may_write: bool) -> Self {
        Self {
            settings: Mutex::new(Settings::new(&user, may_write)),
            user,
            process_id,
            context,
            began: Instant::now(),
            activity: Activity::default(),
            notices: Notices::default(),
            grant: None,
            members: vec![],
            message: Mutex::new(None),
            terminated: CancellationToken::new(),
        }
    }

    /// The same with what its user was given, which holds for as long as the session lasts.
    pub fn granted(self, grant: Option<Grant>, members: Vec<(String, Role)>) -> Self {
        Self { grant, members, ..self }
    }

    /// Users with their roles, as far as this one may know them; none where there are no roles.
    pub fn members(&self) -> &[(String, Role)] {
        &self.members
    }

    /// Whether the user's role allows to write, wherever the server allows it.
    ///
    /// # Errors
    /// 42501 where it does not, and where the user may not see what it would be compared with.
    pub fn check_writer(&self) -> PgWireResult<()> {
        let Some(grant) = &self.grant else { return Ok(()) };
        match Some(grant.role).filter(|role| *role < Role::Writer) {
            None if grant.allowed.metrics.is_some() => {
                let text = "permission denied: what is written is compared with what is stored, of which the user's role \
                            may see some series only (metrics)";
                Err(errors::error("42501", text))
            }
            None => Ok(()),
            Some(role) => {
                let needed = Role::Writer;
                let text =
                    format!("permission denied: this takes the role {needed}, and the user has the role {role}");
                Err(errors::error("42501", text))
            }
        }
    }

    /// DataFusion's side of the session, which reads and shows times in the zone that it has now.
    pub fn context(&self) -> &SessionContext {
        zone::set(&self.context, self.zone());
        &self.context
    }

    /// What times in the client's words are read by.
    pub fn now(&self) -> Now {
        Now::of(&self.context().state())
    }

    /// The settings, for a moment.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock()
    }

    /// Whether INSERT is allowed, by the server and by the settings of the client.
    pub fn writes(&self) -> bool {
        self.settings().writes()
    }

    pub fn show(&self, name: &str) -> PgWireResult<String> {
        self.settings().show(name)
    }

    pub fn zone(&self) -> Zone {
        self.settings().zone()
    }

    /// The client's, at most that of its role; `None` for no timeout.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let own = self.settings().time(table::STATEMENT_TIMEOUT);
        let most = self.grant.as_ref().and_then(|grant| grant.allowed.statement_timeout);
        own.into_iter().chain(most).min()
    }

    /// A message begins: a simple query, or in the extended protocol everything up to Sync. A cancel request ends
    /// all of it, whichever of its statements runs.
    pub fn open_message(&self) -> CancellationToken {
        self.message.lock().get_or_insert_with(CancellationToken::new).clone()
    }

    /// The message was answered; a cancel request that comes now is too late for it and too early for the next.
    pub fn close_message(&self) {
        *self.message.lock() = None;
    }

    /// Cancels the message that is dealt with, if any.
    pub fn cancel(&self) {
        if let Some(message) = &*self.message.lock() {
            message.cancel();
        }
    }

    /// Whether it may see what another session does, and end it.
    pub fn sees(&self, other: &Self) -> bool {
        self.user == other.user || self.grant.as_ref().is_some_and(|grant| grant.role == Role::Admin)
    }

    /// Asks the connection to end, as `pg_terminate_backend` does.
    pub fn terminate(&self) {
        self.terminated.cancel();
    }

    /// Waits until somebody has asked for the end.
    pub async fn terminated(&self) {
        self.terminated.cancelled().await;
    }

    /// The schemas a name without one is looked up in, in order. Names of schemas there are none of are passed
    /// over, as Postgres does.
    pub fn search_path(&self) -> Vec<&'static str> {
        let path = self.show(table::SEARCH_PATH).unwrap_or_default();
        let known = |name: &str| {
            let name = name.trim();
            let folded = match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
                Some(quoted) => quoted.to_string(),
                None => name.to_ascii_lowercase(),
            };
            // "$user" is none of them: nobody has a schema of his own, and who is called as one of ours finds metrics first as well.
            SCHEMAS.iter().copied().find(|schema| *schema == folded)
        };
        let mut schemas: Vec<&'static str> = vec![];
        for schema in path.split(',').filter_map(known) {
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        schemas
    }
}

/// A session and the secret a cancel request must show.
type Open = (Bytes, Arc<Session>);

/// The sessions of all connections, by process id.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<i32, Open>>,
    last_process_id: AtomicI32,
    /// What clients agree on.
    pub locks: Arc<Locks>,
}

impl Sessions {
    /// Ids are handed out in sequence over the life of the server.
    pub fn next_process_id(&self) -> i32 {
        self.last_process_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// A session is known until what this returns is dropped.
    pub fn add(self: &Arc<Self>, process_id: i32, secret: Bytes, session: Arc<Session>) -> Registered {
        self.locks.begin_session(process_id);
        self.open.lock().insert(process_id, (secret, session));
        Registered { sessions: self.clone(), process_id }
    }

    /// The sessions there are, without keeping them.
    pub fn all(&self) -> Vec<std::sync::Weak<Session>> {
        self.open.lock().values().map(|(_, session)| Arc::downgrade(session)).collect()
    }

    /// Cancels the session's message if the secret is right; says nothing otherwise, as Postgres does.
    pub fn cancel(&self, process_id: i32, secret: &[u8]) {
        if let Some((expected, session)) = self.open.lock().get(&process_id)
            && same_secret(expected, secret)
        {
            session.cancel();
        }
    }
}

/// A session's place among all; stops its message when the connection ends, however it does.
pub struct Registered {
    sessions: Arc<Sessions>,
    process_id: i32,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some((_, session)) = self.sessions.open.lock().remove(&self.process_id) {
            session.cancel();
        }
        self.sessions.locks.end_session(self.process_id);
    }
}

/// Takes as long for a wrong secret as for a right one; the length is no secret.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::super::settings::values::Scope;
    use super::*;

    #[test]
    fn a_cancel_request_ends_the_message_and_no_other() {
        let sessions = Arc::new(Sessions::default());
        let session = Arc::new(Session::new("x".into(), 1, SessionContext::new(), false));
        let registered = sessions.add(1, Bytes::from_static(b"secret"), session.clone());
        sessions.cancel(1, b"secret");
        let message = session.open_message();
        // Every statement of the message has its token.
        assert!(!message.is_cancelled() && !session.open_message().is_cancelled());
        for (id, secret) in [(1, &b"secre"[..]), (1, b"secret2"), (1, b"Secret"), (1, b""), (2, b"secret")] {
            sessions.cancel(id, secret);
            assert!(!message.is_cancelled(), "{id} {secret:?}");
        }
        sessions.cancel(1, b"secret");
        assert!(message.is_cancelled() && session.open_message().is_cancelled());
        session.close_message();
        let next = session.open_message();
        assert!(!next.is_cancelled());
        drop(registered);
        assert!(next.is_cancelled());
        assert_eq!(Arc::strong_count(&session), 1);
    }

    #[test]
    fn search_paths() {
        let check = |path: &str, expected: &[&str]| {
            let session = Session::new("reader".into(), 1, SessionContext::new(), false);
            session.settings().set("search_path", Some(path), Scope::Session).unwrap();
            assert_eq!(session.search_path(), expected, "{path}");
        };
        check("\"$user\", public", &["public"]);
        check("Promlake, nope,\"public\", public", &["promlake", "public"]);
        check("\"Promlake\"", &[]);
        check("", &[]);
        let session = Session::new("promlake".into(), 1, SessionContext::new(), false);
        assert_eq!(session.search_path(), ["public"]);
    }
}

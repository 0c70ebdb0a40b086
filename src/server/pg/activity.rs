//! What a connection does, for `pg_stat_activity`: its state, its last statement, and since when.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use pgwire::messages::response::TransactionStatus;

use crate::server::access::shown::Shown;

/// Bytes of a statement that are kept, PostgreSQL's `track_activity_query_size` (with the zero at its end there).
const QUERY_BYTES: usize = 1023;

pub struct Activity {
    peer: OnceLock<(SocketAddr, Option<Arc<Shown>>)>,
    now: Mutex<Doing>,
}

/// At one moment.
#[derive(Clone)]
pub struct Doing {
    pub state: State,
    /// The statement that runs, or ran last.
    pub query: String,
    pub query_start: Option<Instant>,
    pub transaction_start: Option<Instant>,
    pub state_change: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Idle,
    InTransaction,
    Aborted,
}

impl State {
    /// In PostgreSQL's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::InTransaction => "idle in transaction",
            Self::Aborted => "idle in transaction (aborted)",
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        let doing = Doing {
            state: State::Idle,
            query: String::new(),
            query_start: None,
            transaction_start: None,
            state_change: Instant::now(),
        };
        Self { peer: OnceLock::new(), now: Mutex::new(doing) }
    }
}

impl Activity {
    /// From where the client comes, told once.
    pub fn connected(&self, peer: SocketAddr, shown: Option<Arc<Shown>>) {
        // It is told at the start, and nowhere else.
        let _ = self.peer.set((SocketAddr::new(peer.ip().to_canonical(), peer.port()), shown));
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.get().map(|(peer, _)| *peer)
    }

    /// What the connection has shown by TLS.
    pub fn shown(&self) -> Option<Arc<Shown>> {
        self.peer.get().and_then(|(_, shown)| shown.clone())
    }

    pub fn now(&self) -> Doing {
        self.now.lock().clone()
    }

    /// A message is dealt with.
    pub fn begin(&self) {
        let now = Instant::now();
        let mut doing = self.now.lock();
        if doing.state != State::Active {
            (doing.state, doing.state_change) = (State::Active, now);
        }
        doing.transaction_start.get_or_insert(now);
    }

    /// A statement of the message.
    pub fn run(&self, text: &str) {
        let now = Instant::now();
        let kept = kept(text);
        let mut doing = self.now.lock();
        doing.query.clear();
        doing.query.push_str(kept);
        doing.query_start = Some(now);
    }

    /// The message is answered.
    pub fn end(&self, status: TransactionStatus) {
        let now = Instant::now();
        let mut doing = self.now.lock();
        doing.state = match status {
            TransactionStatus::Idle => State::Idle,
            TransactionStatus::Transaction => State::InTransaction,
            TransactionStatus::Error => State::Aborted,
        };
        doing.state_change = now;
        if doing.state == State::Idle {
            doing.transaction_start = None;
        }
    }
}

/// So much of a statement as is told.
pub fn kept(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUERY_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_one_statement_to_the_next() {
        let activity = Activity::default();
        let check = |state: &str, query: &str, in_transaction: bool| {
            let now = activity.now();
            assert_eq!((now.state.name(), now.query.as_str()), (state, query));
            assert_eq!(now.transaction_start.is_some(), in_transaction, "{state} {query}");
        };
        check("idle", "", false);
        activity.begin();
        activity.run("BEGIN");
        check("active", "BEGIN", true);
        activity.end(TransactionStatus::Transaction);
        check("idle in transaction", "BEGIN", true);
        let began = activity.now().transaction_start;
        activity.begin();
        activity.run("SELECT nope");
        activity.end(TransactionStatus::Error);
        check("idle in transaction (aborted)", "SELECT nope", true);
        assert_eq!(activity.now().transaction_start, began);
        activity.begin();
        activity.run("ROLLBACK");
        activity.end(TransactionStatus::Idle);
        check("idle", "ROLLBACK", false);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let activity = Activity::default();
        activity.run(&"ü".repeat(2000));
        assert_eq!(activity.now().query.len(), QUERY_BYTES - 1);
        activity.run("short");
        assert_eq!(activity.now().query, "short");
        activity.connected("[::ffff:192.0.2.1]:5432".parse().unwrap(), None);
        activity.connected("192.0.2.9:1".parse().unwrap(), None);
        assert_eq!(activity.peer().unwrap().to_string(), "192.0.2.1:5432");
    }
}

//! What the Postgres listener counts: connections, statements, errors by SQLSTATE, bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::telemetry::metrics::{Family, Kind};

/// Codes that are told apart. There are fewer; what comes beyond is counted as [`OTHER`].
const MAX_CODES: usize = 256;
const OTHER: &str = "other";

/// Counted since the process began.
#[derive(Default)]
pub struct Stats {
    connections: AtomicU64,
    /// Closed without a word, as too many were starting.
    refused: AtomicU64,
    /// Those there are now.
    sessions: AtomicU64,
    sessions_begun: AtomicU64,
    statements: AtomicU64,
    /// As clients see them, encrypted or not: without what TLS adds.
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
}

/// A session that is counted for as long as this is there.
pub struct Counted(Arc<Stats>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Stats {
    pub fn connection(&self) {
        add(&self.connections, 1);
    }

    pub fn refused(&self) {
        add(&self.refused, 1);
    }

    pub fn statement(&self) {
        add(&self.statements, 1);
    }

    /// So many, of which none is the end.
    pub fn received(&self, bytes: usize) -> usize {
        add(&self.received_bytes, bytes);
        bytes
    }

    /// # Errors
    /// Where nothing could be sent.
    pub fn sent(&self, bytes: usize) -> io::Result<()> {
        add(&self.sent_bytes, bytes);
        if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    pub fn session(self: &Arc<Self>) -> Counted {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.sessions_begun.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// An error that a client is told.
    pub fn error(&self, code: &str) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if errors.len() < MAX_CODES { code } else { OTHER };
        *errors.entry(code.to_string()).or_default() += 1;
    }

    pub fn families(&self) -> Vec<Family> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let counter = |name, help, value| Family::counter(name, help, get(value));
        let help = "Errors that Postgres clients were told, by SQLSTATE";
        let errors = Family::labelled("promlake_postgres_errors", help, Kind::Counter);
        let counted = self.errors.lock();
        let errors = counted.iter().fold(errors, |family, (code, n)| family.with(&[("sqlstate", code)], *n as f64));
        vec![
            counter(
                "promlake_postgres_connections",
                "Connections of Postgres clients, of whatever became of them",
                &self.connections,
            ),
            counter(
                "promlake_postgres_refused_connections",
                "Connections of Postgres clients that were closed at once, as too many were starting",
                &self.refused,
            ),
            Family::gauge(
                "promlake_postgres_sessions",
                "Sessions of Postgres clients there are",
                get(&self.sessions),
            ),
            counter(
                "promlake_postgres_begun_sessions",
                "Sessions of Postgres clients that began",
                &self.sessions_begun,
            ),
            counter(
                "promlake_postgres_statements",
                "Statements of Postgres clients that ended well",
                &self.statements,
            ),
            errors,
            counter(
                "promlake_postgres_received_bytes",
                "Bytes of messages from Postgres clients",
                &self.received_bytes,
            ),
            counter("promlake_postgres_sent_bytes", "Bytes of messages to Postgres clients", &self.sent_bytes),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_bounded() {
        let stats = Stats::default();
        for n in 0..2 * MAX_CODES {
            stats.error(&format!("{n:05}"));
        }
        stats.error("00000");
        let errors = stats.errors.lock();
        assert_eq!(errors.len(), MAX_CODES + 1);
        assert_eq!((errors["00000"], errors[OTHER]), (2, MAX_CODES as u64));
    }

    #[test]
    fn sessions_are_counted_while_they_last() {
        let stats = Arc::new(Stats::default());
        let counted = (stats.session(), stats.session());
        assert_eq!(stats.sessions.load(Ordering::Relaxed), 2);
        drop(counted);
        assert_eq!((stats.sessions.load(Ordering::Relaxed), stats.sessions_begun.load(Ordering::Relaxed)), (0, 2));
    }
}

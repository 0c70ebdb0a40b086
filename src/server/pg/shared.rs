//! What connections have in common.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::catalog::Instance;
use super::receive::Receiving;
use super::session::Sessions;
use super::stats::Stats;
use crate::engine::session::Engine;
use crate::past::insert::Inserter;
use crate::server::access::door::{Access, Grant};

/// What all connections share.
#[derive(Clone)]
pub struct Shared {
    pub engine: Engine,
    /// Writes samples, where that is allowed.
    pub inserter: Option<Arc<Inserter>>,
    /// Who may have one.
    pub access: Arc<Access>,
    pub sessions: Arc<Sessions>,
    /// What is shared by their catalogs.
    pub catalog: Arc<Instance>,
    /// One for each session.
    pub slots: Arc<Semaphore>,
    pub receiving: Arc<Receiving>,
    pub limits: Limits,
    pub stats: Arc<Stats>,
    /// Asked to end: sessions do when they have answered.
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The same for a client with a role. One that does not see everything has a catalog of its own.
    pub fn within(&self, user: &str, grant: &Grant) -> Self {
        let engine = self.engine.within(user, grant);
        let sees_a_part = engine.visible().is_part() || grant.allowed.external_tables.is_some();
        let catalog = match sees_a_part {
            true => Arc::new(Instance::new(self.sessions.clone(), engine.visible().clone())),
            false => self.catalog.clone(),
        };
        Self { engine, catalog, ..self.clone() }
    }
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions at once. Twice as many may be starting, send cancel requests, or be told that there are too many.
    pub connections: usize,
    /// From the first byte to the session; Postgres' `authentication_timeout`.
    pub startup_timeout: Duration,
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// For all long messages being received or kept as values of portals, together; no message is longer. Those of
    /// up to 256 KiB are bounded by the number of connections.
    pub receive_bytes: usize,
    /// For a message to arrive, once begun.
    pub message_timeout: Duration,
    /// For a client to take anything of what is sent to it.
    pub write_timeout: Duration,
    /// For statements to end at shutdown; after that they are ended, and clients are told. Idle sessions end at once.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100,
            startup_timeout: Duration::from_secs(60),
            message_bytes: 64 << 20,
            receive_bytes: 256 << 20,
            message_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(4),
        }
    }
}

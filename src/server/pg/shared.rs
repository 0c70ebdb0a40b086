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
use crate::server::access::door::Access;

/// What all connections share.
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

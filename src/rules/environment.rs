//! What evaluation needs of everybody else: answers to queries, a place for results, and who sends alerts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::engine::query_log::Origin;
use crate::engine::session::{Engine, EvalTime, Point, QueryRequest, QueryValue};
use crate::engine::together::Form;
use crate::error::{Error, Result};
use crate::ingest::appender::Appender;
use crate::model::alert::Alert;
use crate::model::labels::Labels;
use crate::promql::ast::Expr;
use crate::rules::history::History;
use crate::rules::stats::Stats;
use crate::storage::store::Clock;
use crate::template::subject::Server;

/// Flags of rules; Prometheus' of the same names.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long ago an alert may have been active to go on waiting after a restart.
    pub outage_tolerance: Duration,
    /// Alerts with a `for` below this begin anew after a restart, and all others wait at least this long.
    pub grace_period: Duration,
    /// How long an alert that fires need not be told again.
    pub resend_delay: Duration,
    /// Rules evaluated side by side, of all groups; `None` for one after the other within a group.
    pub concurrent: Option<usize>,
}

/// Prometheus' defaults.
impl Default for Options {
    fn default() -> Self {
        Self {
            outage_tolerance: Duration::from_secs(3600),
            grace_period: Duration::from_secs(600),
            resend_delay: Duration::from_secs(60),
            concurrent: None,
        }
    }
}

/// Where alerts go. Called while a group is evaluated, so it waits for nobody.
pub type Send = Arc<dyn Fn(Vec<Alert>) + std::marker::Send + Sync>;

/// What an expression yields.
pub(super) type Vector = Vec<(Labels, Point)>;

/// Shared by all groups.
pub struct Environment {
    engine: Engine,
    pub appender: Arc<Appender>,
    pub send: Send,
    /// Where changes of the states of alerts go.
    pub history: Arc<History>,
    pub clock: Clock,
    pub options: Options,
    pub stats: Arc<Stats>,
    /// What templates know of this server, and links begin with.
    server: RwLock<Arc<Server>>,
    /// `rule_query_offset` of the configuration.
    query_offset_ms: AtomicI64,
    /// Between two scrapes, unless a job says otherwise.
    scrape_interval_ms: AtomicI64,
    slots: Option<Semaphore>,
}

impl Environment {
    /// `engine` is one whose slots nobody else takes.
    pub fn new(
        engine: Engine,
        appender: Arc<Appender>,
        send: Send,
        history: Arc<History>,
        clock: Clock,
        options: Options,
    ) -> Self {
        let slots = options.concurrent.map(|slots| Semaphore::new(slots.max(1)));
        Self {
            engine,
            appender,
            send,
            history,
            clock,
            options,
            stats: Arc::default(),
            server: RwLock::default(),
            query_offset_ms: AtomicI64::new(0),
            scrape_interval_ms: AtomicI64::new(0),
            slots,
        }
    }

    /// Of a configuration that comes into force.
    pub fn set(&self, server: Server, query_offset_ms: i64, scrape_interval_ms: i64) {
        *self.server.write() = Arc::new(server);
        self.query_offset_ms.store(query_offset_ms, Ordering::Relaxed);
        self.scrape_interval_ms.store(scrape_interval_ms, Ordering::Relaxed);
    }

    pub fn server(&self) -> Arc<Server> {
        self.server.read().clone()
    }

    pub fn query_offset_ms(&self) -> i64 {
        self.query_offset_ms.load(Ordering::Relaxed)
    }

    pub fn scrape_interval_ms(&self) -> i64 {
        self.scrape_interval_ms.load(Ordering::Relaxed)
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Those of rules side by side, if they are.
    pub fn slots(&self) -> Option<&Semaphore> {
        self.slots.as_ref()
    }

    /// The vectors of several expressions, each with its form, at one time; `None` for those that are to be asked alone.
    pub async fn ask_together(&self, at: i64, asked: &[(&Arc<Form>, &Expr)]) -> Vec<Option<Vector>> {
        self.engine.vectors(at, asked).await
    }

    /// The vector of an expression at a time; a scalar is an element without labels. `expr` is that of the text, if it was
    /// parsed already; `origin` is who asks, for the log of queries.
    pub async fn ask(
        &self,
        text: &str,
        expr: Option<&Arc<Expr>>,
        at: i64,
        origin: Option<&Arc<Origin>>,
    ) -> Result<Vector> {
        let request = QueryRequest {
            parsed: expr.cloned(),
            origin: origin.cloned(),
            ..QueryRequest::new(text, EvalTime::Instant { at })
        };
        match self.engine.promql(request, |response| response.value).await? {
            QueryValue::Vector(series) => {
                let point = |mut points: Vec<(i64, Point)>| points.pop().map(|(_, point)| point);
                Ok(series.into_iter().filter_map(|one| Some((one.labels, point(one.points)?))).collect())
            }
            QueryValue::Scalar(_, value) => Ok(vec![(Labels::empty(), Point::Float(value))]),
            QueryValue::String(..) | QueryValue::Matrix(_) => {
                Err(Error::execution("rule result is not a vector or scalar"))
            }
        }
    }
}

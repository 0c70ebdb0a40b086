//! Requests for the rows of a statement, through the engine's door: until as many are there as were asked for, the end, a
//! cancel request, a deadline, or the client's disconnect, whichever is first. They come over a bounded channel as encoded
//! messages; dropping the receiver ends the work.
//!
//! What was asked for and no more holds a slot: between two requests the rest of the rows waits in its [`Source`], without
//! one. The clock runs while it is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use pgwire::error::{PgWireError, PgWireResult};
use tokio_util::sync::CancellationToken;

use super::source::{Back, Motion, Shape, Source};
use super::writer::{Encoder, Part, Writer};
use super::{cooperate, errors};
use crate::engine::door::{Answer, Limits, Pass};
use crate::engine::promql::cancel::Cancel;
use crate::engine::session::Engine;
use crate::telemetry::spans;

/// Encoded parts that may wait for the client; this and their size bound a slow reader's memory.
const WAITING_PARTS: usize = 2;

/// What Postgres says, and what it would say of our flag.
const STATEMENT_TIMEOUT: &str = "canceling statement due to statement timeout";
const QUERY_TIMEOUT: &str = "canceling statement due to the server's --query.timeout";

/// The time a statement has, from when it begins.
#[derive(Clone, Copy)]
pub struct Clock {
    until: Instant,
    too_late: &'static str,
}

impl Clock {
    /// The session's timeout, at most the server's.
    pub fn start(engine: &Engine, timeout: Option<Duration>) -> Self {
        let most = engine.options.timeout;
        let is_own = timeout.is_some_and(|t| t <= most);
        let too_late = if is_own { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT };
        Self { until: Instant::now() + timeout.map_or(most, |t| t.min(most)), too_late }
    }

    /// What is left of it, and a token that ends the statement.
    pub fn limits(&self, engine: &Engine, canceled: CancellationToken) -> Limits {
        let left = self.until.saturating_duration_since(Instant::now());
        Limits { too_late: self.too_late, canceled, ..engine.limits(Some(left)) }
    }
}

/// Where rows come from.
pub enum Begin {
    /// Those of a plan, to be scrolled through or not.
    Plan { context: SessionContext, plan: LogicalPlan, shape: Shape, back: Back },
    /// What was begun.
    Rest(Source),
}

/// What is asked for: where to go, and how to write the rows that are there, if anybody wants them.
pub struct Request {
    pub motion: Motion,
    pub encoder: Option<Encoder>,
}

/// A request for rows that is dealt with: it has the slot, the deadline, the flag and the task, and tells the end from what
/// is no end. A connection has one at a time.
pub struct Running {
    answer: Answer<Part, PgWireError>,
    /// What is left of the rows, and how many were passed, when the work has ended well.
    rest: Arc<Mutex<Option<(Source, u64)>>>,
}

impl Running {
    /// What is there is sent without the engine.
    pub fn start(engine: &Engine, begin: Begin, request: Request, limits: Limits) -> Self {
        let rest: Arc<Mutex<Option<(Source, u64)>>> = Arc::default();
        let kept = rest.clone();
        let span = spans::span("sqlExec");
        let max_rows = engine.max_rows();
        let answer = match begin {
            Begin::Rest(source) if source.is_whole() => Answer::start(WAITING_PARTS, move |parts| async move {
                *kept.lock() = Some(go(source, request, parts, None).await?);
                Ok(())
            }),
            begin => engine.stream(limits, WAITING_PARTS, move |pass, parts| async move {
                let work = async {
                    let source = open(begin, &pass, max_rows).await?;
                    *kept.lock() = Some(go(source, request, parts, Some(&pass)).await?);
                    Ok(())
                };
                let sent: PgWireResult<()> = span.around(work).await;
                if let Err(error) = &sent {
                    span.failed(|| error.to_string());
                }
                sent
            }),
        };
        Self { answer, rest }
    }

    /// The next part; `None` at the end of what was asked for.
    pub async fn next(&mut self) -> Option<PgWireResult<Part>> {
        self.answer.next().await
    }

    /// What is left, and how many rows were passed, after the end.
    pub fn rest(self) -> Option<(Source, u64)> {
        self.rest.lock().take()
    }
}

async fn open(begin: Begin, pass: &Pass, max_rows: Option<u64>) -> PgWireResult<Source> {
    match begin {
        Begin::Plan { context, plan, shape, back } => {
            let batches = cooperate::rows(&context, plan, pass).await.map_err(errors::datafusion)?;
            Ok(Source::new(batches, shape, back).at_most(max_rows))
        }
        Begin::Rest(source) => Ok(source),
    }
}

async fn go(
    mut source: Source,
    request: Request,
    parts: tokio::sync::mpsc::Sender<Part>,
    pass: Option<&Pass>,
) -> PgWireResult<(Source, u64)> {
    let mut writer = request.encoder.map(|encoder| Writer::new(encoder, parts));
    let passed = source.go(request.motion, writer.as_mut(), pass).await?;
    Ok((source, passed))
}

/// The flag a statement's PromQL was planned with, or one of its own.
pub fn with_flag(limits: Limits, flag: Option<&Cancel>) -> Limits {
    Limits { flag: flag.cloned().unwrap_or_default(), ..limits }
}

//! Plans and runs statements through the engine's door, until the end, a cancel request, a deadline, or the client's
//! disconnect, whichever is first. Rows come over a bounded channel; dropping the stream ends the work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::{Stream, StreamExt};
use pgwire::api::results::FieldInfo;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::data::DataRow;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::statement::explain_schema;
use super::{encode, errors};
use crate::engine::door::{Answer, Limits};
use crate::engine::session::Engine;
use crate::engine::sql::promql::StatementPromql;
use crate::telemetry::spans;

/// Encoded batches that may wait for the client; with batches of 8,192 rows this bounds a slow reader's memory.
const WAITING_BATCHES: usize = 2;

/// What Postgres says, and what it would say of our flag.
const STATEMENT_TIMEOUT: &str = "canceling statement due to statement timeout";
const QUERY_TIMEOUT: &str = "canceling statement due to the server's --query.timeout";

pub type Rows = Pin<Box<dyn Stream<Item = PgWireResult<DataRow>> + Send>>;

/// How batches become rows of the answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    AsIs,
    /// DataFusion's `plan_type, plan` as lines of one column.
    Explain,
}

/// The limits of a statement: its session's timeout, at most the server's, and a token that cancels it.
pub fn limits(engine: &Engine, timeout: Option<Duration>, canceled: CancellationToken) -> Limits {
    let is_own = timeout.is_some_and(|t| t <= engine.options.timeout);
    let too_late = if is_own { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT };
    Limits { too_late, canceled, ..engine.limits(timeout) }
}

/// The rows of a plan, encoded in the formats of `fields`. It starts when the first one is asked for: statements of
/// one message run one after the other, and none waits for a slot that an unread one before it has. Settings are
/// those of now.
pub fn start(
    engine: &Engine,
    session: &Arc<Session>,
    plan: LogicalPlan,
    fields: Arc<Vec<FieldInfo>>,
    shape: Shape,
    promql: Arc<Vec<StatementPromql>>,
) -> Rows {
    let encoder = Encoder { fields, shape, zone: session.time_zone() };
    let timeout = session.statement_timeout();
    let (engine, session) = (engine.clone(), Arc::clone(session));
    let begin = async move {
        let mut limits = limits(&engine, timeout, session.begin());
        // The flag its plan was made with.
        limits.flag = promql.first().map_or(limits.flag, |first| first.flag().clone());
        promql.iter().for_each(StatementPromql::begin);
        let context = session.context.clone();
        let span = spans::span("sqlExec");
        let answer = engine.stream(limits, WAITING_BATCHES, move |pass, parts| async move {
            let _pass = pass;
            let sent = span.around(send(context, plan, encoder, parts)).await;
            if let Err(error) = &sent {
                span.failed(|| error.to_string());
            }
            sent
        });
        futures::stream::unfold(Some(Receiving { answer, rows: Vec::new().into_iter(), promql, session }), receive)
    };
    Box::pin(futures::stream::once(begin).flatten())
}

/// From batches to rows.
struct Encoder {
    fields: Arc<Vec<FieldInfo>>,
    shape: Shape,
    zone: chrono_tz::Tz,
}

impl Encoder {
    fn rows(&self, batch: RecordBatch) -> PgWireResult<Vec<DataRow>> {
        match self.shape {
            Shape::AsIs => encode::rows(&batch, &self.fields, self.zone),
            Shape::Explain => encode::rows(&explain_lines(&batch)?, &self.fields, self.zone),
        }
    }
}

/// Runs a plan on the query threads and sends its rows.
async fn send(
    context: SessionContext,
    plan: LogicalPlan,
    encoder: Encoder,
    parts: mpsc::Sender<Vec<DataRow>>,
) -> PgWireResult<()> {
    let frame = context.execute_logical_plan(plan).await.map_err(errors::datafusion)?;
    let mut batches = frame.execute_stream().await.map_err(errors::datafusion)?;
    while let Some(batch) = batches.next().await {
        let rows = encoder.rows(batch.map_err(errors::datafusion)?)?;
        if parts.send(rows).await.is_err() {
            // Nobody waits any more.
            break;
        }
    }
    Ok(())
}

struct Receiving {
    answer: Answer<Vec<DataRow>, PgWireError>,
    rows: std::vec::IntoIter<DataRow>,
    promql: Arc<Vec<StatementPromql>>,
    session: Arc<Session>,
}

async fn receive(state: Option<Receiving>) -> Option<(PgWireResult<DataRow>, Option<Receiving>)> {
    let mut state = state?;
    loop {
        if let Some(row) = state.rows.next() {
            return Some((Ok(row), Some(state)));
        }
        match state.answer.next().await {
            Some(Ok(rows)) => state.rows = rows.into_iter(),
            Some(Err(e)) => return Some((Err(e), None)),
            None => {
                state.session.notices.add(&state.promql);
                return None;
            }
        }
    }
}

fn explain_lines(batch: &RecordBatch) -> PgWireResult<RecordBatch> {
    let text = datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8)
        .and_then(|kinds| {
            let plans =
                datafusion::arrow::compute::cast(batch.column(1), &datafusion::arrow::datatypes::DataType::Utf8)?;
            Ok((kinds, plans))
        })
        .map_err(|e| errors::datafusion(e.into()))?;
    let (kinds, plans) = (text.0.as_string::<i32>(), text.1.as_string::<i32>());
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        lines.push(format!("{}:", kinds.value(row)));
        lines.extend(plans.value(row).lines().map(|line| format!("  {line}")));
    }
    RecordBatch::try_new(explain_schema(), vec![Arc::new(StringArray::from(lines))])
        .map_err(|e| errors::datafusion(e.into()))
}

//! Runs a plan on the engine's query runtime and hands its rows over a bounded channel, until the end, a
//! cancel request, the statement's deadline, or the client's disconnect, whichever is first. Dropping the
//! stream aborts the work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::logical_expr::LogicalPlan;
use futures::{Stream, StreamExt};
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::statement::explain_schema;
use super::{encode, errors};
use crate::engine::session::Engine;
use crate::engine::sql::promql::StatementPromql;

/// Encoded batches that may wait for the client; with batches of 8,192 rows this bounds a slow reader's memory.
const WAITING_BATCHES: usize = 2;

pub type Rows = Pin<Box<dyn Stream<Item = PgWireResult<DataRow>> + Send>>;

struct Aborting {
    task: AbortHandle,
    promql: Arc<Vec<StatementPromql>>,
    /// The rows are at their end, and the PromQL may be another run's.
    done: bool,
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if !self.done {
            self.promql.iter().for_each(StatementPromql::cancel);
        }
        self.task.abort();
    }
}

/// How batches become rows of the answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    AsIs,
    /// DataFusion's `plan_type, plan` as lines of one column.
    Explain,
}

/// Starts a plan; rows are encoded in the formats of `fields`.
pub fn start(
    engine: &Engine,
    session: &Arc<Session>,
    plan: LogicalPlan,
    fields: Arc<Vec<FieldInfo>>,
    shape: Shape,
    promql: Arc<Vec<StatementPromql>>,
) -> Rows {
    promql.iter().for_each(StatementPromql::begin);
    let token = session.begin();
    let timeout = session.statement_timeout();
    let zone = session.time_zone();
    let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
    let context = session.context.clone();
    let running = engine.running();
    let task = engine.runtime().spawn(async move {
        let _running = running;
        let result: PgWireResult<()> = async {
            let frame = context.execute_logical_plan(plan).await.map_err(errors::datafusion)?;
            let mut batches = frame.execute_stream().await.map_err(errors::datafusion)?;
            while let Some(batch) = batches.next().await {
                let mut batch = batch.map_err(errors::datafusion)?;
                if shape == Shape::Explain {
                    batch = explain_lines(&batch)?;
                }
                let rows = encode::rows(&batch, &fields, zone)?;
                if sender.send(Ok(rows)).await.is_err() {
                    break;
                }
            }
            Ok(())
        }
        .await;
        if let Err(e) = result {
            // Nobody waits any more when this fails.
            let _ = sender.send(Err(e)).await;
        }
    });
    let state = Receiving {
        receiver,
        token,
        deadline: timeout.map(|t: Duration| Instant::now() + t),
        work: Aborting { task: task.abort_handle(), promql, done: false },
        rows: Vec::new().into_iter(),
        session: Arc::clone(session),
    };
    Box::pin(futures::stream::unfold(Some(state), receive))
}

struct Receiving {
    receiver: mpsc::Receiver<PgWireResult<Vec<DataRow>>>,
    token: CancellationToken,
    deadline: Option<Instant>,
    work: Aborting,
    rows: std::vec::IntoIter<DataRow>,
    session: Arc<Session>,
}

async fn receive(state: Option<Receiving>) -> Option<(PgWireResult<DataRow>, Option<Receiving>)> {
    let mut state = state?;
    loop {
        if let Some(row) = state.rows.next() {
            return Some((Ok(row), Some(state)));
        }
        let deadline = async {
            match state.deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = state.token.cancelled() => {
                return Some((Err(errors::error("57014", "canceling statement due to user request")), None));
            }
            () = deadline => {
                return Some((Err(errors::error("57014", "canceling statement due to statement timeout")), None));
            }
            next = state.receiver.recv() => match next {
                Some(Ok(rows)) => state.rows = rows.into_iter(),
                Some(Err(e)) => return Some((Err(e), None)),
                None => {
                    state.session.notices.add(&state.work.promql);
                    state.work.done = true;
                    return None;
                }
            },
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

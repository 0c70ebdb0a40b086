//! Rows of a statement, through the engine's door: until as many are there as were asked for, the end, a cancel request, a
//! deadline, or the client's disconnect, whichever is first. They come over a bounded channel as encoded messages; dropping
//! the receiver ends the work.
//!
//! What was asked for and no more holds a slot: between two requests the rest of the rows waits in its [`Source`], without
//! one. The clock runs while it is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use parking_lot::Mutex;
use pgwire::api::results::FieldInfo;
use pgwire::error::{PgWireError, PgWireResult};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::encode::Rows;
use super::errors;
use super::settings::zone::Zone;
use crate::engine::door::{Answer, Limits, Memory, Pass};
use crate::engine::promql::cancel::Cancel;
use crate::engine::session::Engine;
use crate::telemetry::spans;

/// Encoded parts that may wait for the client; this and their size bound a slow reader's memory.
const WAITING_PARTS: usize = 2;
/// A part is sent when it is as large, and at the end of each batch.
const PART_BYTES: usize = 128 << 10;

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

/// How batches become rows of the answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    AsIs,
    /// DataFusion's `plan_type, plan` as lines of one column.
    Explain,
}

/// Where rows come from.
pub enum Begin {
    Plan {
        context: SessionContext,
        plan: LogicalPlan,
        shape: Shape,
    },
    /// Rows that are there.
    Batch(RecordBatch),
    /// The rest of what was begun.
    Rest(Source),
}

/// Rows that are not sent yet.
pub struct Source {
    /// `None` where there are only those that were pulled. Nobody ever takes the lock, which only makes it something that
    /// may be looked at from several threads.
    batches: Option<Mutex<SendableRecordBatchStream>>,
    shape: Shape,
    /// What was pulled and not asked for.
    pulled: Option<RecordBatch>,
    /// Of what was pulled.
    memory: Option<(Memory, usize)>,
}

impl Source {
    fn new(batches: Option<SendableRecordBatchStream>, shape: Shape, pulled: Option<RecordBatch>) -> Self {
        Self { batches: batches.map(Mutex::new), shape, pulled, memory: None }
    }

    async fn next(&mut self) -> PgWireResult<Option<RecordBatch>> {
        if let Some((memory, bytes)) = self.memory.take() {
            memory.shrink(bytes);
        }
        if let Some(batch) = self.pulled.take() {
            return Ok(Some(batch));
        }
        let Some(batches) = &mut self.batches else { return Ok(None) };
        loop {
            let Some(batch) = batches.get_mut().next().await else { return Ok(None) };
            let batch = batch.map_err(errors::datafusion)?;
            match self.shape {
                _ if batch.num_rows() == 0 => {}
                Shape::AsIs => return Ok(Some(batch)),
                Shape::Explain => return explain_lines(&batch).map(Some),
            }
        }
    }

    /// Puts back what was not asked for. It stays in memory as long as the client likes, so it is counted.
    fn put_back(&mut self, batch: RecordBatch, memory: Option<Memory>) -> PgWireResult<()> {
        if let Some(memory) = memory {
            let bytes = batch.get_array_memory_size();
            memory.grow(bytes).map_err(|e| errors::error("53200", e.to_string()))?;
            self.memory = Some((memory, bytes));
        }
        self.pulled = Some(batch);
        Ok(())
    }
}

/// From batches to messages.
pub struct Encoder {
    pub fields: Arc<Vec<FieldInfo>>,
    pub zone: Zone,
}

/// Messages that are encoded, and the rows that are in them.
pub struct Part {
    pub messages: BytesMut,
    pub rows: u64,
}

/// Gathers messages into parts.
struct Writer {
    encoder: Encoder,
    part: Part,
    parts: mpsc::Sender<Part>,
}

impl Writer {
    fn new(encoder: Encoder, parts: mpsc::Sender<Part>) -> Self {
        Self { encoder, part: Part { messages: BytesMut::new(), rows: 0 }, parts }
    }

    /// False where nobody waits any more.
    async fn write(&mut self, batch: &RecordBatch) -> PgWireResult<bool> {
        let mut rows = Rows::new(batch, &self.encoder.fields, self.encoder.zone)?;
        for row in 0..batch.num_rows() {
            rows.put_message(row, &mut self.part.messages)?;
            self.part.rows += 1;
            if self.part.messages.len() >= PART_BYTES && !self.send().await {
                return Ok(false);
            }
        }
        Ok(self.send().await)
    }

    async fn send(&mut self) -> bool {
        let next = Part { messages: BytesMut::new(), rows: 0 };
        let part = std::mem::replace(&mut self.part, next);
        part.messages.is_empty() || self.parts.send(part).await.is_ok()
    }
}

/// A request for rows that is dealt with: it has the slot, the deadline, the flag and the task, and tells the end from what
/// is no end. A connection has one at a time.
pub struct Running {
    answer: Answer<Part, PgWireError>,
    /// What is left of the rows, when the work has ended well.
    rest: Arc<Mutex<Option<Source>>>,
}

impl Running {
    /// Asks for so many rows, or for all. What is there is sent without the engine.
    pub fn start(engine: &Engine, begin: Begin, most: Option<u64>, encoder: Encoder, limits: Limits) -> Self {
        let rest: Arc<Mutex<Option<Source>>> = Arc::default();
        let kept = rest.clone();
        let span = spans::span("sqlExec");
        let here = match begin {
            Begin::Batch(batch) => Ok(Source::new(None, Shape::AsIs, Some(batch))),
            Begin::Rest(source) if source.batches.is_none() => Ok(source),
            begin => Err(begin),
        };
        let answer = match here {
            Ok(source) => Answer::start(WAITING_PARTS, move |parts| async move {
                let source = produce(source, most, Writer::new(encoder, parts), None).await?;
                *kept.lock() = Some(source);
                Ok(())
            }),
            Err(begin) => engine.stream(limits, WAITING_PARTS, move |pass, parts| async move {
                let work = async {
                    let source = open(begin).await?;
                    let writer = Writer::new(encoder, parts);
                    *kept.lock() = Some(produce(source, most, writer, Some(&pass)).await?);
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

    /// What is left, after the end.
    pub fn rest(self) -> Option<Source> {
        self.rest.lock().take()
    }
}

async fn open(begin: Begin) -> PgWireResult<Source> {
    match begin {
        Begin::Plan { context, plan, shape } => {
            let frame = context.execute_logical_plan(plan).await.map_err(errors::datafusion)?;
            let batches = frame.execute_stream().await.map_err(errors::datafusion)?;
            Ok(Source::new(Some(batches), shape, None))
        }
        Begin::Batch(batch) => Ok(Source::new(None, Shape::AsIs, Some(batch))),
        Begin::Rest(source) => Ok(source),
    }
}

/// Sends as many rows as there are, or as are asked for.
async fn produce(
    mut source: Source,
    most: Option<u64>,
    mut writer: Writer,
    pass: Option<&Pass>,
) -> PgWireResult<Source> {
    let mut left = most.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(mut batch) = source.next().await? else { break };
        let rows = batch.num_rows();
        let sent = usize::try_from(left).unwrap_or(usize::MAX).min(rows);
        if sent < rows {
            source.put_back(batch.slice(sent, rows - sent), pass.map(|pass| pass.memory("a portal")))?;
            batch = batch.slice(0, sent);
        }
        if !writer.write(&batch).await? {
            break;
        }
        left -= sent as u64;
    }
    Ok(source)
}

/// The flag a statement's PromQL was planned with, or one of its own.
pub fn with_flag(limits: Limits, flag: Option<&Cancel>) -> Limits {
    Limits { flag: flag.cloned().unwrap_or_default(), ..limits }
}

/// One text column.
pub fn explain_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

fn explain_lines(batch: &RecordBatch) -> PgWireResult<RecordBatch> {
    let text = |at: usize| cast(batch.column(at), &DataType::Utf8).map_err(|e| errors::datafusion(e.into()));
    let (kinds, plans) = (text(0)?, text(1)?);
    let (kinds, plans) = (kinds.as_string::<i32>(), plans.as_string::<i32>());
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        lines.push(format!("{}:", kinds.value(row)));
        lines.extend(plans.value(row).lines().map(|line| format!("  {line}")));
    }
    RecordBatch::try_new(explain_schema(), vec![Arc::new(StringArray::from(lines))])
        .map_err(|e| errors::datafusion(e.into()))
}

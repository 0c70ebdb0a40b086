//! The rows of a statement between two requests for them, and the way through them: forward as they come, and back where
//! they are kept. What waits here has memory of queries, and no slot.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayData, AsArray, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parking_lot::Mutex;
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};

use super::errors;
use super::writer::Writer;
use crate::engine::door::{Memory, Pass};
use crate::engine::session::too_many_rows;

/// What the rows of one cursor may take that are kept, to go back to or for a time after the transaction.
const MOST_KEPT_BYTES: usize = 32 << 20;
/// What they may take where nobody said that they are wanted.
const FEW_BYTES: usize = 1 << 20;
/// What a buffer or a batch takes besides its bytes.
const ENTRY_BYTES: usize = 128;

/// How batches become rows of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    AsIs,
    /// DataFusion's `plan_type, plan` as lines of one column.
    Explain,
    /// The JSON in them as one value.
    ExplainJson,
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// So many rows, or all.
    Forward(Option<u64>),
    Backward(Option<u64>),
    /// To a row by its number; from the end if it is negative.
    Absolute(i64),
    Relative(i64),
    /// Nowhere, but all that is to come is to be kept.
    Keep,
}

/// Whether rows that were passed are kept, to be gone back to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Back {
    Never,
    /// As PostgreSQL does for plans that can be run backwards, which no client counts on.
    WhileFew,
    Always,
}

/// A batch, and the number of its first row.
struct Piece {
    first: u64,
    batch: RecordBatch,
}

impl Piece {
    fn last(&self) -> u64 {
        self.first + self.batch.num_rows() as u64 - 1
    }
}

/// Rows that are not sent yet, and those that are kept.
pub struct Source {
    /// `None` where there are only those that were pulled. Nobody ever takes the lock, which only makes it something that
    /// may be looked at from several threads.
    batches: Option<Mutex<SendableRecordBatchStream>>,
    shape: Shape,
    /// In order, without gaps: all of them where rows are kept, or else those behind `position`.
    pieces: VecDeque<Piece>,
    /// Rows that were pulled so far.
    pulled: u64,
    /// How many may be passed.
    most: Option<u64>,
    /// There are no more.
    ended: bool,
    /// The row it is on, from one; zero is before the first, and one more than there are is behind the last.
    position: u64,
    /// Rows that were passed are kept.
    scrolls: bool,
    /// As long as they are few.
    while_few: bool,
    /// All rows to come are kept.
    keeps: bool,
    memory: Option<Memory>,
    counted: usize,
    /// Buffers that are counted: batches are often parts of the same.
    buffers: HashSet<usize>,
}

impl Source {
    pub fn new(batches: SendableRecordBatchStream, shape: Shape, back: Back) -> Self {
        Self {
            batches: Some(Mutex::new(batches)),
            shape,
            pieces: VecDeque::new(),
            pulled: 0,
            most: None,
            ended: false,
            position: 0,
            scrolls: back != Back::Never,
            while_few: back == Back::WhileFew,
            keeps: false,
            memory: None,
            counted: 0,
            buffers: HashSet::new(),
        }
    }

    /// The same, of which more rows than so many are an error.
    pub fn at_most(self, most: Option<u64>) -> Self {
        Self { most, ..self }
    }

    /// Rows that are there.
    pub fn of(batch: RecordBatch) -> Self {
        let pulled = batch.num_rows() as u64;
        let pieces = VecDeque::from_iter((pulled > 0).then_some(Piece { first: 1, batch }));
        Self {
            batches: None,
            shape: Shape::AsIs,
            pieces,
            pulled,
            most: None,
            ended: true,
            position: 0,
            scrolls: false,
            while_few: false,
            keeps: false,
            memory: None,
            counted: 0,
            buffers: HashSet::new(),
        }
    }

    /// Whether all rows are there, so that nothing of the engine is needed.
    pub fn is_whole(&self) -> bool {
        self.ended
    }

    /// Goes on, and writes the rows it comes to; how many they are, whether somebody writes them or not.
    ///
    /// # Errors
    /// 55000 for a way back that is not kept, 54000 and 53200 where there is no memory to keep it, 54000 for more rows than
    /// there may be, and those of the rows.
    /// After an error it is not to be used any more.
    pub async fn go(
        &mut self,
        motion: Motion,
        writer: Option<&mut Writer>,
        pass: Option<&Pass>,
    ) -> PgWireResult<u64> {
        if let Some(pass) = pass.filter(|_| self.memory.is_none()) {
            self.memory = Some(pass.memory("a portal"));
        }
        let moved = match motion {
            Motion::Forward(Some(0)) | Motion::Relative(0) => self.again(writer, pass).await?,
            Motion::Forward(count) => self.forward(count.unwrap_or(u64::MAX), writer, pass).await?,
            Motion::Backward(Some(0)) => self.again(writer, pass).await?,
            Motion::Backward(count) => self.backward(count.unwrap_or(u64::MAX), writer).await?,
            Motion::Absolute(row) if row >= 0 => self.to(row.unsigned_abs(), writer, pass).await?,
            Motion::Absolute(row) => {
                self.check_way_back()?;
                self.forward(u64::MAX, None, pass).await?;
                let row = (self.pulled + 1).saturating_sub(row.unsigned_abs());
                self.to(row, writer, pass).await?
            }
            Motion::Relative(rows) if rows > 0 => {
                self.forward(rows.unsigned_abs() - 1, None, pass).await?;
                self.forward(1, writer, pass).await?
            }
            Motion::Relative(rows) => {
                self.backward(rows.unsigned_abs() - 1, None).await?;
                self.backward(1, writer).await?
            }
            Motion::Keep => {
                self.keeps = true;
                self.recount()?;
                while self.pull(pass).await? {}
                0
            }
        };
        if !self.scrolls && !self.keeps {
            self.recount()?;
        }
        Ok(moved)
    }

    async fn forward(
        &mut self,
        count: u64,
        mut writer: Option<&mut Writer>,
        pass: Option<&Pass>,
    ) -> PgWireResult<u64> {
        let mut moved = 0;
        while moved < count {
            if self.position >= self.pulled && !self.pull(pass).await? {
                self.position = self.pulled + 1;
                break;
            }
            let (batch, at) = self.piece(self.position + 1);
            let rows = usize::try_from(count - moved).unwrap_or(usize::MAX).min(batch.num_rows() - at);
            if let Some(most) = self.most.filter(|most| self.position + rows as u64 > *most) {
                return Err(errors::error("54000", too_many_rows(most)));
            }
            if let Some(writer) = &mut writer
                && !writer.write(&batch.slice(at, rows)).await?
            {
                break;
            }
            self.position += rows as u64;
            moved += rows as u64;
            self.forget();
        }
        Ok(moved)
    }

    async fn backward(&mut self, count: u64, mut writer: Option<&mut Writer>) -> PgWireResult<u64> {
        self.check_way_back()?;
        let mut moved = 0;
        while moved < count {
            if self.position <= 1 {
                self.position = 0;
                break;
            }
            let (batch, at) = self.piece(self.position - 1);
            let rows = usize::try_from(count - moved).unwrap_or(usize::MAX).min(at + 1);
            if let Some(writer) = &mut writer {
                // A batch has fewer rows than there are numbers for.
                let back = UInt32Array::from_iter_values((at + 1 - rows..=at).rev().map(|row| row as u32));
                let turned = take_record_batch(&batch, &back).map_err(|e| errors::datafusion(e.into()))?;
                if !writer.write(&turned).await? {
                    break;
                }
            }
            self.position -= rows as u64;
            moved += rows as u64;
        }
        Ok(moved)
    }

    /// To a row by its number; zero is before the first.
    async fn to(&mut self, row: u64, writer: Option<&mut Writer>, pass: Option<&Pass>) -> PgWireResult<u64> {
        if row <= self.position && self.position > 0 {
            self.check_way_back()?;
            self.position = row.saturating_sub(1);
        }
        if row == 0 {
            return Ok(0);
        }
        self.forward(row - 1 - self.position, None, pass).await?;
        self.forward(1, writer, pass).await
    }

    /// The row it is on, once more.
    async fn again(&mut self, writer: Option<&mut Writer>, pass: Option<&Pass>) -> PgWireResult<u64> {
        if self.position == 0 || self.position > self.pulled {
            return Ok(0);
        }
        self.check_way_back()?;
        self.position -= 1;
        self.forward(1, writer, pass).await
    }

    fn check_way_back(&self) -> PgWireResult<()> {
        if self.scrolls {
            return Ok(());
        }
        let mut info = ErrorInfo::new("ERROR".into(), "55000".into(), "cursor can only scan forward".into());
        info.hint = Some("Declare it with SCROLL option to enable backward scan.".into());
        Err(PgWireError::UserError(Box::new(info)))
    }

    /// The batch that has a row that was pulled and is there, and where in it.
    fn piece(&self, row: u64) -> (RecordBatch, usize) {
        let at = self.pieces.partition_point(|piece| piece.first <= row) - 1;
        let piece = &self.pieces[at];
        (piece.batch.clone(), (row - piece.first) as usize)
    }

    /// Rows that were passed, where nobody comes back for them.
    fn forget(&mut self) {
        while !self.scrolls && self.pieces.front().is_some_and(|piece| piece.last() <= self.position) {
            self.pieces.pop_front();
        }
    }

    /// The next batch; false where there is none.
    async fn pull(&mut self, pass: Option<&Pass>) -> PgWireResult<bool> {
        loop {
            if let Some(pass) = pass {
                pass.check()?;
            }
            let Some(batches) = self.batches.as_mut().filter(|_| !self.ended) else { return Ok(false) };
            let Some(batch) = batches.get_mut().next().await else {
                self.ended = true;
                self.batches = None;
                return Ok(false);
            };
            let batch = batch.map_err(errors::datafusion)?;
            let batch = match self.shape {
                Shape::AsIs => batch,
                Shape::Explain => explain_lines(&batch)?,
                Shape::ExplainJson => explain_json(&batch)?,
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let piece = Piece { first: self.pulled + 1, batch };
            self.pulled += piece.batch.num_rows() as u64;
            if self.scrolls || self.keeps {
                self.count(&piece.batch)?;
            }
            self.pieces.push_back(piece);
            return Ok(true);
        }
    }

    /// Counts what there is from the beginning.
    fn recount(&mut self) -> PgWireResult<()> {
        if let Some(memory) = &self.memory {
            memory.shrink(std::mem::take(&mut self.counted));
        }
        self.buffers.clear();
        let batches: Vec<RecordBatch> = self.pieces.iter().map(|piece| piece.batch.clone()).collect();
        batches.iter().try_for_each(|batch| self.count(batch))
    }

    fn count(&mut self, batch: &RecordBatch) -> PgWireResult<()> {
        let mut bytes = ENTRY_BYTES;
        for column in batch.columns() {
            bytes += uncounted(&column.to_data(), &mut self.buffers);
        }
        if self.while_few && self.counted.saturating_add(bytes) > FEW_BYTES {
            (self.while_few, self.scrolls) = (false, false);
        }
        let limits = self.scrolls || self.keeps;
        if limits && self.counted.saturating_add(bytes) > MOST_KEPT_BYTES {
            let limit = MOST_KEPT_BYTES >> 20;
            let text = format!(
                "a cursor keeps at most {limit} MiB of rows, whether for SCROLL or WITH HOLD; it has more of them"
            );
            return Err(errors::error("54000", text));
        }
        if let Some(memory) = &self.memory {
            memory.grow(bytes).map_err(|e| errors::error("53200", e.to_string()))?;
            self.counted += bytes;
        }
        Ok(())
    }
}

/// Bytes of buffers that are not counted yet.
fn uncounted(data: &ArrayData, buffers: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let mut bytes = ENTRY_BYTES;
    for buffer in data.buffers().iter().chain(nulls) {
        if buffers.insert(buffer.data_ptr().as_ptr() as usize) {
            bytes += buffer.capacity() + ENTRY_BYTES;
        }
    }
    bytes + data.child_data().iter().map(|child| uncounted(child, buffers)).sum::<usize>()
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

fn explain_json(batch: &RecordBatch) -> PgWireResult<RecordBatch> {
    let plans = cast(batch.column(1), &DataType::Utf8).map_err(|e| errors::datafusion(e.into()))?;
    let json = plans.as_string::<i32>().iter().flatten().filter(|plan| plan.trim_start().starts_with('['));
    RecordBatch::try_new(explain_schema(), vec![Arc::new(StringArray::from_iter_values(json))])
        .map_err(|e| errors::datafusion(e.into()))
}

#[cfg(test)]
mod tests;

//! From batches to messages: rows as they are asked for, gathered into parts.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::RecordBatch;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;
use tokio::sync::mpsc;

use super::copy::Form;
use super::encode::Rows;
use super::settings::zone::Zone;

/// A part is sent when it is as large, and at the end of each batch.
const PART_BYTES: usize = 128 << 10;

/// What rows are written as.
pub struct Encoder {
    pub fields: Arc<Vec<FieldInfo>>,
    pub zone: Zone,
    /// Of a COPY.
    pub copy: Option<Form>,
}

/// Messages that are encoded, and the rows that are in them.
pub struct Part {
    pub messages: BytesMut,
    pub rows: u64,
}

/// Gathers messages into parts.
pub struct Writer {
    encoder: Encoder,
    part: Part,
    parts: mpsc::Sender<Part>,
    /// Something was written.
    begun: bool,
    /// Scratch space.
    texts: Vec<Option<String>>,
}

impl Writer {
    pub fn new(encoder: Encoder, parts: mpsc::Sender<Part>) -> Self {
        Self { encoder, part: Part { messages: BytesMut::new(), rows: 0 }, parts, begun: false, texts: vec![] }
    }

    /// False where nobody waits any more.
    pub async fn write(&mut self, batch: &RecordBatch) -> PgWireResult<bool> {
        let Encoder { fields, zone, copy } = &self.encoder;
        let (fields, copy) = (fields.clone(), copy.clone());
        let mut rows = Rows::new(batch, &fields, *zone)?;
        for row in 0..batch.num_rows() {
            let out = &mut self.part.messages;
            match &copy {
                Some(form) => {
                    let is_first = !std::mem::replace(&mut self.begun, true);
                    form.put_message(&mut rows, (row, is_first), &fields, &mut self.texts, out)?;
                }
                None => rows.put_message(row, out)?,
            }
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

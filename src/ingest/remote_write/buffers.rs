//! Memory of requests that have ended, for those to come: bodies, series and rows of one request are as large as those of
//! the next, and larger than what an allocator keeps at hand.

use parking_lot::Mutex;

use crate::ingest::remote_write::decode::SeriesMessage;
use crate::ingest::remote_write::rows::Rows;
use crate::ingest::remote_write::symbols::Symbols;

/// Requests whose memory is kept, and how much of each.
const MAX_KEPT: usize = 4;
const MAX_BODY_BYTES: usize = 2 << 20;
const MAX_SERIES: usize = 16 << 10;
const MAX_ROWS: usize = 64 << 10;

#[derive(Debug, Default)]
pub struct Buffers {
    /// Decompressed; as long as it ever was.
    pub body: Vec<u8>,
    pub series: Vec<SeriesMessage<'static>>,
    pub symbols: Symbols<'static>,
    pub rows: Rows,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Vec<Buffers>>);

impl Pool {
    pub fn take(&self) -> Buffers {
        self.0.lock().pop().unwrap_or_default()
    }

    /// What was needed for a request that is much larger than others is let go.
    pub fn give(&self, mut buffers: Buffers) {
        if buffers.body.len() > MAX_BODY_BYTES {
            buffers.body = Vec::new();
        }
        if buffers.series.capacity() > MAX_SERIES {
            buffers.series = Vec::new();
        }
        if buffers.symbols.capacity() > MAX_SERIES {
            buffers.symbols = Symbols::default();
        }
        if buffers.rows.capacity() > MAX_ROWS {
            buffers.rows = Rows::default();
        }
        let mut kept = self.0.lock();
        if kept.len() < MAX_KEPT {
            kept.push(buffers);
        }
    }
}

/// The memory of a list for another one, whose items may borrow from elsewhere.
pub fn recycled<'b>(mut series: Vec<SeriesMessage<'_>>) -> Vec<SeriesMessage<'b>> {
    series.clear();
    series.into_iter().map(|_| -> SeriesMessage<'b> { unreachable!("it was cleared") }).collect()
}

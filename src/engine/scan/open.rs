//! How the files of one partition are opened: few are read side by side while the merge runs, of many the small parts
//! are packed first.
//!
//! A file that is being read holds its compressed pages, a decompressor for each column and two batches, which is more
//! than a part of some hundred thousand samples takes once it is packed. So a query over a hundred small files, which is
//! a day before its merge, holds a few bytes a sample and not a hundred readers.

use std::ops::Range;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashMap;

use crate::engine::scan::cursor::{FileCursor, ReadState};
use crate::engine::scan::output::{SampleBuffer, Wants};
use crate::engine::scan::table::ScanOptions;
use crate::model::sample::TimeRange;
use crate::storage::head::packed::{Builder, PackedBlock};
use crate::storage::types::{RunSlice, SampleFile, Series};

/// Files of a partition that are open at a time, as long as the others can be packed.
pub(super) const OPEN_FILES: usize = 16;
/// Rows of a part that is packed; larger ones stay open, so that what is held does not grow with the range.
pub(super) const PACKED_ROWS: usize = 512 << 10;
/// Rows packed before others get a turn.
const YIELD_ROWS: usize = 64 << 10;

/// The rows of one partition that a file may have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub rows: usize,
    /// Held while it is read: pages, decompressors and batches.
    pub reading_bytes: usize,
}

impl Part {
    /// Whether it takes less memory packed. Histograms are as large as they were.
    pub fn packs(self, file: &SampleFile, wants: Wants) -> bool {
        self.rows <= PACKED_ROWS && !(file.has_histograms && (wants.histograms || wants.absent))
    }
}

/// A part of a file in memory.
pub(super) struct Packed {
    pub block: PackedBlock,
    /// As that of its file.
    pub priority: usize,
}

/// What a partition reads.
pub(super) struct Reading<'a> {
    /// All of the snapshot.
    pub series: &'a [Arc<Series>],
    /// Positions of those that are read.
    pub chunk: Range<usize>,
    /// Their positions by id.
    pub ranks: &'a HashMap<i64, u32>,
    pub range: TimeRange,
    pub wants: Wants,
    pub options: &'a ScanOptions,
}

/// Opens all cursors, and packs those that should be where there are many. What they hold is taken from `reservation`;
/// fails where that is more than queries may have.
pub(super) async fn open(
    cursors: Vec<FileCursor>,
    reading: Reading<'_>,
    reservation: &MemoryReservation,
) -> Result<(Vec<FileCursor>, Vec<Packed>)> {
    let many = cursors.len() > OPEN_FILES;
    let (small, large): (Vec<_>, Vec<_>) = cursors.into_iter().partition(|cursor| many && cursor.packs());
    let packed = stream::iter(small)
        .map(|cursor| pack(cursor, &reading, reservation))
        // In their order, which is that of time.
        .buffered(OPEN_FILES)
        .try_collect()
        .await?;
    for cursor in &large {
        reservation.try_grow(cursor.part.reading_bytes)?;
    }
    // All at once, as each costs requests.
    let first = large.into_iter().map(|mut cursor| async move { cursor.fill().await.map(|()| cursor) });
    Ok((try_join_all(first).await?, packed))
}

/// Reads all that a cursor has of the wanted series.
async fn pack(mut cursor: FileCursor, reading: &Reading<'_>, reservation: &MemoryReservation) -> Result<Packed> {
    let open = reservation.new_empty();
    open.try_grow(cursor.part.reading_bytes)?;
    cursor.fill().await?;
    let mut builder = Builder::default();
    let mut buffer = SampleBuffer::new(reading.wants);
    let mut rows = 0;
    for rank in reading.chunk.clone() {
        while cursor.read(rank as u32, reading.ranks, reading.range, &mut buffer)? == ReadState::NeedsBatch {
            reading.options.cancel.check()?;
            cursor.fill().await?;
        }
        rows += buffer.timestamps.len();
        push(&mut builder, reading.series[rank].id, &mut buffer);
        if rows >= YIELD_ROWS {
            rows = 0;
            open.try_resize(cursor.part.reading_bytes.saturating_add(builder.bytes()))?;
            tokio::task::yield_now().await;
        }
    }
    let priority = cursor.priority;
    drop(cursor);
    let block = builder.finish();
    drop(open);
    reservation.try_grow(block.bytes())?;
    Ok(Packed { block, priority })
}

/// Packs the samples of a series and empties the buffer.
fn push(builder: &mut Builder, series_id: i64, buffer: &mut SampleBuffer) {
    // Zeros for values nobody wants take no room.
    buffer.values.resize(buffer.timestamps.len(), 0.0);
    let run = RunSlice {
        timestamps: &buffer.timestamps,
        values: &buffer.values,
        histograms: &[],
        start_timestamps: &buffer.start_timestamps,
    };
    builder.push(series_id, run);
    buffer.clear();
}

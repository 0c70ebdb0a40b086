//! Reads one file's runs in key order. Columns are converted a run at a time.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int8Array, Int64Array, StructArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use hashbrown::HashMap;

use crate::engine::scan::histogram::HistogramColumn;
use crate::engine::scan::open::Part;
use crate::engine::scan::output::{SampleBuffer, Wants};
use crate::model::sample::TimeRange;
use crate::storage::types::SampleFile;

/// Exact in binary floating point up to 10^22; the writer uses scales up to 18.
const POW10: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// All rows of the series have been read.
    Done,
    /// The batch is used up and the series may go on in the next one.
    NeedsBatch,
}

pub(super) struct FileCursor {
    file: Arc<SampleFile>,
    pub priority: usize,
    pub part: Part,
    stream: SendableRecordBatchStream,
    wants: Wants,
    /// `None` before the first batch and after the last.
    batch: Option<Columns>,
    position: usize,
    exhausted: bool,
    /// The series the cursor stands at, once looked up: saves asking again for each series in between.
    standing: Option<u32>,
}

/// The columns of one batch.
struct Columns {
    ids: ScalarBuffer<i64>,
    timestamps: ScalarBuffer<i64>,
    scaled: Option<(Int64Array, Int8Array)>,
    value: Option<Float64Array>,
    histogram: Option<StructArray>,
    start_timestamp: Option<Int64Array>,
}

impl FileCursor {
    pub fn new(
        file: Arc<SampleFile>,
        priority: usize,
        part: Part,
        stream: SendableRecordBatchStream,
        wants: Wants,
    ) -> Self {
        Self { file, priority, part, stream, wants, batch: None, position: 0, exhausted: false, standing: None }
    }

    /// Whether its rows take less memory packed than it does while it reads them.
    pub fn packs(&self) -> bool {
        self.part.packs(&self.file, self.wants)
    }

    /// Gets the next batch; at the end of the file marks the cursor exhausted.
    pub async fn fill(&mut self) -> Result<()> {
        self.position = 0;
        self.standing = None;
        self.batch = None;
        while let Some(batch) = self.stream.next().await {
            let batch = batch.map_err(|e| self.named(e))?;
            if batch.num_rows() > 0 {
                self.batch = Some(Columns::new(&batch).map_err(|e| self.named(e))?);
                return Ok(());
            }
        }
        self.exhausted = true;
        Ok(())
    }

    fn named(&self, error: DataFusionError) -> DataFusionError {
        error.context(format!("reading {}", self.file.path))
    }

    /// Appends the rows of one series in range. Series are asked for in rank order; rows of series nobody
    /// asked for are skipped.
    pub fn read(
        &mut self,
        rank: u32,
        ranks: &HashMap<i64, u32>,
        range: TimeRange,
        out: &mut SampleBuffer,
    ) -> Result<ReadState> {
        if self.exhausted || self.standing.is_some_and(|standing| standing > rank) {
            return Ok(ReadState::Done);
        }
        let Some(batch) = &self.batch else { return Ok(ReadState::NeedsBatch) };
        while self.position < batch.ids.len() {
            let start = self.position;
            let id = batch.ids[start];
            match ranks.get(&id) {
                Some(found) if *found > rank => {
                    self.standing = Some(*found);
                    return Ok(ReadState::Done);
                }
                Some(found) if *found < rank => {
                    return internal_err!(
                        "{} is not sorted by metric and series: series {id} comes late",
                        self.file.path
                    );
                }
                found => {
                    let end = run_end(&batch.ids, start);
                    self.position = end;
                    if found.is_none() {
                        continue;
                    }
                    if self.file.deletes.is_empty() {
                        batch.append(start, end, range, self.wants, out)?;
                        continue;
                    }
                    for left in self.file.deletes.left(id, range) {
                        batch.append(start, end, left, self.wants, out)?;
                    }
                }
            }
        }
        Ok(ReadState::NeedsBatch)
    }
}

/// The end of the run of equal ids that begins at `start`; ids do not come back after their run, so the
/// search may gallop.
fn run_end(ids: &[i64], start: usize) -> usize {
    let id = ids[start];
    let mut step = 1;
    let mut low = start;
    while low + step < ids.len() && ids[low + step] == id {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(ids.len());
    low + ids[low..high].partition_point(|i| *i == id)
}

impl Columns {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let required = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| internal_datafusion_err!("column {name} is missing"))
        };
        let timestamps =
            |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<TimestampMillisecondType>().clone());
        required("timestamp")?;
        let timestamp = timestamps("timestamp").expect("it was just found");
        let ids = required("series_id")?.as_primitive::<Int64Type>();
        let column = |name: &str| batch.column_by_name(name).filter(|c| c.null_count() < c.len());
        Ok(Self {
            ids: ids.values().clone(),
            timestamps: timestamp.values().clone(),
            scaled: column("scaled").zip(column("scale")).map(|(scaled, scale)| {
                (scaled.as_primitive::<Int64Type>().clone(), scale.as_primitive::<Int8Type>().clone())
            }),
            value: column("value").map(|c| c.as_primitive::<Float64Type>().clone()),
            histogram: column("histogram").map(|c| c.as_struct().clone()),
            start_timestamp: timestamps("start_timestamp").map(|c| c.reinterpret_cast::<Int64Type>()),
        })
    }

    /// Appends the rows `start..end`, which belong to one series, as far as they are in range.
    fn append(
        &self,
        start: usize,
        end: usize,
        range: TimeRange,
        wants: Wants,
        out: &mut SampleBuffer,
    ) -> Result<()> {
        let run = &self.timestamps[start..end];
        let end = start + run.partition_point(|t| *t <= range.end_inclusive);
        let start = start + run.partition_point(|t| *t < range.start_inclusive);
        if start >= end {
            return Ok(());
        }
        out.timestamps.extend_from_slice(&self.timestamps[start..end]);
        if wants.values {
            self.append_values(start, end, out)?;
        }
        if wants.absent {
            out.absent.extend((start..end).map(|row| !self.has_value(row)));
        }
        if wants.histograms {
            match &self.histogram {
                None => out.histograms.resize(out.timestamps.len(), None),
                Some(column) => HistogramColumn::new(column)?.append(start, end, &mut out.histograms),
            }
        }
        if wants.start_timestamps {
            match &self.start_timestamp {
                None => out.start_timestamps.resize(out.timestamps.len(), 0),
                Some(column) => out
                    .start_timestamps
                    .extend((start..end).map(|row| if column.is_valid(row) { column.value(row) } else { 0 })),
            }
        }
        Ok(())
    }

    fn has_value(&self, row: usize) -> bool {
        self.value.as_ref().is_some_and(|v| v.is_valid(row))
            || self.scaled.as_ref().is_some_and(|(scaled, _)| scaled.is_valid(row))
    }

    /// `coalesce(value, scaled / 10^scale)`, the expression the writer has checked bit for bit.
    fn append_values(&self, start: usize, end: usize, out: &mut SampleBuffer) -> Result<()> {
        let length = end - start;
        let value = self.value.as_ref().map(|v| v.slice(start, length)).filter(|v| v.null_count() < length);
        let scaled = self.scaled.as_ref().map(|(scaled, scale)| {
            check_scales(scale, start, end).map(|()| (scaled.slice(start, length), scale.slice(start, length)))
        });
        let divided = |scaled: i64, scale: i8| scaled as f64 / POW10[scale as usize];
        match (value, scaled.transpose()?) {
            (Some(value), None) => out.values.extend_from_slice(value.values()),
            (Some(value), Some(_)) if value.null_count() == 0 => out.values.extend_from_slice(value.values()),
            (None, Some((scaled, scale))) => {
                let first = scale.values()[0];
                // The writer gives a run one scale where it can.
                if scale.values().iter().all(|scale| *scale == first) {
                    let power = POW10[first as usize];
                    out.values.extend(scaled.values().iter().map(|scaled| *scaled as f64 / power));
                } else {
                    let pairs = scaled.values().iter().zip(scale.values());
                    out.values.extend(pairs.map(|(scaled, scale)| divided(*scaled, *scale)));
                }
            }
            (Some(value), Some((scaled, scale))) => out.values.extend((0..length).map(|row| {
                if value.is_valid(row) { value.value(row) } else { divided(scaled.value(row), scale.value(row)) }
            })),
            (None, None) => out.values.resize(out.values.len() + length, 0.0),
        }
        Ok(())
    }
}

/// A scale outside the table can only come from a foreign or damaged file.
fn check_scales(scale: &Int8Array, start: usize, end: usize) -> Result<()> {
    let known = |scale: &i8| (0..POW10.len() as i8).contains(scale);
    match scale.values()[start..end].iter().find(|scale| !known(scale)) {
        None => Ok(()),
        Some(scale) => internal_err!("scale {scale} is outside 0 to 18"),
    }
}

#[cfg(test)]
mod tests {
    use super::run_end;

    #[test]
    fn runs_end_where_the_id_changes() {
        for lengths in [vec![1], vec![1, 1], vec![5, 1, 7], vec![100, 3], vec![64, 64], vec![1, 1000]] {
            let ids: Vec<i64> =
                lengths.iter().enumerate().flat_map(|(i, n)| std::iter::repeat_n(-(i as i64), *n)).collect();
            let mut start = 0;
            for length in lengths {
                assert_eq!(run_end(&ids, start), start + length);
                start += length;
            }
        }
    }
}

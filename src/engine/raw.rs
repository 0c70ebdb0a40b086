//! Samples as they are stored, staleness markers too, for those who hand them on: remote read and federation. They pass
//! the door as queries do and read through the same leaf; nothing is evaluated.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch};
use datafusion::common::internal_datafusion_err;
use datafusion::error::DataFusionError;
use futures::StreamExt;

use crate::engine::door::Pass;
use crate::engine::error::from_datafusion;
use crate::engine::promql::plan::samples::decode_stored;
use crate::engine::runtime::QueryRuntime;
use crate::engine::scan::table::{Column, HISTOGRAMS, SeriesTable, Shape, TIMESTAMPS, VALUES};
use crate::engine::scan::{ScanOptions, has_histograms};
use crate::engine::session::Engine;
use crate::error::Result;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::types::{RunSlice, Series, Snapshot};

const SERIES_ID: &str = "series_id";

/// The most series of an output batch.
const BATCH_SERIES: usize = 1024;

/// Series, and what may hold their samples.
pub struct Raw<'p> {
    runtime: Arc<QueryRuntime>,
    pass: &'p Pass,
    range: TimeRange,
    snapshot: Snapshot,
}

impl Engine {
    /// The series that satisfy any of the matcher sets and have samples on a day that `range` touches. A set without a
    /// matcher names none, as in Prometheus. To be used by work that has passed the door.
    pub async fn raw<'p>(&self, pass: &'p Pass, range: TimeRange, sets: &[Vec<Matcher>]) -> Result<Raw<'p>> {
        self.visible().asked(sets);
        let sets: Vec<&[Matcher]> = sets.iter().map(Vec::as_slice).filter(|set| !set.is_empty()).collect();
        let snapshot = self.visible().snapshot_of_any(range, &sets).await?;
        Ok(Raw { runtime: Arc::clone(self.runtime()), pass, range, snapshot })
    }
}

impl Engine {
    /// The last float of each series that satisfies all matchers and has one in range: time and value.
    pub async fn last_samples(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
    ) -> Result<Vec<(Labels, (i64, f64))>> {
        let engine = self.clone();
        let work = |pass: Pass| async move {
            let raw = engine.raw(&pass, range, &[matchers]).await?;
            let places: Vec<usize> = (0..raw.series().len()).collect();
            let mut found = Vec::new();
            raw.visit(&places, |place, run| {
                if let (Some(time), Some(value)) = (run.timestamps.last(), run.values.last()) {
                    found.push((raw.series()[place].labels.clone(), (*time, *value)));
                }
                Ok(())
            })
            .await?;
            Ok(found)
        };
        self.run(&self.limits(None), work).await
    }
}

impl Raw<'_> {
    pub fn series(&self) -> &[Arc<Series>] {
        &self.snapshot.series
    }

    /// Shows the samples in range of some of the series, by their places: in no order, and none of a series without a
    /// sample. Histograms have the hints that queries see.
    ///
    /// # Errors
    /// Of reading, and those of `see`, which end it.
    pub async fn visit(
        &self,
        places: &[usize],
        mut see: impl FnMut(usize, RunSlice<'_>) -> Result<()>,
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let mut places = places.to_vec();
        // The order of the snapshot is that of the files.
        places.sort_unstable();
        let series: Vec<Arc<Series>> = places.iter().map(|place| self.snapshot.series[*place].clone()).collect();
        let by_id: HashMap<i64, usize> = series.iter().map(|series| series.id).zip(places).collect();
        let snapshot = Snapshot { series: series.into(), ..self.snapshot.clone() };
        let mut columns = vec![
            (SERIES_ID.to_string(), Column::SeriesId),
            (TIMESTAMPS.to_string(), Column::Timestamp),
            (VALUES.to_string(), Column::Value),
        ];
        if has_histograms(&snapshot) {
            columns.push((HISTOGRAMS.to_string(), Column::Histogram));
        }
        let options = ScanOptions::of_query(BATCH_SERIES, self.pass.flag.clone());
        let table = SeriesTable::with_columns(Arc::new(snapshot), self.range, Shape::Lists, columns, &options);
        let mut batches = self.runtime.scan(&table, self.pass).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(from_datafusion)?;
            self.pass.check()?;
            rows(&batch, |id, run| match by_id.get(&id) {
                Some(place) => see(*place, run),
                None => Ok(()),
            })?;
        }
        Ok(())
    }
}

fn rows(batch: &RecordBatch, mut see: impl FnMut(i64, RunSlice<'_>) -> Result<()>) -> Result<()> {
    let ids = column::<Int64Array>(batch, SERIES_ID)?;
    let (timestamps, values) = (column::<ListArray>(batch, TIMESTAMPS)?, column::<ListArray>(batch, VALUES)?);
    let histograms = column::<ListArray>(batch, HISTOGRAMS).ok();
    let mut decoded = Vec::new();
    for row in 0..batch.num_rows() {
        let (times, floats) = (timestamps.value(row), values.value(row));
        let (times, floats) = (items::<Int64Array>(&times)?, items::<Float64Array>(&floats)?);
        decoded.clear();
        if let Some(histograms) = histograms.filter(|lists| lists.is_valid(row)) {
            let encoded = histograms.value(row);
            let encoded = items::<BinaryArray>(&encoded)?;
            if encoded.null_count() < encoded.len() {
                let bytes = (0..encoded.len()).map(|i| encoded.is_valid(i).then(|| encoded.value(i)));
                decode_stored(bytes, &mut decoded).map_err(from_datafusion)?;
            }
        }
        let (timestamps, values) = (times.values(), floats.values());
        see(ids.value(row), RunSlice { timestamps, values, histograms: &decoded, start_timestamps: &[] })?;
    }
    Ok(())
}

fn column<'b, T: 'static>(batch: &'b RecordBatch, name: &str) -> Result<&'b T> {
    let array = batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<T>());
    array.ok_or_else(|| lacks(name))
}

fn items<T: 'static>(list: &dyn Array) -> Result<&T> {
    list.as_any().downcast_ref::<T>().ok_or_else(|| lacks("items"))
}

fn lacks(name: &str) -> crate::error::Error {
    let error: DataFusionError = internal_datafusion_err!("a scan of series has no {name}");
    from_datafusion(error)
}

//! The only caller of `Store::submit`. Everything that writes, be it a scrape, a remote writer or a rule, turns
//! its series into handles here and hands over batches of rows.
//!
//! Callers keep their handles for as long as they like. When the head has let a series go in the meantime, the
//! appender asks the caller for its labels, takes a new handle and says so in [`Appended::renewed`].
//!
//! External labels are not added: as in Prometheus they belong to what leaves the server, not to stored samples.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::Labels;
use crate::storage::store::durability::Log;
use crate::storage::store::{self, Store};
use crate::storage::types::{Rejection, SeriesRef, WriteBatch, WriteReport};

/// 0001-01-01T00:00:00Z. Earlier days have no date in the tools that read the lake.
const OLDEST_TIMESTAMP: i64 = -62_135_596_800_000;

/// A series may be let go again between its new handle and the append; more often than this it is a defect.
const MAX_RENEWALS: usize = 3;

#[derive(Debug)]
pub struct Appender {
    store: Arc<Store>,
    stats: Arc<IngestStats>,
}

/// What became of a batch that passed the gate.
#[derive(Debug, Default)]
pub struct Appended {
    /// Indexes are those of the batch that was handed over.
    pub report: WriteReport,
    /// Handles that were stale, with their successors.
    pub renewed: HashMap<SeriesRef, SeriesRef>,
    /// The last rows on their way into the log, which has them in order.
    pending: Option<store::Pending>,
}

/// A batch that did not pass the gate, or the rest of one; nobody has it but the caller.
#[derive(Debug)]
pub struct Unsent {
    pub error: Error,
    pub batch: WriteBatch,
}

impl Appended {
    /// The handle to keep for a series.
    pub fn current(&self, series: SeriesRef) -> SeriesRef {
        self.renewed.get(&series).copied().unwrap_or(series)
    }

    /// Returns when all rows are durable and visible; they become so in any case, unless the error is of kind
    /// `Poisoned`.
    pub async fn durable(self) -> Result<()> {
        match self.pending {
            Some(pending) => pending.durable().await,
            None => Ok(()),
        }
    }
}

impl Appender {
    pub fn new(store: Arc<Store>, stats: Arc<IngestStats>) -> Self {
        Self { store, stats }
    }

    pub fn stats(&self) -> &Arc<IngestStats> {
        &self.stats
    }

    /// Handles of series, registered where they are new. The labels must have passed [`super::labels::checked`].
    pub fn intern_all(&self, labels: &[Labels]) -> Vec<SeriesRef> {
        if labels.is_empty() { Vec::new() } else { self.store.intern_all(labels) }
    }

    /// Whether the store takes rows; its changes wake who waits.
    pub fn durability(&self) -> watch::Receiver<Log> {
        self.store.durability()
    }

    /// Hands rows to the store; the accepted ones are queued for the log when it returns. `labels_of` knows the labels
    /// of every handle in the batch; it is asked only for stale ones.
    pub async fn submit(
        &self,
        batch: WriteBatch,
        labels_of: impl FnMut(SeriesRef) -> Option<Labels> + Send,
    ) -> Result<Appended, Unsent> {
        let mut rows = Rows::new(batch);
        match self.submit_renewing(&mut rows, labels_of).await {
            Ok(appended) => {
                self.stats.record(&appended.report);
                Ok(appended)
            }
            Err(error) => {
                add(&self.stats.ingest_append_failures, 1);
                Err(Unsent { error, batch: rows.batch })
            }
        }
    }

    async fn submit_renewing(
        &self,
        rows: &mut Rows,
        mut labels_of: impl FnMut(SeriesRef) -> Option<Labels> + Send,
    ) -> Result<Appended> {
        let mut appended = Appended::default();
        if rows.refuse_out_of_bounds() {
            appended.report = std::mem::take(&mut rows.report);
            return Ok(appended);
        }
        for _ in 0..=MAX_RENEWALS {
            if rows.is_empty() {
                break;
            }
            let (report, pending) = self.store.submit(&rows.batch).await?;
            appended.pending = Some(pending);
            let stale = rows.settle(report);
            if stale.is_empty() {
                break;
            }
            self.renew(rows, &stale, &mut appended.renewed, &mut labels_of)?;
        }
        if !rows.is_empty() {
            return Err(Error::internal("series handles go stale faster than they are taken"));
        }
        appended.report = std::mem::take(&mut rows.report);
        Ok(appended)
    }

    fn renew(
        &self,
        rows: &mut Rows,
        stale: &[SeriesRef],
        renewed: &mut HashMap<SeriesRef, SeriesRef>,
        labels_of: &mut impl FnMut(SeriesRef) -> Option<Labels>,
    ) -> Result<()> {
        // The caller knows a series by the handle it gave, which is not the stale one after a second renewal.
        let given =
            |series: SeriesRef| renewed.iter().find(|(_, new)| **new == series).map_or(series, |(old, _)| *old);
        let olds: Vec<SeriesRef> = stale.iter().map(|series| given(*series)).collect();
        let labels: Option<Vec<Labels>> = olds.iter().map(|series| labels_of(*series)).collect();
        let labels = labels.ok_or_else(|| Error::internal("a series of a batch has no labels"))?;
        add(&self.stats.ingest_series_renewed, labels.len());
        let handles = self.intern_all(&labels);
        let current: HashMap<SeriesRef, SeriesRef> = stale.iter().copied().zip(handles.iter().copied()).collect();
        renewed.extend(olds.into_iter().zip(handles));
        rows.replace(&current);
        Ok(())
    }
}

/// The rows that are not settled yet, with their places in the batch of the caller.
struct Rows {
    batch: WriteBatch,
    /// Parallel to the rows once rows have been taken out; empty while places are indexes.
    sample_places: Option<Vec<usize>>,
    histogram_places: Option<Vec<usize>>,
    report: WriteReport,
    settled: bool,
}

impl Rows {
    fn new(batch: WriteBatch) -> Self {
        Self { batch, sample_places: None, histogram_places: None, report: WriteReport::default(), settled: false }
    }

    fn is_empty(&self) -> bool {
        let batch = &self.batch;
        self.settled
            || (batch.samples.is_empty()
                && batch.histograms.is_empty()
                && batch.exemplars.is_empty()
                && batch.metadata.is_empty())
    }

    /// Takes out rows no date can be given to. `true` says that this settled the whole batch.
    fn refuse_out_of_bounds(&mut self) -> bool {
        let samples = self.batch.samples.iter().enumerate().filter(|(_, r)| r.timestamp < OLDEST_TIMESTAMP);
        self.report.rejected_samples = samples.map(|(i, _)| (i, Rejection::OutOfBounds)).collect();
        let histograms = self.batch.histograms.iter().enumerate().filter(|(_, r)| r.timestamp < OLDEST_TIMESTAMP);
        self.report.rejected_histograms = histograms.map(|(i, _)| (i, Rejection::OutOfBounds)).collect();
        self.batch.exemplars.retain(|row| row.timestamp >= OLDEST_TIMESTAMP);
        if self.report.rejected_samples.is_empty() && self.report.rejected_histograms.is_empty() {
            return false;
        }
        if self.batch.all_or_nothing {
            return true;
        }
        self.sample_places = Some(keep(&mut self.batch.samples, None, |_, r| r.timestamp >= OLDEST_TIMESTAMP));
        self.histogram_places =
            Some(keep(&mut self.batch.histograms, None, |_, r| r.timestamp >= OLDEST_TIMESTAMP));
        false
    }

    /// Takes over a report. Keeps the rows that only need a new handle and yields the stale handles.
    fn settle(&mut self, report: WriteReport) -> Vec<SeriesRef> {
        let unknown = |rows: &[(usize, Rejection)]| -> Vec<usize> {
            rows.iter().filter(|(_, r)| *r == Rejection::UnknownSeries).map(|(i, _)| *i).collect()
        };
        let (samples, histograms) = (unknown(&report.rejected_samples), unknown(&report.rejected_histograms));
        let any_unknown = !samples.is_empty() || !histograms.is_empty();
        if self.batch.all_or_nothing && any_unknown {
            // Only the first bad row is reported, so every handle is taken again.
            return self.handles();
        }
        // They went with the rows that were good; only a batch refused as a whole sends them again.
        self.batch.exemplars.clear();
        self.batch.metadata.clear();
        self.report.samples_written += report.samples_written;
        self.report.histograms_written += report.histograms_written;
        self.report.exemplars_written += report.exemplars_written;
        let place = |places: &Option<Vec<usize>>, i: usize| places.as_ref().map_or(i, |p| p[i]);
        let rejected = |rows: Vec<(usize, Rejection)>, places: &Option<Vec<usize>>| {
            let refused = rows.into_iter().filter(|(_, r)| *r != Rejection::UnknownSeries);
            refused.map(|(i, r)| (place(places, i), r)).collect::<Vec<_>>()
        };
        self.report.rejected_samples.extend(rejected(report.rejected_samples, &self.sample_places));
        self.report.rejected_histograms.extend(rejected(report.rejected_histograms, &self.histogram_places));
        self.settled = !any_unknown;
        let places = self.sample_places.take();
        self.sample_places = Some(keep(&mut self.batch.samples, places, |i, _| samples.binary_search(&i).is_ok()));
        let places = self.histogram_places.take();
        self.histogram_places =
            Some(keep(&mut self.batch.histograms, places, |i, _| histograms.binary_search(&i).is_ok()));
        self.handles()
    }

    /// Every handle of the batch once.
    fn handles(&self) -> Vec<SeriesRef> {
        let batch = &self.batch;
        let mut handles: Vec<SeriesRef> = batch.samples.iter().map(|r| r.series).collect();
        handles.extend(batch.histograms.iter().map(|r| r.series));
        handles.extend(batch.exemplars.iter().map(|r| r.series));
        handles.sort_unstable_by_key(|s| (s.slot, s.generation));
        handles.dedup();
        handles
    }

    fn replace(&mut self, current: &HashMap<SeriesRef, SeriesRef>) {
        let batch = &mut self.batch;
        let samples = batch.samples.iter_mut().map(|r| &mut r.series);
        let histograms = batch.histograms.iter_mut().map(|r| &mut r.series);
        for series in samples.chain(histograms).chain(batch.exemplars.iter_mut().map(|r| &mut r.series)) {
            *series = current.get(series).copied().unwrap_or(*series);
        }
    }
}

/// Keeps the rows that pass, and says which places of the caller's batch they have.
fn keep<T>(rows: &mut Vec<T>, places: Option<Vec<usize>>, mut pass: impl FnMut(usize, &T) -> bool) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut index = 0;
    rows.retain(|row| {
        let passes = pass(index, row);
        if passes {
            kept.push(places.as_ref().map_or(index, |p| p[index]));
        }
        index += 1;
        passes
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::SampleRow;

    fn row(slot: u32, timestamp: i64) -> SampleRow {
        SampleRow { series: SeriesRef { slot, generation: 0 }, timestamp, value: 0.0, start_timestamp: 0 }
    }

    fn rows(timestamps: &[i64], all_or_nothing: bool) -> Rows {
        let samples = timestamps.iter().enumerate().map(|(i, t)| row(i as u32, *t)).collect();
        Rows::new(WriteBatch { samples, all_or_nothing, ..WriteBatch::default() })
    }

    fn report(written: usize, rejected: &[(usize, Rejection)]) -> WriteReport {
        WriteReport { samples_written: written, rejected_samples: rejected.to_vec(), ..WriteReport::default() }
    }

    /// However often a part of a batch is sent, indexes are those of the caller.
    #[test]
    fn rejections_keep_their_places() {
        use Rejection::{Duplicate, OutOfBounds, TooOld, UnknownSeries};
        let mut rows = rows(&[i64::MIN, 1, 2, 3, 4], false);
        assert!(!rows.refuse_out_of_bounds());
        let stale = rows.settle(report(1, &[(0, Duplicate), (1, UnknownSeries), (3, UnknownSeries)]));
        assert_eq!(stale.iter().map(|s| s.slot).collect::<Vec<_>>(), [2, 4]);
        let renewed = SeriesRef { slot: 2, generation: 1 };
        rows.replace(&HashMap::from([(stale[0], renewed)]));
        assert_eq!(rows.batch.samples[0].series, renewed);
        assert!(!rows.is_empty());
        assert!(rows.settle(report(1, &[(1, TooOld)])).is_empty());
        assert!(rows.is_empty());
        assert_eq!(rows.report.samples_written, 2);
        assert_eq!(rows.report.rejected_samples, [(0, OutOfBounds), (1, Duplicate), (4, TooOld)]);
    }

    /// The store stops at the first bad row of such a batch, so nothing is known of the others.
    #[test]
    fn a_batch_refused_for_a_stale_handle_is_sent_again_as_a_whole() {
        let mut rows = rows(&[1, 2, 3], true);
        assert!(!rows.refuse_out_of_bounds());
        assert_eq!(rows.settle(report(0, &[(1, Rejection::UnknownSeries)])).len(), 3);
        assert_eq!(rows.batch.samples.len(), 3);
        assert!(rows.settle(report(3, &[])).is_empty());
        assert_eq!((rows.is_empty(), rows.report.samples_written), (true, 3));
    }
}

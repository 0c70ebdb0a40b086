//! The only caller of `Store::submit`. Everything that writes, be it a scrape, a remote writer or a rule, turns
//! its series into handles here and hands over batches of rows.
//!
//! Callers keep their handles for as long as they like. When the head has let a series go in the meantime, the
//! appender asks the caller for its labels, takes a new handle and says so in [`Appended::renewed`].
//!
//! The age of samples is bounded here: what is imported does not come this way, and may be of any age.
//!
//! External labels are not added: as in Prometheus they belong to what leaves the server, not to stored samples.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::Labels;
use crate::storage::store::durability::{Gap, Log};
use crate::storage::store::{self, Clock, Store};
use crate::storage::types::{Haste, Rejection, SeriesRef, WriteBatch, WriteReport};

/// The oldest time of a sample. What has none, or one of another unit, says 0.
const OLDEST_TIMESTAMP_MS: i64 = 1;

/// A series may be let go again between its new handle and the append; more often than this it is a defect.
const MAX_RENEWALS: usize = 3;

pub struct Appender {
    store: Arc<Store>,
    stats: Arc<IngestStats>,
    /// The oldest age of a sample, and what it is measured by.
    max_age: Option<(i64, Clock)>,
    oldest_ms: i64,
}

/// What became of a batch that passed the gate.
#[derive(Debug, Default)]
pub struct Appended {
    /// Indexes are those of the batch.
    pub report: WriteReport,
    /// Handles that were stale, with their successors.
    pub renewed: HashMap<SeriesRef, SeriesRef>,
    /// As it was handed over, to look up what is refused and to use its memory again.
    pub batch: WriteBatch,
    /// Rows on their way into the log.
    pending: Vec<store::Pending>,
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
    /// `Poisoned`. May be asked again.
    pub async fn durable(&mut self) -> Result<()> {
        for pending in &mut self.pending {
            pending.durable().await?;
        }
        Ok(())
    }
}

impl Appender {
    pub fn new(store: Arc<Store>, stats: Arc<IngestStats>) -> Self {
        Self { store, stats, max_age: None, oldest_ms: OLDEST_TIMESTAMP_MS }
    }

    /// Samples older than this are out of bounds from now on; without it they may be of any age after 1970.
    pub fn with_max_age(mut self, max_age: Duration, clock: Clock) -> Self {
        self.max_age = Some((i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX), clock));
        self
    }

    /// Samples may be from before 1970, and from its first moment: of tests, which begin there.
    pub fn of_any_time(self) -> Self {
        Self { oldest_ms: i64::MIN, ..self }
    }

    pub fn stats(&self) -> &Arc<IngestStats> {
        &self.stats
    }

    /// Handles of series, registered where they are new. The labels must have passed [`super::labels::checked`].
    pub fn intern_all(&self, labels: &[Labels]) -> Vec<SeriesRef> {
        if labels.is_empty() { Vec::new() } else { self.store.intern_all(labels) }
    }

    /// When the store took no rows for a while, up to now where it takes none.
    pub fn gaps(&self) -> Vec<Gap> {
        self.store.gaps()
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
        haste: Haste,
        labels_of: impl FnMut(SeriesRef) -> Option<Labels> + Send,
    ) -> Result<Appended, Unsent> {
        self.submit_behind_zeros(batch, (0, 0), haste, labels_of).await
    }

    /// The same, where so many samples and histograms at the start may be refused without a word.
    pub async fn submit_behind_zeros(
        &self,
        batch: WriteBatch,
        zeros: (usize, usize),
        haste: Haste,
        labels_of: impl FnMut(SeriesRef) -> Option<Labels> + Send,
    ) -> Result<Appended, Unsent> {
        let oldest_allowed_ms = self.oldest_allowed_ms();
        let (report, pending) = match self.store.submit(&batch, oldest_allowed_ms, haste).await {
            Ok(submitted) => submitted,
            Err(error) => {
                add(&self.stats.ingest_append_failures, 1);
                return Err(Unsent { error, batch });
            }
        };
        let mut appended = Appended { report, renewed: HashMap::new(), batch, pending: vec![pending] };
        let renewed = match appended.report.has_unknown_series() {
            true => self.submit_renewed(&mut appended, oldest_allowed_ms, haste, labels_of).await,
            false => Ok(()),
        };
        let report = &mut appended.report;
        report.rejected_samples.retain(|(at, _)| *at >= zeros.0);
        report.rejected_histograms.retain(|(at, _)| *at >= zeros.1);
        self.stats.record(report);
        match renewed {
            Ok(()) => Ok(appended),
            Err(unsent) => {
                add(&self.stats.ingest_append_failures, 1);
                Err(unsent)
            }
        }
    }

    fn oldest_allowed_ms(&self) -> i64 {
        let by_age = self.max_age.as_ref().map(|(max_age_ms, clock)| clock().saturating_sub(*max_age_ms));
        by_age.unwrap_or(self.oldest_ms).max(self.oldest_ms)
    }

    /// Sends rows whose handle was stale with a new one.
    async fn submit_renewed(
        &self,
        appended: &mut Appended,
        oldest_allowed_ms: i64,
        haste: Haste,
        mut labels_of: impl FnMut(SeriesRef) -> Option<Labels> + Send,
    ) -> Result<(), Unsent> {
        let mut rest = Rest::of(&appended.batch, &mut appended.report);
        for _ in 0..MAX_RENEWALS {
            if let Err(error) = self.renew(&mut rest.batch, &mut appended.renewed, &mut labels_of) {
                return Err(Unsent { error, batch: rest.batch });
            }
            match self.store.submit(&rest.batch, oldest_allowed_ms, haste).await {
                Ok((report, pending)) => {
                    appended.pending.push(pending);
                    rest = rest.settle(report, &mut appended.report);
                }
                Err(error) => return Err(Unsent { error, batch: rest.batch }),
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
        let error = Error::internal("series handles go stale faster than they are taken");
        Err(Unsent { error, batch: rest.batch })
    }

    fn renew(
        &self,
        rows: &mut WriteBatch,
        renewed: &mut HashMap<SeriesRef, SeriesRef>,
        labels_of: &mut impl FnMut(SeriesRef) -> Option<Labels>,
    ) -> Result<()> {
        // The caller knows a series by the handle it gave, which is not the stale one after a second renewal.
        let first: HashMap<SeriesRef, SeriesRef> = renewed.iter().map(|(old, new)| (*new, *old)).collect();
        let given = |series: SeriesRef| first.get(&series).copied().unwrap_or(series);
        let stale = handles(rows);
        let olds: Vec<SeriesRef> = stale.iter().map(|series| given(*series)).collect();
        let labels: Option<Vec<Labels>> = olds.iter().map(|series| labels_of(*series)).collect();
        let labels = labels.ok_or_else(|| Error::internal("a series of a batch has no labels"))?;
        add(&self.stats.ingest_series_renewed, labels.len());
        let fresh = self.intern_all(&labels);
        let current: HashMap<SeriesRef, SeriesRef> = stale.into_iter().zip(fresh.iter().copied()).collect();
        renewed.extend(olds.into_iter().zip(fresh));
        let samples = rows.samples.iter_mut().map(|row| &mut row.series);
        let histograms = rows.histograms.iter_mut().map(|row| &mut row.series);
        for series in samples.chain(histograms).chain(rows.exemplars.iter_mut().map(|row| &mut row.series)) {
            *series = current.get(series).copied().unwrap_or(*series);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let max_age_ms = self.max_age.as_ref().map(|(max_age_ms, _)| max_age_ms);
        f.debug_struct("Appender").field("store", &self.store).field("max_age_ms", &max_age_ms).finish()
    }
}

/// Every handle of a batch once.
fn handles(batch: &WriteBatch) -> Vec<SeriesRef> {
    let mut handles: Vec<SeriesRef> = batch.samples.iter().map(|row| row.series).collect();
    handles.extend(batch.histograms.iter().map(|row| row.series));
    handles.extend(batch.exemplars.iter().map(|row| row.series));
    handles.sort_unstable_by_key(|series| (series.slot, series.generation));
    handles.dedup();
    handles
}

/// Rows that need another handle, and their places in the batch of the caller.
struct Rest {
    batch: WriteBatch,
    samples: Vec<usize>,
    histograms: Vec<usize>,
    exemplars: Vec<usize>,
}

impl Rest {
    /// Takes the rows of unknown series out of a report.
    fn of(batch: &WriteBatch, report: &mut WriteReport) -> Self {
        let samples = take_unknown(&mut report.rejected_samples);
        let histograms = take_unknown(&mut report.rejected_histograms);
        let exemplars = take_unknown(&mut report.rejected_exemplars);
        // Metadata has no handles, and went with the rows that were good.
        let rows = WriteBatch {
            samples: samples.iter().map(|place| batch.samples[*place]).collect(),
            histograms: histograms.iter().map(|place| batch.histograms[*place].clone()).collect(),
            exemplars: exemplars.iter().map(|place| batch.exemplars[*place].clone()).collect(),
            metadata: Vec::new(),
        };
        Self { batch: rows, samples, histograms, exemplars }
    }

    fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty()
    }

    /// Takes over what became of these rows, and keeps those that need yet another handle.
    fn settle(self, mut report: WriteReport, whole: &mut WriteReport) -> Self {
        let mut rest = Self::of(&self.batch, &mut report);
        for (places, of) in [
            (&mut rest.samples, &self.samples),
            (&mut rest.histograms, &self.histograms),
            (&mut rest.exemplars, &self.exemplars),
        ] {
            places.iter_mut().for_each(|place| *place = of[*place]);
        }
        whole.samples_written += report.samples_written;
        whole.histograms_written += report.histograms_written;
        whole.exemplars_written += report.exemplars_written;
        take_over(report.rejected_samples, &mut whole.rejected_samples, &self.samples);
        take_over(report.rejected_histograms, &mut whole.rejected_histograms, &self.histograms);
        take_over(report.rejected_exemplars, &mut whole.rejected_exemplars, &self.exemplars);
        take_over(report.existing, &mut whole.existing, &self.samples);
        whole.dropped_samples.extend(report.dropped_samples.into_iter().map(|row| self.samples[row]));
        whole.dropped_samples.sort_unstable();
        whole.dropped_histograms.extend(report.dropped_histograms.into_iter().map(|row| self.histograms[row]));
        whole.dropped_histograms.sort_unstable();
        rest
    }
}

fn take_unknown(rejected: &mut Vec<(usize, Rejection)>) -> Vec<usize> {
    let unknown = rejected.extract_if(.., |(_, rejection)| *rejection == Rejection::UnknownSeries);
    unknown.map(|(row, _)| row).collect()
}

/// Puts rows among those of the whole batch, by their places there.
fn take_over<T>(rows: Vec<(usize, T)>, whole: &mut Vec<(usize, T)>, places: &[usize]) {
    whole.extend(rows.into_iter().map(|(row, what)| (places[row], what)));
    whole.sort_by_key(|(row, _)| *row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::types::{Existing, SampleRow};

    /// However often a part of a batch is sent, indexes are those of the caller.
    #[test]
    fn rejections_keep_their_places() {
        use Rejection::{Duplicate, OutOfBounds, TooOld, UnknownSeries};
        let row = |slot: u32| SampleRow {
            series: SeriesRef { slot, generation: 0 },
            timestamp: 1,
            value: 0.0,
            start_timestamp: 0,
        };
        let batch = WriteBatch { samples: (0..6).map(row).collect(), ..WriteBatch::default() };
        let report = |written, rejected: &[(usize, Rejection)]| WriteReport {
            samples_written: written,
            rejected_samples: rejected.to_vec(),
            ..WriteReport::default()
        };
        let mut whole = report(1, &[(0, OutOfBounds), (2, UnknownSeries), (4, UnknownSeries), (5, UnknownSeries)]);
        whole.existing = vec![(0, Existing::Histogram)];
        let rest = Rest::of(&batch, &mut whole);
        assert_eq!(handles(&rest.batch).iter().map(|s| s.slot).collect::<Vec<_>>(), [2, 4, 5]);
        let first = WriteReport {
            existing: vec![(2, Existing::Float(1.0))],
            ..report(0, &[(0, TooOld), (1, UnknownSeries), (2, Duplicate)])
        };
        let rest = rest.settle(first, &mut whole);
        assert_eq!((rest.samples.as_slice(), rest.batch.samples[0].series.slot), (&[4][..], 4));
        let last = WriteReport { dropped_samples: vec![0], ..report(0, &[]) };
        assert!(rest.settle(last, &mut whole).is_empty());
        assert_eq!((whole.samples_written, whole.dropped_samples), (1, vec![4]));
        assert_eq!(whole.rejected_samples, [(0, OutOfBounds), (2, TooOld), (5, Duplicate)]);
        assert_eq!(whole.existing, [(0, Existing::Histogram), (5, Existing::Float(1.0))]);
    }
}

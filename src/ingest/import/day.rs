//! A day of some sources on its way into the lake, the one way in which samples of the past get there: decoded by several threads,
//! joined, compared with what is stored where that is asked for, written and committed, with a mark of how far each source has
//! come. Nobody sees a part of a day.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::import::batch::{self, Batch, Decoded};
use crate::ingest::import::calendar::{intersection, range_of};
use crate::ingest::import::existing::{Compared, Existing};
use crate::ingest::import::progress::Progress;
use crate::ingest::import::source::Source;
use crate::model::sample::TimeRange;
use crate::storage::lake::Lake;
use crate::storage::lake::files::day_text;
use crate::storage::lake::import::{DayImport, DayWritten, Done};
use crate::storage::lake::rows::Exemplar;
use crate::storage::types::Series;

/// See the module.
pub struct Day<'a> {
    pub lake: &'a Lake,
    pub day: i32,
    pub sources: Arc<[Arc<Source>]>,
    /// Samples outside of it are left out.
    pub range: TimeRange,
    /// Batches that are decoded at once.
    pub threads: usize,
    pub progress: &'a Progress,
    /// Where stored samples are looked up; without it all are new.
    pub existing: Option<Existing>,
}

/// What a day came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub series: u64,
    pub samples: u64,
    pub written: DayWritten,
    pub compared: Compared,
    /// Samples of one source that contradict others of it at the same time, and do not count.
    pub contradictions: u64,
}

impl Day<'_> {
    /// Writes the day, and marks how far its sources have come. Without anything to write or to mark nothing is committed.
    ///
    /// # Errors
    /// `Unavailable` where somebody else wrote a part of it meanwhile, which asks to begin again.
    pub async fn write(&self, exemplars: &[Exemplar], done: &[Done]) -> Result<Outcome> {
        let mut import = self.lake.import_day(self.day);
        let mut outcome = match self.each(Some(&mut import)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                import.abort().await;
                return Err(error);
            }
        };
        if outcome.samples == 0 && done.is_empty() && exemplars.is_empty() {
            import.abort().await;
            return Ok(outcome);
        }
        let committed = import.commit(exemplars, done).await.map_err(|error| told(error, self.day))?;
        outcome.written = committed.unwrap_or_default();
        Progress::add(&self.progress.days, 1);
        Progress::add(&self.progress.bytes, outcome.written.bytes);
        Ok(outcome)
    }

    /// How the samples of the day compare with what is stored. Writes nothing.
    pub async fn compare(&self) -> Result<Outcome> {
        self.each(None).await
    }

    async fn each(&self, mut import: Option<&mut DayImport<'_>>) -> Result<Outcome> {
        let listed = Arc::new(self.lake.listed(self.day).await?);
        let mut fresh = std::pin::pin!(self.fresh(listed));
        let mut outcome = Outcome::default();
        while let Some(next) = fresh.next().await {
            let (decoded, compared) = next?;
            outcome.contradictions += decoded.contradictions;
            outcome.compared.join(compared);
            outcome.series += decoded.series.len() as u64;
            outcome.samples += decoded.samples() as u64;
            if let Some(import) = &mut import {
                self.push(decoded, import).await?;
            }
        }
        Ok(outcome)
    }

    /// What is not stored of the day, some series at a time, and how all of it compares. Series that are `listed` come without
    /// their labels.
    pub fn fresh(
        &self,
        listed: Arc<HashSet<i64>>,
    ) -> impl Stream<Item = Result<(Decoded, Compared)>> + Send + use<'_> {
        let range = intersection(range_of(self.day), self.range);
        let decode = move |batch: Batch| {
            let (sources, listed) = (self.sources.clone(), listed.clone());
            async move { blocking(move || batch.decode(&sources, range, &listed)).await? }
        };
        let compare = move |decoded: Decoded| async move {
            let Some(existing) = &self.existing else { return Ok((decoded, Compared::default())) };
            let series = decoded.series.iter().map(|series| (series.metric.clone(), series.id)).collect();
            Ok(decoded.without(&existing(series, range).await?))
        };
        let batches = stream::iter(batch::batches(&self.sources, self.day));
        batches.map(decode).buffered(self.threads.max(1)).and_then(compare)
    }

    async fn push(&self, mut decoded: Decoded, import: &mut DayImport<'_>) -> Result<()> {
        for at in 0..decoded.series.len() {
            if let Some(labels) = decoded.series[at].labels.take() {
                import.list(Series { id: decoded.series[at].id, labels }).await?;
            }
            let series = &decoded.series[at];
            import.push(&series.metric, series.id, decoded.run(series)).await?;
        }
        Progress::add(&self.progress.series, decoded.series.len() as u64);
        Progress::add(&self.progress.samples, decoded.samples() as u64);
        Ok(())
    }
}

fn told(error: Error, day: i32) -> Error {
    if error.kind != ErrorKind::Conflict {
        return error;
    }
    let day = day_text(day);
    let message =
        format!("another import wrote a part of {day} meanwhile, or samples were deleted; run this one again");
    Error::new(ErrorKind::Unavailable, message)
}

/// Runs what keeps a core busy, or waits for a disk, on a thread for such.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.context(ErrorKind::Internal, || "a thread of the import ended before its work".to_string())
}

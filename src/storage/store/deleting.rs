//! Deletes. What was accepted before is flushed, so that it is all in files; the delete is recorded with the files that have any of it,
//! and nobody sees it from then on. Whatever is appended later, to whichever time, is not touched. The merger rewrites the files.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::deleted::Deleted;
use crate::storage::index::series_index::Matches;
use crate::storage::lake::deleting::{Progress, Wanted};
use crate::storage::store::Store;
use crate::storage::store::select::{PARALLEL_DAYS, days_of, lake_days};

/// Series of one delete: a record holds their ids, 8 bytes each.
const MAX_SERIES: usize = 1_000_000;

/// What one call deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// That matched, and have samples on a day of the range.
    pub series: usize,
    /// That may have samples of them within the range.
    pub files: usize,
}

impl Store {
    /// Deletes the samples within a range, and their exemplars, of the series that satisfy any of the sets of matchers: those that were
    /// accepted by now. `texts` are the selectors, for the record. When it returns no query of this process sees them, nor will any
    /// process that opens the lake.
    ///
    /// # Errors
    /// `BadInput` for more series than one delete may have, `Unavailable` while the bucket takes nothing or too many deletes
    /// wait; then nothing is deleted, or all of it.
    pub async fn delete(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        texts: Vec<String>,
    ) -> Result<DeleteReport> {
        let inner = &self.inner;
        if inner.options.log_only.is_some() {
            return Err(Error::unsupported("no samples are kept here that could be deleted"));
        }
        if range.is_empty() {
            return Ok(DeleteReport::default());
        }
        self.flush().await?;
        self.see_lake().await?;
        let view = inner.view();
        let days = lake_days(&view, days_of(range));
        let mut indexes = stream::iter(days)
            .map(|(day, version)| async move { inner.day_index(day, version).await.map(|index| (day, index)) })
            .buffered(PARALLEL_DAYS);
        let mut found: HashMap<i64, String> = HashMap::new();
        let mut days = BTreeSet::new();
        while let Some((day, index)) = indexes.try_next().await? {
            let mut matches = Matches::default();
            sets.iter().for_each(|matchers| index.select(matchers, None, &mut matches));
            let (series, _) = matches.into_parts();
            if !series.is_empty() {
                days.insert(day);
            }
            for series in series {
                found.entry(series.id).or_insert_with(|| series.labels.metric().to_string());
            }
            if found.len() > MAX_SERIES {
                let message = format!("this matches more than {MAX_SERIES} series; delete them in parts");
                return Err(Error::bad_input(message));
            }
        }
        drop(indexes);
        let series = found.len();
        let (mut ids, metrics): (Vec<i64>, BTreeSet<String>) = found.into_iter().unzip();
        ids.sort_unstable();
        let deleted = Deleted { ids, range };
        let wanted = Wanted { matchers: texts, deleted, metrics: metrics.into_iter().collect(), days };
        let files = inner.lake.delete(wanted).await;
        // Also what was recorded before an error.
        inner.update_view(|view| view.with_files(inner.lake.files()));
        inner.warmer_wake.notify_one();
        Ok(DeleteReport { series, files: files? })
    }

    /// Rewrites the files that have what was deleted; returns how many were replaced.
    pub async fn clean_deleted(&self) -> Result<usize> {
        self.inner.rewrite_deleted().await
    }

    /// Deletes that have a record, oldest first.
    pub fn deletes(&self) -> Vec<Progress> {
        self.inner.lake.deletes()
    }
}

#[cfg(test)]
mod tests;

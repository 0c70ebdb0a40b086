//! A day of history, written beside whatever else writes: sorted series to files, series that the day does not list yet,
//! and one commit that carries how far the imported sources have come. What an import brings counts as older than all
//! that is there: of two samples with one series and timestamp the one the lake had first stays.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::model::metadata::Metadata;
use crate::model::sample::DAY_MS;
use crate::storage::lake::merge::{self, LEVEL_DAY};
use crate::storage::lake::output::{FILE_BYTES, Output, Target};
use crate::storage::lake::rows::{self, Exemplar};
use crate::storage::lake::table::{AddFile, Change, Committed, Transaction};
use crate::storage::lake::tables::Lake;
use crate::storage::types::{RunSlice, Series, Stamp};

/// The position of imported files, before those of all commits: see `FORMAT.md`.
const POSITION: i64 = 0;
/// Series of one file of the list.
const LISTED_TOGETHER: usize = 100_000;
/// Imports have no epochs.
const EPOCH: u64 = 0;

/// How far one source has come, as Delta's transaction: a commit with a number that is there already is not made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub application: String,
    pub number: u64,
}

/// What a day came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayWritten {
    pub files: usize,
    pub bytes: u64,
    pub new_series: usize,
}

/// See the module.
pub struct DayImport<'a> {
    lake: &'a Lake,
    day: i32,
    level: u8,
    /// By whether the runs have histograms, and start timestamps: columns are in a file or not.
    outputs: BTreeMap<(bool, bool), Output>,
    new_series: Vec<Arc<Series>>,
    new_series_files: Vec<AddFile>,
    written: DayWritten,
    /// As they were when the day was begun.
    deletes: u64,
}

impl Lake {
    /// How far a source has come; 0 where nothing of it was imported.
    pub async fn imported(&self, application: &str) -> Result<u64> {
        Ok(self.tables().samples.applied(application).await?.sequence)
    }

    /// Begins a day. Nobody sees anything of it until it is committed.
    pub fn import_day(&self, day: i32) -> DayImport<'_> {
        let files = self.files();
        let is_over = (i64::from(day) + 1) * DAY_MS + merge::Limits::default().closed_after_ms <= self.now_ms();
        let is_alone = !files.samples.iter().any(|file| file.day == day);
        DayImport {
            lake: self,
            day,
            // A whole day need not be merged again for every late file.
            level: if is_over && is_alone { LEVEL_DAY } else { 0 },
            outputs: BTreeMap::new(),
            new_series: Vec::new(),
            new_series_files: Vec::new(),
            written: DayWritten::default(),
            deletes: self.deletes_seen(),
        }
    }

    /// Ids of the series a day lists.
    pub async fn listed(&self, day: i32) -> Result<HashSet<i64>> {
        Ok(self.read_series(day).await?.iter().map(|series| series.id).collect())
    }

    /// Adds metadata of families that have none yet; returns how many.
    pub async fn import_metadata(&self, metadata: &BTreeMap<String, Metadata>) -> Result<usize> {
        let known: HashSet<String> = self.read_metadata().await?.into_iter().map(|(family, _)| family).collect();
        let pairs = metadata.iter().map(|(family, metadata)| (family.clone(), metadata.clone()));
        let missing: Vec<(String, Metadata)> = pairs.filter(|(family, _)| !known.contains(family)).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let table = &self.tables().metadata;
        let bytes = rows::encode_metadata(&missing)?;
        let add = vec![self.upload_rows(table, None, missing.len(), bytes).await?];
        let change = Change { operation: "WRITE", add, data_change: true, ..Change::default() };
        table.commit(&change, self.now_ms()).await?;
        self.reload_now().await?;
        Ok(missing.len())
    }
}

impl DayImport<'_> {
    /// Appends a series; keys must ascend from call to call. All samples are of the day.
    pub async fn push(&mut self, metric: &str, series_id: i64, run: RunSlice<'_>) -> Result<()> {
        let columns = (!run.histograms.is_empty(), !run.start_timestamps.is_empty());
        let output = self.outputs.entry(columns).or_insert_with(|| {
            let target = Target {
                day: self.day,
                commit: POSITION,
                level: self.level,
                histograms: columns.0,
                start_timestamps: columns.1,
                now_ms: self.lake.now_ms(),
                file_bytes: FILE_BYTES,
            };
            Output::new(Arc::clone(self.lake.root()), target)
        });
        output.push(metric, series_id, run).await
    }

    /// Adds a series to the list of the day, which does not have it.
    pub async fn list(&mut self, series: Series) -> Result<()> {
        self.new_series.push(Arc::new(series));
        self.written.new_series += 1;
        if self.new_series.len() >= LISTED_TOGETHER {
            self.upload_list().await?;
        }
        Ok(())
    }

    async fn upload_list(&mut self) -> Result<()> {
        if self.new_series.is_empty() {
            return Ok(());
        }
        let bytes = rows::encode_series(&self.new_series)?;
        let table = &self.lake.tables().series;
        let file = self.lake.upload_rows(table, Some(self.day), self.new_series.len(), bytes).await?;
        self.new_series.clear();
        self.new_series_files.push(file);
        Ok(())
    }

    /// Makes the day visible, its series before its samples, and says what was done of the sources with it. `None`: that
    /// had been done before, and nothing was changed. [`ErrorKind::Conflict`]: of a part of the sources it had, or samples
    /// were deleted since the day was begun.
    pub async fn commit(mut self, exemplars: &[Exemplar], done: &[Done]) -> Result<Option<DayWritten>> {
        self.upload_list().await?;
        let mut add = Vec::new();
        for (_, output) in std::mem::take(&mut self.outputs) {
            add.extend(output.finish().await?);
        }
        self.written.files = add.len();
        self.written.bytes = add.iter().map(|file| file.size_bytes).sum();
        let paths: Vec<String> = add.iter().map(|file| file.path.clone()).collect();
        let committed = self.commit_tables(exemplars, add, done).await;
        let is_ours = match &committed {
            Ok(Committed::Now) => true,
            // An earlier attempt of this very commit, or somebody else.
            Ok(Committed::Before) => is_live(self.lake, &paths).await?,
            Err(error) => error.kind != ErrorKind::Conflict,
        };
        if !is_ours {
            // They are in the way of nobody, and need not wait for the clean-up.
            delete(self.lake, &paths).await;
        }
        committed?;
        // Also what others have committed instead.
        self.lake.reload_now().await?;
        Ok(is_ours.then_some(self.written))
    }

    async fn commit_tables(
        &mut self,
        exemplars: &[Exemplar],
        add: Vec<AddFile>,
        done: &[Done],
    ) -> Result<Committed> {
        let (tables, now_ms) = (self.lake.tables(), self.lake.now_ms());
        if !exemplars.is_empty() {
            let all: Vec<&Exemplar> = exemplars.iter().collect();
            let bytes = rows::encode_exemplars(&all)?;
            let file = self.lake.upload_rows(&tables.exemplars, Some(self.day), all.len(), bytes).await?;
            let change = Change { operation: "WRITE", add: vec![file], data_change: true, ..Change::default() };
            tables.exemplars.commit(&change, now_ms).await?;
        }
        let series = std::mem::take(&mut self.new_series_files);
        if !series.is_empty() {
            let change = Change { operation: "WRITE", add: series, data_change: true, ..Change::default() };
            tables.series.commit(&change, now_ms).await?;
            tables.series.checkpoint_if_due().await;
        }
        let transactions = done.iter().map(|done| Transaction {
            application: done.application.clone(),
            stamp: Stamp { epoch: EPOCH, sequence: done.number },
        });
        let change = Change {
            operation: "WRITE",
            add,
            data_change: true,
            transactions: transactions.collect(),
            deletes: Some(self.deletes),
            may_be_made: true,
            ..Change::default()
        };
        let committed = tables.samples.commit(&change, now_ms).await?;
        tables.samples.checkpoint_if_due().await;
        Ok(committed)
    }

    /// Drops what was written; nobody has seen it.
    pub async fn abort(self) {
        for (_, output) in self.outputs {
            output.abort().await;
        }
    }
}

/// Whether files are in the table, by the first of them: a commit has all or none.
async fn is_live(lake: &Lake, paths: &[String]) -> Result<bool> {
    let Some(first) = paths.first() else { return Ok(true) };
    let live = lake.tables().samples.live().await?;
    Ok(live.iter().any(|file| file.path == *first))
}

async fn delete(lake: &Lake, paths: &[String]) {
    for path in paths {
        let path = format!("samples/{path}");
        if let Err(error) = lake.root().delete(&Path::from(path.as_str())).await {
            tracing::debug!(path, %error, "a file that nobody knows stays for the clean-up");
        }
    }
}

/// The number of a source that has come to the end of a day.
pub fn number_of(day: i32) -> Result<u64> {
    // Days from the year 0 on, so that 0 is before all.
    let number = i64::from(day) + DAYS_BEFORE_1970;
    u64::try_from(number).map_err(|_| Error::bad_input(format!("{day} days from 1970 is before the year 0")))
}

/// The day of a number; `None` for that of a source nothing was imported of.
pub fn day_of_number(number: u64) -> Option<i32> {
    let day = i64::try_from(number).ok()?.checked_sub(DAYS_BEFORE_1970)?;
    if number == 0 { None } else { i32::try_from(day).ok() }
}

/// The number of a source that has nothing left: later than the last day of all.
pub const ALL_DAYS: u64 = 1 << 24;

/// From 0000-01-01 on.
const DAYS_BEFORE_1970: i64 = 719_528;

#[cfg(test)]
mod tests;

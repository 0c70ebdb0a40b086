//! Deleting: what was taken from which files is recorded, and these files are rewritten.
//!
//! A delete is a row of the table `deletes`: ids of series, a range of time, and the paths of the files that may have them.
//! Readers leave out of these files what it took ([`Deletes`]), from the moment its record is committed; files that come later are
//! none of its business. It is done when none of its files is live any more. How commits that were planned without it are
//! kept from bringing samples back is in `FORMAT.md`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::sample::{DAY_MS, TimeRange};
use crate::storage::deleted::{Deleted, is_whole_day};
use crate::storage::lake::deletes::{self, Delete};
use crate::storage::lake::rows;
use crate::storage::lake::table::{Change, Committed, DELETES, Transaction};
use crate::storage::lake::tables::Lake;
use crate::storage::types::Stamp;

/// Deletes that are not done, or were lately; each is read at a start and asked of its files.
const MAX_DELETES: usize = 1_000;
/// Files of all deletes.
const MAX_FILES: usize = 500_000;
/// How often a delete begins anew because others merge its files.
const ATTEMPTS: usize = 10;
/// A record is kept this long, for those who ask what became of it, where there are not more than so many.
const KEPT_MS: i64 = DAY_MS;
const KEPT: usize = 100;
/// 9999-12-31T23:59:59.999Z: what tools can read of times in the lake.
const LAST_MS: i64 = 253_402_300_799_999;
/// 0001-01-01T00:00:00Z.
const FIRST_MS: i64 = -62_135_596_800_000;

/// What shall be deleted.
#[derive(Debug)]
pub struct Wanted {
    /// The selectors, for the record.
    pub matchers: Vec<String>,
    pub deleted: Deleted,
    /// Names of the metrics of the series, ascending.
    pub metrics: Vec<String>,
    /// Days that list one of the series.
    pub days: BTreeSet<i32>,
}

/// How far a delete has come.
#[derive(Clone, Debug)]
pub struct Progress {
    pub delete: Arc<Delete>,
    /// Of its files, those that still have what it took.
    pub files_left: usize,
}

impl Lake {
    /// All that are recorded, oldest first.
    pub fn deletes(&self) -> Vec<Progress> {
        let (files, recorded) = (self.files(), self.recorded());
        let live: HashSet<&str> = files.deletable().collect();
        let left = |delete: &Arc<Delete>| delete.files.iter().filter(|path| live.contains(path.as_str())).count();
        recorded
            .deletes
            .iter()
            .map(|delete| Progress { delete: delete.clone(), files_left: left(delete) })
            .collect()
    }

    /// Records a delete, after which no reader of this process sees what it takes; returns in how many files that is. What is
    /// not in the lake yet is none of its business.
    ///
    /// # Errors
    /// `Unavailable` where too many deletes wait for their files to be rewritten, or others keep merging the files.
    pub async fn delete(&self, wanted: Wanted) -> Result<usize> {
        let _turn = self.turn().await;
        let deleted = Deleted { ids: wanted.deleted.ids, range: within_calendar(wanted.deleted.range) };
        for _ in 0..ATTEMPTS {
            self.follow_all().await?;
            let (samples, others) = self.concerned(&wanted.metrics, &wanted.days, deleted.range);
            let files = [samples.clone(), others].concat();
            if files.is_empty() {
                return Ok(0);
            }
            if files.len() > MAX_FILES {
                let message =
                    format!("this is in {} files, more than {MAX_FILES}; give a shorter range", files.len());
                return Err(Error::bad_input(message));
            }
            let recorded = self.recorded();
            if recorded.deletes.len() >= MAX_DELETES || recorded.named_files() + files.len() > MAX_FILES {
                let message =
                    "too many deletes wait for their files to be rewritten; ask for clean_tombstones first";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            let (table, id) = (&self.tables().deletes, uuid::Uuid::new_v4().to_string());
            let bytes = deletes::encode(&id, self.now_ms(), &wanted.matchers, &deleted, &files)?;
            let add = vec![self.upload_rows(table, None, 1, bytes).await?];
            let record = Change { operation: "WRITE", add, data_change: true, ..Change::default() };
            table.commit(&record, self.now_ms()).await?;
            table.checkpoint_if_due().await;
            let committed = self.commit_number(&samples).await;
            self.reload().await?;
            match committed {
                Ok(Some(number)) => {
                    self.saw_deletes(number);
                    return Ok(files.len());
                }
                // Somebody else's delete has the number, or a merge has replaced files: the record may lack their successors.
                Ok(None) => {}
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the files keep being merged by others; try again"))
    }

    /// Makes commits to `samples` that were planned without the latest record fail. `None` where another commit has the number.
    async fn commit_number(&self, samples: &[String]) -> Result<Option<u64>> {
        let table = &self.tables().samples;
        let number = table.applied(DELETES).await?.sequence + 1;
        let stamp = Stamp { epoch: 0, sequence: number };
        let change = Change {
            operation: "DELETE",
            needs: samples.iter().map(|path| path.trim_start_matches("samples/").to_string()).collect(),
            transactions: vec![Transaction { application: DELETES.to_string(), stamp }],
            ..Change::default()
        };
        let committed = table.commit(&change, self.now_ms()).await?;
        table.checkpoint_if_due().await;
        Ok((committed == Committed::Now).then_some(number))
    }

    /// Files that may have samples of some metrics on some days within a range; those of samples, and the others.
    fn concerned(&self, metrics: &[String], days: &BTreeSet<i32>, range: TimeRange) -> (Vec<String>, Vec<String>) {
        let files = self.files();
        let has_any = |first: &str, last: &str| {
            let at = metrics.partition_point(|metric| metric.as_str() < first);
            metrics.get(at).is_some_and(|metric| metric.as_str() <= last)
        };
        let samples = files.samples.iter().filter(|file| {
            days.contains(&file.day)
                && range.overlaps(file.min_timestamp, file.max_timestamp)
                && has_any(&file.min_metric, &file.max_metric)
        });
        let samples = samples.map(|file| file.path.clone()).collect();
        let mut others = Vec::new();
        for day in days {
            let exemplars = files.exemplars.get(day).into_iter().flatten();
            let lists = files.series.get(day).filter(|_| is_whole_day(range, *day)).into_iter().flatten();
            others.extend(exemplars.chain(lists).map(|file| file.path.clone()));
        }
        (samples, others)
    }

    /// Rewrites the files of exemplars and the lists of series that have what was deleted; returns how many were replaced.
    pub async fn rewrite_rows(&self) -> Result<usize> {
        let (files, mut replaced) = (self.files(), 0);
        let tables = self.tables();
        for (table, days) in [(&tables.series, &files.series), (&tables.exemplars, &files.exemplars)] {
            for (day, inputs) in days {
                for file in inputs.iter().filter(|file| !file.deletes.is_empty()) {
                    let read = self.read(file).await?;
                    let left = match table.name() {
                        "series" => rows::without(read, &file.path, |id, _| file.deletes.take_from_list(id, *day))?,
                        _ => rows::without(read, &file.path, |id, time| file.deletes.take(id, time.unwrap_or(0)))?,
                    };
                    let inputs = std::slice::from_ref(file);
                    replaced += match left {
                        Some((rows, bytes)) => self.replace_rows(table, Some(*day), inputs, rows, bytes).await?,
                        None => self.remove_rows(table, inputs).await?,
                    };
                }
            }
        }
        Ok(replaced)
    }

    /// Removes the records of deletes that have been done for long enough.
    pub async fn forget_deletes(&self) -> Result<usize> {
        let oldest = self.now_ms() - KEPT_MS;
        let all = self.deletes();
        let is_many = all.len() > KEPT;
        let is_over = |of: &Progress| of.files_left == 0 && (is_many || of.delete.time < oldest);
        // A file of somebody else may have several.
        let kept: HashSet<String> =
            all.iter().filter(|of| !is_over(of)).map(|of| of.delete.record.path.clone()).collect();
        let done = all.iter().filter(|of| is_over(of) && !kept.contains(&of.delete.record.path));
        let mut paths: Vec<String> = done.map(|of| of.delete.record.path.clone()).collect();
        paths.sort_unstable();
        paths.dedup();
        if paths.is_empty() {
            return Ok(0);
        }
        let table = &self.tables().deletes;
        let remove: Vec<String> =
            paths.iter().map(|path| path.trim_start_matches("deletes/").to_string()).collect();
        let count = remove.len();
        let change = Change { operation: "DELETE", remove, data_change: true, ..Change::default() };
        let _turn = self.turn().await;
        let committed = table.commit(&change, self.now_ms()).await;
        self.reload().await?;
        match committed {
            Ok(_) => Ok(count),
            // Another node was quicker.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// As far as times in the lake go.
fn within_calendar(range: TimeRange) -> TimeRange {
    TimeRange::new(range.start_inclusive.max(FIRST_MS), range.end_inclusive.min(LAST_MS))
}

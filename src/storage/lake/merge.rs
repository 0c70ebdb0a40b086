//! Many files of a day into fewer: which, and how.
//!
//! [`plan`] is a pure function of the live files and the time. Files are merged level by level, a dozen neighbours
//! at a time, so that a sample is rewritten about once for each level; when its day is over, all files of the day
//! become one. Only neighbours in commit order are merged, because the result takes the position of its newest
//! input and must not overtake a file in between. A file that has samples which were deleted is rewritten without them, by
//! itself where no merge is due. [`write`] streams its inputs series by series; its memory is
//! a row group of output and a batch of each input.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use object_store::ObjectStore;

use crate::error::Result;
use crate::model::sample::DAY_MS;
use crate::storage::lake::files::parse_name;
use crate::storage::lake::output::{FILE_BYTES, Output, Target};
use crate::storage::lake::reader::{FileRun, RunStream};
use crate::storage::lake::table::AddFile;
use crate::storage::runs::combine;
use crate::storage::types::SampleFile;

/// The level of a day that is merged as a whole.
pub const LEVEL_DAY: u8 = 9;

/// What [`plan`] goes by.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Files of one level that are merged together.
    pub fan_in: usize,
    /// Files merged at most at once; bounds memory.
    pub fan_in_max: usize,
    /// A day is closed this long after its end.
    pub closed_after_ms: i64,
    /// Late files of a merged day are merged into it when it is at most this many times as large as they are.
    pub late_ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fan_in: 12, fan_in_max: 48, closed_after_ms: 2 * 3_600_000, late_ratio: 8 }
    }
}

/// Files of one day to be replaced by their merge.
#[derive(Clone, Debug)]
pub struct MergeJob {
    pub day: i32,
    /// Neighbours in commit order, oldest first.
    pub inputs: Vec<Arc<SampleFile>>,
    pub level: u8,
}

/// The merges that pay at `now_ms`; at most one for each day, so that jobs are independent.
pub fn plan(files: &[Arc<SampleFile>], now_ms: i64, limits: &Limits) -> Vec<MergeJob> {
    let mut days: BTreeMap<i32, Vec<Arc<SampleFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.day).or_default().push(Arc::clone(file));
    }
    let jobs = days.into_iter().filter_map(|(day, mut files)| {
        files.sort_unstable_by(|a, b| (a.commit, &a.path).cmp(&(b.commit, &b.path)));
        let closed = (i64::from(day) + 1) * DAY_MS + limits.closed_after_ms <= now_ms;
        let merge = match closed {
            true => plan_closed(day, &files, limits),
            false => plan_open(day, &files, limits),
        };
        merge.or_else(|| without_deleted(day, &files))
    });
    jobs.collect()
}

/// The rewriting of each file that has samples which were deleted.
pub fn rewrites(files: &[Arc<SampleFile>]) -> Vec<MergeJob> {
    files.iter().filter_map(|file| without_deleted(file.day, std::slice::from_ref(file))).collect()
}

/// The first of some files that has samples which were deleted, by itself.
fn without_deleted(day: i32, files: &[Arc<SampleFile>]) -> Option<MergeJob> {
    let file = files.iter().find(|file| !file.deletes.is_empty())?;
    Some(MergeJob { day, inputs: vec![Arc::clone(file)], level: level(file) })
}

fn level(file: &SampleFile) -> u8 {
    parse_name(&file.path).level
}

/// The oldest neighbours of one level, when there are enough of them.
fn plan_open(day: i32, files: &[Arc<SampleFile>], limits: &Limits) -> Option<MergeJob> {
    let groups = files.chunk_by(|a, b| level(a) == level(b));
    let group = groups.filter(|group| level(&group[0]) < LEVEL_DAY).find(|group| group.len() >= limits.fan_in)?;
    let level = (level(&group[0]) + 1).min(LEVEL_DAY - 1);
    // A flush that was split has several files with one position; they stay together.
    let mut count = limits.fan_in;
    while count < group.len().min(limits.fan_in_max) && group[count].commit == group[count - 1].commit {
        count += 1;
    }
    Some(MergeJob { day, inputs: group[..count].to_vec(), level })
}

fn plan_closed(day: i32, files: &[Arc<SampleFile>], limits: &Limits) -> Option<MergeJob> {
    let bytes = |merged: bool| -> u64 {
        files.iter().filter(|f| (level(f) == LEVEL_DAY) == merged).map(|f| f.size_bytes).sum()
    };
    let late = files.iter().filter(|f| level(f) < LEVEL_DAY).count();
    let (late_bytes, merged_bytes) = (bytes(false), bytes(true));
    if late == 0 || files.len() < 2 {
        return None;
    }
    if files.len() > limits.fan_in_max {
        return plan_open(day, files, limits).or_else(|| oldest(day, files, limits));
    }
    if late_bytes.saturating_mul(limits.late_ratio) >= merged_bytes || late >= limits.fan_in {
        return Some(MergeJob { day, inputs: files.to_vec(), level: LEVEL_DAY });
    }
    None
}

/// Too many files to merge at once and no dozen of one level: the oldest ones that are not a merged day's.
fn oldest(day: i32, files: &[Arc<SampleFile>], limits: &Limits) -> Option<MergeJob> {
    let groups = files.chunk_by(|a, b| (level(a) == LEVEL_DAY) == (level(b) == LEVEL_DAY));
    let group = groups.filter(|group| level(&group[0]) < LEVEL_DAY).find(|group| group.len() > 1)?;
    let inputs = group[..group.len().min(limits.fan_in)].to_vec();
    let level = inputs.iter().map(|file| level(file)).max().unwrap_or(0);
    Some(MergeJob { day, inputs, level: (level + 1).min(LEVEL_DAY - 1) })
}

/// Merges the inputs of a job and uploads the result, which nobody sees until it is committed.
pub async fn write(store: &Arc<dyn ObjectStore>, job: &MergeJob, now_ms: i64) -> Result<Vec<AddFile>> {
    let target = Target {
        day: job.day,
        commit: job.inputs.iter().map(|file| file.commit).max().unwrap_or(0),
        level: job.level,
        histograms: job.inputs.iter().any(|file| file.has_histograms),
        start_timestamps: job.inputs.iter().any(|file| file.has_start_timestamps),
        now_ms,
        file_bytes: FILE_BYTES,
    };
    let mut output = Output::new(Arc::clone(store), target);
    match merge_into(store, job, &mut output).await {
        Ok(()) => output.finish().await,
        Err(e) => {
            output.abort().await;
            Err(e)
        }
    }
}

async fn merge_into(store: &Arc<dyn ObjectStore>, job: &MergeJob, output: &mut Output) -> Result<()> {
    let mut sources = Vec::with_capacity(job.inputs.len());
    let mut heads: BinaryHeap<Reverse<(Arc<str>, i64, usize)>> = BinaryHeap::new();
    for (at, file) in job.inputs.iter().enumerate() {
        let mut stream = RunStream::of(Arc::clone(store), file).await?;
        let head = stream.next().await?;
        if let Some(run) = &head {
            heads.push(Reverse((Arc::clone(&run.metric), run.series_id, at)));
        }
        sources.push((stream, head));
    }
    let mut same: Vec<FileRun> = Vec::new();
    while let Some(Reverse((metric, series_id, at))) = heads.pop() {
        // Sources with one key come out oldest first.
        let (stream, head) = &mut sources[at];
        same.extend(head.take());
        *head = stream.next().await?;
        if let Some(run) = head {
            heads.push(Reverse((Arc::clone(&run.metric), run.series_id, at)));
        }
        let more = heads.peek().is_some_and(|Reverse((m, id, _))| *id == series_id && *m == metric);
        if !more {
            let run = combine(same.drain(..).map(|found| found.run).collect());
            output.push(&metric, series_id, (&run).into()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

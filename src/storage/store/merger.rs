//! The merger task: every few minutes, the lake's merge jobs, one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::storage::head::cache;
use crate::storage::lake::merge;
use crate::storage::store::Inner;
use crate::storage::store::view::View;

const PERIOD: Duration = Duration::from_secs(5 * 60);

/// Objects no query can need are looked for, with listings of every table, after so many periods.
const SWEEP_PERIODS: u32 = 72;
/// Rounds of rewriting in which others were always quicker.
const ROUNDS_IN_VAIN: usize = 10;
/// Between two lines about work that takes long.
const TOLD_PERIOD: Duration = Duration::from_secs(30);
/// Jobs are planned again this often before the rest is left to the next period.
const MAX_ROUNDS: usize = 64;

/// Runs for the life of the store.
pub async fn run(inner: Arc<Inner>) {
    for period in 1u32.. {
        tokio::time::sleep(PERIOD).await;
        if let Err(error) = inner.merge().await {
            inner.counters.merge_failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("merge failed, trying again in {PERIOD:?}: {error}");
        }
        if period % SWEEP_PERIODS == 0
            && let Err(error) = inner.lake.sweep().await
        {
            tracing::warn!("removed files stay for now: {error}");
        }
    }
}

impl Inner {
    /// Runs merge jobs until none is left; returns how many files were replaced.
    pub async fn merge(&self) -> Result<usize> {
        let _alone = self.merging.lock().await;
        let mut replaced = 0;
        if self.lake.refresh().await? {
            self.warmer_wake.notify_one();
        }
        self.update_view(|view| view.with_files(self.lake.files()));
        for _ in 0..MAX_ROUNDS {
            let jobs = self.lake.plan_merges(&merge::Limits::default());
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                replaced += self.merge_job(job).await?;
            }
        }
        replaced += self.lake.merge_series().await?;
        replaced += self.lake.rewrite_rows().await?;
        self.lake.forget_deletes().await?;
        // Whatever is wrong with those files, the samples are merged.
        match self.lake.merge_alert_history().await {
            Ok(merged) => replaced += merged,
            Err(error) => tracing::warn!("files of alert_history are not merged for now: {error}"),
        }
        self.update_view(|view| view.with_files(self.lake.files()));
        let view = self.view();
        self.days.retain(|day| view.files.series_version(day).is_some());
        Ok(replaced)
    }

    /// Rewrites the files that have what was deleted until none is left; returns how many were replaced.
    pub async fn rewrite_deleted(&self) -> Result<usize> {
        let _alone = self.merging.lock().await;
        self.lake.refresh().await?;
        self.update_view(|view| view.with_files(self.lake.files()));
        let (mut replaced, mut in_vain) = (0, 0);
        let mut told = Instant::now();
        loop {
            let jobs = self.lake.plan_rewrites();
            let (left, mut done) = (jobs.len(), 0);
            for job in jobs {
                done += self.merge_job(job).await?;
                if told.elapsed() >= TOLD_PERIOD {
                    told = Instant::now();
                    tracing::info!(
                        rewritten = replaced + done,
                        left = left - done,
                        "rewriting files without what was deleted"
                    );
                }
            }
            replaced += done;
            if left == 0 {
                break;
            }
            in_vain = if done == 0 { in_vain + 1 } else { 0 };
            if in_vain == ROUNDS_IN_VAIN {
                let message = "files with deleted samples keep being merged by others; try again";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        }
        replaced += self.lake.rewrite_rows().await?;
        self.lake.forget_deletes().await?;
        self.update_view(|view| view.with_files(self.lake.files()));
        Ok(replaced)
    }

    async fn merge_job(&self, job: merge::MergeJob) -> Result<usize> {
        let inputs: Vec<String> = job.inputs.iter().map(|file| file.path.clone()).collect();
        let outputs = match self.lake.run_merge(&job).await {
            Ok(outputs) => outputs,
            // Another node, a delete or retention was first; the next round plans on what is left.
            Err(error) if error.kind == ErrorKind::Conflict => return Ok(0),
            Err(error) => return Err(error),
        };
        let paths: Vec<String> = outputs.iter().map(|file| file.path.clone()).collect();
        self.update_view(|view| {
            let next = view.with_files(self.lake.files());
            // Nothing may be left of the inputs, and something may be deleted from the outputs by now.
            if outputs.is_empty() || !next.has_as_read(&outputs) {
                return next;
            }
            let cached = cache::after_merge(&view.cached, &inputs, &paths);
            View { cached, ..view.clone() }.with_files(next.files)
        });
        self.warmer_wake.notify_one();
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        self.counters.merged_files.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        Ok(inputs.len())
    }
}

//! The merger task: every few minutes, the lake's merge jobs, one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Result;
use crate::storage::head::cache;
use crate::storage::lake::merge;
use crate::storage::store::Inner;
use crate::storage::store::view::View;

const PERIOD: Duration = Duration::from_secs(5 * 60);

/// Runs for the life of the store.
pub async fn run(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        if let Err(error) = inner.merge().await {
            inner.counters.merge_failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("merge failed, trying again in {PERIOD:?}: {error}");
        }
    }
}

impl Inner {
    /// Runs merge jobs until none is left; returns how many files were replaced.
    pub async fn merge(&self) -> Result<usize> {
        let _alone = self.merging.lock().await;
        let mut replaced = 0;
        self.lake.refresh().await?;
        self.update_view(|view| view.with_files(self.lake.files()));
        loop {
            let jobs = merge::plan(&self.lake.files().samples, (self.clock)(), &merge::Limits::default());
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                replaced += self.merge_job(job).await?;
            }
        }
        let view = self.view();
        self.days.retain(|day| view.files.series_version(day).is_some());
        Ok(replaced)
    }
}

impl Inner {
    async fn merge_job(&self, job: merge::MergeJob) -> Result<usize> {
        let inputs: Vec<String> = job.inputs.iter().map(|file| file.path.clone()).collect();
        let Some(outputs) = self.lake.run_merge(&job).await? else { return Ok(0) };
        let outputs: Vec<String> = outputs.iter().map(|file| file.path.clone()).collect();
        self.update_view(|view| {
            let cached = cache::after_merge(&view.cached, &inputs, &outputs);
            View { cached, ..view.clone() }.with_files(self.lake.files())
        });
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        self.counters.merged_files.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        Ok(inputs.len())
    }
}

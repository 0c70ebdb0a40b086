//! The refresher task: follows the lake's log, so that what others commit to it (an import, another node) is seen soon.
//! It costs one request each time nothing is new.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::storage::lake::files::FileSet;
use crate::storage::object::Kind;
use crate::storage::store::{Inner, Store};

/// Between two looks. A bucket charges by the request.
const PERIOD: Duration = Duration::from_secs(2);
const BUCKET_PERIOD: Duration = Duration::from_secs(10);

/// Runs for the life of the store.
pub async fn run(inner: Arc<Inner>) {
    let period = if inner.objects.kind == Kind::Bucket { BUCKET_PERIOD } else { PERIOD };
    let mut failing = false;
    loop {
        tokio::time::sleep(period).await;
        match inner.refresh().await {
            Ok(()) => failing = false,
            Err(error) if failing => tracing::debug!("the log of the lake still cannot be read: {error}"),
            Err(error) => {
                failing = true;
                tracing::warn!("what others commit to the lake is not seen for now: {error}");
            }
        }
    }
}

impl Inner {
    async fn refresh(&self) -> Result<()> {
        let before = self.lake.files();
        if self.lake.refresh_samples().await? {
            self.take_files(&before).await?;
        }
        Ok(())
    }

    /// Shows queries the files that the lake knows, which was told of `before` by them already.
    async fn take_files(&self, before: &FileSet) -> Result<()> {
        let files = self.lake.files();
        if files.metadata != before.metadata {
            let metadata = self.lake.read_metadata().await?;
            let mut gate = self.gate.lock();
            for (family, metadata) in metadata {
                // What this process was told itself is newer.
                gate.metadata.entry(family).or_insert(metadata);
            }
        }
        self.update_view(|view| view.with_files(self.lake.files()));
        self.warmer_wake.notify_one();
        Ok(())
    }
}

impl Store {
    /// Shows queries what was committed to the lake beside the log, by this process or another one, up to now.
    pub async fn see_lake(&self) -> Result<()> {
        // What this process committed itself is no news to the lake, so the files are taken in any case.
        let before = self.inner.view().files.clone();
        self.inner.lake.refresh_samples().await?;
        self.inner.take_files(&before).await
    }
}

//! The warmer task: fills what is free of the cache with the newest files, so that a restart, or a merge of files that
//! were not all cached, costs the next queries little.
//!
//! Files are taken newest commit first and the first that does not fit ends it: the cache then holds the latest
//! commits whole, and a cached sample rightly wins over one of equal timestamp in a file.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::storage::head::cache::{self, Entry};
use crate::storage::head::packed::{Builder, PackedBlock};
use crate::storage::lake::reader::RunStream;
use crate::storage::store::Inner;
use crate::storage::store::view::View;
use crate::storage::types::SampleFile;

/// Samples packed before others get a turn.
const YIELD_SAMPLES: usize = 64 << 10;

/// Runs for the life of the store; woken when the set of files changed.
pub async fn run(inner: Arc<Inner>) {
    // Files that turned out not to fit.
    let mut too_large = HashSet::new();
    loop {
        if let Err(error) = inner.warm(&mut too_large).await {
            tracing::warn!("the cache stays as it is for now: {error}");
        }
        inner.warmer_wake.notified().await;
    }
}

impl Inner {
    async fn warm(&self, too_large: &mut HashSet<String>) -> Result<()> {
        while let Some((file, room_bytes)) = self.next_to_warm().filter(|(file, _)| !too_large.contains(&file.path))
        {
            match self.pack(&file, room_bytes).await? {
                None => {
                    too_large.insert(file.path.clone());
                }
                Some(block) => self.update_view(|view| with_entry(view, &file, block)),
            }
        }
        let live = self.lake.files();
        too_large.retain(|path| live.samples.iter().any(|file| file.path == *path));
        Ok(())
    }

    /// The newest file that is not cached, if it may fit, and the bytes that are free.
    fn next_to_warm(&self) -> Option<(Arc<SampleFile>, usize)> {
        let view = self.view();
        let room_bytes = self.options.cache_bytes.saturating_sub(cache::bytes(&view.cached));
        let newest = view.files.samples.iter().rev().find(|file| !cache::holds(&view.cached, &file.path));
        // Packed samples are hardly ever smaller than the file.
        newest.filter(|file| file.size_bytes <= room_bytes as u64).map(|file| (file.clone(), room_bytes))
    }

    /// Reads a file into a block; `None` where that would be larger than `room_bytes`.
    async fn pack(&self, file: &SampleFile, room_bytes: usize) -> Result<Option<PackedBlock>> {
        let mut runs = RunStream::open(self.objects.store.clone(), &file.path, file.size_bytes).await?;
        let mut builder = Builder::default();
        let mut samples = 0;
        while let Some(run) = runs.next().await? {
            samples += run.run.timestamps.len();
            builder.push(run.series_id, (&run.run).into());
            if samples >= YIELD_SAMPLES {
                samples = 0;
                if builder.bytes() > room_bytes || builder.is_full() {
                    return Ok(None);
                }
                tokio::task::yield_now().await;
            }
        }
        let block = builder.finish(file.commit);
        Ok((block.bytes() <= room_bytes).then_some(block))
    }
}

/// The view with one more file in memory, unless the file is gone meanwhile.
fn with_entry(view: &View, file: &SampleFile, block: PackedBlock) -> View {
    let mut cached = view.cached.clone();
    if !cache::holds(&cached, &file.path) {
        cached.push(Arc::new(Entry { blocks: vec![Arc::new(block)], files: vec![file.path.clone()] }));
    }
    View { cached, ..view.clone() }.with_files(view.files.clone())
}

//! The warmer task: keeps what the cache holds in few blocks, and fills what is free of it with the newest files, so
//! that a restart, or a merge of files that were not all cached, costs the next queries little.
//!
//! Files are taken newest commit first and the first that does not fit ends it: the cache then holds the latest
//! commits whole, and a cached sample rightly wins over one of equal timestamp in a file.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::storage::head::cache::{self, Entry, Placed};
use crate::storage::head::packed::{self, Builder, PackedBlock};
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
        self.join().await;
        while let Some((file, room_bytes)) = self.next_to_warm().filter(|(file, _)| !too_large.contains(&file.path))
        {
            match self.pack(&file, room_bytes).await? {
                None => {
                    too_large.insert(file.path.clone());
                }
                Some(block) => self.update_view(|view| with_entry(view, &file, block)),
            }
            self.join().await;
        }
        let live = self.lake.files();
        too_large.retain(|path| live.samples.iter().any(|file| file.path == *path));
        Ok(())
    }

    /// Joins blocks until they are few.
    async fn join(&self) {
        loop {
            let view = self.view();
            let files = view.files.samples.iter();
            let uncached: Vec<i64> =
                files.filter(|file| !cache::holds(&view.cached, &file.path)).map(|file| file.commit).collect();
            let parts = cache::to_join(&view.cached, self.options.cache_bytes, &uncached);
            drop(view);
            if parts.is_empty() {
                return;
            }
            let _alone = self.packing.lock().await;
            let mut blocks: Vec<_> = parts.iter().flat_map(|entry| entry.blocks.iter().cloned()).collect();
            blocks.sort_by_key(|placed| placed.commit);
            let blocks: Vec<_> = blocks.into_iter().map(|placed| placed.block).collect();
            let block = tokio::task::spawn_blocking(move || packed::join(&blocks)).await;
            // Too large, or the end of the runtime: they stay as they are.
            let Ok(Some(block)) = block else { return };
            let block = Arc::new(block);
            self.update_view(|view| View { cached: cache::joined(&view.cached, &parts, block), ..view.clone() });
        }
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
        let mut runs = RunStream::of(self.objects.store.clone(), file).await?;
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
        let block = builder.finish();
        Ok((block.bytes() <= room_bytes).then_some(block))
    }
}

/// The view with one more file in memory, unless the file is gone meanwhile, or something of it is.
fn with_entry(view: &View, file: &Arc<SampleFile>, block: PackedBlock) -> View {
    let mut cached = view.cached.clone();
    if !cache::holds(&cached, &file.path) && view.has_as_read(std::slice::from_ref(file)) {
        let placed = Placed { commit: file.commit, block: Arc::new(block) };
        cached.push(Arc::new(Entry { blocks: vec![placed], files: vec![file.path.clone()] }));
    }
    View { cached, ..view.clone() }.with_files(view.files.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::labels::Labels;
    use crate::model::sample::TimeRange;
    use crate::storage::object::{self, Objects};
    use crate::storage::store::{Options, Store};
    use crate::storage::types::{Run, SampleRow, WriteBatch};
    use std::sync::Arc;

    /// A day that is over, so that its files are merged.
    const START_MS: i64 = 1_700_006_400_000;
    const NOW_MS: i64 = START_MS + 10 * 86_400_000;

    async fn open(objects: &Objects, cache_bytes: usize) -> Arc<Store> {
        let options = Options {
            url: "memory://".to_string(),
            node: "warm".to_string(),
            wal_flush_interval: Some(Duration::ZERO),
            flush_interval: Duration::ZERO,
            flush_bytes: 1 << 30,
            cache_bytes,
            out_of_order_window_ms: 0,
            ..Options::default()
        };
        Store::open_on(objects.clone(), options, Arc::new(|| NOW_MS), 1).await.unwrap()
    }

    async fn flushes(store: &Store, rounds: std::ops::Range<i64>) {
        let series = store.intern(&Labels::from_pairs([("__name__", "m")]));
        for round in rounds {
            let row = |i| SampleRow {
                series,
                timestamp: START_MS + (round * 10 + i) * 1000,
                value: (round * 10 + i) as f64,
                start_timestamp: 0,
            };
            store
                .append(WriteBatch { samples: (0..10).map(row).collect(), ..WriteBatch::default() })
                .await
                .unwrap();
            store.flush().await.unwrap();
        }
    }

    /// All samples are read from so many blocks, and from no file.
    async fn check(store: &Store, blocks: usize, samples: i64) {
        let mut snapshot = store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        for _ in 0..500 {
            if snapshot.files.is_empty() && store.stats().cache_blocks == blocks {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            snapshot = store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        }
        assert!(snapshot.files.is_empty(), "{:?}", snapshot.files);
        assert_eq!(store.stats().cache_blocks, blocks);
        let mut run = Run::default();
        for source in &snapshot.memory {
            source.read(snapshot.series[0].id, TimeRange::ALL, &mut run);
        }
        assert_eq!(run.values, (0..samples).map(|i| i as f64).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_are_read_back_and_blocks_joined() {
        let objects = object::open("memory://").unwrap();
        let store = open(&objects, 1 << 20).await;
        flushes(&store, 0..3).await;
        check(&store, 1, 30).await;
        assert!(store.merge().await.unwrap() >= 3);
        check(&store, 1, 30).await;
        flushes(&store, 3..5).await;
        check(&store, 1, 50).await;
        store.stop().await;
        drop(store);
        // After a start: the merged file, and the two flushed since.
        let store = open(&objects, 1 << 20).await;
        check(&store, 1, 50).await;
        store.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_does_not_fit_stays_in_its_file() {
        let objects = object::open("memory://").unwrap();
        let store = open(&objects, 0).await;
        flushes(&store, 0..3).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(store.stats().cache_blocks, 0);
        assert_eq!(store.snapshot(TimeRange::ALL, &[]).await.unwrap().files.len(), 3);
        store.stop().await;
    }
}

//! A folder of a Prometheus as sources: its blocks, each by its own, and its head.

use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::ingest::import::calendar::DATED;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::head::Head;
use crate::ingest::import::run::Waiting;
use crate::ingest::import::series::{Added, Ids};
use crate::ingest::import::source::Source;
use crate::ingest::tsdb::block::Block;
use crate::ingest::tsdb::folder::{Folder, FoundBlock};
use crate::model::sample::TimeRange;

/// What the user said of it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Labels for all series.
    pub labels: Vec<(String, String)>,
    pub range: TimeRange,
    /// Memory of samples that have to be sorted.
    pub memory_bytes: usize,
}

impl Wanted {
    /// What sets an import apart from another one of the same source: what comes out of it is something else.
    pub fn key(&self) -> Result<String> {
        let added = Added::new(self.labels.iter().cloned())?;
        if added == Added::default() && self.range == TimeRange::ALL {
            return Ok(String::new());
        }
        let (start, end) = (self.range.start_inclusive, self.range.end_inclusive);
        let text = format!("{} {start} {end}", added.canonical());
        Ok(format!("-{:016x}", xxh3_64(text.as_bytes())))
    }
}

/// The sources of a folder that may have samples of the range.
pub fn sources(folder: &Folder, wanted: &Wanted) -> Result<Vec<Waiting>> {
    let key = wanted.key()?;
    let mut sources = Vec::new();
    for block in &folder.blocks {
        if wanted.range.overlaps(block.meta.min_time, block.meta.max_time) {
            sources.push(of_block(block, wanted, &key)?);
        }
    }
    sources.extend(match folder.head {
        Some(fingerprint) => Some(of_head(folder, fingerprint, wanted, &key)?),
        None => None,
    });
    Ok(sources)
}

fn of_block(block: &FoundBlock, wanted: &Wanted, key: &str) -> Result<Waiting> {
    let external = block.external_labels().iter().map(|(name, value)| (name.clone(), value.clone()));
    let added = Arc::new(Added::new(external.chain(wanted.labels.iter().cloned()))?);
    let folder = block.folder.clone();
    Ok(Waiting {
        name: format!("block {}", block.meta.ulid),
        application: format!("import-{}{key}", block.meta.ulid),
        times: TimeRange::new(block.meta.min_time, block.meta.max_time),
        samples: block.meta.stats.num_samples,
        open: Box::new(move |ids: &Mutex<Ids>| Source::of_block(Block::open(&folder)?, added, ids)),
    })
}

fn of_head(folder: &Folder, fingerprint: u64, wanted: &Wanted, key: &str) -> Result<Waiting> {
    let added = Arc::new(Added::new(wanted.labels.iter().cloned())?);
    // Late samples are of any time.
    let has_late = folder.path.join("wbl").is_dir();
    let min_time = if has_late { DATED.start_inclusive } else { folder.head_start_ms };
    let (path, start_ms, memory_bytes) = (folder.path.clone(), folder.head_start_ms, wanted.memory_bytes);
    Ok(Waiting {
        name: "the write-ahead log".to_string(),
        application: format!("import-head-{fingerprint:016x}{key}"),
        times: TimeRange::new(min_time, DATED.end_inclusive),
        samples: 0,
        open: Box::new(move |ids: &Mutex<Ids>| {
            let collected = Collected::new(added, memory_bytes);
            Ok(Source::of_head(Head::read(&path, start_ms, collected)?, ids))
        }),
    })
}

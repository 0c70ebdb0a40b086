//! What a folder holds: the blocks that count, the head if there is one, and what is left out and why. The lock that a
//! running Prometheus has is taken, so that none starts while its folder is read.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::tsdb::meta::Meta;
use crate::ingest::tsdb::segments::numbered_files;
use crate::storage::place::is_ulid;

/// See the module.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// By the time they begin.
    pub blocks: Vec<FoundBlock>,
    /// A number that stands for the contents of the head; `None` where there is none.
    pub head: Option<u64>,
    /// Where the blocks end that were written in order: what the head has before is in them.
    pub head_start_ms: i64,
    /// Blocks that do not count, one text each.
    pub left_out: Vec<String>,
    /// Held while the folder is read.
    _lock: Option<File>,
}

#[derive(Debug)]
pub struct FoundBlock {
    pub folder: PathBuf,
    pub meta: Meta,
}

impl FoundBlock {
    /// Labels that Thanos added to all of its series.
    pub fn external_labels(&self) -> &BTreeMap<String, String> {
        &self.meta.thanos.labels
    }
}

impl Folder {
    /// Of a data folder of Prometheus, a folder of blocks, or one block.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot list {}", path.display());
        let mut folders = Vec::new();
        let lock = lock(path)?;
        if path.join("meta.json").is_file() {
            folders.push(path.to_path_buf());
        } else {
            for entry in std::fs::read_dir(path).context(ErrorKind::BadInput, failed)? {
                let entry = entry.context(ErrorKind::BadInput, failed)?;
                if entry.file_name().to_str().is_some_and(is_ulid) && entry.path().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        folders.sort_unstable();
        let mut found = Self {
            path: path.to_path_buf(),
            blocks: Vec::new(),
            head: head_fingerprint(path)?,
            head_start_ms: i64::MIN,
            left_out: Vec::new(),
            _lock: lock,
        };
        for folder in folders {
            match folder.join("meta.json").is_file() {
                true => {
                    let meta = Meta::read(&folder)?;
                    found.blocks.push(FoundBlock { folder, meta });
                }
                false => {
                    found.left_out.push(format!("{} has no meta.json: it was never finished", folder.display()))
                }
            }
        }
        found.leave_out();
        found.blocks.sort_by_key(|block| (block.meta.min_time, block.meta.max_time));
        if found.blocks.is_empty() && found.head.is_none() && found.left_out.is_empty() {
            return Err(Error::bad_input(format!(
                "{} has no blocks and no write-ahead log: name the data folder of a Prometheus",
                path.display()
            )));
        }
        Ok(found)
    }

    /// Without the head, for those who want blocks alone.
    pub fn without_head(mut self) -> Self {
        self.head = None;
        self
    }

    fn leave_out(&mut self) {
        let parents = self.blocks.iter().flat_map(|block| &block.meta.compaction.parents);
        let replaced: HashSet<String> = parents.map(|parent| parent.ulid.clone()).collect();
        // Also of those that are left out, as Prometheus has it.
        let ends = self.blocks.iter().filter(|block| block.meta.is_in_order()).map(|block| block.meta.max_time);
        self.head_start_ms = ends.max().unwrap_or(i64::MIN);
        let left_out = &mut self.left_out;
        self.blocks.retain(|block| {
            let why = why_not(block, &replaced);
            left_out.extend(why.as_ref().map(|why| format!("block {} {why}", block.meta.ulid)));
            why.is_none()
        });
    }
}

fn why_not(block: &FoundBlock, replaced: &HashSet<String>) -> Option<String> {
    let resolution = block.meta.thanos.downsample.resolution;
    if resolution != 0 {
        return Some(format!(
            "is downsampled to one value each {} s; only blocks with the samples as they were are imported",
            resolution / 1000
        ));
    }
    if replaced.contains(&block.meta.ulid) {
        return Some("was compacted into another one that is here".to_string());
    }
    if block.meta.compaction.deletable || block.folder.join("deletion-mark.json").exists() {
        return Some("is marked for deletion".to_string());
    }
    None
}

/// Whether a folder has a head, and a number that is another one when it has changed.
fn head_fingerprint(folder: &Path) -> Result<Option<u64>> {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let mut found = false;
    for name in ["chunks_head", "wal", "wbl"] {
        let folder = folder.join(name);
        if !folder.is_dir() {
            continue;
        }
        let failed = || format!("cannot list {}", folder.display());
        for (number, path) in numbered_files(&folder)? {
            let about = std::fs::metadata(&path).context(ErrorKind::BadInput, failed)?;
            let modified = about.modified().context(ErrorKind::BadInput, failed)?;
            let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            found |= about.len() > 0 && name != "chunks_head";
            hash.update(name.as_bytes());
            hash.update(&number.to_le_bytes());
            hash.update(&about.len().to_le_bytes());
            hash.update(&since.as_millis().to_le_bytes());
        }
    }
    Ok(found.then(|| hash.digest()))
}

/// A lock of the system on a file that Prometheus makes; one without a lock file has none.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).context(ErrorKind::BadInput, || format!("cannot open {}", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::bad_input(format!(
            "{} is in use by a running Prometheus: stop it first, or import a snapshot \
             (/api/v1/admin/tsdb/snapshot) of it",
            folder.display()
        ))),
        Err(TryLockError::Error(e)) => {
            Err(e).context(ErrorKind::BadInput, || format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests;

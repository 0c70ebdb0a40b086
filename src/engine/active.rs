//! The queries that run, in a file, so that after a crash the next start can say which ones they were: one of them
//! may be why. The format is that of Prometheus' `queries.active`: a JSON array with a slot of fixed size for each
//! query that may run, zeros where none does. Slots are overwritten in place; a process that dies leaves them to
//! the system, which keeps them unless the machine goes down too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::{Context, ErrorKind, Result};

/// What a slot holds, with the comma behind it.
const SLOT_BYTES: usize = 1_000;

const FILE: &str = "queries.active";

/// Cheap to clone.
#[derive(Clone)]
pub struct ActiveQueries {
    file: Arc<File>,
    free: Arc<Mutex<Vec<usize>>>,
    now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// A query in its slot, until it is dropped.
pub struct Active {
    queries: ActiveQueries,
    slot: usize,
}

impl ActiveQueries {
    /// Makes the file in a folder, for so many queries. Returns also what the last one left, as JSON, if
    /// there was a query in it.
    pub fn open(
        folder: &Path,
        slots: usize,
        now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Result<(Self, Option<String>)> {
        let path = folder.join(FILE);
        let failed = || format!("the file of active queries {} cannot be made", path.display());
        let left = match std::fs::read(&path) {
            Ok(bytes) => unfinished(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e).context(ErrorKind::Internal, failed),
        };
        std::fs::create_dir_all(folder).context(ErrorKind::Internal, failed)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.context(ErrorKind::Internal, failed)?;
        // Space that is there from the start does not run out later.
        file.write_all_at(&vec![0; 1 + slots * SLOT_BYTES], 0).context(ErrorKind::Internal, failed)?;
        file.write_all_at(b"[", 0).context(ErrorKind::Internal, failed)?;
        let free = Arc::new(Mutex::new((0..slots).rev().collect()));
        Ok((Self { file: Arc::new(file), free, now_s }, left))
    }

    /// `None` where all slots are taken or the file cannot be written, which is no reason not to run the query.
    pub fn insert(&self, query: &str) -> Option<Active> {
        let slot = self.free.lock().expect("no panic while the lock is held").pop()?;
        let active = Active { queries: self.clone(), slot };
        let mut entry = entry(query, (self.now_s)());
        entry.resize(SLOT_BYTES - 1, 0);
        entry.push(b',');
        active.write(&entry).ok()?;
        Some(active)
    }
}

impl Active {
    fn write(&self, slot: &[u8]) -> io::Result<()> {
        self.queries.file.write_all_at(slot, (1 + self.slot * SLOT_BYTES) as u64)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Err(error) = self.write(&[0; SLOT_BYTES]) {
            tracing::warn!(%error, "a query that ended stays in the file of active queries");
        }
        self.queries.free.lock().expect("no panic while the lock is held").push(self.slot);
    }
}

/// The entry of a query, which is cut until it fits.
fn entry(query: &str, now_s: i64) -> Vec<u8> {
    let render = |query: &str| serde_json::json!({"query": query, "timestamp_sec": now_s}).to_string().into_bytes();
    let mut kept = query.len().min(SLOT_BYTES);
    loop {
        while !query.is_char_boundary(kept) {
            kept -= 1;
        }
        let entry = render(&query[..kept]);
        if entry.len() < SLOT_BYTES {
            return entry;
        }
        kept = kept.saturating_sub(entry.len() + 1 - SLOT_BYTES);
    }
}

/// The array of a file that was not closed; `None` if it is empty.
fn unfinished(bytes: &[u8]) -> Option<String> {
    let text: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
    let array = String::from_utf8_lossy(text.strip_suffix(b",")?).into_owned();
    Some(format!("{array}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_found_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let open = || ActiveQueries::open(folder.path(), 2, Arc::new(|| 7)).unwrap();
        let (queries, left) = open();
        assert_eq!(left, None);
        let first = queries.insert("up").unwrap();
        let second = queries.insert("rate(x{a=\"\u{e9}\"}[5m])").unwrap();
        assert!(queries.insert("one too many").is_none());
        drop(first);
        // As a crash would leave it.
        let expected = r#"[{"query":"rate(x{a=\"é\"}[5m])","timestamp_sec":7}]"#;
        assert_eq!(open().1.as_deref(), Some(expected));
        drop(second);
        assert!(queries.insert("again").is_some());

        let (queries, _) = open();
        let _long = queries.insert(&"\u{e9}\"".repeat(2_000)).unwrap();
        let _short = queries.insert("up").unwrap();
        let left: serde_json::Value = serde_json::from_str(&open().1.unwrap()).unwrap();
        assert_eq!(left[1]["query"], "up");
        assert!(left[0]["query"].as_str().unwrap().starts_with("é\"é\""));

        let (queries, _) = open();
        drop(queries.insert("up"));
        assert_eq!(open().1, None);
    }
}

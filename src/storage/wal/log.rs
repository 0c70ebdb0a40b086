//! The log objects of one node: put the next one, list, read and delete them.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::types::LogRows;
use crate::storage::wal::codec::{self, Decoded};

/// See the module.
#[derive(Debug)]
pub struct Log {
    store: Arc<dyn ObjectStore>,
    node: String,
    /// Drawn per process, see [`codec::encode`].
    writer: u64,
}

impl Log {
    pub fn new(store: Arc<dyn ObjectStore>, node: &str, writer: u64) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if node.is_empty() || node.len() > 128 || node.starts_with('.') || !node.bytes().all(plain) {
            let rule = "letters, digits, '-', '_' and '.', at most 128, not '.' first";
            return Err(Error::bad_input(format!("node id {node:?} is not usable in a path ({rule})")));
        }
        Ok(Self { store, node: node.to_string(), writer })
    }

    /// The path of an object.
    pub fn path(&self, sequence: u64) -> Path {
        Path::from_iter(["_wal", &self.node, &format!("{sequence:020}.arrow")])
    }

    /// The bytes of the object that [`Log::put`] puts.
    pub fn encode(&self, rows: &LogRows, sequence: u64) -> Result<Bytes> {
        codec::encode(rows, self.writer, sequence)
    }

    /// Returns when the object is durable. Every error is final: the object may or may not exist, so nothing may
    /// follow it.
    pub async fn put(&self, sequence: u64, object: Bytes) -> Result<()> {
        let path = self.path(sequence);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, PutPayload::from_bytes(object.clone()), options).await {
            Ok(_) => Ok(()),
            Err(e @ StoreError::AlreadyExists { .. }) => {
                // The client of a bucket repeats a put whose answer was lost, and then meets its own object.
                if self.get(&path).await.is_ok_and(|found| found == object) {
                    return Ok(());
                }
                let message = || format!("{path} exists already: another process writes as node {:?}", self.node);
                Err(e).context(ErrorKind::Poisoned, message)
            }
            Err(e) => Err(e).context(ErrorKind::Poisoned, || format!("cannot write {path}")),
        }
    }

    /// The sequence numbers of all objects, ascending.
    pub async fn list(&self) -> Result<Vec<u64>> {
        let prefix = Path::from_iter(["_wal", &self.node]);
        let objects: Vec<_> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .context(ErrorKind::Unavailable, || format!("cannot list {prefix}"))?;
        let mut sequences: Vec<u64> = objects.iter().filter_map(|meta| sequence_of(&meta.location)).collect();
        sequences.sort_unstable();
        Ok(sequences)
    }

    /// Reads one object. The inner result is what the object says; the outer one what the store says.
    pub async fn read(&self, sequence: u64) -> Result<Result<Decoded>> {
        let path = self.path(sequence);
        let object = self.get(&path).await.context(ErrorKind::Unavailable, || format!("cannot read {path}"))?;
        Ok(codec::decode(&object).and_then(|decoded| match decoded.sequence == sequence {
            true => Ok(decoded),
            false => Err(Error::internal(format!("it was written as number {}", decoded.sequence))),
        }))
    }

    /// Deletes objects; those that are gone already are fine.
    pub async fn delete(&self, sequences: impl Iterator<Item = u64>) -> Result<()> {
        let paths: Vec<_> = sequences.map(|sequence| Ok(self.path(sequence))).collect();
        let mut deleted = self.store.delete_stream(stream::iter(paths).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(e) => {
                    return Err(e).context(ErrorKind::Unavailable, || "cannot delete log objects".to_string());
                }
            }
        }
        Ok(())
    }

    async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        self.store.get(path).await?.bytes().await
    }
}

fn sequence_of(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".arrow")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

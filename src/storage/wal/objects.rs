//! Keys and objects of one node's log. Objects of epoch 0, which a promlake without epochs wrote, lie directly below
//! the node; all others below their epoch.
//!
//! A put is one attempt here: it says what is known of its outcome, and who calls decides about the next one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::sample::TimeRange;
use crate::storage::wal::codec::{self, Decoded};

/// The folder of all logs, below the root of the store.
const ROOT: &str = "_wal";
/// An attempt that takes longer is given up; it may still have happened, and the next one finds out.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Large objects get more time: so many bytes a second are little for any store.
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// Where an object of the log is: epochs in their order, numbers ascending through all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub epoch: u64,
    pub sequence: u64,
}

/// What is known after one attempt at a put.
#[derive(Debug)]
pub enum Attempt {
    /// These bytes are there and will stay.
    Durable,
    /// Other bytes are there, and nobody but another process can have put them.
    Taken,
    /// It may have happened or not; ask again.
    Unknown(Error),
}

/// An object of the log that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub key: Key,
    pub bytes: u64,
    /// When it was put, milliseconds since the epoch: by our clock, or by the store's where it was found.
    pub put_ms: i64,
    /// Of the samples in it; `None` until it was read, where another process wrote it.
    pub times: Option<TimeRange>,
}

/// The listed objects of a node.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects of each epoch, ascending. An epoch that was only claimed is empty.
    pub epochs: BTreeMap<u64, Vec<Kept>>,
}

/// The place of one node's log in a store.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    node: String,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects(_wal/{})", self.node)
    }
}

impl Objects {
    pub fn new(store: Arc<dyn ObjectStore>, node: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let reserved = node.starts_with('.') || node.ends_with(".lock");
        if node.is_empty() || node.len() > 128 || reserved || !node.bytes().all(plain) {
            let rule = "letters, digits, '-', '_' and '.', at most 128, not '.' first, not '.lock' at the end";
            return Err(Error::bad_input(format!("node id {node:?} is not usable in a path ({rule})")));
        }
        Ok(Self { store, node: node.to_string() })
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// The logs of all nodes of a store, by the names of these.
    pub async fn of_all_nodes(store: &Arc<dyn ObjectStore>) -> Result<Vec<Self>> {
        let listed = store.list_with_delimiter(Some(&Path::from(ROOT))).await;
        let listed = listed.context(ErrorKind::Unavailable, || format!("cannot list {ROOT}"))?;
        let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_string));
        // What has another name is nobody's log.
        let mut nodes: Vec<Self> = names.filter_map(|name| Self::new(Arc::clone(store), &name).ok()).collect();
        nodes.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        Ok(nodes)
    }

    /// The path of an object with rows, a seal or a void.
    pub fn path(&self, key: Key) -> Path {
        let name = format!("{:020}.arrow", key.sequence);
        match key.epoch {
            0 => self.below(&[&name]),
            epoch => self.below(&[&format!("{epoch:010}"), &name]),
        }
    }

    /// The path of an epoch's claim.
    pub fn claim_path(&self, epoch: u64) -> Path {
        self.below(&[&format!("{epoch:010}"), "claim"])
    }

    /// A path below the node.
    pub fn below(&self, parts: &[&str]) -> Path {
        Path::from_iter([ROOT, &self.node].into_iter().chain(parts.iter().copied()))
    }

    /// One attempt to put bytes where nothing is yet. Doing it again with the same bytes is harmless.
    pub async fn attempt(&self, path: &Path, bytes: &Bytes) -> Attempt {
        let time = ATTEMPT + Duration::from_secs(bytes.len() as u64 / SLOWEST_BYTES_PER_SECOND);
        let attempt = tokio::time::timeout(time, self.put_or_compare(path, bytes));
        attempt.await.unwrap_or_else(|_| {
            let message = format!("writing {path} took longer than {} s", time.as_secs());
            Attempt::Unknown(Error::new(ErrorKind::Unavailable, message))
        })
    }

    async fn put_or_compare(&self, path: &Path, bytes: &Bytes) -> Attempt {
        let unknown = |e: StoreError| {
            Attempt::Unknown(
                Error::new(ErrorKind::Unavailable, format!("cannot write {path}")).with_source(Box::new(e)),
            )
        };
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, PutPayload::from_bytes(bytes.clone()), options).await {
            Ok(_) => return Attempt::Durable,
            // The answer to an earlier attempt may have been lost, or the store met two requests at a time (409).
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(e) => return unknown(e),
        }
        match self.get(path).await {
            Ok(found) if found == *bytes => Attempt::Durable,
            Ok(_) => Attempt::Taken,
            Err(e) => unknown(e),
        }
    }

    /// Replaces an object, whatever is there.
    pub async fn overwrite(&self, path: &Path, bytes: Bytes) -> Result<()> {
        let put = self.store.put(path, PutPayload::from_bytes(bytes));
        timed(put, path).await?.context(ErrorKind::Unavailable, || format!("cannot write {path}")).map(|_| ())
    }

    /// The bytes of an object; `None` where there is none.
    pub async fn find(&self, path: &Path) -> Result<Option<Bytes>> {
        match timed(self.get(path), path).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e).context(ErrorKind::Unavailable, || format!("cannot read {path}")),
        }
    }

    /// All objects and claims of the node.
    pub async fn list(&self) -> Result<Listing> {
        let prefix = self.below(&[]);
        let objects: Vec<ObjectMeta> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .context(ErrorKind::Unavailable, || format!("cannot list {prefix}"))?;
        let mut listing = Listing::default();
        for meta in &objects {
            match place_of(&prefix, &meta.location) {
                Some(Place::Claim(epoch)) => {
                    listing.epochs.entry(epoch).or_default();
                }
                Some(Place::Object(key)) => {
                    let put_ms = meta.last_modified.timestamp_millis();
                    listing.epochs.entry(key.epoch).or_default().push(Kept {
                        key,
                        bytes: meta.size,
                        put_ms,
                        times: None,
                    });
                }
                None => {}
            }
        }
        listing.epochs.values_mut().for_each(|objects| objects.sort_unstable_by_key(|kept| kept.key));
        Ok(listing)
    }

    /// Reads one object. The inner result is what the object says; the outer one what the store says.
    pub async fn read(&self, key: Key) -> Result<Result<Decoded>> {
        let path = self.path(key);
        let object = self.get(&path).await.context(ErrorKind::Unavailable, || format!("cannot read {path}"))?;
        Ok(decode_as(key, &object))
    }

    /// The same of one that may be gone.
    pub async fn read_if_there(&self, key: Key) -> Result<Option<Result<Decoded>>> {
        Ok(self.find(&self.path(key)).await?.map(|object| decode_as(key, &object)))
    }

    /// Copies an object to `quarantine/` below the node, and returns the path of the copy. The object stays until
    /// something takes its place.
    pub async fn quarantine(&self, key: Key) -> Result<Path> {
        let path = self.path(key);
        let aside = self.below(&["quarantine", &format!("{:010}-{:020}", key.epoch, key.sequence)]);
        let object = self.get(&path).await.context(ErrorKind::Unavailable, || format!("cannot read {path}"))?;
        self.overwrite(&aside, object).await?;
        Ok(aside)
    }

    /// Deletes objects; those that are gone already are fine.
    pub async fn delete(&self, keys: &[Key]) -> Result<()> {
        self.delete_paths(keys.iter().map(|key| self.path(*key)).collect()).await
    }

    pub async fn delete_paths(&self, paths: Vec<Path>) -> Result<()> {
        let paths: Vec<object_store::Result<Path>> = paths.into_iter().map(Ok).collect();
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

/// What an object says, if it is the one of its place.
fn decode_as(key: Key, object: &[u8]) -> Result<Decoded> {
    let decoded = codec::decode(object)?;
    let origin = decoded.origin;
    match (origin.epoch, origin.sequence) == (key.epoch, key.sequence) {
        true => Ok(decoded),
        false => {
            let (sequence, epoch) = (origin.sequence, origin.epoch);
            Err(Error::internal(format!("it was written as number {sequence} of epoch {epoch}")))
        }
    }
}

async fn timed<T>(work: impl Future<Output = T>, path: &Path) -> Result<T> {
    let late = || Error::new(ErrorKind::Unavailable, format!("no answer about {path} within {ATTEMPT:?}"));
    tokio::time::timeout(ATTEMPT, work).await.map_err(|_| late())
}

enum Place {
    Claim(u64),
    Object(Key),
}

/// What a path below the node's prefix is; `None` for what is none of the log's business.
fn place_of(prefix: &Path, path: &Path) -> Option<Place> {
    let parts: Vec<_> = path.prefix_match(prefix)?.collect();
    let parts: Vec<&str> = parts.iter().map(|part| part.as_ref()).collect();
    match parts.as_slice() {
        [name] => Some(Place::Object(Key { epoch: 0, sequence: sequence_of(name)? })),
        [epoch, "claim"] => Some(Place::Claim(epoch_of(epoch)?)),
        [epoch, name] => Some(Place::Object(Key { epoch: epoch_of(epoch)?, sequence: sequence_of(name)? })),
        _ => None,
    }
}

fn epoch_of(digits: &str) -> Option<u64> {
    (digits.len() == 10).then(|| digits.parse().ok())?
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".arrow")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

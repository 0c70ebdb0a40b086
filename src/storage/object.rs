//! Object stores by URL: a folder whose writes are synced before they are acknowledged, an S3 bucket, or memory.
//!
//! Everything durable goes through the store opened here. `object_store`'s own local store never calls fsync and
//! so cannot keep the promise a write-ahead log makes; [`Folder`] wraps it and does. Credentials come from the
//! environment (`AWS_*`) and appear in no message.

use std::fmt;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, RetryConfig, UploadPart,
};
use url::Url;
use uuid::Uuid;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::place::{Location, location, parse_url};

/// What the store is made of; decides how often the write-ahead log may be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Disk,
    Bucket,
    /// For tests: gone with the process.
    Memory,
}

/// An opened store. Paths are relative to the root the URL named.
#[derive(Clone)]
pub struct Objects {
    pub store: Arc<dyn ObjectStore>,
    pub kind: Kind,
    /// The root as a URL without credentials: `file:///srv/data/`, `s3://bucket/prefix/`, `memory:///`.
    pub url: Url,
    /// The same for people.
    pub display: String,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.display)
    }
}

/// Opens `./data`, `/srv/data`, `file:///srv/data`, `s3://bucket/prefix` or `memory://`. A folder is created.
pub fn open(url: &str) -> Result<Objects> {
    match location(url)? {
        Location::Folder(path) => open_folder(&path),
        Location::Bucket(url) => open_bucket(AmazonS3Builder::from_env(), &url),
        Location::Memory => Ok(Objects {
            store: Arc::new(InMemory::new()),
            kind: Kind::Memory,
            url: parse_url("memory:///")?,
            display: "memory".to_string(),
        }),
    }
}

fn open_folder(path: &FsPath) -> Result<Objects> {
    let name = path.display().to_string();
    let absolute = std::path::absolute(path).context(ErrorKind::BadInput, || format!("storage folder {name}"))?;
    create_dir_synced(&absolute)
        .context(ErrorKind::Unavailable, || format!("cannot create storage folder {name}"))?;
    let inner = LocalFileSystem::new_with_prefix(&absolute)
        .context(ErrorKind::Unavailable, || format!("cannot open storage folder {name}"))?;
    let url = Url::from_directory_path(&absolute)
        .map_err(|()| Error::bad_input(format!("storage folder {name} has no URL")))?;
    Ok(Objects { store: Arc::new(Folder { inner: Arc::new(inner) }), kind: Kind::Disk, url, display: name })
}

/// A bucket as the settings say, which are the environment's outside of tests.
pub(super) fn open_bucket(settings: AmazonS3Builder, url: &Url) -> Result<Objects> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::bad_input(
            "storage url holds credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::bad_input(
            "storage url has a query or a fragment; settings of the bucket are AWS_* variables",
        ));
    }
    let bucket = url
        .host_str()
        .filter(|b| !b.is_empty())
        .ok_or_else(|| Error::bad_input("storage url names no bucket; expected s3://bucket/prefix"))?;
    let prefix = Path::from_url_path(url.path()).context(ErrorKind::BadInput, || format!("storage url {url}"))?;
    let plain_http = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| settings.get_config_value(key))
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut client =
        ClientOptions::new().with_connect_timeout(Duration::from_secs(5)).with_timeout(Duration::from_secs(60));
    if plain_http {
        client = client.with_allow_http(true);
    }
    // Short pauses and a short patience: what must succeed in the end is repeated by those who know that it must,
    // and goes on soon after an outage.
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: 6, retry_timeout: Duration::from_secs(20) };
    let store = settings
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(client)
        .with_retry(retry)
        .build()
        .context(ErrorKind::BadInput, || format!("cannot open bucket {bucket:?}"))?;
    let display = format!("s3://{bucket}/{prefix}");
    let mut root = parse_url(&format!("s3://{bucket}/"))?;
    root.set_path(&format!("{prefix}/"));
    let store: Arc<dyn ObjectStore> =
        if prefix.is_root() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) };
    Ok(Objects { store, kind: Kind::Bucket, url: root, display })
}

/// Checks that the store refuses to put an existing key again. Every commit, and the write-ahead log, rely on it;
/// some S3 servers accept the header and overwrite, which would lose commits silently.
pub async fn probe(store: &dyn ObjectStore, display: &str) -> Result<()> {
    let key = Path::from(format!("_probe/{}", Uuid::new_v4().simple()));
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store
        .put_opts(&key, PutPayload::from_static(b"1"), create())
        .await
        .context(ErrorKind::Unavailable, || format!("storage {display} cannot be written"))?;
    let second = store.put_opts(&key, PutPayload::from_static(b"2"), create()).await;
    let cleaned = store.delete(&key).await;
    match second {
        Err(StoreError::AlreadyExists { .. }) => {}
        Ok(_) => {
            return Err(Error::unsupported(format!(
                "storage {display} overwrites a key on put-if-absent (If-None-Match: *); it cannot hold a lake"
            )));
        }
        Err(e) => {
            let message = || format!("storage {display} failed the put-if-absent probe");
            return Err(e).context(ErrorKind::Unavailable, message);
        }
    }
    cleaned.context(ErrorKind::Unavailable, || format!("storage {display} cannot delete {key}"))
}

/// A local folder whose puts are on disk when they return: the file is synced before it gets its name, and the
/// directory after. Readers never see a partly written object, also after a power loss.
#[derive(Debug)]
struct Folder {
    inner: Arc<LocalFileSystem>,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // The folder has no compare-and-swap; the inner store says so in its own words.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || put_synced(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let parent = parent_of(&path).to_path_buf();
        blocking(move || create_dir_synced(&parent).map_err(io_error)).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(SyncedUpload { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        // Deletes are not synced: an object that comes back after a crash is found and deleted again.
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        sorted(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        sorted(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        let path = self.prepare(to).await?;
        self.inner.copy_opts(from, to, options).await?;
        blocking(move || sync_named(&path)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        let path = self.prepare(to).await?;
        self.inner.rename_opts(from, to, options).await?;
        blocking(move || sync_named(&path)).await
    }
}

impl Folder {
    /// The file of a key, its directory made.
    async fn prepare(&self, key: &Path) -> object_store::Result<PathBuf> {
        let path = self.inner.path_to_filesystem(key)?;
        let parent = parent_of(&path).to_path_buf();
        blocking(move || create_dir_synced(&parent).map_err(io_error)).await?;
        Ok(path)
    }
}

/// Syncs the file and its directory once the parts are in place.
#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync_named(&path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.inner.abort().await
    }
}

/// Directories come in no order; buckets list by key, and the replay of a Delta log relies on it.
fn sorted(
    listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    let sort = async move {
        let mut all: Vec<ObjectMeta> = listed.try_collect().await?;
        all.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok::<_, StoreError>(futures::stream::iter(all.into_iter().map(Ok)))
    };
    futures::stream::once(sort).try_flatten().boxed()
}

fn put_synced(path: &FsPath, payload: &PutPayload, create: bool) -> object_store::Result<()> {
    use std::io::Write;
    let parent = parent_of(path);
    // `#` and digits at the end is how the inner store names unfinished uploads; its listings leave them out.
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!("#{}", Uuid::new_v4().as_u128()));
    let staged = PathBuf::from(staged);
    let write = || -> std::io::Result<()> {
        let mut file = match std::fs::File::create_new(&staged) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                create_dir_synced(parent)?;
                std::fs::File::create_new(&staged)?
            }
            other => other?,
        };
        payload.iter().try_for_each(|chunk| file.write_all(chunk))?;
        file.sync_all()?;
        if create {
            // Who is told that the name is taken may rely on it: the one that took it may have failed to sync it.
            std::fs::hard_link(&staged, path).or_else(|e| sync_dir(parent).and(Err(e)))?;
        } else {
            std::fs::rename(&staged, path)?;
        }
        sync_dir(parent)
    };
    let result = write();
    if create || result.is_err() {
        // A name left behind is hidden and harmless.
        let _ = std::fs::remove_file(&staged);
    }
    result.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => {
            StoreError::AlreadyExists { path: path.display().to_string(), source: source.into() }
        }
        _ => io_error(source),
    })
}

fn sync_named(path: &FsPath) -> object_store::Result<()> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(io_error)?;
    sync_dir(parent_of(path)).map_err(io_error)
}

fn sync_dir(path: &FsPath) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// Creates a directory and its missing parents, each synced into the one above it.
fn create_dir_synced(path: &FsPath) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_dir_synced(parent)?;
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => sync_dir(parent),
    }
}

fn parent_of(path: &FsPath) -> &FsPath {
    path.parent().unwrap_or(FsPath::new("/"))
}

fn io_error(source: std::io::Error) -> StoreError {
    StoreError::Generic { store: "Folder", source: source.into() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> object_store::Result<T> + Send + 'static,
) -> object_store::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| StoreError::JoinError { source })?
}

#[cfg(test)]
mod tests;

//! One Delta table: replayed by `deltalake`, committed to by our own loop.
//!
//! A commit is one object, `_delta_log/<version>.json`, put if absent at the version after the one we know. When
//! somebody else was first we refresh, check that the commit still makes sense, and try the next version. The
//! library's own commit path is not used: its conflict checker accepts a merge of files that another merge has
//! already replaced, which duplicates rows, and it lists the log after every commit. A put whose answer was lost
//! may have happened; that is why every commit can recognise itself, by the paths it adds or by its transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deltalake::DeltaTable;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::types::Stamp;

/// A checkpoint is written after this many commits of ours.
const CHECKPOINT_COMMITS: u64 = 50;
/// Attempts at one commit before the caller hears of it.
const ATTEMPTS: u32 = 30;
/// Longest pause between attempts.
const BACKOFF_MAX_MS: u64 = 2_000;

/// Whose transaction on `samples` counts deletes: a commit that was planned without one of them meets its number.
pub const DELETES: &str = "deletes";

/// A file to add.
#[derive(Clone, Debug)]
pub struct AddFile {
    /// Below the table.
    pub path: String,
    pub size_bytes: u64,
    /// `None` for a table without partitions.
    pub day: Option<String>,
    pub modified_ms: i64,
    pub stats: Value,
}

/// A live file as the log tells it.
#[derive(Clone, Debug)]
pub struct LiveFile {
    /// Below the table.
    pub path: String,
    pub size_bytes: u64,
    pub modified_ms: i64,
    /// The statistics we wrote, as JSON text.
    pub stats: Option<String>,
}

/// What one commit does.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Delta's word: `WRITE`, `OPTIMIZE`, `DELETE`, `ADD COLUMNS`.
    pub operation: &'static str,
    pub add: Vec<AddFile>,
    /// Paths below the table; each must still be live when the commit is made.
    pub remove: Vec<String>,
    /// Others that must be live then.
    pub needs: Vec<String>,
    /// How many deletes were known when this was planned ([`DELETES`]); where the log counts others, it is a conflict.
    pub deletes: Option<u64>,
    /// `false` for a merge, which moves rows and changes none.
    pub data_change: bool,
    /// A commit whose stamps are already there is not made again, one with a part of them is a conflict, and one of an
    /// older epoch is never made.
    pub transactions: Vec<Transaction>,
    /// Whether the transactions are looked for also where nobody else has committed since the last look: they may be our own,
    /// asked for again.
    pub may_be_made: bool,
    /// A new `metaData` action; the commit is then only valid at the version it was made for.
    pub metadata: Option<Value>,
}

/// Delta's application transaction: who commits, and how far it has come with it.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub application: String,
    pub stamp: Stamp,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Now,
    /// An earlier attempt, or an earlier life of this process, had made it.
    Before,
}

/// A Delta table below the store's root.
pub struct Table {
    name: &'static str,
    /// Rooted at the table.
    store: Arc<dyn ObjectStore>,
    log: LogStoreRef,
    known: Mutex<Known>,
    commits: AtomicU64,
}

/// The log as far as it was read.
struct Known {
    delta: DeltaTable,
    /// Everything since the transactions were last looked at is this process' own and its outcome certain. Looking at
    /// them reads the log again, which a commit that nobody disturbed can do without.
    settled: bool,
    /// How many deletes the log counts, where that was looked at since it was read.
    deletes: Option<u64>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

impl Table {
    /// The table `name` below the root of `root`; nothing is read yet.
    pub fn new(root: Arc<dyn ObjectStore>, name: &'static str) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root), name));
        // The library wants a URL to derive paths from; the scheme is never looked at, the store is ours.
        let url = Url::parse(&format!("memory:///{name}/")).expect("table names are plain words");
        let log = default_logstore(Arc::clone(&store), root, &url, &StorageConfig::default());
        let delta = DeltaTable::new(Arc::clone(&log));
        let known = Mutex::new(Known { delta, settled: false, deletes: None });
        Self { name, store, log, known, commits: AtomicU64::new(0) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Creates the table unless it is there. Of two that create at once one wins, and both go on with its table.
    pub async fn create(
        &self,
        schema: &Value,
        partition_by: &[String],
        properties: &Value,
        now_ms: i64,
    ) -> Result<()> {
        if self.load().await? {
            return Ok(());
        }
        let lines = [
            json!({"commitInfo": {"timestamp": now_ms, "operation": "CREATE TABLE", "engineInfo": engine()}}),
            json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
            json!({"metaData": {
                "id": uuid::Uuid::new_v4().to_string(),
                "name": format!("promlake_{}", self.name),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema.to_string(),
                "partitionColumns": partition_by,
                "configuration": properties,
                "createdTime": now_ms,
            }}),
        ];
        match self.put_version(0, &lines).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(e) => {
                return Err(e).context(ErrorKind::Unavailable, || format!("cannot create table {}", self.name));
            }
        }
        match self.load().await? {
            true => Ok(()),
            false => Err(Error::internal(format!("table {} was created and cannot be found", self.name))),
        }
    }

    /// Reads the log from its last checkpoint on; `false` when there is no such table.
    pub async fn load(&self) -> Result<bool> {
        let mut known = self.known.lock().await;
        if known.delta.version().is_none()
            && !self
                .log
                .is_delta_table_location()
                .await
                .context(ErrorKind::Unavailable, || format!("cannot look for table {}", self.name))?
        {
            return Ok(false);
        }
        self.update(&mut known).await?;
        Ok(true)
    }

    /// The version known.
    pub async fn version(&self) -> Result<u64> {
        known_version(self.name, &self.known.lock().await.delta)
    }

    /// Follows the log; returns whether there was anything new. Costs one request when there was not.
    pub async fn refresh(&self) -> Result<bool> {
        let mut known = self.known.lock().await;
        let next = version_path(known_version(self.name, &known.delta)? + 1);
        match self.store.head(&next).await {
            Err(StoreError::NotFound { .. }) => Ok(false),
            Ok(_) => self.update(&mut known).await.map(|()| true),
            Err(e) => Err(e).context(ErrorKind::Unavailable, || format!("cannot read the log of {}", self.name)),
        }
    }

    /// Reads what is new; it may be of any process, this one included.
    async fn update(&self, known: &mut Known) -> Result<()> {
        (known.settled, known.deletes) = (false, None);
        self.read_on(&mut known.delta).await?;
        check_protocol(self.name, &known.delta)
    }

    async fn read_on(&self, delta: &mut DeltaTable) -> Result<()> {
        delta
            .update_incremental(None)
            .await
            .context(ErrorKind::Unavailable, || format!("cannot replay the log of table {}", self.name))
    }

    /// The live files, in no order.
    pub async fn live(&self) -> Result<Vec<LiveFile>> {
        let delta = &self.known.lock().await.delta;
        let state =
            delta.snapshot().context(ErrorKind::Internal, || format!("table {} is not loaded", self.name))?;
        let log = state.log_data();
        let files = log.iter().map(|view| LiveFile {
            path: view.path().into_owned(),
            size_bytes: view.size().max(0) as u64,
            modified_ms: view.modification_time(),
            stats: view.stats(),
        });
        Ok(files.collect())
    }

    /// Files that were removed and when (milliseconds), as far as the log remembers.
    pub async fn tombstones(&self) -> Result<Vec<(String, i64)>> {
        let delta = &self.known.lock().await.delta;
        let state =
            delta.snapshot().context(ErrorKind::Internal, || format!("table {} is not loaded", self.name))?;
        state
            .all_tombstones(&self.log)
            .map_ok(|t| (t.path().to_string(), t.deletion_timestamp().unwrap_or(0)))
            .try_collect()
            .await
            .context(ErrorKind::Unavailable, || format!("cannot read the tombstones of table {}", self.name))
    }

    /// How far an application has come; nowhere if it never committed.
    pub async fn applied(&self, application: &str) -> Result<Stamp> {
        self.applied_of(&self.known.lock().await.delta, application).await
    }

    async fn applied_of(&self, delta: &DeltaTable, application: &str) -> Result<Stamp> {
        let message = || format!("cannot read the transactions of table {}", self.name);
        let state = delta.snapshot().context(ErrorKind::Internal, message)?;
        let version =
            state.transaction_version(&*self.log, application).await.context(ErrorKind::Unavailable, message)?;
        Ok(version.map_or_else(Stamp::default, Stamp::of_version))
    }

    /// Takes an application over for a new epoch: from here on no older one can commit as it. Returns how far it has
    /// come, for good.
    pub async fn take_over(&self, application: &str, epoch: u64, now_ms: i64) -> Result<Stamp> {
        let mut known = self.known.lock().await;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(backoff(attempt)).await;
            }
            self.update(&mut known).await?;
            let applied = self.applied_of(&known.delta, application).await?;
            if applied.epoch > epoch {
                return Err(overtaken(application));
            }
            // An earlier attempt whose answer was lost.
            if applied.epoch == epoch {
                return Ok(applied);
            }
            let stamp = Stamp { epoch, sequence: applied.sequence };
            let transaction = Transaction { application: application.to_string(), stamp };
            let change = Change { operation: "TAKE OVER", transactions: vec![transaction], ..Change::default() };
            let version = known_version(self.name, &known.delta)? + 1;
            match self.put_version(version, &self.lines(&change, now_ms)).await {
                Ok(()) => {
                    self.read_on(&mut known.delta).await?;
                    return Ok(applied);
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => tracing::debug!(table = self.name, version, %error, "taking over, trying again"),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, format!("cannot commit to table {}: gave up", self.name)))
    }

    /// The `metaData` action in force, as JSON.
    pub async fn metadata(&self) -> Result<Value> {
        let delta = &self.known.lock().await.delta;
        let message = || format!("cannot read the metadata of table {}", self.name);
        let state = delta.snapshot().context(ErrorKind::Internal, message)?;
        serde_json::to_value(state.metadata()).context(ErrorKind::Internal, message)
    }

    /// Commits, again and again until it is in the log or turns out not to fit any more ([`ErrorKind::Conflict`]:
    /// an input was removed, or the schema changed; plan again. [`ErrorKind::Poisoned`]: a later epoch has the
    /// application).
    pub async fn commit(&self, change: &Change, now_ms: i64) -> Result<Committed> {
        let mut known = self.known.lock().await;
        let begun = known_version(self.name, &known.delta)?;
        let lines = self.lines(change, now_ms);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(backoff(attempt)).await;
                self.update(&mut known).await?;
            }
            if (change.may_be_made || !known.settled) && self.is_made(&known.delta, change).await? {
                return Ok(Committed::Before);
            }
            self.still_fits(&known.delta, change, begun)?;
            self.knows_deletes(&mut known, change).await?;
            let version = known_version(self.name, &known.delta)? + 1;
            // Also for the caller that does not wait for the answer.
            known.settled = false;
            match self.put_version(version, &lines).await {
                Ok(()) => {
                    self.read_on(&mut known.delta).await?;
                    // Somebody else may have followed at once.
                    known.settled = known_version(self.name, &known.delta)? == version;
                    let counted = change.transactions.iter().find(|t| t.application == DELETES);
                    known.deletes = counted.map(|t| t.stamp.sequence).or(known.deletes).filter(|_| known.settled);
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    return Ok(Committed::Now);
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                // It may have happened all the same; the next turn looks.
                Err(error) if attempt == 0 => {
                    tracing::warn!(table = self.name, version, %error, "commit failed, trying again");
                }
                Err(error) => tracing::debug!(table = self.name, version, %error, "commit failed again"),
            }
        }
        if self.update(&mut known).await.is_ok() && self.is_made(&known.delta, change).await? {
            return Ok(Committed::Before);
        }
        Err(Error::new(ErrorKind::Unavailable, format!("cannot commit to table {}: gave up", self.name)))
    }

    /// Whether the log already has this very change. An error of kind `Poisoned` where a later epoch has taken over.
    async fn is_made(&self, delta: &DeltaTable, change: &Change) -> Result<bool> {
        let mut made = 0;
        for transaction in &change.transactions {
            let applied = self.applied_of(delta, &transaction.application).await?;
            if applied.epoch > transaction.stamp.epoch {
                return Err(overtaken(&transaction.application));
            }
            made += usize::from(applied >= transaction.stamp);
        }
        match made {
            0 => {}
            all if all == change.transactions.len() => return Ok(true),
            _ => {
                let message = format!("another commit to table {} has a part of this one", self.name);
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        let Some(first) = change.add.first() else { return Ok(false) };
        // Paths hold a random id, and a commit is all or nothing, so one path stands for it.
        Ok(live_paths(delta)?.contains(&first.path))
    }

    fn still_fits(&self, delta: &DeltaTable, change: &Change, begun: u64) -> Result<()> {
        if change.metadata.is_some() && known_version(self.name, delta)? != begun {
            return Err(Error::new(ErrorKind::Conflict, format!("table {} changed meanwhile", self.name)));
        }
        if change.remove.is_empty() && change.needs.is_empty() {
            return Ok(());
        }
        let live = live_paths(delta)?;
        match change.remove.iter().chain(&change.needs).find(|path| !live.contains(*path)) {
            None => Ok(()),
            Some(path) => {
                let message = format!("{}/{path} was replaced or deleted by another commit", self.name);
                Err(Error::new(ErrorKind::Conflict, message))
            }
        }
    }

    /// An error where something was deleted that this was planned without.
    async fn knows_deletes(&self, known: &mut Known, change: &Change) -> Result<()> {
        let Some(planned) = change.deletes else { return Ok(()) };
        let counted = match known.deletes {
            Some(counted) => counted,
            None => self.applied_of(&known.delta, DELETES).await?.sequence,
        };
        known.deletes = Some(counted);
        if counted == planned {
            return Ok(());
        }
        let message = format!("samples of table {} were deleted meanwhile", self.name);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    fn lines(&self, change: &Change, now_ms: i64) -> Vec<Value> {
        let mut lines = vec![json!({"commitInfo": {
            "timestamp": now_ms,
            "operation": change.operation,
            "operationParameters": {},
            "isBlindAppend": change.remove.is_empty() && change.metadata.is_none(),
            "engineInfo": engine(),
        }})];
        if let Some(metadata) = &change.metadata {
            lines.push(json!({"metaData": metadata}));
        }
        for Transaction { application, stamp } in &change.transactions {
            let version = stamp.version();
            lines.push(json!({"txn": {"appId": application, "version": version, "lastUpdated": now_ms}}));
        }
        for path in &change.remove {
            lines.push(json!({"remove": {
                "path": path,
                "deletionTimestamp": now_ms,
                "dataChange": change.data_change,
                "extendedFileMetadata": true,
                "partitionValues": partition_of(path),
            }}));
        }
        for file in &change.add {
            let values = file.day.as_ref().map_or_else(|| json!({}), |day| json!({"day": day}));
            lines.push(json!({"add": {
                "path": file.path,
                "partitionValues": values,
                "size": file.size_bytes,
                "modificationTime": file.modified_ms,
                "dataChange": change.data_change,
                "stats": file.stats.to_string(),
            }}));
        }
        lines
    }

    async fn put_version(&self, version: u64, lines: &[Value]) -> object_store::Result<()> {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        let payload = PutPayload::from(text.join("\n") + "\n");
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(&version_path(version), payload, options).await.map(|_| ())
    }

    /// Writes a checkpoint when enough commits have gathered, and deletes log entries past their retention.
    /// A failure costs readers time and nothing else, so it is only logged.
    pub async fn checkpoint_if_due(&self) {
        if self.commits.load(Ordering::Relaxed) < CHECKPOINT_COMMITS {
            return;
        }
        let delta = self.known.lock().await.delta.clone();
        if let Err(error) = deltalake::checkpoints::create_checkpoint(&delta, None).await {
            tracing::warn!(table = self.name, %error, "checkpoint failed");
            return;
        }
        self.commits.store(0, Ordering::Relaxed);
        if let Err(error) = deltalake::checkpoints::cleanup_metadata(&delta, None).await {
            tracing::warn!(table = self.name, %error, "log clean-up failed");
        }
    }
}

fn overtaken(application: &str) -> Error {
    Error::new(ErrorKind::Poisoned, format!("another process has taken over {application:?}"))
}

fn engine() -> &'static str {
    concat!("promlake/", env!("CARGO_PKG_VERSION"))
}

fn version_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

fn known_version(name: &str, delta: &DeltaTable) -> Result<u64> {
    delta.version().ok_or_else(|| Error::internal(format!("table {name} is not loaded")))
}

fn live_paths(delta: &DeltaTable) -> Result<HashSet<String>> {
    let state = delta.snapshot().context(ErrorKind::Internal, || "table is not loaded".to_string())?;
    Ok(state.log_data().iter().map(|view| view.path().into_owned()).collect())
}

/// The partition values of a file, from its directory; we name every file ourselves.
fn partition_of(path: &str) -> Value {
    match path.strip_prefix("day=").and_then(|rest| rest.split_once('/')) {
        Some((day, _)) => json!({"day": day}),
        None => json!({}),
    }
}

/// We write version 2 tables without features; somebody else may have upgraded ours.
fn check_protocol(name: &str, delta: &DeltaTable) -> Result<()> {
    let state = delta.snapshot().context(ErrorKind::Internal, || format!("table {name} is not loaded"))?;
    let protocol = state.protocol();
    let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
    if reader > 1 || writer > 2 {
        return Err(Error::unsupported(format!(
            "table {name} was upgraded to Delta protocol ({reader}, {writer}); promlake writes (1, 2)"
        )));
    }
    Ok(())
}

fn backoff(attempt: u32) -> Duration {
    let ceiling = (10u64 << attempt.min(10)).min(BACKOFF_MAX_MS);
    Duration::from_millis(fastrand::u64(ceiling / 2..=ceiling))
}

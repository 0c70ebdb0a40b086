//! The lake as the store sees it: tables that are flushed to together and read as one file set. How the history of alerts is
//! written is in [`super::alerts`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::RwLock;
use serde_json::json;
use uuid::Uuid;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::metadata::Metadata;
use crate::model::sample::{DAY_MS, TimeRange, day_of};
use crate::storage::deleted::Deletes;
use crate::storage::lake::deletes::{self, Recorded};
use crate::storage::lake::files::{self, FileSet, RowFile};
use crate::storage::lake::merge::{self, MergeJob};
use crate::storage::lake::migrate;
use crate::storage::lake::output::{FILE_BYTES, Output, Target};
use crate::storage::lake::rows::{self, Exemplar, StoredExemplar};
use crate::storage::lake::table::{AddFile, Change, Committed, DELETES, LiveFile, Table, Transaction};
use crate::storage::object::{self, Objects};
use crate::storage::types::{Run, SampleFile, Series, SortedRuns, Stamp};

/// Milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A replaced file is deleted this long after the commit that removed it: queries that began before read on.
pub const RETIRED_GRACE_MS: i64 = 10 * 60 * 1000;
/// A file no commit knows is deleted when it is this old: before, its commit may still come.
pub const ORPHAN_GRACE_MS: i64 = DAY_MS;

/// The tables of the lake, by what they hold.
#[derive(Debug)]
pub struct Tables {
    pub samples: Table,
    pub series: Table,
    pub exemplars: Table,
    pub metadata: Table,
    pub alert_history: Table,
    pub deletes: Table,
}

impl Tables {
    /// The tables below a root; nothing is read yet.
    pub fn new(root: &Arc<dyn ObjectStore>) -> Self {
        let table = |name| Table::new(Arc::clone(root), name);
        Self {
            samples: table("samples"),
            series: table("series"),
            exemplars: table("exemplars"),
            metadata: table("metadata"),
            alert_history: table("alert_history"),
            deletes: table("deletes"),
        }
    }

    /// Samples before what goes with them, as others commit them last.
    pub fn all(&self) -> [&Table; 6] {
        let Self { samples, series, exemplars, metadata, alert_history, deletes } = self;
        [samples, series, exemplars, metadata, alert_history, deletes]
    }

    pub fn by_name(&self, name: &str) -> Option<&Table> {
        self.all().into_iter().find(|table| table.name() == name)
    }
}

/// See the module.
pub struct Lake {
    root: Arc<dyn ObjectStore>,
    tables: Tables,
    node: String,
    /// Whose sequence numbers the transactions of flushes carry.
    application: String,
    clock: Clock,
    files: RwLock<Arc<FileSet>>,
    /// Tables are known further than the file set: a refresh that failed half-way goes on the next time.
    behind: AtomicBool,
    /// How far this node's write-ahead log is in the lake, and the epoch this process commits as.
    applied: RwLock<Stamp>,
    /// Deletes that have a record.
    recorded: RwLock<Arc<Recorded>>,
    /// How many deletes the log of samples counts, of which all records have been read.
    deletes_seen: AtomicU64,
    /// One flush, merge or refresh at a time changes the file set.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lake({}, {} files)", self.application, self.files.read().samples.len())
    }
}

impl Lake {
    /// Whether there is a lake at all.
    pub async fn exists(objects: &Objects) -> Result<bool> {
        let log = Path::from("samples/_delta_log");
        let first = objects.store.list(Some(&log)).try_next().await;
        Ok(first.context(ErrorKind::Unavailable, || format!("cannot look into {}", objects.display))?.is_some())
    }

    /// Checks that the store can hold a lake, applies migrations and reads the log of every table.
    pub async fn open(objects: &Objects, node: &str, clock: Clock) -> Result<Lake> {
        object::probe(objects.store.as_ref(), &objects.display).await?;
        let tables = Tables::new(&objects.store);
        migrate::apply(&tables, clock()).await?;
        let lake = Lake {
            root: Arc::clone(&objects.store),
            tables,
            node: node.to_string(),
            application: application_of(node),
            clock,
            files: RwLock::default(),
            behind: AtomicBool::new(false),
            applied: RwLock::default(),
            recorded: RwLock::default(),
            deletes_seen: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
        };
        let applied = lake.tables.samples.applied(&lake.application).await?;
        *lake.applied.write() = applied;
        // The log of samples was read before that of deletes, as in `follow_all`.
        lake.saw_deletes(lake.tables.samples.applied(DELETES).await?.sequence);
        lake.reload().await?;
        Ok(lake)
    }

    /// Takes the node over for a new epoch; older ones cannot commit flushes any more. Returns what the lake contains
    /// of the node's log, and of which epoch, when that is certain.
    pub async fn take_over(&self, epoch: u64) -> Result<Stamp> {
        let _turn = self.turn.lock().await;
        let before = self.tables.samples.take_over(&self.application, epoch, (self.clock)()).await?;
        *self.applied.write() = Stamp { epoch, sequence: before.sequence };
        self.reload().await?;
        Ok(before)
    }

    /// The highest sequence number of this node's write-ahead log whose rows are in the lake; 0 for none.
    pub fn applied_seq(&self) -> u64 {
        self.applied.read().sequence
    }

    /// The same of any node, as far as the log of `samples` is known.
    pub async fn applied_of(&self, node: &str) -> Result<u64> {
        Ok(self.tables.samples.applied(&application_of(node)).await?.sequence)
    }

    /// The live files, as of the last commit or refresh.
    pub fn files(&self) -> Arc<FileSet> {
        Arc::clone(&self.files.read())
    }

    /// Every day with series, and a number that changes when the list of its series may have.
    pub fn days(&self) -> Vec<(i32, u64)> {
        self.files().days()
    }

    /// Makes a flush durable: uploads its files and commits them, the small tables first, so that no sample is
    /// visible without its series. `seq` is the last sequence number of the write-ahead log it covers; doing it
    /// again with the same or a lower one changes nothing and returns no files. A crash between the commits
    /// leaves rows in the small tables that come again with the next flush; reading them drops the copies.
    /// `deletes` is [`Lake::deletes_seen`] from before the lists of series were looked at; [`ErrorKind::Conflict`]: it has
    /// changed, so a list may lack a series that it had.
    pub async fn commit_flush(
        &self,
        seq: u64,
        deletes: u64,
        samples: &dyn SortedRuns,
        series_by_day: &[(i32, Vec<Arc<Series>>)],
        exemplars: &[Exemplar],
        metadata: &[(String, Metadata)],
    ) -> Result<Vec<Arc<SampleFile>>> {
        if seq <= self.applied_seq() {
            return Ok(Vec::new());
        }
        let _turn = self.turn.lock().await;
        if deletes != self.deletes_seen() {
            return Err(Error::new(ErrorKind::Conflict, "series were deleted meanwhile"));
        }
        self.commit_metadata(seq, metadata).await?;
        self.commit_exemplars(seq, exemplars).await?;
        self.commit_series(seq, series_by_day).await?;
        let add = self.upload_samples(samples).await?;
        let mut paths: Vec<String> = add.iter().map(|file| format!("samples/{}", file.path)).collect();
        if self.commit_knowing(&self.tables.samples, seq, add, Some(deletes)).await? == Committed::Before {
            // A lost answer hides our own commit; its files are live then, and otherwise they never were.
            tracing::info!(seq, "the flush was in the lake already");
        }
        self.applied.write().sequence = seq;
        self.reload().await?;
        paths.sort_unstable();
        let live = self.files();
        let added = live.samples.iter().filter(|file| paths.binary_search(&file.path).is_ok());
        Ok(added.cloned().collect())
    }

    async fn commit_metadata(&self, seq: u64, metadata: &[(String, Metadata)]) -> Result<()> {
        if metadata.is_empty() {
            return Ok(());
        }
        let bytes = rows::encode_metadata(metadata)?;
        let file = self.upload_rows(&self.tables.metadata, None, metadata.len(), bytes).await?;
        self.commit_rows(&self.tables.metadata, seq, vec![file]).await.map(|_| ())
    }

    async fn commit_exemplars(&self, seq: u64, exemplars: &[Exemplar]) -> Result<()> {
        let mut by_day: BTreeMap<i32, Vec<&Exemplar>> = BTreeMap::new();
        for exemplar in exemplars {
            by_day.entry(day_of(exemplar.timestamp)).or_default().push(exemplar);
        }
        let mut add = Vec::new();
        for (day, exemplars) in by_day {
            let bytes = rows::encode_exemplars(&exemplars)?;
            add.push(self.upload_rows(&self.tables.exemplars, Some(day), exemplars.len(), bytes).await?);
        }
        match add.is_empty() {
            true => Ok(()),
            false => self.commit_rows(&self.tables.exemplars, seq, add).await.map(|_| ()),
        }
    }

    async fn commit_series(&self, seq: u64, series_by_day: &[(i32, Vec<Arc<Series>>)]) -> Result<()> {
        let mut add = Vec::new();
        for (day, series) in series_by_day.iter().filter(|(_, series)| !series.is_empty()) {
            let bytes = rows::encode_series(series)?;
            add.push(self.upload_rows(&self.tables.series, Some(*day), series.len(), bytes).await?);
        }
        match add.is_empty() {
            true => Ok(()),
            false => self.commit_rows(&self.tables.series, seq, add).await.map(|_| ()),
        }
    }

    async fn commit_rows(&self, table: &Table, seq: u64, add: Vec<AddFile>) -> Result<Committed> {
        self.commit_knowing(table, seq, add, None).await
    }

    async fn commit_knowing(
        &self,
        table: &Table,
        seq: u64,
        add: Vec<AddFile>,
        deletes: Option<u64>,
    ) -> Result<Committed> {
        let stamp = Stamp { epoch: self.epoch(), sequence: seq };
        let transactions = vec![Transaction { application: self.application.clone(), stamp }];
        let change =
            Change { operation: "WRITE", add, data_change: true, transactions, deletes, ..Change::default() };
        let committed = table.commit(&change, (self.clock)()).await?;
        table.checkpoint_if_due().await;
        Ok(committed)
    }

    /// The position for files of the next commit, see `FORMAT.md`: one more than the version it is planned on.
    async fn next_position(&self, table: &Table) -> Result<i64> {
        Ok(table.version().await? as i64 + 1)
    }

    pub(super) async fn upload_rows(
        &self,
        table: &Table,
        day: Option<i32>,
        rows: usize,
        bytes: Vec<u8>,
    ) -> Result<AddFile> {
        let name = files::row_file_name(day, self.next_position(table).await?, Uuid::new_v4());
        let path = format!("{}/{name}", table.name());
        let size_bytes = bytes.len() as u64;
        self.root
            .put(&Path::from(path.as_str()), bytes.into())
            .await
            .context(ErrorKind::Unavailable, || format!("cannot upload {path}"))?;
        Ok(AddFile {
            path: name,
            size_bytes,
            day: day.map(files::day_text),
            modified_ms: (self.clock)(),
            stats: json!({"numRecords": rows}),
        })
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn root(&self) -> &Arc<dyn ObjectStore> {
        &self.root
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Which start of the node this process is.
    pub(super) fn epoch(&self) -> u64 {
        self.applied.read().epoch
    }

    /// Takes the file set from the tables, for a commit that was made without the lock.
    pub(super) async fn reload_now(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.reload().await
    }

    /// One file, or several when large, for each day that has samples.
    async fn upload_samples(&self, samples: &dyn SortedRuns) -> Result<Vec<AddFile>> {
        let commit = self.next_position(&self.tables.samples).await?;
        let days: BTreeSet<i32> = (0..samples.series().len()).flat_map(|at| samples.days(at)).collect();
        let (mut add, mut run) = (Vec::new(), Run::default());
        for day in days {
            let target = Target {
                day,
                commit,
                level: 0,
                histograms: samples.has_histograms(),
                start_timestamps: samples.has_start_timestamps(),
                now_ms: (self.clock)(),
                file_bytes: FILE_BYTES,
            };
            let mut output = Output::new(Arc::clone(&self.root), target);
            let start_ms = i64::from(day).saturating_mul(DAY_MS);
            let range = TimeRange::new(start_ms, start_ms.saturating_add(DAY_MS - 1));
            for (at, series) in samples.series().iter().enumerate() {
                run.clear();
                samples.read(at, range, &mut run);
                output.push(series.labels.metric(), series.id, (&run).into()).await?;
            }
            add.extend(output.finish().await?);
        }
        Ok(add)
    }

    /// Follows the log of samples, and those of all tables when that has anything new: commits to the others come first.
    /// Returns whether it had. Costs one request when it had not.
    pub async fn refresh_samples(&self) -> Result<bool> {
        let _turn = self.turn.lock().await;
        // Samples before series, so that none is visible without its series.
        self.follow(&self.tables.samples).await?;
        if !self.behind.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.follow_all().await
    }

    /// Follows the logs of all tables; returns whether anything was new.
    pub async fn refresh(&self) -> Result<bool> {
        let _turn = self.turn.lock().await;
        self.follow_all().await
    }

    pub(super) async fn follow_all(&self) -> Result<bool> {
        self.follow(&self.tables.samples).await?;
        // A record is committed before it is counted: what is counted by now has one that is read next.
        let counted = self.tables.samples.applied(DELETES).await?.sequence;
        for table in self.tables.all() {
            self.follow(table).await?;
        }
        if counted != self.deletes_seen() {
            self.behind.store(true, Ordering::Relaxed);
        }
        let changed = self.behind.load(Ordering::Relaxed);
        if changed {
            self.reload().await?;
            self.behind.store(false, Ordering::Relaxed);
            self.saw_deletes(counted);
        }
        Ok(changed)
    }

    /// The number that commits have to know, see [`Change::deletes`].
    pub fn deletes_seen(&self) -> u64 {
        self.deletes_seen.load(Ordering::Acquire)
    }

    pub(super) fn saw_deletes(&self, counted: u64) {
        self.deletes_seen.store(counted, Ordering::Release);
    }

    pub(super) fn recorded(&self) -> Arc<Recorded> {
        self.recorded.read().clone()
    }

    /// For whoever changes the file set.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    async fn follow(&self, table: &Table) -> Result<()> {
        if table.refresh().await? {
            self.behind.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes the file set from the tables as they are known. Files that were there keep their `Arc`.
    pub(super) async fn reload(&self) -> Result<()> {
        let recorded = self.read_deletes().await?;
        let deletes_of = |path: &str| recorded.of(path);
        let before = self.files();
        let known: HashMap<&str, &Arc<SampleFile>> = before.samples.iter().map(|f| (f.path.as_str(), f)).collect();
        let mut samples = Vec::new();
        for file in self.tables.samples.live().await? {
            let path = format!("samples/{}", file.path);
            let deletes = deletes_of(&path);
            samples.push(match known.get(path.as_str()) {
                Some(file) if file.deletes == deletes => Arc::clone(file),
                _ => Arc::new(SampleFile { deletes, ..files::sample_file(&file) }),
            });
        }
        samples.sort_unstable_by(|a, b| (a.commit, &a.path).cmp(&(b.commit, &b.path)));
        let files = FileSet {
            samples,
            series: by_day(row_files(&self.tables.series, deletes_of).await?),
            exemplars: by_day(row_files(&self.tables.exemplars, deletes_of).await?),
            metadata: row_files(&self.tables.metadata, nothing).await?,
            alert_history: by_day(row_files(&self.tables.alert_history, nothing).await?),
        };
        *self.files.write() = Arc::new(files);
        Ok(())
    }

    /// Reads the records of deletes that are new.
    async fn read_deletes(&self) -> Result<Arc<Recorded>> {
        let (before, files) = (self.recorded(), row_files(&self.tables.deletes, nothing).await?);
        if before.is_of(&files) {
            return Ok(before);
        }
        let mut deletes = Vec::new();
        for file in &files {
            match before.read_from(file) {
                Some(delete) => deletes.push(Arc::clone(delete)),
                None => deletes.extend(deletes::decode(self.read(file).await?, file)?.into_iter().map(Arc::new)),
            }
        }
        let now = Arc::new(Recorded::new(files, deletes));
        *self.recorded.write() = Arc::clone(&now);
        Ok(now)
    }

    /// Takes the files of the history of alerts from their table, for a commit that was made without the lock. Those of
    /// samples and series belong together, and are left as they are.
    pub(super) async fn reload_alert_history(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        let alert_history = by_day(row_files(&self.tables.alert_history, nothing).await?);
        let files = FileSet { alert_history, ..FileSet::clone(&self.files()) };
        *self.files.write() = Arc::new(files);
        Ok(())
    }

    /// The series of a day, each once; of one listed twice the later wins.
    pub async fn read_series(&self, day: i32) -> Result<Vec<Series>> {
        let files = self.files();
        let mut seen: HashMap<i64, Series> = HashMap::new();
        for file in files.series.get(&day).into_iter().flatten() {
            let mut listed = rows::decode_series(self.read(file).await?, &file.path)?;
            if !file.deletes.is_empty() {
                listed.retain(|series| !file.deletes.take_from_list(series.id, day));
            }
            seen.extend(listed.into_iter().map(|series| (series.id, series)));
        }
        Ok(seen.into_values().collect())
    }

    /// Metadata by metric family, sorted; of one listed twice the later wins.
    pub async fn read_metadata(&self) -> Result<Vec<(String, Metadata)>> {
        let files = self.files();
        let mut families = BTreeMap::new();
        for file in &files.metadata {
            families.extend(rows::decode_metadata(self.read(file).await?, &file.path)?);
        }
        Ok(families.into_iter().collect())
    }

    /// Exemplars of a day by (series id, timestamp), each once.
    pub async fn read_exemplars(&self, day: i32) -> Result<Vec<StoredExemplar>> {
        let files = self.files();
        let mut out = Vec::new();
        for file in files.exemplars.get(&day).into_iter().flatten() {
            out.extend(self.read_exemplar_file(file).await?);
        }
        out.sort_by(|a, b| {
            let key = |e: &StoredExemplar| (e.series_id, e.timestamp, e.value.to_bits());
            key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels))
        });
        out.dedup();
        Ok(out)
    }

    /// The exemplars of one file.
    pub async fn read_exemplar_file(&self, file: &RowFile) -> Result<Vec<StoredExemplar>> {
        let mut stored = rows::decode_exemplars(self.read(file).await?, &file.path)?;
        if !file.deletes.is_empty() {
            stored.retain(|exemplar| !file.deletes.take(exemplar.series_id, exemplar.timestamp));
        }
        Ok(stored)
    }

    pub(super) async fn read(&self, file: &RowFile) -> Result<bytes::Bytes> {
        let message = || format!("cannot read {}", file.path);
        let found =
            self.root.get(&Path::from(file.path.as_str())).await.context(ErrorKind::Unavailable, message)?;
        found.bytes().await.context(ErrorKind::Unavailable, message)
    }

    /// The merges that pay now, see [`merge::plan`].
    pub fn plan_merges(&self, limits: &merge::Limits) -> Vec<MergeJob> {
        merge::plan(&self.files().samples, (self.clock)(), limits)
    }

    /// The rewriting of every file that has samples which were deleted.
    pub fn plan_rewrites(&self) -> Vec<MergeJob> {
        merge::rewrites(&self.files().samples)
    }

    /// Rewrites the inputs of a job as fewer files, and returns those. [`ErrorKind::Conflict`]: an input is gone;
    /// plan again.
    pub async fn run_merge(&self, job: &MergeJob) -> Result<Vec<Arc<SampleFile>>> {
        let add = merge::write(&self.root, job, (self.clock)()).await?;
        let added: std::collections::HashSet<String> =
            add.iter().map(|file| format!("samples/{}", file.path)).collect();
        let table = &self.tables.samples;
        let below = |file: &Arc<SampleFile>| file.path.trim_start_matches("samples/").to_string();
        let _turn = self.turn.lock().await;
        let change = Change {
            operation: "OPTIMIZE",
            add,
            remove: job.inputs.iter().map(below).collect(),
            // Samples that were deleted are gone for those who read the files alone.
            data_change: job.inputs.iter().any(|file| !file.deletes.is_empty()),
            deletes: Some(self.deletes_seen()),
            ..Change::default()
        };
        if !knows_deletes(&self.files().samples, &job.inputs) {
            return Err(Error::new(ErrorKind::Conflict, "samples of a merge were deleted meanwhile"));
        }
        let committed = table.commit(&change, (self.clock)()).await;
        table.checkpoint_if_due().await;
        self.reload().await?;
        committed?;
        Ok(self.files().samples.iter().filter(|file| added.contains(&file.path)).cloned().collect())
    }

    /// Merges the lists of series of every closed day that has several; returns how many files were replaced.
    pub async fn merge_series(&self) -> Result<usize> {
        let today = day_of((self.clock)());
        let files = self.files();
        let mut replaced = 0;
        for (day, inputs) in files.series.iter().filter(|(day, files)| files.len() > 1 && **day < today) {
            let series: Vec<Arc<Series>> = self.read_series(*day).await?.into_iter().map(Arc::new).collect();
            let bytes = rows::encode_series(&series)?;
            replaced += self.replace_rows(&self.tables.series, Some(*day), inputs, series.len(), bytes).await?;
        }
        if files.metadata.len() > 16 {
            let metadata = self.read_metadata().await?;
            let bytes = rows::encode_metadata(&metadata)?;
            let inputs = &files.metadata;
            replaced += self.replace_rows(&self.tables.metadata, None, inputs, metadata.len(), bytes).await?;
        }
        Ok(replaced)
    }

    pub(super) async fn replace_rows(
        &self,
        table: &Table,
        day: Option<i32>,
        inputs: &[Arc<RowFile>],
        rows: usize,
        bytes: Vec<u8>,
    ) -> Result<usize> {
        let add = vec![self.upload_rows(table, day, rows, bytes).await?];
        self.exchange_rows(table, inputs, add).await
    }

    /// Removes files that have nothing left.
    pub(super) async fn remove_rows(&self, table: &Table, inputs: &[Arc<RowFile>]) -> Result<usize> {
        self.exchange_rows(table, inputs, Vec::new()).await
    }

    async fn exchange_rows(&self, table: &Table, inputs: &[Arc<RowFile>], add: Vec<AddFile>) -> Result<usize> {
        let _turn = self.turn.lock().await;
        let prefix = format!("{}/", table.name());
        let below = |file: &Arc<RowFile>| file.path.trim_start_matches(&prefix).to_string();
        let now = self.files();
        let of_day = |days: &BTreeMap<i32, Vec<Arc<RowFile>>>, file: &Arc<RowFile>| {
            days.get(&file.day).is_some_and(|files| files.contains(file))
        };
        // What was deleted since they were read would come back.
        let is_as_read = |file: &Arc<RowFile>| match table.name() {
            "series" => of_day(&now.series, file),
            "exemplars" => of_day(&now.exemplars, file),
            _ => true,
        };
        if !inputs.iter().all(is_as_read) {
            return Ok(0);
        }
        let change = Change {
            operation: "OPTIMIZE",
            add,
            remove: inputs.iter().map(below).collect(),
            data_change: inputs.iter().any(|file| !file.deletes.is_empty()),
            ..Change::default()
        };
        let committed = table.commit(&change, (self.clock)()).await;
        self.reload().await?;
        match committed {
            Ok(_) => Ok(inputs.len()),
            // Somebody else merged them; that is as good.
            Err(e) if e.kind == ErrorKind::Conflict => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Drops whole days before `day` from all tables. The files stay for queries that read them, see [`Lake::sweep`].
    pub async fn drop_days_before(&self, day: i32) -> Result<usize> {
        let _turn = self.turn.lock().await;
        let mut dropped = 0;
        for table in self.tables.all().into_iter().filter(|table| !["metadata", "deletes"].contains(&table.name()))
        {
            let live = table.live().await?;
            let remove: Vec<String> =
                live.into_iter().map(|file| file.path).filter(|path| files::parse_name(path).day < day).collect();
            if remove.is_empty() {
                continue;
            }
            dropped += remove.len();
            let change = Change { operation: "DELETE", remove, data_change: true, ..Change::default() };
            table.commit(&change, (self.clock)()).await?;
        }
        self.reload().await?;
        Ok(dropped)
    }

    /// Drops the lists of series of days before `day`, where none was written at `written_ms` or later and there is no sample
    /// of that day: of a node that keeps no samples. Returns the days.
    pub async fn drop_series_lists(&self, day: i32, written_ms: i64) -> Result<Vec<i32>> {
        let _turn = self.turn.lock().await;
        let files = self.files();
        let mut lists: BTreeMap<i32, Vec<LiveFile>> = BTreeMap::new();
        for file in self.tables.series.live().await? {
            lists.entry(files::parse_name(&file.path).day).or_default().push(file);
        }
        let has_samples = |day: i32| files.samples.iter().any(|file| file.day == day);
        lists.retain(|of, lists| {
            *of < day && lists.iter().all(|file| file.modified_ms < written_ms) && !has_samples(*of)
        });
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let days = lists.keys().copied().collect();
        let remove = lists.into_values().flatten().map(|file| file.path).collect();
        let change = Change { operation: "DELETE", remove, data_change: true, ..Change::default() };
        self.tables.series.commit(&change, (self.clock)()).await?;
        self.reload().await?;
        Ok(days)
    }

    /// Deletes files that no query can need: removed ten minutes ago, or uploaded a day ago and never
    /// committed. Lists every table; run it rarely. Returns how many were deleted.
    pub async fn sweep(&self) -> Result<usize> {
        let mut deleted = 0;
        for table in self.tables.all() {
            deleted += self.sweep_table(table).await?;
        }
        Ok(deleted)
    }

    async fn sweep_table(&self, table: &Table) -> Result<usize> {
        let message = || format!("cannot clean up table {}", table.name());
        let now_ms = (self.clock)();
        // Listed before the log is read: a file that is committed in between is then known.
        let prefix = Path::from(table.name());
        let listed: Vec<_> =
            self.root.list(Some(&prefix)).try_collect().await.context(ErrorKind::Unavailable, message)?;
        table.refresh().await?;
        let live: std::collections::HashSet<String> = table.live().await?.into_iter().map(|f| f.path).collect();
        let removed: HashMap<String, i64> = table.tombstones().await?.into_iter().collect();
        let mut deleted = 0;
        for object in listed {
            let path = object.location.to_string();
            let Some(below) = path.strip_prefix(table.name()).and_then(|p| p.strip_prefix('/')) else { continue };
            if below.starts_with('_') || !below.ends_with(".parquet") || live.contains(below) {
                continue;
            }
            let due = match removed.get(below) {
                Some(at) => now_ms - at > RETIRED_GRACE_MS,
                None => now_ms - object.last_modified.timestamp_millis() > ORPHAN_GRACE_MS,
            };
            if due {
                self.root.delete(&object.location).await.context(ErrorKind::Unavailable, message)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

/// Whose sequence numbers the flushes of a node carry.
fn application_of(node: &str) -> String {
    format!("ingest-{node}")
}

/// The live files of a table, with what is deleted of each.
async fn row_files(table: &Table, deletes_of: impl Fn(&str) -> Deletes) -> Result<Vec<Arc<RowFile>>> {
    let live = table.live().await?;
    let with_deletes = |file: &LiveFile| {
        let file = files::row_file(table.name(), file);
        Arc::new(RowFile { deletes: deletes_of(&file.path), ..file })
    };
    let mut files: Vec<_> = live.iter().map(with_deletes).collect();
    files.sort_unstable_by(|a, b| (a.commit, &a.path).cmp(&(b.commit, &b.path)));
    Ok(files)
}

/// Of a table that deletes have no business with.
fn nothing(_path: &str) -> Deletes {
    Deletes::default()
}

/// Whether nothing was deleted from files of a merge since it was planned.
fn knows_deletes(now: &[Arc<SampleFile>], planned: &[Arc<SampleFile>]) -> bool {
    let now: HashMap<&str, &Deletes> = now.iter().map(|file| (file.path.as_str(), &file.deletes)).collect();
    planned.iter().all(|file| now.get(file.path.as_str()).is_some_and(|deletes| **deletes == file.deletes))
}

fn by_day(files: Vec<Arc<RowFile>>) -> BTreeMap<i32, Vec<Arc<RowFile>>> {
    let mut days: BTreeMap<i32, Vec<Arc<RowFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.day).or_default().push(file);
    }
    days
}

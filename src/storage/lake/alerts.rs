//! The history of alerts: changes of their states, a row each in `alert_history`, by the day they were made on.
//!
//! These rows are in no write-ahead log. Who has them keeps them until they are committed, and numbers its batches, so that a
//! batch whose outcome is not known can come again; `FORMAT.md` has the argument.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, TimestampMillisecondType};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::sample::{DAY_MS, TimeRange, day_of};
use crate::storage::lake::files::RowFile;
use crate::storage::lake::rows;
use crate::storage::lake::schema;
use crate::storage::lake::table::{Change, Transaction};
use crate::storage::lake::tables::Lake;
use crate::storage::types::Stamp;

/// Rows, and bytes of the inputs, of a file that others are merged into; a file of half as many is left alone. Bounds memory.
const MERGED_ROWS: u64 = 1 << 16;
const MERGED_BYTES: u64 = 16 << 20;
/// Small files of a day that is not over, before they are merged.
const OPEN_DAY_FILES: usize = 32;
/// How far back the last states of alerts are looked for: days, and rows.
const LAST_STATES_DAYS: i32 = 32;
const LAST_STATES_ROWS: u64 = 1 << 18;

/// The state of an alert that is not there.
pub const INACTIVE: &str = "inactive";

/// That the state of an alert became another one.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertChange {
    /// Of the evaluation that found it. Milliseconds since the epoch.
    pub time: i64,
    /// Its name.
    pub alert: String,
    /// What it is known by, its name among them.
    pub labels: Labels,
    pub annotations: Vec<(String, String)>,
    /// `inactive`, `pending` or `firing`.
    pub from_state: Cow<'static, str>,
    pub to_state: Cow<'static, str>,
    /// `None` where nobody knows it any more.
    pub value: Option<f64>,
    pub rule_group: String,
    /// Of the group.
    pub file: String,
}

/// The last that the history says of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct LastState {
    pub alert: String,
    pub labels: Labels,
    pub state: String,
    pub rule_group: String,
    pub file: String,
}

impl Lake {
    /// Makes changes durable and visible. `sequence` numbers the batches of this process, from 1 up; one that is committed
    /// already is not written again. `again`: it was tried before, with an outcome that nobody knows.
    pub async fn commit_alert_changes(&self, sequence: u64, changes: &[AlertChange], again: bool) -> Result<()> {
        let table = &self.tables().alert_history;
        let mut by_day: BTreeMap<i32, Vec<&AlertChange>> = BTreeMap::new();
        for change in changes {
            by_day.entry(day_of(change.time)).or_default().push(change);
        }
        let mut add = Vec::with_capacity(by_day.len());
        for (day, changes) in by_day {
            let bytes = encode(changes.clone(), self.node())?;
            add.push(self.upload_rows(table, Some(day), changes.len(), bytes).await?);
        }
        let stamp = Stamp { epoch: self.epoch(), sequence };
        let transactions = vec![Transaction { application: format!("alerts-{}", self.node()), stamp }];
        let change = Change {
            operation: "WRITE",
            add,
            data_change: true,
            transactions,
            may_be_made: again,
            ..Change::default()
        };
        table.commit(&change, self.now_ms()).await?;
        table.checkpoint_if_due().await;
        self.reload_alert_history().await
    }

    /// The files of the days that a range touches, oldest first.
    pub fn alert_files(&self, range: TimeRange) -> Vec<Arc<RowFile>> {
        let is_touched = |day: i32| {
            let start_ms = i64::from(day) * DAY_MS;
            range.overlaps(start_ms, start_ms + DAY_MS - 1)
        };
        let files = self.files();
        let days = files.alert_history.iter().filter(|(day, _)| is_touched(**day));
        days.flat_map(|(_, files)| files.iter().cloned()).collect()
    }

    /// Fetches a file, and reads it part by part.
    pub async fn read_alert_file(&self, file: &RowFile) -> Result<AlertBatches> {
        let bytes = self.read(file).await?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|builder| builder.build())
            .context(ErrorKind::Internal, || format!("cannot read {}", file.path))?;
        Ok(AlertBatches { reader, path: file.path.clone() })
    }

    /// Alerts of rules of this node that the history leaves in another state than inactive. Not of those whose last change is
    /// longer ago than a month, or many rows.
    pub async fn last_alert_states(&self) -> Result<Vec<LastState>> {
        type Key = (String, String, Labels);
        let files = self.files();
        let first = day_of(self.now_ms()).saturating_sub(LAST_STATES_DAYS);
        let mut last: HashMap<Key, LastState> = HashMap::new();
        let mut read = 0;
        for (_, day_files) in files.alert_history.range(first..).rev() {
            let mut of_day: HashMap<Key, (i64, LastState)> = HashMap::new();
            for file in day_files {
                read += file.rows;
                for batch in self.read_alert_file(file).await? {
                    for (time, state) in states_of(&batch?, self.node(), &file.path)? {
                        let key = (state.file.clone(), state.rule_group.clone(), state.labels.clone());
                        match of_day.get(&key) {
                            Some((later, _)) if *later > time => {}
                            _ => drop(of_day.insert(key, (time, state))),
                        }
                    }
                }
            }
            for (key, (_, state)) in of_day {
                last.entry(key).or_insert(state);
            }
            if read > LAST_STATES_ROWS {
                break;
            }
        }
        Ok(last.into_values().filter(|last| last.state != INACTIVE).collect())
    }

    /// Merges the small files of every day that has several; returns how many files were replaced.
    pub async fn merge_alert_history(&self) -> Result<usize> {
        let (files, today) = (self.files(), day_of(self.now_ms()));
        let mut replaced = 0;
        for (day, day_files) in &files.alert_history {
            for inputs in together(day_files, *day < today) {
                let mut batches = Vec::new();
                for file in &inputs {
                    for batch in self.read_alert_file(file).await? {
                        batches.push(batch?);
                    }
                }
                let (rows, bytes) = merged(&batches)?;
                let table = &self.tables().alert_history;
                replaced += self.replace_rows(table, Some(*day), &inputs, rows, bytes).await?;
            }
        }
        Ok(replaced)
    }
}

/// The rows of a file, in the columns of [`schema::ALERT_HISTORY`].
pub struct AlertBatches {
    reader: ParquetRecordBatchReader,
    path: String,
}

impl Iterator for AlertBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.context(ErrorKind::Internal, || format!("cannot read {}", self.path));
        Some(batch.and_then(|batch| as_ours(&batch, &self.path)))
    }
}

/// Which files become one, where that pays. Files of other writers whose rows nobody counted are left alone.
fn together(files: &[Arc<RowFile>], is_over: bool) -> Vec<Vec<Arc<RowFile>>> {
    let fewest = if is_over { 2 } else { OPEN_DAY_FILES };
    let is_small =
        |file: &&Arc<RowFile>| (1..=MERGED_ROWS / 2).contains(&file.rows) && file.size_bytes <= MERGED_BYTES / 2;
    let mut groups: Vec<Vec<Arc<RowFile>>> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for file in files.iter().filter(is_small) {
        (rows, bytes) = (rows + file.rows, bytes + file.size_bytes);
        match groups.last_mut() {
            Some(group) if rows <= MERGED_ROWS && bytes <= MERGED_BYTES => group.push(Arc::clone(file)),
            _ => {
                (rows, bytes) = (file.rows, file.size_bytes);
                groups.push(vec![Arc::clone(file)]);
            }
        }
    }
    groups.retain(|group| group.len() >= fewest);
    groups
}

fn encode(mut changes: Vec<&AlertChange>, node: &str) -> Result<Vec<u8>> {
    changes.sort_by_key(|change| change.time);
    let text = |of: fn(&AlertChange) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(changes.iter().map(|change| of(change))))
    };
    let times = TimestampMillisecondArray::from_iter_values(changes.iter().map(|change| change.time));
    let annotations = changes.iter().map(|change| change.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        text(|change| &change.alert),
        rows::map_column(changes.iter().map(|change| change.labels.iter()))?,
        rows::map_column(annotations)?,
        text(|change| &change.from_state),
        text(|change| &change.to_state),
        Arc::new(changes.iter().map(|change| change.value).collect::<Float64Array>()),
        text(|change| &change.rule_group),
        text(|change| &change.file),
        Arc::new(StringArray::from_iter_values(changes.iter().map(|_| node))),
    ];
    rows::encode(&schema::ALERT_HISTORY, columns)
}

/// All of them as one file, by time, and how many rows that has.
fn merged(batches: &[RecordBatch]) -> Result<(usize, Vec<u8>)> {
    let message = || "cannot merge files of alert_history".to_string();
    let all = concat_batches(&schema::ALERT_HISTORY, batches).context(ErrorKind::Internal, message)?;
    let order = sort_to_indices(all.column(0), None, None).context(ErrorKind::Internal, message)?;
    let sorted = take_record_batch(&all, &order).context(ErrorKind::Internal, message)?;
    Ok((sorted.num_rows(), rows::encode_batch(&sorted)?))
}

/// What another engine rewrote may have other types of texts, and other names within maps.
fn as_ours(batch: &RecordBatch, path: &str) -> Result<RecordBatch> {
    let columns = schema::ALERT_HISTORY.fields().iter().map(|field| match field.data_type() {
        DataType::Map(entries, _) => map(batch, field.name(), entries, path),
        kind => rows::column(batch, field.name(), kind, path),
    });
    RecordBatch::try_new(Arc::clone(&schema::ALERT_HISTORY), columns.collect::<Result<_>>()?)
        .context(ErrorKind::Internal, || format!("{path} is no file of alert_history"))
}

fn map(batch: &RecordBatch, name: &str, entries: &Arc<Field>, path: &str) -> Result<ArrayRef> {
    let message = || format!("{path} has no map {name}");
    let map: &MapArray =
        batch.column_by_name(name).and_then(|c| c.as_map_opt()).ok_or_else(|| Error::internal(message()))?;
    let DataType::Struct(fields) = entries.data_type() else { return Err(Error::internal(message())) };
    let text = |column: &ArrayRef| cast(column, &DataType::Utf8);
    let pairs = text(map.keys()).and_then(|keys| {
        let pairs = StructArray::try_new(fields.clone(), vec![keys, text(map.values())?], None)?;
        MapArray::try_new(Arc::clone(entries), map.offsets().clone(), pairs, map.nulls().cloned(), false)
    });
    Ok(Arc::new(pairs.context(ErrorKind::Internal, message)?))
}

/// States after each change of the rules of a node, with the time of the change.
fn states_of(batch: &RecordBatch, node: &str, path: &str) -> Result<Vec<(i64, LastState)>> {
    let column = |name: &str| rows::column(batch, name, &DataType::Utf8, path);
    let times = rows::column(batch, schema::TIME, &schema::timestamp_type(), path)?;
    let times = times.as_primitive::<TimestampMillisecondType>();
    let (nodes, alerts, states) = (column("node")?, column("alert")?, column("to_state")?);
    let (groups, files) = (column("rule_group")?, column("file")?);
    let labels = rows::labels_of(batch, path)?;
    let text = |column: &ArrayRef, row: usize| column.as_string::<i32>().value(row).to_string();
    let own = labels.into_iter().enumerate().filter(|(row, _)| nodes.as_string::<i32>().value(*row) == node);
    let state = |(row, labels)| {
        let last = LastState {
            alert: text(&alerts, row),
            labels,
            state: text(&states, row),
            rule_group: text(&groups, row),
            file: text(&files, row),
        };
        (times.value(row), last)
    };
    Ok(own.map(state).collect())
}

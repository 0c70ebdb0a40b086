//! The live files of all tables, as one immutable value that readers share.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use serde_json::Value;
use uuid::Uuid;

use crate::model::sample::DAY_MS;
use crate::storage::deleted::Deletes;
use crate::storage::lake::output::Target;
use crate::storage::lake::table::LiveFile;
use crate::storage::types::SampleFile;

/// A live file of another table than `samples`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFile {
    /// Below the store's root.
    pub path: String,
    pub size_bytes: u64,
    pub rows: u64,
    /// The partition; 0 for a table without days.
    pub day: i32,
    /// Orders the files of a table, see [`SampleFile::commit`].
    pub commit: i64,
    /// What readers leave out of it.
    pub deletes: Deletes,
}

/// Every live file. Replaced as a whole; a query keeps the one it began with.
#[derive(Clone, Debug, Default)]
pub struct FileSet {
    /// By (commit, path), oldest first.
    pub samples: Vec<Arc<SampleFile>>,
    /// By day, then as `samples`.
    pub series: BTreeMap<i32, Vec<Arc<RowFile>>>,
    pub exemplars: BTreeMap<i32, Vec<Arc<RowFile>>>,
    pub metadata: Vec<Arc<RowFile>>,
    pub alert_history: BTreeMap<i32, Vec<Arc<RowFile>>>,
}

impl FileSet {
    /// Every day with series, and a number that changes when the files that list them do.
    pub fn days(&self) -> Vec<(i32, u64)> {
        self.series.iter().map(|(day, files)| (*day, version_of(files))).collect()
    }

    /// Whether readers leave anything out of files of samples.
    pub fn has_deletes(&self) -> bool {
        self.samples.iter().any(|file| !file.deletes.is_empty())
    }

    /// Paths of the files that a delete can be about.
    pub fn deletable(&self) -> impl Iterator<Item = &str> {
        let rows = self.series.values().chain(self.exemplars.values()).flatten();
        self.samples.iter().map(|file| file.path.as_str()).chain(rows.map(|file| file.path.as_str()))
    }

    /// The number of [`FileSet::days`] for one day; `None` where the lake has no such day.
    pub fn series_version(&self, day: i32) -> Option<u64> {
        self.series.get(&day).map(|files| version_of(files))
    }
}

fn version_of(files: &[Arc<RowFile>]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for file in files {
        hash.update(file.path.as_bytes());
        hash.update(b"\n");
        // What is deleted from a list changes it as well.
        hash.update(&file.deletes.len().to_le_bytes());
    }
    hash.digest()
}

/// `day=2026-11-21/00000000000000000012-0hs-<uuid>.parquet`, below `samples`: the position of the commit, the level
/// of merging, `h` and `s` when the file may hold histograms and start timestamps. The log keeps neither for
/// live files, so the name does.
pub fn sample_file_name(target: &Target, id: Uuid) -> String {
    let histograms = if target.histograms { "h" } else { "" };
    let starts = if target.start_timestamps { "s" } else { "" };
    let (day, commit, level) = (day_text(target.day), target.commit, target.level);
    format!("day={day}/{commit:020}-{level}{histograms}{starts}-{}.parquet", id.simple())
}

/// The name of a file of another table.
pub fn row_file_name(day: Option<i32>, commit: i64, id: Uuid) -> String {
    let directory = day.map_or_else(String::new, |day| format!("day={}/", day_text(day)));
    format!("{directory}{commit:020}-0-{}.parquet", id.simple())
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameParts {
    pub day: i32,
    pub commit: i64,
    pub level: u8,
    pub histograms: bool,
    pub start_timestamps: bool,
}

/// Reads a name back, with or without the table in front. Files of other writers (another engine compacted
/// the table) have other names: they count as oldest, and as having every column.
pub fn parse_name(path: &str) -> NameParts {
    let day = path.split('/').find_map(|part| part.strip_prefix("day=")).and_then(parse_day).unwrap_or(0);
    let foreign = NameParts { day, commit: 0, level: 0, histograms: true, start_timestamps: true };
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut parts = name.splitn(3, '-');
    let (Some(commit), Some(flags), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return foreign };
    let (Ok(commit), Some(level)) = (commit.parse(), flags.chars().next().and_then(|c| c.to_digit(10))) else {
        return foreign;
    };
    if path.len() < 20 || name.find('-') != Some(20) {
        return foreign;
    }
    let (histograms, start_timestamps) = (flags.contains('h'), flags.contains('s'));
    NameParts { day, commit, level: level as u8, histograms, start_timestamps }
}

/// `2026-11-21`
pub fn day_text(day: i32) -> String {
    date(day).format("%Y-%m-%d").to_string()
}

fn parse_day(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn date(day: i32) -> NaiveDate {
    NaiveDate::default() + chrono::Duration::days(i64::from(day))
}

/// RFC 3339 with milliseconds, as Delta's statistics have it.
pub fn timestamp_text(timestamp_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(timestamp_ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A live file of `samples`, from the log. The statistics are ours; a file without them may hold anything of
/// its day.
pub fn sample_file(file: &LiveFile) -> SampleFile {
    let name = parse_name(&file.path);
    let stats: Value = file.stats.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
    let text = |which: &str, column: &str| stats[which][column].as_str().map(str::to_string);
    let time = |which: &str| text(which, "timestamp").and_then(|t| parse_timestamp(&t));
    let day_start = i64::from(name.day) * DAY_MS;
    SampleFile {
        path: format!("samples/{}", file.path),
        size_bytes: file.size_bytes,
        rows: stats["numRecords"].as_u64().unwrap_or(0),
        day: name.day,
        commit: name.commit,
        min_timestamp: time("minValues").unwrap_or(day_start),
        max_timestamp: time("maxValues").unwrap_or(day_start + DAY_MS - 1),
        min_metric: text("minValues", "metric").unwrap_or_default(),
        max_metric: text("maxValues", "metric").unwrap_or_else(|| char::MAX.to_string()),
        has_histograms: name.histograms,
        has_start_timestamps: name.start_timestamps,
        modified_ms: file.modified_ms,
        deletes: Deletes::default(),
    }
}

fn parse_timestamp(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_millis())
}

/// A live file of another table, from the log.
pub fn row_file(table: &str, file: &LiveFile) -> RowFile {
    let name = parse_name(&file.path);
    let stats: Value = file.stats.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
    RowFile {
        path: format!("{table}/{}", file.path),
        size_bytes: file.size_bytes,
        rows: stats["numRecords"].as_u64().unwrap_or(0),
        day: name.day,
        commit: name.commit,
        deletes: Deletes::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let id = Uuid::from_u128(7);
        for (day, histograms, start_timestamps) in [(20_778, true, false), (0, false, true), (-1, true, true)] {
            let target =
                Target { day, commit: 12, level: 1, histograms, start_timestamps, now_ms: 0, file_bytes: 0 };
            let name = sample_file_name(&target, id);
            let parts = NameParts { day, commit: 12, level: 1, histograms, start_timestamps };
            assert_eq!(parse_name(&name), parts, "{name}");
            assert_eq!(parse_name(&format!("samples/{name}")), parts, "{name}");
        }
        let foreign = parse_name("day=1970-01-03/part-00000-abc.snappy.parquet");
        assert_eq!((foreign.day, foreign.commit, foreign.histograms), (2, 0, true));
    }

    #[test]
    fn timestamps_are_read_back() {
        for timestamp in [0, 1, -1, 1_767_225_600_123, -86_400_001] {
            assert_eq!(parse_timestamp(&timestamp_text(timestamp)), Some(timestamp));
        }
    }
}

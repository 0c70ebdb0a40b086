//! Samples of a statement, of any time. All of them are collected and compared with what is stored before the first one is written,
//! so that a statement that is refused has written nothing. Then those of the out-of-order window go through the appender, to the
//! log and to remotes, as far as it takes them, and all others into files of the lake, a UTC day in one commit.
//!
//! A crash in between leaves some of the days; to do the whole again adds the rest, as what is there already is no mistake.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::session::Engine;
use crate::error::{Error, Result};
use crate::ingest::appender::{Appended, Appender};
use crate::ingest::import::batch::Decoded;
use crate::ingest::import::calendar::DATED;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::existing::{Compared, Difference};
use crate::ingest::import::progress::Progress;
use crate::ingest::import::series::Added;
use crate::ingest::import::source::Source;
use crate::ingest::import::spill::Value;
use crate::model::labels::Labels;
use crate::model::sample::{DAY_MS, TimeRange, day_of};
use crate::past::writer::PastWriter;
use crate::storage::store::Clock;
use crate::storage::types::{Haste, Rejection, SampleRow, SeriesRef, WriteBatch};

/// Samples later than the clock by more than this are none yet, as for the appender.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;
/// What is newer goes through the appender, without an out-of-order window as well.
const RECENT_MS: i64 = 5 * 60 * 1000;
/// Days of a statement, each of which is a commit.
pub const MAX_DAYS: usize = 20 * 366;
/// Memory of the samples of a statement; a temporary file takes what is more.
const MEMORY_BYTES: usize = 32 << 20;
/// Of a series beside its labels, about: where its samples are, and its places in tables.
const SERIES_BYTES: usize = 300;

/// Writes the samples of statements, of one at a time.
pub struct Inserter {
    engine: Engine,
    appender: Arc<Appender>,
    clock: Clock,
    turns: Arc<Semaphore>,
}

/// That of the statement which is being written.
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What became of a statement that was not refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inserted {
    /// Samples that were not stored before.
    pub new: u64,
    /// Samples that are stored with another value, which stays.
    pub other: u64,
    pub first_other: Option<Difference>,
}

/// Why a statement is refused; nothing of it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// So many samples are stored with other values.
    Stored(u64, Difference),
    /// So many samples have the series and the time of others of the statement, and other values.
    Contradictions(u64),
    /// A time later than now.
    TooFarInFuture,
    /// Of so many days.
    TooManyDays(usize),
}

/// Samples of a statement on their way.
pub struct Statement {
    collected: Collected,
    newest: i64,
    series_bytes: usize,
}

impl Default for Statement {
    fn default() -> Self {
        let added = Added::new(std::iter::empty()).expect("no label is a good one");
        Self { collected: Collected::new(Arc::new(added), MEMORY_BYTES), newest: i64::MIN, series_bytes: 0 }
    }
}

impl Statement {
    /// The number of a series, whose labels have passed [`crate::ingest::labels::checked`].
    ///
    /// # Errors
    /// `Internal` where they have not.
    pub fn series(&mut self, labels: &Labels) -> Result<u32> {
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        let before = self.collected.len();
        let slot = self.collected.intern(&pairs);
        if self.collected.len() > before {
            self.series_bytes += SERIES_BYTES + 2 * labels.as_bytes().len();
        }
        slot.ok_or_else(|| Error::internal(format!("the labels {labels} were not checked")))
    }

    /// Memory of the series and of the places of their samples, about, which nothing else bounds.
    pub fn bytes(&self) -> usize {
        self.series_bytes + self.collected.index_bytes()
    }

    /// Adds a sample of a series.
    ///
    /// # Errors
    /// `BadInput` for a time that has no date.
    pub fn push(&mut self, series: u32, timestamp: i64, value: f64) -> Result<()> {
        if !DATED.contains(timestamp) {
            return Err(Error::bad_input("a timestamp is not of the years 1 to 9999"));
        }
        self.newest = self.newest.max(timestamp);
        let pushed = self.collected.push(series, timestamp, 0, Value::Float(value));
        pushed.map_err(|fault| self.collected.failure().unwrap_or_else(|| Error::internal(fault.to_string())))
    }
}

impl Inserter {
    pub fn new(engine: Engine, appender: Arc<Appender>, clock: Clock) -> Self {
        Self { engine, appender, clock, turns: Arc::new(Semaphore::new(1)) }
    }

    /// Waits until no other statement is collected or written: so their memory is bounded, and none comes between what another one
    /// has compared and what it writes.
    pub async fn turn(&self) -> Turn {
        // It is never closed.
        Turn { _permit: Arc::clone(&self.turns).acquire_owned().await.ok() }
    }

    /// Writes what is not stored. `keeps_others`: samples that are stored with another value are passed over, and no reason to
    /// refuse all.
    ///
    /// # Errors
    /// The outer one of the store, after which some of the samples may be there; the inner one of the statement.
    pub async fn insert(
        &self,
        _turn: Turn,
        statement: Statement,
        keeps_others: bool,
    ) -> Result<std::result::Result<Inserted, Refused>> {
        let now_ms = (self.clock)();
        if statement.newest > now_ms.saturating_add(MAX_AHEAD_MS) {
            return Ok(Err(Refused::TooFarInFuture));
        }
        let progress = Progress::default();
        let days = statement.collected.calendar.left(TimeRange::ALL, None);
        if days.len() > MAX_DAYS {
            return Ok(Err(Refused::TooManyDays(days.len())));
        }
        let mut writer = PastWriter::new(self.engine.clone(), 1);
        for day in &days {
            writer.note(*day).await?;
        }
        let source = writer.source(statement.collected);
        let mut all = Compared::default();
        let mut contradictions = 0;
        for day in &days {
            let outcome = writer.day(&source, *day, TimeRange::ALL, &progress).compare().await?;
            all.join(outcome.compared);
            contradictions += outcome.contradictions;
        }
        if contradictions > 0 {
            return Ok(Err(Refused::Contradictions(contradictions)));
        }
        if let Some(first) = all.first_other.clone().filter(|_| !keeps_others) {
            return Ok(Err(Refused::Stored(all.other, first)));
        }
        let recent_ms = self.engine.store().out_of_order_window_ms().max(RECENT_MS);
        let recent_from = now_ms.saturating_sub(recent_ms);
        self.write_past(&writer, &source, &days, TimeRange::new(i64::MIN, recent_from - 1), &progress).await?;
        let late = self.append_recent(&writer, &source, &days, recent_from, &progress).await?;
        if let Some(late) = late {
            let days = late.collected.calendar.left(TimeRange::ALL, None);
            let source = writer.source(late.collected);
            self.write_past(&writer, &source, &days, TimeRange::ALL, &progress).await?;
        }
        Ok(Ok(Inserted { new: all.new, other: all.other, first_other: all.first_other }))
    }

    async fn write_past(
        &self,
        writer: &PastWriter,
        source: &Arc<Source>,
        days: &[i32],
        range: TimeRange,
        progress: &Progress,
    ) -> Result<()> {
        let within = |day: &&i32| range.overlaps(start_of(**day), start_of(**day) + DAY_MS - 1);
        for day in days.iter().filter(within) {
            writer.write(&writer.day(source, *day, range, progress), &[]).await?;
        }
        Ok(())
    }

    /// Hands what is new to the appender, and returns what it does not take, as it is behind others of its series.
    async fn append_recent(
        &self,
        writer: &PastWriter,
        source: &Arc<Source>,
        days: &[i32],
        from: i64,
        progress: &Progress,
    ) -> Result<Option<Statement>> {
        let mut late = None;
        for day in days.iter().filter(|day| **day >= day_of(from)) {
            let day = writer.day(source, *day, TimeRange::new(from, i64::MAX), progress);
            let mut fresh = std::pin::pin!(day.fresh(Arc::default()));
            while let Some(next) = fresh.next().await {
                self.append(&next?.0, &mut late).await?;
            }
        }
        Ok(late)
    }

    async fn append(&self, decoded: &Decoded, late: &mut Option<Statement>) -> Result<()> {
        let labels: Vec<Labels> =
            decoded.series.iter().map(|series| series.labels.clone().unwrap_or_default()).collect();
        let handles = self.appender.intern_all(&labels);
        let mut batch = WriteBatch::default();
        for (series, handle) in decoded.series.iter().zip(&handles) {
            let run = decoded.run(series);
            // Statements have no histograms.
            let samples = run.timestamps.iter().zip(run.values);
            batch.samples.extend(samples.map(|(timestamp, value)| SampleRow {
                series: *handle,
                timestamp: *timestamp,
                value: *value,
                start_timestamp: 0,
            }));
        }
        if batch.samples.is_empty() {
            return Ok(());
        }
        let of: HashMap<SeriesRef, Labels> = handles.into_iter().zip(labels).collect();
        let submitted = self.appender.submit(batch, Haste::Now, |handle| of.get(&handle).cloned()).await;
        let mut appended = submitted.map_err(|unsent| unsent.error)?;
        appended.durable().await?;
        note_late(&appended, &of, late)
    }
}

/// Keeps what the appender refuses, as it is behind others of its series.
fn note_late(appended: &Appended, of: &HashMap<SeriesRef, Labels>, late: &mut Option<Statement>) -> Result<()> {
    let rejected = appended.report.rejected_samples.iter();
    // One that somebody else wrote meanwhile stays as it is.
    let rows = rejected.filter(|(_, rejection)| *rejection != Rejection::Duplicate).map(|(row, _)| *row);
    for row in rows.chain(appended.report.dropped_samples.iter().copied()) {
        let row = appended.batch.samples[row];
        let Some(labels) = of.get(&row.series) else { continue };
        let late = late.get_or_insert_default();
        let series = late.series(labels)?;
        late.push(series, row.timestamp, row.value)?;
    }
    Ok(())
}

fn start_of(day: i32) -> i64 {
    i64::from(day) * DAY_MS
}

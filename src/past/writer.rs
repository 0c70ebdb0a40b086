//! What was collected, into the lake: a file or more for each UTC day, a day in one commit. A sample that is stored with the same
//! value is not written again, so that doing all of it again changes nothing, and one that is stored with another value stays
//! as it is stored, which is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::session::Engine;
use crate::error::Result;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::day::{Day, Outcome};
use crate::ingest::import::progress::Progress;
use crate::ingest::import::series::Ids;
use crate::ingest::import::source::Source;
use crate::model::labels::Labels;
use crate::model::sample::TimeRange;
use crate::past::stored::stored;
use crate::storage::lake::import::Done;

/// See the module. One is for one run of work.
pub struct PastWriter {
    engine: Engine,
    threads: usize,
    ids: Mutex<Ids>,
    noted: BTreeSet<i32>,
}

impl PastWriter {
    /// Writes into the lake that an engine reads; batches are decoded by so many threads.
    pub fn new(engine: Engine, threads: usize) -> Self {
        Self { engine, threads, ids: Mutex::default(), noted: BTreeSet::new() }
    }

    /// Learns the ids that a day lists, so that no series gets that of another one. To be done before series of that day get
    /// ids.
    pub async fn note(&mut self, day: i32) -> Result<()> {
        if self.noted.insert(day) {
            let listed = self.engine.store().lake().read_series(day).await?;
            let ids = self.ids.get_mut();
            listed.iter().for_each(|series| ids.note(series.id, &series.labels));
        }
        Ok(())
    }

    /// The id a series has, or gets.
    pub fn id(&self, labels: &Labels) -> i64 {
        self.ids.lock().resolve(labels)
    }

    /// What was collected, sorted. Its days must have been noted.
    pub fn source(&self, collected: Collected) -> Arc<Source> {
        Arc::new(Source::of_collected(collected, &self.ids))
    }

    /// A day of a source, within a range, to be compared or read.
    pub fn day<'a>(&'a self, source: &Arc<Source>, day: i32, range: TimeRange, progress: &'a Progress) -> Day<'a> {
        Day {
            lake: self.engine.store().lake(),
            day,
            sources: Arc::new([source.clone()]),
            range,
            threads: self.threads,
            progress,
            existing: Some(stored(&self.engine)),
        }
    }

    /// Writes what a day has that is not stored, and commits it with the marks; queries of this process see it when it
    /// returns.
    pub async fn write(&self, day: &Day<'_>, done: &[Done]) -> Result<Outcome> {
        let outcome = day.write(&[], done).await?;
        self.engine.store().see_lake().await?;
        Ok(outcome)
    }
}

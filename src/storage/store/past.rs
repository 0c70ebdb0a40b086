//! Samples of a range out of the files of the lake: for a reader whose part of the log is gone.
//!
//! Days in order, within a day the files by their oldest sample, within a file series by series. A series is in the
//! order of its time as long as none of its samples came late. What waits for a flush is not in files; its part of the
//! log is there. Exemplars are not read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::error::Result;
use crate::model::sample::TimeRange;
use crate::storage::head::packed::IdHasher;
use crate::storage::lake::reader::RunStream;
use crate::storage::store::Inner;
use crate::storage::store::tails::Tail;
use crate::storage::types::{Run, SampleFile, Series};

/// See the module.
pub struct Past {
    inner: Arc<Inner>,
    range: TimeRange,
    /// Still to be read.
    days: VecDeque<i32>,
    day: Option<Day>,
}

struct Day {
    day: i32,
    series: HashMap<i64, Arc<Series>, IdHasher>,
    files: VecDeque<Arc<SampleFile>>,
    stream: Option<RunStream>,
}

/// Samples of one series that lie within the range.
#[derive(Debug)]
pub struct PastRun {
    pub series: Arc<Series>,
    pub run: Run,
}

impl Tail {
    /// What the lake has of a range now.
    pub fn past(&self, range: TimeRange) -> Past {
        let inner = self.inner().clone();
        let files = inner.lake.files();
        let mut days: Vec<i32> =
            files.samples.iter().filter(|file| is_within(file, range)).map(|file| file.day).collect();
        days.sort_unstable();
        days.dedup();
        Past { inner, range, days: days.into(), day: None }
    }
}

fn is_within(file: &SampleFile, range: TimeRange) -> bool {
    range.overlaps(file.min_timestamp, file.max_timestamp)
}

impl Past {
    /// The next run; `None` at the end. After an error, as when a merge replaced a file that was read, the day begins
    /// anew with the next call.
    pub async fn next(&mut self) -> Result<Option<PastRun>> {
        loop {
            if self.day.is_none() {
                let Some(day) = self.days.front().copied() else { return Ok(None) };
                self.day = Some(Day::open(&self.inner, day, self.range).await?);
                self.days.pop_front();
            }
            let day = self.day.as_mut().expect("opened above");
            match day.next(&self.inner, self.range).await {
                Ok(Some(run)) => return Ok(Some(run)),
                Ok(None) => self.day = None,
                Err(error) => {
                    self.days.push_front(day.day);
                    self.day = None;
                    return Err(error);
                }
            }
        }
    }
}

impl Day {
    async fn open(inner: &Inner, day: i32, range: TimeRange) -> Result<Self> {
        let set = inner.lake.files();
        let mut files: Vec<Arc<SampleFile>> =
            set.samples.iter().filter(|file| file.day == day && is_within(file, range)).cloned().collect();
        files.sort_by_key(|file| (file.min_timestamp, file.commit));
        let listed = inner.lake.read_series(day).await?;
        let series = listed.into_iter().map(|series| (series.id, Arc::new(series))).collect();
        Ok(Self { day, series, files: files.into(), stream: None })
    }

    async fn next(&mut self, inner: &Inner, range: TimeRange) -> Result<Option<PastRun>> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let Some(file) = self.files.pop_front() else { return Ok(None) };
                    let store = inner.objects.store.clone();
                    self.stream.insert(RunStream::of(store, &file).await?)
                }
            };
            let Some(found) = stream.next().await? else {
                self.stream = None;
                continue;
            };
            let run = within(found.run, range);
            if run.timestamps.is_empty() {
                continue;
            }
            // A flush lists its series before its samples; a day that was dropped meanwhile has neither.
            if let Some(series) = self.series.get(&found.series_id) {
                return Ok(Some(PastRun { series: series.clone(), run }));
            }
        }
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Past({:?}, days {:?})", self.range, self.days)
    }
}

/// The samples of a run within a range.
fn within(mut run: Run, range: TimeRange) -> Run {
    let start = run.timestamps.partition_point(|t| *t < range.start_inclusive);
    let end = run.timestamps.partition_point(|t| *t <= range.end_inclusive).max(start);
    cut(&mut run.timestamps, start, end);
    cut(&mut run.values, start, end);
    cut(&mut run.histograms, start, end);
    cut(&mut run.start_timestamps, start, end);
    run
}

/// Keeps a part of a column, which may be empty as a whole.
fn cut<T>(column: &mut Vec<T>, start: usize, end: usize) {
    if !column.is_empty() {
        column.truncate(end);
        column.drain(..start);
    }
}

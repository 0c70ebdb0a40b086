//! Sources to the lake, day by day: what all sources have of a day is written ([`day`](super::day)) before the
//! next day begins. A source is opened when its first day comes and closed behind its last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::ingest::import::calendar::{DATED, intersection, range_of};
use crate::ingest::import::collected::Collected;
use crate::ingest::import::day::{Day, Outcome, blocking};
use crate::ingest::import::progress::Progress;
use crate::ingest::import::series::{Ids, LeftOut};
use crate::ingest::import::source::Source;
use crate::model::sample::{TimeRange, day_of};
use crate::storage::lake::Lake;
use crate::storage::lake::import::{ALL_DAYS, Done, day_of_number, number_of};
use crate::storage::lake::rows::Exemplar;
use crate::storage::types::Series;

/// Reads what there is to know of a source before its samples; runs on a thread that may wait.
pub type Opening = Box<dyn FnOnce(&Mutex<Ids>) -> Result<Source> + Send>;

/// A source that was not opened yet.
pub struct Waiting {
    /// For people.
    pub name: String,
    /// Its name in Delta's transactions.
    pub application: String,
    /// Of its samples, as far as it says itself.
    pub times: TimeRange,
    /// How many samples it has, about; 0 where it does not say.
    pub samples: u64,
    pub open: Opening,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Samples outside of it are left out.
    pub range: TimeRange,
    /// Batches that are decoded at once.
    pub threads: usize,
}

/// What an import came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub series: u64,
    pub samples: u64,
    pub days: u64,
    pub files: u64,
    pub bytes: u64,
    pub new_series: u64,
    pub exemplars: u64,
    pub metadata: u64,
    /// Sources that had been imported before, as a whole or up to some day.
    pub done_before: u64,
    pub resumed: u64,
    pub left_out: LeftOut,
    pub samples_left_out: u64,
    /// Samples behind another one of their series and time, with another value.
    pub contradictions: u64,
    pub exemplars_left_out: u64,
    /// What was found and does not matter to the result.
    pub notes: Vec<String>,
}

/// A source that is being read.
struct Open {
    name: String,
    application: String,
    source: Arc<Source>,
    days: VecDeque<i32>,
}

/// See the module.
pub struct Import<'a> {
    lake: &'a Lake,
    options: Options,
    progress: &'a Progress,
    ids: Arc<Mutex<Ids>>,
    open: Vec<Open>,
    summary: Summary,
}

impl<'a> Import<'a> {
    pub fn new(lake: &'a Lake, options: Options, progress: &'a Progress) -> Self {
        let (ids, summary) = (Arc::default(), Summary::default());
        Self { lake, options, progress, ids, open: Vec::new(), summary }
    }

    /// Imports what was not imported before.
    pub async fn run(mut self, sources: Vec<Waiting>) -> Result<Summary> {
        let (mut waiting, expected) = self.not_done(sources).await?;
        self.progress.expected_samples.store(expected, std::sync::atomic::Ordering::Relaxed);
        if let Some(times) = waiting.iter().map(|(source, _)| source.times).reduce(|a, b| a.union(&b)) {
            self.note_ids(intersection(times, self.options.range)).await?;
        }
        loop {
            let next = self.open.iter().filter_map(|open| open.days.front().copied()).min();
            let opens = |waiting: &(Waiting, Option<i32>)| next.is_none_or(|day| first_day(&waiting.0) <= day);
            if let Some((source, done)) = waiting.pop_front_if(|first| opens(first)) {
                self.open(source, done).await?;
                continue;
            }
            let Some(day) = next else { break };
            self.import_day(day).await?;
        }
        Ok(self.summary)
    }

    /// Sources with something left, by the time they begin, and the last day of each that is done.
    async fn not_done(&mut self, sources: Vec<Waiting>) -> Result<(VecDeque<(Waiting, Option<i32>)>, u64)> {
        let mut left = Vec::new();
        let mut expected = 0;
        for source in sources {
            match self.lake.imported(&source.application).await? {
                number if number >= ALL_DAYS => self.summary.done_before += 1,
                number => {
                    let done = day_of_number(number);
                    self.summary.resumed += u64::from(done.is_some());
                    expected += source.samples;
                    left.push((source, done));
                }
            }
        }
        left.sort_by_key(|(source, _)| source.times.start_inclusive);
        Ok((left.into(), expected))
    }

    /// The ids of the lake, so that no series gets that of another one.
    async fn note_ids(&self, times: TimeRange) -> Result<()> {
        for (day, _) in self.lake.days() {
            if times.overlaps(range_of(day).start_inclusive, range_of(day).end_inclusive) {
                let listed = self.lake.read_series(day).await?;
                let mut ids = self.ids.lock();
                listed.iter().for_each(|series| ids.note(series.id, &series.labels));
            }
        }
        Ok(())
    }

    async fn open(&mut self, waiting: Waiting, done: Option<i32>) -> Result<()> {
        self.progress.doing(format!("listing the series of {}", waiting.name));
        let (open, ids) = (waiting.open, Arc::clone(&self.ids));
        let source = blocking(move || open(&ids)).await??;
        self.summary.left_out.join(source.left_out.clone());
        self.summary.notes.extend(source.notes().iter().cloned());
        if let Some(collected) = source.collected() {
            self.summary.samples_left_out += collected.samples_left_out;
            self.summary.exemplars_left_out += collected.exemplars_left_out;
            self.summary.metadata += self.lake.import_metadata(&collected.metadata).await? as u64;
        }
        let days: VecDeque<i32> = source.calendar.left(self.options.range, done).into();
        if days.is_empty() {
            return Ok(());
        }
        let (name, application) = (waiting.name, waiting.application);
        self.open.push(Open { name, application, source: Arc::new(source), days });
        Ok(())
    }

    /// Imports a day of all sources that have it next.
    async fn import_day(&mut self, day: i32) -> Result<()> {
        let having: Vec<usize> =
            (0..self.open.len()).filter(|at| self.open[*at].days.front() == Some(&day)).collect();
        let names: Vec<&str> = having.iter().map(|at| self.open[*at].name.as_str()).take(3).collect();
        let date = crate::storage::lake::files::day_text(day);
        self.progress.doing(format!("{date} of {}", names.join(", ")));
        let sources: Vec<Arc<Source>> = having.iter().map(|at| self.open[*at].source.clone()).collect();
        let mut done = Vec::new();
        for at in &having {
            let number = if self.open[*at].days.len() == 1 { ALL_DAYS } else { number_of(day)? };
            done.push(Done { application: self.open[*at].application.clone(), number });
        }
        let exemplars = self.exemplars_of(day, &sources);
        let work = Day {
            lake: self.lake,
            day,
            sources: sources.into(),
            range: self.options.range,
            threads: self.options.threads,
            progress: self.progress,
            existing: None,
        };
        let outcome = work.write(&exemplars, &done).await?;
        self.note(&outcome, exemplars.len());
        for open in &mut self.open {
            open.days.pop_front_if(|next| *next == day);
        }
        self.open.retain(|open| !open.days.is_empty());
        Ok(())
    }

    fn note(&mut self, outcome: &Outcome, exemplars: usize) {
        let (summary, written) = (&mut self.summary, outcome.written);
        summary.series += outcome.series;
        summary.samples += outcome.samples;
        summary.contradictions += outcome.contradictions;
        summary.days += 1;
        summary.files += written.files as u64;
        summary.bytes += written.bytes;
        summary.new_series += written.new_series as u64;
        summary.exemplars += exemplars as u64;
    }

    /// Exemplars of a day; a source has few.
    fn exemplars_of(&self, day: i32, sources: &[Arc<Source>]) -> Vec<Exemplar> {
        let range = intersection(range_of(day), self.options.range);
        let mut exemplars = Vec::new();
        let mut series: BTreeMap<(usize, u32), Arc<Series>> = BTreeMap::new();
        let collected: Vec<&Collected> = sources.iter().filter_map(|source| source.collected()).collect();
        for (number, collected) in collected.iter().enumerate() {
            for exemplar in collected.exemplars.iter().filter(|exemplar| range.contains(exemplar.timestamp)) {
                let series = series.entry((number, exemplar.slot)).or_insert_with(|| {
                    let labels = collected.labels(exemplar.slot).clone();
                    Arc::new(Series { id: self.ids.lock().resolve(&labels), labels })
                });
                exemplars.push(Exemplar {
                    series: series.clone(),
                    timestamp: exemplar.timestamp,
                    value: exemplar.value,
                    labels: exemplar.labels.clone(),
                });
            }
        }
        exemplars
    }
}

/// Times that have no date are those of nothing.
fn first_day(waiting: &Waiting) -> i32 {
    day_of(waiting.times.start_inclusive.clamp(DATED.start_inclusive, DATED.end_inclusive))
}

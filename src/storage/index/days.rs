//! The indexes of the lake's days: loaded when a query first asks for the day, forgotten least recently used
//! first when they outgrow the budget, and loaded again when the files that list the day's series change. What
//! metrics and labels a day has is small and stays.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::error::Result;
use crate::storage::index::series_index::SeriesIndex;
use crate::storage::types::Series;

/// Metric to its label names, sorted, without `__name__`.
pub type Names = BTreeMap<Arc<str>, Arc<[String]>>;

/// See the module.
#[derive(Debug)]
pub struct DayIndexes {
    budget_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    days: BTreeMap<i32, Day>,
    /// Counts uses, for "least recently".
    clock: u64,
}

#[derive(Debug)]
struct Day {
    /// Of the files that list the series.
    version: u64,
    used: u64,
    index: Arc<OnceCell<Arc<SeriesIndex>>>,
    /// Of the index; 0 while it is not loaded.
    bytes: usize,
    names: Option<Arc<Names>>,
}

impl DayIndexes {
    pub fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, state: Mutex::default() }
    }

    /// The index of a day, read with `load` unless it is held. Queries that ask at once wait for one load.
    pub async fn index<F>(&self, day: i32, version: u64, load: impl FnOnce() -> F) -> Result<Arc<SeriesIndex>>
    where
        F: Future<Output = Result<Vec<Series>>>,
    {
        let cell = self.cell(day, version);
        let index = cell
            .get_or_try_init::<crate::error::Error, _, _>(async || Ok(Arc::new(SeriesIndex::of_day(load().await?))))
            .await?;
        self.note_loaded(day, version, index);
        Ok(index.clone())
    }

    /// Metrics and label names of a day.
    pub async fn names<F>(&self, day: i32, version: u64, load: impl FnOnce() -> F) -> Result<Arc<Names>>
    where
        F: Future<Output = Result<Vec<Series>>>,
    {
        let held = |state: &State| state.days.get(&day).filter(|d| d.version == version)?.names.clone();
        if let Some(names) = held(&self.state.lock()) {
            return Ok(names);
        }
        let index = self.index(day, version, load).await?;
        Ok(Arc::new(names_of(&index)))
    }

    /// Forgets days that the lake no longer has.
    pub fn retain(&self, live: impl Fn(i32) -> bool) {
        self.state.lock().days.retain(|day, _| live(*day));
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        bytes_of(&self.state.lock())
    }

    fn cell(&self, day: i32, version: u64) -> Arc<OnceCell<Arc<SeriesIndex>>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let used = state.clock;
        let fresh = || Day { version, used, index: Arc::default(), bytes: 0, names: None };
        let entry = state.days.entry(day).or_insert_with(fresh);
        if entry.version != version {
            *entry = fresh();
        }
        entry.used = used;
        entry.index.clone()
    }

    fn note_loaded(&self, day: i32, version: u64, index: &Arc<SeriesIndex>) {
        let mut state = self.state.lock();
        match state.days.get_mut(&day) {
            Some(entry) if entry.version == version && entry.bytes == 0 => {
                entry.bytes = index.bytes().max(1);
                entry.names.get_or_insert_with(|| Arc::new(names_of(index)));
            }
            _ => return,
        }
        while bytes_of(&state) > self.budget_bytes {
            let loaded = state.days.iter_mut().filter(|(other, d)| **other != day && d.bytes > 0);
            let Some((_, oldest)) = loaded.min_by_key(|(_, d)| d.used) else { break };
            (oldest.index, oldest.bytes) = (Arc::default(), 0);
        }
    }
}

fn bytes_of(state: &State) -> usize {
    state.days.values().map(|day| day.bytes).sum()
}

fn names_of(index: &SeriesIndex) -> Names {
    let labels = |metric: &str| {
        let mut labels: Vec<String> = index.label_names(metric).map(str::to_string).collect();
        labels.sort_unstable();
        labels.into()
    };
    index.metric_names(None).map(|metric| (metric.clone(), labels(metric))).collect()
}

//! Matchers to series: the head's index, and the index of every day of the lake that the range touches.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use crate::error::Result;
use crate::model::matcher::Matcher;
use crate::model::sample::{TimeRange, day_of};
use crate::storage::index::days::Names;
use crate::storage::index::metric::Days;
use crate::storage::index::series_index::{Matches, SeriesIndex};
use crate::storage::store::view::{View, may_have_any};
use crate::storage::store::{Inner, Store};
use crate::storage::types::{MemorySource, NOWHERE, Series};

/// Days read from the lake at once.
pub(super) const PARALLEL_DAYS: usize = 8;

/// The days a range touches.
pub fn days_of(range: TimeRange) -> Days {
    // Days are i32 and timestamps reach beyond them; no sample is that far out.
    let day = |timestamp: i64| {
        day_of(timestamp.clamp(i64::from(i32::MIN) * 86_400_000, i64::from(i32::MAX) * 86_400_000))
    };
    Days { first: day(range.start_inclusive), last: day(range.end_inclusive) }
}

/// How a range is meant where series are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactly {
    /// Series with samples on a day that it touches.
    Days,
    /// Of the series in the head those whose samples, from the first to the last there, reach into it; of those in the
    /// lake the same as above, since its lists are by the day.
    Samples,
}

impl Store {
    /// Shows each series that satisfies any of the matcher sets (all series when there is none) and has samples within
    /// `range`, as `exactly` says, until `visit` fails. In no order, and more than once what is found in the head and
    /// in days of the lake: so no more is held at a time than one of them lists.
    pub async fn visit_series(
        &self,
        range: TimeRange,
        exactly: Exactly,
        matcher_sets: &[Vec<Matcher>],
        mut visit: impl FnMut(&Arc<Series>) -> Result<()>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (inner, view, days) = (&self.inner, self.inner.view(), days_of(range));
        let select = |index: &SeriesIndex, days| {
            let mut matches = Matches::default();
            match matcher_sets {
                [] => index.select(&[], days, &mut matches),
                sets => sets.iter().for_each(|matchers| index.select(matchers, days, &mut matches)),
            }
            matches.into_parts().0
        };
        // The head first, as in `Inner::select`. Its lock is not held while series are looked at.
        let mut found = select(&inner.head_index.read(), Some(days));
        if exactly == Exactly::Samples {
            keep_reaching(&mut found, &view.head(), range);
        }
        found.iter().try_for_each(&mut visit)?;
        drop(found);
        for (day, version) in lake_days(&view, days) {
            let index = inner.day_index(day, version).await?;
            select(&index, None).iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }
}

/// What several selectors find of one view.
#[derive(Debug)]
pub struct Side {
    /// Of each selector.
    pub selected: Vec<Selected>,
    /// As in a [`Snapshot`](crate::storage::types::Snapshot), for all of them.
    pub memory: Vec<Arc<dyn MemorySource>>,
    pub objects: Arc<dyn ObjectStore>,
}

#[derive(Debug)]
pub struct Selected {
    /// Sorted by (metric, id).
    pub series: Vec<Arc<Series>>,
    /// Every label name of the series, sorted, `__name__` included.
    pub label_names: Vec<String>,
    /// Files may have samples of them within the range.
    pub in_files: bool,
}

impl Store {
    /// The same as [`Store::snapshot`] for each of several sets of matchers, at one moment and side by side.
    pub async fn select_side_by_side(&self, range: TimeRange, sets: &[&[Matcher]]) -> Result<Side> {
        // The view first, as there.
        let view = self.inner.view();
        let mut matches: Vec<Matches> = sets.iter().map(|_| Matches::default()).collect();
        self.inner
            .each_index(&view, range, |index, days| {
                sets.iter().zip(&mut matches).for_each(|(matchers, found)| index.select(matchers, days, found));
            })
            .await?;
        let uncached: Vec<_> = view.uncached(range).collect();
        let selected = matches.into_iter().map(|matches| {
            let (series, label_names) = matches.into_parts();
            let in_files = uncached.iter().any(|file| may_have_any(file, &series));
            Selected { series, label_names, in_files }
        });
        let (selected, objects) = (selected.collect(), self.inner.objects.store.clone());
        Ok(Side { selected, memory: view.memory(range), objects })
    }
}

impl Inner {
    /// Series that satisfy any of the matcher sets, sorted by (metric, id), and their label names, sorted.
    pub async fn select(
        &self,
        view: &View,
        range: TimeRange,
        sets: &[&[Matcher]],
    ) -> Result<(Vec<Arc<Series>>, Vec<String>)> {
        let mut matches = Matches::default();
        self.each_index(view, range, |index, days| {
            sets.iter().for_each(|matchers| index.select(matchers, days, &mut matches));
        })
        .await?;
        Ok(matches.into_parts())
    }

    /// Shows the index of the head, with the days that the range touches, and those of these days in the lake.
    async fn each_index(
        &self,
        view: &View,
        range: TimeRange,
        mut visit: impl FnMut(&SeriesIndex, Option<Days>),
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let days = days_of(range);
        visit(&self.head_index.read(), Some(days));
        // The head first: what it forgets after this is in the lake before it does.
        let mut indexes = stream::iter(lake_days(view, days))
            .map(|(day, version)| self.day_index(day, version))
            .buffered(PARALLEL_DAYS);
        while let Some(index) = indexes.try_next().await? {
            visit(&index, None);
        }
        Ok(())
    }

    /// Metric and label names of each day of the lake that the range touches.
    pub async fn day_names(&self, view: &View, range: TimeRange) -> Result<Vec<Arc<Names>>> {
        stream::iter(lake_days(view, days_of(range)))
            .map(|(day, version)| self.days.names(day, version, move || self.lake.read_series(day)))
            .buffered(PARALLEL_DAYS)
            .try_collect()
            .await
    }

    pub(super) async fn day_index(&self, day: i32, version: u64) -> Result<Arc<SeriesIndex>> {
        self.days.index(day, version, || self.lake.read_series(day)).await
    }
}

/// Leaves the series that one of the sources has within a range.
fn keep_reaching(series: &mut Vec<Arc<Series>>, head: &[Arc<dyn MemorySource>], range: TimeRange) {
    let ids: Vec<i64> = series.iter().map(|series| series.id).collect();
    let mut reaching = vec![false; ids.len()];
    let mut places = vec![NOWHERE; ids.len()];
    for source in head {
        places.fill(NOWHERE);
        source.locate(&ids, range, &mut places);
        places.iter().zip(&mut reaching).for_each(|(place, reaching)| *reaching |= *place != NOWHERE);
    }
    let mut reaching = reaching.into_iter();
    series.retain(|_| reaching.next().expect("one for each series"));
}

pub(super) fn lake_days(view: &View, days: Days) -> Vec<(i32, u64)> {
    view.files.days().into_iter().filter(|(day, _)| days.first <= *day && *day <= days.last).collect()
}

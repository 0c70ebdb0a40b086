//! Exemplars for those who ask: of the memtables, and of the files of each day.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::head::memtable::Memtable;
use crate::storage::lake::rows::Exemplar;
use crate::storage::store::Store;
use crate::storage::store::select::days_of;
use crate::storage::store::view::Source;
use crate::storage::types::{LogExemplar, Series};

impl Store {
    /// Shows the exemplars within a range of the series that satisfy any of the matcher sets (of all series when there
    /// is none), until `visit` fails. In no order, and one may be shown more than once. No more is read at a time than
    /// one file of the lake holds.
    pub async fn visit_exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
        mut visit: impl FnMut(&Exemplar) -> Result<()>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (inner, view) = (&self.inner, self.inner.view());
        let sets: Vec<&[Matcher]> = match matcher_sets {
            [] => vec![&[]],
            sets => sets.iter().map(Vec::as_slice).collect(),
        };
        let (series, _) = inner.select(&view, range, &sets).await?;
        let by_id: HashMap<i64, Arc<Series>> = series.into_iter().map(|series| (series.id, series)).collect();
        if by_id.is_empty() {
            return Ok(());
        }
        let is_wanted = |id: i64, timestamp: i64| range.contains(timestamp) && by_id.contains_key(&id);
        let of_memtable = |memtable: &Memtable, visit: &mut dyn FnMut(&Exemplar) -> Result<()>| {
            let found = memtable.exemplars_where(|row| is_wanted(row.series_id, row.timestamp));
            found.into_iter().map(exemplar_of).try_for_each(|exemplar| visit(&exemplar))
        };
        for frozen in &view.frozen {
            match &frozen.source {
                Source::Memtable(memtable) => of_memtable(memtable, &mut visit)?,
                Source::Sorted(_, rest) => {
                    let mut wanted = rest.exemplars.iter().filter(|e| is_wanted(e.series.id, e.timestamp));
                    wanted.try_for_each(&mut visit)?;
                }
            }
        }
        of_memtable(&view.open, &mut visit)?;
        let days = days_of(range);
        for file in view.files.exemplars.range(days.first..=days.last).flat_map(|(_, files)| files) {
            for stored in inner.lake.read_exemplar_file(file).await? {
                let Some(series) = by_id.get(&stored.series_id).filter(|_| range.contains(stored.timestamp)) else {
                    continue;
                };
                let (timestamp, value, labels) = (stored.timestamp, stored.value, stored.labels);
                visit(&Exemplar { series: Arc::clone(series), timestamp, value, labels })?;
            }
        }
        Ok(())
    }
}

fn exemplar_of((series, row): (Arc<Series>, LogExemplar)) -> Exemplar {
    Exemplar { series, timestamp: row.timestamp, value: row.value, labels: row.labels }
}

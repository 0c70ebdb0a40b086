//! Metric tables by metric name. Matchers on `__name__` pick the tables, the others filter within them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::storage::index::metric::{Days, Found, MetricTable};
use crate::storage::types::Series;

/// What was selected from one index after the other.
#[derive(Default, Debug)]
pub struct Matches {
    /// By metric, which is the order of the lake.
    by_metric: BTreeMap<Arc<str>, Found>,
    /// All label names of the series, without `__name__`.
    label_names: BTreeSet<Box<str>>,
}

/// See the module.
#[derive(Default, Debug)]
pub struct SeriesIndex {
    metrics: BTreeMap<Arc<str>, MetricTable>,
    /// Series id to its row, to find it again; only kept by the index of the head.
    rows: HashMap<i64, u32>,
    series: usize,
}

impl SeriesIndex {
    /// The index of one day of the lake; series may be listed more than once.
    pub fn of_day(mut series: Vec<Series>) -> Self {
        series.sort_unstable_by_key(|s| s.id);
        series.dedup_by_key(|s| s.id);
        let mut index = Self::default();
        for series in series {
            index.table(&series).push(Arc::new(series), None);
            index.series += 1;
        }
        index
    }

    /// Notes that a series has a sample on a day.
    pub fn insert(&mut self, series: &Arc<Series>, day: i32) {
        match self.rows.get(&series.id).copied() {
            Some(row) => self.table(series).extend_days(row, day),
            None => {
                let row = self.table(series).push(series.clone(), Some(Days { first: day, last: day }));
                self.rows.insert(series.id, row);
                self.series += 1;
            }
        }
    }

    /// Forgets series of the head.
    pub fn remove(&mut self, gone: &[Arc<Series>]) {
        let ids: BTreeSet<i64> = gone.iter().map(|s| s.id).filter(|id| self.rows.contains_key(id)).collect();
        let metrics: BTreeSet<&str> = gone.iter().map(|s| s.labels.metric()).collect();
        for metric in metrics {
            let Some(table) = self.metrics.remove(metric) else { continue };
            let table = table.without(|series| ids.contains(&series.id));
            for (row, series) in table.series().iter().enumerate() {
                self.rows.insert(series.id, row as u32);
            }
            if !table.is_empty() {
                self.metrics.insert(metric.into(), table);
            }
        }
        self.series -= ids.len();
        for id in ids {
            self.rows.remove(&id);
        }
    }

    pub fn len(&self) -> usize {
        self.series
    }

    pub fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// Adds the series that satisfy all matchers, with samples within `days` where the index knows days.
    pub fn select(&self, matchers: &[Matcher], days: Option<Days>, out: &mut Matches) {
        let (on_name, on_labels): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.name == METRIC_NAME);
        let mut visit = |metric: &Arc<str>, table: &MetricTable| {
            if on_name.iter().all(|matcher| matcher.matches(metric)) {
                let Matches { by_metric, label_names } = &mut *out;
                table.select(&on_labels, days, by_metric.entry(metric.clone()).or_default(), label_names);
            }
        };
        match on_name.iter().find(|matcher| matcher.op == MatchOp::Equal) {
            Some(matcher) => {
                if let Some((metric, table)) = self.metrics.get_key_value(matcher.value.as_str()) {
                    visit(metric, table);
                }
            }
            None => self.metrics.iter().for_each(|(metric, table)| visit(metric, table)),
        }
    }

    /// How many series a metric has.
    pub fn metric_len(&self, metric: &str) -> usize {
        self.metrics.get(metric).map_or(0, MetricTable::len)
    }

    /// Metrics with samples within `days`.
    pub fn metric_names(&self, days: Option<Days>) -> impl Iterator<Item = &Arc<str>> {
        self.metrics.iter().filter(move |(_, table)| table.has_days(days)).map(|(metric, _)| metric)
    }

    /// Label names of one metric, unsorted, without `__name__`.
    pub fn label_names(&self, metric: &str) -> impl Iterator<Item = &str> {
        self.metrics.get(metric).into_iter().flat_map(MetricTable::label_names)
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        self.metrics.iter().map(|(metric, table)| metric.len() + table.bytes()).sum()
    }

    fn table(&mut self, series: &Series) -> &mut MetricTable {
        let metric = series.labels.metric();
        if !self.metrics.contains_key(metric) {
            self.metrics.insert(metric.into(), MetricTable::default());
        }
        self.metrics.get_mut(metric).expect("inserted if it was missing")
    }
}

impl Matches {
    /// The series sorted by (metric, id), each once, and their label names, sorted and with `__name__`.
    pub fn into_parts(self) -> (Vec<Arc<Series>>, Vec<String>) {
        let mut names: BTreeSet<String> = self.label_names.into_iter().map(String::from).collect();
        let is_named = |(metric, found): (&Arc<str>, &Found)| !metric.is_empty() && !found.is_empty();
        if self.by_metric.iter().any(is_named) {
            names.insert(METRIC_NAME.to_string());
        }
        let mut series = Vec::with_capacity(self.by_metric.values().map(Found::len).sum());
        series.extend(self.by_metric.into_values().flat_map(Found::into_series));
        (series, names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;

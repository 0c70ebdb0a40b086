//! What of the store an engine shows: all of it, or the series that satisfy the matchers of a role. There is no other way
//! from an engine to what is stored but [`Visible::whole`], which is for what writes and what shows no series.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::query::Snapshots;
use crate::engine::usage::{By, Usage};
use crate::error::Result;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::lake::rows;
use crate::storage::store::Store;
use crate::storage::store::select::{Exactly, Side};
use crate::storage::types::{Series, Snapshot};

/// What names of series may have behind the name of their family.
const SUFFIXES: [&str; 8] = ["_bucket", "_count", "_sum", "_total", "_created", "_info", "_gcount", "_gsum"];

#[derive(Clone)]
pub struct Visible {
    store: Arc<Store>,
    /// `None`: everything.
    only: Option<Arc<[Matcher]>>,
    /// Is told what is asked for.
    usage: Option<Arc<Usage>>,
}

impl Visible {
    /// Everything.
    pub fn all(store: Arc<Store>) -> Self {
        Self { store, only: None, usage: None }
    }

    /// Of everything what satisfies the matchers.
    pub fn only(&self, matchers: Option<Arc<[Matcher]>>) -> Self {
        Self { only: matchers, ..self.clone() }
    }

    /// The same, with what is told what is asked for.
    pub fn with_usage(&self, usage: Arc<Usage>) -> Self {
        Self { usage: Some(usage), ..self.clone() }
    }

    /// What is told what is asked for, where that is kept.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_deref()
    }

    /// Tells of series that are asked for by any of these sets.
    pub fn asked(&self, sets: &[Vec<Matcher>]) {
        if let Some(usage) = self.usage() {
            sets.iter().for_each(|matchers| usage.matchers(By::Api, matchers, &[]));
        }
    }

    /// Whether anything may be hidden.
    pub fn is_part(&self) -> bool {
        self.only.is_some()
    }

    /// All that is stored.
    pub fn whole(&self) -> &Arc<Store> {
        &self.store
    }

    fn narrowed<'m>(&self, matchers: &'m [Matcher]) -> Cow<'m, [Matcher]> {
        match &self.only {
            None => Cow::Borrowed(matchers),
            Some(only) => matchers.iter().chain(only.iter()).cloned().collect(),
        }
    }

    /// The same of sets of which none means everything.
    fn narrowed_sets<'m>(&self, sets: &'m [Vec<Matcher>]) -> Cow<'m, [Vec<Matcher>]> {
        match (&self.only, sets) {
            (None, _) => Cow::Borrowed(sets),
            (Some(only), []) => Cow::Owned(vec![only.to_vec()]),
            (Some(_), sets) => sets.iter().map(|set| self.narrowed(set).into_owned()).collect(),
        }
    }

    /// See [`Store::snapshot`].
    pub async fn snapshot(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Snapshot> {
        self.store.snapshot(range, &self.narrowed(matchers)).await
    }

    /// See [`Store::snapshot_of_any`].
    pub async fn snapshot_of_any(&self, range: TimeRange, sets: &[&[Matcher]]) -> Result<Snapshot> {
        let narrowed: Vec<Cow<'_, [Matcher]>> = sets.iter().map(|set| self.narrowed(set)).collect();
        let sets: Vec<&[Matcher]> = narrowed.iter().map(|set| &**set).collect();
        self.store.snapshot_of_any(range, &sets).await
    }

    /// See [`Store::select_side_by_side`].
    pub async fn select_side_by_side(&self, range: TimeRange, sets: &[&[Matcher]]) -> Result<Side> {
        let narrowed: Vec<Cow<'_, [Matcher]>> = sets.iter().map(|set| self.narrowed(set)).collect();
        let sets: Vec<&[Matcher]> = narrowed.iter().map(|set| &**set).collect();
        self.store.select_side_by_side(range, &sets).await
    }

    /// See [`Store::visit_series`].
    pub async fn visit_series(
        &self,
        range: TimeRange,
        exactly: Exactly,
        sets: &[Vec<Matcher>],
        visit: impl FnMut(&Arc<Series>) -> Result<()>,
    ) -> Result<()> {
        self.store.visit_series(range, exactly, &self.narrowed_sets(sets), visit).await
    }

    /// See [`Store::visit_exemplars`].
    pub async fn visit_exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        visit: impl FnMut(&rows::Exemplar) -> Result<()>,
    ) -> Result<()> {
        self.store.visit_exemplars(range, &self.narrowed_sets(sets), visit).await
    }

    /// See [`Store::metric_len`]; no number that is shown to anybody.
    pub fn metric_len(&self, metric: &str) -> usize {
        self.store.metric_len(metric)
    }

    /// See [`Store::metric_names`]. Of a part of the series these are looked at themselves.
    pub async fn metric_names(&self, range: TimeRange) -> Result<Vec<String>> {
        if !self.is_part() {
            return self.store.metric_names(range).await;
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        let add = |series: &Arc<Series>| {
            if let Some(name) = series.labels.get(METRIC_NAME).filter(|name| !names.contains(*name)) {
                names.insert(name.to_string());
            }
            Ok(())
        };
        self.visit_series(range, Exactly::Days, &[], add).await?;
        Ok(names.into_iter().collect())
    }

    /// See [`Store::metric_labels`].
    pub async fn metric_labels(&self, metric: &str) -> Result<Vec<String>> {
        if !self.is_part() {
            return self.store.metric_labels(metric).await;
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        let add = |series: &Arc<Series>| {
            for (name, _) in series.labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
                if !names.contains(name) {
                    names.insert(name.to_string());
                }
            }
            Ok(())
        };
        self.visit_series(TimeRange::ALL, Exactly::Days, &[vec![Matcher::metric(metric)]], add).await?;
        Ok(names.into_iter().collect())
    }

    /// Metadata of the families that are seen.
    pub async fn metadata(&self) -> Result<Vec<(String, Metadata)>> {
        let families = self.families().await?;
        Ok(self.store.metadata().into_iter().filter(|(family, _)| families.has(family)).collect())
    }

    /// The same where all metrics that are seen are known.
    pub fn metadata_among(&self, metrics: &[String]) -> Vec<(String, Metadata)> {
        let mut metadata = self.store.metadata();
        if self.is_part() {
            let families = Families(Some(metrics.iter().cloned().collect()));
            metadata.retain(|(family, _)| families.has(family));
        }
        metadata
    }

    /// Which families of metrics are seen.
    pub async fn families(&self) -> Result<Families> {
        Ok(Families(match self.is_part() {
            true => Some(self.metric_names(TimeRange::ALL).await?.into_iter().collect()),
            false => None,
        }))
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visible").field("only", &self.only).finish()
    }
}

#[async_trait]
impl Snapshots for Visible {
    async fn snapshot(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Snapshot> {
        Visible::snapshot(self, range, matchers).await
    }
}

/// By the names of their metrics; `None` for all.
pub struct Families(Option<HashSet<String>>);

impl Families {
    pub fn has(&self, family: &str) -> bool {
        let Some(metrics) = &self.0 else { return true };
        metrics.contains(family) || SUFFIXES.iter().any(|suffix| metrics.contains(&format!("{family}{suffix}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_metrics() {
        let families = Families(Some(["a_total", "b_bucket", "c"].map(str::to_string).into()));
        for (family, seen) in
            [("a", true), ("a_total", true), ("b", true), ("c", true), ("c_total", false), ("d", false)]
        {
            assert_eq!(families.has(family), seen, "{family}");
        }
        assert!(Families(None).has("d"));
    }
}

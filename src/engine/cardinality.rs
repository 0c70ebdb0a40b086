//! How many series there are, and what they are made of.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::engine::door::{Memory, Pass};
use crate::engine::names::{Wanted, visit};
use crate::engine::session::Engine;
use crate::error::Result;
use crate::model::labels::METRIC_NAME;
use crate::model::sample::TimeRange;
use crate::storage::store::select::Exactly;
use crate::storage::types::Series;

/// Memory of an entry of a map besides its text, roughly.
const ENTRY_BYTES: usize = 48;

/// Numbers of a set of series. Lists are of the largest numbers, equal ones by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    pub series: usize,
    /// Distinct pairs of name and value.
    pub label_pairs: usize,
    pub series_by_metric: Vec<(String, u64)>,
    pub values_by_label: Vec<(String, u64)>,
    pub value_bytes_by_label: Vec<(String, u64)>,
    /// By `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
}

impl Engine {
    /// The numbers of the series with samples in a range, with lists of at most `limit`. Errors as in
    /// [`Engine::label_names`].
    pub async fn cardinality(&self, range: TimeRange, limit: usize) -> Result<Cardinality> {
        let visible = self.visible().clone();
        self.run(&self.limits(None), |pass| async move {
            let mut counts = Counts::new(&pass);
            let wanted = Wanted { range, matchers: vec![], limit: None };
            visit(&visible, &pass, &wanted, Exactly::Days, |series| counts.add(series)).await?;
            Ok(counts.describe(limit))
        })
        .await
    }
}

struct Counts {
    /// By id, since series are seen more than once.
    series: HashSet<i64>,
    labels: HashMap<Box<str>, LabelCounts>,
    memory: Memory,
}

#[derive(Default)]
struct LabelCounts {
    series_by_value: HashMap<Box<str>, u64>,
    value_bytes: u64,
}

impl Counts {
    fn new(pass: &Pass) -> Self {
        Self { series: HashSet::new(), labels: HashMap::new(), memory: pass.memory("counts of series") }
    }

    fn add(&mut self, series: &Series) -> Result<()> {
        if self.series.contains(&series.id) {
            return Ok(());
        }
        self.memory.grow(2 * size_of::<i64>())?;
        self.series.insert(series.id);
        for (name, value) in series.labels.iter() {
            let Self { labels, memory, .. } = self;
            if !labels.contains_key(name) {
                memory.grow(name.len() + size_of::<LabelCounts>() + ENTRY_BYTES)?;
                labels.insert(name.into(), LabelCounts::default());
            }
            let Some(counts) = labels.get_mut(name) else { continue };
            counts.value_bytes += value.len() as u64;
            match counts.series_by_value.get_mut(value) {
                Some(count) => *count += 1,
                None => {
                    memory.grow(value.len() + ENTRY_BYTES)?;
                    counts.series_by_value.insert(value.into(), 1);
                }
            }
        }
        Ok(())
    }

    fn describe(&self, limit: usize) -> Cardinality {
        let labels = || self.labels.iter();
        let mut series_by_metric = Top::new(limit);
        for (metric, count) in self.labels.get(METRIC_NAME).into_iter().flat_map(|c| &c.series_by_value) {
            series_by_metric.add(*count, || metric.to_string());
        }
        let (mut values_by_label, mut value_bytes_by_label) = (Top::new(limit), Top::new(limit));
        let mut series_by_pair = Top::new(limit);
        for (name, counts) in labels() {
            values_by_label.add(counts.series_by_value.len() as u64, || name.to_string());
            value_bytes_by_label.add(counts.value_bytes, || name.to_string());
            for (value, count) in &counts.series_by_value {
                series_by_pair.add(*count, || format!("{name}={value}"));
            }
        }
        Cardinality {
            series: self.series.len(),
            label_pairs: labels().map(|(_, counts)| counts.series_by_value.len()).sum(),
            series_by_metric: series_by_metric.listed(),
            values_by_label: values_by_label.listed(),
            value_bytes_by_label: value_bytes_by_label.listed(),
            series_by_pair: series_by_pair.listed(),
        }
    }
}

/// The largest counts; no more of them are held than are listed.
struct Top {
    most: usize,
    kept: BTreeSet<(Reverse<u64>, String)>,
}

impl Top {
    fn new(most: usize) -> Self {
        Self { most, kept: BTreeSet::new() }
    }

    fn add(&mut self, count: u64, name: impl FnOnce() -> String) {
        let is_full = self.kept.len() >= self.most;
        if is_full && self.kept.last().is_none_or(|(Reverse(least), _)| count < *least) {
            return;
        }
        self.kept.insert((Reverse(count), name()));
        if self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }

    fn listed(self) -> Vec<(String, u64)> {
        self.kept.into_iter().map(|(Reverse(count), name)| (name, count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;
    use crate::engine::door::{Door, Limits};
    use crate::error::{Error, ErrorKind};
    use crate::model::labels::Labels;

    async fn count(bytes: usize, limit: usize) -> Result<Cardinality> {
        let series =
            |id: i64, pairs: &[(&str, &str)]| Series { id, labels: Labels::from_pairs(pairs.iter().copied()) };
        let all = [
            series(1, &[("__name__", "up"), ("job", "a")]),
            series(2, &[("__name__", "up"), ("job", "bb")]),
            series(3, &[("__name__", "x"), ("job", "a")]),
            // As found in the head and in the lake.
            series(1, &[("__name__", "up"), ("job", "a")]),
        ];
        let door = Door::new(1, Arc::new(GreedyMemoryPool::new(bytes)));
        let counts = |pass: Pass| async move {
            let mut counts = Counts::new(&pass);
            all.iter().try_for_each(|series| counts.add(series))?;
            Ok::<_, Error>(counts.describe(limit))
        };
        door.run(&Limits::within(Duration::from_secs(60)), counts).await
    }

    #[tokio::test]
    async fn counts() {
        let list = |items: &[(&str, u64)]| items.iter().map(|(n, c)| (n.to_string(), *c)).collect::<Vec<_>>();
        let expected = Cardinality {
            series: 3,
            label_pairs: 4,
            series_by_metric: list(&[("up", 2)]),
            values_by_label: list(&[("__name__", 2)]),
            value_bytes_by_label: list(&[("__name__", 5)]),
            series_by_pair: list(&[("__name__=up", 2)]),
        };
        assert_eq!(count(1 << 20, 1).await.unwrap(), expected);
        let pairs = list(&[("__name__=up", 2), ("job=a", 2), ("__name__=x", 1), ("job=bb", 1)]);
        assert_eq!(count(1 << 20, 10).await.unwrap().series_by_pair, pairs);
    }

    #[tokio::test]
    async fn memory_has_a_limit() {
        assert_eq!(count(200, 10).await.unwrap_err().kind, ErrorKind::Limit);
    }
}

//! What there is to ask for: names and values of labels, and series. Their answers can be as large as the index of
//! all series, so they pass the door as queries do, count what they keep against the memory of queries, and keep no
//! more than the limit asks for.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::mem::size_of;
use std::sync::Arc;

use crate::engine::door::{Memory, Pass};
use crate::engine::session::Engine;
use crate::engine::visible::Visible;
use crate::error::Result;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::store::select::Exactly;
use crate::storage::types::Series;

/// Memory of an entry of a set besides its own, roughly.
const ENTRY_BYTES: usize = 32;

/// How many series are looked at between two looks at the flag.
const SERIES_PER_CHECK: usize = 1024;

/// Which series are asked about.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub range: TimeRange,
    /// Series that satisfy any of these; all series when there is none.
    pub matchers: Vec<Vec<Matcher>>,
    /// How many results at most.
    pub limit: Option<usize>,
}

/// The first results in their order, and whether there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub cut: bool,
}

impl Engine {
    /// Names of the labels of the wanted series.
    ///
    /// # Errors
    /// Of the door, and `Limit` where the names do not fit the memory of queries.
    pub async fn label_names(&self, wanted: Wanted) -> Result<Listed<String>> {
        let engine = self.clone();
        self.run(&self.limits(None), |pass| async move {
            let mut names = First::new(&pass, wanted.limit);
            visit(engine.visible(), &pass, &wanted, Exactly::Days, |series| {
                series.labels.iter().try_for_each(|(name, _)| names.add_text(name))
            })
            .await?;
            names.listed_for(&engine)
        })
        .await
    }

    /// Values of a label of the wanted series. Errors as in [`Engine::label_names`].
    pub async fn label_values(&self, label: String, wanted: Wanted) -> Result<Listed<String>> {
        let engine = self.clone();
        self.run(&self.limits(None), |pass| async move {
            let mut values = First::new(&pass, wanted.limit);
            if label == METRIC_NAME && wanted.matchers.is_empty() {
                let names = engine.visible().metric_names(wanted.range).await?;
                names.iter().filter(|name| !name.is_empty()).try_for_each(|name| values.add_text(name))?;
                return values.listed_for(&engine);
            }
            visit(engine.visible(), &pass, &wanted, Exactly::Days, |series| match series.labels.get(&label) {
                Some(value) => values.add_text(value),
                None => Ok(()),
            })
            .await?;
            values.listed_for(&engine)
        })
        .await
    }

    /// The labels of the wanted series, and what `render` makes of them where the work is done. Errors as in
    /// [`Engine::label_names`].
    pub async fn series<T: Send + 'static>(
        &self,
        wanted: Wanted,
        render: impl FnOnce(Listed<Labels>) -> T + Send + 'static,
    ) -> Result<T> {
        let engine = self.clone();
        self.run(&self.limits(None), |pass| async move {
            let mut found = First::new(&pass, wanted.limit);
            let add = |series: &Arc<Series>| found.add_labels(&series.labels);
            visit(engine.visible(), &pass, &wanted, Exactly::Samples, add).await?;
            // With what is reserved for them, since they are about to become text.
            let First { items, cut, memory: _reserved, .. } = found;
            engine.check_rows(items.len())?;
            Ok(render(Listed { items: items.into_iter().collect(), cut }))
        })
        .await
    }
}

/// Shows the wanted series to `see`, some of them more than once, as long as anybody waits for the answer.
pub(super) async fn visit(
    visible: &Visible,
    pass: &Pass,
    wanted: &Wanted,
    exactly: Exactly,
    mut see: impl FnMut(&Arc<Series>) -> Result<()>,
) -> Result<()> {
    let mut seen = 0usize;
    let looking = |series: &Arc<Series>| {
        if seen.is_multiple_of(SERIES_PER_CHECK) {
            pass.check()?;
        }
        seen += 1;
        see(series)
    };
    visible.asked(&wanted.matchers);
    visible.visit_series(wanted.range, exactly, &wanted.matchers, looking).await
}

/// The first of a set in its order; of those beyond the limit it is known only that there are some.
pub(super) struct First<T> {
    items: BTreeSet<T>,
    most: usize,
    cut: bool,
    memory: Memory,
}

impl<T: Ord> First<T> {
    pub(super) fn new(pass: &Pass, limit: Option<usize>) -> Self {
        let memory = pass.memory("names of series");
        Self { items: BTreeSet::new(), most: limit.unwrap_or(usize::MAX), cut: false, memory }
    }

    /// As far as the one who asks may have so many.
    fn listed_for(self, engine: &Engine) -> Result<Listed<T>> {
        engine.check_rows(self.items.len())?;
        Ok(self.listed())
    }

    fn listed(self) -> Listed<T> {
        Listed { items: self.items.into_iter().collect(), cut: self.cut }
    }

    /// Whether an item would be among the first, and is not yet there.
    fn misses<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        if self.items.contains(item) {
            return false;
        }
        let is_full = self.items.len() >= self.most;
        let is_behind = is_full && self.items.last().is_none_or(|last| last.borrow() < item);
        self.cut |= is_full;
        !is_behind
    }

    fn add(&mut self, item: T, bytes: impl Fn(&T) -> usize) -> Result<()> {
        self.memory.grow(bytes(&item) + ENTRY_BYTES)?;
        self.items.insert(item);
        if self.items.len() > self.most
            && let Some(last) = self.items.pop_last()
        {
            self.memory.shrink(bytes(&last) + ENTRY_BYTES);
        }
        Ok(())
    }
}

impl First<String> {
    pub(super) fn add_text(&mut self, text: &str) -> Result<()> {
        if self.misses(text) {
            self.add(text.to_string(), |text| size_of::<String>() + text.len())?;
        }
        Ok(())
    }
}

impl First<Labels> {
    /// The labels are shared with the index; what they take is their text in the answer.
    fn add_labels(&mut self, labels: &Labels) -> Result<()> {
        if self.misses(labels) {
            self.add(labels.clone(), |labels| size_of::<Labels>() + 2 * labels.as_bytes().len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;
    use crate::engine::door::{Door, Limits};
    use crate::error::{Error, ErrorKind};

    /// Adds texts to the first of them, with so much memory.
    async fn first(limit: Option<usize>, bytes: usize, texts: &[&str]) -> Result<Listed<String>> {
        let door = Door::new(1, Arc::new(GreedyMemoryPool::new(bytes)));
        let add = |pass: Pass| async move {
            let mut first = First::new(&pass, limit);
            texts.iter().try_for_each(|text| first.add_text(text))?;
            Ok::<_, Error>(first.listed())
        };
        let listed = door.run(&Limits::within(Duration::from_secs(60)), add).await;
        assert_eq!(door.reserved_bytes(), 0);
        listed
    }

    #[tokio::test]
    async fn the_first_are_kept_and_more_are_known() {
        let check = async |limit, texts: &[&str], expected: &[&str], cut| {
            let listed = first(limit, 1 << 20, texts).await.unwrap();
            assert_eq!(
                (listed.items, listed.cut),
                (expected.iter().map(|t| t.to_string()).collect(), cut),
                "{texts:?}"
            );
        };
        check(None, &["b", "a", "b"], &["a", "b"], false).await;
        check(Some(2), &["b", "a", "b"], &["a", "b"], false).await;
        check(Some(2), &["c", "b", "a", "d", "a"], &["a", "b"], true).await;
        check(Some(1), &["a", "a", "a"], &["a"], false).await;
        check(Some(1), &["a", "b"], &["a"], true).await;
        check(Some(1), &[], &[], false).await;
    }

    #[tokio::test]
    async fn memory_is_what_is_kept_and_not_what_is_seen() {
        let texts: Vec<String> = (0..1000).rev().map(|i| format!("{i:04}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let listed = first(Some(2), 4 * (size_of::<String>() + 4 + ENTRY_BYTES), &texts).await.unwrap();
        assert_eq!((listed.items, listed.cut), (vec!["0000".to_string(), "0001".to_string()], true));
        let error = first(None, 1_000, &texts).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    }
}

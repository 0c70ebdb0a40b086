//! Exemplars of the series that a query reads. Like names of series they pass the door, and what is kept of them counts
//! against the memory of queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::session::Engine;
use crate::engine::visible::Visible;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::lake::rows;
use crate::storage::types::Series;

/// Exemplars of one answer: as many as Prometheus holds of all series, unless it is told otherwise.
pub const MAX_EXEMPLARS: usize = 100_000;

/// Memory of an entry of a set besides its own, roughly.
const ENTRY_BYTES: usize = 96;

/// How many are looked at between two looks at the flag.
const EXEMPLARS_PER_CHECK: usize = 1024;

/// One exemplar of a series, ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exemplar {
    pub timestamp: i64,
    bits: u64,
    pub labels: Labels,
}

impl Exemplar {
    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// Exemplars by the labels of their series.
#[derive(Debug, Default)]
pub struct Exemplars {
    pub by_series: BTreeMap<Labels, (Arc<Series>, BTreeSet<Exemplar>)>,
    count: usize,
}

impl Exemplars {
    fn add(&mut self, found: &rows::Exemplar) -> bool {
        let entry = self.by_series.entry(found.series.labels.clone());
        let (_, exemplars) = entry.or_insert_with(|| (Arc::clone(&found.series), BTreeSet::new()));
        let (timestamp, bits, labels) = (found.timestamp, found.value.to_bits(), found.labels.clone());
        let is_new = exemplars.insert(Exemplar { timestamp, bits, labels });
        self.count += usize::from(is_new);
        is_new
    }
}

impl Engine {
    /// Exemplars of the series that satisfy any of the matcher sets, and what `render` makes of them where the work is
    /// done.
    ///
    /// # Errors
    /// Of the door, and `Limit` where there are more than [`MAX_EXEMPLARS`] or the memory of queries is short.
    pub async fn exemplars<T: Send + 'static>(
        &self,
        range: TimeRange,
        matchers: Vec<Vec<Matcher>>,
        render: impl FnOnce(Exemplars) -> T + Send + 'static,
    ) -> Result<T> {
        let engine = self.clone();
        self.run(&self.limits(None), |pass| async move {
            let memory = pass.memory("exemplars");
            let grow = |bytes: usize| memory.grow(bytes);
            engine.visible().asked(&matchers);
            let found = gather(engine.visible(), range, &matchers, grow, || pass.check()).await?;
            engine.check_rows(found.count)?;
            Ok(render(found))
        })
        .await
    }
}

/// All of them at once; `grow` accounts for what is kept.
pub(super) async fn gather(
    visible: &Visible,
    range: TimeRange,
    matchers: &[Vec<Matcher>],
    grow: impl Fn(usize) -> Result<()>,
    check: impl Fn() -> Result<()>,
) -> Result<Exemplars> {
    let (mut exemplars, mut seen) = (Exemplars::default(), 0usize);
    let visit = |found: &rows::Exemplar| {
        if seen.is_multiple_of(EXEMPLARS_PER_CHECK) {
            check()?;
        }
        seen += 1;
        if exemplars.add(found) {
            grow(ENTRY_BYTES + found.labels.as_bytes().len())?;
        }
        match exemplars.count > MAX_EXEMPLARS {
            true => Err(Error::new(
                ErrorKind::Limit,
                format!("more than {MAX_EXEMPLARS} exemplars; ask for fewer series or less time"),
            )),
            false => Ok(()),
        }
    };
    visible.visit_exemplars(range, matchers, visit).await?;
    Ok(exemplars)
}

//! Names of metrics and labels, and values of labels, that are like some words: for who types and wants to be shown what
//! there is. Results come in their order and no more than were asked for are kept, however many there are.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::door::{Answer, Memory, Pass};
use crate::engine::names::{Wanted, visit};
use crate::engine::session::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::METRIC_NAME;
use crate::storage::store::select::Exactly;
use crate::storage::types::Series;

/// How like a value is to a word.
pub mod score;

pub use score::{Algorithm, Filter, MAX_TERM_BYTES};

/// Batches that wait for a slow reader.
const WAITING_BATCHES: usize = 2;
/// Values whose score is not computed again where another series has them: up to so many, and so many bytes of them.
const MAX_SEEN: usize = 100_000;
const MAX_SEEN_BYTES: usize = 10 << 20;
/// Memory of an entry of a set besides its text, roughly.
const ENTRY_BYTES: usize = 64;
/// Values that are looked at between two looks at the flag, and the length of one that is a reason to look.
const VALUES_PER_CHECK: usize = 1024;
const LONG_VALUE_BYTES: usize = 256;

/// What is searched.
#[derive(Clone, Debug)]
pub enum Subject {
    LabelNames,
    /// Of the label of this name.
    LabelValues(String),
}

/// In which order results come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Value,
    ValueDescending,
    /// The best first; of equal ones by value.
    Score,
}

#[derive(Clone, Debug)]
pub struct Search {
    pub subject: Subject,
    /// Of which series; the limit is that of the results.
    pub wanted: Wanted,
    /// `None` takes all, each with a score of 1.
    pub filter: Option<Filter>,
    pub order: Order,
    /// Results of a batch, at least one.
    pub batch: usize,
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub value: String,
    /// Between 0 and 1.
    pub score: f64,
}

/// What comes of a search: at least one batch, which may be empty, and then the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Batch(Vec<Hit>),
    /// Whether there are more than were asked for.
    End {
        has_more: bool,
    },
}

impl Engine {
    /// Searches, and answers in batches.
    ///
    /// # Errors
    /// Of the door, and `Limit` where the results do not fit the memory of queries.
    pub fn search(&self, search: Search) -> Answer<Part, Error> {
        let engine = self.clone();
        self.stream(self.limits(None), WAITING_BATCHES, move |pass: Pass, parts: mpsc::Sender<Part>| async move {
            let Search { subject, wanted, filter, order, batch } = search;
            let mut found = Found::new(&pass, filter, order, wanted.limit);
            match &subject {
                Subject::LabelNames => {
                    let see = |series: &Arc<Series>| names_of(series).try_for_each(|name| found.add(&pass, name));
                    visit(engine.visible(), &pass, &wanted, Exactly::Days, see).await?;
                }
                Subject::LabelValues(label) if label == METRIC_NAME && wanted.matchers.is_empty() => {
                    let names = engine.visible().metric_names(wanted.range).await?;
                    names.iter().filter(|name| !name.is_empty()).try_for_each(|name| found.add(&pass, name))?;
                }
                Subject::LabelValues(label) => {
                    visit(engine.visible(), &pass, &wanted, Exactly::Days, |series| {
                        match series.labels.get(label) {
                            Some(value) => found.add(&pass, value),
                            None => Ok(()),
                        }
                    })
                    .await?;
                }
            }
            engine.check_rows(found.hits.len())?;
            found.send(batch, &parts).await
        })
    }
}

fn names_of(series: &Series) -> impl Iterator<Item = &str> {
    series.labels.iter().map(|(name, _)| name)
}

/// The first results in their order; of those beyond the limit it is known only that there are some.
struct Found {
    filter: Option<Filter>,
    order: Order,
    most: usize,
    hits: BTreeSet<Ranked>,
    has_more: bool,
    memory: Memory,
    seen: Seen,
    looked_at: usize,
}

/// Values that were looked at. They are only a help, and go where memory is short.
struct Seen {
    values: HashSet<Box<str>>,
    bytes: usize,
    reserved: usize,
    memory: Memory,
}

impl Seen {
    fn remember(&mut self, value: &str) {
        let has_room = self.values.len() < MAX_SEEN && self.bytes + value.len() <= MAX_SEEN_BYTES;
        if has_room && self.memory.grow(ENTRY_BYTES + value.len()).is_ok() {
            self.bytes += value.len();
            self.reserved += ENTRY_BYTES + value.len();
            self.values.insert(value.into());
        }
    }

    /// For good.
    fn forget(&mut self) {
        self.values = HashSet::new();
        self.bytes = MAX_SEEN_BYTES + 1;
        self.memory.shrink(std::mem::take(&mut self.reserved));
    }
}

impl Found {
    fn new(pass: &Pass, filter: Option<Filter>, order: Order, limit: Option<usize>) -> Self {
        Self {
            filter,
            order,
            most: limit.unwrap_or(usize::MAX),
            hits: BTreeSet::new(),
            has_more: false,
            memory: pass.memory("search"),
            seen: Seen { values: HashSet::new(), bytes: 0, reserved: 0, memory: pass.memory("search") },
            looked_at: 0,
        }
    }

    fn add(&mut self, pass: &Pass, value: &str) -> Result<()> {
        self.looked_at += 1;
        if self.looked_at.is_multiple_of(VALUES_PER_CHECK) || value.len() > LONG_VALUE_BYTES {
            pass.check()?;
        }
        if self.seen.values.contains(value) {
            return Ok(());
        }
        self.seen.remember(value);
        let Some(score) = self.filter.as_ref().map_or(Some(1.0), |filter| filter.score(value)) else {
            return Ok(());
        };
        let ranked = Ranked { order: self.order, hit: Hit { value: value.to_string(), score } };
        if self.hits.contains(&ranked) {
            return Ok(());
        }
        if self.hits.len() >= self.most {
            self.has_more = true;
            match self.hits.last() {
                Some(last) if ranked < *last => {}
                _ => return Ok(()),
            }
        }
        let bytes = ENTRY_BYTES + value.len();
        if self.memory.grow(bytes).is_err() {
            self.seen.forget();
            self.memory.grow(bytes)?;
        }
        self.hits.insert(ranked);
        if self.hits.len() > self.most
            && let Some(last) = self.hits.pop_last()
        {
            self.memory.shrink(ENTRY_BYTES + last.hit.value.len());
        }
        Ok(())
    }

    async fn send(self, batch: usize, parts: &mpsc::Sender<Part>) -> Result<()> {
        let Self { hits, has_more, memory, seen, .. } = self;
        drop(seen);
        let mut hits = hits.into_iter();
        loop {
            let part: Vec<Hit> = hits.by_ref().take(batch.max(1)).map(|ranked| ranked.hit).collect();
            let bytes = part.iter().map(|hit| ENTRY_BYTES + hit.value.len()).sum();
            send(parts, Part::Batch(part)).await?;
            memory.shrink(bytes);
            if hits.len() == 0 {
                return send(parts, Part::End { has_more }).await;
            }
        }
    }
}

async fn send(parts: &mpsc::Sender<Part>, part: Part) -> Result<()> {
    parts.send(part).await.map_err(|_| Error::new(ErrorKind::Canceled, "the client went away"))
}

/// A result by its place.
struct Ranked {
    order: Order,
    hit: Hit,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_value = self.hit.value.cmp(&other.hit.value);
        match self.order {
            Order::Value => by_value,
            Order::ValueDescending => by_value.reverse(),
            Order::Score => other.hit.score.total_cmp(&self.hit.score).then(by_value),
        }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests;

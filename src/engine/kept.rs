//! Plans of small queries, kept to be run again: those of rules and panels, which are asked again and again.
//!
//! To make the plan of a small query takes longer than to run it. A plan says what is done with the samples of its
//! selectors, not which these are: two queries have the same plan if they are [spelled](key) alike but for what their
//! selectors look for, and if what was found has the same columns. So it is kept with empty scans. For a run it gets the
//! series of the query at hand ([`bound`]) and is [moved](super::promql::moment::Moment) to its time; the run has it alone,
//! since functions report to the same place each time.

/// What queries of one plan have in common.
pub mod key;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use parking_lot::Mutex;

use self::key::Key;
use crate::engine::promql::lower::resolve::Leaf;
use crate::engine::scan::{Askers, SeriesMergeExec};
use crate::model::sample::TimeRange;
use crate::promql::span::Span;
use crate::storage::types::Snapshot;

/// How many are kept. One takes some 20 KiB.
const MAX_PLANS: usize = 1024;
/// Of one key, for queries that run at the same time.
const MAX_ALIKE: usize = 2;

/// What is kept for each key, each piece for one run at a time.
#[derive(Debug)]
pub struct KeptPlans<T>(Mutex<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    by_key: HashMap<Key, Slot<T>>,
    /// The keys, each at the place that its slot knows.
    keys: Vec<Key>,
    /// Of pseudo-random numbers; not 0.
    seed: u64,
}

#[derive(Debug)]
struct Slot<T> {
    place: usize,
    plans: Vec<T>,
}

impl<T> Default for KeptPlans<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner { by_key: HashMap::new(), keys: vec![], seed: 0x9e37_79b9_7f4a_7c15 }))
    }
}

impl<T> KeptPlans<T> {
    /// Takes one out, to be given back after its run.
    pub fn take(&self, key: &Key) -> Option<T> {
        self.0.lock().by_key.get_mut(key)?.plans.pop()
    }

    /// Keeps one. Where there are too many, those of any key go: rules are asked in turns, and whatever goes by the time it
    /// was asked last would forget each right before its turn.
    pub fn put(&self, key: Key, plan: T) {
        let mut inner = self.0.lock();
        if let Some(slot) = inner.by_key.get_mut(&key) {
            if slot.plans.len() < MAX_ALIKE {
                slot.plans.push(plan);
            }
            return;
        }
        let gone = if inner.keys.len() == MAX_PLANS { inner.forget_any() } else { None };
        let place = inner.keys.len();
        inner.keys.push(key.clone());
        inner.by_key.insert(key, Slot { place, plans: vec![plan] });
        // A plan takes a while to be dropped.
        drop(inner);
        drop(gone);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().keys.len()
    }
}

impl<T> Inner<T> {
    fn forget_any(&mut self) -> Option<Slot<T>> {
        // Marsaglia's xorshift.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let place = (self.seed % self.keys.len() as u64) as usize;
        let gone = self.keys.swap_remove(place);
        let gone = self.by_key.remove(&gone);
        if let Some(moved) = self.keys.get(place)
            && let Some(slot) = self.by_key.get_mut(moved)
        {
            slot.place = place;
        }
        gone
    }
}

/// The plan with the series and times of other leaves in its scans, and nothing of it executed. `None` where it reads what
/// cannot be exchanged.
pub fn bound(
    plan: &Arc<dyn ExecutionPlan>,
    leaves: &HashMap<Span, Leaf>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    exchange(plan, &|span| {
        leaves.get(&span).map(|leaf| (Arc::clone(&leaf.snapshot), leaf.range, leaf.askers.clone()))
    })
}

/// The plan without series, which holds no samples and nothing of a run.
pub fn emptied(
    plan: &Arc<dyn ExecutionPlan>,
    leaves: &HashMap<Span, Leaf>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    exchange(plan, &|span| {
        let leaf = leaves.get(&span)?;
        let nothing = Snapshot {
            series: Arc::from([]),
            label_names: Arc::clone(&leaf.snapshot.label_names),
            memory: vec![],
            files: vec![],
            objects: Arc::clone(&leaf.snapshot.objects),
        };
        let askers = leaf.askers.as_ref().map(|_| Askers::of_ends(vec![]));
        Some((Arc::new(nothing), leaf.range, askers))
    })
}

fn exchange(
    plan: &Arc<dyn ExecutionPlan>,
    leaf: &impl Fn(Span) -> Option<(Arc<Snapshot>, TimeRange, Option<Askers>)>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<SeriesMergeExec>() {
        let found = scan.leaf().and_then(leaf);
        return Ok(found.map(|(snapshot, range, askers)| Arc::new(scan.exchanged(snapshot, range, askers)) as _));
    }
    let mut children = vec![];
    for child in plan.children() {
        let Some(child) = exchange(child, leaf)? else { return Ok(None) };
        children.push(child);
    }
    // Also where there are none: what was counted of a run goes with the old one.
    let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(plan).replace_children(children, keep).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::from(number.to_le_bytes().to_vec())
    }

    #[test]
    fn a_plan_is_for_one_run_at_a_time() {
        let kept = KeptPlans::default();
        assert_eq!(kept.take(&key(1)), None);
        kept.put(key(1), "a");
        kept.put(key(2), "b");
        assert_eq!(kept.take(&key(1)), Some("a"));
        assert_eq!(kept.take(&key(1)), None, "it runs");
        assert_eq!(kept.take(&key(2)), Some("b"));
        kept.put(key(1), "a");
        assert_eq!(kept.take(&key(1)), Some("a"));
    }

    #[test]
    fn so_many_are_kept() {
        let kept = KeptPlans::default();
        for number in 0..3 * MAX_PLANS {
            kept.put(key(number), number);
            kept.put(key(0), 0);
        }
        assert_eq!(kept.len(), MAX_PLANS);
        let mut found = 0;
        for number in 1..3 * MAX_PLANS {
            while let Some(plan) = kept.take(&key(number)) {
                assert_eq!(plan, number);
                found += 1;
            }
        }
        assert_eq!(found, MAX_PLANS - 1, "and each is found by its key");
        for _ in 0..MAX_ALIKE {
            assert_eq!(kept.take(&key(0)), Some(0));
        }
        assert_eq!(kept.take(&key(0)), None);
    }

    /// Of queries that are asked in turns, more than are kept, a part is found each time.
    #[test]
    fn turns_find_some() {
        let (kept, turns) = (KeptPlans::default(), MAX_PLANS * 3 / 2);
        let mut found = 0;
        for number in (0..turns).chain(0..turns).chain(0..turns) {
            match kept.take(&key(number)) {
                Some(plan) => {
                    found += 1;
                    kept.put(key(number), plan);
                }
                None => kept.put(key(number), number),
            }
        }
        assert!(found > turns / 2, "{found} of {}", 2 * turns);
    }
}

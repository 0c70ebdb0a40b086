//! Labels of imported series: what is added to them, what cannot be kept, and the ids they get, which are those of the lake.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, Result};
use crate::ingest::labels::{InvalidLabels, MAX_LABELS, MAX_NAME_BYTES, MAX_VALUE_BYTES};
use crate::model::labels::{Labels, METRIC_NAME};

/// Labels that all series of a source get, sorted by name. One that a series has already is replaced, as Thanos does with
/// external labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added(Vec<(String, String)>);

impl Added {
    /// Of pairs in any order; of one name the last counts.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut added: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            if name.is_empty() || name == METRIC_NAME {
                return Err(Error::bad_input(format!("label {name:?} cannot be added to series")));
            }
            match added.iter_mut().find(|(other, _)| *other == name) {
                Some(pair) => pair.1 = value,
                None => added.push((name, value)),
            }
        }
        added.sort_unstable();
        Ok(Self(added))
    }

    /// A text that is the same for the same labels.
    pub fn canonical(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name:?}={value:?},")).collect()
    }

    /// The label set of a stored series from pairs sorted by name, each name once.
    pub fn labels(&self, pairs: &[(&str, &str)]) -> Result<Labels, InvalidLabels> {
        let mut total = 0;
        for (name, value) in pairs.iter().copied().chain(self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            total += 1;
            if name.is_empty() {
                return Err(InvalidLabels::EmptyName);
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(InvalidLabels::NameTooLong(name.len()));
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(InvalidLabels::ValueTooLong(name.to_string(), value.len()));
            }
        }
        if total > MAX_LABELS {
            return Err(InvalidLabels::TooMany(total));
        }
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidLabels::Repeated(pair[0].0.to_string()));
        }
        if !pairs.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty()) {
            return Err(InvalidLabels::NoMetricName);
        }
        if self.0.is_empty() && pairs.is_sorted() {
            return Ok(Labels::from_sorted(pairs.iter().copied()));
        }
        let added = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Labels::from_pairs(pairs.iter().copied().chain(added)))
    }
}

/// What could not be kept, for the summary.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    pub series: u64,
    pub first_reason: Option<String>,
}

impl LeftOut {
    pub fn add(&mut self, pairs: &[(&str, &str)], reason: &InvalidLabels) {
        self.series += 1;
        if self.first_reason.is_none() {
            let labels: Vec<String> =
                pairs.iter().take(8).map(|(n, v)| format!("{n}={:?}", shortened(v))).collect();
            self.first_reason = Some(format!("{{{}}}: {reason}", labels.join(", ")));
        }
    }

    pub fn join(&mut self, other: LeftOut) {
        self.series += other.series;
        self.first_reason = self.first_reason.take().or(other.first_reason);
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(at, _)| &text[..at])
}

/// Ids that are taken, each with a second hash of its labels, by which a collision is noticed.
#[derive(Debug, Default)]
pub struct Ids(HashMap<i64, u64>);

/// Any number, as long as it is the same for all labels of an import.
const SECOND_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

impl Ids {
    /// Notes a series of the lake.
    pub fn note(&mut self, id: i64, labels: &Labels) {
        self.0.insert(id, second_hash(labels));
    }

    /// The id of a label set: the one it has already, else the first free one from its hash on.
    pub fn resolve(&mut self, labels: &Labels) -> i64 {
        self.resolve_from(labels.hash_id(), second_hash(labels))
    }

    fn resolve_from(&mut self, mut id: i64, second: u64) -> i64 {
        loop {
            match self.0.entry(id) {
                Entry::Occupied(taken) if *taken.get() == second => return id,
                Entry::Occupied(_) => id = id.wrapping_add(1),
                Entry::Vacant(free) => {
                    free.insert(second);
                    return id;
                }
            }
        }
    }
}

fn second_hash(labels: &Labels) -> u64 {
    xxh3_64_with_seed(labels.as_bytes(), SECOND_SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(pairs: &[(&str, &str)]) -> Added {
        Added::new(pairs.iter().map(|(n, v)| (n.to_string(), v.to_string()))).unwrap()
    }

    #[test]
    fn labels_are_added_in_order_and_replace() {
        let check = |add: &[(&str, &str)], pairs: &[(&str, &str)], expected: &[(&str, &str)]| {
            let labels = added(add).labels(pairs).unwrap();
            assert_eq!(labels, Labels::from_pairs(expected.iter().copied()), "{add:?} to {pairs:?}");
            assert_eq!(labels.as_bytes(), Labels::from_pairs(expected.iter().copied()).as_bytes());
        };
        let up = ("__name__", "up");
        check(&[], &[up, ("job", "a")], &[up, ("job", "a")]);
        check(&[("zone", "z"), ("az", "1")], &[up, ("job", "a")], &[up, ("az", "1"), ("job", "a"), ("zone", "z")]);
        check(&[("job", "b")], &[up, ("job", "a")], &[up, ("job", "b")]);
        check(
            &[("A", "upper case is in front of __name__")],
            &[up],
            &[up, ("A", "upper case is in front of __name__")],
        );
        check(&[], &[up, ("empty", "")], &[up]);
        assert!(Added::new([("__name__".to_string(), "x".to_string())]).is_err());
    }

    #[test]
    fn what_cannot_be_kept() {
        let check = |pairs: &[(&str, &str)], reason: InvalidLabels| {
            assert_eq!(Added::default().labels(pairs), Err(reason), "{pairs:?}");
        };
        check(&[("job", "a")], InvalidLabels::NoMetricName);
        check(&[("__name__", "")], InvalidLabels::NoMetricName);
        check(&[("", "x"), ("__name__", "a")], InvalidLabels::EmptyName);
        check(&[("__name__", "a"), ("b", "1"), ("b", "2")], InvalidLabels::Repeated("b".to_string()));
    }

    #[test]
    fn colliding_ids_are_probed_and_kept() {
        let mut ids = Ids::default();
        assert_eq!(ids.resolve_from(i64::MAX, 1), i64::MAX);
        assert_eq!(ids.resolve_from(i64::MAX, 2), i64::MIN);
        assert_eq!(ids.resolve_from(i64::MAX, 2), i64::MIN);
        assert_eq!(ids.resolve_from(i64::MAX, 1), i64::MAX);
        let labels = Labels::from_pairs([("__name__", "a")]);
        ids.note(labels.hash_id(), &Labels::from_pairs([("__name__", "another")]));
        assert_eq!(ids.resolve(&labels), labels.hash_id().wrapping_add(1));
    }
}

//! What deletes took from files that still have it. A delete names the files it is about, so whatever is written later, to whichever
//! time, is none of its business; whoever reads such a file leaves out what it took, until the file was rewritten without it.

use std::sync::Arc;

use crate::model::sample::{DAY_MS, TimeRange};

/// Samples of some series within a range of time.
#[derive(Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Of series, ascending.
    pub ids: Vec<i64>,
    pub range: TimeRange,
}

impl Deleted {
    fn has(&self, series_id: i64) -> bool {
        self.ids.binary_search(&series_id).is_ok()
    }
}

/// All that deletes took from one file; nothing from most.
#[derive(Clone, Debug, Default)]
pub struct Deletes(Vec<Arc<Deleted>>);

/// The same deletes, not such that take the same.
impl PartialEq for Deletes {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl Eq for Deletes {}

impl Deletes {
    pub fn push(&mut self, deleted: Arc<Deleted>) {
        self.0.push(deleted);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many deletes these are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a sample of a series is gone.
    pub fn take(&self, series_id: i64, timestamp: i64) -> bool {
        self.0.iter().any(|deleted| deleted.range.contains(timestamp) && deleted.has(series_id))
    }

    /// Whether a series is gone from the list of a day.
    pub fn take_from_list(&self, series_id: i64, day: i32) -> bool {
        self.0.iter().any(|deleted| is_whole_day(deleted.range, day) && deleted.has(series_id))
    }

    /// The parts of a range of which a series has its samples yet, in their order.
    pub fn left(&self, series_id: i64, range: TimeRange) -> Vec<TimeRange> {
        let mut left = vec![range];
        for deleted in self.0.iter().filter(|deleted| deleted.has(series_id)) {
            left = left.into_iter().flat_map(|part| without(part, deleted.range)).collect();
        }
        left
    }
}

/// Whether a range has all of a UTC day.
pub fn is_whole_day(range: TimeRange, day: i32) -> bool {
    let start_ms = i64::from(day) * DAY_MS;
    range.contains(start_ms) && range.contains(start_ms + DAY_MS - 1)
}

/// What is before and after a part of a range.
fn without(range: TimeRange, part: TimeRange) -> impl Iterator<Item = TimeRange> {
    let before = part.start_inclusive.checked_sub(1);
    let before = before.map(|end| TimeRange::new(range.start_inclusive, range.end_inclusive.min(end)));
    let after = part.end_inclusive.checked_add(1);
    let after = after.map(|start| TimeRange::new(range.start_inclusive.max(start), range.end_inclusive));
    [before, after].into_iter().flatten().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletes(of: &[(&[i64], i64, i64)]) -> Deletes {
        let mut deletes = Deletes::default();
        for (ids, start, end) in of {
            deletes.push(Arc::new(Deleted { ids: ids.to_vec(), range: TimeRange::new(*start, *end) }));
        }
        deletes
    }

    /// Whatever the ranges, a timestamp is in what is left exactly where no delete takes it.
    #[test]
    fn what_is_left_is_what_was_not_taken() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut one = || {
                let start = random.i64(-3..25);
                (start, start + random.i64(-1..12))
            };
            let ranges: Vec<(i64, i64)> = (0..3).map(|_| one()).collect();
            let (start, end) = one();
            let ids: [&[i64]; 3] = [&[1, 4], &[4], &[2]];
            let of: Vec<_> = ids.iter().zip(&ranges).map(|(ids, (start, end))| (*ids, *start, *end)).collect();
            let deletes = deletes(&of);
            for id in 1..=4 {
                let left = deletes.left(id, TimeRange::new(start, end));
                assert!(left.windows(2).all(|pair| pair[0].end_inclusive < pair[1].start_inclusive), "{left:?}");
                for timestamp in start - 2..end + 2 {
                    let is_left = left.iter().any(|part| part.contains(timestamp));
                    let in_range = (start..=end).contains(&timestamp);
                    assert_eq!(
                        is_left,
                        in_range && !deletes.take(id, timestamp),
                        "{of:?} {id} {timestamp} {left:?}"
                    );
                }
            }
        }
        let all = deletes(&[(&[1], i64::MIN, i64::MAX)]);
        assert_eq!(all.left(1, TimeRange::ALL), []);
        assert_eq!(all.left(2, TimeRange::ALL), [TimeRange::ALL]);
    }

    #[test]
    fn lists_lose_a_series_with_its_whole_day() {
        let deletes = deletes(&[(&[5], DAY_MS, 3 * DAY_MS - 2)]);
        assert!(!deletes.take_from_list(5, 0));
        assert!(deletes.take_from_list(5, 1));
        assert!(!deletes.take_from_list(6, 1));
        assert!(!deletes.take_from_list(5, 2), "its last millisecond is left");
    }
}

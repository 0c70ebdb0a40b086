//! The times of the results of a group: its own offset within its interval, as the server has it, less its query offset.

use crate::rules::schedule::last_due;

const NS_IN_MS: i64 = 1_000_000;

/// Some times, equally far apart. Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub first: i64,
    pub step: i64,
    pub count: usize,
}

impl Steps {
    /// The times of a group from one time up to another, which is not one of them.
    pub fn of(file: &str, group: &str, step: i64, query_offset_ms: i64, from: i64, until: i64) -> Self {
        let offset = last_due(file, group, step, 0).div_euclid(NS_IN_MS).saturating_sub(query_offset_ms);
        let first = from.saturating_add(offset.saturating_sub(from).rem_euclid(step));
        let count = if first < until { (until - 1 - first) / step + 1 } else { 0 };
        Self { first, step, count: usize::try_from(count).unwrap_or(0) }
    }

    pub fn at(&self, place: usize) -> i64 {
        self.first + self.step * place as i64
    }

    pub fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// The place of a time, which is one of them.
    pub fn place(&self, at: i64) -> usize {
        usize::try_from((at - self.first) / self.step).unwrap_or(0)
    }

    /// The first so many, and the rest.
    pub fn split(&self, count: usize) -> (Self, Self) {
        let count = count.min(self.count);
        (Self { count, ..*self }, Self { first: self.at(count), count: self.count - count, ..*self })
    }

    /// The same with one time in front.
    pub fn with_one_before(&self) -> Self {
        Self { first: self.first - self.step, count: self.count + 1, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_server() {
        let now = 1_767_225_600_000;
        for interval in [1_000, 15_000, 60_000, 3_600_000] {
            let steps = Steps::of("rules.yml", "g", interval, 0, now, now + 10 * interval);
            assert_eq!(steps.count, 10);
            for place in 0..steps.count {
                let due = last_due("rules.yml", "g", interval, steps.at(place) * NS_IN_MS + NS_IN_MS - 1);
                assert_eq!(due.div_euclid(NS_IN_MS), steps.at(place));
            }
            let late = Steps::of("rules.yml", "g", interval, 7_000, now, now + interval);
            assert_eq!((late.count, (late.first - steps.first + 7_000).rem_euclid(interval)), (1, 0));
        }
    }

    #[test]
    fn borders() {
        let whole = Steps::of("f", "g", 60_000, 0, 0, 600_000);
        let first = whole.first;
        assert_eq!(Steps::of("f", "g", 60_000, 0, first, first + 1), Steps { first, step: 60_000, count: 1 });
        assert_eq!(Steps::of("f", "g", 60_000, 0, first, first).count, 0);
        assert_eq!(Steps::of("f", "g", 60_000, 0, first + 1, first + 60_000).count, 0);
        let (a, b) = whole.split(3);
        assert_eq!((a.count, b.count, b.first, b.last()), (3, 7, first + 180_000, whole.last()));
        assert_eq!((whole.with_one_before().first, whole.place(first + 120_000)), (first - 60_000, 2));
    }
}

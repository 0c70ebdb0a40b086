//! The UTC days a source has samples on.

use std::collections::BTreeSet;

use crate::model::sample::{DAY_MS, TimeRange, day_of};

/// 0001-01-01 and 9999-12-31: days that the tools which read the lake can write.
pub const DATED: TimeRange = TimeRange { start_inclusive: -62_135_596_800_000, end_inclusive: 253_402_300_799_999 };
/// Days between the first and the last sample of one chunk, at most.
const MAX_CHUNK_DAYS: i32 = 20 * 366;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    days: BTreeSet<i32>,
    /// Days that were noted last; most are noted again and again.
    last: Option<(i32, i32)>,
}

impl Calendar {
    /// Notes the days from one to another; `false` where these are too far from each other to be those of a chunk.
    #[inline]
    pub fn note(&mut self, first: i32, last: i32) -> bool {
        if self.last.is_some_and(|(from, to)| from <= first && last <= to) {
            return true;
        }
        if last.saturating_sub(first) > MAX_CHUNK_DAYS {
            return false;
        }
        self.last = Some((first, last));
        self.days.extend(first..=last);
        true
    }

    /// Those within a range and behind `done`, ascending.
    pub fn left(&self, range: TimeRange, done: Option<i32>) -> Vec<i32> {
        let within = |day: &i32| range.overlaps(start_of(*day), start_of(*day) + DAY_MS - 1);
        self.days.iter().copied().filter(|day| within(day) && done.is_none_or(|done| *day > done)).collect()
    }
}

fn start_of(day: i32) -> i64 {
    i64::from(day) * DAY_MS
}

/// All milliseconds of a day.
pub fn range_of(day: i32) -> TimeRange {
    TimeRange::new(start_of(day), start_of(day) + DAY_MS - 1)
}

/// What two ranges share.
pub fn intersection(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_inclusive.max(b.start_inclusive), a.end_inclusive.min(b.end_inclusive))
}

/// The days of times that have dates.
pub fn days_of(min_time: i64, max_time: i64) -> Option<(i32, i32)> {
    (DATED.contains(min_time) && DATED.contains(max_time)).then(|| (day_of(min_time), day_of(max_time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_left() {
        let mut calendar = Calendar::default();
        assert!(calendar.note(5, 7) && calendar.note(6, 6) && calendar.note(10, 10));
        assert!(!calendar.note(0, MAX_CHUNK_DAYS + 1));
        assert_eq!(calendar.left(TimeRange::ALL, None), [5, 6, 7, 10]);
        assert_eq!(calendar.left(TimeRange::ALL, Some(6)), [7, 10]);
        assert_eq!(calendar.left(TimeRange::new(6 * DAY_MS + 1, 10 * DAY_MS - 1), None), [6, 7]);
        assert_eq!(days_of(-1, DAY_MS), Some((-1, 1)));
        assert_eq!(days_of(i64::MIN, 0), None);
    }
}

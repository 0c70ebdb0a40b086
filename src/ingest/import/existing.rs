//! What is stored already of samples on their way into the lake: such as are there with the same value are not written again, and
//! of those that are there with another one it is told, as they would not count.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::Result;
use crate::ingest::import::batch::Decoded;
use crate::ingest::import::sample::Sample;
use crate::model::labels::Labels;
use crate::model::sample::TimeRange;
use crate::storage::types::{Run, RunSlice};

/// Stored samples of series, by their ids.
pub type Stored = HashMap<i64, (Labels, Run)>;

/// Looks samples of series up, which are named by metric and id: those within a range, of all places there are.
pub type Existing =
    Arc<dyn Fn(Vec<(Arc<str>, i64)>, TimeRange) -> BoxFuture<'static, Result<Stored>> + Send + Sync>;

/// How samples compare with what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Samples that are not stored.
    pub new: u64,
    /// Samples that are, with this value.
    pub same: u64,
    /// Samples that are, with another value.
    pub other: u64,
    pub first_other: Option<Difference>,
}

/// A sample that is stored with another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub labels: Labels,
    pub timestamp: i64,
    pub stored: String,
    pub given: String,
}

impl Compared {
    pub fn join(&mut self, other: Compared) {
        self.new += other.new;
        self.same += other.same;
        self.other += other.other;
        self.first_other = self.first_other.take().or(other.first_other);
    }
}

impl Decoded {
    /// Leaves what is not stored.
    pub fn without(self, stored: &Stored) -> (Decoded, Compared) {
        let mut compared = Compared::default();
        let mut left = Decoded::like(&self);
        for series in &self.series {
            let run = self.run(series);
            match stored.get(&series.id) {
                None => {
                    compared.new += run.timestamps.len() as u64;
                    left.push(series, run, |_| true);
                }
                Some((labels, stored)) => {
                    let keep = compare(labels, run, stored, &mut compared);
                    left.push(series, run, |at| keep[at]);
                }
            }
        }
        (left, compared)
    }
}

/// Which samples are not stored.
fn compare(labels: &Labels, run: RunSlice<'_>, stored: &Run, compared: &mut Compared) -> Vec<bool> {
    let mut at = 0;
    let is_new = |(place, timestamp): (usize, &i64)| {
        while stored.timestamps.get(at).is_some_and(|stored| stored < timestamp) {
            at += 1;
        }
        if stored.timestamps.get(at) != Some(timestamp) {
            compared.new += 1;
            return true;
        }
        let (given, stored) = (Sample::of(run, place), Sample::of(stored.into(), at));
        if given.equals(stored) {
            compared.same += 1;
            return false;
        }
        compared.other += 1;
        compared.first_other.get_or_insert_with(|| Difference {
            labels: labels.clone(),
            timestamp: *timestamp,
            stored: stored.text(),
            given: given.text(),
        });
        false
    };
    run.timestamps.iter().enumerate().map(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(samples: &[(i64, f64)]) -> Run {
        let (timestamps, values) = samples.iter().copied().unzip();
        Run { timestamps, values, ..Run::default() }
    }

    #[test]
    fn what_is_stored_is_not_new() {
        let labels = Labels::from_pairs([("__name__", "a")]);
        let check = |given: &[(i64, f64)], stored: &[(i64, f64)], keep: &[bool], counts: (u64, u64, u64)| {
            let (given, stored) = (run(given), run(stored));
            let mut compared = Compared::default();
            assert_eq!(compare(&labels, (&given).into(), &stored, &mut compared), keep, "{given:?} and {stored:?}");
            assert_eq!((compared.new, compared.same, compared.other), counts);
            compared.first_other
        };
        let stale = crate::model::sample::STALE_NAN;
        check(&[(1, 1.0), (2, 2.0)], &[], &[true, true], (2, 0, 0));
        check(
            &[(1, 1.0), (2, 2.0), (3, stale)],
            &[(0, 9.0), (2, 2.0), (3, stale)],
            &[true, false, false],
            (1, 2, 0),
        );
        let other = check(&[(2, 0.0), (5, 5.0)], &[(2, -0.0), (4, 5.0)], &[false, true], (1, 0, 1)).unwrap();
        assert_eq!((other.timestamp, other.stored.as_str(), other.given.as_str()), (2, "-0", "0"));
        check(&[(2, f64::NAN)], &[(2, stale)], &[false], (0, 0, 1));
    }
}

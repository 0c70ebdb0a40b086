//! What becomes of a row: Prometheus' rules of order, for one series and its newest sample or exemplar, and what series
//! had before the batch at hand.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::storage::types::{Existing, LogRows, LogSamples, Rejection, SampleRow};

/// What is accepted; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Rows older than this are out of bounds.
    pub oldest_allowed_ms: i64,
    /// Rows later than this are too far in the future.
    pub newest_allowed_ms: i64,
    /// How far behind the newest sample of its series a sample may be.
    pub out_of_order_window_ms: i64,
}

/// The time of the newest sample of a series that has none.
pub(super) const NONE: i64 = i64::MIN;

pub(super) enum Verdict {
    /// Newer than everything of its series.
    Newest,
    /// Behind the newest, within the window.
    Behind,
    /// The newest sample again.
    Same,
    Rejected(Rejection),
}

/// The newest sample of a series, as far as a row is judged by it.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) timestamp: i64,
    pub(super) bits: u64,
    pub(super) is_histogram: bool,
    pub(super) histogram: Option<Arc<FloatHistogram>>,
}

/// The newest exemplar of a series: Prometheus' order of exemplars is by these three.
#[derive(Clone, Debug)]
pub(super) struct NewestExemplar {
    pub(super) timestamp: i64,
    has_timestamp: bool,
    value_bits: u64,
    labels: i64,
}

/// As in Prometheus: of two without a time of their own it does not count.
impl PartialEq for NewestExemplar {
    fn eq(&self, other: &Self) -> bool {
        let is_timed = self.has_timestamp || other.has_timestamp;
        (self.value_bits, self.labels) == (other.value_bits, other.labels)
            && (!is_timed || self.timestamp == other.timestamp)
    }
}

/// What series had before the batch at hand, one entry for each time it changed them. Looked up where a row is refused,
/// which is rare, and so indexed only then.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) newest: Vec<(u32, Newest)>,
    index: HashMap<u32, usize>,
    indexed: usize,
    /// Times of the samples of the batch by slot; asked where one is out of order and accepted all the same.
    times: HashSet<(u32, i64)>,
    timed: usize,
}

impl Before {
    /// `out` is what came before the batch.
    pub(super) fn begin(&mut self, out: &LogRows) {
        self.newest.clear();
        self.index.clear();
        self.indexed = 0;
        self.times.clear();
        self.timed = out.samples.timestamps.len();
    }

    /// Whether the batch has put a sample at this time already.
    pub(super) fn has_sample(&mut self, out: &LogSamples, slot: u32, timestamp: i64) -> bool {
        let rows = self.timed..out.timestamps.len();
        self.times.extend(rows.map(|row| (out.slots[row], out.timestamps[row])));
        self.timed = out.timestamps.len();
        self.times.contains(&(slot, timestamp))
    }

    /// `None` for a series that the batch has not changed.
    pub(super) fn of(&mut self, slot: u32) -> Option<&Newest> {
        for (at, (changed, _)) in self.newest.iter().enumerate().skip(self.indexed) {
            self.index.entry(*changed).or_insert(at);
        }
        self.indexed = self.newest.len();
        Some(&self.newest[*self.index.get(&slot)?].1)
    }
}

impl Newest {
    pub(super) fn existing(&self) -> Existing {
        if self.is_histogram { Existing::Histogram } else { Existing::Float(f64::from_bits(self.bits)) }
    }
}

impl NewestExemplar {
    pub(super) fn new(timestamp: i64, has_timestamp: bool, value: f64, labels: &Labels) -> Self {
        Self { timestamp, has_timestamp, value_bits: value.to_bits(), labels: labels.hash_id() }
    }

    pub(super) fn is_before(&self, other: &Self) -> bool {
        let (value, theirs) = (f64::from_bits(self.value_bits), f64::from_bits(other.value_bits));
        match self.timestamp.cmp(&other.timestamp) {
            Ordering::Less => true,
            Ordering::Equal => value < theirs || value == theirs && self.labels < other.labels,
            Ordering::Greater => false,
        }
    }

    pub(super) fn is_refused_behind(&self, newest: &Self, rules: Rules) -> bool {
        let window_start = newest.timestamp.saturating_sub(rules.out_of_order_window_ms.max(0));
        self.is_before(newest) && (self.timestamp == newest.timestamp || self.timestamp <= window_start)
    }
}

/// Whether the rows of one series are all good and each is newer than what is before it, as nearly all are.
pub(super) fn rises(run: &[SampleRow], newest: i64, rules: Rules) -> bool {
    let (first, last) = (run[0].timestamp, run[run.len() - 1].timestamp);
    first > newest
        && first >= rules.oldest_allowed_ms
        && last <= rules.newest_allowed_ms
        && run.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp)
}

pub(super) fn out_of_bounds(timestamp: i64, rules: Rules) -> Option<Rejection> {
    if timestamp > rules.newest_allowed_ms {
        return Some(Rejection::TooFarInFuture);
    }
    (timestamp < rules.oldest_allowed_ms).then_some(Rejection::OutOfBounds)
}

/// Prometheus' order rules (`tsdb/head_append.go`), per series.
pub(super) fn judge(newest: &Newest, timestamp: i64, rules: Rules, same: impl FnOnce(&Newest) -> bool) -> Verdict {
    if let Some(rejection) = out_of_bounds(timestamp, rules) {
        return Verdict::Rejected(rejection);
    }
    if newest.timestamp == NONE || timestamp > newest.timestamp {
        return Verdict::Newest;
    }
    if timestamp == newest.timestamp {
        return if same(newest) { Verdict::Same } else { Verdict::Rejected(Rejection::Duplicate) };
    }
    match rules.out_of_order_window_ms {
        ..=0 => Verdict::Rejected(Rejection::OutOfOrder),
        window if timestamp >= newest.timestamp.saturating_sub(window) => Verdict::Behind,
        _ => Verdict::Rejected(Rejection::TooOld),
    }
}

/// Equality by bits, since a stale histogram has a NaN for its sum. The counter reset hint is no part of it.
pub(super) fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let bits =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
    a.schema == b.schema
        && bits(
            &[a.zero_threshold, a.zero_count, a.count, a.sum],
            &[b.zero_threshold, b.zero_count, b.count, b.sum],
        )
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && bits(&a.positive_buckets, &b.positive_buckets)
        && bits(&a.negative_buckets, &b.negative_buckets)
        && bits(&a.custom_values, &b.custom_values)
}

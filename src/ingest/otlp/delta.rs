//! Points with delta temporality → cumulative ones, summed up in memory: `--enable-feature=otlp-deltatocumulative`, with
//! the rules of the collector's processor of that name, which Prometheus runs. A stream is known until it has been silent
//! for five minutes; what it counted is then gone, and it begins anew, as counters do at a restart.

use crate::ingest::otlp::message::{Buckets, Common, ExponentialPoint, HistogramPoint, NumberPoint};
use crate::ingest::raw_series::HashedMap;

/// How long a stream may be silent.
const STALE_MS: i64 = 5 * 60_000;
/// How often silent ones are looked for.
const SWEEP_MS: i64 = 60_000;
/// Of all streams, roughly.
const MAX_BYTES: usize = 64 << 20;
const STREAM_BYTES: usize = 128;
/// Buckets of one side of an exponential histogram; what needs more gets wider ones.
const MAX_BUCKETS: i64 = 160;

/// What becomes of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the sum of its stream now.
    Summed,
    /// It is older than its stream, or was summed before.
    Dropped,
    /// There is no memory for another stream.
    NoRoom,
}

#[derive(Debug, Default)]
pub struct Streams {
    by_key: HashedMap<Stream>,
    bytes: usize,
    now_ms: i64,
    swept_ms: i64,
}

#[derive(Debug)]
struct Stream {
    start_ns: u64,
    time_ns: u64,
    seen_ms: i64,
    sum: Sum,
}

#[derive(Clone, Debug)]
enum Sum {
    Number(f64),
    Explicit { count: u64, sum: Option<f64>, counts: Vec<u64>, bounds: Vec<f64> },
    Exponential(Exponential),
}

#[derive(Clone, Debug)]
struct Exponential {
    count: u64,
    sum: Option<f64>,
    scale: i32,
    zero_count: u64,
    positive: Buckets,
    negative: Buckets,
}

impl Streams {
    /// Says what time it is, and forgets streams that are silent.
    pub fn at(&mut self, now_ms: i64) -> &mut Self {
        self.now_ms = now_ms;
        if now_ms.saturating_sub(self.swept_ms) >= SWEEP_MS {
            self.swept_ms = now_ms;
            self.by_key.retain(|_, stream| now_ms.saturating_sub(stream.seen_ms) < STALE_MS);
            self.bytes = self.by_key.values().map(|stream| stream.sum.bytes()).sum();
        }
        self
    }

    pub fn number(&mut self, key: u128, point: &mut NumberPoint<'_>) -> Outcome {
        let value = point.value;
        self.take(key, &mut point.common, Sum::Number(value), |sum| {
            if let Sum::Number(sum) = sum {
                point.value = *sum;
            }
        })
    }

    pub fn explicit(&mut self, key: u128, point: &mut HistogramPoint<'_>) -> Outcome {
        let (counts, bounds) = (std::mem::take(&mut point.counts), std::mem::take(&mut point.bounds));
        let delta = Sum::Explicit { count: point.count, sum: point.sum, counts, bounds };
        self.take(key, &mut point.common, delta, |sum| {
            if let Sum::Explicit { count, sum, counts, bounds } = sum {
                (point.count, point.sum) = (*count, *sum);
                (point.counts, point.bounds) = (counts.clone(), bounds.clone());
            }
        })
    }

    pub fn exponential(&mut self, key: u128, point: &mut ExponentialPoint<'_>) -> Outcome {
        let delta = Sum::Exponential(Exponential {
            count: point.count,
            sum: point.sum,
            scale: point.scale,
            zero_count: point.zero_count,
            positive: std::mem::take(&mut point.positive),
            negative: std::mem::take(&mut point.negative),
        });
        self.take(key, &mut point.common, delta, |sum| {
            if let Sum::Exponential(sum) = sum.clone() {
                (point.count, point.sum, point.zero_count) = (sum.count, sum.sum, sum.zero_count);
                (point.scale, point.positive, point.negative) = (sum.scale, sum.positive, sum.negative);
            }
        })
    }

    /// Adds a point to its stream, and shows the sum.
    fn take(&mut self, key: u128, common: &mut Common<'_>, delta: Sum, show: impl FnOnce(&Sum)) -> Outcome {
        let now_ms = self.now_ms;
        let Some(stream) = self.by_key.get_mut(&key) else {
            let bytes = delta.bytes();
            if self.bytes.saturating_add(bytes) > MAX_BYTES {
                return Outcome::NoRoom;
            }
            self.bytes += bytes;
            show(&delta);
            let (start_ns, time_ns) = (common.start_ns, common.time_ns);
            self.by_key.insert(key, Stream { start_ns, time_ns, seen_ms: now_ms, sum: delta });
            return Outcome::Summed;
        };
        if common.start_ns < stream.start_ns || common.time_ns <= stream.time_ns {
            return Outcome::Dropped;
        }
        let before = stream.sum.bytes();
        // It may begin anew with other buckets, and more of them.
        if self.bytes.saturating_add(delta.bytes()) > MAX_BYTES && delta.bytes() > before {
            return Outcome::NoRoom;
        }
        stream.sum.add(delta);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(stream.sum.bytes());
        (stream.time_ns, stream.seen_ms) = (common.time_ns, now_ms);
        common.start_ns = stream.start_ns;
        show(&stream.sum);
        Outcome::Summed
    }
}

impl Sum {
    fn bytes(&self) -> usize {
        let numbers = match self {
            Sum::Number(_) => 0,
            Sum::Explicit { counts, bounds, .. } => counts.len() + bounds.len(),
            Sum::Exponential(sum) => sum.positive.counts.len() + sum.negative.counts.len(),
        };
        STREAM_BYTES + 8 * numbers
    }

    fn add(&mut self, delta: Sum) {
        match (self, delta) {
            (Sum::Number(sum), Sum::Number(more)) => *sum += more,
            (
                Sum::Explicit { count, sum, counts, bounds },
                Sum::Explicit { count: more, sum: more_sum, counts: more_counts, bounds: more_bounds },
            ) if *bounds == more_bounds && counts.len() == more_counts.len() => {
                *count = count.saturating_add(more);
                *sum = sum.zip(more_sum).map(|(a, b)| a + b);
                counts.iter_mut().zip(more_counts).for_each(|(a, b)| *a = a.saturating_add(b));
            }
            (Sum::Exponential(sum), Sum::Exponential(more)) => sum.add(more),
            // Other buckets cannot be added to those that there are: it begins anew with them.
            (sum, more) => *sum = more,
        }
    }
}

impl Exponential {
    fn add(&mut self, mut more: Self) {
        self.count = self.count.saturating_add(more.count);
        self.sum = self.sum.zip(more.sum).map(|(a, b)| a + b);
        self.zero_count = self.zero_count.saturating_add(more.zero_count);
        let scale = self.scale.min(more.scale);
        self.widen(scale);
        more.widen(scale);
        // Both sides have one scale, which is that of the wider.
        let sides = [(&self.positive, &more.positive), (&self.negative, &more.negative)];
        let steps = sides.map(|(a, b)| steps_to_fit(a, b)).into_iter().max().unwrap_or(0);
        let scale = scale.saturating_sub(steps as i32);
        self.widen(scale);
        more.widen(scale);
        merge(&mut self.positive, more.positive);
        merge(&mut self.negative, more.negative);
    }

    fn widen(&mut self, scale: i32) {
        let steps = (i64::from(self.scale) - i64::from(scale)).clamp(0, 63) as u32;
        self.scale = self.scale.min(scale);
        if steps > 0 {
            widen(&mut self.positive, steps);
            widen(&mut self.negative, steps);
        }
    }
}

/// First and last index; `None` without buckets.
fn ends(buckets: &Buckets) -> Option<(i64, i64)> {
    let first = i64::from(buckets.offset);
    (!buckets.counts.is_empty()).then(|| (first, first + buckets.counts.len() as i64 - 1))
}

/// How often the scale must be lowered until the buckets of both are few enough.
fn steps_to_fit(a: &Buckets, b: &Buckets) -> u32 {
    let all: Vec<(i64, i64)> = [a, b].into_iter().filter_map(ends).collect();
    let Some(first) = all.iter().map(|(first, _)| *first).min() else { return 0 };
    let last = all.iter().map(|(_, last)| *last).max().unwrap_or(first);
    let fits = |steps: &u32| (last >> steps) - (first >> steps) < MAX_BUCKETS;
    (0..63).find(fits).unwrap_or(63)
}

/// 2^`steps` buckets become one.
fn widen(buckets: &mut Buckets, steps: u32) {
    let Some((first, last)) = ends(buckets) else { return };
    let (new_first, new_last) = (first >> steps, last >> steps);
    let mut counts = vec![0u64; (new_last - new_first + 1) as usize];
    for (position, count) in buckets.counts.iter().enumerate() {
        let at = ((first + position as i64) >> steps) - new_first;
        if let Some(sum) = counts.get_mut(at as usize) {
            *sum = sum.saturating_add(*count);
        }
    }
    *buckets = Buckets { offset: new_first as i32, counts };
}

/// Adds buckets of the same scale, which are few enough together.
fn merge(buckets: &mut Buckets, more: Buckets) {
    let Some((more_first, more_last)) = ends(&more) else { return };
    let Some((first, last)) = ends(buckets) else {
        *buckets = more;
        return;
    };
    let (new_first, new_last) = (first.min(more_first), last.max(more_last));
    let mut counts = vec![0u64; (new_last - new_first + 1) as usize];
    for (start, part) in [(first, &buckets.counts), (more_first, &more.counts)] {
        let places = counts.iter_mut().skip((start - new_first) as usize);
        places.zip(part).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
    *buckets = Buckets { offset: new_first as i32, counts };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(start_ns: u64, time_ns: u64) -> Common<'static> {
        Common { start_ns, time_ns, ..Common::default() }
    }

    #[test]
    fn numbers() {
        let mut streams = Streams::default();
        let mut check = |key: u128, start: u64, time: u64, value: f64, expected: (Outcome, u64, f64)| {
            let mut point = NumberPoint { common: common(start, time), value };
            let outcome = streams.number(key, &mut point);
            assert_eq!((outcome, point.common.start_ns, point.value), expected, "{key} {start} {time}");
        };
        check(1, 10, 20, 5.0, (Outcome::Summed, 10, 5.0));
        check(1, 20, 30, 2.0, (Outcome::Summed, 10, 7.0));
        check(2, 20, 30, 1.0, (Outcome::Summed, 20, 1.0));
        check(1, 20, 30, 2.0, (Outcome::Dropped, 20, 2.0));
        check(1, 5, 40, 2.0, (Outcome::Dropped, 5, 2.0));
        check(1, 50, 60, -1.0, (Outcome::Summed, 10, 6.0));
    }

    #[test]
    fn streams_that_are_silent_are_forgotten() {
        let mut streams = Streams::default();
        let mut add = |now_ms: i64, time: u64| {
            let mut point = NumberPoint { common: common(time - 1, time), value: 1.0 };
            streams.at(now_ms).number(1, &mut point);
            point.value
        };
        assert_eq!(add(1_000_000, 10), 1.0);
        assert_eq!(add(1_000_000 + STALE_MS - 1, 20), 2.0);
        assert_eq!(add(1_000_000 + 3 * STALE_MS, 30), 1.0);
    }

    #[test]
    fn there_is_an_end_of_memory() {
        let mut streams = Streams::default();
        let outcome = |streams: &mut Streams, key| {
            let mut point = NumberPoint { common: common(1, 2), value: 1.0 };
            streams.number(key, &mut point)
        };
        let most = (MAX_BYTES / STREAM_BYTES) as u128;
        (0..most).for_each(|key| assert_eq!(outcome(&mut streams, key), Outcome::Summed));
        assert_eq!(outcome(&mut streams, most), Outcome::NoRoom);
    }

    #[test]
    fn explicit_histograms() {
        let mut streams = Streams::default();
        let mut check = |time: u64,
                         counts: &[u64],
                         bounds: &[f64],
                         sum: Option<f64>,
                         expected: (u64, Option<f64>, &[u64])| {
            let (counts, bounds) = (counts.to_vec(), bounds.to_vec());
            let mut point =
                HistogramPoint { common: common(time - 1, time), count: counts.iter().sum(), sum, counts, bounds };
            assert_eq!(streams.explicit(1, &mut point), Outcome::Summed);
            assert_eq!((point.count, point.sum, point.counts.as_slice()), expected);
        };
        check(10, &[1, 2], &[5.0], Some(1.5), (3, Some(1.5), &[1, 2]));
        check(20, &[0, 4], &[5.0], Some(2.0), (7, Some(3.5), &[1, 6]));
        check(30, &[1, 0], &[5.0], None, (8, None, &[2, 6]));
        check(40, &[1, 1], &[6.0], Some(1.0), (2, Some(1.0), &[1, 1]));
    }

    #[test]
    fn exponential_histograms() {
        let mut streams = Streams::default();
        let mut check = |time: u64, scale: i32, offset: i32, counts: &[u64], expected: (i32, i32, &[u64])| {
            let mut point = ExponentialPoint {
                common: common(time - 1, time),
                count: counts.iter().sum(),
                scale,
                positive: Buckets { offset, counts: counts.to_vec() },
                ..ExponentialPoint::default()
            };
            assert_eq!(streams.exponential(1, &mut point), Outcome::Summed);
            assert_eq!((point.scale, point.positive.offset, point.positive.counts.as_slice()), expected);
        };
        check(10, 3, 4, &[1, 2], (3, 4, &[1, 2]));
        check(20, 3, 2, &[1, 0, 5], (3, 2, &[1, 0, 6, 2]));
        check(30, 2, 0, &[7], (2, 0, &[7, 1, 8]));
        check(40, 4, -8, &[1, 1, 1, 1], (2, -2, &[4, 0, 7, 1, 8]));
        check(50, 2, 1, &[], (2, -2, &[4, 0, 7, 1, 8]));
        // Too far away for buckets as fine as these: both ends and what is between them are 129 wide ones.
        let mut far =
            ExponentialPoint { common: common(59, 60), count: 100, scale: 2, ..ExponentialPoint::default() };
        far.positive = Buckets { offset: i32::MAX / 2, counts: vec![100] };
        assert_eq!(streams.exponential(1, &mut far), Outcome::Summed);
        let counts = &far.positive.counts;
        assert_eq!((far.scale, far.positive.offset, counts.len(), far.count), (-21, -1, 129, 120));
        assert_eq!((counts[0], counts[1], counts[128]), (4, 16, 100));
    }
}

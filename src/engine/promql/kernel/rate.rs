//! `rate`, `increase` and `delta` with extrapolation to the ends of the window (`extrapolatedRate`).

use std::sync::Arc;

use super::range::RangeFunction;
use super::samples::{Cursor, Floats, Histograms, Window, start_timestamp};
use super::types::{Notes, Value, VectorOut, Windows};
use crate::engine::promql::annotations::text::{self, Operation};
use crate::engine::promql::annotations::{Detail, Level};
use crate::model::histogram::{CounterResetHint, FloatHistogram};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub counter: bool,
    pub per_second: bool,
}

impl Kind {
    /// Of `rate`, `increase`, and `delta` for all others.
    pub fn of(function: RangeFunction) -> Self {
        match function {
            RangeFunction::Rate => Self { counter: true, per_second: true },
            RangeFunction::Increase => Self { counter: true, per_second: false },
            _ => Self { counter: false, per_second: false },
        }
    }
}

/// The time a window's samples cover, and the window itself.
struct Extent {
    first: i64,
    last: i64,
    /// Number of samples less one.
    intervals: usize,
    begin: i64,
    end: i64,
}

/// What the counter rules of the extrapolation need.
struct Counter {
    /// The value at the first sample; a counter cannot be extrapolated below zero.
    first: f64,
    increase: f64,
}

/// How far a window is extrapolated, from times alone. Seconds.
#[derive(Clone, Copy)]
struct Reach {
    sampled: f64,
    to_begin: f64,
    to_end: f64,
    range: f64,
    /// With nothing capped at zero.
    factor: f64,
}

impl Extent {
    /// `zero_at` is a start timestamp inside the window, where the counter is known to be zero. `None` if there is
    /// one sample only.
    fn reach(&self, kind: Kind, zero_at: Option<i64>) -> Option<Reach> {
        let mut sampled = seconds(self.last - self.first);
        let average = if self.intervals > 0 { sampled / self.intervals as f64 } else { 0.0 };
        // A series whose next sample should have been in the window by a margin of 10 % begins or ends inside.
        let threshold = average * 1.1;
        let mut to_begin = seconds(self.first - self.begin);
        let mut to_end = seconds(self.end - self.last);
        if let Some(zero_at) = zero_at {
            to_begin = 0.0;
            sampled = seconds(self.last - zero_at);
        } else if self.intervals == 0 {
            return None;
        } else if to_begin >= threshold {
            to_begin = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut reach = Reach { sampled, to_begin, to_end, range: seconds(self.end - self.begin), factor: 0.0 };
        reach.factor = reach.factor_from(kind, to_begin);
        Some(reach)
    }

    /// The factor from the increase between samples to the increase over the window.
    fn factor(&self, kind: Kind, counter: Option<Counter>, zero_at: Option<i64>) -> Option<f64> {
        let reach = self.reach(kind, zero_at)?;
        // Where the zero is known there is nothing to cap.
        Some(reach.capped(kind, counter.filter(|_| zero_at.is_none())))
    }
}

impl Reach {
    fn factor_from(&self, kind: Kind, to_begin: f64) -> f64 {
        let Self { sampled, to_end, range, .. } = *self;
        let factor = if sampled != 0.0 { (sampled + to_begin + to_end) / sampled } else { 1.0 };
        if kind.per_second { factor / range } else { factor }
    }

    /// The factor for a counter, which was not below zero before the window's first sample.
    fn capped(&self, kind: Kind, counter: Option<Counter>) -> f64 {
        // Most counters are far above what they grow by in a window. `to_begin` is at most 1.1 times `sampled`, so
        // that they reach zero before it, and the division can be saved.
        if let Some(Counter { first, increase }) = counter
            && increase > 0.0
            && first >= 0.0
            && first < increase * 2.0
        {
            let to_zero = self.sampled * (first / increase);
            if to_zero < self.to_begin {
                return self.factor_from(kind, to_zero);
            }
        }
        self.factor
    }
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Whether the start timestamp of a sample says that the counter began anew after the sample before.
pub fn is_start_reset(previous_start: i64, previous: i64, start: i64, time: i64) -> bool {
    // Unknown (0, or the sample's own time as OpenTelemetry has it) or invalid (after the sample).
    if start == 0 || start >= time || start < previous {
        return false;
    }
    if start > previous {
        return true;
    }
    // It begins where the sample before was taken: deltas, or a cumulative series of unknown start, which the
    // sample before tells apart.
    previous_start <= previous && previous_start != 0 && previous_start != previous
}

/// Whether a start timestamp claims time that belongs to the sample before.
fn is_start_overlap(previous_start: i64, previous: i64, start: i64) -> bool {
    start != 0 && start < previous && start != previous_start
}

fn overlaps(timestamps: &[i64], start_timestamps: &[i64]) -> bool {
    (1..timestamps.len().min(start_timestamps.len()))
        .any(|i| is_start_overlap(start_timestamps[i - 1], timestamps[i - 1], start_timestamps[i]))
}

fn note_overlap(notes: &Notes<'_>) {
    let text = text::start_time_overlap(notes.metric);
    notes.annotations.add_detailed(Level::Warning, text, notes.arg_span, Detail::Occurrences(1));
}

/// A start timestamp inside the window, before its first sample.
fn zero_in_window(kind: Kind, start_timestamps: &[i64], begin: i64, first: i64) -> Option<i64> {
    let start = *start_timestamps.first()?;
    (kind.counter && start != 0 && start > begin && start < first).then_some(start)
}

/// Whether sample `i` comes after a reset.
fn is_reset(floats: &Floats<'_>, i: usize) -> bool {
    floats.values[i] < floats.values[i - 1]
        || (!floats.start_timestamps.is_empty()
            && is_start_reset(
                floats.start_timestamps[i - 1],
                floats.timestamps[i - 1],
                floats.start_timestamps[i],
                floats.timestamps[i],
            ))
}

/// Where a value is below the one before it.
fn drops(values: &[f64]) -> Vec<usize> {
    const BLOCK: usize = 64;
    let mut found = Vec::new();
    let mut from = 1;
    while from < values.len() {
        let to = (from + BLOCK).min(values.len());
        let pairs = || values[from..to].iter().zip(&values[from - 1..to - 1]);
        // Counters rarely reset: most blocks are settled by one pass without branches.
        if pairs().fold(false, |any, (value, previous)| any | (value < previous)) {
            found.extend(
                pairs().enumerate().filter(|(_, (value, previous))| value < previous).map(|(i, _)| from + i),
            );
        }
        from = to;
    }
    found
}

/// All windows of a series of floats. Resets are found once; a window then needs its ends and its resets only.
pub fn slide(kind: Kind, floats: Floats<'_>, windows: &Windows, notes: &Notes<'_>, out: &mut VectorOut<'_>) {
    let resets: Vec<usize> = match (kind.counter, floats.start_timestamps.is_empty()) {
        (false, _) => Vec::new(),
        // By far the most common case, kept to what a vectorised loop can do.
        (true, true) => drops(floats.values),
        (true, false) => (1..floats.len()).filter(|i| is_reset(&floats, *i)).collect(),
    };
    let mut latest: Option<(i64, i64, usize, Reach)> = None;
    let may_overlap = kind.counter && overlaps(floats.timestamps, floats.start_timestamps);
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    let mut first_reset = 0;
    for k in 0..windows.steps {
        let (begin, end) = (windows.begin(k), windows.end(k));
        cursor.advance(floats.timestamps, begin, end);
        let Cursor { from, to, .. } = cursor;
        if from == to {
            continue;
        }
        while first_reset < resets.len() && resets[first_reset] <= from {
            first_reset += 1;
        }
        let mut increase = floats.values[to - 1] - floats.values[from];
        for reset in resets[first_reset..].iter().take_while(|i| **i < to) {
            increase += floats.values[*reset - 1];
        }
        let samples = floats.slice(from, to);
        if may_overlap && overlaps(samples.timestamps, samples.start_timestamps) {
            note_overlap(notes);
        }
        if !floats.start_timestamps.is_empty() || samples.len() == 1 {
            if let Some(value) = extrapolate(kind, &samples, increase, begin, end) {
                out.set(k, value);
            }
            continue;
        }
        // Where the step is a multiple of the scrape interval, all windows lie alike over their samples.
        let intervals = samples.len() - 1;
        let extent =
            Extent { first: samples.timestamps[0], last: samples.timestamps[intervals], intervals, begin, end };
        let (to_first, to_last) = (extent.first - begin, end - extent.last);
        let reach = match latest {
            Some((first, last, count, reach)) if (first, last, count) == (to_first, to_last, intervals) => reach,
            _ => extent.reach(kind, None).expect("there are two samples"),
        };
        latest = Some((to_first, to_last, intervals, reach));
        let counter = kind.counter.then_some(Counter { first: samples.values[0], increase });
        out.set(k, increase * reach.capped(kind, counter));
    }
}

fn extrapolate(kind: Kind, samples: &Floats<'_>, increase: f64, begin: i64, end: i64) -> Option<f64> {
    let intervals = samples.len() - 1;
    let (first, last) = (samples.timestamps[0], samples.timestamps[intervals]);
    let zero_at = zero_in_window(kind, samples.start_timestamps, begin, first);
    let counter = kind.counter.then_some(Counter { first: samples.values[0], increase });
    let factor = Extent { first, last, intervals, begin, end }.factor(kind, counter, zero_at)?;
    let increase = if zero_at.is_some() { increase + samples.values[0] } else { increase };
    Some(increase * factor)
}

/// One window of a series that also has histograms.
pub fn window(kind: Kind, window: &Window<'_>, notes: &Notes<'_>) -> Option<Value> {
    if window.is_mixed() {
        notes.warn(text::mixed_floats_histograms(notes.metric));
        return None;
    }
    if window.histograms.is_empty() {
        return float_window(kind, window, notes).map(Value::Float);
    }
    histogram_window(kind, window, notes).map(Value::from)
}

fn float_window(kind: Kind, window: &Window<'_>, notes: &Notes<'_>) -> Option<f64> {
    let floats = &window.floats;
    let mut increase = floats.values[floats.len() - 1] - floats.values[0];
    if kind.counter {
        if overlaps(floats.timestamps, floats.start_timestamps) {
            note_overlap(notes);
        }
        for i in (1..floats.len()).filter(|i| is_reset(floats, *i)) {
            increase += floats.values[i - 1];
        }
    }
    extrapolate(kind, floats, increase, window.begin, window.end)
}

fn histogram_window(kind: Kind, window: &Window<'_>, notes: &Notes<'_>) -> Option<FloatHistogram> {
    let points = &window.histograms;
    let intervals = points.len() - 1;
    let (first, last) = (points.timestamps[0], points.timestamps[intervals]);
    let mut increase = if intervals > 0 { Some(histogram_increase(kind, points, notes)?) } else { None };
    let zero_at = zero_in_window(kind, points.start_timestamps, window.begin, first);
    let counter = match &increase {
        Some(h) if kind.counter => Some(Counter { first: points.values[0].count, increase: h.count }),
        _ => None,
    };
    let factor =
        Extent { first, last, intervals, begin: window.begin, end: window.end }.factor(kind, counter, zero_at)?;
    if zero_at.is_some() {
        match &mut increase {
            None => increase = Some(points.values[0].as_ref().clone()),
            Some(increase) => add(increase, &points.values[0], notes)?,
        }
    }
    let mut result = increase?;
    result.mul(factor);
    Some(result)
}

/// Last less first, plus what was lost in resets between.
fn histogram_increase(kind: Kind, points: &Histograms<'_>, notes: &Notes<'_>) -> Option<FloatHistogram> {
    let (first, last) = (&points.values[0], &points.values[points.len() - 1]);
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if kind.counter && points.values.iter().any(|h| is_gauge(h)) {
        notes.warn(text::native_histogram_not_counter(notes.metric));
    }
    let mut previous: Arc<FloatHistogram> = first.clone();
    if kind.counter && reset_at(points, 1, first) {
        // Nothing of the first sample is looked at, so its layout does not matter.
        let second = &points.values[1];
        let nothing = FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        };
        previous = Arc::new(nothing);
    }
    let custom = previous.uses_custom_buckets();
    let middle = if kind.counter { &points.values[1..points.len() - 1] } else { &[] };
    if last.uses_custom_buckets() != custom || middle.iter().any(|h| h.uses_custom_buckets() != custom) {
        notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
        return None;
    }
    let schema = middle.iter().map(|h| h.schema).fold(last.schema.min(previous.schema), i32::min);
    let mut increase = last.as_ref().clone();
    increase.reduce_resolution(schema);
    subtract(&mut increase, &previous, notes)?;
    if kind.counter {
        if overlaps(points.timestamps, points.start_timestamps) {
            note_overlap(notes);
        }
        for i in 1..points.len() {
            if reset_at(points, i, &previous) {
                add(&mut increase, &previous, notes)?;
            }
            previous = points.values[i].clone();
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.warn(text::native_histogram_not_gauge(notes.metric));
    }
    increase.counter_reset_hint = CounterResetHint::Gauge;
    increase.compact(0);
    Some(increase)
}

fn reset_at(points: &Histograms<'_>, i: usize, previous: &FloatHistogram) -> bool {
    let start = |i| start_timestamp(points.start_timestamps, i);
    is_start_reset(start(i - 1), points.timestamps[i - 1], start(i), points.timestamps[i])
        || points.values[i].detect_reset(previous)
}

/// `base += other`; `None`, with the warning, if that is impossible.
pub(super) fn add(base: &mut FloatHistogram, other: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    match base.add(other) {
        Ok(combined) if combined.bounds_reconciled => {
            notes.info(text::mismatched_custom_buckets(Operation::Addition));
            Some(())
        }
        Ok(_) => Some(()),
        Err(_) => {
            notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
            None
        }
    }
}

/// `base -= other`; `None`, with the warning, if that is impossible.
pub(super) fn subtract(base: &mut FloatHistogram, other: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    match base.sub(other) {
        Ok(combined) if combined.bounds_reconciled => {
            notes.info(text::mismatched_custom_buckets(Operation::Subtraction));
            Some(())
        }
        Ok(_) => Some(()),
        Err(_) => {
            notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
            None
        }
    }
}

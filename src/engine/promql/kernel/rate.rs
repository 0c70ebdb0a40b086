//! `rate`, `increase` and `delta` with extrapolation to the ends of the window (`extrapolatedRate`).

use std::ops::Range;
use std::sync::Arc;

use multiversion::multiversion;

use super::change::{Kind, add, subtract};
use super::extended;
use super::range::{RangeKernel, Scope, WindowKernel, per_window};
use super::samples::{Cursor, Floats, Histograms, Window, start_timestamp};
use super::types::{Extension, Notes, Value, VectorOut, Windows};
use crate::engine::promql::annotations::text;
use crate::engine::promql::annotations::{Detail, Level};
use crate::model::histogram::{CounterResetHint, FloatHistogram};

impl Kind {
    const RATE: Self = Self { counter: true, per_second: true };
    const INCREASE: Self = Self { counter: true, per_second: false };
    const DELTA: Self = Self { counter: false, per_second: false };
}

pub const RATE: RangeKernel = change(|window, scope| any_window(Kind::RATE, window, scope))
    .sliding(|floats, windows, notes, out| {
        slide(Kind::RATE, floats, windows, notes, out);
        true
    })
    .with_start_timestamps()
    .of_counters();

pub const INCREASE: RangeKernel = change(|window, scope| any_window(Kind::INCREASE, window, scope))
    .sliding(|floats, windows, notes, out| {
        slide(Kind::INCREASE, floats, windows, notes, out);
        true
    })
    .with_start_timestamps()
    .of_counters();

pub const DELTA: RangeKernel =
    change(|window, scope| any_window(Kind::DELTA, window, scope)).sliding(|floats, windows, notes, out| {
        slide(Kind::DELTA, floats, windows, notes, out);
        true
    });

const fn change(window: WindowKernel) -> RangeKernel {
    per_window(window).with_histograms().taking_anchored().taking_smoothed()
}

fn any_window(kind: Kind, window: &Window<'_>, scope: &Scope<'_>) -> Option<Value> {
    match scope.extension {
        Extension::None => self::window(kind, window, scope.notes),
        extension => extended::window(kind, window, extension, scope.notes),
    }
}

/// Items that loops without branches go through at a time.
const BLOCK: usize = 64;

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
    fn of(samples: &Floats<'_>, begin: i64, end: i64) -> Self {
        let intervals = samples.len() - 1;
        Self { first: samples.timestamps[0], last: samples.timestamps[intervals], intervals, begin, end }
    }

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
        if let Some(Counter { first, increase }) = counter
            && may_be_capped(first, increase)
        {
            let to_zero = self.sampled * (first / increase);
            if to_zero < self.to_begin {
                return self.factor_from(kind, to_zero);
            }
        }
        self.factor
    }

    /// Windows that lie over their samples as the one over `window` does and have no resets, each `stride` samples
    /// after the one before.
    fn apply(&self, kind: Kind, values: &[f64], window: Range<usize>, stride: usize, out: &mut [f64]) {
        let mut firsts = values[window.start..].iter().step_by(stride);
        let mut lasts = values[window.end - 1..].iter().step_by(stride);
        let mut first_values = [0.0; BLOCK];
        for out in out.chunks_mut(BLOCK) {
            let first_values = &mut first_values[..out.len()];
            first_values.iter_mut().zip(&mut firsts).for_each(|(first, value)| *first = *value);
            out.iter_mut().zip(&mut lasts).for_each(|(out, value)| *out = *value);
            if !scale_increases(kind.counter, self.factor, first_values, out) {
                for (first, out) in first_values.iter().zip(out) {
                    let counter = kind.counter.then_some(Counter { first: *first, increase: *out });
                    *out *= self.capped(kind, counter);
                }
            }
        }
    }
}

/// Makes of the last values of windows their increases, multiplied by `factor`, and returns true; without the factor
/// and false where the increase of a counter may have to be capped.
#[multiversion(targets("x86_64+avx2"))]
fn scale_increases(counter: bool, factor: f64, firsts: &[f64], lasts: &mut [f64]) -> bool {
    lasts.iter_mut().zip(firsts).for_each(|(last, first)| *last -= first);
    let pairs = lasts.iter().zip(firsts);
    if counter && pairs.fold(false, |any, (increase, first)| any | may_be_capped(*first, *increase)) {
        return false;
    }
    lasts.iter_mut().for_each(|increase| *increase *= factor);
    true
}

/// Most counters are far above what they grow by in a window. The way to its begin is at most 1.1 times the time
/// sampled, so that they reach zero before it.
#[inline(always)]
fn may_be_capped(first: f64, increase: f64) -> bool {
    (increase > 0.0) & (first >= 0.0) & (first < increase * 2.0)
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
    if is_ascending(values) {
        return Vec::new();
    }
    places(values, usize::MAX, |previous, value| value < previous).expect("there is no limit")
}

/// Whether no value is below the one before it: true of most counters.
#[multiversion(targets("x86_64+avx2"))]
fn is_ascending(values: &[f64]) -> bool {
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    !pairs.fold(false, |any, (previous, value)| any | (value < previous))
}

/// Whether all are at this distance: true of most series.
#[multiversion(targets("x86_64+avx2"))]
fn are_apart(timestamps: &[i64], distance: i64) -> bool {
    let pairs = timestamps.iter().zip(timestamps.get(1..).unwrap_or_default());
    pairs.fold(0, |bits, (previous, timestamp)| bits | (timestamp.wrapping_sub(*previous) ^ distance)) == 0
}

/// Where `is` holds for an item and the one before it; `None` if in more places than `most`.
fn places<T: Copy>(items: &[T], most: usize, is: impl Fn(T, T) -> bool) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut from = 1;
    while from < items.len() {
        let to = (from + BLOCK).min(items.len());
        let pairs = || items[from - 1..to - 1].iter().zip(&items[from..to]);
        // Most blocks have none, which one pass without branches tells.
        if pairs().fold(false, |any, (previous, item)| any | is(*previous, *item)) {
            found.extend(pairs().enumerate().filter(|(_, (p, item))| is(**p, **item)).map(|(i, _)| from + i));
            if found.len() > most {
                return None;
            }
        }
        from = to;
    }
    Some(found)
}

/// All windows of a series of floats. Resets are found once; a window then needs its ends and its resets only.
pub fn slide(kind: Kind, floats: Floats<'_>, windows: &Windows, notes: &Notes<'_>, out: &mut VectorOut<'_>) {
    let resets: Vec<usize> = match (kind.counter, floats.start_timestamps.is_empty()) {
        (false, _) => Vec::new(),
        // By far the most common case, kept to what a vectorised loop can do.
        (true, true) => drops(floats.values),
        (true, false) => (1..floats.len()).filter(|i| is_reset(&floats, *i)).collect(),
    };
    let mut resets = Places::new(&resets);
    let regular = Regular::of(&floats, windows);
    let mut breaks = Places::new(regular.as_ref().map_or(&[], |regular| &regular.breaks));
    let may_overlap = kind.counter && overlaps(floats.timestamps, floats.start_timestamps);
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    let mut next = 0;
    while next < windows.steps {
        let k = next;
        next += 1;
        let (begin, end) = (windows.begin(k), windows.end(k));
        cursor.advance(floats.timestamps, begin, end);
        let Cursor { from, to, .. } = cursor;
        if from == to {
            continue;
        }
        let samples = floats.slice(from, to);
        let resets = resets.after(from);
        if let Some(regular) = &regular
            && from > 0
            && samples.len() > 1
        {
            let last = resets.first().copied().unwrap_or(usize::MAX);
            let last = last.min(breaks.after(from - 1).first().map_or(floats.len(), |b| *b) - 1);
            let alike = regular.alike(to, last).min(windows.steps - k);
            if alike > 0 {
                let reach = Extent::of(&samples, begin, end).reach(kind, None).expect("there are two samples");
                let steps = k..k + alike;
                reach.apply(kind, floats.values, from..to, regular.stride, &mut out.values[steps.clone()]);
                out.present[steps].fill(true);
                cursor.skip((alike - 1) * regular.stride, regular.stride);
                next = k + alike;
                continue;
            }
        }
        if may_overlap && overlaps(samples.timestamps, samples.start_timestamps) {
            note_overlap(notes);
        }
        let mut increase = samples.values[samples.len() - 1] - samples.values[0];
        for reset in resets.iter().take_while(|i| **i < to) {
            increase += floats.values[*reset - 1];
        }
        if let Some(value) = extrapolate(kind, &samples, increase, begin, end) {
            out.set(k, value);
        }
    }
}

/// Ascending positions, asked for from left to right.
struct Places<'a>(&'a [usize]);

impl<'a> Places<'a> {
    fn new(places: &'a [usize]) -> Self {
        Self(places)
    }

    fn after(&mut self, position: usize) -> &'a [usize] {
        while let Some((first, rest)) = self.0.split_first()
            && *first <= position
        {
            self.0 = rest;
        }
        self.0
    }
}

/// A series scraped at one distance, and windows that move by a multiple of it: they lie over their samples alike.
struct Regular {
    /// How many samples windows move by.
    stride: usize,
    /// Samples at another distance from the one before.
    breaks: Vec<usize>,
}

impl Regular {
    fn of(floats: &Floats<'_>, windows: &Windows) -> Option<Self> {
        let timestamps = floats.timestamps;
        let middle = timestamps.len() / 2;
        if timestamps.len() < 3 || windows.steps < 3 || !floats.start_timestamps.is_empty() {
            return None;
        }
        let distance = timestamps[middle].wrapping_sub(timestamps[middle - 1]);
        if distance <= 0 || windows.step <= 0 || windows.step % distance != 0 {
            return None;
        }
        // The ends of windows must not be cut off where 64 bits end.
        i64::try_from(windows.steps).ok()?.checked_mul(windows.step)?.checked_add(windows.start)?;
        windows.start.checked_sub(windows.range)?;
        let breaks = match are_apart(timestamps, distance) {
            true => Vec::new(),
            false => places(timestamps, timestamps.len() / 16, |previous, timestamp| {
                timestamp.wrapping_sub(previous) != distance
            })?,
        };
        Some(Self { stride: usize::try_from(windows.step / distance).ok()?, breaks })
    }

    /// How many windows, the first one ending before sample `to`, end before a sample up to `last`.
    fn alike(&self, to: usize, last: usize) -> usize {
        if to > last { 0 } else { (last - to) / self.stride + 1 }
    }
}

fn extrapolate(kind: Kind, samples: &Floats<'_>, increase: f64, begin: i64, end: i64) -> Option<f64> {
    let extent = Extent::of(samples, begin, end);
    let zero_at = zero_in_window(kind, samples.start_timestamps, begin, extent.first);
    let counter = kind.counter.then_some(Counter { first: samples.values[0], increase });
    let factor = extent.factor(kind, counter, zero_at)?;
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

#[cfg(test)]
mod tests;

//! `rate`, `increase` and `delta` of anchored and smoothed selectors: between the ends of the window, without
//! extrapolation (`extendedRate`, `extendedHistogramRate`).

use std::sync::Arc;

use super::change::{Kind, add, subtract};
use super::samples::{Floats, Histograms, Window};
use super::types::{Extension, Notes, Value};
use crate::engine::promql::annotations::text;
use crate::model::histogram::{CounterResetHint, FloatHistogram};

pub fn window(kind: Kind, window: &Window<'_>, extension: Extension, notes: &Notes<'_>) -> Option<Value> {
    if window.is_mixed() {
        notes.warn(text::mixed_floats_histograms(notes.metric));
        return None;
    }
    let smoothed = extension == Extension::Smoothed;
    if window.histograms.is_empty() {
        float_change(kind, window, smoothed).map(Value::Float)
    } else {
        histogram_change(kind, window, smoothed, notes).map(Value::from)
    }
}

/// Positions of the samples that stand for the ends of the window.
fn end_positions(timestamps: &[i64], window: &Window<'_>, smoothed: bool) -> (usize, usize) {
    let last = timestamps.len() - 1;
    let first = timestamps[..last].partition_point(|t| *t <= window.begin).saturating_sub(1);
    if smoothed { (first, timestamps[..last].partition_point(|t| *t < window.end)) } else { (first, last) }
}

/// [`end_positions`]; `None` if there is nothing to measure between them.
fn ends(timestamps: &[i64], window: &Window<'_>, smoothed: bool) -> Option<(usize, usize)> {
    let (first, last) = end_positions(timestamps, window, smoothed);
    let outside = timestamps[last] <= window.begin || (smoothed && timestamps[first] > window.end);
    (!outside).then_some((first, last))
}

/// The floats of an anchored or smoothed range selector that is itself the result of a query: those inside, with
/// values at both ends of the window. The window is one of [`super::samples::for_each_window`].
pub fn between_ends(window: &Window<'_>, extension: Extension) -> Vec<(i64, f64)> {
    let smoothed = extension == Extension::Smoothed;
    let floats = &window.floats;
    if floats.is_empty() {
        return Vec::new();
    }
    let (first, last) = end_positions(floats.timestamps, window, smoothed);
    if floats.timestamps[last] <= window.begin {
        return Vec::new();
    }
    let (left, right) = end_values(floats, first, last, window, smoothed, false);
    let inside = (first..=last).filter(|i| (window.begin + 1..window.end).contains(&floats.timestamps[*i]));
    let mut samples = vec![(window.begin, left)];
    samples.extend(inside.map(|i| (floats.timestamps[i], floats.values[i])));
    samples.push((window.end, right));
    samples
}

/// The values that stand for the ends of the window.
fn end_values(
    floats: &Floats<'_>,
    first: usize,
    last: usize,
    window: &Window<'_>,
    smoothed: bool,
    counter: bool,
) -> (f64, f64) {
    let mut left = floats.values[first];
    if smoothed && floats.timestamps[first] < window.begin {
        left = interpolate(floats, first, window.begin, counter);
    }
    let mut right = floats.values[last];
    if smoothed && last > 0 && floats.timestamps[last] > window.end {
        right = interpolate(floats, last - 1, window.end, counter);
    }
    (left, right)
}

fn float_change(kind: Kind, window: &Window<'_>, smoothed: bool) -> Option<f64> {
    let floats = &window.floats;
    let (mut first, mut last) = ends(floats.timestamps, window, smoothed)?;
    let (left, right) = end_values(floats, first, last, window, smoothed, kind.counter);
    let mut change = right - left;
    if kind.counter {
        // The ends have seen to resets around them; what remains are the samples strictly inside.
        first += usize::from(floats.timestamps[first] <= window.begin);
        let end = last + usize::from(floats.timestamps[last] < window.end);
        last = end.max(first);
        let mut previous = left;
        let mut correction = 0.0;
        for value in floats.values[first..last].iter().chain([&right]) {
            if *value < previous {
                correction += previous;
            }
            previous = *value;
        }
        change += correction;
    }
    Some(if kind.per_second { change / window.range_seconds() } else { change })
}

/// The value at `time` on the line from sample `i` to the next. A counter that was reset between them began at 0.
pub(super) fn interpolate(floats: &Floats<'_>, i: usize, time: i64, counter: bool) -> f64 {
    let (mut from, to) = (floats.values[i], floats.values[i + 1]);
    if counter && to < from {
        from = 0.0;
    }
    let (start, end) = (floats.timestamps[i], floats.timestamps[i + 1]);
    from + (to - from) * (time - start) as f64 / (end - start) as f64
}

/// [`interpolate`] for histograms; `None`, with a warning, if they cannot be combined.
pub(super) fn interpolate_histograms(
    histograms: &Histograms<'_>,
    i: usize,
    time: i64,
    counter: bool,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let (from, to) = (&histograms.values[i], &histograms.values[i + 1]);
    let (start, end) = (histograms.timestamps[i], histograms.timestamps[i + 1]);
    if time == start {
        return Some(from.as_ref().clone());
    }
    let mut result = to.as_ref().clone();
    if time == end {
        return Some(result);
    }
    let fraction = (time - start) as f64 / (end - start) as f64;
    if counter && to.detect_reset(from) {
        result.mul(fraction);
        return Some(result);
    }
    subtract(&mut result, from, notes)?;
    result.mul(fraction);
    add(&mut result, from, notes)?;
    Some(result)
}

fn histogram_change(kind: Kind, window: &Window<'_>, smoothed: bool, notes: &Notes<'_>) -> Option<FloatHistogram> {
    let points = &window.histograms;
    let (first, last) = ends(points.timestamps, window, smoothed)?;
    let used = &points.values[first..=last];
    if !check_used(kind, used, notes) {
        return None;
    }
    let left = if smoothed && points.timestamps[first] < window.begin {
        Arc::new(interpolate_histograms(points, first, window.begin, kind.counter, notes)?)
    } else {
        points.values[first].clone()
    };
    let right = if smoothed && last > 0 && points.timestamps[last] > window.end {
        Arc::new(interpolate_histograms(points, last - 1, window.end, kind.counter, notes)?)
    } else {
        points.values[last].clone()
    };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let gauges = is_gauge(&left) && is_gauge(&right);
    if !kind.counter && !gauges {
        notes.warn(text::native_histogram_not_gauge(notes.metric));
    }
    let mut change = right.as_ref().clone();
    subtract(&mut change, &left, notes)?;
    if kind.counter {
        let began_before = smoothed && points.timestamps[first] < window.begin;
        if let Some(lost) = lost_in_resets(used, &left, &right, began_before, notes)? {
            add(&mut change, &lost, notes)?;
        }
    }
    if kind.per_second {
        change.div(window.range_seconds());
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    Some(change)
}

/// Whether the samples can be combined; warns of what is no counter.
fn check_used(kind: Kind, used: &[Arc<FloatHistogram>], notes: &Notes<'_>) -> bool {
    for histogram in used {
        if histogram.uses_custom_buckets() != used[0].uses_custom_buckets() {
            notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
            return false;
        }
        if kind.counter && histogram.counter_reset_hint == CounterResetHint::Gauge {
            notes.warn(text::native_histogram_not_counter(notes.metric));
        }
    }
    true
}

/// What resets between the ends have taken away. `used` are the samples from first to last, which `left` and
/// `right` stand for; `began_before` says that `left` lies between the first two of them. The outer `None` is
/// a failure that has been warned of.
fn lost_in_resets(
    used: &[Arc<FloatHistogram>],
    left: &Arc<FloatHistogram>,
    right: &FloatHistogram,
    began_before: bool,
    notes: &Notes<'_>,
) -> Option<Option<FloatHistogram>> {
    let (mut next, mut previous) = (1, left);
    if began_before && used.len() > 1 && used[1].detect_reset(&used[0]) {
        // The left end already lies behind this reset.
        previous = &used[1];
        next = 2;
    }
    if next > used.len().saturating_sub(1) {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    // The last sample is left out: `right` is it, or has its hint, and a hint must not count twice.
    let inner = used[next..used.len() - 1].iter();
    let mut collect = |current: &FloatHistogram, previous: &FloatHistogram| {
        if current.detect_reset(previous) {
            match &mut lost {
                None => lost = Some(previous.clone()),
                Some(lost) => add(lost, previous, notes)?,
            }
        }
        Some(())
    };
    for current in inner {
        collect(current, previous)?;
        previous = current;
    }
    collect(right, previous)?;
    Some(lost)
}

/// Interpolation for smoothed instant selectors, where the kind is not known: a counter unless both are gauges.
pub(super) fn interpolate_any(
    histograms: &Histograms<'_>,
    i: usize,
    time: i64,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let (from, to) = (&histograms.values[i], &histograms.values[i + 1]);
    if from.uses_custom_buckets() != to.uses_custom_buckets() {
        notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
        return None;
    }
    let gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    interpolate_histograms(histograms, i, time, !(gauge(from) && gauge(to)), notes)
}

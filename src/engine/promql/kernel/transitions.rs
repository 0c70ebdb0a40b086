//! `changes` and `resets`: counts of transitions between consecutive samples.

use std::sync::Arc;

use super::range::{RangeKernel, per_window};
use super::rate::is_start_reset;
use super::samples::{Cursor, Floats, Window, start_timestamp};
use super::types::{Extension, Value, VectorOut, Windows};
use crate::model::histogram::FloatHistogram;

pub const CHANGES: RangeKernel = per_window(|samples, scope| window(false, samples, scope.extension))
    .sliding(|floats, windows, _, out| slide(false, floats, windows, out))
    .taking_anchored();
pub const RESETS: RangeKernel = per_window(|samples, scope| window(true, samples, scope.extension))
    .sliding(|floats, windows, _, out| slide(true, floats, windows, out))
    .with_start_timestamps()
    .taking_anchored();

/// All windows of a series of floats, from running counts.
fn slide(resets: bool, floats: Floats<'_>, windows: &Windows, out: &mut VectorOut<'_>) -> bool {
    let mut counts = Vec::with_capacity(floats.len());
    let mut count = 0u32;
    for i in 0..floats.len() {
        if i > 0 {
            let start = |i| start_timestamp(floats.start_timestamps, i);
            let (before, now) = (floats.values[i - 1], floats.values[i]);
            let counts = match resets {
                true => {
                    now < before
                        || is_start_reset(start(i - 1), floats.timestamps[i - 1], start(i), floats.timestamps[i])
                }
                false => is_change(before, now),
            };
            count += u32::from(counts);
        }
        counts.push(count);
    }
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    for k in 0..windows.steps {
        cursor.advance(floats.timestamps, windows.begin(k), windows.end(k));
        if cursor.from < cursor.to {
            out.set(k, f64::from(counts[cursor.to - 1] - counts[cursor.from]));
        }
    }
    true
}

fn is_change(before: f64, now: f64) -> bool {
    now != before && !(now.is_nan() && before.is_nan())
}

struct Sample<'a> {
    time: i64,
    start: i64,
    value: f64,
    histogram: Option<&'a Arc<FloatHistogram>>,
}

/// One window with any samples. An anchored window begins with the last sample before it.
fn window(resets: bool, window: &Window<'_>, extension: Extension) -> Option<Value> {
    let samples = merge(window);
    let mut first = 0;
    if extension == Extension::Anchored {
        let inside = samples.partition_point(|s| s.time <= window.begin);
        if inside == samples.len() {
            return None;
        }
        first = inside.saturating_sub(1);
    }
    let transitions = samples[first..].windows(2).filter(|pair| {
        let (before, now) = (&pair[0], &pair[1]);
        let restarted = || is_start_reset(before.start, before.time, now.start, now.time);
        match (before.histogram, now.histogram, resets) {
            (None, None, true) => now.value < before.value || restarted(),
            (None, None, false) => is_change(before.value, now.value),
            (Some(b), Some(n), true) => restarted() || n.detect_reset(b),
            (Some(b), Some(n), false) => !n.equals(b),
            _ => true,
        }
    });
    Some(Value::Float(transitions.count() as f64))
}

/// Floats and histograms in the order of time.
fn merge<'a>(window: &Window<'a>) -> Vec<Sample<'a>> {
    let (floats, histograms) = (window.floats, window.histograms);
    let mut samples = Vec::with_capacity(floats.len() + histograms.len());
    samples.extend((0..floats.len()).map(|i| Sample {
        time: floats.timestamps[i],
        start: start_timestamp(floats.start_timestamps, i),
        value: floats.values[i],
        histogram: None,
    }));
    samples.extend((0..histograms.len()).map(|i| Sample {
        time: histograms.timestamps[i],
        start: start_timestamp(histograms.start_timestamps, i),
        value: 0.0,
        histogram: Some(&histograms.values[i]),
    }));
    samples.sort_by_key(|s| s.time);
    samples
}

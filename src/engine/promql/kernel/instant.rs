//! Instant selectors: the newest sample of the lookback window, or a smoothed value.

use super::extended::{interpolate, interpolate_any};
use super::samples::{Cursor, Samples, Window, for_each_window, start_timestamp};
use super::types::{Extension, Notes, RangeOptions, SeriesIn, Value, VectorOut, Windows};
use crate::engine::promql::annotations::text;
use crate::model::histogram::CounterResetHint;
use crate::model::sample::is_stale;

/// What is taken of the sample that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    Value,
    /// `timestamp(selector)`: its time in seconds.
    Timestamp,
    /// `start_timestamp(selector)`: its start timestamp in seconds, 0 where unknown.
    StartTimestamp,
    /// The time of a float; a histogram is taken itself.
    FloatTimestamp,
}

/// The newest sample in `(end - range, end]` for every step, where `range` is the lookback delta. If the newest
/// one is a staleness marker the step has no value.
pub fn select(take: Take, series: &SeriesIn<'_>, windows: &Windows, out: &mut VectorOut<'_>) {
    out.clear();
    let mut cursor = Cursor::seek(series.timestamps, windows.begin(0));
    for k in 0..windows.steps {
        cursor.advance(series.timestamps, windows.begin(k), windows.end(k));
        if cursor.from == cursor.to {
            continue;
        }
        let newest = cursor.to - 1;
        let histogram = series.histograms.get(newest).and_then(Option::as_ref);
        let stale = match histogram {
            Some(histogram) => histogram.is_stale(),
            None => is_stale(series.values[newest]),
        };
        if stale {
            continue;
        }
        match (take, histogram) {
            (Take::Timestamp, _) | (Take::FloatTimestamp, None) => {
                out.set(k, series.timestamps[newest] as f64 / 1000.0)
            }
            (Take::StartTimestamp, _) => {
                out.set(k, start_timestamp(series.start_timestamps, newest) as f64 / 1000.0);
            }
            (Take::Value | Take::FloatTimestamp, Some(histogram)) => out.set_histogram(k, histogram.clone()),
            (Take::Value, None) => out.set(k, series.values[newest]),
        }
    }
}

/// A smoothed instant selector: interpolated between the samples around the time, each within `lookback_ms`;
/// the sample before carries on if there is none after. `windows.range` is not used.
pub fn select_smoothed(
    series: &SeriesIn<'_>,
    windows: &Windows,
    lookback_ms: i64,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) {
    out.clear();
    let samples = Samples::new(series, false);
    let windows = Windows { range: 0, ..*windows };
    let options = RangeOptions { extension: Extension::Smoothed, lookback_ms, use_start_timestamps: false };
    for_each_window(&samples, &windows, &options, |k, window| {
        if let Some(value) = smooth(&window, notes) {
            out.set_value(k, value);
        }
    });
}

fn smooth(window: &Window<'_>, notes: &Notes<'_>) -> Option<Value> {
    if window.is_mixed() {
        notes.warn(text::mixed_floats_histograms(notes.metric));
        return None;
    }
    let time = window.end;
    if window.histograms.is_empty() {
        let floats = &window.floats;
        let next = floats.timestamps.partition_point(|t| *t < time);
        return match (next.checked_sub(1), floats.timestamps.get(next)) {
            (_, Some(exact)) if *exact == time => Some(floats.values[next]),
            (Some(before), Some(_)) => Some(interpolate(floats, before, time, false)),
            (Some(before), None) => Some(floats.values[before]),
            (None, _) => None,
        }
        .map(Value::Float);
    }
    let histograms = &window.histograms;
    let next = histograms.timestamps.partition_point(|t| *t < time);
    match (next.checked_sub(1), histograms.timestamps.get(next)) {
        (_, Some(exact)) if *exact == time => Some(Value::Histogram(histograms.values[next].clone())),
        (Some(before), Some(_)) => interpolate_any(histograms, before, time, notes).map(Value::from),
        (Some(before), None) => {
            let mut carried = histograms.values[before].as_ref().clone();
            // The hint speaks of the sample before, not of the value.
            carried.counter_reset_hint = CounterResetHint::Unknown;
            Some(carried.into())
        }
        (None, _) => None,
    }
}

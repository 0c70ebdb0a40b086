//! `irate` and `idelta`: the last two samples of a window (`instantValue`).

use std::sync::Arc;

use super::change::subtract;
use super::range::Scope;
use super::rate::is_start_reset;
use super::samples::{Window, start_timestamp};
use super::types::{Notes, Value};
use crate::engine::promql::annotations::text;
use crate::model::histogram::{CounterResetHint, FloatHistogram};

struct Sample<'a> {
    time: i64,
    start: i64,
    value: f64,
    histogram: Option<&'a Arc<FloatHistogram>>,
}

pub fn irate(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    change(true, window, scope.notes)
}

pub fn idelta(window: &Window<'_>, scope: &mut Scope<'_>) -> Option<Value> {
    change(false, window, scope.notes)
}

fn change(rate: bool, window: &Window<'_>, notes: &Notes<'_>) -> Option<Value> {
    let (before, last) = last_two(window)?;
    if last.time == before.time {
        return None;
    }
    let per_second = (last.time - before.time) as f64 / 1000.0;
    let reset = is_start_reset(before.start, before.time, last.start, last.time);
    match (before.histogram, last.histogram) {
        (None, None) => {
            // After a reset the counter has gone up by all it shows.
            let reset = rate && (last.value < before.value || reset);
            let change = if reset { last.value } else { last.value - before.value };
            Some(Value::Float(if rate { change / per_second } else { change }))
        }
        (Some(before), Some(last)) => {
            let gauges = [before, last].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
            if rate && gauges.contains(&true) {
                notes.warn(text::native_histogram_not_counter(notes.metric));
            }
            if !rate && gauges.contains(&false) {
                notes.warn(text::native_histogram_not_gauge(notes.metric));
            }
            let mut change = last.as_ref().clone();
            if !rate || (!reset && !last.detect_reset(before)) {
                subtract(&mut change, before, notes)?;
            }
            change.counter_reset_hint = CounterResetHint::Gauge;
            change.compact(0);
            if rate {
                change.div(per_second);
            }
            Some(change.into())
        }
        _ => {
            notes.warn(text::mixed_floats_histograms(notes.metric));
            None
        }
    }
}

fn last_two<'a>(window: &Window<'a>) -> Option<(Sample<'a>, Sample<'a>)> {
    let (floats, histograms) = (window.floats, window.histograms);
    let (mut f, mut h) = (floats.len(), histograms.len());
    let mut newest = || {
        let take_float = match (f.checked_sub(1), h.checked_sub(1)) {
            (Some(f), Some(h)) => floats.timestamps[f] > histograms.timestamps[h],
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return None,
        };
        Some(if take_float {
            f -= 1;
            Sample {
                time: floats.timestamps[f],
                start: start_timestamp(floats.start_timestamps, f),
                value: floats.values[f],
                histogram: None,
            }
        } else {
            h -= 1;
            Sample {
                time: histograms.timestamps[h],
                start: start_timestamp(histograms.start_timestamps, h),
                value: 0.0,
                histogram: Some(&histograms.values[h]),
            }
        })
    };
    let last = newest()?;
    Some((newest()?, last))
}

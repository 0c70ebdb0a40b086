//! The samples of one series, floats and histograms apart, and the windows that slide over them.

use std::borrow::Cow;
use std::sync::Arc;

use multiversion::multiversion;

use super::types::{Extension, RangeOptions, SeriesIn, Windows};
use crate::model::histogram::FloatHistogram;
use crate::model::sample::is_stale;

/// Floats, ascending in time. `start_timestamps` is empty or as long as the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floats<'a> {
    pub timestamps: &'a [i64],
    pub values: &'a [f64],
    pub start_timestamps: &'a [i64],
}

impl<'a> Floats<'a> {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn slice(&self, from: usize, to: usize) -> Floats<'a> {
        let start_timestamps =
            if self.start_timestamps.is_empty() { &[] } else { &self.start_timestamps[from..to] };
        Floats { timestamps: &self.timestamps[from..to], values: &self.values[from..to], start_timestamps }
    }
}

/// Histograms, ascending in time. `start_timestamps` is empty or as long as the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histograms<'a> {
    pub timestamps: &'a [i64],
    pub values: &'a [Arc<FloatHistogram>],
    pub start_timestamps: &'a [i64],
}

impl<'a> Histograms<'a> {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn slice(&self, from: usize, to: usize) -> Histograms<'a> {
        let start_timestamps =
            if self.start_timestamps.is_empty() { &[] } else { &self.start_timestamps[from..to] };
        Histograms { timestamps: &self.timestamps[from..to], values: &self.values[from..to], start_timestamps }
    }
}

/// The start timestamp of sample `i`, 0 where unknown.
pub fn start_timestamp(start_timestamps: &[i64], i: usize) -> i64 {
    start_timestamps.get(i).copied().unwrap_or(0)
}

/// A series without staleness markers. Borrows from the input where that is floats only and has none.
#[derive(Debug, Default)]
pub struct Samples<'a> {
    timestamps: Cow<'a, [i64]>,
    values: Cow<'a, [f64]>,
    start_timestamps: Cow<'a, [i64]>,
    histogram_timestamps: Vec<i64>,
    histograms: Vec<Arc<FloatHistogram>>,
    histogram_start_timestamps: Vec<i64>,
}

impl<'a> Samples<'a> {
    /// Start timestamps are kept only if `use_start_timestamps`.
    pub fn new(series: &SeriesIn<'a>, use_start_timestamps: bool) -> Self {
        let start_timestamps = if use_start_timestamps { series.start_timestamps } else { &[] };
        let plain = series.histograms.is_empty() && !has_stale(series.values);
        if plain {
            return Self {
                timestamps: Cow::Borrowed(series.timestamps),
                values: Cow::Borrowed(series.values),
                start_timestamps: Cow::Borrowed(start_timestamps),
                ..Self::default()
            };
        }
        let mut samples = Self::default();
        for (i, timestamp) in series.timestamps.iter().enumerate() {
            let start = start_timestamps.get(i).copied();
            match series.histograms.get(i).and_then(Option::as_ref) {
                Some(histogram) if histogram.is_stale() => {}
                Some(histogram) => {
                    samples.histogram_timestamps.push(*timestamp);
                    samples.histograms.push(histogram.clone());
                    samples.histogram_start_timestamps.extend(start);
                }
                None if is_stale(series.values[i]) => {}
                None => {
                    samples.timestamps.to_mut().push(*timestamp);
                    samples.values.to_mut().push(series.values[i]);
                    samples.start_timestamps.to_mut().extend(start);
                }
            }
        }
        samples
    }

    pub fn floats(&self) -> Floats<'_> {
        Floats { timestamps: &self.timestamps, values: &self.values, start_timestamps: &self.start_timestamps }
    }

    pub fn histograms(&self) -> Histograms<'_> {
        Histograms {
            timestamps: &self.histogram_timestamps,
            values: &self.histograms,
            start_timestamps: &self.histogram_start_timestamps,
        }
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }
}

/// In blocks without branches: most series have no staleness marker.
#[multiversion(targets("x86_64+avx2"))]
fn has_stale(values: &[f64]) -> bool {
    values.chunks(64).any(|block| block.iter().fold(false, |any, value| any | is_stale(*value)))
}

/// The samples of one window `(begin, end]`; with an extension also samples around it.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    pub floats: Floats<'a>,
    pub histograms: Histograms<'a>,
    pub begin: i64,
    pub end: i64,
    pub eval_time: i64,
}

impl Window<'_> {
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }

    pub fn range_seconds(&self) -> f64 {
        (self.end - self.begin) as f64 / 1000.0
    }
}

/// Positions `[from, to)` of samples in a sliding window `(begin, end]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    pub from: usize,
    pub to: usize,
    /// How far the ends moved last time; regular samples make it the same again.
    from_moved: usize,
    to_moved: usize,
}

impl Cursor {
    /// Moves on to a window that begins and ends no earlier than the one before.
    #[inline]
    pub fn advance(&mut self, timestamps: &[i64], begin: i64, end: i64) {
        let (from, to) = (self.from, self.to);
        self.to = advanced(timestamps, to, to + self.to_moved, end);
        self.from = advanced(&timestamps[..self.to], from, from + self.from_moved, begin);
        (self.from_moved, self.to_moved) = (self.from - from, self.to - to);
    }

    /// Past windows that were dealt with otherwise: `moved` samples on, `stride` by the last of them.
    pub fn skip(&mut self, moved: usize, stride: usize) {
        self.from += moved;
        self.to += moved;
        (self.from_moved, self.to_moved) = (stride, stride);
    }

    /// The first window may lie far into the series; finds it by bisection.
    pub fn seek(timestamps: &[i64], begin: i64) -> Self {
        let from = timestamps.partition_point(|t| *t <= begin);
        Self { from, to: from, ..Self::default() }
    }
}

/// The first position from `at` on whose timestamp is after `time`, or the end; `guess` is looked at first.
#[inline]
fn advanced(timestamps: &[i64], at: usize, guess: usize, time: i64) -> usize {
    if guess > at && guess <= timestamps.len() && timestamps[guess - 1] <= time {
        if timestamps.get(guess).is_none_or(|next| *next > time) {
            return guess;
        }
        return guess + timestamps[guess..].iter().take_while(|t| **t <= time).count();
    }
    at + timestamps[at..].iter().take_while(|t| **t <= time).count()
}

/// Calls `visit` with every window that has samples.
pub fn for_each_window(
    samples: &Samples<'_>,
    windows: &Windows,
    options: &RangeOptions,
    mut visit: impl FnMut(usize, Window<'_>),
) {
    let (before, after) = match options.extension {
        Extension::None => (0, 0),
        Extension::Anchored => (options.lookback_ms, 0),
        Extension::Smoothed => (options.lookback_ms, options.lookback_ms),
    };
    let (floats, histograms) = (samples.floats(), samples.histograms());
    let first = windows.begin(0).saturating_sub(before);
    let mut float_cursor = Cursor::seek(floats.timestamps, first);
    let mut histogram_cursor = Cursor::seek(histograms.timestamps, first);
    for k in 0..windows.steps {
        let (begin, end) = (windows.begin(k), windows.end(k));
        let (from, to) = (begin.saturating_sub(before), end.saturating_add(after));
        float_cursor.advance(floats.timestamps, from, to);
        histogram_cursor.advance(histograms.timestamps, from, to);
        let window = Window {
            floats: floats.slice(float_cursor.from, float_cursor.to),
            histograms: histograms.slice(histogram_cursor.from, histogram_cursor.to),
            begin,
            end,
            eval_time: windows.eval_time(k),
        };
        if !window.is_empty() {
            visit(k, window);
        }
    }
}

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::error::DataFusionError;

use super::Counted;
use super::steps::BySteps;
use crate::engine::promql::kernel::samples::Cursor;
use crate::engine::promql::kernel::types::{SeriesIn, Windows};
use crate::model::histogram::FloatHistogram;
use crate::model::sample::is_stale;

/// Counts rows of a batch and tells the tally at its end.
pub struct RowCounter<'a> {
    counted: &'a Counted,
    detailed: bool,
    limit: u64,
    /// What the query held at most before this batch.
    held: u64,
    /// Points of the place at that time.
    start: u64,

    floats: u64,
    peak: u64,
    by_step: BySteps,
    /// Sizes of the samples of a row, summed up: windows are differences of two.
    sums: Vec<u64>,
}

impl<'a> RowCounter<'a> {
    pub(super) fn new(counted: &'a Counted) -> Self {
        let detailed = counted.tally.detailed;
        Self {
            counted,
            detailed,
            limit: counted.tally.limit,
            held: counted.tally.root.peak(),
            start: counted.place.points.load(Ordering::Relaxed),
            floats: 0,
            peak: 0,
            by_step: BySteps::new(if detailed { counted.place.steps } else { 0 }),
            sums: vec![],
        }
    }

    /// A row of an instant selector, by its result.
    pub fn instant(&mut self, present: &[bool], histograms: &[Option<Arc<FloatHistogram>>]) {
        let points = self.size(present, histograms);
        self.add(points);
        if self.detailed {
            for (step, present) in present.iter().enumerate() {
                let histogram = histograms.get(step).and_then(Option::as_ref);
                let size = histogram.map_or(u64::from(*present), |h| h.size_in_samples() as u64);
                self.by_step.queryable[step] += size;
                self.by_step.read[step] += size;
            }
        }
    }

    /// A row of a range function, by its samples, windows and result.
    pub fn windows(
        &mut self,
        series: &SeriesIn<'_>,
        windows: &Windows,
        present: &[bool],
        histograms: &[Option<Arc<FloatHistogram>>],
    ) {
        let points = self.size(present, histograms);
        let samples = series.timestamps.len() as u64;
        let before = self.add(points);
        let most = self.held + (before - self.start) + points + samples;
        if self.detailed || most > self.limit || !series.histograms.is_empty() {
            let (largest, last) = self.measure(series, windows);
            self.peak = self.peak.max(before + largest).max(before + points + last);
        }
    }

    /// Adds points to the place, row by row: so rows have an order among all partitions, as in Prometheus, and what
    /// is held beside a window are the points of the rows before. Returns how many these are.
    fn add(&self, points: u64) -> u64 {
        self.counted.place.points.fetch_add(points, Ordering::Relaxed)
    }

    /// The size of a row's result, whose floats are counted.
    fn size(&mut self, present: &[bool], histograms: &[Option<Arc<FloatHistogram>>]) -> u64 {
        let floats = present.iter().map(|p| u64::from(*p)).sum::<u64>();
        self.floats += floats;
        floats + histograms.iter().flatten().map(|h| h.size_in_samples() as u64).sum::<u64>()
    }

    /// Samples that stay.
    pub(super) fn whole(&mut self, samples: u64) {
        self.add(samples);
        if self.detailed {
            self.by_step.queryable[0] += samples;
            self.by_step.read[0] += samples;
        }
    }

    /// The sizes of the largest window and of the last.
    fn measure(&mut self, series: &SeriesIn<'_>, windows: &Windows) -> (u64, u64) {
        self.sums.clear();
        self.sums.push(0);
        let mut sum = 0;
        for (i, value) in series.values.iter().enumerate() {
            sum += match series.histograms.get(i).and_then(Option::as_ref) {
                Some(histogram) if histogram.is_stale() => 0,
                Some(histogram) => histogram.size_in_samples() as u64,
                None => u64::from(!is_stale(*value)),
            };
            self.sums.push(sum);
        }
        let (mut largest, mut last) = (0, 0);
        let mut cursor = Cursor::seek(series.timestamps, windows.begin(0));
        for step in 0..windows.steps {
            let seen = cursor.to;
            cursor.advance(series.timestamps, windows.begin(step), windows.end(step));
            let Cursor { from, to, .. } = cursor;
            last = self.sums[to] - self.sums[from];
            largest = largest.max(last);
            if self.detailed {
                self.by_step.queryable[step] += last;
                self.by_step.read[step] += self.sums[to] - self.sums[from.max(seen)];
            }
        }
        (largest, last)
    }

    /// Tells the tally, and fails where the query now holds too much.
    pub fn finish(self) -> Result<(), DataFusionError> {
        let Counted { tally, place } = self.counted;
        place.floats.fetch_add(self.floats, Ordering::Relaxed);
        place.peak.fetch_max(self.peak, Ordering::Relaxed);
        if self.detailed {
            place.by_step.lock().expect("no panic while the lock is held").add(&self.by_step);
        }
        tally.check()
    }
}

//! Some series of a day: which of which sources, and their samples once they are decoded. Series come by (metric, id) over
//! all sources, so those of two blocks that overlap, or of two heads of one series, are joined here.

use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;

use crate::error::Result;
use crate::ingest::import::sample::Sample;
use crate::ingest::import::source::{Listed, Scratch, Source};
use crate::ingest::tsdb::chunk;
use crate::model::histogram::CounterResetHint;
use crate::model::labels::Labels;
use crate::model::sample::TimeRange;
use crate::storage::types::{Run, RunSlice};

/// Samples of a batch, about: some megabytes.
const BATCH_SAMPLES: u64 = 256 << 10;
/// Series of a batch, at most.
const BATCH_SERIES: usize = 4096;

/// Series to decode.
#[derive(Debug, Default)]
pub struct Batch {
    series: Vec<Wanted>,
    /// Source and place, for the series in turn.
    places: Vec<(u32, u64)>,
}

#[derive(Debug)]
struct Wanted {
    metric: Arc<str>,
    id: i64,
    /// Behind its places.
    end: usize,
}

/// Yields the series of a day of all sources as batches.
pub struct Batches<I: Iterator> {
    lists: Vec<Peekable<I>>,
}

/// The batches of a day of some sources.
pub fn batches(sources: &[Arc<Source>], day: i32) -> Batches<impl Iterator<Item = Listed<'_>>> {
    Batches { lists: sources.iter().map(|source| source.listed(day).peekable()).collect() }
}

impl<'a, I: Iterator<Item = Listed<'a>>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut samples = 0;
        while samples < BATCH_SAMPLES && batch.series.len() < BATCH_SERIES {
            let heads = self.lists.iter_mut().filter_map(|list| list.peek());
            let first = heads.map(|head| (&**head.metric, head.id)).min();
            let Some((metric, id)) = first else { break };
            let mut wanted: Option<Arc<str>> = None;
            for (number, list) in self.lists.iter_mut().enumerate() {
                while let Some(listed) = list.next_if(|head| head.id == id && &**head.metric == metric) {
                    samples += listed.weight;
                    batch.places.push((number as u32, listed.place));
                    wanted.get_or_insert_with(|| listed.metric.clone());
                }
            }
            let metric = wanted.expect("the first series is that of a list");
            batch.series.push(Wanted { metric, id, end: batch.places.len() });
        }
        (!batch.series.is_empty()).then_some(batch)
    }
}

/// Decoded series, by (metric, id).
#[derive(Debug, Default)]
pub struct Decoded {
    pub series: Vec<DecodedSeries>,
    /// Samples that contradict others of the same series and time, which stay.
    pub contradictions: u64,
    /// Of all series behind each other.
    samples: Run,
}

#[derive(Debug)]
pub struct DecodedSeries {
    pub metric: Arc<str>,
    pub id: i64,
    start: usize,
    end: usize,
    pub has_histograms: bool,
    pub has_start_timestamps: bool,
    /// Where the lake does not list the series for the day yet.
    pub labels: Option<Labels>,
}

impl Decoded {
    /// One without series that knows of as many contradictions.
    pub fn like(other: &Self) -> Self {
        Self { contradictions: other.contradictions, ..Self::default() }
    }

    pub fn run(&self, series: &DecodedSeries) -> RunSlice<'_> {
        let range = series.start..series.end;
        let (timestamps, values) = (&self.samples.timestamps[range.clone()], &self.samples.values[range.clone()]);
        RunSlice {
            timestamps,
            values,
            histograms: if series.has_histograms { &self.samples.histograms[range.clone()] } else { &[] },
            start_timestamps: if series.has_start_timestamps { &self.samples.start_timestamps[range] } else { &[] },
        }
    }

    pub fn samples(&self) -> usize {
        self.samples.timestamps.len()
    }

    /// Appends those samples of a series that are to be kept, if there are any.
    pub fn push(&mut self, series: &DecodedSeries, run: RunSlice<'_>, keep: impl Fn(usize) -> bool) {
        let (start, out) = (self.samples.timestamps.len(), &mut self.samples);
        for at in (0..run.timestamps.len()).filter(|at| keep(*at)) {
            if let Some(Some(histogram)) = run.histograms.get(at) {
                out.histograms.resize(out.timestamps.len(), None);
                out.histograms.push(Some(histogram.clone()));
            }
            let start_timestamp = run.start_timestamps.get(at).copied().unwrap_or(0);
            chunk::push(out, run.timestamps[at], run.values[at], start_timestamp);
        }
        chunk::even(out);
        let end = out.timestamps.len();
        if start == end {
            return;
        }
        let some_histogram = out.histograms.get(start..).unwrap_or_default().iter().any(Option::is_some);
        let some_start = out.start_timestamps.get(start..).unwrap_or_default().iter().any(|start| *start != 0);
        self.series.push(DecodedSeries {
            metric: series.metric.clone(),
            id: series.id,
            start,
            end,
            has_histograms: some_histogram,
            has_start_timestamps: some_start,
            labels: series.labels.clone(),
        });
    }
}

impl Batch {
    /// Reads all series within a range. `listed` are those the lake knows of the day.
    pub fn decode(&self, sources: &[Arc<Source>], range: TimeRange, listed: &HashSet<i64>) -> Result<Decoded> {
        let mut decoded = Decoded::default();
        let mut scratches: Vec<Scratch> = sources.iter().map(|_| Scratch::default()).collect();
        let run = &mut decoded.samples;
        let mut first_place = 0;
        for wanted in &self.series {
            let places = &self.places[first_place..wanted.end];
            first_place = wanted.end;
            let start = run.timestamps.len();
            for (number, place) in places {
                let (source, scratch) = (&sources[*number as usize], &mut scratches[*number as usize]);
                source.read(*place, range, scratch, run)?;
            }
            if !run.timestamps[start..].is_sorted_by(|a, b| a < b) {
                decoded.contradictions += put_in_order(run, start);
            }
            let end = run.timestamps.len();
            if start == end {
                continue;
            }
            let labels = match listed.contains(&wanted.id) {
                true => None,
                false => {
                    let (number, place) = places[0];
                    Some(sources[number as usize].labels(place, &mut scratches[number as usize])?)
                }
            };
            let histograms = run.histograms.get(start..).unwrap_or_default();
            let starts = run.start_timestamps.get(start..).unwrap_or_default();
            decoded.series.push(DecodedSeries {
                metric: wanted.metric.clone(),
                id: wanted.id,
                start,
                end,
                has_histograms: histograms.iter().any(Option::is_some),
                has_start_timestamps: starts.iter().any(|start| *start != 0),
                labels,
            });
        }
        Ok(decoded)
    }
}

/// Sorts the samples from `start` on by time. Of equal times the first stays, as Prometheus keeps what it had. What was
/// known of counter resets between neighbours is not known of new ones. Returns how many of the others had another value.
fn put_in_order(run: &mut Run, start: usize) -> u64 {
    let mut order: Vec<usize> = (start..run.timestamps.len()).collect();
    order.sort_by_key(|at| run.timestamps[*at]);
    let mut contradictions = 0;
    let samples = RunSlice::from(&*run);
    order.dedup_by(|later, first| {
        let is_twice = samples.timestamps[*later] == samples.timestamps[*first];
        if is_twice && !Sample::of(samples, *later).equals(Sample::of(samples, *first)) {
            contradictions += 1;
        }
        is_twice
    });
    let timestamps: Vec<i64> = order.iter().map(|at| run.timestamps[*at]).collect();
    let values: Vec<f64> = order.iter().map(|at| run.values[*at]).collect();
    if !run.histograms.is_empty() {
        let mut histograms: Vec<_> = order.iter().map(|at| run.histograms[*at].take()).collect();
        for histogram in histograms.iter_mut().flatten() {
            if matches!(histogram.counter_reset_hint, CounterResetHint::NotReset | CounterResetHint::Reset) {
                Arc::make_mut(histogram).counter_reset_hint = CounterResetHint::Unknown;
            }
        }
        run.histograms.truncate(start);
        run.histograms.extend(histograms);
    }
    if !run.start_timestamps.is_empty() {
        let starts: Vec<i64> = order.iter().map(|at| run.start_timestamps[*at]).collect();
        run.start_timestamps.truncate(start);
        run.start_timestamps.extend(starts);
    }
    run.timestamps.truncate(start);
    run.timestamps.extend(timestamps);
    run.values.truncate(start);
    run.values.extend(values);
    contradictions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::FloatHistogram;

    #[test]
    fn samples_are_put_in_order_and_the_first_of_a_time_stays() {
        let histogram = |count: f64| {
            let counter_reset_hint = CounterResetHint::NotReset;
            Some(Arc::new(FloatHistogram { count, counter_reset_hint, ..FloatHistogram::default() }))
        };
        let mut run = Run {
            timestamps: vec![9, 3, 1, 3, 2],
            values: vec![9.0, 3.0, 1.0, 3.5, 2.0],
            histograms: vec![histogram(9.0), histogram(3.0), None, histogram(3.5), None],
            start_timestamps: vec![90, 30, 10, 35, 20],
        };
        assert_eq!(put_in_order(&mut run, 1), 1);
        assert_eq!(run.timestamps, [9, 1, 2, 3]);
        assert_eq!(run.values, [9.0, 1.0, 2.0, 3.0]);
        assert_eq!(run.start_timestamps, [90, 10, 20, 30]);
        let counts: Vec<Option<f64>> = run.histograms.iter().map(|h| h.as_ref().map(|h| h.count)).collect();
        assert_eq!(counts, [Some(9.0), None, None, Some(3.0)]);
        let hints: Vec<_> = run.histograms.iter().flatten().map(|h| h.counter_reset_hint).collect();
        assert_eq!(hints, [CounterResetHint::NotReset, CounterResetHint::Unknown]);
    }
}

//! `histogram_quantile` and `histogram_fraction`: a group is everything with the same labels but `le`, that is
//! the buckets of a classic histogram, or a native histogram.

use std::ops::Range;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};

use super::groups::{param, put_floats, take_floats};
use super::{Aggregation, Group, ParameterValues, Row, Settings};
use crate::engine::promql::kernel::buckets::{
    self, BucketRow, EvalTimes, HistogramRows, check_quantiles, parse_bound,
};
use crate::engine::promql::kernel::types::{Mask, Param, VectorIn, VectorOut};
use crate::engine::promql::plan::samples::{decode, encode};
use crate::model::histogram::FloatHistogram;

#[derive(Default)]
pub struct Buckets {
    parameters: Vec<ParameterValues>,
    metric: String,
    classic: Vec<Classic>,
    /// By step; empty where the group has no native histogram.
    native: Vec<Option<Arc<FloatHistogram>>>,
    /// Bytes of all of these.
    bytes: usize,
}

/// Buckets at steps that are evaluated between two looks at whether anybody still waits.
const BUCKETS_PER_CHECK: usize = 1 << 20;

/// One bucket at all steps.
struct Classic {
    bound: f64,
    counts: Vec<f64>,
    present: Vec<bool>,
}

impl Classic {
    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.capacity() * 8 + self.present.capacity()
    }
}

fn histogram_bytes(histogram: &FloatHistogram) -> usize {
    // A histogram's size in samples is that of samples of sixteen bytes.
    histogram.size_in_samples() * 16
}

impl Group for Buckets {
    fn new(_settings: &Settings) -> Self {
        Self::default()
    }

    fn update(&mut self, row: &Row<'_>, settings: &Settings) -> Result<()> {
        let steps = settings.grid.steps;
        if self.parameters.is_empty() {
            self.parameters = row.parameters.to_vec();
            self.metric = row.metric.to_string();
            self.bytes += self.parameter_bytes();
        }
        for step in 0..steps {
            if let Some(histogram) = row.vector.histogram(step) {
                if self.native.is_empty() {
                    self.native = vec![None; steps];
                    self.bytes += steps * size_of::<Option<Arc<FloatHistogram>>>();
                }
                self.bytes += histogram_bytes(histogram);
                if let Some(before) = self.native[step].replace(histogram.clone()) {
                    self.bytes = self.bytes.saturating_sub(histogram_bytes(&before));
                }
            }
        }
        let present: Vec<bool> =
            (0..steps).map(|k| row.vector.histogram(k).is_none() && row.vector.float(k).is_some()).collect();
        if present.contains(&true)
            && let Some(bound) = parse_bound(row.le, &settings.sink.notes(row.metric))
        {
            let bucket = Classic { bound, counts: row.vector.values.to_vec(), present };
            self.bytes += bucket.size_bytes();
            self.classic.push(bucket);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_floats(out, &[self.parameters.len() as f64, self.metric.len() as f64, self.classic.len() as f64]);
        self.parameters.iter().for_each(|p| put_floats(out, p));
        out.extend(self.metric.as_bytes());
        for bucket in &self.classic {
            put_floats(out, &[bucket.bound]);
            put_floats(out, &bucket.counts);
            let present: Vec<f64> = bucket.present.iter().map(|p| f64::from(u8::from(*p))).collect();
            put_floats(out, &present);
        }
        let native: Vec<Vec<u8>> = self.native.iter().map(|h| h.as_ref().map_or(vec![], |h| encode(h))).collect();
        let lengths: Vec<f64> = native.iter().map(|n| n.len() as f64).collect();
        put_floats(out, &lengths);
        native.iter().for_each(|bytes| out.extend(bytes));
    }

    fn decode(mut bytes: &[u8], _settings: &Settings) -> Result<Self> {
        let head = take_floats(&mut bytes)?;
        let parameters = (0..head[0] as usize).map(|_| take_floats(&mut bytes)).collect::<Result<_>>()?;
        let metric = String::from_utf8_lossy(take_bytes(&mut bytes, head[1] as usize)?).into_owned();
        let mut classic = vec![];
        for _ in 0..head[2] as usize {
            let bound = take_floats(&mut bytes)?.first().copied().unwrap_or(f64::NAN);
            let counts = take_floats(&mut bytes)?;
            let present = take_floats(&mut bytes)?.into_iter().map(|p| p != 0.0).collect();
            classic.push(Classic { bound, counts, present });
        }
        let mut native = vec![];
        for length in take_floats(&mut bytes)? {
            let histogram = take_bytes(&mut bytes, length as usize)?;
            native.push(if histogram.is_empty() { None } else { Some(Arc::new(decode(histogram)?)) });
        }
        let mut group = Self { parameters, metric, classic, native, bytes: 0 };
        group.bytes = group.parameter_bytes()
            + group.classic.iter().map(Classic::size_bytes).sum::<usize>()
            + group.native.len() * size_of::<Option<Arc<FloatHistogram>>>()
            + group.native.iter().flatten().map(|h| histogram_bytes(h)).sum::<usize>();
        Ok(group)
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        if self.parameters.is_empty() {
            *self = other;
            return Ok(());
        }
        self.bytes += other.bytes;
        self.classic.extend(other.classic);
        if self.native.is_empty() {
            self.native = other.native;
        } else {
            for (mine, theirs) in self.native.iter_mut().zip(other.native) {
                *mine = mine.take().or(theirs);
            }
        }
        Ok(())
    }

    fn finish(mut self, settings: &Settings, out: &mut VectorOut<'_>) -> Result<()> {
        self.classic.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        if let (Aggregation::HistogramQuantile, [q]) = (settings.aggregation, self.parameters.as_slice()) {
            check_quantiles(&param(q), &settings.sink.annotations, settings.parameter_span);
        }
        let steps = out.values.len();
        let part = (BUCKETS_PER_CHECK / self.classic.len().max(1)).max(1);
        for from in (0..steps).step_by(part) {
            settings.sink.cancel.check()?;
            self.finish_steps(from..steps.min(from + part), settings, out);
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes
    }
}

impl Buckets {
    fn parameter_bytes(&self) -> usize {
        self.metric.len() + self.parameters.iter().map(|p| 24 + 8 * p.capacity()).sum::<usize>()
    }

    /// Some of the steps; the buckets are in order.
    fn finish_steps(&self, steps: Range<usize>, settings: &Settings, out: &mut VectorOut<'_>) {
        let rows: Vec<BucketRow<'_>> = self
            .classic
            .iter()
            .map(|bucket| BucketRow {
                upper_bound: bucket.bound,
                counts: VectorIn {
                    values: &bucket.counts[steps.clone()],
                    present: Mask::Bools(&bucket.present[steps.clone()]),
                    histograms: &[],
                },
            })
            .collect();
        let zeros = vec![0.0; if self.native.is_empty() { 0 } else { steps.len() }];
        let absent = vec![false; zeros.len()];
        let native = (!self.native.is_empty()).then(|| VectorIn {
            values: &zeros,
            present: Mask::Bools(&absent),
            histograms: &self.native[steps.clone()],
        });
        let rows = HistogramRows { classic: &rows, native };
        let notes = settings.sink.notes(&self.metric);
        let at = |parameter| slice(parameter, &steps);
        let mut out = VectorOut {
            values: &mut out.values[steps.clone()],
            present: &mut out.present[steps.clone()],
            histograms: out.histograms.as_deref_mut().map(|h| &mut h[steps.clone()]),
        };
        match (settings.aggregation, self.parameters.as_slice()) {
            (Aggregation::HistogramQuantile, [q]) => {
                let times = EvalTimes {
                    start: settings.sink.moment.at(settings.grid.at(steps.start)),
                    step: settings.grid.step,
                };
                buckets::quantile(&at(q), &rows, times, &notes, &mut out);
            }
            (Aggregation::HistogramFraction, [lower, upper]) => {
                buckets::fraction(&at(lower), &at(upper), &rows, &notes, &mut out);
            }
            // No row, no result.
            _ => {}
        }
    }
}

/// A parameter at some of the steps.
fn slice<'a>(values: &'a [f64], steps: &Range<usize>) -> Param<'a> {
    match param(values) {
        Param::Steps(values) => Param::Steps(&values[steps.clone()]),
        constant => constant,
    }
}

fn take_bytes<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    if bytes.len() < length {
        return Err(DataFusionError::Internal("the state of an aggregate is cut short".into()));
    }
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(taken)
}

//! `histogram_quantile` and `histogram_fraction`: a group is everything with the same labels but `le`, that is
//! the buckets of a classic histogram, or a native histogram.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};

use super::groups::{param, put_floats, take_floats};
use super::{Aggregation, Group, ParameterValues, Row, Settings};
use crate::engine::promql::kernel::buckets::{
    self, BucketRow, EvalTimes, HistogramRows, check_quantiles, parse_bound,
};
use crate::engine::promql::kernel::types::{Mask, VectorIn, VectorOut};
use crate::engine::promql::plan::samples::{decode, encode};
use crate::model::histogram::FloatHistogram;

#[derive(Default)]
pub struct Buckets {
    parameters: Vec<ParameterValues>,
    metric: String,
    classic: Vec<Classic>,
    /// By step; empty where the group has no native histogram.
    native: Vec<Option<Arc<FloatHistogram>>>,
}

/// One bucket at all steps.
struct Classic {
    bound: f64,
    counts: Vec<f64>,
    present: Vec<bool>,
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
        }
        for step in 0..steps {
            if let Some(histogram) = row.vector.histogram(step) {
                if self.native.is_empty() {
                    self.native = vec![None; steps];
                }
                self.native[step] = Some(histogram.clone());
            }
        }
        let present: Vec<bool> =
            (0..steps).map(|k| row.vector.histogram(k).is_none() && row.vector.float(k).is_some()).collect();
        if present.contains(&true)
            && let Some(bound) = parse_bound(row.le, &settings.sink.notes(row.metric))
        {
            self.classic.push(Classic { bound, counts: row.vector.values.to_vec(), present });
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
        Ok(Self { parameters, metric, classic, native })
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        if self.parameters.is_empty() {
            *self = other;
            return Ok(());
        }
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
        let rows: Vec<BucketRow<'_>> = self
            .classic
            .iter()
            .map(|bucket| BucketRow {
                upper_bound: bucket.bound,
                counts: VectorIn { values: &bucket.counts, present: Mask::Bools(&bucket.present), histograms: &[] },
            })
            .collect();
        let zeros = vec![0.0; if self.native.is_empty() { 0 } else { settings.grid.steps }];
        let absent = vec![false; zeros.len()];
        let native = (!self.native.is_empty()).then(|| VectorIn {
            values: &zeros,
            present: Mask::Bools(&absent),
            histograms: &self.native,
        });
        let rows = HistogramRows { classic: &rows, native };
        let notes = settings.sink.notes(&self.metric);
        match (settings.aggregation, self.parameters.as_slice()) {
            (Aggregation::HistogramQuantile, [q]) => {
                let times = EvalTimes { start: settings.grid.start, step: settings.grid.step };
                check_quantiles(&param(q), &settings.sink.annotations, settings.parameter_span);
                buckets::quantile(&param(q), &rows, times, &notes, out);
            }
            (Aggregation::HistogramFraction, [lower, upper]) => {
                buckets::fraction(&param(lower), &param(upper), &rows, &notes, out);
            }
            // No row, no result.
            _ => {}
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        let classic: usize = self.classic.iter().map(|b| b.counts.capacity() * 9 + 64).sum();
        classic + self.native.len() * 512 + size_of::<Self>()
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

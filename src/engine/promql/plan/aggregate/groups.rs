//! Groups of the plain aggregations, around the kernel's accumulator; of `absent` and `scalar`.

use datafusion::error::{DataFusionError, Result};

use super::{Aggregation, Group, ParameterValues, Row, Settings};
use crate::engine::promql::kernel::aggregate::Accumulator;
use crate::engine::promql::kernel::select;
use crate::engine::promql::kernel::types::{Param, VectorOut};
use crate::promql::operators::AggregateOp;

/// A parameter as kernels take it.
pub fn param(values: &[f64]) -> Param<'_> {
    match values {
        [one] => Param::Constant(*one),
        steps => Param::Steps(steps),
    }
}

pub fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    out.extend((values.len() as u32).to_le_bytes());
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}

/// Reads what [`put_floats`] wrote. States never leave the process, so a short one is a defect.
pub fn take_floats(bytes: &mut &[u8]) -> Result<Vec<f64>> {
    let short = || DataFusionError::Internal("the state of an aggregate is cut short".into());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize * 8;
    if rest.len() < length {
        return Err(short());
    }
    let (floats, rest) = rest.split_at(length);
    *bytes = rest;
    Ok(floats.as_chunks::<8>().0.iter().map(|c| f64::from_le_bytes(*c)).collect())
}

/// sum, avg, count, min, max, group, stddev, stdvar, quantile.
pub struct Gathered {
    accumulator: Accumulator,
    /// The quantile; empty until a row has brought it, and for all other operators.
    parameter: ParameterValues,
}

impl Group for Gathered {
    fn new(settings: &Settings) -> Self {
        let Aggregation::Operator(op) = settings.aggregation else {
            unreachable!("only operators are gathered");
        };
        Self { accumulator: Accumulator::new(op, settings.grid.steps), parameter: vec![] }
    }

    fn update(&mut self, row: &Row<'_>, settings: &Settings) -> Result<()> {
        if let Some(values) = row.parameters.first()
            && self.parameter.is_empty()
        {
            self.parameter = values.clone();
        }
        self.accumulator.update(&row.vector, &settings.sink.notes(""));
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_floats(out, &self.parameter);
        self.accumulator.encode(out);
    }

    fn decode(mut bytes: &[u8], _settings: &Settings) -> Result<Self> {
        let parameter = take_floats(&mut bytes)?;
        let accumulator = Accumulator::decode(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(Self { accumulator, parameter })
    }

    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()> {
        if self.parameter.is_empty() {
            self.parameter = other.parameter;
        }
        self.accumulator.merge(other.accumulator, &settings.sink.notes(""));
        Ok(())
    }

    fn finish(self, settings: &Settings, out: &mut VectorOut<'_>) -> Result<()> {
        let notes = settings.sink.notes("");
        if self.parameter.is_empty() {
            self.accumulator.finish(None, &notes, out);
            return Ok(());
        }
        let cancel = &settings.sink.cancel;
        let parameter = param(&self.parameter);
        select::check_param(AggregateOp::Quantile, &parameter, settings.parameter_span, &notes)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        self.accumulator.finish_while(Some(&parameter), &notes, &|| cancel.check().is_ok(), out);
        cancel.check()
    }

    fn size_bytes(&self) -> usize {
        self.accumulator.size_bytes() + self.parameter.capacity() * 8
    }
}

/// How many samples a step has, and the last float: `absent` and `scalar`.
pub struct Presence {
    counts: Vec<f64>,
    values: Vec<f64>,
}

impl Group for Presence {
    fn new(settings: &Settings) -> Self {
        let steps = settings.grid.steps;
        Self { counts: vec![0.0; steps], values: vec![0.0; steps] }
    }

    fn update(&mut self, row: &Row<'_>, settings: &Settings) -> Result<()> {
        // For `scalar` histograms are no samples.
        let histograms = settings.aggregation == Aggregation::Absent;
        for (step, count) in self.counts.iter_mut().enumerate() {
            if let Some(value) = row.vector.float(step) {
                self.values[step] = value;
                *count += 1.0;
            } else if histograms && row.vector.histogram(step).is_some() {
                *count += 1.0;
            }
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_floats(out, &self.counts);
        put_floats(out, &self.values);
    }

    fn decode(mut bytes: &[u8], _settings: &Settings) -> Result<Self> {
        Ok(Self { counts: take_floats(&mut bytes)?, values: take_floats(&mut bytes)? })
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        for (step, count) in other.counts.into_iter().enumerate() {
            if count > 0.0 {
                self.counts[step] += count;
                self.values[step] = other.values[step];
            }
        }
        Ok(())
    }

    fn finish(self, settings: &Settings, out: &mut VectorOut<'_>) -> Result<()> {
        for (step, count) in self.counts.iter().enumerate() {
            match settings.aggregation {
                Aggregation::Absent if *count > 0.0 => {}
                Aggregation::Absent => out.set(step, 1.0),
                _ => out.set(step, if *count == 1.0 { self.values[step] } else { f64::NAN }),
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + (self.counts.capacity() + self.values.capacity()) * 8
    }
}

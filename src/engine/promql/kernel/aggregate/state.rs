//! An accumulator as bytes. They never leave the process, so there is no version.
//!
//! ```text
//! operator u8 | steps u32 | counts, first, second: f64* | values: (length u32, f64*)*
//! | incremental: length u32, u8* | histograms: length u32, state*        all little-endian
//! state := flags u8 (1 has histogram, 2 incompatible, 4 reset, 8 no reset, 16 incremental)
//!          [count f64, sums: length u32, bytes; compensations: length u32, bytes]
//! ```

use super::{Accumulator, HistogramState};
use crate::engine::promql::kernel::over_time::HistogramMean;
use crate::error::{Error, Result};
use crate::model::histogram::codec;
use crate::model::histogram::sum::HistogramSum;
use crate::promql::operators::AggregateOp;

const OPERATORS: [AggregateOp; 9] = [
    AggregateOp::Sum,
    AggregateOp::Avg,
    AggregateOp::Count,
    AggregateOp::Min,
    AggregateOp::Max,
    AggregateOp::Group,
    AggregateOp::Stddev,
    AggregateOp::Stdvar,
    AggregateOp::Quantile,
];

impl Accumulator {
    /// Appends the state to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let operator = OPERATORS.iter().position(|op| *op == self.op).expect("only these operators accumulate");
        out.push(operator as u8);
        put_length(out, self.steps());
        for numbers in [&self.counts, &self.first, &self.second] {
            put_floats(out, numbers);
        }
        for values in &self.values {
            put_length(out, values.len());
            put_floats(out, values);
        }
        put_length(out, self.incremental.len());
        out.extend(self.incremental.iter().map(|i| u8::from(*i)));
        put_length(out, self.histograms.len());
        self.histograms.iter().for_each(|state| put_histogram(out, state));
    }

    /// Reads what [`Accumulator::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        let op = OPERATORS.get(usize::from(reader.u8()?)).copied().ok_or_else(corrupt)?;
        let steps = reader.length()?;
        if steps > reader.0.len() {
            return Err(corrupt());
        }
        let mut state = Self::new(op, steps);
        for numbers in [&mut state.counts, &mut state.first, &mut state.second] {
            for number in numbers {
                *number = reader.f64()?;
            }
        }
        for values in &mut state.values {
            let length = reader.length()?;
            *values = (0..length).map(|_| reader.f64()).collect::<Result<_>>()?;
        }
        let length = reader.length()?;
        state.incremental = (0..length).map(|_| Ok(reader.u8()? != 0)).collect::<Result<_>>()?;
        let length = reader.length()?;
        state.histograms = (0..length).map(|_| reader.histogram()).collect::<Result<_>>()?;
        state.gathered_bytes = state.values.iter().map(|values| 8 * values.capacity()).sum::<usize>()
            + state.histograms.iter().map(HistogramState::heap_bytes).sum::<usize>();
        Ok(state)
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend((length as u32).to_le_bytes());
}

fn put_floats(out: &mut Vec<u8>, numbers: &[f64]) {
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

fn put_histogram(out: &mut Vec<u8>, state: &HistogramState) {
    let incremental = state.mean.as_ref().is_some_and(|mean| mean.incremental);
    let flags = [state.mean.is_some(), state.incompatible, state.reset_seen, state.no_reset_seen, incremental];
    out.push(flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
    let Some(mean) = &state.mean else {
        return;
    };
    out.extend(mean.count.to_le_bytes());
    let (sums, compensations) = mean.state.parts();
    for part in [sums, compensations] {
        let mut bytes = Vec::new();
        codec::encode(&part, &mut bytes);
        put_length(out, bytes.len());
        out.extend(bytes);
    }
}

fn corrupt() -> Error {
    Error::internal("bytes of an aggregation state are truncated")
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(corrupt)?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self) -> Result<usize> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn f64(&mut self) -> Result<f64> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(f64::from_le_bytes(bytes))
    }

    fn histogram(&mut self) -> Result<HistogramState> {
        let flags = self.u8()?;
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let mut state =
            HistogramState { mean: None, incompatible: flag(1), reset_seen: flag(2), no_reset_seen: flag(3) };
        if flag(0) {
            let count = self.f64()?;
            let mut part = || {
                let length = self.length()?;
                codec::decode(self.take(length)?)
            };
            let sum = HistogramSum::from_parts(&part()?, &part()?);
            state.mean = Some(HistogramMean { state: sum, count, incremental: flag(4) });
        }
        Ok(state)
    }
}

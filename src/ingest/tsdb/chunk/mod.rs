//! A chunk: up to 65,535 samples of one series, as bits. It is decoded behind what a run has already, without an
//! allocation for each sample but for histograms, and clipped afterwards.

/// Bits from the front.
pub mod bits;
/// Floats: Prometheus' encoding from its beginnings on.
pub mod xor;
/// Floats with start timestamps.
pub mod xor2;
/// Native histograms, with and without start timestamps.
pub mod histogram;
/// Start timestamps beside histograms.
pub mod start;

use crate::ingest::tsdb::bytes::Fault;
use crate::storage::types::Run;

/// Kinds of chunks, `chunkenc.Encoding`. Those of Thanos' downsampled blocks are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    Xor2 = 4,
    HistogramStart = 5,
    FloatHistogramStart = 6,
}

impl Encoding {
    pub fn of(code: u8) -> Result<Self, Fault> {
        Ok(match code {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramStart,
            6 => Self::FloatHistogramStart,
            0xff => return Err(Fault::new("a chunk of aggregates, which only downsampled blocks have")),
            other => return Err(Fault::of(format!("a chunk of unknown encoding {other}"))),
        })
    }
}

/// Appends the samples of a chunk to a run, whose columns stay parallel. Nothing is said of their order.
pub fn decode(encoding: Encoding, data: &[u8], run: &mut Run) -> Result<(), Fault> {
    match encoding {
        Encoding::Xor => xor::decode(data, run),
        Encoding::Xor2 => xor2::decode(data, run),
        Encoding::Histogram => histogram::decode::<histogram::Integers>(data, false, run),
        Encoding::FloatHistogram => histogram::decode::<histogram::Floats>(data, false, run),
        Encoding::HistogramStart => histogram::decode::<histogram::Integers>(data, true, run),
        Encoding::FloatHistogramStart => histogram::decode::<histogram::Floats>(data, true, run),
    }?;
    even(run);
    Ok(())
}

/// Makes the optional columns as long as the others, where they are there.
pub fn even(run: &mut Run) {
    let len = run.timestamps.len();
    if !run.histograms.is_empty() {
        run.histograms.resize(len, None);
    }
    if !run.start_timestamps.is_empty() {
        run.start_timestamps.resize(len, 0);
    }
}

/// Appends one sample; see [`even`] for the optional columns.
pub fn push(run: &mut Run, timestamp: i64, value: f64, start_timestamp: i64) {
    if start_timestamp != 0 || !run.start_timestamps.is_empty() {
        run.start_timestamps.resize(run.timestamps.len(), 0);
        run.start_timestamps.push(start_timestamp);
    }
    run.timestamps.push(timestamp);
    run.values.push(value);
}

/// Two bytes in front of the bits.
fn count(data: &[u8]) -> Result<(u16, &[u8]), Fault> {
    let (count, rest) = data.split_first_chunk::<2>().ok_or(Fault::SHORT)?;
    Ok((u16::from_be_bytes(*count), rest))
}

#[cfg(test)]
pub mod encode;
#[cfg(test)]
mod tests;

//! Samples that come in any order of their series, to be read series by series: each series has a buffer, and when all of
//! them together are too large, they are written to a temporary file behind each other. So memory has a bound, but for
//! a few bytes a series.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::tsdb::chunk;
use crate::model::histogram::{FloatHistogram, codec};
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

/// Memory of a buffer beside its bytes.
const BUFFER_BYTES: usize = 64;

/// What a record holds beside its timestamp.
const HISTOGRAM: u8 = 1;
const START: u8 = 2;

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// See the module.
#[derive(Debug)]
pub struct Spill {
    buffers: Vec<Buffer>,
    /// Bytes in buffers.
    held_bytes: usize,
    most_bytes: usize,
    file: Option<File>,
    file_bytes: u64,
    runs: Vec<SpilledRun>,
    /// Of `runs`, one for each series and writing.
    entries: usize,
}

/// Records of one series: kind, timestamp as the difference from the one before, start timestamp, value.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    last: i64,
}

/// All buffers as they were when they were written.
#[derive(Debug)]
struct SpilledRun {
    /// Slot, where its records begin, and how many bytes they have; by slot.
    entries: Vec<(u32, u64, u32)>,
}

impl Spill {
    pub fn new(most_bytes: usize) -> Self {
        Self {
            buffers: Vec::new(),
            held_bytes: 0,
            most_bytes,
            file: None,
            file_bytes: 0,
            runs: Vec::new(),
            entries: 0,
        }
    }

    pub fn push(&mut self, slot: u32, timestamp: i64, start_timestamp: i64, value: Value<'_>) -> Result<()> {
        let at = slot as usize;
        if self.buffers.len() <= at {
            self.buffers.resize_with(at + 1, Buffer::default);
        }
        let buffer = &mut self.buffers[at];
        let before = if buffer.bytes.is_empty() { 0 } else { buffer.bytes.len() + BUFFER_BYTES };
        let is_histogram = matches!(value, Value::Histogram(_));
        let kind = if is_histogram { HISTOGRAM } else { 0 } | if start_timestamp != 0 { START } else { 0 };
        buffer.bytes.push(kind);
        put_varint(timestamp.wrapping_sub(buffer.last), &mut buffer.bytes);
        buffer.last = timestamp;
        if start_timestamp != 0 {
            put_varint(timestamp.wrapping_sub(start_timestamp), &mut buffer.bytes);
        }
        match value {
            Value::Float(value) => buffer.bytes.extend(value.to_bits().to_le_bytes()),
            Value::Histogram(histogram) => {
                let length_at = buffer.bytes.len();
                buffer.bytes.extend([0; 4]);
                codec::encode(histogram, &mut buffer.bytes);
                let len = (buffer.bytes.len() - length_at - 4) as u32;
                buffer.bytes[length_at..length_at + 4].copy_from_slice(&len.to_le_bytes());
            }
        }
        self.held_bytes += buffer.bytes.len() + BUFFER_BYTES - before;
        // Half again as much, as buffers grow ahead of what is in them.
        if self.held_bytes + self.held_bytes / 2 > self.most_bytes {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        let failed = || "cannot write to a temporary file (TMPDIR says where they are)".to_string();
        let file = match &self.file {
            Some(file) => file,
            None => &*self.file.insert(unnamed_file().context(ErrorKind::Unavailable, failed)?),
        };
        let mut entries = Vec::new();
        let mut together = Vec::with_capacity(1 << 20);
        let mut at = self.file_bytes;
        for (slot, buffer) in self.buffers.iter_mut().enumerate().filter(|(_, buffer)| !buffer.bytes.is_empty()) {
            let buffer = std::mem::take(buffer);
            let len = u32::try_from(buffer.bytes.len());
            let len = len.map_err(|_| Error::new(ErrorKind::Limit, "4 GiB of samples of one series at once"))?;
            entries.push((slot as u32, at + together.len() as u64, len));
            together.extend(buffer.bytes);
            if together.len() >= 1 << 20 {
                file.write_all_at(&together, at).context(ErrorKind::Unavailable, failed)?;
                at += together.len() as u64;
                together.clear();
            }
        }
        file.write_all_at(&together, at).context(ErrorKind::Unavailable, failed)?;
        self.file_bytes = at + together.len() as u64;
        entries.shrink_to_fit();
        self.entries += entries.len();
        self.runs.push(SpilledRun { entries });
        self.held_bytes = 0;
        Ok(())
    }

    /// Memory of what says where samples are in the file, which nothing bounds: series that come in turns have an entry for
    /// few samples each.
    pub fn index_bytes(&self) -> usize {
        self.entries * size_of::<(u32, u64, u32)>()
    }

    /// Appends the samples of a slot within a range to a run, in the order they were pushed.
    pub fn read(&self, slot: u32, range: TimeRange, buffer: &mut Vec<u8>, run: &mut Run) -> Result<()> {
        for spilled in &self.runs {
            let Ok(at) = spilled.entries.binary_search_by_key(&slot, |(slot, ..)| *slot) else { continue };
            let (_, offset, len) = spilled.entries[at];
            buffer.resize(len as usize, 0);
            let file = self.file.as_ref().expect("a run that was written has a file");
            let failed = || "cannot read a temporary file".to_string();
            file.read_exact_at(buffer, offset).context(ErrorKind::Unavailable, failed)?;
            decode(buffer, range, run)?;
        }
        match self.buffers.get(slot as usize) {
            Some(buffer) => decode(&buffer.bytes, range, run),
            None => Ok(()),
        }
    }
}

fn decode(mut bytes: &[u8], range: TimeRange, run: &mut Run) -> Result<()> {
    // They are our own.
    let wrong = || Error::internal("samples in a temporary file are not as they were written");
    let mut timestamp = 0i64;
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        timestamp = timestamp.wrapping_add(take_varint(&mut bytes).ok_or_else(wrong)?);
        let start = match kind & START {
            0 => 0,
            _ => timestamp.wrapping_sub(take_varint(&mut bytes).ok_or_else(wrong)?),
        };
        if kind & HISTOGRAM == 0 {
            let (value, rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
            bytes = rest;
            if range.contains(timestamp) {
                chunk::push(run, timestamp, f64::from_bits(u64::from_le_bytes(*value)), start);
            }
            continue;
        }
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (histogram, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(wrong)?;
        bytes = rest;
        if range.contains(timestamp) {
            run.histograms.resize(run.timestamps.len(), None);
            run.histograms.push(Some(std::sync::Arc::new(codec::decode(histogram)?)));
            chunk::push(run, timestamp, 0.0, start);
        }
    }
    chunk::even(run);
    Ok(())
}

/// A file that is gone when it is closed.
fn unnamed_file() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("promlake-import-{}", uuid::Uuid::new_v4().simple()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for at in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some(crate::ingest::tsdb::bytes::zigzag(value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a few series in turn come back per series, whatever was written out between.
    #[test]
    fn samples_come_back() {
        let mut random = fastrand::Rng::with_seed(3);
        for most_bytes in [0, 500, 1 << 20] {
            let mut spill = Spill::new(most_bytes);
            let mut expected: Vec<Vec<(i64, u64, i64)>> = vec![Vec::new(); 7];
            for at in 0..600i64 {
                let (slot, value) = (random.u32(0..7), random.f64());
                let (timestamp, start) = (random.i64(-5..1 << 40), if at % 3 == 0 { 0 } else { at });
                spill.push(slot, timestamp, start, Value::Float(value)).unwrap();
                expected[slot as usize].push((timestamp, value.to_bits(), start));
            }
            for (slot, expected) in expected.iter().enumerate() {
                let mut run = Run::default();
                spill.read(slot as u32, TimeRange::ALL, &mut Vec::new(), &mut run).unwrap();
                let read = run.timestamps.iter().zip(&run.values).zip(&run.start_timestamps);
                let read: Vec<_> = read.map(|((t, v), s)| (*t, v.to_bits(), *s)).collect();
                assert_eq!(read, *expected, "{slot} with {most_bytes}");
            }
        }
    }

    #[test]
    fn histograms_and_ranges() {
        let mut spill = Spill::new(200);
        let histogram = FloatHistogram { count: 3.0, sum: 1.5, zero_count: 3.0, ..FloatHistogram::default() };
        for timestamp in 0..10 {
            let value = if timestamp % 2 == 0 { Value::Float(1.0) } else { Value::Histogram(&histogram) };
            spill.push(1, timestamp, 0, value).unwrap();
        }
        let mut run = Run::default();
        spill.read(1, TimeRange::new(3, 6), &mut Vec::new(), &mut run).unwrap();
        assert_eq!(run.timestamps, [3, 4, 5, 6]);
        let found: Vec<bool> = run.histograms.iter().map(|h| h.as_deref() == Some(&histogram)).collect();
        assert_eq!(found, [true, false, true, false]);
        spill.read(0, TimeRange::ALL, &mut Vec::new(), &mut Run::default()).unwrap();
    }
}

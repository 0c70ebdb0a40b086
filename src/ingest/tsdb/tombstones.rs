//! What was deleted from a block and is still in its chunks.

use std::collections::HashMap;
use std::path::Path;

use crate::error::Result;
use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::file::SourceFile;
use crate::storage::types::Run;

const MAGIC: u32 = 0x0130_ba30;
/// Some ten million of them.
const MAX_BYTES: u64 = 256 << 20;

/// Deleted times by series, both ends included.
#[derive(Debug, Default, PartialEq)]
pub struct Tombstones(HashMap<u64, Vec<(i64, i64)>>);

impl Tombstones {
    /// Those of a block's folder; without a file there are none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("tombstones");
        if !path.exists() {
            return Ok(Self::default());
        }
        let file = SourceFile::open(&path)?;
        if file.size() > MAX_BYTES {
            return Err(file.fault(0, format_args!("{} bytes are more than any block has", file.size())));
        }
        let mut bytes = Vec::new();
        file.read(0, file.size() as usize, &mut bytes)?;
        Self::parse(&bytes).map_err(|(offset, fault)| file.fault(offset as u64, fault))
    }

    /// The offset with a fault is where it was noticed.
    fn parse(bytes: &[u8]) -> Result<Self, (usize, Fault)> {
        let at = |cursor: &Cursor<'_>| bytes.len() - cursor.len();
        let mut cursor = Cursor::new(bytes);
        if cursor.u32() != Ok(MAGIC) {
            return Err((0, Fault::new("these are no tombstones")));
        }
        match cursor.u8() {
            Ok(1) => {}
            Ok(other) => return Err((4, Fault::of(format!("version {other} of tombstones is unknown")))),
            Err(fault) => return Err((4, fault)),
        }
        let (stones, sum) = cursor.rest().split_last_chunk::<4>().ok_or((5, Fault::SHORT))?;
        if crc32c::checksum(stones) != u32::from_be_bytes(*sum) {
            return Err((bytes.len() - 4, Fault::new("the checksum is wrong")));
        }
        let mut cursor = Cursor::new(stones);
        let mut tombstones = Self::default();
        while !cursor.is_empty() {
            let start = at(&cursor) - 4;
            let stone = cursor.uvarint().and_then(|series| Ok((series, cursor.varint()?, cursor.varint()?)));
            let (series, first, last) = stone.map_err(|fault| (start, fault))?;
            tombstones.add(series, first, last);
        }
        Ok(tombstones)
    }

    pub fn add(&mut self, series: u64, first: i64, last: i64) {
        self.0.entry(series).or_default().push((first, last));
    }

    pub fn of(&self, series: u64) -> &[(i64, i64)] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }
}

/// Takes the samples from `start` on out of a run that were deleted.
pub fn apply(deleted: &[(i64, i64)], run: &mut Run, start: usize) {
    if deleted.is_empty() {
        return;
    }
    retain(run, start, |timestamp| !deleted.iter().any(|(first, last)| (*first..=*last).contains(&timestamp)));
}

/// Keeps the samples from `start` on whose timestamps are wanted.
pub fn retain(run: &mut Run, start: usize, wanted: impl Fn(i64) -> bool) {
    let mut kept = start;
    for at in start..run.timestamps.len() {
        if !wanted(run.timestamps[at]) {
            continue;
        }
        if kept < at {
            run.timestamps[kept] = run.timestamps[at];
            run.values[kept] = run.values[at];
            if !run.histograms.is_empty() {
                run.histograms.swap(kept, at);
            }
            if !run.start_timestamps.is_empty() {
                run.start_timestamps[kept] = run.start_timestamps[at];
            }
        }
        kept += 1;
    }
    run.timestamps.truncate(kept);
    run.values.truncate(kept);
    run.histograms.truncate(kept);
    run.start_timestamps.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(stones: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.push(1);
        bytes.extend(stones);
        bytes.extend(crc32c::checksum(stones).to_be_bytes());
        bytes
    }

    #[test]
    fn stones() {
        // Series 5 from 10 to 20, and from -1 to 0; series 300 at 7.
        let parsed = Tombstones::parse(&file(&[5, 20, 40, 5, 1, 0, 0xac, 2, 14, 14])).unwrap();
        assert_eq!(parsed.of(5), [(10, 20), (-1, 0)]);
        assert_eq!(parsed.of(300), [(7, 7)]);
        assert_eq!(parsed.of(6), []);
    }

    #[test]
    fn damage_is_told_with_its_offset() {
        let check = |bytes: &[u8], offset: usize, part: &str| {
            let (at, fault) = Tombstones::parse(bytes).unwrap_err();
            assert_eq!(at, offset, "{fault}");
            assert!(fault.0.contains(part), "{fault}");
        };
        check(b"", 0, "no tombstones");
        check(&[1, 0x30, 0xba, 0x31, 1, 0, 0, 0, 0], 0, "no tombstones");
        check(&[1, 0x30, 0xba, 0x30, 2], 4, "version 2");
        check(&[1, 0x30, 0xba, 0x30, 1, 0], 5, "too early");
        let mut bytes = file(&[5, 20, 40]);
        bytes[6] ^= 1;
        check(&bytes, 8, "checksum");
        check(&file(&[5, 20, 40, 5, 20]), 8, "too early");
    }

    #[test]
    fn deleted_samples_are_taken_out() {
        let mut run = Run {
            timestamps: vec![1, 2, 3, 4, 5],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            start_timestamps: vec![10, 20, 30, 40, 50],
            ..Run::default()
        };
        apply(&[(1, 2), (4, 4)], &mut run, 1);
        assert_eq!(run.timestamps, [1, 3, 5]);
        assert_eq!(run.values, [1.0, 3.0, 5.0]);
        assert_eq!(run.start_timestamps, [10, 30, 50]);
    }
}

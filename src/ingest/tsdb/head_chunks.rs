//! `chunks_head`: the full chunks of the head, each with the series it is of. All that is in them is in the write-ahead
//! log as well, so a file that a crash cut off is read as far as it goes.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::chunk::{self, Encoding};
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::file::{SourceFile, Window};
use crate::ingest::tsdb::segments::{check_header, numbered_files};
use crate::storage::types::Run;

const MAGIC: u32 = 0x0130_bc91;
/// Magic number, version and padding.
const HEADER_BYTES: u64 = 8;
/// Series, both times, encoding and the longest length.
const MAX_CHUNK_HEADER_BYTES: usize = 8 + 8 + 8 + 1 + 5;
/// The largest chunk; the files have at most 128 MiB.
const MAX_CHUNK_BYTES: u64 = 128 << 20;
/// In the encoding: samples that came late.
const LATE: u8 = 0x80;
const WINDOW_BYTES: usize = 1 << 20;

/// A chunk of the head; both times belong to it.
#[derive(Clone, Copy, Debug)]
pub struct HeadChunk {
    file: u32,
    data: u32,
    len: u32,
    encoding: Encoding,
    pub is_late: bool,
    pub min_time: i64,
    pub max_time: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct HeadChunks {
    files: Vec<SourceFile>,
    /// By the series reference, in the order they were written.
    pub by_series: HashMap<u64, Vec<HeadChunk>>,
}

impl HeadChunks {
    /// Those of a folder that may be missing, and what ended the reading before the last of them.
    pub fn read(folder: &Path) -> Result<(Self, Option<Error>)> {
        let mut chunks = Self::default();
        if !folder.is_dir() {
            return Ok((chunks, None));
        }
        for (_, path) in numbered_files(folder)? {
            let file = SourceFile::open(&path)?;
            let number = u32::try_from(chunks.files.len()).expect("folders have fewer files");
            let read = chunks.scan(number, &file);
            chunks.files.push(file);
            if let Err(error) = read {
                return Ok((chunks, Some(error)));
            }
        }
        Ok((chunks, None))
    }

    fn scan(&mut self, number: u32, file: &SourceFile) -> Result<()> {
        // An empty file is one that was about to be written to.
        if file.size() == 0 {
            return Ok(());
        }
        check_header(file, MAGIC)?;
        let mut window = Window::default();
        let mut at = HEADER_BYTES;
        while at < file.size() {
            let fault = |fault: Fault| file.fault(at, fault);
            let bytes = window.up_to(file, at, MAX_CHUNK_HEADER_BYTES, WINDOW_BYTES)?;
            // Files are made longer than what is written to them.
            if bytes.iter().take(24).all(|byte| *byte == 0) {
                return Ok(());
            }
            let before = bytes.len();
            let mut cursor = Cursor::new(bytes);
            let header = (|| Ok((cursor.u64()?, cursor.i64()?, cursor.i64()?, cursor.u8()?, cursor.uvarint()?)))();
            let (series, min_time, max_time, encoding, len) = header.map_err(fault)?;
            if len > MAX_CHUNK_BYTES {
                return Err(fault(Fault::of(format!("a chunk of {len} bytes"))));
            }
            let (header, len) = (before - cursor.len(), len as usize);
            let bytes = window.get(file, at, header + len + 4, WINDOW_BYTES)?;
            let (chunk, sum) = bytes.split_at(header + len);
            if crc32c::checksum(chunk).to_be_bytes() != sum {
                return Err(fault(Fault::new("the checksum of a chunk is wrong")));
            }
            let data = u32::try_from(at + header as u64);
            let data = data.map_err(|_| fault(Fault::new("a file of chunks of more than 4 GiB")))?;
            self.by_series.entry(series).or_default().push(HeadChunk {
                file: number,
                data,
                len: len as u32,
                encoding: Encoding::of(encoding & !LATE).map_err(fault)?,
                is_late: encoding & LATE != 0,
                min_time,
                max_time,
            });
            at += (header + len + 4) as u64;
        }
        Ok(())
    }

    /// Appends the samples of a chunk to a run.
    pub fn decode(&self, place: &HeadChunk, buffer: &mut Vec<u8>, run: &mut Run) -> Result<()> {
        let file = &self.files[place.file as usize];
        file.read(u64::from(place.data), place.len as usize, buffer)?;
        chunk::decode(place.encoding, buffer, run).map_err(|fault| file.fault(u64::from(place.data), fault))
    }
}

//! The chunk files of a block, numbered from 000001. The index refers to them by their place in that order.

use std::path::{Path, PathBuf};

use crate::error::{Context, ErrorKind, Result};
use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::chunk::{self, Encoding};
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::file::{SourceFile, Window};
use crate::ingest::tsdb::index::ChunkPlace;
use crate::storage::types::Run;

const MAGIC: u32 = 0x85bd_40dd;
/// Magic number, version and padding.
const HEADER_BYTES: u64 = 8;
/// The longest length of a chunk, as a varint of 32 bits, and its encoding.
const CHUNK_HEADER_BYTES: usize = 6;
/// The largest chunk; Prometheus' have about a kilobyte, and up to 65,535 histograms in the extreme.
const MAX_CHUNK_BYTES: u64 = 256 << 20;
/// Read at once for a chunk by itself, and for many that follow each other.
const ONE_CHUNK_BYTES: usize = 2 << 10;
const MANY_CHUNKS_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Segments(Vec<SourceFile>);

/// A piece of a segment.
#[derive(Debug, Default)]
pub struct SegmentWindow {
    segment: u32,
    window: Window,
}

impl Segments {
    pub fn open(folder: &Path) -> Result<Self> {
        let mut segments = Vec::new();
        for (_, path) in numbered_files(folder)? {
            let file = SourceFile::open(&path)?;
            check_header(&file, MAGIC)?;
            segments.push(file);
        }
        Ok(Self(segments))
    }

    /// Appends the samples of chunks that follow each other in a file to a run.
    pub fn decode(&self, places: &[ChunkPlace], held: &mut SegmentWindow, run: &mut Run) -> Result<()> {
        // As far as the chunks lie together, they are read together.
        for together in places.chunk_by(|a, b| a.segment == b.segment) {
            let (first, last) = (together[0], together[together.len() - 1]);
            let file = self.0.get(first.segment as usize);
            let file = file.ok_or_else(|| self.no_segment(&first))?;
            if held.segment != first.segment {
                held.window.reset();
                held.segment = first.segment;
            }
            for place in together {
                let far = last.offset.saturating_sub(place.offset) as usize;
                let want = (far + ONE_CHUNK_BYTES).min(MANY_CHUNKS_BYTES);
                decode_at(file, u64::from(place.offset), want, &mut held.window, run)?;
            }
        }
        Ok(())
    }

    fn no_segment(&self, place: &ChunkPlace) -> crate::error::Error {
        let folder = self.0.first().and_then(|file| file.path().parent()).map(Path::display);
        crate::error::Error::bad_input(format!(
            "the index refers to chunk file {} and there are {}{}",
            place.segment.saturating_add(1),
            self.0.len(),
            folder.map_or_else(String::new, |folder| format!(" in {folder}")),
        ))
    }
}

/// Length, encoding, data, checksum of the last two.
fn decode_at(file: &SourceFile, offset: u64, want: usize, window: &mut Window, run: &mut Run) -> Result<()> {
    let fault = |fault: Fault| file.fault(offset, fault);
    let mut cursor = Cursor::new(window.up_to(file, offset, CHUNK_HEADER_BYTES, want)?);
    let before = cursor.len();
    let len = cursor.uvarint().map_err(fault)?;
    if len > MAX_CHUNK_BYTES {
        return Err(fault(Fault::of(format!("a chunk of {len} bytes"))));
    }
    let (header, len) = (before - cursor.len(), len as usize);
    let bytes = &window.get(file, offset, header + 1 + len + 4, want)?[header..];
    let (encoded, sum) = bytes.split_at(1 + len);
    if crc32c::checksum(encoded).to_be_bytes() != sum {
        return Err(fault(Fault::new("the checksum of a chunk is wrong")));
    }
    let encoding = Encoding::of(encoded[0]).map_err(fault)?;
    chunk::decode(encoding, &encoded[1..], run).map_err(fault)
}

/// The files of a folder whose names are numbers, in their order.
pub fn numbered_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let failed = || format!("cannot list {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context(ErrorKind::BadInput, failed)? {
        let entry = entry.context(ErrorKind::BadInput, failed)?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort_unstable();
    Ok(files)
}

/// Magic number and version of a file of chunks.
pub fn check_header(file: &SourceFile, magic: u32) -> Result<()> {
    let mut header = Vec::new();
    file.read(0, HEADER_BYTES as usize, &mut header)?;
    if header[..4] != magic.to_be_bytes() {
        return Err(file.fault(0, "this is no file of chunks"));
    }
    match header[4] {
        1 => Ok(()),
        version => Err(file.fault(4, format_args!("version {version} of chunk files is unknown"))),
    }
}

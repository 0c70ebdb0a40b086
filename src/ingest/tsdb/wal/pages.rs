//! Segments of a write-ahead log to records: pages of 32 KiB with fragments, each with a checksum, and records that may
//! be compressed. No record crosses the end of a segment.

use std::fs::File;
use std::io::{BufReader, ErrorKind as IoErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::tsdb::bytes::Fault;
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::segments::numbered_files;

const PAGE_BYTES: u64 = 32 << 10;
/// Type, length and checksum of a fragment.
const HEADER_BYTES: usize = 7;
/// The largest record, before and after it was decompressed.
const MAX_RECORD_BYTES: usize = 512 << 20;

/// The segments to replay, in their order.
#[derive(Debug, Default)]
pub struct Segments {
    /// Of the newest checkpoint, and then of the log behind it.
    pub files: Vec<PathBuf>,
    /// How many of them are of the checkpoint, which is written as a whole.
    checkpoint: usize,
}

impl Segments {
    /// Those of a folder that may be missing.
    pub fn find(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let mut files = Vec::new();
        let mut behind = None;
        if let Some((number, checkpoint)) = newest_checkpoint(folder)? {
            files.extend(numbered_files(&checkpoint)?.into_iter().map(|(_, path)| path));
            behind = Some(number);
        }
        let checkpoint = files.len();
        let log =
            numbered_files(folder)?.into_iter().filter(|(number, _)| behind.is_none_or(|last| *number > last));
        let log: Vec<_> = log.collect();
        if let Some(pair) = log.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
            return Err(Error::bad_input(format!(
                "{} has no segment behind {}: segments are missing",
                folder.display(),
                pair[0].1.display()
            )));
        }
        files.extend(log.into_iter().map(|(_, path)| path));
        Ok(Self { files, checkpoint })
    }

    /// Shows every record, with what is at fault put down to its place. A record that the end of the last segment cuts
    /// off was being written when its process was killed: it ends the log, and its segment is returned.
    pub fn replay(&self, mut visit: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<Option<PathBuf>> {
        let mut decompressed = Vec::new();
        for (at, path) in self.files.iter().enumerate() {
            let mut reader = Reader::open(path)?;
            loop {
                let (compression, record) = match reader.next() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(Stop::Torn) if at + 1 == self.files.len() && at >= self.checkpoint => {
                        return Ok(Some(path.clone()));
                    }
                    Err(Stop::Torn) => return Err(reader.fault(Fault::SHORT)),
                    Err(Stop::Fault(fault)) => return Err(reader.fault(fault)),
                    Err(Stop::Failed(error)) => return Err(error),
                };
                let read = compression.decode(record, &mut decompressed).and_then(&mut visit);
                read.map_err(|fault| reader.fault(fault))?;
            }
        }
        Ok(None)
    }
}

fn newest_checkpoint(folder: &Path) -> Result<Option<(u64, PathBuf)>> {
    let failed = || format!("cannot list {}", folder.display());
    let mut newest = None;
    for entry in std::fs::read_dir(folder).context(ErrorKind::BadInput, failed)? {
        let entry = entry.context(ErrorKind::BadInput, failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("checkpoint.")?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| entry.path().is_dir()) {
            newest = newest.max(Some((number, entry.path())));
        }
    }
    Ok(newest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Snappy,
    Zstd,
}

impl Compression {
    fn of(header: u8) -> Self {
        match header {
            header if header & 0x08 != 0 => Self::Snappy,
            header if header & 0x10 != 0 => Self::Zstd,
            _ => Self::None,
        }
    }

    fn decode<'a>(self, record: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<&'a [u8], Fault> {
        let too_long = || Fault::of(format!("a record of more than {MAX_RECORD_BYTES} bytes"));
        match self {
            Self::None => Ok(record),
            Self::Snappy => {
                let fault = |e: snap::Error| Fault::of(format!("a record that snappy cannot read: {e}"));
                let len = snap::raw::decompress_len(record).map_err(fault)?;
                if len > MAX_RECORD_BYTES {
                    return Err(too_long());
                }
                buffer.resize(len, 0);
                let len = snap::raw::Decoder::new().decompress(record, buffer).map_err(fault)?;
                Ok(&buffer[..len])
            }
            Self::Zstd => {
                let fault = |e: std::io::Error| Fault::of(format!("a record that zstd cannot read: {e}"));
                buffer.clear();
                let decoder = zstd::stream::read::Decoder::with_buffer(record).map_err(fault)?;
                decoder.take(MAX_RECORD_BYTES as u64 + 1).read_to_end(buffer).map_err(fault)?;
                if buffer.len() > MAX_RECORD_BYTES { Err(too_long()) } else { Ok(buffer) }
            }
        }
    }
}

/// Why there is no next record.
enum Stop {
    /// The segment ends within it.
    Torn,
    Fault(Fault),
    Failed(Error),
}

struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    /// Bytes read so far.
    at: u64,
    record: Vec<u8>,
    record_at: u64,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(ErrorKind::BadInput, || format!("cannot open {}", path.display()))?;
        let file = BufReader::with_capacity(1 << 20, file);
        let path = path.to_path_buf();
        Ok(Self { file, path, at: 0, record: Vec::new(), record_at: 0 })
    }

    /// What is at fault in the record read last.
    fn fault(&self, fault: Fault) -> Error {
        Error::bad_input(format!("{} is damaged at offset {}: {fault}", self.path.display(), self.record_at))
    }

    fn next(&mut self) -> Result<Option<(Compression, &[u8])>, Stop> {
        self.record.clear();
        self.record_at = self.at;
        let mut fragments = 0usize;
        loop {
            let mut header = [0u8; HEADER_BYTES];
            match self.read(&mut header[..1]) {
                Err(Stop::Torn) if fragments == 0 => return Ok(None),
                read => read?,
            }
            // The rest of the page is empty.
            if header[0] & 7 == 0 {
                self.skip_page()?;
                if fragments == 0 {
                    self.record_at = self.at;
                }
                continue;
            }
            self.read(&mut header[1..])?;
            let [kind, high, low, sum @ ..] = header;
            let len = usize::from(u16::from_be_bytes([high, low]));
            if len as u64 > PAGE_BYTES - HEADER_BYTES as u64 {
                return Err(Stop::Fault(Fault::of(format!("a fragment of {len} bytes"))));
            }
            let before = self.record.len();
            if before + len > MAX_RECORD_BYTES {
                return Err(Stop::Fault(Fault::of(format!("a record of more than {MAX_RECORD_BYTES} bytes"))));
            }
            self.record.resize(before + len, 0);
            let mut record = std::mem::take(&mut self.record);
            let read = self.read(&mut record[before..]);
            self.record = record;
            read?;
            if crc32c::checksum(&self.record[before..]) != u32::from_be_bytes(sum) {
                return Err(Stop::Fault(Fault::new("the checksum of a record is wrong")));
            }
            match (kind & 7, fragments) {
                (1, 0) | (4, 1..) => return Ok(Some((Compression::of(kind), &self.record))),
                (2, 0) | (3, 1..) => fragments += 1,
                _ => return Err(Stop::Fault(Fault::new("the fragments of a record are not in order"))),
            }
        }
    }

    fn skip_page(&mut self) -> Result<(), Stop> {
        let rest = (PAGE_BYTES - self.at % PAGE_BYTES) % PAGE_BYTES;
        let mut zeros = vec![0; rest as usize];
        match self.read(&mut zeros) {
            // A page that was not filled up before its process ended.
            Err(Stop::Torn) => Ok(()),
            Ok(()) if zeros.iter().all(|byte| *byte == 0) => Ok(()),
            Ok(()) => Err(Stop::Fault(Fault::new("something is behind the end of a page"))),
            Err(stop) => Err(stop),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        match self.file.read_exact(buffer) {
            Ok(()) => {
                self.at += buffer.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == IoErrorKind::UnexpectedEof => Err(Stop::Torn),
            Err(e) => {
                let message = format!("cannot read {}", self.path.display());
                Err(Stop::Failed(Error::new(ErrorKind::Unavailable, message).with_source(e)))
            }
        }
    }
}

#[cfg(test)]
pub mod write;
#[cfg(test)]
mod tests;

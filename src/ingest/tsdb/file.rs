//! A file that is read in pieces, and the window on it. Faults are told with the file's name and the offset.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorKind, Result};

/// A file of a TSDB, which nobody changes while it is read.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl SourceFile {
    pub fn open(path: &Path) -> Result<Self> {
        let failed = || format!("cannot open {}", path.display());
        let file = File::open(path).context(ErrorKind::BadInput, failed)?;
        let len = file.metadata().context(ErrorKind::BadInput, failed)?.len();
        Ok(Self { file, path: path.to_path_buf(), len })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size(&self) -> u64 {
        self.len
    }

    /// Replaces `buffer` by a piece of the file, which must have it.
    pub fn read(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<()> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        if end.is_none() {
            return Err(self.fault(offset, "the file ends too early"));
        }
        buffer.resize(len, 0);
        self.file
            .read_exact_at(buffer, offset)
            .context(ErrorKind::Unavailable, || format!("cannot read {}", self.path.display()))
    }

    /// The error for what is wrong at an offset.
    pub fn fault(&self, offset: u64, what: impl fmt::Display) -> Error {
        Error::bad_input(format!("{} is damaged at offset {offset}: {what}", self.path.display()))
    }
}

/// The piece of a file read last, so that what lies close together is read at once.
#[derive(Debug, Default)]
pub struct Window {
    buffer: Vec<u8>,
    start: u64,
}

impl Window {
    /// Forgets the piece: the next one is of another file.
    pub fn reset(&mut self) {
        self.buffer.clear();
    }

    /// `need` bytes at an offset, which must be there. When they are not in the window, `want` bytes are read, as far as
    /// the file has them.
    #[inline]
    pub fn get(&mut self, file: &SourceFile, offset: u64, need: usize, want: usize) -> Result<&[u8]> {
        let held = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let held = held.filter(|from| from.checked_add(need).is_some_and(|end| end <= self.buffer.len()));
        let from = match held {
            Some(from) => from,
            None => {
                let there = file.size().saturating_sub(offset);
                let len = usize::try_from(there).unwrap_or(usize::MAX).min(need.max(want));
                self.buffer.clear();
                file.read(offset, len.max(need), &mut self.buffer)?;
                self.start = offset;
                0
            }
        };
        Ok(&self.buffer[from..from + need])
    }

    /// As many bytes at an offset as there are, up to `most`.
    pub fn up_to(&mut self, file: &SourceFile, offset: u64, most: usize, want: usize) -> Result<&[u8]> {
        let there = usize::try_from(file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        self.get(file, offset, there.min(most), want)
    }
}

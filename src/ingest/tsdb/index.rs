//! The index of a block, versions 1 and 2: names and values once (symbols), and for each series its labels and where its
//! chunks are. Posting lists are of no use here but for the one that lists all series.

use std::path::Path;

use crate::error::Result;
use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::file::{SourceFile, Window};

const MAGIC: u32 = 0xbaaa_d700;
/// Six offsets and a checksum, at the end.
const CONTENTS_BYTES: u64 = 6 * 8 + 4;
/// The largest entry of a series: about ten million chunks.
const MAX_ENTRY_BYTES: usize = 256 << 20;
/// Read at once where one entry follows another.
const SEQUENTIAL_BYTES: usize = 1 << 20;
/// Read at once where entries are looked up.
const RANDOM_BYTES: usize = 4 << 10;
/// Series of version 2 begin at multiples of this, which are counted.
const ALIGNMENT: u64 = 16;

/// See the module.
#[derive(Debug)]
pub struct Index {
    file: SourceFile,
    version: u8,
    symbols: Symbols,
    postings_table: u64,
}

/// All texts in one buffer.
#[derive(Debug)]
struct Symbols {
    text: String,
    /// Version 2: where each begins. Version 1 refers to offsets in the file, so these are parallel to it.
    starts: Vec<u32>,
    offsets: Vec<u32>,
}

/// A chunk of a series as the index tells it; both times belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    pub segment: u32,
    pub offset: u32,
    pub min_time: i64,
    pub max_time: i64,
}

impl Index {
    pub fn open(path: &Path) -> Result<Self> {
        let file = SourceFile::open(path)?;
        let mut buffer = Vec::new();
        file.read(0, 5, &mut buffer)?;
        if buffer[..4] != MAGIC.to_be_bytes() {
            return Err(file.fault(0, "this is no index of a block"));
        }
        let version = buffer[4];
        if !matches!(version, 1 | 2) {
            return Err(file.fault(4, format_args!("version {version} of the index is unknown")));
        }
        let contents = file.size().saturating_sub(CONTENTS_BYTES);
        file.read(contents, CONTENTS_BYTES as usize, &mut buffer)?;
        let (offsets, sum) = buffer.split_at(buffer.len() - 4);
        if crc32c::checksum(offsets).to_be_bytes() != sum {
            return Err(file.fault(contents, "the checksum of the table of contents is wrong"));
        }
        let mut cursor = Cursor::new(offsets);
        let mut next = || cursor.u64().map_err(|fault| file.fault(contents, fault));
        let symbols = next()?;
        for _ in 0..4 {
            next()?;
        }
        let postings_table = next()?;
        let symbols = Symbols::read(&file, symbols, version)?;
        Ok(Self { file, version, symbols, postings_table })
    }

    /// The place of every series, in the order of their labels.
    pub fn series(&self) -> Result<Vec<u64>> {
        if self.postings_table == 0 {
            return Ok(Vec::new());
        }
        let Some(list) = self.all_postings()? else { return Ok(Vec::new()) };
        let bytes = section(&self.file, list)?;
        let mut cursor = Cursor::new(&bytes);
        let at = |fault| self.file.fault(list, fault);
        let count = cursor.u32().map_err(at)? as usize;
        if count != cursor.len() / 4 {
            return Err(at(Fault::new("a list of series has another length than it says")));
        }
        let unit = if self.version == 1 { 1 } else { ALIGNMENT };
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            places.push(u64::from(cursor.u32().map_err(at)?) * unit);
        }
        Ok(places)
    }

    /// Where the list of all series is: that of the empty name with the empty value.
    fn all_postings(&self) -> Result<Option<u64>> {
        let (file, table) = (&self.file, self.postings_table);
        let mut window = Window::default();
        let header = Cursor::new(window.get(file, table, 8, SEQUENTIAL_BYTES)?).u64();
        let header = header.map_err(|fault| file.fault(table, fault))?;
        let (len, count) = (header >> 32, header & 0xffff_ffff);
        let end = table.saturating_add(4 + len).min(file.size());
        let mut offset = table + 8;
        for _ in 0..count {
            // An entry has two texts, of which one may be long.
            for most in [RANDOM_BYTES, MAX_ENTRY_BYTES] {
                let bytes = window.up_to(file, offset, most, SEQUENTIAL_BYTES)?;
                let mut cursor = Cursor::new(bytes);
                let entry = postings_entry(&mut cursor);
                match entry {
                    Ok((true, list)) => return Ok(Some(list)),
                    Ok((false, _)) => {
                        offset += (bytes.len() - cursor.len()) as u64;
                        break;
                    }
                    Err(fault) if most == MAX_ENTRY_BYTES || fault != Fault::SHORT => {
                        return Err(file.fault(offset, fault));
                    }
                    Err(_) => {}
                }
            }
            if offset > end {
                return Err(file.fault(offset, "the table of posting lists is longer than it says"));
            }
        }
        Ok(None)
    }

    /// The number tombstones know a series by.
    pub fn reference(&self, place: u64) -> u64 {
        if self.version == 1 { place } else { place / ALIGNMENT }
    }

    /// The entry at a place. `sequential`: the next one asked for is the next one in the file.
    pub fn entry<'a>(&self, place: u64, sequential: bool, window: &'a mut Window) -> Result<Entry<'a>> {
        let want = if sequential { SEQUENTIAL_BYTES } else { RANDOM_BYTES };
        let (len, header) = {
            let bytes = window.up_to(&self.file, place, 10, want)?;
            let mut cursor = Cursor::new(bytes);
            let len = cursor.uvarint().map_err(|fault| self.file.fault(place, fault))?;
            (len, bytes.len() - cursor.len())
        };
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_ENTRY_BYTES);
        let len = len.ok_or_else(|| self.file.fault(place, "the entry of a series is too long"))?;
        let bytes = window.get(&self.file, place, header + len + 4, want)?;
        let (entry, sum) = bytes[header..].split_at(len);
        if crc32c::checksum(entry).to_be_bytes() != sum {
            return Err(self.file.fault(place, "the checksum of a series is wrong"));
        }
        Ok(Entry::of(Cursor::new(entry)))
    }

    pub fn fault(&self, place: u64, fault: Fault) -> crate::error::Error {
        self.file.fault(place, fault)
    }
}

fn postings_entry(cursor: &mut Cursor<'_>) -> Result<(bool, u64), Fault> {
    if cursor.uvarint()? != 2 {
        return Err(Fault::new("a posting list is not of a name and a value"));
    }
    let (name, value) = (cursor.prefixed()?, cursor.prefixed()?);
    let list = cursor.uvarint()?;
    Ok((name.is_empty() && value.is_empty(), list))
}

/// A length of four bytes, so many bytes, which are returned, and their checksum.
fn section(file: &SourceFile, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read(offset, 4, &mut bytes)?;
    let len = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    file.read(offset + 4, len + 4, &mut bytes)?;
    let sum = bytes.split_off(len);
    if crc32c::checksum(&bytes).to_be_bytes() != sum[..] {
        return Err(file.fault(offset, "the checksum of a section is wrong"));
    }
    Ok(bytes)
}

impl Symbols {
    fn read(file: &SourceFile, offset: u64, version: u8) -> Result<Self> {
        let bytes = section(file, offset)?;
        let mut cursor = Cursor::new(&bytes);
        let mut symbols = Self { text: String::new(), starts: vec![0], offsets: Vec::new() };
        let mut read = || {
            let count = cursor.u32()?;
            for _ in 0..count {
                // From the start of the file, behind the length of the section.
                let at = offset + 4 + (bytes.len() - cursor.len()) as u64;
                symbols.text.push_str(cursor.text()?);
                if version == 1 {
                    let at = u32::try_from(at).map_err(|_| Fault::new("an index of version 1 is too long"))?;
                    symbols.offsets.push(at);
                }
                let end = u32::try_from(symbols.text.len()).map_err(|_| Fault::new("too many names and values"))?;
                symbols.starts.push(end);
            }
            Ok(())
        };
        read().map_err(|fault: Fault| file.fault(offset, fault))?;
        Ok(symbols)
    }

    fn get(&self, version: u8, reference: u64) -> Option<&str> {
        let at = match version {
            1 => self.offsets.binary_search(&u32::try_from(reference).ok()?).ok()?,
            _ => usize::try_from(reference).ok()?,
        };
        let (start, end) = (*self.starts.get(at)?, *self.starts.get(at.checked_add(1)?)?);
        self.text.get(start as usize..end as usize)
    }
}

/// What the index says of one series: labels first, then chunks.
#[derive(Debug)]
pub struct Entry<'a> {
    cursor: Cursor<'a>,
}

impl<'e> Entry<'e> {
    pub fn of(cursor: Cursor<'e>) -> Self {
        Self { cursor }
    }

    /// Appends the labels, which are sorted by name.
    pub fn labels<'i>(&mut self, index: &'i Index, labels: &mut Vec<(&'i str, &'i str)>) -> Result<(), Fault> {
        let count = self.cursor.count(2)?;
        for _ in 0..count {
            let (name, value) = (self.cursor.uvarint()?, self.cursor.uvarint()?);
            let get = |reference| index.symbols.get(index.version, reference);
            match (get(name), get(value)) {
                (Some(name), Some(value)) if labels.last().is_none_or(|(last, _)| *last < name) => {
                    labels.push((name, value));
                }
                (Some(_), Some(_)) => return Err(Fault::new("the labels of a series are not sorted")),
                _ => return Err(Fault::new("a label is none of the names and values there are")),
            }
        }
        Ok(())
    }

    pub fn skip_labels(&mut self) -> Result<(), Fault> {
        for _ in 0..self.cursor.count(2)? {
            self.cursor.uvarint()?;
            self.cursor.uvarint()?;
        }
        Ok(())
    }

    /// Shows every chunk; the labels must have been taken. Returns how many there are.
    pub fn chunks(mut self, mut visit: impl FnMut(ChunkPlace)) -> Result<usize, Fault> {
        let cursor = &mut self.cursor;
        let count = cursor.count(3)?;
        let (mut time, mut reference) = (0i64, 0i64);
        for at in 0..count {
            let delta = if at == 0 { cursor.varint()? } else { cursor.uvarint()?.cast_signed() };
            let min_time = time.wrapping_add(delta);
            let max_time = min_time.wrapping_add(cursor.uvarint()?.cast_signed());
            let step = if at == 0 { cursor.uvarint()?.cast_signed() } else { cursor.varint()? };
            reference = reference.wrapping_add(step);
            if max_time < min_time {
                return Err(Fault::new("a chunk ends before it begins"));
            }
            let place = reference.cast_unsigned();
            visit(ChunkPlace { segment: (place >> 32) as u32, offset: place as u32, min_time, max_time });
            time = max_time;
        }
        Ok(count)
    }
}

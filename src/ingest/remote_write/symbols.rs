//! The symbol table of Remote Write 2.0. A request numbers its strings as it likes, so each is hashed once, and the key
//! of a series is taken of the hashes of its labels: it is the same in every request, and nothing is decoded for it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

use crate::ingest::labels::MAX_LABELS;
use crate::ingest::remote_write::decode::{DecodeError, LabelFields, MAX_ROWS, Pairs};
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::metadata::MetricType;

const SYMBOLS_TAG: u8 = 4 << 3 | 2;
/// Tells keys of references from keys of labels in full.
const KEY_SEED: u64 = 2;
/// Tells a name from a value; any large odd number will do.
const LABEL_FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
/// References that are shown of a series whose references are wrong.
const SHOWN_REFS: usize = 64;

#[derive(Debug, Default)]
pub struct Symbols<'a> {
    symbols: Vec<&'a [u8]>,
    hashes: Vec<u128>,
    /// Hashes of the labels of one series, as bytes; as long as it ever was.
    series: Vec<u8>,
}

/// The metadata of a series, by references; `kind` and both references 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataRefs {
    pub kind: MetricType,
    pub help: u32,
    pub unit: u32,
}

/// References that lead nowhere, in Prometheus' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolError {
    Labels(String),
    Metadata(String),
}

impl<'a> Symbols<'a> {
    /// Reads the table. Errors: too many of them.
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(message);
        loop {
            while let Some(symbol) = reader.short(SYMBOLS_TAG) {
                self.push(symbol)?;
            }
            match reader.field()? {
                None => return Ok(()),
                Some((4, Value::Bytes(symbol))) => self.push(symbol)?,
                Some((4, _)) => return Err(DecodeError::Malformed),
                Some(_) => {}
            }
        }
    }

    #[inline]
    fn push(&mut self, symbol: &'a [u8]) -> Result<(), DecodeError> {
        if self.symbols.len() == MAX_ROWS {
            let text = format!("the request has too many symbols: the limit is {MAX_ROWS}");
            return Err(DecodeError::Invalid(text));
        }
        self.symbols.push(symbol);
        self.hashes.push(xxh3_128(symbol));
        Ok(())
    }

    /// Gives the memory of a table to one of another request.
    pub fn recycled<'b>(mut self) -> Symbols<'b> {
        self.symbols.clear();
        self.hashes.clear();
        let symbols = self.symbols.into_iter().map(|_| -> &'b [u8] { unreachable!("it was cleared") }).collect();
        Symbols { symbols, hashes: self.hashes, series: self.series }
    }

    /// Symbols there is memory for.
    pub fn capacity(&self) -> usize {
        self.symbols.capacity().max(self.series.capacity() / size_of::<u128>())
    }

    /// Bytes that the table takes, without the text.
    pub fn bytes(&self) -> usize {
        self.symbols.len() * (size_of::<&[u8]>() + size_of::<u128>())
    }

    /// The key of a series, or why it has none: a hash of its labels, each with 128 bits of its name and its value.
    #[inline]
    pub fn key(&mut self, fields: LabelFields<'_>) -> Result<Result<u128, SymbolError>, Malformed> {
        let (mut name, mut count, mut in_range, mut end) = (None, 0usize, true, 0);
        each_ref(fields.clone(), |symbol| {
            count += 1;
            let Some(hash) = self.hashes.get(symbol as usize).copied() else {
                in_range = false;
                return;
            };
            let Some(named) = name.take() else {
                name = Some(hash);
                return;
            };
            if self.series.len() < end + size_of::<u128>() {
                self.series.resize(2 * end + 512, 0);
            }
            let label = u128::wrapping_mul(named, LABEL_FACTOR).wrapping_add(hash);
            self.series[end..end + size_of::<u128>()].copy_from_slice(&label.to_le_bytes());
            end += size_of::<u128>();
        })?;
        if in_range && count.is_multiple_of(2) {
            return Ok(Ok(xxh3_128_with_seed(&self.series[..end], KEY_SEED)));
        }
        let refs = refs_text(fields.clone());
        let odd = !count.is_multiple_of(2);
        let why = if odd { format!("invalid labelRefs length {count}") } else { self.out_of_range(fields) };
        Ok(Err(SymbolError::Labels(format!("parsing labels for series {refs}: {why}"))))
    }

    /// Adds the pairs of a series, whose references are in range where it has a key.
    pub fn pairs(&self, fields: LabelFields<'_>, pairs: &mut Pairs<'a>) -> Result<(), Malformed> {
        let mut name = None;
        each_ref(fields, |symbol| match name.take() {
            None => name = Some(self.text(symbol)),
            // One too many is enough to be refused for it.
            Some(name) if pairs.len() <= MAX_LABELS => pairs.push((name, self.text(symbol))),
            Some(_) => {}
        })
    }

    /// Bytes of the text that references stand for.
    pub fn text_bytes(&self, fields: LabelFields<'_>) -> Result<usize, Malformed> {
        let mut bytes = 0;
        each_ref(fields, |symbol| bytes += self.text(symbol).len())?;
        Ok(bytes)
    }

    /// The labels of an exemplar, or why there are none.
    pub fn exemplar_pairs(&self, refs: &[u32], pairs: &mut Pairs<'a>) -> Result<(), String> {
        if !refs.len().is_multiple_of(2) {
            return Err(format!("invalid labelRefs length {}", refs.len()));
        }
        for pair in refs.chunks_exact(2) {
            match (self.symbols.get(pair[0] as usize), self.symbols.get(pair[1] as usize)) {
                (Some(name), Some(value)) => pairs.push((name, value)),
                _ => return Err(self.outside(pair[0], pair[1])),
            }
        }
        Ok(())
    }

    pub fn check_metadata(&self, refs: MetadataRefs, labels: impl FnOnce() -> String) -> Option<SymbolError> {
        if refs == MetadataRefs::default() {
            return None;
        }
        let size = self.symbols.len();
        let wrong =
            [("unit_ref", refs.unit), ("help_ref", refs.help)].into_iter().find(|(_, r)| *r as usize >= size);
        wrong.map(|(name, symbol)| {
            SymbolError::Metadata(format!(
                "parsing metadata for series {}: metadata {name} {symbol} outside of symbols table (size {size})",
                labels()
            ))
        })
    }

    /// What says whether metadata is that of before; 0 only where there is none.
    pub fn metadata_hash(&self, refs: MetadataRefs) -> u32 {
        let (help, unit) = (self.metadata_text(refs.help), self.metadata_text(refs.unit));
        if refs.kind == MetricType::Unknown && help.is_empty() && unit.is_empty() {
            return 0;
        }
        let hash = |symbol: u32| self.hashes.get(symbol as usize).filter(|_| symbol != 0).copied().unwrap_or(0);
        let mut bytes = [0; 33];
        bytes[..16].copy_from_slice(&hash(refs.help).to_le_bytes());
        bytes[16..32].copy_from_slice(&hash(refs.unit).to_le_bytes());
        bytes[32] = refs.kind as u8;
        (xxh3_64(&bytes) as u32).max(1)
    }

    /// The text of help or unit, of which 0 is none whatever the first symbol is.
    pub fn metadata_text(&self, symbol: u32) -> &'a [u8] {
        if symbol == 0 { &[] } else { self.text(symbol) }
    }

    /// The empty text for a reference that leads nowhere.
    pub fn text(&self, symbol: u32) -> &'a [u8] {
        self.symbols.get(symbol as usize).copied().unwrap_or_default()
    }

    /// The first pair of a series that is not in the table.
    fn out_of_range(&self, fields: LabelFields<'_>) -> String {
        let (mut name, mut found) = (None, None);
        let size = self.symbols.len();
        let _ = each_ref(fields, |symbol| match name.take() {
            None => name = Some(symbol),
            Some(name) if found.is_none() && (name as usize >= size || symbol as usize >= size) => {
                found = Some((name, symbol));
            }
            Some(_) => {}
        });
        let (name, value) = found.unwrap_or_default();
        self.outside(name, value)
    }

    fn outside(&self, name: u32, value: u32) -> String {
        let size = self.symbols.len();
        format!("labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})")
    }
}

impl MetadataRefs {
    pub fn read(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Varint(kind)) => self.kind = MetricType::from_number(kind as i32),
                // A uint32 is what is left of a larger number.
                (3, Value::Varint(symbol)) => self.help = symbol as u32,
                (4, Value::Varint(symbol)) => self.unit = symbol as u32,
                (1 | 3 | 4, _) => return Err(Malformed),
                _ => {}
            }
        }
        Ok(())
    }
}

/// References of a series as Go prints a slice.
pub fn refs_text(fields: LabelFields<'_>) -> String {
    let mut refs = Vec::new();
    let mut more = false;
    let _ = each_ref(fields, |symbol| match refs.len() < SHOWN_REFS {
        true => refs.push(symbol.to_string()),
        false => more = true,
    });
    format!("[{}{}]", refs.join(" "), if more { " ..." } else { "" })
}

#[inline]
fn each_ref(fields: LabelFields<'_>, mut take: impl FnMut(u32)) -> Result<(), Malformed> {
    for field in fields {
        refs_of(field?, &mut take)?;
    }
    Ok(())
}

/// The references of one field, packed or not.
#[inline]
pub fn refs_of(field: Value<'_>, mut take: impl FnMut(u32)) -> Result<(), Malformed> {
    match field {
        Value::Varint(symbol) => take(symbol as u32),
        Value::Bytes(packed) => {
            let mut rest = packed;
            // Most take one byte or two.
            loop {
                match rest {
                    [] => break,
                    [low @ 0..=0x7f, more @ ..] => {
                        take(u32::from(*low));
                        rest = more;
                    }
                    [low, high @ 0..=0x7f, more @ ..] => {
                        take(u32::from(*low & 0x7f) | u32::from(*high) << 7);
                        rest = more;
                    }
                    _ => {
                        let mut reader = Reader::new(rest);
                        take(reader.varint()? as u32);
                        rest = reader.rest;
                    }
                }
            }
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

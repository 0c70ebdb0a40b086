//! A file of OpenMetrics as a source, by promtool's rules for `create-blocks-from openmetrics`: every sample has a
//! timestamp, and `# EOF` ends the file. It is read in pieces of whole lines, so it may be larger than memory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::exposition::event::{self, Event, Format, Options, ParseError, Parser, Sample};
use crate::ingest::exposition::series::{Pairs, RawSeries};
use crate::ingest::import::calendar::DATED;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::run::Waiting;
use crate::ingest::import::series::{Added, Ids};
use crate::ingest::import::source::Source;
use crate::ingest::import::spill::Value;
use crate::ingest::import::tsdb::Wanted;
use crate::model::metadata::{Metadata, MetricType};

/// Read at once.
const PIECE_BYTES: usize = 4 << 20;
/// The longest line.
const MAX_LINE_BYTES: usize = 64 << 20;
const END: &[u8] = b"# EOF\n";
const TYPE: &[u8] = b"# TYPE ";

/// The file as a source. Its contents stand for it, wherever it lies.
pub fn source(path: &Path, wanted: &Wanted) -> Result<Waiting> {
    let (hash, len) = hash_of(path)?;
    let added = Arc::new(Added::new(wanted.labels.iter().cloned())?);
    let (path, memory_bytes) = (path.to_path_buf(), wanted.memory_bytes);
    Ok(Waiting {
        name: path.display().to_string(),
        application: format!("import-openmetrics-{hash:016x}-{len}{}", wanted.key()?),
        times: DATED,
        samples: 0,
        open: Box::new(move |ids: &Mutex<Ids>| {
            let mut collected = Collected::new(added, memory_bytes);
            Reader::open(&path)?.read(&mut collected)?;
            Ok(Source::of_collected(collected, ids))
        }),
    })
}

fn hash_of(path: &Path) -> Result<(u64, u64)> {
    let failed = || format!("cannot read {}", path.display());
    let mut file = File::open(path).context(ErrorKind::BadInput, failed)?;
    let (mut hash, mut len) = (Xxh3::new(), 0);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut buffer).context(ErrorKind::BadInput, failed)? {
            0 => return Ok((hash.digest(), len)),
            read => {
                hash.update(&buffer[..read]);
                len += read as u64;
            }
        }
    }
}

/// A file on its way through the parser, which takes bodies as a whole: each piece gets the type of the family that the
/// one before ended with, and an end, in which it differs from a body.
struct Reader {
    file: File,
    path: PathBuf,
    /// The line with the type of the family in progress.
    kind: Vec<u8>,
    /// Bytes read and not parsed yet: the last line, which may be a part of one.
    rest: Vec<u8>,
    lines: usize,
    /// Slots by the text of a series, for each type of families.
    slots: HashMap<Key, Option<u32>>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(ErrorKind::BadInput, || format!("cannot open {}", path.display()))?;
        let (path, slots) = (path.to_path_buf(), HashMap::new());
        Ok(Self { file, path, kind: Vec::new(), rest: Vec::new(), lines: 0, slots })
    }

    fn read(mut self, collected: &mut Collected) -> Result<()> {
        loop {
            let before = self.rest.len();
            let read = (&mut self.file).take(PIECE_BYTES as u64).read_to_end(&mut self.rest);
            let read = read.context(ErrorKind::Unavailable, || format!("cannot read {}", self.path.display()))?;
            if read == 0 {
                let last = std::mem::take(&mut self.rest);
                return self.piece(&last, true, collected);
            }
            let Some(end) = memchr::memrchr(b'\n', &self.rest[before..]).map(|at| before + at + 1) else {
                if self.rest.len() > MAX_LINE_BYTES {
                    return Err(self.fault(1, format!("a line of more than {MAX_LINE_BYTES} bytes")));
                }
                continue;
            };
            let mut piece = std::mem::take(&mut self.rest);
            self.rest = piece.split_off(end);
            // The end of a file is parsed with what comes before it, and is known when nothing comes behind.
            if let Some(at) = start_of_end(&piece) {
                let tail = piece.split_off(at);
                self.rest.splice(..0, tail);
            }
            self.piece(&piece, false, collected)?;
        }
    }

    /// Parses whole lines. Only the last piece has the file's own end.
    fn piece(&mut self, piece: &[u8], is_last: bool, collected: &mut Collected) -> Result<()> {
        let mut body = Vec::with_capacity(self.kind.len() + piece.len() + END.len());
        body.extend(&self.kind);
        let own_lines = usize::from(!self.kind.is_empty());
        body.extend(piece);
        if !is_last {
            body.extend(END);
        }
        self.parse(&body, own_lines, collected)?;
        self.lines += memchr::memchr_iter(b'\n', piece).count();
        if let Some(kind) = last_type(piece) {
            self.kind = kind.to_vec();
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8], own_lines: usize, collected: &mut Collected) -> Result<()> {
        let mut parser = Parser::new(Format::OpenMetrics, body, Options::default());
        let mut pairs = Vec::new();
        // The series of the line before, as most files have one series behind the other.
        let mut last: Option<(Key, Option<u32>)> = None;
        let at = |error: ParseError| (error.line.unwrap_or(0).saturating_sub(own_lines), error.message);
        while let Some(event) = parser.next() {
            let event = event.map_err(at).map_err(|(line, message)| self.fault(line, message))?;
            match event {
                Event::Sample(sample) => {
                    let parsed = self.sample(&sample, &mut last, &mut pairs, collected);
                    if let Some(failure) = collected.failure() {
                        return Err(failure);
                    }
                    let (line, message) = match parsed {
                        Ok(()) => continue,
                        Err(message) => at(parser.error(message)),
                    };
                    return Err(self.fault(line, message));
                }
                Event::Type { family, kind } => metadata(collected, &family).kind = kind,
                Event::Help { family, text } => metadata(collected, &family).help = text.into_owned(),
                Event::Unit { family, unit } => metadata(collected, &family).unit = unit.to_string(),
            }
        }
        Ok(())
    }

    fn sample<'a>(
        &mut self,
        sample: &Sample<'a>,
        last: &mut Option<(Key, Option<u32>)>,
        pairs: &mut Pairs<'a>,
        collected: &mut Collected,
    ) -> Result<(), String> {
        let key = key_of(&sample.series);
        let slot = match last {
            Some((known, slot)) if *known == key => *slot,
            _ => self.slot(key, sample, pairs, collected)?,
        };
        *last = Some((key, slot));
        let Some(timestamp) = sample.timestamp else {
            sample.series.decode(pairs)?;
            let labels =
                crate::model::labels::Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())));
            return Err(format!("expected timestamp for series {labels}, got none"));
        };
        let Some(slot) = slot else { return Ok(()) };
        let value = match &sample.value {
            event::Value::Float(value) => Value::Float(*value),
            event::Value::Histogram(histogram) => Value::Histogram(histogram),
        };
        collected.push(slot, timestamp, 0, value).map_err(|fault| fault.to_string())?;
        for exemplar in &sample.exemplars {
            exemplar.labels.decode(pairs)?;
            let borrowed: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
            collected.push_exemplar(slot, exemplar.timestamp.unwrap_or(timestamp), exemplar.value, &borrowed);
        }
        Ok(())
    }

    fn slot<'a>(
        &mut self,
        key: Key,
        sample: &Sample<'a>,
        pairs: &mut Pairs<'a>,
        collected: &mut Collected,
    ) -> Result<Option<u32>, String> {
        if let Some(slot) = self.slots.get(&key) {
            return Ok(*slot);
        }
        sample.series.decode(pairs)?;
        let mut sorted: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        sorted.sort_unstable();
        let slot = collected.intern(&sorted);
        self.slots.insert(key, slot);
        Ok(slot)
    }

    fn fault(&self, line: usize, message: String) -> Error {
        Error::bad_input(format!("{}: line {}: {message}", self.path.display(), self.lines + line))
    }
}

/// A series by the hash of its text, and the type of its family, which labels are read by.
type Key = (u128, Option<MetricType>);

fn key_of(series: &RawSeries<'_>) -> Key {
    let kind = match series {
        RawSeries::Text(series) => Some(series.kind),
        _ => None,
    };
    (series.key(), kind)
}

fn metadata<'a>(collected: &'a mut Collected, family: &str) -> &'a mut Metadata {
    let unknown = || Metadata { kind: MetricType::Unknown, help: String::new(), unit: String::new() };
    if !collected.metadata.contains_key(family) {
        collected.metadata.insert(family.to_string(), unknown());
    }
    collected.metadata.get_mut(family).expect("it was just put there")
}

/// Where the last line begins, if it is the end of the file.
fn start_of_end(piece: &[u8]) -> Option<usize> {
    let start = piece.len().checked_sub(END.len())?;
    (&piece[start..] == END && (start == 0 || piece[start - 1] == b'\n')).then_some(start)
}

/// The last line that tells a type.
fn last_type(piece: &[u8]) -> Option<&[u8]> {
    let mut end = piece.len();
    loop {
        let at = memchr::memmem::rfind(&piece[..end], TYPE)?;
        if at == 0 || piece[at - 1] == b'\n' {
            let len = memchr::memchr(b'\n', &piece[at..]).map_or(piece.len() - at, |len| len + 1);
            return Some(&piece[at..at + len]);
        }
        end = at;
    }
}

#[cfg(test)]
mod tests;

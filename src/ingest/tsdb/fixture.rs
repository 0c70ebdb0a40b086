//! Blocks and logs for tests, written after Prometheus' description of its formats.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::ingest::tsdb::crc32c;

/// A chunk: its encoding, the first and the last timestamp, and its data.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub encoding: u8,
    pub min_time: i64,
    pub max_time: i64,
    pub data: Vec<u8>,
}

impl Chunk {
    /// Floats.
    pub fn of(samples: &[(i64, f64)]) -> Self {
        let data = crate::ingest::tsdb::chunk::encode::xor(samples);
        Self { encoding: 1, min_time: samples[0].0, max_time: samples[samples.len() - 1].0, data }
    }
}

pub type OwnPairs = Vec<(String, String)>;

/// What a block has.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    pub series: Vec<(OwnPairs, Vec<Chunk>)>,
    /// Number of the series in the order of labels, and the deleted times.
    pub deleted: Vec<(usize, i64, i64)>,
    pub version_1: bool,
    /// Chunks of a file; 0 for all.
    pub chunks_per_file: usize,
    /// Added to `meta.json`.
    pub meta: Option<serde_json::Value>,
}

impl Fixture {
    pub fn series(mut self, labels: &[(&str, &str)], chunks: Vec<Chunk>) -> Self {
        let mut pairs: Vec<_> = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        pairs.sort();
        self.series.push((pairs, chunks));
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// Writes the block below a folder.
    pub fn write(&self, folder: &Path, ulid: &str) -> PathBuf {
        let block = folder.join(ulid);
        std::fs::create_dir_all(block.join("chunks")).unwrap();
        let references = self.write_chunks(&block.join("chunks"));
        let (index, ids) = self.index(&references);
        std::fs::write(block.join("index"), index).unwrap();
        std::fs::write(block.join("tombstones"), self.tombstones(&ids)).unwrap();
        let chunks = self.series.iter().flat_map(|(_, chunks)| chunks);
        let mut meta = serde_json::json!({
            "ulid": ulid,
            "minTime": chunks.clone().map(|chunk| chunk.min_time).min().unwrap_or(0),
            "maxTime": chunks.map(|chunk| chunk.max_time + 1).max().unwrap_or(0),
            "stats": {"numSeries": self.series.len()},
            "compaction": {"level": 1, "sources": [ulid]},
            "version": 1,
        });
        for (key, value) in self.meta.iter().flat_map(|meta| meta.as_object().unwrap()) {
            meta[key] = value.clone();
        }
        std::fs::write(block.join("meta.json"), meta.to_string()).unwrap();
        block
    }

    fn write_chunks(&self, folder: &Path) -> Vec<Vec<u64>> {
        let mut files: Vec<Vec<u8>> = Vec::new();
        let mut in_file = 0;
        let mut references = Vec::new();
        for (_, chunks) in &self.series {
            references.push(Vec::new());
            for chunk in chunks {
                if files.is_empty() || (self.chunks_per_file > 0 && in_file == self.chunks_per_file) {
                    files.push([0x85bd_40ddu32.to_be_bytes(), [1, 0, 0, 0]].concat());
                    in_file = 0;
                }
                in_file += 1;
                let segment = files.len() - 1;
                let file = &mut files[segment];
                references.last_mut().unwrap().push((segment as u64) << 32 | file.len() as u64);
                put_uvarint(chunk.data.len() as u64, file);
                let start = file.len();
                file.push(chunk.encoding);
                file.extend(&chunk.data);
                let sum = crc32c::checksum(&file[start..]);
                file.extend(sum.to_be_bytes());
            }
        }
        for (at, file) in files.iter().enumerate() {
            std::fs::write(folder.join(format!("{:06}", at + 1)), file).unwrap();
        }
        references
    }

    fn index(&self, references: &[Vec<u64>]) -> (Vec<u8>, Vec<u64>) {
        let mut index = 0xbaaa_d700u32.to_be_bytes().to_vec();
        index.push(if self.version_1 { 1 } else { 2 });
        let pairs = self.series.iter().flat_map(|(pairs, _)| pairs);
        let texts: BTreeSet<&str> = pairs.flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
        let symbols_at = index.len() as u64;
        let mut symbols = (texts.len() as u32).to_be_bytes().to_vec();
        let mut numbers = BTreeMap::new();
        for (at, text) in texts.into_iter().enumerate() {
            let offset = symbols_at + 4 + symbols.len() as u64;
            numbers.insert(text, if self.version_1 { offset } else { at as u64 });
            put_uvarint(text.len() as u64, &mut symbols);
            symbols.extend(text.as_bytes());
        }
        put_section(&symbols, &mut index);
        let series_at = index.len() as u64;
        let mut ids = Vec::new();
        for ((pairs, chunks), references) in self.series.iter().zip(references) {
            if !self.version_1 {
                index.resize(index.len().next_multiple_of(16), 0);
            }
            ids.push(if self.version_1 { index.len() as u64 } else { index.len() as u64 / 16 });
            let mut entry = Vec::new();
            put_uvarint(pairs.len() as u64, &mut entry);
            for (name, value) in pairs {
                put_uvarint(numbers[name.as_str()], &mut entry);
                put_uvarint(numbers[value.as_str()], &mut entry);
            }
            put_uvarint(chunks.len() as u64, &mut entry);
            let (mut time, mut reference) = (0i64, 0i64);
            for (at, (chunk, place)) in chunks.iter().zip(references).enumerate() {
                match at {
                    0 => put_varint(chunk.min_time, &mut entry),
                    _ => put_uvarint(chunk.min_time.wrapping_sub(time) as u64, &mut entry),
                }
                put_uvarint((chunk.max_time - chunk.min_time) as u64, &mut entry);
                match at {
                    0 => put_uvarint(*place, &mut entry),
                    _ => put_varint(*place as i64 - reference, &mut entry),
                }
                (time, reference) = (chunk.max_time, *place as i64);
            }
            put_uvarint(entry.len() as u64, &mut index);
            index.extend(&entry);
            index.extend(crc32c::checksum(&entry).to_be_bytes());
        }
        let all_at = index.len() as u64;
        let mut list = (ids.len() as u32).to_be_bytes().to_vec();
        ids.iter().for_each(|id| list.extend((*id as u32).to_be_bytes()));
        put_section(&list, &mut index);
        let table_at = index.len() as u64;
        let mut table = 1u32.to_be_bytes().to_vec();
        table.extend([2, 0, 0]);
        put_uvarint(all_at, &mut table);
        put_section(&table, &mut index);
        let contents: Vec<u8> =
            [symbols_at, series_at, 0, 0, all_at, table_at].iter().flat_map(|at| at.to_be_bytes()).collect();
        index.extend(&contents);
        index.extend(crc32c::checksum(&contents).to_be_bytes());
        (index, ids)
    }

    fn tombstones(&self, ids: &[u64]) -> Vec<u8> {
        let mut stones = Vec::new();
        for (series, first, last) in &self.deleted {
            put_uvarint(ids[*series], &mut stones);
            put_varint(*first, &mut stones);
            put_varint(*last, &mut stones);
        }
        let mut file = 0x0130_ba30u32.to_be_bytes().to_vec();
        file.push(1);
        file.extend(&stones);
        file.extend(crc32c::checksum(&stones).to_be_bytes());
        file
    }
}

fn put_section(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
    out.extend(crc32c::checksum(bytes).to_be_bytes());
}

pub fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_varint(value: i64, out: &mut Vec<u8>) {
    put_uvarint(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Numbered segments of a log, uncompressed, each of some records.
pub fn write_log(folder: &Path, segments: &[Vec<Vec<u8>>]) {
    std::fs::create_dir_all(folder).unwrap();
    for (at, records) in segments.iter().enumerate() {
        let records: Vec<_> = records.iter().map(|record| (0, record.clone())).collect();
        let pages = crate::ingest::tsdb::wal::pages::write::pages(&records);
        std::fs::write(folder.join(format!("{at:08}")), pages).unwrap();
    }
}

/// A record of new series.
pub fn series_record(series: &[(u64, &[(&str, &str)])]) -> Vec<u8> {
    let mut record = vec![1];
    for (reference, pairs) in series {
        record.extend(reference.to_be_bytes());
        put_pairs(pairs, &mut record);
    }
    record
}

pub fn put_pairs(pairs: &[(&str, &str)], record: &mut Vec<u8>) {
    put_uvarint(pairs.len() as u64, record);
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        put_uvarint(text.len() as u64, record);
        record.extend(text.as_bytes());
    }
}

/// A record of floats.
pub fn samples_record(samples: &[(u64, i64, f64)]) -> Vec<u8> {
    let mut record = vec![2];
    let (first, time, _) = samples[0];
    record.extend(first.to_be_bytes());
    record.extend(time.to_be_bytes());
    for (reference, t, value) in samples {
        put_varint(*reference as i64 - first as i64, &mut record);
        put_varint(t - time, &mut record);
        record.extend(value.to_bits().to_be_bytes());
    }
    record
}

//! Blocks as a whole, from files that the tests write.

use crate::fuzzing::Fuzz;
use crate::ingest::tsdb::block::{Block, Scratch};
use crate::ingest::tsdb::fixture::{Chunk, Fixture};
use crate::model::sample::TimeRange;
use crate::storage::types::Run;

const ULID: &str = "01BX5ZZKBKACTAV9WEVGEMMVRA";

fn samples(times: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    times.map(|t| (t * 10, t as f64)).collect()
}

fn fixture() -> Fixture {
    Fixture::default()
        .series(&[("__name__", "a"), ("job", "x")], vec![Chunk::of(&samples(0..50)), Chunk::of(&samples(50..120))])
        .series(&[("__name__", "a"), ("job", "y")], vec![Chunk::of(&samples(7..8))])
        .series(&[("__name__", "b"), ("Upper", "é")], vec![Chunk::of(&samples(100..180))])
}

/// Labels and samples.
type Read = (String, Vec<(i64, f64)>);

/// Every series with its samples within a range.
fn read(block: &Block, range: TimeRange) -> crate::error::Result<Vec<Read>> {
    let mut places = Vec::new();
    block.series(|place, pairs, _| {
        places.push((place, pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",")));
        Ok(())
    })?;
    let mut scratch = Scratch::default();
    places
        .into_iter()
        .map(|(place, labels)| {
            let mut run = Run::default();
            block.read(place, range, &mut scratch, &mut run)?;
            Ok((labels, run.timestamps.into_iter().zip(run.values).collect()))
        })
        .collect()
}

#[test]
fn blocks_of_both_versions() {
    for version_1 in [false, true] {
        for chunks_per_file in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let deleted = vec![(1, 100, 190), (1, 300, 300), (2, i64::MIN, i64::MAX)];
            let fixture = Fixture { version_1, chunks_per_file, deleted, ..fixture() };
            let block = Block::open(&fixture.write(folder.path(), ULID)).unwrap();
            // Series are in the order of their labels, in which the upper case comes first.
            let kept = samples(0..120).into_iter().filter(|(t, _)| !(100..=190).contains(t) && *t != 300);
            assert_eq!(
                read(&block, TimeRange::ALL).unwrap(),
                [
                    ("Upper=é,__name__=b".to_string(), samples(100..180)),
                    ("__name__=a,job=x".to_string(), kept.collect::<Vec<_>>()),
                    ("__name__=a,job=y".to_string(), vec![]),
                ]
            );
            let within = read(&block, TimeRange::new(480, 520)).unwrap();
            assert_eq!(within[1].1, samples(48..53));
            assert_eq!(within[0].1, []);
        }
    }
}

#[test]
fn damaged_blocks_name_file_and_offset() {
    let check = |file: &str, change: &dyn Fn(&mut Vec<u8>), parts: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = fixture().write(folder.path(), ULID).join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let read = Block::open(&folder.path().join(ULID)).and_then(|block| read(&block, TimeRange::ALL));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(file) && parts.iter().all(|part| error.contains(part)), "{error}");
    };
    check("index", &|bytes| bytes[0] = 0, &["offset 0", "no index"]);
    check("index", &|bytes| bytes[4] = 3, &["offset 4", "version 3"]);
    check("index", &|bytes| bytes.truncate(bytes.len() - 1), &["table of contents"]);
    check("index", &|bytes| bytes[12] ^= 1, &["offset 5", "checksum of a section"]);
    check("index", &|bytes| bytes.clear(), &["ends too early"]);
    check("chunks/000001", &|bytes| bytes[0] = 0, &["no file of chunks"]);
    check("chunks/000001", &|bytes| bytes[40] ^= 1, &["offset 8", "checksum of a chunk"]);
    check("chunks/000001", &|bytes| bytes.truncate(60), &["ends too early"]);
    check("tombstones", &|bytes| bytes.truncate(3), &["offset 0"]);
    let folder = tempfile::tempdir().unwrap();
    let block = fixture().write(folder.path(), ULID);
    std::fs::remove_file(block.join("chunks/000001")).unwrap();
    let error = read(&Block::open(&block).unwrap(), TimeRange::ALL).unwrap_err().to_string();
    assert!(error.contains("refers to chunk file 1 and there are 0"), "{error}");
}

/// A downsampled block that does not say so, as somebody may have changed its `meta.json`.
#[test]
fn chunks_of_aggregates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let chunk = Chunk { encoding: 0xff, min_time: 0, max_time: 1, data: vec![1, 2, 3] };
    let fixture = Fixture::default().series(&[("__name__", "a")], vec![chunk]);
    let block = Block::open(&fixture.write(folder.path(), ULID)).unwrap();
    let error = read(&block, TimeRange::ALL).unwrap_err().to_string();
    assert!(error.contains("aggregates, which only downsampled blocks have"), "{error}");
}

/// Changed files are read or refused, and never more than that. Checksums are made right again in some, so that what is
/// behind them is tested too.
#[test]
fn changed_blocks() {
    let mut fuzz = Fuzz::new(600);
    let folder = tempfile::tempdir().unwrap();
    let mut refused = 0;
    while fuzz.goes_on() {
        let random = &mut fuzz.random;
        let fixture = Fixture { version_1: random.bool(), deleted: vec![(0, 1, 5)], ..fixture() };
        let block = fixture.write(folder.path(), ULID);
        let file = block.join(*random.choice(&["index", "index", "chunks/000001", "tombstones"]).unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(0..8),
                _ => bytes.splice(at..at, [0xff; 3]).for_each(drop),
            }
        }
        if random.u8(0..4) == 0 {
            bytes.truncate(random.usize(0..bytes.len()));
        }
        if file.ends_with("index") && bytes.len() > 52 && random.bool() {
            let contents = bytes.len() - 52;
            let sum = super::crc32c::checksum(&bytes[contents..contents + 48]);
            bytes[contents + 48..].copy_from_slice(&sum.to_be_bytes());
        }
        std::fs::write(&file, bytes).unwrap();
        refused += u64::from(Block::open(&block).and_then(|block| read(&block, TimeRange::ALL)).is_err());
    }
    assert!(refused > fuzz.tried / 2, "{refused} of {} were noticed", fuzz.tried);
}

/// The entries of the index, where the checksums are right.
#[test]
fn changed_entries() {
    use super::bytes::Cursor;
    let mut fuzz = Fuzz::new(50_000);
    while fuzz.goes_on() {
        let random = &mut fuzz.random;
        let mut bytes = vec![1, 0, 1, 3, 0, 8, 16, 4, 2, 4, 4, 2, 4];
        for _ in 0..random.usize(0..4) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(0..=bytes.len()));
        let mut entry = super::index::Entry::of(Cursor::new(&bytes));
        if entry.skip_labels().is_ok() {
            let _ = entry.chunks(|chunk| assert!(chunk.min_time <= chunk.max_time));
        }
    }
}

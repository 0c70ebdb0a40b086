use std::sync::Arc;

use super::*;
use crate::fuzzing::Fuzz;
use crate::ingest::import::series::Added;
use crate::ingest::tsdb::chunk::encode;
use crate::ingest::tsdb::crc32c;
use crate::ingest::tsdb::fixture::{put_uvarint, put_varint, samples_record, series_record, write_log};

fn head(folder: &Path, start_ms: i64) -> Head {
    Head::read(folder, start_ms, Collected::new(Arc::new(Added::default()), 1 << 20)).unwrap()
}

/// Every series of a head with its samples, sorted and each once.
fn of_head(head: &Head) -> Vec<(String, Vec<(i64, f64)>)> {
    let mut all: Vec<_> = head
        .collected
        .slots()
        .map(|slot| {
            let mut run = Run::default();
            head.read_slot(slot.slot, TimeRange::ALL, &mut Vec::new(), &mut run).unwrap();
            let mut samples: Vec<_> = run.timestamps.into_iter().zip(run.values).collect();
            samples.sort_by_key(|(t, _)| *t);
            samples.dedup_by_key(|(t, _)| *t);
            (slot.labels.to_string(), samples)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn chunk_of_head(series: u64, samples: &[(i64, f64)], late: u8) -> Vec<u8> {
    let mut chunk = series.to_be_bytes().to_vec();
    chunk.extend(samples[0].0.to_be_bytes());
    chunk.extend(samples[samples.len() - 1].0.to_be_bytes());
    chunk.push(1 | late);
    let data = encode::xor(samples);
    put_uvarint(data.len() as u64, &mut chunk);
    chunk.extend(data);
    let sum = crc32c::checksum(&chunk);
    chunk.extend(sum.to_be_bytes());
    chunk
}

fn write_chunks(folder: &Path, chunks: &[Vec<u8>]) {
    std::fs::create_dir_all(folder.join("chunks_head")).unwrap();
    let mut file = [0x0130_bc91u32.to_be_bytes(), [1, 0, 0, 0]].concat();
    chunks.iter().for_each(|chunk| file.extend(chunk));
    file.resize(file.len() + 100, 0);
    std::fs::write(folder.join("chunks_head/000001"), file).unwrap();
}

/// By the rules that Prometheus starts with.
#[test]
fn heads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_chunks(
        path,
        &[
            chunk_of_head(1, &[(90, 9.0), (100, 1.0), (110, 2.0)], 0),
            chunk_of_head(1, &[(20, 0.2)], 0x80),
            chunk_of_head(77, &[(100, 1.0)], 0),
        ],
    );
    write_log(
        &path.join("wal"),
        &[
            vec![
                series_record(&[(1, &[("__name__", "a")]), (2, &[("__name__", "b")])]),
                // 99 is before the head, 110 is in a chunk, 105 comes late and is not for this log.
                samples_record(&[(1, 99, 7.0), (1, 110, 7.0), (1, 120, 3.0), (1, 105, 7.0), (2, 100, 5.0)]),
                samples_record(&[(3, 130, 7.0)]),
            ],
            vec![
                // The same series came back under another reference.
                series_record(&[(9, &[("__name__", "b")])]),
                samples_record(&[(9, 110, 6.0), (2, 110, 7.0)]),
                vec![3, 0, 0, 0, 0, 0, 0, 0, 2, 0xc8, 1, 0xca, 1],
            ],
        ],
    );
    write_log(&path.join("wbl"), &[vec![samples_record(&[(1, 30, 0.3), (1, 20, 0.2)]), vec![5]]]);
    let head = head(path, 100);
    assert!(head.notes.is_empty(), "{:?}", head.notes);
    assert_eq!(
        of_head(&head),
        [
            ("a".to_string(), vec![(20, 0.2), (30, 0.3), (100, 1.0), (110, 2.0), (120, 3.0)]),
            // 100 to 101 was deleted.
            ("b".to_string(), vec![(110, 6.0)]),
        ]
    );
}

/// A series that is deleted as a whole has been written to a block; one of the same labels that follows is another one.
#[test]
fn series_that_were_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec![3, 0, 0, 0, 0, 0, 0, 0, 1];
    put_varint(i64::MIN, &mut all);
    put_varint(i64::MAX, &mut all);
    write_log(
        &folder.path().join("wal"),
        &[vec![
            series_record(&[(1, &[("__name__", "a")])]),
            samples_record(&[(1, 100, 1.0)]),
            all,
            series_record(&[(2, &[("__name__", "a")])]),
            samples_record(&[(2, 50, 2.0)]),
        ]],
    );
    assert_eq!(of_head(&head(folder.path(), 0)), [("a".to_string(), vec![(50, 2.0)])]);
}

/// What a crash leaves: chunks that were not written to the end are in the log, and the last record was not acknowledged.
#[test]
fn heads_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let whole = chunk_of_head(1, &[(100, 1.0)], 0);
    let mut cut_off = chunk_of_head(1, &[(110, 2.0)], 0);
    cut_off.truncate(cut_off.len() - 3);
    write_chunks(path, &[whole, cut_off]);
    write_log(
        &path.join("wal"),
        &[vec![
            series_record(&[(1, &[("__name__", "a")])]),
            samples_record(&[(1, 100, 1.0), (1, 110, 2.0)]),
            samples_record(&[(1, 120, 3.0)]),
        ]],
    );
    let log = path.join("wal/00000000");
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 4]).unwrap();
    let head = head(path, 0);
    assert_eq!(of_head(&head), [("a".to_string(), vec![(100, 1.0), (110, 2.0)])]);
    assert!(
        head.notes.iter().any(|note| note.contains("000001") && note.contains("write-ahead log")),
        "{:?}",
        head.notes
    );
    assert!(head.notes.iter().any(|note| note.contains("ends within a record")), "{:?}", head.notes);
}

/// Changed files of a head are read or refused, and never more than that. Checksums of fragments are made right again in
/// some.
#[test]
fn changed_heads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let records = vec![
        series_record(&[(1, &[("__name__", "a")]), (2, &[("__name__", "b"), ("job", "x")])]),
        samples_record(&[(1, 99, 7.0), (1, 110, 7.0), (1, 120, 3.0), (2, 100, 5.0)]),
        vec![3, 0, 0, 0, 0, 0, 0, 0, 2, 0xc8, 1, 0xca, 1],
        samples_record(&[(2, 130, 1.0), (1, 130, 2.0)]),
    ];
    let mut fuzz = Fuzz::new(600);
    let mut refused = 0;
    while fuzz.goes_on() {
        let random = &mut fuzz.random;
        write_chunks(path, &[chunk_of_head(1, &[(90, 9.0), (100, 1.0)], 0), chunk_of_head(2, &[(20, 0.2)], 0x80)]);
        let mut changed = records.clone();
        if random.bool() {
            let record = random.choice(&mut changed).unwrap();
            let at = random.usize(0..record.len());
            record[at] = random.u8(..);
        }
        write_log(&path.join("wal"), &[changed[..2].to_vec(), changed[2..].to_vec()]);
        let file = path.join(*random.choice(&["wal/00000000", "wal/00000001", "chunks_head/000001"]).unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        for _ in 0..random.usize(0..3) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(0..8),
                _ => bytes.truncate(at + 1),
            }
        }
        std::fs::write(&file, bytes).unwrap();
        match Head::read(path, 100, Collected::new(Arc::new(Added::default()), 1 << 20)) {
            Ok(head) => drop(of_head(&head)),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("is damaged at offset"), "{error}");
            }
        }
    }
    assert!(refused > fuzz.tried / 10, "{refused} of {} were noticed", fuzz.tried);
}

use super::*;

fn replay(files: Vec<(&str, Vec<u8>)>) -> (Vec<Vec<u8>>, Result<Option<PathBuf>>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut records = Vec::new();
    let result = Segments::find(folder.path()).and_then(|segments| {
        segments.replay(|record| {
            records.push(record.to_vec());
            Ok(())
        })
    });
    (records, result)
}

fn plain(records: &[&[u8]]) -> Vec<u8> {
    write::pages(&records.iter().map(|record| (0, record.to_vec())).collect::<Vec<_>>())
}

#[test]
fn records_over_pages_and_segments() {
    let long: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
    // What is left of the page behind it is too short for a header.
    let filling = vec![7; 32 * 1024 - 7 - 5];
    let (records, result) = replay(vec![
        ("00000003", plain(&[b"a", &long, b"b"])),
        ("00000004", plain(&[&filling, b"c"])),
        ("00000005", vec![]),
    ]);
    assert_eq!(result.unwrap(), None);
    assert_eq!(records, [b"a".to_vec(), long, b"b".to_vec(), filling, b"c".to_vec()]);
}

/// A segment that was given up within a page ends with zeros or with nothing.
#[test]
fn padded_pages() {
    let mut padded = plain(&[b"a"]);
    padded.resize(32 << 10, 0);
    padded.extend(plain(&[b"b"]));
    let mut short = plain(&[b"c"]);
    short.extend([0; 100]);
    let (records, result) = replay(vec![("00000000", padded), ("00000001", short), ("00000002", plain(&[b"d"]))]);
    assert_eq!(result.unwrap(), None);
    assert_eq!(records, [b"a", b"b", b"c", b"d"]);
}

#[test]
fn compressed_records() {
    let text = b"to be or not to be ".repeat(50);
    let snappy = snap::raw::Encoder::new().compress_vec(&text).unwrap();
    let zstd = zstd::stream::encode_all(text.as_slice(), 3).unwrap();
    let (records, result) = replay(vec![("00000000", write::pages(&[(0x08, snappy), (0x10, zstd)]))]);
    assert_eq!(result.unwrap(), None);
    assert_eq!(records, [text.clone(), text]);
    let wrong = |flags: u8| replay(vec![("00000000", write::pages(&[(flags, vec![0xff; 9])]))]).1.unwrap_err();
    assert!(wrong(0x08).to_string().contains("snappy"), "{}", wrong(0x08));
    assert!(wrong(0x10).to_string().contains("zstd"), "{}", wrong(0x10));
}

/// The newest checkpoint stands for the segments up to its number.
#[test]
fn checkpoints() {
    let (records, result) = replay(vec![
        ("00000006", plain(&[b"old"])),
        ("00000007", plain(&[b"in the checkpoint"])),
        ("00000008", plain(&[b"behind"])),
        ("checkpoint.00000005/00000000", plain(&[b"an older one"])),
        ("checkpoint.00000007/00000000", plain(&[b"first"])),
        ("checkpoint.00000007/00000001", plain(&[b"second"])),
        ("checkpoint.00000008.tmp/00000000", plain(&[b"never finished"])),
    ]);
    assert_eq!(result.unwrap(), None);
    assert_eq!(records, [b"first".to_vec(), b"second".to_vec(), b"behind".to_vec()]);
    let (_, result) = replay(vec![("00000001", vec![]), ("00000003", vec![])]);
    assert!(result.unwrap_err().to_string().contains("segments are missing"));
}

/// Only the end of the log may be cut off.
#[test]
fn torn_records() {
    let whole = plain(&[b"first", &[9; 50_000]]);
    for len in [13, 20, 40_000, whole.len() - 1] {
        let torn = whole[..len].to_vec();
        let (records, result) = replay(vec![("00000000", torn.clone())]);
        assert_eq!(records.first().map(Vec::as_slice), Some(&b"first"[..]), "{len}");
        assert!(result.unwrap().is_some(), "{len}");
        let (_, result) = replay(vec![("00000000", torn.clone()), ("00000001", vec![])]);
        assert!(result.unwrap_err().to_string().contains("00000000 is damaged at offset 12"), "{len}");
        let (_, result) = replay(vec![("checkpoint.00000000/00000000", torn)]);
        assert!(result.is_err(), "{len}");
    }
}

#[test]
fn damage_is_told_with_its_offset() {
    let check = |bytes: Vec<u8>, parts: &[&str]| {
        let error = replay(vec![("00000000", bytes)]).1.unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let mut flipped = plain(&[b"first", b"second"]);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    check(flipped, &["00000000 is damaged at offset 12", "checksum"]);
    let mut middle = plain(&[b"x"]);
    middle[0] = 3;
    check(middle, &["offset 0", "not in order"]);
    let mut padded = plain(&[b"x"]);
    padded.extend([0, 0, 1]);
    padded.resize(40_000, 0);
    check(padded, &["behind the end of a page"]);
    let mut long = plain(&[b"x"]);
    long[1] = 0xff;
    check(long, &["a fragment of"]);
}

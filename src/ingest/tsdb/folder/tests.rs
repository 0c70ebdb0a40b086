use serde_json::json;

use super::*;
use crate::ingest::tsdb::fixture::{Chunk, Fixture};

const A: &str = "01BX5ZZKBKACTAV9WEVGEMMVRA";
const B: &str = "01BX5ZZKBKACTAV9WEVGEMMVRB";
const C: &str = "01BX5ZZKBKACTAV9WEVGEMMVRC";

fn block(start: i64, meta: serde_json::Value) -> Fixture {
    let fixture = Fixture { meta: Some(meta), ..Fixture::default() };
    fixture.series(&[("__name__", "a")], vec![Chunk::of(&[(start, 1.0), (start + 9, 2.0)])])
}

fn found(folder: &Path) -> (Vec<String>, Folder) {
    let folder = Folder::open(folder).unwrap();
    (folder.blocks.iter().map(|block| block.meta.ulid.clone()).collect(), folder)
}

#[test]
fn blocks_that_count() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    block(100, json!({})).write(path, B);
    block(0, json!({"thanos": {"labels": {"replica": "1"}, "downsample": {"resolution": 0}}})).write(path, A);
    std::fs::create_dir(path.join("01BX5ZZKBKACTAV9WEVGEMMVRA.tmp-for-creation")).unwrap();
    std::fs::create_dir(path.join("wal")).unwrap();
    let (ulids, folder) = found(path);
    assert_eq!(ulids, [A, B]);
    assert_eq!(folder.blocks[0].external_labels()["replica"], "1");
    assert_eq!((folder.head, folder.head_start_ms), (None, 110));
    assert!(folder.left_out.is_empty());
    // One block by itself.
    assert_eq!(found(&path.join(A)).0, [A]);
}

#[test]
fn blocks_that_are_left_out() {
    let check = |meta: serde_json::Value, reason: &str| {
        let home = tempfile::tempdir().unwrap();
        block(0, json!({})).write(home.path(), A);
        block(50, meta).write(home.path(), B);
        let (ulids, folder) = found(home.path());
        assert_eq!(ulids, [A]);
        assert!(folder.left_out[0].contains(B) && folder.left_out[0].contains(reason), "{:?}", folder.left_out);
    };
    check(json!({"thanos": {"downsample": {"resolution": 300_000}}}), "downsampled to one value each 300 s");
    check(json!({"compaction": {"deletable": true}}), "marked for deletion");
    let home = tempfile::tempdir().unwrap();
    block(0, json!({})).write(home.path(), A);
    block(0, json!({"compaction": {"parents": [{"ulid": A, "minTime": 0, "maxTime": 1}]}})).write(home.path(), B);
    std::fs::create_dir(home.path().join(C)).unwrap();
    let (ulids, folder) = found(home.path());
    assert_eq!(ulids, [B]);
    assert!(folder.left_out.iter().any(|text| text.contains(C) && text.contains("never finished")));
    assert!(folder.left_out.iter().any(|text| text.contains(A) && text.contains("compacted into another")));
    std::fs::write(home.path().join(B).join("deletion-mark.json"), "{}").unwrap();
    assert!(found(home.path()).0.is_empty());
}

/// The head begins where blocks end that were written in order, which those of late samples do not say.
#[test]
fn where_the_head_begins() {
    let home = tempfile::tempdir().unwrap();
    block(0, json!({})).write(home.path(), A);
    block(500, json!({"compaction": {"hints": ["from-out-of-order"]}})).write(home.path(), B);
    std::fs::create_dir(home.path().join("wal")).unwrap();
    std::fs::write(home.path().join("wal/00000000"), "x").unwrap();
    let folder = Folder::open(home.path()).unwrap();
    assert_eq!(folder.head_start_ms, 10);
    assert!(folder.head.is_some());
    std::fs::write(home.path().join("wal/00000000"), "xy").unwrap();
    assert_ne!(Folder::open(home.path()).unwrap().head, folder.head);
    assert_eq!(folder.without_head().head, None);
}

#[test]
fn what_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let refused = || Folder::open(home.path()).unwrap_err().to_string();
    assert!(refused().contains("name the data folder of a Prometheus"), "{}", refused());
    assert!(Folder::open(&home.path().join("missing")).unwrap_err().to_string().contains("cannot list"));
    block(0, json!({"version": 2})).write(home.path(), A);
    assert!(refused().contains("has version 2"), "{}", refused());
    std::fs::write(home.path().join(A).join("meta.json"), "{").unwrap();
    assert!(refused().contains("is not that of a block"), "{}", refused());
}

/// As long as one is running its folder is not read, and while it is read none starts.
#[test]
fn a_running_prometheus() {
    let home = tempfile::tempdir().unwrap();
    block(0, json!({})).write(home.path(), A);
    let lock = File::create(home.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = Folder::open(home.path()).unwrap_err().to_string();
    assert!(error.contains("in use by a running Prometheus"), "{error}");
    lock.unlock().unwrap();
    let folder = Folder::open(home.path()).unwrap();
    assert!(lock.try_lock().is_err());
    drop(folder);
    assert!(lock.try_lock().is_ok());
}

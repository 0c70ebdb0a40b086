use super::*;
use crate::storage::head::packed::Builder;
use crate::storage::types::Run;

fn entry(commits: &[i64], files: &[&str]) -> Arc<Entry> {
    let block = |commit: &i64| {
        let mut builder = Builder::default();
        let run = Run { timestamps: vec![0], values: vec![0.5], ..Run::default() };
        builder.push(1, (&run).into());
        Arc::new(builder.finish(*commit))
    };
    Arc::new(Entry { blocks: commits.iter().map(block).collect(), files: strings(files) })
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

#[track_caller]
fn check(entries: &[Arc<Entry>], expected: &[(&[i64], &[&str])]) {
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            let mut files = entry.files.clone();
            files.sort();
            (entry.blocks.iter().map(|b| b.commit).collect::<Vec<_>>(), files)
        })
        .collect();
    let expected: Vec<_> = expected.iter().map(|(blocks, files)| (blocks.to_vec(), strings(files))).collect();
    assert_eq!(found, expected);
}

#[test]
fn merges() {
    let all = [entry(&[1], &["a"]), entry(&[2], &["b"]), entry(&[3], &["c1", "c2"]), entry(&[4], &["d"])];
    // All inputs cached: their blocks stand for the output.
    check(
        &after_merge(&all, &strings(&["a", "b"]), &strings(&["x"])),
        &[(&[3], &["c1", "c2"]), (&[4], &["d"]), (&[1, 2], &["x"])],
    );
    // A block over midnight keeps the file of its other day.
    check(
        &after_merge(&all, &strings(&["b", "c1"]), &strings(&["x", "y"])),
        &[(&[1], &["a"]), (&[4], &["d"]), (&[2, 3], &["c2", "x", "y"])],
    );
    // One input was not cached: the output must be read.
    check(
        &after_merge(&all, &strings(&["a", "b", "z"]), &strings(&["x"])),
        &[(&[3], &["c1", "c2"]), (&[4], &["d"])],
    );
    check(&after_merge(&all[..1], &strings(&["z"]), &strings(&["x"])), &[(&[1], &["a"])]);
}

#[test]
fn entries_live_as_long_as_all_their_files() {
    let all = [entry(&[1], &["a"]), entry(&[2], &["b1", "b2"])];
    check(&retain_live(&all, &HashSet::from(["a", "b1"])), &[(&[1], &["a"])]);
}

#[test]
fn the_oldest_go_first() {
    let all = vec![entry(&[1, 5], &["a"]), entry(&[2], &["b"]), entry(&[6], &["c"])];
    let one = all[1].bytes();
    check(&evict(all.clone(), 3 * one), &[(&[1, 5], &["a"]), (&[6], &["c"])]);
    check(&evict(all.clone(), one), &[(&[6], &["c"])]);
    check(&evict(all, 0), &[]);
}

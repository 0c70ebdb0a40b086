use super::*;
use crate::storage::head::packed::Builder;
use crate::storage::types::Run;

fn entry(commits: &[i64], files: &[&str]) -> Arc<Entry> {
    let block = |commit: &i64| {
        let mut builder = Builder::default();
        let run = Run { timestamps: vec![0], values: vec![0.5], ..Run::default() };
        builder.push(1, (&run).into());
        Placed { commit: *commit, block: Arc::new(builder.finish()) }
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

/// An entry of so many series, with the size of each about the same.
fn sized(commit: i64, series: i64) -> Arc<Entry> {
    let mut builder = Builder::default();
    let run = Run { timestamps: vec![0], values: vec![0.5], ..Run::default() };
    (0..series).for_each(|id| builder.push(id, (&run).into()));
    let placed = Placed { commit, block: Arc::new(builder.finish()) };
    Arc::new(Entry { blocks: vec![placed], files: vec![commit.to_string()] })
}

#[test]
fn neighbours_of_like_size_are_joined() {
    let check = |sizes: &[i64], budget: i64, between: &[i64], expected: &[i64]| {
        let entries: Vec<_> = sizes.iter().zip(1..).map(|(size, at)| sized(10 * at, *size)).collect();
        let one = sized(0, 1000).bytes() / 1000;
        let found = to_join(&entries, one * budget as usize, between);
        assert_eq!(found.iter().map(|entry| entry.newest_commit()).collect::<Vec<_>>(), expected, "{sizes:?}");
    };
    check(&[], 10_000, &[], &[]);
    check(&[100], 10_000, &[], &[]);
    check(&[100, 100], 10_000, &[], &[10, 20]);
    check(&[190, 100], 10_000, &[], &[10, 20]);
    check(&[210, 100], 10_000, &[], &[]);
    // The newest pair first; the result may then be as large as what is before it.
    check(&[100, 100, 100], 10_000, &[], &[20, 30]);
    check(&[100, 300, 100], 10_000, &[], &[10, 20]);
    // Half of the budget is left to others.
    check(&[100, 100], 410, &[], &[10, 20]);
    check(&[100, 100], 390, &[], &[]);
    // A file that is not cached and would win over one of them, and lose to the other.
    check(&[100, 100], 10_000, &[15], &[]);
    check(&[100, 100, 100], 10_000, &[5, 25, 31], &[10, 20]);
}

#[test]
fn an_entry_of_several_blocks_becomes_one_block() {
    let all = [entry(&[1, 2], &["a"]), entry(&[3], &["b"])];
    let found = to_join(&all, all[0].bytes(), &[]);
    assert!(found.len() == 1 && Arc::ptr_eq(&found[0], &all[0]));
    assert!(to_join(&all, all[0].bytes() - 1, &[]).is_empty());
}

#[test]
fn joined_blocks_stand_for_all_their_files() {
    let all = [entry(&[1], &["a"]), entry(&[2], &["b1", "b2"]), entry(&[3], &["c"])];
    let block = entry(&[2], &[]).blocks[0].block.clone();
    check(&joined(&all, &all[..2], block.clone()), &[(&[3], &["c"]), (&[2], &["a", "b1", "b2"])]);
    // One of them is gone meanwhile, or was merged.
    check(&joined(&all[1..], &all[..2], block), &[(&[2], &["b1", "b2"]), (&[3], &["c"])]);
}

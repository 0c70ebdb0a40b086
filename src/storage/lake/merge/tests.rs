use super::*;

fn file(day: i32, commit: i64, level: u8, size_bytes: u64) -> Arc<SampleFile> {
    Arc::new(SampleFile {
        path: format!(
            "samples/day={}/{commit:020}-{level}-x{commit}.parquet",
            crate::storage::lake::files::day_text(day)
        ),
        size_bytes,
        rows: 1,
        day,
        commit,
        min_timestamp: 0,
        max_timestamp: 0,
        min_metric: String::new(),
        max_metric: String::new(),
        has_histograms: false,
        has_start_timestamps: false,
        modified_ms: 0,
        deletes: Default::default(),
    })
}

/// Files as (commit, level, size); the job expected as its commits and level.
fn check(files: &[(i64, u8, u64)], closed: bool, expected: Option<(&[i64], u8)>) {
    let now_ms = if closed { 3 * DAY_MS } else { DAY_MS / 2 };
    let files: Vec<_> = files.iter().map(|(commit, level, size)| file(0, *commit, *level, *size)).collect();
    let jobs = plan(&files, now_ms, &Limits { fan_in: 3, fan_in_max: 5, ..Limits::default() });
    let found: Vec<_> =
        jobs.iter().map(|job| (job.inputs.iter().map(|f| f.commit).collect::<Vec<_>>(), job.level)).collect();
    let expected: Vec<_> = expected.iter().map(|(commits, level)| (commits.to_vec(), *level)).collect();
    assert_eq!(found, expected, "{files:?}");
}

#[test]
fn plans() {
    // An open day: neighbours of one level, oldest first.
    check(&[], false, None);
    check(&[(1, 0, 9), (2, 0, 9)], false, None);
    check(&[(1, 0, 9), (2, 0, 9), (3, 0, 9), (4, 0, 9)], false, Some((&[1, 2, 3], 1)));
    check(&[(3, 1, 9), (4, 0, 9), (5, 0, 9), (6, 0, 9)], false, Some((&[4, 5, 6], 1)));
    check(&[(3, 1, 9), (6, 1, 9), (9, 1, 9), (10, 0, 9)], false, Some((&[3, 6, 9], 2)));
    check(&[(1, 0, 9), (2, 1, 9), (3, 0, 9), (4, 0, 9)], false, None);
    // A flush split into several files stays together.
    check(&[(1, 0, 9), (2, 0, 9), (3, 0, 9), (3, 0, 9)], false, Some((&[1, 2, 3, 3], 1)));
    // A closed day becomes one.
    check(&[(1, 0, 9)], true, None);
    check(&[(1, 0, 9), (2, 0, 9)], true, Some((&[1, 2], LEVEL_DAY)));
    check(&[(3, 1, 9), (4, 0, 9)], true, Some((&[3, 4], LEVEL_DAY)));
    check(&[(1, 9, 900), (1, 9, 900)], true, None);
    // Late data waits until it pays.
    check(&[(1, 9, 900), (2, 0, 9)], true, None);
    check(&[(1, 9, 900), (2, 0, 200)], true, Some((&[1, 2], LEVEL_DAY)));
    check(&[(1, 9, 900), (2, 0, 1), (3, 0, 1), (4, 0, 1)], true, Some((&[1, 2, 3, 4], LEVEL_DAY)));
    // Too many for one merge.
    let many: Vec<(i64, u8, u64)> = (1..=6).map(|commit| (commit, 0, 9)).collect();
    check(&many, true, Some((&[1, 2, 3], 1)));
}

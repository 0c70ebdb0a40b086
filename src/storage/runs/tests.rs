use std::sync::Arc;

use super::*;
use crate::model::histogram::FloatHistogram;

fn run(samples: &[(i64, f64)]) -> Run {
    let (timestamps, values) = samples.iter().copied().unzip();
    Run { timestamps, values, ..Run::default() }
}

#[test]
fn later_commits_win() {
    let check = |runs: &[&[(i64, f64)]], expected: &[(i64, f64)]| {
        let found = combine(runs.iter().map(|samples| run(samples)).collect());
        let found: Vec<_> = found.timestamps.into_iter().zip(found.values).collect();
        assert_eq!(found, expected);
    };
    check(&[], &[]);
    check(&[&[(1, 1.0), (2, 2.0)], &[(3, 3.0)]], &[(1, 1.0), (2, 2.0), (3, 3.0)]);
    check(&[&[(3, 3.0)], &[(1, 1.0)]], &[(1, 1.0), (3, 3.0)]);
    check(&[&[(1, 1.0), (2, 1.0)], &[(2, 2.0), (3, 2.0)], &[(2, 3.0)]], &[(1, 1.0), (2, 3.0), (3, 2.0)]);
}

#[test]
fn histograms_and_start_timestamps_follow_their_samples() {
    let histogram = Arc::new(FloatHistogram { count: 7.0, ..Default::default() });
    let mut later = run(&[(1, 0.0)]);
    later.histograms = vec![Some(Arc::clone(&histogram))];
    later.start_timestamps = vec![5];
    let found = combine(vec![run(&[(1, 1.0), (2, 2.0)]), later]);
    assert_eq!(found.timestamps, [1, 2]);
    assert_eq!(found.histograms, [Some(histogram), None]);
    assert_eq!(found.start_timestamps, [5, 0]);
}

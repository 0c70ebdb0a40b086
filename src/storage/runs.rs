//! Runs of one series from several places, as one.

use crate::storage::types::Run;

/// Joins runs of one series, oldest commit first; of equal timestamps the later commit wins.
pub fn combine(mut runs: Vec<Run>) -> Run {
    if runs.len() <= 1 {
        return runs.pop().unwrap_or_default();
    }
    let mut all = Run::default();
    for run in &runs {
        append(&mut all, run);
    }
    if all.timestamps.is_sorted_by(|a, b| a < b) {
        return all;
    }
    // The sort is stable, so of equal timestamps the last is of the latest commit.
    let mut order: Vec<usize> = (0..all.timestamps.len()).collect();
    order.sort_by_key(|at| all.timestamps[*at]);
    let mut kept: Vec<usize> = Vec::with_capacity(order.len());
    for at in order {
        match kept.last_mut() {
            Some(last) if all.timestamps[*last] == all.timestamps[at] => *last = at,
            _ => kept.push(at),
        }
    }
    Run {
        timestamps: kept.iter().map(|at| all.timestamps[*at]).collect(),
        values: kept.iter().map(|at| all.values[*at]).collect(),
        histograms: match all.histograms.is_empty() {
            true => Vec::new(),
            false => kept.iter().map(|at| all.histograms[*at].take()).collect(),
        },
        start_timestamps: match all.start_timestamps.is_empty() {
            true => Vec::new(),
            false => kept.iter().map(|at| all.start_timestamps[*at]).collect(),
        },
    }
}

fn append(all: &mut Run, run: &Run) {
    let before = all.timestamps.len();
    all.timestamps.extend_from_slice(&run.timestamps);
    all.values.extend_from_slice(&run.values);
    if !run.histograms.is_empty() || !all.histograms.is_empty() {
        all.histograms.resize(before, None);
        all.histograms.extend(run.histograms.iter().cloned());
        all.histograms.resize(all.timestamps.len(), None);
    }
    if !run.start_timestamps.is_empty() || !all.start_timestamps.is_empty() {
        all.start_timestamps.resize(before, 0);
        all.start_timestamps.extend_from_slice(&run.start_timestamps);
        all.start_timestamps.resize(all.timestamps.len(), 0);
    }
}

#[cfg(test)]
mod tests;

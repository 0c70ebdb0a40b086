//! Folds over the samples of several windows at a time. In a compensated sum every step waits for the one before it; the
//! steps of other windows fill the time, and vector registers. Each window is folded in the order of its samples, so
//! results are the same to the bit.

use std::array;
use std::ops::Range;

use super::samples::{Cursor, Floats};
use super::types::{VectorOut, Windows};

/// Windows at a time: two vector registers of AVX2 for each number of the state.
pub const LANES: usize = 8;

/// One value for each of the windows.
pub type Lane = [f64; LANES];

/// The samples of windows.
pub type Group = [Range<usize>; LANES];

/// Sets every window that has `least` samples: `group` computes several, `one` those that are left over.
pub fn for_groups(
    floats: &Floats<'_>,
    windows: &Windows,
    least: usize,
    out: &mut VectorOut<'_>,
    group: impl Fn(&Floats<'_>, &Group) -> Lane,
    one: impl Fn(&Floats<'_>) -> f64,
) {
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    let mut pending: Group = array::from_fn(|_| 0..0);
    let mut steps = [0; LANES];
    let mut filled = 0;
    for k in 0..windows.steps {
        cursor.advance(floats.timestamps, windows.begin(k), windows.end(k));
        if cursor.to - cursor.from < least {
            continue;
        }
        (pending[filled], steps[filled]) = (cursor.from..cursor.to, k);
        filled += 1;
        if filled == LANES {
            let values = group(floats, &pending);
            steps.iter().zip(values).for_each(|(k, value)| out.set(*k, value));
            filled = 0;
        }
    }
    for (k, window) in steps.iter().zip(&pending).take(filled) {
        out.set(*k, one(&floats.slice(window.start, window.end)));
    }
}

/// A fold with so many numbers of state. Not a closure: one inside of a function that is compiled for AVX2 would not be
/// inlined there.
pub trait Fold<const N: usize> {
    /// The state after another sample of the window of this number in its group, the `count`th.
    fn add(&self, state: [f64; N], count: f64, window: usize, time: i64, value: f64) -> [f64; N];
}

/// The states of all windows, which begin with zeros. Samples are added to all windows in turn, and those of the longer
/// ones alone in the end.
#[inline(always)]
pub fn fold<const N: usize>(floats: &Floats<'_>, group: &Group, fold: &impl Fold<N>) -> [[f64; N]; LANES] {
    let times: [&[i64]; LANES] = array::from_fn(|j| &floats.timestamps[group[j].clone()]);
    let values: [&[f64]; LANES] = array::from_fn(|j| &floats.values[group[j].clone()]);
    let shortest = values.iter().map(|window| window.len()).min().unwrap_or(0);
    // By number and then by window, which is how they lie in registers.
    let mut states = [[0.0; LANES]; N];
    for i in 0..shortest {
        let count = (i + 1) as f64;
        // All are there; what cannot fail can be a loop over registers.
        let time: [i64; LANES] = array::from_fn(|j| times[j].get(i).copied().unwrap_or_default());
        let value: Lane = array::from_fn(|j| values[j].get(i).copied().unwrap_or_default());
        for j in 0..LANES {
            let mut state = [0.0; N];
            for n in 0..N {
                state[n] = states[n][j];
            }
            state = fold.add(state, count, j, time[j], value[j]);
            for n in 0..N {
                states[n][j] = state[n];
            }
        }
    }
    let mut by_window = [[0.0; N]; LANES];
    for j in 0..LANES {
        for n in 0..N {
            by_window[j][n] = states[n][j];
        }
        for i in shortest..values[j].len() {
            by_window[j] = fold.add(by_window[j], (i + 1) as f64, j, times[j][i], values[j][i]);
        }
    }
    by_window
}

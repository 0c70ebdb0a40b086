//! `min_over_time`, `max_over_time` and the times of both. NaN counts only where there is nothing else.

use super::over_time::note_ignored_histograms;
use super::range::{RangeKernel, per_window};
use super::samples::{Cursor, Floats, Window};
use super::types::{Notes, Value, VectorOut, Windows};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extreme {
    maximum: bool,
    /// The result is the time of the extreme, of several equal ones the last.
    time: bool,
}

pub const MIN: RangeKernel = per_window(|samples, scope| window(Extreme::MIN, samples, scope.notes))
    .sliding(|floats, windows, _, out| slide(Extreme::MIN, floats, windows, out));
pub const MAX: RangeKernel = per_window(|samples, scope| window(Extreme::MAX, samples, scope.notes))
    .sliding(|floats, windows, _, out| slide(Extreme::MAX, floats, windows, out));
pub const TIME_OF_MIN: RangeKernel =
    per_window(|samples, scope| window(Extreme::TIME_OF_MIN, samples, scope.notes))
        .sliding(|floats, windows, _, out| slide(Extreme::TIME_OF_MIN, floats, windows, out));
pub const TIME_OF_MAX: RangeKernel =
    per_window(|samples, scope| window(Extreme::TIME_OF_MAX, samples, scope.notes))
        .sliding(|floats, windows, _, out| slide(Extreme::TIME_OF_MAX, floats, windows, out));

impl Extreme {
    const MIN: Self = Self { maximum: false, time: false };
    const MAX: Self = Self { maximum: true, time: false };
    const TIME_OF_MIN: Self = Self { maximum: false, time: true };
    const TIME_OF_MAX: Self = Self { maximum: true, time: true };

    /// Whether `value` takes the place of an earlier `best`.
    #[inline]
    fn replaces(self, value: f64, best: f64) -> bool {
        match (self.maximum, self.time) {
            (true, false) => value > best,
            (true, true) => value >= best,
            (false, false) => value < best,
            (false, true) => value <= best,
        }
    }

    fn result(self, floats: &Floats<'_>, i: usize) -> f64 {
        if self.time { floats.timestamps[i] as f64 / 1000.0 } else { floats.values[i] }
    }
}

/// All windows of a series of floats, with a queue of the samples that can still become the extreme.
fn slide(extreme: Extreme, floats: Floats<'_>, windows: &Windows, out: &mut VectorOut<'_>) -> bool {
    let mut candidates: Vec<usize> = Vec::new();
    let mut head = 0;
    let mut cursor = Cursor::seek(floats.timestamps, windows.begin(0));
    for k in 0..windows.steps {
        let seen = cursor.to;
        cursor.advance(floats.timestamps, windows.begin(k), windows.end(k));
        for i in seen..cursor.to {
            let value = floats.values[i];
            if value.is_nan() {
                continue;
            }
            while candidates.len() > head
                && extreme.replaces(value, floats.values[candidates[candidates.len() - 1]])
            {
                candidates.pop();
            }
            candidates.push(i);
        }
        while head < candidates.len() && candidates[head] < cursor.from {
            head += 1;
        }
        if cursor.from < cursor.to {
            // Without a number all samples are NaN, and the last one stands for them.
            let best = candidates.get(head).copied().unwrap_or(cursor.to - 1);
            out.set(k, extreme.result(&floats, best));
        }
    }
    true
}

/// One window of a series that also has histograms, which are left out.
fn window(extreme: Extreme, window: &Window<'_>, notes: &Notes<'_>) -> Option<Value> {
    let floats = &window.floats;
    if floats.is_empty() {
        return None;
    }
    note_ignored_histograms(window, notes);
    let mut best = 0;
    for i in 1..floats.len() {
        if floats.values[best].is_nan() || extreme.replaces(floats.values[i], floats.values[best]) {
            best = i;
        }
    }
    Some(Value::Float(extreme.result(floats, best)))
}

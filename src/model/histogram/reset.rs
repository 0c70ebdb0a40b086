//! Counter resets between consecutive histograms.

use std::borrow::Cow;

use super::{CounterResetHint, FloatHistogram, Indexed};

impl FloatHistogram {
    /// The hint storage answers queries with, as Prometheus' does: a gauge stays one, a counter is known not to
    /// have been reset if it continues `previous`, and all else is unknown. `previous` is the sample right before
    /// it in its series, if that is a histogram.
    pub fn stored_hint(&self, previous: Option<&Self>) -> CounterResetHint {
        if self.counter_reset_hint == CounterResetHint::Gauge {
            return CounterResetHint::Gauge;
        }
        let continues = |previous: &Self| {
            previous.counter_reset_hint != CounterResetHint::Gauge
                && self.schema == previous.schema
                && self.zero_threshold == previous.zero_threshold
                && self.custom_values == previous.custom_values
                && !self.detect_reset(previous)
        };
        if previous.is_some_and(continues) { CounterResetHint::NotReset } else { CounterResetHint::Unknown }
    }

    /// The hint with an unknown one resolved against the sample before.
    pub fn resolved_hint(&self, previous: Option<&Self>) -> CounterResetHint {
        match (self.counter_reset_hint, previous) {
            (CounterResetHint::Unknown, Some(previous)) if self.detect_reset(previous) => CounterResetHint::Reset,
            (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotReset,
            (hint, _) => hint,
        }
    }

    /// Whether the counter was reset between `previous` and this histogram: as the hint says, or because a count
    /// fell, a populated bucket is gone, or resolution or zero bucket changed in a way only a restart explains.
    /// A gauge hint is treated as unknown; the caller warns of it.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                let (current, previous) = self.on_common_bounds(previous);
                return any_lower(current.positive(), previous.positive());
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let mut previous = Cow::Borrowed(previous);
        if self.zero_threshold != previous.zero_threshold {
            previous = Cow::Owned(previous.with_wider_zero_bucket(self.zero_threshold));
            // The new zero bucket ends within a bucket that was populated before.
            if previous.zero_threshold != self.zero_threshold {
                return true;
            }
        }
        if self.zero_count < previous.zero_count {
            return true;
        }
        if self.schema != previous.schema {
            previous.to_mut().reduce_resolution(self.schema);
        }
        any_lower(self.positive(), previous.positive()) || any_lower(self.negative(), previous.negative())
    }
}

/// Whether a bucket of `previous` has a higher count than in `current`, or is populated and missing there.
fn any_lower(current: Indexed<'_>, previous: Indexed<'_>) -> bool {
    let mut current = current.peekable();
    for (index, before) in previous {
        while current.next_if(|(i, _)| *i < index).is_some() {}
        let lower = match current.peek() {
            Some((i, now)) if *i == index => *now < before,
            _ => before != 0.0,
        };
        if lower {
            return true;
        }
    }
    false
}

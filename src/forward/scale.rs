//! How many shards a queue should have, by Prometheus' rule (`storage/remote/queue_manager.go`): as many as it takes
//! to send what comes in, at the time a sample takes now, and to catch up with a twentieth of the backlog a second.

use std::time::Duration;

/// How often rates are taken, and shards counted anew.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Of the newest rate in the average.
const WEIGHT: f64 = 0.2;
/// Of the shards there are: smaller changes are not made.
const TOLERANCE: f64 = 0.3;
/// Of the backlog, a second.
const CATCH_UP: f64 = 0.05;
/// Who is further behind than this keeps its shards.
const BEHIND_SECONDS: f64 = 10.0;

/// An exponentially weighted average of events a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    average: f64,
    seen: bool,
}

impl Rate {
    /// Takes the events of some seconds.
    pub fn tick(&mut self, events: f64, seconds: f64) {
        let now = events / seconds.max(f64::MIN_POSITIVE);
        if self.seen {
            self.average += WEIGHT * (now - self.average);
        } else if events > 0.0 {
            (self.seen, self.average) = (true, now);
        }
    }

    pub fn per_second(&self) -> f64 {
        self.average
    }
}

/// What the decision is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Samples a second.
    pub incoming: f64,
    pub outgoing: f64,
    pub dropped: f64,
    /// Seconds spent sending, a second: of all shards together.
    pub sending: f64,
    /// How far the newest sample that was sent is behind the newest that came in.
    pub delay_seconds: f64,
}

/// The shards that would be right, and those to have, from `least` to `most`.
pub fn desired(load: Load, shards: usize, least: usize, most: usize) -> (f64, usize) {
    if load.outgoing <= 0.0 {
        return (shards as f64, shards);
    }
    let kept = load.outgoing / (load.dropped + load.outgoing);
    let backlog = load.delay_seconds.max(0.0) * load.incoming * kept;
    let seconds_per_sample = load.sending / load.outgoing;
    let right = seconds_per_sample * (load.incoming * kept + CATCH_UP * backlog);
    let whole = right.ceil();
    let now = shards as f64;
    if now * (1.0 - TOLERANCE) <= whole && whole <= now * (1.0 + TOLERANCE) {
        return (right, shards);
    }
    if whole < now && load.delay_seconds > BEHIND_SECONDS {
        return (right, shards);
    }
    (right, (whole as usize).clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations by hand from the rule of Prometheus' documentation.
    #[test]
    fn shards_for_a_load() {
        let check = |load: Load, shards, expected| {
            assert_eq!(desired(load, shards, 1, 50).1, expected, "{load:?}, {shards}");
        };
        let even = Load { incoming: 1000.0, outgoing: 1000.0, sending: 0.5, ..Load::default() };
        check(even, 1, 1);
        // Nothing goes out: more senders would not help.
        check(Load { outgoing: 0.0, ..even }, 4, 4);
        check(Load { sending: 3.5, ..even }, 1, 4);
        check(Load { sending: 900.0, ..even }, 1, 50);
        // Within a third of what there is.
        check(Load { sending: 11.5, ..even }, 10, 10);
        check(Load { sending: 13.5, ..even }, 10, 14);
        check(Load { sending: 2.0, ..even }, 10, 2);
        check(Load { sending: 2.0, delay_seconds: 11.0, ..even }, 10, 10);
        // A minute behind: 60 s of samples, a twentieth of it a second, is four times the rate.
        check(Load { sending: 1.0, delay_seconds: 60.0, ..even }, 1, 4);
        // Three of four are dropped before they are sent.
        check(Load { incoming: 4000.0, dropped: 3000.0, sending: 2.0, ..even }, 1, 2);
    }

    #[test]
    fn rates_are_averaged() {
        let mut rate = Rate::default();
        rate.tick(0.0, 10.0);
        rate.tick(100.0, 10.0);
        assert_eq!(rate.per_second(), 10.0);
        rate.tick(0.0, 10.0);
        assert_eq!(rate.per_second(), 8.0);
    }
}

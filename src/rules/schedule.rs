//! When a group is evaluated: at its own offset within its interval, the same after each start, so that groups are spread
//! and their times are equally far apart. Times are nanoseconds since the epoch, as the offset is.

use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh64::xxh64;

use crate::rules::environment::Environment;

/// A clock that is off by less is being slewed, or read late.
const STEP_NS: i64 = 5_000_000_000;
const NS_IN_MS: i64 = 1_000_000;

/// The time of evaluation that is over last at `now`: whole intervals since the epoch, and the offset of the group.
pub fn last_due(file: &str, group: &str, interval_ms: i64, now_ns: i64) -> i64 {
    let interval_ns = interval_ms.max(1).saturating_mul(NS_IN_MS);
    let offset = (hash(file, group) % interval_ns.unsigned_abs()) as i64;
    let behind = now_ns.saturating_sub(offset);
    (behind - behind.rem_euclid(interval_ns)).saturating_add(offset)
}

/// That of Prometheus' labels `file` and `name`: names and values, each behind its length, of one byte or, behind 255, of three.
fn hash(file: &str, group: &str) -> u64 {
    let mut text = Vec::new();
    for part in ["file", file, "name", group] {
        match u8::try_from(part.len()) {
            Ok(length) if length < u8::MAX => text.push(length),
            _ => {
                text.push(u8::MAX);
                text.extend_from_slice(&part.len().to_le_bytes()[..3]);
            }
        }
        text.extend_from_slice(part.as_bytes());
    }
    xxh64(&text, 0)
}

/// The ticks of a group. Distances between them are those of a clock that nobody sets; the times that evaluations are
/// stamped with follow the clock that people see.
pub struct Ticks {
    interval: Duration,
    interval_ns: i64,
    /// A tick, and its time by the clock that people see.
    base: (Instant, i64),
    /// Ticks since then.
    count: i64,
}

/// A tick that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// What the evaluation is stamped with.
    pub at_ns: i64,
    /// Ticks before it that nobody was there for.
    pub missed: u64,
}

/// The clock was set, by so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub ns: i64,
}

impl Ticks {
    /// The first tick is the next time of the group.
    pub fn new(file: &str, group: &str, interval_ms: i64, environment: &Environment) -> Self {
        let now_ns = environment.now_ms().saturating_mul(NS_IN_MS);
        let interval_ns = interval_ms.max(1).saturating_mul(NS_IN_MS);
        let first_ns = last_due(file, group, interval_ms, now_ns).saturating_add(interval_ns);
        let wait = Duration::from_nanos(first_ns.saturating_sub(now_ns).unsigned_abs());
        let interval = Duration::from_nanos(interval_ns.unsigned_abs());
        Self { interval, interval_ns, base: (Instant::now() + wait, first_ns), count: 0 }
    }

    /// When the next tick is due.
    pub fn next_at(&self) -> Instant {
        self.base.0 + Duration::from_nanos(self.interval_ns.saturating_mul(self.count).unsigned_abs())
    }

    /// To be called when it is due. Those that are over already are missed.
    pub fn tick(&mut self, now: Instant) -> Tick {
        let late = now.saturating_duration_since(self.next_at());
        let missed = (late.as_nanos() / self.interval.as_nanos().max(1)).min(i64::MAX as u128) as i64;
        self.count += missed;
        let at_ns = self.base.1.saturating_add(self.interval_ns.saturating_mul(self.count));
        self.count += 1;
        Tick { at_ns, missed: missed.unsigned_abs() }
    }

    /// How far the clock that people see has been set since the ticks began, or since this was told last. The times of
    /// ticks follow it by whole intervals, so that they keep the offset of the group.
    pub fn step(&mut self, now: Instant, now_ms: i64) -> Option<Step> {
        let elapsed = i64::try_from(now.saturating_duration_since(self.base.0).as_nanos()).unwrap_or(i64::MAX);
        let before = i64::try_from(self.base.0.saturating_duration_since(now).as_nanos()).unwrap_or(i64::MAX);
        let expected_ns = self.base.1.saturating_add(elapsed).saturating_sub(before);
        let off_ns = now_ms.saturating_mul(NS_IN_MS).saturating_sub(expected_ns);
        if off_ns.abs() < STEP_NS {
            return None;
        }
        let whole = off_ns.div_euclid(self.interval_ns).saturating_mul(self.interval_ns);
        self.base.1 = self.base.1.saturating_add(whole);
        let rest = Duration::from_nanos((off_ns - whole).unsigned_abs());
        // Ticks come earlier by what is left, and so stay at their times.
        match self.base.0.checked_sub(rest) {
            Some(base) => self.base.0 = base,
            // Of a machine that has just been started.
            None => self.base.1 = self.base.1.saturating_add(off_ns - whole),
        }
        Some(Step { ns: off_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn due_times_are_at_an_offset_of_the_group() {
        for now in [0, 1, 59 * SECOND, 1_700_000_000 * SECOND, -5 * SECOND] {
            let due = last_due("rules.yml", "g", 60_000, now);
            assert!(due <= now && now - due < 60 * SECOND, "{now} {due}");
            assert_eq!(last_due("rules.yml", "g", 60_000, due), due);
            assert_eq!(last_due("rules.yml", "g", 60_000, due + 60 * SECOND - 1), due);
        }
        let offsets: std::collections::HashSet<i64> =
            (0..100).map(|n| last_due("rules.yml", &n.to_string(), 60_000, 0)).collect();
        assert!(offsets.len() > 95, "they are spread");
        assert_ne!(last_due("a", "bname", 60_000, 0), last_due("ab", "name", 60_000, 0));
    }

    fn ticks(now: Instant) -> Ticks {
        let interval_ns = 10 * SECOND;
        Ticks { interval: Duration::from_secs(10), interval_ns, base: (now, 1_000 * SECOND), count: 0 }
    }

    #[test]
    fn what_is_late_is_missed() {
        let begin = Instant::now() + Duration::from_secs(100_000);
        let mut ticks = ticks(begin);
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        assert_eq!(ticks.tick(after(0)), Tick { at_ns: 1_000 * SECOND, missed: 0 });
        assert_eq!(ticks.next_at(), after(10));
        assert_eq!(ticks.tick(after(19)), Tick { at_ns: 1_010 * SECOND, missed: 0 });
        assert_eq!(ticks.tick(after(45)), Tick { at_ns: 1_040 * SECOND, missed: 2 });
        assert_eq!(ticks.next_at(), after(50));
    }

    #[test]
    fn a_clock_that_is_set_moves_times_and_keeps_distances() {
        let begin = Instant::now() + Duration::from_secs(100_000);
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        for by in [3_600, -3_600, 7, -7] {
            let mut ticks = ticks(begin);
            ticks.tick(after(0));
            assert_eq!(ticks.step(after(1), (1_001) * 1_000 + 4_000), None, "slewed");
            let step = ticks.step(after(3), (1_003 + by) * 1_000);
            assert_eq!(step, Some(Step { ns: by * SECOND }), "{by}");
            assert_eq!(ticks.step(after(3), (1_003 + by) * 1_000), None, "told once");
            let next = ticks.next_at();
            let tick = ticks.tick(next);
            // By the new clock it is then what the tick says, and at the group's offset.
            let wall = 1_003 + by + (next - after(3)).as_secs() as i64;
            assert_eq!((tick.at_ns / SECOND, tick.at_ns.rem_euclid(10 * SECOND)), (wall, 0), "{by}");
        }
    }
}

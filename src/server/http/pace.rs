//! How slow a client may be. Whoever sends a body or reads an answer holds memory of the server meanwhile, so it has to
//! get on: within any [`Pace::stall`] it moves the bytes of that time at [`MIN_BYTES_PER_SECOND`], or it is cut off. A
//! client that waits a little and then moves a lot is fine; one that moves a byte before every timeout is not.

use std::time::Duration;

use tokio::time::Instant;

/// A slow telephone line. Less is a client that wants to stay, not one that wants its bytes.
pub const MIN_BYTES_PER_SECOND: u32 = 16 << 10;

/// When a transfer has taken too long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    stall: Duration,
    deadline: Instant,
}

impl Pace {
    /// `stall` is how long nothing at all may move.
    pub fn new(now: Instant, stall: Duration) -> Self {
        Self { stall, deadline: now + stall }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Each byte earns its time, up to one stall from now.
    pub fn moved(&mut self, now: Instant, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(MIN_BYTES_PER_SECOND));
        self.deadline = (self.deadline + earned).min(now + self.stall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_earn_time() {
        let start = Instant::now();
        let seconds = |s: f64| Duration::from_secs_f64(s);
        // Bytes moved every `every` seconds of a stall of 60 s; when it ends, at the latest after an hour.
        let ends = |bytes: usize, every: f64| {
            let (mut pace, mut now) = (Pace::new(start, seconds(60.0)), start);
            while now + seconds(every) < pace.deadline() && now < start + seconds(3600.0) {
                now += seconds(every);
                pace.moved(now, bytes);
            }
            (pace.deadline() - start).as_secs()
        };
        assert_eq!(ends(0, 1.0), 60);
        assert_eq!(ends(1, 1.0), 60);
        assert_eq!(ends(8 << 10, 1.0), 119);
        assert_eq!(ends(16 << 10, 1.0), 3660);
        assert_eq!(ends(1 << 20, 59.0), 3718);
        assert_eq!(ends(1 << 20, 61.0), 60);
    }
}

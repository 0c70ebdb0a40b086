//! A bucket of tokens, as Go's `x/time/rate`: full at the start, a token comes each interval, a request takes one.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::web::RateLimit;

#[derive(Debug)]
pub struct Bucket {
    limit: RateLimit,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
}

impl Bucket {
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, state: Mutex::new(State { tokens: limit.burst as f64, at: now }) }
    }

    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Whether there is a token, which is taken.
    pub fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let passed = now.saturating_duration_since(state.at).as_secs_f64() / self.limit.interval.as_secs_f64();
        state.tokens = (state.tokens + passed).min(self.limit.burst as f64);
        state.at = now.max(state.at);
        let allowed = state.tokens >= 1.0;
        if allowed {
            state.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens() {
        let start = Instant::now();
        let interval = Duration::from_millis(100);
        let bucket = Bucket::new(RateLimit { burst: 2, interval }, start);
        let check = |ms: u64, expected: bool| {
            assert_eq!(bucket.take(start + Duration::from_millis(ms)), expected, "{ms}");
        };
        check(0, true);
        check(0, true);
        check(0, false);
        check(50, false);
        check(100, true);
        check(100, false);
        // A clock that goes back earns nothing.
        check(0, false);
        check(150, false);
        check(200, true);
        // No more than the burst is saved.
        check(10_000, true);
        check(10_000, true);
        check(10_000, false);
        assert!(!Bucket::new(RateLimit { burst: 0, interval }, start).take(start + interval * 9));
    }
}

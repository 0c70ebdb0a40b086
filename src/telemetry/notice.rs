//! Lines of the log that would come with every request: one a minute, with the number of those left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(60);

/// One kind of line.
#[derive(Debug, Default)]
pub struct Notice(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    left_out: u64,
}

impl Notice {
    /// Calls `tell` if a line is due, with how many were left out since the last one.
    pub fn tell(&self, tell: impl FnOnce(u64)) {
        if let Some(left_out) = self.due(Instant::now()) {
            tell(left_out);
        }
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.told.is_some_and(|told| now < told + PERIOD) {
            state.left_out += 1;
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute() {
        let (notice, begin) = (Notice::default(), Instant::now());
        let told = [0, 1, 31, 71, 132, 133].map(|seconds| notice.due(begin + Duration::from_secs(seconds)));
        assert_eq!(told, [Some(0), None, None, Some(2), Some(0), None]);
    }
}

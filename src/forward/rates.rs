//! The rates of one remote, of which the number of its shards is made.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::forward::scale::{Load, PERIOD, Rate};
use crate::forward::stats::Stats;

/// See the module.
pub struct Rates {
    since: Instant,
    before: [f64; 4],
    incoming: Rate,
    outgoing: Rate,
    dropped: Rate,
    sending: Rate,
}

impl Rates {
    pub fn new() -> Self {
        let none = Rate::default();
        Self {
            since: Instant::now(),
            before: [0.0; 4],
            incoming: none,
            outgoing: none,
            dropped: none,
            sending: none,
        }
    }

    /// When they are to be taken again.
    pub fn next(&self) -> Instant {
        self.since + PERIOD
    }

    /// Takes them from the counters; `newest_ms` is the newest timestamp that came in.
    pub fn tick(&mut self, stats: &Stats, newest_ms: Option<i64>) -> Load {
        let sent = stats.sent.now().total().saturating_sub(stats.retried.now().total());
        let now = [
            stats.read.load(Ordering::Relaxed) as f64,
            sent as f64,
            stats.dropped() as f64,
            stats.sending_us.load(Ordering::Relaxed) as f64 / 1e6,
        ];
        let seconds = self.since.elapsed().as_secs_f64();
        let rates = [&mut self.incoming, &mut self.outgoing, &mut self.dropped, &mut self.sending];
        for ((rate, now), before) in rates.into_iter().zip(now).zip(self.before) {
            rate.tick(now - before, seconds);
        }
        (self.before, self.since) = (now, Instant::now());
        let newest_ms = stats.highest_ms.load(Ordering::Relaxed).max(newest_ms.unwrap_or(0));
        let sent_ms = stats.highest_sent_ms.load(Ordering::Relaxed);
        let behind_ms = if sent_ms == 0 { 0 } else { newest_ms - sent_ms };
        Load {
            incoming: self.incoming.per_second(),
            outgoing: self.outgoing.per_second(),
            dropped: self.dropped.per_second(),
            sending: self.sending.per_second(),
            delay_seconds: behind_ms as f64 / 1000.0,
        }
    }
}

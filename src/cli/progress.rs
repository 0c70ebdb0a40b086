//! The line on stderr that says how far a long task is.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::cli::print::errln;
use crate::ingest::import::progress::Seen;

/// Between two lines where stderr is no terminal, and between two states of one where it is.
const LINE_PERIOD: Duration = Duration::from_secs(10);
const TERMINAL_PERIOD: Duration = Duration::from_millis(500);

/// The line that says how far it is: one that changes on a terminal, else one after the other.
pub struct Line {
    is_terminal: bool,
    shown: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), shown: 0 }
    }
}

impl Line {
    /// How often it is to be shown.
    pub fn period(&self) -> Duration {
        if self.is_terminal { TERMINAL_PERIOD } else { LINE_PERIOD }
    }

    /// Shows how far it is.
    pub fn show(&mut self, seen: &Seen, elapsed: Duration) {
        let text = progress_text(seen, elapsed);
        let mut err = std::io::stderr().lock();
        // There is nobody to tell that nobody can be told.
        let _ = match self.is_terminal {
            true => write!(err, "\r{text:<width$}", width = self.shown).and_then(|()| err.flush()),
            false => writeln!(err, "{text}"),
        };
        self.shown = text.chars().count();
    }

    /// Nothing more is shown.
    pub fn end(&mut self) {
        if self.is_terminal && self.shown > 0 {
            errln!();
        }
    }
}

/// `[######--------] 43 % 2026-11-21 of block …, 12.3 M samples, 1.2 M/s, 4.5 MB/s, 2m5s left`
fn progress_text(seen: &Seen, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = seen.samples as f64 / seconds;
    let mut text = String::new();
    let part = part_of(seen);
    if let Some(part) = part {
        let full = (part * 20.0) as usize;
        text.push_str(&format!("[{}{}] {:>3.0} % ", "#".repeat(full), "-".repeat(20 - full), part * 100.0));
    }
    text.push_str(&format!(
        "{}, {} series, {} samples, {}/s, {:.1} MB/s",
        seen.doing,
        short(seen.series as f64),
        short(seen.samples as f64),
        short(rate),
        seen.bytes as f64 / seconds / 1e6,
    ));
    if let Some(part) = part.filter(|part| 0.0 < *part && *part < 1.0) {
        let left = seconds * (1.0 - part) / part;
        text.push_str(&format!(", {} left", time_text(Duration::from_secs_f64(left.min(1e9)))));
    }
    text
}

/// How much of it is done, where that can be told: by work, or by samples.
fn part_of(seen: &Seen) -> Option<f64> {
    let (done, expected) = match seen.expected_work {
        0 => (seen.samples, seen.expected_samples),
        expected => (seen.work, expected),
    };
    (expected > 0).then(|| (done as f64 / expected as f64).min(1.0))
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// `2m5s`, or `1h1m`.
pub fn time_text(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, _) => format!("{h}h{m}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress() {
        let check = |seen: Seen, seconds: u64, expected: &str| {
            assert_eq!(progress_text(&seen, Duration::from_secs(seconds)), expected);
        };
        let doing = "2026-11-21 of block X".to_string();
        check(
            Seen {
                series: 12_345,
                samples: 2_000_000,
                bytes: 4_000_000,
                expected_samples: 8_000_000,
                doing,
                ..Seen::default()
            },
            4,
            "[#####---------------]  25 % 2026-11-21 of block X, 12 k series, 2.0 M samples, 500 k/s, 1.0 MB/s, 12s left",
        );
        let doing = "2026-11-21, rule a (1 of 2)".to_string();
        check(
            Seen { samples: 100, work: 1, expected_work: 2, doing, ..Seen::default() },
            10,
            "[##########----------]  50 % 2026-11-21, rule a (1 of 2), 0 series, 100 samples, 10/s, 0.0 MB/s, 10s left",
        );
        check(Seen { doing: "x".to_string(), ..Seen::default() }, 0, "x, 0 series, 0 samples, 0/s, 0.0 MB/s");
        assert_eq!(time_text(Duration::from_secs(3_700)), "1h1m");
    }
}

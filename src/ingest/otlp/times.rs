//! When points are from.

use crate::ingest::otlp::labels::Refusal;
use crate::ingest::otlp::message::Common;
use crate::ingest::otlp::translated::Sample;

/// First and last time of a resource's points, in nanoseconds.
pub(super) type Span = Option<(u64, u64)>;

pub(super) const NANOS_PER_MILLI: u64 = 1_000_000;

/// When a point is from, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) timestamp: i64,
    /// 0 for unset.
    pub(super) start: i64,
}

impl Times {
    /// Of a point, whose resource lives as long as `span` then says.
    pub(super) fn of(common: &Common<'_>, span: &mut Span) -> Result<Self, Refusal> {
        let (timestamp, start) = (millis(common.time_ns), millis(common.start_ns));
        // A sender that sets no time means no day in 1970.
        if timestamp <= 0 {
            return Err(Refusal::OutOfBounds);
        }
        let (first, last) = span.unwrap_or((common.time_ns, common.time_ns));
        *span = Some((first.min(common.time_ns), last.max(common.time_ns)));
        // What began after it was measured says nothing about when it began.
        Ok(Self { timestamp, start: if start <= timestamp { start } else { 0 } })
    }

    pub(super) fn sample(self, series: usize, value: f64) -> Sample {
        Sample { series, timestamp: self.timestamp, start: self.start, value }
    }
}

/// As Go converts them: what is beyond 2262 lies before 1970.
pub(super) fn millis(nanos: u64) -> i64 {
    nanos.cast_signed() / NANOS_PER_MILLI.cast_signed()
}

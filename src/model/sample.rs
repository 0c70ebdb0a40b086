//! Samples, staleness markers and time ranges. Timestamps are milliseconds since the Unix epoch.

/// The NaN that says "this series ended here" (`model/value/value.go`). Compared by bits.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The NaN of arithmetic, as Prometheus writes it.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Milliseconds of a day; the lake is partitioned by UTC day.
pub const DAY_MS: i64 = 86_400_000;

/// The UTC day (days since the epoch) a timestamp falls on, also before 1970.
pub fn day_of(timestamp_ms: i64) -> i32 {
    timestamp_ms.div_euclid(DAY_MS) as i32
}

/// Both ends belong to the range, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub start_inclusive: i64,
    pub end_inclusive: i64,
}

impl TimeRange {
    pub const ALL: TimeRange = TimeRange { start_inclusive: i64::MIN, end_inclusive: i64::MAX };

    /// Of no time at all; a [`TimeRange::union`] with it is the other range.
    pub const NONE: TimeRange = TimeRange { start_inclusive: i64::MAX, end_inclusive: i64::MIN };

    pub fn new(start_inclusive: i64, end_inclusive: i64) -> Self {
        Self { start_inclusive, end_inclusive }
    }

    pub fn contains(&self, timestamp: i64) -> bool {
        self.start_inclusive <= timestamp && timestamp <= self.end_inclusive
    }

    pub fn overlaps(&self, start_inclusive: i64, end_inclusive: i64) -> bool {
        self.start_inclusive <= end_inclusive && start_inclusive <= self.end_inclusive
    }

    pub fn is_empty(&self) -> bool {
        self.start_inclusive > self.end_inclusive
    }

    /// The smallest range that holds both.
    pub fn union(&self, other: &TimeRange) -> TimeRange {
        TimeRange::new(self.start_inclusive.min(other.start_inclusive), self.end_inclusive.max(other.end_inclusive))
    }
}

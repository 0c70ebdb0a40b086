//! The write side: bytes from targets and remote writers → series and samples → `storage::Store`, all through
//! the one [`appender::Appender`].

/// The only way into the store: checks, handles of series, rejections.
pub mod appender;
/// Label sets from outside, checked.
pub mod labels;
/// The text formats, parsed from bytes.
pub mod exposition;
/// Targets on their schedule.
pub mod scrape;
/// The Remote Write 1.0 receiver.
pub mod remote_write;
/// Maps from raw series bytes.
pub mod raw_series;
/// Counters of this layer.
pub mod stats;

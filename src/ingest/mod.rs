//! The write side: bytes from targets and remote writers → series and samples → `storage::Store`, all through
//! the one [`appender::Appender`].

/// The only way into the store: checks, handles of series, rejections.
pub mod appender;
/// The text formats, parsed from bytes.
pub mod exposition;
/// Label sets from outside, checked.
pub mod labels;
/// Maps from raw series bytes.
pub mod raw_series;
/// The Remote Write 1.0 receiver.
pub mod remote_write;
/// Targets on their schedule.
pub mod scrape;
/// Counters of this layer.
pub mod stats;

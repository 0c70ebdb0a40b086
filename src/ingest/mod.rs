//! The write side: bytes from targets and remote writers → series and samples → `storage::Store`, all through
//! the one [`appender::Appender`].

/// The only way into the store: checks, handles of series, rejections.
pub mod appender;
/// Label sets from outside, checked.
pub mod labels;
/// What targets expose: text, OpenMetrics and protobuf, parsed from bytes.
pub mod exposition;
/// Targets on their schedule.
pub mod scrape;
/// The Remote Write 1.0 receiver.
pub mod remote_write;
/// The OTLP receiver.
pub mod otlp;
/// The protobuf wire format, read in place.
pub mod wire;
/// Maps from raw series bytes.
pub mod raw_series;
/// Counters of this layer.
pub mod stats;
/// What a Prometheus has on its disk.
pub mod tsdb;
/// History into the lake, not through the appender.
pub mod import;

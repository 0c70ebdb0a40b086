//! Counters of the write side: plain atomics, read by whoever exports them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::types::{Rejection, WriteReport};

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// All counters since the start of the process.
        #[derive(Default, Debug)]
        pub struct IngestStats { $($(#[doc = $help])+ pub $name: AtomicU64,)+ }

        impl IngestStats {
            /// Name (without prefix and `_total`), help text and value of every counter, for the exporter.
            pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($help),+).trim_ascii(), self.$name.load(Ordering::Relaxed)),)+]
            }
        }
    };
}

counters! {
    /// Float samples made durable.
    ingest_samples,
    /// Native histogram samples made durable.
    ingest_histograms,
    /// Exemplars made durable.
    ingest_exemplars,
    /// Samples refused since their series has newer ones and there is no out-of-order window.
    ingest_rejected_out_of_order,
    /// Samples refused since they are behind their series by more than the out-of-order window.
    ingest_rejected_too_old,
    /// Samples refused since their series has another value at the same time.
    ingest_rejected_duplicate,
    /// Samples refused since they lie too far in the future, or before the year 1.
    ingest_rejected_out_of_bounds,
    /// Series refused since their labels are invalid.
    ingest_invalid_series,
    /// Handles of series that had to be taken again after the head let them go.
    ingest_series_renewed,
    /// Appends that failed as a whole.
    ingest_append_failures,
    /// Scrapes tried.
    scrapes,
    /// Scrapes that failed.
    scrapes_failed,
    /// Uncompressed bytes of scraped bodies.
    scrape_body_bytes,
    /// Scrapes that failed for a sample limit.
    scrapes_exceeded_sample_limit,
    /// Scrapes that failed for the body size limit.
    scrapes_exceeded_body_size_limit,
    /// Scrapes that failed for a target limit.
    scrapes_exceeded_target_limit,
    /// Scrapes that had to wait before the store, since it took no samples.
    scrapes_waited,
    /// Scrapes that were dropped, oldest first, since too many waited for the store.
    scrapes_dropped,
    /// Scrape loops that panicked and were started again.
    scrape_loop_failures,
    /// Remote write requests received.
    remote_write_requests,
    /// Remote write requests answered with an error.
    remote_write_requests_failed,
    /// Compressed bytes of remote write requests.
    remote_write_bytes,
    /// Series of remote write requests whose handle was known.
    remote_write_series_known,
    /// Series of remote write requests whose labels had to be decoded.
    remote_write_series_decoded,
}

/// Counters only ever grow, and nothing is decided by them.
pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl IngestStats {
    pub(super) fn record(&self, report: &WriteReport) {
        add(&self.ingest_samples, report.samples_written);
        add(&self.ingest_histograms, report.histograms_written);
        add(&self.ingest_exemplars, report.exemplars_written);
        for (_, rejection) in report.rejected_samples.iter().chain(&report.rejected_histograms) {
            let counter = match rejection {
                Rejection::OutOfOrder => &self.ingest_rejected_out_of_order,
                Rejection::TooOld => &self.ingest_rejected_too_old,
                Rejection::Duplicate => &self.ingest_rejected_duplicate,
                Rejection::OutOfBounds => &self.ingest_rejected_out_of_bounds,
                // The appender takes new handles; what is left over is no refusal of the sample's.
                Rejection::UnknownSeries => &self.ingest_append_failures,
            };
            add(counter, 1);
        }
    }
}

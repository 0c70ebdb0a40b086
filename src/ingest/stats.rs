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
    /// Samples refused since they lie too far in the future, at or before 1970, or beyond --storage.max-age.
    ingest_rejected_out_of_bounds,
    /// Of the samples refused as out of order, those that are native histograms.
    ingest_rejected_out_of_order_histograms,
    /// Of the samples refused as too old, those that are native histograms.
    ingest_rejected_too_old_histograms,
    /// Of the samples refused as out of bounds, those that are native histograms.
    ingest_rejected_out_of_bounds_histograms,
    /// Samples dropped since another one of the same batch has their time or a later one.
    ingest_dropped,
    /// Exemplars refused since their series has newer ones, or their time is out of bounds.
    ingest_rejected_exemplars,
    /// Native histograms refused since their parts contradict each other.
    ingest_invalid_histograms,
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
    /// Scrapes that failed for the limit of a native histogram's buckets.
    scrapes_exceeded_native_histogram_bucket_limit,
    /// Scrapes that failed for the body size limit.
    scrapes_exceeded_body_size_limit,
    /// Scrapes that failed for a target limit.
    scrapes_exceeded_target_limit,
    /// Scrapes that failed for a limit on labels.
    scrapes_exceeded_label_limits,
    /// Scraped samples refused since their series has another value at the same time.
    scrape_samples_duplicate_timestamp,
    /// Scraped samples refused since they are behind their series by more than the out-of-order window.
    scrape_samples_out_of_order,
    /// Scraped samples refused since they lie too far in the future, or before the year 1.
    scrape_samples_out_of_bounds,
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
    /// OTLP requests received.
    otlp_requests,
    /// OTLP requests answered with an error.
    otlp_requests_failed,
    /// Uncompressed bytes of OTLP requests.
    otlp_bytes,
    /// Series of OTLP requests whose handle was known.
    otlp_series_known,
    /// Series of OTLP requests whose labels had to be made.
    otlp_series_translated,
    /// Metrics without points, attributes that collide and the like in OTLP requests.
    otlp_warnings,
    /// Remote write requests that were sent again since nobody told their sender how they ended.
    remote_write_requests_repeated,
    /// Samples and native histograms of remote writes refused for invalid labels.
    remote_write_invalid_labels_samples,
    /// Samples and native histograms of remote writes that came without metadata.
    remote_write_without_metadata_samples,
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
        add(&self.ingest_dropped, report.dropped_samples.len() + report.dropped_histograms.len());
        add(&self.ingest_rejected_exemplars, report.rejected_exemplars.len());
        for (_, rejection) in report.rejected_samples.iter().chain(&report.rejected_histograms) {
            let counter = match rejection {
                Rejection::OutOfOrder => &self.ingest_rejected_out_of_order,
                Rejection::TooOld => &self.ingest_rejected_too_old,
                Rejection::Duplicate => &self.ingest_rejected_duplicate,
                Rejection::OutOfBounds | Rejection::TooFarInFuture => &self.ingest_rejected_out_of_bounds,
                // The appender takes new handles; what is left over is no refusal of the sample's.
                Rejection::UnknownSeries => &self.ingest_append_failures,
            };
            add(counter, 1);
        }
        for (_, rejection) in &report.rejected_histograms {
            let counter = match rejection {
                Rejection::OutOfOrder => &self.ingest_rejected_out_of_order_histograms,
                Rejection::TooOld => &self.ingest_rejected_too_old_histograms,
                Rejection::OutOfBounds | Rejection::TooFarInFuture => {
                    &self.ingest_rejected_out_of_bounds_histograms
                }
                Rejection::Duplicate | Rejection::UnknownSeries => continue,
            };
            add(counter, 1);
        }
    }

    /// What became of the samples of a scrape, beside [`IngestStats::record`].
    pub(super) fn record_scrape(&self, report: &WriteReport) {
        for (_, rejection) in report.rejected_samples.iter().chain(&report.rejected_histograms) {
            let counter = match rejection {
                Rejection::OutOfOrder | Rejection::TooOld => &self.scrape_samples_out_of_order,
                Rejection::Duplicate => &self.scrape_samples_duplicate_timestamp,
                Rejection::OutOfBounds | Rejection::TooFarInFuture => &self.scrape_samples_out_of_bounds,
                Rejection::UnknownSeries => continue,
            };
            add(counter, 1);
        }
    }
}

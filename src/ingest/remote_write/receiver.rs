//! Requests in, outcomes out. Status codes and texts are those of Prometheus' receiver, so that senders do the
//! right thing: a 4xx is dropped, a 5xx is sent again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};
use crate::ingest::appender::{Appended, Appender};
use crate::ingest::remote_write::cache::SeriesCache;
use crate::ingest::remote_write::decode::{DecodeError, SeriesMessage, WriteRequest};
use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::Labels;
use crate::storage::types::{Rejection, SeriesRef, WriteBatch};

/// Compressed; the decoded length may be no larger either.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Series whose handles are remembered over all senders.
pub const CACHED_SERIES: usize = 1 << 20;

/// The headers that matter, `None` where absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteHeaders<'a> {
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
}

/// What a request wrote. The answer is 204 without a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
    /// Left out, which is no error of the request in version 1.0.
    pub series_with_invalid_labels: usize,
}

/// Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    pub status: u16,
    pub message: String,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WriteError {}

impl WriteError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<DecodeError> for WriteError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed => WriteError::new(400, "the body is not a prometheus.WriteRequest message"),
            DecodeError::Invalid(message) => WriteError::new(400, message),
        }
    }
}

/// The receiver of `/api/v1/write`.
#[derive(Debug)]
pub struct RemoteWrite {
    appender: Arc<Appender>,
    cache: Mutex<SeriesCache>,
}

impl RemoteWrite {
    pub fn new(appender: Arc<Appender>) -> Self {
        Self { appender, cache: Mutex::new(SeriesCache::new(CACHED_SERIES)) }
    }

    /// Returns when everything is durable; on an error nothing is written. A request with one bad sample is bad as
    /// a whole.
    pub async fn write_v1(&self, headers: WriteHeaders<'_>, body: Bytes) -> Result<WriteOutcome, WriteError> {
        let stats = self.appender.stats().clone();
        add(&stats.remote_write_requests, 1);
        add(&stats.remote_write_bytes, body.len());
        let outcome = self.write(headers, &body, &stats).await;
        if let Err(error) = &outcome {
            add(&stats.remote_write_requests_failed, 1);
            tracing::debug!(status = error.status, error = error.message, "remote write refused");
        }
        outcome
    }

    async fn write(
        &self,
        headers: WriteHeaders<'_>,
        body: &[u8],
        stats: &IngestStats,
    ) -> Result<WriteOutcome, WriteError> {
        check_headers(headers)?;
        let message = decompress(body)?;
        let request = WriteRequest::scan(&message)?;
        let (handles, invalid) = self.resolve(&request, stats)?;
        let mut batch = request.rows(&handles)?;
        batch.metadata = request.metadata.clone();
        let mut outcome = WriteOutcome { series_with_invalid_labels: invalid, ..WriteOutcome::default() };
        if batch_is_empty(&batch) {
            return Ok(outcome);
        }
        let mut by_handle = ByHandle::new(&request.series, &handles);
        // The rows are needed once more only to say which one was bad.
        let failed = |e: Error| WriteError::new(status_of(e.kind), e.to_string());
        let appended = self.appender.submit(batch, |series| by_handle.labels(series)).await;
        let appended = appended.map_err(|unsent| failed(unsent.error))?;
        self.remember(&request.series, &handles, &appended);
        if let Some(error) = rejection(&request, &handles, &appended)? {
            return Err(error);
        }
        let report = &appended.report;
        (outcome.samples, outcome.histograms) = (report.samples_written, report.histograms_written);
        outcome.exemplars = report.exemplars_written;
        appended.durable().await.map_err(failed)?;
        Ok(outcome)
    }

    /// A handle for every series, `None` for those with invalid labels, and how many these are.
    fn resolve(
        &self,
        request: &WriteRequest<'_>,
        stats: &IngestStats,
    ) -> Result<(Vec<Option<SeriesRef>>, usize), WriteError> {
        let mut handles: Vec<Option<SeriesRef>> = {
            let mut cache = self.cache.lock();
            request.series.iter().map(|series| cache.get(series.key)).collect()
        };
        let unknown: Vec<usize> = (0..handles.len()).filter(|i| handles[*i].is_none()).collect();
        add(&stats.remote_write_series_known, handles.len() - unknown.len());
        if unknown.is_empty() {
            return Ok((handles, 0));
        }
        add(&stats.remote_write_series_decoded, unknown.len());
        let (mut found, mut labels, mut invalid) = (Vec::new(), Vec::new(), 0);
        for at in unknown {
            match request.series[at].labels()? {
                Ok(set) => {
                    found.push(at);
                    labels.push(set);
                }
                Err(reason) => {
                    invalid += 1;
                    tracing::debug!(reason, "series left out of a remote write");
                }
            }
        }
        add(&stats.ingest_invalid_series, invalid);
        let mut cache = self.cache.lock();
        for (at, series) in found.into_iter().zip(self.appender.intern_all(&labels)) {
            handles[at] = Some(series);
            cache.insert(request.series[at].key, series);
        }
        Ok((handles, invalid))
    }

    /// Puts handles that were renewed in the place of the stale ones.
    fn remember(&self, series: &[SeriesMessage<'_>], handles: &[Option<SeriesRef>], appended: &Appended) {
        if appended.renewed.is_empty() {
            return;
        }
        let mut cache = self.cache.lock();
        for (message, handle) in series.iter().zip(handles) {
            if let Some(renewed) = handle.and_then(|handle| appended.renewed.get(&handle)) {
                cache.insert(message.key, *renewed);
            }
        }
    }
}

/// Finds the labels of a handle in the request; built when it is asked for the first time, which is rare.
struct ByHandle<'r, 'a> {
    series: &'r [SeriesMessage<'a>],
    handles: &'r [Option<SeriesRef>],
    places: Option<HashMap<SeriesRef, usize>>,
}

impl<'r, 'a> ByHandle<'r, 'a> {
    fn new(series: &'r [SeriesMessage<'a>], handles: &'r [Option<SeriesRef>]) -> Self {
        Self { series, handles, places: None }
    }

    fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let handles = self.handles;
        let places = self.places.get_or_insert_with(|| {
            handles.iter().enumerate().filter_map(|(i, handle)| Some(((*handle)?, i))).collect()
        });
        self.series[*places.get(&series)?].labels().ok()?.ok()
    }
}

fn batch_is_empty(batch: &WriteBatch) -> bool {
    batch.samples.is_empty()
        && batch.histograms.is_empty()
        && batch.exemplars.is_empty()
        && batch.metadata.is_empty()
}

fn check_headers(headers: WriteHeaders<'_>) -> Result<(), WriteError> {
    let content_type = headers.content_type.unwrap_or_default().trim();
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !content_type.is_empty() && !media_type.trim().eq_ignore_ascii_case("application/x-protobuf") {
        let message =
            format!("expected application/x-protobuf as the first (media) part, got {content_type} content-type");
        return Err(WriteError::new(415, message));
    }
    let message = parameters.split(';').filter_map(|p| p.trim().split_once('=')).find(|(name, _)| *name == "proto");
    match message.map(|(_, value)| value.trim_matches('"')) {
        None | Some("" | "prometheus.WriteRequest") => {}
        Some("io.prometheus.write.v2.Request") => {
            let message = "io.prometheus.write.v2.Request is not supported yet, send prometheus.WriteRequest";
            return Err(WriteError::new(415, message));
        }
        Some(other) => return Err(WriteError::new(415, format!("unknown remote write message {other:?}"))),
    }
    match headers.content_encoding.unwrap_or_default() {
        "" | "snappy" => Ok(()),
        other => Err(WriteError::new(
            415,
            format!("{other} encoding (compression) is not accepted by this server; only snappy is acceptable"),
        )),
    }
}

/// What a body says that it becomes, in bytes; 0 for one that does not say it. Nothing is allocated.
pub fn declared_bytes(body: &[u8]) -> usize {
    snap::raw::decompress_len(body).unwrap_or(0)
}

fn decompress(body: &[u8]) -> Result<Vec<u8>, WriteError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(WriteError::new(413, format!("the compressed body is larger than {MAX_BODY_BYTES} bytes")));
    }
    let corrupt = |e: snap::Error| WriteError::new(400, format!("snappy: {e}"));
    // The declared length is checked before anything is allocated for it.
    let declared = snap::raw::decompress_len(body).map_err(corrupt)?;
    if declared > MAX_BODY_BYTES {
        let message = format!("the decoded body of {declared} bytes is larger than {MAX_BODY_BYTES} bytes");
        return Err(WriteError::new(400, message));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

/// The error of a refused request, naming the first bad row.
fn rejection(
    request: &WriteRequest<'_>,
    handles: &[Option<SeriesRef>],
    appended: &Appended,
) -> Result<Option<WriteError>, WriteError> {
    let report = &appended.report;
    let first_sample = report.rejected_samples.first().map(|row| (row, true));
    let Some((&(index, reason), is_sample)) =
        first_sample.or_else(|| report.rejected_histograms.first().map(|row| (row, false)))
    else {
        return Ok(None);
    };
    let batch = request.rows(handles)?;
    let (series, timestamp) = match is_sample {
        true => (batch.samples[index].series, batch.samples[index].timestamp),
        false => (batch.histograms[index].series, batch.histograms[index].timestamp),
    };
    let labels = ByHandle::new(&request.series, handles).labels(series).unwrap_or_else(Labels::empty);
    let status = if reason == Rejection::UnknownSeries { 500 } else { 400 };
    let message = format!("{} (series {labels}, timestamp {timestamp})", reason.as_str());
    Ok(Some(WriteError::new(status, message)))
}

/// What the sender should do: keep trying, unless the data is at fault.
fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::BadInput | ErrorKind::Unsupported => 400,
        ErrorKind::Limit | ErrorKind::Timeout | ErrorKind::Unavailable => 503,
        _ => 500,
    }
}

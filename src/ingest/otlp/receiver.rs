//! Requests in, outcomes out. Status codes and texts are those of Prometheus' receiver: 400 for what cannot be read and
//! for samples that are out of order, doubled or out of bounds, 500 for metrics it cannot translate, which by OTLP's
//! rules a sender does not repeat either.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::{Mutex, RwLock};

use crate::config::otlp::OtlpConfig;
use crate::error::{Error, ErrorKind};
use crate::ingest::appender::{Appended, Appender};
use crate::ingest::otlp::delta::Streams;
use crate::ingest::otlp::json;
use crate::ingest::otlp::labels::Refusal;
use crate::ingest::otlp::message::{MAX_ITEMS, Unreadable};
use crate::ingest::otlp::translate;
use crate::ingest::otlp::translated::{Delta, Entry, Found, Settings, Translated};
use crate::ingest::remote_write::cache::{Cursor, Known, SeriesCache};
use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::Labels;
use crate::storage::store::Clock;
use crate::storage::types::{ExemplarRow, Haste, HistogramRow, Rejection, SampleRow, SeriesRef, WriteBatch};

/// Of a body, compressed or not.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Series whose handles are remembered over all senders.
const CACHED_SERIES: usize = 1 << 20;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// How much memory a body may take once it is protobuf, besides itself.
    pub fn growth_bytes(self, body_bytes: usize) -> usize {
        match self {
            Format::Protobuf => 0,
            Format::Json => body_bytes.saturating_mul(json::GROWTH),
        }
    }
}

/// What of the command line concerns this receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub lookback_delta_ms: i64,
    pub type_and_unit_labels: bool,
    pub delta: Delta,
}

/// Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpError {
    pub status: u16,
    pub message: String,
}

impl OtlpError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl fmt::Display for OtlpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OtlpError {}

impl From<Unreadable> for OtlpError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed => OtlpError::new(400, "the body is not an ExportMetricsServiceRequest message"),
            Unreadable::NoRoom => OtlpError::new(503, "there is no memory left for what the request becomes"),
            Unreadable::TooMany => OtlpError::new(
                400,
                format!("the request has too many parts, points or buckets: the limit is {MAX_ITEMS}"),
            ),
        }
    }
}

/// The receiver of `/api/v1/otlp/v1/metrics`.
pub struct Otlp {
    appender: Arc<Appender>,
    options: Options,
    clock: Clock,
    active: RwLock<Arc<Active>>,
    /// Of points with delta temporality, where they are summed up.
    streams: Mutex<Streams>,
}

/// A configuration, and the series that were made by it.
#[derive(Debug)]
struct Active {
    settings: Settings,
    known: Mutex<SeriesCache>,
}

impl Otlp {
    pub fn new(appender: Arc<Appender>, options: Options, clock: Clock, config: &OtlpConfig) -> Self {
        let active = RwLock::new(Arc::new(Active::new(options, config)));
        Self { appender, options, clock, active, streams: Mutex::default() }
    }

    /// For requests that come from now on.
    pub fn apply_config(&self, config: &OtlpConfig) {
        if self.active.read().settings.config != *config {
            *self.active.write() = Arc::new(Active::new(self.options, config));
        }
    }

    /// Returns when everything is durable. What cannot be read or translated is refused as a whole; of a request with rows
    /// that the store refuses the others are written. Memory is asked for with `reserve`, in bytes.
    pub async fn write(
        &self,
        format: Format,
        body: &[u8],
        reserve: &mut (dyn FnMut(usize) -> Result<(), OtlpError> + Send),
    ) -> Result<(), OtlpError> {
        let stats = self.appender.stats().clone();
        add(&stats.otlp_requests, 1);
        add(&stats.otlp_bytes, body.len());
        let outcome = match format {
            Format::Protobuf => self.write_message(body, &stats, reserve).await,
            Format::Json => match json::to_protobuf(body) {
                Ok(message) => self.write_message(&message, &stats, reserve).await,
                Err(error) => Err(OtlpError::new(400, error.to_string())),
            },
        };
        if let Err(error) = &outcome {
            add(&stats.otlp_requests_failed, 1);
            tracing::debug!(status = error.status, error = error.message, "OTLP request refused");
        }
        outcome
    }

    async fn write_message(
        &self,
        message: &[u8],
        stats: &IngestStats,
        reserve: &mut (dyn FnMut(usize) -> Result<(), OtlpError> + Send),
    ) -> Result<(), OtlpError> {
        let active = self.active.read().clone();
        let mut refusal = None;
        let mut has_room = |bytes: usize| match reserve(bytes) {
            Ok(()) => true,
            Err(error) => {
                refusal = Some(error);
                false
            }
        };
        let translated = match self.translate(message, &active, &mut has_room) {
            Err(Unreadable::NoRoom) => return Err(refusal.unwrap_or_else(|| Unreadable::NoRoom.into())),
            translated => translated?,
        };
        add(&stats.otlp_warnings, translated.warnings.len());
        for warning in &translated.warnings {
            tracing::warn!("OTLP: {warning}");
        }
        if !translated.errors.is_empty() {
            return Err(refused(&translated.errors));
        }
        let handles = self.resolve(&active, &translated.series, stats);
        let batch = rows(translated, &handles);
        if batch_is_empty(&batch) {
            return Ok(());
        }
        // The rows are needed once more only to say which one was bad.
        let places: Vec<(SeriesRef, i64)> = batch.samples.iter().map(|row| (row.series, row.timestamp)).collect();
        let histograms: Vec<(SeriesRef, i64)> =
            batch.histograms.iter().map(|row| (row.series, row.timestamp)).collect();
        let failed = |e: Error| OtlpError::new(status_of(e.kind), e.to_string());
        let mut by_handle = ByHandle { message, settings: &active.settings, handles: &handles, labels: None };
        let appended = self.appender.submit(batch, Haste::Now, |series| by_handle.labels(series)).await;
        let mut appended = appended.map_err(|unsent| failed(unsent.error))?;
        active.remember(&handles, &appended);
        // What is good is kept, whatever else there is.
        appended.durable().await.map_err(failed)?;
        let report = &appended.report;
        let bad_sample = report.rejected_samples.first().map(|(row, reason)| (places[*row], *reason));
        let bad = bad_sample
            .or_else(|| report.rejected_histograms.first().map(|(row, reason)| (histograms[*row], *reason)));
        if let Some(((series, timestamp), reason)) = bad {
            let labels = by_handle.labels(series).unwrap_or_else(Labels::empty);
            let status = if reason == Rejection::UnknownSeries { 500 } else { 400 };
            let reason = reason.as_str();
            return Err(OtlpError::new(status, format!("{reason} (series {labels}, timestamp {timestamp})")));
        }
        Ok(())
    }

    fn translate(
        &self,
        message: &[u8],
        active: &Active,
        reserve: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Translated, Unreadable> {
        let mut cursor = Cursor::default();
        let known = &mut |key| active.known.lock().get(key, &mut cursor).map(|known| known.handle);
        if self.options.delta != Delta::Summed {
            return translate::translate_within(message, &active.settings, known, None, reserve);
        }
        // What is summed up is summed up in the order of requests, so these take turns.
        let mut streams = self.streams.lock();
        let streams = Some(streams.at((self.clock)()));
        translate::translate_within(message, &active.settings, known, streams, reserve)
    }

    /// A handle for every series.
    fn resolve(&self, active: &Active, series: &[Entry], stats: &IngestStats) -> Vec<(u128, SeriesRef)> {
        let new: Vec<Labels> = series
            .iter()
            .filter_map(|entry| match &entry.series {
                Found::New(labels) => Some(labels.clone()),
                Found::Known(_) => None,
            })
            .collect();
        add(&stats.otlp_series_known, series.len() - new.len());
        add(&stats.otlp_series_translated, new.len());
        let mut interned = self.appender.intern_all(&new).into_iter();
        let mut known = active.known.lock();
        let mut cursor = Cursor::default();
        let handle = |entry: &Entry| match entry.series {
            Found::Known(series) => Some((entry.key, series)),
            Found::New(_) => {
                let series = interned.next()?;
                known.insert(entry.key, Known { handle: series, described: 0 }, &mut cursor);
                Some((entry.key, series))
            }
        };
        let handles: Vec<_> = series.iter().filter_map(handle).collect();
        debug_assert_eq!(handles.len(), series.len(), "a handle for every label set");
        handles
    }
}

impl Active {
    fn new(options: Options, config: &OtlpConfig) -> Self {
        let Options { lookback_delta_ms, type_and_unit_labels, delta } = options;
        let settings = Settings { config: config.clone(), lookback_delta_ms, type_and_unit_labels, delta };
        Self { settings, known: Mutex::new(SeriesCache::new(CACHED_SERIES)) }
    }

    /// Puts handles that were renewed in the place of the stale ones.
    fn remember(&self, handles: &[(u128, SeriesRef)], appended: &Appended) {
        if appended.renewed.is_empty() {
            return;
        }
        let mut known = self.known.lock();
        for (key, series) in handles {
            if let Some(renewed) = appended.renewed.get(series) {
                known.update(*key, |known| known.handle = *renewed);
            }
        }
    }
}

/// Finds the labels of a handle by translating the request again; done when it is asked for the first time, which is
/// rare.
struct ByHandle<'r> {
    message: &'r [u8],
    settings: &'r Settings,
    handles: &'r [(u128, SeriesRef)],
    labels: Option<HashMap<SeriesRef, Labels>>,
}

impl ByHandle<'_> {
    fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let labels = self.labels.get_or_insert_with(|| {
            let handles: HashMap<u128, SeriesRef> = self.handles.iter().copied().collect();
            let again = translate::translate(self.message, self.settings, &mut |_| None, None).unwrap_or_default();
            let labels = again.series.into_iter().filter_map(|entry| match entry.series {
                Found::New(labels) => Some((*handles.get(&entry.key)?, labels)),
                Found::Known(_) => None,
            });
            labels.collect()
        });
        labels.get(&series).cloned()
    }
}

/// The rows with the handles of their series. Of two samples of one series and time the first counts: resources that differ
/// in what is no label of theirs often have such.
fn rows(translated: Translated, handles: &[(u128, SeriesRef)]) -> WriteBatch {
    let mut batch = WriteBatch { metadata: translated.metadata, ..WriteBatch::default() };
    let mut seen = HashSet::with_capacity(translated.samples.len() + translated.histograms.len());
    for sample in translated.samples {
        let (series, timestamp) = (handles[sample.series].1, sample.timestamp);
        if seen.insert((series, timestamp)) {
            let (value, start_timestamp) = (sample.value, sample.start);
            batch.samples.push(SampleRow { series, timestamp, value, start_timestamp });
        }
    }
    for (sample, histogram) in translated.histograms {
        let (series, timestamp) = (handles[sample.series].1, sample.timestamp);
        if seen.insert((series, timestamp)) {
            let (histogram, start_timestamp) = (Arc::new(histogram), sample.start);
            batch.histograms.push(HistogramRow { series, timestamp, histogram, start_timestamp });
        }
    }
    let exemplar = |(series, timestamp, value, labels): (usize, i64, f64, Labels)| {
        let series = handles[series].1;
        ExemplarRow { series, timestamp, has_timestamp: true, value, labels }
    };
    batch.exemplars = translated.exemplars.into_iter().map(exemplar).collect();
    batch
}

fn batch_is_empty(batch: &WriteBatch) -> bool {
    batch.samples.is_empty() && batch.histograms.is_empty() && batch.metadata.is_empty()
}

/// All that was wrong, a line each.
fn refused(errors: &[Refusal]) -> OtlpError {
    let out_of_bounds = errors.contains(&Refusal::OutOfBounds);
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match error {
            Refusal::OutOfBounds => "out of bounds: a point has no time, or one before 1970".to_string(),
            Refusal::Invalid(reason) => reason.clone(),
            Refusal::Unreadable(unreadable) => OtlpError::from(unreadable.clone()).message,
        })
        .collect();
    OtlpError::new(if out_of_bounds { 400 } else { 500 }, lines.join("\n"))
}

/// What the sender should do: keep trying, unless the data is at fault.
fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::BadInput | ErrorKind::Unsupported => 400,
        ErrorKind::Limit | ErrorKind::Timeout | ErrorKind::Unavailable => 503,
        _ => 500,
    }
}

//! Requests in, outcomes out: decompress → find the series → make rows → hand them to the store → say how it went.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ingest::appender::{Appended, Appender};
use crate::ingest::remote_write::body::{Reserve, decompress};
use crate::ingest::remote_write::buffers::{Buffers, Pool, recycled};
use crate::ingest::remote_write::cache::{Cursor, Known, SeriesCache};
use crate::ingest::remote_write::decode::{DecodeError, Request, valid_labels};
use crate::ingest::remote_write::negotiate::{Message, WriteHeaders, check_accepted};
use crate::ingest::remote_write::outcome::{
    Part, Place, Problems, WriteError, Written, exemplar_refused, sample_refused, series_text,
};
use crate::ingest::remote_write::rows::{Rows, SamplePlaces, refused};
use crate::ingest::remote_write::symbols::{MetadataRefs, SymbolError};
use crate::ingest::remote_write::unanswered::{Submitted, Unanswered, Waiting};
use crate::ingest::stats::{IngestStats, add};
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};
use crate::storage::types::{Existing, Haste, Rejection, SeriesRef, WriteBatch};

/// Series whose handles are remembered over all senders.
pub const CACHED_SERIES: usize = 1 << 20;

/// The receiver of `/api/v1/write`.
#[derive(Debug)]
pub struct RemoteWrite {
    appender: Arc<Appender>,
    accepted: Vec<Message>,
    cache: Mutex<SeriesCache>,
    pool: Pool,
    unanswered: Unanswered,
}

/// Metadata of series of 2.0 that is new, with the keys of the series to remember it by.
#[derive(Debug, Default)]
struct Described {
    families: Vec<(String, Metadata)>,
    series: Vec<(u128, u32)>,
}

impl RemoteWrite {
    /// Takes messages of both versions.
    pub fn new(appender: Arc<Appender>) -> Self {
        Self {
            appender,
            accepted: Message::ALL.to_vec(),
            cache: Mutex::new(SeriesCache::new(CACHED_SERIES)),
            pool: Pool::default(),
            unanswered: Unanswered::default(),
        }
    }

    /// Takes these messages only.
    pub fn accepting(mut self, messages: &[Message]) -> Self {
        self.accepted = messages.to_vec();
        self
    }

    /// Looks at the headers, before there is a body. Errors: 415.
    pub fn check_headers(&self, headers: WriteHeaders<'_>) -> Result<Message, WriteError> {
        let checked = headers.message().and_then(|message| {
            check_accepted(message, &self.accepted)?;
            headers.check_encoding()?;
            Ok(message)
        });
        checked.inspect_err(|error| {
            add(&self.appender.stats().remote_write_requests, 1);
            self.failed(error);
        })
    }

    /// Returns when all that is good is durable; an error says what is not, and what was written nevertheless.
    /// `reserve` is asked for what decoding takes, before it is taken.
    pub async fn write(
        &self,
        message: Message,
        body: Bytes,
        reserve: &mut Reserve<'_>,
    ) -> Result<Written, WriteError> {
        let stats = self.appender.stats();
        add(&stats.remote_write_requests, 1);
        add(&stats.remote_write_bytes, body.len());
        let outcome = self.submit_and_wait(message, body, reserve).await;
        outcome.inspect_err(|error| self.failed(error))
    }

    fn failed(&self, error: &WriteError) {
        add(&self.appender.stats().remote_write_requests_failed, 1);
        tracing::debug!(status = error.status, error = error.message, "remote write refused");
    }

    async fn submit_and_wait(
        &self,
        message: Message,
        body: Bytes,
        reserve: &mut Reserve<'_>,
    ) -> Result<Written, WriteError> {
        let submitted = match self.unanswered.take(message, &body) {
            Some(submitted) => {
                add(&self.appender.stats().remote_write_requests_repeated, 1);
                submitted
            }
            None => self.submit(message, &body, reserve).await?,
        };
        Waiting::new(&self.unanswered, message, body, submitted).answer().await
    }

    /// Hands everything that is good to the store.
    async fn submit(
        &self,
        message: Message,
        body: &[u8],
        reserve: &mut Reserve<'_>,
    ) -> Result<Submitted, WriteError> {
        let mut buffers = self.pool.take();
        let bytes = decompress(body, &mut buffers.body, reserve)?;
        let (series, symbols) = (recycled(buffers.series), buffers.symbols.recycled());
        let malformed = |error| malformed(message, error);
        let mut request = Request::scan(message, bytes, series, symbols).map_err(malformed)?;
        reserve(request.bytes())?;
        let mut problems = Problems::default();
        let described = self.resolve(&mut request, &mut problems, reserve)?;
        let mut rows = buffers.rows;
        rows.read(&request, &mut problems).map_err(malformed)?;
        add(&self.appender.stats().ingest_invalid_histograms, rows.invalid_histograms);
        rows.batch.metadata = described.families;

        let mut appended = Appended::default();
        if !is_empty(&rows.batch) {
            let mut by_handle = ByHandle::new(&request);
            let batch = std::mem::take(&mut rows.batch);
            let submitted = self.appender.submit(batch, Haste::Now, |series| by_handle.labels(series)).await;
            // Nobody sees the rows again that were not taken: the sender has them.
            appended = submitted.map_err(|unsent| WriteError::from(unsent.error))?;
            self.remember(&request, &appended, &described.series);
            add_refused(&request, &rows, &appended, &mut problems);
        }
        let outcome = outcome(message, &appended, problems);
        let (series, symbols) = (recycled(request.series), request.symbols.recycled());
        let rows = rows.recycled(std::mem::take(&mut appended.batch));
        self.pool.give(Buffers { body: buffers.body, series, symbols, rows });
        Ok(Submitted { appended, outcome })
    }

    /// Finds the handle of every series that has valid labels and rows.
    fn resolve(
        &self,
        request: &mut Request<'_>,
        problems: &mut Problems,
        reserve: &mut Reserve<'_>,
    ) -> Result<Described, WriteError> {
        let stats = self.appender.stats();
        let mut undescribed = 0;
        let (mut unknown, mut changed, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut cache = self.cache.lock();
            let mut cursor = Cursor::default();
            let mut last = (MetadataRefs::default(), 0);
            for (at, series) in request.series.iter_mut().enumerate() {
                if series.fault.is_some() {
                    continue;
                }
                if series.metadata != last.0 {
                    last = (series.metadata, request.symbols.metadata_hash(series.metadata));
                }
                let described = last.1;
                if described == 0 {
                    undescribed += (series.samples + series.histograms) as usize;
                }
                if series.rows() == 0 {
                    empty.push(at);
                } else if let Some(known) = cache.get(series.key, &mut cursor) {
                    series.handle = Some(known.handle);
                    if described != 0 && described != known.described {
                        changed.push(at);
                    }
                } else {
                    unknown.push(at);
                    if described != 0 {
                        changed.push(at);
                    }
                }
            }
        }
        add(&stats.remote_write_without_metadata_samples, undescribed);
        add(&stats.remote_write_series_known, request.series.len() - unknown.len());
        add(&stats.remote_write_series_decoded, unknown.len());
        add_faults(request, problems, stats);
        if !unknown.is_empty() || !empty.is_empty() {
            self.register(request, &unknown, &empty, problems, reserve)?;
        }
        describe(request, &changed, reserve)
    }

    /// Decodes labels, and registers the series that have rows.
    fn register(
        &self,
        request: &mut Request<'_>,
        unknown: &[usize],
        empty: &[usize],
        problems: &mut Problems,
        reserve: &mut Reserve<'_>,
    ) -> Result<(), WriteError> {
        let message = request.message;
        let malformed = |error| malformed(message, error);
        let mut bytes = unknown.len() * 2 * size_of::<Labels>();
        for at in unknown.iter().chain(empty) {
            bytes += request.label_bytes(&request.series[*at]).map_err(malformed)?;
        }
        reserve(bytes)?;
        let (mut found, mut labels, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut invalid, mut invalid_samples) = (0, 0);
        for (at, is_empty) in unknown.iter().map(|at| (*at, false)).chain(empty.iter().map(|at| (*at, true))) {
            let series = &request.series[at];
            request.read_labels(series, &mut pairs).map_err(malformed)?;
            let place = Place { series: at, part: Part::Labels, row: 0 };
            match valid_labels(&pairs) {
                Ok(_) if is_empty => {
                    if message == Message::Request {
                        problems.add(place, || {
                            let series = series_text(&pairs);
                            format!("TimeSeries must contain at least one sample or histogram for series {series}")
                        });
                    }
                }
                Ok(set) => {
                    found.push(at);
                    labels.push(set);
                }
                Err(why) => {
                    invalid += 1;
                    tracing::debug!(why, "series left out of a remote write");
                    match message {
                        // As Prometheus counts them.
                        Message::WriteRequest => invalid_samples += 1,
                        Message::Request => {
                            invalid_samples += (series.samples + series.histograms) as usize;
                            problems.add(place, || why);
                        }
                    }
                }
            }
        }
        let stats = self.appender.stats();
        add(&stats.ingest_invalid_series, invalid);
        add(&stats.remote_write_invalid_labels_samples, invalid_samples);
        let mut cache = self.cache.lock();
        let mut cursor = Cursor::default();
        for (at, handle) in found.into_iter().zip(self.appender.intern_all(&labels)) {
            request.series[at].handle = Some(handle);
            cache.insert(request.series[at].key, Known { handle, described: 0 }, &mut cursor);
        }
        Ok(())
    }

    /// Puts handles that were renewed in the place of the stale ones, and what the store has now of metadata.
    fn remember(&self, request: &Request<'_>, appended: &Appended, described: &[(u128, u32)]) {
        if appended.renewed.is_empty() && described.is_empty() {
            return;
        }
        let mut cache = self.cache.lock();
        for (key, hash) in described {
            cache.update(*key, |known| known.described = *hash);
        }
        if appended.renewed.is_empty() {
            return;
        }
        for series in &request.series {
            if let Some(renewed) = series.handle.and_then(|handle| appended.renewed.get(&handle)) {
                cache.update(series.key, |known| known.handle = *renewed);
            }
        }
    }
}

/// Finds the labels of a handle in the request; built when it is asked for the first time, which is rare.
struct ByHandle<'r, 'a> {
    request: &'r Request<'a>,
    places: Option<HashMap<SeriesRef, usize>>,
}

impl<'r, 'a> ByHandle<'r, 'a> {
    fn new(request: &'r Request<'a>) -> Self {
        Self { request, places: None }
    }

    fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let all = &self.request.series;
        let places = self.places.get_or_insert_with(|| {
            all.iter().enumerate().filter_map(|(at, series)| Some((series.handle?, at))).collect()
        });
        valid_labels(&self.request.labels(&all[*places.get(&series)?])).ok()
    }
}

fn is_empty(batch: &WriteBatch) -> bool {
    batch.samples.is_empty()
        && batch.histograms.is_empty()
        && batch.exemplars.is_empty()
        && batch.metadata.is_empty()
}

fn malformed(message: Message, error: DecodeError) -> WriteError {
    match error {
        DecodeError::Malformed => WriteError::new(400, format!("the body is not a {message} message")),
        DecodeError::Invalid(why) => WriteError::new(400, why),
    }
}

/// References that lead nowhere.
fn add_faults(request: &Request<'_>, problems: &mut Problems, stats: &IngestStats) {
    for (at, series) in request.series.iter().enumerate() {
        let Some(fault) = &series.fault else { continue };
        let place = Place { series: at, part: Part::Labels, row: 0 };
        let (SymbolError::Labels(text) | SymbolError::Metadata(text)) = fault;
        problems.add(place, || text.clone());
        if matches!(fault, SymbolError::Labels(_)) {
            add(&stats.ingest_invalid_series, 1);
            add(&stats.remote_write_invalid_labels_samples, (series.samples + series.histograms) as usize);
        }
    }
}

/// Metadata of the series at these places, by family; and of 1.0, which has it by family.
fn describe(
    request: &mut Request<'_>,
    changed: &[usize],
    reserve: &mut Reserve<'_>,
) -> Result<Described, WriteError> {
    let mut described =
        Described { families: std::mem::take(&mut request.metadata), series: Vec::with_capacity(changed.len()) };
    let mut last = None;
    for at in changed {
        let series = &request.series[*at];
        // One without valid labels.
        if series.handle.is_none() {
            continue;
        }
        described.series.push((series.key, request.symbols.metadata_hash(series.metadata)));
        let pairs = request.labels(series);
        let name =
            pairs.iter().find(|(name, _)| *name == METRIC_NAME.as_bytes()).map_or(&b""[..], |(_, name)| name);
        let refs = series.metadata;
        let texts = [name, request.symbols.metadata_text(refs.help), request.symbols.metadata_text(refs.unit)]
            .map(std::str::from_utf8);
        let [Ok(name), Ok(help), Ok(unit)] = texts else { continue };
        let family = family_of(name, refs.kind);
        // Series of one family follow each other.
        if last == Some((family, refs)) {
            continue;
        }
        last = Some((family, refs));
        reserve(family.len() + help.len() + unit.len() + size_of::<(String, Metadata)>())?;
        let metadata = Metadata { kind: refs.kind, help: help.to_string(), unit: unit.to_string() };
        described.families.push((family.to_string(), metadata));
    }
    Ok(described)
}

/// The family of a series: 2.0 and the log of a TSDB have metadata by series. A classic histogram is several series.
pub fn family_of(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|f| !f.is_empty()).unwrap_or(name)
}

/// Says which rows the store did not take.
fn add_refused(request: &Request<'_>, rows: &Rows, appended: &Appended, problems: &mut Problems) {
    let (report, batch) = (&appended.report, &appended.batch);
    let mut places = SamplePlaces::of(request);
    let existing: HashMap<usize, Existing> = report.existing.iter().copied().collect();
    for (row, rejection) in &report.rejected_samples {
        let (place, sample) = (places.find(*row), batch.samples[*row]);
        problems.add(place, || {
            let why = sample_refused(*rejection, sample.timestamp, sample.value, existing.get(row).copied());
            refused(request, &request.series[place.series], &why)
        });
    }
    for (row, rejection) in &report.rejected_histograms {
        let place = rows.histograms[*row];
        problems.add(place, || refused(request, &request.series[place.series], rejection.as_str()));
    }
    for (row, rejection) in &report.rejected_exemplars {
        // Prometheus tells the sender of order alone, and with 1.0 of nothing.
        if request.message == Message::Request && *rejection == Rejection::OutOfOrder {
            let place = rows.exemplars[*row];
            problems.add(place, || refused(request, &request.series[place.series], exemplar_refused(*rejection)));
        }
    }
}

/// What the sender is told. A row that only another one of the request contradicts counts as written: Prometheus sees
/// that when it commits, and tells nobody.
fn outcome(message: Message, appended: &Appended, problems: Problems) -> Result<Written, WriteError> {
    let report = &appended.report;
    let written = Written {
        samples: report.samples_written + report.dropped_samples.len(),
        histograms: report.histograms_written + report.dropped_histograms.len(),
        exemplars: report.exemplars_written,
    };
    let text = match message {
        Message::WriteRequest => problems.first(),
        Message::Request => problems.all(),
    };
    match text {
        None => Ok(written),
        Some(message) => Err(WriteError { status: 400, message, written }),
    }
}

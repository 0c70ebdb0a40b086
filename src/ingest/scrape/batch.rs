//! A parsed body → rows of one batch: samples, histograms, exemplars, the markers of what vanished, and `up` with its
//! siblings, so that a scrape becomes durable and visible at once.

use std::sync::Arc;

use crate::config::protocol::HistogramLimits;
use crate::config::scrape::ScrapeConfig;
use crate::ingest::appender::Appender;
use crate::ingest::exposition::event::{Event, Exemplar, Format, Options, Parser, Sample, Value};
use crate::ingest::exposition::series::Pairs;
use crate::ingest::labels::exemplar_labels;
use crate::ingest::scrape::cache::{Staged, TargetCache};
use crate::ingest::scrape::features::Features;
use crate::ingest::scrape::labels::{check_label_limits, series_labels};
use crate::ingest::scrape::metadata::{MetadataCache, SharedMetadata};
use crate::ingest::scrape::start;
use crate::ingest::scrape::target::Target;
use crate::ingest::stats::add;
use crate::model::histogram::{EXPONENTIAL_SCHEMAS, FloatHistogram};
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};
use crate::model::sample::STALE_NAN;
use crate::storage::types::{ExemplarRow, HistogramRow, SampleRow, SeriesRef, WriteBatch};

/// Samples may be this much ahead of the clock, as in Prometheus.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// What a scrape says about itself in the synthetic series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScrapeReport {
    pub up: bool,
    pub duration_seconds: f64,
    /// Samples in the body.
    pub samples: u64,
    /// Samples that were left after relabelling.
    pub samples_kept: u64,
    /// Series the last scrape did not have.
    pub series_added: u64,
    /// -1 where the body was too large.
    pub body_bytes: i64,
}

/// Why a parsed body is refused as a whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    SampleLimit,
    BucketLimit,
    Invalid(String),
}

/// Whose scrape it is; the same from one to the next.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub config: &'a ScrapeConfig,
    pub target: &'a Target,
    pub features: Features,
    pub appender: &'a Appender,
    pub shared_metadata: &'a SharedMetadata,
}

/// The batch of one scrape under construction.
pub struct ScrapeBatch<'a> {
    job: Job<'a>,
    pub cache: &'a mut TargetCache,
    /// Stamps samples without a time of their own.
    pub timestamp: i64,
    pub batch: WriteBatch,
    /// So many samples and histograms at the start of the batch are zeros of counters that began. That the store has
    /// them already, or newer ones, is no fault.
    pub zeros: (usize, usize),
    /// Series that end here. Their entries may be gone from the cache already.
    pub ended: Vec<(SeriesRef, Labels)>,
    exemplars: Vec<StagedExemplar>,
    limits: Limits,
    family: Family,
    out_of_bounds: usize,
    duplicates: usize,
}

/// What was counted against limits.
#[derive(Default)]
struct Limits {
    samples: u64,
    samples_exceeded: bool,
    buckets_exceeded: bool,
}

/// The family whose metadata came last, for those that need to know.
#[derive(Default)]
struct Family {
    name: String,
    unit: String,
    kind: MetricType,
}

/// An exemplar of the scrape in progress.
struct StagedExemplar {
    entry: u32,
    timestamp: i64,
    has_timestamp: bool,
    value: f64,
    labels: Labels,
}

impl<'a> ScrapeBatch<'a> {
    pub fn new(job: Job<'a>, cache: &'a mut TargetCache, timestamp: i64) -> Self {
        Self {
            job,
            cache,
            timestamp,
            batch: WriteBatch::default(),
            zeros: (0, 0),
            ended: Vec::new(),
            exemplars: Vec::new(),
            limits: Limits::default(),
            family: Family::default(),
            out_of_bounds: 0,
            duplicates: 0,
        }
    }

    /// Takes the samples of a body, or none of them. The counts of `report` are set either way.
    pub fn scraped(&mut self, format: Format, body: &[u8], report: &mut ScrapeReport) -> Result<(), Refused> {
        let job = self.job;
        let mut metadata = job.target.metadata.lock();
        self.cache.begin();
        metadata.begin();
        let outcome = self.parse(format, body, &mut metadata, report);
        let news = metadata.finish(job.shared_metadata, outcome.is_ok());
        drop(metadata);
        match outcome {
            Ok(()) => self.accept(news),
            Err(_) => {
                self.exemplars.clear();
                self.ended = self.cache.roll_back();
            }
        }
        self.push_markers();
        self.warn();
        outcome
    }

    /// There is no body, or nothing in it: everything the target had ends.
    pub fn failed(&mut self) {
        self.job.target.metadata.lock().begin();
        self.cache.begin();
        self.ended = self.cache.roll_back();
        self.push_markers();
    }

    /// The target is gone: its synthetic series end too.
    pub fn removed(&mut self) {
        self.cache.begin();
        self.ended = self.cache.end_all();
        if std::mem::take(&mut self.cache.reported) {
            self.ended.extend(self.cache.synthetic.iter().map(|(labels, series)| (*series, labels.clone())));
        }
        self.push_markers();
    }

    fn parse(
        &mut self,
        format: Format,
        body: &[u8],
        metadata: &mut MetadataCache,
        report: &mut ScrapeReport,
    ) -> Result<(), Refused> {
        let job = self.job;
        let histograms = job.target.histograms;
        let options = Options {
            native_histograms: histograms.native,
            always_classic_histograms: histograms.always_classic,
            convert_classic_histograms: histograms.convert_classic,
            start_timestamps: job.features.needs_start_timestamps(),
        };
        let mut pairs = Pairs::new();
        let mut parser = Parser::new(format, body, options);
        while let Some(event) = parser.next() {
            let event = event.map_err(|e| Refused::Invalid(e.to_string()))?;
            let Event::Sample(sample) = event else {
                metadata.observe(&event);
                if job.features.needs_family() {
                    self.family.observe(&event, metadata);
                }
                continue;
            };
            report.samples += 1;
            let kept = self.sample(sample, &mut pairs, report);
            let kept = kept.map_err(|message| Refused::Invalid(parser.error(message).to_string()))?;
            report.samples_kept += u64::from(kept);
        }
        // The rest was still counted, so that one sees how far over the limit the target is.
        match &self.limits {
            Limits { samples_exceeded: true, .. } => Err(Refused::SampleLimit),
            Limits { buckets_exceeded: true, .. } => Err(Refused::BucketLimit),
            _ => Ok(()),
        }
    }

    /// Stages a sample; `false` where relabelling drops it.
    #[inline]
    fn sample<'b>(
        &mut self,
        sample: Sample<'b>,
        pairs: &mut Pairs<'b>,
        report: &mut ScrapeReport,
    ) -> Result<bool, String> {
        let own_time = sample.timestamp.filter(|_| self.job.config.honor_timestamps);
        let key = sample.series.key();
        let known = match self.cache.find(key) {
            Some(entry) if self.cache.is_dropped(entry) => return Ok(false),
            Some(entry) if self.cache.see(entry) && own_time.is_none() => {
                // One series twice in one body, at one time: the first counts.
                self.duplicates += 1;
                return Ok(true);
            }
            known => known,
        };
        let mut labels = None;
        if known.is_none() {
            // A line that cannot be read is no sample.
            sample.series.decode(pairs).inspect_err(|_| report.samples -= 1)?;
            if self.job.features.type_and_unit_labels {
                self.family.describe(pairs);
            }
            labels = series_labels(pairs, &self.job.target.labels, self.job.config)?;
            let Some(labels) = &labels else {
                self.cache.add_dropped(key);
                return Ok(false);
            };
            check_label_limits(labels, self.job.config)
                .inspect_err(|_| add(&self.job.appender.stats().scrapes_exceeded_label_limits, 1))?;
        }
        let timestamp = own_time.unwrap_or(self.timestamp);
        let is_histogram = matches!(sample.value, Value::Histogram(_));
        let Some(value) = self.within_limits(sample.value, timestamp) else { return Ok(true) };
        let entry = match (known, labels) {
            (Some(entry), _) => entry,
            (None, labels) => {
                report.series_added += u64::from(!self.cache.was_refused(key));
                self.cache.add(key, labels.expect("decoded above where it was not known"))
            }
        };
        let tracked = own_time.is_none() || self.job.config.track_timestamps_staleness;
        self.stage(entry, value, timestamp, sample.start_timestamp, tracked);
        for exemplar in &sample.exemplars {
            let taken = self.exemplar(entry, exemplar, timestamp, is_histogram, pairs);
            taken.inspect_err(|_| report.samples -= 1)?;
        }
        Ok(true)
    }

    /// The value as it is to be stored, if it is.
    #[inline]
    fn within_limits(&mut self, value: Value, timestamp: i64) -> Option<Value> {
        let (config, limits) = (self.job.config, &mut self.limits);
        let value = match value {
            Value::Float(_) => value,
            Value::Histogram(histogram) => match reduced(histogram, config.histogram_limits) {
                Some(histogram) => Value::Histogram(histogram),
                None => {
                    limits.buckets_exceeded = true;
                    return None;
                }
            },
        };
        limits.samples += 1;
        limits.samples_exceeded |= config.limits.sample_limit != 0 && limits.samples > config.limits.sample_limit;
        if limits.samples_exceeded || limits.buckets_exceeded {
            return None;
        }
        if !(1..=self.timestamp + MAX_AHEAD_MS).contains(&timestamp) {
            self.out_of_bounds += 1;
            return None;
        }
        Some(value)
    }

    #[inline]
    fn stage(&mut self, entry: u32, value: Value, timestamp: i64, start_timestamp: i64, tracked: bool) {
        let features = self.job.features;
        let (mut value, mut start_timestamp) = (value, start_timestamp);
        if features.synthesize_starts && start_timestamp == 0 && self.counts_up(entry) {
            match self.cache.synthesis(entry).observe(value, timestamp) {
                Some(observed) => (value, start_timestamp) = observed,
                // The point to count from.
                None => return,
            }
        }
        if features.zero_samples && start_timestamp != 0 && start_timestamp < timestamp {
            self.cache.stage_zero(entry, start_timestamp, &value);
        }
        if !features.stores_start_timestamps() {
            start_timestamp = 0;
        }
        self.cache.stage(entry, Staged { entry, timestamp, start_timestamp, value }, tracked);
    }

    /// Whether a series is a counter, or a part of what counts.
    fn counts_up(&self, entry: u32) -> bool {
        let family = &self.family;
        start::counts(self.cache.entry(entry).labels.metric(), &family.name, family.kind)
    }

    /// One without a time has that of its sample, unless that is a histogram: Prometheus could not tell such ones apart.
    fn exemplar<'b>(
        &mut self,
        entry: u32,
        exemplar: &Exemplar<'b>,
        timestamp: i64,
        of_histogram: bool,
        pairs: &mut Pairs<'b>,
    ) -> Result<(), String> {
        let Some(timestamp) = exemplar.timestamp.or((!of_histogram).then_some(timestamp)) else { return Ok(()) };
        exemplar.labels.decode(pairs)?;
        if let Some(labels) = exemplar_labels(pairs) {
            let has_timestamp = exemplar.timestamp.is_some();
            self.exemplars.push(StagedExemplar { entry, timestamp, has_timestamp, value: exemplar.value, labels });
        }
        Ok(())
    }

    /// Registers the new series under one lock and turns what was staged into rows.
    fn accept(&mut self, news: Vec<(String, Metadata)>) {
        let added = self.cache.added().to_vec();
        let labels: Vec<Labels> = added.iter().map(|at| self.cache.entry(*at).labels.clone()).collect();
        for (at, series) in added.iter().zip(self.job.appender.intern_all(&labels)) {
            self.cache.resolve(*at, series);
        }
        let (mut zeros, mut staged) = self.cache.take_staged();
        self.batch.samples.reserve(zeros.len() + staged.len() + 8);
        zeros.drain(..).for_each(|zero| self.push(zero));
        self.zeros = (self.batch.samples.len(), self.batch.histograms.len());
        staged.drain(..).for_each(|sample| self.push(sample));
        self.cache.give_back(zeros, staged);
        for staged in std::mem::take(&mut self.exemplars) {
            let series = self.series_of(staged.entry);
            let StagedExemplar { timestamp, has_timestamp, value, labels, .. } = staged;
            self.batch.exemplars.push(ExemplarRow { series, timestamp, has_timestamp, value, labels });
        }
        self.batch.exemplars.sort_by_key(|row| row.timestamp);
        self.batch.metadata = news;
        self.ended = self.cache.commit();
    }

    fn series_of(&self, entry: u32) -> SeriesRef {
        self.cache.entry(entry).series.expect("resolved in this scrape or before")
    }

    fn push(&mut self, staged: Staged) {
        let Staged { entry, timestamp, start_timestamp, value } = staged;
        let series = self.series_of(entry);
        match value {
            Value::Float(value) => self.batch.samples.push(SampleRow { series, timestamp, value, start_timestamp }),
            Value::Histogram(histogram) => {
                self.batch.histograms.push(HistogramRow { series, timestamp, histogram, start_timestamp });
            }
        }
    }

    fn push_markers(&mut self) {
        for (series, _) in &self.ended {
            let (series, timestamp) = (*series, self.timestamp);
            self.batch.samples.push(SampleRow { series, timestamp, value: STALE_NAN, start_timestamp: 0 });
        }
    }

    /// Tells what was left out of a scrape that is good otherwise.
    fn warn(&self) {
        let stats = self.job.appender.stats();
        add(&stats.ingest_rejected_out_of_bounds, self.out_of_bounds);
        add(&stats.ingest_rejected_duplicate, self.duplicates);
        add(&stats.scrape_samples_duplicate_timestamp, self.duplicates);
        add(&stats.scrape_samples_out_of_bounds, self.out_of_bounds);
        let (scrape_pool, target) = (&self.job.target.scrape_pool, &self.job.target.scrape_url);
        if self.out_of_bounds > 0 {
            let refused = self.out_of_bounds;
            tracing::warn!(scrape_pool, target, refused, "samples too old or too far in the future");
        }
        if self.duplicates > 0 {
            let refused = self.duplicates;
            tracing::warn!(scrape_pool, target, refused, "series that are there twice, of which the first counts");
        }
    }

    /// Adds `up` and its siblings. No limit applies to them.
    pub fn report(&mut self, report: &ScrapeReport) {
        let mut values = vec![
            ("up", f64::from(u8::from(report.up))),
            ("scrape_duration_seconds", report.duration_seconds),
            ("scrape_samples_scraped", report.samples as f64),
            ("scrape_samples_post_metric_relabeling", report.samples_kept as f64),
            ("scrape_series_added", report.series_added as f64),
        ];
        if self.job.config.extra_scrape_metrics {
            values.push(("scrape_timeout_seconds", self.job.target.timeout_ms as f64 / 1000.0));
            values.push(("scrape_sample_limit", self.job.config.limits.sample_limit as f64));
            values.push(("scrape_body_size_bytes", report.body_bytes as f64));
        }
        if self.cache.synthetic.len() != values.len() {
            let named = |name: &str| {
                Labels::from_pairs([(METRIC_NAME, name)].into_iter().chain(self.job.target.labels.iter()))
            };
            let labels: Vec<Labels> = values.iter().map(|(name, _)| named(name)).collect();
            let series = self.job.appender.intern_all(&labels);
            self.cache.synthetic = labels.into_iter().zip(series).collect();
        }
        for ((_, series), (_, value)) in self.cache.synthetic.iter().zip(values) {
            let (series, timestamp) = (*series, self.timestamp);
            self.batch.samples.push(SampleRow { series, timestamp, value, start_timestamp: 0 });
        }
        self.cache.reported = true;
    }
}

impl Family {
    fn observe(&mut self, event: &Event<'_>, metadata: &MetadataCache) {
        let (Event::Type { family, .. } | Event::Help { family, .. } | Event::Unit { family, .. }) = event else {
            return;
        };
        if self.name != *family {
            (self.name, self.unit) = (family.to_string(), String::new());
        }
        if let Event::Unit { unit, .. } = event {
            self.unit = unit.to_string();
        }
        self.kind = metadata.kind_of(family);
    }

    /// Adds type and unit as labels, in the place of those that the target made up.
    fn describe(&self, pairs: &mut Pairs<'_>) {
        let kind = if self.kind == MetricType::Unknown { "" } else { self.kind.as_str() };
        for (name, value) in [("__type__", kind), ("__unit__", self.unit.as_str())] {
            if !value.is_empty() {
                pairs.retain(|(other, _)| other != name);
                pairs.push((name.into(), value.to_string().into()));
            }
        }
    }
}

/// A histogram as coarse as its limits want it; `None` where it cannot be.
fn reduced(histogram: Arc<FloatHistogram>, limits: HistogramLimits) -> Option<Arc<FloatHistogram>> {
    let too_many = |histogram: &FloatHistogram| {
        let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
        limits.buckets != 0 && buckets as u64 > limits.buckets
    };
    let is_too_fine = !histogram.uses_custom_buckets() && histogram.schema > limits.finest_schema;
    if !is_too_fine && !too_many(&histogram) {
        return Some(histogram);
    }
    let mut histogram = Arc::unwrap_or_clone(histogram);
    histogram.reduce_resolution(limits.finest_schema);
    while too_many(&histogram) {
        if histogram.uses_custom_buckets() || histogram.schema <= *EXPONENTIAL_SCHEMAS.start() {
            return None;
        }
        histogram.reduce_resolution(histogram.schema - 1);
    }
    Some(Arc::new(histogram))
}

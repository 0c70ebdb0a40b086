//! A parsed body → rows of one batch: samples, exemplars, the markers of what vanished, and `up` with its
//! siblings, so that a scrape becomes durable and visible at once.

use std::borrow::Cow;

use crate::config::scrape::ScrapeConfig;
use crate::ingest::appender::Appender;
use crate::ingest::exposition::event::{Event, Format, Parser, Sample};
use crate::ingest::exposition::series::Pairs;
use crate::ingest::labels::{checked, exemplar_labels};
use crate::ingest::scrape::cache::TargetCache;
use crate::ingest::scrape::metadata::MetadataCache;
use crate::ingest::stats::add;
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::metadata::Metadata;
use crate::model::relabel;
use crate::model::sample::STALE_NAN;
use crate::storage::types::{ExemplarRow, SampleRow, SeriesRef, WriteBatch};

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
    Invalid(String),
}

/// The batch of one scrape under construction.
pub struct ScrapeBatch<'a> {
    pub config: &'a ScrapeConfig,
    pub target_labels: &'a Labels,
    pub appender: &'a Appender,
    pub cache: &'a mut TargetCache,
    /// Stamps samples without a time of their own.
    pub timestamp: i64,
    pub batch: WriteBatch,
    /// Series that end here. Their entries may be gone from the cache already.
    pub ended: Vec<(SeriesRef, Labels)>,
    exemplars: Vec<(u32, i64, f64, Labels)>,
}

impl<'a> ScrapeBatch<'a> {
    pub fn new(
        config: &'a ScrapeConfig,
        target_labels: &'a Labels,
        appender: &'a Appender,
        cache: &'a mut TargetCache,
        timestamp: i64,
    ) -> Self {
        let (batch, ended, exemplars) = (WriteBatch::default(), Vec::new(), Vec::new());
        Self { config, target_labels, appender, cache, timestamp, batch, ended, exemplars }
    }

    /// Takes the samples of a body, or none of them. The counts of `report` are set either way.
    pub fn scraped(
        &mut self,
        format: Format,
        body: &[u8],
        metadata: &mut MetadataCache,
        report: &mut ScrapeReport,
    ) -> Result<(), Refused> {
        self.cache.begin();
        metadata.begin();
        // A target that has nothing to say need not say `# EOF` either.
        let outcome = if body.is_empty() { Ok(()) } else { self.parse(format, body, metadata, report) };
        match outcome {
            Ok(()) => self.accept(metadata.finish()),
            Err(_) => {
                self.exemplars.clear();
                self.ended = self.cache.roll_back();
                metadata.finish();
            }
        }
        self.push_markers();
        outcome
    }

    /// There is no body: everything the target had ends.
    pub fn failed(&mut self) {
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
        let mut pairs = Pairs::new();
        let mut over_limit = false;
        let mut parser = Parser::new(format, body);
        while let Some(event) = parser.next() {
            let event = event.map_err(|e| Refused::Invalid(e.to_string()))?;
            let Event::Sample(sample) = &event else {
                metadata.observe(&event);
                continue;
            };
            report.samples += 1;
            // The rest is still counted, so that one sees how far over the limit the target is.
            let kept = match over_limit && self.config.metric_relabel_configs.is_empty() {
                true => true,
                false => self
                    .sample(sample, &mut pairs, report)
                    .map_err(|message| Refused::Invalid(parser.error(message).to_string()))?,
            };
            report.samples_kept += u64::from(kept);
            let limit = self.config.limits.sample_limit;
            over_limit |= limit != 0 && report.samples_kept > limit;
        }
        if over_limit { Err(Refused::SampleLimit) } else { Ok(()) }
    }

    /// Stages a sample; `false` where relabelling drops it.
    #[inline]
    fn sample<'b>(
        &mut self,
        sample: &Sample<'b>,
        pairs: &mut Pairs<'b>,
        report: &mut ScrapeReport,
    ) -> Result<bool, String> {
        let own_time = sample.timestamp.filter(|_| self.config.honor_timestamps);
        let key = TargetCache::key(sample.series.bytes);
        let entry = match self.cache.find(key) {
            Some(entry) if self.cache.is_dropped(entry) => return Ok(false),
            Some(entry) if own_time.is_none() && self.cache.seen_now(entry) => {
                // One series twice in one body, at one time: the first counts.
                add(&self.appender.stats().ingest_rejected_duplicate, 1);
                return Ok(true);
            }
            Some(entry) => entry,
            None => {
                sample.series.decode(pairs)?;
                let Some(labels) = series_labels(pairs, self.target_labels, self.config)? else {
                    self.cache.add_dropped(key);
                    return Ok(false);
                };
                report.series_added += 1;
                self.cache.add(key, labels)
            }
        };
        let tracked = own_time.is_none() || self.config.track_timestamps_staleness;
        let timestamp = own_time.unwrap_or(self.timestamp);
        self.cache.stage(entry, timestamp, sample.value, tracked);
        if let Some(exemplar) = &sample.exemplar {
            exemplar.labels.decode(pairs)?;
            if let Some(labels) = exemplar_labels(pairs) {
                self.exemplars.push((entry, exemplar.timestamp.unwrap_or(timestamp), exemplar.value, labels));
            }
        }
        Ok(true)
    }

    /// Registers the new series under one lock and turns what was staged into rows.
    fn accept(&mut self, metadata: Vec<(String, Metadata)>) {
        let added = self.cache.added().to_vec();
        let labels: Vec<Labels> = added.iter().map(|at| self.cache.entry(*at).labels.clone()).collect();
        for (at, series) in added.into_iter().zip(self.appender.intern_all(&labels)) {
            self.cache.resolve(at, series);
        }
        let series_of = |cache: &TargetCache, at: u32| cache.entry(at).series.expect("resolved above or before");
        self.batch.samples.reserve(self.cache.staged().len() + 8);
        for staged in self.cache.staged() {
            self.batch.samples.push(SampleRow {
                series: series_of(self.cache, staged.entry),
                timestamp: staged.timestamp,
                value: staged.value,
                start_timestamp: 0,
            });
        }
        for (at, timestamp, value, labels) in self.exemplars.drain(..) {
            let series = series_of(self.cache, at);
            self.batch.exemplars.push(ExemplarRow { series, timestamp, value, labels });
        }
        self.batch.exemplars.sort_by_key(|row| row.timestamp);
        self.batch.metadata = metadata;
        self.ended = self.cache.commit();
    }

    fn push_markers(&mut self) {
        for (series, _) in &self.ended {
            self.batch.samples.push(SampleRow {
                series: *series,
                timestamp: self.timestamp,
                value: STALE_NAN,
                start_timestamp: 0,
            });
        }
    }

    /// Adds `up` and its siblings. No limit applies to them.
    pub fn report(&mut self, report: &ScrapeReport, timeout_ms: i64) {
        let mut values = vec![
            ("up", f64::from(u8::from(report.up))),
            ("scrape_duration_seconds", report.duration_seconds),
            ("scrape_samples_scraped", report.samples as f64),
            ("scrape_samples_post_metric_relabeling", report.samples_kept as f64),
            ("scrape_series_added", report.series_added as f64),
        ];
        if self.config.extra_scrape_metrics {
            values.push(("scrape_timeout_seconds", timeout_ms as f64 / 1000.0));
            values.push(("scrape_sample_limit", self.config.limits.sample_limit as f64));
            values.push(("scrape_body_size_bytes", report.body_bytes as f64));
        }
        if self.cache.synthetic.len() != values.len() {
            let named =
                |name: &str| Labels::from_pairs([(METRIC_NAME, name)].into_iter().chain(self.target_labels.iter()));
            let labels: Vec<Labels> = values.iter().map(|(name, _)| named(name)).collect();
            let series = self.appender.intern_all(&labels);
            self.cache.synthetic = labels.into_iter().zip(series).collect();
        }
        for ((_, series), (_, value)) in self.cache.synthetic.iter().zip(values) {
            let (series, timestamp) = (*series, self.timestamp);
            self.batch.samples.push(SampleRow { series, timestamp, value, start_timestamp: 0 });
        }
        self.cache.reported = true;
    }
}

/// Joins scraped and target labels (`honor_labels` decides who wins), relabels and checks the result; `None` where
/// relabelling drops it.
fn series_labels(pairs: &mut Pairs<'_>, target: &Labels, config: &ScrapeConfig) -> Result<Option<Labels>, String> {
    join_labels(pairs, target, config.honor_labels);
    if !config.metric_relabel_configs.is_empty() {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs.iter() {
            builder.set(name, value);
        }
        if !relabel::apply(&config.metric_relabel_configs, &mut builder) {
            return Ok(None);
        }
        pairs.clear();
        pairs.extend(builder.iter().map(|(name, value)| (name.to_string().into(), value.to_string().into())));
    }
    let labels = checked(pairs).map_err(|e| e.to_string())?;
    let names = config.name_validation;
    let valid = names.is_valid_metric_name(labels.metric())
        && labels.iter().all(|(name, _)| name == METRIC_NAME || names.is_valid_label_name(name));
    if !valid {
        return Err(format!("invalid metric name or label names: {labels}"));
    }
    check_label_limits(&labels, config)?;
    Ok(Some(labels))
}

fn join_labels(pairs: &mut Pairs<'_>, target: &Labels, honor_labels: bool) {
    let mut clashing = Vec::new();
    for (name, value) in target.iter() {
        let value = Cow::Owned(value.to_string());
        match pairs.iter_mut().find(|(other, _)| other == name) {
            // An empty scraped label wins as well, and is no label.
            Some(_) if honor_labels => {}
            Some(pair) => {
                let scraped = std::mem::replace(&mut pair.1, value);
                if !scraped.is_empty() {
                    clashing.push((name.to_string(), scraped.into_owned()));
                }
            }
            None => pairs.push((Cow::Owned(name.to_string()), value)),
        }
    }
    clashing.sort_by_key(|(name, _)| name.len());
    for (mut name, value) in clashing {
        loop {
            name.insert_str(0, "exported_");
            match pairs.iter_mut().find(|(other, _)| *other == name) {
                Some(pair) if pair.1.is_empty() => pair.1 = Cow::Owned(value),
                Some(_) => continue,
                None => pairs.push((Cow::Owned(name), Cow::Owned(value))),
            }
            break;
        }
    }
}

fn check_label_limits(labels: &Labels, config: &ScrapeConfig) -> Result<(), String> {
    let limits = &config.limits;
    let metric = shortened(labels.metric());
    let count = labels.len() as u64;
    if limits.label_limit != 0 && count > limits.label_limit {
        let limit = limits.label_limit;
        return Err(format!("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"));
    }
    if limits.label_name_length_limit == 0 && limits.label_value_length_limit == 0 {
        return Ok(());
    }
    for (name, value) in labels.iter() {
        let (len, limit) = (name.len() as u64, limits.label_name_length_limit);
        if limit != 0 && len > limit {
            let name = shortened(name);
            return Err(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {name}, length: {len}, limit: {limit})"
            ));
        }
        let (len, limit) = (value.len() as u64, limits.label_value_length_limit);
        if limit != 0 && len > limit {
            let (name, value) = (shortened(name), shortened(value));
            return Err(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value:?}, \
                 length: {len}, limit: {limit})"
            ));
        }
    }
    Ok(())
}

/// For error messages, at most 50 characters.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(50).map_or(text, |(at, _)| &text[..at])
}

//! One group: its evaluation, and what it leaves for the next one.
//!
//! What a rule writes is seen when it is durable. So a rule that reads what an earlier one of its group wrote waits for
//! that, and no other does: a bucket takes a second for it, and a group has many rules.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::rules::{RuleGroup, RuleKind};
use crate::engine::door::canceled;
use crate::engine::session::Point;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::appender::Appended;
use crate::ingest::labels;
use crate::model::float::format_general;
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::sample::STALE_NAN;
use crate::rules::alert::{Alert, Element, Step, Terms};
use crate::rules::dependencies::{self, ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use crate::rules::environment::Environment;
use crate::rules::rule::{Evaluated, Rule, Rules};
use crate::rules::stats::{GroupStats, add, set};
use crate::storage::store::durability::Log;
use crate::storage::types::{Existing, HistogramRow, Rejection, SampleRow, SeriesRef, WriteBatch};
use crate::telemetry::spans;
use crate::template::expand::{Progress, table_link};
use crate::template::source::Template;
use crate::template::subject::{Answer, Sample, SampleValue, Subject};

/// The label of `ALERTS` with the state of an alert.
const ALERT_STATE: &str = "alertstate";
const NS_IN_MS: i64 = 1_000_000;
/// How long the results of an evaluation are waited for, where the interval is shorter: a bucket takes a second for a put.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

pub struct Group {
    pub name: String,
    /// As it was found by the configuration.
    pub file: String,
    pub interval_ms: i64,
    pub config: RuleGroup,
    pub rules: Rules,
    /// Places of earlier rules that each one needs; `None` for any.
    needed: Vec<Option<Vec<usize>>>,
    batches: Vec<Vec<usize>>,
    pub(super) stats: Arc<GroupStats>,
    last: Mutex<LastEvaluation>,
    /// Series that no rule of it writes any more, to be ended.
    stale: Mutex<Vec<Labels>>,
}

/// How the last evaluation went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastEvaluation {
    /// When it began, by the clock; `None` before the first. Milliseconds since the epoch.
    pub at_ms: Option<i64>,
    pub seconds: f64,
}

impl Group {
    /// `default_interval_ms` is for groups that have none. `restored`: nothing is to be looked up for its alerts.
    pub fn new(
        file: &str,
        config: RuleGroup,
        default_interval_ms: i64,
        restored: bool,
        environment: &Environment,
    ) -> Result<Self> {
        let rules: Vec<_> = config.rules.iter().collect();
        let needed = dependencies::needed(&rules);
        let batches = match environment.options.concurrent {
            Some(_) => dependencies::batches(&needed),
            None => (0..config.rules.len()).map(|place| vec![place]).collect(),
        };
        let interval_ms = config.interval_ms.unwrap_or(default_interval_ms).max(1);
        let stats = environment.stats.group(file, &config.name);
        stats.interval_ms.store(interval_ms, Ordering::Relaxed);
        set(&stats.rules, config.rules.len() as u64);
        let rules = config.rules.iter().map(|rule| Rule::new(rule.clone(), restored).map(Arc::new));
        Ok(Self {
            name: config.name.clone(),
            file: file.to_string(),
            interval_ms,
            rules: rules.collect::<Result<_>>()?,
            needed,
            batches,
            stats,
            last: Mutex::default(),
            stale: Mutex::default(),
            config,
        })
    }

    /// Whether it would do the same as another one.
    pub fn equals(&self, other: &Self) -> bool {
        (&self.file, self.interval_ms, &self.config) == (&other.file, other.interval_ms, &other.config)
    }

    pub fn last(&self) -> LastEvaluation {
        *self.last.lock()
    }

    pub fn query_offset_ms(&self, environment: &Environment) -> i64 {
        self.config.query_offset_ms.unwrap_or_else(|| environment.query_offset_ms())
    }

    /// Goes on where another one was.
    pub fn take_over(&self, other: &Group, environment: &Environment) {
        *self.last.lock() = other.last();
        let mut left: Vec<&Arc<Rule>> = other.rules.iter().collect();
        for rule in &self.rules {
            if let Some(place) = left.iter().position(|old| rule.succeeds(old)) {
                let old = left.remove(place);
                rule.take_over(old);
                if let RuleKind::Recording { .. } = rule.config.kind {
                    other.end_alerts(old, environment);
                }
            }
        }
        left.iter().for_each(|rule| other.end_alerts(rule, environment));
        let mut stale = self.stale.lock();
        stale.append(&mut other.stale.lock());
        stale.extend(left.iter().flat_map(|rule| rule.series()));
    }

    /// Nobody evaluates it any more: all that it wrote is to be ended.
    pub fn retire(&self) {
        self.stale.lock().extend(self.rules.iter().flat_map(|rule| rule.series()));
    }

    /// Nobody evaluates a rule of the group any more, so its alerts are none.
    pub fn end_alerts(&self, rule: &Rule, environment: &Environment) {
        let ended = rule.state.lock().alerts.end(environment.now_ms());
        environment.history.tell(&self.file, &self.name, rule.name(), ended);
    }

    /// Whether the last evaluation found out about all of its alerts.
    pub fn knows_its_alerts(&self) -> bool {
        let fails = |rule: &Rule| rule.state.lock().error.is_some();
        !self.rules.iter().any(|rule| matches!(rule.config.kind, RuleKind::Alerting { .. }) && fails(rule))
    }

    /// The clock was set.
    pub fn shift(&self, by_ms: i64) {
        self.rules.iter().for_each(|rule| rule.state.lock().alerts.shift(by_ms));
    }

    /// Evaluates all rules at a time, and waits until what they wrote is durable, or will not be soon.
    pub async fn evaluate(&self, environment: &Environment, at_ns: i64, stop: &CancellationToken) {
        let (started, at_ms) = (Instant::now(), environment.now_ms());
        add(&self.stats.scheduled, 1);
        let span = spans::span("rule group");
        span.text("name", &self.name);
        span.text("file", &self.file);
        span.around(self.evaluate_rules(environment, at_ns.div_euclid(NS_IN_MS), stop)).await;
        let elapsed = started.elapsed();
        environment.stats.group_seconds.observe(elapsed.as_secs_f64());
        environment.stats.group_seconds_buckets.observe(elapsed.as_secs_f64());
        let rules_seconds: f64 =
            self.rules.iter().filter_map(|rule| Some(rule.state.lock().evaluated?.seconds)).sum();
        set(&self.stats.last_us, elapsed.as_micros() as u64);
        set(&self.stats.last_rules_us, (rules_seconds * 1e6) as u64);
        self.stats.last_at_ms.store(at_ms, Ordering::Relaxed);
        *self.last.lock() = LastEvaluation { at_ms: Some(at_ms), seconds: elapsed.as_secs_f64() };
    }

    async fn evaluate_rules(&self, environment: &Environment, at: i64, stop: &CancellationToken) {
        let patience = Duration::from_millis(self.interval_ms.unsigned_abs()).max(LEAST_PATIENCE);
        let mut evaluation = Evaluation {
            group: self,
            environment,
            at,
            log: environment.appender.durability(),
            patience: Mutex::new(patience),
            stop,
            pending: HashMap::new(),
            samples: 0,
        };
        for batch in &self.batches {
            for place in batch {
                evaluation.wait_for(self.needed[*place].as_deref()).await;
            }
            if stop.is_cancelled() {
                break;
            }
            evaluation.run(batch).await;
        }
        evaluation.wait_for(None).await;
        set(&self.stats.samples, evaluation.samples);
    }

    /// Marks series as stale that no rule writes any more. Those that another rule writes refuse it, as they should.
    pub async fn end_series(&self, environment: &Environment, at: i64) {
        let ended = std::mem::take(&mut *self.stale.lock());
        if ended.is_empty() {
            return;
        }
        let series = environment.appender.intern_all(&ended);
        let row =
            |series: &SeriesRef| SampleRow { series: *series, timestamp: at, value: STALE_NAN, start_timestamp: 0 };
        let batch = WriteBatch { samples: series.iter().map(row).collect(), ..WriteBatch::default() };
        let of: HashMap<SeriesRef, Labels> = series.into_iter().zip(ended.iter().cloned()).collect();
        if let Err(unsent) = environment.appender.submit(batch, |series| of.get(&series).cloned()).await {
            tracing::warn!(error = %unsent.error, "series of rules that are gone are not ended yet");
            self.stale.lock().extend(ended);
        }
    }
}

/// One evaluation of a group.
struct Evaluation<'a> {
    group: &'a Group,
    environment: &'a Environment,
    at: i64,
    log: watch::Receiver<Log>,
    /// How long the store is still waited for, all together: alerts must be told again in time, whatever becomes of the
    /// bucket.
    patience: Mutex<Duration>,
    stop: &'a CancellationToken,
    /// What rules wrote that is not known to be durable, by their places.
    pending: HashMap<usize, Appended>,
    samples: u64,
}

/// What a rule found.
type Found = Vec<(Labels, Point)>;

impl Evaluation<'_> {
    /// Waits for what these rules wrote; `None` for all of them.
    async fn wait_for(&mut self, places: Option<&[usize]>) {
        let places: Vec<usize> = match places {
            Some(places) => places.to_vec(),
            None => self.pending.keys().copied().collect(),
        };
        let mut appended: Vec<_> =
            places.into_iter().filter_map(|place| Some((place, self.pending.remove(&place)?))).collect();
        for (place, appended) in &mut appended {
            // They are on their way side by side already.
            let mut log = self.log.clone();
            let durable = async {
                tokio::select! {
                    biased;
                    outcome = appended.durable() => outcome,
                    failing = log.wait_for(|log| !log.works()) => failing.ok().and_then(|log| log.error()).map_or(Ok(()), Err),
                    () = self.stop.cancelled() => Err(canceled()),
                }
            };
            let outcome = self.patiently(durable).await.unwrap_or_else(|| Err(too_slow()));
            let place = *place;
            if let Err(error) = outcome {
                self.failed(&self.group.rules[place], &error, "the results of a rule are not durable yet");
            }
        }
    }

    /// Waits for the store as long as it is still waited for; `None` where that was not long enough. What is there at once needs no
    /// patience.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (patience, began) = (*self.patience.lock(), Instant::now());
        let done = tokio::time::timeout(patience, work).await.ok();
        let mut left = self.patience.lock();
        *left = left.saturating_sub(began.elapsed());
        done
    }

    /// Evaluates rules side by side, as far as there are slots.
    async fn run(&mut self, batch: &[usize]) {
        let rules: Vec<_> = batch.iter().map(|place| self.rule_with_slot(*place, batch.len() > 1)).collect();
        for (place, outcome) in batch.iter().copied().zip(join_all(rules).await) {
            if let Some((samples, appended)) = outcome {
                self.samples += samples;
                self.pending.extend(appended.map(|appended| (place, appended)));
            }
        }
    }

    /// The same as [`Self::rule`], which waits for a slot where others go on beside it. In Prometheus a rule that finds none is
    /// evaluated by the task of its group; here that waits either way.
    async fn rule_with_slot(&self, place: usize, beside: bool) -> Option<(u64, Option<Appended>)> {
        let _slot = match self.environment.slots().filter(|_| beside) {
            Some(slots) => slots.acquire().await.ok(),
            None => None,
        };
        self.rule(place).await
    }

    /// Evaluates one rule and hands its results over. `None` where it failed, which was told.
    async fn rule(&self, place: usize) -> Option<(u64, Option<Appended>)> {
        let rule = &self.group.rules[place];
        let span = spans::span("rule");
        span.text("name", rule.name());
        span.number("index", place as i64);
        let (started, at_ms) = (Instant::now(), self.environment.now_ms());
        add(&self.group.stats.evaluations, 1);
        let results = async {
            tokio::select! {
                results = self.results(rule) => results,
                () = self.stop.cancelled() => Err(canceled()),
            }
        };
        let outcome = span.around(results).await;
        let outcome = match outcome {
            Ok(found) => {
                rule.state.lock().error = None;
                let samples = found.len() as u64;
                Some((samples, span.around(self.append(rule, found)).await))
            }
            Err(error) => {
                span.failed(|| error.to_string());
                self.failed(rule, &error, "evaluating a rule failed");
                None
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        self.environment.stats.rule_seconds.observe(seconds);
        self.environment.stats.rule_seconds_buckets.observe(seconds);
        rule.state.lock().evaluated = Some(Evaluated { at_ms, seconds });
        outcome
    }

    fn failed(&self, rule: &Rule, error: &Error, what: &str) {
        rule.state.lock().error = Some(error.to_string());
        add(&self.group.stats.failures, 1);
        // A stop is no fault.
        if error.kind != ErrorKind::Canceled {
            let (file, group, name) = (&self.group.file, &self.group.name, rule.name());
            tracing::warn!(file, group, name, %error, "{what}");
        }
    }

    fn query_at(&self) -> i64 {
        self.at - self.group.query_offset_ms(self.environment)
    }

    async fn results(&self, rule: &Rule) -> Result<Found> {
        let vector = self.environment.ask(&rule.config.query, Some(&rule.config.expr), self.query_at()).await?;
        match &rule.config.kind {
            RuleKind::Recording { record } => self.record(rule, record, vector),
            RuleKind::Alerting { alert, hold_ms, keep_firing_for_ms, .. } => {
                let terms = Terms {
                    hold_ms: *hold_ms,
                    keep_firing_for_ms: *keep_firing_for_ms,
                    limit: self.group.config.limit,
                };
                let elements = self.elements(rule, alert, vector).await?;
                self.alert(rule, alert, elements, terms)
            }
        }
    }

    fn record(&self, rule: &Rule, record: &str, vector: Found) -> Result<Found> {
        let mut known = HashMap::with_capacity(vector.len());
        for (labels, point) in vector {
            let mut labels = LabelsBuilder::from_labels(&labels);
            labels.set(METRIC_NAME, record);
            for (name, value) in &rule.config.labels {
                labels.set(name, value);
            }
            if known.insert(labels.build(), point).is_some() {
                return Err(Error::execution(
                    "vector contains metrics with the same labelset after applying rule labels",
                ));
            }
        }
        let (limit, count) = (self.group.config.limit, known.len());
        if limit > 0 && count > limit {
            return Err(Error::execution(format!("exceeded limit of {limit} with {count} series")));
        }
        Ok(known.into_iter().collect())
    }

    /// The vector with the labels and annotations that the rule gives it.
    async fn elements(&self, rule: &Rule, alert: &str, vector: Found) -> Result<Vec<Element>> {
        let server = self.environment.server();
        let mut known: HashMap<Labels, Element> = HashMap::with_capacity(vector.len());
        for (labels, point) in vector {
            let subject = Subject {
                labels: labels.clone(),
                value: sample_value(&point),
                timestamp_ms: self.at,
                server: server.clone(),
            };
            let mut built = LabelsBuilder::from_labels(&labels);
            built.remove(METRIC_NAME);
            for (name, template) in &rule.templates.labels {
                built.set(name, &self.expand(template, &subject).await);
            }
            built.set(ALERT_NAME, alert);
            let mut annotations = Vec::with_capacity(rule.templates.annotations.len());
            for (name, template) in &rule.templates.annotations {
                annotations.push((name.clone(), self.expand(template, &subject).await));
            }
            let value = match point {
                Point::Float(value) => value,
                Point::Histogram(_) => 0.0,
            };
            let labels = built.build();
            match known.entry(labels.clone()) {
                Entry::Vacant(entry) => entry.insert(Element { labels, annotations, value }),
                Entry::Occupied(_) => {
                    return Err(Error::execution(
                        "vector contains metrics with the same labelset after applying alert labels",
                    ));
                }
            };
        }
        Ok(known.into_values().collect())
    }

    async fn expand(&self, template: &Template, subject: &Subject) -> String {
        add(&self.environment.stats.expansions, 1);
        let mut expansion = template.start(subject.clone());
        let expanded = loop {
            match expansion.run() {
                Progress::Done(expanded) => break expanded,
                Progress::Query(text) => {
                    let answer = self.answer(&text).await;
                    expansion.answer(text, answer);
                }
            }
        };
        match expanded {
            Ok(text) => text,
            Err(error) => {
                add(&self.environment.stats.expansion_failures, 1);
                let (file, group) = (&self.group.file, &self.group.name);
                tracing::warn!(file, group, %error, "expanding a template of an alert failed");
                format!("<error expanding template: {error}>")
            }
        }
    }

    /// Of a query in a template.
    async fn answer(&self, text: &str) -> Answer {
        let vector = self.environment.ask(text, None, self.at).await.map_err(|error| error.to_string())?;
        let sample = |(labels, point): (Labels, Point)| Sample { labels, value: sample_value(&point) };
        Ok(vector.into_iter().map(sample).collect())
    }

    /// The states of the alerts, which are sent, as samples.
    fn alert(&self, rule: &Rule, name: &str, elements: Vec<Element>, terms: Terms) -> Result<Found> {
        let link = || self.environment.server().external_url.clone() + &table_link(&rule.config.query);
        let resend_ms = i64::try_from(self.environment.options.resend_delay.as_millis()).unwrap_or(i64::MAX);
        let mut state = rule.state.lock();
        let Step { changes, active } = state.alerts.step(elements, self.at, terms);
        // Within the lock: changes of a rule are told in their order.
        self.environment.history.tell(&self.group.file, &self.group.name, name, changes);
        let active = active?;
        let due = state.alerts.to_send(self.at, resend_ms, self.group.interval_ms, &link);
        let restored = state.restored;
        drop(state);
        if !due.is_empty() {
            (self.environment.send)(due);
        }
        // Before the start it may have waited for longer; until that is known nothing is written that says otherwise.
        let written = active.iter().filter(|_| restored);
        Ok(written.flat_map(|(labels, alert)| samples_of(rule, name, labels, alert)).collect())
    }

    /// Hands the results of a rule over, and the ends of series that it does not have any more.
    async fn append(&self, rule: &Rule, mut found: Found) -> Option<Appended> {
        found.retain(|(labels, point)| self.is_storable(rule, labels, point));
        let at = self.query_at();
        let before = std::mem::take(&mut rule.state.lock().series);
        let fresh: Vec<Labels> =
            found.iter().filter(|(l, _)| !before.contains_key(l)).map(|(l, _)| l.clone()).collect();
        let fresh: HashMap<Labels, SeriesRef> =
            fresh.iter().cloned().zip(self.environment.appender.intern_all(&fresh)).collect();
        let handle = |labels: &Labels| before.get(labels).or(fresh.get(labels)).copied();
        let mut batch = WriteBatch::default();
        let mut of: HashMap<SeriesRef, Labels> = HashMap::with_capacity(found.len());
        for (labels, point) in &found {
            let series = handle(labels).expect("it was there before, or is fresh");
            of.insert(series, labels.clone());
            match point {
                Point::Float(value) => {
                    batch.samples.push(SampleRow { series, timestamp: at, value: *value, start_timestamp: 0 });
                }
                Point::Histogram(histogram) => batch.histograms.push(HistogramRow {
                    series,
                    timestamp: at,
                    histogram: histogram.clone(),
                    start_timestamp: 0,
                }),
            }
        }
        let results = (batch.samples.len(), batch.histograms.len());
        let ended: Vec<_> = before.iter().filter(|(_, series)| !of.contains_key(series)).collect();
        for (labels, series) in ended {
            of.insert(*series, labels.clone());
            batch.samples.push(SampleRow { series: *series, timestamp: at, value: STALE_NAN, start_timestamp: 0 });
        }
        if batch.samples.is_empty() && batch.histograms.is_empty() {
            return None;
        }
        let submitted = self.environment.appender.submit(batch, |series| of.get(&series).cloned());
        match self.patiently(submitted).await {
            Some(Ok(appended)) => {
                self.judge(rule, &appended, results);
                let refused = refused(&appended, results);
                let series = found.into_iter().filter_map(|(labels, _)| {
                    let series = appended.current(handle(&labels)?);
                    (!refused.contains(&series)).then_some((labels, series))
                });
                rule.state.lock().series = series.collect();
                Some(appended)
            }
            refused => {
                rule.state.lock().series = before;
                let error = refused.and_then(Result::err).map_or_else(too_slow, |unsent| unsent.error);
                self.failed(rule, &error, "the results of a rule are not stored");
                None
            }
        }
    }

    /// Arithmetic makes histograms that none can be, and functions labels beyond all bounds, which nobody should find in the
    /// lake.
    fn is_storable(&self, rule: &Rule, labels: &Labels, point: &Point) -> bool {
        let error = match (labels::check(labels), point) {
            (Err(error), _) => Error::execution(error.to_string()),
            (Ok(()), Point::Float(_)) => return true,
            (Ok(()), Point::Histogram(histogram)) => match histogram.validate() {
                Ok(()) => return true,
                Err(error) => error,
            },
        };
        rule.state.lock().error = Some(error.to_string());
        let (file, group, name) = (&self.group.file, &self.group.name, rule.name());
        tracing::warn!(file, group, name, %error, "a result of a rule is dropped");
        false
    }

    /// Prometheus' words, which for a duplicate name the first one.
    fn words(&self, rejection: Rejection, appended: &Appended) -> String {
        let first = appended.report.existing.first().filter(|_| rejection == Rejection::Duplicate);
        match first {
            Some((row, Existing::Float(existing))) => format!(
                "{} {}; overrides not allowed: existing {}, new value {}",
                rejection.as_str(),
                self.query_at(),
                format_general(*existing),
                format_general(appended.batch.samples[*row].value)
            ),
            _ => rejection.as_str().to_string(),
        }
    }

    /// Tells of results that the store refuses. Ends of series are refused where another rule writes them, which is fine.
    fn judge(&self, rule: &Rule, appended: &Appended, results: (usize, usize)) {
        let report = &appended.report;
        let samples = report.rejected_samples.iter().filter(|(row, _)| *row < results.0);
        let histograms = report.rejected_histograms.iter().filter(|(row, _)| *row < results.1);
        let mut counts: HashMap<Rejection, usize> = HashMap::new();
        for (_, rejection) in samples.chain(histograms) {
            *counts.entry(*rejection).or_default() += 1;
        }
        for (rejection, dropped) in counts {
            rule.state.lock().error = Some(self.words(rejection, appended));
            let (file, group, name) = (&self.group.file, &self.group.name, rule.name());
            tracing::warn!(file, group, name, dropped, error = rejection.as_str(), "results of a rule are dropped");
        }
    }
}

/// The handles of results that were refused.
fn refused(appended: &Appended, results: (usize, usize)) -> HashSet<SeriesRef> {
    let report = &appended.report;
    let samples = report.rejected_samples.iter().filter(|(row, _)| *row < results.0);
    let histograms = report.rejected_histograms.iter().filter(|(row, _)| *row < results.1);
    let mut series: Vec<SeriesRef> = samples.map(|(row, _)| appended.batch.samples[*row].series).collect();
    series.extend(histograms.map(|(row, _)| appended.batch.histograms[*row].series));
    series.into_iter().map(|series| appended.current(series)).collect()
}

fn sample_value(point: &Point) -> SampleValue {
    match point {
        Point::Float(value) => SampleValue::Float(*value),
        Point::Histogram(histogram) => SampleValue::Histogram(histogram.as_ref().clone()),
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE` of an alert.
fn samples_of(rule: &Rule, name: &str, labels: &Labels, alert: &Alert) -> [(Labels, Point); 2] {
    let series = |metric: &str, state: Option<&str>| {
        let mut built = LabelsBuilder::new();
        for (name, text) in &rule.config.labels {
            built.set(name, text);
        }
        for (name, value) in labels.iter() {
            built.set(name, value);
        }
        built.set(METRIC_NAME, metric).set(ALERT_NAME, name);
        if let Some(state) = state {
            built.set(ALERT_STATE, state);
        }
        built.build()
    };
    let since_seconds = alert.active_at.div_euclid(1000) as f64;
    [
        (series(ALERTS, Some(alert.state.as_str())), Point::Float(1.0)),
        (series(ALERTS_FOR_STATE, None), Point::Float(since_seconds)),
    ]
}

fn too_slow() -> Error {
    Error::new(ErrorKind::Unavailable, "the write-ahead log takes longer than the evaluation may")
}

/// How long evaluation pauses after the clock was set, so that there are samples of the new time again.
pub(super) fn pause_after_step(group: &Group, environment: &Environment) -> Duration {
    let longest_ms = group.interval_ms.max(environment.scrape_interval_ms()).max(0);
    Duration::from_millis(longest_ms.unsigned_abs())
}

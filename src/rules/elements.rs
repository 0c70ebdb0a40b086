//! What a rule makes of the vector of its expression: series with the rule's labels, or alerts, their texts and their series.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::config::rules::RuleKind;
use crate::engine::session::Point;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::rules::alert::{Alert, AlertState, Element, Step, Terms};
use crate::rules::blind;
use crate::rules::dependencies::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use crate::rules::environment::{Environment, Vector};
use crate::rules::group::Group;
use crate::rules::results::{Findings, Origin};
use crate::rules::rule::Rule;
use crate::rules::stats::add;
use crate::storage::store::durability::Gap;
use crate::template::expand::{Progress, table_link};
use crate::template::source::Template;
use crate::template::subject::{Answer, Sample, SampleValue, Subject};

/// The label of `ALERTS` with the state of an alert.
const ALERT_STATE: &str = "alertstate";

/// What rules of a group look at, at a time.
pub(super) struct Subjects<'a> {
    pub group: &'a Group,
    pub environment: &'a Environment,
    pub at: i64,
}

impl Subjects<'_> {
    /// Evaluates a rule, whose expression was `asked` already or is asked now. The alerts of one that alerts are in their
    /// next state and told.
    pub async fn findings(&self, rule: &Rule, asked: Option<Vector>) -> Result<Findings> {
        let at = self.asked_at();
        let (text, origin) = (&rule.config.query, Some(&self.group.origin));
        let vector = match asked {
            Some(vector) => vector,
            // In a box: without one each rule would be as large as a query, also where there is none.
            None => Box::pin(self.environment.ask(text, Some(&rule.config.expr), at, origin)).await?,
        };
        match &rule.config.kind {
            RuleKind::Recording { record } => {
                let mut findings = self.record(rule, record, vector)?;
                if let Some(gap) = self.gap(rule, at)
                    && !findings.has_all_of_before()
                {
                    // A series that is not found now has not ended for that.
                    (findings.doubt, findings.go_on) = (Some(missing(gap)), true);
                }
                Ok(findings)
            }
            RuleKind::Alerting { alert, hold_ms, keep_firing_for_ms, .. } => {
                let gap = self.gap(rule, at);
                let terms = Terms {
                    hold_ms: *hold_ms,
                    keep_firing_for_ms: *keep_firing_for_ms,
                    limit: self.group.config.limit,
                    blind: gap.is_some(),
                };
                let elements = self.elements(rule, alert, vector).await?;
                self.alert(rule, alert, elements, terms, gap)
            }
        }
    }

    /// The time that expressions are evaluated at.
    pub fn asked_at(&self) -> i64 {
        self.at - self.group.query_offset_ms(self.environment)
    }

    /// A time that the rule looks at and of which the store may lack samples.
    fn gap(&self, rule: &Rule, at: i64) -> Option<Gap> {
        let scrape_interval_ms = self.environment.scrape_interval_ms();
        let gaps = self.environment.appender.gaps();
        gaps.into_iter().find(|gap| blind::looks_at(&rule.config.expr, at, scrape_interval_ms, *gap))
    }

    fn record(&self, rule: &Rule, record: &str, vector: Vector) -> Result<Findings> {
        let mut findings = Findings::new(rule.state.lock().series.clone());
        for (labels, point) in vector {
            findings.add(Origin::Element(labels), point, |origin| {
                let mut built = LabelsBuilder::from_labels(origin.labels());
                built.set(METRIC_NAME, record);
                for (name, value) in &rule.config.labels {
                    built.set(name, value);
                }
                built.build()
            });
        }
        if findings.has_duplicates() {
            return Err(Error::execution(
                "vector contains metrics with the same labelset after applying rule labels",
            ));
        }
        let (limit, count) = (self.group.config.limit, findings.len());
        if limit > 0 && count > limit {
            return Err(Error::execution(format!("exceeded limit of {limit} with {count} series")));
        }
        Ok(findings)
    }

    /// The vector with the labels and annotations that the rule gives it.
    async fn elements(&self, rule: &Rule, alert: &str, vector: Vector) -> Result<Vec<Element>> {
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
                Entry::Vacant(entry) => {
                    entry.insert(Element { source: subject.labels, labels, annotations, value })
                }
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
        if let Some(text) = template.constant() {
            return text.to_string();
        }
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
        let vector = Box::pin(self.environment.ask(text, None, self.at, Some(&self.group.origin)))
            .await
            .map_err(|error| error.to_string())?;
        let sample = |(labels, point): (Labels, Point)| Sample { labels, value: sample_value(&point) };
        Ok(vector.into_iter().map(sample).collect())
    }

    /// The states of the alerts, which are sent, as samples.
    fn alert(
        &self,
        rule: &Rule,
        name: &str,
        elements: Vec<Element>,
        terms: Terms,
        gap: Option<Gap>,
    ) -> Result<Findings> {
        let link = || self.environment.server().external_url.clone() + &table_link(&rule.config.query);
        let resend_ms = i64::try_from(self.environment.options.resend_delay.as_millis()).unwrap_or(i64::MAX);
        let mut state = rule.state.lock();
        let Step { changes, active, held } = state.alerts.step(elements, self.at, terms);
        // Within the lock: changes of a rule are told in their order.
        self.environment.history.tell(&self.group.file, &self.group.name, name, changes);
        let active = active?;
        let due = state.alerts.to_send(self.at, resend_ms, self.group.interval_ms, &link);
        let (restored, mut findings) = (state.restored, Findings::new(state.series.clone()));
        drop(state);
        if !due.is_empty() {
            (self.environment.send)(due);
        }
        findings.doubt = gap.filter(|_| held > 0).map(missing);
        // Before the start it may have waited for longer; until that is known nothing is written that says otherwise.
        for (labels, alert) in active.into_iter().filter(|_| restored) {
            add_series(&mut findings, rule, name, labels, &alert);
        }
        Ok(findings)
    }
}

fn missing(gap: Gap) -> Error {
    let time = |ms: i64| match chrono::DateTime::from_timestamp_millis(ms) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        None => ms.to_string(),
    };
    let (since, until) = (time(gap.since_ms), time(gap.until_ms));
    let message = format!(
        "the store took no samples from {since} to {until}, a time that the rule looks at; what it does not find is not taken as ended"
    );
    Error::new(ErrorKind::Unavailable, message)
}

fn sample_value(point: &Point) -> SampleValue {
    match point {
        Point::Float(value) => SampleValue::Float(*value),
        Point::Histogram(histogram) => SampleValue::Histogram(histogram.as_ref().clone()),
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE` of an alert.
fn add_series(findings: &mut Findings, rule: &Rule, name: &str, labels: Labels, alert: &Alert) {
    let series = |origin: &Origin| {
        let (metric, state) = match origin {
            Origin::Alerts(_, state) => (ALERTS, Some(state)),
            Origin::AlertsForState(_) | Origin::Element(_) => (ALERTS_FOR_STATE, None),
        };
        let mut built = LabelsBuilder::new();
        for (name, text) in &rule.config.labels {
            built.set(name, text);
        }
        for (name, value) in origin.labels().iter() {
            built.set(name, value);
        }
        built.set(METRIC_NAME, metric).set(ALERT_NAME, name);
        if let Some(state) = state {
            built.set(ALERT_STATE, AlertState::as_str(*state));
        }
        built.build()
    };
    let since_seconds = alert.active_at.div_euclid(1000) as f64;
    findings.add(Origin::Alerts(labels.clone(), alert.state), Point::Float(1.0), series);
    findings.add(Origin::AlertsForState(labels), Point::Float(since_seconds), series);
}

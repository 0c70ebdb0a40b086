//! The alerts of a rule and their states, a pure step for each evaluation. Times are milliseconds since the epoch.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::model::alert;
use crate::model::labels::Labels;

/// A resolved alert is told again for this long: a message may be lost, or whoever got it may.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;
/// An alert that fires holds for so many evaluations, or sendings, without being told again.
const VALID_FOR: i64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// It was active.
    Inactive,
    /// Active for less than `for`.
    Pending,
    Firing,
}

impl AlertState {
    /// As in label `alertstate` and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub state: AlertState,
    /// The labels that it had in the result; `None` where it is from before a restart.
    pub source: Option<Labels>,
    /// Sorted, as they were at the last evaluation that had it.
    pub annotations: Vec<(String, String)>,
    /// At that evaluation; of a native histogram 0.
    pub value: f64,
    pub active_at: i64,
    pub fired_at: Option<i64>,
    pub resolved_at: Option<i64>,
    pub keep_firing_since: Option<i64>,
    pub last_sent_at: Option<i64>,
    pub valid_until: Option<i64>,
}

/// An element of a rule's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Those that it has in the result.
    pub source: Labels,
    /// Those that the alert is known by, `alertname` among them.
    pub labels: Labels,
    pub annotations: Vec<(String, String)>,
    pub value: f64,
}

/// What a rule says about its alerts.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub hold_ms: i64,
    pub keep_firing_for_ms: i64,
    /// Of active alerts; 0 for any number.
    pub limit: usize,
    /// The rule looks at a time of which samples may be missing: that the result lacks an alert says nothing.
    pub blind: bool,
}

/// That the state of an alert is another one. One that is not there is inactive, so one that waited and is gone goes from
/// pending to inactive, and one without `for` from inactive to firing at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub labels: Labels,
    /// As they were at the last evaluation that had the alert, and so is the value.
    pub annotations: Vec<(String, String)>,
    pub value: f64,
    pub from: AlertState,
    /// Never the same.
    pub to: AlertState,
    pub at: i64,
}

/// What an evaluation comes to.
#[derive(Debug)]
pub struct Step {
    /// By labels.
    pub changes: Vec<Change>,
    /// The alerts that are active now, by labels. An error where there are more than the limit allows; then there are none
    /// any more.
    pub active: Result<Vec<(Labels, Alert)>>,
    /// How many of them the result lacked, and no more is known of.
    pub held: usize,
}

/// By what they are known by.
#[derive(Clone, Debug, Default)]
pub struct Alerts(HashMap<Labels, Alert>);

impl Alerts {
    /// Takes the result of an evaluation at a time, in which no labels are twice.
    pub fn step(&mut self, result: Vec<Element>, at: i64, terms: Terms) -> Step {
        // With the states they had before.
        let mut seen = HashMap::with_capacity(result.len());
        let mut sources = HashSet::new();
        for Element { source, labels, annotations, value } in result {
            if terms.blind {
                sources.insert(source.clone());
            }
            let before = match self.0.get_mut(&labels).filter(|alert| alert.state != AlertState::Inactive) {
                Some(alert) => {
                    (alert.annotations, alert.value, alert.source) = (annotations, value, Some(source));
                    alert.state
                }
                None => {
                    let new = Alert { source: Some(source), ..Alert::new(annotations, value, at) };
                    self.0.insert(labels.clone(), new);
                    AlertState::Inactive
                }
            };
            seen.insert(labels, before);
        }
        let (mut active, mut changes) = (Vec::new(), Vec::new());
        let (mut active_before, mut held) = (Vec::new(), 0);
        self.0.retain(|labels, alert| {
            let found = seen.get(labels).copied();
            let before = found.unwrap_or(alert.state);
            let kept = match found {
                Some(_) => {
                    alert.keep_firing_since = None;
                    true
                }
                // One whose labels are others now was found.
                None if terms.blind
                    && alert.state != AlertState::Inactive
                    && alert.source.as_ref().is_none_or(|source| !sources.contains(source)) =>
                {
                    held += 1;
                    active.push((labels.clone(), alert.clone()));
                    active_before.push(before);
                    return true;
                }
                None => {
                    if alert.is_forgotten(at) {
                        changes.extend(alert.change(labels, before, AlertState::Inactive, at));
                        return false;
                    }
                    alert.goes_on_without(at, terms.keep_firing_for_ms)
                }
            };
            if kept {
                alert.fire_or_wait(at, terms.hold_ms);
                active.push((labels.clone(), alert.clone()));
                active_before.push(before);
            }
            changes.extend(alert.change(labels, before, alert.state, at));
            true
        });
        if terms.limit > 0 && active.len() - held > terms.limit {
            self.0.clear();
            changes.retain(|change| change.to == AlertState::Inactive);
            let cleared = active.iter().zip(active_before);
            changes
                .extend(cleared.filter_map(|((labels, alert), before)| {
                    alert.change(labels, before, AlertState::Inactive, at)
                }));
            let message = format!("exceeded limit of {} with {} alerts", terms.limit, active.len());
            return Step { changes: sorted(changes), active: Err(Error::execution(message)), held: 0 };
        }
        active.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Step { changes: sorted(changes), active: Ok(active), held }
    }

    /// Nobody evaluates them any more: none is active, and none is told again.
    pub fn end(&mut self, at: i64) -> Vec<Change> {
        let all = self.0.drain();
        let ended = all.filter_map(|(labels, alert)| alert.change(&labels, alert.state, AlertState::Inactive, at));
        sorted(ended.collect())
    }

    /// Alerts that must be told at this time, and now count as told. `again_ms` is how long one that fires need not be told
    /// again, `interval_ms` the time between evaluations.
    pub fn to_send(
        &mut self,
        at: i64,
        again_ms: i64,
        interval_ms: i64,
        link: &dyn Fn() -> String,
    ) -> Vec<alert::Alert> {
        let mut due = Vec::new();
        for (labels, alert) in self.0.iter_mut().filter(|(_, alert)| alert.needs_sending(at, again_ms)) {
            alert.last_sent_at = Some(at);
            alert.valid_until = Some(at + VALID_FOR * again_ms.max(interval_ms));
            due.push(alert::Alert {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at_ms: alert.fired_at.unwrap_or(alert.active_at),
                ends_at_ms: alert.resolved_at.or(alert.valid_until).unwrap_or(at),
                generator_url: link(),
            });
        }
        due.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        due
    }

    /// All that are not resolved.
    pub fn active(&self) -> impl Iterator<Item = (&Labels, &Alert)> {
        self.0.iter().filter(|(_, alert)| alert.resolved_at.is_none())
    }

    /// The highest state of them.
    pub fn state(&self) -> AlertState {
        self.0.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// With those that are resolved.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Labels, &mut Alert)> {
        self.0.iter_mut()
    }

    /// The clock was set: what was some time ago still is.
    pub fn shift(&mut self, by_ms: i64) {
        for alert in self.0.values_mut() {
            alert.active_at += by_ms;
            for time in [
                &mut alert.fired_at,
                &mut alert.resolved_at,
                &mut alert.keep_firing_since,
                &mut alert.last_sent_at,
                &mut alert.valid_until,
            ] {
                *time = time.map(|time| time + by_ms);
            }
        }
    }
}

fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|a, b| a.labels.cmp(&b.labels));
    changes
}

impl Alert {
    fn new(annotations: Vec<(String, String)>, value: f64, at: i64) -> Self {
        Self {
            state: AlertState::Pending,
            source: None,
            annotations,
            value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
            valid_until: None,
        }
    }

    fn change(&self, labels: &Labels, from: AlertState, to: AlertState, at: i64) -> Option<Change> {
        (from != to).then(|| Change {
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            value: self.value,
            from,
            to,
            at,
        })
    }

    /// One that the result lacks: whether it was told for long enough, or never.
    fn is_forgotten(&self, at: i64) -> bool {
        self.state == AlertState::Pending || self.resolved_at.is_some_and(|then| at - then > RESOLVED_RETENTION_MS)
    }

    /// Whether it fires although the result lacks it; if not, it is resolved.
    fn goes_on_without(&mut self, at: i64, keep_firing_for_ms: i64) -> bool {
        if self.state == AlertState::Firing && keep_firing_for_ms > 0 {
            let since = *self.keep_firing_since.get_or_insert(at);
            if at - since < keep_firing_for_ms {
                return true;
            }
        }
        if self.state != AlertState::Inactive {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(at);
        }
        false
    }

    fn fire_or_wait(&mut self, at: i64, hold_ms: i64) {
        if self.state == AlertState::Pending && at - self.active_at >= hold_ms {
            self.state = AlertState::Firing;
            self.fired_at = Some(at);
        }
        // After a reload that made `for` longer, or a restoration.
        if self.state == AlertState::Firing && at - self.active_at < hold_ms {
            self.state = AlertState::Pending;
            (self.fired_at, self.last_sent_at, self.keep_firing_since) = (None, None, None);
        }
    }

    fn needs_sending(&self, at: i64, again_ms: i64) -> bool {
        let sent_after = |then: i64| self.last_sent_at.is_some_and(|sent| sent >= then);
        match (self.state, self.resolved_at) {
            (AlertState::Pending, _) => false,
            (_, Some(resolved)) if !sent_after(resolved) => true,
            _ => self.last_sent_at.is_none_or(|sent| sent + again_ms < at),
        }
    }
}

#[cfg(test)]
mod tests;

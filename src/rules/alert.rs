//! The alerts of a rule and their states, a pure step for each evaluation. Times are milliseconds since the epoch.

use std::collections::HashMap;

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
}

/// By what they are known by.
#[derive(Clone, Debug, Default)]
pub struct Alerts(HashMap<Labels, Alert>);

impl Alerts {
    /// Takes the result of an evaluation at a time, in which no labels are twice. Yields the alerts that are active then.
    ///
    /// # Errors
    /// Where there are more than the limit allows; then there are none any more.
    pub fn step(&mut self, result: Vec<Element>, at: i64, terms: Terms) -> Result<Vec<(Labels, Alert)>> {
        let mut seen = HashMap::with_capacity(result.len());
        for Element { labels, annotations, value } in result {
            match self.0.get_mut(&labels).filter(|alert| alert.state != AlertState::Inactive) {
                Some(alert) => (alert.annotations, alert.value) = (annotations, value),
                None => {
                    self.0.insert(labels.clone(), Alert::new(annotations, value, at));
                }
            }
            seen.insert(labels, ());
        }
        let mut active = Vec::new();
        self.0.retain(|labels, alert| {
            let kept = match seen.contains_key(labels) {
                true => {
                    alert.keep_firing_since = None;
                    true
                }
                false => {
                    if alert.is_forgotten(at) {
                        return false;
                    }
                    alert.goes_on_without(at, terms.keep_firing_for_ms)
                }
            };
            if kept {
                alert.fire_or_wait(at, terms.hold_ms);
                active.push((labels.clone(), alert.clone()));
            }
            true
        });
        if terms.limit > 0 && active.len() > terms.limit {
            self.0.clear();
            let message = format!("exceeded limit of {} with {} alerts", terms.limit, active.len());
            return Err(Error::execution(message));
        }
        active.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(active)
    }

    /// Alerts that must be told at this time, and now count as told. `again_ms` is how long one that fires need not be told
    /// again, `interval_ms` the time between evaluations.
    pub fn to_send(&mut self, at: i64, again_ms: i64, interval_ms: i64, generator_url: &str) -> Vec<alert::Alert> {
        let mut due = Vec::new();
        for (labels, alert) in self.0.iter_mut().filter(|(_, alert)| alert.needs_sending(at, again_ms)) {
            alert.last_sent_at = Some(at);
            alert.valid_until = Some(at + VALID_FOR * again_ms.max(interval_ms));
            due.push(alert::Alert {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at_ms: alert.fired_at.unwrap_or(alert.active_at),
                ends_at_ms: alert.resolved_at.or(alert.valid_until).unwrap_or(at),
                generator_url: generator_url.to_string(),
            });
        }
        due.sort_by(|a, b| a.labels.cmp(&b.labels));
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

impl Alert {
    fn new(annotations: Vec<(String, String)>, value: f64, at: i64) -> Self {
        Self {
            state: AlertState::Pending,
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
mod tests {
    use super::AlertState::{Firing, Inactive, Pending};
    use super::*;

    const TERMS: Terms = Terms { hold_ms: 20_000, keep_firing_for_ms: 0, limit: 0 };

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("alertname", "A"), ("n", name)])
    }

    fn element(name: &str, value: f64) -> Element {
        Element { labels: labels(name), annotations: vec![("v".into(), value.to_string())], value }
    }

    /// Evaluates every ten seconds; a result is names of alerts. Yields the states of the active ones.
    fn run(alerts: &mut Alerts, from: i64, terms: Terms, results: &[&[&str]]) -> Vec<Vec<(String, AlertState)>> {
        let states = results.iter().zip(0..).map(|(names, n)| {
            let result = names.iter().map(|name| element(name, n as f64)).collect();
            let active = alerts.step(result, from + 10_000 * n, terms).unwrap();
            active.iter().map(|(l, alert)| (l.get("n").unwrap().to_string(), alert.state)).collect()
        });
        states.collect()
    }

    fn states(pairs: &[(&str, AlertState)]) -> Vec<(String, AlertState)> {
        pairs.iter().map(|(name, state)| (name.to_string(), *state)).collect()
    }

    #[test]
    fn an_alert_waits_fires_and_is_resolved() {
        let mut alerts = Alerts::default();
        let got = run(&mut alerts, 0, TERMS, &[&["a"], &["a", "b"], &["a"], &["a"], &[], &["a"]]);
        let expected = [
            states(&[("a", Pending)]),
            states(&[("a", Pending), ("b", Pending)]),
            states(&[("a", Firing)]),
            states(&[("a", Firing)]),
            vec![],
            states(&[("a", Pending)]),
        ];
        assert_eq!(got, expected);
        let (_, alert) = alerts.active().next().unwrap();
        assert_eq!((alert.active_at, alert.value, alert.annotations[0].1.as_str()), (50_000, 5.0, "5"));
        assert_eq!(alerts.state(), Pending);
    }

    #[test]
    fn one_that_keeps_firing() {
        let mut alerts = Alerts::default();
        let terms = Terms { hold_ms: 0, keep_firing_for_ms: 20_000, limit: 0 };
        let got = run(&mut alerts, 0, terms, &[&["a"], &[], &["a"], &[], &[], &[]]);
        let firing = states(&[("a", Firing)]);
        assert_eq!(got, [firing.clone(), firing.clone(), firing.clone(), firing.clone(), firing, vec![]]);
        assert_eq!(alerts.state(), Inactive);
        // It began with the evaluation that lacked it for good.
        assert_eq!(alerts.0[&labels("a")].resolved_at, Some(50_000));
    }

    #[test]
    fn limits_clear_all() {
        let mut alerts = Alerts::default();
        let terms = Terms { limit: 1, ..TERMS };
        assert!(alerts.step(vec![element("a", 1.0)], 0, terms).is_ok());
        let error = alerts.step(vec![element("a", 1.0), element("b", 1.0)], 1, terms).unwrap_err();
        assert_eq!(error.to_string(), "exceeded limit of 1 with 2 alerts");
        assert_eq!(alerts.active().count(), 0);
    }

    #[test]
    fn what_is_told_and_when() {
        let mut alerts = Alerts::default();
        let terms = Terms { hold_ms: 10_000, ..TERMS };
        let told = |alerts: &mut Alerts, at: i64, names: &[&str]| -> Vec<(i64, i64)> {
            alerts.step(names.iter().map(|name| element(name, 1.0)).collect(), at, terms).unwrap();
            let due = alerts.to_send(at, 60_000, 10_000, "http://x/graph");
            assert!(due.iter().all(|alert| alert.generator_url == "http://x/graph"));
            due.iter().map(|alert| (alert.starts_at_ms, alert.ends_at_ms)).collect()
        };
        assert_eq!(told(&mut alerts, 0, &["a"]), []);
        assert_eq!(told(&mut alerts, 10_000, &["a"]), [(10_000, 250_000)]);
        assert_eq!(told(&mut alerts, 70_000, &["a"]), [], "a minute later, not more");
        assert_eq!(told(&mut alerts, 80_000, &["a"]), [(10_000, 320_000)]);
        assert_eq!(told(&mut alerts, 90_000, &[]), [(10_000, 90_000)], "resolved, at once");
        assert_eq!(told(&mut alerts, 100_000, &[]), []);
        assert_eq!(told(&mut alerts, 160_000, &[]), [(10_000, 90_000)], "and again");
        let last = 90_000 + RESOLVED_RETENTION_MS;
        assert_eq!(told(&mut alerts, last, &[]), [(10_000, 90_000)]);
        assert_eq!(told(&mut alerts, last + 100_000, &[]), []);
        assert!(alerts.0.is_empty());
    }

    #[test]
    fn a_longer_for_makes_it_wait_again() {
        let mut alerts = Alerts::default();
        run(&mut alerts, 0, TERMS, &[&["a"], &["a"], &["a"]]);
        alerts.to_send(20_000, 60_000, 10_000, "");
        let longer = Terms { hold_ms: 60_000, ..TERMS };
        assert_eq!(run(&mut alerts, 30_000, longer, &[&["a"]]), [states(&[("a", Pending)])]);
        assert_eq!(alerts.0[&labels("a")].fired_at, None);
        assert_eq!(run(&mut alerts, 60_000, longer, &[&["a"]]), [states(&[("a", Firing)])]);
        assert_eq!(alerts.to_send(60_000, 60_000, 10_000, "").len(), 1, "it counts as new");
    }

    #[test]
    fn a_clock_that_was_set_changes_no_distance() {
        let mut alerts = Alerts::default();
        run(&mut alerts, 0, TERMS, &[&["a"], &["a"], &["a"]]);
        let first = alerts.to_send(20_000, 60_000, 10_000, "");
        assert_eq!((first[0].starts_at_ms, first[0].ends_at_ms), (20_000, 260_000));
        let hour = 3_600_000;
        for step in [hour, -hour] {
            let mut alerts = alerts.clone();
            alerts.shift(step);
            assert_eq!(run(&mut alerts, 30_000 + step, TERMS, &[&["a"]]), [states(&[("a", Firing)])]);
            assert_eq!(alerts.to_send(30_000 + step, 60_000, 10_000, "").len(), 0);
            assert_eq!(alerts.to_send(90_000 + step, 60_000, 10_000, "")[0].starts_at_ms, 20_000 + step);
        }
    }
}

//! One rule: what it is, and how its last evaluation went.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::rules::{self as config, RuleKind};
use crate::error::Result;
use crate::model::labels::Labels;
use crate::rules::alert::Alerts;
use crate::rules::results::Written;
use crate::template::source::Template;

#[derive(Debug)]
pub struct Rule {
    pub config: config::Rule,
    /// Of labels, and of annotations; none of a recording rule.
    pub(super) templates: Templates,
    pub(super) state: Mutex<State>,
}

/// Texts by the names of labels and annotations.
#[derive(Debug, Default)]
pub(super) struct Templates {
    pub labels: Vec<(String, Template)>,
    pub annotations: Vec<(String, Template)>,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    /// `None` before the first evaluation.
    pub evaluated: Option<Evaluated>,
    /// Of the last evaluation; it did well without one.
    pub error: Option<String>,
    /// The series that the last evaluation wrote.
    pub(super) series: Arc<Vec<Written>>,
    pub alerts: Alerts,
    /// Whether the waiting of alerts before the start was looked up; before that nothing is written about them.
    pub(super) restored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluated {
    /// When it began, by the clock. Milliseconds since the epoch.
    pub at_ms: i64,
    pub seconds: f64,
}

impl Rule {
    /// Of one that was found right. `restored`: nothing is to be looked up for it.
    pub fn new(config: config::Rule, restored: bool) -> Result<Self> {
        let templates = match &config.kind {
            RuleKind::Recording { .. } => Templates::default(),
            RuleKind::Alerting { alert, annotations, .. } => {
                let parse = |pairs: &[(String, String)]| {
                    let parsed = pairs.iter().map(|(name, text)| {
                        Template::of_alert(alert, text).map(|template| (name.clone(), template))
                    });
                    parsed.collect::<Result<Vec<_>>>()
                };
                Templates { labels: parse(&config.labels)?, annotations: parse(annotations)? }
            }
        };
        Ok(Self { config, templates, state: Mutex::new(State { restored, ..State::default() }) })
    }

    pub fn name(&self) -> &str {
        self.config.name()
    }

    /// Whether the last evaluation went well; in the words of the API.
    pub fn health(&self) -> &'static str {
        let state = self.state.lock();
        match (&state.error, &state.evaluated) {
            (Some(_), _) => "err",
            (None, Some(_)) => "ok",
            (None, None) => "unknown",
        }
    }

    /// As it is now, but for the series that it wrote.
    pub fn state(&self) -> State {
        let state = self.state.lock();
        State {
            evaluated: state.evaluated,
            error: state.error.clone(),
            series: Arc::default(),
            alerts: state.alerts.clone(),
            restored: state.restored,
        }
    }

    /// The series that the last evaluation wrote.
    pub(super) fn series(&self) -> Vec<Labels> {
        self.state.lock().series.iter().map(|written| written.labels.clone()).collect()
    }

    /// Whether another rule goes on where this one was: Prometheus matches names and labels.
    pub(super) fn succeeds(&self, other: &Rule) -> bool {
        self.name() == other.name() && self.config.labels == other.config.labels
    }

    /// Goes on where another one was.
    pub(super) fn take_over(&self, other: &Rule) {
        let old = other.state.lock();
        let mut state = self.state.lock();
        state.series = old.series.clone();
        if let (RuleKind::Alerting { .. }, RuleKind::Alerting { .. }) = (&self.config.kind, &other.config.kind) {
            state.alerts = old.alerts.clone();
        }
    }
}

/// The rules of a group, which its tasks share.
pub type Rules = Vec<Arc<Rule>>;
